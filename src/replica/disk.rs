//! How long the disk has been at it: the age of the oldest write that was handed out and not reported.
//!
//! A disk that fails says so; one that hangs says nothing, and a leader that goes on sending heartbeats
//! meanwhile keeps the cluster from electing one that could work. So the age of the oldest write decides:
//! beyond one bound the node must not lead, beyond another its process must end.
//!
//! Only time that was looked at counts. A process that was stopped finds its writes old although nobody
//! kept it waiting: of each gap between two looks at most half the first bound counts, and while a write
//! is under way looks are asked for more often than that.

use std::collections::VecDeque;

use crate::raft::{Micros, NEVER};

/// Watches the writes under way.
pub(super) struct DiskWatch {
    /// An age from which on the disk counts as stalled, in µs.
    stall_us: u64,
    /// An age at which the process has to end, in µs.
    exit_us: u64,
    /// Time as far as it counts, in µs.
    clock: u64,
    looked_at: Micros,
    /// When each write under way was handed out, by `clock`; the oldest first.
    under_way: VecDeque<u64>,
    stalled: bool,
}

/// What a look at the disk shows anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// The oldest write is this old, in µs, and counts as stalled from now on.
    Stalled(u64),
    /// It has come to its end.
    Resumed,
}

impl DiskWatch {
    pub fn new(stall_us: u64, exit_us: u64, now: Micros) -> Self {
        assert!(stall_us > 0 && stall_us <= exit_us, "a disk stalls before its process ends");
        let under_way = VecDeque::new();
        Self { stall_us, exit_us, clock: 0, looked_at: now, under_way, stalled: false }
    }

    /// Whether the oldest write takes too long.
    pub fn is_stalled(&self) -> bool {
        self.stalled
    }

    /// Age of the oldest write under way, in µs; 0 when there is none.
    pub fn age(&self) -> u64 {
        self.under_way.front().map_or(0, |since| self.clock - since)
    }

    /// Whether it has taken so long that the process has to end.
    pub fn is_hopeless(&self) -> bool {
        self.age() >= self.exit_us
    }

    pub fn handed_out(&mut self, now: Micros) {
        self.pass(now);
        self.under_way.push_back(self.clock);
    }

    /// The oldest write is durable.
    pub fn reported(&mut self) {
        self.under_way.pop_front().expect("only what was handed out is reported");
    }

    /// Lets time pass; tells what is different from the look before.
    pub fn look(&mut self, now: Micros) -> Option<Change> {
        self.pass(now);
        let stalled = self.age() >= self.stall_us;
        if stalled == self.stalled {
            return None;
        }
        self.stalled = stalled;
        Some(if stalled { Change::Stalled(self.age()) } else { Change::Resumed })
    }

    /// When a look is wanted next.
    pub fn deadline(&self) -> Micros {
        if self.under_way.is_empty() { NEVER } else { self.looked_at + (self.stall_us / 4).max(1) }
    }

    fn pass(&mut self, now: Micros) {
        self.clock += (now - self.looked_at).min(self.stall_us / 2);
        self.looked_at = self.looked_at.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALL: u64 = 1_000;
    const EXIT: u64 = 30_000;

    /// Looks whenever that is asked for, until `end`.
    fn watch_until(watch: &mut DiskWatch, end: u64) -> Vec<Change> {
        let mut changes = Vec::new();
        while watch.deadline().0 <= end {
            changes.extend(watch.look(watch.deadline()));
        }
        changes.extend(watch.look(Micros(end)));
        changes
    }

    #[test]
    fn the_oldest_write_counts_and_its_end_is_the_end_of_the_stall() {
        let mut watch = DiskWatch::new(STALL, EXIT, Micros(0));
        assert_eq!(watch.deadline(), NEVER, "an idle disk is not looked at");
        watch.handed_out(Micros(0));
        assert_eq!(watch_until(&mut watch, 600), []);
        watch.handed_out(Micros(600));
        assert_eq!(watch_until(&mut watch, 1_000), [Change::Stalled(1_000)]);
        assert!(watch.is_stalled());
        watch.reported();
        assert_eq!(watch_until(&mut watch, 1_100), [Change::Resumed], "the next one is young");
        assert_eq!(watch.age(), 500);
    }

    #[test]
    fn what_hangs_for_long_is_hopeless() {
        let mut watch = DiskWatch::new(STALL, EXIT, Micros(0));
        watch.handed_out(Micros(0));
        watch_until(&mut watch, EXIT - 1);
        assert!(!watch.is_hopeless());
        watch_until(&mut watch, EXIT);
        assert!(watch.is_hopeless());
    }

    #[test]
    fn a_process_that_was_stopped_does_not_blame_the_disk() {
        let mut watch = DiskWatch::new(STALL, EXIT, Micros(0));
        watch.handed_out(Micros(0));
        assert_eq!(watch.look(Micros(60_000_000)), None, "it was stopped for a minute");
        watch.reported();
        assert_eq!(watch.look(Micros(60_000_001)), None);
    }

    #[test]
    fn a_clock_that_errs_breaks_nothing() {
        let mut watch = DiskWatch::new(STALL, EXIT, Micros(5_000));
        watch.handed_out(Micros(4_000));
        assert_eq!(watch.look(Micros(4_500)), None);
        assert_eq!(watch.age(), 0);
    }
}
