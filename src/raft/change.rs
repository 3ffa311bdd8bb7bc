//! Changing the members: one voter at a time, one change at a time (thesis 4.1).
//!
//! The rules that keep two majorities from missing each other: no change before the leader has
//! committed an entry of its own term (without this one, single-server changes are unsafe across
//! leader changes), none while another is uncommitted. The rules that keep the cluster alive: a
//! majority of the voters there would be is in touch and can vote, and one is left. And a change may name the
//! configuration it was based on, so that of two operators only one wins.

use super::configuration::Change;
use super::event::Event;
use super::leader::Leader;
use super::membership::apply;
use super::message::Payload;
use super::progress::Progress;
use super::quorum;
use super::raw::RawNode;
use super::refusal::ProposeError;
use super::{Configuration, Index, NodeId};

impl RawNode<Leader> {
    /// Appends a changed configuration, which is in force from then on.
    pub(super) fn propose_change(
        &mut self,
        change: &Change,
        based_on: Option<Index>,
    ) -> Result<Index, ProposeError> {
        let changed = self.check_change(change, based_on);
        match changed {
            Ok(configuration) => {
                let index = self.append_new(Payload::Configuration(configuration));
                self.sync_progress();
                Ok(index)
            }
            Err(why) => {
                // That the node is a member already is the answer to a repeated join, not news.
                if !matches!(why, ProposeError::AlreadyMember(_)) {
                    self.emit(Event::ChangeRefused { term: self.term, why });
                }
                Err(why)
            }
        }
    }

    fn check_change(
        &self,
        change: &Change,
        based_on: Option<Index>,
    ) -> Result<Configuration, ProposeError> {
        if let Change::AddLearner(info) = change {
            // To a join that is repeated this is the answer, whatever else is going on; but not
            // before the admission is committed.
            let (_, committed) = self.configurations.committed(self.log.commit());
            if let Some(id) = committed.find(info.tag) {
                return Err(ProposeError::AlreadyMember(id));
            }
        }
        if let Some(transfer) = &self.role.transfer {
            return Err(ProposeError::Transferring(transfer.target));
        }
        if self.log.commit() < self.role.first {
            return Err(ProposeError::NotReady);
        }
        let index = self.configurations.index();
        if index > self.log.commit() {
            return Err(ProposeError::ChangePending(index));
        }
        if based_on.is_some_and(|based_on| based_on != index) {
            return Err(ProposeError::Stale(index));
        }
        let before = self.configurations.current();
        let after = apply(before, change, self.log.last_index() + 1)?;
        let voters = after.voters().count();
        // One that is recovering gives no vote: if too few others were left, nobody could be elected
        // should this leader fail.
        let sound = |id: &NodeId| !self.role.progress.get(id).is_some_and(Progress::is_recovering);
        let active = after.voters().filter(|id| self.is_active(*id) && sound(id)).count();
        if !after.voters().eq(before.voters()) && active < quorum::majority(voters) {
            return Err(ProposeError::NoQuorum { active, voters });
        }
        Ok(after)
    }
}
