//! `/openapi.json`: what the node serves, for programs.

use crate::http::reply::Problem;
use crate::http::service::{Service, Step};
use crate::http::wire::Request;

/// `GET /openapi.json`.
pub(in crate::http) fn document(_: &Service, _: &str, _: &Request) -> Step {
    Problem::new(501, "not built yet").into()
}
