//! Commands: what can be done to the state, and the bytes that say it.
//!
//! A command is what a log entry carries: the same bytes on every node, for ever. Four bytes of
//! header, little-endian (kind, then version, each a `u16`), stand before a MessagePack body whose
//! fields are an array. A kind or version that this program does not know stops the node: a command
//! that was skipped here and applied elsewhere would split the copies for good.
//!
//! Whether a command makes sense (is this a URL at all?) is decided by the node that takes it from a
//! client. Applying never parses, so that a later and stricter check cannot change what old entries
//! did.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::VERSION;
use super::board::Act;
use super::kv::{KEY_LEN_EVER, NewSession, OPS_MAX, Op, SessionId};
use super::restore::Restore;
use crate::storage::KEY_BYTES_MAX;

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
    /// Does a write once, however often its client sends it: under a key of the client's own.
    Once {
        /// The client's key, of 1 to [`ONCE_KEY_LEN_MAX`] bytes.
        key: String,
        /// SHA-256 of the request, by which another request under the same key is noticed.
        hash: [u8; 32],
        /// What is to be done; see [`Command::is_write`].
        command: Box<Command>,
    },
    /// Changes nothing; every node tells the digest of its state as of this very entry.
    TakeDigest,
    /// Does operations on keys, all or none.
    Kv {
        /// In this order; at most [`OPS_MAX`].
        ops: Vec<Op>,
    },
    /// Opens a session, which can hold locks.
    OpenSession(NewSession),
    /// Ends a session.
    DestroySession {
        /// Its id.
        id: SessionId,
    },
    /// Has a session live on.
    RenewSession {
        /// Its id.
        id: SessionId,
    },
    /// Ends what is due by the clock.
    Expire,
    /// Has commands applied by the rules of a later version; every member has said it knows it.
    RaiseVersion {
        /// The version; nothing happens when the cluster has come so far already.
        version: u32,
    },
    /// Replaces all rows by those of a backup.
    Restore(Restore),
    /// Does something to the link board.
    Board(Act),
}

/// Bytes of the longest key that a client may put a write under.
pub const ONCE_KEY_LEN_MAX: usize = 255;

/// These bytes are no command that this program could apply. The node that meets them in its log
/// must stop; the node that is handed them by a client or a peer must refuse them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// A later program wrote it.
    #[error(
        "command kind {kind} version {version} is not known to this program: upgrade this node"
    )]
    Unknown {
        /// The kind in the header.
        kind: u16,
        /// The version in the header.
        version: u16,
    },
    /// A later program raised the cluster to its version.
    #[error("version {0} of the cluster is not known to this program: upgrade this node")]
    Newer(u32),
    /// Header or body are damaged.
    #[error("malformed command: {0}")]
    Malformed(String),
}

const REGISTER_SESSION: (u16, u16) = (1, 1);
const CREATE_LINK: (u16, u16) = (2, 1);
const ONCE: (u16, u16) = (3, 1);
const TAKE_DIGEST: (u16, u16) = (4, 1);
const KV: (u16, u16) = (5, 1);
const OPEN_SESSION: (u16, u16) = (6, 1);
const DESTROY_SESSION: (u16, u16) = (7, 1);
const RENEW_SESSION: (u16, u16) = (8, 1);
const EXPIRE: (u16, u16) = (9, 1);
const RAISE_VERSION: (u16, u16) = (10, 1);
const RESTORE: (u16, u16) = (11, 1);
const BOARD: (u16, u16) = (12, 1);

#[derive(Serialize, Deserialize)]
struct RegisterSessionV1 {
    node: u64,
    nonce: u64,
}

#[derive(Serialize, Deserialize)]
struct CreateLinkV1 {
    url: Bytes,
}

#[derive(Serialize, Deserialize)]
struct OnceV1 {
    key: String,
    hash: Bytes,
    command: Bytes,
}

/// The body of a command that says everything by its kind.
#[derive(Serialize, Deserialize)]
struct NothingV1 {}

#[derive(Serialize, Deserialize)]
struct KvV1 {
    ops: Vec<Op>,
}

#[derive(Serialize, Deserialize)]
struct BoardV1 {
    act: Act,
}

/// Of what is about a session and nothing else.
#[derive(Serialize, Deserialize)]
struct SessionV1 {
    id: SessionId,
}

#[derive(Serialize, Deserialize)]
struct RaiseVersionV1 {
    version: u32,
}

impl Command {
    /// Bytes of the header.
    pub const HEADER_LEN: usize = 4;

    /// The bytes that go into the log.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        match self {
            Self::RegisterSession { node, nonce } => {
                with_header(REGISTER_SESSION, &RegisterSessionV1 { node: *node, nonce: *nonce })
            }
            Self::CreateLink { url } => {
                with_header(CREATE_LINK, &CreateLinkV1 { url: url.clone() })
            }
            Self::Once { key, hash, command } => {
                let hash = Bytes::copy_from_slice(hash);
                with_header(ONCE, &OnceV1 { key: key.clone(), hash, command: command.encode() })
            }
            Self::TakeDigest => with_header(TAKE_DIGEST, &NothingV1 {}),
            Self::Kv { ops } => with_header(KV, &(ops,)),
            Self::OpenSession(new) => with_header(OPEN_SESSION, new),
            Self::DestroySession { id } => with_header(DESTROY_SESSION, &SessionV1 { id: *id }),
            Self::RenewSession { id } => with_header(RENEW_SESSION, &SessionV1 { id: *id }),
            Self::Expire => with_header(EXPIRE, &NothingV1 {}),
            Self::RaiseVersion { version } => {
                with_header(RAISE_VERSION, &RaiseVersionV1 { version: *version })
            }
            Self::Restore(restore) => with_header(RESTORE, restore),
            Self::Board(act) => with_header(BOARD, &(act,)),
        }
    }

    /// The command in these bytes, all of which must belong to it.
    ///
    /// # Errors
    /// When the kind or version is unknown, or the bytes are damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self, CommandError> {
        let (kind, body) = split_header(bytes)?;
        match kind {
            REGISTER_SESSION => {
                let RegisterSessionV1 { node, nonce } = decode_body(body)?;
                Ok(Self::RegisterSession { node, nonce })
            }
            CREATE_LINK => {
                let CreateLinkV1 { url } = decode_body(body)?;
                Ok(Self::CreateLink { url })
            }
            ONCE => Self::decode_once(body),
            TAKE_DIGEST => {
                let NothingV1 {} = decode_body(body)?;
                Ok(Self::TakeDigest)
            }
            KV => {
                let KvV1 { ops } = decode_body(body)?;
                check_ops(&ops)?;
                Ok(Self::Kv { ops })
            }
            OPEN_SESSION => Ok(Self::OpenSession(decode_body(body)?)),
            DESTROY_SESSION => {
                let SessionV1 { id } = decode_body(body)?;
                Ok(Self::DestroySession { id })
            }
            RENEW_SESSION => {
                let SessionV1 { id } = decode_body(body)?;
                Ok(Self::RenewSession { id })
            }
            EXPIRE => {
                let NothingV1 {} = decode_body(body)?;
                Ok(Self::Expire)
            }
            RAISE_VERSION => match decode_body(body)? {
                RaiseVersionV1 { version } if version > VERSION => {
                    Err(CommandError::Newer(version))
                }
                RaiseVersionV1 { version } => Ok(Self::RaiseVersion { version }),
            },
            RESTORE => Ok(Self::Restore(decode_body(body)?)),
            BOARD => {
                let BoardV1 { act } = decode_body(body)?;
                act.check().map_err(|why| CommandError::Malformed(why.into()))?;
                Ok(Self::Board(act))
            }
            (kind, version) => Err(CommandError::Unknown { kind, version }),
        }
    }

    /// Whether it is a client's: done under a write's id, and possible under a key.
    #[must_use]
    pub fn is_write(&self) -> bool {
        match self {
            Self::CreateLink { .. }
            | Self::Once { .. }
            | Self::Kv { .. }
            | Self::OpenSession(_)
            | Self::DestroySession { .. }
            | Self::RenewSession { .. }
            | Self::Restore(_)
            | Self::Board(_) => true,
            Self::RegisterSession { .. }
            | Self::TakeDigest
            | Self::Expire
            | Self::RaiseVersion { .. } => false,
        }
    }

    /// Whether a client may put it under a key of its own. What only reads has no use for one, and its
    /// answer can be large; what replaces all rows replaces the keys as well.
    #[must_use]
    pub fn fits_under_key(&self) -> bool {
        match self {
            Self::Kv { ops } => {
                !ops.iter().any(|op| matches!(op, Op::Get { .. } | Op::GetTree { .. }))
            }
            Self::Once { .. } | Self::Restore(_) => false,
            command => command.is_write(),
        }
    }

    fn decode_once(body: &[u8]) -> Result<Self, CommandError> {
        let malformed = |why: &str| Err(CommandError::Malformed(why.into()));
        let OnceV1 { key, hash, command } = decode_body(body)?;
        if key.is_empty() || key.len() > ONCE_KEY_LEN_MAX {
            return malformed("the key's length");
        }
        let Ok(hash) = <[u8; 32]>::try_from(&hash[..]) else {
            return malformed("the hash's length");
        };
        // Before it is decoded: keys around keys around keys must not eat up the stack.
        if split_header(&command)?.0 == ONCE {
            return malformed("a key around a key");
        }
        let command = Self::decode(&command)?;
        if !command.fits_under_key() {
            return malformed("a key around what cannot be under one");
        }
        Ok(Self::Once { key, hash, command: Box::new(command) })
    }
}

const _: () = assert!(KEY_LEN_EVER + 64 < KEY_BYTES_MAX, "the longest key fits into every row");

fn check_ops(ops: &[Op]) -> Result<(), CommandError> {
    let malformed = |why: &str| Err(CommandError::Malformed(why.into()));
    if ops.len() > OPS_MAX {
        return malformed("the number of operations");
    }
    let names = |op: &Op| !matches!(op, Op::DeleteTree { .. } | Op::GetTree { .. });
    if ops.iter().any(|op| names(op) && op.key().is_empty()) {
        return malformed("an empty key");
    }
    if ops.iter().any(|op| op.key().len() > KEY_LEN_EVER) {
        return malformed("a key's length");
    }
    Ok(())
}

/// (kind, version), and the body behind them.
fn split_header(bytes: &[u8]) -> Result<((u16, u16), &[u8]), CommandError> {
    let Some(([k0, k1, v0, v1], body)) = bytes.split_first_chunk() else {
        return Err(CommandError::Malformed("shorter than its header".into()));
    };
    Ok(((u16::from_le_bytes([*k0, *k1]), u16::from_le_bytes([*v0, *v1])), body))
}

fn with_header((kind, version): (u16, u16), body: &impl Serialize) -> Bytes {
    let mut bytes = Vec::with_capacity(64);
    bytes.extend_from_slice(&kind.to_le_bytes());
    bytes.extend_from_slice(&version.to_le_bytes());
    rmp_serde::encode::write(&mut bytes, body).expect("a Vec takes every plain value");
    bytes.into()
}

fn decode_body<T: DeserializeOwned>(body: &[u8]) -> Result<T, CommandError> {
    let mut rest = body;
    let value = rmp_serde::decode::from_read(&mut rest)
        .map_err(|error| CommandError::Malformed(error.to_string()))?;
    if rest.is_empty() {
        Ok(value)
    } else {
        Err(CommandError::Malformed(format!("{} bytes too many", rest.len())))
    }
}

#[cfg(test)]
mod tests;
