//! A state that moves: from a checkpoint into a file, from the file into a new state beside the old
//! one, and the switch between the two.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bowline::ids::Id128;
use bowline::storage::snapshot::{
    self, SnapshotEncoder, SnapshotError, SnapshotHeader, SnapshotReader, SnapshotWriter,
};
use bowline::storage::{
    Checkpoint, Manifest, OpenError, Rows, Scrubbed, StateDir, Store, StoreError, StoreErrorKind,
    StoreOptions, Table,
};
use bytes::Bytes;
use proptest::prelude::*;
use tempfile::TempDir;

const NEVER: StoreOptions = StoreOptions {
    checkpoint_bytes: u64::MAX,
    checkpoint_interval: Duration::MAX,
    cache_bytes: 1 << 20,
};

type Row = (Bytes, Bytes);

fn header() -> SnapshotHeader {
    SnapshotHeader {
        cluster: Id128(*b"cluster-cluster-"),
        epoch: 2,
        file: Id128(*b"file-file-file--"),
        applied: 77,
        meta: Bytes::from("meta"),
    }
}

fn row(number: u32, length: usize) -> Row {
    let key = format!("row {number:09}").into_bytes();
    (key.into(), vec![number as u8; length].into())
}

fn write(path: &Path, header: &SnapshotHeader, rows: &[Row]) -> snapshot::SnapshotInfo {
    let mut writer = SnapshotWriter::create(path, header).unwrap();
    rows.iter().for_each(|(key, value)| writer.row(key, value).unwrap());
    writer.finish().unwrap()
}

fn read(path: &Path) -> Result<(SnapshotHeader, Vec<Row>), SnapshotError> {
    let reader = SnapshotReader::open(path)?;
    let header = reader.header().clone();
    Ok((header, reader.collect::<Result<_, _>>()?))
}

#[test]
fn a_snapshot_reads_as_it_was_written() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("snapshot");
    let many: Vec<Row> = (0..5_000).map(|number| row(number, 100)).collect();
    let large = vec![row(1, 0), row(2, 3 << 20), row(3, 1)];
    for rows in [vec![], vec![row(0, 0)], many, large] {
        let info = write(&path, &header(), &rows);
        assert_eq!(read(&path).unwrap(), (header(), rows.clone()));
        assert_eq!(
            (info.rows, info.bytes),
            (rows.len() as u64, fs::metadata(&path).unwrap().len())
        );
        assert_eq!(snapshot::verify(&path).unwrap(), (header(), info));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left behind");
    }
}

#[test]
fn a_snapshot_that_was_not_finished_is_none() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("snapshot");
    let info = write(&path, &header(), &[row(1, 10)]);
    let mut writer = SnapshotWriter::create(&path, &header()).unwrap();
    writer.row(b"key", b"value").unwrap();
    drop(writer);
    assert_eq!(snapshot::verify(&path).unwrap().1, info, "the old one stands");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    let missing = snapshot::verify(&dir.path().join("missing")).unwrap_err();
    assert!(matches!(missing, SnapshotError::Io { .. }), "{missing}");
}

#[test]
fn a_snapshot_with_any_byte_wrong_is_refused() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("snapshot");
    let rows: Vec<Row> = (0..60).map(|number| row(number, 2_000)).collect();
    write(&path, &header(), &rows);
    let whole = fs::read(&path).unwrap();
    let ends = (0..120).chain(whole.len() - 60..whole.len());
    for at in ends.chain((0..whole.len()).step_by(4_999)) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x21;
        fs::write(&path, &damaged).unwrap();
        let error = snapshot::verify(&path).unwrap_err();
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
        match error {
            SnapshotError::Newer { .. } => assert!((8..12).contains(&at)),
            SnapshotError::Damaged { offset, .. } => {
                assert!(offset <= at as u64 && at as u64 - offset < 80_000, "{at}: at {offset}");
            }
            SnapshotError::Io { .. } => panic!("byte {at}: {error}"),
        }
        fs::write(&path, &whole[..at]).unwrap();
        let error = snapshot::verify(&path).unwrap_err();
        assert!(matches!(error, SnapshotError::Damaged { .. }), "cut at {at}: {error}");
    }
    fs::write(&path, [&whole[..], b"x"].concat()).unwrap();
    assert!(snapshot::verify(&path).unwrap_err().to_string().contains("follows"));
}

#[test]
fn chunks_cannot_be_left_out_or_change_places() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("snapshot");
    // Each row fills a chunk.
    let rows: Vec<Row> = (0..4).map(|number| row(number, 70_000)).collect();
    write(&path, &header(), &rows);
    let whole = fs::read(&path).unwrap();
    let chunk = 12 + 8 + 13 + 70_000;
    let start = whole.len() - 52 - 4 * chunk;
    let at = |number: usize| &whole[start + number * chunk..start + (number + 1) * chunk];
    let (before, after) = (&whole[..start], &whole[start + 4 * chunk..]);
    for order in [&[0, 2, 1, 3][..], &[0, 1, 3], &[1, 2, 3], &[0, 1, 1, 2, 3], &[0, 1, 2]] {
        let chunks: Vec<u8> = order.iter().flat_map(|number| at(*number)).copied().collect();
        fs::write(&path, [before, &chunks, after].concat()).unwrap();
        let error = snapshot::verify(&path).unwrap_err();
        assert!(matches!(error, SnapshotError::Damaged { .. }), "{order:?}: {error}");
    }
    let order = [at(0), at(1), at(2), at(3)].concat();
    fs::write(&path, [before, &order, after].concat()).unwrap();
    snapshot::verify(&path).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]

    /// Whatever rows: checkpoint, file, new state, and the same rows again.
    #[test]
    fn a_state_that_moved_is_the_same(
        rows in prop::collection::btree_map(
            prop::collection::vec(1..=255_u8, 1..40),
            prop::collection::vec(any::<u8>(), 0..300),
            0..200,
        ),
        meta in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let dir = TempDir::new().unwrap();
        let (mut store, views, _) =
            Store::open(&dir.path().join("old"), NEVER, Arc::default()).unwrap();
        for (key, value) in &rows {
            store.put(key, Bytes::from(value.clone()));
        }
        store.publish(9, meta.into());
        prop_assert!(views.current().checkpoint().is_none());
        store.checkpoint().unwrap();
        store.put(b"later", Bytes::from("not in it"));
        store.publish(10, Bytes::new());

        let source = views.current().checkpoint().unwrap();
        let Checkpoint { applied, meta } = source.checkpoint().clone();
        prop_assert_eq!(applied, 9);
        let path = dir.path().join("snapshot");
        let mut writer =
            SnapshotWriter::create(&path, &SnapshotHeader { applied, meta, ..header() }).unwrap();
        for row in source.rows() {
            let (key, value) = row.unwrap();
            writer.row(&key, &value).unwrap();
        }
        prop_assert_eq!(writer.finish().unwrap().rows, rows.len() as u64);

        let reader = SnapshotReader::open(&path).unwrap();
        let header = reader.header().clone();
        let checkpoint = Checkpoint { applied: header.applied, meta: header.meta };
        let new = dir.path().join("new");
        Store::build(&new, NEVER, &checkpoint, reader.map(Result::unwrap).map(Ok::<_, StoreError>))
            .unwrap();
        let (_store, views, opened) = Store::open(&new, NEVER, Arc::default()).unwrap();
        prop_assert_eq!(opened, Some(checkpoint));
        let moved = all(&views.current());
        prop_assert!(moved.iter().map(|(key, value)| (&key[..], &value[..])).eq(
            rows.iter().map(|(key, value)| (&key[..], &value[..]))
        ));
    }
}

fn all(rows: &impl Rows) -> Vec<Row> {
    let mut found = Vec::new();
    rows.scan(b"", None, &mut |key, value| {
        found.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
        true
    })
    .unwrap();
    found
}

/// A state of some rows, all with one value.
fn build(dir: &Path, applied: u64, value: &'static str) {
    let rows = (0..100).map(|number| Ok::<_, StoreError>((row(number, 0).0, value.into())));
    Store::build(dir, NEVER, &Checkpoint { applied, meta: value.into() }, rows).unwrap();
}

/// Index and value of the state in a directory, which is whole.
fn found(dir: &Path) -> (u64, Bytes) {
    let (_store, views, checkpoint) = Store::open(dir, NEVER, Arc::default()).unwrap();
    let rows = all(&views.current());
    let checkpoint = checkpoint.unwrap();
    assert!(rows.len() == 100 && rows.iter().all(|(_, value)| *value == checkpoint.meta));
    (checkpoint.applied, checkpoint.meta)
}

#[test]
fn readers_go_over_to_the_new_state() {
    let dir = TempDir::new().unwrap();
    let mut states = StateDir::open(dir.path()).unwrap();
    build(&states.current(), 5, "old");
    let (store, views, _) = Store::open(&states.current(), NEVER, Arc::default()).unwrap();
    let reader = views.current();

    let staged = states.stage().unwrap();
    build(&staged, 8, "new");
    store.close().unwrap();
    states.adopt(&staged, None).unwrap();
    let (mut store, checkpoint) =
        Store::open_in(&states.current(), NEVER, Arc::default(), views.clone()).unwrap();
    assert_eq!(checkpoint.unwrap().applied, 8);
    assert_eq!(views.current().applied(), 8);
    assert!(all(&views.current()).iter().all(|(_, value)| value == "new"));
    store.put(b"row", Bytes::from("row"));
    store.publish(9, Bytes::new());
    assert_eq!(all(&views.current()).len(), 101);

    assert_eq!(states.remove_unused().unwrap(), 1, "the old one is being read");
    assert!(all(&reader).iter().all(|(_, value)| value == "old"), "all of it is still there");
    drop(reader);
    assert_eq!(states.remove_unused().unwrap(), 0);
    assert!(!dir.path().join("state").exists());
    drop(store);
}

/// Every state that the data directory goes through, as copies.
struct Steps(Vec<PathBuf>, TempDir);

impl Steps {
    fn take(&mut self, data: &Path) {
        let path = self.1.path().join(self.0.len().to_string());
        copy(data, &path);
        self.0.push(path);
    }
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

#[test]
fn a_crash_anywhere_leaves_the_old_state_or_the_new() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data");
    fs::create_dir(&data).unwrap();
    let mut steps = Steps(Vec::new(), TempDir::new().unwrap());
    let mut states = StateDir::open(&data).unwrap();
    build(&states.current(), 5, "old");
    steps.take(&data);
    states.set_lost("for a test").unwrap();
    steps.take(&data);
    let staged = states.stage().unwrap();
    let checkpoint = Checkpoint { applied: 8, meta: Bytes::from("new") };
    let rows = (0..100).map(|number| {
        if number % 40 == 0 {
            steps.take(&data);
        }
        Ok::<_, StoreError>((row(number, 0).0, Bytes::from("new")))
    });
    Store::build(&staged, NEVER, &checkpoint, rows).unwrap();
    steps.take(&data);
    // What a crash leaves of the writing of the manifest.
    fs::write(data.join("state.manifest.tmp"), "half").unwrap();
    steps.take(&data);
    let switched = steps.0.len();
    states.adopt(&staged, Some((8, 2))).unwrap();
    steps.take(&data);
    states.restart_done().unwrap();
    steps.take(&data);
    fs::remove_file(data.join("state/version")).unwrap();
    fs::remove_file(data.join("state/lock")).unwrap();
    steps.take(&data);
    assert_eq!(states.remove_unused().unwrap(), 0);
    steps.take(&data);

    for (number, path) in steps.0.iter().enumerate() {
        let mut states = StateDir::open(path).unwrap();
        let new = number >= switched;
        let expected = if new { (8, Bytes::from("new")) } else { (5, Bytes::from("old")) };
        assert_eq!(found(&states.current()), expected, "step {number}");
        assert_eq!(states.lost().is_some(), number > 0 && !new, "step {number}");
        let restart = (number == switched).then_some((8, 2));
        assert_eq!(states.pending_restart(), restart, "step {number}");
        assert_eq!(states.remove_unused().unwrap(), 0);
        let left = fs::read_dir(path).unwrap().filter(|entry| {
            entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("state")
                && entry.as_ref().unwrap().path().is_dir()
        });
        assert_eq!(left.count(), 1, "step {number}: only the state that counts is left");
        let staged = states.stage().unwrap();
        assert!(!staged.exists() && staged != states.current());
    }
}

#[test]
fn a_manifest_that_is_damaged_or_missing_loses_the_state_and_nothing_else() {
    let dir = TempDir::new().unwrap();
    let mut states = StateDir::open(dir.path()).unwrap();
    build(&states.current(), 5, "old");
    let staged = states.stage().unwrap();
    build(&staged, 8, "new");
    states.adopt(&staged, None).unwrap();
    let path = dir.path().join("state.manifest");
    let whole = fs::read(&path).unwrap();

    fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    let states = StateDir::open(dir.path()).unwrap();
    let why = states.lost().unwrap().to_owned();
    assert!(why.contains("state.manifest") && why.contains("checksum"), "{why}");
    assert!(!states.current().exists());
    assert_eq!(states.remove_unused().unwrap(), 0);
    let again = StateDir::open(dir.path()).unwrap();
    assert_eq!((again.current(), again.lost()), (states.current(), Some(&why[..])));
    assert_eq!(found(&staged), (8, Bytes::from("new")), "nothing was taken away");

    fs::remove_dir_all(dir.path().join("state")).unwrap();
    fs::remove_file(&path).unwrap();
    let mut states = StateDir::open(dir.path()).unwrap();
    assert!(states.lost().unwrap().contains("missing"));
    let next = states.stage().unwrap();
    build(&next, 9, "fetched");
    states.adopt(&next, None).unwrap();
    assert_eq!(states.lost(), None);
    states.remove_unused().unwrap();
    assert_eq!(found(&StateDir::open(dir.path()).unwrap().current()), (9, Bytes::from("fetched")));

    let mut newer = whole;
    newer[8] = 9;
    fs::write(&path, newer).unwrap();
    assert!(matches!(StateDir::open(dir.path()), Err(OpenError::Newer { found: 9, .. })));
}

#[test]
fn a_manifest_with_any_byte_wrong_is_refused() {
    let manifest = Manifest {
        number: 3,
        lost: Some("its digest differs".to_owned()),
        restart: Some((70_000, 9)),
    };
    let bytes = manifest.encode();
    let path = Path::new("state.manifest");
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x40;
        assert!(Manifest::decode(&damaged, path).is_err(), "byte {at}");
        assert!(Manifest::decode(&bytes[..at], path).is_err(), "cut at {at}");
    }
    assert_eq!(Manifest::decode(&bytes, path).unwrap(), manifest);
}

/// All files of tables of the state itself.
fn tables(state: &Path) -> Vec<PathBuf> {
    let tables = fs::read_dir(state.join("keyspaces/1/tables")).unwrap();
    tables.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_scrub_reads_what_is_on_the_disk() {
    let dir = TempDir::new().unwrap();
    build(dir.path(), 5, "value");
    let (_store, views, _) = Store::open(dir.path(), NEVER, Arc::default()).unwrap();
    let checkpoint = views.current().checkpoint().unwrap();
    let stop = AtomicBool::new(false);
    let scrub = || {
        let mut rows = 0;
        checkpoint.scrub(1 << 30, &stop, &mut |_, _| rows += 1).map(|scrubbed| (scrubbed, rows))
    };
    let files = tables(dir.path());
    let bytes = files.iter().map(|file| fs::metadata(file).unwrap().len()).sum();
    // From now on every row is in memory.
    assert_eq!(scrub().unwrap(), (Scrubbed::Whole { bytes, rows: 100 }, 100));
    for file in files {
        let whole = fs::read(&file).unwrap();
        for at in [0, whole.len() / 2, whole.len() - 1] {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            fs::write(&file, damaged).unwrap();
            let error = scrub().unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Damaged);
            assert!(error.to_string().contains(&file.display().to_string()), "{error}");
        }
        fs::write(&file, whole).unwrap();
    }
    scrub().unwrap();
    stop.store(true, Ordering::Relaxed);
    assert_eq!(scrub().unwrap().0, Scrubbed::Stopped);
}

#[test]
fn a_state_is_not_built_from_half_of_the_rows() {
    let dir = TempDir::new().unwrap();
    let checkpoint = Checkpoint { applied: 5, meta: Bytes::new() };
    let broken = StoreError::damaged("the source broke");
    let rows = (0..1000).map(|number| {
        if number < 900 { Ok((row(number, 100).0, Bytes::new())) } else { Err(broken.clone()) }
    });
    let state = dir.path().join("state");
    assert_eq!(Store::build(&state, NEVER, &checkpoint, rows), Err(broken.clone()));
    assert_eq!(tables(&state), [] as [PathBuf; 0], "nor is anything of it left");
    let (_store, views, checkpoint) = Store::open(&state, NEVER, Arc::default()).unwrap();
    assert_eq!((checkpoint, all(&views.current())), (None, vec![]));
}

#[test]
fn a_snapshot_needs_no_file() {
    let rows: Vec<Row> = (0..3_000).map(|number| row(number, 100)).collect();
    let mut encoder = SnapshotEncoder::new(&header());
    let mut bytes = Vec::new();
    for (key, value) in &rows {
        encoder.row(key, value);
        bytes.extend(encoder.take());
    }
    let made = encoder.bytes();
    assert_eq!(made, bytes.len() as u64);
    let (rest, info) = encoder.finish();
    bytes.extend(rest);
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("snapshot");
    assert_eq!(write(&path, &header(), &rows), info);
    assert_eq!(fs::read(&path).unwrap(), bytes, "the same bytes as in a file");

    let name = Path::new("it");
    let mut reader = SnapshotReader::over(&bytes[..], name).unwrap();
    let found: Vec<Row> = reader.by_ref().collect::<Result<_, _>>().unwrap();
    assert_eq!((found, reader.info()), (rows, Some(info)));
    for cut in [0, 10, 70, 80, bytes.len() / 2, bytes.len() - 1] {
        let read = SnapshotReader::over(&bytes[..cut], name);
        let error = read.and_then(|reader| reader.collect::<Result<Vec<_>, _>>()).unwrap_err();
        assert!(matches!(error, SnapshotError::Damaged { .. }), "cut at {cut}: {error}");
    }
}

#[test]
fn a_state_that_was_built_elsewhere_moves_in_and_leaves_one_that_is_being_built_alone() {
    let dir = TempDir::new().unwrap();
    let mut states = StateDir::open(dir.path()).unwrap();
    build(&states.current(), 5, "old");
    let staged = states.stage().unwrap();
    build(&staged, 9, "fetched");
    let elsewhere = dir.path().join("elsewhere");
    build(&elsewhere, 0, "restored");
    let checkpoint = Checkpoint { applied: 8, meta: Bytes::from("restored") };
    Store::relabel(&elsewhere, NEVER, &checkpoint).unwrap();
    let moved = states.adopt(&elsewhere, Some((3, 1))).unwrap();
    assert_eq!((moved.clone(), states.pending_restart()), (states.current(), Some((3, 1))));
    assert!(!elsewhere.exists() && moved != staged);
    assert_eq!(found(&states.current()), (8, Bytes::from("restored")));

    states.remove_unused().unwrap();
    assert!(staged.exists() && !dir.path().join("state").exists());
    let moved = states.adopt(&staged, None).unwrap();
    assert_eq!(moved, states.current());
    assert_eq!(found(&states.current()), (9, Bytes::from("fetched")));
    states.remove_unused().unwrap();
    assert_eq!(found(&StateDir::open(dir.path()).unwrap().current()).0, 9);
}

#[test]
fn what_was_begun_and_forgotten_is_taken_away_when_the_next_is_staged() {
    let dir = TempDir::new().unwrap();
    let mut states = StateDir::open(dir.path()).unwrap();
    build(&states.current(), 5, "old");
    let forgotten = states.stage().unwrap();
    build(&forgotten, 9, "fetched");
    let elsewhere = dir.path().join("elsewhere");
    build(&elsewhere, 8, "restored");
    states.adopt(&elsewhere, None).unwrap();
    let next = states.stage().unwrap();
    assert_ne!(next, forgotten);
    states.remove_unused().unwrap();
    assert!(!forgotten.exists());
}
