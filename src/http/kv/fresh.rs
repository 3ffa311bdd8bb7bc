//! How fresh a read of the store is: linearizable, unless less will do.
//!
//! A lock or a setting that is read from a node that lags is worse than no answer, so what links do
//! only for misses is done here for every read. `?consistency=stale` is answered from this node's
//! state; `?min_index=N` waits until that has come so far.

use std::fmt::Debug;
use std::time::Instant;

use super::super::query;
use super::super::read::Waiting;
use super::super::reply::{Problem, Response};
use super::super::service::{self, Service};
use super::super::step::{Continue, Step};
use super::super::wire::Request;
use super::params;
use crate::node::{Ask, Completion, Outcome, View};

/// What is read when the state is fresh enough.
pub(super) trait Reading: Send + Debug {
    /// The answer from this view.
    fn read(self: Box<Self>, service: &Service, view: &View) -> Step;
}

/// Reads as fresh as the request wants it.
pub(super) fn read(service: &Service, request: &Request, reading: Box<dyn Reading>) -> Step {
    let min_index = match params::number(request, "min_index") {
        Ok(index) => index.unwrap_or(0),
        Err(problem) => return problem.into(),
    };
    let confirm = match query::value(request.query(), "consistency").as_deref() {
        None | Some("linearizable") => true,
        Some("stale") => false,
        Some(_) => {
            return Problem::new(400, "consistency is either linearizable or stale").into();
        }
    };
    let view = service.client.view();
    if !confirm && view.applied() >= min_index {
        return answer(service, &view, reading);
    }
    let Some(place) = Waiting::take(&service.waiting, service.options.misses_max) else {
        return Problem::unavailable("too many reads wait for the state").into();
    };
    let until = Instant::now() + service.options.request_timeout;
    let late = Box::new(Late { min_index, until, confirming: confirm, reading, _place: place });
    if confirm { late.ask(Ask::ReadIndex) } else { late.ask(Ask::Applied(min_index)) }
}

/// A read that waits for the state.
#[derive(Debug)]
struct Late {
    min_index: u64,
    /// When it has waited long enough.
    until: Instant,
    /// It waits for a read index, and not for the state to come so far.
    confirming: bool,
    reading: Box<dyn Reading>,
    /// Held while it waits.
    _place: Waiting,
}

impl Late {
    fn ask(self: Box<Self>, ask: Ask) -> Step {
        let left = self.until.saturating_duration_since(Instant::now());
        Step::ask(ask, left, self)
    }
}

impl Continue for Late {
    fn go_on(mut self: Box<Self>, service: &Service, completion: Completion) -> Step {
        let view = service.client.view();
        if let Outcome::Failed(failure) = completion.outcome {
            let failure = failure.of_question();
            let detail = match self.confirming {
                true => format!(
                    "a fresh read is not possible: {failure}; ?consistency=stale tells what this \
                     node has"
                ),
                false => format!(
                    "the state stands at index {}, and {} has not come: {failure}",
                    view.applied(),
                    self.min_index
                ),
            };
            return Problem::unavailable(detail).with_leader(service.leader_url()).into();
        }
        if view.applied() < self.min_index {
            self.confirming = false;
            let index = self.min_index;
            return self.ask(Ask::Applied(index));
        }
        answer(service, &view, self.reading)
    }
}

fn answer(service: &Service, view: &View, reading: Box<dyn Reading>) -> Step {
    let status = service.client.status();
    // It may have been found wrong while the read waited.
    if let Some(why) = service::state_lost(&status) {
        return Problem::unavailable(why).into();
    }
    let mark = |response: Response| {
        let response = response.at(view.applied());
        if status.caught_up { response } else { response.with("X-Bowline-Stale", "true") }
    };
    match reading.read(service, view) {
        Step::Reply(response) => mark(response).into(),
        other => other,
    }
}
