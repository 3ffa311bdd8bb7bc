//! Two nodes and more, and what may come between them.

use std::fs;

use bowline::snapshot::{self, Event};
use bowline::transport::Peer;

use super::machine::{FAST, Machine, SLOW, STUCK, meta, rows};
use super::support::{Node, Proxy, eventually, introduce};

#[test]
fn a_state_moves_while_connections_break_and_no_byte_goes_twice() {
    let (a, b) = (Node::start(1), Node::start(2));
    let (to_a, to_b) = (Proxy::to(a.addr), Proxy::to(b.addr));
    let peer =
        |node: &Node, proxy: &Proxy| vec![Peer { addr: proxy.addr.to_string(), ..node.as_peer() }];
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
