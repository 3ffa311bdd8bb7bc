//! Clients that need each other's way clear: each opens a session, takes one of two locks, keeps it for a
//! while, and gives it back, or ends its session, or is never heard of again.
//!
//! They judge by their own watch alone, as real ones do: a lock is held from the moment at which that
//! was said until a session's lifetime after its last renewal that was heard of was *sent*. No two may
//! ever believe at the same time to hold the same lock; and where a session was ended that held one, it
//! stays free for the lock delay.

use std::collections::BTreeMap;

use bowline::raft::{Micros, NodeId};
use bowline::replica::Request;
use bowline::state::kv::{KvReply, Op, SessionId, Why};
use bowline::state::{Command, Reply, VERSION_KV};
use bytes::Bytes;
use rand::RngExt;

use super::Cluster;
use super::clients::Question;
use super::ops;

const LOCKS: [&[u8]; 2] = [b"lock/1", b"lock/2"];
const CLIENTS: usize = 6;

/// What a client of locks is about.
#[derive(Clone, Debug)]
enum Stage {
    /// It has no session.
    Nothing,
    /// It holds no lock.
    Open(Lease),
    /// It may hold one.
    Holds(Lease, Bytes),
}

/// A session as its owner knows it.
#[derive(Clone, Copy, Debug)]
struct Lease {
    id: SessionId,
    ttl_ms: u64,
    lock_delay_ms: u64,
    /// When the last renewal of which it heard was sent.
    renewed: Micros,
}

impl Lease {
    fn until(&self) -> Micros {
        Micros(self.renewed.0 + self.ttl_ms * 1000)
    }
}

/// What a client of locks asks for.
#[derive(Clone, Debug)]
pub struct Errand {
    client: usize,
    sent: Micros,
    command: Command,
}

/// All of them, and what they believe.
pub struct LockClients {
    stages: Vec<Stage>,
    /// Those that wait for an answer.
    busy: [bool; CLIENTS],
    /// By which session somebody believes to hold a lock, and until when.
    holders: BTreeMap<Bytes, (SessionId, Micros)>,
    /// A lock was held by a session when its end was asked for: then, and for how long it stays free.
    ended: BTreeMap<Bytes, (Micros, u64)>,
}

impl Default for LockClients {
    fn default() -> Self {
        let stages = vec![Stage::Nothing; CLIENTS];
        Self { stages, busy: [false; CLIENTS], holders: BTreeMap::new(), ended: BTreeMap::new() }
    }
}

impl Cluster {
    /// What a client of locks asks of this node, if one of them has time.
    pub(super) fn ask_for_locks(&mut self, id: NodeId) -> Option<(Request, Question)> {
        let client = self.rng.random_range(0..CLIENTS);
        if self.locks.busy[client] || !self.takes_commands_of(id, VERSION_KV) {
            return None;
        }
        let command = self.next_errand(client)?;
        self.locks.busy[client] = true;
        let request = Request::Write(command.encode());
        let errand = Errand { client, sent: self.now.mono, command };
        Some((request, Question::Lock(errand)))
    }

    /// What a client does next; nothing, when it is never heard of again and another takes its place.
    fn next_errand(&mut self, client: usize) -> Option<Command> {
        let now = self.now.mono;
        let roll = self.rng.random_range(0..100);
        match self.locks.stages[client].clone() {
            Stage::Nothing => {
                let ttl_ms = Some(self.rng.random_range(100..2_000));
                Some(Command::OpenSession(ops::session(&mut self.rng, ttl_ms)))
            }
            Stage::Open(lease) | Stage::Holds(lease, _) if roll < 30 => {
                Some(Command::RenewSession { id: lease.id })
            }
            Stage::Open(_) if roll < 35 => self.vanish(client),
            Stage::Open(lease) => {
                let key = Bytes::from_static(LOCKS[self.rng.random_range(0..LOCKS.len())]);
                Some(lock(key, &lease))
            }
            // It knows that it may have lost it, and asks whether it has.
            Stage::Holds(lease, key) if roll < 45 || lease.until() <= now => {
                Some(lock(key, &lease))
            }
            Stage::Holds(..) if roll < 50 => self.vanish(client),
            Stage::Holds(lease, key) if roll < 80 => {
                self.locks.holders.remove(&key);
                let (value, session) = (Bytes::new(), lease.id);
                Some(Command::Kv { ops: vec![Op::Unlock { key, value, flags: 0, session }] })
            }
            Stage::Holds(lease, _) => {
                self.forget(&lease);
                Some(Command::DestroySession { id: lease.id })
            }
        }
    }

    /// It is never heard of again, and will never know: others may well find its lock held.
    fn vanish(&mut self, client: usize) -> Option<Command> {
        self.locks.stages[client] = Stage::Nothing;
        None
    }

    /// Nobody believes any more to hold anything by this session.
    fn forget(&mut self, lease: &Lease) {
        self.locks.holders.retain(|_, (holder, _)| *holder != lease.id);
    }

    pub(super) fn on_lock_reply(&mut self, errand: Errand, reply: Reply, index: u64) {
        self.acknowledged_index = self.acknowledged_index.max(index);
        let Errand { client, sent, command } = errand;
        self.locks.busy[client] = false;
        let stage = std::mem::replace(&mut self.locks.stages[client], Stage::Nothing);
        let stage = match (stage, command, reply) {
            (Stage::Nothing, Command::OpenSession(new), Reply::SessionOpened { .. }) => {
                let ttl_ms = new.ttl_ms.expect("all of these have one");
                let lock_delay_ms = new.lock_delay_ms;
                Stage::Open(Lease { id: new.id, ttl_ms, lock_delay_ms, renewed: sent })
            }
            (Stage::Open(lease), Command::RenewSession { .. }, Reply::SessionRenewed(Some(_))) => {
                Stage::Open(Lease { renewed: sent, ..lease })
            }
            (
                Stage::Holds(lease, key),
                Command::RenewSession { .. },
                Reply::SessionRenewed(Some(_)),
            ) => {
                let lease = Lease { renewed: sent, ..lease };
                self.believe(&lease, &key);
                Stage::Holds(lease, key)
            }
            (Stage::Open(lease) | Stage::Holds(lease, _), _, Reply::SessionRenewed(None)) => {
                self.assert_over(&lease);
                Stage::Nothing
            }
            (
                Stage::Open(lease) | Stage::Holds(lease, _),
                Command::Kv { ops },
                Reply::Kv(reply),
            ) => self.on_transaction(sent, lease, &ops[0], reply),
            (Stage::Holds(lease, key), Command::DestroySession { .. }, reply) => {
                if let Reply::SessionDestroyed { existed: true, .. } = reply {
                    self.locks.ended.insert(key, (sent, lease.lock_delay_ms));
                }
                Stage::Nothing
            }
            (_, _, Reply::UnknownSession) => Stage::Nothing,
            (stage, command, reply) => {
                panic!("{stage:?} asked for {command:?} and was told {reply:?}")
            }
        };
        self.locks.stages[client] = stage;
    }

    /// What becomes of a client that asked for a lock or gave one back.
    fn on_transaction(&mut self, sent: Micros, lease: Lease, op: &Op, reply: KvReply) -> Stage {
        match (op, reply) {
            (Op::Lock { key, .. }, KvReply::Done { .. }) => {
                self.take(sent, &lease, key);
                Stage::Holds(lease, key.clone())
            }
            (Op::Lock { key, .. }, KvReply::Refused(failed)) => {
                let why = &failed[0].why;
                if let Some((holder, until)) = self.locks.holders.get(key) {
                    let held = *holder == lease.id && *until > self.now.mono;
                    assert!(!held, "{key:?} is held by {lease:?}, and refused to it: {why:?}");
                }
                if *why != Why::NoSession {
                    return Stage::Open(lease);
                }
                self.assert_over(&lease);
                Stage::Nothing
            }
            (Op::Unlock { .. }, KvReply::Done { .. }) => Stage::Open(lease),
            (Op::Unlock { .. }, KvReply::Refused(_)) => {
                self.assert_over(&lease);
                Stage::Open(lease)
            }
            (op, reply) => panic!("{op:?} was told {reply:?}"),
        }
    }

    /// A client has been told that a lock is its own.
    fn take(&mut self, sent: Micros, lease: &Lease, key: &Bytes) {
        let now = self.now.mono;
        if let Some((ended, delay_ms)) = self.locks.ended.get(key)
            && sent >= *ended
        {
            let free = (now.0 - ended.0) / 1000;
            assert!(free >= *delay_ms, "{key:?} was taken after {free} of {delay_ms} ms of delay");
        }
        self.believe(lease, key);
        self.seen.count_lock();
    }

    /// A client believes to hold a lock until its session may have ended.
    fn believe(&mut self, lease: &Lease, key: &Bytes) {
        let now = self.now.mono;
        if lease.until() <= now {
            return;
        }
        if let Some((holder, until)) = self.locks.holders.get(key) {
            let alone = *holder == lease.id || *until <= now;
            assert!(alone, "{key:?} is held by {lease:?} and, until {until:?}, by {holder}");
        }
        self.locks.holders.insert(key.clone(), (lease.id, lease.until()));
    }

    /// A session is not there any more, though nobody ended it.
    fn assert_over(&self, lease: &Lease) {
        let (now, until) = (self.now.mono, lease.until());
        assert!(now >= until, "{lease:?} ended before {until:?}");
    }

    /// A client of locks does not learn what became of its errand, and begins anew.
    pub(super) fn on_lock_silence(&mut self, errand: &Errand) {
        self.locks.busy[errand.client] = false;
        self.locks.stages[errand.client] = Stage::Nothing;
    }
}

fn lock(key: Bytes, lease: &Lease) -> Command {
    let (value, session) = (Bytes::from_static(b"me"), lease.id);
    Command::Kv { ops: vec![Op::Lock { key, value, flags: 0, session }] }
}
