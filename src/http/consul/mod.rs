//! The paths under `/v1`, in the shapes of Consul's HTTP API, so that its clients and dashboards can be
//! pointed here.
//!
//! Reads have one way ([`reading`]), and so have writes ([`writing`]); around them are the paths, and
//! beneath them what Go's and Consul's manners ask for. What differs from Consul, and why, is in
//! `docs/http-api.md`.

pub(super) mod agent;
pub(super) mod cluster;
mod duration;
mod fields;
mod json;
pub(super) mod kv;
mod listing;
mod options;
mod reading;
pub(super) mod session;
mod session_body;
mod shapes;
pub(super) mod txn;
mod txn_body;
mod txn_read;
mod writing;

use serde::Serialize;

use super::query;
use super::reply::{Response, retry_after};
use super::service::Step;
use super::wire::Request;
use crate::error::{Certainty, Failure, Reason};
use crate::node::StoreError;
use crate::node::{Completion, Outcome};

/// The answer to a transfer or a removal.
pub(in crate::http) fn done(body: &'static str, completion: &Completion) -> Step {
    let response = match &completion.outcome {
        Outcome::Failed(failure) => failed(failure),
        Outcome::Done
        | Outcome::Readable
        | Outcome::Written(_)
        | Outcome::Password(_)
        | Outcome::Changed => {
            let response = Response::text(200, body);
            Response { content_type: super::reply::JSON, ..response }
        }
    };
    response.at(completion.index).into()
}

/// The answer to what failed on this node.
fn failed(failure: &Failure) -> Response {
    let text = match failure.reason {
        Reason::NoLeader => format!("No cluster leader: {failure}"),
        _ => failure.to_string(),
    };
    match (failure.certainty, &failure.reason) {
        (Certainty::Unknown, _) => refusal(504, &text),
        (Certainty::NotApplied, Reason::Refused(_)) => refusal(500, &text),
        (Certainty::NotApplied, Reason::DiskFull) => refusal(507, &text),
        (Certainty::NotApplied, _) => refusal(503, &text),
    }
}

/// The answer when this node's state cannot be read.
fn unreadable(error: &StoreError) -> Response {
    log::error!("cannot read the state for a client: {error}");
    refusal(500, "this node cannot read its disk")
}

/// A refusal as Consul's clients expect it, in plain text.
pub(in crate::http) fn refusal(status: u16, text: &str) -> Response {
    let response = Response::text(status, format!("{text}\n"));
    match retry_after(status) {
        Some(seconds) => response.with("Retry-After", seconds),
        None => response,
    }
}

/// `true` or `false`.
fn boolean(answer: bool) -> Response {
    json::response(200, &answer, false)
}

fn json(value: &impl Serialize, request: &Request) -> Response {
    json::response(200, value, query::flag(request.query(), "pretty"))
        .with("X-Consul-Default-ACL-Policy", "allow")
}
