//! The two-layer state on real files: views, checkpoints, restarts.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bowline::metrics::Metrics;
use bowline::storage::{
    Checkpoint, MemoryStore, Rows, Store, StoreError, StoreOptions, Table, View, Views,
};
use bytes::Bytes;
use proptest::prelude::*;
use tempfile::TempDir;

/// Checkpoints only when a test asks for one.
const NEVER: StoreOptions = StoreOptions {
    checkpoint_bytes: u64::MAX,
    checkpoint_interval: Duration::MAX,
    cache_bytes: 1 << 20,
};

type Opened = (Store, Views, Option<Checkpoint>);

fn open(dir: &Path, options: StoreOptions) -> Result<Opened, StoreError> {
    Store::open(dir, options, Arc::default())
}

fn rows(rows: &impl Rows, from: &[u8], to: Option<&[u8]>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut found = Vec::new();
    rows.scan(from, to, &mut |key, value| {
        found.push((key.to_vec(), value.to_vec()));
        true
    })
    .unwrap();
    found
}

fn all(table: &impl Rows) -> Vec<(Vec<u8>, Vec<u8>)> {
    rows(table, b"", None)
}

fn put(table: &mut impl Table, key: &'static str, value: &'static str) {
    table.put(key.as_bytes(), Bytes::from_static(value.as_bytes()));
}

fn value(rows: &impl Rows, key: &str) -> Option<String> {
    let value = rows.get(key.as_bytes()).unwrap()?;
    Some(String::from_utf8(value.to_vec()).unwrap())
}

#[test]
fn a_view_never_changes() {
    let dir = TempDir::new().unwrap();
    let (mut store, views, checkpoint) = open(dir.path(), NEVER).unwrap();
    assert_eq!(checkpoint, None);
    put(&mut store, "a", "one");
    put(&mut store, "b", "two");
    assert_eq!(value(&store, "a").as_deref(), Some("one"), "the applier sees its own writes");
    assert_eq!(value(&views.current(), "a"), None, "nobody else does yet");
    store.publish(1, Bytes::from("meta 1"));
    let first = views.current();
    put(&mut store, "a", "uno");
    store.delete(b"b");
    put(&mut store, "c", "three");
    store.publish(2, Bytes::from("meta 2"));
    store.checkpoint().unwrap();
    put(&mut store, "a", "un");
    store.publish(3, Bytes::from("meta 3"));
    let third = views.current();
    store.checkpoint().unwrap();

    let pairs = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect::<Vec<_>>()
    };
    assert_eq!((first.applied(), &first.meta()[..]), (1, &b"meta 1"[..]));
    assert_eq!(all(&first), pairs(&[("a", "one"), ("b", "two")]));
    assert_eq!((third.applied(), &third.meta()[..]), (3, &b"meta 3"[..]));
    assert_eq!(all(&third), pairs(&[("a", "un"), ("c", "three")]));
    assert_eq!(value(&third, "b"), None);
    assert_eq!(all(&views.current()), all(&third));
    assert_eq!(rows(&third, b"a\0", Some(b"c")), []);
    assert_eq!(rows(&third, b"c", Some(b"a")), []);
}

#[test]
fn a_restart_finds_the_last_checkpoint_whole() {
    let dir = TempDir::new().unwrap();
    let (mut store, views, _) = open(dir.path(), NEVER).unwrap();
    put(&mut store, "kept", "1");
    put(&mut store, "gone", "1");
    store.publish(7, Bytes::from("seven"));
    assert_eq!(store.durable_checkpoint(), 0);
    store.checkpoint().unwrap();
    assert_eq!(store.durable_checkpoint(), 7);
    store.delete(b"gone");
    store.publish(8, Bytes::from("eight"));
    store.checkpoint().unwrap();
    put(&mut store, "late", "1");
    store.publish(9, Bytes::from("nine"));
    store.close().unwrap();
    drop(views);

    let (store, views, checkpoint) = open(dir.path(), NEVER).unwrap();
    assert_eq!(checkpoint, Some(Checkpoint { applied: 8, meta: Bytes::from("eight") }));
    assert_eq!(store.durable_checkpoint(), 0, "this process saw no sync yet");
    let view = views.current();
    assert_eq!((view.applied(), &view.meta()[..]), (8, &b"eight"[..]));
    assert_eq!(all(&view), [(b"kept".to_vec(), b"1".to_vec())]);
}
