//! The paths under `/v1`, in the shapes of Consul's HTTP API, so that its clients and dashboards can be
//! pointed here.
//!
//! Differences: without a leader the answer is 503 and `Retry-After`, not 500; and
//! `X-Consul-LastContact` is only sent by the leader, because nobody else knows it exactly.

pub(super) mod agent;
pub(super) mod cluster;
pub(super) mod kv;
pub(super) mod session;
pub(super) mod txn;

use serde::Serialize;

use super::query;
use super::reply::{JSON, Response, retry_after};
use super::service::Step;
use super::wire::Request;
use crate::error::{Certainty, Reason};
use crate::node::{Completion, Outcome};

/// The answer to a transfer or a removal.
pub(in crate::http) fn done(body: &'static str, completion: &Completion) -> Step {
    let response = match &completion.outcome {
        Outcome::Failed(failure) => {
            let text = failure.to_string();
            match (failure.certainty, &failure.reason) {
                (Certainty::Unknown, _) => refusal(504, &text),
                (Certainty::NotApplied, Reason::Refused(_)) => refusal(500, &text),
                (Certainty::NotApplied, Reason::DiskFull) => refusal(507, &text),
                (Certainty::NotApplied, _) => refusal(503, &text),
            }
        }
        Outcome::Done
        | Outcome::Readable
        | Outcome::Written(_)
        | Outcome::Changed
        | Outcome::Restored(_) => {
            let response = Response::text(200, body);
            Response { content_type: JSON, ..response }
        }
    };
    response.at(completion.index).into()
}

/// A refusal as Consul's clients expect it, in plain text.
pub(in crate::http) fn refusal(status: u16, text: &str) -> Response {
    let response = Response::text(status, format!("{text}\n"));
    match retry_after(status) {
        Some(seconds) => response.with("Retry-After", seconds),
        None => response,
    }
}

fn json(value: &impl Serialize, request: &Request) -> Response {
    Response::json(200, value, query::flag(request.query(), "pretty"))
        .with("X-Consul-Default-ACL-Policy", "allow")
}
