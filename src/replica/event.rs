//! What happens in a replica, with the evidence, for log lines and counters.

use std::fmt;

use crate::raft::{self, Change};

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
