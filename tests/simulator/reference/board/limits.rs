//! How often what may be done: so many at once, and then one more each time a while is over.

use bowline::state::board::{Refusal, UserId};
use bytes::Bytes;

use super::{Board, Moment};

const MINUTE_MS: u64 = 60_000;

/// Whose doings of which kind are counted together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bucket {
    /// Attempts to log in under a name, in lower case, from an address.
    Pair(String, Bytes),
    /// The same from wherever.
    Name(String),
    /// The same under whatever name.
    Address(Bytes),
    SignUps(Bytes),
    Posts(UserId),
    Comments(UserId),
    Likes(UserId),
}

impl Bucket {
    /// (how many at once, how long it takes until there is one more, in ms).
    fn limit(&self) -> (u64, u64) {
        match self {
            Self::Pair(..) => (10, MINUTE_MS),
            Self::Name(_) => (100, 10_000),
            Self::Address(_) => (30, 10_000),
            Self::SignUps(_) => (5, 10 * MINUTE_MS),
            Self::Posts(_) => (10, 5 * MINUTE_MS),
            Self::Comments(_) => (20, MINUTE_MS / 2),
            Self::Likes(_) => (120, 1_000),
        }
    }
}

/// When a bucket is forgotten that is full again at this time: with the next minute, since nobody can
/// tell whether it is.
pub fn ends_ms(full_ms: u64) -> u64 {
    full_ms.next_multiple_of(MINUTE_MS)
}

impl Board {
    /// Takes one out of each of these buckets, or none out of any.
    pub(super) fn take(&mut self, at: Moment, buckets: &[Bucket]) -> Result<(), Refusal> {
        let mut wait_ms = 0;
        for bucket in buckets {
            let (count, each_ms) = bucket.limit();
            let full_ms = self.buckets.get(bucket).copied().unwrap_or(0);
            let full_ms = full_ms.max(at.clock_ms) + each_ms;
            wait_ms = wait_ms.max(full_ms.saturating_sub(at.clock_ms + count * each_ms));
            self.buckets.insert(bucket.clone(), full_ms);
        }
        if wait_ms > 0 { Err(Refusal::TooOften(wait_ms)) } else { Ok(()) }
    }
}
