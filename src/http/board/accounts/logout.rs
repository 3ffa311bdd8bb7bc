//! Logging out: in this browser, and everywhere.
//!
//! A log-in is ended in the log, so that it has ended on every node, and only then does the browser
//! forget it: an error leaves both as they were, to be tried again. One that had ended before, of which
//! this browser has not heard, is forgotten all the same.

use maud::html;

use super::super::act::{self, After, Trouble};
use super::super::cookies;
use super::super::form::{Errors, Form};
use super::super::views::layout;
use super::super::views::parts;
use super::super::visit::{self, Submitted};
use super::super::visitor::Visitor;
use super::login;
use crate::http::reply::{Response, Value};
use crate::http::service::Service;
use crate::http::step::Step;
use crate::http::wire::Request;
use crate::node::{StoreError, View};
use crate::state::board::{Act, Refusal, Told};

/// `POST /b/logout`.
pub(in crate::http) fn here(service: &Service, _: &str, request: &Request) -> Step {
    visit::form(service, request, Box::new(LogOut::Here))
}

/// `POST /b/logout-everywhere`.
pub(in crate::http) fn everywhere(service: &Service, _: &str, request: &Request) -> Step {
    visit::form(service, request, Box::new(LogOut::Everywhere))
}

/// Where somebody logs out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LogOut {
    Here,
    Everywhere,
}

impl LogOut {
    /// The page that asks to try again.
    fn page(self, visitor: &Visitor, errors: &Errors) -> Response {
        let (path, title) = match self {
            Self::Here => ("/b/logout", "Log out"),
            Self::Everywhere => ("/b/logout-everywhere", "Log out everywhere"),
        };
        let body = html! {
            h1 { (title) }
            (parts::errors_top(visitor, errors))
            form method="post" action=(path) {
                (parts::csrf(visitor))
                (parts::next(&visitor.next))
                (parts::button(title))
            }
        };
        layout::page(errors.status(), visitor, title, None, body)
    }

    /// Where the browser goes on, which is logged in no more.
    fn done(self, visitor: &Visitor) -> Response {
        let response = match self {
            Self::Here => layout::redirect(visitor, &visitor.next),
            Self::Everywhere => {
                layout::redirect(visitor, &format!("/b/login?{}", login::EVERYWHERE))
            }
        };
        let forget = cookies::no_login(visitor.origin.tls);
        response.header("Set-Cookie", Value::Text(forget))
    }
}

impl Submitted for LogOut {
    fn submitted(
        self: Box<Self>,
        service: &Service,
        _: &View,
        visitor: Visitor,
        _: Form,
    ) -> Result<Step, StoreError> {
        let claim = visitor.claim.filter(|_| !visitor.is_logged_out());
        let act = match (*self, claim) {
            (Self::Here, Some(login)) => Act::LogOut { login },
            (Self::Everywhere, Some(login)) => Act::LogOutEverywhere { login },
            (Self::Here, None) => return Ok(self.done(&visitor).into()),
            (Self::Everywhere, None) => return Ok(login::needed(&visitor, SETTINGS).into()),
        };
        Ok(act::send(service, visitor, act, self))
    }

    fn again(
        self: Box<Self>,
        _: &Service,
        _: &View,
        visitor: &Visitor,
        _: Form,
        trouble: Trouble,
    ) -> Result<Response, StoreError> {
        Ok(self.page(visitor, &trouble.into()))
    }
}

impl After for LogOut {
    fn told(
        self: Box<Self>,
        _: &Service,
        visitor: &Visitor,
        told: Told,
    ) -> Result<Step, StoreError> {
        Ok(match told {
            // The others may well be there still, and only who logs in again can end them.
            Told::Refused(Refusal::LoggedOut) if *self == Self::Everywhere => {
                login::needed(visitor, SETTINGS).into()
            }
            Told::Done | Told::LoggedOut(_) | Told::Refused(Refusal::LoggedOut) => {
                self.done(visitor).into()
            }
            Told::Refused(refusal) => self.page(visitor, &Trouble::from(refusal).into()).into(),
            told => unreachable!("logging out is not answered with {told:?}"),
        })
    }

    fn failed(
        self: Box<Self>,
        _: &Service,
        visitor: &Visitor,
        trouble: Trouble,
    ) -> Result<Response, StoreError> {
        Ok(self.page(visitor, &trouble.into()))
    }
}

/// From where one logs out everywhere.
const SETTINGS: &str = "/b/settings";
