//! Lists of posts: for people, for feed readers, for programs.
//!
//! - `which`: the lists there are, and where they are; `answer`: a list as a page, as RSS and as JSON;
//! - `row`: a post as it stands in a list; `about`: the rules of the board.

mod about;
mod answer;
mod row;
mod which;

use super::super::query;
use super::super::reply::Response;
use super::super::service::{Service, Step};
use super::super::wire::Request;
use super::normal::plain_host;
use super::{confirm, paths, visit};
use crate::node::{StoreError, View};
use crate::state::board;
use answer::Asked;
pub(super) use row::{Row, likes_form};
pub(super) use which::Format;
use which::Which;

/// `GET /b`: the front page.
pub(in crate::http) fn front(service: &Service, _: &str, request: &Request) -> Step {
    show(service, request, Which::Hot, Format::Page)
}

/// `GET /b/`: the front page, as people type it.
pub(in crate::http) fn slash(_: &Service, _: &str, _: &Request) -> Step {
    elsewhere(paths::FRONT.to_owned()).into()
}

/// `GET /b/about`.
pub(in crate::http) fn about(service: &Service, _: &str, request: &Request) -> Step {
    visit::page(service, request, Box::new(about::About::of(request)))
}

/// `GET /b/top/{span}`.
pub(in crate::http) fn top(service: &Service, part: &str, request: &Request) -> Step {
    let (span, format) = Format::of(part);
    match which::span(span) {
        Some(span) => show(service, request, Which::Top(span), format),
        None => nothing(service, request),
    }
}

/// `GET /b/u/{name}`: a user, and the user's posts.
pub(in crate::http) fn of_user(service: &Service, part: &str, request: &Request) -> Step {
    let part = query::decode(part);
    let (name, format) = Format::of(&part);
    show(service, request, Which::Of(name.to_owned()), format)
}

/// `GET /b/host/{host}`: the posts that lead to one host, with `www.` or without.
pub(in crate::http) fn of_host(service: &Service, part: &str, request: &Request) -> Step {
    let part = query::decode(part);
    let (host, format) = Format::of(&part);
    let host = plain_host(&host.to_ascii_lowercase()).to_owned();
    show(service, request, Which::Host(host), format)
}

/// `GET /b/{list}`: a list by its name.
pub(in crate::http) fn named(service: &Service, part: &str, request: &Request) -> Step {
    let (name, format) = Format::of(part);
    match name {
        "hot" => show(service, request, Which::Hot, format),
        "newest" => show(service, request, Which::Newest, format),
        "top" => elsewhere(format!("/b/top/week{}", format.ending())).into(),
        _ => nothing(service, request),
    }
}

fn show(service: &Service, request: &Request, which: Which, format: Format) -> Step {
    let is_here = is_known(&service.client.view(), &which);
    confirm::page(service, request, is_here, Box::new(Asked::of(request, which, format)))
}

/// Whether there is such a list. A host without posts is none, but to look would be to read the list.
fn is_known(view: &View, which: &Which) -> Result<bool, StoreError> {
    match which {
        Which::Of(name) => Ok(board::user_named(view, name)?.is_some()),
        Which::Hot | Which::Newest | Which::Top(_) | Which::Host(_) => Ok(true),
    }
}

fn nothing(service: &Service, request: &Request) -> Step {
    visit::page(service, request, Box::new(answer::Nothing))
}

fn elsewhere(path: String) -> Response {
    Response::new(303).text_header("Location", path)
}
