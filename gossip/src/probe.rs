//! Failure detection: each period the next member of a shuffled ring is pinged, directly and, if it
//! is silent, through helpers (SWIM, sections 3.1 and 4.3).
//!
//! Every question has a number of its own. Whatever arrives for a question that is over carries an
//! old number and is ignored; no timer is ever cancelled.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use rand::RngExt;
use rand::seq::SliceRandom;

use crate::config::MAX_RELAYS;
use crate::packet::Message;
use crate::{Gossip, Member, Micros, NodeId, Rumour, Status};

/// The question under way: nobody has answered it yet.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    pub number: u64,
    pub target: NodeId,
    /// The target's incarnation when it was asked: what happened since is not its fault.
    pub incarnation: u64,
    /// When helpers are asked; `None` when they have been.
    pub helpers_at: Option<Micros>,
    pub helpers: BTreeSet<NodeId>,
    /// Helpers that said that they, too, got no answer. Invariant: a subset of `helpers`.
    pub nacks: BTreeSet<NodeId>,
}

/// A ping on behalf of another member.
#[derive(Clone, Debug)]
pub(crate) struct Relay {
    pub asker: NodeId,
    /// The asker's number for its question.
    pub number: u64,
    pub target: NodeId,
    /// When the asker is told that the target is silent; `None` when it has been.
    pub nack_at: Option<Micros>,
    /// When an ack is of no use to the asker any more.
    pub until: Micros,
}

/// The order in which members are probed. Each is asked once per round, in an order that is new in
/// each round: the time to the first failed probe is bounded by two rounds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ring(Vec<NodeId>);

impl Ring {
    /// The next that `lives`; starts a new round with `everybody` when this one is over.
    fn next<R: RngExt>(
        &mut self,
        rng: &mut R,
        lives: impl Fn(NodeId) -> bool,
        everybody: impl FnOnce() -> Vec<NodeId>,
    ) -> Option<NodeId> {
        while let Some(id) = self.0.pop() {
            if lives(id) {
                return Some(id);
            }
        }
        self.0 = everybody();
        self.0.shuffle(rng);
        self.0.pop()
    }

    /// Puts a newcomer at a random place of this round.
    pub fn insert<R: RngExt>(&mut self, rng: &mut R, id: NodeId) {
        if !self.0.contains(&id) {
            self.0.insert(rng.random_range(0..=self.0.len()), id);
        }
    }
}

impl Gossip {
    /// Asks helpers, ends the probe under way and starts the next, each when it is due.
    pub(crate) fn tick_probe(&mut self) {
        self.ask_helpers();
        if self.now < self.next_probe {
            return;
        }
        if let Some(probe) = self.probe.take() {
            self.give_up(&probe);
        }
        self.next_probe = self.now + self.awareness.scale(self.config.probe_interval);
        let roster = &self.roster;
        let target = self.ring.next(
            &mut self.rng,
            |id| roster.get(&id).is_some_and(|e| e.member.status.is_live()),
            || {
                let live = |(id, e): (&NodeId, &crate::gossip::Entry)| {
                    (*id != self.id && e.member.status.is_live()).then_some(*id)
                };
                roster.iter().filter_map(live).collect()
            },
        );
        if let Some(target) = target {
            self.ask(target);
        }
    }

    /// A number for a question that was never used before by this process, and hardly by a former
    /// one: the first is random.
    pub(crate) fn new_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    fn ask(&mut self, target: NodeId) {
        assert_ne!(target, self.id, "nobody probes himself");
        let number = self.new_number();
        self.probe = Some(Probe {
            number,
            target,
            incarnation: self.roster[&target].member.incarnation,
            helpers_at: Some(self.now + self.config.probe_timeout),
            helpers: BTreeSet::new(),
            nacks: BTreeSet::new(),
        });
        self.send(target, Message::Ping { probe: number, target, introduce: false });
    }

    fn ask_helpers(&mut self) {
        let Some(probe) = &mut self.probe else { return };
        if probe.helpers_at.is_none_or(|at| self.now < at) {
            return;
        }
        probe.helpers_at = None;
        let (number, target) = (probe.number, probe.target);
        let mut helpers: Vec<NodeId> = self
            .peers()
            .filter(|(id, e)| **id != target && e.member.status == Status::Alive)
            .map(|(id, _)| *id)
            .collect();
        let (chosen, _) = helpers.partial_shuffle(&mut self.rng, self.config.indirect_checks);
        let chosen = chosen.to_vec();
        for helper in &chosen {
            self.send(*helper, Message::PingRequest { probe: number, target });
        }
        let probe = self.probe.as_mut().expect("sending ends no probe");
        probe.helpers.extend(chosen);
    }

    /// The target said nothing, to nobody, in time.
    fn give_up(&mut self, probe: &Probe) {
        assert!(probe.nacks.is_subset(&probe.helpers), "nobody else is listened to");
        let silent_helpers = probe.helpers.len() - probe.nacks.len();
        // Helpers that are silent as well speak against us. Without helpers nobody can tell.
        let delta = if probe.helpers.is_empty() { 1 } else { silent_helpers };
        self.doubt(i32::try_from(delta).expect("indirect_checks is small"));
        let Some(entry) = self.roster.get(&probe.target) else { return };
        let member = Member {
            incarnation: probe.incarnation,
            status: Status::Suspect,
            ..entry.member.clone()
        };
        if entry.member.incarnation == probe.incarnation {
            self.merge(Rumour { member, by: self.id }, None);
        }
    }

    /// Answers a ping to the address it came from.
    pub(crate) fn on_ping(&mut self, from: SocketAddr, asker: NodeId, number: u64, intro: bool) {
        self.send_to(from, asker, Message::Ack { probe: number }, intro);
    }

    /// Ends our own question, or passes the answer on to whom we asked for.
    pub(crate) fn on_ack(&mut self, sender: NodeId, number: u64) {
        let answers = |p: &mut Probe| {
            p.number == number && (p.target == sender || p.helpers.contains(&sender))
        };
        if self.probe.take_if(answers).is_some() {
            self.doubt(-1);
        } else if let Some(relay) = self.relays.get(&number)
            && relay.target == sender
        {
            let (asker, probe) = (relay.asker, relay.number);
            self.relays.remove(&number);
            if self.roster.contains_key(&asker) {
                self.send(asker, Message::Ack { probe });
            }
        } else {
            self.counters.stale_acks += 1;
        }
    }

    /// Notes that a helper is there, though the target is silent to it too.
    pub(crate) fn on_nack(&mut self, sender: NodeId, number: u64) {
        match &mut self.probe {
            Some(p) if p.number == number && p.helpers.contains(&sender) => {
                p.nacks.insert(sender);
            }
            _ => self.counters.stale_acks += 1,
        }
    }

    /// Pings a *known* member on behalf of another one.
    pub(crate) fn on_ping_request(&mut self, asker: NodeId, number: u64, target: NodeId) {
        if !self.roster.contains_key(&asker) {
            // A contact whose record we do not have yet: there is no address to answer to.
            self.counters.relays_refused += 1;
            return;
        }
        if target == self.id {
            return self.send(asker, Message::Ack { probe: number });
        }
        if !self.roster.contains_key(&target) {
            self.counters.relays_refused += 1;
            return self.send(asker, Message::Nack { probe: number });
        }
        if self.relays.len() >= MAX_RELAYS {
            self.counters.relays_refused += 1;
            return;
        }
        let own = self.new_number();
        let nack_at = Some(self.now + self.config.nack_timeout());
        let until = self.now + self.config.probe_interval;
        self.relays.insert(own, Relay { asker, number, target, nack_at, until });
        self.send(target, Message::Ping { probe: own, target, introduce: false });
    }

    /// Sends the nacks that are due and drops what is over.
    pub(crate) fn tick_relays(&mut self) {
        let now = self.now;
        self.relays.retain(|_, relay| now < relay.until);
        let mut due = Vec::new();
        for relay in self.relays.values_mut() {
            if relay.nack_at.take_if(|at| *at <= now).is_some() {
                due.push((relay.asker, relay.number));
            }
        }
        for (asker, probe) in due {
            if self.roster.contains_key(&asker) {
                self.send(asker, Message::Nack { probe });
            }
        }
    }

    /// When something about relays is due next.
    pub(crate) fn relays_deadline(&self) -> Micros {
        let due = |relay: &Relay| relay.nack_at.unwrap_or(relay.until);
        self.relays.values().map(due).min().unwrap_or(Micros::NEVER)
    }

    /// What a pause of this process has made worthless.
    pub(crate) fn void_questions(&mut self, stall: Duration) {
        self.probe = None;
        self.relays = BTreeMap::new();
        for suspicion in self.roster.values_mut().filter_map(|e| e.suspicion.as_mut()) {
            suspicion.forgive(stall);
        }
    }
}
