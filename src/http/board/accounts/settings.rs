//! A user's own page: the password, and where the user is logged in.

use maud::html;

use super::super::act::{self, After, Trouble};
use super::super::form::{Errors, Form};
use super::super::paths;
use super::super::views::parts::{self, Field};
use super::super::views::{layout, time};
use super::super::visit::{self, Page, Submitted};
use super::super::visitor::Visitor;
use super::hashing::{self, Hashed};
use super::proof::{self, Proven};
use super::{fields, login};
use crate::http::query;
use crate::http::reply::Response;
use crate::http::service::Service;
use crate::http::step::Step;
use crate::http::wire::Request;
use crate::node::{StoreError, View};
use crate::passwords::{Done, Job, Secret};
use crate::state::board::{self, Act, LoginId, Refusal, Told, User};

const PATH: &str = "/b/settings";
/// The parameter of the page after the password was changed.
const CHANGED: &str = "changed";

/// `GET /b/settings`.
pub(in crate::http) fn show(service: &Service, _: &str, request: &Request) -> Step {
    let changed = query::flag(request.query(), CHANGED);
    visit::page(service, request, Box::new(Show { changed }))
}

/// `POST /b/password`.
pub(in crate::http) fn password(service: &Service, _: &str, request: &Request) -> Step {
    visit::form(service, request, Box::new(Change))
}

#[derive(Debug)]
struct Show {
    /// The password has just been changed.
    changed: bool,
}

impl Page for Show {
    fn show(
        self: Box<Self>,
        _: &Service,
        view: &View,
        visitor: &Visitor,
    ) -> Result<Response, StoreError> {
        if visitor.user.is_none() {
            return Ok(layout::redirect(visitor, &paths::and_back("/b/login", PATH)));
        }
        let news = "Your password is changed. You are logged out everywhere but here.";
        page(view, visitor, self.changed.then_some(news), &Errors::none())
    }
}

#[derive(Debug)]
struct Change;

impl Submitted for Change {
    fn submitted(
        self: Box<Self>,
        service: &Service,
        view: &View,
        visitor: Visitor,
        form: Form,
    ) -> Result<Step, StoreError> {
        let (Some(login), Some(user)) = (visitor.claim, &visitor.user) else {
            return Ok(login::needed(&visitor, PATH).into());
        };
        let (old, new) = (form.text("old"), form.text("new"));
        let mut errors = Errors::none();
        if let Some(why) = fields::wrong_to_check(old) {
            errors.say("old", why);
        }
        if let Some(why) = fields::wrong_with_password(new) {
            errors.say("new", why);
        } else if new == old {
            errors.say("new", "That is the same password again.");
        }
        if !errors.is_empty() {
            return page(view, &visitor, None, &errors).map(Step::from);
        }
        let name = user.name.clone();
        let (old, new) = (Secret::new(old.to_owned()), Secret::new(new.to_owned()));
        let then = Box::new(Changing { login, new });
        proof::prove(service, visitor, &name, old, then)
    }

    fn again(
        self: Box<Self>,
        _: &Service,
        view: &View,
        visitor: &Visitor,
        _: Form,
        trouble: Trouble,
    ) -> Result<Response, StoreError> {
        page(view, visitor, None, &trouble.into())
    }
}

/// A user gives the old password for a new one.
#[derive(Debug)]
struct Changing {
    login: LoginId,
    new: Secret,
}

impl Proven for Changing {
    fn proven(
        self: Box<Self>,
        service: &Service,
        visitor: Visitor,
        user: Option<User>,
    ) -> Result<Step, StoreError> {
        let Some(user) = user else {
            return wrong_old(service, &visitor, "That is not your password.").map(Step::from);
        };
        let Self { login, new } = *self;
        let then = Box::new(Proved { login, old: user.password });
        Ok(hashing::ask(service, visitor, Job::Hash(new), then))
    }

    fn failed(
        self: Box<Self>,
        service: &Service,
        visitor: &Visitor,
        trouble: Trouble,
    ) -> Result<Response, StoreError> {
        page(&service.client.view(), visitor, None, &trouble.into())
    }
}

/// The old password was right, and the new one is being hashed.
#[derive(Debug)]
struct Proved {
    login: LoginId,
    /// The hash that the old one was found to match.
    old: String,
}

impl Hashed for Proved {
    fn hashed(
        self: Box<Self>,
        service: &Service,
        visitor: Visitor,
        done: Done,
    ) -> Result<Step, StoreError> {
        let Done::Hashed(new) = done else { unreachable!("it was to be hashed") };
        let Self { login, old } = *self;
        Ok(act::send(service, visitor, Act::ChangePassword { login, old, new }, Box::new(Sent)))
    }

    fn failed(
        self: Box<Self>,
        service: &Service,
        visitor: &Visitor,
        trouble: Trouble,
    ) -> Result<Response, StoreError> {
        page(&service.client.view(), visitor, None, &trouble.into())
    }
}

/// The change is on its way to the log.
#[derive(Debug)]
struct Sent;

impl After for Sent {
    fn told(
        self: Box<Self>,
        service: &Service,
        visitor: &Visitor,
        told: Told,
    ) -> Result<Step, StoreError> {
        match told {
            Told::Done | Told::LoggedOut(_) => {
                Ok(layout::redirect(visitor, &format!("{PATH}?{CHANGED}")).into())
            }
            Told::Refused(Refusal::LoggedOut) => Ok(login::needed(visitor, PATH).into()),
            Told::Refused(Refusal::PasswordChanged) => {
                let why = "The password was changed just now, elsewhere.";
                wrong_old(service, visitor, why).map(Step::from)
            }
            Told::Refused(refusal) => {
                let trouble = Trouble::from(refusal);
                page(&service.client.view(), visitor, None, &trouble.into()).map(Step::from)
            }
            told => unreachable!("a change of password is not answered with {told:?}"),
        }
    }

    fn failed(
        self: Box<Self>,
        service: &Service,
        visitor: &Visitor,
        trouble: Trouble,
    ) -> Result<Response, StoreError> {
        let trouble = match trouble.status {
            504 => Trouble::new(
                504,
                "The cluster has not answered in time: the new password may count already, or still \
                 the old one. Try again; if the old one is wrong by then, the new one counts.",
            ),
            _ => trouble,
        };
        page(&service.client.view(), visitor, None, &trouble.into())
    }
}

fn wrong_old(
    service: &Service,
    visitor: &Visitor,
    why: &'static str,
) -> Result<Response, StoreError> {
    let mut errors = Errors::none();
    errors.say("old", why);
    page(&service.client.view(), visitor, None, &errors)
}

fn page(
    view: &View,
    visitor: &Visitor,
    good_news: Option<&str>,
    errors: &Errors,
) -> Result<Response, StoreError> {
    let Some(user) = &visitor.user else {
        return Ok(login::needed(visitor, PATH));
    };
    let logins = board::logins_of(view, user.id)?;
    let since = time::rfc3339(user.wall_ms);
    let body = html! {
        h1 { "Settings" }
        @if let Some(news) = good_news { (parts::notice(html! { (news) })) }
        (parts::errors_top(visitor, errors))
        p {
            "You are " (parts::user_link(&user.name)) ", here since "
            time datetime=(since) { (&since[..10]) } "."
            @if user.moderator { " You are a moderator." }
            " " a href={ "/b/u/" (user.name) } { "Your posts" }
        }
        h2 { "Password" }
        (password_form(visitor, user, errors))
        h2 { "Log-ins" }
        p {
            "You have " (parts::count(logins as u64, "log-in")) ", this one included. Each ends by itself when \
             nothing was posted, liked or said with it for 30 days."
        }
        form method="post" action="/b/logout-everywhere" {
            (parts::csrf(visitor))
            (parts::button("Log out everywhere"))
        }
    };
    Ok(layout::page(errors.status(), visitor, "Settings", None, body))
}

fn password_form(visitor: &Visitor, user: &User, errors: &Errors) -> maud::Markup {
    let old = Field {
        name: "old",
        label: "Current password",
        autocomplete: "current-password",
        required: true,
        ..Field::default()
    };
    let new = Field {
        name: "new",
        label: "New password",
        hint: "At least 8 characters. It ends all other log-ins.",
        autocomplete: "new-password",
        required: true,
        ..Field::default()
    };
    html! {
        form method="post" action="/b/password" {
            (parts::csrf(visitor))
            // For password managers, which ask themselves whose password this is.
            input type="text" name="name" value=(user.name) autocomplete="username" hidden readonly;
            (parts::password_field(old, errors))
            (parts::password_field(new, errors))
            (parts::button("Change password"))
        }
    }
}
