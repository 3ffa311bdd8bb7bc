//! Protocol time: the caller's monotonic clock without the pauses.
//!
//! A process that was stopped (a suspended machine, a stopped container) wakes to deadlines that
//! are long past, while the messages that would have moved them still wait in its sockets. Seen
//! from inside, the stop did not happen: when the node is called much later than it asked for, only
//! one heartbeat interval of the gap is credited, and all its deadlines move by the rest.

use super::{Micros, NEVER, Now};

/// Turns the caller's time into protocol time.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Timeline {
    /// The newest time the caller has told.
    last: Micros,
    /// How much of it was pauses, in µs.
    paused: u64,
}

impl Timeline {
    pub(super) fn new(now: Now) -> Self {
        Self { last: now.mono, paused: 0 }
    }

    /// Protocol time as of the last call.
    pub(super) fn time(&self) -> Micros {
        Micros(self.last.0 - self.paused)
    }

    /// A deadline in protocol time, on the caller's clock.
    pub(super) fn to_caller(&self, deadline: Micros) -> Micros {
        if deadline == NEVER { NEVER } else { deadline + self.paused }
    }

    /// Moves on to `now` and returns the length of the pause, if this was one: a gap of more than
    /// `tolerance` in which `deadline` (protocol time) has passed. `credit` of it counts as time.
    /// A clock that goes back stands still.
    pub(super) fn advance(
        &mut self,
        now: Now,
        deadline: Micros,
        tolerance: u64,
        credit: u64,
    ) -> Option<u64> {
        let gap = now.mono.0.saturating_sub(self.last.0);
        let overdue = now.mono > self.to_caller(deadline);
        self.last = self.last.max(now.mono);
        if gap <= tolerance || !overdue {
            return None;
        }
        self.paused += gap - credit.min(gap);
        Some(gap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(us: u64) -> Now {
        Now { mono: Micros(us), wall_ms: 0 }
    }

    #[test]
    fn a_pause_moves_deadlines_by_all_but_the_credit() {
        let mut timeline = Timeline::new(at(1_000));
        assert_eq!(timeline.advance(at(1_400), Micros(1_500), 500, 50), None);
        assert_eq!(timeline.advance(at(9_400), Micros(1_500), 500, 50), Some(8_000));
        assert_eq!(timeline.time(), Micros(1_450));
        assert_eq!(timeline.to_caller(Micros(1_500)), Micros(9_450));
    }

    #[test]
    fn a_node_that_asked_for_nothing_was_not_paused() {
        let mut timeline = Timeline::new(at(0));
        assert_eq!(timeline.advance(at(1_000_000), NEVER, 500, 50), None);
        assert_eq!(timeline.time(), Micros(1_000_000));
        assert_eq!(timeline.to_caller(NEVER), NEVER);
    }

    #[test]
    fn a_clock_that_goes_back_stands_still() {
        let mut timeline = Timeline::new(at(1_000));
        assert_eq!(timeline.advance(at(10), NEVER, 500, 50), None);
        assert_eq!(timeline.time(), Micros(1_000));
    }
}
