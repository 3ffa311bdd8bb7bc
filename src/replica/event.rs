//! What happens in a replica, with the evidence, for log lines and counters.

use std::collections::BTreeMap;
use std::fmt;

use crate::raft::{self, Change, Index, NodeId, Term};

/// Something worth a line in the log.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// From the consensus core.
    Raft(raft::Event),
    /// This leader proposed a change of the configuration.
    ChangeProposed {
        /// The change.
        change: Change,
    },
    /// A change was not proposed.
    ChangeRefused {
        /// The change.
        change: Change,
        /// Why not.
        why: String,
    },
    /// Commands got no answer and were sent again.
    Resent {
        /// How many.
        commands: usize,
    },
    /// The disk does not finish a write.
    DiskStalled {
        /// Age of the oldest write under way, in µs.
        age_us: u64,
    },
    /// It has finished it.
    DiskResumed,
    /// The disk has no room for entries, or has room again.
    DiskFull {
        /// Which of the two.
        full: bool,
    },
    /// This node's state is not to be trusted any more.
    StateLost {
        /// Why.
        why: String,
    },
    /// A state is fetched.
    StateWanted {
        /// From whom.
        from: NodeId,
        /// As of this index or later.
        at_least: Index,
    },
    /// A state that came from another node was not needed (any more).
    StateUnused {
        /// The index it is as of.
        index: Index,
    },
    /// A state that came from another node took the place of the own one.
    StateInstalled {
        /// The last entry in it.
        index: Index,
        /// The term of that entry.
        term: Term,
        /// Writes of clients of this node that it holds the answers to.
        resolved: usize,
    },
    /// The voters do not hold the same state, and none of the states has a majority.
    DigestsDiffer {
        /// As of this entry.
        index: Index,
        /// What each voter holds.
        digests: BTreeMap<NodeId, u128>,
    },
    /// The state is applied by newer rules from now on.
    RulesRaised {
        /// Their version.
        version: u32,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Raft(event) => event.fmt(f),
            Self::ChangeProposed { change } => write!(f, "proposed to {}", Described(change)),
            Self::ChangeRefused { change, why } => {
                write!(f, "did not propose to {}: {why}", Described(change))
            }
            Self::Resent { commands } => {
                write!(f, "sent {commands} unanswered commands again, under their old ids")
            }
            Self::DiskStalled { age_us } => {
                write!(
                    f,
                    "the disk hangs: a write to the log is under way for {} ms; ",
                    age_us / 1000
                )?;
                write!(f, "until it ends this node does not lead")
            }
            Self::DiskResumed => write!(f, "the disk works again: the write that hung has ended"),
            Self::DiskFull { full: true } => {
                write!(f, "the disk is full: clients' writes are refused until there is room, ")?;
                write!(f, "reads and votes go on")
            }
            Self::DiskFull { full: false } => {
                write!(f, "the disk has room again: clients' writes are taken")
            }
            Self::StateLost { why } => {
                write!(
                    f,
                    "this node's state is not to be trusted: {why}; it serves nothing until "
                )?;
                write!(
                    f,
                    "it has fetched the state of another node, and keeps its log and its vote"
                )
            }
            Self::StateWanted { from, at_least } => {
                write!(f, "fetching the state of n{from}, as of entry {at_least} or later")
            }
            Self::StateUnused { index } => {
                write!(f, "the fetched state, as of entry {index}, is not needed")
            }
            Self::StateInstalled { index, term, resolved } => {
                write!(f, "installed the fetched state, as of entry {index} of term {term}; ")?;
                write!(f, "it answers {resolved} waiting writes")
            }
            Self::DigestsDiffer { index, digests } => {
                write!(
                    f,
                    "the nodes' states differ as of entry {index}, and none has a majority, "
                )?;
                write!(f, "so that nobody can tell which is right:")?;
                digests
                    .iter()
                    .try_for_each(|(node, digest)| write!(f, " n{node} {digest:032x}"))?;
                write!(f, "; compare them by hand, and remove the nodes that are wrong")
            }
            Self::RulesRaised { version } => {
                write!(f, "every member knows version {version} of the cluster's rules: in force")
            }
        }
    }
}

struct Described<'a>(&'a Change);

impl fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Change::AddLearner(info) => {
                write!(f, "admit {} at {} as learner", info.name, info.peer)
            }
            Change::Promote(id) => write!(f, "make learner n{id} a voter"),
            Change::Demote(id) => write!(f, "make voter n{id} a learner"),
            Change::Remove(id) => write!(f, "remove n{id}"),
            Change::Update(id, info) => {
                write!(f, "change n{id} to {} at {}, {}", info.name, info.peer, info.http)
            }
        }
    }
}
