//! What operators do to the board.

use super::super::reply::Problem;
use super::super::service::{Service, Step};
use super::super::wire::Request;

/// Not there yet.
pub(in crate::http) fn moderator(_: &Service, _: &str, _: &Request) -> Step {
    Problem::new(501, "not there yet").into()
}
