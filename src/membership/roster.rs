//! The gossiped member list as everybody else sees it: the latest value, replaced as a whole.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;
use serde::Serialize;

/// What gossip believes of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RosterStatus {
    /// Answers.
    Alive,
    /// Did not answer lately, and may still refute.
    Suspect,
    /// Did not answer for too long.
    Down,
    /// Said good-bye.
    Left,
}

/// One member of the roster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RosterEntry {
    /// Node id.
    pub id: u64,
    /// Name.
    pub name: String,
    /// Peer address, `host:port`.
    pub peer: String,
    /// Base URL of its HTTP surface.
    pub http: String,
    /// Version of its program.
    pub version: String,
    /// What gossip believes of it.
    pub status: RosterStatus,
}

/// A shared, always current copy of the roster, sorted by id.
#[derive(Clone, Default)]
pub struct Roster(Arc<RwLock<Published>>);

#[derive(Clone, Default)]
struct Published {
    entries: Arc<Vec<RosterEntry>>,
    encoded: Bytes,
}

impl Roster {
    /// The newest list.
    #[must_use]
    pub fn current(&self) -> Arc<Vec<RosterEntry>> {
        Arc::clone(&self.0.read().entries)
    }

    /// The newest list in gossip's own form, for a joiner to begin with.
    #[must_use]
    pub fn encoded(&self) -> Bytes {
        self.0.read().encoded.clone()
    }

    /// Replaces the list, in both its forms.
    pub fn publish(&self, entries: Vec<RosterEntry>, encoded: Bytes) {
        *self.0.write() = Published { entries: Arc::new(entries), encoded };
    }
}
