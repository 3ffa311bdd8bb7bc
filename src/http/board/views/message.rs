//! Pages that say one thing: that there is nothing, or that something went wrong.

use maud::html;

use super::super::act::{Trouble, waiting};
use super::super::paths;
use super::super::visitor::Visitor;
use super::layout;
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
    let body = html! {
        section.message {
            h1 { (title) }
            p { (text) }
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
    let title = match trouble.status {
        401 => "Please log in",
        403 => "Not allowed",
        404 => "Not found",
        410 => "Gone",
        413 => "Too long",
        429 => "Too often",
        503 => "Not now",
        status => wire::reason(status),
    };
    let response = page(visitor, trouble.status, title, &trouble.message);
    waiting(response, trouble.retry_after_s())
}

/// The disk cannot be read.
pub(in crate::http::board) fn unreadable(visitor: &Visitor, error: &StoreError) -> Response {
    log::error!("cannot read the board: {error}");
    page(visitor, 500, "Something is broken", "This node cannot read its disk. Others can.")
}

/// A request for a page was refused before anybody looked at it.
pub(in crate::http) fn refusal(service: &Service, head: &Head, status: u16, why: &str) -> Response {
    let visitor = Visitor::of(service, head, &service.client().view());
    let mut text = why.to_owned();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    trouble(&visitor, &Trouble::new(status, format!("{text}.")))
}
