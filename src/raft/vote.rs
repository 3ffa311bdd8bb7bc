//! Giving and refusing votes, which goes alike in every role.

use super::event::{Event, Refusal};
use super::message::Message;
use super::raw::{RawNode, Role};
use super::{Index, NodeId, Term};

impl<R: Role> RawNode<R> {
    /// The leader that this node stays loyal to: within the shortest election timeout after it was
    /// heard, nobody else is elected here (thesis 4.2.3). A leader is loyal to itself.
    pub(super) fn loyalty(&self) -> Option<Refusal> {
        let leader = self.role.leader(self.id)?;
        let silent = self.time() - self.role.contact(self.time())?;
        (silent < self.options.election_min).then_some(Refusal::LeaderAlive(leader, silent))
    }

    /// Says whether it would vote for the asker in the term asked for. Promises nothing. A refusal
    /// goes out in the current term, so that an asker from an older term catches up.
    pub(super) fn on_pre_vote(&mut self, from: NodeId, asked: Term, last: (Index, Term)) {
        let refusal = if self.recovery.is_some() {
            Some(Refusal::Recovering)
        } else if asked < self.term {
            Some(Refusal::OldTerm)
        } else if let Some(why) = self.loyalty() {
            Some(why)
        } else if asked == self.term && self.role.leader(self.id).is_some() {
            Some(Refusal::OldTerm)
        } else if let (true, Some(vote)) = (asked == self.term, self.vote)
            && vote != from
        {
            Some(Refusal::VotedFor(vote))
        } else if !self.log.is_up_to_date(last.0, last.1) {
            Some(Refusal::LogBehind)
        } else {
            None
        };
        match refusal {
            Some(why) => {
                self.refuse_vote(from, asked, true, why, last);
                self.send(from, Message::PreVoteResponse { granted: false });
            }
            None => {
                self.emit_granted(from, asked, true, last);
                self.send_in(from, asked, Message::PreVoteResponse { granted: true });
            }
        }
    }

    /// Votes, or not, in the current term. Returns whether the vote was given. The answer leaves
    /// when the vote is durable. Configurations play no part: a learner votes too when it is asked,
    /// since the asker may know that it is none any more (thesis 4.1).
    pub(super) fn on_vote(&mut self, from: NodeId, last: (Index, Term)) -> bool {
        let refusal = match self.vote {
            Some(vote) if vote != from => Some(Refusal::VotedFor(vote)),
            _ if self.recovery.is_some() => Some(Refusal::Recovering),
            _ if !self.log.is_up_to_date(last.0, last.1) => Some(Refusal::LogBehind),
            _ => None,
        };
        if let Some(why) = refusal {
            self.refuse_vote(from, self.term, false, why, last);
            self.send(from, Message::VoteResponse { granted: false });
            return false;
        }
        if self.vote.is_none() {
            self.emit_granted(from, self.term, false, last);
        }
        self.vote = Some(from);
        self.send_when_durable(from, Message::VoteResponse { granted: true });
        true
    }

    fn emit_granted(&mut self, candidate: NodeId, term: Term, pre: bool, its_last: (Index, Term)) {
        let our_last = self.log.last();
        self.emit(Event::VoteGranted { term, candidate, pre, its_last, our_last });
    }

    /// Tells why a vote or pre-vote was refused.
    pub(super) fn refuse_vote(
        &mut self,
        candidate: NodeId,
        term: Term,
        pre: bool,
        why: Refusal,
        its_last: (Index, Term),
    ) {
        let (index, log_term) = self.log.last();
        let ours = (self.term, index, log_term);
        self.emit(Event::VoteRefused { term, candidate, pre, why, its_last, ours });
    }
}
