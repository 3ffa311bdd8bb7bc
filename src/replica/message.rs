//! What replicas say to each other over the transport.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::ids::WriteId;
use crate::raft::{Envelope, Index, NodeId};

/// A request about the cluster itself, carried out by the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AdminRequest {
    /// Hand leadership to this node, or to the best one.
    Transfer(Option<NodeId>),
    /// Take this member out.
    Remove(NodeId),
}

/// Why a forwarded command was not appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// The receiver does not lead.
    NotLeader,
    /// The leader has too much to do.
    Busy,
    /// The leader does not understand the command; its program is older.
    Unknown,
    /// No majority has room on its disks.
    DiskFull,
}

/// A message between replicas.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum PeerMessage {
    /// Consensus.
    Raft(Envelope),
    /// A client's command, sent to the leader by the node that took it.
    Forward {
        /// Which write it is.
        id: WriteId,
        /// The encoded command.
        command: Bytes,
    },
    /// It was certainly not appended by the receiver.
    Refused {
        /// Which write it was.
        id: WriteId,
        /// Why.
        refusal: Refusal,
    },
    /// An admin request, sent to the leader by the node that took it.
    Admin {
        /// The sender's number for it.
        id: u64,
        /// What is asked.
        request: AdminRequest,
    },
    /// The answer to it.
    AdminDone {
        /// The asker's number.
        id: u64,
        /// What came of it.
        result: Result<(), String>,
    },
    /// The digest of the sender's state as of an entry that asked every node for it.
    Digest {
        /// The entry.
        index: Index,
        /// The digest.
        digest: u128,
    },
}

impl PeerMessage {
    /// Whether it may be long, and must then not stand in the way of heartbeats.
    #[must_use]
    pub fn is_bulk(&self) -> bool {
        const CONTROL_BYTES_MAX: usize = 64 << 10;
        match self {
            Self::Raft(envelope) => matches!(envelope.message, crate::raft::Message::Append(_)),
            Self::Forward { command, .. } => command.len() > CONTROL_BYTES_MAX,
            Self::Refused { .. }
            | Self::Admin { .. }
            | Self::AdminDone { .. }
            | Self::Digest { .. } => false,
        }
    }
}
