//! How long a suspect has to refute (Lifeguard, section IV-B; memberlist `suspicion.go`).
//!
//! The first accusation starts a long timer. Each *independent* accuser shortens it, on a
//! logarithmic scale, down to a minimum: many witnesses may be believed quickly, a single one
//! may be the sick one itself.

use core::time::Duration;
use std::collections::BTreeSet;

use crate::{Micros, NodeId};

/// The shortest suspicion in a cluster of `n` live members.
pub(crate) fn shortest(mult: u32, n: usize, probe_interval: Duration) -> Duration {
    (probe_interval * mult).mul_f64((n.max(1) as f64).log10().max(1.0))
}

/// How many confirmations shorten a suspicion to its minimum. Zero, so that the minimum applies at
/// once, where so many others (neither oneself nor the suspect) do not even live.
pub(crate) fn wanted_confirmations(mult: u32, n: usize) -> usize {
    let wanted = mult.saturating_sub(2) as usize;
    if n.saturating_sub(2) < wanted { 0 } else { wanted }
}

/// One running suspicion.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Suspicion {
    start: Micros,
    min: Duration,
    max: Duration,
    wanted: usize,
    /// Who has accused, the first accuser included. Invariant: 1 to `wanted` + 1 of them.
    accusers: BTreeSet<NodeId>,
}

impl Suspicion {
    /// Starts when `by` accuses.
    pub fn new(start: Micros, by: NodeId, min: Duration, max: Duration, wanted: usize) -> Self {
        assert!(min <= max, "the longest suspicion is a multiple of the shortest");
        Suspicion { start, min, max, wanted, accusers: BTreeSet::from([by]) }
    }

    /// Counts another accuser; true if it is a new one that still matters.
    pub fn confirm(&mut self, by: NodeId) -> bool {
        self.confirmations() < self.wanted && self.accusers.insert(by)
    }

    /// How many have confirmed the first accusation.
    pub fn confirmations(&self) -> usize {
        self.accusers.len() - 1
    }

    /// How many confirmations shorten it to the minimum.
    pub fn wanted(&self) -> usize {
        self.wanted
    }

    /// When it turns into a death.
    pub fn deadline(&self) -> Micros {
        self.start + timeout(self.confirmations(), self.wanted, self.min, self.max)
    }

    /// When it began.
    pub fn start(&self) -> Micros {
        self.start
    }

    /// Time in which this process did not run is no time that the suspect was silent.
    pub fn forgive(&mut self, stall: Duration) {
        self.start = self.start + stall;
    }
}

/// `max − (max − min) · ln(confirmations + 1) / ln(wanted + 1)`, never below `min`.
fn timeout(confirmations: usize, wanted: usize, min: Duration, max: Duration) -> Duration {
    if confirmations >= wanted {
        return min;
    }
    let share = (confirmations as f64 + 1.0).ln() / (wanted as f64 + 1.0).ln();
    // Whole milliseconds: the last bit of a logarithm is not the same on every machine.
    let cut = (max - min).mul_f64(share).as_millis();
    max - Duration::from_millis(u64::try_from(cut).expect("a share of a Duration in range"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn the_shortest_suspicion_grows_with_the_logarithm_of_the_cluster() {
        for (n, millis) in [(0, 4_000), (1, 4_000), (10, 4_000), (32, 6_020), (100, 8_000)] {
            assert_eq!(shortest(4, n, S).as_millis() / 10, millis / 10, "n = {n}");
        }
    }

    #[test]
    fn confirmations_are_only_wanted_where_there_are_witnesses() {
        for (n, wanted) in [(1, 0), (2, 0), (3, 0), (4, 2), (5, 2), (64, 2)] {
            assert_eq!(wanted_confirmations(4, n), wanted, "n = {n}");
        }
        assert_eq!(wanted_confirmations(1, 9), 0);
    }

    #[test]
    fn each_confirmation_shortens_by_the_logarithm() {
        let table = [(0, 30_000), (1, 17_942), (2, 10_888), (3, 5_883), (4, 2_000), (9, 2_000)];
        for (confirmations, millis) in table {
            let left = timeout(confirmations, 4, S * 2, S * 30);
            assert_eq!(left, Duration::from_millis(millis), "{confirmations}");
        }
        // Worked out by hand: 24 − 20 · ln 2 / ln 3 = 11.381 s.
        assert_eq!(timeout(0, 2, S * 4, S * 24), S * 24);
        assert_eq!(timeout(1, 2, S * 4, S * 24), Duration::from_millis(11_382));
        assert_eq!(timeout(2, 2, S * 4, S * 24), S * 4);
        assert_eq!(timeout(0, 0, S * 4, S * 24), S * 4);
    }

    #[test]
    fn only_new_accusers_count_and_only_as_many_as_are_wanted() {
        let mut suspicion = Suspicion::new(Micros(0), 1, S * 4, S * 24, 2);
        assert!(!suspicion.confirm(1), "the first accuser confirms nothing");
        assert!(suspicion.confirm(2));
        assert!(!suspicion.confirm(2));
        assert!(suspicion.confirm(3));
        assert!(!suspicion.confirm(4), "enough is enough");
        assert_eq!(suspicion.confirmations(), 2);
        assert_eq!(suspicion.deadline(), Micros(4_000_000));
    }

    #[test]
    fn a_stall_moves_the_deadline() {
        let mut suspicion = Suspicion::new(Micros(0), 1, S * 4, S * 24, 0);
        suspicion.forgive(S * 10);
        assert_eq!(suspicion.deadline(), Micros(14_000_000));
    }
}
