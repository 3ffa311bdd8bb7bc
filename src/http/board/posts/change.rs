//! Changing an own post: another title, or taking it away, which is asked about once more.
//!
//! Who may is decided when it is applied; that the form is not even shown to others is a courtesy.

use maud::{Markup, html};

use super::super::act::{self, After, Trouble, waiting};
use super::super::form::{Errors, Form};
use super::super::now::Now;
use super::super::views::parts::{self, Field};
use super::super::views::{layout, message};
use super::super::visit::{Page, Submitted};
use super::super::visitor::Visitor;
use super::super::{paths, site, typed};
use crate::http::reply::Response;
use crate::http::service::{Service, Step};
use crate::node::{StoreError, View};
use crate::state::board::{self, Act, Post, Refusal, Standing, TITLE_LEN_MAX, Told};

/// A change to a post.
#[derive(Clone, Debug)]
pub(super) struct Change {
    key: String,
    what: What,
    /// The form, when it was sent.
    sent: Option<Form>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Retitle,
    Delete,
}

impl Change {
    pub(super) fn retitle(key: String) -> Self {
        Self { key, what: What::Retitle, sent: None }
    }

    pub(super) fn delete(key: String) -> Self {
        Self { key, what: What::Delete, sent: None }
    }

    fn path(&self) -> String {
        match self.what {
            What::Retitle => format!("/b/edit/{}", self.key),
            What::Delete => format!("/b/delete/{}", self.key),
        }
    }

    /// The form, with what was typed, or the post's title when nothing was.
    fn page(
        &self,
        view: &View,
        visitor: &Visitor,
        errors: &Errors,
    ) -> Result<Response, StoreError> {
        let post = board::post(view, &self.key)?.filter(|it| it.standing == Standing::Shown);
        let Some(post) = post else {
            return Ok(message::refused(visitor, &Refusal::NoPost.into(), self.sent.as_ref()));
        };
        let (title, body) = match self.what {
            What::Retitle => ("Edit the title", self.title_form(visitor, &post, errors)),
            What::Delete => ("Delete the post", self.delete_form(visitor, &post)),
        };
        let way_back = Visitor { here: self.path(), ..visitor.clone() };
        let body = html! {
            h1 { (title) }
            (parts::errors_top(&way_back, errors))
            (body)
            p { a href=(site::post(&post.key)) { "Back to the post" } }
        };
        let response = layout::page(errors.status(), &way_back, title, None, body);
        Ok(waiting(response, errors.top().and_then(Trouble::retry_after_s)))
    }

    fn title_form(&self, visitor: &Visitor, post: &Post, errors: &Errors) -> Markup {
        let value = self.sent.as_ref().map_or(&*post.title, |form| form.text("title"));
        let field = Field {
            name: "title",
            label: "Title",
            value,
            hint: "The post will be marked as edited.",
            required: true,
            autofocus: true,
            max: TITLE_LEN_MAX,
            ..Field::default()
        };
        html! {
            form.stacked method="post" action=(self.path()) {
                (parts::csrf(visitor))
                (parts::text_field(field, errors))
                (parts::button("Save"))
            }
        }
    }

    fn delete_form(&self, visitor: &Visitor, post: &Post) -> Markup {
        html! {
            p {
                "Delete " strong { (parts::typed(&post.title)) } "? Its page, its comments and its short link are "
                "gone then, and do not come back."
            }
            form.stacked method="post" action=(self.path()) {
                (parts::csrf(visitor))
                (parts::button("Delete"))
            }
        }
    }

    fn trouble(
        &self,
        service: &Service,
        visitor: &Visitor,
        trouble: Trouble,
    ) -> Result<Response, StoreError> {
        self.page(&service.client.view(), visitor, &trouble.into())
    }
}

/// Why this visitor cannot change this post, if so, as far as this view knows.
fn denied(post: &Post, now: Now, visitor: &Visitor) -> Option<Refusal> {
    match () {
        () if !visitor.is(post.user) => Some(Refusal::NotYours),
        () if !now.is_fresh(post.clock_ms) => Some(Refusal::TooLate),
        () => None,
    }
}

impl Page for Change {
    fn show(
        self: Box<Self>,
        _: &Service,
        view: &View,
        visitor: &Visitor,
    ) -> Result<Response, StoreError> {
        if visitor.user.is_none() {
            return Ok(layout::redirect(visitor, &paths::and_back("/b/login", &visitor.here)));
        }
        if let Some(post) = board::post(view, &self.key)?
            && let Some(refusal) = denied(&post, Now::of(view)?, visitor)
        {
            return Ok(message::trouble(visitor, &refusal.into()));
        }
        self.page(view, visitor, &Errors::none())
    }
}

impl Submitted for Change {
    fn submitted(
        mut self: Box<Self>,
        service: &Service,
        view: &View,
        visitor: Visitor,
        form: Form,
    ) -> Result<Step, StoreError> {
        let title = typed::title(form.text("title"));
        self.sent = Some(form);
        let (Some(login), post) = (visitor.claim, self.key.clone()) else {
            let trouble = Trouble::new(401, "You are not logged in: nothing was changed.");
            return Ok(self.page(view, &visitor, &trouble.into())?.into());
        };
        let act = match self.what {
            What::Delete => Act::Delete { login, post },
            What::Retitle => match title {
                Ok(title) => Act::Retitle { login, post, title },
                Err(why) => {
                    let mut errors = Errors::none();
                    errors.say("title", why);
                    return Ok(self.page(view, &visitor, &errors)?.into());
                }
            },
        };
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
        self.sent = Some(form);
        self.page(view, visitor, &trouble.into())
    }
}

impl After for Change {
    fn told(
        self: Box<Self>,
        service: &Service,
        visitor: &Visitor,
        told: Told,
    ) -> Result<Step, StoreError> {
        let response = match (told, self.what) {
            (Told::Refused(refusal), _) => self.trouble(service, visitor, refusal.into())?,
            (_, What::Retitle) => layout::redirect(visitor, &site::post(&self.key)),
            (_, What::Delete) => {
                let own = visitor.user.as_ref().map(|user| site::user(&user.name));
                layout::redirect(visitor, own.as_deref().unwrap_or(paths::FRONT))
            }
        };
        Ok(response.into())
    }

    fn failed(
        self: Box<Self>,
        service: &Service,
        visitor: &Visitor,
        trouble: Trouble,
    ) -> Result<Response, StoreError> {
        self.trouble(service, visitor, trouble)
    }
}
