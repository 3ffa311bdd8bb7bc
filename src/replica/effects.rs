//! What goes into a replica besides messages, and the work that comes out of it, as data.

use bytes::Bytes;

use super::{AdminRequest, Event, GuestId, JoinReply, PeerMessage};
use crate::error::Failure;
use crate::ids::Ticket;
use crate::raft::{Entry, Fetch, Index, Installed, LogRead, NodeId, Write};

/// What a client of this node asks for.
#[derive(Clone, Debug)]
pub enum Request {
    /// Apply this command exactly once.
    Write(Bytes),
    /// Tell when the state is as fresh as the cluster was when this was asked.
    ReadIndex,
    /// Tell when everything up to this index is in the state.
    Applied(Index),
    /// Do something with the cluster itself; only the leader can.
    Admin(AdminRequest),
}

/// How a request ended that the applier does not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was done.
    Done,
    /// It failed.
    Failed(Failure),
}

/// Work for the applier, strictly in this order.
#[derive(Clone, Debug)]
pub enum Work {
    /// Apply the entry; when there is a ticket, give the reply to it.
    Entry(Entry, Option<Ticket>),
    /// Everything a reader has to see has been applied: tell these.
    Readable(Vec<Ticket>),
    /// Put the state that is ready in place of the own one, durably, then report it by
    /// [`on_installed`](super::Replica::on_installed). The new state remembers what became of writes:
    /// whichever of these (number within this process's session, whom to answer) it knows a reply to
    /// is answered with it, and named in the report.
    Install(Installed, Vec<(u64, Ticket)>),
    /// The state is not to be trusted, for this reason: make a durable note of that and serve and apply
    /// nothing more. The next work is [`Work::Install`].
    Lost(String),
}

/// What the applier found in a state that it has just installed.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Resolved {
    /// This process's write session, if the state knows it.
    pub session: Option<u64>,
    /// The writes of the session that were answered.
    pub seqs: Vec<u64>,
}

/// Entries wanted back from the log on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogRequest {
    /// For a follower; goes back to [`on_log_read`](super::Replica::on_log_read).
    Follower(LogRead),
    /// For the applier.
    Apply {
        /// First index wanted.
        first: Index,
        /// Last index wanted.
        last: Index,
        /// Bytes of payload at most (but at least one entry).
        bytes_max: usize,
    },
}

impl LogRequest {
    /// (first index, last index, bytes of payload at most).
    #[must_use]
    pub fn range(&self) -> (Index, Index, usize) {
        match *self {
            Self::Follower(LogRead { first, last, bytes_max, .. })
            | Self::Apply { first, last, bytes_max } => (first, last, bytes_max),
        }
    }
}

/// All the work that came of the inputs since it was last taken.
#[derive(Debug, Default)]
pub struct Effects {
    /// Leave first: they wait for no disk.
    pub messages: Vec<(NodeId, PeerMessage)>,
    /// Go to the log in this order, each with the commit index known at the time. Each is answered
    /// by exactly one [`on_persisted`](super::Replica::on_persisted).
    pub writes: Vec<(Write, Index)>,
    /// Entries to read back.
    pub log_reads: Vec<LogRequest>,
    /// Goes to the applier.
    pub work: Vec<Work>,
    /// A state to fetch, beside the own one; when it is complete, checked and durable, it is offered by
    /// [`on_state_ready`](super::Replica::on_state_ready). Said again as long as it is needed: whoever
    /// fetches it already from there goes on.
    pub fetch: Option<Fetch>,
    /// The process has to end, for this reason.
    pub stop: Option<String>,
    /// Answers that the applier has no part in.
    pub answers: Vec<(Ticket, Answer)>,
    /// Answers to nodes that want to join.
    pub joins: Vec<(GuestId, JoinReply)>,
    /// What happened, for log lines and counters.
    pub events: Vec<Event>,
}
