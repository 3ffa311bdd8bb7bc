//! Nodes that have a state and move it, and nothing else.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use bowline::ids::Id128;
use bowline::metrics::Metrics;
use bowline::raft::Fetch;
use bowline::snapshot::{self, Blobs, Event, Handle, Ready};
use bowline::state::kv::Counters;
use bowline::state::{Digest, Meta, OnceQueue, Summary, Writes, board};
use bowline::storage::{Rows, StateDir, Store, StoreOptions, Table, Views};
use bytes::Bytes;
use crossbeam_channel::{Receiver, unbounded};
use parking_lot::Mutex;
use tempfile::TempDir;

use super::support::{DEADLINE, Node};

pub const CLUSTER: Id128 = Id128([0xcc; 16]);
/// A state of about four megabytes: eight chunks.
const ROWS: u32 = 4_000;
pub const FAST: u64 = 1 << 40;
/// Slow enough to be interrupted: seconds in all.
pub const SLOW: u64 = 1 << 20;
/// One chunk comes at once, the next in six days.
pub const STUCK: u64 = 1;

pub type Row = (Bytes, Bytes);

/// Rows that do not compress; those of another seed are other rows.
pub fn rows(seed: u32) -> Vec<Row> {
    let mut noise = u64::from(seed) + 1;
    let mut value = || {
        let mut bytes = Vec::with_capacity(1000);
        while bytes.len() < 1000 {
            // Xorshift.
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            bytes.extend_from_slice(&noise.to_le_bytes());
        }
        bytes.into()
    };
    (0..ROWS).map(|n| (Bytes::from(format!("row {n:08}")), value())).collect()
}

pub fn meta(rows: &[Row], applied: u64) -> Bytes {
    let mut digest = Digest::default();
    rows.iter().for_each(|(key, value)| digest.add(key, value));
    let summary =
        Summary { applied, term: 7, clock_ms: 1234, rows_digest: digest, ..Summary::new(CLUSTER) };
    let configuration = Bytes::from_static(b"members");
    let (writes, once) = (Writes::default(), OnceQueue::default());
    let (kv, board) = (Counters::default(), board::Counters::default());
    Meta { summary, configuration_index: 3, configuration, writes, once, kv, board }.encode()
}

/// A node with a state on its disk that can be served, and a staged one be built beside it.
pub struct Machine {
    disk: TempDir,
    pub state_dir: Arc<Mutex<StateDir>>,
    views: Views,
    store: Store,
}

impl Machine {
    pub fn new() -> Self {
        let disk = TempDir::new().unwrap();
        let state_dir = StateDir::open(disk.path()).unwrap();
        let options = StoreOptions::default();
        let (store, views, _) = Store::open(&state_dir.current(), options, Arc::default()).unwrap();
        Self { disk, state_dir: Arc::new(Mutex::new(state_dir)), views, store }
    }

    pub fn with_state(rows: &[Row], applied: u64) -> Self {
        let mut machine = Self::new();
        machine.checkpoint(rows, meta(rows, applied), applied);
        machine
    }

    pub fn checkpoint(&mut self, rows: &[Row], meta: Bytes, applied: u64) {
        for (key, value) in rows {
            self.store.put(key, value.clone());
        }
        self.store.publish(applied, meta);
        self.store.checkpoint().unwrap();
    }

    pub fn folder(&self) -> PathBuf {
        self.disk.path().join("snapshots")
    }

    pub fn files(&self) -> usize {
        fs::read_dir(self.folder()).unwrap().count()
    }

    pub fn start(&self, node: &Node, rate: u64) -> Mover {
        let (events_in, events) = unbounded();
        let metrics = Arc::new(Metrics::default());
        let config = snapshot::Config {
            data_dir: self.disk.path().to_owned(),
            cluster: CLUSTER,
            epoch: 0,
            rate,
            store: StoreOptions::default(),
            state_dir: Arc::clone(&self.state_dir),
            views: self.views.clone(),
            blobs: Arc::new(Blobs::open(self.disk.path(), StoreOptions::default(), 0).unwrap()),
        };
        let tell = move |event| events_in.send(event).unwrap();
        let (inbox, transport) = (node.states.clone(), node.handle.clone());
        let (handle, thread) =
            snapshot::start(config, inbox, transport, tell, Arc::clone(&metrics)).unwrap();
        Mover { handle, events, metrics, thread: Some(thread) }
    }

    /// Checks that a state is the one of these rows, and makes it this node's own.
    pub fn adopt(mut self, mover: &Mover, ready: &Ready, expected: &[Row]) -> Self {
        let views = self.views.clone();
        self.state_dir.lock().adopt(&ready.dir, None).unwrap();
        self.store.close().unwrap();
        let (options, metrics) = (StoreOptions::default(), Arc::default());
        let (store, checkpoint) = Store::open_in(&ready.dir, options, metrics, views).unwrap();
        mover.handle.adopted();
        let checkpoint = checkpoint.unwrap();
        assert_eq!((checkpoint.applied, &checkpoint.meta), (ready.applied, &ready.meta));
        let mut found = Vec::new();
        let mut visit = |key: &[u8], value: &[u8]| {
            found.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
            true
        };
        store.scan(b"", None, &mut visit).unwrap();
        assert!(found == expected, "{} rows, not those of the source", found.len());
        self.store = store;
        self
    }
}

/// The threads that move states.
pub struct Mover {
    pub handle: Handle,
    pub events: Receiver<Event>,
    pub metrics: Arc<Metrics>,
    thread: Option<JoinHandle<()>>,
}

impl Mover {
    pub fn fetch(&self, from: u64, at_least: u64) {
        self.handle.fetch(Fetch { from, at_least });
    }

    pub fn event(&self) -> Event {
        self.events.recv_timeout(DEADLINE).unwrap()
    }

    pub fn ready(&self) -> Ready {
        match self.event() {
            Event::Ready(ready) => ready,
            other => panic!("{other:?}"),
        }
    }

    pub fn failed(&self) -> String {
        match self.event() {
            Event::Failed(why) => why,
            other => panic!("{other:?}"),
        }
    }

    pub fn received(&self) -> u64 {
        self.handle.status().fetching.map_or(0, |progress| progress.received)
    }

    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.handle.stop();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Mover {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.end();
        }
    }
}
