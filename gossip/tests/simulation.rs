//! Whole clusters in bad weather: loss, duplicates, delays, kills, restarts, pauses, moves and
//! partitions from a seed. Then the weather clears, and every roster must become true within a
//! bounded time, and stay so. At every step, no observer may see an incarnation fall.
//!
//! `GOSSIP_STORMS=20` runs twenty times as many seeds.

#![allow(clippy::unwrap_used)]

mod common;

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use bowline_gossip::packet::Message;
use bowline_gossip::push_pull::{self, Kind};
use bowline_gossip::{Config, Contact, Gossip, Member, Micros, NodeId, Rumour, Status};
use common::{CLUSTER, Net, Seen, Weather, addr, member, packet, tag};
use rand::rngs::ChaCha8Rng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

/// A dead member is found within a round of probes, slowed down eight times in the worst case, and
/// is suspected for 24 s at most; everything else takes a few exchanges.
const BOUND: Duration = Duration::from_secs(120);

/// The greatest incarnation that each process has seen of each member.
#[derive(Default)]
struct Incarnations(BTreeMap<(NodeId, u64), BTreeMap<NodeId, u64>>);

impl Incarnations {
    fn check(&mut self, net: &Net, lives: &BTreeMap<NodeId, u64>) {
        for id in net.running() {
            let seen = self.0.entry((id, lives[&id])).or_default();
            for m in net.nodes[&id].gossip.as_ref().unwrap().members() {
                let before = seen.insert(m.id, m.incarnation).unwrap_or(0);
                assert!(before <= m.incarnation, "n{id} saw n{} fall from {before}", m.id);
            }
        }
    }
}

struct Storm {
    net: Net,
    rng: ChaCha8Rng,
    /// How often each node was started.
    lives: BTreeMap<NodeId, u64>,
    incarnations: Incarnations,
}

impl Storm {
    fn new(nodes: u64, seed: u64) -> Storm {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut net = Net::new(rng.random(), Config::lan(CLUSTER));
        let calm = rng.random_bool(0.2);
        if !calm {
            net.weather = Weather {
                loss: rng.random_range(0.0..0.3),
                duplication: rng.random_range(0.0..0.3),
                delay: 200..=rng.random_range(1_000..100_000),
            };
        }
        for id in 1..=nodes {
            net.admit(id);
            net.start(member(id, 0, Status::Alive));
        }
        let lives = (1..=nodes).map(|id| (id, 1)).collect();
        Storm { net, rng, lives, incarnations: Incarnations::default() }
    }

    fn run(&mut self, duration: Duration) {
        let end = self.net.now + duration;
        while self.net.step(end) {
            self.incarnations.check(&self.net, &self.lives);
        }
    }

    fn start(&mut self, id: NodeId) {
        *self.lives.get_mut(&id).unwrap() += 1;
        // Some processes have kept their incarnation, some start anew, some have moved.
        let incarnation = if self.rng.random_bool(0.5) { 0 } else { self.rng.random_range(0..3) };
        let mut me = member(id, incarnation, Status::Alive);
        if self.rng.random_bool(0.3) {
            me.peer.set_port(self.rng.random_range(7_000..7_100));
        }
        self.net.start(me);
    }

    fn mischief(&mut self) {
        let all: Vec<NodeId> = self.net.nodes.keys().copied().collect();
        let id = *all.choose(&mut self.rng).unwrap();
        let runs = self.net.nodes[&id].gossip.is_some();
        match self.rng.random_range(0..8) {
            0 | 1 if runs => self.net.kill(id),
            0..=2 if !runs => self.start(id),
            3 => {
                let side: BTreeSet<NodeId> =
                    all.iter().copied().filter(|_| self.rng.random_bool(0.5)).collect();
                self.net.partition(&side);
            }
            4 => {
                let other = *all.choose(&mut self.rng).unwrap();
                self.net.cuts.insert((id, other));
            }
            5 => self.net.heal(),
            6 if runs => {
                let until = self.net.now + Duration::from_millis(self.rng.random_range(0..20_000));
                self.net.nodes.get_mut(&id).unwrap().paused = Some(until);
            }
            7 if runs && self.net.nodes[&id].paused.is_none() => {
                let mut peer = addr(id);
                peer.set_port(self.rng.random_range(7_000..7_100));
                let me = Member { peer, ..self.net.gossip(id).me().clone() };
                self.net.nodes.get_mut(&id).unwrap().addr = peer;
                self.net.call(id, |g, now| g.update_me(now, me));
            }
            _ => {}
        }
    }

    /// Ends all faults; at least one node runs.
    fn clear_up(&mut self) {
        self.net.heal();
        self.net.weather = Weather::default();
        let dead: Vec<NodeId> =
            self.net.nodes.iter().filter(|(_, n)| n.gossip.is_none()).map(|(id, _)| *id).collect();
        for id in dead {
            if self.net.running().is_empty() || self.rng.random_bool(0.5) {
                self.start(id);
            }
        }
        for node in self.net.nodes.values_mut() {
            node.paused = node.paused.map(|_| self.net.now);
        }
    }
}

/// Runs one storm; how long it took until all rosters were true.
fn storm(nodes: u64, seed: u64) -> (Duration, Net) {
    let mut storm = Storm::new(nodes, seed);
    for _ in 0..15 {
        let pause = Duration::from_millis(storm.rng.random_range(0..8_000));
        storm.run(pause);
        storm.mischief();
    }
    storm.clear_up();
    let clear = storm.net.now;
    while !storm.net.converged() {
        let waited = storm.net.now.since(clear);
        assert!(waited < BOUND, "{nodes} nodes, seed {seed}: rosters differ after {waited:?}");
        storm.run(Duration::from_millis(100));
    }
    let took = storm.net.now.since(clear);
    storm.run(Duration::from_secs(20));
    assert!(storm.net.converged(), "{nodes} nodes, seed {seed}: true once, and then no more");
    (took, storm.net)
}

fn storms(nodes: u64, first: u64, count: u64) {
    let factor = std::env::var("GOSSIP_STORMS").map_or(1, |f| f.parse().expect("a whole number"));
    let mut worst = (Duration::ZERO, 0);
    for seed in first..first + count * factor {
        let run = std::panic::catch_unwind(|| storm(nodes, seed).0);
        let took = run.unwrap_or_else(|_| panic!("{nodes} nodes, seed {seed}"));
        worst = worst.max((took, seed));
    }
    println!("{nodes} nodes: at worst true after {:?} (seed {})", worst.0, worst.1);
}

#[test]
fn three_nodes_weather_storms() {
    storms(3, 0, 40);
}

#[test]
fn five_nodes_weather_storms() {
    storms(5, 10_000, 25);
}

#[test]
fn nine_nodes_weather_storms() {
    storms(9, 20_000, 10);
}

#[test]
fn the_same_seed_makes_the_same_run() {
    let trace = |seed| format!("{:?}", storm(5, seed).1.seen);
    assert_eq!(trace(42), trace(42));
    assert_ne!(trace(42), trace(43));
}

#[test]
fn a_calm_cluster_with_loss_kills_nobody() {
    // Five percent of all datagrams lost, for ten minutes: suspicions perhaps, deaths never.
    let mut net = Net::new(7, Config::lan(CLUSTER));
    net.weather.loss = 0.05;
    for id in 1..=5 {
        net.admit(id);
        net.start(member(id, 0, Status::Alive));
    }
    net.run(Duration::from_secs(600));
    for (at, seen) in &net.seen {
        if let Seen::Event { node, event } = seen {
            let down = matches!(event, bowline_gossip::Event::Down { .. });
            assert!(!down, "{at} n{node}: {event}");
        }
    }
    assert!(net.nodes.values().all(|n| n.gossip.as_ref().unwrap().members().count() == 5));
}

#[test]
fn a_node_alone_sleeps() {
    let me = member(1, 0, Status::Alive);
    let mut gossip = Gossip::new(Config::lan(CLUSTER), me, 1, Micros(0));
    gossip.tick(gossip.deadline());
    assert_eq!(gossip.deadline(), Micros::NEVER);
    assert_eq!(gossip.take_effects(), []);
}

/// Node 1 of three, fed by hand.
fn by_hand() -> Gossip {
    let me = member(1, 0, Status::Alive);
    let mut gossip = Gossip::new(Config::lan(CLUSTER), me, 1, Micros(0));
    let contact = |id| Contact { id, tag: tag(id), addr: addr(id) };
    gossip.set_contacts(vec![contact(2), contact(3)]);
    let alive = |id| Rumour { member: member(id, 0, Status::Alive), by: id };
    let rows = push_pull::encode(Kind::Answer, &[alive(2), alive(3)]);
    gossip.on_push_pull(Micros(0), 2, &rows).unwrap();
    gossip
}

/// Ticks at every deadline up to `end`.
fn tick_until(gossip: &mut Gossip, end: Micros) {
    while gossip.deadline() <= end {
        gossip.tick(gossip.deadline());
    }
}

fn statuses(gossip: &Gossip) -> Vec<Status> {
    gossip.members().map(|m| m.status).collect()
}

#[test]
fn a_stall_fails_no_probe() {
    let mut gossip = by_hand();
    tick_until(&mut gossip, Micros(999_999));
    // A ping is out and unanswered; then half a minute is missing. The silence was ours.
    gossip.tick(Micros(30_000_000));
    assert_eq!(statuses(&gossip), [Status::Alive; 3]);
    // From then on it counts again.
    tick_until(&mut gossip, Micros(33_000_000));
    assert!(statuses(&gossip).contains(&Status::Suspect));
}

#[test]
fn a_stall_shortens_no_suspicion() {
    let mut gossip = by_hand();
    tick_until(&mut gossip, Micros(1_000_000));
    let accusation = Rumour { member: member(3, 0, Status::Suspect), by: 2 };
    let bytes = packet(2, Message::Gossip, vec![accusation]).encode();
    gossip.on_packet(Micros(1_000_000), addr(2), &bytes).unwrap();
    gossip.tick(Micros(30_000_000));
    assert_eq!(statuses(&gossip)[2], Status::Suspect, "three seconds are left of four");
    tick_until(&mut gossip, Micros(35_000_000));
    assert_eq!(statuses(&gossip)[2], Status::Down);
}
