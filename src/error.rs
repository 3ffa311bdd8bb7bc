//! Failures that reach a client, typed by the one question it has: was it done?
//!
//! A deterministic refusal (the command was applied and said no) is not here: it is a reply of the
//! state machine. Here is what went wrong on this node: before the command entered any log
//! (*not applied*), or after (*outcome unknown*). The two are never mixed up.

use std::fmt;

/// Whether a failed request changed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// It certainly was not and will not be applied.
    NotApplied,
    /// It may have been applied, or may still be.
    Unknown,
}

/// Why a request failed on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No leader was found in time.
    NoLeader,
    /// A bounded queue was full; the node or the leader is overloaded.
    Busy,
    /// The disks of the leader, or of too many voters, have no room for another write.
    DiskFull,
    /// The deadline passed.
    Deadline,
    /// The node is stopping or has not joined a cluster yet.
    Unavailable,
    /// Something the caller asked for is not possible now (a transfer without a target, …).
    Refused(String),
}

/// A failed request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Whether it changed anything.
    pub certainty: Certainty,
    /// Why.
    pub reason: Reason,
}

impl Failure {
    /// A failure before anything was proposed.
    #[must_use]
    pub fn not_applied(reason: Reason) -> Self {
        Self { certainty: Certainty::NotApplied, reason }
    }

    /// A failure after the command may have entered a log.
    #[must_use]
    pub fn unknown(reason: Reason) -> Self {
        Self { certainty: Certainty::Unknown, reason }
    }

    /// The same failure of a mere question, which changes nothing whatever becomes of it.
    #[must_use]
    pub fn of_question(&self) -> Self {
        Self::not_applied(self.reason.clone())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = match &self.reason {
            Reason::NoLeader => "the cluster has no leader at the moment",
            Reason::Busy => "this node has too much to do at the moment",
            Reason::DiskFull => {
                "the disk of this node, or those of a majority, have no room left; free space there"
            }
            Reason::Deadline => "the request's time ran out",
            Reason::Unavailable => "this node is not serving at the moment",
            Reason::Refused(why) => why,
        };
        let outcome = match self.certainty {
            Certainty::NotApplied => "nothing was changed",
            Certainty::Unknown => "it may or may not have been done",
        };
        write!(f, "{reason}; {outcome}")
    }
}
