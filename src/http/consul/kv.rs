//! `/v1/kv`: reading, writing and deleting keys.

use crate::http::reply::Problem;
use crate::http::service::{Service, Step};
use crate::http::wire::Request;

/// `GET /v1/kv/{key}`.
pub(in crate::http) fn get(_: &Service, _: &str, _: &Request) -> Step {
    Problem::new(501, "not built yet").into()
}

/// `PUT /v1/kv/{key}`.
pub(in crate::http) fn put(_: &Service, _: &str, _: &Request) -> Step {
    Problem::new(501, "not built yet").into()
}

/// `DELETE /v1/kv/{key}`.
pub(in crate::http) fn delete(_: &Service, _: &str, _: &Request) -> Step {
    Problem::new(501, "not built yet").into()
}
