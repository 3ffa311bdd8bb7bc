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

    /// Whether the node is admitted only by an entry that may still be rolled back. Its id is the
    /// index of that entry, so the newest configuration is the only candidate.
    pub(super) fn is_provisional(&self, id: NodeId, commit: Index) -> bool {
        id == self.index() && self.fallback(commit).is_some_and(|before| !before.contains(id))
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
            let twin = before.members.iter().find(|(_, member)| member.info.tag == info.tag);
            if let Some((id, _)) = twin {
                return Err(ProposeError::AlreadyMember(*id));
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
