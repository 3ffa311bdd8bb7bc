//! Who is in the cluster, and who of them votes.
//!
//! A configuration takes effect when its entry is *appended* (Ongaro's thesis, 4.1) and is rolled
//! back with it. The core reads ids and roles only; [`MemberInfo`] is carried for the others.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::NodeId;

/// Whether a member counts in majorities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Receives the log, counts in no majority.
    Learner,
    /// Votes and counts.
    Voter,
}

/// What the rest of the program needs to know of a member. Opaque to the core.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct MemberInfo {
    /// Instance tag of the member's data directory.
    pub tag: [u8; 16],
    /// Name for people; unique by courtesy, not by rule.
    pub name: String,
    /// Peer address, `host:port` (TCP for peers, UDP for gossip).
    pub peer: String,
    /// Base URL of its HTTP surface, with scheme.
    pub http: String,
}

/// One member of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Member {
    /// Whether it votes.
    pub role: Role,
    /// Everything the core does not look at.
    pub info: MemberInfo,
}

/// The members of the cluster, as of one log entry.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Configuration {
    /// The members by id.
    pub members: BTreeMap<NodeId, Member>,
}

/// One step from a configuration to the next: never more than one voter at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Admits a new node as learner; its id is the index of the entry.
    AddLearner(MemberInfo),
    /// Makes a learner a voter.
    Promote(NodeId),
    /// Makes a voter a learner.
    Demote(NodeId),
    /// Takes a member out; its id is never used again.
    Remove(NodeId),
    /// Changes addresses or name; touches no vote.
    Update(NodeId, MemberInfo),
}

impl Configuration {
    /// The ids of the voters, ascending.
    pub fn voters(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.members.iter().filter(|(_, member)| member.role == Role::Voter).map(|(id, _)| *id)
    }

    /// The ids of the learners, ascending.
    pub fn learners(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.members.iter().filter(|(_, member)| member.role == Role::Learner).map(|(id, _)| *id)
    }

    /// Whether this node votes.
    #[must_use]
    pub fn is_voter(&self, id: NodeId) -> bool {
        self.members.get(&id).is_some_and(|member| member.role == Role::Voter)
    }

    /// Whether this node is a member, voter or learner.
    #[must_use]
    pub fn contains(&self, id: NodeId) -> bool {
        self.members.contains_key(&id)
    }

    /// The member with this instance tag.
    #[must_use]
    pub fn find(&self, tag: [u8; 16]) -> Option<NodeId> {
        self.members.iter().find(|(_, member)| member.info.tag == tag).map(|(id, _)| *id)
    }
}
