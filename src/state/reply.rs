//! Replies: what commands say.
//!
//! A reply is part of the state: it is kept until whoever sent the command has it
//! ([`Writes`](super::Writes)), and for a day when the command came under a client's key. Its bytes are
//! MessagePack and, like those of commands, for ever.

use serde::{Deserialize, Serialize};

use super::board::Told;
use super::kv::{KvReply, Session, SessionId};

/// What a command says when it is applied: the same on every node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// The session's id.
    Session(u64),
    /// The link's key, and whether this command made it.
    Link {
        /// The short key.
        key: String,
        /// False when the URL stood already.
        created: bool,
    },
    /// The write session is not known (any more): not applied.
    UnknownSession,
    /// The command's number is below the session's floor, or this is a late copy of a registration
    /// that a newer one of the node has replaced: nobody waits for it, not applied.
    Stale,
    /// The client's key is known: this is what was said when it was used first. Nothing was done.
    Replayed(Box<Reply>),
    /// The client's key was used for another request: not applied.
    KeyReused,
    /// The digest of the whole state as of this entry.
    Digest(u128),
    /// What came of operations on keys.
    Kv(KvReply),
    /// The session is open.
    SessionOpened {
        /// Its id.
        id: SessionId,
        /// The revision that opened it.
        revision: u64,
    },
    /// The session is not there any more.
    SessionDestroyed {
        /// Whether it was.
        existed: bool,
        /// The store's revision now.
        revision: u64,
    },
    /// The session as it stands, now that it lives on; none when it is not there.
    SessionRenewed(Option<Session>),
    /// What was due has ended.
    Expired {
        /// So many things: sessions, keys, delays of locks.
        count: u64,
    },
    /// The version that the cluster goes by.
    Version(u32),
    /// The rows are those of the backup.
    Restored {
        /// The store's revision now, above every one that this cluster or the backup had.
        revision: u64,
    },
    /// The restore came too late: not applied.
    RestoreLate,
    /// What came of something that was done to the board.
    Board(Told),
}
