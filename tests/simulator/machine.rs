//! One simulated machine: a disk that survives, and a process that may not.

use std::collections::VecDeque;

use bowline::ids::{ClusterId, Id128, Ticket};
use bowline::membership::Reconciler;
use bowline::node::apply_entry;
use bowline::raft::{
    self, Boot, Configuration, Entry, HardState, MemberInfo, Micros, NodeId, Now, Payload,
    Persisted,
};
use bowline::replica::{LogRequest, Options, Registration, Replica, Work};
use bowline::state::{Command, Reply, State};
use bowline::storage::MemoryStore;

/// What a machine keeps when its process dies.
#[derive(Clone, Default)]
pub struct Disk {
    pub hard_state: HardState,
    pub log: Vec<Entry>,
    pub commit: u64,
    /// The newest checkpoint of the state.
    pub checkpoint: Option<State<MemoryStore>>,
}

impl Disk {
    fn write(&mut self, write: &raft::Write, commit: u64) {
        if let Some(hard_state) = write.hard_state {
            self.hard_state = hard_state;
        }
        for entry in &write.entries {
            assert!(entry.index <= self.log.len() as u64 + 1, "a gap in the log on disk");
            self.log.truncate(entry.index as usize - 1);
            self.log.push(entry.clone());
        }
        self.commit = self.commit.max(commit.min(self.log.len() as u64));
    }

    fn boot(&self, id: NodeId) -> Boot {
        let mut term_runs: Vec<(u64, u64)> = Vec::new();
        let mut configurations = Vec::new();
        for entry in &self.log {
            if term_runs.last().is_none_or(|(_, term)| *term != entry.term) {
                term_runs.push((entry.index, entry.term));
            }
            if let Payload::Configuration(configuration) = &entry.payload {
                configurations.push((entry.index, configuration.clone()));
            }
        }
        let tail = self.log.iter().rev().take(8).rev().cloned().collect();
        Boot {
            id,
            hard_state: self.hard_state,
            configurations,
            term_runs,
            last_index: self.log.len() as u64,
            tail,
            commit: self.commit,
            last_clock_ms: self.log.last().map_or(0, |entry| entry.stamp.clock_ms),
        }
    }
}

/// A running process.
pub struct Process {
    pub replica: Replica,
    pub reconciler: Reconciler,
    pub state: State<MemoryStore>,
    /// Writes that the disk has not finished: (when it will have, write, commit).
    pub writing: VecDeque<(Micros, raft::Write, u64)>,
}

pub struct Machine {
    pub id: NodeId,
    pub disk: Disk,
    pub process: Option<Process>,
}

pub fn cluster_id() -> ClusterId {
    Id128([7; 16])
}

pub fn options() -> Options {
    let mut options = Options::default();
    options.raft.tail_bytes_max = 4 << 10; // so that entries leave memory and come back
    options
}

impl Machine {
    pub fn new(id: NodeId) -> Self {
        Self { id, disk: Disk::default(), process: None }
    }

    /// The first machine of a cluster.
    pub fn bootstrap(info: MemberInfo) -> Self {
        let mut machine = Self::new(1);
        let member = raft::Member { role: raft::MemberRole::Voter, info };
        let configuration = Configuration { members: [(1, member)].into() };
        let payload = Payload::Configuration(configuration);
        machine.disk.log =
            vec![Entry { index: 1, term: 1, stamp: raft::Stamp::default(), payload }];
        machine.disk.hard_state = HardState { term: 1, vote: None };
        machine
    }

    pub fn start(&mut self, now: Now, nonce: u64) {
        let state = self.disk.checkpoint.clone();
        let state = state.unwrap_or_else(|| State::new(MemoryStore::default(), cluster_id()));
        let applied = state.summary().applied;
        let command = Command::RegisterSession { node: self.id, nonce }.encode();
        let mut boot = self.disk.boot(self.id);
        boot.commit = boot.commit.max(applied);
        let registration = Registration { nonce, command };
        let replica = Replica::new(options(), boot, applied, registration, now);
        let reconciler = Reconciler::new(200_000);
        let writing = VecDeque::new();
        self.process = Some(Process { replica, reconciler, state, writing });
    }

    /// Kills the process: of the writes under way, the first `kept` reach the disk.
    pub fn crash(&mut self, kept: usize) {
        let process = self.process.take().expect("it runs");
        for (_, write, commit) in process.writing.iter().take(kept) {
            self.disk.write(write, *commit);
        }
    }

    /// Finishes the disk's oldest write.
    pub fn persist(&mut self, now: Now) {
        let process = self.process.as_mut().expect("it runs");
        let (_, write, commit) = process.writing.pop_front().expect("a write is due");
        self.disk.write(&write, commit);
        let persisted = Persisted { term: write.term, last: write.last };
        process.replica.on_persisted(now, persisted);
    }

    pub fn read_log(&mut self, now: Now, request: LogRequest) {
        let (first, last, bytes_max) = match request {
            LogRequest::Follower(read) => (read.first, read.last, read.bytes_max),
            LogRequest::Apply { first, last, bytes_max } => (first, last, bytes_max),
        };
        let mut bytes = 0;
        let range = self.disk.log.iter().skip(first as usize - 1);
        let entries = range
            .take_while(|entry| {
                let fits = entry.index <= last && (bytes == 0 || bytes < bytes_max);
                bytes += 64;
                fits
            })
            .cloned()
            .collect();
        let process = self.process.as_mut().expect("it runs");
        process.replica.on_log_read(now, request, entries);
    }
}

/// What the applier says.
pub enum Said {
    Applied { entry: Entry, reply: Option<(Ticket, Reply)> },
    Readable { ticket: Ticket, applied: u64 },
}

impl Process {
    /// Queues a write. All that comes while the disk is busy is made durable together, as in
    /// production, so that a slow disk delays but never falls behind.
    pub fn write(&mut self, now: Micros, latency: u64, write: raft::Write, commit: u64) {
        let busy_until = self.writing.front().map_or(now, |(at, ..)| *at);
        let last = self.writing.back().map_or(now, |(at, ..)| *at);
        let at = if last > busy_until { last } else { Micros(last.0 + latency) };
        self.writing.push_back((at, write, commit));
    }

    /// Does the applier's work.
    pub fn apply(&mut self, work: Vec<Work>) -> Vec<Said> {
        let mut said = Vec::new();
        for work in work {
            match work {
                Work::Readable(tickets) => {
                    let applied = self.state.summary().applied;
                    said.extend(
                        tickets.into_iter().map(|ticket| Said::Readable { ticket, applied }),
                    );
                }
                Work::Entry(entry, ticket) => {
                    let reply = apply_entry(&mut self.state, &entry).unwrap();
                    let reply = ticket.zip(reply);
                    said.push(Said::Applied { entry, reply });
                }
            }
        }
        self.replica.on_applied(self.state.summary().applied);
        said
    }
}
