//! Why the core said no to its caller. In every case nothing was changed.

use thiserror::Error;

use super::{Index, NodeId};

/// Why a proposal was refused; it certainly is in no log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ProposeError {
    /// This node does not lead.
    #[error("not the leader")]
    NotLeader {
        /// Who does, if known.
        leader: Option<NodeId>,
    },
    /// Leadership is being handed over; ask again shortly.
    #[error("leadership is being handed over to {0}")]
    Transferring(NodeId),
    /// The disks of this node, or of so many voters that no majority is left, have no room for it.
    #[error("no room on the disks of a majority")]
    DiskFull,
    /// Too many uncommitted bytes; ask again later.
    #[error("too much is waiting to be committed")]
    Busy,
    /// The leader has not yet committed an entry of its own term, so it does not know which
    /// configuration is in force (consensus lore: the bug of 2015 in single-server changes).
    #[error("the leader has not committed an entry of its term yet")]
    NotReady,
    /// Another configuration change is not committed yet.
    #[error("the configuration of entry {0} is not committed yet")]
    ChangePending(Index),
    /// The change was based on another configuration than the one in force.
    #[error("the configuration in force is that of entry {0}, not the one this was based on")]
    Stale(Index),
    /// A member has that instance tag already, under this id.
    #[error("already a member, with id {0}")]
    AlreadyMember(NodeId),
    /// There is no member with this id.
    #[error("no member has id {0}")]
    UnknownMember(NodeId),
    /// The member has the wanted role already.
    #[error("member {0} has that role already")]
    SameRole(NodeId),
    /// An update may change addresses and name, never the instance tag.
    #[error("member {0} has another instance tag")]
    OtherTag(NodeId),
    /// The change would take away the last voter.
    #[error("no voter would be left")]
    LastVoter,
    /// The leader is not in touch with a majority of the voters that the change would leave, or too
    /// many of them are recovering.
    #[error("only {active} of the {voters} voters there would be are in touch and can vote")]
    NoQuorum {
        /// Voters of the new configuration that were heard from within an election timeout, and are
        /// not recovering.
        active: usize,
        /// Voters of the new configuration.
        voters: usize,
    },
}

/// Why a transfer of leadership was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TransferError {
    /// This node does not lead.
    #[error("not the leader")]
    NotLeader {
        /// Who does, if known.
        leader: Option<NodeId>,
    },
    /// The target leads already.
    #[error("{0} leads already")]
    AlreadyLeader(NodeId),
    /// The target is no voter of the configuration in force.
    #[error("{0} is not a voter")]
    NotVoter(NodeId),
    /// The target may have lost entries that it acknowledged, and does not campaign before it has
    /// them again.
    #[error("{0} is recovering")]
    Recovering(NodeId),
    /// No other voter was heard from within an election timeout.
    #[error("no other voter is in touch")]
    NoTarget,
}
