//! Accounts: signing up, logging in and out, passwords.

mod fields;

use super::super::reply::Problem;
use super::super::service::{Service, Step};
use super::super::wire::Request;

/// Not there yet.
pub(in crate::http) fn signup_form(_: &Service, _: &str, _: &Request) -> Step {
    Problem::new(501, "not there yet").into()
}

/// Not there yet.
pub(in crate::http) fn signup(_: &Service, _: &str, _: &Request) -> Step {
    Problem::new(501, "not there yet").into()
}

/// Not there yet.
pub(in crate::http) fn login_form(_: &Service, _: &str, _: &Request) -> Step {
    Problem::new(501, "not there yet").into()
}

/// Not there yet.
pub(in crate::http) fn login(_: &Service, _: &str, _: &Request) -> Step {
    Problem::new(501, "not there yet").into()
}

/// Not there yet.
pub(in crate::http) fn logout(_: &Service, _: &str, _: &Request) -> Step {
    Problem::new(501, "not there yet").into()
}

/// Not there yet.
pub(in crate::http) fn logout_everywhere(_: &Service, _: &str, _: &Request) -> Step {
    Problem::new(501, "not there yet").into()
}

/// Not there yet.
pub(in crate::http) fn settings(_: &Service, _: &str, _: &Request) -> Step {
    Problem::new(501, "not there yet").into()
}

/// Not there yet.
pub(in crate::http) fn password(_: &Service, _: &str, _: &Request) -> Step {
    Problem::new(501, "not there yet").into()
}
