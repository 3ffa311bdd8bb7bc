//! How fresh a read is, and what it costs.
//!
//! By default a read is answered from this node's own state, which may be a moment behind. What is
//! *not* there is another matter: it may just have been made through another node. So a miss is
//! confirmed with a read index, unless there is no quorum to ask, and then it says so. A client that
//! wants more asks for it: `?consistency=linearizable`, or `?min_index=N` with the index that an
//! earlier answer carried; one that wants less says `?consistency=stale`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::query;
use super::reply::{Problem, Response};
use super::service::{Service, Step, Then};
use super::wire::Request;
use super::{admin, links};
use crate::error::Reason;
use crate::node::{Ask, Completion, Outcome, View};

/// What is read.
#[derive(Debug)]
pub(super) enum Read {
    /// The link under a key.
    Link(String),
    /// The account of the node and its state.
    Status {
        /// Indented for people.
        pretty: bool,
    },
}

/// What a view says to a read.
pub(super) enum Seen {
    /// An answer.
    Found(Response),
    /// Nothing is there; this is the answer, if that is true.
    Missing(Response),
}

/// How fresh the state must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Freshness {
    level: Level,
    min_index: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Confirmed,
    Linearizable,
    Stale,
}

impl Freshness {
    fn of(query: &str) -> Result<Self, Problem> {
        if query.is_empty() {
            return Ok(Self { level: Level::Confirmed, min_index: 0 });
        }
        let level = match query::value(query, "consistency").as_deref() {
            None => Level::Confirmed,
            Some("linearizable") => Level::Linearizable,
            Some("stale") => Level::Stale,
            Some(_) => {
                return Err(Problem::new(400, "consistency is either linearizable or stale"));
            }
        };
        let min_index = match query::value(query, "min_index") {
            None => 0,
            Some(number) => number
                .parse()
                .map_err(|_| Problem::new(400, "min_index is an index: a decimal number"))?,
        };
        Ok(Self { level, min_index })
    }
}

/// A place among the reads that wait for a read index, given back when dropped.
#[derive(Debug)]
pub(super) struct Waiting(Arc<AtomicUsize>);

impl Waiting {
    fn take(count: &Arc<AtomicUsize>, max: usize) -> Option<Self> {
        let place = Self(Arc::clone(count));
        (count.fetch_add(1, Ordering::Relaxed) < max).then_some(place)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Service {
    /// Answers a read as fresh as the request wants it.
    pub(super) fn read(&self, read: Read, request: &Request) -> Step {
        let Freshness { level, min_index } = match Freshness::of(request.query()) {
            Ok(freshness) => freshness,
            Err(problem) => return problem.into(),
        };
        let view = self.client.view();
        if level == Level::Linearizable || view.applied() < min_index {
            let Some(place) = Waiting::take(&self.waiting, self.options.misses_max) else {
                return Problem::unavailable("too many reads wait to be confirmed").into();
            };
            let then = Then::Read { read, min_index, lenient: false, _place: place };
            return Step::park(Ask::ReadIndex, self.options.request_timeout, then);
        }
        let missing = match self.look(&read, &view) {
            Seen::Found(response) => return response.into(),
            Seen::Missing(response) => response,
        };
        if level == Level::Stale {
            return unconfirmed(missing, "stale").into();
        }
        match Waiting::take(&self.waiting, self.options.misses_max) {
            None => unconfirmed(missing, "overload").into(),
            Some(place) => {
                let then = Then::Read { read, min_index, lenient: true, _place: place };
                Step::park(Ask::ReadIndex, self.options.miss_timeout, then)
            }
        }
    }

    /// Answers a read that waited for the state to become fresh.
    pub(super) fn read_again(
        &self,
        read: &Read,
        min_index: u64,
        lenient: bool,
        completion: &Completion,
    ) -> Response {
        let view = self.client.view();
        let failure = match &completion.outcome {
            Outcome::Failed(failure) => Some(failure),
            Outcome::Readable | Outcome::Written(_) | Outcome::Done | Outcome::Changed => None,
        };
        match failure {
            Some(failure) if !lenient => {
                let detail = format!("a fresh read is not possible: {failure}");
                Problem::unavailable(detail).with_leader(self.leader_url()).into()
            }
            None if view.applied() < min_index => Problem::unavailable(format!(
                "the state stands at index {}, and {min_index} is not committed yet",
                view.applied()
            ))
            .into(),
            failure => match (self.look(read, &view), failure) {
                (Seen::Found(response) | Seen::Missing(response), None)
                | (Seen::Found(response), Some(_)) => response,
                (Seen::Missing(response), Some(failure)) => {
                    let busy = failure.reason == Reason::Busy;
                    unconfirmed(response, if busy { "overload" } else { "no-quorum" })
                }
            },
        }
    }

    fn look(&self, read: &Read, view: &View) -> Seen {
        match read {
            Read::Link(key) => links::look(self, key, view),
            Read::Status { pretty } => Seen::Found(admin::account(self, view, *pretty)),
        }
    }

    /// Base URL of the leader's HTTP surface, when known.
    pub(super) fn leader_url(&self) -> Option<String> {
        let status = self.client.status();
        let http = &status.leader_member()?.http;
        (!http.is_empty()).then(|| http.trim_end_matches('/').to_owned())
    }
}

/// Says that nobody else was asked about a miss, and why.
fn unconfirmed(response: Response, why: &'static str) -> Response {
    response.with("X-Bowline-Unconfirmed", why)
}
