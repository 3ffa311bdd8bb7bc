//! Random walks: everything that can go wrong does, in random order, under the checker's eyes; then
//! everything is healed, and the cluster has to get going again.

use std::collections::BTreeMap;

use bytes::Bytes;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use super::cluster::{Cluster, info};
use crate::raft::{Change, Index, MemberRole, NodeId, Options, RoleKind, Unfit};

/// One walk.
struct Walk {
    cluster: Cluster,
    rng: Xoshiro256PlusPlus,
    /// Reads under way: (node, process, id) → what was committed when it was asked.
    reads: BTreeMap<(NodeId, u64), Index>,
    next_read: u64,
    reads_answered: usize,
    proposals: usize,
    changes: usize,
    purges: usize,
    installs: usize,
    losses: usize,
    next_tag: u64,
    /// How much goes wrong, per mille; some walks are calm, so that they get far.
    trouble: u32,
    healed: bool,
}

impl Walk {
    fn new(voters: u64, seed: u64) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let options = Options {
            inflight_messages: rng.random_range(1..=4),
            inflight_bytes: rng.random_range(100..2_000),
            append_bytes_max: rng.random_range(64..1_000),
            uncommitted_bytes_max: 5_000,
            tail_bytes_max: rng.random_range(0..2_000),
            ..Options::default()
        };
        let mut cluster = Cluster::new(voters, 0, options, seed);
        for host in cluster.hosts.values_mut() {
            host.auto_disk = false;
            host.auto_reads = false;
        }
        let (next_tag, trouble) = (1_000, rng.random_range(0..500));
        let reads = BTreeMap::new();
        Self {
            cluster,
            rng,
            reads,
            next_read: 1,
            reads_answered: 0,
            proposals: 0,
            changes: 0,
            purges: 0,
            installs: 0,
            losses: 0,
            next_tag,
            trouble,
            healed: false,
        }
    }

    fn chance(&mut self, per_mille: u32) -> bool {
        self.rng.random_range(0..1000) < per_mille
    }

    fn pick(&mut self, from: &[NodeId]) -> Option<NodeId> {
        if from.is_empty() { None } else { Some(from[self.rng.random_range(0..from.len())]) }
    }

    fn step(&mut self) {
        match self.rng.random_range(0..1000) {
            0..530 => self.network(),
            530..830 => self.disk(),
            830..880 => self.pass_time(),
            880..950 => self.ask(),
            950..980 => self.trouble_disks(),
            980..990 => self.restart(),
            _ if self.chance(self.trouble) => self.fail(),
            _ => self.change_links(),
        }
        self.admit();
        self.check_reads();
    }

    /// Delivers a message: mostly the oldest, sometimes any; sometimes twice, sometimes never.
    fn network(&mut self) {
        if self.cluster.network.is_empty() {
            return self.disk();
        }
        let at = match self.chance(self.trouble) {
            false => 0,
            true => self.rng.random_range(0..self.cluster.network.len()),
        };
        let envelope = self.cluster.network.remove(at).unwrap();
        if self.chance(self.trouble / 5) {
            return;
        }
        if self.chance(self.trouble / 5) {
            self.cluster.network.push_back(envelope.clone());
        }
        self.cluster.deliver(envelope);
        while self.cluster.network.len() > 200 {
            let at = self.rng.random_range(0..self.cluster.network.len());
            self.cluster.network.remove(at);
        }
    }

    fn disk(&mut self) {
        let nodes: Vec<NodeId> = self.cluster.hosts.keys().copied().collect();
        let Some(id) = self.pick(&nodes) else { return };
        if self.chance(900) {
            self.cluster.persist(id);
        } else if self.cluster.serve_log_read(id) && self.cluster.is_up(id) {
            self.cluster.input(id, |_, _| ());
        }
    }

    fn pass_time(&mut self) {
        let nodes = self.cluster.up();
        if self.chance(5) {
            // Everybody was stopped for a while.
            self.cluster.time += self.rng.random_range(0..5_000_000);
        }
        let until = self.cluster.time + self.rng.random_range(0..30_000);
        // Some clocks are looked at late.
        let some: Vec<NodeId> =
            nodes.into_iter().filter(|_| self.rng.random_range(0..4) > 0).collect();
        self.cluster.tick_next(&some, until);
    }

    /// Asks a node for something; mostly a leader.
    fn ask(&mut self) {
        let up = self.cluster.up();
        let leads = |id: &NodeId| self.cluster.node(*id).role_kind() == RoleKind::Leader;
        let leaders: Vec<NodeId> = up.iter().copied().filter(leads).collect();
        let (Some(any), leader) = (self.pick(&up), self.pick(&leaders)) else { return };
        let id = if self.chance(800) { leader.unwrap_or(any) } else { any };
        match self.rng.random_range(0..100) {
            0..50 => self.propose(id),
            50..70 => self.read(),
            70..78 => self.change(id),
            78..82 => {
                let to = self.pick(&up).filter(|_| self.rng.random_range(0..2) == 0);
                let _ = self.cluster.input(id, |node, now| node.transfer(now, to));
            }
            82..85 => self.cluster.input(any, |node, now| node.campaign(now)),
            85..95 => {
                let applied = self.cluster.node(any).commit().min(self.cluster.node(any).durable());
                self.cluster.input(any, |node, _| node.release_memory(applied));
            }
            _ => {
                let gone = self.cluster.node(any).leader().unwrap_or(any);
                self.cluster.input(any, |node, now| node.leader_gone(now, gone));
            }
        }
    }

    /// Purges logs, moves states, fills, stalls and damages disks.
    fn trouble_disks(&mut self) {
        let Some(id) = self.pick(&self.cluster.up()) else { return };
        match self.rng.random_range(0..100) {
            0..35 => self.purge(id),
            35..75 => self.install(id),
            75..85 if self.chance(self.trouble) => {
                let why = [Some(Unfit::DiskStalled), Some(Unfit::StateLost), None, None];
                let why = why[self.rng.random_range(0..why.len())];
                self.cluster.input(id, |node, now| node.set_unfit(now, why));
            }
            85..95 => {
                let full = self.chance(self.trouble / 2);
                self.cluster.input(id, |node, now| node.set_full(now, full));
            }
            _ if self.chance(self.trouble) => self.lose(),
            _ => {}
        }
    }

    fn purge(&mut self, id: NodeId) {
        let start = self.cluster.node(id).log_start().0;
        let applied = self.cluster.applied(id);
        if applied > start {
            let index = self.rng.random_range(start + 1..=applied);
            self.cluster.purge(id, index);
            self.purges += 1;
        }
    }

    /// Brings a node the state of any other, whether it asked for it or not: it may come late, and
    /// from a node that is ahead of the leader it asked.
    fn install(&mut self, id: NodeId) {
        let wanting: Vec<NodeId> = self.cluster.up();
        let wants = |id: &NodeId| self.cluster.hosts[id].fetch.is_some();
        let wanting: Vec<NodeId> = wanting.into_iter().filter(wants).collect();
        let id = if self.chance(700) { self.pick(&wanting).unwrap_or(id) } else { id };
        let state_of = |cluster: &Cluster, id: NodeId| {
            cluster.hosts[&id].disk.state.as_ref().map_or(0, |state| state.index)
        };
        let least = self.cluster.node(id).log_start().0.max(state_of(&self.cluster, id)).max(1);
        let reaches = |donor: &NodeId| *donor != id && self.cluster.applied(*donor) >= least;
        let donors: Vec<NodeId> = self.cluster.up().into_iter().filter(reaches).collect();
        let Some(donor) = self.pick(&donors) else { return };
        let applied = self.cluster.applied(donor);
        let from = least
            .max(state_of(&self.cluster, donor))
            .max(self.cluster.node(donor).log_start().0 + 1);
        if from <= applied {
            let index = self.rng.random_range(from..=applied);
            self.cluster.install(id, donor, index);
            self.installs += 1;
        }
    }

    /// Whether a node, up or down, is recovering.
    fn is_any_recovering(&self) -> bool {
        self.cluster.hosts.values().any(|host| host.disk.recovering)
    }

    /// The disk of a node loses what was written last. Only one at a time, and only of three voters or
    /// more, so that the others can go on without its vote.
    fn lose(&mut self) {
        let voters_of = |id: &NodeId| self.cluster.node(*id).configuration().voters().count();
        let all: Vec<NodeId> = self.cluster.hosts.keys().copied().collect();
        let enough = |id: &NodeId| self.cluster.is_up(*id) && voters_of(id) >= 3;
        if self.is_any_recovering() || !all.iter().all(enough) {
            return;
        }
        let Some(id) = self.pick(&all) else { return };
        self.check_reads();
        self.reads.retain(|(node, _), _| *node != id);
        let entries = self.rng.random_range(1..20);
        self.cluster.forget(id, entries);
        self.losses += 1;
    }

    fn propose(&mut self, id: NodeId) {
        let count = self.rng.random_range(1..4);
        let sized = |size: usize| Bytes::from(vec![b'x'; size]);
        let commands = (0..count).map(|_| sized(self.rng.random_range(0..200))).collect();
        let done = self.cluster.input(id, |node, now| node.propose(now, commands));
        self.proposals += usize::from(done.is_ok());
    }

    fn read(&mut self) {
        let up = self.cluster.up();
        let Some(id) = self.pick(&up) else { return };
        let number = self.next_read;
        self.next_read += 1;
        self.reads.insert((id, number), self.cluster.checker.committed());
        self.cluster.input(id, |node, now| node.read_index(now, number));
    }

    /// No read is answered with less than what was committed, anywhere, when it was asked.
    fn check_reads(&mut self) {
        for (id, number, result) in std::mem::take(&mut self.cluster.reads) {
            let committed = self.reads.remove(&(id, number)).expect("a read is answered once");
            if let Ok(index) = result {
                assert!(index >= committed, "B4: read of {index}, committed was {committed}");
                self.reads_answered += 1;
            }
        }
    }

    fn change(&mut self, id: NodeId) {
        if self.is_any_recovering() {
            return; // Fewer voters could leave too few that vote.
        }
        let node = self.cluster.node(id);
        let configuration = node.configuration().clone();
        let members: Vec<NodeId> = configuration.members.keys().copied().collect();
        let Some(target) = self.pick(&members) else { return };
        let role = configuration.members[&target].role;
        let change = match self.rng.random_range(0..4) {
            0 if members.len() < 6 => {
                self.next_tag += 1;
                Change::AddLearner(info(self.next_tag))
            }
            1 if members.len() > 3 => Change::Remove(target),
            2 => Change::Update(target, configuration.members[&target].info.clone()),
            _ if role == MemberRole::Learner => Change::Promote(target),
            _ if configuration.voters().count() > 2 => Change::Demote(target),
            _ => return,
        };
        let done = self.cluster.input(id, |node, now| node.propose_change(now, change, None));
        self.changes += usize::from(done.is_ok());
    }

    /// Starts the processes of nodes whose admission is committed.
    fn admit(&mut self) {
        let up = self.cluster.up();
        let mut new = Vec::new();
        for id in up {
            let (_, configuration) = self.cluster.node(id).committed_configuration();
            let unknown = |id: &&NodeId| !self.cluster.hosts.contains_key(id);
            new.extend(configuration.members.keys().filter(unknown).copied());
        }
        for id in new {
            if !self.cluster.hosts.contains_key(&id) {
                self.cluster.join(id);
                let host = self.cluster.hosts.get_mut(&id).unwrap();
                (host.auto_disk, host.auto_reads) = (self.healed, self.healed);
                self.cluster.input(id, |_, _| ());
            }
        }
    }

    /// Crashes a node, with some of its writes done before.
    fn fail(&mut self) {
        let Some(id) = self.pick(&self.cluster.up()) else { return };
        for _ in 0..self.rng.random_range(0..3) {
            self.cluster.persist(id);
        }
        self.check_reads();
        self.cluster.crash(id);
        self.reads.retain(|(node, _), _| *node != id);
    }

    /// Starts a node that is down.
    fn restart(&mut self) {
        let down = |id: &NodeId| !self.cluster.is_up(*id);
        let down: Vec<NodeId> = self.cluster.hosts.keys().copied().filter(down).collect();
        if let Some(id) = self.pick(&down) {
            self.cluster.start(id, 0);
        }
    }

    fn change_links(&mut self) {
        if self.chance(700) {
            return self.cluster.cuts.clear();
        }
        let nodes: Vec<NodeId> = self.cluster.hosts.keys().copied().collect();
        let (Some(a), Some(b)) = (self.pick(&nodes), self.pick(&nodes)) else { return };
        if self.chance(300) {
            for other in nodes {
                self.cluster.cuts.extend([(a, other), (other, a)]);
            }
        } else if a != b {
            self.cluster.cuts.insert((a, b));
        }
    }

    /// Heals everything. Within ten election timeouts there is one leader, and it can commit; then
    /// all members have the same log.
    fn heal(&mut self) {
        self.healed = true;
        self.cluster.cuts.clear();
        let nodes: Vec<NodeId> = self.cluster.hosts.keys().copied().collect();
        for id in &nodes {
            let host = self.cluster.hosts.get_mut(id).unwrap();
            (host.auto_disk, host.auto_reads) = (true, true);
            if host.node.is_none() {
                self.cluster.start(*id, 0);
            } else {
                while self.cluster.persist(*id) {}
                while self.cluster.serve_log_read(*id) {}
                self.cluster.input(*id, |_, _| ());
            }
            self.cluster.input(*id, |node, now| node.set_unfit(now, None));
            self.cluster.input(*id, |node, now| node.set_full(now, false));
        }
        for _ in 0..10 {
            self.cluster.run(self.cluster.options.election_max);
            self.fetch_all();
        }
        let leader = self.cluster.leader().expect("a leader after healing");
        let propose = |cluster: &mut Cluster| {
            cluster.input(leader, |node, now| node.propose(now, vec![Bytes::from("end")]))
        };
        let end = *propose(&mut self.cluster).expect("a leader that takes proposals").end();
        self.cluster.run(2 * self.cluster.options.election_max);
        self.admit();
        for _ in 0..4 {
            self.cluster.run(self.cluster.options.election_max);
            self.fetch_all();
        }
        self.cluster.run(2 * self.cluster.options.election_max);
        let members = self.cluster.node(leader).configuration().clone();
        for id in members.members.keys() {
            let node = self.cluster.node(*id);
            assert!(node.commit() >= end, "{id} is at {} of {end} after healing", node.commit());
            assert_eq!(node.leader(), Some(leader), "{id} follows another");
            assert!(!node.is_recovering(), "{id} is still recovering");
        }
        self.check_reads();
    }
}

impl Walk {
    /// Every node that was told to fetch a state gets it.
    fn fetch_all(&mut self) {
        for id in self.cluster.up() {
            let Some(fetch) = self.cluster.hosts[&id].fetch else { continue };
            let applied = self.cluster.applied(fetch.from);
            if applied >= fetch.at_least && self.cluster.node(id).commit() < fetch.at_least {
                self.cluster.install(id, fetch.from, applied);
                self.installs += 1;
            }
        }
    }
}

/// Walks with `voters` nodes over some seeds; the seed is in the panic's output.
fn walk(voters: u64, seeds: std::ops::Range<u64>, steps: usize) {
    let (mut elections, mut reads, mut changes, mut committed) = (0, 0, 0, 0);
    let (mut purges, mut installs, mut losses) = (0, 0, 0);
    let count = (seeds.end - seeds.start) as usize;
    for seed in seeds {
        println!("{voters} nodes, seed {seed}");
        let mut walk = Walk::new(voters, seed);
        for _ in 0..steps {
            walk.step();
        }
        walk.heal();
        elections += walk.cluster.checker.elections;
        reads += walk.reads_answered;
        changes += walk.changes;
        committed += walk.cluster.checker.committed();
        purges += walk.purges;
        installs += walk.installs;
        losses += walk.losses;
    }
    // A walk in which nothing happens proves nothing.
    println!("elections {elections}, reads {reads}, changes {changes}, committed {committed}");
    assert!(elections > 3 * count && reads > 10 * count && changes > count);
    println!("purges {purges}, installs {installs}, losses {losses}");
    assert!(committed > 50 * count as u64);
    assert!(voters < 3 || (purges > 10 * count && installs > 2 * count && losses > count / 4));
}

#[test]
fn three_nodes_keep_every_promise_whatever_happens() {
    walk(3, 0..20, 6_000);
}

#[test]
fn five_nodes_keep_every_promise_whatever_happens() {
    walk(5, 100..120, 6_000);
}

#[test]
fn clusters_of_other_sizes_keep_every_promise_whatever_happens() {
    for voters in [1, 2, 4, 7] {
        walk(voters, 200..205, 6_000);
    }
}
