//! States that move between nodes over real connections and real files.

#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "transport/support.rs"]
#[allow(dead_code, reason = "these tests need only some of it")]
mod support;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use bowline::ids::Id128;
use bowline::metrics::Metrics;
use bowline::raft::Fetch;
use bowline::snapshot::message::{Answer, CHUNK, FileId, Message, Request};
use bowline::snapshot::{self, Event, Handle, Ready};
use bowline::state::{Digest, Meta, Summary, Writes};
use bowline::storage::snapshot::{SnapshotHeader, SnapshotWriter};
use bowline::storage::{Rows, StateDir, Store, StoreOptions, Table, Views};
use bowline::transport::{Inbound, Lane, Service};
use bytes::Bytes;
use crossbeam_channel::{Receiver, unbounded};
use parking_lot::Mutex;
use support::{DEADLINE, Node, Proxy, eventually, introduce};
use tempfile::TempDir;

const CLUSTER: Id128 = Id128([0xcc; 16]);
/// A state of about four megabytes: eight chunks.
const ROWS: u32 = 4_000;
const FAST: u64 = 1 << 40;
/// Slow enough to be interrupted: seconds in all.
const SLOW: u64 = 1 << 20;
/// One chunk comes at once, the next in six days.
const STUCK: u64 = 1;

type Row = (Bytes, Bytes);

/// Rows that do not compress; those of another seed are other rows.
fn rows(seed: u32) -> Vec<Row> {
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

fn meta(rows: &[Row], applied: u64) -> Bytes {
    let mut digest = Digest::default();
    rows.iter().for_each(|(key, value)| digest.add(key, value));
    let summary =
        Summary { applied, term: 7, clock_ms: 1234, rows_digest: digest, ..Summary::new(CLUSTER) };
    let configuration = Bytes::from_static(b"members");
    Meta { summary, configuration_index: 3, configuration, writes: Writes::default() }.encode()
}

/// A node with a state on its disk that can be served, and a staged one be built beside it.
struct Machine {
    disk: TempDir,
    state_dir: Arc<Mutex<StateDir>>,
    views: Views,
    store: Store,
}

impl Machine {
    fn new() -> Self {
        let disk = TempDir::new().unwrap();
        let state_dir = StateDir::open(disk.path()).unwrap();
        let options = StoreOptions::default();
        let (store, views, _) = Store::open(&state_dir.current(), options, Arc::default()).unwrap();
        Self { disk, state_dir: Arc::new(Mutex::new(state_dir)), views, store }
    }

    fn with_state(rows: &[Row], applied: u64) -> Self {
        let mut machine = Self::new();
        machine.checkpoint(rows, meta(rows, applied), applied);
        machine
    }

    fn checkpoint(&mut self, rows: &[Row], meta: Bytes, applied: u64) {
        for (key, value) in rows {
            self.store.put(key, value.clone());
        }
        self.store.publish(applied, meta);
        self.store.checkpoint().unwrap();
    }

    fn folder(&self) -> PathBuf {
        self.disk.path().join("snapshots")
    }

    fn files(&self) -> usize {
        fs::read_dir(self.folder()).unwrap().count()
    }

    fn start(&self, node: &Node, rate: u64) -> Mover {
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
        };
        let tell = move |event| events_in.send(event).unwrap();
        let (inbox, transport) = (node.states.clone(), node.handle.clone());
        let (handle, thread) =
            snapshot::start(config, inbox, transport, tell, Arc::clone(&metrics)).unwrap();
        Mover { handle, events, metrics, thread: Some(thread) }
    }

    /// Checks that a state is the one of these rows, and makes it this node's own.
    fn adopt(mut self, mover: &Mover, ready: &Ready, expected: &[Row]) -> Self {
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
struct Mover {
    handle: Handle,
    events: Receiver<Event>,
    metrics: Arc<Metrics>,
    thread: Option<JoinHandle<()>>,
}

impl Mover {
    fn fetch(&self, from: u64, at_least: u64) {
        self.handle.fetch(Fetch { from, at_least });
    }

    fn event(&self) -> Event {
        self.events.recv_timeout(DEADLINE).unwrap()
    }

    fn ready(&self) -> Ready {
        match self.event() {
            Event::Ready(ready) => ready,
            other => panic!("{other:?}"),
        }
    }

    fn failed(&self) -> String {
        match self.event() {
            Event::Failed(why) => why,
            other => panic!("{other:?}"),
        }
    }

    fn received(&self) -> u64 {
        self.handle.status().fetching.map_or(0, |progress| progress.received)
    }

    fn stop(mut self) {
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

#[test]
fn a_state_moves_while_connections_break_and_no_byte_goes_twice() {
    let (a, b) = (Node::start(1), Node::start(2));
    let (to_a, to_b) = (Proxy::to(a.addr), Proxy::to(b.addr));
    let peer = |node: &Node, proxy: &Proxy| {
        vec![bowline::transport::Peer { addr: proxy.addr.to_string(), ..node.as_peer() }]
    };
    a.handle.set_peers(peer(&b, &to_b), 100);
    b.handle.set_peers(peer(&a, &to_a), 100);

    let rows = rows(0);
    let (source, receiver) = (Machine::with_state(&rows, 500), Machine::new());
    let (serving, fetching) = (source.start(&a, SLOW), receiver.start(&b, FAST));
    fetching.fetch(1, 400);
    let mut cut_at = 0;
    for _ in 0..3 {
        eventually("more chunks", || fetching.received() > cut_at);
        cut_at = fetching.received();
        to_a.cut();
        to_b.cut();
    }
    let ready = fetching.ready();
    assert_eq!((ready.from, ready.applied, ready.term, ready.clock_ms), (1, 500, 7, 1234));
    assert_eq!(ready.meta, meta(&rows, 500));
    assert_eq!(serving.handle.pinned(), Some(500), "it has the state, but not yet what follows");
    let size = fetching.received();
    assert!(size > 4_000_000 && size < 4_100_000, "{size}");
    assert_eq!(fetching.metrics.snapshot_bytes_received.get(), size, "it went on where it was");

    let receiver = receiver.adopt(&fetching, &ready, &rows);
    eventually("the source to be let go", || serving.handle.pinned().is_none());
    eventually("the received file to go", || receiver.files() == 0);
    assert_eq!(fetching.handle.status(), snapshot::Status::default());
    assert_eq!(source.files(), 1, "somebody else may want it soon");
    serving.stop();
    assert_eq!(source.files(), 0);
}

#[test]
fn two_are_served_at_once_and_the_third_gets_its_state_later() {
    let nodes = [1, 2, 3, 4].map(Node::start);
    introduce(&nodes.each_ref());
    let rows = rows(0);
    let source = Machine::with_state(&rows, 500);
    let serving = source.start(&nodes[0], FAST);
    let receivers = [1, 2, 3].map(|at| {
        let machine = Machine::new();
        let mover = machine.start(&nodes[at], FAST);
        mover.fetch(1, 1);
        (machine, mover)
    });
    for (machine, mover) in receivers {
        let ready = mover.ready();
        assert!(serving.handle.status().serving.len() <= 2);
        machine.adopt(&mover, &ready, &rows);
    }
    assert_eq!(serving.metrics.snapshots_made.get(), 1, "one file served them all");
}

#[test]
fn a_source_that_dies_and_comes_back_is_begun_anew_and_one_that_does_not_is_replaced() {
    let nodes = [1, 2, 3].map(Node::start);
    introduce(&nodes.each_ref());
    let (old, new) = (rows(0), rows(1));
    let (first, second) = (Machine::with_state(&old, 500), Machine::with_state(&new, 600));
    let receiver = Machine::new();
    let fetching = receiver.start(&nodes[2], FAST);
    for _ in 0..2 {
        // A new process makes a new file: the part of the old one is of no use.
        let serving = first.start(&nodes[0], STUCK);
        fetching.fetch(1, 400);
        eventually("the first chunks", || fetching.received() > 0);
        serving.stop();
    }
    let _serving = second.start(&nodes[1], FAST);
    fetching.fetch(2, 450);
    let ready = fetching.ready();
    assert_eq!((ready.from, ready.applied), (2, 600));
    receiver.adopt(&fetching, &ready, &new);
}

#[test]
fn a_source_is_waited_for_until_its_checkpoint_is_new_enough() {
    let nodes = [1, 2].map(Node::start);
    introduce(&nodes.each_ref());
    let rows = rows(0);
    let (mut source, receiver) = (Machine::new(), Machine::new());
    let serving = source.start(&nodes[0], FAST);
    let fetching = receiver.start(&nodes[1], FAST);
    fetching.fetch(1, 300);
    eventually("a session", || serving.handle.status().serving == [2]);
    source.checkpoint(&rows[..10], meta(&rows[..10], 299), 299);
    source.checkpoint(&rows, meta(&rows, 300), 300);
    let ready = fetching.ready();
    assert_eq!(serving.metrics.snapshots_made.get(), 1, "none of the one that is too old");
    receiver.adopt(&fetching, &ready, &rows);
}

#[test]
fn a_state_that_was_handed_over_is_left_alone_and_a_newer_wish_comes_next() {
    let nodes = [1, 2].map(Node::start);
    introduce(&nodes.each_ref());
    let (old, new) = (rows(0), rows(1));
    let (mut source, receiver) = (Machine::with_state(&old, 500), Machine::new());
    let _serving = source.start(&nodes[0], FAST);
    let fetching = receiver.start(&nodes[1], FAST);
    fetching.fetch(1, 1);
    let ready = fetching.ready();
    source.checkpoint(&new, meta(&new, 700), 700);
    fetching.fetch(1, 600);
    let receiver = receiver.adopt(&fetching, &ready, &old);
    let ready = fetching.ready();
    assert_eq!(ready.applied, 700);
    receiver.adopt(&fetching, &ready, &new);
}

#[test]
fn a_lost_state_is_not_served() {
    let nodes = [1, 2].map(Node::start);
    introduce(&nodes.each_ref());
    let rows = rows(0);
    let (source, receiver) = (Machine::with_state(&rows, 500), Machine::new());
    let serving = source.start(&nodes[0], STUCK);
    let fetching = receiver.start(&nodes[1], FAST);
    fetching.fetch(1, 1);
    eventually("the first chunks", || fetching.received() > 0);
    source.state_dir.lock().set_lost("a majority says so").unwrap();
    eventually("the receiver to be told", || fetching.received() == 0);
    eventually("the file to go", || source.files() == 0);
    eventually("the log to be let go", || serving.handle.pinned().is_none());
}

#[test]
fn a_source_whose_rows_have_rotted_finds_out_instead_of_passing_them_on() {
    let nodes = [1, 2].map(Node::start);
    introduce(&nodes.each_ref());
    let (mut source, receiver) = (Machine::new(), Machine::new());
    let (good, bad) = (rows(0), rows(1));
    source.checkpoint(&bad, meta(&good, 500), 500);
    let serving = source.start(&nodes[0], FAST);
    let fetching = receiver.start(&nodes[1], FAST);
    fetching.fetch(1, 1);
    let Event::Damaged(why) = serving.event() else { panic!("it is damaged") };
    assert!(why.contains("digest"), "{why}");
    assert_eq!(source.files(), 0);
}

#[test]
fn what_the_disk_refuses_is_told_and_tried_again() {
    let nodes = [1, 2].map(Node::start);
    introduce(&nodes.each_ref());
    let rows = rows(0);
    let (source, receiver) = (Machine::with_state(&rows, 500), Machine::new());
    let _serving = source.start(&nodes[0], FAST);
    let fetching = receiver.start(&nodes[1], FAST);
    // No place for the file.
    fs::remove_dir(receiver.folder()).unwrap();
    fetching.fetch(1, 1);
    let why = fetching.failed();
    assert!(why.contains("No such file"), "{why}");
    // A place for the file, but none for the state that is built of it.
    fs::create_dir(receiver.folder()).unwrap();
    let in_the_way = receiver.state_dir.lock().stage().unwrap();
    fs::write(&in_the_way, "not a directory").unwrap();
    let why = fetching.failed();
    assert!(why.contains(in_the_way.to_str().unwrap()), "{why}");
    fs::remove_file(&in_the_way).unwrap();
    let ready = fetching.ready();
    receiver.adopt(&fetching, &ready, &rows);
}

#[test]
fn what_an_earlier_process_has_left_is_removed() {
    let machine = Machine::new();
    fs::create_dir(machine.folder()).unwrap();
    for name in ["in-0123", "out-4567", "out-89ab.tmp"] {
        fs::write(machine.folder().join(name), "of before").unwrap();
    }
    let node = Node::start(1);
    machine.start(&node, FAST);
    assert_eq!(machine.files(), 0);
}

/// A source played by the test, with whatever file it likes.
struct Puppet {
    node: Node,
    name: FileId,
    file: Vec<u8>,
    applied: u64,
}

impl Puppet {
    fn new(node: Node, rows: &[Row], meta: Bytes, cluster: Id128) -> Self {
        let disk = TempDir::new().unwrap();
        let path = disk.path().join("snapshot");
        let name = Id128::random();
        let header = SnapshotHeader { cluster, epoch: 0, file: name, applied: 500, meta };
        let mut writer = SnapshotWriter::create(&path, &header).unwrap();
        rows.iter().for_each(|(key, value)| writer.row(key, value).unwrap());
        writer.finish().unwrap();
        Self { node, name, file: fs::read(&path).unwrap(), applied: 500 }
    }

    fn request(&self) -> Request {
        let message = self.node.states.recv_timeout(DEADLINE).unwrap();
        let Inbound::Message { body, .. } = message else { panic!("{message:?}") };
        match Message::decode(&body).unwrap() {
            Message::Request(request) => request,
            other => panic!("{other:?}"),
        }
    }

    fn send(&self, body: Bytes) {
        eventually("a connection", || {
            self.node.handle.send(2, Lane::Bulk, Service::State, body.clone())
        });
    }

    fn offer(&self) {
        let (file, applied, size) = (self.name, self.applied, self.file.len() as u64);
        self.send(Answer::Offer { file, applied, size }.encode());
    }

    fn chunk(&self, offset: u64) -> Vec<u8> {
        let at = offset as usize;
        self.file[at..self.file.len().min(at + CHUNK)].to_vec()
    }

    /// Answers until the receiver has told what came of it.
    fn play(&self, mover: &Mover, mut answer: impl FnMut(u64, Bytes) -> Bytes) -> Event {
        loop {
            if let Ok(event) = mover.events.try_recv() {
                return event;
            }
            let Ok(Inbound::Message { body, .. }) =
                self.node.states.recv_timeout(std::time::Duration::from_millis(5))
            else {
                continue;
            };
            match Message::decode(&body).unwrap() {
                Message::Request(Request::Open { .. }) => self.offer(),
                Message::Request(Request::Read { file, offset }) => {
                    let bytes = self.chunk(offset).into();
                    self.send(answer(offset, Answer::Chunk { file, offset, bytes }.encode()));
                }
                Message::Request(Request::Hold { .. } | Request::Done { .. }) => {}
                // To what the puppet has asked itself, if anything.
                Message::Answer(answer) => assert!(matches!(answer, Answer::Gone { .. })),
            }
        }
    }
}

/// A puppet as node 1, and a receiver as node 2 that wants its state.
fn played(rows: &[Row], meta: Bytes, cluster: Id128) -> (Puppet, Machine, Mover, Node) {
    let (source, node) = (Node::start(1), Node::start(2));
    introduce(&[&source, &node]);
    let puppet = Puppet::new(source, rows, meta, cluster);
    let machine = Machine::new();
    let mover = machine.start(&node, FAST);
    mover.fetch(1, 1);
    (puppet, machine, mover, node)
}

fn changed(message: &Bytes, at: usize) -> Bytes {
    let mut bytes = message.to_vec();
    bytes[at] ^= 0x20;
    bytes.into()
}

#[test]
fn a_chunk_that_was_changed_on_the_way_is_asked_for_again() {
    let rows = rows(0);
    let (puppet, machine, mover, _node) = played(&rows, meta(&rows, 500), CLUSTER);
    let mut spoilt = false;
    let event = puppet.play(&mover, |offset, message| {
        if offset == CHUNK as u64 && !std::mem::replace(&mut spoilt, true) {
            return changed(&message, 40_000);
        }
        message
    });
    let Event::Ready(ready) = event else { panic!("{event:?}") };
    assert!(spoilt);
    assert_eq!(mover.metrics.snapshot_bytes_received.get(), puppet.file.len() as u64);
    machine.adopt(&mover, &ready, &rows);
}

#[test]
fn a_file_that_is_damaged_at_the_source_is_found_out_and_begun_anew() {
    let rows = rows(0);
    let (mut puppet, machine, mover, _node) = played(&rows, meta(&rows, 500), CLUSTER);
    puppet.file[3_000_000] ^= 1;
    let event = puppet.play(&mover, |_, message| message);
    let Event::Failed(why) = event else { panic!("{event:?}") };
    assert!(why.contains("n1") && why.contains("damaged"), "{why}");
    puppet.file[3_000_000] ^= 1;
    let event = puppet.play(&mover, |_, message| message);
    let Event::Ready(ready) = event else { panic!("{event:?}") };
    machine.adopt(&mover, &ready, &rows);
}

#[test]
fn states_of_others_and_states_that_are_not_what_they_say_are_refused() {
    let (good, bad) = (rows(0)[..700].to_vec(), rows(1)[..700].to_vec());
    let elsewhere = Id128([0xee; 16]);
    let cases = [
        (meta(&good, 500), elsewhere, "another cluster"),
        (meta(&good, 499), CLUSTER, "another index"),
        (meta(&bad, 500), CLUSTER, "digest"),
        (Bytes::from_static(b"no meta"), CLUSTER, "not the record of a bowline state"),
    ];
    for (meta, cluster, expected) in cases {
        let (puppet, machine, mover, _node) = played(&good, meta, cluster);
        let event = puppet.play(&mover, |_, message| message);
        let Event::Failed(why) = event else { panic!("{event:?}") };
        assert!(why.contains(expected), "{why}");
        let staged = machine.state_dir.lock().stage().unwrap();
        assert!(!staged.exists(), "nothing of it is left");
    }
}

#[test]
fn a_file_that_has_no_room_is_not_begun() {
    let rows = rows(0);
    let (puppet, _machine, mover, _node) = played(&rows[..1], meta(&rows[..1], 500), CLUSTER);
    assert_eq!(puppet.request(), Request::Open { at_least: 1 });
    let (file, applied) = (puppet.name, puppet.applied);
    puppet.send(Answer::Offer { file, applied, size: u64::MAX }.encode());
    let why = mover.failed();
    assert!(why.contains("make room"), "{why}");
}

#[test]
fn garbage_does_no_harm_to_either_side() {
    let rows = rows(0);
    let (puppet, machine, mover, _node) = played(&rows, meta(&rows, 500), CLUSTER);
    let (file, at) = (puppet.name, 3 * CHUNK as u64);
    for body in [&b""[..], b"\x01", b"\x15\x01\0\0short", &[0xff; 5000]] {
        puppet.send(Bytes::copy_from_slice(body));
    }
    for request in [
        Request::Read { file, offset: 1 },
        Request::Read { file, offset: u64::MAX },
        Request::Hold { file },
        Request::Done { file },
    ] {
        puppet.send(request.encode());
    }
    let bytes = Bytes::from(vec![1; 2 * CHUNK / 3]);
    let event = puppet.play(&mover, |offset, message| {
        // Each right chunk comes behind some that are not.
        puppet.send(Answer::Chunk { file, offset: offset + 1, bytes: bytes.clone() }.encode());
        puppet.send(Answer::Chunk { file, offset: at * 100, bytes: Bytes::new() }.encode());
        puppet.send(Answer::Gone { file: Id128::default() }.encode());
        puppet.send(message.clone());
        message
    });
    let Event::Ready(ready) = event else { panic!("{event:?}") };
    machine.adopt(&mover, &ready, &rows);
}

#[test]
fn who_stops_does_not_wait_for_long_jobs() {
    let nodes = [1, 2].map(Node::start);
    introduce(&nodes.each_ref());
    let rows = rows(0);
    let (source, receiver) = (Machine::with_state(&rows, 500), Machine::new());
    let serving = source.start(&nodes[0], STUCK);
    let fetching = receiver.start(&nodes[1], FAST);
    fetching.fetch(1, 1);
    eventually("a first chunk, for the second of which the rate allows days", || {
        fetching.received() > 0
    });
    serving.stop();
    fetching.stop();
    assert_eq!(source.files() + receiver.files(), 0);
}
