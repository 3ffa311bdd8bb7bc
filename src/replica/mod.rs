//! The one place that knows the order *persist → send → apply → reply*.
//!
//! A [`Replica`] wraps the consensus core and has no thread, clock or disk of its own. Inputs are
//! calls ([`advance`](Replica::advance), [`on_message`](Replica::on_message),
//! [`on_request`](Replica::on_request), [`on_persisted`](Replica::on_persisted), …), work leaves as
//! data ([`Replica::effects`]), and [`Replica::deadline`] says when it wants time next. In
//! production the effects go to the threads of `node`, in the simulator to a simulated disk,
//! network and state machine: both run this very code.
//!
//! The order, for every batch of inputs:
//! 1. messages that promise nothing leave at once, also the appends of a leader whose own disk
//!    has not written yet (Ongaro's thesis, 10.2.1);
//! 2. writes go to the log in the order in which they were made; the votes and acknowledgements
//!    that rest on one leave when it is durable, and not before;
//! 3. entries go to the state machine in order, never past min(commit, own durable index), so a
//!    crash can not leave the state ahead of the log;
//! 4. the answer to a client of this node travels with its entry and is given by the applier.
//!
//! Client writes and reads, and what is remembered of them while they are under way, are in
//! `writes` and `reads`; what goes to the applier is in `apply`; admission of new nodes is in `joins`.
//! What happens when the disk or the state of this node is not as it should be is in `health`.

mod admin;
mod apply;
mod audit;
mod chores;
mod disk;
mod effects;
mod event;
mod health;
mod install;
mod joins;
mod last_resort;
mod message;
mod options;
mod reads;
#[cfg(test)]
mod tests;
mod writes;

use std::collections::VecDeque;

use bytes::Bytes;

pub use effects::{Answer, Effects, LogRequest, Request, Resolved, Work};
pub use event::Event;
pub use joins::{GuestId, JoinReply};
pub use message::{AdminRequest, PeerMessage, Refusal};
pub use options::{Options, Rules};

use crate::error::{Failure, Reason};
use crate::ids::{Ticket, WriteId};
use crate::raft::{
    Boot, Change, Entry, Envelope, Index, Micros, Node, NodeId, Now, Payload, Persisted, ReadState,
    Ready, RoleKind, Unfit,
};
use admin::Admin;
use audit::Audit;
use chores::Chores;
use disk::DiskWatch;
use install::Install;
use joins::Joins;
use last_resort::LastResort;
use reads::Reads;
pub use writes::Registration;
use writes::Writes;

/// One node's replica of the log. See the module's text for the contract.
pub struct Replica {
    options: Options,
    node: Node,
    now: Now,
    effects: Effects,
    /// Messages that wait for their write, in the order of the writes.
    unreleased: VecDeque<(Persisted, Vec<Envelope>, usize)>,
    /// Payload bytes in `unreleased`.
    log_bytes: usize,
    /// Last index handed to the applier.
    handed: Index,
    /// Last index the applier reported.
    applied: Index,
    /// (index, payload bytes) of entries that the applier holds.
    applying: VecDeque<(Index, usize)>,
    applying_bytes: usize,
    /// An [`LogRequest::Apply`] is under way.
    apply_read: bool,
    writes: Writes,
    reads: Reads,
    joins: Joins,
    admin: Admin,
    /// The leader that forwarded commands go to, and the term in which we learnt of it.
    leader: Option<(NodeId, u64)>,
    disk: DiskWatch,
    /// The disk has no room for entries.
    full: bool,
    install: Install,
    audit: Audit,
    chores: Chores,
    /// What the core was told of this node's fitness.
    unfit: Option<Unfit>,
    last_resort: LastResort,
}

impl Replica {
    /// A replica of what was found on disk. `applied` is the index up to which the state machine
    /// has it already; `state_lost` says why that state is not to be trusted, if it is not;
    /// `registration` names this process's write session; its nonce must be random and seeds the
    /// election timeouts too.
    #[must_use]
    pub fn new(
        options: Options,
        boot: Boot,
        applied: Index,
        state_lost: Option<String>,
        registration: Registration,
        now: Now,
    ) -> Self {
        let start = boot.start.0;
        let mut node = Node::new(options.raft.clone(), boot, registration.nonce, now);
        node.release_memory(applied);
        let mut replica = Self {
            disk: DiskWatch::new(options.disk_stall_us, options.disk_exit_us, now.mono),
            writes: Writes::new(registration),
            reads: Reads::new(),
            joins: Joins::default(),
            options,
            node,
            now,
            effects: Effects::default(),
            unreleased: VecDeque::new(),
            log_bytes: 0,
            handed: applied,
            applied,
            applying: VecDeque::new(),
            applying_bytes: 0,
            apply_read: false,
            admin: Admin::default(),
            leader: None,
            full: false,
            install: Install::new(state_lost, applied.max(start)),
            audit: Audit::new(now.mono),
            chores: Chores::default(),
            unfit: None,
            last_resort: LastResort::default(),
        };
        replica.judge_fitness();
        replica
    }

    /// The consensus core, to look at.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Writes of clients of this node that wait for their answer.
    #[must_use]
    pub fn pending_writes(&self) -> usize {
        self.writes.len()
    }

    /// Whether a read index obtained since the start has been applied.
    #[must_use]
    pub fn caught_up(&self) -> bool {
        self.install.lost().is_none() && self.reads.caught_up(self.applied)
    }

    /// When [`advance`](Self::advance) is wanted next.
    #[must_use]
    pub fn deadline(&self) -> Micros {
        let mut deadline = self
            .node
            .deadline()
            .min(self.writes.deadline(&self.options))
            .min(self.reads.deadline(&self.options))
            .min(self.joins.deadline())
            .min(self.admin.deadline())
            .min(self.disk.deadline())
            .min(self.install.deadline(self.node.leader(), self.node.id()))
            .min(self.audit_deadline())
            .min(self.chores_deadline())
            .min(self.last_resort.deadline(self.options.raft.election_max));
        // The applier reports by a number we look at, not by a wake-up: look often when it matters.
        if self.applying_bytes >= self.options.apply_bytes_max
            || self.reads.waits_for_apply(self.applied)
        {
            deadline = deadline.min(Micros(self.now.mono.0 + self.options.apply_poll_us));
        }
        deadline
    }

    /// Time passes: runs everything that is due.
    pub fn advance(&mut self, now: Now) {
        self.now = now;
        self.node.tick(now);
        self.watch_disk();
        self.judge_fitness();
        let answers = self.writes.expire(now.mono).into_iter().chain(self.reads.expire(now.mono));
        self.effects
            .answers
            .extend(answers.map(|(ticket, failure)| (ticket, Answer::Failed(failure))));
        self.effects.joins.extend(self.joins.expire(now.mono));
        self.admin.expire(now.mono, &mut self.effects);
    }

    /// A message from a peer, as delivered by the transport (which vouches for `from`).
    pub fn on_message(&mut self, now: Now, from: NodeId, message: PeerMessage) {
        self.now = now;
        match message {
            PeerMessage::Raft(envelope) if envelope.from == from => self.node.step(now, envelope),
            PeerMessage::Raft(_) => {}
            PeerMessage::Forward { id, command } => self.on_forward(from, id, &command),
            PeerMessage::Refused { id, refusal } => {
                let answers = self.writes.on_refused(id, refusal, now.mono);
                let failed = |(ticket, failure)| (ticket, Answer::Failed(failure));
                self.effects.answers.extend(answers.into_iter().map(failed));
            }
            PeerMessage::Digest { index, digest } => self.on_peer_digest(from, index, digest),
            PeerMessage::Admin { id, request } => {
                let deadline = Micros(now.mono.0 + self.options.admin_wait_us);
                let (node, effects) = (&mut self.node, &mut self.effects);
                self.admin.on_request(node, now, (from, id), deadline, request, effects);
            }
            PeerMessage::AdminDone { id, result } => {
                self.admin.on_done(id, result, &mut self.effects);
            }
        }
    }

    /// A client of this node asks for something; the answer comes by `deadline` at the latest.
    pub fn on_request(&mut self, now: Now, ticket: Ticket, deadline: Micros, request: Request) {
        self.now = now;
        match request {
            Request::Write(command) => match self.refuses_writes() {
                Some(reason) => self.refuse(ticket, reason),
                // In the log it would stop every node, and their next processes too.
                None if !(self.options.understands)(&command) => {
                    self.refuse(ticket, Reason::Refused("no node could apply this".to_owned()));
                }
                None => {
                    let patience = Micros(now.mono.0 + self.options.leader_wait_us()).min(deadline);
                    self.writes.add(ticket, deadline, patience, command);
                }
            },
            Request::ReadIndex if self.state_lost().is_some() => {
                self.refuse(ticket, Reason::Unavailable);
            }
            Request::ReadIndex => self.reads.add(ticket, deadline),
            Request::Applied(_) if self.state_lost().is_some() => {
                self.refuse(ticket, Reason::Unavailable);
            }
            Request::Applied(index) => self.reads.add_until(ticket, deadline, index),
            Request::Admin(request) => {
                let (node, effects) = (&mut self.node, &mut self.effects);
                self.admin.ask(node, now, ticket, deadline, request, effects);
            }
        }
    }

    /// The oldest write that was not reported yet is durable.
    ///
    /// # Panics
    /// When no write is under way: the caller broke the contract.
    pub fn on_persisted(&mut self, now: Now, persisted: Persisted) {
        self.now = now;
        let (expected, release, bytes) =
            self.unreleased.pop_front().expect("each write is reported once, in order");
        assert_eq!(expected, persisted, "writes are reported in the order they were handed out");
        self.log_bytes -= bytes;
        self.disk.reported();
        self.send(release);
        self.node.on_persisted(now, persisted);
        // What the applier has not got to may leave memory too: it is read back for it.
        self.node.release_memory(self.node.commit());
    }

    /// There is evidence that the process of `node` is gone (refused connection, new boot nonce).
    pub fn on_gone(&mut self, now: Now, node: NodeId) {
        self.now = now;
        self.node.leader_gone(now, node);
    }

    /// A node wants to join and has been dialled back under the address it advertises.
    pub fn on_join(&mut self, now: Now, guest: GuestId, info: crate::raft::MemberInfo) {
        self.now = now;
        let deadline = Micros(now.mono.0 + self.options.join_wait_us);
        if let Some(reply) = self.joins.add(guest, info, deadline) {
            self.effects.joins.push((guest, reply));
        }
    }

    /// A node wants to join and was not dialled back, since this node did not lead: it is sent on,
    /// even if this node has come to lead by now.
    pub fn send_on(&mut self, guest: GuestId) {
        self.effects.joins.push((guest, joins::elsewhere(&self.node)));
    }

    /// Proposes a change of the configuration when this node leads.
    pub fn propose_change(&mut self, now: Now, change: Change) {
        self.now = now;
        let based_on = Some(self.node.configuration_index());
        if let Err(error) = self.node.propose_change(now, change.clone(), based_on) {
            self.effects.events.push(Event::ChangeRefused { change, why: error.to_string() });
        }
    }

    /// Hands leadership to the best follower, if this node leads and there is one.
    pub fn hand_over_leadership(&mut self, now: Now) -> bool {
        self.now = now;
        self.node.role_kind() == RoleKind::Leader && self.node.transfer(now, None).is_ok()
    }

    /// Everything that has come of the inputs so far.
    pub fn effects(&mut self) -> Effects {
        self.follow_leader();
        self.joins.run(&mut self.node, self.now, &mut self.effects);
        self.propose_audit();
        self.do_chores();
        loop {
            self.reads.run(&mut self.node, self.now, &self.options);
            self.writes.run(&mut self.node, self.now, &self.options, &mut self.effects);
            let ready = self.node.ready();
            self.take(ready);
            self.pump_apply();
            // Commands that waited for the session go out as soon as it is registered, readers that
            // waited for the end of a round as soon as it has ended.
            let more =
                self.writes.can_send(&self.node) || self.reads.can_ask(&self.node, self.now.mono);
            if !more {
                break;
            }
        }
        self.release_readers();
        self.fetch_state();
        self.admin.run(&self.node, &mut self.effects);
        self.effects.events.extend(self.node.take_events().into_iter().map(Event::Raft));
        std::mem::take(&mut self.effects)
    }

    fn take(&mut self, ready: Ready) {
        self.send(ready.messages);
        if let Some(mut write) = ready.write {
            let bytes = write.entries.iter().map(payload_len).sum();
            let persisted = Persisted { term: write.term, last: write.last };
            let release = std::mem::take(&mut write.release);
            self.log_bytes += bytes;
            self.unreleased.push_back((persisted, release, bytes));
            self.disk.handed_out(self.now.mono);
            self.effects.writes.push((write, self.node.commit()));
        }
        for state in ready.read_states {
            self.on_read_state(state);
        }
        self.effects.log_reads.extend(ready.log_reads.into_iter().map(LogRequest::Follower));
        if let Some(fetch) = ready.fetch {
            self.install.want(fetch);
        }
    }

    fn refuse(&mut self, ticket: Ticket, reason: Reason) {
        self.effects.answers.push((ticket, Answer::Failed(Failure::not_applied(reason))));
    }

    fn send(&mut self, envelopes: Vec<Envelope>) {
        let messages = envelopes.into_iter().map(|it| (it.to, PeerMessage::Raft(it)));
        self.effects.messages.extend(messages);
    }

    /// Notices a new leader, to which everything unanswered is sent again.
    fn follow_leader(&mut self) {
        let leader = self.node.leader().map(|leader| (leader, self.node.term()));
        if leader != self.leader {
            self.leader = leader;
            self.writes.on_leader_change();
            self.reads.on_leader_change();
        }
    }

    fn on_read_state(&mut self, state: ReadState) {
        self.reads.on_read_state(state, self.now.mono);
    }

    /// A follower's client wants this command applied, and we are thought to lead.
    fn on_forward(&mut self, from: NodeId, id: WriteId, command: &Bytes) {
        let refusal = if self.node.role_kind() != RoleKind::Leader || self.node.is_transferring() {
            Some(Refusal::NotLeader)
        } else if self.log_bytes >= self.options.log_bytes_max
            || self.applying_bytes >= self.options.apply_bytes_max
        {
            Some(Refusal::Busy)
        } else if !(self.options.understands)(command) {
            Some(Refusal::Unknown)
        } else {
            self.writes.relay(from, id, command);
            None
        };
        if let Some(refusal) = refusal {
            self.effects.messages.push((from, PeerMessage::Refused { id, refusal }));
        }
    }
}

/// Payload bytes of an entry, as counted against every bound.
fn payload_len(entry: &Entry) -> usize {
    match &entry.payload {
        Payload::Command(payload) => payload.len(),
        Payload::Noop => 0,
        Payload::Configuration(configuration) => 256 * configuration.members.len(),
    }
}
