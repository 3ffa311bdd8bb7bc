//! What a node has in every role, and what it does alike in every role.
//!
//! `RawNode<R>` is a node in role `R`: the shared state here, that of the role in `role`. The roles
//! are types, so nothing that belongs to one of them can be touched in another, and the only ways
//! from one to another are the `into_*` functions.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, RngExt, SeedableRng};

use super::candidate::Candidate;
use super::clock::ClusterClock;
use super::event::{Event, Reason, Refusal, RoleKind};
use super::follower::Follower;
use super::leader::Leader;
use super::log::Log;
use super::membership::Configurations;
use super::message::{Envelope, Message, Payload};
use super::output::Output;
use super::ready::{Boot, HardState, Persisted, ReadFailure, ReadState, Unfit};
use super::recovery::Recovery;
use super::relief::Relief;
use super::timeline::Timeline;
use super::{Entry, Index, Micros, NodeId, Now, Options, Term};

/// A term no cluster ever gets to: beyond it a message is nonsense.
const MAX_TERM: Term = 1 << 62;

/// Somebody who waits for a read index: this node's caller or a follower, with their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    Local(u64),
    Remote(NodeId, u64),
}

/// What the shared code has to know of a role.
pub(super) trait Role {
    /// What to call it.
    fn kind(&self) -> RoleKind;
    /// The leader of the current term, if this role knows one (`id` is this node).
    fn leader(&self, id: NodeId) -> Option<NodeId>;
    /// When a leader was last known to be alive: the ground for refusing to elect another.
    fn contact(&self, time: Micros) -> Option<Micros>;
    /// Ends the role: hands back the readers that can no longer be served.
    fn abandon(self) -> Vec<Reader>;
}

/// A node in some role; what [`super::Node`] holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum AnyNode {
    Follower(RawNode<Follower>),
    Candidate(RawNode<Candidate>),
    Leader(RawNode<Leader>),
}

/// A node in role `R`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RawNode<R> {
    pub(super) id: NodeId,
    pub(super) options: Options,
    pub(super) rng: Xoshiro256PlusPlus,
    /// The current term. Never decreases.
    pub(super) term: Term,
    /// Whom it voted for in this term. Once set it stays for the term.
    pub(super) vote: Option<NodeId>,
    /// The newest term that is known to be durable.
    pub(super) durable_term: Term,
    pub(super) log: Log,
    pub(super) configurations: Configurations,
    pub(super) clock: ClusterClock,
    pub(super) timeline: Timeline,
    /// The caller's newest time.
    pub(super) now: Now,
    /// The configuration that took this node out of the cluster, if it knows of one.
    pub(super) removed: Option<Index>,
    /// The number of the next read index that is asked of a leader. Starts at random, so that an
    /// answer to an earlier process of this node is never taken for an answer to this one.
    pub(super) read_number: u64,
    /// Set while the log may lack what this node acknowledged.
    pub(super) recovery: Option<Recovery>,
    /// Why it should not lead.
    pub(super) unfit: Option<Unfit>,
    /// Its disk has no room for entries.
    pub(super) full: bool,
    /// When it last handed over because of its disk.
    pub(super) relief: Relief,
    /// The last acknowledgement that was put in the line of writes. As long as it waits there, the
    /// same again would only make the line longer: a disk may hang for long.
    pub(super) in_line: Option<Envelope>,
    pub(super) output: Output,
    pub(super) role: R,
}

/// What to do with a message after looking at its envelope.
pub(super) enum Screened {
    /// Nothing more.
    Done,
    /// It is for the role, in the current term.
    Current,
    /// Its term is higher: become a follower in it, then handle it.
    Newer,
    /// It said that this node is no longer a member.
    Removed,
}

impl RawNode<()> {
    /// A node before it has a role, as its disk describes it.
    pub(super) fn new(options: Options, boot: Boot, seed: u64, now: Now) -> Self {
        options.assert_valid();
        let log = Log::new(&boot);
        let HardState { mut term, mut vote } = boot.hard_state;
        // The log may begin behind a state that was installed, by a process that ended before it had
        // written that state's term. In that one it cannot have voted.
        if log.start().1 > term {
            (term, vote) = (log.start().1, None);
        }
        assert!(term >= log.last_term(), "the log is ahead of the term");
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let read_number = rng.next_u64() >> 1;
        let recovery = boot.recovering.then(|| Recovery::new(rng.next_u64().max(1)));
        let configurations = Configurations::new(boot.configurations);
        configurations.assert_invariants(log.last_index());
        Self {
            id: boot.id,
            options,
            rng,
            term,
            vote,
            durable_term: boot.hard_state.term,
            log,
            configurations,
            clock: ClusterClock::new(boot.last_clock_ms, now),
            timeline: Timeline::new(now),
            now,
            removed: None,
            read_number,
            recovery,
            unfit: None,
            full: false,
            relief: Relief::default(),
            in_line: None,
            output: Output::new(boot.hard_state),
            role: (),
        }
    }
}

impl<R> RawNode<R> {
    /// The same node in another role.
    pub(super) fn with_role<T>(self, role: T) -> (RawNode<T>, R) {
        let node = RawNode {
            id: self.id,
            options: self.options,
            rng: self.rng,
            term: self.term,
            vote: self.vote,
            durable_term: self.durable_term,
            log: self.log,
            configurations: self.configurations,
            clock: self.clock,
            timeline: self.timeline,
            now: self.now,
            removed: self.removed,
            read_number: self.read_number,
            recovery: self.recovery,
            unfit: self.unfit,
            full: self.full,
            relief: self.relief,
            in_line: self.in_line,
            output: self.output,
            role,
        };
        (node, self.role)
    }

    /// Protocol time: the caller's, less the pauses.
    pub(super) fn time(&self) -> Micros {
        self.timeline.time()
    }

    /// A time in [min, max) µs.
    pub(super) fn draw(&mut self, min: u64, max: u64) -> u64 {
        self.rng.random_range(min..max)
    }

    /// A new election timeout.
    pub(super) fn draw_timeout(&mut self) -> u64 {
        self.draw(self.options.election_min, self.options.election_max)
    }

    /// Whether it may campaign: if it is fit to, and a voter.
    pub(super) fn is_promotable(&self) -> bool {
        self.recovery.is_none() && self.unfit.is_none() && self.has_voice()
    }

    /// Whether the configuration lets it campaign: voters may, and so may those whose removal is not committed yet. The
    /// others may depend on them: a leader that has taken the vote from itself and crashed may hold
    /// a longer log than those that still count on its vote (thesis 4.2.2). Nobody may who was told
    /// that it is removed.
    fn has_voice(&self) -> bool {
        let fallback = self.configurations.fallback(self.log.commit());
        let votes = self.configurations.current().is_voter(self.id);
        self.removed.is_none() && (votes || fallback.is_some_and(|c| c.is_voter(self.id)))
    }

    /// Whether it is the only voter.
    pub(super) fn is_only_voter(&self) -> bool {
        let current = self.configurations.current();
        self.removed.is_none() && current.is_voter(self.id) && current.voters().count() == 1
    }

    /// Moves to a higher term, in which nobody has this node's vote yet.
    pub(super) fn raise_term(&mut self, term: Term) {
        assert!(term > self.term, "the term goes from {} to {term}", self.term);
        self.term = term;
        self.vote = None;
    }

    /// Sends a message at once, in the current term.
    pub(super) fn send(&mut self, to: NodeId, message: Message) {
        self.send_in(to, self.term, message);
    }

    /// Sends a message at once, in a term of its own (pre-votes).
    pub(super) fn send_in(&mut self, to: NodeId, term: Term, message: Message) {
        assert_ne!(to, self.id, "a message to itself");
        self.output.messages.push(Envelope { from: self.id, to, term, message });
    }

    /// Sends a message when everything so far is durable.
    pub(super) fn send_when_durable(&mut self, to: NodeId, message: Message) {
        assert_ne!(to, self.id, "a message to itself");
        self.output.release(Envelope { from: self.id, to, term: self.term, message });
    }

    /// Acknowledges the log up to `match_index`: at once if all of it is durable, else with the next
    /// write. A write may be empty: then it is only a place in the line of writes, behind those
    /// that the acknowledgement speaks of. So no acknowledgement ever has to be looked at again.
    ///
    /// While it is recovering the acknowledgement says of which process it is.
    pub(super) fn acknowledge(&mut self, to: NodeId, match_index: Index) {
        let message = match self.recovery.as_ref().map(|recovery| recovery.nonce(self.term)) {
            None => Message::AppendAccepted { match_index },
            Some(Some(nonce)) => {
                let term = self.log.term_at(match_index).expect("only what is here");
                Message::Holds { index: match_index, term, nonce }
            }
            Some(None) => unreachable!("a node that is recovering asks before it acknowledges"),
        };
        self.send_once_durable(to, match_index, message);
    }

    /// Sends a message that speaks of the log up to `index`: at once if that is durable, or else
    /// with the next write, unless it waits for an earlier one already.
    pub(super) fn send_once_durable(&mut self, to: NodeId, index: Index, message: Message) {
        if self.durable_term == self.term && index <= self.log.durable() {
            return self.send(to, message);
        }
        let envelope = Envelope { from: self.id, to, term: self.term, message };
        if self.in_line.as_ref() != Some(&envelope) {
            self.in_line = Some(envelope.clone());
            self.send_when_durable(to, envelope.message);
        }
    }

    /// Emits an event.
    pub(super) fn emit(&mut self, event: Event) {
        self.output.event(event);
    }

    /// Drops a message, saying so.
    pub(super) fn ignore(&mut self, from: NodeId, message: &'static str, why: &'static str) {
        self.emit(Event::Ignored { term: self.term, from, message, why });
    }

    /// Answers a reader.
    pub(super) fn answer(&mut self, reader: Reader, result: Result<Index, ReadFailure>) {
        match reader {
            Reader::Local(id) => self.output.read_states.push(ReadState { id, result }),
            Reader::Remote(to, id) => {
                self.send(to, Message::ReadIndexResponse { id, index: result.ok() });
            }
        }
    }

    /// A write is durable. Returns false if it was issued in another term: what it says of the log
    /// may no longer be true then, and a later write of this term will say it again.
    pub(super) fn persisted(&mut self, persisted: Persisted) -> bool {
        if persisted.term != self.term {
            return false;
        }
        self.durable_term = self.term;
        self.log.persisted(persisted.last);
        true
    }

    /// Appends an entry, and brings its configuration into force if it has one.
    pub(super) fn append(&mut self, entry: Entry) {
        self.clock.observe(entry.stamp);
        if let Payload::Configuration(configuration) = &entry.payload {
            self.configurations.append(entry.index, configuration.clone());
            self.emit(Event::ConfigurationAppended {
                term: self.term,
                index: entry.index,
                voters: configuration.voters().collect(),
                learners: configuration.learners().collect(),
            });
        }
        self.log.append(entry);
    }

    /// Raises the commit index. Returns whether a configuration got committed by that.
    pub(super) fn commit_to(&mut self, index: Index) -> bool {
        let before = self.configurations.committed(self.log.commit()).0;
        self.log.commit_to(index);
        let (after, configuration) = self.configurations.committed(index);
        if after == before {
            return false;
        }
        let removed = after > self.id && !configuration.contains(self.id);
        self.emit(Event::ConfigurationCommitted { term: self.term, index: after });
        self.configurations.prune(index);
        if removed {
            self.note_removal(after);
        }
        true
    }

    /// Learns that this node is no longer a member.
    pub(super) fn note_removal(&mut self, index: Index) {
        if self.removed.is_none() {
            self.removed = Some(index);
            self.emit(Event::Removed { term: self.term, index });
        }
    }

    /// The hard state as it should be on disk.
    pub(super) fn hard_state(&self) -> HardState {
        HardState { term: self.term, vote: self.vote }
    }
}

impl<R: Role> RawNode<R> {
    /// Ends this role and takes up another: whoever waits for a read has to ask again.
    pub(super) fn into_role<T: Role>(self, role: T) -> RawNode<T> {
        let (mut node, old) = self.with_role(role);
        for reader in old.abandon() {
            node.answer(reader, Err(ReadFailure::Interrupted));
        }
        node
    }

    /// Follows in `term`, which may be the current one, and knows no leader yet.
    pub(super) fn into_follower(mut self, term: Term, reason: Reason) -> RawNode<Follower> {
        assert!(term >= self.term, "following in an older term");
        if term > self.term {
            self.raise_term(term);
        }
        let from = self.role.kind();
        let timeout = self.draw_timeout();
        let role = Follower::new(self.time(), timeout);
        let mut node = self.into_role(role);
        if from != RoleKind::Follower {
            node.emit_role(from, RoleKind::Follower, reason);
        }
        node
    }

    /// Follows in the current term because it may not campaign or lead any more.
    pub(super) fn into_voteless(self) -> RawNode<Follower> {
        let term = self.term;
        self.into_follower(term, Reason::NoVote)
    }

    /// Tells of a change of role.
    pub(super) fn emit_role(&mut self, from: RoleKind, to: RoleKind, reason: Reason) {
        self.emit(Event::Role { term: self.term, from, to, reason, last: self.log.last() });
    }

    /// Looks at the envelope: where it is from, where it goes, its term. What follows is the same
    /// in every role.
    pub(super) fn screen(&mut self, envelope: &Envelope) -> Screened {
        let Envelope { from, to, term, message } = envelope;
        let (from, term, name) = (*from, *term, message.name());
        if *to != self.id || from == self.id || from == 0 {
            self.ignore(from, name, "wrong address");
            return Screened::Done;
        }
        if term == 0 || term > MAX_TERM {
            self.ignore(from, name, "absurd term");
            return Screened::Done;
        }
        if let Message::Removed { index } = message {
            // Neither term nor leader matter: the sender knows of a committed entry.
            let member = self.configurations.current().contains(self.id);
            if *index > self.id && (*index > self.configurations.index() || !member) {
                self.note_removal(*index);
                return Screened::Removed;
            }
            return Screened::Done;
        }
        // A leader that was taken out by an entry of its own still leads until it steps down.
        let leads = term == self.term && self.role.leader(self.id) == Some(from);
        if !leads && self.configurations.is_removed(from, self.log.commit()) {
            let index = self.configurations.committed(self.log.commit()).0;
            if self.role.kind() == RoleKind::Leader {
                self.send(from, Message::Removed { index });
            }
            return Screened::Done;
        }
        match message {
            // Asking for a pre-vote, or giving one, moves nobody to another term.
            Message::PreVote { last_index, last_term } => {
                self.on_pre_vote(from, term, (*last_index, *last_term));
                Screened::Done
            }
            Message::PreVoteResponse { granted: true } => {
                if term == self.term + 1 {
                    Screened::Current
                } else {
                    Screened::Done
                }
            }
            Message::Vote { transfer: false, last_index, last_term } if term > self.term => {
                match self.loyalty() {
                    Some(why) => {
                        self.refuse_vote(from, term, false, why, (*last_index, *last_term));
                        Screened::Done
                    }
                    None => Screened::Newer,
                }
            }
            _ if term > self.term => Screened::Newer,
            _ if term < self.term => {
                self.answer_old_term(envelope);
                Screened::Done
            }
            _ => Screened::Current,
        }
    }

    /// A message of an old term. Old leaders and candidates are told of the newer term, so that a
    /// leader steps down and a node whose term ran ahead is taken back by a fresh election, instead
    /// of being stuck; everything else is out of date.
    fn answer_old_term(&mut self, envelope: &Envelope) {
        let (last_index, full) = (self.log.durable(), self.full);
        match envelope.message {
            Message::Append(_) | Message::Heartbeat { .. } => {
                let answer = Message::HeartbeatResponse { round: 0, last_index, full };
                self.send(envelope.from, answer);
            }
            Message::Vote { last_index, last_term, .. } => {
                let its_last = (last_index, last_term);
                self.refuse_vote(envelope.from, envelope.term, false, Refusal::OldTerm, its_last);
                self.send(envelope.from, Message::VoteResponse { granted: false });
            }
            _ => {}
        }
    }

    /// Checks what must hold in every role.
    pub(super) fn assert_shared_invariants(&self) {
        assert!(self.term >= self.log.last_term(), "the log is ahead of the term");
        assert!(self.durable_term <= self.term, "a durable term from the future");
        let follows = self.role.kind() == RoleKind::Follower;
        assert!(self.recovery.is_none() || follows, "neither whole nor a follower");
        self.log.assert_invariants();
        self.configurations.assert_invariants(self.log.last_index());
    }
}
