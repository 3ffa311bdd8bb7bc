//! The consensus core.

mod candidate;
mod change;
mod clock;
mod configuration;
mod event;
mod follower;
mod leader;
mod log;
mod membership;
mod message;
mod node;
mod options;
mod output;
mod progress;
mod quorum;
mod raw;
mod read_index;
mod ready;
mod refusal;
mod replication;
#[cfg(test)]
mod testing;
mod timeline;
mod transfer;

pub use configuration::{Change, Configuration, Member, MemberInfo, Role as MemberRole};
pub use event::{Event, Reason, Refusal, RoleKind};
pub use message::{Append, Entry, Envelope, Message, Payload, Stamp};
pub use node::Node;
pub use options::Options;
pub use progress::{ProgressState, ProgressView};
pub use ready::{Boot, HardState, LogRead, NEVER, Persisted, ReadFailure, ReadState, Ready, Write};
pub use refusal::{ProposeError, TransferError};

/// Names a node for all time: the index of the committed entry that admitted it.
pub type NodeId = u64;
/// A term, from 1; 0 before any election.
pub type Term = u64;
/// A position in the log, from 1; 0 stands for "before the first entry".
pub type Index = u64;

/// A point on the caller's monotonic clock, in microseconds since an arbitrary start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Micros(pub u64);

impl std::ops::Add<u64> for Micros {
    type Output = Self;

    /// Later by so many µs.
    fn add(self, micros: u64) -> Self {
        Self(self.0.saturating_add(micros))
    }
}

impl std::ops::Sub for Micros {
    type Output = u64;

    /// µs since then; 0 if that is in the future.
    fn sub(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// What time it is, handed in with every input: the core has no clock of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Now {
    /// Monotonic time; the only one that drives the protocol.
    pub mono: Micros,
    /// Wall clock, milliseconds since 1970; only stamped on entries, never waited for.
    pub wall_ms: u64,
}
