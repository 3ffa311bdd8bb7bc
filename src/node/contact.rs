//! When this node last heard its leader, for whoever answers a client and wants to say how old its
//! answer may be.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Written by the raft thread whenever it is awake, read by anybody: one number.
#[derive(Debug)]
pub struct LeaderContact {
    start: Instant,
    /// µs since the start; or one of the two below.
    heard: AtomicU64,
}

/// No leader was heard of yet.
const NEVER: u64 = u64::MAX;
/// This node leads.
const LEADS: u64 = u64::MAX - 1;

impl Default for LeaderContact {
    fn default() -> Self {
        Self { start: Instant::now(), heard: AtomicU64::new(NEVER) }
    }
}

impl LeaderContact {
    /// This node leads.
    pub fn leads(&self) {
        self.heard.store(LEADS, Ordering::Relaxed);
    }

    /// This node follows, and heard the leader this long ago, in µs; none for no leader: what was heard
    /// of the one before goes on ageing.
    pub fn follows(&self, silence_us: Option<u64>) {
        let now = self.micros(Instant::now());
        match silence_us {
            Some(silence) => self.heard.store(now.saturating_sub(silence), Ordering::Relaxed),
            None if self.heard.load(Ordering::Relaxed) == LEADS => {
                self.heard.store(now, Ordering::Relaxed);
            }
            None => {}
        }
    }

    /// ms since the leader was heard: 0 on the leader, [`u64::MAX`] when none ever was.
    pub fn age_ms(&self) -> u64 {
        self.age_ms_at(Instant::now())
    }

    fn age_ms_at(&self, now: Instant) -> u64 {
        match self.heard.load(Ordering::Relaxed) {
            NEVER => u64::MAX,
            LEADS => 0,
            heard => self.micros(now).saturating_sub(heard) / 1000,
        }
    }

    fn micros(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.start).as_micros()).unwrap_or(LEADS - 1)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_was_heard_ages_until_more_is_heard() {
        let contact = LeaderContact::default();
        assert_eq!(contact.age_ms(), u64::MAX, "never");
        contact.follows(None);
        assert_eq!(contact.age_ms(), u64::MAX, "still never");
        contact.follows(Some(0));
        let later = |secs| Instant::now() + Duration::from_secs(secs);
        assert!((60_000..90_000).contains(&contact.age_ms_at(later(60))));
        contact.follows(None);
        assert!(contact.age_ms_at(later(60)) >= 60_000, "without a leader it goes on");
        contact.leads();
        assert_eq!(contact.age_ms_at(later(60)), 0);
        contact.follows(None);
        assert!((60_000..90_000).contains(&contact.age_ms_at(later(60))), "it led until now");
    }
}
