//! What pages need besides themselves.

use super::super::reply::Problem;
use super::super::service::{Service, Step};
use super::super::wire::Request;

/// Not there yet.
pub(in crate::http) fn style(_: &Service, _: &str, _: &Request) -> Step {
    Problem::new(501, "not there yet").into()
}

/// Not there yet.
pub(in crate::http) fn icon(_: &Service, _: &str, _: &Request) -> Step {
    Problem::new(501, "not there yet").into()
}
