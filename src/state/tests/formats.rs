//! The bytes that must decode for ever.

use std::path::PathBuf;

use super::super::kv::{
    Behavior, Counters, Entry, Failed, Given, KvReply, NewSession, Op, Session, SessionId, When,
    Why,
};
use super::*;
use crate::storage::Rows;

mod board;

const SESSION: SessionId = Id128(*b"sixteen bytes id");

fn every_op() -> Vec<Op> {
    let (key, value) = (Bytes::from_static(b"a/\xff"), Bytes::from_static(b"value"));
    let (flags, session) = (u64::MAX, SESSION);
    let set =
        |ttl_ms, when| Op::Set { key: key.clone(), value: value.clone(), flags, ttl_ms, when };
    vec![
        set(None, When::Always),
        set(Some(30_000), When::Absent),
        set(None, When::Present),
        set(None, When::At(300)),
        Op::Lock { key: key.clone(), value: value.clone(), flags, session },
        Op::Unlock { key: key.clone(), value, flags, session },
        Op::Delete { key: key.clone(), when: When::Always },
        Op::DeleteTree { prefix: Bytes::new() },
        Op::Get { key: key.clone(), or_empty: true },
        Op::GetTree { prefix: "a/".into() },
        Op::CheckIndex { key: key.clone(), index: 300 },
        Op::CheckSession { key: key.clone(), session },
        Op::CheckNotExists { key },
    ]
}

fn new_session() -> NewSession {
    NewSession {
        id: SESSION,
        name: "deploy".into(),
        node: "amber".into(),
        ttl_ms: Some(10_000),
        lock_delay_ms: 15_000,
        behavior: Behavior::Delete,
        node_checks: vec!["serfHealth".into()],
        service_checks: vec![("web".into(), String::new())],
    }
}

fn session() -> Session {
    Session { new: new_session(), create: 299, modify: 300, expires_ms: Some(70_000) }
}

fn restore() -> Restore {
    let (not_after_ms, clock_ms) = (70_000, 1 << 40);
    Restore { file: SESSION, sha256: [0xcd; 32], not_after_ms, revision: 300, clock_ms }
}

fn given() -> Vec<Given> {
    let entry = Entry {
        key: Bytes::from_static(b"a/\xff"),
        value: "value".into(),
        flags: 7,
        create: 299,
        modify: 300,
        lock_index: 1,
        session: Some(SESSION),
        expires_ms: Some(70_000),
    };
    let bare = Entry { session: None, expires_ms: None, value: Bytes::new(), ..entry.clone() };
    vec![Given { op: 0, entry, read: true }, Given { op: 127, entry: bare, read: false }]
}

fn every_failure() -> Vec<Failed> {
    let all = [
        Why::Missing,
        Why::Exists,
        Why::Stale(300),
        Why::Held(SESSION),
        Why::Delayed,
        Why::NotHeld,
        Why::NoSession,
        Why::TooLarge,
    ];
    let failed = |(op, why)| Failed { op, key: "key".into(), why };
    (0..).zip(all).map(failed).collect()
}

fn counters(highest: u64) -> Counters {
    Counters {
        last: highest,
        sessions: 1,
        restored: highest,
        reaped: 1,
        earliest_ms: 70_000,
        clock_offset_ms: -5,
        keys: 3,
        open_sessions: 2,
        ..Counters::default()
    }
}

/// One row of every kind, in the order of their keys.
fn every_kv_row() -> Vec<(Bytes, Bytes)> {
    let mut state = example_state();
    let mut index = 7;
    let mut apply = |state: &mut State<MemoryStore>, command: Command| {
        index += 1;
        state.apply_command(at(index), id(3, index, 1), &command.encode()).unwrap();
    };
    let other = Id128(*b"another session!");
    for id in [SESSION, other] {
        let new = NewSession { id, behavior: Behavior::Release, ..new_session() };
        apply(&mut state, Command::OpenSession(new));
    }
    let set = |key: &str| {
        let (key, value) = (Bytes::copy_from_slice(key.as_bytes()), Bytes::from_static(b"value"));
        Op::Set { key, value, flags: 7, ttl_ms: Some(3_600_000), when: When::Always }
    };
    let lock = |key: &str, session| {
        let (key, value) = (Bytes::copy_from_slice(key.as_bytes()), Bytes::from_static(b"value"));
        Op::Lock { key, value, flags: 7, session }
    };
    let ops = vec![set("a"), lock("held", SESSION), lock("lost", other), set("gone")];
    apply(&mut state, Command::Kv { ops });
    apply(&mut state, Command::DestroySession { id: other });
    let delete = |key: &'static str| Op::Delete { key: key.into(), when: When::Always };
    apply(&mut state, Command::Kv { ops: vec![delete("gone"), delete("lost")] });
    let mut rows = Vec::new();
    let mut tables = BTreeSet::new();
    let from = [table::KEYS];
    let to = [table::DEADLINES + 1];
    let scanned = state.table().scan(&from, Some(&to), &mut |key, value| {
        // Two keys, for there are two kinds of them, and one row of each other table.
        if tables.insert(key[0]) || key[0] == table::KEYS {
            rows.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
        }
        true
    });
    scanned.unwrap();
    rows
}

/// The bytes in `tests/data/v1/<name>`, which are what this version writes. Version 1 never changes:
/// a test that fails here has found a change that would make old logs unreadable. With
/// `BOWLINE_WRITE_V1=1` a file that does not exist yet is written; none is ever overwritten.
fn v1(name: &str, written_now: &[u8]) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/v1").join(name);
    if !path.exists() && std::env::var_os("BOWLINE_WRITE_V1").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, written_now).unwrap();
    }
    let bytes = v1_as_it_stands(name);
    assert_eq!(bytes, written_now, "{name} is written differently now");
    bytes
}

/// The bytes in `tests/data/v1/<name>`, which newer programs of this version write with more in them.
fn v1_as_it_stands(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/v1").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn v1_commands_decode() {
    for (name, command) in [
        (
            "command-register-session.bin",
            Command::RegisterSession { node: 0x0102_0304, nonce: 0x1122_3344_5566_7788 },
        ),
        ("command-create-link.bin", Command::CreateLink { url: "https://example.com/".into() }),
        (
            "command-once.bin",
            Command::Once {
                key: "8e03978e-40d5".into(),
                hash: [0xab; 32],
                command: Box::new(Command::CreateLink { url: "https://example.com/".into() }),
            },
        ),
        ("command-take-digest.bin", Command::TakeDigest),
        ("command-kv.bin", Command::Kv { ops: every_op() }),
        ("command-open-session.bin", Command::OpenSession(new_session())),
        ("command-destroy-session.bin", Command::DestroySession { id: SESSION }),
        ("command-renew-session.bin", Command::RenewSession { id: SESSION }),
        ("command-expire.bin", Command::Expire),
        ("command-raise-version.bin", Command::RaiseVersion { version: 2 }),
        ("command-restore.bin", Command::Restore(restore())),
    ] {
        let bytes = v1(name, &command.encode());
        assert_eq!(Command::decode(&bytes), Ok(command));
    }
}

#[test]
fn v1_replies_decode() {
    let busy = Failed { op: 0, key: Bytes::new(), why: Why::Busy };
    for (name, reply) in [
        ("reply-session.bin", Reply::Session(300)),
        ("reply-link.bin", link("DxFdsGK3", true)),
        ("reply-unknown-session.bin", Reply::UnknownSession),
        ("reply-stale.bin", Reply::Stale),
        ("reply-replayed.bin", Reply::Replayed(Box::new(link("DxFdsGK3", true)))),
        ("reply-key-reused.bin", Reply::KeyReused),
        ("reply-digest.bin", Reply::Digest(u128::from_be_bytes(*b"0123456789abcdef"))),
        ("reply-kv-done.bin", Reply::Kv(KvReply::Done { revision: 300, given: given() })),
        ("reply-kv-refused.bin", Reply::Kv(KvReply::Refused(every_failure()))),
        ("reply-kv-busy.bin", Reply::Kv(KvReply::Refused(vec![busy]))),
        ("reply-session-opened.bin", Reply::SessionOpened { id: SESSION, revision: 300 }),
        ("reply-session-destroyed.bin", Reply::SessionDestroyed { existed: true, revision: 300 }),
        ("reply-session-renewed.bin", Reply::SessionRenewed(Some(session()))),
        ("reply-session-unknown.bin", Reply::SessionRenewed(None)),
        ("reply-expired.bin", Reply::Expired { count: 256 }),
        ("reply-version.bin", Reply::Version(2)),
        ("reply-restored.bin", Reply::Restored { revision: 300 }),
        ("reply-restore-late.bin", Reply::RestoreLate),
    ] {
        let bytes = v1(name, &rmp_serde::to_vec(&reply).unwrap());
        assert_eq!(rmp_serde::from_slice::<Reply>(&bytes).unwrap(), reply);
    }
}

#[test]
fn v1_rows_decode() {
    for (name, link) in [
        ("row-link-shared.bin", Link::Live("https://example.com/".into())),
        ("row-link-gone.bin", Link::Gone),
    ] {
        let row = v1(name, &links::encode(&link, at(5)));
        let mut rows = MemoryStore::default();
        rows.put(b"\x01\0\0\0\0DxFdsGK3", row.into());
        assert_eq!(lookup(&rows, "DxFdsGK3"), Ok(Some(link)));
    }
}

#[test]
fn v1_rows_of_keys_decode() {
    let state = example_state_with_a_key();
    let key_row = row_key(table::ONCE, b"a key");
    let place_row = row_key(table::ONCE_ORDER, &0u64.to_be_bytes());
    let mut rows = MemoryStore::default();
    for (name, key) in [("row-once.bin", &key_row), ("row-once-order.bin", &place_row)] {
        let row = state.table().get(key).unwrap().unwrap();
        rows.put(key, v1(name, &row).into());
    }
    let kept = once::find(&rows, "a key", 1008, OnceLimits::DEFAULT).unwrap().unwrap();
    assert_eq!(kept.answer(&[1; 32]), Reply::Replayed(Box::new(link("gZjRusQK", true))));
}

#[test]
fn v1_meta_decodes() {
    let meta = example_meta();
    let bytes = v1("state-meta-once.bin", &meta.encode());
    assert_eq!(Meta::decode(&bytes), Ok(meta));
    let summary = Summary::decode(&bytes).unwrap();
    assert_eq!((summary.applied, summary.links, summary.cluster), (8, 2, CLUSTER));
}

#[test]
fn v1_meta_with_keys_decodes() {
    let mut meta = example_meta();
    meta.kv = counters(meta.summary.revision);
    let bytes = v1("state-meta-kv.bin", &meta.encode());
    assert_eq!(Meta::decode(&bytes), Ok(meta));
}

#[test]
fn v1_rows_of_the_key_value_store_decode() {
    let written_now = every_kv_row();
    let names = ["key", "key-held", "mark", "mark-order", "session", "lock", "delay", "deadline"];
    assert_eq!(written_now.len(), names.len());
    let mut rows = MemoryStore::default();
    for (name, (key, value)) in names.iter().zip(written_now) {
        let row = [&(key.len() as u64).to_le_bytes()[..], &key[..], &value[..]].concat();
        let row = v1(&format!("row-kv-{name}.bin"), &row);
        let (key, value) = row[8..].split_at(usize::from(row[0]));
        rows.put(key, Bytes::copy_from_slice(value));
    }
    let entry = kv::get(&rows, b"a").unwrap().unwrap();
    assert_eq!((entry.flags, &entry.value[..], entry.session), (7, &b"value"[..], None));
    assert_eq!(entry.expires_ms, Some(1010 + 3_600_000 + 3_600_000 / 64 + 2));
    assert_eq!(kv::get(&rows, b"held").unwrap().unwrap().session, Some(SESSION));
    assert_eq!(kv::tombstone(&rows, b"gone"), Ok(Some(6)));
    assert!(kv::is_delayed(&rows, b"lost").unwrap());
    let session = kv::session(&rows, &SESSION).unwrap().unwrap();
    assert_eq!(session.new, NewSession { behavior: Behavior::Release, ..new_session() });
}

/// Written before clients could put writes under keys.
#[test]
fn v1_meta_without_keys_decodes() {
    let bytes = v1_as_it_stands("state-meta.bin");
    assert_eq!(Meta::decode(&bytes), Ok(example_state().meta));
}
