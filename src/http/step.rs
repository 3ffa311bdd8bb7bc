//! What comes of a request, for now: an answer, or how the answer will come about.
//!
//! A handler runs on a loop's thread among thousands of other requests, so it must neither wait nor
//! take long. What it cannot answer at once it describes: a question to the raft thread
//! ([`Step::ask`]), a wait for rows to change ([`Step::wait`]), or computing that is done in slices
//! ([`Step::work`]). Each goes on with what the handler left behind, and ends in another step.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use super::reply::Response;
use super::routes::UNMATCHED;
use super::service::Service;
use super::work::{Task, Work};
use crate::node::{Ask, Completion};
use crate::watch::Watch;

/// What comes of a request, for now.
#[derive(Debug)]
pub enum Step {
    /// The answer.
    Reply(Response),
    /// Nothing until the raft thread has spoken.
    Park {
        /// What to ask it.
        ask: Ask,
        /// Until when.
        deadline: Instant,
        /// What to do with its answer.
        resume: Resume,
    },
    /// Nothing until rows have changed.
    Wait {
        /// Which rows; what has changed since it was made (or reset) counts.
        watch: Watch,
        /// Until when: exactly then it goes on without a change.
        deadline: Instant,
        /// What to do then.
        resume: Resume,
    },
    /// Nothing until it has been computed.
    Work(Work),
}

/// A request that is under way: what to do when it goes on.
#[derive(Debug)]
pub struct Resume {
    pub(super) route: usize,
    pub(super) then: Then,
}

/// The ways to go on.
#[derive(Debug)]
pub(super) enum Then {
    /// Tell the key of a new link.
    Created,
    /// Tell that it was done, in Consul's words.
    ConsulDone(&'static str),
    /// Go on with the completion of a question.
    Ask(Box<dyn Continue>),
    /// Go on after a wait for changes.
    Waited(Box<dyn Waiter>),
}

/// Goes on with a request when its question to the raft thread was answered.
pub trait Continue: Send + Debug {
    /// What comes of it. A failure to ask, and silence until long after the deadline, are
    /// completions too ([`Outcome::Failed`](crate::node::Outcome::Failed)).
    fn go_on(self: Box<Self>, service: &Service, completion: Completion) -> Step;
}

/// Goes on with a request that waited for rows to change.
pub trait Waiter: Send + Debug {
    /// What comes of it. To wait on, [reset](Watch::reset) the watch before the state is looked at, and
    /// hand it to [`Step::wait`] again; to end the wait, drop it.
    fn woken(self: Box<Self>, service: &Service, watch: Watch, woken: Woken) -> Step;
}

/// Why a wait is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// Rows may have changed.
    Changed,
    /// The deadline has come, or the node is about to stop: whatever is to be said must be said now.
    TimedOut,
}

impl Step {
    pub(super) fn park(ask: Ask, timeout: Duration, then: Then) -> Self {
        Self::Park { ask, deadline: Instant::now() + timeout, resume: Resume::with(then) }
    }

    /// Asks the raft thread, which has this long, and goes on with its answer.
    #[must_use]
    pub fn ask(ask: Ask, timeout: Duration, then: Box<dyn Continue>) -> Self {
        Self::park(ask, timeout, Then::Ask(then))
    }

    /// Waits for a change, or for the deadline, without a thread.
    #[must_use]
    pub fn wait(watch: Watch, deadline: Instant, then: Box<dyn Waiter>) -> Self {
        Self::Wait { watch, deadline, resume: Resume::with(Then::Waited(then)) }
    }

    /// Computes what would take a loop's thread too long at once.
    #[must_use]
    pub fn work(task: Box<dyn Task>) -> Self {
        Self::Work(Work { route: UNMATCHED, task })
    }
}

impl Resume {
    fn with(then: Then) -> Self {
        Self { route: UNMATCHED, then }
    }
}

impl<T: Into<Response>> From<T> for Step {
    fn from(response: T) -> Self {
        Self::Reply(response.into())
    }
}
