//! Commands and replies.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What can be done to the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Registers a write session for a process of `node`; the reply is its id.
    RegisterSession {
        /// The node.
        node: u64,
        /// Drawn by the process; a repeated registration with the same nonce gives the same session.
        nonce: u64,
    },
    /// Makes a short link for the stored form of a URL.
    CreateLink {
        /// The bytes to store, already checked.
        url: Bytes,
    },
}

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
    /// The command's number is below the session's floor: nobody waits for it, not applied.
    Stale,
}
