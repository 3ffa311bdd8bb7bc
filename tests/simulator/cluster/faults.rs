//! What goes wrong, how often, and the moments at which it does.

use bowline::ids::Ticket;
use bowline::raft::{Micros, NodeId, RoleKind};
use bowline::replica::{AdminRequest, Request};
use rand::RngExt;
use rand::rngs::StdRng;

use super::Cluster;
use super::clients::{Question, TIMEOUT_US};
use crate::machine::Machine;

/// Members that a run has at most, over time.
const MEMBERS_MAX: u64 = 9;

/// How bad the world is. Probabilities are per message, or per machine each 50 ms; times are the
/// longest that are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Faults {
    pub loss: f64,
    /// Of the protocol's own messages: the transport repeats none, but they must bear it.
    pub duplicate: f64,
    pub delay_us: u64,
    pub crash: f64,
    /// All at once.
    pub blackout: f64,
    /// The process stands still.
    pub stall: f64,
    pub partition: f64,
    pub wrong_gone: f64,
    /// A hand-over somebody asks for.
    pub transfer: f64,
    /// A member is taken out, and another joins.
    pub replace: f64,
    pub disk_us: u64,
    pub apply_us: u64,
    /// The disk hangs for a while.
    pub hang: f64,
    /// The disk has no room for a while.
    pub fill: f64,
    /// It crashes, and the newest part of the log is lost, though it was durable.
    pub forget: f64,
    /// The state is found to be damaged.
    pub rot: f64,
    /// The state becomes another one, and nobody notices.
    pub err: f64,
    /// Somebody sets the wall clock, as far off as an hour.
    pub wall: f64,
    /// Everything stands still at once, for minutes or months.
    pub leap: f64,
    /// How long a state takes from one machine to another.
    pub transfer_us: u64,
    /// Entries that are kept below a checkpoint at most.
    pub keep: u64,
}

impl Faults {
    pub fn none() -> Self {
        Self {
            loss: 0.0,
            duplicate: 0.0,
            delay_us: 500,
            crash: 0.0,
            blackout: 0.0,
            stall: 0.0,
            partition: 0.0,
            wrong_gone: 0.0,
            transfer: 0.0,
            replace: 0.0,
            disk_us: 300,
            apply_us: 100,
            hang: 0.0,
            fill: 0.0,
            forget: 0.0,
            rot: 0.0,
            err: 0.0,
            wall: 0.0,
            leap: 0.0,
            transfer_us: 20_000,
            keep: 100,
        }
    }

    pub fn are_none(self) -> bool {
        self == Self::none()
    }

    /// A mix, each class on or off, so that some seeds are calm in some respects.
    pub fn draw(rng: &mut StdRng) -> Self {
        let mut on = |value: f64| if rng.random_bool(0.5) { value } else { 0.0 };
        let replace = on(0.005);
        Self {
            loss: on(0.15),
            duplicate: on(0.2),
            delay_us: 500 + on(30_000.0) as u64,
            crash: on(0.03),
            blackout: on(0.005),
            stall: on(0.01),
            partition: on(0.03),
            wrong_gone: on(0.05),
            transfer: on(0.01),
            replace,
            disk_us: 300 + on(60_000.0) as u64,
            apply_us: 100 + on(20_000.0) as u64,
            hang: on(0.008),
            fill: on(0.01),
            // With two voters left, one that waits for a leader to help it could wait for ever.
            forget: if replace == 0.0 { on(0.005) } else { 0.0 },
            rot: on(0.01),
            err: on(0.01),
            wall: on(0.01),
            leap: on(0.01),
            transfer_us: 20_000 + on(1_000_000.0) as u64,
            keep: on(100.0) as u64,
        }
    }
}

impl Cluster {
    pub(super) fn misbehave(&mut self) {
        self.restart_those_due();
        let ids: Vec<NodeId> = self.machines.keys().copied().collect();
        let blackout = self.rng.random_bool(self.faults.blackout);
        for id in &ids {
            let roll: f64 = self.rng.random();
            if blackout || roll < self.faults.crash {
                self.crash(*id);
            } else if roll < self.faults.crash + self.faults.wrong_gone {
                let victim = self.one_of(&ids);
                self.wake(*id, |process, now| process.replica.on_gone(now, victim));
            } else if self.rng.random_bool(self.faults.stall) {
                let until = Micros(self.now.mono.0 + self.rng.random_range(10_000..2_000_000));
                if let Some(process) = &mut self.machines.get_mut(id).unwrap().process {
                    process.stalled = until;
                }
            }
        }
        self.harm_disks(&ids);
        self.harm_states(&ids);
        self.set_walls(&ids);
        self.checkpoint_some();
        self.cut_links(&ids);
        if self.rng.random_bool(self.faults.leap) {
            self.leap();
        }
        if self.rng.random_bool(self.faults.transfer) {
            let request = AdminRequest::Transfer(Some(self.one_of(&ids)));
            self.administer(request);
        }
        if self.rng.random_bool(self.faults.replace) && self.next_joiner <= MEMBERS_MAX {
            self.replace_one();
        }
    }

    /// The whole world stands still, and nobody in it notices but by the clocks: what lasts for hours
    /// and months comes to its end within a run.
    pub fn leap(&mut self) {
        const MINUTE_US: u64 = 60_000_000;
        let minutes = match self.rng.random_range(0..10) {
            0..=3 => 1..20,
            4..=5 => 330..400,
            6..=7 => 1_400..3_000,
            8 => 28 * 1_440..32 * 1_440,
            _ => 100 * 1_440..300 * 1_440,
        };
        self.stood_still += self.rng.random_range(minutes) * MINUTE_US;
    }

    fn restart_those_due(&mut self) {
        let now = self.now.mono;
        let due: Vec<NodeId> =
            self.restarts.extract_if(.., |_, at| *at <= now).map(|it| it.0).collect();
        for id in due {
            let nonce = self.rng.random();
            self.machines.get_mut(&id).unwrap().start(self.now, nonce);
            self.woken.insert(id);
        }
    }

    pub(super) fn crash(&mut self, id: NodeId) {
        let machine = self.machines.get_mut(&id).unwrap();
        let Some(process) = &machine.process else { return };
        let kept = self.rng.random_range(0..=process.writing.len());
        // Sometimes a checkpoint had just been written.
        if self.rng.random_bool(0.5) {
            machine.checkpoint(self.rng.random_range(0..=self.faults.keep));
        }
        machine.crash(kept);
        self.checks.node(machine);
        self.transfers.remove(&id);
        let back = self.now.mono.0 + self.rng.random_range(10_000..3_000_000);
        self.restarts.insert(id, Micros(back).max(machine.hangs));
    }

    fn harm_disks(&mut self, ids: &[NodeId]) {
        let now = self.now.mono.0;
        for id in ids {
            if self.rng.random_bool(self.faults.hang) {
                let leader = self.leader().map(|leader| leader.id);
                let leader = leader.filter(|_| self.rng.random_bool(0.5));
                let machine = self.machines.get_mut(&leader.unwrap_or(*id)).unwrap();
                machine.hangs = Micros(now + self.rng.random_range(100_000..7_000_000));
            }
            let machine = self.machines.get_mut(id).unwrap();
            if self.rng.random_bool(self.faults.fill) {
                machine.full = Micros(now + self.rng.random_range(50_000..3_000_000));
                if self.rng.random_bool(0.3) {
                    machine.hangs = machine.hangs.max(machine.full); // not even the reserve is left
                }
            }
            if self.rng.random_bool(self.faults.forget) && self.may_wound(*id) {
                self.crash(*id);
                let disk = &mut self.machines.get_mut(id).unwrap().disk;
                disk.lose_tail(self.rng.random_range(1..30));
            }
        }
    }

    /// Whether this machine may lose something that was durable, in its log or in its state. The last
    /// entries may be in the log of one and, the log below being purged, in the state of another, and
    /// nowhere else: so of both kinds together there are never more than a minority has machines.
    fn may_wound(&self, id: NodeId) -> bool {
        let wounded = |machine: &&Machine| machine.disk.recovering || machine.is_harmed();
        let others = self.machines.values().filter(|machine| machine.id != id);
        others.filter(wounded).count() < (self.size - 1) / 2
    }

    fn harm_states(&mut self, ids: &[NodeId]) {
        let victim = self.one_of(ids);
        let rot = self.rng.random_bool(self.faults.rot);
        let err = self.rng.random_bool(self.faults.err);
        if (!rot && !err) || !self.may_wound(victim) {
            return;
        }
        self.wake(victim, |process, now| {
            if rot {
                process.replica.on_state_lost(now, "found by a scrub".to_owned());
            } else {
                process.will_err = true;
            }
        });
    }

    fn set_walls(&mut self, ids: &[NodeId]) {
        const HOUR_MS: i64 = 3_600_000;
        for id in ids {
            if self.rng.random_bool(self.faults.wall) {
                let error = self.rng.random_range(-HOUR_MS..HOUR_MS);
                self.machines.get_mut(id).unwrap().wall_error_ms = error;
            }
        }
    }

    fn cut_links(&mut self, ids: &[NodeId]) {
        let (flip, a, b) =
            (self.rng.random::<f64>() < self.faults.partition, self.one_of(ids), self.one_of(ids));
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

    /// An operator takes a member out and sets up another machine in its place.
    fn replace_one(&mut self) {
        let Some(leader) = self.leader() else { return };
        let node = leader.process.as_ref().unwrap().replica.node();
        let members: Vec<NodeId> = node.configuration().members.keys().copied().collect();
        if members.len() < self.size || node.role_kind() != RoleKind::Leader {
            return;
        }
        let victim = self.one_of(&members);
        self.administer(AdminRequest::Remove(victim));
        self.joiners.insert(self.next_joiner, super::info(self.next_joiner));
        self.next_joiner += 1;
    }

    fn administer(&mut self, request: AdminRequest) {
        let Some(id) = self.some_machine_up() else { return };
        self.asked += 1;
        let ticket = Ticket { sink: u16::try_from(id).unwrap_or(u16::MAX), id: self.asked };
        let deadline = Micros(self.now.mono.0 + TIMEOUT_US);
        self.questions.insert(ticket, (deadline, Question::Admin));
        self.wake(id, |process, now| {
            process.replica.on_request(now, ticket, deadline, Request::Admin(request));
        });
    }

    fn one_of(&mut self, ids: &[NodeId]) -> NodeId {
        ids[self.rng.random_range(0..ids.len())]
    }
}
