//! The peer port towards those who are no members: guests, probes, web clients, strangers.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bowline::ids::Id128;
use bowline::transport::guest::{self, CallError};
use bowline::transport::limits::{MAX_GUEST_BODY, MAX_GUESTS, MAX_UNFINISHED};
use bowline::transport::{Hello, HelloAnswer, Identity, Inbound, Lane, Purpose, RefusalCode};
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::support::{DEADLINE, Node, eventually, identity, introduce, listen, tag, wait_for};

fn joiner() -> Hello {
    let nobody = Identity { tag: tag(77), boot_nonce: 7, ..Identity::default() };
    Hello::new(nobody, Purpose::Guest)
}

/// All that comes until the connection ends, however it ends.
fn read_to_the_end(stream: &mut TcpStream) -> Vec<u8> {
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut all = Vec::new();
    match stream.read_to_end(&mut all) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("{error}"),
        _ => all,
    }
}

/// Answers each guest with its own words, reversed, until the node stops.
fn echo(node: &Node) {
    let (handle, guests) = (node.handle.clone(), node.guests.clone());
    thread::spawn(move || {
        for question in guests {
            let Inbound::Guest { conn, body, .. } = question else { panic!("{question:?}") };
            handle.answer(conn, body.iter().rev().copied().collect());
        }
    });
}

#[test]
fn a_guest_asks_and_is_answered() {
    let node = Node::start(1);
    echo(&node);
    let addr = node.addr.to_string();
    assert_eq!(guest::call(&addr, joiner(), b"let me in", DEADLINE).unwrap(), b"ni em tel");
    let named = format!("localhost:{}", node.addr.port());
    let large = vec![3; MAX_GUEST_BODY];
    assert_eq!(guest::call(&named, joiner(), &large, DEADLINE).unwrap(), large);
    let too_large = guest::call(&addr, joiner(), &[0; MAX_GUEST_BODY + 1], DEADLINE);
    assert!(matches!(too_large, Err(CallError::TooLarge(_))), "{too_large:?}");
}

#[test]
fn there_is_room_for_so_many_guests_and_an_answer_to_one_that_left_is_dropped() {
    let node = Node::start(1);
    let hello = joiner().encode();
    let mut guests: Vec<TcpStream> = (0..MAX_GUESTS)
        .map(|_| {
            let mut stream = TcpStream::connect(node.addr).unwrap();
            stream.write_all(&hello).unwrap();
            stream.read_exact(&mut [0]).unwrap();
            stream
        })
        .collect();
    let busy = guest::call(&node.addr.to_string(), joiner(), b"", DEADLINE);
    assert!(
        matches!(&busy, Err(CallError::Refused { refusal, .. }) if refusal.code == RefusalCode::Busy),
        "{busy:?}"
    );
    guests[0]
        .write_all(&[&bowline::transport::frame::header(3, b"?"), &b"?"[..]].concat())
        .unwrap();
    let question = node.guests.recv_timeout(DEADLINE).unwrap();
    let Inbound::Guest { conn, from, .. } = question else { panic!("{question:?}") };
    assert_eq!(from, guests[0].local_addr().unwrap());
    drop(guests);
    eventually("the guest to be forgotten", || !node.handle.answer(conn, Bytes::new()));
}

#[test]
fn a_probe_learns_who_is_there() {
    let node = Node::start(1);
    let addr = node.addr.to_string();
    let accepted = guest::identify(&addr, joiner(), DEADLINE).unwrap();
    assert_eq!(accepted.from, node.identity);
    let wrong = guest::probe(&addr, joiner().expecting(2, tag(2)), DEADLINE).unwrap();
    let HelloAnswer::Refused(refusal) = wrong else { panic!("{wrong:?}") };
    assert_eq!(
        (refusal.code, refusal.reason.as_str()),
        (RefusalCode::WrongNode, "this is node 1, not node 2")
    );

    let foreign = Identity { cluster: Id128([9; 16]), ..identity(2, 2) };
    let error = guest::identify(&addr, Hello::new(foreign, Purpose::Probe), DEADLINE).unwrap_err();
    let expected =
        format!("{addr} refused: foreign cluster: this node is in {}, ", node.identity.cluster);
    assert!(error.to_string().starts_with(&expected), "{error}");
}

#[test]
fn a_joiner_can_be_dialled_back() {
    let nobody = Identity { tag: tag(5), boot_nonce: 5, ..Identity::default() };
    let joiner = Node::start_as(nobody, listen());
    let addr = joiner.addr.to_string();
    let dial_back = |of| Hello::new(identity(1, 1), Purpose::Probe).expecting(0, tag(of));
    assert_eq!(guest::identify(&addr, dial_back(5), DEADLINE).unwrap().from, nobody);
    let error = guest::identify(&addr, dial_back(6), DEADLINE).unwrap_err();
    assert!(error.to_string().contains("this is data directory"), "{error}");
    let error = guest::call(&addr, self::joiner(), b"may I?", DEADLINE).unwrap_err();
    assert!(
        error.to_string().ends_with("refused: this node has not yet joined a cluster"),
        "{error}"
    );
}

#[test]
fn calls_that_fail_say_why() {
    let timeout = Duration::from_millis(200);
    let vacated = listen().local_addr().unwrap().to_string();
    let error = guest::call(&vacated, joiner(), b"", timeout).unwrap_err();
    assert_eq!(error.to_string(), format!("nothing listens at {vacated} (connection refused)"));

    let silent = listen();
    let addr = silent.local_addr().unwrap().to_string();
    let error = guest::call(&addr, joiner(), b"", timeout).unwrap_err();
    assert_eq!(error.to_string(), format!("no answer from {addr} in time"));

    let error = guest::call("no-port-here", joiner(), b"", DEADLINE).unwrap_err();
    assert!(error.to_string().starts_with("cannot resolve no-port-here: "), "{error}");
}

#[test]
fn an_http_port_is_recognised_as_such() {
    let server = Arc::new(tiny_http::Server::http("127.0.0.1:0").unwrap());
    let addr = server.server_addr().to_string();
    let requests = Arc::clone(&server);
    let serving = thread::spawn(move || {
        for request in requests.incoming_requests() {
            // It may not like the request so much as to have closed already.
            let _ = request.respond(tiny_http::Response::empty(404));
        }
    });
    let error = guest::call(&addr, joiner(), b"", DEADLINE).unwrap_err();
    let expected = format!("{addr} is an HTTP port: use the peer port, 7071 by default");
    assert_eq!(error.to_string(), expected);
    server.unblock();
    serving.join().unwrap();
}

#[test]
fn a_web_client_is_told_that_this_is_no_web_server() {
    let node = Node::start(1);
    for request in ["GET / HTTP/1.1\r\nHost: x\r\n\r\n", "PUT / HTTP/1.1\r\n", "DELETE "] {
        let mut stream = TcpStream::connect(node.addr).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let answer = String::from_utf8(read_to_the_end(&mut stream)).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
        assert!(answer.contains("peer port"), "{answer}");
    }
    assert_eq!(node.metrics.peer_refused.get(), 3);
}

#[test]
fn garbage_is_neither_answered_nor_deadly() {
    let (a, b) = (Node::start(1), Node::start(2));
    introduce(&[&a, &b]);
    let mut random = StdRng::seed_from_u64(1);
    for round in 0..200 {
        let mut stream = TcpStream::connect(a.addr).unwrap();
        let mut bytes = vec![0; random.random_range(1..5000)];
        random.fill(&mut bytes[..]);
        if round % 2 == 0 {
            // A true magic, then garbage.
            bytes.splice(..0, joiner().encode()[..22].to_vec());
        }
        // The other side may have closed already.
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        assert_eq!(read_to_the_end(&mut stream), b"", "a stranger got an answer");
    }
    assert_eq!(a.metrics.peer_refused.get(), 200);

    // Nor after a true handshake.
    let mut stream = TcpStream::connect(a.addr).unwrap();
    stream.write_all(&[joiner().encode(), b"no frame at all".to_vec()].concat()).unwrap();
    let answer = read_to_the_end(&mut stream);
    let (_, used) = HelloAnswer::parse(&answer).unwrap().unwrap();
    assert_eq!(used, answer.len());

    a.send(2, Lane::Control, b"still here");
    wait_for(&b.raft, |event| matches!(event, Inbound::Message { .. }));
}

#[test]
fn those_who_say_nothing_are_closed_and_cannot_keep_members_out() {
    let (a, b) = (Node::start(1), Node::start(2));
    let started = Instant::now();
    let mut idlers: Vec<TcpStream> =
        (0..MAX_UNFINISHED + 6).map(|_| TcpStream::connect(a.addr).unwrap()).collect();
    let youngest = idlers.split_off(6);
    for mut idler in idlers {
        assert_eq!(read_to_the_end(&mut idler), b"", "the oldest gave way");
    }
    // Only node 2 dials.
    a.handle
        .set_peers(vec![bowline::transport::Peer { addr: "127.0.0.1:1".into(), ..b.as_peer() }], 9);
    b.handle.set_peers(vec![a.as_peer()], 9);
    wait_for(&a.raft, |event| matches!(event, Inbound::Up { peer: 2, .. }));
    for mut idler in youngest {
        assert_eq!(read_to_the_end(&mut idler), b"");
    }
    assert!(started.elapsed() >= Duration::from_secs(4), "they were given time for a handshake");
}
