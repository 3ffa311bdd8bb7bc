//! Identities: who a cluster, a data directory and a write are.
//!
//! None of them is an address. Addresses change and are reused; these never do (design: identity).

use std::fmt;

use rand::TryRng;
use rand::rngs::SysRng;
use serde::{Deserialize, Serialize};

/// A random 128-bit number, written as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Id128(pub [u8; 16]);

/// Names one cluster for all time; drawn when its first node is bootstrapped.
pub type ClusterId = Id128;

/// Names one data directory for all time; a wiped disk draws a new one and is a new node.
pub type InstanceTag = Id128;

impl Id128 {
    /// A number that nobody else draws.
    ///
    /// # Panics
    /// When the system has no source of randomness.
    #[must_use]
    pub fn random() -> Self {
        Self(random())
    }
}

/// Random bytes from the system, for identities; never for anything the protocol decides.
///
/// # Panics
/// When the system has no source of randomness.
#[must_use]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SysRng.try_fill_bytes(&mut bytes).expect("the system's random source never fails");
    bytes
}

impl fmt::Display for Id128 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Id128 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Which write this is: the command `seq` of write session `session`.
///
/// The session id is the log index of the entry that registered it, so it is never reused. The
/// replicated state keeps the replies of a session from `floor` up, and a command that arrives a
/// second time gets the first reply (Ongaro's thesis, 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteId {
    /// The session: log index of its registration. 0 only in a registration itself.
    pub session: u64,
    /// Number of the command within the session, from 1. In a registration: the process's nonce.
    pub seq: u64,
    /// The lowest `seq` whose answer the node still wants; all below may be forgotten.
    pub floor: u64,
}

impl WriteId {
    /// Bytes that [`WriteId::encode`] puts in front of a command.
    pub const LEN: usize = 24;

    /// The id as three little-endian numbers.
    #[must_use]
    pub fn encode(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..8].copy_from_slice(&self.session.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.seq.to_le_bytes());
        bytes[16..].copy_from_slice(&self.floor.to_le_bytes());
        bytes
    }

    /// Splits an entry's payload into the write's id and the command; `None` when it is too short.
    #[must_use]
    pub fn split(payload: &[u8]) -> Option<(Self, &[u8])> {
        let (id, command) = payload.split_first_chunk::<{ Self::LEN }>()?;
        let word = |at: usize| {
            u64::from_le_bytes(id[at..at + 8].try_into().expect("eight bytes were asked for"))
        };
        Some((Self { session: word(0), seq: word(8), floor: word(16) }, command))
    }
}

/// Whom an answer is for: a parked request of one completion sink (an HTTP loop, a waiting thread).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket {
    /// Which sink, as numbered by the node's completions.
    pub sink: u16,
    /// The sink's own number for the request; never reused within a process.
    pub id: u64,
}
