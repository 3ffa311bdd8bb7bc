//! Members among themselves: messages, lanes, crossing dials, and who is gone.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::thread;

use bowline::transport::frame::{Decoder, Frame};
use bowline::transport::limits::BULK_OUTBOX;
use bowline::transport::{
    Evidence, Hello, HelloAnswer, Identity, Inbound, Lane, Peer, Purpose, RefusalCode, Service,
};
use bytes::Bytes;
use crossbeam_channel::bounded;

use super::support::{
    DEADLINE, FEATURES, Node, Proxy, eventually, identity, introduce, listen, tag, wait_for,
};

fn up(peer: u64, boot_nonce: u64) -> Inbound {
    Inbound::Up { peer, boot_nonce, features: FEATURES }
}

fn is_up(event: &Inbound, id: u64) -> bool {
    matches!(event, Inbound::Up { peer, .. } if *peer == id)
}

fn is_gone(event: &Inbound) -> bool {
    matches!(event, Inbound::Gone { .. })
}

/// Reads messages until each of `senders` has had `count` on each lane come through, none twice.
fn collect(node: &Node, senders: usize, count: usize) {
    let mut seen = BTreeSet::new();
    while seen.len() < senders * 2 * count {
        let (event, _) = wait_for(&node.raft, |event| matches!(event, Inbound::Message { .. }));
        let Inbound::Message { from, body } = event else { unreachable!("it was waited for") };
        assert!(seen.insert((from, body.clone())), "{body:?} of {from} came twice");
    }
}

fn chatter(nodes: &[&Node], count: usize) {
    introduce(nodes);
    thread::scope(|scope| {
        for node in nodes {
            let others: Vec<u64> = nodes
                .iter()
                .map(|n| n.identity.node)
                .filter(|id| *id != node.identity.node)
                .collect();
            scope.spawn(move || {
                for n in 0..count {
                    for to in &others {
                        node.send(*to, Lane::Control, format!("control {n}").as_bytes());
                        node.send(*to, Lane::Bulk, format!("bulk {n}").as_bytes());
                    }
                }
            });
            scope.spawn(move || collect(node, nodes.len() - 1, count));
        }
    });
}

#[test]
fn two_nodes_exchange_ten_thousand_messages_on_each_lane() {
    chatter(&[&Node::start(1), &Node::start(2)], 10_000);
}

#[test]
fn three_nodes_exchange_messages_among_each_other() {
    chatter(&[&Node::start(1), &Node::start(2), &Node::start(3)], 3_000);
}

#[test]
fn messages_go_to_the_inbox_of_their_service_and_several_leave_together() {
    let (a, b) = (Node::start(1), Node::start(2));
    introduce(&[&a, &b]);
    a.send(2, Lane::Control, b"hello");
    let large = Bytes::from(vec![5; 2 << 20]);
    let batch = [
        (Service::Gossip, Bytes::from_static(b"members")),
        (Service::State, Bytes::from_static(b"rows")),
        (Service::Raft, large.clone()),
        (Service::Raft, Bytes::new()),
    ];
    eventually("the bulk lane", || a.handle.send(2, Lane::Bulk, Service::Raft, Bytes::new()));
    assert_eq!(a.handle.send_many(2, Lane::Bulk, batch), 4);
    let message = |body| Inbound::Message { from: 1, body };
    assert_eq!(b.gossip.recv_timeout(DEADLINE), Ok(message(Bytes::from_static(b"members"))));
    assert_eq!(b.states.recv_timeout(DEADLINE), Ok(message(Bytes::from_static(b"rows"))));
    wait_for(&b.raft, |event| *event == message(large.clone()));
    wait_for(&b.raft, |event| *event == message(Bytes::new()));
}

#[test]
fn no_wake_up_is_lost_when_threads_send_more_than_the_sockets_take() {
    let (a, b) = (Node::start(1), Node::start(2));
    introduce(&[&a, &b]);
    wait_for(&b.raft, |event| is_up(event, 1));
    a.send(2, Lane::Bulk, &[9; 8]);
    wait_for(&b.raft, |event| matches!(event, Inbound::Message { .. }));
    let (threads, messages) = (3u8, 400u32);
    thread::scope(|scope| {
        for thread in 0..threads {
            let a = &a;
            scope.spawn(move || {
                for n in 0..messages {
                    // From a few bytes to many times what a socket takes at once.
                    let mut body = vec![thread; 5 + (n as usize % 8) * (n as usize % 8) * 4_000];
                    body[1..5].copy_from_slice(&n.to_le_bytes());
                    a.send(2, Lane::Bulk, &body);
                }
            });
        }
        let mut next = [0; 3];
        while next != [messages; 3] {
            let (event, _) = wait_for(&b.raft, |event| matches!(event, Inbound::Message { .. }));
            let Inbound::Message { body, .. } = event else { unreachable!("it was waited for") };
            let n = u32::from_le_bytes(body[1..5].try_into().unwrap());
            assert_eq!(n, next[usize::from(body[0])], "in order, none missing");
            assert!(body[5..] == vec![body[0]; body.len() - 5]);
            next[usize::from(body[0])] += 1;
        }
    });
}

/// A node played by the test, so that it can be as slow as it likes.
struct Puppet {
    stream: TcpStream,
    decoder: Decoder,
}

impl Puppet {
    fn dial(node: &Node, from: Identity, lane: Lane) -> Self {
        let mut stream = TcpStream::connect(node.addr).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.write_all(&Hello::new(from, Purpose::Lane(lane)).encode()).unwrap();
        let mut head = Vec::new();
        let used = loop {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
            match HelloAnswer::parse(&head).unwrap() {
                Some((HelloAnswer::Accepted(_), used)) => break used,
                Some((refused, _)) => panic!("{refused:?}"),
                None => {}
            }
        };
        assert_eq!(used, head.len());
        Self { stream, decoder: Decoder::new(4 << 20) }
    }

    /// Reads until so many frames have come.
    fn read(&mut self, count: usize) -> Vec<Frame> {
        let mut frames = Vec::new();
        let mut chunk = vec![0; 1 << 20];
        while frames.len() < count {
            let read = self.stream.read(&mut chunk).unwrap();
            assert!(read > 0, "closed after {} frames", frames.len());
            self.decoder.feed(&chunk[..read], |frame| frames.push(frame)).unwrap();
        }
        frames
    }
}

#[test]
fn control_passes_while_bulk_is_stuck_and_what_the_bulk_outbox_took_arrives() {
    let node = Node::start(1);
    let unreachable = Peer { id: 2, tag: tag(2), addr: "127.0.0.1:1".into() };
    node.handle.set_peers(vec![unreachable], 100);
    let puppet_identity = identity(2, 7);
    let mut control = Puppet::dial(&node, puppet_identity, Lane::Control);
    let mut bulk = Puppet::dial(&node, puppet_identity, Lane::Bulk);

    let megabyte = |n: u8| Bytes::from(vec![n; 1 << 20]);
    // The lanes stand a moment after the answer to their hello.
    node.send(2, Lane::Control, b"ready");
    control.read(1);
    node.send(2, Lane::Bulk, &megabyte(0));
    let dropped = node.metrics.outbox_dropped.get();
    let mut taken = 1;
    while node.handle.send(2, Lane::Bulk, Service::Raft, megabyte(taken)) {
        taken += 1;
        assert!(taken < 200, "the outbox has a bound");
    }
    assert!(usize::from(taken) >= (BULK_OUTBOX >> 20) - 1);
    assert_eq!(node.metrics.outbox_dropped.get(), dropped + 1);
    for n in 0..100u8 {
        assert!(node.handle.send(2, Lane::Control, Service::Raft, Bytes::from(vec![n])));
        assert_eq!(control.read(1)[0].body, [n].as_slice());
    }
    let frames = bulk.read(taken.into());
    assert!(frames.iter().zip(0..).all(|(frame, n)| frame.body == megabyte(n)));
}

#[test]
fn bulk_leaves_room_for_control_in_a_full_inbox() {
    let receiver = Node::start_with(identity(1, 1), listen(), bounded(8));
    let sender = Node::start(2);
    introduce(&[&receiver, &sender]);
    wait_for(&receiver.raft, |event| is_up(event, 2));
    sender.send(1, Lane::Bulk, b"bulk");
    for _ in 0..100 {
        assert!(sender.handle.send(1, Lane::Bulk, Service::Raft, Bytes::from_static(b"bulk")));
    }
    eventually("the inbox to be crowded", || receiver.metrics.inbox_dropped.get() >= 90);
    assert!(sender.handle.send(1, Lane::Control, Service::Raft, Bytes::from_static(b"beat")));
    wait_for(
        &receiver.raft,
        |event| matches!(event, Inbound::Message { body, .. } if body == b"beat".as_slice()),
    );
}

#[test]
fn crossing_dials_settle_to_one_connection_per_lane() {
    for _ in 0..6 {
        let (a, b) = (Node::start(1), Node::start(2));
        let (to_a, to_b) = (Proxy::to(a.addr), Proxy::to(b.addr));
        let at =
            |node: &Node, proxy: &Proxy| Peer { addr: proxy.addr.to_string(), ..node.as_peer() };
        a.handle.set_peers(vec![at(&b, &to_b)], 100);
        b.handle.set_peers(vec![at(&a, &to_a)], 100);
        wait_for(&a.raft, |event| is_up(event, 2));
        wait_for(&b.raft, |event| is_up(event, 1));
        for lane in Lane::ALL {
            a.send(2, lane, b"ping");
            b.send(1, lane, b"pong");
        }
        let live = || to_a.live.load(Ordering::SeqCst) + to_b.live.load(Ordering::SeqCst);
        eventually("two connections", || live() == 2);
        let events: Vec<Inbound> = a.raft.try_iter().chain(b.raft.try_iter()).collect();
        assert!(!events.iter().any(|event| matches!(event, Inbound::Down { .. })), "{events:?}");
    }
}

#[test]
fn a_process_that_ends_is_gone_because_its_address_refuses() {
    let (a, b) = (Node::start(1), Node::start(2));
    introduce(&[&a, &b]);
    wait_for(&a.raft, |event| is_up(event, 2));
    b.stop();
    let (event, before) = wait_for(&a.raft, is_gone);
    assert_eq!(event, Inbound::Gone { peer: 2, evidence: Evidence::Refused });
    assert!(before.contains(&Inbound::Down { peer: 2 }));
    assert!(!a.handle.connected(2));
    assert!(!a.handle.send(2, Lane::Control, Service::Raft, Bytes::new()));
}

#[test]
fn a_restarted_process_shows_another_nonce() {
    let a = Node::start(1);
    let listener = listen();
    // The listener outlives the process, so that nothing is ever refused.
    let b = Node::start_as(identity(2, 20), listener.try_clone().unwrap());
    introduce(&[&a, &b]);
    wait_for(&a.raft, |event| *event == up(2, 20));
    b.stop();
    let b = Node::start_as(identity(2, 21), listener);
    b.handle.set_peers(vec![a.as_peer()], 100);
    let (event, before) = wait_for(&a.raft, is_gone);
    assert_eq!(event, Inbound::Gone { peer: 2, evidence: Evidence::NewBoot });
    assert!(!before.iter().any(|event| is_up(event, 2)), "{before:?}");
    let (_, before) = wait_for(&a.raft, |event| *event == up(2, 21));
    assert!(!before.iter().any(is_gone), "{before:?}");
    for lane in Lane::ALL {
        a.send(2, lane, b"welcome back");
        b.send(1, lane, b"thank you");
    }
}

#[test]
fn a_broken_connection_alone_is_no_evidence() {
    let (a, b) = (Node::start(1), Node::start(2));
    let proxy = Proxy::to(b.addr);
    a.handle.set_peers(vec![Peer { addr: proxy.addr.to_string(), ..b.as_peer() }], 100);
    // Nobody listens where node 2 looks for node 1, so that all connections pass the proxy.
    b.handle.set_peers(vec![Peer { addr: "127.0.0.1:1".into(), ..a.as_peer() }], 100);
    wait_for(&a.raft, |event| is_up(event, 2));
    for round in 0..5 {
        a.send(2, Lane::Bulk, b"both lanes stand");
        proxy.cut();
        let (_, before) = wait_for(&a.raft, |event| is_up(event, 2));
        assert!(before.contains(&Inbound::Down { peer: 2 }), "round {round}: {before:?}");
        assert!(!before.iter().any(is_gone), "round {round}: {before:?}");
    }
}

#[test]
fn a_peer_that_moves_is_reached_at_its_new_address() {
    let (a, b) = (Node::start(1), Node::start(2));
    introduce(&[&a, &b]);
    wait_for(&a.raft, |event| is_up(event, 2));
    b.stop();
    wait_for(&a.raft, is_gone);
    let b = Node::start_as(identity(2, 22), listen());
    // Node 2 does not know where node 1 is: it is for node 1 to dial.
    b.handle.set_peers(vec![Peer { addr: "127.0.0.1:1".into(), ..a.as_peer() }], 100);
    a.handle.set_peers(vec![b.as_peer()], 100);
    wait_for(&a.raft, |event| *event == up(2, 22));
}

#[test]
fn names_are_resolved() {
    let (a, b) = (Node::start(1), Node::start(2));
    b.handle.set_peers(vec![Peer { addr: "127.0.0.1:1".into(), ..a.as_peer() }], 100);
    let named = format!("localhost:{}", b.addr.port());
    a.handle.set_peers(vec![Peer { addr: named, ..b.as_peer() }], 100);
    wait_for(&a.raft, |event| is_up(event, 2));
}

#[test]
fn a_node_that_was_admitted_after_our_news_is_let_in() {
    let (old, new) = (Node::start(1), Node::start(9));
    old.handle.set_peers(vec![], 8);
    new.handle.set_peers(vec![old.as_peer()], 9);
    wait_for(&old.raft, |event| is_up(event, 9));
    new.send(1, Lane::Control, b"I am new");
    let greeting = Inbound::Message { from: 9, body: Bytes::from_static(b"I am new") };
    wait_for(&old.raft, |event| *event == greeting);
    old.send(9, Lane::Control, b"so I see");
    wait_for(&new.raft, |event| matches!(event, Inbound::Message { from: 1, .. }));

    // The news arrives, without it: it was removed again.
    old.handle.set_peers(vec![], 10);
    wait_for(&old.raft, |event| *event == Inbound::Down { peer: 9 });
    let (event, _) = wait_for(&new.raft, |event| matches!(event, Inbound::Refused { .. }));
    let Inbound::Refused { peer: 1, refusal } = event else { panic!("{event:?}") };
    assert_eq!(refusal.code, RefusalCode::Removed);
    assert_eq!(refusal.reason, "node 9 is not in the cluster as of index 10: it was removed");
}

#[test]
fn a_foreign_cluster_is_refused_and_told_why() {
    let (a, b) = (Node::start(1), Node::start(2));
    b.handle.set_identity(Identity { cluster: tag(0xdd), ..b.identity });
    introduce(&[&a, &b]);
    for node in [&a, &b] {
        let (event, before) =
            wait_for(&node.raft, |event| matches!(event, Inbound::Refused { .. }));
        let Inbound::Refused { refusal, .. } = event else { unreachable!("it was waited for") };
        assert_eq!(refusal.code, RefusalCode::ForeignCluster);
        assert!(refusal.reason.starts_with("foreign cluster: this node is in"), "{refusal}");
        assert_eq!(before, []);
    }
}

#[test]
fn a_joiner_connects_once_it_has_its_identity() {
    let member = Node::start(1);
    let nobody = Identity { tag: tag(5), boot_nonce: 5, ..Identity::default() };
    let joiner = Node::start_as(nobody, listen());
    let admitted = Peer { id: 5, tag: tag(5), addr: joiner.addr.to_string() };
    member.handle.set_peers(vec![admitted], 5);
    joiner.handle.set_peers(vec![member.as_peer()], 5);
    eventually("a refusal", || joiner.metrics.peer_refused.get() > 0);
    assert!(!member.handle.connected(5));
    joiner.handle.set_identity(identity(5, 5));
    wait_for(&member.raft, |event| is_up(event, 5));
    wait_for(&joiner.raft, |event| is_up(event, 1));
}
