//! What is known of the scrub, which reads all of the state on disk to see whether it still is what
//! was written: who asks for one, how far it is, what the last one found.
//!
//! One thread scrubs, anybody may ask. Whoever asks while a scrub is on its way, or about to be, is
//! served by that one: so a scrub has a number, by which the end of the right one is recognised.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use serde::Serialize;

/// The account of the scrub, shared by the thread that does it and those who ask.
#[derive(Debug, Default)]
pub struct ScrubStatus {
    desk: Mutex<Desk>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Desk {
    report: ScrubReport,
    wanted: bool,
    stopping: bool,
}

/// How the scrub stands. Everything below `running` is about that scrub, or else the last one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ScrubReport {
    /// Number of the newest scrub that was asked for or begun since the process started, from 1.
    pub asked: u64,
    /// Number of the newest scrub that has ended.
    pub ended: u64,
    /// Whether one is under way.
    pub running: bool,
    /// Rows read.
    pub rows: u64,
    /// Bytes of keys and values read.
    pub bytes: u64,
    /// When it began, in ms since 1970.
    pub started_ms: Option<u64>,
    /// When it ended, in ms since 1970.
    pub finished_ms: Option<u64>,
    /// Whether the rows were found to be what was written; none when it could not be told.
    pub sound: Option<bool>,
    /// What was found, for people.
    pub result: Option<String>,
}

/// How a scrub ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScrubEnd {
    /// The rows are what was written.
    Sound(String),
    /// They are not.
    Damaged(String),
    /// It could not be brought to its end.
    Interrupted(String),
}

/// Why the scrubbing thread was woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScrubWake {
    /// Somebody wants a scrub.
    Asked,
    /// The time is over.
    Timeout,
    /// The node stops.
    Stop,
}

impl ScrubStatus {
    /// Asks for a scrub; one that is asked for or under way already will do.
    pub fn ask(&self) -> ScrubReport {
        let mut desk = self.desk.lock();
        if !desk.wanted && !desk.report.running {
            desk.wanted = true;
            desk.report.asked += 1;
            self.wake.notify_all();
        }
        desk.report.clone()
    }

    /// How it stands.
    #[must_use]
    pub fn report(&self) -> ScrubReport {
        self.desk.lock().report.clone()
    }

    /// Ends the waiting of the thread, for good.
    pub fn stop(&self) {
        self.desk.lock().stopping = true;
        self.wake.notify_all();
    }

    /// Whether the node stops: a scrub under way should be interrupted.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.desk.lock().stopping
    }

    /// The thread waits until somebody asks, the node stops, or this much time has passed.
    #[must_use]
    pub fn wait(&self, timeout: Duration) -> ScrubWake {
        let until = Instant::now() + timeout;
        let mut desk = self.desk.lock();
        loop {
            if desk.stopping {
                return ScrubWake::Stop;
            }
            if desk.wanted {
                return ScrubWake::Asked;
            }
            if self.wake.wait_until(&mut desk, until).timed_out() {
                return ScrubWake::Timeout;
            }
        }
    }

    /// The thread begins a scrub, asked for or not, at this time in ms since 1970.
    pub fn begin(&self, wall_ms: u64) {
        let mut desk = self.desk.lock();
        let own = u64::from(!desk.wanted);
        desk.wanted = false;
        let (asked, ended) = (desk.report.asked + own, desk.report.ended);
        let started_ms = Some(wall_ms);
        desk.report =
            ScrubReport { asked, ended, running: true, started_ms, ..ScrubReport::default() };
    }

    /// The thread has read this much since it began.
    pub fn progress(&self, rows: u64, bytes: u64) {
        let mut desk = self.desk.lock();
        desk.report.rows = rows;
        desk.report.bytes = bytes;
    }

    /// The scrub that was begun has ended, at this time in ms since 1970.
    pub fn finish(&self, wall_ms: u64, end: ScrubEnd) {
        let (sound, text) = match end {
            ScrubEnd::Sound(text) => (Some(true), text),
            ScrubEnd::Damaged(text) => (Some(false), text),
            ScrubEnd::Interrupted(text) => (None, text),
        };
        let report = &mut self.desk.lock().report;
        report.running = false;
        report.ended = report.asked;
        report.finished_ms = Some(wall_ms);
        report.sound = sound;
        report.result = Some(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_meanwhile_is_served_by_the_same() {
        let scrub = ScrubStatus::default();
        assert_eq!(scrub.ask().asked, 1);
        assert_eq!(scrub.ask().asked, 1);
        scrub.begin(10);
        assert_eq!(scrub.ask().asked, 1);
        assert_eq!(scrub.wait(Duration::ZERO), ScrubWake::Timeout, "nobody wants another one");
        scrub.progress(5, 600);
        scrub.finish(20, ScrubEnd::Sound("5 rows".into()));
        let report = scrub.report();
        assert_eq!((report.ended, report.rows, report.bytes, report.running), (1, 5, 600, false));
        assert_eq!((report.started_ms, report.finished_ms), (Some(10), Some(20)));
        assert_eq!((report.sound, report.result.as_deref()), (Some(true), Some("5 rows")));
        assert_eq!(scrub.ask().asked, 2);
    }

    #[test]
    fn one_that_nobody_asked_for_has_a_number_too() {
        let scrub = ScrubStatus::default();
        scrub.begin(10);
        scrub.finish(20, ScrubEnd::Interrupted("the node stops".into()));
        let report = scrub.ask();
        assert_eq!((report.ended, report.asked, report.sound), (1, 2, None));
    }

    #[test]
    fn the_thread_is_woken_by_who_asks_and_by_the_end() {
        let scrub = ScrubStatus::default();
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                assert_eq!(scrub.wait(Duration::from_secs(600)), ScrubWake::Asked);
                scrub.begin(1);
                scrub.finish(2, ScrubEnd::Damaged("row 7".into()));
                scrub.wait(Duration::from_secs(600))
            });
            scrub.ask();
            while scrub.report().ended == 0 {
                std::thread::yield_now();
            }
            assert_eq!(scrub.report().sound, Some(false));
            assert!(!scrub.is_stopping());
            scrub.stop();
            assert_eq!(thread.join().unwrap(), ScrubWake::Stop);
            assert!(scrub.is_stopping());
        });
    }
}
