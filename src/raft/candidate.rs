//! The candidate, in two stages: first it asks whether it would be elected, without raising its
//! term (pre-vote, thesis 9.6), then it asks for votes.
//!
//! Its own vote counts when it is durable, like any other. The requests for votes wait for the same
//! write: a node that crashed and forgot the term could otherwise ask a second time in it, with a
//! shorter log, and count votes that were given to the longer one.

use std::collections::BTreeMap;

use super::event::{Reason, RoleKind};
use super::leader::Leader;
use super::message::{Envelope, Message};
use super::quorum::{Tally, tally};
use super::raw::{AnyNode, RawNode, Reader, Role};
use super::ready::Persisted;
use super::{Micros, NodeId};

/// How often a hasty campaign is repeated before the ordinary timeouts take over.
const HURRY_ROUNDS: u8 = 5;
/// How long a hasty pre-vote waits for answers, and a refused one for its repetition, µs.
const HURRY_WAIT: (u64, u64) = (20_000, 40_000);

/// A campaign because the leader is known to be gone: its rounds follow each other quickly, as some
/// voters may learn of that a little later.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Hurry {
    /// Rounds left after the one under way.
    rounds: u8,
}

impl Hurry {
    pub(super) fn new() -> Self {
        Self { rounds: HURRY_ROUNDS }
    }

    fn next(self) -> Option<Self> {
        self.rounds.checked_sub(1).map(|rounds| Self { rounds })
    }
}

/// State of a candidate.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Candidate {
    /// Whether this is only the question beforehand.
    pre: bool,
    /// Answers by voter; its own among them.
    votes: BTreeMap<NodeId, bool>,
    /// When this round is over.
    deadline: Micros,
    /// When it began.
    since: Micros,
    /// Set while the campaign is a hasty one.
    hurry: Option<Hurry>,
}

impl Role for Candidate {
    fn kind(&self) -> RoleKind {
        if self.pre { RoleKind::PreCandidate } else { RoleKind::Candidate }
    }

    fn leader(&self, _: NodeId) -> Option<NodeId> {
        None
    }

    fn contact(&self, _: Micros) -> Option<Micros> {
        None
    }

    fn abandon(self) -> Vec<Reader> {
        Vec::new()
    }
}

impl<R: Role> RawNode<R> {
    /// Starts an election: with the question beforehand, unless there is nobody to ask.
    pub(super) fn campaign(self, reason: Reason, hurry: Option<Hurry>) -> AnyNode {
        if self.is_only_voter() {
            return self.into_candidate(Reason::OnlyVoter, None).into();
        }
        self.into_pre_candidate(reason, hurry).into()
    }

    /// Asks all voters whether they would vote for this node in the next term.
    fn into_pre_candidate(mut self, reason: Reason, hurry: Option<Hurry>) -> RawNode<Candidate> {
        assert!(self.is_promotable(), "only a voter campaigns");
        let from = self.role.kind();
        let since = self.time();
        let timeout = match hurry {
            Some(_) => self.draw(HURRY_WAIT.0, HURRY_WAIT.1),
            None => self.draw_timeout(),
        };
        let votes = BTreeMap::from([(self.id, true)]);
        let role = Candidate { pre: true, votes, deadline: since + timeout, since, hurry };
        let mut node = self.into_role(role);
        if from != RoleKind::PreCandidate {
            node.emit_role(from, RoleKind::PreCandidate, reason);
        }
        let (last_index, last_term) = node.log.last();
        for voter in node.other_voters() {
            node.send_in(voter, node.term + 1, Message::PreVote { last_index, last_term });
        }
        node
    }

    /// Raises the term and asks all voters for their votes. Voters that still hear a leader give
    /// them only if that leader wanted this election.
    pub(super) fn into_candidate(
        mut self,
        reason: Reason,
        hurry: Option<Hurry>,
    ) -> RawNode<Candidate> {
        assert!(self.is_promotable(), "only a voter campaigns");
        let from = self.role.kind();
        let transfer = matches!(reason, Reason::Transfer(_));
        let since = self.time();
        let deadline = since + self.draw_timeout();
        let role = Candidate { pre: false, votes: BTreeMap::new(), deadline, since, hurry };
        let mut node = self.into_role(role);
        node.raise_term(node.term + 1);
        node.vote = Some(node.id);
        node.emit_role(from, RoleKind::Candidate, reason);
        let (last_index, last_term) = node.log.last();
        for voter in node.other_voters() {
            node.send_when_durable(voter, Message::Vote { last_index, last_term, transfer });
        }
        node
    }

    fn other_voters(&self) -> Vec<NodeId> {
        self.configurations.current().voters().filter(|voter| *voter != self.id).collect()
    }
}

impl RawNode<Candidate> {
    /// When it wants a tick, in protocol time.
    pub(super) fn deadline(&self) -> Micros {
        self.role.deadline
    }

    /// Does what is due: begins the next round.
    pub(super) fn tick(self) -> AnyNode {
        if self.role.deadline > self.time() {
            return self.into();
        }
        let waited = self.time() - self.role.since;
        match self.role.hurry.map(Hurry::next) {
            Some(Some(hurry)) => self.campaign(Reason::LeaderGone, Some(hurry)),
            _ => self.campaign(Reason::Timeout(waited), None),
        }
    }

    /// Handles a message of the current term (or a pre-vote for the next one).
    pub(super) fn step(mut self, envelope: Envelope) -> AnyNode {
        let from = envelope.from;
        match envelope.message {
            Message::PreVoteResponse { granted } if self.role.pre => {
                self.role.votes.insert(from, granted);
                self.count()
            }
            Message::VoteResponse { granted } if !self.role.pre => {
                self.role.votes.insert(from, granted);
                self.count()
            }
            // Somebody else was elected in this term.
            Message::Append(_) | Message::Heartbeat { .. } | Message::FetchState { .. } => {
                let term = self.term;
                self.into_follower(term, Reason::LeaderFound(from)).step(envelope)
            }
            // Only a pre-candidate can have a vote to give.
            Message::Vote { last_index, last_term, .. } => {
                if self.on_vote(from, (last_index, last_term)) && self.role.pre {
                    let timeout = self.draw_timeout();
                    self.role.deadline = self.time() + timeout;
                    self.role.hurry = None;
                }
                self.into()
            }
            Message::ReadIndex { id } => {
                self.send(from, Message::ReadIndexResponse { id, index: None });
                self.into()
            }
            // Leftovers of this term's earlier roles.
            Message::PreVoteResponse { .. }
            | Message::VoteResponse { .. }
            | Message::AppendAccepted { .. }
            | Message::AppendRejected { .. }
            | Message::HeartbeatResponse { .. }
            | Message::ReadIndexResponse { .. }
            | Message::Holds { .. }
            | Message::Recovering { .. }
            | Message::RecoverTo { .. }
            | Message::TimeoutNow => self.into(),
            Message::PreVote { .. } | Message::Removed { .. } => {
                unreachable!("handled alike in every role")
            }
        }
    }

    /// A write of this term is durable, and so is the vote for itself: it was in the first one.
    pub(super) fn on_persisted(mut self, persisted: Persisted) -> AnyNode {
        if !self.persisted(persisted) || self.role.pre {
            return self.into();
        }
        self.role.votes.insert(self.id, true);
        self.count()
    }

    fn count(self) -> AnyNode {
        let voters: Vec<NodeId> = self.configurations.current().voters().collect();
        let all = voters.len();
        let said = |vote| voters.iter().filter(|id| self.role.votes.get(id) == Some(&vote)).count();
        let (yes, no) = (said(true), said(false));
        match tally(voters.iter().copied(), &self.role.votes) {
            Tally::Open => self.into(),
            Tally::Lost => self.lose(no, all),
            Tally::Won if self.role.pre => {
                let hurry = self.role.hurry;
                self.into_candidate(Reason::Majority(yes, all), hurry).into()
            }
            Tally::Won => self.into_leader(Reason::Majority(yes, all)).into(),
        }
    }

    /// Too many refused. An ordinary candidate waits for its turn, a hasty one asks again soon.
    fn lose(self, no: usize, all: usize) -> AnyNode {
        let term = self.term;
        let hurry = self.role.hurry.and_then(Hurry::next);
        let mut node = self.into_follower(term, Reason::Refused(no, all));
        if let Some(hurry) = hurry {
            let wait = node.draw(HURRY_WAIT.0, HURRY_WAIT.1);
            let deadline = node.time() + wait;
            node.role.hasten(deadline, hurry);
        }
        node.into()
    }

    /// Takes office: counts from now on for everybody, commits what it inherited by an entry of its
    /// own.
    fn into_leader(mut self, reason: Reason) -> RawNode<Leader> {
        assert!(!self.role.pre, "a pre-vote elects nobody");
        assert_eq!(self.vote, Some(self.id), "elected without its own vote");
        assert_eq!(self.durable_term, self.term, "elected in a term that could be forgotten");
        let from = self.role.kind();
        let now = self.now;
        self.clock.take_office(now);
        let role = Leader::new(self.log.last_index() + 1, self.time() + self.options.heartbeat);
        let mut node = self.into_role(role);
        node.emit_role(from, RoleKind::Leader, reason);
        node.take_office();
        node
    }
}

impl From<RawNode<Candidate>> for AnyNode {
    fn from(node: RawNode<Candidate>) -> Self {
        Self::Candidate(node)
    }
}
