//! What moderators do, and the log of it.

mod deed;
mod tools;

pub(in crate::http::board) use tools::{post_tools, user_tools};

use super::super::reply::Problem;
use super::super::service::{Service, Step};
use super::super::wire::Request;

/// Not there yet.
pub(in crate::http) fn log(_: &Service, _: &str, _: &Request) -> Step {
    Problem::new(501, "not there yet").into()
}

/// Not there yet.
pub(in crate::http) fn log_rss(_: &Service, _: &str, _: &Request) -> Step {
    Problem::new(501, "not there yet").into()
}

/// Not there yet.
pub(in crate::http) fn log_json(_: &Service, _: &str, _: &Request) -> Step {
    Problem::new(501, "not there yet").into()
}

/// Not there yet.
pub(in crate::http) fn hide(_: &Service, _: &str, _: &Request) -> Step {
    Problem::new(501, "not there yet").into()
}

/// Not there yet.
pub(in crate::http) fn disable(_: &Service, _: &str, _: &Request) -> Step {
    Problem::new(501, "not there yet").into()
}

/// Not there yet.
pub(in crate::http) fn appoint(_: &Service, _: &str, _: &Request) -> Step {
    Problem::new(501, "not there yet").into()
}
