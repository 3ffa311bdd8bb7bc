//! Posting a link.

use maud::html;

use super::super::act::{self, After, Trouble, waiting};
use super::super::form::{Errors, Form};
use super::super::normal::Target;
use super::super::views::layout;
use super::super::views::parts::{self, Field};
use super::super::visit::{Page, Submitted};
use super::super::visitor::Visitor;
use super::super::{paths, site, typed};
use crate::escapes;
use crate::http::query;
use crate::http::reply::Response;
use crate::http::service::{Service, Step};
use crate::http::wire::Request;
use crate::node::{StoreError, View};
use crate::state::board::{Act, TITLE_LEN_MAX, Told};

/// Bytes of what was typed that still go into the way to the log-in page and back.
const CARRIED_MAX: usize = 4096;

/// The form before it was sent.
#[derive(Clone, Debug)]
pub(super) struct Empty {
    form: Form,
}

impl Empty {
    pub(super) fn of(request: &Request) -> Self {
        let text = |name| query::value(request.query(), name).unwrap_or_default().into_owned();
        Self { form: Form::default().with("title", text("title")).with("url", text("url")) }
    }
}

impl Page for Empty {
    fn show(
        self: Box<Self>,
        _: &Service,
        _: &View,
        visitor: &Visitor,
    ) -> Result<Response, StoreError> {
        if visitor.user.is_none() {
            let here = with_typed(self.form.text("title"), self.form.text("url"));
            return Ok(layout::redirect(visitor, &paths::and_back("/b/login", &here)));
        }
        Ok(page(visitor, &self.form, &Errors::none()))
    }
}

/// The form, sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Submit;

impl Submitted for Submit {
    fn submitted(
        self: Box<Self>,
        service: &Service,
        _: &View,
        visitor: Visitor,
        form: Form,
    ) -> Result<Step, StoreError> {
        let mut errors = Errors::none();
        let title = typed::title(form.text("title")).map_err(|why| errors.say("title", why));
        let target = target(form.text("url")).map_err(|why| errors.say("url", why));
        let (Ok(title), Ok(target)) = (title, target) else {
            return Ok(page(&visitor, &form, &errors).into());
        };
        let Some(login) = visitor.claim else {
            let trouble = Trouble::new(401, "You are not logged in: nothing was posted yet.");
            return Ok(page(&visitor, &form, &trouble.into()).into());
        };
        let Target { url, normal, host } = target;
        let act = Act::Post { login, title, url, normal, host };
        Ok(act::send(service, visitor, act, Box::new(Posting { form })))
    }

    fn again(
        self: Box<Self>,
        _: &Service,
        _: &View,
        visitor: &Visitor,
        form: Form,
        trouble: Trouble,
    ) -> Result<Response, StoreError> {
        Ok(page(visitor, &form, &trouble.into()))
    }
}

/// The form, on its way through the log.
#[derive(Clone, Debug)]
struct Posting {
    form: Form,
}

impl After for Posting {
    fn told(
        self: Box<Self>,
        _: &Service,
        visitor: &Visitor,
        told: Told,
    ) -> Result<Step, StoreError> {
        let response = match told {
            Told::Posted(key) => layout::redirect(visitor, &site::post(&key)),
            Told::PostedBefore(key) => {
                layout::redirect(visitor, &format!("{}?again", site::post(&key)))
            }
            Told::Refused(refusal) => page(visitor, &self.form, &Trouble::from(refusal).into()),
            told => unreachable!("a post is not answered with {told:?}"),
        };
        Ok(response.into())
    }

    fn failed(
        self: Box<Self>,
        _: &Service,
        visitor: &Visitor,
        trouble: Trouble,
    ) -> Result<Response, StoreError> {
        Ok(page(visitor, &self.form, &trouble.into()))
    }
}

/// What was typed as a URL, or what is wrong with it, in a sentence.
fn target(typed: &str) -> Result<Target, String> {
    if typed.trim().is_empty() {
        return Err("Give it the URL that it leads to.".to_owned());
    }
    Target::of(typed.as_bytes()).map_err(|error| {
        let mut text = error.to_string();
        if let Some(first) = text.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        format!("{text}.")
    })
}

fn page(visitor: &Visitor, form: &Form, errors: &Errors) -> Response {
    let (title, url) = (form.text("title"), form.text("url"));
    let title_field = Field {
        name: "title",
        label: "Title",
        value: title,
        hint: "What the page is called, in one line.",
        required: true,
        autofocus: true,
        max: TITLE_LEN_MAX,
        ..Field::default()
    };
    let url_field = Field {
        name: "url",
        label: "URL",
        value: url,
        hint: "It begins with http:// or https://.",
        required: true,
        ..Field::default()
    };
    // Who has to log in first finds it filled in afterwards.
    let way_back = Visitor { here: with_typed(title, url), ..visitor.clone() };
    let body = html! {
        h1 { "Post a link" }
        (parts::errors_top(&way_back, errors))
        form.stacked method="post" action="/b/post" {
            (parts::csrf(visitor))
            (parts::text_field(title_field, errors))
            (parts::url_field(url_field, errors))
            (parts::button("Post"))
        }
    };
    let response = layout::page(errors.status(), &way_back, "Post a link", None, body);
    waiting(response, errors.top().and_then(Trouble::retry_after_s))
}

/// The form's path with this in it, unless it is too much for a path.
fn with_typed(title: &str, url: &str) -> String {
    let escaped = |text: &str| escapes::path(text.as_bytes());
    let path = format!("/b/post?title={}&url={}", escaped(title), escaped(url));
    let is_empty = title.is_empty() && url.is_empty();
    if is_empty || path.len() > CARRIED_MAX { "/b/post".to_owned() } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_url_is_a_sentence() {
        for (typed, why) in [
            ("", "Give it the URL that it leads to."),
            ("  ", "Give it the URL that it leads to."),
            ("javascript:x", "The URL must be absolute and start with http:// or https://."),
            ("http://", "The URL has no host after http://."),
        ] {
            assert_eq!(target(typed).unwrap_err(), why, "{typed}");
        }
        assert!(target(" https://example.com ").is_ok());
    }

    #[test]
    fn what_was_typed_goes_along_to_the_log_in_page_unless_it_is_long() {
        assert_eq!(
            with_typed("a&b #1", "http://x/?q=1"),
            "/b/post?title=a%26b%20%231&url=http%3A//x/%3Fq%3D1"
        );
        assert_eq!(with_typed(&"x".repeat(5000), ""), "/b/post");
        assert_eq!(with_typed("", ""), "/b/post");
    }
}
