//! `/v1/snapshot`: the whole state as a file, out and in.
//!
//! Out, it is made while it is sent, from one view, however large it is; in, it is handed on while it
//! arrives, and the answer comes when the cluster has restored it. The paths, the file being packed
//! with gzip and the headers are Consul's; what is in the file is ours.

use std::time::Duration;

use bytes::Bytes;

use super::consul;
use super::query;
use super::reply::{Response, Value};
use super::service::{Service, Step};
use super::step::Continue;
use super::stream::{Piece, Source, Stream};
use super::upload::{Took, Upload};
use super::wire::{Head, Request};
use crate::error::Certainty;
use crate::ids::Ticket;
use crate::node::{
    self, Ask, Backup, Completion, DiskHealth, Fed, Outcome, RestoreError, Restored,
};
use crate::state::Summary;

/// How long the cluster may take to restore a backup that has arrived: it goes to every member, who
/// all build a state of it.
const RESTORE_TIMEOUT: Duration = Duration::from_secs(3600);

/// What is told of a leader that was never heard: the longest time that Consul can tell.
const CONTACT_MS_MAX: u64 = 9_223_372_036_854;

/// `GET /v1/snapshot`: a backup of the newest state, or with `?stale` of this node's.
pub(in crate::http) fn save(service: &Service, _: &str, request: &Request) -> Step {
    if query::flag(request.query(), "stale") {
        return begin(service, service.client.leader_contact_ms()).into();
    }
    Step::ask(Ask::ReadIndex, service.options.request_timeout, Box::new(Fresh))
}

/// The state will be fresh.
#[derive(Debug)]
struct Fresh;

impl Continue for Fresh {
    fn go_on(self: Box<Self>, service: &Service, completion: Completion) -> Step {
        match &completion.outcome {
            Outcome::Failed(failure) => {
                let failure = failure.of_question();
                let why = format!("{failure}; ?stale gives what this node has");
                consul::refusal(503, &why).at(completion.index).into()
            }
            // The leader itself has just confirmed it.
            _ => begin(service, 0).into(),
        }
    }
}

/// The answer with a backup of the state as it is now; the leader was heard so many ms ago.
fn begin(service: &Service, contact_ms: u64) -> Response {
    let view = service.client.view();
    let (applied, meta) = (view.applied(), view.meta().clone());
    let (Ok(backup), Ok(summary)) = (Backup::of(view), Summary::decode(&meta)) else {
        return consul::refusal(503, "this node has nothing to save yet");
    };
    let leader = service.client.status().leader.is_some();
    let response = Response {
        content_type: "application/x-gzip",
        body: super::reply::Body::Stream(Stream::new(Pieces(backup))),
        ..Response::new(200)
    };
    response
        .header("X-Consul-Index", Value::Number(summary.revision.max(1)))
        .with("X-Consul-KnownLeader", if leader { "true" } else { "false" })
        .header("X-Consul-LastContact", Value::Number(contact_ms.min(CONTACT_MS_MAX)))
        .with("Content-Disposition", "attachment; filename=\"bowline.backup\"")
        .with("Cache-Control", "no-store")
        .at(applied)
}

/// A backup as the body of an answer.
struct Pieces(Backup);

impl Source for Pieces {
    fn next(&mut self, _: Ticket) -> Piece {
        match self.0.piece() {
            Ok(Some(bytes)) => Piece::Data(bytes),
            Ok(None) => Piece::End,
            Err(error) => {
                log::error!("a backup cannot be read to its end: {error}");
                Piece::Broken
            }
        }
    }
}

/// `PUT /v1/snapshot`: replaces the whole state by a backup.
pub(in crate::http) fn restore(
    service: &Service,
    _: &str,
    _: &Head,
) -> Result<Box<dyn Upload>, Response> {
    if service.client.status().disk == DiskHealth::Full {
        let why = "the disk of this node is full: no backup can be restored here";
        return Err(consul::refusal(507, why));
    }
    let upload = service.client.restores.begin().ok_or_else(|| refused(&RestoreError::Busy))?;
    Ok(Box::new(Arriving(upload)))
}

/// A backup as the body of a request.
struct Arriving(node::Upload);

impl Upload for Arriving {
    fn write(&mut self, bytes: Bytes, wake: Ticket) -> Took {
        match self.0.feed(bytes, wake) {
            Fed::Taken => Took::More,
            Fed::Full(bytes) => Took::Full(bytes),
            Fed::Failed(error) => Took::Refused(refused(&error)),
        }
    }

    fn finish(self: Box<Self>) -> Step {
        let (ask, restored) = self.0.finish();
        Step::ask(ask, RESTORE_TIMEOUT, Box::new(Arrived(restored)))
    }
}

/// The backup has arrived, and was restored when this goes on, or was not.
#[derive(Debug)]
struct Arrived(Restored);

impl Continue for Arrived {
    fn go_on(self: Box<Self>, _: &Service, completion: Completion) -> Step {
        let response = match (self.0.result(), completion.outcome) {
            // Without a body, as Consul answers.
            (Some(Ok(revision)), _) => {
                Response::new(200).header("X-Consul-Index", Value::Number(revision))
            }
            (Some(Err(error)), _) => refused(&error),
            (None, Outcome::Failed(failure)) => refused(&match failure.certainty {
                Certainty::NotApplied => RestoreError::NotNow(failure.to_string()),
                Certainty::Unknown => RestoreError::Unknown(failure.to_string()),
            }),
            (None, other) => unreachable!("who answers {other:?} has left a result"),
        };
        response.at(completion.index).into()
    }
}

fn refused(error: &RestoreError) -> Response {
    let status = match error {
        RestoreError::Invalid(_) => 400,
        RestoreError::Busy => 429,
        RestoreError::NoRoom(_) => 507,
        RestoreError::NotNow(_) => 503,
        RestoreError::Unknown(_) => 504,
    };
    consul::refusal(status, &error.to_string())
}
