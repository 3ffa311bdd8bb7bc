//! The cluster: machines, the network between them, and clients that remember what they were told.

mod board;
mod clients;
mod converged;
mod faults;
mod locks;
mod ops;
mod states;
mod store;

use std::collections::{BTreeMap, BTreeSet};

use bowline::ids::Ticket;
use bowline::raft::{MemberInfo, MemberRole, Micros, NodeId, Now, Payload, RoleKind};
use bowline::replica::{Effects, GuestId, JoinReply, PeerMessage};
use bowline::state::{self, Reply};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::checks::Checks;
use crate::machine::{Machine, Process, Said, options};
use crate::seen::Seen;
use board::BoardClients;
use clients::Question;
pub use faults::Faults;
use locks::LockClients;
use states::Transfer;
use store::StoreClients;

/// When each run begins.
const START: Now = Now { mono: Micros(60_000_000), wall_ms: 1_700_000_000_000 };

pub struct Cluster {
    seed: u64,
    size: usize,
    /// Queues so small that they get full.
    tight: bool,
    rng: StdRng,
    now: Now,
    machines: BTreeMap<NodeId, Machine>,
    joiners: BTreeMap<GuestId, MemberInfo>,
    next_joiner: u64,
    /// Machines whose process has something to look at.
    woken: BTreeSet<NodeId>,
    network: BTreeMap<(Micros, u64), (NodeId, NodeId, PeerMessage)>,
    sent: u64,
    /// When the newest message of each link arrives.
    newest: BTreeMap<(NodeId, NodeId), Micros>,
    cut: BTreeSet<(NodeId, NodeId)>,
    restarts: BTreeMap<NodeId, Micros>,
    /// States on their way, by receiver.
    transfers: BTreeMap<NodeId, Transfer>,
    seen: Seen,
    faults: Faults,
    checks: Checks,
    store: StoreClients,
    locks: LockClients,
    board: BoardClients,
    questions: BTreeMap<Ticket, (Micros, Question)>,
    asked: u64,
    /// URLs of writes under a client's own key that will be sent once more, and since when they are.
    again: Vec<(Micros, String)>,
    /// URL → key of every write that a client was told is done.
    acknowledged: BTreeMap<String, String>,
    /// Writes of which a client was told that they are not and will not be done.
    denied: BTreeSet<String>,
    acknowledged_index: u64,
    /// All is calm: every answer must come as fast as disk and network allow.
    pub prompt: bool,
    next_client: Micros,
    next_fault: Micros,
    /// For so many µs the world has stood still, and its clocks are about to notice.
    stood_still: u64,
    trace: u64,
}

fn info(k: u64) -> MemberInfo {
    MemberInfo {
        tag: [k as u8; 16],
        name: format!("m{k}"),
        peer: format!("m{k}:7071"),
        http: format!("http://m{k}:7070"),
    }
}

impl Cluster {
    pub fn new(seed: u64, size: usize) -> Self {
        let tight = seed % 4 == 3;
        let now = START;
        let mut first = Machine::bootstrap(info(1), options(tight));
        first.start(now, seed ^ 0x5eed);
        Self {
            seed,
            size,
            tight,
            rng: StdRng::seed_from_u64(seed),
            now,
            machines: [(1, first)].into(),
            joiners: (2..=size as u64).map(|k| (k, info(k))).collect(),
            next_joiner: size as u64 + 1,
            woken: [1].into(),
            network: BTreeMap::new(),
            sent: 0,
            newest: BTreeMap::new(),
            cut: BTreeSet::new(),
            restarts: BTreeMap::new(),
            transfers: BTreeMap::new(),
            seen: Seen::default(),
            faults: Faults::none(),
            checks: Checks::default(),
            store: StoreClients::default(),
            locks: LockClients::default(),
            board: BoardClients::new(seed),
            questions: BTreeMap::new(),
            asked: 0,
            again: Vec::new(),
            acknowledged: BTreeMap::new(),
            denied: BTreeSet::new(),
            acknowledged_index: 0,
            prompt: false,
            next_client: now.mono,
            next_fault: now.mono,
            stood_still: 0,
            trace: 0,
        }
    }

    pub fn draw_faults(&mut self) -> Faults {
        Faults::draw(&mut self.rng)
    }

    pub fn run_for(&mut self, micros: u64, faults: Faults) {
        self.faults = faults;
        self.checks.calm_since = faults.are_none().then_some(self.now.mono);
        let mut end = Micros(self.now.mono.0 + micros);
        while self.now.mono < end {
            end.0 += self.stood_still;
            self.step();
        }
    }

    pub fn heal(&mut self) {
        self.cut.clear();
        let now = self.now.mono;
        self.restarts.values_mut().for_each(|at| *at = now);
        for machine in self.machines.values_mut() {
            machine.hangs = machine.hangs.min(now);
            machine.full = machine.full.min(now);
            if let Some(process) = &mut machine.process {
                process.stalled = process.stalled.min(now);
                process.will_err = false;
            }
        }
    }

    /// How many writes clients were told are done.
    pub fn acknowledged(&self) -> usize {
        self.acknowledged.len()
    }

    /// The disk of the leader finishes nothing for a while. Who that is.
    pub fn hang_leader(&mut self, micros: u64) -> NodeId {
        let id = self.leader().expect("there is a leader").id;
        self.machines.get_mut(&id).unwrap().hangs = Micros(self.now.mono.0 + micros);
        self.checks.calm_since = None;
        id
    }

    /// Lets a machine apply a write wrongly, the next time that it can without a client noticing.
    pub fn err(&mut self, id: NodeId) {
        self.wake(id, |process, _| process.will_err = true);
    }

    pub fn ids(&self) -> Vec<NodeId> {
        self.machines.keys().copied().collect()
    }

    pub fn leader_id(&self) -> Option<NodeId> {
        self.leader().map(|leader| leader.id)
    }

    pub fn voters(&self) -> usize {
        let leader = self.leader().expect("there is a leader");
        let configuration = leader.process.as_ref().unwrap().replica.node().configuration();
        configuration.members.values().filter(|it| it.role == MemberRole::Voter).count()
    }

    /// What came to pass of what a run is for.
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// A number that differs when two runs differ.
    pub fn trace(&self) -> u64 {
        self.trace
    }

    fn leader(&self) -> Option<&Machine> {
        let leads = |machine: &&Machine| {
            let node = machine.process.as_ref().map(|process| process.replica.node());
            node.is_some_and(|node| node.role_kind() == RoleKind::Leader)
        };
        let term = |machine: &&Machine| machine.process.as_ref().unwrap().replica.node().term();
        self.machines.values().filter(leads).max_by_key(term)
    }

    /// Where every machine stands, a line each.
    fn account(&self) -> String {
        let account = |machine: &Machine| {
            let Some(process) = &machine.process else {
                return format!("\nn{} is down", machine.id);
            };
            let (node, disk) = (process.replica.node(), &machine.disk);
            let voters: Vec<NodeId> = node.configuration().voters().collect();
            format!(
                "\nn{}: {:?} in term {}, log {:?} to {} (durable {}, commit {}), applied {}, \
                 voters {voters:?}, recovering {}, lost {:?}",
                machine.id,
                node.role_kind(),
                node.term(),
                node.log_start(),
                node.last_index(),
                node.durable(),
                node.commit(),
                process.copy.applied(),
                disk.recovering,
                process.replica.state_lost(),
            )
        };
        self.machines.values().map(account).collect()
    }

    /// Goes to the next moment at which something happens, and lets it happen.
    fn step(&mut self) {
        let machines = self.machines.values().filter_map(Machine::next).min();
        let network = self.network.keys().next().map(|(at, _)| *at);
        let next = [machines, network, self.next_transfer()].into_iter().flatten().min();
        let next = next.unwrap_or(self.next_fault).min(self.next_client).min(self.next_fault);
        let mut next = next.max(Micros(self.now.mono.0 + 1));
        let mut came_back = 0;
        if self.stood_still > 0 {
            next.0 += std::mem::take(&mut self.stood_still);
            // What came due meanwhile is seen to as late as after faults.
            self.checks.calm_since = self.checks.calm_since.map(|_| next);
            // And people act before what is over has been ended.
            came_back = 10;
        }
        self.now.wall_ms = START.wall_ms + (next.0 - START.mono.0) / 1000;
        self.now.mono = next;
        self.deliver();
        self.finish_disk_work();
        self.finish_transfers();
        (0..came_back).for_each(|_| self.ask());
        if self.now.mono >= self.next_client {
            let pause = if self.rng.random_bool(0.4) { 100..500 } else { 1_000..30_000 };
            self.next_client = Micros(self.now.mono.0 + self.rng.random_range(pause));
            self.ask();
            if self.rng.random_bool(0.1) {
                self.begin_to_wait();
            }
        }
        if self.now.mono >= self.next_fault {
            self.next_fault = Micros(self.now.mono.0 + 50_000);
            self.misbehave();
        }
        let ids: Vec<NodeId> = self.machines.keys().copied().collect();
        for id in ids {
            self.apply(id);
            let process = self.machines[&id].process.as_ref();
            let runs = process.is_some_and(|process| process.stalled <= self.now.mono);
            let due = |process: &Process| process.replica.deadline() <= self.now.mono;
            if runs && (self.woken.remove(&id) || process.is_some_and(due)) {
                self.settle(id);
            }
        }
        self.give_up_on_silence();
    }

    fn deliver(&mut self) {
        while let Some(entry) = self.network.first_entry() {
            if entry.key().0 > self.now.mono {
                break;
            }
            let (from, to, message) = entry.remove();
            let Some(machine) = self.machines.get_mut(&to) else { continue };
            if let (Some(process), false) = (&mut machine.process, self.cut.contains(&(from, to))) {
                self.trace =
                    self.trace.wrapping_mul(31).wrapping_add(self.now.mono.0 ^ (from << 8) ^ to);
                process.inbox.push((from, message));
                self.woken.insert(to);
            }
        }
    }

    fn finish_disk_work(&mut self) {
        let now = self.now.mono;
        for (id, machine) in &mut self.machines {
            while machine.has_written(now) {
                machine.persist(self.now);
                self.woken.insert(*id);
            }
            while machine.has_read(now) {
                machine.read_log(self.now);
                self.woken.insert(*id);
            }
        }
    }

    /// Gives a process that runs some input, if there is one.
    fn wake(&mut self, id: NodeId, input: impl FnOnce(&mut Process, Now)) {
        let machine = self.machines.get_mut(&id).unwrap();
        let now = machine.clock(self.now);
        if let Some(process) = &mut machine.process
            && process.stalled <= now.mono
        {
            input(process, now);
            self.woken.insert(id);
        }
    }

    /// Lets time pass on a machine and carries out what comes of it, until it is at rest.
    fn settle(&mut self, id: NodeId) {
        let machine = self.machines.get_mut(&id).unwrap();
        let now = machine.clock(self.now);
        let Some(process) = &mut machine.process else { return };
        let full = self.now.mono < machine.full;
        process.replica.on_full(now, full);
        let followed = process.replica.node().role_kind() == RoleKind::Follower;
        for (from, message) in std::mem::take(&mut process.inbox) {
            process.replica.on_peer_version(from, state::VERSION);
            process.replica.on_message(now, from, message);
        }
        process.replica.on_applied(process.copy.applied());
        process.replica.on_next_expiry(process.copy.state.next_expiry());
        process.replica.on_cluster_version(process.copy.state.summary().cluster_version);
        process.replica.advance(now);
        if let Some(change) = process.reconciler.next(now.mono, process.replica.node()) {
            process.replica.propose_change(now, change);
        }
        let effects = process.replica.effects();
        if full && followed && process.replica.node().role_kind() == RoleKind::Follower {
            let mut entries = effects.writes.iter().flat_map(|(write, _)| &write.entries);
            let command = entries.find(|entry| matches!(entry.payload, Payload::Command(_)));
            assert_eq!(command, None, "n{id} has no room for it");
        }
        self.carry_out(id, effects);
        let machine = &self.machines[&id];
        self.checks.node(machine);
        if self.faults.stall == 0.0 {
            self.checks.disk(machine, self.now.mono);
        }
    }

    fn carry_out(&mut self, id: NodeId, effects: Effects) {
        self.seen.take_note(&effects, self.machines[&id].hangs > self.now.mono);
        for (to, message) in effects.messages {
            if let PeerMessage::Raft(envelope) = &message {
                self.checks.sends(&self.machines[&id], envelope);
            }
            self.send(id, to, message);
        }
        let now = self.now.mono;
        let process = self.machines.get_mut(&id).unwrap().process.as_mut().unwrap();
        for (write, commit) in effects.writes {
            self.checks.made(&write.entries, now);
            let latency = self.rng.random_range(50..=self.faults.disk_us);
            process.write(now, latency, write, commit);
        }
        for request in effects.log_reads {
            let latency = self.rng.random_range(50..=self.faults.disk_us);
            process.reading.push_back((Micros(now.0 + latency), request));
        }
        if process.work.is_empty() {
            let latency = self.rng.random_range(10..=self.faults.apply_us);
            process.apply_at = Micros(now.0 + latency);
        }
        process.work.extend(effects.work);
        for (ticket, answer) in effects.answers {
            self.on_answer(ticket, answer);
        }
        for (guest, reply) in effects.joins {
            self.on_join_reply(guest, reply);
        }
        if let Some(fetch) = effects.fetch {
            self.fetch(id, fetch);
        }
        if effects.stop.is_some() {
            self.crash(id);
        }
    }

    /// Lets the applier of a machine do some of its work.
    fn apply(&mut self, id: NodeId) {
        let now = self.now.mono;
        let machine = self.machines.get_mut(&id).unwrap();
        let Some(process) = &mut machine.process else { return };
        if process.work.is_empty() || process.apply_at > now || process.stalled > now {
            return;
        }
        process.apply_at = Micros(now.0 + self.rng.random_range(10..=self.faults.apply_us));
        let said = machine.apply(self.rng.random_range(1..100));
        for said in &said {
            if let Said::Applied { entry, reply, .. } = said {
                self.checks.applied(&self.machines[&id], entry, reply.as_ref());
                self.seen.take_note_of_reply(reply.as_ref());
            }
        }
        self.checks.digest(&self.machines[&id]);
        self.wake_those_who_wait(id);
        for said in said {
            match said {
                Said::Applied { entry, ticket, reply } => match (ticket, reply) {
                    (Some(ticket), Some(reply)) => self.hear(id, ticket, reply, entry.index),
                    (_, Some(Reply::Digest(digest))) => self.wake(id, |process, now| {
                        process.replica.on_digest(now, entry.index, digest);
                    }),
                    _ => {}
                },
                Said::Readable { ticket, applied } => self.on_readable(ticket, applied),
                Said::Installed { installed, resolved, replies } => {
                    for (ticket, seq, reply) in replies {
                        let session = resolved.session.expect("it is how they were found");
                        self.checks.told(&self.machines[&id], session, seq, &reply);
                        self.hear(id, ticket, reply, installed.index);
                    }
                    self.wake(id, |process, now| {
                        process.replica.on_installed(now, installed, resolved);
                    });
                }
            }
        }
        if self.rng.random_bool(0.02) {
            self.checks.contents(&self.machines[&id]);
        }
    }

    fn send(&mut self, from: NodeId, to: NodeId, message: PeerMessage) {
        let raft = matches!(message, PeerMessage::Raft(_));
        let copies = match self.rng.random::<f64>() {
            lost if lost < self.faults.loss => 0,
            twice if raft && twice < self.faults.loss + self.faults.duplicate => 2,
            _ => 1,
        };
        for _ in 0..copies {
            self.sent += 1;
            let mut at = Micros(self.now.mono.0 + self.rng.random_range(50..=self.faults.delay_us));
            let newest = self.newest.entry((from, to)).or_insert(at);
            if self.prompt {
                at = at.max(*newest); // what overtakes may have to be asked for again
            }
            *newest = at.max(*newest);
            self.network.insert((at, self.sent), (from, to, message.clone()));
        }
    }

    fn some_machine_up(&mut self) -> Option<NodeId> {
        let now = self.now.mono;
        let runs = |machine: &&Machine| {
            machine.process.as_ref().is_some_and(|process| process.stalled <= now)
        };
        let up: Vec<NodeId> = self.machines.values().filter(runs).map(|it| it.id).collect();
        up.get(self.rng.random_range(0..up.len().max(1))).copied()
    }

    fn on_join_reply(&mut self, guest: GuestId, reply: JoinReply) {
        let JoinReply::Admitted { id, .. } = reply else { return };
        if self.joiners.remove(&guest).is_some() {
            let mut machine = Machine::new(id, options(self.tight));
            if self.rng.random_bool(self.faults.crash * 10.0) {
                // It dies before it receives anything.
                self.restarts.insert(id, Micros(self.now.mono.0 + 1_000_000));
            } else {
                machine.start(self.now, self.rng.random());
                self.woken.insert(id);
            }
            self.machines.insert(id, machine);
        }
    }
}
