//! What clients of the key-value store think of: few keys, so that they meet.

use bowline::ids::Id128;
use bowline::state::kv::{Behavior, NewSession, Op, SessionId, When};
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, RngExt};

use crate::reference::Query;

const KEYS: [&[u8]; 9] =
    [b"a", b"a/", b"a/1", b"a/2", b"a/b/1", b"a0", b"b/1", b"\xff", b"\xff\xff/1"];
const PREFIXES: [&[u8]; 6] = [b"a", b"a/", b"a/b/", b"b", b"\xff", b"nothing"];

/// What the clients know between them of what they have been told.
#[derive(Default)]
pub struct Known {
    /// The newest `modify` of each key that somebody saw, or may have.
    pub modifies: std::collections::BTreeMap<Bytes, u64>,
    pub sessions: Vec<SessionId>,
}

pub fn key(rng: &mut StdRng) -> Bytes {
    Bytes::from_static(KEYS[rng.random_range(0..KEYS.len())])
}

fn prefix(rng: &mut StdRng) -> Bytes {
    Bytes::from_static(PREFIXES[rng.random_range(0..PREFIXES.len())])
}

pub fn query(rng: &mut StdRng) -> Query {
    match rng.random_range(0..10) {
        0..=4 => Query::Key(key(rng)),
        5..=7 => Query::Prefix(prefix(rng)),
        8 => Query::Prefix(Bytes::new()),
        _ => Query::Sessions,
    }
}

/// A session that lives for a moment or two, or until somebody ends it.
pub fn session(rng: &mut StdRng, ttl_ms: Option<u64>) -> NewSession {
    let delays = rng.random_bool(0.5);
    NewSession {
        id: Id128(rng.random()),
        name: String::new(),
        node: "m1".to_owned(),
        ttl_ms,
        lock_delay_ms: if delays { rng.random_range(1..800) } else { 0 },
        behavior: if rng.random_bool(0.5) { Behavior::Release } else { Behavior::Delete },
        node_checks: Vec::new(),
        service_checks: Vec::new(),
    }
}

/// A transaction, mostly of one operation.
pub fn transaction(rng: &mut StdRng, known: &Known) -> Vec<Op> {
    let count = if rng.random_bool(0.7) { 1 } else { rng.random_range(2..6) };
    (0..count).map(|_| operation(rng, known)).collect()
}

fn operation(rng: &mut StdRng, known: &Known) -> Op {
    let key = key(rng);
    let seen = known.modifies.get(&key).copied().unwrap_or(3);
    match rng.random_range(0..100) {
        0..=39 => {
            let ttl_ms = rng.random_bool(0.3).then(|| rng.random_range(1..2_000));
            let when = when(rng, seen);
            Op::Set { key, value: value(rng), flags: rng.random_range(0..2), ttl_ms, when }
        }
        40..=54 => Op::Lock { key, value: value(rng), flags: 0, session: some_session(rng, known) },
        55..=62 => {
            Op::Unlock { key, value: value(rng), flags: 0, session: some_session(rng, known) }
        }
        63..=74 => Op::Delete { key, when: when(rng, seen) },
        75..=76 => Op::DeleteTree { prefix: prefix(rng) },
        77..=84 => Op::Get { key, or_empty: rng.random() },
        85..=88 => Op::GetTree { prefix: prefix(rng) },
        89..=92 => Op::CheckIndex { key, index: near(rng, seen) },
        93..=96 => Op::CheckSession { key, session: some_session(rng, known) },
        _ => Op::CheckNotExists { key },
    }
}

fn when(rng: &mut StdRng, seen: u64) -> When {
    match rng.random_range(0..10) {
        0..=4 => When::Always,
        5 => When::Absent,
        6 => When::Present,
        _ => When::At(near(rng, seen)),
    }
}

/// What was seen, or just beside it.
fn near(rng: &mut StdRng, seen: u64) -> u64 {
    let beside = rng.random_bool(0.2);
    if beside { seen.saturating_add_signed(rng.random_range(-1..=1)) } else { seen }
}

/// Few values, so that some writes change nothing.
fn value(rng: &mut StdRng) -> Bytes {
    let values: [&'static [u8]; 3] = [b"", b"one", b"two"];
    Bytes::from_static(values[rng.random_range(0..values.len())])
}

/// One that was opened, and perhaps ended since; or one that never was.
pub fn some_session(rng: &mut StdRng, known: &Known) -> SessionId {
    let newest = known.sessions.len().saturating_sub(6);
    let among = &known.sessions[newest..];
    let nobody = among.is_empty() || rng.random_bool(0.05);
    if nobody { Id128([rng.next_u32() as u8; 16]) } else { among[rng.random_range(0..among.len())] }
}
