//! Where a loop keeps the requests that are under way, while their connections go on.
//!
//! Whatever a request waits for has a ticket. The raft thread's answers and the changes of rows come
//! back with it; what must happen at a certain time is in one set, ordered by time; what is ready to be
//! worked on is in one queue, of which the loop does a bit at a time.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::http::reply::Response;
use crate::http::service::{Resume, Woken};
use crate::http::upload::Receiving;
use crate::http::wire::{Clock, Request};
use crate::http::work::Work;
use crate::http::{Service, Step};
use crate::ids::Ticket;
use crate::node::Completion;
use crate::watch::Watch;

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

/// What a place is owed.
#[derive(Debug)]
pub(super) enum Owed {
    /// This.
    Answer(Response),
    /// Something later.
    Later(Pending),
}

/// A request that is under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    /// Under which ticket.
    pub ticket: u64,
    /// It waits for something to change, for as long as that takes: not worth doing for a client that
    /// has gone.
    pub idle: bool,
}

/// What has become of something that was waited for.
#[derive(Debug)]
pub(super) enum News {
    /// A request has gone on.
    Request(Place, Owed),
    /// A stream or an upload may go on.
    Wake(Place, u64),
}

/// Something to do for a while.
#[derive(Clone, Copy, Debug)]
pub(super) enum Job {
    /// A request's own work.
    Work(u64),
    /// A wait that was over before it began.
    Changed(u64),
    /// The next piece of the answer that this connection is being sent.
    Piece {
        /// The connection's number in its loop,
        slot: usize,
        /// and in its life.
        connection: u64,
    },
}

struct Asked {
    place: Place,
    deadline: Instant,
    resume: Resume,
}

struct Waiting {
    place: Place,
    deadline: Instant,
    watch: Watch,
    resume: Resume,
}

struct Resting {
    place: Place,
    until: Option<Instant>,
}

/// One loop's way to the service.
pub(super) struct Desk {
    pub service: Service,
    /// The date of answers.
    pub clock: Clock,
    /// What is ready to be worked on.
    pub jobs: VecDeque<Job>,
    sink: u16,
    stopping: bool,
    asked: HashMap<u64, Asked>,
    waiting: HashMap<u64, Waiting>,
    working: HashMap<u64, (Place, Work)>,
    /// Streams and uploads that cannot go on now.
    resting: HashMap<u64, Resting>,
    /// When which of those that wait or rest is over.
    timers: BTreeSet<(Instant, u64)>,
}

impl Desk {
    pub fn new(service: Service, sink: u16) -> Self {
        Self {
            service,
            clock: Clock::at(0),
            jobs: VecDeque::new(),
            sink,
            stopping: false,
            asked: HashMap::new(),
            waiting: HashMap::new(),
            working: HashMap::new(),
            resting: HashMap::new(),
            timers: BTreeSet::new(),
        }
    }

    /// Whether the loop is about to end, and nobody should be made to wait.
    pub fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// When it wants to be asked for [`due`](Self::due) next.
    pub fn next_due(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// A ticket of this loop.
    pub fn ticket(&self) -> Ticket {
        self.service.client().ticket(self.sink)
    }

    /// Answers a request now, or later at its place.
    pub fn call(&mut self, request: &Request, place: Place) -> Owed {
        let step = self.service.call(request);
        self.proceed(step, place)
    }

    /// The same for one whose body was taken as it arrived.
    pub fn finish(&mut self, receiving: Receiving, place: Place) -> Owed {
        let step = receiving.finish(&self.service);
        self.proceed(step, place)
    }

    /// Goes on with what a completion is for; `None` when nobody waits for it (any more).
    pub fn complete(&mut self, completion: Completion) -> Option<News> {
        let ticket = completion.ticket.id;
        if let Some(Asked { place, resume, .. }) = self.asked.remove(&ticket) {
            let step = self.service.resume(resume, completion);
            return Some(News::Request(place, self.proceed(step, place)));
        }
        self.wake(ticket, Woken::Changed)
    }

    /// Goes on with one thing whose time has come, if there is one.
    pub fn due(&mut self, now: Instant) -> Option<News> {
        while let Some((at, ticket)) = self.timers.first().copied()
            && at <= now
        {
            self.timers.pop_first();
            let news = self.wake(ticket, Woken::TimedOut);
            if news.is_some() {
                return news;
            }
        }
        None
    }

    /// Does a slice of a request's work. `None` when there is more, or nobody wants it any more.
    pub fn work(&mut self, ticket: u64) -> Option<News> {
        let (place, work) = self.working.remove(&ticket)?;
        match self.service.work(work) {
            Step::Work(work) => {
                self.working.insert(ticket, (place, work));
                self.jobs.push_back(Job::Work(ticket));
                None
            }
            step => Some(News::Request(place, self.proceed(step, place))),
        }
    }

    /// Goes on with what waits or rests.
    pub fn wake(&mut self, ticket: u64, woken: Woken) -> Option<News> {
        if let Some(Waiting { place, deadline, watch, resume }) = self.waiting.remove(&ticket) {
            self.timers.remove(&(deadline, ticket));
            let step = self.service.woken(resume, watch, woken);
            return Some(News::Request(place, self.proceed(step, place)));
        }
        let Resting { place, until } = self.resting.remove(&ticket)?;
        until.map(|at| self.timers.remove(&(at, ticket)));
        Some(News::Wake(place, ticket))
    }

    /// Wakes whoever rests when a completion for the ticket comes, or at this time.
    pub fn rest(&mut self, ticket: Ticket, place: Place, until: Option<Instant>) {
        self.timers.extend(until.map(|at| (at, ticket.id)));
        self.resting.insert(ticket.id, Resting { place, until });
    }

    /// Forgets what nobody wants any more.
    pub fn forget(&mut self, ticket: u64) {
        if self.asked.remove(&ticket).is_some() || self.working.remove(&ticket).is_some() {
            return;
        }
        let waiting = self.waiting.remove(&ticket).map(|it| it.deadline);
        let resting = || self.resting.remove(&ticket).and_then(|it| it.until);
        if let Some(at) = waiting.or_else(resting) {
            self.timers.remove(&(at, ticket));
        }
    }

    /// Makes nobody wait any longer: what waits and rests goes on now.
    pub fn stop(&mut self) -> Vec<News> {
        self.stopping = true;
        let mut tickets: Vec<u64> =
            self.waiting.keys().chain(self.resting.keys()).copied().collect();
        tickets.sort_unstable();
        tickets.into_iter().filter_map(|ticket| self.wake(ticket, Woken::TimedOut)).collect()
    }

    /// Answers the requests that the raft thread did not answer in time.
    pub fn give_up(&mut self, now: Instant) -> Vec<News> {
        let late = |asked: &Asked| asked.deadline + GRACE < now;
        let tickets: Vec<u64> =
            self.asked.iter().filter(|(_, it)| late(it)).map(|(id, _)| *id).collect();
        let mut news = Vec::new();
        for id in tickets {
            let Asked { place, resume, .. } =
                self.asked.remove(&id).expect("it was there a moment ago");
            let step = self.service.give_up(Ticket { sink: self.sink, id }, resume);
            news.push(News::Request(place, self.proceed(step, place)));
        }
        news
    }

    fn proceed(&mut self, mut step: Step, place: Place) -> Owed {
        let mut patient = !self.stopping;
        loop {
            step = match step {
                Step::Reply(response) => return Owed::Answer(response),
                Step::Park { ask, deadline, resume } => {
                    match self.service.submit(self.sink, ask, deadline, resume) {
                        Ok((ticket, resume)) => {
                            self.asked.insert(ticket.id, Asked { place, deadline, resume });
                            return Owed::Later(Pending { ticket: ticket.id, idle: false });
                        }
                        Err(step) => step,
                    }
                }
                Step::Wait { watch, resume, .. } if !patient => {
                    patient = true;
                    self.service.woken(resume, watch, Woken::TimedOut)
                }
                Step::Wait { watch, deadline, resume } => {
                    let ticket = self.ticket();
                    if watch.arm(ticket) {
                        self.jobs.push_back(Job::Changed(ticket.id));
                    }
                    self.timers.insert((deadline, ticket.id));
                    self.waiting.insert(ticket.id, Waiting { place, deadline, watch, resume });
                    return Owed::Later(Pending { ticket: ticket.id, idle: true });
                }
                Step::Work(work) => {
                    let ticket = self.ticket().id;
                    self.working.insert(ticket, (place, work));
                    self.jobs.push_back(Job::Work(ticket));
                    return Owed::Later(Pending { ticket, idle: false });
                }
            }
        }
    }
}
