//! The store through the commands that clients send.

use bytes::Bytes;

use super::*;
use crate::ids::WriteId;
use crate::state::{At, Changes, Command, Reply, State};
use crate::storage::MemoryStore;

mod any;
mod cost;
mod expiry;
mod marks;
mod model;
mod ops;
mod restore;
mod sessions;
mod sound;

pub(in crate::state) use any::{a_new_session, a_session, an_op};

pub(super) const A: SessionId = Id128([0xa; 16]);
pub(super) const B: SessionId = Id128([0xb; 16]);

pub(super) fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub(super) fn set(key: &str, value: &str) -> Op {
    set_when(key, value, When::Always)
}

pub(super) fn set_when(key: &str, value: &str, when: When) -> Op {
    Op::Set { key: bytes(key), value: bytes(value), flags: 0, ttl_ms: None, when }
}

pub(super) fn set_for(key: &str, value: &str, ttl_ms: u64) -> Op {
    let (when, ttl_ms) = (When::Always, Some(ttl_ms));
    Op::Set { key: bytes(key), value: bytes(value), flags: 0, ttl_ms, when }
}

pub(super) fn lock(key: &str, session: SessionId) -> Op {
    Op::Lock { key: bytes(key), value: bytes("locked"), flags: 0, session }
}

pub(super) fn unlock(key: &str, session: SessionId) -> Op {
    Op::Unlock { key: bytes(key), value: bytes("unlocked"), flags: 0, session }
}

pub(super) fn delete(key: &str) -> Op {
    Op::Delete { key: bytes(key), when: When::Always }
}

pub(super) fn delete_tree(prefix: &str) -> Op {
    Op::DeleteTree { prefix: bytes(prefix) }
}

pub(super) fn read(key: &str) -> Op {
    Op::Get { key: bytes(key), or_empty: false }
}

/// A session that releases its keys, without a time or a delay.
pub(super) fn plain(id: SessionId) -> NewSession {
    NewSession {
        id,
        name: "test".into(),
        node: "amber".into(),
        ttl_ms: None,
        lock_delay_ms: 0,
        behavior: Behavior::Release,
        node_checks: Vec::new(),
        service_checks: Vec::new(),
    }
}

/// A state to which commands are applied, and which is checked after each of them.
#[derive(Clone)]
pub(super) struct Bench {
    pub state: State<MemoryStore>,
    /// The cluster's clock.
    pub clock_ms: u64,
    /// What the last command changed.
    pub changes: Changes,
}

impl Bench {
    pub fn new() -> Self {
        let state = State::new(MemoryStore::default(), Id128([7; 16]));
        let mut bench = Self { state, clock_ms: 1_000_000, changes: Changes::default() };
        bench.apply(&Command::RegisterSession { node: 1, nonce: 1 });
        bench
    }

    pub fn at(&self) -> At {
        let (index, clock_ms) = (self.state.summary().applied + 1, self.clock_ms);
        At { index, term: 1, clock_ms, wall_ms: 0 }
    }

    pub fn apply(&mut self, command: &Command) -> Reply {
        let at = self.at();
        let write = WriteId { session: 1, seq: at.index, floor: at.index };
        let reply = self.state.apply_command(at, write, &command.encode()).unwrap();
        self.changes = self.state.take_changes();
        if self.state.meta().summary.applied == at.index && !matches!(reply, Reply::Restored { .. })
        {
            sound::check(&self.state);
        }
        reply
    }

    pub fn run(&mut self, ops: Vec<Op>) -> KvReply {
        match self.apply(&Command::Kv { ops }) {
            Reply::Kv(reply) => reply,
            reply => panic!("{reply:?}"),
        }
    }

    /// Does an operation that must succeed; gives the revision.
    pub fn done(&mut self, op: Op) -> u64 {
        match self.run(vec![op]) {
            KvReply::Done { revision, .. } => revision,
            KvReply::Refused(failed) => panic!("{failed:?}"),
        }
    }

    /// Does an operation that must fail; says why it did.
    pub fn refused(&mut self, op: Op) -> Why {
        match self.run(vec![op]) {
            KvReply::Refused(failed) if failed.len() == 1 => failed[0].why.clone(),
            reply => panic!("{reply:?}"),
        }
    }

    pub fn open(&mut self, new: NewSession) -> u64 {
        let id = new.id;
        match self.apply(&Command::OpenSession(new)) {
            Reply::SessionOpened { id: opened, revision } if opened == id => revision,
            reply => panic!("{reply:?}"),
        }
    }

    /// Ends a session that must be there; gives the revision.
    pub fn destroy(&mut self, id: SessionId) -> u64 {
        match self.apply(&Command::DestroySession { id }) {
            Reply::SessionDestroyed { existed: true, revision } => revision,
            reply => panic!("{reply:?}"),
        }
    }

    pub fn expire(&mut self) -> u64 {
        match self.apply(&Command::Expire) {
            Reply::Expired { count } => count,
            reply => panic!("{reply:?}"),
        }
    }

    pub fn get(&self, key: &str) -> Option<Entry> {
        get(self.state.table(), key.as_bytes()).unwrap()
    }

    pub fn revision(&self) -> u64 {
        self.state.summary().revision
    }

    pub fn counters(&self) -> Counters {
        self.state.meta().kv
    }

    /// The keys with a prefix, as text.
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        let mut keys = Vec::new();
        scan(self.state.table(), prefix.as_bytes(), None, &mut |entry| {
            keys.push(String::from_utf8(entry.key.into()).unwrap());
            true
        })
        .unwrap();
        keys
    }

    /// Keys and sessions that the last command changed; the latter as their ids in hex.
    pub fn woken(&self) -> Vec<String> {
        let Changes::Rows(rows) = &self.changes else { panic!("everything changed") };
        let name = |row: &Bytes| match key_of_row(row) {
            Some(key) => String::from_utf8(key.to_vec()).unwrap(),
            None => {
                let id = row.strip_prefix(&sessions_prefix()[..]).expect("a key or a session");
                Id128(id.try_into().unwrap()).to_string()
            }
        };
        rows.iter().map(name).collect()
    }

    /// The index of a prefix as a reader would compute it.
    pub fn prefix_index(&self, prefix: &str) -> u64 {
        let mut highest = 0;
        let rows = self.state.table();
        scan_rows(rows, prefix.as_bytes(), None, &mut |row| {
            highest = highest.max(row.head.modify);
            true
        })
        .unwrap();
        scan_tombstones(rows, prefix.as_bytes(), None, &mut |_, revision| {
            highest = highest.max(revision);
            true
        })
        .unwrap();
        self.counters().prefix_index(highest)
    }
}
