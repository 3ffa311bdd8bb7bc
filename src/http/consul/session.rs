//! `/v1/session`: who holds locks, and for how long.

use crate::http::reply::Problem;
use crate::http::service::{Service, Step};
use crate::http::wire::Request;

/// `PUT /v1/session/create`.
pub(in crate::http) fn create(_: &Service, _: &str, _: &Request) -> Step {
    Problem::new(501, "not built yet").into()
}

/// `PUT /v1/session/destroy/{id}`.
pub(in crate::http) fn destroy(_: &Service, _: &str, _: &Request) -> Step {
    Problem::new(501, "not built yet").into()
}

/// `PUT /v1/session/renew/{id}`.
pub(in crate::http) fn renew(_: &Service, _: &str, _: &Request) -> Step {
    Problem::new(501, "not built yet").into()
}

/// `GET /v1/session/info/{id}`.
pub(in crate::http) fn info(_: &Service, _: &str, _: &Request) -> Step {
    Problem::new(501, "not built yet").into()
}

/// `GET /v1/session/list`.
pub(in crate::http) fn list(_: &Service, _: &str, _: &Request) -> Step {
    Problem::new(501, "not built yet").into()
}

/// `GET /v1/session/node/{node}`.
pub(in crate::http) fn of_node(_: &Service, _: &str, _: &Request) -> Step {
    Problem::new(501, "not built yet").into()
}
