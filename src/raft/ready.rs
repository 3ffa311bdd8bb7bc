//! What goes in at the start, and what comes out of the core as work for its caller.
//!
//! The contract, in order: hand [`Ready::write`] to the disk; send [`Ready::messages`] at once; when
//! the write is durable, send its `release` and report [`Persisted`]. A write that is reported
//! failed must stop the node.

use super::{Configuration, Entry, Envelope, Index, Micros, NodeId, Term};

/// What must survive a crash besides the log (thesis, figure 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct HardState {
    /// The current term.
    pub term: Term,
    /// The candidate this node voted for in it.
    pub vote: Option<NodeId>,
}

/// What a node knows when its process starts.
#[derive(Clone, Debug)]
pub struct Boot {
    /// This node.
    pub id: NodeId,
    /// Term and vote as read from disk.
    pub hard_state: HardState,
    /// Configurations with the index of the entry that set each, ascending: that of the checkpoint
    /// (if any) first, then all in the log. Empty only for a node that was admitted but has not
    /// received anything yet.
    pub configurations: Vec<(Index, Configuration)>,
    /// Runs of equal terms in the log: (first index, term), ascending. Empty for an empty log.
    pub term_runs: Vec<(Index, Term)>,
    /// Last index in the log; 0 when empty.
    pub last_index: Index,
    /// The newest entries, ending at `last_index`; as many as the caller likes to keep in memory.
    pub tail: Vec<Entry>,
    /// A commit index that is known for sure (from the log's records or the applied state).
    pub commit: Index,
    /// The clock stamp of the last entry, in ms of cluster time; that of the installed state when the
    /// log is empty after one (0 when there is neither).
    pub last_clock_ms: u64,
    /// The log begins behind this (index, term): what stood before is in the state, and was purged
    /// or replaced by an installed state. (0, 0) when nothing was.
    pub start: (Index, Term),
    /// The log may have lost something that this node acknowledged. Until a leader has brought it
    /// past everything that may be, it gives no votes and does not campaign.
    pub recovering: bool,
}

/// A state that came from another node and took the place of this node's own; durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// Index of the last entry in it; committed.
    pub index: Index,
    /// The term of that entry.
    pub term: Term,
    /// The clock stamp of that entry, in ms of cluster time.
    pub clock_ms: u64,
    /// The configuration as of that entry.
    pub configuration: Configuration,
    /// The entry that set it.
    pub configuration_index: Index,
}

/// The leader's log does not reach back to where this node's ends: the state has to come from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// The leader.
    pub from: NodeId,
    /// The state must be as of this index, or later.
    pub at_least: Index,
}

/// Why a node should not lead. It keeps voting and storing as far as it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// Its disk does not finish a write.
    DiskStalled,
    /// Its state is not to be trusted, or not there.
    StateLost,
}

/// Something to make durable, strictly in the order in which writes were handed out.
#[derive(Clone, Debug, Default)]
pub struct Write {
    /// The term in which it was issued; goes back in [`Persisted`].
    pub term: Term,
    /// Term and vote, when they changed. Durable before the entries.
    pub hard_state: Option<HardState>,
    /// Entries; the first may supersede a tail of the log.
    pub entries: Vec<Entry>,
    /// Last (index, term) of the log as of this write; goes back in [`Persisted`].
    pub last: (Index, Term),
    /// Messages that may only leave when this write is durable: votes and acknowledgements.
    pub release: Vec<Envelope>,
    /// Before the entries: all of the log goes, and it begins anew behind this (index, term), since
    /// an installed state, durable by now, took its place.
    pub restart: Option<(Index, Term)>,
    /// This node has again all that it ever acknowledged: the mark of recovering goes with this
    /// write, before `release` leaves.
    pub recovered: bool,
}

/// Tells the core that a [`Write`] and all before it are durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Persisted {
    /// [`Write::term`] of the write.
    pub term: Term,
    /// [`Write::last`] of the write.
    pub last: (Index, Term),
}

/// Entries that have left memory and are wanted for a follower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRead {
    /// The follower.
    pub to: NodeId,
    /// First index wanted.
    pub first: Index,
    /// Last index wanted.
    pub last: Index,
    /// How many bytes of payload to read at most (but at least one entry).
    pub bytes_max: usize,
}

/// Why a read index could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadFailure {
    /// No leader is known.
    NoLeader,
    /// The leader or the term changed while the round was under way; ask again with a new id.
    Interrupted,
}

/// The answer to a read-index request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadState {
    /// The caller's number.
    pub id: u64,
    /// The state must be applied up to here before the read.
    pub result: Result<Index, ReadFailure>,
}

/// All the work that the core has for its caller since it was last asked.
#[derive(Clone, Debug, Default)]
pub struct Ready {
    /// Something to make durable.
    pub write: Option<Write>,
    /// Messages that may leave at once.
    pub messages: Vec<Envelope>,
    /// Answers to read-index requests.
    pub read_states: Vec<ReadState>,
    /// Entries to read from disk for followers.
    pub log_reads: Vec<LogRead>,
    /// A state to fetch. Said again from time to time as long as it is needed.
    pub fetch: Option<Fetch>,
}

/// Placeholder for a deadline far away.
pub const NEVER: Micros = Micros(u64::MAX);
