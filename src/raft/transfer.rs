//! Handing leadership over without an interruption (thesis 3.10).
//!
//! The leader takes no more proposals, brings the target to the end of its log, and tells it to
//! campaign at once. If it is still in office after an election timeout, it carries on.

use super::event::Event;
use super::leader::Leader;
use super::message::Message;
use super::raw::RawNode;
use super::refusal::TransferError;
use super::{Micros, NodeId};

/// A hand-over under way.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Transfer {
    pub(super) target: NodeId,
    /// When it is given up.
    pub(super) deadline: Micros,
    since: Micros,
}

impl RawNode<Leader> {
    /// Starts a hand-over, to the best follower if none is named. A second request replaces the
    /// first, unless it names the same target.
    pub(super) fn transfer(&mut self, to: Option<NodeId>) -> Result<NodeId, TransferError> {
        let target = to.or_else(|| self.best_voter()).ok_or(TransferError::NoTarget)?;
        if target == self.id {
            return Err(TransferError::AlreadyLeader(target));
        }
        if !self.configurations.current().is_voter(target) {
            return Err(TransferError::NotVoter(target));
        }
        let progress = self.role.progress.get(&target).ok_or(TransferError::NotVoter(target))?;
        if progress.is_recovering() {
            return Err(TransferError::Recovering(target));
        }
        let lag = self.log.last_index() - progress.match_index;
        if self.role.transfer.as_ref().is_some_and(|transfer| transfer.target == target) {
            return Ok(target);
        }
        let since = self.time();
        let deadline = since + self.options.election_max;
        self.role.transfer = Some(Transfer { target, deadline, since });
        self.emit(Event::TransferStarted { term: self.term, target, lag });
        self.maybe_timeout_now(target);
        Ok(target)
    }

    /// The voter in touch, and sound, that holds most of the log; of equals the one with the smallest
    /// id. Those without room for entries come last.
    pub(super) fn best_voter(&self) -> Option<NodeId> {
        let voters = self.configurations.current().voters();
        let candidates = voters.filter(|id| *id != self.id && self.is_active(*id));
        let known = candidates.filter_map(|id| Some((id, self.role.progress.get(&id)?)));
        let sound = known.filter(|(_, progress)| !progress.is_recovering());
        let best = sound.max_by_key(|(id, progress)| {
            (!progress.full, progress.match_index, std::cmp::Reverse(*id))
        });
        best.map(|(id, _)| id)
    }

    /// If this is the target and it has all of the log, its time has come.
    pub(super) fn maybe_timeout_now(&mut self, id: NodeId) {
        let is_target = self.role.transfer.as_ref().is_some_and(|transfer| transfer.target == id);
        let has_all = |p: &super::progress::Progress| p.counted() == self.log.last_index();
        if is_target && self.role.progress.get(&id).is_some_and(has_all) {
            self.send(id, Message::TimeoutNow);
        }
    }

    /// The word to the target may have been lost: it is repeated with each heartbeat.
    pub(super) fn repeat_timeout_now(&mut self) {
        if let Some(transfer) = &self.role.transfer {
            self.maybe_timeout_now(transfer.target);
        }
    }

    /// Gives a hand-over up that took too long.
    pub(super) fn expire_transfer(&mut self) {
        let time = self.time();
        if let Some(transfer) = self.role.transfer.take_if(|transfer| transfer.deadline <= time) {
            let (target, after_us) = (transfer.target, time - transfer.since);
            self.emit(Event::TransferAborted { term: self.term, target, after_us });
        }
    }
}
