//! Posts: one of them, making and changing them.
//!
//! - `page`: a post with its comments; `submit`: making one; `change`: another title, deleting; `like`.

mod change;
mod like;
mod page;
mod submit;

use super::super::query;
use super::super::service::{Service, Step};
use super::super::wire::Request;
use super::{confirm, visit};
use crate::state::{board, is_key};
pub(super) use page::{Around, COMMENTS_PER_PAGE, Shown};

/// `GET /b/p/{post}`: a post and what is said about it; `.json` for programs.
pub(in crate::http) fn show(service: &Service, part: &str, request: &Request) -> Step {
    let asked = Box::new(page::Asked::of(part, request));
    let is_here = board::post(&service.client.view(), &asked.key).map(|post| post.is_some());
    confirm::page(service, request, is_here, asked)
}

/// `GET /b/post`: the form to post with; `?url=` and `?title=` fill it in.
pub(in crate::http) fn form(service: &Service, _: &str, request: &Request) -> Step {
    visit::page(service, request, Box::new(submit::Empty::of(request)))
}

/// `POST /b/post`: posts a link.
pub(in crate::http) fn submit(service: &Service, _: &str, request: &Request) -> Step {
    visit::form(service, request, Box::new(submit::Submit))
}

/// `GET /b/edit/{post}`: the form to change a title with.
pub(in crate::http) fn edit_form(service: &Service, part: &str, request: &Request) -> Step {
    visit::page(service, request, Box::new(change::Change::retitle(key(part))))
}

/// `POST /b/edit/{post}`: changes a title.
pub(in crate::http) fn edit(service: &Service, part: &str, request: &Request) -> Step {
    visit::form(service, request, Box::new(change::Change::retitle(key(part))))
}

/// `GET /b/delete/{post}`: asks whether that is meant.
pub(in crate::http) fn delete_form(service: &Service, part: &str, request: &Request) -> Step {
    visit::page(service, request, Box::new(change::Change::delete(key(part))))
}

/// `POST /b/delete/{post}`: deletes a post.
pub(in crate::http) fn delete(service: &Service, part: &str, request: &Request) -> Step {
    visit::form(service, request, Box::new(change::Change::delete(key(part))))
}

/// `POST /b/like/{post}`: likes a post (`on=yes`), or does no longer (`on=no`).
pub(in crate::http) fn like(service: &Service, part: &str, request: &Request) -> Step {
    visit::form(service, request, Box::new(like::Like::of(key(part))))
}

/// The key in a part of a path; empty, which no key is, when it has not the shape of one.
pub(super) fn key(part: &str) -> String {
    let key = query::decode(part);
    if is_key(&key) { key.into_owned() } else { String::new() }
}
