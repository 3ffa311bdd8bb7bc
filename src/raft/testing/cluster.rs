//! A cluster of nodes with simulated disks, network and time.
//!
//! Nothing happens by itself: messages wait in the network until they are delivered, time stands
//! still until it is moved. What happens is told in lines, if somebody wants them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::checker::Checker;
use super::disk::Disk;
use super::show;
use crate::raft::{
    Configuration, Entry, Envelope, Fetch, HardState, Index, LogRead, Member, MemberInfo,
    MemberRole, Micros, Node, NodeId, Now, Options, Payload, ReadFailure, Stamp,
};

/// A node with its disk.
#[derive(Clone, Debug)]
pub(super) struct Host {
    /// None while it is down.
    pub(super) node: Option<Node>,
    pub(super) disk: Disk,
    /// Whether writes are durable at once.
    pub(super) auto_disk: bool,
    /// Reads of entries that have left memory.
    pub(super) log_reads: VecDeque<LogRead>,
    /// Whether those are answered at once.
    pub(super) auto_reads: bool,
    /// The state that it was last told to fetch.
    pub(super) fetch: Option<Fetch>,
    /// How often it started.
    pub(super) boots: u64,
    commit_told: Index,
}

/// The cluster.
#[derive(Clone, Debug)]
pub(super) struct Cluster {
    pub(super) hosts: BTreeMap<NodeId, Host>,
    pub(super) options: Options,
    /// Time in µs.
    pub(super) time: u64,
    /// What the wall clocks show at time 0, ms.
    pub(super) wall_ms: u64,
    /// Messages on their way, oldest first.
    pub(super) network: VecDeque<Envelope>,
    /// Directed links that lose everything.
    pub(super) cuts: BTreeSet<(NodeId, NodeId)>,
    pub(super) checker: Checker,
    /// Whether to tell what happens.
    pub(super) telling: bool,
    /// What happened.
    pub(super) told: Vec<String>,
    /// Reads that were answered: node, id, result.
    pub(super) reads: Vec<(NodeId, u64, Result<Index, ReadFailure>)>,
    pub(super) seed: u64,
}

/// The properties of a member that tests can tell apart.
pub(super) fn info(tag: u64) -> MemberInfo {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&tag.to_le_bytes());
    MemberInfo { tag: bytes, name: format!("m{tag}"), ..MemberInfo::default() }
}

impl Cluster {
    /// Voters 1 to `voters` and learners after them, as if each had been admitted by the entry of
    /// its index in term 1.
    pub(super) fn new(voters: u64, learners: u64, options: Options, seed: u64) -> Self {
        let mut cluster = Self {
            hosts: BTreeMap::new(),
            options,
            time: 1_000_000,
            wall_ms: 1_000_000,
            network: VecDeque::new(),
            cuts: BTreeSet::new(),
            checker: Checker::default(),
            telling: false,
            told: Vec::new(),
            reads: Vec::new(),
            seed,
        };
        let mut configuration = Configuration::default();
        let mut log = Vec::new();
        for id in 1..=voters + learners {
            let role = if id <= voters { MemberRole::Voter } else { MemberRole::Learner };
            configuration.members.insert(id, Member { role, info: info(id) });
            let payload = Payload::Configuration(configuration.clone());
            log.push(Entry { index: id, term: 1, stamp: Stamp::default(), payload });
        }
        let hard_state = HardState { term: 1, vote: None };
        for id in 1..=voters + learners {
            let disk = Disk::new(hard_state, log.clone());
            cluster.add_host(id, disk);
        }
        for id in 1..=voters + learners {
            cluster.start(id, voters + learners);
        }
        cluster
    }

    fn add_host(&mut self, id: NodeId, disk: Disk) {
        let host = Host {
            node: None,
            disk,
            auto_disk: true,
            log_reads: VecDeque::new(),
            auto_reads: true,
            fetch: None,
            boots: 0,
            commit_told: 0,
        };
        self.hosts.insert(id, host);
    }

    /// An empty node that was just admitted under this id.
    pub(super) fn join(&mut self, id: NodeId) {
        self.add_host(id, Disk::default());
        self.start(id, 0);
    }

    pub(super) fn now(&self) -> Now {
        Now { mono: Micros(self.time), wall_ms: self.wall_ms + self.time / 1000 }
    }

    pub(super) fn tell(&mut self, line: impl FnOnce() -> String) {
        if self.telling {
            self.told.push(line());
        }
    }

    pub(super) fn node(&self, id: NodeId) -> &Node {
        self.hosts[&id].node.as_ref().expect("the node is up")
    }

    pub(super) fn is_up(&self, id: NodeId) -> bool {
        self.hosts.get(&id).is_some_and(|host| host.node.is_some())
    }

    pub(super) fn up(&self) -> Vec<NodeId> {
        self.hosts.keys().copied().filter(|id| self.is_up(*id)).collect()
    }

    /// The leader of the highest term that anybody leads in.
    pub(super) fn leader(&self) -> Option<NodeId> {
        let leads = |id: &NodeId| self.node(*id).leader() == Some(*id);
        self.up().into_iter().filter(leads).max_by_key(|id| self.node(*id).term())
    }

    /// Starts the process of a node; it is sure of the commit index given.
    pub(super) fn start(&mut self, id: NodeId, commit: Index) {
        let (options, now) = (self.options.clone(), self.now());
        let host = self.hosts.get_mut(&id).expect("a known node");
        host.boots += 1;
        let seed = self.seed ^ (id << 32) ^ host.boots;
        // The first time the checker gets to see all of the log.
        let load = if host.boots == 1 { usize::MAX } else { 3 };
        let boot = host.disk.boot(id, commit, load);
        host.commit_told = boot.commit;
        host.node = Some(Node::new(options, boot, seed, now));
        self.settle(id);
    }

    /// Ends the process of a node: writes that are not durable are lost.
    pub(super) fn crash(&mut self, id: NodeId) {
        let host = self.hosts.get_mut(&id).expect("a known node");
        host.node = None;
        host.disk.queue.clear();
        host.log_reads.clear();
        host.fetch = None;
        self.checker.forget(id);
    }

    /// Ends the process of a node whose disk then loses the entries that were written last, and starts
    /// it again.
    pub(super) fn forget(&mut self, id: NodeId, entries: usize) {
        if self.is_up(id) {
            self.crash(id);
        }
        self.hosts.get_mut(&id).expect("a known node").disk.forget(entries);
        self.start(id, 0);
    }

    /// Up to where a node may have applied its log.
    pub(super) fn applied(&self, id: NodeId) -> Index {
        self.node(id).commit().min(self.node(id).durable())
    }

    /// Takes a node's state as of `index`, and drops its log up to there.
    pub(super) fn purge(&mut self, id: NodeId, index: Index) {
        assert!(index <= self.applied(id), "only what is applied is purged");
        self.hosts.get_mut(&id).expect("a known node").disk.purge(index);
        self.input(id, |node, _| node.on_purged(index));
    }

    /// Brings a node the state of another as of `index`.
    pub(super) fn install(&mut self, id: NodeId, from: NodeId, index: Index) {
        assert!(index <= self.applied(from), "only what is applied is in a state");
        let state = self.hosts[&from].disk.state_at(index).expect("a state as of that entry");
        let host = self.hosts.get_mut(&id).expect("a known node");
        host.disk.install(state.clone());
        host.fetch = None;
        self.input(id, |node, now| node.on_installed(now, state));
    }

    /// Gives a node an input and handles all that comes of it.
    pub(super) fn input<T>(&mut self, id: NodeId, input: impl FnOnce(&mut Node, Now) -> T) -> T {
        let now = self.now();
        let node = self.hosts.get_mut(&id).and_then(|host| host.node.as_mut());
        let result = input(node.expect("the node is up"), now);
        self.settle(id);
        result
    }

    /// Takes the work of a node until there is none: messages to the network, writes to the disk,
    /// which makes them durable at once or later.
    fn settle(&mut self, id: NodeId) {
        loop {
            let node = self.hosts.get_mut(&id).and_then(|host| host.node.as_mut());
            let node = node.expect("the node is up");
            let (ready, events) = (node.ready(), node.take_events());
            for event in events {
                self.tell(|| format!("n{id} | {event}"));
            }
            self.tell_commit(id);
            self.checker.observe(&self.hosts, id);
            for read in ready.read_states {
                self.tell(|| format!("n{id} read {} = {}", read.id, show::result(read.result)));
                self.reads.push((id, read.id, read.result));
            }
            self.send(ready.messages);
            if let Some(fetch) = ready.fetch {
                self.hosts.get_mut(&id).expect("a known node").fetch = Some(fetch);
                self.tell(|| format!("n{id} fetches from n{} {}", fetch.from, fetch.at_least));
            }
            let mut again = false;
            let host = self.hosts.get_mut(&id).expect("a known node");
            host.log_reads.extend(ready.log_reads.iter().copied());
            let (auto_disk, auto_reads) = (host.auto_disk, host.auto_reads);
            for read in ready.log_reads {
                self.tell(|| {
                    format!("n{id} reads {} to {} for n{}", read.first, read.last, read.to)
                });
            }
            if let Some(write) = ready.write {
                if !auto_disk {
                    self.tell(|| format!("n{id} writes {}", show::write(&write)));
                }
                self.hosts.get_mut(&id).expect("a known node").disk.queue.push_back(write);
            }
            while auto_disk && self.persist_quietly(id) {
                again = true;
            }
            while auto_reads && self.serve_log_read(id) {
                again = true;
            }
            if !again {
                return;
            }
        }
    }

    fn tell_commit(&mut self, id: NodeId) {
        let host = self.hosts.get_mut(&id).expect("a known node");
        let node = host.node.as_ref().expect("the node is up");
        let (term, commit) = (node.term(), node.commit());
        let at = node.term_at(commit).expect("within the log");
        let news = commit > host.commit_told;
        host.commit_told = commit;
        if news {
            self.tell(|| format!("n{id}@{term} commit {commit}@{at}"));
        }
    }

    /// Puts messages on the network, unless the link is cut.
    pub(super) fn send(&mut self, messages: Vec<Envelope>) {
        for envelope in messages {
            self.checker.sent(&envelope);
            let cut = self.cuts.contains(&(envelope.from, envelope.to));
            self.tell(|| show::envelope(&envelope, cut));
            if !cut {
                self.network.push_back(envelope);
            }
        }
    }

    /// Makes the oldest write of a node durable and handles what comes of it.
    pub(super) fn persist(&mut self, id: NodeId) -> bool {
        let persisted = self.persist_quietly(id);
        if persisted && self.is_up(id) {
            self.settle(id);
        }
        persisted
    }

    fn persist_quietly(&mut self, id: NodeId) -> bool {
        let now = self.now();
        let host = self.hosts.get_mut(&id).expect("a known node");
        let Some((persisted, release)) = host.disk.persist() else { return false };
        if let Some(node) = &mut host.node {
            node.on_persisted(now, persisted);
        }
        self.send(release);
        true
    }

    /// Answers the oldest read of a node's log.
    pub(super) fn serve_log_read(&mut self, id: NodeId) -> bool {
        let now = self.now();
        let host = self.hosts.get_mut(&id).expect("a known node");
        let Some(read) = host.log_reads.pop_front() else { return false };
        let entries = host.disk.read(read.first, read.last, read.bytes_max);
        if let Some(node) = &mut host.node {
            node.on_log_read(now, read, entries);
        }
        true
    }

    /// Delivers a message. One for a node that is down is lost.
    pub(super) fn deliver(&mut self, envelope: Envelope) {
        let to = envelope.to;
        if self.is_up(to) {
            self.input(to, |node, now| node.step(now, envelope));
        }
    }

    /// Delivers the oldest message on the network.
    pub(super) fn deliver_next(&mut self) -> bool {
        let Some(envelope) = self.network.pop_front() else { return false };
        self.deliver(envelope);
        true
    }

    /// Delivers until nothing is on its way.
    pub(super) fn deliver_all(&mut self) {
        let mut budget = 100_000;
        while self.deliver_next() {
            budget -= 1;
            assert!(budget > 0, "the cluster does not come to rest");
        }
    }

    /// Moves time to the next deadline of these nodes, but not beyond `until`, and ticks who is due.
    /// Returns whether there was anything to do before `until`.
    pub(super) fn tick_next(&mut self, nodes: &[NodeId], until: u64) -> bool {
        let due = nodes.iter().filter(|id| self.is_up(**id));
        let Some(next) = due.map(|id| self.node(*id).deadline().0).min() else {
            self.time = until;
            return false;
        };
        if next > until {
            self.time = self.time.max(until);
            return false;
        }
        self.time = self.time.max(next);
        for id in nodes {
            if self.is_up(*id) && self.node(*id).deadline().0 <= self.time {
                self.input(*id, |node, now| node.tick(now));
            }
        }
        true
    }

    /// Lets time pass, for all nodes that are up, with a network that delivers at once.
    pub(super) fn run(&mut self, micros: u64) {
        let until = self.time + micros;
        let nodes: Vec<NodeId> = self.hosts.keys().copied().collect();
        self.deliver_all();
        while self.tick_next(&nodes, until) {
            self.deliver_all();
        }
    }
}
