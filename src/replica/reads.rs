//! Reads that must be fresh: one read index serves everybody who waits (thesis, 6.4).
//!
//! A reader that comes while a round is under way waits for the next one: a round only vouches for
//! reads that were registered before it was sent. Every asking has a number of its own, so an
//! answer to an earlier one is never taken for a later one.
//!
//! A reader that names the index it wants to see needs no round, only patience.

use super::Options;
use crate::error::{Failure, Reason};
use crate::ids::Ticket;
use crate::raft::{Index, Micros, NEVER, Node, Now, ReadState};

/// Pause before an interrupted asking is repeated, in µs.
const RETRY_US: u64 = 10_000;

type Reader = (Ticket, Micros);

struct Asked {
    id: u64,
    at: Micros,
    readers: Vec<Reader>,
}

pub(super) struct Reads {
    /// Readers that no asking covers yet.
    queue: Vec<Reader>,
    asked: Option<Asked>,
    /// Readers with the index that must be applied first.
    confirmed: Vec<(Index, Vec<Reader>)>,
    next_id: u64,
    /// Not before this time is asked again.
    retry_at: Micros,
    /// When [`Reads::run`] was called last.
    looked_at: Micros,
    /// The first index confirmed since the process started.
    first_index: Option<Index>,
    /// No reader's deadline is before this.
    next_expiry: Micros,
}

impl Reads {
    pub fn new() -> Self {
        Self {
            queue: Vec::new(),
            asked: None,
            confirmed: Vec::new(),
            next_id: 1,
            retry_at: Micros(0),
            looked_at: Micros(0),
            first_index: None,
            next_expiry: NEVER,
        }
    }

    pub fn add(&mut self, ticket: Ticket, deadline: Micros) {
        self.queue.push((ticket, deadline));
        self.next_expiry = self.next_expiry.min(deadline);
    }

    /// Takes a reader who waits for no round, but until this index is applied.
    pub fn add_until(&mut self, ticket: Ticket, deadline: Micros, index: Index) {
        self.confirmed.push((index, vec![(ticket, deadline)]));
        self.next_expiry = self.next_expiry.min(deadline);
    }

    pub fn caught_up(&self, applied: Index) -> bool {
        self.first_index.is_some_and(|index| applied >= index)
    }

    /// Whether progress of the applier is all that is missing before the node is caught up.
    pub fn waits_for_apply(&self, applied: Index) -> bool {
        self.first_index.is_some_and(|index| applied < index)
    }

    pub fn on_leader_change(&mut self) {
        self.requeue();
        self.retry_at = Micros(0);
    }

    pub fn on_read_state(&mut self, state: ReadState, now: Micros) {
        if self.asked.as_ref().is_none_or(|asked| asked.id != state.id) {
            return;
        }
        match state.result {
            Ok(index) => {
                let asked = self.asked.take().expect("it was looked at just above");
                self.first_index.get_or_insert(index);
                self.confirmed.push((index, asked.readers));
            }
            Err(_) => {
                self.requeue();
                self.retry_at = Micros(now.0 + RETRY_US);
            }
        }
    }

    /// Asks for a read index when somebody waits for one and none is under way.
    pub fn run(&mut self, node: &mut Node, now: Now, options: &Options) {
        self.looked_at = now.mono;
        if self.asked.as_ref().is_some_and(|asked| now.mono >= lost_at(asked, options)) {
            self.requeue();
        }
        if !self.can_ask(node, now.mono) {
            return;
        }
        let id = self.next_id;
        self.next_id += 1;
        self.asked = Some(Asked { id, at: now.mono, readers: std::mem::take(&mut self.queue) });
        node.read_index(now, id);
    }

    /// Whether [`Reads::run`] would ask.
    pub fn can_ask(&self, node: &Node, now: Micros) -> bool {
        let wanted = !self.queue.is_empty() || self.first_index.is_none();
        wanted && self.asked.is_none() && now >= self.retry_at && node.leader().is_some()
    }

    /// Readers that see everything they must once all that was handed out is applied.
    pub fn readable(&mut self, handed: Index) -> Vec<Ticket> {
        let ready = self.confirmed.extract_if(.., |(index, _)| *index <= handed);
        ready.flat_map(|(_, readers)| readers).map(|(ticket, _)| ticket).collect()
    }

    pub fn expire(&mut self, now: Micros) -> Vec<(Ticket, Failure)> {
        if now < self.next_expiry {
            return Vec::new();
        }
        self.next_expiry = NEVER;
        let mut over = Vec::new();
        let mut sift = |readers: &mut Vec<Reader>, reason: Reason| {
            let late = readers.extract_if(.., |(_, deadline)| *deadline <= now);
            over.extend(late.map(|(ticket, _)| (ticket, Failure::not_applied(reason.clone()))));
            for (_, deadline) in readers {
                self.next_expiry = self.next_expiry.min(*deadline);
            }
        };
        sift(&mut self.queue, Reason::NoLeader);
        self.asked.iter_mut().for_each(|asked| sift(&mut asked.readers, Reason::NoLeader));
        self.confirmed.iter_mut().for_each(|(_, readers)| sift(readers, Reason::Deadline));
        self.confirmed.retain(|(_, readers)| !readers.is_empty());
        over
    }

    pub fn deadline(&self, options: &Options) -> Micros {
        let mut deadline = self.next_expiry;
        if let Some(asked) = &self.asked {
            deadline = deadline.min(lost_at(asked, options));
        } else if !self.queue.is_empty() && self.retry_at > self.looked_at {
            deadline = deadline.min(self.retry_at);
        }
        deadline
    }

    fn requeue(&mut self) {
        if let Some(asked) = self.asked.take() {
            self.queue.splice(0..0, asked.readers);
        }
    }
}

/// When an asking without an answer counts as lost: a round takes one exchange, so an election
/// timeout is ample.
fn lost_at(asked: &Asked, options: &Options) -> Micros {
    Micros(asked.at.0 + options.raft.election_min)
}
