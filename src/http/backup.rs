//! `/v1/snapshot`: the whole state as a file, out and in.

use crate::http::reply::{Problem, Response};
use crate::http::service::{Service, Step};
use crate::http::upload::Upload;
use crate::http::wire::{Head, Request};

/// `GET /v1/snapshot`.
pub(in crate::http) fn save(_: &Service, _: &str, _: &Request) -> Step {
    Problem::new(501, "not built yet").into()
}

/// `PUT /v1/snapshot`.
pub(in crate::http) fn restore(
    _: &Service,
    _: &str,
    _: &Head,
) -> Result<Box<dyn Upload>, Response> {
    Err(Problem::new(501, "not built yet").into())
}
