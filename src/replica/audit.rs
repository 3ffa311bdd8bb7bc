//! Do all nodes hold the same state? An entry makes each of them take its digest at exactly that index
//! and tell the others; each compares for itself.
//!
//! A node whose digest differs from that of a majority of voters knows that its state is wrong. If no
//! digest has a majority nobody can know who is right: then people are told, and nobody acts.
//! What is lost on the way makes no verdict, and the next audit comes.

use std::collections::BTreeMap;

use crate::raft::{Configuration, Index, Micros, NEVER, NodeId};

/// Audits that are remembered at most, the newest ones.
const KEPT_MAX: usize = 16;
/// Pause after an audit could not be proposed, in µs.
const RETRY_US: u64 = 1_000_000;

/// What a comparison has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The majority has another digest than this node.
    Odd { ours: u128, theirs: u128 },
    /// Every voter has told its digest, and none has a majority.
    Split(BTreeMap<NodeId, u128>),
}

/// The digests of the newest audits, and when the next is due.
pub(super) struct Audit {
    /// By index of the audit's entry, then by node; this node's own among them.
    digests: BTreeMap<Index, BTreeMap<NodeId, u128>>,
    /// Index of the newest audit's entry; of one that was proposed here, or reached the applier.
    newest: Index,
    /// When the time to the next audit began to run.
    since: Micros,
    /// Not before this time is an audit proposed.
    hold_until: Micros,
    /// Own digests up to here were taken of a state that is not this node's any more.
    replaced_at: Index,
    /// The newest audit without a majority: one alarm is enough.
    alarmed: Index,
}

impl Audit {
    pub fn new(now: Micros) -> Self {
        Self {
            digests: BTreeMap::new(),
            newest: 0,
            since: now,
            hold_until: Micros(0),
            replaced_at: 0,
            alarmed: 0,
        }
    }

    /// Whether a leader whose log ends at `last` should propose an audit.
    pub fn is_due(&self, now: Micros, last: Index, entries: u64, interval_us: u64) -> bool {
        let written = last.saturating_sub(self.newest);
        let waited = now - self.since >= interval_us;
        now >= self.hold_until && (written >= entries || (written > 0 && waited))
    }

    /// When time alone makes an audit due for such a leader.
    pub fn deadline(&self, last: Index, interval_us: u64) -> Micros {
        let written = last > self.newest;
        if written { (self.since + interval_us).max(self.hold_until) } else { NEVER }
    }

    /// An audit was proposed, or has come to the applier.
    pub fn begun(&mut self, index: Index, now: Micros) {
        if index > self.newest {
            self.newest = index;
            self.since = now;
        }
    }

    /// It could not be proposed.
    pub fn refused(&mut self, now: Micros) {
        self.hold_until = now + RETRY_US;
    }

    /// Takes this node's own digest. False when it speaks of a state that was replaced since.
    pub fn on_own(&mut self, own: NodeId, index: Index, digest: u128) -> bool {
        let counts = index > self.replaced_at;
        if counts {
            self.note(own, index, digest);
        }
        counts
    }

    /// Takes the digest of another node.
    pub fn on_peer(&mut self, from: NodeId, index: Index, digest: u128) {
        self.note(from, index, digest);
    }

    /// The state as of `index` took the place of this node's own.
    pub fn on_replaced(&mut self, own: NodeId, index: Index) {
        self.replaced_at = index;
        for by_node in self.digests.values_mut() {
            by_node.remove(&own);
        }
    }

    /// Compares what is known of an audit. That nobody can know who is right is said once.
    pub fn verdict(
        &mut self,
        own: NodeId,
        index: Index,
        members: &Configuration,
    ) -> Option<Verdict> {
        let all = self.digests.get(&index)?;
        let ours = *all.get(&own)?;
        let mut votes: BTreeMap<u128, usize> = BTreeMap::new();
        let (mut voters, mut told) = (0, 0);
        for voter in members.voters() {
            voters += 1;
            if let Some(digest) = all.get(&voter) {
                told += 1;
                *votes.entry(*digest).or_default() += 1;
            }
        }
        match votes.into_iter().find(|(_, count)| 2 * count > voters) {
            Some((theirs, _)) if theirs != ours => Some(Verdict::Odd { ours, theirs }),
            Some(_) => None,
            None if voters > 0 && told == voters && index > self.alarmed => {
                self.alarmed = index;
                let of_voters = |(id, _): &(&NodeId, &u128)| members.is_voter(**id);
                let split = all.iter().filter(of_voters).map(|(id, digest)| (*id, *digest));
                Some(Verdict::Split(split.collect()))
            }
            None => None,
        }
    }

    fn note(&mut self, node: NodeId, index: Index, digest: u128) {
        self.digests.entry(index).or_default().entry(node).or_insert(digest);
        if self.digests.len() > KEPT_MAX {
            self.digests.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::{Member, MemberInfo, MemberRole};

    const OWN: NodeId = 1;

    fn members(voters: u64, learners: u64) -> Configuration {
        let role = |id| if id <= voters { MemberRole::Voter } else { MemberRole::Learner };
        let member = |id| (id, Member { role: role(id), info: MemberInfo::default() });
        Configuration { members: (1..=voters + learners).map(member).collect() }
    }

    /// What node 1 finds when the nodes from 1 on have these digests.
    fn verdict(voters: u64, learners: u64, digests: &[u128]) -> Option<Verdict> {
        let mut audit = Audit::new(Micros(0));
        for (id, digest) in (1..).zip(digests) {
            audit.note(id, 9, *digest);
        }
        audit.verdict(OWN, 9, &members(voters, learners))
    }

    fn odd(ours: u128, theirs: u128) -> Option<Verdict> {
        Some(Verdict::Odd { ours, theirs })
    }

    fn split(digests: &[u128]) -> Option<Verdict> {
        Some(Verdict::Split((1..).zip(digests.iter().copied()).collect()))
    }

    #[test]
    fn a_majority_of_voters_decides() {
        assert_eq!(verdict(3, 0, &[7, 7]), None, "all is well");
        assert_eq!(verdict(3, 0, &[8, 7]), None, "one other may be the odd one");
        assert_eq!(verdict(3, 0, &[8, 7, 7]), odd(8, 7));
        assert_eq!(verdict(3, 0, &[7, 7, 8]), None, "that one knows it itself");
        assert_eq!(verdict(5, 0, &[8, 7, 7]), None, "two of five are no majority");
        assert_eq!(verdict(5, 0, &[8, 7, 7, 7]), odd(8, 7));
    }

    #[test]
    fn without_a_majority_nobody_can_know() {
        assert_eq!(verdict(2, 0, &[8, 7]), split(&[8, 7]));
        assert_eq!(verdict(3, 0, &[9, 8, 7]), split(&[9, 8, 7]));
        assert_eq!(verdict(4, 0, &[8, 8, 7]), None, "one has not said yet");
        assert_eq!(verdict(4, 0, &[8, 8, 7, 7]), split(&[8, 8, 7, 7]));
    }

    #[test]
    fn one_alarm_is_enough() {
        let mut audit = Audit::new(Micros(0));
        (1..=2).for_each(|id| audit.note(id, 9, u128::from(id)));
        assert_eq!(audit.verdict(OWN, 9, &members(2, 1)), split(&[1, 2]));
        audit.on_peer(3, 9, 7);
        assert_eq!(audit.verdict(OWN, 9, &members(2, 1)), None);
    }

    #[test]
    fn learners_do_not_count_but_can_be_wrong() {
        let mut audit = Audit::new(Micros(0));
        let own = 4;
        for (id, digest) in [(own, 8), (1, 7), (2, 7)] {
            audit.note(id, 9, digest);
        }
        assert_eq!(audit.verdict(own, 9, &members(3, 1)), odd(8, 7));
        assert_eq!(verdict(1, 2, &[8, 7, 7]), None, "the only voter has the word");
    }

    #[test]
    fn no_verdict_without_an_own_digest() {
        let mut audit = Audit::new(Micros(0));
        (2..=3).for_each(|id| audit.on_peer(id, 9, 7));
        assert_eq!(audit.verdict(OWN, 9, &members(3, 0)), None);
        assert!(audit.on_own(OWN, 9, 8));
        assert_eq!(audit.verdict(OWN, 9, &members(3, 0)), odd(8, 7));
    }

    #[test]
    fn digests_of_a_state_that_was_replaced_say_nothing() {
        let mut audit = Audit::new(Micros(0));
        audit.on_own(OWN, 9, 8);
        audit.on_replaced(OWN, 20);
        assert!(!audit.on_own(OWN, 15, 8), "it was still on its way");
        (2..=3).for_each(|id| audit.on_peer(id, 9, 7));
        assert_eq!(audit.verdict(OWN, 9, &members(3, 0)), None);
        assert!(audit.on_own(OWN, 21, 8));
    }

    #[test]
    fn the_oldest_are_forgotten_and_the_first_word_counts() {
        let mut audit = Audit::new(Micros(0));
        for index in 1..=100 {
            audit.on_peer(2, index, 7);
        }
        assert_eq!(audit.digests.len(), KEPT_MAX);
        audit.on_peer(2, 1, 7);
        assert_eq!(audit.digests.first_key_value().unwrap().0, &85, "too old to be of use");
        audit.on_peer(2, 100, 8);
        assert_eq!(audit.digests[&100][&2], 7);
    }

    #[test]
    fn an_audit_is_due_by_entries_or_by_time_and_never_for_nothing() {
        let mut audit = Audit::new(Micros(0));
        let due = |audit: &Audit, now, last| audit.is_due(Micros(now), last, 100, 60);
        audit.begun(10, Micros(0));
        assert!(!due(&audit, 1, 109));
        assert!(due(&audit, 1, 110));
        assert!(!due(&audit, 59, 11));
        assert!(due(&audit, 60, 11));
        assert!(!due(&audit, 1_000, 10), "nothing was written since");
        assert_eq!(audit.deadline(10, 60), NEVER);
        assert_eq!(audit.deadline(11, 60), Micros(60));
        audit.refused(Micros(60));
        assert!(!due(&audit, 60, 11));
        assert_eq!(audit.deadline(11, 60), Micros(60 + RETRY_US));
    }
}
