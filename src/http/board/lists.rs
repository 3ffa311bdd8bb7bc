//! Lists of posts.

use super::super::reply::Problem;
use super::super::service::{Service, Step};
use super::super::wire::Request;

/// Not there yet.
pub(in crate::http) fn front(_: &Service, _: &str, _: &Request) -> Step {
    Problem::new(501, "not there yet").into()
}

/// Not there yet.
pub(in crate::http) fn about(_: &Service, _: &str, _: &Request) -> Step {
    Problem::new(501, "not there yet").into()
}

/// Not there yet.
pub(in crate::http) fn top(_: &Service, _: &str, _: &Request) -> Step {
    Problem::new(501, "not there yet").into()
}

/// Not there yet.
pub(in crate::http) fn of_user(_: &Service, _: &str, _: &Request) -> Step {
    Problem::new(501, "not there yet").into()
}

/// Not there yet.
pub(in crate::http) fn of_host(_: &Service, _: &str, _: &Request) -> Step {
    Problem::new(501, "not there yet").into()
}

/// Not there yet.
pub(in crate::http) fn named(_: &Service, _: &str, _: &Request) -> Step {
    Problem::new(501, "not there yet").into()
}
