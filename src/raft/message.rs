//! What nodes say to each other, and what they agree on.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Configuration, Index, NodeId, Term};

/// The two times the leader writes on an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Stamp {
    /// Cluster time in ms: never goes back, runs at the leader's monotonic pace; what expires runs
    /// on it.
    pub clock_ms: u64,
    /// The leader's wall clock in ms since 1970: for display and ranking only.
    pub wall_ms: u64,
}

/// What an entry carries.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Payload {
    /// Nothing: a leader's first entry, so that it can commit what it inherited.
    Noop,
    /// A command for the state machine.
    Command(Bytes),
    /// A new configuration.
    Configuration(Configuration),
}

/// One entry of the replicated log.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Entry {
    /// Its position.
    pub index: Index,
    /// The term of the leader that made it.
    pub term: Term,
    /// When that leader made it.
    pub stamp: Stamp,
    /// What it says.
    pub payload: Payload,
}

/// A message with its addresses. Delivery may drop, repeat, delay and reorder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The sender.
    pub from: NodeId,
    /// The receiver.
    pub to: NodeId,
    /// The sender's term; in a pre-vote, and in a pre-vote reply that grants, the term asked for.
    pub term: Term,
    /// What is said.
    pub message: Message,
}

/// Entries to append.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Append {
    /// Index of the entry before the first one here.
    pub prev_index: Index,
    /// Its term.
    pub prev_term: Term,
    /// Entries that follow it, possibly none.
    pub entries: Vec<Entry>,
    /// The leader's commit index.
    pub commit: Index,
}

/// The messages of the protocol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// "Would you vote for me?", asked before the term is raised (thesis 9.6).
    PreVote {
        /// The asker's last index.
        last_index: Index,
        /// The term of its last entry.
        last_term: Term,
    },
    /// Answer to a pre-vote.
    PreVoteResponse {
        /// Whether it would.
        granted: bool,
    },
    /// Request for a vote (thesis 3.4).
    Vote {
        /// The candidate's last index.
        last_index: Index,
        /// The term of its last entry.
        last_term: Term,
        /// The leader asked for this election, so that stickiness does not apply (thesis 3.10).
        transfer: bool,
    },
    /// Answer to a vote request.
    VoteResponse {
        /// Whether the vote was given.
        granted: bool,
    },
    /// Entries, or a probe without any (thesis 3.5).
    Append(Append),
    /// The follower's log is durable and equal to the leader's up to `match_index`.
    AppendAccepted {
        /// Last index known to be equal and durable.
        match_index: Index,
    },
    /// The follower's log does not hold the entry before.
    AppendRejected {
        /// The `prev_index` that was refused.
        prev_index: Index,
        /// Where the logs may still be equal.
        hint_index: Index,
        /// The term of the follower's entry there.
        hint_term: Term,
    },
    /// The leader lives.
    Heartbeat {
        /// Commit index, no higher than what the follower is known to hold.
        commit: Index,
        /// The number of this round of heartbeats, which read indexes are confirmed by.
        round: u64,
    },
    /// Answer to a heartbeat, or to a stale leader (at the higher term).
    HeartbeatResponse {
        /// The round that is answered.
        round: u64,
        /// The follower's last durable index. Evidence for whoever looks at the traffic, no more:
        /// whether that entry is the leader's too, only an acknowledgement says.
        last_index: Index,
        /// The follower's disk has no room for entries. Left out when it has, as it was before there
        /// was this field.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        full: bool,
    },
    /// "Campaign now": the last step of a hand-over.
    TimeoutNow,
    /// A follower asks for a read index.
    ReadIndex {
        /// The follower's own number for it.
        id: u64,
    },
    /// Answer to it.
    ReadIndexResponse {
        /// The number given.
        id: u64,
        /// The index, or none when the leader could not confirm itself.
        index: Option<Index>,
    },
    /// The leader's log begins behind `start`, and the follower's ends before: it has to fetch the
    /// leader's state (thesis 5; the state itself travels apart from consensus).
    FetchState {
        /// Where the leader's log begins.
        start: Index,
    },
    /// The follower may have lost entries that it acknowledged: the leader must forget its
    /// acknowledgements, and say how far it has to get before it counts again.
    Recovering {
        /// Drawn by the follower's process; so that no answer to an earlier one is taken for its own.
        nonce: u64,
        /// Last index of what it holds.
        last_index: Index,
    },
    /// Answer to it.
    RecoverTo {
        /// The nonce of the question.
        nonce: u64,
        /// The leader's last index by then: all that the follower may ever have acknowledged, as far
        /// as it counts, is at or below.
        index: Index,
    },
    /// The follower's log holds, durably, this entry or begins behind it. If the leader's log holds it
    /// too, then both are equal up to there. It is the acknowledgement of a follower that cannot
    /// compare what it was sent, as a state took the place of that, and of one that is recovering.
    Holds {
        /// The entry's index.
        index: Index,
        /// Its term.
        term: Term,
        /// The nonce of [`Message::Recovering`], from a follower that is recovering; else 0.
        nonce: u64,
    },
    /// The receiver was removed from the cluster by the entry at this index.
    Removed {
        /// Index of the configuration that no longer holds the receiver.
        index: Index,
    },
}

impl Message {
    /// What to call it in a log line.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::PreVote { .. } => "PreVote",
            Self::PreVoteResponse { .. } => "PreVoteResponse",
            Self::Vote { .. } => "Vote",
            Self::VoteResponse { .. } => "VoteResponse",
            Self::Append(_) => "Append",
            Self::AppendAccepted { .. } => "AppendAccepted",
            Self::AppendRejected { .. } => "AppendRejected",
            Self::Heartbeat { .. } => "Heartbeat",
            Self::HeartbeatResponse { .. } => "HeartbeatResponse",
            Self::TimeoutNow => "TimeoutNow",
            Self::ReadIndex { .. } => "ReadIndex",
            Self::ReadIndexResponse { .. } => "ReadIndexResponse",
            Self::FetchState { .. } => "FetchState",
            Self::Recovering { .. } => "Recovering",
            Self::RecoverTo { .. } => "RecoverTo",
            Self::Holds { .. } => "Holds",
            Self::Removed { .. } => "Removed",
        }
    }
}
