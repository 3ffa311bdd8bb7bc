//! Clients of the key-value store. Whatever they are told is compared with the reference elsewhere; here
//! they look at it as clients do, who know only what they sent and were told, and when.

use bowline::ids::Ticket;
use bowline::raft::NodeId;
use bowline::replica::Request;
use bowline::state::kv::{self, KvReply};
use bowline::state::{Command, Reply};
use rand::RngExt;

use super::Cluster;
use super::clients::{Question, under_own_key};
use super::ops::{self, Known};
use crate::machine::{Machine, Process};
use crate::reference::Query;

/// What the clients of the store remember between them.
#[derive(Default)]
pub struct StoreClients {
    known: Known,
    /// The highest index that a reader was told, by what it asked for.
    seen: std::collections::BTreeMap<Query, u64>,
    /// Writes under a client's own key that will be sent once more.
    again: Vec<(String, Command)>,
}

impl Cluster {
    /// What a client of the store asks of this node.
    pub(super) fn ask_store(&mut self, id: NodeId) -> Option<(Request, Question)> {
        if !self.takes_commands_of(id, bowline::state::VERSION_KV) {
            return None;
        }
        if self.rng.random_bool(0.3) {
            let query = ops::query(&mut self.rng);
            let floor = self.store.seen.get(&query).copied().unwrap_or(0);
            let question = Question::Look { must_see: self.acknowledged_index, query, floor };
            return Some((Request::ReadIndex, question));
        }
        let again = if self.rng.random_bool(0.1) { self.store.again.pop() } else { None };
        let under = self.rng.random_bool(0.1).then(|| format!("store {}", self.asked));
        let (under, command) = match again {
            Some((under, command)) => (Some(under), command),
            None => {
                let command = self.think_of_a_command();
                (under.filter(|_| command.fits_under_key()), command)
            }
        };
        let encoded = match &under {
            Some(key) => under_own_key(key, command.clone()).encode(),
            None => command.encode(),
        };
        let question = Question::Store { must_see: self.acknowledged_index, under, command };
        Some((Request::Write(encoded), question))
    }

    /// Whether the rules in force where this node stands know commands of this version.
    pub(super) fn takes_commands_of(&self, id: NodeId, version: u32) -> bool {
        let process = self.machines[&id].process.as_ref();
        process.is_some_and(|process| process.copy.state.summary().cluster_version >= version)
    }

    fn think_of_a_command(&mut self) -> Command {
        let (rng, known) = (&mut self.rng, &self.store.known);
        match rng.random_range(0..100) {
            0..=9 => {
                let ttl_ms = rng.random_bool(0.8).then(|| rng.random_range(10..3_000));
                Command::OpenSession(ops::session(rng, ttl_ms))
            }
            10..=14 => Command::DestroySession { id: ops::some_session(rng, known) },
            15..=24 => Command::RenewSession { id: ops::some_session(rng, known) },
            _ => Command::Kv { ops: ops::transaction(rng, known) },
        }
    }

    /// A write to the store was answered.
    pub(super) fn on_store_reply(
        &mut self,
        (must_see, under, command): (u64, Option<String>, Command),
        reply: Reply,
        index: u64,
    ) {
        assert!(index > must_see, "{command:?} was done at {index}, before {must_see}");
        self.acknowledged_index = self.acknowledged_index.max(index);
        let (reply, replayed) = match reply {
            Reply::Replayed(first) if under.is_some() => (*first, true),
            reply => (reply, false),
        };
        if let Some(under) = under
            && !replayed
        {
            self.store.again.push((under, command));
        }
        match reply {
            Reply::Kv(KvReply::Done { given, .. }) => {
                self.seen.count_store(true);
                for given in given {
                    self.store.known.modifies.insert(given.entry.key, given.entry.modify);
                }
            }
            Reply::Kv(KvReply::Refused(failed)) => {
                self.seen.count_store(false);
                for failed in failed {
                    if let kv::Why::Stale(modify) = failed.why {
                        self.store.known.modifies.insert(failed.key, modify);
                    }
                }
            }
            Reply::SessionOpened { id, .. } => self.store.known.sessions.push(id),
            Reply::SessionDestroyed { .. } | Reply::SessionRenewed(_) | Reply::UnknownSession => {}
            reply => panic!("a client of the store was told {reply:?}"),
        }
    }

    /// A write to the store failed, or its node died.
    pub(super) fn on_store_silence(&mut self, under: Option<String>, command: Command) {
        self.store.again.extend(under.map(|under| (under, command)));
    }

    /// A reader may look now, and compares.
    pub(super) fn look(&mut self, ticket: Ticket, query: Query, floor: u64) {
        let machine = self.machines.get_mut(&u64::from(ticket.sink)).unwrap();
        let Some(process) = trusted(machine) else { return };
        let index = self.checks.look(&process.copy, &query);
        assert!(index >= floor, "{query:?}: the index went back from {floor} to {index}");
        let seen = self.store.seen.entry(query).or_default();
        *seen = index.max(*seen);
    }

    /// A reader begins to wait on some machine.
    pub(super) fn begin_to_wait(&mut self) {
        let Some(id) = self.some_machine_up() else { return };
        let query = ops::query(&mut self.rng);
        let (arms, beside) = (self.rng.random_bool(0.7), self.rng.random_bool(0.2));
        let Some(process) = trusted(self.machines.get_mut(&id).unwrap()) else { return };
        let index = self.checks.look(&process.copy, &query);
        let index = if beside { index + 2 } else { index };
        process.watchers.wait(&self.checks, &process.copy, query, index, arms);
    }

    /// The applier of a machine has done something.
    pub(super) fn wake_those_who_wait(&mut self, id: NodeId) {
        let machine = self.machines.get_mut(&id).unwrap();
        let Some(process) = trusted(machine) else {
            machine.process.iter_mut().for_each(|process| process.watchers.clear());
            return;
        };
        let changes = process.changes();
        process.watchers.changed(&changes, &self.checks, &process.copy, &mut self.seen);
    }
}

/// The process of a machine whose state is served.
pub(super) fn trusted(machine: &mut Machine) -> Option<&mut Process> {
    let lost = machine.disk.lost.is_some();
    machine.process.as_mut().filter(|process| !lost && !process.copy.odd)
}
