//! Recovering: a node whose log may have lost what it acknowledged.
//!
//! Its term and its vote are whole, its log may lack a tail, or show again one that was replaced. An
//! acknowledgement is a promise to hold, and to vote only for logs that hold, what was acknowledged;
//! so until it can keep that promise again it gives no votes and does not campaign. It can when it
//! holds all that it may ever have acknowledged and that still counts. Let it hear from the leader of
//! term T, and let R be that leader's last index *after* the node's new process began to ask:
//!
//! - What the old process acknowledged in T came from this leader, and is at or below R.
//! - What it acknowledged in an earlier term, and was or ever will be committed by that, is in this
//!   leader's log: of the majority that acknowledged and the majority that voted in T one node is in
//!   both, and if that is this node, it voted before the loss, by a log that was whole.
//! - In a later term than T it acknowledged nothing, as it would be in that term.
//!
//! So when its log is durable and committed up to R, nothing is missing, and it counts again. R is
//! the leader's last index rather than its commit index because acknowledgements of the old process
//! may still be on their way, and make the leader commit what it has sent.
//!
//! The leader must not take those for this process's: it would send from there on, and never learn
//! that the node lacks what is before. So the question carries a *nonce* of the process, the leader
//! forgets what it knew of the node and believes only acknowledgements with that nonce
//! ([`Message::Holds`]) until they have reached R. By then acknowledgements without one, of whatever
//! process, say nothing that is not true again. Counting stale ones before the question came is
//! harmless: the node does not vote, so any later leader is elected by others of the majority.
//!
//! Nor may the node believe the commit index of a heartbeat beyond what it has compared with the
//! leader's log since: the heartbeat may be bounded by an acknowledgement of the old process, and the
//! tail that is here be one that was replaced long ago.

use super::event::Event;
use super::follower::Follower;
use super::leader::Leader;
use super::message::Message;
use super::raw::RawNode;
use super::{Index, NodeId, Term};

/// What a node that is recovering knows of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Recovery {
    /// This process's own.
    nonce: u64,
    /// The answer: the term in which it was given, and how far to get.
    to: Option<(Term, Index)>,
}

impl Recovery {
    pub(super) fn new(nonce: u64) -> Self {
        Self { nonce, to: None }
    }

    /// What to put in acknowledgements; none before the leader of this term has answered.
    pub(super) fn nonce(&self, term: Term) -> Option<u64> {
        self.to.is_some_and(|(answered, _)| answered == term).then_some(self.nonce)
    }
}

impl RawNode<Follower> {
    /// Whether this node has to ask the leader before anything else, and does so.
    pub(super) fn asks_first(&mut self, leader: NodeId) -> bool {
        let Some(recovery) = &self.recovery else { return false };
        if recovery.nonce(self.term).is_some() {
            return false;
        }
        self.ask_to_recover(leader);
        true
    }

    /// Says to the leader that this node is recovering; also when it was said before, since the same
    /// question twice does no harm: the leader may have taken a late one of an earlier process for
    /// the newest, or what it sent may be lost.
    pub(super) fn ask_to_recover(&mut self, leader: NodeId) {
        let Some(Recovery { nonce, .. }) = self.recovery else { return };
        let last_index = self.log.last_index();
        self.send(leader, Message::Recovering { nonce, last_index });
    }

    /// The leader said how far to get. To a question of an earlier process, which came late, the
    /// answer is what is here now; so the leader finds out that nothing is missing. If this process is
    /// recovering too, the leader has to be told whom to believe.
    pub(super) fn on_recover_to(&mut self, leader: NodeId, nonce: u64, index: Index) {
        let term = self.term;
        if let Some(recovery) = &mut self.recovery {
            if recovery.nonce != nonce {
                return self.ask_to_recover(leader);
            }
            if recovery.to.is_none_or(|(answered, _)| answered != term) {
                recovery.to = Some((term, index));
                self.emit(Event::RecoverTo { term, leader, index });
            }
        }
        let durable = self.log.durable();
        if self.durable_term == term
            && let Some(its_term) = self.log.term_at(durable)
        {
            self.send(leader, Message::Holds { index: durable, term: its_term, nonce });
        }
        self.check_recovered();
    }

    /// Counts again, if nothing can be missing any more. That is written, before any vote.
    pub(super) fn check_recovered(&mut self) {
        let Some(recovery) = &self.recovery else { return };
        let Some((term, index)) = recovery.to else { return };
        if term == self.term && self.log.commit().min(self.log.durable()) >= index {
            self.recovery = None;
            self.output.recovered = true;
            self.role.wait_anew(self.timeline.time());
            self.emit(Event::Recovered { term, index });
        }
    }
}

impl RawNode<Leader> {
    /// A follower may have lost what it acknowledged. The same question again only gets the same
    /// answer, and the commit index again: it may have been repeated, or come late.
    pub(super) fn on_recovering(&mut self, from: NodeId, nonce: u64, last_index: Index) {
        let last = self.log.last_index();
        let Some(progress) = self.role.progress.get_mut(&from) else { return };
        if progress.recover(nonce, last, last_index.min(last) + 1) {
            self.emit(Event::FollowerRecovering { term: self.term, follower: from, index: last });
        }
        self.tell_recover_to(from);
    }

    /// Tells a follower that is recovering how far it has to get.
    pub(super) fn tell_recover_to(&mut self, to: NodeId) {
        let progress = self.role.progress.get(&to);
        if let Some((nonce, index)) = progress.and_then(|progress| progress.recover_to()) {
            self.send(to, Message::RecoverTo { nonce, index });
        }
    }
}
