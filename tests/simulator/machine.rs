//! One simulated machine: a disk that survives, and a process that may not.

use std::collections::VecDeque;

use bowline::ids::{ClusterId, Id128, Ticket, WriteId};
use bowline::membership::Reconciler;
use bowline::node::apply_entry;
use bowline::raft::{
    self, Configuration, Entry, HardState, Installed, MemberInfo, Micros, NodeId, Now, Payload,
    Persisted,
};
use bowline::replica::{
    LogRequest, Options, PeerMessage, Registration, Replica, Resolved, Rules, Work,
};
use bowline::state::{self, Changes, Command, Reply};

use crate::disk::{Copy, Disk};
use crate::watchers::Watchers;

/// A write that the disk has not finished.
pub struct Writing {
    /// When it will have.
    pub at: Micros,
    pub handed_out: Micros,
    pub write: raft::Write,
    pub commit: u64,
}

/// A running process.
pub struct Process {
    pub id: NodeId,
    pub nonce: u64,
    pub replica: Replica,
    pub reconciler: Reconciler,
    pub copy: Copy,
    /// A state that was fetched and is not installed yet.
    pub staged: Option<Copy>,
    /// The next command that nobody here waits for is applied wrongly.
    pub will_err: bool,
    pub writing: VecDeque<Writing>,
    /// Reads that the disk has not answered: (when it will have, request).
    pub reading: VecDeque<(Micros, LogRequest)>,
    /// What the applier has not done yet, and when it goes on.
    pub work: VecDeque<Work>,
    pub apply_at: Micros,
    /// Until then the process stands still; what arrives meanwhile waits in its sockets.
    pub stalled: Micros,
    pub inbox: Vec<(NodeId, PeerMessage)>,
    /// Readers that wait for the store to change.
    pub watchers: Watchers,
    /// Another state took the place of the own one since somebody asked what has changed.
    replaced: bool,
}

pub struct Machine {
    pub id: NodeId,
    options: Options,
    pub disk: Disk,
    /// Until then the disk finishes nothing.
    pub hangs: Micros,
    /// Until then the disk has no room.
    pub full: Micros,
    /// How far its wall clock is off, in ms.
    pub wall_error_ms: i64,
    pub process: Option<Process>,
}

pub fn cluster_id() -> ClusterId {
    Id128([7; 16])
}

/// Bounds so small that entries leave memory and come back, and in tight runs so small that every
/// queue gets full.
pub fn options(tight: bool) -> Options {
    let mut options = Options {
        audit: Some(Command::TakeDigest.encode()),
        audit_entries: 100,
        audit_interval_us: 500_000,
        disk_exit_us: 5_000_000,
        expire: Some(Command::Expire.encode()),
        rules: Some(Rules {
            newest: state::VERSION,
            raise: |version| Command::RaiseVersion { version }.encode(),
        }),
        ..Options::default()
    };
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
        let never = Micros(0);
        let disk = Disk::default();
        Self { id, options, disk, hangs: never, full: never, wall_error_ms: 0, process: None }
    }

    /// What this machine takes for the time.
    pub fn clock(&self, now: Now) -> Now {
        Now { wall_ms: now.wall_ms.saturating_add_signed(self.wall_error_ms), ..now }
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
        let now = self.clock(now);
        let boot = self.disk.boot(self.id);
        let copy = self.disk.checkpoint.clone().unwrap_or_else(Copy::new);
        let command = Command::RegisterSession { node: self.id, nonce }.encode();
        let registration = Registration { nonce, command };
        let (options, lost) = (self.options.clone(), self.disk.lost.clone());
        let replica = Replica::new(options, boot, copy.applied(), lost, registration, now);
        self.process = Some(Process {
            id: self.id,
            nonce,
            replica,
            reconciler: Reconciler::new(200_000),
            copy,
            staged: None,
            will_err: false,
            writing: VecDeque::new(),
            reading: VecDeque::new(),
            work: VecDeque::new(),
            apply_at: now.mono,
            stalled: now.mono,
            inbox: Vec::new(),
            watchers: Watchers::new(),
            replaced: false,
        });
    }

    /// Kills the process: of the writes under way, the first `kept` reach the disk.
    pub fn crash(&mut self, kept: usize) {
        let process = self.process.take().expect("it runs");
        for writing in process.writing.iter().take(kept) {
            self.disk.write(&writing.write, writing.commit);
        }
    }

    /// Finishes the disk's oldest write.
    pub fn persist(&mut self, now: Now) {
        let now = self.clock(now);
        let process = self.process.as_mut().expect("it runs");
        let Writing { write, commit, .. } = process.writing.pop_front().expect("a write is due");
        self.disk.write(&write, commit);
        let persisted = Persisted { term: write.term, last: write.last };
        process.replica.on_persisted(now, persisted);
    }

    /// Answers the disk's oldest read.
    pub fn read_log(&mut self, now: Now) {
        let now = self.clock(now);
        let process = self.process.as_mut().expect("it runs");
        let (_, request) = process.reading.pop_front().expect("a read is due");
        let (first, last, bytes_max) = request.range();
        let mut bytes = 0;
        let range = (first..=last).map_while(|index| self.disk.entry(index));
        let entries = range
            .take_while(|_| {
                let fits = bytes == 0 || bytes < bytes_max;
                bytes += 64;
                fits
            })
            .cloned()
            .collect();
        process.replica.on_log_read(now, request, entries);
    }

    /// Writes a checkpoint, and lets go of the log below, but for `keep` entries.
    pub fn checkpoint(&mut self, keep: u64) {
        let Some(process) = &mut self.process else { return };
        if process.replica.state_lost().is_some() || process.staged.is_some() {
            return;
        }
        self.disk.checkpoint = Some(process.copy.clone());
        // What comes before in the order of the log's work is not purged in its place.
        if process.writing.iter().any(|writing| writing.write.restart.is_some()) {
            return;
        }
        if let Some(start) = self.disk.purge(keep) {
            process.replica.on_purged(start);
        }
    }

    /// Whether its state is lost or wrong, or about to be.
    pub fn is_harmed(&self) -> bool {
        let running = self.process.as_ref().is_some_and(|process| {
            process.copy.odd || process.will_err || process.replica.state_lost().is_some()
        });
        let odd = self.disk.checkpoint.as_ref().is_some_and(|copy| copy.odd);
        running || odd || self.disk.lost.is_some()
    }

    /// Whether the disk has finished a write, or a read.
    pub fn has_written(&self, now: Micros) -> bool {
        let done = |process: &Process| {
            process.stalled <= now && process.writing.front().is_some_and(|it| it.at <= now)
        };
        self.hangs <= now && self.process.as_ref().is_some_and(done)
    }

    pub fn has_read(&self, now: Micros) -> bool {
        let done = |process: &Process| {
            process.stalled <= now && process.reading.front().is_some_and(|(at, _)| *at <= now)
        };
        self.hangs <= now && self.process.as_ref().is_some_and(done)
    }

    /// When something happens here by itself.
    pub fn next(&self) -> Option<Micros> {
        let process = self.process.as_ref()?;
        let writing = process.writing.front().map(|it| it.at.max(self.hangs));
        let reading = process.reading.front().map(|(at, _)| (*at).max(self.hangs));
        let work = (!process.work.is_empty()).then_some(process.apply_at);
        let deadline = Some(process.replica.deadline());
        let next = [writing, reading, work, deadline].into_iter().flatten().min()?;
        Some(next.max(process.stalled))
    }

    /// Does up to `count` pieces of the applier's work.
    pub fn apply(&mut self, count: usize) -> Vec<Said> {
        let process = self.process.as_mut().expect("it runs");
        let count = count.min(process.work.len());
        let work: Vec<Work> = process.work.drain(..count).collect();
        work.into_iter().flat_map(|work| self.apply_one(work)).collect()
    }

    fn apply_one(&mut self, work: Work) -> Vec<Said> {
        let process = self.process.as_mut().expect("it runs");
        match work {
            Work::Readable(tickets) => {
                let applied = process.copy.applied();
                tickets.into_iter().map(|ticket| Said::Readable { ticket, applied }).collect()
            }
            Work::Entry(entry, ticket) => {
                assert_eq!(self.disk.lost, None, "n{} applies to a lost state", self.id);
                let reply = process.apply_entry(&entry, ticket.is_none());
                vec![Said::Applied { entry, ticket, reply }]
            }
            Work::Lost(why) => {
                self.disk.lost = Some(why);
                Vec::new()
            }
            Work::Install(installed, tickets) => {
                let copy = process.staged.take().expect("it was staged when it was offered");
                assert_eq!(copy.installed(), installed);
                process.copy = copy.clone();
                process.replaced = true;
                self.disk.checkpoint = Some(copy);
                self.disk.lost = None;
                self.disk.installed = Some((installed.index, installed.term));
                let (resolved, replies) = process.resolve(tickets);
                vec![Said::Installed { installed, resolved, replies }]
            }
        }
    }
}

/// What the applier says.
pub enum Said {
    Applied { entry: Entry, ticket: Option<Ticket>, reply: Option<Reply> },
    Readable { ticket: Ticket, applied: u64 },
    Installed { installed: Installed, resolved: Resolved, replies: Vec<(Ticket, u64, Reply)> },
}

impl Process {
    /// Queues a write. All that comes while the disk is busy is made durable together, as in
    /// production, so that a slow disk delays but never falls behind.
    pub fn write(&mut self, now: Micros, latency: u64, write: raft::Write, commit: u64) {
        let busy_until = self.writing.front().map_or(now, |it| it.at);
        let last = self.writing.back().map_or(now, |it| it.at);
        let at = if last > busy_until { last } else { Micros(last.0 + latency) };
        self.writing.push_back(Writing { at, handed_out: now, write, commit });
    }

    /// What has changed in the store since this was asked last.
    pub fn changes(&mut self) -> Changes {
        let changes = self.copy.state.take_changes();
        if std::mem::take(&mut self.replaced) { Changes::All } else { changes }
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

    /// Applies an entry, or another one in its place if this process errs and may.
    fn apply_entry(&mut self, entry: &Entry, may_err: bool) -> Option<Reply> {
        if may_err
            && self.will_err
            && let Some(wrong) = misread(entry)
        {
            self.will_err = false;
            let mut right = self.copy.state.clone();
            apply_entry(&mut right, entry).unwrap();
            let reply = apply_entry(&mut self.copy.state, &wrong).unwrap();
            self.copy.odd |= right.digest() != self.copy.state.digest();
            return reply;
        }
        apply_entry(&mut self.copy.state, entry).unwrap()
    }

    /// Looks writes up in the state.
    fn resolve(&self, tickets: Vec<(u64, Ticket)>) -> (Resolved, Vec<(Ticket, u64, Reply)>) {
        let writes = &self.copy.state.meta().writes;
        let session = writes.session_of(self.id, self.nonce);
        let (mut seqs, mut replies) = (Vec::new(), Vec::new());
        for (seq, ticket) in tickets {
            if let Some(reply) = session.and_then(|session| writes.lookup(session, seq)) {
                seqs.push(seq);
                replies.push((ticket, seq, reply.clone()));
            }
        }
        (Resolved { session, seqs }, replies)
    }
}

/// The entry with another URL, if it has one.
fn misread(entry: &Entry) -> Option<Entry> {
    let Payload::Command(payload) = &entry.payload else { return None };
    let (id, command) = WriteId::split(payload).unwrap();
    let Command::CreateLink { .. } = Command::decode(command).unwrap() else { return None };
    let command = Command::CreateLink { url: "https://example.com/rot".into() }.encode();
    let payload = Payload::Command([&id.encode()[..], &command[..]].concat().into());
    Some(Entry { payload, ..entry.clone() })
}
