//! A source that does not do what it should.

use std::fs;
use std::time::Duration;

use bowline::ids::Id128;
use bowline::snapshot::Event;
use bowline::snapshot::message::{Answer, CHUNK, FileId, Message, Request};
use bowline::storage::snapshot::{SnapshotHeader, SnapshotWriter};
use bowline::transport::{Inbound, Lane, Service};
use bytes::Bytes;
use tempfile::TempDir;

use super::machine::{CLUSTER, FAST, Machine, Mover, Row, meta, rows};
use super::support::{DEADLINE, Node, eventually, introduce};

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
                self.node.states.recv_timeout(Duration::from_millis(5))
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
                Message::Staging(other) => panic!("nobody restores anything: {other:?}"),
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
