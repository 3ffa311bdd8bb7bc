//! Taking a comment away: one's own, or as a moderator anybody's.

use super::super::act::{self, After, Trouble};
use super::super::form::{Errors, Form};
use super::super::posts::{Around, Shown};
use super::super::views::layout;
use super::super::visit::Submitted;
use super::super::visitor::Visitor;
use super::super::{site, typed};
use crate::http::reply::Response;
use crate::http::service::{Service, Step};
use crate::node::{StoreError, View};
use crate::state::board::{Act, CommentId, Refusal, Told};

/// A removal on its way.
#[derive(Clone, Debug)]
pub(super) struct Remove {
    post: String,
    form: Form,
}

impl Remove {
    pub(super) fn of(post: String) -> Self {
        Self { post, form: Form::default() }
    }

    fn comment(&self) -> Option<CommentId> {
        self.form.text("comment").parse().ok()
    }

    /// The post's page, with the question open and what was typed.
    fn page(&self, view: &View, visitor: &Visitor, errors: Errors) -> Result<Response, StoreError> {
        let (remove, form) = (self.comment(), self.form.clone());
        let around = Around { remove, form, errors, ..Around::default() };
        let here = site::post(&self.post);
        Shown::answer(view, &Visitor { here, ..visitor.clone() }, &self.post, &around)
    }
}

impl Submitted for Remove {
    fn submitted(
        mut self: Box<Self>,
        service: &Service,
        view: &View,
        visitor: Visitor,
        form: Form,
    ) -> Result<Step, StoreError> {
        self.form = form;
        let Some(comment) = self.comment() else {
            return Ok(self.page(view, &visitor, Trouble::from(Refusal::NoComment).into())?.into());
        };
        let reason = match typed::reason(self.form.text("reason")) {
            Ok(reason) => reason,
            Err(why) => {
                let mut errors = Errors::none();
                errors.say("reason", why);
                return Ok(self.page(view, &visitor, errors)?.into());
            }
        };
        let Some(login) = visitor.claim else {
            let trouble = Trouble::new(401, "You are not logged in: nothing was removed.");
            return Ok(self.page(view, &visitor, trouble.into())?.into());
        };
        let act = Act::RemoveComment { login, post: self.post.clone(), comment, reason };
        Ok(act::send(service, visitor, act, self))
    }

    fn again(
        mut self: Box<Self>,
        _: &Service,
        view: &View,
        visitor: &Visitor,
        form: Form,
        trouble: Trouble,
    ) -> Result<Response, StoreError> {
        self.form = form;
        self.page(view, visitor, trouble.into())
    }
}

impl After for Remove {
    fn told(
        self: Box<Self>,
        service: &Service,
        visitor: &Visitor,
        told: Told,
    ) -> Result<Step, StoreError> {
        let response = match (told, self.comment()) {
            (Told::Refused(refusal), _) => {
                let errors = Trouble::from(refusal).into();
                self.page(&service.client.view(), visitor, errors)?
            }
            (_, Some(id)) => {
                layout::redirect(visitor, &format!("{}#c-{id}", site::post(&self.post)))
            }
            (_, None) => layout::redirect(visitor, &site::post(&self.post)),
        };
        Ok(response.into())
    }

    fn failed(
        self: Box<Self>,
        service: &Service,
        visitor: &Visitor,
        trouble: Trouble,
    ) -> Result<Response, StoreError> {
        self.page(&service.client.view(), visitor, trouble.into())
    }
}
