//! What Consul's clients ask the agent beside them: here, this node.

use crate::http::reply::Problem;
use crate::http::service::{Service, Step};
use crate::http::wire::Request;

/// `GET /v1/agent/self`.
pub(in crate::http) fn own(_: &Service, _: &str, _: &Request) -> Step {
    Problem::new(501, "not built yet").into()
}

/// `PUT /v1/agent/join/{address}`.
pub(in crate::http) fn join(_: &Service, _: &str, _: &Request) -> Step {
    Problem::new(501, "not built yet").into()
}

/// `PUT /v1/agent/force-leave/{node}`.
pub(in crate::http) fn force_leave(_: &Service, _: &str, _: &Request) -> Step {
    Problem::new(501, "not built yet").into()
}

/// `GET /v1/operator/autopilot/health`.
pub(in crate::http) fn health(_: &Service, _: &str, _: &Request) -> Step {
    Problem::new(501, "not built yet").into()
}

/// `GET /v1/operator/autopilot/configuration`.
pub(in crate::http) fn autopilot(_: &Service, _: &str, _: &Request) -> Step {
    Problem::new(501, "not built yet").into()
}
