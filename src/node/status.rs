//! What the raft thread publishes about itself: plain data, one pointer, replaced on change.

use serde::Serialize;

/// Where in its life a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Looking for a cluster to join, or waiting to be admitted.
    #[default]
    Joining,
    /// Receives the log without a vote.
    Learner,
    /// Votes.
    Follower,
    /// Asks for votes.
    Candidate,
    /// Leads.
    Leader,
    /// Was taken out of the cluster.
    Removed,
    /// Is stopping.
    Stopping,
}

/// One member of the configuration, as this node sees it.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct MemberStatus {
    /// Node id.
    pub id: u64,
    /// Name.
    pub name: String,
    /// Peer address, `host:port`.
    pub peer: String,
    /// Base URL of its HTTP surface.
    pub http: String,
    /// Whether it votes.
    pub voter: bool,
    /// Last log index known to be durable there (leader only; own last index otherwise).
    pub match_index: Option<u64>,
    /// Whether the leader heard from it within the last election timeout (leader only).
    pub active: Option<bool>,
}

/// How a node's disk does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DiskHealth {
    /// As it should.
    #[default]
    Ok,
    /// It has no room for more than what keeps the node going: writes are refused.
    Full,
    /// A write to the log has not come to its end for too long.
    Stalled,
}

/// A node's own account of itself.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct Status {
    /// Node id; 0 until admitted.
    pub id: u64,
    /// Cluster id in hex; empty until known.
    pub cluster: String,
    /// Name of this node.
    pub name: String,
    /// Where in its life it is.
    pub phase: Phase,
    /// Current term.
    pub term: u64,
    /// Whom it follows (itself when it leads).
    pub leader: Option<u64>,
    /// Last index of its log.
    pub last_index: u64,
    /// Last index durable on its disk.
    pub durable_index: u64,
    /// Commit index.
    pub commit_index: u64,
    /// Index of the configuration in force.
    pub configuration_index: u64,
    /// The members of that configuration by id.
    pub members: Vec<MemberStatus>,
    /// Whether a read index obtained since the start has been applied: reads are as fresh as the
    /// cluster was when this node came up.
    pub caught_up: bool,
    /// Whether it started to serve without that, having found no leader for 5 s.
    pub serving_stale: bool,
    /// Writes of clients of this node that wait for their answer.
    pub pending_writes: u64,
    /// How its disk does.
    pub disk: DiskHealth,
    /// Why its log may have lost something it acknowledged: until a leader has replaced that, it does
    /// not vote.
    pub recovering: Option<String>,
    /// Why its state is not to be trusted: until it is fetched anew, the node serves nothing.
    pub state_lost: Option<String>,
    /// The log begins behind this index.
    pub log_start: u64,
}

impl Status {
    /// The member that leads, when it is known and still a member.
    #[must_use]
    pub fn leader_member(&self) -> Option<&MemberStatus> {
        self.members.iter().find(|member| Some(member.id) == self.leader)
    }
}
