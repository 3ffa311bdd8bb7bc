//! A token bucket: how fast a node may send of its state, to all receivers together.
//!
//! The network and the disks are there for writes first; a state that moves takes what it is allowed.
//! Pure: the time is told.

use std::time::Duration;

const NANOS: u128 = 1_000_000_000;

/// Tokens are bytes times nanoseconds, so that nothing is lost by rounding however often it is asked.
#[derive(Clone, Debug)]
pub struct Bucket {
    /// Bytes per second, at least 1.
    rate: u64,
    /// The most tokens that are saved up.
    capacity: u128,
    tokens: u128,
    /// When `tokens` was right.
    at: Duration,
}

impl Bucket {
    /// A full bucket for `rate` bytes per second (at least 1), which lets `burst` bytes pass at once.
    #[must_use]
    pub fn new(rate: u64, burst: usize) -> Self {
        let capacity = burst as u128 * NANOS;
        Self { rate: rate.max(1), capacity, tokens: capacity, at: Duration::ZERO }
    }

    /// Takes `bytes` out.
    ///
    /// # Errors
    /// When they are not there yet: the time at which they will be.
    ///
    /// # Panics
    /// When it is more than the bucket can hold.
    pub fn take(&mut self, now: Duration, bytes: usize) -> Result<(), Duration> {
        let cost = bytes as u128 * NANOS;
        assert!(cost <= self.capacity, "{bytes} bytes will never be there");
        let passed = now.saturating_sub(self.at).as_nanos();
        self.tokens = (self.tokens + passed * u128::from(self.rate)).min(self.capacity);
        self.at = self.at.max(now);
        if let Some(rest) = self.tokens.checked_sub(cost) {
            self.tokens = rest;
            return Ok(());
        }
        let missing = (cost - self.tokens).div_ceil(u128::from(self.rate));
        // More than five hundred years is as good as for ever.
        Err(now.saturating_add(Duration::from_nanos(u64::try_from(missing).unwrap_or(u64::MAX))))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_kept_to_the_byte_however_often_it_is_asked() {
        let mut bucket = Bucket::new(1_000, 100);
        let (mut now, mut taken) = (Duration::ZERO, 0);
        while now < Duration::from_secs(10) {
            if bucket.take(now, 7).is_ok() {
                taken += 7;
            }
            now += Duration::from_micros(37);
        }
        assert!((10_086..=10_100).contains(&taken), "{taken}");
    }

    #[test]
    fn who_comes_when_told_is_served() {
        let mut bucket = Bucket::new(3, 10);
        let mut now = Duration::ZERO;
        for _ in 0..20 {
            if let Err(then) = bucket.take(now, 10) {
                assert!(then > now);
                now = then;
                bucket.take(now, 10).unwrap();
            }
        }
        assert_eq!(now.as_secs(), 63, "19 times ten bytes at three a second");
    }

    #[test]
    fn no_more_is_saved_than_it_holds_and_a_clock_gone_back_gives_nothing() {
        let mut bucket = Bucket::new(1_000, 10);
        let late = Duration::from_secs(100);
        assert_eq!(bucket.take(late, 10), Ok(()));
        assert!(bucket.take(Duration::ZERO, 10).is_err());
        assert!(bucket.take(late, 1).is_err());
    }
}
