//! A network of gossiping nodes in simulated time: what flies, who listens, what is cut.
//!
//! It carries out the effects of the machines and calls them at their deadlines, as a real shell
//! would, and records everything. Same seed, same run.

#![allow(dead_code, clippy::unwrap_used, missing_docs)]

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use bowline_gossip::packet::{Message, Packet};
use bowline_gossip::push_pull::{self, Kind};
use bowline_gossip::{
    Config, Contact, Effect, Event, Gossip, Member, Micros, NodeId, Rumour, Status, Tag,
};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

pub const CLUSTER: [u8; 16] = [0xb0; 16];

pub fn tag(id: NodeId) -> Tag {
    [u8::try_from(id).unwrap(); 16]
}

pub fn addr(id: NodeId) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, u8::try_from(id).unwrap()], 7071))
}

pub fn member(id: NodeId, incarnation: u64, status: Status) -> Member {
    Member {
        id,
        tag: tag(id),
        name: format!("n{id}"),
        peer: addr(id),
        http: format!("http://10.0.0.{id}:7070"),
        version: "0.1.0".into(),
        incarnation,
        status,
    }
}

/// What is on its way.
#[derive(Clone, Debug)]
enum Flight {
    Packet { from: SocketAddr, to: SocketAddr, bytes: Vec<u8> },
    Exchange { from: NodeId, to: NodeId, body: Vec<u8> },
}

/// What was seen.
#[derive(Clone, Debug)]
pub enum Seen {
    Packet { from: SocketAddr, to: SocketAddr, packet: Box<Packet>, lost: bool },
    Exchange { from: NodeId, to: NodeId, kind: Kind, rows: Vec<Rumour>, lost: bool },
    Event { node: NodeId, event: Event },
}

/// Chances and delays; calm by default.
#[derive(Clone, Debug)]
pub struct Weather {
    pub loss: f64,
    pub duplication: f64,
    pub delay: core::ops::RangeInclusive<u64>,
}

impl Default for Weather {
    fn default() -> Weather {
        Weather { loss: 0.0, duplication: 0.0, delay: 1_000..=1_000 }
    }
}

pub struct Node {
    pub gossip: Option<Gossip>,
    pub addr: SocketAddr,
    /// Until then the process does not run; what arrives waits.
    pub paused: Option<Micros>,
    inbox: Vec<Flight>,
}

pub struct Net {
    pub now: Micros,
    pub config: Config,
    pub nodes: BTreeMap<NodeId, Node>,
    /// The committed configuration.
    pub contacts: BTreeMap<NodeId, Contact>,
    /// One-way cuts of everything.
    pub cuts: BTreeSet<(NodeId, NodeId)>,
    /// One-way cuts of datagrams.
    pub udp_cuts: BTreeSet<(NodeId, NodeId)>,
    pub weather: Weather,
    pub seen: Vec<(Micros, Seen)>,
    pub errors: Vec<(Micros, NodeId, String)>,
    flights: BTreeMap<(Micros, u64), Flight>,
    order: u64,
    rng: ChaCha8Rng,
}

impl Net {
    pub fn new(seed: u64, config: Config) -> Net {
        Net {
            now: Micros(1_000_000),
            config,
            nodes: BTreeMap::new(),
            contacts: BTreeMap::new(),
            cuts: BTreeSet::new(),
            udp_cuts: BTreeSet::new(),
            weather: Weather::default(),
            seen: Vec::new(),
            errors: Vec::new(),
            flights: BTreeMap::new(),
            order: 0,
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// Commits the node to the configuration; every running node hears of it.
    pub fn admit(&mut self, id: NodeId) {
        self.contacts.insert(id, Contact { id, tag: tag(id), addr: addr(id) });
        self.publish();
    }

    /// Takes the node from the configuration.
    pub fn expel(&mut self, id: NodeId) {
        self.contacts.remove(&id);
        self.publish();
    }

    fn publish(&mut self) {
        let contacts: Vec<Contact> = self.contacts.values().cloned().collect();
        for node in self.nodes.values_mut() {
            if let Some(gossip) = &mut node.gossip {
                gossip.set_contacts(contacts.clone());
            }
        }
    }

    /// Starts a process for `me`.
    pub fn start(&mut self, me: Member) {
        let (id, addr) = (me.id, me.peer);
        let seed = self.rng.random();
        let mut gossip = Gossip::new(self.config.clone(), me, seed, self.now);
        gossip.set_contacts(self.contacts.values().cloned().collect());
        let gossip = Some(gossip);
        self.nodes.insert(id, Node { gossip, addr, paused: None, inbox: Vec::new() });
    }

    pub fn kill(&mut self, id: NodeId) {
        let node = self.nodes.get_mut(&id).unwrap();
        node.gossip = None;
        node.inbox.clear();
        node.paused = None;
    }

    pub fn gossip(&mut self, id: NodeId) -> &mut Gossip {
        self.nodes.get_mut(&id).unwrap().gossip.as_mut().expect("the node runs")
    }

    pub fn running(&self) -> Vec<NodeId> {
        self.nodes.iter().filter(|(_, n)| n.gossip.is_some()).map(|(id, _)| *id).collect()
    }

    /// Calls a node and carries out what it wants.
    pub fn call<T>(&mut self, id: NodeId, f: impl FnOnce(&mut Gossip, Micros) -> T) -> T {
        let now = self.now;
        let result = f(self.gossip(id), now);
        self.collect(id);
        result
    }

    fn collect(&mut self, id: NodeId) {
        let from = self.nodes[&id].addr;
        for effect in self.gossip(id).take_effects() {
            match effect {
                Effect::Send { to, packet } => self.send(from, to, packet),
                Effect::PushPull { to, body } => self.exchange(id, to, body),
                Effect::Event(event) => self.see(Seen::Event { node: id, event }),
            }
        }
    }

    fn see(&mut self, seen: Seen) {
        self.seen.push((self.now, seen));
    }

    fn owner(&self, addr: SocketAddr) -> Option<NodeId> {
        let listens = |(_, n): &(&NodeId, &Node)| n.addr == addr && n.gossip.is_some();
        self.nodes.iter().find(listens).map(|(id, _)| *id)
    }

    fn fly(&mut self, flight: Flight) {
        let delay = Duration::from_micros(self.rng.random_range(self.weather.delay.clone()));
        self.order += 1;
        self.flights.insert((self.now + delay, self.order), flight);
    }

    pub fn send(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        assert!(bytes.len() <= self.config.max_packet, "a packet of {} bytes", bytes.len());
        let cut = match (self.owner(from), self.owner(to)) {
            (Some(a), Some(b)) => self.cuts.contains(&(a, b)) || self.udp_cuts.contains(&(a, b)),
            (None, Some(_)) => false,
            (_, None) => true,
        };
        let lost = cut || self.rng.random_bool(self.weather.loss);
        if let Ok(packet) = Packet::decode(&bytes, &CLUSTER, self.config.max_packet) {
            self.see(Seen::Packet { from, to, packet: Box::new(packet), lost });
        }
        if lost {
            return;
        }
        if self.rng.random_bool(self.weather.duplication) {
            self.fly(Flight::Packet { from, to, bytes: bytes.clone() });
        }
        self.fly(Flight::Packet { from, to, bytes });
    }

    fn exchange(&mut self, from: NodeId, to: NodeId, body: Vec<u8>) {
        let listens = self.nodes.get(&to).is_some_and(|n| n.gossip.is_some());
        // A stream needs both directions.
        let cut = self.cuts.contains(&(from, to)) || self.cuts.contains(&(to, from));
        let lost = cut || !listens;
        let (kind, rows) = push_pull::decode(&body).expect("what nodes send can be read");
        self.see(Seen::Exchange { from, to, kind, rows, lost });
        if !lost {
            self.fly(Flight::Exchange { from, to, body });
        }
    }

    fn land(&mut self, flight: Flight) {
        let to = match &flight {
            Flight::Packet { to, .. } => self.owner(*to),
            Flight::Exchange { to, .. } => Some(*to),
        };
        let Some(to) = to else { return };
        let node = self.nodes.get_mut(&to).unwrap();
        if node.gossip.is_none() {
            return;
        }
        if node.paused.is_some() {
            node.inbox.push(flight);
            return;
        }
        match flight {
            Flight::Packet { from, bytes, .. } => {
                if let Err(error) = self.call(to, |g, now| g.on_packet(now, from, &bytes)) {
                    self.errors.push((self.now, to, error.to_string()));
                }
            }
            Flight::Exchange { from, body, .. } => {
                match self.call(to, |g, now| g.on_push_pull(now, from, &body)) {
                    Ok(Some(answer)) => self.exchange(to, from, answer),
                    Ok(None) => {}
                    Err(error) => self.errors.push((self.now, to, error.to_string())),
                }
            }
        }
    }

    /// When something happens next.
    fn next(&self) -> Micros {
        let flight = self.flights.keys().next().map_or(Micros::NEVER, |(at, _)| *at);
        let wants = |n: &Node| match (n.paused, &n.gossip) {
            (Some(until), Some(_)) => until,
            (None, Some(gossip)) => gossip.deadline(),
            (_, None) => Micros::NEVER,
        };
        self.nodes.values().map(wants).min().unwrap_or(Micros::NEVER).min(flight)
    }

    /// One step: the next moment at which something happens, if it is not after `end`.
    pub fn step(&mut self, end: Micros) -> bool {
        let next = self.next();
        if next > end {
            self.now = self.now.max(end);
            return false;
        }
        self.now = self.now.max(next);
        while let Some(entry) = self.flights.first_entry()
            && entry.key().0 <= self.now
        {
            let flight = entry.remove();
            self.land(flight);
        }
        for id in self.running() {
            let node = self.nodes.get_mut(&id).unwrap();
            if node.paused.take_if(|until| *until <= self.now).is_some() {
                for flight in core::mem::take(&mut node.inbox) {
                    self.land(flight);
                }
            }
            let node = &self.nodes[&id];
            if node.paused.is_none() && self.gossip(id).deadline() <= self.now {
                self.call(id, Gossip::tick);
            }
        }
        true
    }

    pub fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.step(end) {}
    }

    /// Cuts everything between the two sides.
    pub fn partition(&mut self, side: &BTreeSet<NodeId>) {
        let ids: Vec<NodeId> = self.nodes.keys().copied().collect();
        for &a in &ids {
            for &b in &ids {
                if side.contains(&a) != side.contains(&b) {
                    self.cuts.insert((a, b));
                }
            }
        }
    }

    pub fn heal(&mut self) {
        self.cuts.clear();
        self.udp_cuts.clear();
    }

    /// Whether each running node knows each configured node as what it is: running means alive.
    pub fn converged(&self) -> bool {
        self.running().into_iter().all(|id| {
            let roster = self.nodes[&id].gossip.as_ref().unwrap();
            let held: BTreeMap<NodeId, &Member> = roster.members().map(|m| (m.id, m)).collect();
            self.contacts.keys().all(|other| {
                let truth = self.nodes.get(other).and_then(|n| n.gossip.as_ref()).map(Gossip::me);
                match (held.get(other), truth) {
                    (Some(held), Some(truth)) => *held == truth,
                    (Some(held), None) => !held.status.is_live(),
                    (None, truth) => truth.is_none(),
                }
            })
        })
    }
}

/// A packet as somebody would send it.
pub fn packet(sender: NodeId, message: Message, rumours: Vec<Rumour>) -> Packet {
    Packet { cluster: CLUSTER, sender, tag: tag(sender), message, rumours }
}
