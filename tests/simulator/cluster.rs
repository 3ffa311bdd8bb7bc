//! The cluster: machines, the network between them, and clients that remember what they were told.

use std::collections::{BTreeMap, BTreeSet};

use bowline::ids::Ticket;
use bowline::raft::{MemberInfo, MemberRole, Micros, NodeId, Now, RoleKind};
use bowline::replica::{Answer, Effects, GuestId, JoinReply, PeerMessage, Request};
use bowline::state::{Command, Link, Reply, lookup};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::checks::Checks;
use crate::machine::{Machine, Said};

const TIMEOUT_US: u64 = 3_000_000;

/// How bad the world is. Probabilities are per message, or per decision each 50 ms.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    loss: f64,
    duplicate: f64,
    delay_us: u64,
    crash: f64,
    partition: f64,
    wrong_gone: f64,
    disk_us: u64,
}

impl Faults {
    pub fn none() -> Self {
        Self {
            loss: 0.0,
            duplicate: 0.0,
            delay_us: 500,
            crash: 0.0,
            partition: 0.0,
            wrong_gone: 0.0,
            disk_us: 300,
        }
    }
}

#[derive(Debug)]
enum Question {
    Write { url: String },
    Read { must_see: u64 },
}

pub struct Cluster {
    seed: u64,
    rng: StdRng,
    now: Now,
    machines: BTreeMap<NodeId, Machine>,
    joiners: BTreeMap<GuestId, MemberInfo>,
    network: BTreeMap<(Micros, u64), (NodeId, NodeId, PeerMessage)>,
    sent: u64,
    cut: BTreeSet<(NodeId, NodeId)>,
    restarts: BTreeMap<NodeId, Micros>,
    faults: Faults,
    checks: Checks,
    questions: BTreeMap<Ticket, (Micros, Question)>,
    asked: u64,
    /// URL → key of every write that a client was told is done.
    acknowledged: BTreeMap<String, String>,
    acknowledged_index: u64,
    next_client: Micros,
    next_fault: Micros,
    trace: u64,
}

impl Cluster {
    pub fn new(seed: u64, size: usize) -> Self {
        let info = |k: usize| MemberInfo {
            tag: [k as u8; 16],
            name: format!("m{k}"),
            peer: format!("m{k}:7071"),
            http: format!("http://m{k}:7070"),
        };
        let now = Now { mono: Micros(60_000_000), wall_ms: 1_700_000_000_000 };
        let mut first = Machine::bootstrap(info(1));
        first.start(now, seed ^ 0x5eed);
        Self {
            seed,
            rng: StdRng::seed_from_u64(seed),
            now,
            machines: [(1, first)].into(),
            joiners: (2..=size).map(|k| (k as GuestId, info(k))).collect(),
            network: BTreeMap::new(),
            sent: 0,
            cut: BTreeSet::new(),
            restarts: BTreeMap::new(),
            faults: Faults::none(),
            checks: Checks::default(),
            questions: BTreeMap::new(),
            asked: 0,
            acknowledged: BTreeMap::new(),
            acknowledged_index: 0,
            next_client: now.mono,
            next_fault: now.mono,
            trace: 0,
        }
    }

    /// A mix of faults, each class on or off, so that some seeds are calm in some respects.
    pub fn draw_faults(&mut self) -> Faults {
        let mut on = |value: f64| if self.rng.random_bool(0.5) { value } else { 0.0 };
        Faults {
            loss: on(0.15),
            duplicate: on(0.2),
            delay_us: 500 + on(30_000.0) as u64,
            crash: on(0.03),
            partition: on(0.03),
            wrong_gone: on(0.05),
            disk_us: 300 + on(60_000.0) as u64,
        }
    }

    pub fn run_for(&mut self, micros: u64, faults: Faults) {
        self.faults = faults;
        let end = Micros(self.now.mono.0 + micros);
        while self.now.mono < end {
            self.step();
        }
    }

    pub fn heal(&mut self) {
        self.cut.clear();
        for at in self.restarts.values_mut() {
            *at = self.now.mono;
        }
    }

    pub fn voters(&self) -> usize {
        let leader = self.leader().expect("there is a leader");
        let configuration = leader.process.as_ref().unwrap().replica.node().configuration();
        configuration.members.values().filter(|it| it.role == MemberRole::Voter).count()
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

    /// Goes to the next moment at which something happens, and lets it happen.
    fn step(&mut self) {
        let deadlines = self.machines.values().filter_map(|machine| {
            let process = machine.process.as_ref()?;
            let disk = process.writing.front().map_or(Micros(u64::MAX), |(at, ..)| *at);
            Some(process.replica.deadline().min(disk))
        });
        let network = self.network.keys().next().map_or(Micros(u64::MAX), |(at, _)| *at);
        let next = deadlines.min().unwrap_or(network).min(network);
        let next = next.min(self.next_client).min(self.next_fault);
        let next = next.max(Micros(self.now.mono.0 + 1));
        self.now.wall_ms += (next.0 - self.now.mono.0) / 1000;
        self.now.mono = next;
        self.deliver();
        self.finish_disk_writes();
        if self.now.mono >= self.next_client {
            self.next_client = Micros(self.now.mono.0 + self.rng.random_range(1_000..20_000));
            self.ask();
        }
        if self.now.mono >= self.next_fault {
            self.next_fault = Micros(self.now.mono.0 + 50_000);
            self.misbehave();
        }
        self.give_up_on_silence();
        let ids: Vec<NodeId> = self.machines.keys().copied().collect();
        for id in ids {
            self.settle(id);
        }
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
                process.replica.on_message(self.now, from, message);
            }
        }
    }

    fn finish_disk_writes(&mut self) {
        for machine in self.machines.values_mut() {
            while machine.process.as_ref().is_some_and(|process| {
                process.writing.front().is_some_and(|(at, ..)| *at <= self.now.mono)
            }) {
                machine.persist(self.now);
            }
        }
    }

    /// Lets time pass on a machine and carries out what comes of it, until it is at rest.
    fn settle(&mut self, id: NodeId) {
        let machine = self.machines.get_mut(&id).unwrap();
        if let Some(process) = &mut machine.process {
            process.replica.advance(self.now);
            if let Some(change) = process.reconciler.next(self.now.mono, process.replica.node()) {
                process.replica.propose_change(self.now, change);
            }
        }
        loop {
            let machine = self.machines.get_mut(&id).unwrap();
            let Some(process) = &mut machine.process else { break };
            let effects = process.replica.effects();
            let again = !effects.log_reads.is_empty() || !effects.work.is_empty();
            self.carry_out(id, effects);
            if !again {
                break;
            }
        }
        self.checks.node(&self.machines[&id]);
    }

    fn carry_out(&mut self, id: NodeId, effects: Effects) {
        for (to, message) in effects.messages {
            self.send(id, to, message);
        }
        let machine = self.machines.get_mut(&id).unwrap();
        for (write, commit) in effects.writes {
            let latency = self.rng.random_range(50..=self.faults.disk_us);
            machine.process.as_mut().unwrap().write(self.now.mono, latency, write, commit);
        }
        for request in effects.log_reads {
            machine.read_log(self.now, request);
        }
        let said = machine.process.as_mut().unwrap().apply(effects.work);
        let applied_some = !said.is_empty();
        for said in said {
            match said {
                Said::Applied { entry, reply } => {
                    self.checks.applied(&self.machines[&id], &entry);
                    if let Some((ticket, reply)) = reply {
                        self.on_reply(ticket, reply, entry.index);
                    }
                }
                Said::Readable { ticket, applied } => self.on_readable(ticket, applied),
            }
        }
        if applied_some {
            self.checks.digest(&self.machines[&id]);
        }
        for (ticket, answer) in effects.answers {
            let known = self.questions.remove(&ticket);
            assert!(known.is_some(), "answered twice: {answer:?}");
            assert!(matches!(answer, Answer::Failed(_)));
        }
        for (guest, reply) in effects.joins {
            self.on_join_reply(guest, reply);
        }
    }

    fn send(&mut self, from: NodeId, to: NodeId, message: PeerMessage) {
        let copies = match self.rng.random::<f64>() {
            lost if lost < self.faults.loss => 0,
            twice if twice < self.faults.loss + self.faults.duplicate => 2,
            _ => 1,
        };
        for _ in 0..copies {
            self.sent += 1;
            let at = self.now.mono.0 + self.rng.random_range(50..=self.faults.delay_us);
            self.network.insert((Micros(at), self.sent), (from, to, message.clone()));
        }
    }

    /// A client asks some running node for something; joiners ask to be admitted.
    fn ask(&mut self) {
        let up: Vec<NodeId> =
            self.machines.values().filter(|it| it.process.is_some()).map(|it| it.id).collect();
        let Some(id) = up.get(self.rng.random_range(0..up.len().max(1))).copied() else { return };
        self.asked += 1;
        let ticket = Ticket { sink: u16::try_from(id).unwrap_or(u16::MAX), id: self.asked };
        let deadline = Micros(self.now.mono.0 + TIMEOUT_US);
        let url = format!("https://example.com/{}/{}", self.seed, self.asked);
        let (request, question) = if self.rng.random_bool(0.7) {
            let command = Command::CreateLink { url: url.clone().into() };
            (Request::Write(command.encode()), Question::Write { url })
        } else {
            (Request::ReadIndex, Question::Read { must_see: self.acknowledged_index })
        };
        self.questions.insert(ticket, (deadline, question));
        let process = self.machines.get_mut(&id).unwrap().process.as_mut().unwrap();
        process.replica.on_request(self.now, ticket, deadline, request);
        for (guest, info) in &self.joiners {
            process.replica.on_join(self.now, *guest, info.clone());
        }
    }

    fn on_join_reply(&mut self, guest: GuestId, reply: JoinReply) {
        let JoinReply::Admitted { id, .. } = reply else { return };
        if self.joiners.remove(&guest).is_some() {
            let mut machine = Machine::new(id);
            machine.start(self.now, self.rng.random());
            self.machines.insert(id, machine);
        }
    }

    fn on_reply(&mut self, ticket: Ticket, reply: Reply, index: u64) {
        let (_, question) = self.questions.remove(&ticket).expect("answered once");
        let Question::Write { url } = question else { panic!("a read was answered as a write") };
        let Reply::Link { key, created } = reply else { panic!("{url}: {reply:?}") };
        assert!(created, "{url} was done twice");
        self.acknowledged.insert(url, key);
        self.acknowledged_index = self.acknowledged_index.max(index);
    }

    fn on_readable(&mut self, ticket: Ticket, applied: u64) {
        let (_, question) = self.questions.remove(&ticket).expect("answered once");
        let Question::Read { must_see } = question else {
            panic!("a write was answered as a read")
        };
        assert!(applied >= must_see, "a stale read: {applied} < {must_see}");
    }

    /// Whoever is not told by the deadline has been forgotten, which only a dead process may do.
    fn give_up_on_silence(&mut self) {
        let grace = 200_000;
        let machines = &self.machines;
        self.questions.retain(|ticket, (deadline, _)| {
            let alive = machines[&u64::from(ticket.sink)].process.is_some();
            assert!(
                !alive || self.now.mono.0 < deadline.0 + grace,
                "a client was left without an answer"
            );
            alive
        });
    }

    fn misbehave(&mut self) {
        let now = self.now.mono;
        let due: Vec<NodeId> =
            self.restarts.extract_if(.., |_, at| *at <= now).map(|it| it.0).collect();
        for id in due {
            let nonce = self.rng.random();
            self.machines.get_mut(&id).unwrap().start(self.now, nonce);
        }
        let ids: Vec<NodeId> = self.machines.keys().copied().collect();
        for id in &ids {
            let roll: f64 = self.rng.random();
            let machine = self.machines.get_mut(id).unwrap();
            let Some(process) = &mut machine.process else { continue };
            if roll < self.faults.crash {
                let kept = self.rng.random_range(0..=process.writing.len());
                // Sometimes a checkpoint had just been written.
                if self.rng.random_bool(0.5) {
                    machine.disk.checkpoint = Some(process.state.clone());
                }
                machine.crash(kept);
                let back = now.0 + self.rng.random_range(10_000..3_000_000);
                self.restarts.insert(*id, Micros(back));
            } else if roll < self.faults.crash + self.faults.wrong_gone {
                let victim = ids[self.rng.random_range(0..ids.len())];
                process.replica.on_gone(self.now, victim);
            }
        }
        let (flip, a, b) = (
            self.rng.random::<f64>() < self.faults.partition,
            ids[self.rng.random_range(0..ids.len())],
            ids[self.rng.random_range(0..ids.len())],
        );
        if flip && !self.cut.remove(&(a, b)) {
            self.cut.insert((a, b)); // one way only
        }
        if self.faults.partition > 0.0 && self.rng.random_bool(0.05) {
            self.cut.clear();
        } else if self.rng.random::<f64>() < self.faults.partition / 2.0 {
            for other in ids.iter().filter(|other| **other != a) {
                self.cut.extend([(a, *other), (*other, a)]);
            }
        }
    }

    /// After healing: one leader, equal states, and everything acknowledged is there.
    pub fn check_converged(&mut self) {
        let seed = self.seed;
        self.next_client = Micros(u64::MAX);
        self.run_for(2_000_000, Faults::none());
        let now = self.now.mono;
        assert!(self.questions.is_empty(), "seed {seed} at {now:?}: {:?}", self.questions);
        assert!(self.leader().is_some(), "seed {seed}: no leader after healing");
        let states: Vec<_> = self
            .machines
            .values()
            .map(|machine| {
                let process = machine.process.as_ref().expect("all run after healing");
                (machine.id, &process.state)
            })
            .collect();
        let applied = states[0].1.summary().applied;
        for (id, state) in &states {
            assert_eq!(state.summary().applied, applied, "seed {seed}: n{id} lags");
        }
        assert!(self.acknowledged.len() > 50, "seed {seed}: only {}", self.acknowledged.len());
        for (url, key) in &self.acknowledged {
            for (id, state) in &states {
                let link = lookup(state.table(), key).unwrap();
                let Some(Link::Live(stored)) = link else {
                    panic!("seed {seed}: n{id} lost {url}: {link:?}");
                };
                assert_eq!(stored, url.as_bytes(), "seed {seed}");
            }
        }
    }
}
