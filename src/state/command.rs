//! Commands and replies.
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
    /// The command's number is below the session's floor, or this is a late copy of a registration
    /// that a newer one of the node has replaced: nobody waits for it, not applied.
    Stale,
}

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
    /// Header or body are damaged.
    #[error("malformed command: {0}")]
    Malformed(String),
}

const REGISTER_SESSION: (u16, u16) = (1, 1);
const CREATE_LINK: (u16, u16) = (2, 1);

#[derive(Serialize, Deserialize)]
struct RegisterSessionV1 {
    node: u64,
    nonce: u64,
}

#[derive(Serialize, Deserialize)]
struct CreateLinkV1 {
    url: Bytes,
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
        }
    }

    /// The command in these bytes, all of which must belong to it.
    ///
    /// # Errors
    /// When the kind or version is unknown, or the bytes are damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self, CommandError> {
        let Some(([k0, k1, v0, v1], body)) = bytes.split_first_chunk() else {
            return Err(CommandError::Malformed("shorter than its header".into()));
        };
        let kind = u16::from_le_bytes([*k0, *k1]);
        let version = u16::from_le_bytes([*v0, *v1]);
        match (kind, version) {
            REGISTER_SESSION => {
                let RegisterSessionV1 { node, nonce } = decode_body(body)?;
                Ok(Self::RegisterSession { node, nonce })
            }
            CREATE_LINK => {
                let CreateLinkV1 { url } = decode_body(body)?;
                Ok(Self::CreateLink { url })
            }
            (kind, version) => Err(CommandError::Unknown { kind, version }),
        }
    }
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_command() -> impl Strategy<Value = Command> {
        prop_oneof![
            any::<(u64, u64)>().prop_map(|(node, nonce)| Command::RegisterSession { node, nonce }),
            any::<Vec<u8>>().prop_map(|url| Command::CreateLink { url: url.into() }),
        ]
    }

    proptest! {
        #[test]
        fn a_command_survives_its_bytes(command in any_command()) {
            prop_assert_eq!(Command::decode(&command.encode()), Ok(command));
        }

        #[test]
        fn random_bytes_never_panic(bytes in any::<Vec<u8>>()) {
            let _ = Command::decode(&bytes);
        }

        #[test]
        fn random_bodies_never_panic(kind in 1u8..=2, body in any::<Vec<u8>>()) {
            let _ = Command::decode(&[&[kind, 0, 1, 0], &body[..]].concat());
        }

        #[test]
        fn every_truncation_is_refused(command in any_command()) {
            let bytes = command.encode();
            for len in 0..bytes.len() {
                prop_assert!(Command::decode(&bytes[..len]).is_err());
            }
        }
    }

    #[test]
    fn an_unknown_kind_or_version_asks_for_an_upgrade() {
        for header in [[9, 0, 1, 0], [2, 0, 2, 0], [0, 0, 0, 0]] {
            let error = Command::decode(&header).unwrap_err();
            assert!(matches!(error, CommandError::Unknown { .. }));
            assert!(error.to_string().contains("upgrade this node"), "{error}");
        }
    }

    #[test]
    fn trailing_bytes_are_refused() {
        let mut bytes = Command::RegisterSession { node: 1, nonce: 2 }.encode().to_vec();
        bytes.push(0);
        assert!(matches!(Command::decode(&bytes), Err(CommandError::Malformed(_))));
    }
}
