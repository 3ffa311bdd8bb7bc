//! `/openapi.json`: what the node serves, for programs.
//!
//! The document is a file that people edit; `tests/openapi.rs` holds it against the table of routes.

use crate::http::reply::{Body, JSON, Response};
use crate::http::service::{Service, Step};
use crate::http::wire::Request;

/// The document, as it stands in the repository.
const DOCUMENT: &str = include_str!("../../docs/openapi.json");

/// `GET /openapi.json`.
pub(in crate::http) fn document(_: &Service, _: &str, _: &Request) -> Step {
    let response = Response { content_type: JSON, ..Response::new(200) };
    Response { body: Body::Static(DOCUMENT), ..response }.into()
}
