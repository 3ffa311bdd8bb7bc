//! The node as its caller sees it: one type with one method per kind of input.
//!
//! Every input takes the time, runs in the role the node is in, may change that role, and ends with
//! a check of the invariants. What the node wants done waits in it until [`Node::ready`].

use std::ops::RangeInclusive;

use bytes::Bytes;

use super::configuration::{Change, Configuration};
use super::event::{Event, Reason, RoleKind};
use super::follower::Follower;
use super::message::{Entry, Envelope};
use super::progress::ProgressView;
use super::raw::{AnyNode, RawNode, Reader, Role, Screened};
use super::ready::{Boot, Installed, LogRead, Persisted, ReadFailure, Ready, Unfit, Write};
use super::refusal::{ProposeError, TransferError};
use super::{Index, Micros, NodeId, Now, Options, Term};

/// One node of the consensus: a deterministic state machine without I/O.
///
/// Same options, boot, seed and inputs give the same outputs, always.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// None only while an input is being handled.
    state: Option<AnyNode>,
}

/// Runs `$body` with `$node` bound to the node in whatever role it is in.
macro_rules! each_role {
    ($state:expr, $node:ident => $body:expr) => {
        match $state {
            AnyNode::Follower($node) => $body,
            AnyNode::Candidate($node) => $body,
            AnyNode::Leader($node) => $body,
        }
    };
}

impl Node {
    /// A node as its disk describes it. It starts as follower, and campaigns at once if it is the
    /// only voter. `seed` must differ between processes, or nodes time out in step.
    ///
    /// Panics if the description contradicts itself, or on options that cannot work.
    #[must_use]
    pub fn new(options: Options, boot: Boot, seed: u64, now: Now) -> Self {
        let mut raw = RawNode::new(options, boot, seed, now);
        let timeout = raw.draw_timeout();
        let (raw, ()) = raw.with_role(Follower::new(now.mono, timeout));
        let state = match raw.is_only_voter() && raw.is_promotable() {
            true => raw.campaign(Reason::OnlyVoter, None),
            false => raw.into(),
        };
        let node = Self { state: Some(state) };
        node.assert_invariants();
        node
    }

    fn state(&self) -> &AnyNode {
        self.state.as_ref().expect("the node is put back after each input")
    }

    /// Handles one input: takes note of the time, lets `input` do its work, checks the result.
    fn input<T>(&mut self, now: Now, input: impl FnOnce(AnyNode) -> (AnyNode, T)) -> T {
        let mut state = self.state.take().expect("the node is put back after each input");
        let deadline = each_role!(&state, node => node.deadline());
        each_role!(&mut state, node => node.advance_time(now, deadline));
        let (state, result) = input(state);
        self.state = Some(state);
        self.assert_invariants();
        result
    }

    /// Runs all that is due by now.
    pub fn tick(&mut self, now: Now) {
        self.input(now, |state| (each_role!(state, node => node.tick()), ()));
    }

    /// When it next wants a tick; [`super::NEVER`] when it waits for nothing but inputs.
    #[must_use]
    pub fn deadline(&self) -> Micros {
        each_role!(self.state(), node => node.timeline.to_caller(node.deadline()))
    }

    /// Takes a message from the network. What makes no sense is dropped with an event.
    pub fn step(&mut self, now: Now, envelope: Envelope) {
        self.input(now, |mut state| {
            let screened = each_role!(&mut state, node => node.screen(&envelope));
            let state = match screened {
                Screened::Done => state,
                Screened::Removed => match state {
                    AnyNode::Follower(node) => node.into(),
                    AnyNode::Candidate(node) => node.into_voteless().into(),
                    AnyNode::Leader(node) => node.into_voteless().into(),
                },
                Screened::Current => each_role!(state, node => node.step(envelope)),
                Screened::Newer => {
                    let (term, reason) = (envelope.term, Reason::HigherTerm(envelope.from));
                    each_role!(state, node => node.into_follower(term, reason)).step(envelope)
                }
            };
            (state, ())
        });
    }

    /// Appends commands to the log: all of them or none. Returns their indexes; whether they get
    /// committed is another matter.
    ///
    /// # Errors
    ///
    /// Refused by anyone but a leader with room and without a hand-over under way.
    pub fn propose(
        &mut self,
        now: Now,
        commands: Vec<Bytes>,
    ) -> Result<RangeInclusive<Index>, ProposeError> {
        self.input(now, |state| match state {
            AnyNode::Leader(mut node) => {
                let result = node.propose(commands);
                (node.into(), result)
            }
            state => {
                let leader = each_role!(&state, node => node.role.leader(node.id));
                (state, Err(ProposeError::NotLeader { leader }))
            }
        })
    }

    /// Appends a changed configuration, which is in force at once. `based_on` is the index of the
    /// configuration that the change was decided on.
    ///
    /// # Errors
    ///
    /// See [`ProposeError`]; nothing was appended.
    pub fn propose_change(
        &mut self,
        now: Now,
        change: Change,
        based_on: Option<Index>,
    ) -> Result<Index, ProposeError> {
        self.input(now, |state| match state {
            AnyNode::Leader(mut node) => {
                let result = node.propose_change(&change, based_on);
                drop(change);
                (node.into(), result)
            }
            state => {
                let leader = each_role!(&state, node => node.role.leader(node.id));
                (state, Err(ProposeError::NotLeader { leader }))
            }
        })
    }

    /// Asks for a read index under a number of the caller's, never used before. The answer comes in
    /// [`Ready::read_states`], always: with the index, or with a failure at the latest an election
    /// timeout later (on a leader: when it leaves office).
    pub fn read_index(&mut self, now: Now, id: u64) {
        self.input(now, |mut state| {
            match &mut state {
                AnyNode::Leader(node) => node.read_index(Reader::Local(id)),
                AnyNode::Follower(node) => node.read_index(id),
                AnyNode::Candidate(node) => {
                    node.answer(Reader::Local(id), Err(ReadFailure::NoLeader));
                }
            }
            (state, ())
        });
    }

    /// Hands leadership to this voter, or to the best one. Returns to whom.
    ///
    /// # Errors
    ///
    /// See [`TransferError`]. That it began does not mean that it succeeds.
    pub fn transfer(&mut self, now: Now, to: Option<NodeId>) -> Result<NodeId, TransferError> {
        self.input(now, |state| match state {
            AnyNode::Leader(mut node) => {
                let result = node.transfer(to);
                (node.into(), result)
            }
            state => {
                let leader = each_role!(&state, node => node.role.leader(node.id));
                (state, Err(TransferError::NotLeader { leader }))
            }
        })
    }

    /// There is evidence that this node's process is gone: its connection ended and redialling was
    /// refused, or answered by another process. Of use only if it is the leader that is followed.
    /// Wrong evidence costs at most an election, never safety.
    pub fn leader_gone(&mut self, now: Now, gone: NodeId) {
        self.input(now, |mut state| {
            if let AnyNode::Follower(node) = &mut state {
                node.leader_gone(gone);
            }
            (state, ())
        });
    }

    /// Starts an election now, if this node is a voter and not the leader.
    pub fn campaign(&mut self, now: Now) {
        self.input(now, |state| {
            let state = match state {
                AnyNode::Follower(node) if node.is_promotable() => {
                    node.campaign(Reason::Asked, None)
                }
                AnyNode::Candidate(node) if node.is_promotable() => {
                    node.campaign(Reason::Asked, None)
                }
                state => state,
            };
            (state, ())
        });
    }

    /// A [`Write`] and all before it are durable.
    pub fn on_persisted(&mut self, now: Now, persisted: Persisted) {
        self.input(now, |state| {
            let state = match state {
                AnyNode::Follower(mut node) => {
                    node.on_persisted(persisted);
                    node.into()
                }
                AnyNode::Candidate(node) => node.on_persisted(persisted),
                AnyNode::Leader(node) => node.on_persisted(persisted),
            };
            (state, ())
        });
    }

    /// Entries that were asked for by a [`LogRead`]. It may come late; then it is ignored. An empty
    /// answer is asked for again, a heartbeat later.
    pub fn on_log_read(&mut self, now: Now, read: LogRead, entries: Vec<Entry>) {
        self.input(now, |mut state| {
            if let AnyNode::Leader(node) = &mut state {
                node.on_log_read(read, entries);
            }
            (state, ())
        });
    }

    /// A state of another node is in place of this node's own, and durable. If the log leads to it
    /// the log stays, and what the state holds is committed; else the log begins anew behind it, with
    /// the next [`Write`] ([`Write::restart`]). In any role, and also when it is not new.
    ///
    /// Panics if the state contradicts what this node knows to be committed.
    pub fn on_installed(&mut self, now: Now, installed: Installed) {
        self.input(now, |state| (each_role!(state, node => node.on_installed(installed)), ()));
    }

    /// The log on disk begins behind this index now; the entries up to there are in the state,
    /// durably, so they are committed and durable. An index before the start says nothing.
    pub fn on_purged(&mut self, start: Index) {
        let state = self.state.as_mut().expect("the node is put back after each input");
        each_role!(state, node => node.log.purge(start));
        if let AnyNode::Leader(node) = state {
            node.check_reach_of_all();
        }
        self.assert_invariants();
    }

    /// Whether there is a reason why this node should not lead. As long as there is it does not
    /// campaign; a leader hands over, and leaves office if nobody takes over.
    pub fn set_unfit(&mut self, now: Now, unfit: Option<Unfit>) {
        self.input(now, |mut state| {
            let before = each_role!(&mut state, node => std::mem::replace(&mut node.unfit, unfit));
            if before == unfit {
                return (state, ());
            }
            let state = match (state, unfit) {
                (AnyNode::Leader(node), Some(unfit)) => node.leave_unfit(unfit),
                (AnyNode::Candidate(node), Some(unfit)) => {
                    let term = node.term;
                    node.into_follower(term, Reason::Unfit(unfit)).into()
                }
                (AnyNode::Follower(node), None) if before.is_some() => node.on_fit(),
                (state, _) => state,
            };
            (state, ())
        });
    }

    /// Whether this node's disk has no room for entries. As long as it has none it takes no commands
    /// from a leader, but votes, answers, and takes the small entries by which leaders begin and
    /// members change; a leader refuses proposals if no majority has room.
    pub fn set_full(&mut self, now: Now, full: bool) {
        self.input(now, |mut state| {
            each_role!(&mut state, node => node.full = full);
            let state = match state {
                AnyNode::Leader(node) => node.look_after_itself(),
                state => state,
            };
            (state, ())
        });
    }

    /// (index, term) behind which the log begins.
    #[must_use]
    pub fn log_start(&self) -> (Index, Term) {
        each_role!(self.state(), node => node.log.start())
    }

    /// Whether the log may lack something that this node acknowledged.
    #[must_use]
    pub fn is_recovering(&self) -> bool {
        each_role!(self.state(), node => node.recovery.is_some())
    }

    /// Hands out all work that has collected. Cheap when there is none.
    pub fn ready(&mut self) -> Ready {
        let state = self.state.as_mut().expect("the node is put back after each input");
        if let AnyNode::Leader(node) = state {
            node.pump();
        }
        let ready = each_role!(state, node => node.take_ready());
        self.assert_invariants();
        ready
    }

    /// Hands out the events since the last call.
    pub fn take_events(&mut self) -> Vec<Event> {
        let state = self.state.as_mut().expect("the node is put back after each input");
        each_role!(state, node => std::mem::take(&mut node.output.events))
    }

    /// Entries from memory: as many as fit in `bytes_max`, but at least one if there are any in the
    /// range. None when `first` has left memory.
    #[must_use]
    pub fn entries(&self, first: Index, last: Index, bytes_max: usize) -> Option<Vec<Entry>> {
        each_role!(self.state(), node => node.log.entries(first, last, bytes_max))
    }

    /// Lets go of entries in memory once they exceed their limit: those up to `limit` that are
    /// committed and durable, the oldest first.
    pub fn release_memory(&mut self, limit: Index) {
        let state = self.state.as_mut().expect("the node is put back after each input");
        each_role!(state, node => node.log.release(limit, node.options.tail_bytes_max));
    }

    /// This node.
    #[must_use]
    pub fn id(&self) -> NodeId {
        each_role!(self.state(), node => node.id)
    }

    /// The current term.
    #[must_use]
    pub fn term(&self) -> Term {
        each_role!(self.state(), node => node.term)
    }

    /// Whom it voted for in the current term.
    #[must_use]
    pub fn vote(&self) -> Option<NodeId> {
        each_role!(self.state(), node => node.vote)
    }

    /// What it is at the moment.
    #[must_use]
    pub fn role_kind(&self) -> RoleKind {
        each_role!(self.state(), node => node.role.kind())
    }

    /// Who leads in the current term, as far as this node knows: itself, another, nobody.
    #[must_use]
    pub fn leader(&self) -> Option<NodeId> {
        each_role!(self.state(), node => node.role.leader(node.id))
    }

    /// On a leader, what the cluster's clock says, in ms: the stamp of an entry made now.
    #[must_use]
    pub fn cluster_clock_ms(&self, now: Now) -> Option<u64> {
        match self.state() {
            AnyNode::Leader(node) => Some(node.clock.look(now).clock_ms),
            _ => None,
        }
    }

    /// How long ago, in µs, the leader was last known to be alive; none while there is none.
    #[must_use]
    pub fn leader_silence(&self) -> Option<u64> {
        each_role!(self.state(), node => {
            let time = node.time();
            node.role.contact(time).map(|contact| time - contact)
        })
    }

    /// The commit index, as far as this node knows.
    #[must_use]
    pub fn commit(&self) -> Index {
        each_role!(self.state(), node => node.log.commit())
    }

    /// Last index that is durable on this node's disk; 0 while a log that was replaced is not.
    #[must_use]
    pub fn durable(&self) -> Index {
        each_role!(self.state(), node => node.log.durable())
    }

    /// Last index of the log; that of its start when it has no entries.
    #[must_use]
    pub fn last_index(&self) -> Index {
        each_role!(self.state(), node => node.log.last_index())
    }

    /// Term of an entry, or of the start of the log; none before that and beyond the log.
    #[must_use]
    pub fn term_at(&self, index: Index) -> Option<Term> {
        each_role!(self.state(), node => node.log.term_at(index))
    }

    /// The configuration in force.
    #[must_use]
    pub fn configuration(&self) -> &Configuration {
        each_role!(self.state(), node => node.configurations.current())
    }

    /// Index of the entry that set it; 0 when none did.
    #[must_use]
    pub fn configuration_index(&self) -> Index {
        each_role!(self.state(), node => node.configurations.index())
    }

    /// The newest configuration that is known to be committed, with the index of its entry (0 and
    /// an empty one when none is).
    #[must_use]
    pub fn committed_configuration(&self) -> (Index, &Configuration) {
        each_role!(self.state(), node => node.configurations.committed(node.log.commit()))
    }

    /// Whether leadership is being handed over: proposals are refused meanwhile.
    #[must_use]
    pub fn is_transferring(&self) -> bool {
        matches!(self.state(), AnyNode::Leader(node) if node.role.transfer.is_some())
    }

    /// The entry that took this node out of the cluster, once it has learnt of it.
    #[must_use]
    pub fn removed(&self) -> Option<Index> {
        each_role!(self.state(), node => node.removed)
    }

    /// Bytes of entries that are not committed, as counted against the limit.
    #[must_use]
    pub fn uncommitted_bytes(&self) -> usize {
        each_role!(self.state(), node => node.log.uncommitted_bytes())
    }

    /// The followers, on a leader; nothing on others.
    #[must_use]
    pub fn progress(&self) -> Vec<ProgressView> {
        match self.state() {
            AnyNode::Leader(node) => node.progress_views(),
            _ => Vec::new(),
        }
    }

    /// Checks after every input what must hold; a broken invariant stops the node.
    fn assert_invariants(&self) {
        each_role!(self.state(), node => node.assert_shared_invariants());
        if let AnyNode::Leader(node) = self.state() {
            node.assert_leader_invariants();
        }
    }
}

impl<R> RawNode<R> {
    /// Takes note of the time of an input, given the deadline (in protocol time) that was asked for.
    fn advance_time(&mut self, now: Now, deadline: Micros) {
        self.now = now;
        let (tolerance, credit_us) = (self.options.election_max, self.options.heartbeat);
        if let Some(gap_us) = self.timeline.advance(now, deadline, tolerance, credit_us) {
            self.emit(Event::Paused { term: self.term, gap_us, credit_us });
        }
    }

    /// Hands out what was collected. A write is issued in the current term and speaks of the log as
    /// it is now, whatever it was made for.
    fn take_ready(&mut self) -> Ready {
        let hard_state = self.hard_state();
        let changed = hard_state != self.output.hard_state;
        let due = changed
            || self.log.has_unwritten()
            || self.log.has_restarted()
            || self.output.recovered
            || !self.output.released.is_empty();
        let write = due.then(|| Write {
            term: self.term,
            hard_state: changed.then_some(hard_state),
            entries: self.log.take_unwritten(),
            last: self.log.last(),
            release: std::mem::take(&mut self.output.released),
            restart: self.log.take_restart(),
            recovered: std::mem::take(&mut self.output.recovered),
        });
        self.output.hard_state = hard_state;
        Ready {
            write,
            messages: std::mem::take(&mut self.output.messages),
            read_states: std::mem::take(&mut self.output.read_states),
            log_reads: std::mem::take(&mut self.output.log_reads),
            fetch: self.output.fetch.take(),
        }
    }
}
