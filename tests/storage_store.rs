//! The two-layer state on real files: views, checkpoints, restarts.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bowline::metrics::Metrics;
use bowline::storage::{
    Checkpoint, KEY_BYTES_MAX, MemoryStore, Rows, Store, StoreError, StoreErrorKind, StoreOptions,
    Table, View, Views,
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

/// How many places of a file are damaged, one at a time, at most.
const STEPS: usize = 60;

type AllRows = Vec<(Vec<u8>, Vec<u8>)>;
type Opened = (Store, Views, Option<Checkpoint>);

fn open(dir: &Path, options: StoreOptions) -> Result<Opened, StoreError> {
    Store::open(dir, options, Arc::default())
}

/// Begins a checkpoint if one is due, as the applier does.
fn maintain(store: &mut Store) {
    if store.maintain().unwrap() {
        let meta = store.published_meta();
        store.begin_checkpoint(meta);
    }
}

fn rows(rows: &impl Rows, from: &[u8], to: Option<&[u8]>) -> AllRows {
    let mut found = Vec::new();
    rows.scan(from, to, &mut |key, value| {
        found.push((key.to_vec(), value.to_vec()));
        true
    })
    .unwrap();
    found
}

fn all(table: &impl Rows) -> AllRows {
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

#[test]
fn the_meta_row_is_no_row() {
    let dir = TempDir::new().unwrap();
    let (mut store, views, _) = open(dir.path(), NEVER).unwrap();
    store.publish(1, Bytes::from("meta"));
    store.checkpoint().unwrap();
    put(&mut store, "\u{1}", "first");
    store.publish(2, Bytes::from("meta"));
    store.checkpoint().unwrap();
    let view = views.current();
    assert_eq!(all(&view), [(b"\x01".to_vec(), b"first".to_vec())]);
    assert_eq!(rows(&view, b"\0", Some(b"\x01")), []);
}

#[test]
fn what_is_longer_than_any_key_is_not_there_and_can_be_looked_for() {
    let dir = TempDir::new().unwrap();
    let (mut store, views, _) = open(dir.path(), NEVER).unwrap();
    put(&mut store, "k", "shorter");
    put(&mut store, "l", "behind");
    store.publish(1, Bytes::new());
    store.begin_checkpoint(Bytes::new());
    store.close().unwrap();
    drop(views);
    let (_store, views, _) = open(dir.path(), NEVER).unwrap();
    let view = views.current();
    for len in [KEY_BYTES_MAX, KEY_BYTES_MAX + 1, 65_535, 65_536, 1 << 20] {
        let long = vec![b'k'; len];
        assert_eq!(view.get(&long), Ok(None), "{len}");
        let behind = rows(&view, &long, None);
        assert_eq!(behind, [(b"l".to_vec(), b"behind".to_vec())], "{len}");
    }
}

#[test]
fn a_store_checkpoints_by_bytes_and_by_time() {
    let dir = TempDir::new().unwrap();
    let metrics = Arc::new(Metrics::default());
    let small = StoreOptions { checkpoint_bytes: 1, ..NEVER };
    let (mut store, _, _) = Store::open(dir.path(), small, Arc::clone(&metrics)).unwrap();
    for applied in 1..=20 {
        put(&mut store, "key", "a value that is larger than the limit");
        store.publish(applied, Bytes::new());
        maintain(&mut store);
    }
    assert!(
        metrics.apply_pauses.get() > 0,
        "four times the limit behind a running one is too much"
    );
    assert!(metrics.checkpoints.get() > 0 && store.durable_checkpoint() > 0);
    store.close().unwrap();
    assert_eq!(metrics.checkpoints.get(), metrics.checkpoint_time.read().1);

    let quick = StoreOptions { checkpoint_interval: Duration::ZERO, ..NEVER };
    let (mut store, _, checkpoint) = open(dir.path(), quick).unwrap();
    let old = checkpoint.unwrap().applied;
    put(&mut store, "key", "value");
    store.publish(old + 1, Bytes::new());
    maintain(&mut store);
    store.close().unwrap();
    let (_store, _views, checkpoint) = open(dir.path(), NEVER).unwrap();
    assert_eq!(checkpoint.unwrap().applied, old + 1);
}

#[test]
fn two_stores_cannot_share_a_directory() {
    let dir = TempDir::new().unwrap();
    let _first = open(dir.path(), NEVER).unwrap();
    let error = open(dir.path(), NEVER).err().unwrap().to_string();
    assert!(error.contains("in use by another"), "{error}");
}

/// Counts up in two rows and in the meta row, so that any mixture of states shows.
fn count_up(store: &mut Store, applied: u64) {
    let text = Bytes::from(applied.to_string());
    store.put(b"left", text.clone());
    store.put(format!("row {applied:09}").as_bytes(), Bytes::from(vec![b'x'; 50]));
    if applied > 20 {
        store.delete(format!("row {:09}", applied - 20).as_bytes());
    }
    store.put(b"right", text.clone());
    store.publish(applied, text);
}

/// Checks that a view is the state as of one index, and returns the index.
fn check_count(view: &View) -> u64 {
    let applied = view.applied();
    if applied > 0 {
        let text = applied.to_string();
        assert_eq!(view.meta(), text.as_bytes());
        assert_eq!(value(view, "left"), Some(text.clone()));
        assert_eq!(value(view, "right"), Some(text));
    }
    let first = applied.saturating_sub(19).max(1);
    let expected = (first..=applied).map(|index| format!("row {index:09}").into_bytes());
    let found = rows(view, b"row ", Some(b"row!")).into_iter().map(|(key, _)| key);
    assert!(found.eq(expected), "rows as of {applied}");
    applied
}

#[test]
fn readers_see_whole_states_while_the_applier_writes() {
    let dir = TempDir::new().unwrap();
    let small = StoreOptions { checkpoint_bytes: 20_000, ..NEVER };
    let (mut store, views, _) = open(dir.path(), small).unwrap();
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let views = views.clone();
            std::thread::spawn(move || {
                let mut last = 0;
                while last < 1000 {
                    let now = check_count(&views.current());
                    assert!(now >= last, "a view never goes back");
                    last = now;
                }
            })
        })
        .collect();
    for applied in 1..=1000 {
        count_up(&mut store, applied);
        maintain(&mut store);
    }
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    assert!(store.durable_checkpoint() > 0);
    store.close().unwrap();
}

/// All files below a directory that are not empty.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if fs::metadata(&path).unwrap().len() > 0 {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else if entry.path().extension().is_some_and(|it| it == "jnl") {
            // 64 MiB without a single byte.
            let length = entry.metadata().unwrap().len();
            fs::File::create(target).unwrap().set_len(length).unwrap();
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A closed state of 200 steps in two runs, and its rows.
fn sample(dir: &Path) -> AllRows {
    let (mut store, views, _) = open(dir, NEVER).unwrap();
    (1..=100).for_each(|applied| count_up(&mut store, applied));
    store.checkpoint().unwrap();
    (101..=200).for_each(|applied| count_up(&mut store, applied));
    store.checkpoint().unwrap();
    store.close().unwrap();
    all(&views.current())
}

/// What is read from a state of which one byte of one file is wrong.
fn read_damaged(dir: &Path, file: &Path, at: usize, wrong: u8) -> Result<AllRows, StoreError> {
    let copied = TempDir::new().unwrap();
    copy(dir, copied.path());
    let path = copied.path().join(file.strip_prefix(dir).unwrap());
    let mut bytes = fs::read(&path).unwrap();
    bytes[at] ^= wrong;
    fs::write(&path, bytes).unwrap();
    let found = read_all(copied.path());
    if let Err(error) = &found {
        assert_eq!(error.to_string().lines().count(), 1, "{error}");
        assert!(error.to_string().contains(&copied.path().display().to_string()), "{error}");
    }
    found
}

#[test]
fn a_damaged_checkpoint_is_an_error_or_reads_right() {
    let dir = TempDir::new().unwrap();
    let expected = sample(dir.path());
    let mut refused = 0;
    for file in files(dir.path()) {
        let length = fs::metadata(&file).unwrap().len() as usize;
        // fjall's own journal: zeros, for ever.
        let steps = if file.extension().is_some_and(|it| it == "jnl") { 2 } else { STEPS };
        for at in (0..length).step_by(length.div_ceil(steps)) {
            match read_damaged(dir.path(), &file, at, 0x10) {
                Ok(found) => assert!(found == expected, "{file:?} at {at}"),
                Err(error) => {
                    let newer = file.ends_with("version") && at == 3;
                    let kind = if newer { StoreErrorKind::Newer } else { StoreErrorKind::Damaged };
                    assert_eq!(error.kind(), kind, "{file:?} at {at}: {error}");
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 200, "nearly all damage is noticed: {refused}");
}

#[test]
fn a_checkpoint_without_one_of_its_files_is_damaged() {
    let dir = TempDir::new().unwrap();
    let expected = sample(dir.path());
    for file in files(dir.path()) {
        let copied = TempDir::new().unwrap();
        copy(dir.path(), copied.path());
        fs::remove_file(copied.path().join(file.strip_prefix(dir.path()).unwrap())).unwrap();
        match read_all(copied.path()) {
            Ok(found) => assert!(found == expected, "{file:?}"),
            Err(error) => assert_eq!(error.kind(), StoreErrorKind::Damaged, "{file:?}: {error}"),
        }
        // Nothing was made anew where something was missing.
        let again = read_all(copied.path());
        assert!(again.is_err() || again.as_ref() == Ok(&expected), "{file:?}");
    }
}

fn read_all(dir: &Path) -> Result<AllRows, StoreError> {
    let (_store, views, checkpoint) = open(dir, NEVER)?;
    let mut found = Vec::new();
    views.current().scan(b"", None, &mut |key, value| {
        found.push((key.to_vec(), value.to_vec()));
        true
    })?;
    assert!(checkpoint.is_some() || found.is_empty());
    Ok(found)
}

/// What the applier can do, in any order.
#[derive(Clone, Debug)]
enum Step {
    Put(u8, u8),
    Delete(u8),
    Publish,
    Checkpoint,
    Maintain,
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1..12_u8, any::<u8>()).prop_map(|(key, value)| Step::Put(key, value)),
        3 => (1..12_u8).prop_map(Step::Delete),
        3 => Just(Step::Publish),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Maintain),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(32) })]

    /// Against a table that is simply a map: what is read now, in every view ever taken, and after
    /// each restart.
    #[test]
    fn a_store_is_a_table(steps in steps()) {
        let dir = TempDir::new().unwrap();
        let small = StoreOptions { checkpoint_bytes: 1000, ..NEVER };
        let (mut store, mut views, _) = open(dir.path(), small).unwrap();
        let mut model = MemoryStore::default();
        let mut published = vec![model.clone()];
        let mut held: Vec<(View, usize)> = Vec::new();
        for step in steps {
            match step {
                Step::Put(key, value) => {
                    store.put(&[key], Bytes::from(vec![value; 20]));
                    model.put(&[key], Bytes::from(vec![value; 20]));
                }
                Step::Delete(key) => {
                    store.delete(&[key]);
                    model.delete(&[key]);
                }
                Step::Publish | Step::Checkpoint | Step::Maintain => {
                    store.publish(published.len() as u64, Bytes::new());
                    published.push(model.clone());
                    held.push((views.current(), published.len() - 1));
                    match step {
                        Step::Checkpoint => store.checkpoint().unwrap(),
                        Step::Maintain => maintain(&mut store),
                        _ => {}
                    }
                }
                Step::Restart => {
                    store.close().unwrap();
                    held.clear();
                    drop(views);
                    let opened = open(dir.path(), small).unwrap();
                    let at = opened.2.map_or(0, |checkpoint| checkpoint.applied as usize);
                    (store, views) = (opened.0, opened.1);
                    published.truncate(at + 1);
                    model = published[at].clone();
                }
            }
            prop_assert_eq!(all(&store), all(&model));
            for key in 0..12 {
                prop_assert_eq!(store.get(&[key]).unwrap(), model.get(&[key]).unwrap());
            }
        }
        for (view, at) in &held {
            prop_assert_eq!(view.applied(), *at as u64);
            prop_assert_eq!(all(view), all(&published[*at]));
            prop_assert_eq!(rows(view, &[3], Some(&[9])), rows(&published[*at], &[3], Some(&[9])));
            let key = [(*at % 12) as u8];
            prop_assert_eq!(view.get(&key).unwrap(), published[*at].get(&key).unwrap());
        }
    }
}

/// Says to this very binary that it is the child of the test below, and where to write.
const CHILD: &str = "BOWLINE_TEST_STORE_CHILD";

/// Run by the test below in a process of its own, until it is killed.
#[test]
fn child_that_checkpoints_for_ever() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let small = StoreOptions { checkpoint_bytes: 5_000, ..NEVER };
    let (mut store, views, _) = open(Path::new(&dir), small).unwrap();
    for applied in check_count(&views.current()) + 1.. {
        count_up(&mut store, applied);
        maintain(&mut store);
        if applied.is_multiple_of(10) {
            println!("durable {}", store.durable_checkpoint());
        }
    }
}

#[test]
fn a_process_that_is_killed_anywhere_leaves_a_whole_checkpoint() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    let dir = TempDir::new().unwrap();
    let mut durable = 0;
    for round in 1..=8 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_checkpoints_for_ever", "--nocapture"])
            .env(CHILD, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let reports = lines.map_while(Result::ok).filter_map(|line| {
            line.strip_prefix("durable ").and_then(|number| number.parse::<u64>().ok())
        });
        // After another number of lines each time, so that it dies in another place.
        for report in reports.take(23 + 7 * round) {
            durable = durable.max(report);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let (_store, views, checkpoint) = open(dir.path(), NEVER).unwrap();
        let found = check_count(&views.current());
        assert_eq!(checkpoint.map_or(0, |checkpoint| checkpoint.applied), found);
        assert!(found >= durable, "what was reported durable is there");
    }
    assert!(durable > 0, "some checkpoints were made");
}
