//! The arithmetic of majorities, apart from everything that uses it.
//!
//! Commit index, read rounds, check-quorum and elections are all the same question: what do more
//! than half of the voters agree on? With no voters nobody agrees on anything.

use std::collections::BTreeMap;

use super::NodeId;

/// How many of `voters` are more than half of them.
pub(super) fn majority(voters: usize) -> usize {
    voters / 2 + 1
}

/// The largest value that a majority has reached, given what each voter has reached (in any order).
/// None when there are no voters.
pub(super) fn reached<T: Ord>(values: impl Iterator<Item = T>) -> Option<T> {
    let mut values: Vec<T> = values.collect();
    values.sort_unstable_by(|a, b| b.cmp(a));
    let position = majority(values.len()) - 1;
    values.into_iter().nth(position)
}

/// What a set of votes amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tally {
    /// A majority said yes.
    Won,
    /// So many said no that no majority can say yes.
    Lost,
    /// It depends on those that have not answered.
    Open,
}

/// Counts `votes`; those of nodes that are not in `voters` do not count.
pub(super) fn tally(voters: impl Iterator<Item = NodeId>, votes: &BTreeMap<NodeId, bool>) -> Tally {
    let (mut all, mut yes, mut no) = (0, 0, 0);
    for voter in voters {
        all += 1;
        match votes.get(&voter) {
            Some(true) => yes += 1,
            Some(false) => no += 1,
            None => {}
        }
    }
    if yes >= majority(all) {
        Tally::Won
    } else if all - no < majority(all) {
        Tally::Lost
    } else {
        Tally::Open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every assignment of the values 0..=3 to up to five voters, against the definition.
    #[test]
    fn reached_is_the_largest_value_that_more_than_half_have() {
        for voters in 0_usize..=5 {
            for code in 0..4_u32.pow(voters as u32) {
                let values: Vec<u32> =
                    (0..voters as u32).map(|i| code / 4_u32.pow(i) % 4).collect();
                let expected = (0..4)
                    .rev()
                    .find(|v| values.iter().filter(|value| *value >= v).count() * 2 > voters);
                assert_eq!(reached(values.iter().copied()), expected, "{values:?}");
            }
        }
    }

    /// Every combination of yes, no and silence among up to six voters: won when yes is a majority,
    /// lost when no completion of the silent ones could make it one.
    #[test]
    fn tally_is_won_or_lost_exactly_when_nothing_can_change_it() {
        for voters in 0_u32..=6 {
            for code in 0..3_u32.pow(voters) {
                let digit = |i: u32| code / 3_u32.pow(i) % 3;
                let votes: BTreeMap<NodeId, bool> = (0..voters)
                    .filter(|i| digit(*i) != 2)
                    .map(|i| (u64::from(i), digit(i) == 1))
                    .collect();
                let yes = (0..voters).filter(|i| digit(*i) == 1).count();
                let silent = (0..voters).filter(|i| digit(*i) == 2).count();
                let expected = if yes * 2 > voters as usize {
                    Tally::Won
                } else if (yes + silent) * 2 <= voters as usize {
                    Tally::Lost
                } else {
                    Tally::Open
                };
                assert_eq!(tally((0..voters).map(u64::from), &votes), expected, "{votes:?}");
            }
        }
    }

    #[test]
    fn votes_of_strangers_do_not_count() {
        let votes = BTreeMap::from([(1, true), (8, true), (9, true)]);
        assert_eq!(tally([1, 2, 3].into_iter(), &votes), Tally::Open);
    }

    #[test]
    fn any_two_majorities_of_sets_one_voter_apart_meet() {
        for voters in 1..=64 {
            assert!(majority(voters) + majority(voters + 1) > voters + 1);
        }
    }
}
