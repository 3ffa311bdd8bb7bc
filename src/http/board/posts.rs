//! Posts: one of them, making and changing them.

use super::super::reply::Problem;
use super::super::service::{Service, Step};
use super::super::wire::Request;

/// Not there yet.
pub(in crate::http) fn show(_: &Service, _: &str, _: &Request) -> Step {
    Problem::new(501, "not there yet").into()
}

/// Not there yet.
pub(in crate::http) fn form(_: &Service, _: &str, _: &Request) -> Step {
    Problem::new(501, "not there yet").into()
}

/// Not there yet.
pub(in crate::http) fn submit(_: &Service, _: &str, _: &Request) -> Step {
    Problem::new(501, "not there yet").into()
}

/// Not there yet.
pub(in crate::http) fn edit_form(_: &Service, _: &str, _: &Request) -> Step {
    Problem::new(501, "not there yet").into()
}

/// Not there yet.
pub(in crate::http) fn edit(_: &Service, _: &str, _: &Request) -> Step {
    Problem::new(501, "not there yet").into()
}

/// Not there yet.
pub(in crate::http) fn delete_form(_: &Service, _: &str, _: &Request) -> Step {
    Problem::new(501, "not there yet").into()
}

/// Not there yet.
pub(in crate::http) fn delete(_: &Service, _: &str, _: &Request) -> Step {
    Problem::new(501, "not there yet").into()
}

/// Not there yet.
pub(in crate::http) fn like(_: &Service, _: &str, _: &Request) -> Step {
    Problem::new(501, "not there yet").into()
}
