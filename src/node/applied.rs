//! What the raft thread has to know of the applied state: a few numbers that it looks at whenever it is
//! awake, so that the applier need not wake it for each batch.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// The numbers; written by the applier.
#[derive(Debug)]
pub struct Applied {
    index: AtomicU64,
    /// [`u64::MAX`] for none.
    next_expiry_ms: AtomicU64,
    /// 0 while there is no state.
    rules: AtomicU32,
}

/// What the state says of itself besides how far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The earliest deadline in it, in ms of the cluster's clock.
    pub next_expiry_ms: Option<u64>,
    /// The version of the rules by which it is applied; none while there is no state.
    pub rules: Option<u32>,
}

impl Applied {
    /// As of the start.
    pub fn new(index: u64, facts: Facts) -> Self {
        let applied = Self {
            index: AtomicU64::new(0),
            next_expiry_ms: AtomicU64::new(u64::MAX),
            rules: AtomicU32::new(0),
        };
        applied.set(index, facts);
        applied
    }

    /// The state has come this far, and says this.
    pub fn set(&self, index: u64, facts: Facts) {
        let next_expiry_ms = facts.next_expiry_ms.unwrap_or(u64::MAX);
        self.next_expiry_ms.store(next_expiry_ms, Ordering::Relaxed);
        self.rules.store(facts.rules.unwrap_or(0), Ordering::Relaxed);
        // The last: who sees the index sees what was said with it, or later.
        self.index.store(index, Ordering::Release);
    }

    /// The index applied last.
    pub fn index(&self) -> u64 {
        self.index.load(Ordering::Acquire)
    }

    /// What the state said, as of the index read before or a later one.
    pub fn facts(&self) -> Facts {
        let next_expiry_ms = self.next_expiry_ms.load(Ordering::Relaxed);
        let rules = self.rules.load(Ordering::Relaxed);
        Facts {
            next_expiry_ms: (next_expiry_ms < u64::MAX).then_some(next_expiry_ms),
            rules: (rules > 0).then_some(rules),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_comes_back() {
        let applied = Applied::new(3, Facts::default());
        assert_eq!((applied.index(), applied.facts()), (3, Facts::default()));
        let facts = Facts { next_expiry_ms: Some(0), rules: Some(2) };
        applied.set(4, facts);
        assert_eq!((applied.index(), applied.facts()), (4, facts));
    }
}
