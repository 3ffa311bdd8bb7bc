//! The consensus core.

mod configuration;
mod message;
mod ready;

pub use configuration::{Change, Configuration, Member, MemberInfo, Role as MemberRole};
pub use message::{Append, Entry, Envelope, Message, Payload, Stamp};
pub use ready::{Boot, HardState, LogRead, Persisted, ReadFailure, ReadState, Ready, Write};

/// Names a node for all time: the index of the committed entry that admitted it.
pub type NodeId = u64;
/// A term, from 1; 0 before any election.
pub type Term = u64;
/// A position in the log, from 1; 0 stands for "before the first entry".
pub type Index = u64;

/// A point on the caller's monotonic clock, in microseconds since an arbitrary start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Micros(pub u64);

/// What time it is, handed in with every input: the core has no clock of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Now {
    /// Monotonic time; the only one that drives the protocol.
    pub mono: Micros,
    /// Wall clock, milliseconds since 1970; only stamped on entries, never waited for.
    pub wall_ms: u64,
}
