//! The consensus core: Raft as in Ongaro's thesis, as a pure state machine.
//!
//! A group of nodes agrees on one sequence of commands, the *log*, so that each of them can apply
//! the same commands in the same order to its own copy of the state. They agree as long as more
//! than half of them are up and in touch, and they never disagree. Section numbers below are those
//! of Diego Ongaro's thesis, "Consensus: Bridging Theory and Practice" (2014).
//!
//! # Shape
//!
//! [`Node`] has no I/O, no clock, no thread and no randomness but a seed. Inputs are calls that take
//! the time ([`Node::step`] a message, [`Node::tick`], [`Node::propose`], [`Node::on_persisted`], …);
//! everything it wants done collects in it until [`Node::ready`] hands it out as data: a [`Write`]
//! for the disk, [`Envelope`]s for the network, answers to reads, reads from the log. What happened
//! is told by [`Node::take_events`]. Inside, a node is in one of three roles, each a type of its
//! own: `follower`, `candidate`, `leader`; `raw` and `vote` have what they share.
//!
//! # Order of durability
//!
//! A vote, an acknowledgement, and a request for votes speak of things that must survive a crash.
//! They leave in [`Write::release`], when that write and all before it are durable; everything else
//! leaves at once ([`Ready::messages`]), heartbeats above all: no disk stands in their way. An
//! acknowledgement of something that is in an earlier write, still under way, rides on a write
//! without content: only a place in the line. So acknowledgements are true when they are made out
//! and never looked at again. Of what is all durable, they leave at once.
//!
//! A write may first replace the log as a whole ([`Write::restart`]) and say that the node is whole
//! again ([`Write::recovered`]); both are durable before what it releases leaves.
//!
//! Completions come back as [`Persisted`], with the term in which the write was issued. In another
//! term they say nothing: the log may have been replaced meanwhile, and by then replaced back. No
//! information is lost by that, as each new term is itself written, and that write too tells where
//! the log ended. A node counts its own vote and its own log only so.
//!
//! # Elections (3.4, 9.6, 4.2.3, 6.2)
//!
//! A follower that hears from no leader for its election timeout, drawn anew from a range whenever
//! its role or term changes, asks all voters whether they would vote for it (*pre-vote*), without
//! raising its term. They say yes if its log is at least as complete as theirs and they have not
//! heard from a leader for the shortest timeout (*loyalty*). With a majority it raises its term and
//! asks in earnest; a majority of durable votes makes it leader. A leader that is not in touch with
//! a majority for the longest timeout steps down (*check-quorum*). None of these can be turned off:
//! only together they keep a cluster with bad links from electing for ever.
//!
//! A node whose term ran ahead would ignore the leader. It answers it at its own term; the leader
//! steps down once, and a new election takes the node back. When the leader's *process* is known to
//! be gone ([`Node::leader_gone`]) its voters do not wait for timeouts: each campaigns after a few
//! milliseconds, in the order of ids, and repeats a failed round quickly a few times. That evidence
//! may be wrong; nothing but time rests on loyalty.
//!
//! # Replication (3.5, 3.6.2, 10.2.1)
//!
//! A new leader appends an empty entry: it commits all it inherited. What is proposed between two
//! calls of [`Node::ready`] goes out in one [`Append`] per follower, in parallel with the leader's own
//! write. Per follower (`progress`) the leader *probes* for the point where the logs agree, at most
//! one probe per term thanks to hints from both sides, then *replicates* ahead of the
//! acknowledgements, in a window bounded by messages and bytes. If something sent before a heartbeat
//! round is not acknowledged when the round is answered, the leader asks by an empty append after
//! its last one: it is acknowledged, or waits for the follower's disk, or is refused, and then the
//! follower is probed. Entries that have left memory come back by a [`LogRead`].
//!
//! The commit index is what a majority of voters holds durably, once that is an entry of the
//! leader's own term. Followers learn it with the next entries, or at once if none are due.
//!
//! # A log with a beginning (5)
//!
//! The caller takes the state to disk and purges the log up to there ([`Node::on_purged`]). The log
//! begins behind a *start*, of which index and term are still known. A follower that needs entries
//! from before is told to fetch the leader's state, and joins again when it has installed it
//! ([`Node::on_installed`]); `install` has the rules, and why they are safe.
//!
//! # Disks that fail
//!
//! A node whose log may lack what it acknowledged is *recovering*: it gives no vote and does not
//! campaign before a leader has brought it past all of that (`recovery`, with the proof). One that is
//! *unfit* does not lead ([`Node::set_unfit`]); one whose disk is *full* takes no commands, but votes
//! and answers ([`Node::set_full`]). A leader without a majority that has room refuses proposals,
//! and appends by itself only what is small and needed: its first entry, configurations. A leader
//! whose own disk is full or lags hands over if that helps (`relief`).
//!
//! # Members (4.1, 4.2)
//!
//! A [`Configuration`] is an entry, in force as soon as it is appended, and falls with it. Changes go
//! by one voter at a time, learner first; none before the leader has committed an entry of its own
//! term, none while another is uncommitted, none that leaves a majority that is not in touch
//! ([`Node::propose_change`]). A node's id is the index of the entry that admitted it, and until that
//! is committed nothing is sent to it. A leader that took itself out works on until that is
//! committed, without counting itself, then asks the best follower to take over. A removed node is
//! told so when it speaks to the leader ([`Message::Removed`]). Who is taken out by an entry that is
//! not committed yet still campaigns, as the others may depend on its log.
//!
//! # Reads and hand-over (6.4, 3.10)
//!
//! [`Node::read_index`] on any node gives the index that a local state must have reached to hold every
//! write acknowledged before. It costs a round of heartbeats, shared by all reads that wait. Rounds
//! are numbered within a term; with the leader's office all waiting reads end. [`Node::transfer`]
//! stops proposals, brings a follower up, and tells it to campaign at once.
//!
//! # Time
//!
//! Only the caller's monotonic clock moves anything. A stop of the process counts as one heartbeat
//! (`timeline`). Entries are stamped with a time of the cluster that never goes back (`clock`).
//!
//! # Caveats
//!
//! - A node that recovers does not vote: of three voters one may, and if the leader fails meanwhile
//!   the cluster waits for it to come back. If a majority may have lost something, there is no way
//!   back from in here.
//! - A node without room whose disk has no reserve either does not acknowledge a new leader's first
//!   entry; a majority of such nodes answers no linearizable reads after an election.
//! - The leader does not know which followers are unfit. It may try to hand over to one, and takes no
//!   proposals for the election timeout until it gives up.
//! - No leases: every linearizable read costs a round of messages, none rests on a clock.
//! - A chain of partial links may still keep a cluster without a stable leader: pre-vote,
//!   check-quorum and loyalty settle the usual faults, not every conceivable one.
//! - Two voters need both: the loss of one stops the cluster until it is back.
//! - Requests for votes wait for the candidate's own disk; an election takes two writes in a row.
//! - A leader does not watch the age of its own writes: the caller does, and says so.
//! - An installed state is believed: what it says is committed is committed.
//! - An empty append with news of a commit is acknowledged like any other, a message for nothing.
//! - A removed node that never reaches the leader is not told; it only stays unheard.
//! - Terms beyond 2^62 are taken for nonsense. Peers are trusted not to lie: a correct envelope with
//!   false content can depose a leader, and one that contradicts the commit index stops the node.

mod candidate;
mod change;
mod clock;
mod configuration;
mod event;
mod follower;
mod install;
mod leader;
mod log;
mod membership;
mod message;
mod node;
mod options;
mod output;
mod progress;
mod quorum;
mod raw;
mod read_index;
mod ready;
mod recovery;
mod refusal;
mod relief;
mod replication;
#[cfg(test)]
mod testing;
mod timeline;
mod transfer;
mod vote;

pub use configuration::{Change, Configuration, Member, MemberInfo, Role as MemberRole};
pub use event::{Event, Reason, Refusal, RoleKind};
pub use message::{Append, Entry, Envelope, Message, Payload, Stamp};
pub use node::Node;
pub use options::Options;
pub use progress::{ProgressState, ProgressView};
pub use ready::{
    Boot, Fetch, HardState, Installed, LogRead, NEVER, Persisted, ReadFailure, ReadState, Ready,
    Unfit, Write,
};
pub use refusal::{ProposeError, TransferError};

/// Names a node for all time: the index of the committed entry that admitted it.
pub type NodeId = u64;
/// A term, from 1; 0 before any election.
pub type Term = u64;
/// A position in the log, from 1; 0 stands for "before the first entry".
pub type Index = u64;

/// A point on the caller's monotonic clock, in microseconds since an arbitrary start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Micros(pub u64);

impl std::ops::Add<u64> for Micros {
    type Output = Self;

    /// Later by so many µs.
    fn add(self, micros: u64) -> Self {
        Self(self.0.saturating_add(micros))
    }
}

impl std::ops::Sub for Micros {
    type Output = u64;

    /// µs since then; 0 if that is in the future.
    fn sub(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// What time it is, handed in with every input: the core has no clock of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Now {
    /// Monotonic time; the only one that drives the protocol.
    pub mono: Micros,
    /// Wall clock, milliseconds since 1970; only stamped on entries, never waited for.
    pub wall_ms: u64,
}
