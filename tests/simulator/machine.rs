//! One simulated machine: a disk that survives, and a process that may not.

use std::collections::VecDeque;

use bowline::ids::{ClusterId, Id128, Ticket};
use bowline::membership::Reconciler;
use bowline::node::apply_entry;
use bowline::raft::{
    self, Boot, Configuration, Entry, HardState, MemberInfo, Micros, NodeId, Now, Payload,
    Persisted,
};
use bowline::replica::{LogRequest, Options, PeerMessage, Registration, Replica, Work};
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
            start: (0, 0),
            recovering: false,
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
    /// Reads that the disk has not answered: (when it will have, request).
    pub reading: VecDeque<(Micros, LogRequest)>,
    /// What the applier has not done yet, and when it goes on.
    pub work: VecDeque<Work>,
    pub apply_at: Micros,
    /// Until then the process stands still; what arrives meanwhile waits in its sockets.
    pub stalled: Micros,
    pub inbox: Vec<(NodeId, PeerMessage)>,
}

pub struct Machine {
    pub id: NodeId,
    options: Options,
    pub disk: Disk,
    pub process: Option<Process>,
}

pub fn cluster_id() -> ClusterId {
    Id128([7; 16])
}

/// Bounds so small that entries leave memory and come back, and in tight runs so small that every
/// queue gets full.
pub fn options(tight: bool) -> Options {
    let mut options = Options::default();
    options.raft.tail_bytes_max = 4 << 10;
    if tight {
        options.raft.tail_bytes_max = 512;
        options.raft.append_bytes_max = 600;
        options.raft.inflight_bytes = 1_200;
        options.raft.inflight_messages = 2;
        options.raft.uncommitted_bytes_max = 2_000;
        options.pending_writes_max = 8;
        options.log_bytes_max = 800;
        options.apply_bytes_max = 600;
        options.apply_batch_bytes = 300;
    }
    options
}

impl Machine {
    pub fn new(id: NodeId, options: Options) -> Self {
        Self { id, options, disk: Disk::default(), process: None }
    }

    /// The first machine of a cluster.
    pub fn bootstrap(info: MemberInfo, options: Options) -> Self {
        let mut machine = Self::new(1, options);
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
        let replica = Replica::new(self.options.clone(), boot, applied, None, registration, now);
        self.process = Some(Process {
            replica,
            reconciler: Reconciler::new(200_000),
            state,
            writing: VecDeque::new(),
            reading: VecDeque::new(),
            work: VecDeque::new(),
            apply_at: now.mono,
            stalled: now.mono,
            inbox: Vec::new(),
        });
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

    /// Answers the disk's oldest read.
    pub fn read_log(&mut self, now: Now) {
        let process = self.process.as_mut().expect("it runs");
        let (_, request) = process.reading.pop_front().expect("a read is due");
        let (first, last, bytes_max) = request.range();
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

    /// When something happens here by itself.
    pub fn next(&self) -> Micros {
        let writing = self.writing.front().map(|(at, ..)| *at);
        let reading = self.reading.front().map(|(at, _)| *at);
        let work = (!self.work.is_empty()).then_some(self.apply_at);
        let next = [writing, reading, work].into_iter().flatten().min();
        let deadline = self.replica.deadline();
        next.map_or(deadline, |next| next.min(deadline)).max(self.stalled)
    }

    pub fn has_written(&self, now: Micros) -> bool {
        self.stalled <= now && self.writing.front().is_some_and(|(at, ..)| *at <= now)
    }

    pub fn has_read(&self, now: Micros) -> bool {
        self.stalled <= now && self.reading.front().is_some_and(|(at, _)| *at <= now)
    }

    /// Whether the applier has the answer to this request among its work.
    pub fn applies_for(&self, ticket: Ticket) -> bool {
        self.work.iter().any(|work| match work {
            Work::Entry(_, of) => *of == Some(ticket),
            Work::Readable(of) => of.contains(&ticket),
            Work::Install(_, of) => of.iter().any(|(_, of)| *of == ticket),
            Work::Lost(_) => false,
        })
    }

    /// Does up to `count` pieces of the applier's work.
    pub fn apply(&mut self, count: usize) -> Vec<Said> {
        let mut said = Vec::new();
        let count = count.min(self.work.len());
        for work in self.work.drain(..count).collect::<Vec<_>>() {
            match work {
                Work::Install(..) | Work::Lost(_) => panic!("this machine installs no state"),
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
        said
    }
}
