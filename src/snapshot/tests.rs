//! Both cores against each other over a network that loses, repeats and reorders, with sources that
//! forget everything: whatever happens, a file that is called whole is the one that was offered, byte
//! for byte, and when the trouble is over every receiver gets its state.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::fetch::{self, Fetcher};
use super::message::{Answer, CHUNK, FileId, Message, Request};
use super::serve::{self, RECEIVERS, Server};
use crate::ids::Id128;
use crate::raft::{Fetch, Index, NodeId};

const SOURCES: [NodeId; 2] = [1, 2];
const RECEIVER_IDS: [NodeId; 3] = [11, 12, 13];

/// What is at a place of a file; no two files are alike.
fn content(file: FileId, offset: u64, length: usize) -> Bytes {
    vec![file.0[0] ^ (offset / CHUNK as u64) as u8; length].into()
}

struct Source {
    server: Server,
    checkpoint: Index,
    /// Files on its disk: index and size.
    files: BTreeMap<FileId, (Index, u64)>,
    making: bool,
}

impl Source {
    fn new(checkpoint: Index) -> Self {
        Self { server: Server::new(8 << 20), checkpoint, files: BTreeMap::new(), making: false }
    }
}

#[derive(Default)]
struct Receiver {
    fetcher: Fetcher,
    /// The file being received: its name, its size, the places that were written.
    file: Option<(FileId, u64, BTreeMap<u64, Bytes>)>,
    building: Option<FileId>,
    wanted: Index,
    finished: bool,
}

struct World {
    rng: StdRng,
    now: Duration,
    sources: BTreeMap<NodeId, Source>,
    receivers: BTreeMap<NodeId, Receiver>,
    /// On the way: from, to, the message.
    network: Vec<(NodeId, NodeId, Bytes)>,
    files_made: u8,
    trouble: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed),
            now: Duration::ZERO,
            sources: SOURCES.map(|id| (id, Source::new(10))).into(),
            receivers: RECEIVER_IDS
                .map(|id| (id, Receiver { fetcher: Fetcher::new(), ..Receiver::default() }))
                .into(),
            network: Vec::new(),
            files_made: 0,
            trouble: true,
        }
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.trouble && self.rng.random_range(0..100) < percent
    }

    fn send(&mut self, from: NodeId, to: NodeId, message: Bytes) {
        if self.chance(15) {
            return;
        }
        if self.chance(10) {
            self.network.push((from, to, message.clone()));
        }
        self.network.push((from, to, message));
    }

    fn deliver(&mut self) {
        let last = self.network.len() - 1;
        let at = if self.trouble { self.rng.random_range(0..=last) } else { 0 };
        let (from, to, mut message) = self.network.remove(at);
        if self.chance(3) {
            let at = self.rng.random_range(0..message.len());
            let mut changed = message.to_vec();
            changed[at] ^= 1 << self.rng.random_range(0..8);
            message = changed.into();
            // In life the frame's checksum catches this; what has one of its own is tried here.
            let chunk = |it: &Message| matches!(it, Message::Answer(Answer::Chunk { .. }));
            assert!(Message::decode(&message).ok().as_ref().is_none_or(|it| !chunk(it)));
            return;
        }
        match Message::decode(&message).unwrap() {
            Message::Request(request) => self.request(from, to, request),
            Message::Answer(answer) => {
                let receiver = self.receivers.get_mut(&to).unwrap();
                receiver.fetcher.on_answer(self.now, from, answer);
            }
            Message::Staging(other) => panic!("{other:?}"),
        }
        self.act();
    }

    fn request(&mut self, from: NodeId, to: NodeId, request: Request) {
        let source = self.sources.get_mut(&to).unwrap();
        source.server.on_request(self.now, from, request, Some(source.checkpoint));
    }

    fn act(&mut self) {
        for id in SOURCES {
            for action in self.sources.get_mut(&id).unwrap().server.take_actions() {
                self.serve(id, action);
            }
            let source = &self.sources[&id];
            assert!(source.server.receivers().count() <= RECEIVERS);
            assert!(source.files.len() <= RECEIVERS + 1, "{} files", source.files.len());
        }
        for id in RECEIVER_IDS {
            for action in self.receivers.get_mut(&id).unwrap().fetcher.take_actions() {
                self.fetch(id, action);
            }
        }
    }

    fn serve(&mut self, id: NodeId, action: serve::Action) {
        let source = self.sources.get_mut(&id).unwrap();
        match action {
            serve::Action::Send(to, answer) => self.send(id, to, answer.encode()),
            serve::Action::Make => {
                assert!(!source.making, "one at a time");
                source.making = true;
            }
            serve::Action::Read { to, file, offset, length } => {
                let (_, size) = source.files[&file];
                assert!(length <= CHUNK && offset + length as u64 <= size);
                let bytes = content(file, offset, length);
                self.send(id, to, Answer::Chunk { file, offset, bytes }.encode());
            }
            serve::Action::Delete(file) => assert!(source.files.remove(&file).is_some()),
        }
    }

    fn fetch(&mut self, id: NodeId, action: fetch::Action) {
        let receiver = self.receivers.get_mut(&id).unwrap();
        match action {
            fetch::Action::Send(to, request) => self.send(id, to, request.encode()),
            fetch::Action::Create { file, size } => {
                receiver.file = Some((file, size, BTreeMap::new()));
            }
            fetch::Action::Write { offset, bytes } => {
                let (file, _, written) = receiver.file.as_mut().unwrap();
                assert_eq!(bytes, content(*file, offset, bytes.len()));
                assert!(written.insert(offset, bytes).is_none(), "no place is written twice");
            }
            fetch::Action::Build { file, .. } => {
                let (ours, size, written) = receiver.file.as_ref().unwrap();
                assert_eq!(*ours, file);
                let mut end = 0;
                for (offset, bytes) in written {
                    assert_eq!(*offset, end, "no hole");
                    end += bytes.len() as u64;
                }
                assert_eq!(end, *size);
                receiver.building = Some(file);
            }
            fetch::Action::Discard => (receiver.file, receiver.building) = (None, None),
        }
    }

    /// Something that is not the network's doing.
    fn happen(&mut self) {
        for id in SOURCES {
            let source = self.sources.get_mut(&id).unwrap();
            source.checkpoint += self.rng.random_range(0..3);
            if source.making && self.rng.random_range(0..3) == 0 {
                source.making = false;
                if self.trouble && self.rng.random_range(0..4) == 0 {
                    source.server.on_unmade(self.now);
                } else {
                    self.files_made = self.files_made.wrapping_add(1);
                    let file = Id128([self.files_made; 16]);
                    let size = self.rng.random_range(1..4 * CHUNK as u64);
                    source.files.insert(file, (source.checkpoint, size));
                    source.server.on_made(self.now, file, source.checkpoint, size);
                }
            }
            if self.chance(1) {
                // A new process: the old one's files are removed.
                let checkpoint = self.sources[&id].checkpoint;
                self.sources.insert(id, Source::new(checkpoint));
            }
        }
        for id in RECEIVER_IDS {
            let fails = self.chance(20);
            let wishes = self.chance(2);
            let from = SOURCES[self.rng.random_range(0..SOURCES.len())];
            let newest = self.sources[&from].checkpoint;
            let receiver = self.receivers.get_mut(&id).unwrap();
            if wishes && !receiver.finished {
                receiver.wanted = receiver.wanted.max(newest.saturating_sub(2));
                receiver.fetcher.want(self.now, Fetch { from, at_least: receiver.wanted });
            }
            if let Some(file) = receiver.building.take() {
                if fails {
                    // Not if it was superseded just above.
                    let _ = receiver.fetcher.on_failed(self.now, file);
                } else if receiver.fetcher.on_built(self.now, file) {
                    receiver.fetcher.adopted(self.now);
                    receiver.finished = receiver.fetcher.progress().is_none();
                }
            }
        }
        self.act();
    }

    fn step(&mut self) {
        let steps = self.rng.random_range(0..4);
        for _ in 0..steps {
            if !self.network.is_empty() {
                self.deliver();
            }
        }
        self.happen();
        if self.network.is_empty() || self.chance(10) {
            self.now += Duration::from_millis(self.rng.random_range(1..1000));
        }
        self.sources.values_mut().for_each(|source| source.server.advance(self.now));
        self.receivers.values_mut().for_each(|receiver| receiver.fetcher.advance(self.now));
        self.act();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_happens_what_is_whole_is_right_and_in_the_end_everybody_has_it(seed in any::<u64>()) {
        let mut world = World::new(seed);
        for id in RECEIVER_IDS {
            let receiver = world.receivers.get_mut(&id).unwrap();
            receiver.wanted = 1;
            receiver.fetcher.want(world.now, Fetch { from: SOURCES[0], at_least: 1 });
        }
        for _ in 0..300 {
            world.step();
        }
        world.trouble = false;
        let waits = |world: &World| world.receivers.values().any(|receiver| !receiver.finished);
        let mut steps = 0;
        while waits(&world) {
            steps += 1;
            prop_assert!(steps < 5_000, "somebody waits for ever");
            world.step();
        }
    }
}
