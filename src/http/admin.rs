//! Looking at a node: whether it lives, whether it is ready, how it stands.

use serde::Serialize;

use super::query;
use super::read::Read;
use super::reply::{Problem, Response};
use super::service::{self, Service, Step};
use super::wire::Request;
use crate::ids::ClusterId;
use crate::node::{DiskHealth, Phase, ScrubReport, Status, View};
use crate::state::Summary;

/// `GET /livez`: whether this process answers at all.
pub(super) fn live(_: &Service, _: &str, _: &Request) -> Step {
    Response::text(200, "ok\n").into()
}

/// `GET /robots.txt`: nothing here is for crawlers.
pub(super) fn robots(_: &Service, _: &str, _: &Request) -> Step {
    Response::text(200, "User-agent: *\nDisallow: /\n").into()
}

/// `GET /readyz`: whether this node should get traffic: it knows a leader, its state is as fresh as
/// the cluster was when it came up, and its disk answers. From memory alone, so that a disk which hangs
/// does not keep the answer back.
pub(super) fn ready(service: &Service, _: &str, request: &Request) -> Step {
    let status = service.client.status();
    let checks = checks(&status);
    let ready = checks.iter().all(|check| check.verdict != Verdict::Failed);
    let code = if ready { 200 } else { 503 };
    let mut page = String::new();
    for check in &checks {
        if query::flag(request.query(), "verbose") || check.verdict == Verdict::Failed {
            let mark = match check.verdict {
                Verdict::Passed => '+',
                Verdict::Warning => '!',
                Verdict::Failed => '-',
            };
            page.push_str(&format!("[{mark}] {}: {}\n", check.name, check.finding));
        }
    }
    page.push_str(if ready { "ready\n" } else { "not ready\n" });
    let response = Response::text(code, page).with("Cache-Control", "no-store");
    if ready { response.into() } else { response.with("Retry-After", "1").into() }
}

struct Check {
    name: &'static str,
    verdict: Verdict,
    finding: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Passed,
    /// The node does what it is asked, but somebody should look after it.
    Warning,
    Failed,
}

impl Check {
    fn new(name: &'static str, passed: bool, finding: impl Into<String>) -> Self {
        let verdict = if passed { Verdict::Passed } else { Verdict::Failed };
        Self { name, verdict, finding: finding.into() }
    }

    fn warning(name: &'static str, finding: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Warning, finding: finding.into() }
    }
}

fn checks(status: &Status) -> [Check; 5] {
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
    [
        Check::new("cluster", member, phase),
        Check::new("leader", status.leader.is_some(), leader),
        check_state(status),
        match status.disk {
            DiskHealth::Ok => Check::new("disk", true, "writes come to their end"),
            DiskHealth::Full => Check::warning("disk", "is full: writes are refused, reads go on"),
            DiskHealth::Stalled => Check::new("disk", false, "a write to the log hangs"),
        },
        match &status.recovering {
            None => Check::new("log", true, "holds all that was acknowledged"),
            Some(why) => Check::warning("log", format!("recovers and does not vote: {why}")),
        },
    ]
}

fn check_state(status: &Status) -> Check {
    if let Some(why) = service::state_lost(status) {
        return Check::new("state", false, why);
    }
    let caught_up = match (status.caught_up, status.serving_stale) {
        (true, _) => "has applied what the cluster had when this node started",
        (false, true) => "serves what it has, marked stale: no leader was found",
        (false, false) => "has not caught up since this node started",
    };
    Check::new("state", status.caught_up, caught_up)
}

/// `GET /api/scrub`: how the scrub of this node stands.
pub(super) fn scrub(service: &Service, _: &str, request: &Request) -> Step {
    scrub_report(200, &service.client.scrub.report(), request).into()
}

/// `POST /api/scrub`: asks this node to read all of its state and to compare it with its digest.
pub(super) fn ask_scrub(service: &Service, _: &str, request: &Request) -> Step {
    scrub_report(202, &service.client.scrub.ask(), request).into()
}

fn scrub_report(status: u16, report: &ScrubReport, request: &Request) -> Response {
    let pretty = query::flag(request.query(), "pretty");
    Response::json(status, report, pretty).with("Cache-Control", "no-store")
}

/// `GET /api/status`: the node's and the state's account of themselves.
pub(super) fn status(service: &Service, _: &str, request: &Request) -> Step {
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
    cluster_version: u32,
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
        cluster_version: summary.cluster_version,
    };
    let node = service.client.status();
    let account = Account { version: env!("CARGO_PKG_VERSION"), node: &node, state };
    Response::json(200, &account, pretty).with("Cache-Control", "no-store").at(view.applied())
}
