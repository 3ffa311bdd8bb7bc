//! The key-value store: keys with values, locks on them, and the sessions that hold the locks.
//!
//! What can be done is data ([`Op`]), several of them at once, all or none; what came of it is a
//! [`KvReply`]. A single write is a transaction of one. The meanings are those of Consul's store, so
//! that its clients find what they expect; where a key's lifetime is its own ([`Op::Set`]'s `ttl_ms`),
//! it is ours.
//!
//! - [`read`](get): what can be asked of a view; `rows`: how all of it looks there;
//! - `txn`: what operations do; `sessions`: how sessions come and go;
//! - `keeper`: the one place that writes a key, and all that hangs on it;
//! - `deadlines`: what of it ends by itself; `marks`: what remains of keys that are gone;
//! - [`counters`](Counters): the store's numbers, and the indexes that readers are told.

mod counters;
mod deadlines;
mod keeper;
mod marks;
mod read;
mod rows;
mod sessions;
mod txn;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use counters::Counters;
pub(super) use keeper::Keeper;
pub use read::{
    get, is_delayed, scan, scan_rows, scan_sessions, scan_tombstones, session, sessions, tombstone,
};
pub use rows::{
    Head, Row, key_of_row, key_row as row_key, key_row as rows_prefix,
    session_row as session_row_key, sessions_prefix,
};
pub use txn::{READ_MAX, read_size};

use crate::ids::Id128;

/// Bytes of the longest key; checked where a write enters, never when reading or deleting.
pub const KEY_LEN_MAX: usize = 1024;
/// Bytes of the longest key or prefix that a command may name at all. What is longer than
/// [`KEY_LEN_MAX`] can be removed and asked for, should it be there; what is longer than this is nowhere,
/// and no node could apply the command.
pub const KEY_LEN_EVER: usize = 8 * KEY_LEN_MAX;
/// Bytes of the longest value unless the node is told otherwise.
pub const VALUE_LEN_DEFAULT: usize = 512 * 1024;
/// Operations in one transaction.
pub const OPS_MAX: usize = 128;

/// Names a session: drawn by the node that took the request, shown as a UUID.
pub type SessionId = Id128;

/// What must be so for a write to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum When {
    /// Nothing.
    Always,
    /// The key is not there.
    Absent,
    /// The key is there.
    Present,
    /// The key is there, and its `modify` is this revision.
    At(u64),
}

/// One operation of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// Sets value and flags; whoever holds the key's lock goes on holding it.
    Set {
        /// The key.
        key: Bytes,
        /// Its value.
        value: Bytes,
        /// A number of the client's own.
        flags: u64,
        /// Milliseconds of cluster time after which the key goes by itself; a set without it makes
        /// the key stay.
        ttl_ms: Option<u64>,
        /// On what condition.
        when: When,
    },
    /// Takes the key's lock for a session, and sets value and flags.
    Lock {
        /// The key.
        key: Bytes,
        /// Its value.
        value: Bytes,
        /// A number of the client's own.
        flags: u64,
        /// Who takes it.
        session: SessionId,
    },
    /// Gives the key's lock back, and sets value and flags.
    Unlock {
        /// The key.
        key: Bytes,
        /// Its value.
        value: Bytes,
        /// A number of the client's own.
        flags: u64,
        /// Who holds it.
        session: SessionId,
    },
    /// Removes a key; that it is not there already is no failure under [`When::Always`] and
    /// [`When::At`].
    Delete {
        /// The key.
        key: Bytes,
        /// On what condition.
        when: When,
    },
    /// Removes every key with this prefix.
    DeleteTree {
        /// The prefix; empty for all keys.
        prefix: Bytes,
    },
    /// Reads a key.
    Get {
        /// The key.
        key: Bytes,
        /// That it is not there is no failure.
        or_empty: bool,
    },
    /// Reads every key with this prefix.
    GetTree {
        /// The prefix.
        prefix: Bytes,
    },
    /// Fails unless the key's `modify` is this revision.
    CheckIndex {
        /// The key.
        key: Bytes,
        /// The revision.
        index: u64,
    },
    /// Fails unless this session holds the key's lock.
    CheckSession {
        /// The key.
        key: Bytes,
        /// The session.
        session: SessionId,
    },
    /// Fails if the key is there.
    CheckNotExists {
        /// The key.
        key: Bytes,
    },
}

/// A key as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The key.
    pub key: Bytes,
    /// Its value.
    pub value: Bytes,
    /// A number of the client's own.
    pub flags: u64,
    /// Revision that made it.
    pub create: u64,
    /// Revision that changed it last.
    pub modify: u64,
    /// How often its lock was taken.
    pub lock_index: u64,
    /// Who holds its lock.
    pub session: Option<SessionId>,
    /// When it goes by itself: ms of the state's clock ([`Counters::now`]).
    pub expires_ms: Option<u64>,
}

/// What an operation gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// Number of the operation, from 0.
    pub op: u32,
    /// The key as the operation left or found it. The value is empty unless it was read.
    pub entry: Entry,
    /// Whether it was read, so that the value counts.
    pub read: bool,
}

/// Why an operation failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Why {
    /// The key is not there.
    Missing,
    /// The key is there.
    Exists,
    /// The key's `modify` is another: this one.
    Stale(u64),
    /// Another session holds the key's lock.
    Held(SessionId),
    /// The key's lock cannot be taken yet, because a session lost it a moment ago.
    Delayed,
    /// The session does not hold the key's lock.
    NotHeld,
    /// There is no such session.
    NoSession,
    /// What was read is too large to be told.
    TooLarge,
    /// Nothing was looked at, since too much that was told to others on the same node waits to be heard;
    /// to try again helps. Only transactions of several operations are refused so, at their first.
    Busy,
}

/// An operation that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// Number of the operation, from 0.
    pub op: u32,
    /// The key it was about.
    pub key: Bytes,
    /// Why.
    pub why: Why,
}

/// What came of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KvReply {
    /// All of it was done.
    Done {
        /// The store's revision after it; unchanged when nothing was changed.
        revision: u64,
        /// What it gave, in the order of operations; a deletion gives nothing, a tree read gives one
        /// per key.
        given: Vec<Given>,
    },
    /// Nothing was done: these operations failed.
    Refused(Vec<Failed>),
}

/// What becomes of the keys that a session holds when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Behavior {
    /// Their locks are free.
    Release,
    /// They are removed.
    Delete,
}

/// What a session is opened with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewSession {
    /// Its id.
    pub id: SessionId,
    /// A name for people; may be empty.
    pub name: String,
    /// The node that it says it is on.
    pub node: String,
    /// Milliseconds without a renewal after which it ends; none for never.
    pub ttl_ms: Option<u64>,
    /// Milliseconds for which a lock that it lost cannot be taken.
    pub lock_delay_ms: u64,
    /// What becomes of its keys.
    pub behavior: Behavior,
    /// Names of node checks, shown again and never looked at.
    pub node_checks: Vec<String>,
    /// Service checks as (id, namespace), likewise.
    pub service_checks: Vec<(String, String)>,
}

/// A session as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// What it was opened with.
    pub new: NewSession,
    /// Revision that opened it.
    pub create: u64,
    /// Revision that changed it last; renewals do not count.
    pub modify: u64,
    /// When it ends unless it is renewed: ms of the state's clock.
    pub expires_ms: Option<u64>,
}

#[cfg(test)]
pub(super) mod tests;
