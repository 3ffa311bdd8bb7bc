//! One way for all reads: how fresh they are, and how they wait for news.
//!
//! A read is first confirmed with a read index, unless it may be stale, and then looks at this node's
//! own state. One that waits for news (`index`) and finds none is parked with a watch on the rows
//! that it is about; it holds no thread, nobody polls, and only a change of those rows or its deadline
//! wakes it. It then looks again without another read index: what it tells is newer than the state
//! that was confirmed, and so as fresh as the cluster was when it was asked.

use std::fmt;
use std::time::{Duration, Instant};

use super::options::{Consistency, ReadOptions};
use super::{failed, refusal, unreadable};
use crate::http::reply::{Response, Value};
use crate::http::service::{self, Service, Step, Woken};
use crate::http::step::{Continue, Waiter};
use crate::http::work::{Task, Worked};
use crate::ids;
use crate::node::StoreError;
use crate::node::{Ask, Completion, Outcome, View};
use crate::state::Standing;
use crate::state::kv::Counters;
use crate::watch::{Topic, Watch};

/// What `X-Consul-LastContact` says of a leader that was never heard of: Go's longest duration.
pub(super) const NEVER_MS: u64 = 9_223_372_036_854;

/// Something that is read.
pub(super) trait Query: Send {
    /// The rows that it depends on.
    fn topics(&self) -> Vec<Topic>;

    /// Looks at a state for about a millisecond; called again with the same one after
    /// [`Look::Again`], and with any after [`Look::Nothing`].
    ///
    /// # Errors
    /// When the state cannot be read.
    fn look(&mut self, view: &View, kv: &Counters, since: Option<u64>) -> Result<Look, StoreError>;
}

/// What a look came to.
pub(super) enum Look {
    /// There is more to look at.
    Again,
    /// Nothing is newer than `since`.
    Nothing,
    /// The answer, and its index.
    Answer(u64, Response),
}

/// A read under way.
struct Reader {
    query: Box<dyn Query>,
    options: ReadOptions,
    /// When it ends without news.
    until: Instant,
    /// No longer waits for news.
    late: bool,
    watch: Option<Watch>,
    /// What it looks at, while it does.
    seen: Option<(View, Counters)>,
}

/// Reads as the parameters want it.
pub(super) fn read(service: &Service, options: ReadOptions, query: impl Query + 'static) -> Step {
    let reader = Box::new(Reader {
        query: Box::new(query),
        options,
        until: Instant::now() + options.wait + jitter(options.wait),
        late: false,
        watch: None,
        seen: None,
    });
    ask(service, options.consistency, reader)
}

/// Goes on at once when what is there is fresh enough, and otherwise as soon as it is.
pub(super) fn ask(
    service: &Service,
    consistency: Consistency,
    then: Box<impl Fresh + 'static>,
) -> Step {
    match consistency {
        Consistency::Stale(most) if service.client.leader_contact_ms() <= most => {
            let status = service.client.status();
            if status.caught_up || status.serving_stale {
                then.fresh(service)
            } else {
                refusal(503, "this node has not caught up with its cluster yet").into()
            }
        }
        Consistency::Stale(_) | Consistency::Leader | Consistency::Consistent => {
            Step::ask(Ask::ReadIndex, service.options.request_timeout, Box::new(Confirmed(then)))
        }
    }
}

/// Goes on with a state that is fresh enough.
pub(super) trait Fresh: Send {
    fn fresh(self: Box<Self>, service: &Service) -> Step;
}

/// Goes on once a read index is there.
struct Confirmed<F>(Box<F>);

impl<F> fmt::Debug for Confirmed<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a read that waits for a read index")
    }
}

impl<F: Fresh> Continue for Confirmed<F> {
    fn go_on(self: Box<Self>, service: &Service, completion: Completion) -> Step {
        match &completion.outcome {
            Outcome::Failed(failure) => failed(&failure.of_question()).at(completion.index).into(),
            Outcome::Readable
            | Outcome::Done
            | Outcome::Written(_)
            | Outcome::Password(_)
            | Outcome::Changed => self.0.fresh(service),
        }
    }
}

impl Fresh for Reader {
    fn fresh(self: Box<Self>, service: &Service) -> Step {
        self.look(service)
    }
}

impl Waiter for Reader {
    fn woken(mut self: Box<Self>, service: &Service, watch: Watch, woken: Woken) -> Step {
        match woken {
            Woken::Changed => {
                watch.reset();
                self.watch = Some(watch);
            }
            Woken::TimedOut => self.late = true,
        }
        self.look(service)
    }
}

impl Task for Reader {
    fn step(self: Box<Self>, service: &Service) -> Worked {
        match self.look(service) {
            Step::Work(work) => Worked::Again(work.task),
            step => Worked::Done(step),
        }
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a read, {:?}", self.options)
    }
}

impl Reader {
    fn look(mut self: Box<Self>, service: &Service) -> Step {
        let since = (self.options.index > 0 && !self.late).then_some(self.options.index);
        let (view, kv) = match self.seen.take() {
            Some(seen) => seen,
            None => match self.open(service, since.is_some()) {
                Ok(seen) => seen,
                Err(refusal) => return refusal.into(),
            },
        };
        match self.query.look(&view, &kv, since) {
            Ok(Look::Again) => {
                self.seen = Some((view, kv));
                Step::work(self)
            }
            Ok(Look::Nothing) => {
                let watch = self.watch.take().expect("who may find nothing has registered before");
                Step::wait(watch, self.until, self)
            }
            Ok(Look::Answer(index, response)) => {
                let response = response.at(view.applied());
                let Self { options, .. } = *self;
                marked(service, options.consistency, response)
                    .header("X-Consul-Index", Value::Number(index))
                    .with("X-Consul-Effective-Consistency", options.consistency.name())
                    .into()
            }
            Err(error) => unreadable(&error).into(),
        }
    }

    /// Takes what is to be looked at, after it has begun to notice changes.
    fn open(&mut self, service: &Service, waits: bool) -> Result<(View, Counters), Response> {
        if waits && self.watch.is_none() {
            let watch = service.client.watches.watch(self.query.topics());
            self.watch = Some(watch.map_err(|full| refusal(429, &full.to_string()))?);
        }
        state(service)
    }
}

/// The newest state, if there is one that can be shown.
pub(super) fn state(service: &Service) -> Result<(View, Counters), Response> {
    if let Some(why) = service::state_lost(&service.client.status()) {
        return Err(refusal(503, &why));
    }
    let view = service.client.view();
    // Nothing is published before the first entry.
    if view.meta().is_empty() {
        return Ok((view, Counters::default()));
    }
    match Standing::decode(view.meta()) {
        Ok(standing) => Ok((view, standing.kv)),
        Err(error) => Err(refusal(500, &error.to_string())),
    }
}

/// Says from whom an answer is: who leads, and when this node heard of it.
pub(super) fn marked(service: &Service, consistency: Consistency, response: Response) -> Response {
    let status = service.client.status();
    let known = if status.leader.is_some() { "true" } else { "false" };
    let contact = match consistency {
        // Confirmed by the leader itself.
        Consistency::Leader | Consistency::Consistent if status.leader.is_some() => 0,
        _ => service.client.leader_contact_ms().min(NEVER_MS),
    };
    response
        .with("X-Consul-KnownLeader", known)
        .header("X-Consul-LastContact", Value::Number(contact))
        .with("X-Consul-Default-ACL-Policy", "allow")
}

/// Up to a sixteenth more, so that clients who began to wait together do not all come back together.
fn jitter(wait: Duration) -> Duration {
    let part = f64::from(u32::from_le_bytes(ids::random())) / f64::from(u32::MAX);
    (wait / 16).mul_f64(part)
}
