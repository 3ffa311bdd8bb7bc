//! Looking at a node: whether it lives, whether it is ready, how it stands.

use serde::Serialize;

use super::query;
use super::read::Read;
use super::reply::{Problem, Response};
use super::route::{Service, Step};
use super::wire::Request;
use crate::ids::ClusterId;
use crate::node::{Phase, Status, View};
use crate::state::Summary;

/// `GET /readyz`: whether this node should get traffic: it knows a leader, and its state is as fresh
/// as the cluster was when it came up.
pub(super) fn ready(service: &Service, request: &Request) -> Response {
    let status = service.client.status();
    let checks = checks(&status);
    let ready = checks.iter().all(|check| check.passed);
    let code = if ready { 200 } else { 503 };
    let mut page = String::new();
    for check in &checks {
        if query::flag(request.query(), "verbose") || !check.passed {
            let mark = if check.passed { "+" } else { "-" };
            page.push_str(&format!("[{mark}] {}: {}\n", check.name, check.finding));
        }
    }
    page.push_str(if ready { "ready\n" } else { "not ready\n" });
    let response = Response::text(code, page).with("Cache-Control", "no-store");
    if ready { response } else { response.with("Retry-After", "1") }
}

struct Check {
    name: &'static str,
    passed: bool,
    finding: String,
}

fn checks(status: &Status) -> [Check; 3] {
    let member = !matches!(status.phase, Phase::Joining | Phase::Removed | Phase::Stopping);
    let phase = match status.phase {
        Phase::Joining => "waits to join".to_owned(),
        Phase::Removed => "was removed".to_owned(),
        Phase::Stopping => "is stopping".to_owned(),
        Phase::Learner | Phase::Follower | Phase::Candidate | Phase::Leader => {
            format!("member {}", status.id)
        }
    };
    let leader = match status.leader {
        Some(id) => format!("member {id} leads in term {}", status.term),
        None => format!("no leader known in term {}", status.term),
    };
    let caught_up = match (status.caught_up, status.serving_stale) {
        (true, _) => "has applied what the cluster had when this node started",
        (false, true) => "serves what it has, marked stale: no leader was found",
        (false, false) => "has not caught up since this node started",
    };
    [
        Check { name: "cluster", passed: member, finding: phase },
        Check { name: "leader", passed: status.leader.is_some(), finding: leader },
        Check { name: "state", passed: status.caught_up, finding: caught_up.to_owned() },
    ]
}

/// `GET /api/status`: the node's and the state's account of themselves.
pub(super) fn status(service: &Service, request: &Request) -> Step {
    let pretty = query::flag(request.query(), "pretty");
    service.read(Read::Status { pretty }, request)
}

#[derive(Serialize)]
struct Account<'a> {
    version: &'static str,
    node: &'a Status,
    state: StateAccount,
}

#[derive(Serialize)]
struct StateAccount {
    applied: u64,
    term: u64,
    clock_ms: u64,
    revision: u64,
    links: u64,
    digest: String,
}

/// The account as of a view.
pub(super) fn account(service: &Service, view: &View, pretty: bool) -> Response {
    // Nothing is published before the first entry: a node that waits to join has no state.
    let summary = match view.meta() {
        meta if meta.is_empty() => Summary::new(ClusterId::default()),
        meta => match Summary::decode(meta) {
            Ok(summary) => summary,
            Err(error) => return Problem::new(500, error.to_string()).into(),
        },
    };
    let state = StateAccount {
        applied: view.applied(),
        term: summary.term,
        clock_ms: summary.clock_ms,
        revision: summary.revision,
        links: summary.links,
        digest: summary.digest().to_string(),
    };
    let node = service.client.status();
    let account = Account { version: env!("CARGO_PKG_VERSION"), node: &node, state };
    Response::json(200, &account, pretty).with("Cache-Control", "no-store").at(view.applied())
}
