//! What comes of a moderator's form.

use maud::{Markup, html};

use super::super::act::{self, After, Trouble};
use super::super::form::{Errors, Form};
use super::super::views::layout;
use super::super::views::parts;
use super::super::visit::{self, Submitted};
use super::super::visitor::Visitor;
use super::super::{site, typed};
use super::deed::{Deed, What};
use crate::escapes;
use crate::http::query;
use crate::http::reply::Response;
use crate::http::service::Service;
use crate::http::step::Step;
use crate::http::wire::Request;
use crate::node::{StoreError, View};
use crate::state::board::{Refusal, Told};

/// `POST /b/hide/{post}`.
pub(in crate::http) fn hide(service: &Service, part: &str, request: &Request) -> Step {
    submit(service, What::Hide, part, request)
}

/// `POST /b/disable/{name}`.
pub(in crate::http) fn disable(service: &Service, part: &str, request: &Request) -> Step {
    submit(service, What::Disable, part, request)
}

/// `POST /b/appoint/{name}`.
pub(in crate::http) fn appoint(service: &Service, part: &str, request: &Request) -> Step {
    submit(service, What::Appoint, part, request)
}

fn submit(service: &Service, what: What, part: &str, request: &Request) -> Step {
    let target = query::decode(part).into_owned();
    visit::form(service, request, Box::new(Doing { what, target }))
}

/// Somebody is about to do something to this post or user.
#[derive(Debug)]
struct Doing {
    what: What,
    target: String,
}

impl Doing {
    fn deed(self, form: &Form) -> Deed {
        let on = form.text("on") == "yes";
        Deed { reason: form.text("reason").to_owned(), ..Deed::new(self.what, &self.target, on) }
    }
}

impl Submitted for Doing {
    fn submitted(
        self: Box<Self>,
        service: &Service,
        _: &View,
        visitor: Visitor,
        form: Form,
    ) -> Result<Step, StoreError> {
        let mut deed = self.deed(&form);
        match typed::reason(&deed.reason) {
            Ok(reason) => deed.reason = reason,
            Err(why) => {
                let mut errors = Errors::none();
                errors.say("reason", why);
                return Ok(page(&visitor, &deed, &errors).into());
            }
        }
        let Some(login) = visitor.claim else {
            let trouble = Trouble::from(Refusal::LoggedOut);
            return Ok(page(&visitor, &deed, &trouble.into()).into());
        };
        Ok(act::send(service, visitor, deed.act(login), Box::new(Sent(deed))))
    }

    fn again(
        self: Box<Self>,
        _: &Service,
        _: &View,
        visitor: &Visitor,
        form: Form,
        trouble: Trouble,
    ) -> Result<Response, StoreError> {
        Ok(page(visitor, &self.deed(&form), &trouble.into()))
    }
}

/// It is on its way to the log.
#[derive(Debug)]
struct Sent(Deed);

impl After for Sent {
    fn told(
        self: Box<Self>,
        _: &Service,
        visitor: &Visitor,
        told: Told,
    ) -> Result<Step, StoreError> {
        Ok(match told {
            Told::Done | Told::LoggedOut(_) => layout::redirect(visitor, &visitor.next).into(),
            Told::Refused(refusal) => page(visitor, &self.0, &Trouble::from(refusal).into()).into(),
            told => unreachable!("a moderator is not answered with {told:?}"),
        })
    }

    fn failed(
        self: Box<Self>,
        _: &Service,
        visitor: &Visitor,
        trouble: Trouble,
    ) -> Result<Response, StoreError> {
        Ok(page(visitor, &self.0, &trouble.into()))
    }
}

/// The form again, on a page of its own.
fn page(visitor: &Visitor, deed: &Deed, errors: &Errors) -> Response {
    let body = html! {
        h1 { (deed.verb()) }
        (parts::errors_top(visitor, errors))
        p { (target(deed)) }
        (deed.form(visitor, &visitor.next, errors))
    };
    layout::page(errors.status(), visitor, deed.verb(), None, body)
}

fn target(deed: &Deed) -> Markup {
    let (what, path) = match deed.what {
        What::Hide => ("The post ", site::post(&escapes::path(deed.target.as_bytes()))),
        What::Disable | What::Appoint => ("The user ", site::user(&deed.target)),
    };
    html! { (what) a href=(path) { (parts::typed(&deed.target)) } }
}
