//! Pages that say one thing: that there is nothing, or that something went wrong.

use maud::{Markup, html};

use super::super::act::{Trouble, waiting};
use super::super::form::Form;
use super::super::paths;
use super::super::visitor::{Caller, Visitor};
use super::{layout, parts};
use crate::http::reply::Response;
use crate::http::service::Service;
use crate::http::wire::{self, Head};
use crate::node::StoreError;

/// A page that says this and nothing else.
pub(in crate::http::board) fn page(
    visitor: &Visitor,
    status: u16,
    title: &str,
    text: &str,
) -> Response {
    with(visitor, status, title, text, html! {})
}

fn with(visitor: &Visitor, status: u16, title: &str, text: &str, more: Markup) -> Response {
    let body = html! {
        section.message {
            h1 { (title) }
            p { (text) }
            (more)
            p { a href=(paths::FRONT) { "To the front page" } }
        }
    };
    layout::page(status, visitor, title, None, body)
}

/// There is no such page, post, user.
pub(in crate::http::board) fn not_found(visitor: &Visitor, text: &str) -> Response {
    page(visitor, 404, "Not found", text)
}

/// A trouble, when there is no form to show it on.
pub(in crate::http::board) fn trouble(visitor: &Visitor, trouble: &Trouble) -> Response {
    refused(visitor, trouble, None)
}

/// The same, for whoever sent a form: what was typed is not lost.
pub(in crate::http::board) fn refused(
    visitor: &Visitor,
    trouble: &Trouble,
    form: Option<&Form>,
) -> Response {
    let title = match trouble.status {
        401 => "Please log in",
        403 => "Not allowed",
        404 => "Not found",
        413 => "Too long",
        429 => "Too often",
        503 => "Not now",
        status => wire::reason(status),
    };
    let typed = form.into_iter().flat_map(Form::typed);
    let kept = html! {
        // A field's name is what somebody sent, too, and no id.
        @for (at, (name, text)) in typed.enumerate() {
            p.field { label for={ "typed-" (at) } { "What you typed (" (parts::typed(name)) ")" }
                textarea id={ "typed-" (at) } rows="4" readonly { "\n" (text) } }
        }
    };
    let response = with(visitor, trouble.status, title, &trouble.message, kept);
    waiting(response, trouble.retry_after_s())
}

/// The disk cannot be read.
pub(in crate::http::board) fn unreadable(visitor: &Visitor, error: &StoreError) -> Response {
    log::error!("cannot read the board: {error}");
    page(visitor, 500, "Something is broken", "This node cannot read its disk. Others can.")
}

/// A request for a page was refused before anybody looked at it: nothing is known of who sent it.
pub(in crate::http) fn refusal(
    service: &Service,
    head: &Head,
    body: &[u8],
    status: u16,
    why: &str,
) -> Response {
    let visitor = Caller::of(service, head).nobody(service);
    let text = match status {
        404 => "There is no such page.".to_owned(),
        405 => "This page cannot be opened like that: it only takes what a form sends.".to_owned(),
        413 => "That was far too long, and was not taken. Go back, and make it shorter.".to_owned(),
        _ => format!("This node cannot answer that: {why}."),
    };
    refused(&visitor, &Trouble::new(status, text), Some(&Form::decode(body)))
}
