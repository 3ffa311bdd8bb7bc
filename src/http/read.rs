//! How fresh a read is, and what it costs.
//!
//! By default a read is answered from this node's own state, which may be a moment behind. What is
//! *not* there is another matter: it may just have been made through another node. So a miss is
//! confirmed with a read index, unless there is no quorum to ask, and then it says so. A client that
//! wants more asks for it: `?consistency=linearizable`, or `?min_index=N` with the index that an
//! earlier answer carried, which is waited for; one that wants less says `?consistency=stale`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::query;
use super::reply::{Problem, Response};
use super::service::{Service, Step};
use super::step::Continue;
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
    pub(super) fn take(count: &Arc<AtomicUsize>, max: usize) -> Option<Self> {
        let place = Self(Arc::clone(count));
        (count.fetch_add(1, Ordering::Relaxed) < max).then_some(place)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A read on its way to an answer.
#[derive(Debug)]
struct Reading {
    read: Read,
    fresh: Freshness,
    /// When it has waited long enough.
    until: Instant,
    /// A read index has been obtained since it came, and applied.
    confirmed: bool,
    /// What it waits for.
    waits: Waits,
    /// Held while it waits.
    place: Option<Waiting>,
}

/// What a read may wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waits {
    /// A read index that it must have.
    Round,
    /// The state, to come to an index.
    Index,
    /// A read index, so that it can say that nothing is there.
    Certainty,
}

impl Continue for Reading {
    fn go_on(self: Box<Self>, service: &Service, completion: Completion) -> Step {
        service.read_again(*self, &completion)
    }
}

impl Service {
    /// Answers a read as fresh as the request wants it.
    pub(super) fn read(&self, read: Read, request: &Request) -> Step {
        let fresh = match Freshness::of(request.query()) {
            Ok(fresh) => fresh,
            Err(problem) => return problem.into(),
        };
        let until = Instant::now() + self.options.request_timeout;
        let (waits, place) = (Waits::Round, None);
        self.advance(Reading { read, fresh, until, confirmed: false, waits, place })
    }

    /// Goes on with a read that waited.
    fn read_again(&self, mut reading: Reading, completion: &Completion) -> Step {
        let Outcome::Failed(failure) = &completion.outcome else {
            reading.confirmed |= reading.waits != Waits::Index;
            return self.advance(reading);
        };
        let failure = failure.of_question();
        let view = self.client.view();
        match reading.waits {
            Waits::Round => {
                let detail = format!("a fresh read is not possible: {failure}");
                Problem::unavailable(detail).with_leader(self.leader_url()).into()
            }
            Waits::Index => Problem::unavailable(format!(
                "the state stands at index {}, and {} has not come: {failure}",
                view.applied(),
                reading.fresh.min_index
            ))
            .into(),
            Waits::Certainty => match self.look(&reading.read, &view) {
                Seen::Found(response) => response.into(),
                Seen::Missing(response) => {
                    let busy = failure.reason == Reason::Busy;
                    unconfirmed(response, if busy { "overload" } else { "no-quorum" }).into()
                }
            },
        }
    }

    /// Answers a read if the state is fresh enough for it, and waits for that if not.
    fn advance(&self, reading: Reading) -> Step {
        let Freshness { level, min_index } = reading.fresh;
        if level == Level::Linearizable && !reading.confirmed {
            return self.wait(reading, Waits::Round);
        }
        let view = self.client.view();
        if view.applied() < min_index {
            return self.wait(reading, Waits::Index);
        }
        match self.look(&reading.read, &view) {
            Seen::Found(response) => response.into(),
            Seen::Missing(response) if reading.confirmed => response.into(),
            Seen::Missing(response) if level == Level::Stale => {
                unconfirmed(response, "stale").into()
            }
            Seen::Missing(_) => self.wait(reading, Waits::Certainty),
        }
    }

    fn wait(&self, mut reading: Reading, waits: Waits) -> Step {
        let place = reading.place.take();
        reading.place = place.or_else(|| Waiting::take(&self.waiting, self.options.misses_max));
        reading.waits = waits;
        if reading.place.is_none() {
            return match (waits, self.look(&reading.read, &self.client.view())) {
                (Waits::Certainty, Seen::Found(response)) => response.into(),
                (Waits::Certainty, Seen::Missing(response)) => {
                    unconfirmed(response, "overload").into()
                }
                _ => Problem::unavailable("too many reads wait for the state").into(),
            };
        }
        let ask = match waits {
            Waits::Round | Waits::Certainty => Ask::ReadIndex,
            Waits::Index => Ask::Applied(reading.fresh.min_index),
        };
        let left = reading.until.saturating_duration_since(Instant::now());
        let timeout = match waits {
            Waits::Certainty => left.min(self.options.miss_timeout),
            Waits::Round | Waits::Index => left,
        };
        Step::ask(ask, timeout, Box::new(reading))
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
