//! Cluster time: what everything that expires runs on.
//!
//! A leader continues from the last stamp in the log at the pace of its monotonic clock, and leans
//! at most one per cent towards its wall clock. So the clock never goes back and never jumps,
//! whatever anybody does to a wall clock, and in the long run it tells the time of day. Only a log
//! without any stamp takes the wall clock as it is.

use super::message::Stamp;
use super::{Micros, Now};

/// The share of elapsed time by which the clock may lean towards the wall: 1 in this many.
const SLEW: u64 = 100;

/// The clock of the cluster, as far as this node knows it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ClusterClock {
    /// Cluster time in µs as of `at`; never less than any stamp in the log.
    clock_us: u64,
    /// When that was, on this node's monotonic clock.
    at: Micros,
    /// The stamp of the last entry in the log.
    last_ms: u64,
}

impl ClusterClock {
    /// A clock that continues after the last stamp of the log (0 when there is none).
    pub(super) fn new(last_ms: u64, now: Now) -> Self {
        Self { clock_us: last_ms.saturating_mul(1000), at: now.mono, last_ms }
    }

    /// Takes note of the stamp of the entry that is now the last of the log.
    pub(super) fn observe(&mut self, stamp: Stamp) {
        self.last_ms = stamp.clock_ms;
        self.clock_us = self.clock_us.max(stamp.clock_ms.saturating_mul(1000));
    }

    /// Takes office: from here on time is this node's own. It goes on from the log, and not from where
    /// this node was in an earlier office whose last entries were replaced: the entries in their place
    /// were stamped by a clock that was behind that, and what was to live by it would end early.
    pub(super) fn take_office(&mut self, now: Now) {
        self.at = now.mono;
        self.clock_us = self.last_ms.saturating_mul(1000);
        if self.clock_us == 0 {
            self.clock_us = now.wall_ms.saturating_mul(1000);
        }
    }

    /// The stamp for an entry that is made now. Only a leader may ask.
    pub(super) fn stamp(&mut self, now: Now) -> Stamp {
        let elapsed = now.mono.0.saturating_sub(self.at.0);
        let lean = elapsed / SLEW;
        let straight = self.clock_us.saturating_add(elapsed);
        let wall_us = now.wall_ms.saturating_mul(1000);
        self.clock_us = wall_us.clamp(straight - lean, straight.saturating_add(lean));
        self.at = self.at.max(now.mono);
        Stamp { clock_ms: self.clock_us / 1000, wall_ms: now.wall_ms }
    }

    /// What [`stamp`](Self::stamp) would say.
    pub(super) fn look(&self, now: Now) -> Stamp {
        self.clone().stamp(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mono_ms: u64, wall_ms: u64) -> Now {
        Now { mono: Micros(mono_ms * 1000), wall_ms }
    }

    #[test]
    fn a_log_without_stamps_starts_at_the_wall() {
        let mut clock = ClusterClock::new(0, at(0, 0));
        clock.take_office(at(5, 70_000));
        assert_eq!(clock.stamp(at(15, 70_010)), Stamp { clock_ms: 70_010, wall_ms: 70_010 });
    }

    #[test]
    fn a_wall_that_jumps_moves_the_clock_by_one_per_cent() {
        let mut clock = ClusterClock::new(1_000, at(0, 1_000));
        clock.take_office(at(0, 1_000));
        assert_eq!(clock.stamp(at(1_000, 9_000_000)).clock_ms, 2_010);
        assert_eq!(clock.stamp(at(2_000, 5)).clock_ms, 3_000);
    }

    #[test]
    fn an_office_whose_entries_were_replaced_leaves_no_time_behind() {
        let mut clock = ClusterClock::new(1_000, at(0, 1_000));
        clock.take_office(at(0, 1_000));
        let lost = clock.stamp(at(9_000, 10_000));
        clock.observe(lost);
        // Another leader's entry stands in its place.
        clock.observe(Stamp { clock_ms: 1_200, wall_ms: 0 });
        clock.take_office(at(9_500, 10_500));
        assert_eq!(clock.stamp(at(9_500, 10_500)).clock_ms, 1_200);
    }

    #[test]
    fn small_steps_lean_no_more_than_large_ones() {
        let mut clock = ClusterClock::new(1_000, at(0, 1_000));
        clock.take_office(at(0, 1_000));
        for ms in 1..=1_000 {
            clock.stamp(at(ms, u64::MAX));
        }
        assert_eq!(clock.stamp(at(1_000, 0)).clock_ms, 2_010);
    }

    #[test]
    fn the_clock_never_goes_back_and_time_out_of_office_is_not_counted() {
        let mut clock = ClusterClock::new(50_000, at(0, 1));
        clock.observe(Stamp { clock_ms: 55_000, wall_ms: 0 });
        clock.observe(Stamp { clock_ms: 60_000, wall_ms: 0 });
        clock.take_office(at(90_000, 1));
        assert_eq!(clock.stamp(at(90_000, 1)).clock_ms, 60_000);
        assert_eq!(clock.stamp(at(80_000, 1)).clock_ms, 60_000, "a clock of the caller that errs");
    }
}
