//! The machine: its state, its inputs and its outputs. The parts of the protocol are in the
//! modules next to it.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use crate::awareness::Awareness;
use crate::dissemination::Broadcasts;
use crate::packet::{self, Message, Packet, PacketError};
use crate::probe::{Probe, Relay, Ring};
use crate::suspicion::Suspicion;
use crate::{Config, Contact, Event, Member, Micros, NodeId, Rumour, Status};

/// What the caller is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send a datagram. It may be lost, delayed or doubled.
    Send {
        /// Where to.
        to: SocketAddr,
        /// Its bytes, at most [`Config::max_packet`].
        packet: Vec<u8>,
    },
    /// Send a push-pull request over a reliable stream, if there is one; otherwise drop it.
    PushPull {
        /// Whom to.
        to: NodeId,
        /// At most [`crate::config::MAX_PUSH_PULL`] bytes.
        body: Vec<u8>,
    },
    /// Something happened: log it, count it.
    Event(Event),
}

/// What was counted since the start, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets handed out to be sent.
    pub packets_sent: u64,
    /// Packets and push-pull bodies taken.
    pub packets_taken: u64,
    /// Packets and bodies refused because of their bytes: junk, damage, other clusters.
    pub packets_bad: u64,
    /// Packets and bodies refused because the sender is not known here.
    pub strangers: u64,
    /// Senders or statements that had a known id with another tag.
    pub impostors: u64,
    /// Pings meant for another node, and own packets that came back.
    pub misaddressed: u64,
    /// Acks and nacks to questions that were over.
    pub stale_acks: u64,
    /// Indirect pings refused: target unknown, or too many under way.
    pub relays_refused: u64,
    /// New members that found no place in the roster.
    pub roster_full: u64,
}

/// A member, and what this node knows of it besides.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub member: Member,
    /// Who first said what is believed now.
    pub by: NodeId,
    /// When its status changed.
    pub since: Micros,
    /// When it last sent something itself.
    pub heard: Option<Micros>,
    /// Invariant: there if and only if the status is *suspect*.
    pub suspicion: Option<Suspicion>,
    /// It does not know its own incarnation; the next packet to it tells.
    pub remind: bool,
}

impl Entry {
    pub fn new(member: Member, by: NodeId, since: Micros) -> Entry {
        Entry { member, by, since, heard: None, suspicion: None, remind: false }
    }

    pub fn rumour(&self) -> Rumour {
        Rumour { member: self.member.clone(), by: self.by }
    }
}

/// One node's membership protocol. See the crate's documentation for the whole story.
#[derive(Debug)]
pub struct Gossip {
    pub(crate) config: Config,
    pub(crate) id: NodeId,
    pub(crate) rng: ChaCha8Rng,
    /// The latest moment the caller has told of.
    pub(crate) now: Micros,
    /// Everybody known, this node included. Invariant: at most `MAX_MEMBERS`, apart from
    /// configured ones.
    pub(crate) roster: BTreeMap<NodeId, Entry>,
    pub(crate) contacts: BTreeMap<NodeId, Contact>,
    pub(crate) broadcasts: Broadcasts,
    pub(crate) awareness: Awareness,
    pub(crate) ring: Ring,
    pub(crate) probe: Option<Probe>,
    /// Pings on behalf of others, by our number for them. Invariant: at most `MAX_RELAYS`.
    pub(crate) relays: BTreeMap<u64, Relay>,
    pub(crate) last_number: u64,
    pub(crate) last_contact: NodeId,
    pub(crate) next_probe: Micros,
    pub(crate) next_gossip: Micros,
    pub(crate) next_push_pull: Micros,
    pub(crate) next_contact: Micros,
    pub(crate) leaving: bool,
    /// Ids that were reported as impostors. Invariant: all in the roster or configured.
    pub(crate) impostors: BTreeSet<NodeId>,
    pub(crate) counters: Counters,
    pub(crate) effects: Vec<Effect>,
}

impl Gossip {
    /// A node that knows nobody but itself. Call [`Gossip::set_contacts`] next. The incarnation
    /// in `me` may be a former one or 0: others tell when it is too low. All randomness comes
    /// from `seed`; two processes should not share one.
    ///
    /// # Panics
    /// If `config` or `me` is not sound; see [`Config::check`] and [`Member::check`].
    #[must_use]
    pub fn new(config: Config, me: Member, seed: u64, now: Micros) -> Gossip {
        assert_eq!(config.check(), Ok(()), "the caller checks the configuration");
        assert_eq!(me.check(), Ok(()), "the caller checks what it says of itself");
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // Nodes that start together should not act together.
        let mut within = |d: Duration| now + d.mul_f64(rng.random_range(0.0..1.0));
        let next_probe = within(config.probe_interval);
        let next_gossip = within(config.gossip_interval);
        let next_push_pull = within(config.push_pull_interval);
        let last_number = u64::from(rng.random::<u32>());
        let id = me.id;
        let me = Member { status: Status::Alive, ..me };
        let mut gossip = Gossip {
            awareness: Awareness::new(config.health_max),
            config,
            id,
            rng,
            now,
            roster: BTreeMap::from([(id, Entry::new(me, id, now))]),
            contacts: BTreeMap::new(),
            broadcasts: Broadcasts::default(),
            ring: Ring::default(),
            probe: None,
            relays: BTreeMap::new(),
            last_number,
            last_contact: 0,
            next_probe,
            next_gossip,
            next_push_pull,
            next_contact: now,
            leaving: false,
            impostors: BTreeSet::new(),
            counters: Counters::default(),
            effects: Vec::new(),
        };
        gossip.broadcast(id);
        gossip
    }

    /// Does all that is due. Call it at [`Gossip::deadline`] or soon after; take the waiting
    /// packets first, so that answers that are here already count.
    pub fn tick(&mut self, now: Micros) {
        self.advance(now);
        self.expire_suspicions();
        self.tick_relays();
        if !self.leaving {
            self.tick_probe();
            self.tick_push_pull();
            self.tick_contacts();
        }
        self.tick_gossip();
        self.forget_the_gone();
        self.assert_invariants();
    }

    /// When the next tick is wanted. Changes with every call that takes input.
    #[must_use]
    pub fn deadline(&self) -> Micros {
        let mut at = self.suspicions_deadline().min(self.relays_deadline());
        at = at.min(self.forget_deadline());
        if !self.broadcasts.is_empty() {
            at = at.min(self.next_gossip);
        }
        if !self.leaving {
            at = at.min(self.contacts_deadline());
            if self.live() > 1 {
                at = at.min(self.next_probe).min(self.next_push_pull);
            }
            let helpers_at = self.probe.as_ref().and_then(|p| p.helpers_at);
            at = at.min(helpers_at.unwrap_or(Micros::NEVER));
        }
        at.max(self.now)
    }

    /// Takes a datagram that came from `from`.
    ///
    /// # Errors
    /// Says why it was refused. A refused packet is not answered and changes nothing but
    /// [`Gossip::counters`] (and an impostor's first one makes an event).
    pub fn on_packet(
        &mut self,
        now: Micros,
        from: SocketAddr,
        packet: &[u8],
    ) -> Result<(), PacketError> {
        self.advance(now);
        let taken = self.take_packet(from, packet);
        self.count(&taken);
        self.assert_invariants();
        taken
    }

    fn take_packet(&mut self, from: SocketAddr, packet: &[u8]) -> Result<(), PacketError> {
        let packet = Packet::decode(packet, &self.config.cluster, self.config.max_packet)?;
        let sender = packet.sender;
        self.check_sender(sender, packet.tag)?;
        packet::check_rumours(&packet.rumours)?;
        if let Message::Ping { target, .. } = packet.message
            && target != self.id
        {
            return Err(PacketError::Misaddressed(target));
        }
        if let Some(entry) = self.roster.get_mut(&sender) {
            entry.heard = Some(self.now);
        }
        // News first: what is answered then already holds what we say to it.
        for rumour in packet.rumours {
            self.merge(rumour, Some(sender));
        }
        match packet.message {
            Message::Ping { probe, introduce, .. } => self.on_ping(from, sender, probe, introduce),
            Message::Ack { probe } => self.on_ack(sender, probe),
            Message::PingRequest { probe, target } => self.on_ping_request(sender, probe, target),
            Message::Nack { probe } => self.on_nack(sender, probe),
            Message::Gossip => {}
        }
        Ok(())
    }

    /// Only members and configured contacts are listened to.
    fn check_sender(&mut self, sender: NodeId, tag: crate::Tag) -> Result<(), PacketError> {
        let configured = self.contacts.get(&sender).map(|c| c.tag);
        let held = self.roster.get(&sender).map(|e| e.member.tag);
        match configured.or(held) {
            None => Err(PacketError::Stranger(sender)),
            Some(known) if known != tag => {
                self.impostor(sender);
                Err(PacketError::Impostor(sender))
            }
            Some(_) if sender == self.id => Err(PacketError::Own),
            Some(_) => Ok(()),
        }
    }

    pub(crate) fn count<T>(&mut self, taken: &Result<T, PacketError>) {
        let counters = &mut self.counters;
        match taken {
            Ok(_) => counters.packets_taken += 1,
            Err(PacketError::Stranger(_)) => counters.strangers += 1,
            // Counted where it was noticed.
            Err(PacketError::Impostor(_)) => {}
            Err(PacketError::Own | PacketError::Misaddressed(_)) => counters.misaddressed += 1,
            Err(_) => counters.packets_bad += 1,
        }
    }

    /// Says something new about this node: its name, addresses or version. Id and tag must stay;
    /// incarnation and status in `me` are ignored. Nothing happens if nothing differs.
    ///
    /// # Panics
    /// If `me` is not sound (see [`Member::check`]) or is another node.
    pub fn update_me(&mut self, now: Micros, me: Member) {
        self.advance(now);
        assert_eq!(me.check(), Ok(()), "the caller checks what it says of itself");
        let entry = self.roster.get_mut(&self.id).expect("this node is in its own roster");
        let held = &entry.member;
        assert_eq!((me.id, me.tag), (held.id, held.tag), "another node is not an update");
        if me.same_details(held) {
            return;
        }
        entry.member = Member { incarnation: held.incarnation, status: held.status, ..me };
        self.restate(0);
    }

    /// Says good-bye: tells everybody directly, once, and goes on telling by gossip. The process
    /// may stop at once; waiting for [`Gossip::goodbye_said`] makes it certain that it is known.
    pub fn leave(&mut self, now: Micros) {
        self.advance(now);
        if self.leaving {
            return;
        }
        self.leaving = true;
        self.probe = None;
        let entry = self.roster.get_mut(&self.id).expect("this node is in its own roster");
        entry.member.status = Status::Left;
        entry.since = self.now;
        self.broadcast(self.id);
        let live =
            |(id, e): (&NodeId, &Entry)| e.member.status.is_live().then_some((*id, e.member.peer));
        let mut listeners: BTreeMap<NodeId, SocketAddr> = self.peers().filter_map(live).collect();
        // A process that has just started may not know yet who remembers it.
        for contact in self.contacts.values().filter(|c| !self.roster.contains_key(&c.id)) {
            listeners.insert(contact.id, contact.addr);
        }
        for (id, addr) in listeners {
            self.send_to(addr, id, Message::Gossip, true);
        }
    }

    /// Whether this node is leaving and has told it as often as any news is told.
    #[must_use]
    pub fn goodbye_said(&self) -> bool {
        self.leaving && !self.broadcasts.contains(self.id)
    }

    /// The roster: everybody known, this node included, by id.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.roster.values().map(|e| &e.member)
    }

    /// This node's own record.
    #[must_use]
    pub fn me(&self) -> &Member {
        &self.roster[&self.id].member
    }

    /// The local health score: 0 is healthy, above 1 this node's judgement of others is in doubt.
    #[must_use]
    pub fn health(&self) -> u32 {
        self.awareness.score()
    }

    /// How long ago member `id` sent something itself; `None` if it never did.
    #[must_use]
    pub fn silent_for(&self, id: NodeId) -> Option<Duration> {
        Some(self.now.since(self.roster.get(&id)?.heard?))
    }

    /// For how long member `id` has had its status; `None` if it is unknown.
    #[must_use]
    pub fn status_for(&self, id: NodeId) -> Option<Duration> {
        Some(self.now.since(self.roster.get(&id)?.since))
    }

    /// What was counted since the start.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What is to be done, in this order. To be taken after every call.
    #[must_use]
    pub fn take_effects(&mut self) -> Vec<Effect> {
        core::mem::take(&mut self.effects)
    }

    /// Everybody else.
    pub(crate) fn peers(&self) -> impl Iterator<Item = (&NodeId, &Entry)> {
        self.roster.iter().filter(|(id, _)| **id != self.id)
    }

    /// How many are alive or suspect, this node included.
    pub(crate) fn live(&self) -> usize {
        1 + self.peers().filter(|(_, e)| e.member.status.is_live()).count()
    }

    pub(crate) fn emit(&mut self, event: Event) {
        self.effects.push(Effect::Event(event));
    }

    /// Moves the local health score.
    pub(crate) fn doubt(&mut self, delta: i32) {
        if let Some((from, to)) = self.awareness.apply(delta) {
            self.emit(Event::Health { from, to });
        }
    }

    /// Takes the time. If this process did not run when it should have, silence proves nothing:
    /// the answers may be waiting in a socket, and all others would be found dead at once.
    pub(crate) fn advance(&mut self, now: Micros) {
        let late = now.since(self.deadline());
        self.now = self.now.max(now);
        if late >= self.config.probe_timeout {
            self.void_questions(late);
            self.emit(Event::Stalled { late });
            self.doubt(1);
        }
    }

    fn assert_invariants(&self) {
        assert!(self.roster.contains_key(&self.id), "this node is in its own roster");
        assert!(self.relays.len() <= crate::config::MAX_RELAYS, "relays are bounded");
        for (id, entry) in &self.roster {
            let suspect = entry.member.status == Status::Suspect;
            assert_eq!(suspect, entry.suspicion.is_some(), "node {id}: a timer per suspect");
            assert_eq!(*id, entry.member.id, "the key is the id");
        }
    }
}
