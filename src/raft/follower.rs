//! The follower: takes entries from the leader, votes, and waits.

use std::collections::BTreeMap;

use super::candidate::Hurry;
use super::event::{Event, Reason, RoleKind};
use super::message::{Append, Envelope, Message};
use super::raw::{AnyNode, RawNode, Reader, Role};
use super::ready::{NEVER, Persisted, ReadFailure};
use super::{Entry, Index, Micros, NodeId, Payload, Term};

/// Read indexes that may wait for the leader's answer; further ones fail at once.
const READS_MAX: usize = 1024;

/// How long each rank waits after the leader is known to be gone, µs: long enough for the voter
/// before to win, short enough not to be noticed.
const GONE_RANK_WAIT: u64 = 15_000;
/// What is added to it at random, µs.
const GONE_JITTER: u64 = 10_000;

/// State of a follower.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Follower {
    /// Who leads in this term. Once known it stays for the term, unless its process is gone.
    leader: Option<NodeId>,
    /// When it was last heard; when this role began, if never.
    contact: Micros,
    /// How long it waits for a leader, drawn anew with each change of role or term, µs.
    timeout: u64,
    /// When it stops waiting.
    deadline: Micros,
    /// Set when the leader's process is known to be gone: how to campaign at the deadline.
    hurry: Option<Hurry>,
    /// Read indexes asked of the leader, by the number given to it: the caller's id, and when to
    /// give up.
    reads: BTreeMap<u64, (u64, Micros)>,
    /// Up to here this log was compared with the leader's, in this role.
    compared: Index,
    /// Where the leader's log begins, once it said that this one does not reach that far.
    pub(super) fetching: Option<Index>,
}

impl Follower {
    pub(super) fn new(time: Micros, timeout: u64) -> Self {
        Self {
            leader: None,
            contact: time,
            timeout,
            deadline: time + timeout,
            hurry: None,
            reads: BTreeMap::new(),
            compared: 0,
            fetching: None,
        }
    }

    /// Begins to wait for a leader anew: before, it would not have campaigned.
    pub(super) fn wait_anew(&mut self, time: Micros) {
        self.deadline = self.deadline.max(time + self.timeout);
    }

    /// A follower that lost a hasty election: it tries again soon.
    pub(super) fn hasten(&mut self, deadline: Micros, hurry: Hurry) {
        self.deadline = self.deadline.min(deadline);
        self.hurry = Some(hurry);
    }
}

impl Role for Follower {
    fn kind(&self) -> RoleKind {
        RoleKind::Follower
    }

    fn leader(&self, _: NodeId) -> Option<NodeId> {
        self.leader
    }

    fn contact(&self, _: Micros) -> Option<Micros> {
        self.leader.map(|_| self.contact)
    }

    fn abandon(self) -> Vec<Reader> {
        self.reads.into_values().map(|(id, _)| Reader::Local(id)).collect()
    }
}

impl RawNode<Follower> {
    /// When it wants a tick, in protocol time. Without a vote and without a leader there is nothing
    /// to wait for.
    pub(super) fn deadline(&self) -> Micros {
        let waits = self.is_promotable() || self.role.leader.is_some();
        let election = if waits { self.role.deadline } else { NEVER };
        let reads = self.role.reads.values().map(|(_, deadline)| *deadline);
        reads.fold(election, Micros::min)
    }

    /// Does what is due.
    pub(super) fn tick(mut self) -> AnyNode {
        let time = self.time();
        while let Some(entry) = self.role.reads.first_entry()
            && entry.get().1 <= time
        {
            let (id, _) = entry.remove();
            self.answer(Reader::Local(id), Err(ReadFailure::Interrupted));
        }
        if self.role.deadline > time {
            return self.into();
        }
        if self.is_promotable() {
            return match self.role.hurry {
                Some(hurry) => self.campaign(Reason::LeaderGone, Some(hurry)),
                None => {
                    let silent = time - self.role.contact;
                    self.campaign(Reason::Timeout(silent), None)
                }
            };
        }
        if let Some(leader) = self.role.leader {
            let silent_us = time - self.role.contact;
            self.emit(Event::LeaderSilent { term: self.term, leader, silent_us });
            self.forget_leader();
        }
        self.into()
    }

    /// Handles a message of the current term.
    pub(super) fn step(mut self, envelope: Envelope) -> AnyNode {
        let from = envelope.from;
        let name = envelope.message.name();
        match envelope.message {
            Message::Append(append) => {
                if let Err(why) = self.check_append(&append) {
                    self.ignore(from, name, why);
                } else if self.hear(from, name) {
                    self.on_append(from, append);
                }
            }
            Message::Heartbeat { commit, round } => {
                if commit > self.log.last_index() && self.recovery.is_none() {
                    self.ignore(from, name, "commits what is not here");
                } else if self.hear(from, name) {
                    self.on_heartbeat(from, commit, round);
                }
            }
            Message::FetchState { start } => {
                if self.hear(from, name) && !self.asks_first(from) {
                    self.on_fetch_state(from, start);
                }
            }
            Message::RecoverTo { nonce, index } => {
                if self.hear(from, name) {
                    self.on_recover_to(from, nonce, index);
                }
            }
            Message::Vote { last_index, last_term, .. } => {
                if self.on_vote(from, (last_index, last_term)) {
                    // Who has just voted gives the candidate its time.
                    self.role.deadline = self.time() + self.role.timeout;
                    self.role.hurry = None;
                }
            }
            Message::TimeoutNow => {
                let expected = self.role.leader.is_none_or(|leader| leader == from);
                if expected && self.is_promotable() {
                    return self.into_candidate(Reason::Transfer(from), None).into();
                }
                self.ignore(from, name, "no leader of ours, or no vote here");
            }
            Message::ReadIndexResponse { id, index } => self.on_read_answer(from, id, index),
            // A reader that takes this node for the leader of this term is wrong, and finds out.
            Message::ReadIndex { id } => {
                self.send(from, Message::ReadIndexResponse { id, index: None });
            }
            // Answers to what this node asked for in another role of this term.
            Message::PreVoteResponse { .. }
            | Message::VoteResponse { .. }
            | Message::AppendAccepted { .. }
            | Message::AppendRejected { .. }
            | Message::HeartbeatResponse { .. }
            | Message::Recovering { .. }
            | Message::Holds { .. } => {}
            Message::PreVote { .. } | Message::Removed { .. } => {
                unreachable!("handled alike in every role")
            }
        }
        self.into()
    }

    /// The leader of this term spoke. Returns false for a second leader in one term, which no
    /// correct cluster has.
    fn hear(&mut self, from: NodeId, message: &'static str) -> bool {
        match self.role.leader {
            Some(leader) if leader != from => {
                self.ignore(from, message, "another node leads in this term");
                return false;
            }
            Some(_) => {}
            None => {
                self.role.leader = Some(from);
                self.emit(Event::LeaderKnown { term: self.term, leader: from });
            }
        }
        self.role.contact = self.time();
        self.role.deadline = self.time() + self.role.timeout;
        self.role.hurry = None;
        true
    }

    /// The commit index in a heartbeat is bounded by what the leader knows to be equal here. One that
    /// is recovering may have lost that, and believes only what it has compared since.
    fn on_heartbeat(&mut self, from: NodeId, commit: Index, round: u64) {
        let (last_index, full) = (self.log.durable(), self.full);
        self.send(from, Message::HeartbeatResponse { round, last_index, full });
        if self.recovery.is_none() {
            self.advance_commit(commit);
        } else if !self.asks_first(from) {
            self.advance_commit(commit.min(self.role.compared));
            if commit > self.role.compared {
                // The leader takes this node for abreast, but the append that would show it is lost.
                self.ask_to_recover(from);
            }
        }
    }

    fn forget_leader(&mut self) {
        self.role.leader = None;
        for (id, _) in std::mem::take(&mut self.role.reads).into_values() {
            self.answer(Reader::Local(id), Err(ReadFailure::Interrupted));
        }
    }

    /// The process of a node is gone. If it is the leader's, loyalty to it ends, and the voters
    /// campaign one after the other instead of waiting for their timeouts. If the evidence is
    /// wrong, no harm is done: the next heartbeat makes it the leader again.
    pub(super) fn leader_gone(&mut self, node: NodeId) {
        if self.role.leader != Some(node) {
            return;
        }
        self.forget_leader();
        if !self.is_promotable() {
            self.emit(Event::LeaderGone { term: self.term, leader: node, campaign: None });
            return;
        }
        let voters = self.configurations.current().voters();
        let rank = voters.filter(|voter| *voter != node && *voter < self.id).count();
        let wait = rank as u64 * GONE_RANK_WAIT + self.draw(0, GONE_JITTER);
        let campaign = Some((rank, wait));
        self.emit(Event::LeaderGone { term: self.term, leader: node, campaign });
        let deadline = self.time() + wait;
        self.role.hasten(deadline, Hurry::new());
    }

    /// Asks the leader for a read index.
    pub(super) fn read_index(&mut self, id: u64) {
        let Some(leader) = self.role.leader else {
            return self.answer(Reader::Local(id), Err(ReadFailure::NoLeader));
        };
        if self.role.reads.len() >= READS_MAX {
            return self.answer(Reader::Local(id), Err(ReadFailure::Interrupted));
        }
        let number = self.read_number;
        self.read_number += 1;
        let deadline = self.time() + self.options.election_max;
        self.role.reads.insert(number, (id, deadline));
        self.send(leader, Message::ReadIndex { id: number });
    }

    fn on_read_answer(&mut self, from: NodeId, number: u64, index: Option<Index>) {
        if self.role.leader != Some(from) {
            return;
        }
        if let Some((id, _)) = self.role.reads.remove(&number) {
            self.answer(Reader::Local(id), index.ok_or(ReadFailure::Interrupted));
        }
    }

    /// Whether an append makes sense in itself; nothing that a peer sends may break an assertion.
    fn check_append(&self, append: &Append) -> Result<(), &'static str> {
        let Append { prev_index, prev_term, entries, .. } = append;
        let end = prev_index.checked_add(entries.len() as u64);
        if end.is_none_or(|end| end == Index::MAX) {
            return Err("indexes beyond all bounds");
        }
        if (*prev_index == 0) != (*prev_term == 0) {
            return Err("an index without a term");
        }
        let (mut index, mut term) = (*prev_index, *prev_term);
        for entry in entries {
            if entry.index != index + 1 || entry.term < term || entry.term == 0 {
                return Err("entries out of order");
            }
            if matches!(&entry.payload, Payload::Configuration(c) if c.voters().next().is_none()) {
                return Err("a configuration without voters");
            }
            (index, term) = (entry.index, entry.term);
        }
        if term > self.term {
            return Err("entries from a future term");
        }
        Ok(())
    }

    /// Takes entries from the leader (thesis 3.5), after the envelope and the message were checked.
    fn on_append(&mut self, from: NodeId, append: Append) {
        if self.asks_first(from) {
            return;
        }
        let Append { mut prev_index, mut prev_term, mut entries, commit } = append;
        let end = prev_index + entries.len() as u64;
        let start = self.log.start().0;
        if end < start {
            // All of it was replaced or purged: no conflict, but nothing to compare it with either.
            return self.tell_what_it_holds();
        }
        if prev_index < start {
            let behind = entries.split_off((start - prev_index) as usize);
            let at_start = entries.last().expect("it reaches from before the start to it");
            (prev_index, prev_term) = (start, at_start.term);
            entries = behind;
        }
        if let Some(why) = self.contradiction(prev_index, prev_term, &entries) {
            return self.ignore(from, "Append", why);
        }
        if self.log.term_at(prev_index) != Some(prev_term) {
            return self.reject(from, prev_index, prev_term);
        }
        // What is here already stays: an old or repeated message must not shorten the log.
        let is_new = |entry: &Entry| self.log.term_at(entry.index) != Some(entry.term);
        if let Some(first) = entries.iter().position(is_new) {
            let is_command = |entry: &Entry| matches!(entry.payload, Payload::Command(_));
            if self.full && entries[first..].iter().any(is_command) {
                return; // To the leader it looks like a lost message, and heartbeats tell why.
            }
            self.truncate_from(entries[first].index);
            for entry in entries.into_iter().skip(first) {
                self.append(entry);
            }
        }
        self.role.compared = self.role.compared.max(end);
        self.acknowledge(from, end);
        // Beyond `end` nothing is known to agree with the leader.
        self.advance_commit(commit.min(end));
    }

    /// Whether the append says that something else is committed than what is here. If that is known
    /// from a leader the protocol is broken; if it is known from a state, the sender of the append may
    /// be a leader that was deposed, unknown to both.
    fn contradiction(
        &self,
        prev_index: Index,
        prev_term: Term,
        entries: &[Entry],
    ) -> Option<&'static str> {
        let commit = self.log.commit();
        let positions = entries.iter().map(|entry| (entry.index, entry.term));
        let first = std::iter::once((prev_index, prev_term))
            .chain(positions)
            .take_while(|(index, _)| *index <= commit)
            .find(|(index, term)| self.log.term_at(*index) != Some(*term))?;
        assert!(first.0 <= self.log.vouched(), "the leader contradicts what is committed");
        Some("contradicts an installed state")
    }

    /// Tells the leader where to look instead: past all entries of terms that it had not got to at
    /// its probe, so that it needs at most one probe per term (thesis 3.5).
    fn reject(&mut self, from: NodeId, prev_index: Index, prev_term: Term) {
        assert!(prev_index > self.log.commit(), "the leader contradicts what is committed");
        // What is committed is in the leader's log, if it is one that still counts.
        let hint_index = self.log.last_index_below(prev_index, prev_term).max(self.log.commit());
        let hint_term = self.log.term_at(hint_index).expect("the hint is within the log");
        self.send(from, Message::AppendRejected { prev_index, hint_index, hint_term });
    }

    /// Makes way for the leader's entries from `first` on.
    fn truncate_from(&mut self, first: Index) {
        let last = self.log.last_index();
        if first > last {
            return;
        }
        let commit = self.log.commit();
        assert!(first > commit, "the leader contradicts what is committed");
        self.emit(Event::LogTruncated { term: self.term, first, last, commit });
        self.log.truncate(first);
        if let Some(index) = self.configurations.truncate(first) {
            let to = self.configurations.index();
            self.emit(Event::ConfigurationRolledBack { term: self.term, index, to });
        }
    }

    pub(super) fn advance_commit(&mut self, commit: Index) {
        if commit > self.log.commit() {
            self.commit_to(commit);
            self.check_recovered();
        }
    }

    /// A write is durable.
    pub(super) fn on_persisted(&mut self, persisted: Persisted) {
        self.persisted(persisted);
        self.check_recovered();
    }

    /// Whether it may campaign has changed for the better.
    pub(super) fn on_fit(mut self) -> AnyNode {
        self.role.wait_anew(self.timeline.time());
        match self.is_only_voter() && self.is_promotable() {
            true => self.campaign(Reason::OnlyVoter, None),
            false => self.into(),
        }
    }
}

impl From<RawNode<Follower>> for AnyNode {
    fn from(node: RawNode<Follower>) -> Self {
        Self::Follower(node)
    }
}
