//! The local health score: how much a node should doubt itself (Lifeguard, section IV-A).
//!
//! A node that is starved of processor or network sees everybody else as silent. So whatever
//! speaks against *oneself* (a failed probe without even a nack, having to refute) raises a score,
//! every good probe lowers it, and a doubtful node probes more slowly.

use core::time::Duration;

/// A score from 0 (healthy) to a configured top.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Awareness {
    /// Invariant: at most `top`.
    score: u32,
    top: u32,
}

impl Awareness {
    /// Healthy; the score stays below `max`, which is at least 1.
    pub fn new(max: u32) -> Awareness {
        assert!(max >= 1, "Config::check refuses a health_max of 0");
        Awareness { score: 0, top: max - 1 }
    }

    /// The score now.
    pub fn score(&self) -> u32 {
        self.score
    }

    /// Moves the score by `delta` within its range; (before, after) if that changed it.
    pub fn apply(&mut self, delta: i32) -> Option<(u32, u32)> {
        let before = self.score;
        self.score = before.saturating_add_signed(delta).min(self.top);
        (before != self.score).then_some((before, self.score))
    }

    /// `interval` × (score + 1).
    pub fn scale(&self, interval: Duration) -> Duration {
        interval * (self.score + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_score_stays_within_its_range() {
        let mut awareness = Awareness::new(8);
        for (delta, changed, score) in [
            (-1, None, 0),
            (1, Some((0, 1)), 1),
            (3, Some((1, 4)), 4),
            (100, Some((4, 7)), 7),
            (1, None, 7),
            (-1, Some((7, 6)), 6),
            (-100, Some((6, 0)), 0),
        ] {
            assert_eq!((awareness.apply(delta), awareness.score()), (changed, score), "{delta}");
        }
    }

    #[test]
    fn the_interval_grows_with_the_score() {
        let mut awareness = Awareness::new(8);
        let second = Duration::from_secs(1);
        assert_eq!(awareness.scale(second), second);
        awareness.apply(7);
        assert_eq!(awareness.scale(second), second * 8);
    }

    #[test]
    fn with_a_maximum_of_one_there_is_no_doubt() {
        assert_eq!(Awareness::new(1).apply(5), None);
    }
}
