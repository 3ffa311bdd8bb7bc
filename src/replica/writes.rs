//! The outgoing side of the write session: commands of this node's clients until they are answered.
//!
//! Each process registers one session through the log when it first has something to write. Every
//! command is then (session, seq, floor) and may be sent again under the same id to each new
//! leader: the replicated state applies it once (Ongaro's thesis, 6.3). What is remembered per
//! command is how many sendings are not known to have failed, since that decides whether a
//! time-out means *not applied* or *outcome unknown*.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{BufMut, Bytes, BytesMut};

use super::{Answer, Effects, Event, Options, PeerMessage, Refusal, Resolved};
use crate::error::{Certainty, Failure, Reason};
use crate::ids::{Ticket, WriteId};
use crate::raft::{Index, Micros, NEVER, Node, NodeId, Now, ProposeError};

/// Pause after a refusal by the node that should lead, in µs.
const RETRY_US: u64 = 20_000;

struct Pending {
    ticket: Ticket,
    deadline: Micros,
    /// When it is given up if it could not be sent by then.
    patience: Micros,
    command: Bytes,
    /// When it was last sent; none while it waits to be sent.
    sent_at: Option<Micros>,
    /// Sendings that were not refused.
    sendings: u32,
    /// The applier looks for its reply in a state that it installs; until it has told, nobody else
    /// may answer.
    claimed: bool,
}

/// How this process makes itself known to the replicated state.
pub struct Registration {
    /// Names the process; random.
    pub nonce: u64,
    /// The encoded command.
    pub command: Bytes,
}

pub(super) struct Writes {
    registration: Registration,
    /// Id of our session, once its registration is committed.
    session: Option<u64>,
    /// When the registration was last sent.
    registering: Option<Micros>,
    next_seq: u64,
    pending: BTreeMap<u64, Pending>,
    /// Bytes of the commands in `pending`.
    bytes: usize,
    /// (when, seq) of deadlines, and of the moments when patience without a leader ends.
    expiries: BTreeSet<(Micros, u64)>,
    /// Pending commands to send.
    unsent: BTreeSet<u64>,
    /// Commands of other nodes to propose.
    relayed: Vec<(NodeId, WriteId, Bytes)>,
    /// When we last looked for commands that got no answer.
    looked_at: Micros,
    /// Nothing is sent before this time: somebody who should lead has just said no.
    hold_until: Micros,
    /// When [`Writes::run`] was called last.
    ran_at: Micros,
}

impl Writes {
    pub fn new(registration: Registration) -> Self {
        Self {
            registration,
            session: None,
            registering: None,
            next_seq: 1,
            pending: BTreeMap::new(),
            bytes: 0,
            expiries: BTreeSet::new(),
            unsent: BTreeSet::new(),
            relayed: Vec::new(),
            looked_at: Micros(0),
            hold_until: Micros(0),
            ran_at: Micros(0),
        }
    }

    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// Bytes of the commands that wait for their answer: they are kept to be sent again.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes a client's command. Until `patience` it may wait for a leader, until `deadline` for
    /// its answer.
    pub fn add(&mut self, ticket: Ticket, deadline: Micros, patience: Micros, command: Bytes) {
        let seq = self.next_seq;
        self.next_seq += 1;
        self.expiries.insert((patience, seq));
        self.expiries.insert((deadline, seq));
        self.bytes += command.len();
        let pending = Pending {
            ticket,
            deadline,
            patience,
            command,
            sent_at: None,
            sendings: 0,
            claimed: false,
        };
        self.pending.insert(seq, pending);
        self.unsent.insert(seq);
    }

    /// Takes a command of another node's client, to be proposed here.
    pub fn relay(&mut self, from: NodeId, id: WriteId, command: &Bytes) {
        self.relayed.push((from, id, payload(id, command)));
    }

    /// Everything unanswered goes to the new leader, under the same ids.
    pub fn on_leader_change(&mut self) {
        self.registering = None;
        self.hold_until = Micros(0);
        for pending in self.pending.values_mut() {
            pending.sent_at = None;
        }
        self.unsent = self.pending.keys().copied().collect();
    }

    /// The receiver of a command did not append it. Gives the clients' answers that are final.
    pub fn on_refused(
        &mut self,
        id: WriteId,
        refusal: Refusal,
        now: Micros,
    ) -> Vec<(Ticket, Failure)> {
        if id.session == 0 && id.seq == self.registration.nonce {
            return self.on_registration_refused(refusal, now);
        }
        if Some(id.session) != self.session {
            return Vec::new();
        }
        let Some(pending) = self.pending.get_mut(&id.seq) else { return Vec::new() };
        pending.sendings = pending.sendings.saturating_sub(1);
        if pending.sendings > 0 {
            return Vec::new();
        }
        match final_reason(refusal) {
            Some(reason) if !pending.claimed => {
                let failure = Failure::not_applied(reason);
                self.finish(id.seq).map(|ticket| (ticket, failure)).into_iter().collect()
            }
            // Sent again to the next leader, or soon to the same: a transfer may have failed.
            _ => {
                pending.sent_at = None;
                self.unsent.insert(id.seq);
                self.hold_until = now + RETRY_US;
                Vec::new()
            }
        }
    }

    /// Without a session nothing was sent, so a refusal that lasts is one for all that wait. A leader
    /// that is busy is asked again: a registration is small, and comes once.
    fn on_registration_refused(&mut self, refusal: Refusal, now: Micros) -> Vec<(Ticket, Failure)> {
        self.registering = None;
        self.hold_until = now + RETRY_US;
        let lasts = self.session.is_none() && refusal != Refusal::Busy;
        let Some(reason) = final_reason(refusal).filter(|_| lasts) else { return Vec::new() };
        let unclaimed = self.pending.iter().filter(|(_, pending)| !pending.claimed);
        let seqs: Vec<u64> = unclaimed.map(|(seq, _)| *seq).collect();
        let tickets = seqs.into_iter().filter_map(|seq| self.finish(seq));
        tickets.map(|ticket| (ticket, Failure::not_applied(reason.clone()))).collect()
    }

    /// All that wait, for the applier to look up in a state that it installs.
    pub fn claim(&mut self) -> Vec<(u64, Ticket)> {
        let claim = |(seq, pending): (&u64, &mut Pending)| {
            pending.claimed = true;
            (*seq, pending.ticket)
        };
        self.pending.iter_mut().map(claim).collect()
    }

    /// What the applier found: the rest goes on waiting, or is out of time.
    pub fn resolve(&mut self, resolved: &Resolved) {
        self.session = self.session.or(resolved.session);
        for seq in &resolved.seqs {
            self.finish(*seq);
        }
        for (seq, pending) in &mut self.pending {
            if std::mem::take(&mut pending.claimed) {
                self.expiries.insert((pending.patience, *seq));
                self.expiries.insert((pending.deadline, *seq));
            }
        }
    }

    /// A command is committed and on its way to the applier. Gives whom to answer, when it is ours.
    pub fn on_committed(&mut self, id: WriteId, command: &[u8], index: Index) -> Option<Ticket> {
        let registers = id.session == 0 && id.seq == self.registration.nonce;
        if registers && self.session.is_none() && *command == self.registration.command {
            self.session = Some(index);
        }
        if Some(id.session) == self.session { self.finish(id.seq) } else { None }
    }

    /// Answers for everything whose time is over.
    pub fn expire(&mut self, now: Micros) -> Vec<(Ticket, Failure)> {
        let mut over = Vec::new();
        while let Some(&(when, seq)) = self.expiries.first() {
            if when > now {
                break;
            }
            self.expiries.pop_first();
            let Some(pending) = self.pending.get(&seq).filter(|it| !it.claimed) else { continue };
            let failure = if pending.sendings == 0 {
                Failure { certainty: Certainty::NotApplied, reason: Reason::NoLeader }
            } else if now >= pending.deadline {
                Failure { certainty: Certainty::Unknown, reason: Reason::Deadline }
            } else {
                continue;
            };
            over.extend(self.finish(seq).map(|ticket| (ticket, failure)));
        }
        over
    }

    pub fn deadline(&self, options: &Options) -> Micros {
        let expiry = self.expiries.first().map_or(NEVER, |(when, _)| *when);
        if self.pending.is_empty() {
            return expiry;
        }
        let held = if self.hold_until > self.ran_at { self.hold_until } else { NEVER };
        expiry.min(held).min(Micros(self.looked_at.0 + options.resend_us / 2))
    }

    /// Proposes or forwards what has to be sent.
    pub fn run(&mut self, node: &mut Node, now: Now, options: &Options, effects: &mut Effects) {
        self.ran_at = now.mono;
        self.look_for_lost(now.mono, options, effects);
        let Some(leader) = node.leader() else {
            self.refuse_relayed(Refusal::NotLeader, effects);
            return;
        };
        let mut own = Vec::new();
        let held = now.mono < self.hold_until;
        if !held && self.registration_is_due(now.mono, options) {
            self.registering = Some(now.mono);
            let id = WriteId { session: 0, seq: self.registration.nonce, floor: 0 };
            own.push((id, self.registration.command.clone()));
        }
        if !held {
            own.extend(self.take_unsent(now.mono));
        }
        if leader == node.id() {
            self.propose(own, node, now, effects);
        } else {
            self.refuse_relayed(Refusal::NotLeader, effects);
            let forward = |(id, command)| (leader, PeerMessage::Forward { id, command });
            effects.messages.extend(own.into_iter().map(forward));
        }
    }

    /// Whether there are commands that [`Writes::run`] would send.
    pub fn can_send(&self, node: &Node) -> bool {
        let may = self.session.is_some() && self.ran_at >= self.hold_until;
        may && !self.unsent.is_empty() && node.leader().is_some()
    }

    fn registration_is_due(&self, now: Micros, options: &Options) -> bool {
        let waited = |at: Micros| now.0.saturating_sub(at.0) >= options.raft.election_min;
        self.session.is_none() && !self.pending.is_empty() && self.registering.is_none_or(waited)
    }

    /// The commands to send now, once there is a session to send them under.
    fn take_unsent(&mut self, now: Micros) -> Vec<(WriteId, Bytes)> {
        let Some(session) = self.session else { return Vec::new() };
        let floor = self.pending.keys().next().copied().unwrap_or(self.next_seq);
        let mut commands = Vec::with_capacity(self.unsent.len());
        for seq in std::mem::take(&mut self.unsent) {
            if let Some(pending) = self.pending.get_mut(&seq) {
                pending.sent_at = Some(now);
                pending.sendings += 1;
                commands.push((WriteId { session, seq, floor }, pending.command.clone()));
            }
        }
        commands
    }

    /// One proposal for everything at once, so that it is one append and one log write.
    fn propose(
        &mut self,
        own: Vec<(WriteId, Bytes)>,
        node: &mut Node,
        now: Now,
        effects: &mut Effects,
    ) {
        let relayed = self.relayed.iter().map(|(_, _, payload)| payload.clone());
        let payloads: Vec<Bytes> =
            relayed.chain(own.iter().map(|(id, command)| payload(*id, command))).collect();
        if payloads.is_empty() {
            return;
        }
        match node.propose(now, payloads) {
            Ok(_) => self.relayed.clear(),
            Err(error) => {
                let refusal = match error {
                    ProposeError::Busy => Refusal::Busy,
                    ProposeError::DiskFull => Refusal::DiskFull,
                    _ => Refusal::NotLeader,
                };
                self.refuse_relayed(refusal, effects);
                for (id, _) in own {
                    let answers = self.on_refused(id, refusal, now.mono);
                    let failed = |(ticket, failure)| (ticket, Answer::Failed(failure));
                    effects.answers.extend(answers.into_iter().map(failed));
                }
            }
        }
    }

    fn refuse_relayed(&mut self, refusal: Refusal, effects: &mut Effects) {
        for (from, id, _) in self.relayed.drain(..) {
            effects.messages.push((from, PeerMessage::Refused { id, refusal }));
        }
    }

    /// Messages may be lost: what got no answer for long is sent again.
    fn look_for_lost(&mut self, now: Micros, options: &Options, effects: &mut Effects) {
        if self.pending.is_empty() || now.0 < self.looked_at.0 + options.resend_us / 2 {
            return;
        }
        self.looked_at = now;
        let mut lost = 0;
        for (seq, pending) in &mut self.pending {
            if pending.sent_at.is_some_and(|at| now.0 >= at.0 + options.resend_us) {
                pending.sent_at = None;
                self.unsent.insert(*seq);
                lost += 1;
            }
        }
        if lost > 0 {
            effects.events.push(Event::Resent { commands: lost });
        }
    }

    fn finish(&mut self, seq: u64) -> Option<Ticket> {
        let pending = self.pending.remove(&seq)?;
        self.bytes -= pending.command.len();
        self.expiries.remove(&(pending.deadline, seq));
        self.expiries.remove(&(pending.patience, seq));
        self.unsent.remove(&seq);
        Some(pending.ticket)
    }
}

/// Why a client is told that its command was not applied; none if another sending may be luckier.
fn final_reason(refusal: Refusal) -> Option<Reason> {
    match refusal {
        Refusal::NotLeader => None,
        Refusal::Busy => Some(Reason::Busy),
        Refusal::DiskFull => Some(Reason::DiskFull),
        Refusal::Unknown => Some(Reason::Refused(
            "the leader does not know this command yet; upgrade it first".to_owned(),
        )),
    }
}

/// An entry's payload: the id in front of the command.
pub(super) fn payload(id: WriteId, command: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(WriteId::LEN + command.len());
    bytes.put_slice(&id.encode());
    bytes.put_slice(command);
    bytes.freeze()
}
