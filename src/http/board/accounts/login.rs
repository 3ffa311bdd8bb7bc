//! Logging in.

use maud::html;

use super::super::act::Trouble;
use super::super::form::{Errors, Form};
use super::super::paths;
use super::super::views::layout;
use super::super::views::parts::{self, Field};
use super::super::visit::{self, Page, Submitted};
use super::super::visitor::Visitor;
use super::enter::{self, Entering};
use super::fields;
use super::proof::{self, Proven};
use crate::http::query;
use crate::http::reply::Response;
use crate::http::service::Service;
use crate::http::step::Step;
use crate::http::wire::Request;
use crate::node::{StoreError, View};
use crate::passwords::Secret;
use crate::state::board::{Act, Refusal, User};

/// The parameter of the page after somebody has logged out everywhere.
pub(super) const EVERYWHERE: &str = "everywhere";

/// `GET /b/login`.
pub(in crate::http) fn form(service: &Service, _: &str, request: &Request) -> Step {
    let everywhere = query::flag(request.query(), EVERYWHERE);
    visit::page(service, request, Box::new(Blank { everywhere }))
}

/// `POST /b/login`.
pub(in crate::http) fn submit(service: &Service, _: &str, request: &Request) -> Step {
    visit::form(service, request, Box::new(LogIn))
}

#[derive(Debug)]
struct Blank {
    /// Its visitor has just logged out everywhere.
    everywhere: bool,
}

impl Page for Blank {
    fn show(
        self: Box<Self>,
        _: &Service,
        _: &View,
        visitor: &Visitor,
    ) -> Result<Response, StoreError> {
        let good_news = self.everywhere.then_some("You are logged out, here and everywhere else.");
        Ok(page(visitor, "", good_news, &Errors::none()))
    }
}

#[derive(Debug)]
struct LogIn;

impl Submitted for LogIn {
    fn submitted(
        self: Box<Self>,
        service: &Service,
        _: &View,
        visitor: Visitor,
        form: Form,
    ) -> Result<Step, StoreError> {
        let (name, password) = (fields::name(form.text("name")), form.text("password"));
        let mut errors = Errors::none();
        if let Some(why) = fields::wrong_with_name(name) {
            errors.say("name", why);
        }
        if let Some(why) = fields::wrong_to_check(password) {
            errors.say("password", why);
        }
        if !errors.is_empty() {
            return Ok(page(&visitor, form.text("name"), None, &errors).into());
        }
        let password = Secret::new(password.to_owned());
        let then = Box::new(LoggingIn { name: name.to_owned() });
        proof::prove(service, visitor, name, password, then)
    }

    fn again(
        self: Box<Self>,
        _: &Service,
        _: &View,
        visitor: &Visitor,
        form: Form,
        trouble: Trouble,
    ) -> Result<Response, StoreError> {
        Ok(page(visitor, form.text("name"), None, &trouble.into()))
    }
}

/// Somebody who says to have this name is being logged in.
#[derive(Debug)]
struct LoggingIn {
    name: String,
}

impl LoggingIn {
    fn told(&self, visitor: &Visitor, trouble: Trouble) -> Response {
        page(visitor, &self.name, None, &trouble.into())
    }
}

impl Proven for LoggingIn {
    fn proven(
        self: Box<Self>,
        service: &Service,
        visitor: Visitor,
        user: Option<User>,
    ) -> Result<Step, StoreError> {
        let Some(User { id, password, .. }) = user else {
            return Ok(self.told(&visitor, wrong()).into());
        };
        let address = visitor.origin.limit_key();
        let act = |login, replaces| Act::LogIn { user: id, password, login, replaces, address };
        Ok(enter::enter(service, visitor, act, self))
    }

    fn failed(
        self: Box<Self>,
        _: &Service,
        visitor: &Visitor,
        trouble: Trouble,
    ) -> Result<Response, StoreError> {
        Ok(self.told(visitor, trouble))
    }
}

impl Entering for LoggingIn {
    fn refused(
        self: Box<Self>,
        _: &Service,
        visitor: &Visitor,
        refusal: Refusal,
    ) -> Result<Response, StoreError> {
        let trouble = match refusal {
            // Only who knows the password is told.
            Refusal::Disabled => Trouble::new(
                403,
                "A moderator has disabled this account: you cannot log in. The moderation log says \
                 why.",
            ),
            Refusal::PasswordChanged => {
                Trouble::new(422, "The password was changed just now: type the new one.")
            }
            Refusal::NoUser => wrong(),
            refusal => refusal.into(),
        };
        Ok(self.told(visitor, trouble))
    }

    fn failed(
        self: Box<Self>,
        _: &Service,
        visitor: &Visitor,
        trouble: Trouble,
    ) -> Result<Response, StoreError> {
        let trouble = match trouble.status {
            // If it was done, nobody has the token of that log-in.
            504 => Trouble::new(
                504,
                "The cluster has not answered in time: you are not logged in. Try again in a moment.",
            ),
            _ => trouble,
        };
        Ok(self.told(visitor, trouble))
    }
}

/// One message for a name that nobody has and for a wrong password.
fn wrong() -> Trouble {
    Trouble::new(422, "The name or the password is wrong.")
}

/// Shows whoever is not logged in (any more) the way back to a page, and why that is needed.
pub(super) fn needed(visitor: &Visitor, next: &str) -> Response {
    let (next, here) = (next.to_owned(), next.to_owned());
    let visitor = Visitor { user: None, next, here, ..visitor.clone() };
    page(&visitor, "", None, &Trouble::from(Refusal::LoggedOut).into())
}

fn page(visitor: &Visitor, name: &str, good_news: Option<&str>, errors: &Errors) -> Response {
    let name = Field {
        name: "name",
        label: "Name",
        value: name,
        autocomplete: "username",
        required: true,
        autofocus: errors.is_empty(),
        ..Field::default()
    };
    let password = Field {
        name: "password",
        label: "Password",
        autocomplete: "current-password",
        required: true,
        ..Field::default()
    };
    let body = html! {
        h1 { "Log in" }
        @if let Some(news) = good_news { (parts::notice(html! { (news) })) }
        (parts::errors_top(visitor, errors))
        (already(visitor))
        form method="post" action="/b/login" {
            (parts::csrf(visitor))
            (parts::next(&visitor.next))
            (parts::text_field(name, errors))
            (parts::password_field(password, errors))
            (parts::button("Log in"))
        }
        p { "No account yet? " a href=(paths::and_back("/b/signup", &visitor.next)) { "Sign up" } "." }
    };
    layout::page(errors.status(), visitor, "Log in", None, body)
}

/// Says to somebody who is logged in what becomes of that here.
pub(super) fn already(visitor: &Visitor) -> maud::Markup {
    html! {
        @if let Some(user) = &visitor.user {
            p {
                "You are logged in as " (parts::user_link(&user.name)) ". That ends in this browser \
                 when you go on here."
            }
        }
    }
}
