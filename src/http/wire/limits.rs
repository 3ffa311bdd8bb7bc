//! What a client may send, and how much memory all of them together may take up by sending.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Head;

/// Bounds on what clients may send; one for all connections of a front.
pub struct Limits {
    /// Bytes of a head, blank line included.
    pub head_max: usize,
    /// Bytes of a request target.
    pub target_max: usize,
    /// What to do with a body. Asked once per request, when its head is complete.
    pub body: Box<dyn Fn(&Head) -> BodyRule + Send + Sync>,
    /// Memory for bodies that have arrived in part.
    pub bodies: Budget,
}

impl Limits {
    /// Header fields in a head.
    pub const HEADERS_MAX: usize = 64;
    /// Bytes of a head by default.
    pub const HEAD_MAX: usize = 16 * 1024;
    /// Bytes of a target by default: a URL of the longest kind, and room for the rest.
    pub const TARGET_MAX: usize = 9 * 1024;
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Limits: {:?}", self.bodies)
    }
}

/// How to take a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyRule {
    /// As a whole, of so many bytes at most.
    Whole(usize),
    /// Piece by piece, as it arrives, however long.
    Pieces,
}

/// Memory that is shared by all connections. Clones are the same.
///
/// Each body is bounded, but so many clients may send one, and stop in the middle, that all of them
/// together must be bounded too.
#[derive(Clone, Debug)]
pub struct Budget {
    used: Arc<AtomicUsize>,
    max: usize,
}

impl Budget {
    /// So many bytes.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { used: Arc::default(), max }
    }

    /// Bytes that are taken up.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    pub(super) fn lease(&self) -> Lease {
        Lease { budget: self.clone(), bytes: 0 }
    }
}

/// A part of a budget, given back when dropped.
#[derive(Debug)]
pub(super) struct Lease {
    budget: Budget,
    bytes: usize,
}

impl Lease {
    /// Makes the part this large. Returns whether there was room.
    pub fn extend_to(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        self.bytes += more;
        self.budget.used.fetch_add(more, Ordering::Relaxed) + more <= self.budget.max
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
