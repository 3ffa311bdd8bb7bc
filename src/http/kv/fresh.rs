//! How fresh a read of the store is: linearizable, unless less will do.
//!
//! A lock or a setting that is read from a node that lags is worse than no answer, so what links do
//! only for misses is done here for every read. `?consistency=stale` is answered from this node's
//! state; `?min_index=N` waits until that has come so far.

use std::fmt::Debug;

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
    match query::value(request.query(), "consistency").as_deref() {
        None | Some("linearizable") => {
            let Some(place) = Waiting::take(&service.waiting, service.options.misses_max) else {
                return Problem::unavailable("too many reads wait to be confirmed").into();
            };
            let then = Fresh { min_index, reading, _place: place };
            Step::ask(Ask::ReadIndex, service.options.request_timeout, Box::new(then))
        }
        Some("stale") => at_least(service, min_index, reading),
        Some(_) => Problem::new(400, "consistency is either linearizable or stale").into(),
    }
}

/// Reads when the state has come so far.
fn at_least(service: &Service, min_index: u64, reading: Box<dyn Reading>) -> Step {
    let view = service.client.view();
    if view.applied() < min_index {
        let then = Reached { min_index, reading };
        let timeout = service.options.request_timeout;
        return Step::ask(Ask::Applied(min_index), timeout, Box::new(then));
    }
    answer(service, &view, reading)
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

/// A read that waits for a read index.
#[derive(Debug)]
struct Fresh {
    min_index: u64,
    reading: Box<dyn Reading>,
    /// Held while it waits.
    _place: Waiting,
}

impl Continue for Fresh {
    fn go_on(self: Box<Self>, service: &Service, completion: Completion) -> Step {
        match completion.outcome {
            Outcome::Failed(failure) => {
                let detail = format!(
                    "a fresh read is not possible: {failure}; ?consistency=stale tells what this \
                     node has"
                );
                Problem::unavailable(detail).with_leader(service.leader_url()).into()
            }
            _ => at_least(service, self.min_index, self.reading),
        }
    }
}

/// A read that waits for an index.
#[derive(Debug)]
struct Reached {
    min_index: u64,
    reading: Box<dyn Reading>,
}

impl Continue for Reached {
    fn go_on(self: Box<Self>, service: &Service, completion: Completion) -> Step {
        let view = service.client.view();
        match completion.outcome {
            Outcome::Failed(_) => Problem::unavailable(format!(
                "the state of this node stands at index {}, and {} did not come in time",
                view.applied(),
                self.min_index
            ))
            .into(),
            _ => answer(service, &view, self.reading),
        }
    }
}
