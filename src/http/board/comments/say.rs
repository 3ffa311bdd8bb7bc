//! Saying something.

use super::super::act::{self, After, Trouble};
use super::super::form::{Errors, Form};
use super::super::posts::{Around, COMMENTS_PER_PAGE, Shown};
use super::super::views::layout;
use super::super::visit::Submitted;
use super::super::visitor::Visitor;
use super::super::{site, typed};
use crate::http::reply::Response;
use crate::http::service::{Service, Step};
use crate::node::{StoreError, View};
use crate::state::board::{self, Act, CommentId, Told};

/// A comment on its way.
#[derive(Clone, Debug)]
pub(super) struct Say {
    post: String,
    form: Form,
}

impl Say {
    pub(super) fn about(post: String) -> Self {
        Self { post, form: Form::default() }
    }

    fn parent(&self) -> Option<CommentId> {
        self.form.text("parent").parse().ok()
    }

    /// The post's page, with what was typed.
    fn page(&self, view: &View, visitor: &Visitor, errors: Errors) -> Result<Response, StoreError> {
        let (reply, form) = (self.parent(), self.form.clone());
        let around = Around { reply, form, errors, ..Around::default() };
        let here = site::post(&self.post);
        Shown::answer(view, &Visitor { here, ..visitor.clone() }, &self.post, &around)
    }
}

impl Submitted for Say {
    fn submitted(
        mut self: Box<Self>,
        service: &Service,
        view: &View,
        visitor: Visitor,
        form: Form,
    ) -> Result<Step, StoreError> {
        self.form = form;
        let text = match typed::text(self.form.text("text")) {
            Ok(text) => text,
            Err(why) => {
                let mut errors = Errors::none();
                errors.say("text", why);
                return Ok(self.page(view, &visitor, errors)?.into());
            }
        };
        let Some(login) = visitor.claim else {
            let why = "You are not logged in: nothing was said yet. Log in on another page, and \
                       come back to this one.";
            return Ok(self.page(view, &visitor, Trouble::new(401, why).into())?.into());
        };
        let act = Act::Comment { login, post: self.post.clone(), parent: self.parent(), text };
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

impl After for Say {
    fn told(
        self: Box<Self>,
        service: &Service,
        visitor: &Visitor,
        told: Told,
    ) -> Result<Step, StoreError> {
        let view = service.client.view();
        match told {
            Told::Commented(id) => {
                let first = board::comments(&view, &self.post, None, COMMENTS_PER_PAGE)?;
                let page = site::post(&self.post);
                let to = match first.comments.iter().any(|(comment, _)| comment.id == id) {
                    true => format!("{page}#c-{id}"),
                    false => format!("{page}?said={id}"),
                };
                Ok(layout::redirect(visitor, &to).into())
            }
            Told::Refused(refusal) => {
                let errors = Trouble::from(refusal).into();
                Ok(self.page(&view, visitor, errors)?.into())
            }
            told => unreachable!("a comment is not answered with {told:?}"),
        }
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
