//! Time as data: microseconds on the caller's monotonic clock.
//!
//! The core never looks at a clock. A number with its own type cannot be mixed up with a wall
//! clock or with a duration, and a simulation can choose it freely.

use core::fmt;
use core::ops::{Add, Sub};
use core::time::Duration;

/// A moment: microseconds on the caller's monotonic clock, from any origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Micros(pub u64);

impl Micros {
    /// A moment that never comes.
    pub const NEVER: Micros = Micros(u64::MAX);

    /// How long ago `earlier` was; zero if it lies ahead.
    #[must_use]
    pub fn since(self, earlier: Micros) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Micros {
    type Output = Micros;

    fn add(self, by: Duration) -> Micros {
        Micros(self.0.saturating_add(u64::try_from(by.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Micros {
    type Output = Micros;

    fn sub(self, by: Duration) -> Micros {
        Micros(self.0.saturating_sub(u64::try_from(by.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1_000_000, self.0 / 1_000 % 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        let second = Duration::from_secs(1);
        assert_eq!(Micros(5) - second, Micros(0));
        assert_eq!(Micros::NEVER + second, Micros::NEVER);
        assert_eq!(Micros(1).since(Micros(2)), Duration::ZERO);
        assert_eq!((Micros(1) + second).since(Micros(1)), second);
        assert_eq!((Micros(0) + Duration::from_millis(1_042)).to_string(), "1.042");
    }
}
