//! What is so after every command, whatever it was: seen from the rows alone.

use std::collections::BTreeSet;

use super::super::rows;
use super::*;
use crate::state::deadlines::{self, Mortal};
use crate::state::{Meta, Standing, row_key, table};
use crate::storage::Rows;

/// Keys and values of a table's rows.
fn table_rows(state: &State<MemoryStore>, table: u8) -> Vec<(Bytes, Bytes)> {
    let mut rows = Vec::new();
    let visit = &mut |key: &[u8], value: &[u8]| {
        rows.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
        true
    };
    state.table().scan(&[table], Some(&[table + 1]), visit).unwrap();
    rows
}

/// The row keys of a table.
fn row_keys(state: &State<MemoryStore>, table: u8) -> BTreeSet<Vec<u8>> {
    table_rows(state, table).into_iter().map(|(key, _)| key.to_vec()).collect()
}

/// All keys.
pub fn entries(state: &State<MemoryStore>) -> Vec<Entry> {
    let mut entries = Vec::new();
    scan(state.table(), b"", None, &mut |entry| {
        entries.push(entry);
        true
    })
    .unwrap();
    entries
}

/// Which keys' locks are delayed, and until when.
pub fn delays(state: &State<MemoryStore>) -> Vec<(Bytes, u64)> {
    let before_key = row_key(table::DELAYS, &[]).len();
    let delay = |(key, value): (Bytes, Bytes)| {
        assert!(is_delayed(state.table(), &key[before_key..]).unwrap());
        (key.slice(before_key..), u64::from_le_bytes(value[1..].try_into().unwrap()))
    };
    table_rows(state, table::DELAYS).into_iter().map(delay).collect()
}

/// The keys that are gone, and the revisions that removed them.
pub fn marks(state: &State<MemoryStore>) -> Vec<(Bytes, u64)> {
    let mut marks = Vec::new();
    scan_tombstones(state.table(), b"", None, &mut |key, revision| {
        marks.push((Bytes::copy_from_slice(key), revision));
        true
    })
    .unwrap();
    marks
}

/// Panics when anything is not as it must be.
pub fn check(state: &State<MemoryStore>) {
    let summary = state.summary();
    assert_eq!(state.computed_rows_digest(), Ok(summary.rows_digest));
    let (entries, sessions) = (entries(state), sessions(state.table()).unwrap());
    check_locks(state, &entries, &sessions);
    check_deadlines(state, &entries, &sessions);
    check_marks(state);
    let kv = state.meta().kv;
    assert_eq!((kv.keys, kv.open_sessions), (entries.len() as u64, sessions.len() as u64));
    assert!(kv.is_sound(summary.revision), "{kv:?}");
    let highest = entries.iter().map(|entry| entry.modify).max().unwrap_or(0);
    assert!(highest <= kv.last);
    assert!(sessions.iter().all(|session| session.modify <= kv.sessions));
    let standing = Standing::of(state.meta());
    assert_eq!(Standing::decode(&state.standing_bytes()), Ok(standing));
    assert_eq!(Meta::decode(&state.meta_bytes()).as_ref(), Ok(state.meta()));
}

fn check_locks(state: &State<MemoryStore>, entries: &[Entry], sessions: &[Session]) {
    let holders = entries.iter().filter_map(|entry| Some((entry.session?, &entry.key)));
    let expected: BTreeSet<_> =
        holders.clone().map(|(session, key)| rows::lock_row(&session, key)).collect();
    assert_eq!(row_keys(state, table::LOCKS), expected, "locks");
    let open: BTreeSet<_> = sessions.iter().map(|session| session.new.id).collect();
    assert!(holders.clone().all(|(session, _)| open.contains(&session)), "who holds, is there");
    let delayed: BTreeSet<_> = delays(state).into_iter().map(|(key, _)| key).collect();
    assert!(holders.clone().all(|(_, key)| !delayed.contains(key)), "who holds, is not delayed");
}

fn check_deadlines(state: &State<MemoryStore>, entries: &[Entry], sessions: &[Session]) {
    let of_keys =
        entries.iter().filter_map(|it| Some((it.expires_ms?, Mortal::Key(it.key.clone()))));
    let of_sessions =
        sessions.iter().filter_map(|it| Some((it.expires_ms?, Mortal::Session(it.new.id))));
    let of_delays = delays(state).into_iter().map(|(key, until)| (until, Mortal::Delay(key)));
    let all: Vec<_> = of_keys.chain(of_sessions).chain(of_delays).collect();
    let expected: BTreeSet<_> = all.iter().map(|(at, what)| deadlines::row(*at, what)).collect();
    assert_eq!(row_keys(state, table::DEADLINES), expected, "deadlines");
    for row in &expected {
        assert!(all.contains(&deadlines::decode(row).unwrap()));
    }
    let first = all.iter().map(|(at, _)| *at).min().unwrap_or(u64::MAX);
    assert!(state.meta().kv.earliest_ms <= first, "something ends before the earliest");
}

fn check_marks(state: &State<MemoryStore>) {
    let kv = state.meta().kv;
    let mut places = Vec::new();
    for (row, value) in table_rows(state, table::MARK_ORDER) {
        let number = u64::from_be_bytes(*row.last_chunk().unwrap());
        let (revision, key) = rows::decode_mark_order(number, &value).unwrap();
        places.push((number, revision, key));
    }
    let numbers: Vec<_> = places.iter().map(|(number, _, _)| *number).collect();
    assert_eq!(numbers, (kv.oldest_mark..kv.next_mark).collect::<Vec<_>>(), "no place is left out");
    assert!(places.is_sorted_by_key(|(_, revision, _)| *revision), "the oldest come first");
    for (number, revision, _) in &places {
        assert!(*number >= kv.keep_marks_from || *revision <= kv.reaped);
    }
    for (key, revision) in marks(state) {
        assert_eq!(get(state.table(), &key), Ok(None), "a key that is there has no mark");
        assert_eq!(tombstone(state.table(), &key), Ok(Some(revision)));
        let row = state.table().get(&rows::mark_row(&key)).unwrap().unwrap();
        let (_, number) = rows::decode_mark(&key, &row).unwrap();
        assert!(places.contains(&(number, revision, key)), "a mark has its place");
    }
}
