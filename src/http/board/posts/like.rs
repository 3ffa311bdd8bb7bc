//! Liking, and not liking any more: a button, no page of its own.
//!
//! Where it was pressed the visitor goes back to, to the very post. Who has not logged in goes there by way
//! of the log-in page; who was logged out meanwhile is told so.

use maud::html;

use super::super::act::{self, After, Trouble, waiting};
use super::super::form::{Errors, Form};
use super::super::paths;
use super::super::views::{layout, parts};
use super::super::visit::Submitted;
use super::super::visitor::Visitor;
use crate::http::reply::Response;
use crate::http::service::{Service, Step};
use crate::node::{StoreError, View};
use crate::state::board::{Act, Told};

/// One press of a button.
#[derive(Clone, Debug)]
pub(super) struct Like {
    key: String,
    on: bool,
}

impl Like {
    pub(super) fn of(key: String) -> Self {
        Self { key, on: true }
    }

    /// The place on the page where it was pressed.
    fn back(&self, visitor: &Visitor) -> String {
        let next = visitor.next.split('#').next().unwrap_or_default();
        format!("{next}#p-{}", self.key)
    }

    fn to_login(&self, visitor: &Visitor) -> Response {
        layout::redirect(visitor, &paths::and_back("/b/login", &self.back(visitor)))
    }

    /// There is no form to show again but the button.
    fn again(&self, visitor: &Visitor, trouble: Trouble) -> Response {
        let (text, on) = if self.on { ("Like", "yes") } else { ("Unlike", "no") };
        let (status, seconds) = (trouble.status, trouble.retry_after_s());
        let errors = Errors::from(trouble);
        let fields = html! { input type="hidden" name="on" value=(on); };
        let body = html! {
            h1 { (text) }
            (parts::errors_top(visitor, &errors))
            p {
                (parts::button_form(visitor, &format!("/b/like/{}", self.key), &visitor.next, text, fields)) " "
                a href=(visitor.next) { "Back" }
            }
        };
        waiting(layout::page(status, visitor, text, None, body), seconds)
    }
}

impl Submitted for Like {
    fn submitted(
        mut self: Box<Self>,
        service: &Service,
        _: &View,
        visitor: Visitor,
        form: Form,
    ) -> Result<Step, StoreError> {
        self.on = form.text("on") != "no";
        let Some(login) = visitor.claim else { return Ok(self.to_login(&visitor).into()) };
        let act = Act::Like { login, post: self.key.clone(), on: self.on };
        Ok(act::send(service, visitor, act, self))
    }

    fn again(
        mut self: Box<Self>,
        _: &Service,
        _: &View,
        visitor: &Visitor,
        form: Form,
        trouble: Trouble,
    ) -> Result<Response, StoreError> {
        self.on = form.text("on") != "no";
        Ok(Like::again(&self, visitor, trouble))
    }
}

impl After for Like {
    fn told(
        self: Box<Self>,
        _: &Service,
        visitor: &Visitor,
        told: Told,
    ) -> Result<Step, StoreError> {
        let response = match told {
            Told::Refused(refusal) => Like::again(&self, visitor, refusal.into()),
            _ => layout::redirect(visitor, &self.back(visitor)),
        };
        Ok(response.into())
    }

    fn failed(
        self: Box<Self>,
        _: &Service,
        visitor: &Visitor,
        trouble: Trouble,
    ) -> Result<Response, StoreError> {
        Ok(Like::again(&self, visitor, trouble))
    }
}
