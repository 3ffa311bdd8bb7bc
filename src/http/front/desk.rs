//! Where a loop keeps the requests that wait, while their connections go on.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::http::reply::Response;
use crate::http::service::Resume;
use crate::http::wire::{Clock, Request};
use crate::http::{Service, Step};
use crate::ids::Ticket;
use crate::node::Completion;

/// How long after its deadline a request is given up, should the raft thread never answer.
const GRACE: Duration = Duration::from_secs(1);

/// Which answer of which connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The connection's number in its loop.
    pub slot: usize,
    /// Its number in its life, because slots are used again.
    pub connection: u64,
    /// The answer's number in the connection.
    pub answer: u64,
}

#[derive(Debug)]
struct Parked {
    place: Place,
    deadline: Instant,
    resume: Resume,
}

/// One loop's way to the service.
pub(super) struct Desk {
    pub service: Service,
    /// The date of answers.
    pub clock: Clock,
    sink: u16,
    parked: HashMap<u64, Parked>,
}

impl Desk {
    pub fn new(service: Service, sink: u16) -> Self {
        Self { service, clock: Clock::at(0), sink, parked: HashMap::new() }
    }

    /// How many requests wait, those of closed connections included.
    pub fn waiting(&self) -> usize {
        self.parked.len()
    }

    /// Answers a request now, or parks it for its place.
    pub fn call(&mut self, request: &Request, place: Place) -> Option<Response> {
        let step = self.service.call(request);
        self.proceed(step, place)
    }

    /// Goes on with the request that a completion is for; `None` when nobody waits for it (any more).
    pub fn complete(&mut self, completion: Completion) -> Option<(Place, Response)> {
        let Parked { place, resume, .. } = self.parked.remove(&completion.ticket.id)?;
        let step = self.service.resume(resume, completion);
        Some((place, self.proceed(step, place)?))
    }

    /// Answers the requests that nobody answered in time.
    pub fn give_up(&mut self, now: Instant) -> Vec<(Place, Response)> {
        let late = |parked: &Parked| parked.deadline + GRACE < now;
        let tickets: Vec<u64> =
            self.parked.iter().filter(|(_, it)| late(it)).map(|(id, _)| *id).collect();
        let mut answers = Vec::new();
        for id in tickets {
            let Parked { place, resume, .. } =
                self.parked.remove(&id).expect("it was there a moment ago");
            let step = self.service.give_up(Ticket { sink: self.sink, id }, resume);
            answers.extend(self.proceed(step, place).map(|response| (place, response)));
        }
        answers
    }

    fn proceed(&mut self, step: Step, place: Place) -> Option<Response> {
        match self.service.submit(self.sink, step) {
            Ok((ticket, deadline, resume)) => {
                self.parked.insert(ticket.id, Parked { place, deadline, resume });
                None
            }
            Err(response) => Some(response),
        }
    }
}
