//! `/v1/txn`: several operations at once, all or none.

use crate::http::reply::Problem;
use crate::http::service::{Service, Step};
use crate::http::wire::Request;

/// `PUT /v1/txn`.
pub(in crate::http) fn run(_: &Service, _: &str, _: &Request) -> Step {
    Problem::new(501, "not built yet").into()
}
