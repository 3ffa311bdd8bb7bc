//! The one place that reads the clocks for the protocol.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::raft::{Micros, Now};

/// Turns the process's clocks into the numbers that the cores work with.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// Protocol time starts here, and is never zero: zero stands for "long ago" in the cores.
    const OFFSET_US: u64 = 60_000_000;

    /// A clock that starts now.
    #[must_use]
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Both clocks now.
    #[must_use]
    pub fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now {
            mono: self.micros(Instant::now()),
            wall_ms: u64::try_from(wall.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// Protocol time of an instant; the start for earlier ones.
    #[must_use]
    pub fn micros(&self, at: Instant) -> Micros {
        let elapsed = at.saturating_duration_since(self.start).as_micros();
        Micros(u64::try_from(elapsed).unwrap_or(u64::MAX / 2) + Self::OFFSET_US)
    }

    /// How long from now until `deadline`, at most an hour.
    #[must_use]
    pub fn until(&self, deadline: Micros) -> Duration {
        let now = self.micros(Instant::now());
        Duration::from_micros(deadline.0.saturating_sub(now.0)).min(Duration::from_secs(3600))
    }
}
