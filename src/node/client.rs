//! How the fronts talk to the node: ask without waiting, be told in batches.
//!
//! A front parks its request under a [`Ticket`] and submits an [`Ask`]; the answer comes as a
//! [`Completion`] through the sink that the ticket names, many at a time with one wake-up.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use bytes::Bytes;
use crossbeam_channel::{Sender, TrySendError};
use parking_lot::RwLock;

use super::restore::{Finish, Restores};
use super::{LeaderContact, ScrubStatus, Status};
use crate::error::{Failure, Reason};
use crate::ids::Ticket;
use crate::membership::Roster;
use crate::metrics::Metrics;
use crate::passwords::{self, Job, Passwords};
use crate::state::Reply;
use crate::storage::{View, Views};
use crate::watch::{Wake, Watches};

/// What a front may ask the raft thread for.
#[derive(Clone, Debug)]
pub enum Ask {
    /// Apply this encoded command exactly once and answer with its reply.
    Write(Bytes),
    /// Tell when this node's state is as fresh as the cluster was when this was asked.
    ReadIndex,
    /// Tell when this node's state has come to this index.
    Applied(u64),
    /// Hand leadership to this node, or to the best one.
    Transfer(Option<u64>),
    /// Take this member out of the cluster.
    Remove(u64),
    /// Restore the backup that was handed in, all of it; goes to the thread `restore`, and is answered
    /// with [`Outcome::Done`] whatever became of it: see [`Upload::finish`](super::Upload::finish).
    Restore(Finish),
    /// Hash or check a password; goes to the threads `slow-n`, and is answered with
    /// [`Outcome::Password`]. When as many wait as may, this is not taken ([`Busy`]).
    Password(Job),
}

/// A question to the raft thread.
#[derive(Clone, Debug)]
pub struct Request {
    /// Whom to answer.
    pub ticket: Ticket,
    /// When an answer must have been given, whatever it is.
    pub deadline: Instant,
    /// What is asked.
    pub ask: Ask,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The command was applied here; this is what it said.
    Written(Reply),
    /// The state is fresh enough to be read.
    Readable,
    /// It was done (transfers, removals).
    Done,
    /// The password was hashed or checked.
    Password(passwords::Done),
    /// Rows have changed that a [`Watch`](crate::watch::Watch) is about. No answer to a request, but to
    /// its arming.
    Changed,
    /// It failed.
    Failed(Failure),
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    /// Whom it is for.
    pub ticket: Ticket,
    /// The applied index of this node as of the answer; 0 with [`Outcome::Changed`], whose owner looks
    /// at the state anyway.
    pub index: u64,
    /// What came of it.
    pub outcome: Outcome,
}

/// A place that takes completions: must not block, and wakes its reader once per call.
pub trait Sink: Send + Sync {
    /// Takes a batch.
    fn complete(&self, batch: Vec<Completion>);
}

/// All sinks of a node, by the number in their tickets.
#[derive(Clone, Default)]
pub struct Completions(Arc<RwLock<Vec<Arc<dyn Sink>>>>);

impl Completions {
    /// Adds a sink and returns its number.
    pub fn register(&self, sink: Arc<dyn Sink>) -> u16 {
        let mut sinks = self.0.write();
        sinks.push(sink);
        u16::try_from(sinks.len() - 1).expect("a node has a handful of sinks")
    }

    /// Hands each sink its share of the batch, with one wake-up each.
    pub fn deliver(&self, batch: Vec<Completion>) {
        let sinks = self.0.read();
        let mut shares: Vec<Vec<Completion>> = vec![Vec::new(); sinks.len()];
        for completion in batch {
            if let Some(share) = shares.get_mut(usize::from(completion.ticket.sink)) {
                share.push(completion);
            }
        }
        for (sink, share) in sinks.iter().zip(shares) {
            if !share.is_empty() {
                sink.complete(share);
            }
        }
    }
}

impl Wake for Completions {
    fn wake(&self, tickets: Vec<Ticket>) {
        let changed = |ticket| Completion { ticket, index: 0, outcome: Outcome::Changed };
        self.deliver(tickets.into_iter().map(changed).collect());
    }
}

/// The request queue is full: nothing was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

/// A front's handle on the node.
#[derive(Clone)]
pub struct Client {
    /// Where answers go; fronts register their sinks here.
    pub completions: Completions,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The gossiped member list.
    pub roster: Roster,
    /// The account of the scrub, and where one is asked for.
    pub scrub: Arc<ScrubStatus>,
    /// Where backups are handed in.
    pub restores: Restores,
    /// Who hashes passwords; refuses to until it is [started](Self::start_passwords).
    pub passwords: Passwords,
    /// Who waits for rows to change.
    pub watches: Watches,
    /// When the leader was last heard.
    pub contact: Arc<LeaderContact>,
    requests: Sender<Request>,
    views: Views,
    status: Arc<RwLock<Arc<Status>>>,
    next_ticket: Arc<AtomicU64>,
}

impl Client {
    /// Wires a handle. `status` is replaced by the raft thread whenever it changes.
    #[must_use]
    pub fn new(
        requests: Sender<Request>,
        views: Views,
        status: Arc<RwLock<Arc<Status>>>,
        roster: Roster,
        completions: Completions,
        metrics: Arc<Metrics>,
        watches: Watches,
    ) -> Self {
        let next_ticket = Arc::new(AtomicU64::new(1));
        let (scrub, contact) = (Arc::default(), Arc::default());
        let (restores, passwords) = (Restores::default(), Passwords::default());
        Self {
            completions,
            metrics,
            roster,
            scrub,
            restores,
            passwords,
            watches,
            contact,
            requests,
            views,
            status,
            next_ticket,
        }
    }

    /// A ticket for the sink, never given out before in this process.
    #[must_use]
    pub fn ticket(&self, sink: u16) -> Ticket {
        Ticket { sink, id: self.next_ticket.fetch_add(1, Ordering::Relaxed) }
    }

    /// Starts the threads that hash passwords; see [`Passwords::start`].
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start_passwords(&self, threads: usize) -> io::Result<Vec<JoinHandle<()>>> {
        // Only these, since a handle on the pool in its own threads would keep them for ever.
        let (completions, views) = (self.completions.clone(), self.views.clone());
        let answer = move |ticket, done: Option<passwords::Done>| {
            let late = || Outcome::Failed(Failure::not_applied(Reason::Busy));
            let outcome = done.map_or_else(late, Outcome::Password);
            let index = views.look(|view| view.applied());
            completions.deliver(vec![Completion { ticket, index, outcome }]);
        };
        self.passwords.start(threads, Arc::clone(&self.metrics), answer)
    }

    /// Puts a request into the queue of whom it is for, mostly the raft thread's, without waiting.
    ///
    /// # Errors
    /// [`Busy`] when the queue is full or the node is stopping: nothing was asked.
    pub fn submit(&self, request: Request) -> Result<(), Busy> {
        let Request { ticket, deadline, ask } = request;
        let ask = match ask {
            Ask::Restore(finish) => return taken(finish.send(ticket, deadline)),
            Ask::Password(job) => return taken(self.passwords.submit(ticket, deadline, job)),
            ask => ask,
        };
        self.requests.try_send(Request { ticket, deadline, ask }).map_err(|error| match error {
            TrySendError::Full(_) | TrySendError::Disconnected(_) => {
                self.metrics.proposals_refused.inc();
                Busy
            }
        })
    }

    /// The newest state this node has applied.
    #[must_use]
    pub fn view(&self) -> View {
        self.views.current()
    }

    /// Index and account of the newest state, from memory alone: no file is touched, not even to be
    /// closed.
    #[must_use]
    pub fn applied(&self) -> (u64, Bytes) {
        self.views.look(|view| (view.applied(), view.meta().clone()))
    }

    /// ms since this node heard its leader: 0 on the leader, [`u64::MAX`] when it never heard one.
    #[must_use]
    pub fn leader_contact_ms(&self) -> u64 {
        self.contact.age_ms()
    }

    /// The raft thread's newest account of itself.
    #[must_use]
    pub fn status(&self) -> Arc<Status> {
        Arc::clone(&self.status.read())
    }
}

fn taken(taken: bool) -> Result<(), Busy> {
    if taken { Ok(()) } else { Err(Busy) }
}
