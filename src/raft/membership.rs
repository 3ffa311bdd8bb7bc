//! Which configuration is in force, and what may follow it.
//!
//! A configuration is in force from the moment its entry is appended, on every node that holds the
//! entry, and it falls with the entry (thesis 4.1). So a node keeps, besides the newest one, those
//! that it may have to go back to: down to the newest that is known to be committed.

use super::configuration::{Change, Configuration, Member, Role};
use super::refusal::ProposeError;
use super::{Index, NodeId};

/// The configurations of the log, newest last, each with the index of its entry.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Configurations {
    /// Ascending by index; never empty. A node that has received nothing has the empty
    /// configuration of index 0.
    history: Vec<(Index, Configuration)>,
}

impl Configurations {
    pub(super) fn new(history: Vec<(Index, Configuration)>) -> Self {
        assert!(history.is_sorted_by(|a, b| a.0 < b.0), "configurations out of order");
        let mut all = vec![(0, Configuration::default())];
        all.extend(history);
        Self { history: all }
    }

    fn newest(&self) -> &(Index, Configuration) {
        self.history.last().expect("the empty configuration is never taken away")
    }

    /// The configuration in force.
    pub(super) fn current(&self) -> &Configuration {
        &self.newest().1
    }

    /// The index of the entry that set it; 0 when none did.
    pub(super) fn index(&self) -> Index {
        self.newest().0
    }

    /// The newest configuration that is committed, given the commit index.
    pub(super) fn committed(&self, commit: Index) -> (Index, &Configuration) {
        let at = self.history.partition_point(|(index, _)| *index <= commit);
        let (index, configuration) = &self.history[at.max(1) - 1];
        (*index, configuration)
    }

    /// The one before the newest, if the newest may still be rolled back.
    pub(super) fn fallback(&self, commit: Index) -> Option<&Configuration> {
        let uncommitted = self.index() > commit;
        uncommitted.then(|| &self.history[self.history.len() - 2].1)
    }

    /// A newly appended configuration comes into force.
    pub(super) fn append(&mut self, index: Index, configuration: Configuration) {
        assert!(index > self.index(), "configuration {index} appended below {}", self.index());
        self.history.push((index, configuration));
    }

    /// A state took the place of the log, with the configuration as of its last entry: it is the only
    /// one, and nothing that came before can come back into force.
    pub(super) fn install(&mut self, index: Index, configuration: Configuration) {
        self.history = vec![(index, configuration)];
    }

    /// The log was cut off from `first` on; returns the index that was in force if that changed.
    pub(super) fn truncate(&mut self, first: Index) -> Option<Index> {
        let before = self.index();
        self.history.retain(|(index, _)| *index < first);
        assert!(!self.history.is_empty(), "truncation of index 0");
        (self.index() != before).then_some(before)
    }

    /// Forgets what can no longer come back into force.
    pub(super) fn prune(&mut self, commit: Index) {
        let at = self.history.partition_point(|(index, _)| *index <= commit);
        self.history.drain(..at.max(1) - 1);
    }

    /// Whether the node was taken out of the cluster by an entry that is known to be committed. Ids
    /// are indexes of the entries that admitted their nodes, so one beyond what we know of is new.
    pub(super) fn is_removed(&self, id: NodeId, commit: Index) -> bool {
        let (index, committed) = self.committed(commit);
        id <= index && !committed.contains(id) && !self.current().contains(id)
    }

    /// Whether the node is admitted, as learner, only by an entry that may still be rolled back. Its
    /// id is the index of that entry, so the newest configuration is the only candidate.
    pub(super) fn is_provisional(&self, id: NodeId, commit: Index) -> bool {
        let is_new = |before: &Configuration| !before.contains(id) && !self.current().is_voter(id);
        id == self.index() && self.fallback(commit).is_some_and(is_new)
    }

    /// Checks that the indexes are in order.
    pub(super) fn assert_invariants(&self, last_index: Index) {
        assert!(self.index() <= last_index, "a configuration beyond the log");
    }
}

/// The configuration after `change`, if its entry got the given index.
///
/// Only the rules that follow from the configuration itself are here; those that depend on time and
/// progress are the leader's.
pub(super) fn apply(
    before: &Configuration,
    change: &Change,
    index: Index,
) -> Result<Configuration, ProposeError> {
    let mut after = before.clone();
    let known = |id: &NodeId| before.members.get(id).ok_or(ProposeError::UnknownMember(*id));
    match change {
        Change::AddLearner(info) => {
            if let Some(id) = before.find(info.tag) {
                return Err(ProposeError::AlreadyMember(id));
            }
            after.members.insert(index, Member { role: Role::Learner, info: info.clone() });
        }
        Change::Promote(id) | Change::Demote(id) => {
            let role = match change {
                Change::Promote(_) => Role::Voter,
                _ => Role::Learner,
            };
            let member = known(id)?;
            if member.role == role {
                return Err(ProposeError::SameRole(*id));
            }
            after.members.insert(*id, Member { role, info: member.info.clone() });
        }
        Change::Remove(id) => {
            known(id)?;
            after.members.remove(id);
        }
        Change::Update(id, info) => {
            let member = known(id)?;
            if member.info.tag != info.tag {
                return Err(ProposeError::OtherTag(*id));
            }
            after.members.insert(*id, Member { role: member.role, info: info.clone() });
        }
    }
    if after.voters().next().is_none() {
        return Err(ProposeError::LastVoter);
    }
    Ok(after)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::MemberInfo;

    fn info(tag: u8) -> MemberInfo {
        MemberInfo { tag: [tag; 16], ..MemberInfo::default() }
    }

    /// Voters and learners by id; the tag is the id.
    fn configuration(voters: &[NodeId], learners: &[NodeId]) -> Configuration {
        let member = |id: &NodeId, role| (*id, Member { role, info: info(*id as u8) });
        let voters = voters.iter().map(|id| member(id, Role::Voter));
        let learners = learners.iter().map(|id| member(id, Role::Learner));
        Configuration { members: voters.chain(learners).collect() }
    }

    /// Whatever change follows on whatever configuration: at most one voter comes or goes, so that
    /// any majority of the one meets any majority of the other.
    #[test]
    fn no_change_moves_more_than_one_voter() {
        for roles in 0..3_u32.pow(4) {
            let of = |role| {
                let has = move |id: &NodeId| roles / 3_u32.pow(*id as u32 - 1) % 3 == role;
                (1..=4).filter(has).collect::<Vec<NodeId>>()
            };
            let before = configuration(&of(1), &of(2));
            let mut changes = vec![Change::AddLearner(info(9)), Change::AddLearner(info(1))];
            for id in 1..=4 {
                changes.extend([Change::Promote(id), Change::Demote(id), Change::Remove(id)]);
                changes.push(Change::Update(id, info(id as u8)));
            }
            for change in changes {
                let Ok(after) = apply(&before, &change, 9) else { continue };
                let moved =
                    (1..=9).filter(|id| before.is_voter(*id) != after.is_voter(*id)).count();
                assert!(moved <= 1, "{before:?} {change:?}");
                assert!(after.voters().next().is_some(), "{before:?} {change:?}");
            }
        }
    }

    #[test]
    fn history_goes_back_as_far_as_it_may_be_rolled_back() {
        let mut configurations = Configurations::new(vec![(1, configuration(&[1], &[]))]);
        configurations.append(4, configuration(&[1], &[4]));
        assert_eq!(configurations.committed(3).0, 1);
        assert_eq!(configurations.fallback(3), Some(&configuration(&[1], &[])));
        assert_eq!(configurations.truncate(5), None);
        assert_eq!(configurations.truncate(4), Some(4));
        assert_eq!(configurations.index(), 1);
        configurations.append(6, configuration(&[1], &[6]));
        configurations.prune(6);
        assert_eq!(configurations.fallback(6), None);
        assert_eq!(configurations.committed(6).0, 6);
    }

    #[test]
    fn behind_an_installed_configuration_there_is_nothing_to_go_back_to() {
        let mut configurations = Configurations::new(vec![(1, configuration(&[1], &[]))]);
        configurations.append(4, configuration(&[1, 4], &[]));
        configurations.install(6, configuration(&[1, 2], &[]));
        assert_eq!((configurations.index(), configurations.committed(8).0), (6, 6));
        assert_eq!(configurations.fallback(8), None);
        configurations.append(9, configuration(&[1, 2], &[9]));
        assert_eq!(configurations.fallback(8), Some(&configuration(&[1, 2], &[])));
        assert_eq!(configurations.truncate(9), Some(9));
        assert_eq!(configurations.index(), 6);
    }

    #[test]
    fn removed_is_who_is_known_to_be_gone_and_new_who_is_not_known_yet() {
        let mut configurations = Configurations::new(vec![(5, configuration(&[1, 2, 5], &[]))]);
        configurations.append(7, configuration(&[1, 5], &[]));
        let removed = |id, commit| configurations.is_removed(id, commit);
        assert!(!removed(2, 6), "its removal may be rolled back");
        assert!(removed(2, 7));
        assert!(!removed(8, 7), "admitted by an entry that is not here yet");
        assert!(!removed(1, 7));
    }

    #[test]
    fn an_admission_is_provisional_until_it_is_committed() {
        let mut configurations = Configurations::new(vec![(5, configuration(&[1, 2, 5], &[]))]);
        configurations.append(7, configuration(&[1, 2, 5], &[7]));
        assert!(configurations.is_provisional(7, 6));
        assert!(!configurations.is_provisional(7, 7));
        assert!(!configurations.is_provisional(5, 6));
        configurations.append(9, configuration(&[1, 2, 5, 9], &[7]));
        assert!(!configurations.is_provisional(9, 8), "a voter is needed to commit at all");
    }
}
