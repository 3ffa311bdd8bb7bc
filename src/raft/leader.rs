//! The leader: takes proposals, and holds office only as long as a majority answers it.
//!
//! What it does is spread over a few files by subject: sending entries and counting acknowledgements
//! in `replication`, read indexes in `read_index`, handing over in `transfer`, configurations in
//! `change`.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use bytes::Bytes;

use super::event::{Event, Reason, RoleKind};
use super::follower::Follower;
use super::log::entry_bytes;
use super::message::{Envelope, Message, Payload};
use super::progress::Progress;
use super::quorum;
use super::raw::{AnyNode, RawNode, Reader, Role};
use super::read_index::Reads;
use super::ready::{NEVER, Persisted};
use super::refusal::ProposeError;
use super::transfer::Transfer;
use super::{Entry, Index, Micros, NodeId};

/// State of a leader.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Leader {
    /// Index of its first entry, the empty one. Before that is committed the leader knows neither
    /// the commit index nor the configuration of the cluster for sure.
    pub(super) first: Index,
    /// The other members, and those just removed.
    pub(super) progress: BTreeMap<NodeId, Progress>,
    /// The newest heartbeat round. Monotonic within the term, and worth nothing beyond it.
    pub(super) round: u64,
    /// A round is to be started without waiting for the timer.
    pub(super) round_wanted: bool,
    /// When the next round is due anyway.
    pub(super) heartbeat_at: Micros,
    /// Read indexes that wait.
    pub(super) reads: Reads,
    /// The hand-over under way.
    pub(super) transfer: Option<Transfer>,
    /// A commit index that was not durable here when it was seen, and when that was.
    pub(super) lagging: Option<(Index, Micros)>,
}

impl Leader {
    pub(super) fn new(first: Index, heartbeat_at: Micros) -> Self {
        Self {
            first,
            progress: BTreeMap::new(),
            round: 0,
            round_wanted: false,
            heartbeat_at,
            reads: Reads::default(),
            transfer: None,
            lagging: None,
        }
    }
}

impl Role for Leader {
    fn kind(&self) -> RoleKind {
        RoleKind::Leader
    }

    fn leader(&self, id: NodeId) -> Option<NodeId> {
        Some(id)
    }

    fn contact(&self, time: Micros) -> Option<Micros> {
        Some(time)
    }

    fn abandon(self) -> Vec<Reader> {
        self.reads.abandon()
    }
}

impl RawNode<Leader> {
    /// Does what a new leader does first.
    pub(super) fn take_office(&mut self) {
        assert_eq!(self.role.first, self.log.last_index() + 1, "elected with another log");
        self.sync_progress();
        // Not a proposal: it is never refused, whatever the limits.
        self.append_new(Payload::Noop);
    }

    /// Appends an entry of its own and returns its index.
    pub(super) fn append_new(&mut self, payload: Payload) -> Index {
        let now = self.now;
        let stamp = self.clock.stamp(now);
        let index = self.log.last_index() + 1;
        self.append(Entry { index, term: self.term, stamp, payload });
        index
    }

    /// Appends commands: all or none. They leave with the next [`super::Ready`], together with
    /// whatever else was proposed until then.
    pub(super) fn propose(
        &mut self,
        commands: Vec<Bytes>,
    ) -> Result<RangeInclusive<Index>, ProposeError> {
        if let Some(transfer) = &self.role.transfer {
            return Err(ProposeError::Transferring(transfer.target));
        }
        if !self.majority_has_room() {
            return Err(ProposeError::DiskFull);
        }
        let payloads: Vec<Payload> = commands.into_iter().map(Payload::Command).collect();
        let waiting = self.log.uncommitted_bytes();
        let more: usize = payloads.iter().map(entry_bytes).sum();
        if waiting > 0 && waiting.saturating_add(more) > self.options.uncommitted_bytes_max {
            return Err(ProposeError::Busy);
        }
        let first = self.log.last_index() + 1;
        for payload in payloads {
            self.append_new(payload);
        }
        Ok(first..=self.log.last_index())
    }

    /// When it wants a tick, in protocol time. A leader on its own has nothing to do.
    pub(super) fn deadline(&self) -> Micros {
        let heartbeat = if self.is_alone() { NEVER } else { self.role.heartbeat_at };
        let transfer = self.role.transfer.as_ref().map_or(NEVER, |transfer| transfer.deadline);
        heartbeat.min(transfer)
    }

    /// Whether there is nobody to talk to.
    fn is_alone(&self) -> bool {
        self.role.progress.is_empty() && self.is_only_voter()
    }

    /// Does what is due.
    pub(super) fn tick(mut self) -> AnyNode {
        let time = self.time();
        self.expire_transfer();
        if self.unfit.is_some() && self.role.transfer.is_none() {
            return self.look_after_itself();
        }
        if self.is_alone() || self.role.heartbeat_at > time {
            return self.into();
        }
        if let Some(heard) = self.lost_quorum() {
            let voters = self.configurations.current().voters().count();
            self.emit(Event::QuorumLost { term: self.term, heard, voters });
            let term = self.term;
            return self.into_follower(term, Reason::QuorumLost).into();
        }
        self.role.progress.retain(|_, progress| progress.leaving.is_none_or(|until| until > time));
        self.role.round_wanted = true;
        self.repeat_timeout_now();
        self.look_after_itself()
    }

    /// Check-quorum (thesis 6.2): the voters in touch, if they are too few to stay in office.
    fn lost_quorum(&self) -> Option<Vec<NodeId>> {
        let voters = || self.configurations.current().voters();
        let heard: Vec<NodeId> = voters().filter(|voter| self.is_active(*voter)).collect();
        (heard.len() < quorum::majority(voters().count())).then_some(heard)
    }

    /// Whether a member was heard from within an election timeout. It always hears itself.
    pub(super) fn is_active(&self, id: NodeId) -> bool {
        let recent = |progress: &Progress| self.time() - progress.heard < self.options.election_max;
        id == self.id || self.role.progress.get(&id).is_some_and(recent)
    }

    /// Handles a message of the current term.
    pub(super) fn step(mut self, envelope: Envelope) -> AnyNode {
        let Envelope { from, message, .. } = envelope;
        let name = message.name();
        let time = self.time();
        if let Some(progress) = self.role.progress.get_mut(&from) {
            progress.heard = time;
        }
        match message {
            Message::AppendAccepted { match_index } => {
                if match_index > self.log.last_index() {
                    self.ignore(from, name, "acknowledges what was never sent");
                } else if self.role.progress.get(&from).is_some_and(|it| it.believes(0)) {
                    return self.on_accepted(from, match_index);
                }
            }
            Message::Holds { index, term, nonce } => {
                return self.on_holds(from, (index, term), nonce);
            }
            Message::Recovering { nonce, last_index } => {
                self.on_recovering(from, nonce, last_index);
            }
            Message::AppendRejected { prev_index, hint_index, hint_term } => {
                if prev_index > self.log.last_index() || hint_index > prev_index {
                    self.ignore(from, name, "rejects what was never sent");
                } else {
                    self.on_rejected(from, prev_index, hint_index, hint_term);
                }
            }
            Message::HeartbeatResponse { round, full, .. } => {
                if round > self.role.round {
                    self.ignore(from, name, "answers a round that never was");
                } else {
                    self.on_heartbeat_response(from, round, full);
                }
            }
            Message::ReadIndex { id } => self.read_index(Reader::Remote(from, id)),
            Message::Vote { last_index, last_term, .. } => {
                let voted = self.on_vote(from, (last_index, last_term));
                assert!(!voted, "a leader's vote is its own");
            }
            Message::Append(_) | Message::Heartbeat { .. } | Message::FetchState { .. } => {
                self.ignore(from, name, "another node leads in this term");
            }
            // Leftovers of the election, or of a follower's past.
            Message::VoteResponse { .. }
            | Message::PreVoteResponse { .. }
            | Message::ReadIndexResponse { .. }
            | Message::RecoverTo { .. }
            | Message::TimeoutNow => {}
            Message::PreVote { .. } | Message::Removed { .. } => {
                unreachable!("handled alike in every role")
            }
        }
        self.into()
    }

    /// A write of this term is durable: only now does the leader count its own log (thesis 10.2.1).
    pub(super) fn on_persisted(mut self, persisted: Persisted) -> AnyNode {
        if !self.persisted(persisted) {
            return self.into();
        }
        self.maybe_commit()
    }

    /// Leaves office because the committed configuration gives it no vote (thesis 4.2.2). The
    /// followers are told of the commit first, and the best of them is asked to take over.
    pub(super) fn step_down_without_vote(mut self) -> RawNode<Follower> {
        self.pump();
        if let Some(heir) = self.best_voter() {
            self.send(heir, Message::TimeoutNow);
        }
        self.into_voteless()
    }

    /// Checks what must hold for a leader.
    pub(super) fn assert_leader_invariants(&self) {
        assert_eq!(self.vote, Some(self.id), "a leader that voted for another");
        assert!(self.log.last_index() >= self.role.first, "a leader without its first entry");
        assert!(!self.role.progress.contains_key(&self.id), "progress of itself");
        let leaves = self.unfit.is_none() || self.role.transfer.is_some();
        assert!(leaves, "unfit, and nobody is to take over");
        for progress in self.role.progress.values() {
            progress.assert_invariants(self.log.last_index(), &self.options);
        }
    }
}

impl From<RawNode<Leader>> for AnyNode {
    fn from(node: RawNode<Leader>) -> Self {
        Self::Leader(node)
    }
}
