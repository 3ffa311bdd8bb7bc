//! `/api/kv`: the key-value store for curl: raw bodies, ETags, listings of any size.

use crate::http::reply::Problem;
use crate::http::service::{Service, Step};
use crate::http::wire::Request;

/// `GET /api/kv`.
pub(in crate::http) fn list(_: &Service, _: &str, _: &Request) -> Step {
    Problem::new(501, "not built yet").into()
}

/// `GET /api/kv/{key}`.
pub(in crate::http) fn get(_: &Service, _: &str, _: &Request) -> Step {
    Problem::new(501, "not built yet").into()
}

/// `PUT /api/kv/{key}`.
pub(in crate::http) fn put(_: &Service, _: &str, _: &Request) -> Step {
    Problem::new(501, "not built yet").into()
}

/// `DELETE /api/kv/{key}`.
pub(in crate::http) fn delete(_: &Service, _: &str, _: &Request) -> Step {
    Problem::new(501, "not built yet").into()
}
