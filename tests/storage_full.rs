//! The state on a disk that is full for a while: nothing fails, nothing is lost, and it goes on by
//! itself.
//!
//! Needs to mount a small file system in memory; where that is not allowed the tests say so and pass.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may")]

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bowline::metrics::Metrics;
use bowline::storage::snapshot::{SnapshotHeader, SnapshotWriter};
use bowline::storage::{Checkpoint, Rows, Store, StoreError, StoreErrorKind, StoreOptions, Table};
use bytes::Bytes;
use tempfile::TempDir;

const NEVER: StoreOptions = StoreOptions {
    checkpoint_bytes: u64::MAX,
    checkpoint_interval: Duration::MAX,
    cache_bytes: 1 << 20,
};
/// Long enough for any machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A file system of its own.
struct Mount(TempDir);

impl Mount {
    /// None, with a loud word, where mounting is not allowed.
    fn new(megabytes: u64) -> Option<Self> {
        let dir = TempDir::new().unwrap();
        let size = format!("size={megabytes}m");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "bowline-test"]).arg(dir.path());
        match mount.output() {
            Ok(output) if output.status.success() => Some(Self(dir)),
            Ok(output) => {
                let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                eprintln!("SKIPPED: cannot mount a small file system: {why}");
                None
            }
            Err(error) => {
                eprintln!("SKIPPED: cannot run mount: {error}");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes all the room that is left.
    fn fill(&self) -> PathBuf {
        let path = self.path().join("filler");
        let mut file = File::create(&path).unwrap();
        for piece in [1 << 20, 4096, 1] {
            loop {
                match file.write_all(&vec![7; piece]) {
                    Ok(()) => {}
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::StorageFull);
                        break;
                    }
                }
            }
        }
        path
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

fn until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        thread::yield_now();
    }
}

fn key(number: u64) -> [u8; 9] {
    let mut key = [1; 9];
    key[1..].copy_from_slice(&number.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
    key
}

/// Rows of 1 KiB, each written in step `applied`.
fn put(store: &mut Store, applied: u64, numbers: impl Iterator<Item = u64>) {
    for number in numbers {
        store.put(&key(number), Bytes::from(vec![applied as u8; 1024]));
    }
    store.publish(applied, Bytes::new());
}

#[test]
fn a_checkpoint_waits_for_room() {
    let Some(mount) = Mount::new(96) else { return };
    let metrics = Arc::new(Metrics::default());
    let state = mount.path().join("state");
    let (mut store, views, _) = Store::open(&state, NEVER, Arc::clone(&metrics)).unwrap();
    put(&mut store, 1, 0..1000);
    store.checkpoint().unwrap();
    assert_eq!(metrics.checkpoint_waits.get(), 0);

    let filler = mount.fill();
    put(&mut store, 2, 500..1500);
    store.begin_checkpoint(Bytes::new());
    until("the checkpoint waits", || metrics.checkpoint_waits.get() > 0);
    let value = |number| views.current().get(&key(number)).unwrap().map(|value| value[0]);
    assert_eq!([0, 700, 1400].map(value), [Some(1), Some(2), Some(2)], "reading goes on");
    put(&mut store, 3, 1500..1600);
    assert!(!store.maintain().unwrap(), "writing goes on, and no other checkpoint is due");
    assert_eq!(store.durable_checkpoint(), 1);

    fs::remove_file(filler).unwrap();
    store.checkpoint().unwrap();
    assert_eq!(store.durable_checkpoint(), 3);
    store.close().unwrap();
    drop(views);
    let (_store, views, checkpoint) = Store::open(&state, NEVER, metrics).unwrap();
    assert_eq!(checkpoint.unwrap().applied, 3);
    assert_eq!(rows(&views.current()), 1600);
}

fn rows(rows: &impl Rows) -> u64 {
    let mut count = 0;
    rows.scan(b"", None, &mut |_, _| {
        count += 1;
        true
    })
    .unwrap();
    count
}

#[test]
fn who_waits_for_a_full_disk_can_be_told_to_stop() {
    let Some(mount) = Mount::new(64) else { return };
    let metrics = Arc::new(Metrics::default());
    let small = StoreOptions { checkpoint_bytes: 100_000, ..NEVER };
    let state = mount.path().join("state");
    let (mut store, views, _) = Store::open(&state, small, Arc::clone(&metrics)).unwrap();
    put(&mut store, 1, 0..10);
    store.checkpoint().unwrap();
    mount.fill();
    put(&mut store, 2, 0..1000);
    assert!(store.maintain().unwrap());
    store.begin_checkpoint(Bytes::new());
    put(&mut store, 3, 1000..2000);
    let stopper = store.stopper().unwrap();
    let counted = Arc::clone(&metrics);
    let other = thread::spawn(move || {
        until("the applier waits", || counted.apply_pauses.get() > 0);
        stopper.stop();
    });
    assert!(!store.maintain().unwrap(), "it came back");
    other.join().unwrap();
    put(&mut store, 4, 2000..4000);
    assert!(!store.maintain().unwrap(), "nor is it waited for again");
    assert_eq!(rows(&views.current()), 4000);
    store.close().unwrap();
    drop(views);
    let (_store, views, checkpoint) = Store::open(&state, small, metrics).unwrap();
    assert_eq!((checkpoint.unwrap().applied, rows(&views.current())), (1, 10));
}

#[test]
fn a_store_closes_on_a_full_disk() {
    let Some(mount) = Mount::new(64) else { return };
    let metrics = Arc::new(Metrics::default());
    let (mut store, _views, _) =
        Store::open(&mount.path().join("state"), NEVER, Arc::clone(&metrics)).unwrap();
    mount.fill();
    put(&mut store, 1, 0..10);
    store.begin_checkpoint(Bytes::new());
    until("the checkpoint waits", || metrics.checkpoint_waits.get() > 0);
    store.close().unwrap();
}

/// Merging needs room too, and more of it.
#[test]
fn a_disk_that_gets_full_again_and_again_loses_nothing() {
    let Some(mount) = Mount::new(96) else { return };
    let metrics = Arc::new(Metrics::default());
    let state = mount.path().join("state");
    let (mut store, views, _) = Store::open(&state, NEVER, Arc::clone(&metrics)).unwrap();
    for applied in 1..=24_u64 {
        // Always the same 4 MB: without any merging they would be 96.
        for number in 0..100 {
            store.put(&key(number), Bytes::from(vec![applied as u8; 40_000]));
        }
        store.publish(applied, Bytes::new());
        store.begin_checkpoint(Bytes::new());
        if applied % 5 == 0 {
            // While the checkpoint and the merging go on.
            fs::remove_file(mount.fill()).unwrap();
        }
        store.checkpoint().unwrap();
        assert_eq!(rows(&views.current()), 100);
    }
    store.close().unwrap();
    drop(views);
    let (_store, views, checkpoint) = Store::open(&state, NEVER, metrics).unwrap();
    assert_eq!(checkpoint.unwrap().applied, 24);
    let mut count = 0;
    views
        .current()
        .scan(b"", None, &mut |_, value| {
            assert_eq!(value, [24; 40_000]);
            count += 1;
            true
        })
        .unwrap();
    assert_eq!(count, 100);
}

#[test]
fn what_does_not_fit_is_refused_and_taken_away() {
    let Some(mount) = Mount::new(32) else { return };
    let room = || {
        let stat = rustix::fs::statvfs(mount.path()).unwrap();
        stat.f_bavail * stat.f_frsize
    };
    let state = mount.path().join("state");
    let checkpoint = Checkpoint { applied: 1, meta: Bytes::new() };
    let row = |number: u64| (Bytes::from(number.to_be_bytes().to_vec()), vec![7; 1 << 16].into());
    let numbers = 1 << 60..(1 << 60) + 2000;
    let rows = numbers.clone().map(|number| Ok::<_, StoreError>(row(number)));
    let error = Store::build(&state, NEVER, &checkpoint, rows).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Full, "{error}");
    assert!(room() > 30 << 20, "the room is given back: {}", room());

    let path = mount.path().join("snapshot");
    let header = SnapshotHeader {
        cluster: Default::default(),
        epoch: 0,
        file: Default::default(),
        applied: 1,
        meta: Bytes::new(),
    };
    let mut writer = SnapshotWriter::create(&path, &header).unwrap();
    let written = numbers.map(row).try_for_each(|(key, value)| writer.row(&key, &value));
    assert!(written.unwrap_err().is_full());
    drop(writer);
    assert!(room() > 30 << 20, "the room is given back: {}", room());
}
