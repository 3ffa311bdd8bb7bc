//! When a node whose state is lost may lead nevertheless.
//!
//! It should not: it cannot answer anybody. But its log may be the one that the others need, being the
//! longest, while none of them can be elected with a shorter one. So if nobody leads for long, it may
//! campaign; as a leader it brings another node's log up to its own, and hands over.

use crate::raft::{Micros, NEVER, NodeId};

/// Election timeouts without a leader after which it may.
const PATIENCE: u64 = 4;
/// Election timeouts for which it then may.
const TERM_OF_OFFICE: u64 = 8;

/// Watches a node whose state is lost.
#[derive(Default)]
pub(super) struct LastResort {
    /// No leader has been known since then.
    leaderless_since: Option<Micros>,
    /// Until then the node may lead.
    until: Option<Micros>,
    looked_at: Micros,
}

impl LastResort {
    /// Whether the node may lead now. `timeout_us` is the longest election timeout.
    pub fn look(
        &mut self,
        now: Micros,
        leader: Option<NodeId>,
        own: NodeId,
        timeout_us: u64,
    ) -> bool {
        self.looked_at = now;
        if leader.is_some_and(|leader| leader != own) {
            *self = Self::default();
            return false;
        }
        if self.until.is_some_and(|until| until <= now) {
            *self = Self { leaderless_since: None, until: None, looked_at: now };
        }
        if leader.is_none() && self.until.is_none() {
            let since = *self.leaderless_since.get_or_insert(now);
            if now >= since + PATIENCE * timeout_us {
                self.until = Some(now + TERM_OF_OFFICE * timeout_us);
            }
        }
        self.until.is_some()
    }

    /// When that may change by time alone.
    pub fn deadline(&self, timeout_us: u64) -> Micros {
        match (self.until, self.leaderless_since) {
            // In office it looks often whether it can hand over.
            (Some(until), _) => until.min(self.looked_at + timeout_us / 4),
            (None, Some(since)) => since + PATIENCE * timeout_us,
            (None, None) => NEVER,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: NodeId = 1;

    #[test]
    fn it_may_when_nobody_leads_for_long_and_not_for_ever() {
        let mut last_resort = LastResort::default();
        let mut look = |at, leader| last_resort.look(Micros(at), leader, OWN, 100);
        assert!(!look(1_000, None));
        assert!(!look(1_399, None));
        assert!(look(1_400, None));
        assert!(look(1_500, Some(OWN)), "elected");
        assert!(!look(2_200, Some(OWN)), "nobody took over");
        assert!(!look(2_300, None));
        assert!(look(2_700, None), "another try");
    }

    #[test]
    fn any_other_leader_ends_it() {
        let mut last_resort = LastResort::default();
        let mut look = |at, leader| last_resort.look(Micros(at), leader, OWN, 100);
        assert!(!look(0, None));
        assert!(!look(300, Some(2)));
        assert!(!look(400, None));
        assert!(look(800, None));
        assert!(!look(850, Some(2)));
        assert!(!look(860, Some(OWN)), "it lost its state in office");
    }
}
