//! Bodies that are taken as they arrive, and bounds on those that are not.
#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod http_support;

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bowline::http::front::Patience;
use bowline::http::reply::Response;
use bowline::http::step::Continue;
use bowline::http::upload::{Took, Upload};
use bowline::http::wire::{Head, Method};
use bowline::http::{Options, Route, Service, Step};
use bowline::ids::Ticket;
use bowline::node::{Ask, Completion, Outcome};
use bytes::Bytes;
use http_support::{Answer, Api, Front, Mood, Node, Wire, problem, until};
use parking_lot::Mutex;

const TABLE: &[Route] = &[
    Route::whole("/plain", &[Method::Get], |_, _, _| Response::text(200, "plain").into()),
    Route::upload("/up/{name}", &[Method::Put], begin),
];

/// What a test knows of, and does to, the uploads under its name.
#[derive(Default)]
struct Probe {
    /// What was taken.
    bytes: Mutex<Vec<u8>>,
    /// Bytes that there is room for; beyond it says that it is full, beyond `refuse` that it is enough.
    room: AtomicUsize,
    refuse: AtomicUsize,
    ticket: Mutex<Option<Ticket>>,
    alive: AtomicUsize,
}

static PROBES: LazyLock<Mutex<BTreeMap<String, Arc<Probe>>>> = LazyLock::new(Mutex::default);

impl Probe {
    fn plan(name: &str, room: usize, refuse: usize) -> Arc<Self> {
        let (room, refuse) = (AtomicUsize::new(room), AtomicUsize::new(refuse));
        let probe = Arc::new(Self { room, refuse, ..Self::default() });
        PROBES.lock().insert(name.to_owned(), Arc::clone(&probe));
        probe
    }

    fn taken(&self) -> usize {
        self.bytes.lock().len()
    }

    fn alive(&self) -> usize {
        self.alive.load(SeqCst)
    }
}

struct Planned(Arc<Probe>);

impl Drop for Planned {
    fn drop(&mut self) {
        self.0.alive.fetch_sub(1, SeqCst);
    }
}

fn begin(_: &Service, name: &str, _: &Head) -> Result<Box<dyn Upload>, Response> {
    let Some(probe) = PROBES.lock().get(name).cloned() else {
        return Err(Response::text(404, "nobody takes this"));
    };
    probe.alive.fetch_add(1, SeqCst);
    Ok(Box::new(Planned(probe)))
}

impl Upload for Planned {
    fn write(&mut self, bytes: Bytes, wake: Ticket) -> Took {
        assert!(!bytes.is_empty() && bytes.len() <= 64 * 1024);
        let length = self.0.taken() + bytes.len();
        if length > self.0.refuse.load(SeqCst) {
            return Took::Refused(Response::text(422, "enough"));
        }
        if length > self.0.room.load(SeqCst) {
            *self.0.ticket.lock() = Some(wake);
            return Took::Full(bytes);
        }
        self.0.bytes.lock().extend_from_slice(&bytes);
        Took::More
    }

    fn finish(self: Box<Self>) -> Step {
        let told = Told(self.0.taken());
        Step::ask(Ask::ReadIndex, Duration::from_secs(5), Box::new(told))
    }
}

#[derive(Debug)]
struct Told(usize);

impl Continue for Told {
    fn go_on(self: Box<Self>, _: &Service, _: Completion) -> Step {
        Response::text(200, format!("{} bytes", self.0)).into()
    }
}

fn start() -> Api {
    start_with(Patience::default())
}

fn start_with(patience: Patience) -> Api {
    let node = Node::start_with_table(Options::default(), TABLE);
    Api::over(node, Front::Mio, patience)
}

fn put(name: &str, fields: &str) -> String {
    format!("PUT /up/{name} HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n")
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

fn chunked(body: &[u8], size: usize) -> Vec<u8> {
    let mut sent = Vec::new();
    for chunk in body.chunks(size) {
        sent.extend_from_slice(format!("{:x};x=y\r\n", chunk.len()).as_bytes());
        sent.extend_from_slice(chunk);
        sent.extend_from_slice(b"\r\n");
    }
    sent.extend_from_slice(b"0\r\nTrailer: t\r\n\r\n");
    sent
}

/// The connection's one answer, and its end.
fn last_answer(mut client: Wire) -> Answer {
    let answer = client.answer();
    assert_eq!(answer.header("Connection"), Some("close"), "{answer:?}");
    client.expect_end();
    answer
}

#[test]
fn a_body_arrives_as_it_was_sent() {
    let api = start();
    let mut client = api.connect();
    let body = pattern(3_000_000);
    for (name, bytes, fields) in [
        ("sized", body.clone(), "Content-Length: 3000000"),
        ("chunked", chunked(&body, 70_001), "Transfer-Encoding: chunked"),
        ("crumbs", chunked(&body, 7), "Transfer-Encoding: chunked"),
    ] {
        let probe = Probe::plan(name, usize::MAX, usize::MAX);
        client.send(put(name, fields));
        client.send(bytes);
        // Already there when the body ends.
        client.send("GET /plain HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(client.answer().body, "3000000 bytes", "{name}");
        assert_eq!(client.answer().body, "plain");
        assert!(*probe.bytes.lock() == body, "{name}");
        assert_eq!(probe.alive(), 0);
    }
    let empty = Probe::plan("empty", usize::MAX, usize::MAX);
    assert_eq!(client.ask("PUT", "/up/empty", "").body, "0 bytes");
    assert_eq!(empty.taken(), 0);
}

#[test]
fn a_taker_that_is_full_slows_the_sender() {
    let api = start();
    let (room, length) = (1_000_000, 64_000_000);
    let probe = Probe::plan("full", room, usize::MAX);
    let mut client = api.connect();
    client.send(put("full", &format!("Content-Length: {length}")));
    let mut writer = client.stream.try_clone().unwrap();
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let sending = std::thread::spawn(move || {
        for piece in pattern(length).chunks(100_000) {
            writer.write_all(piece).unwrap();
            count.fetch_add(piece.len(), SeqCst);
        }
    });
    until("it is full", || probe.ticket.lock().is_some());
    // Others go on meanwhile, and the sender comes to rest when all buffers are full.
    let mut others: Vec<_> = (0..2).map(|_| api.connect()).collect();
    let mut seen = usize::MAX;
    until("the sender rests", || {
        for _ in 0..20 {
            for other in &mut others {
                assert_eq!(other.ask("GET", "/plain", "").status, 200);
            }
        }
        std::mem::replace(&mut seen, sent.load(SeqCst)) == sent.load(SeqCst)
    });
    assert!(seen < 32_000_000, "{seen} bytes are somewhere");
    assert!(probe.taken() <= room && !sending.is_finished());
    probe.room.store(usize::MAX, SeqCst);
    let ticket = probe.ticket.lock().unwrap();
    let completion = Completion { ticket, index: 0, outcome: Outcome::Changed };
    api.node.service.client().completions.deliver(vec![completion]);
    assert_eq!(client.answer().body, format!("{length} bytes"));
    sending.join().unwrap();
    assert!(*probe.bytes.lock() == pattern(length));
}

#[test]
fn the_go_ahead_is_for_bodies_that_are_wanted() {
    let api = start();
    let fields = "Expect: 100-continue\r\nContent-Length: 5";
    let mut client = api.connect();
    Probe::plan("go", usize::MAX, usize::MAX);
    client.send(put("go", fields));
    assert_eq!(client.answer().status, 100);
    client.send("hello");
    assert_eq!(client.answer().body, "5 bytes");
    client.send(put("nobody", fields));
    assert_eq!(last_answer(client).body, "nobody takes this");
}

#[test]
fn a_refusal_comes_before_the_end_and_reaches_the_sender() {
    let api = start();
    let probe = Probe::plan("enough", usize::MAX, 500_000);
    let mut client = api.connect();
    client.send(put("enough", "Content-Length: 4000000"));
    client.send(pattern(4_000_000));
    let answer = last_answer(client);
    assert_eq!((answer.status, answer.body.as_str()), (422, "enough"));
    assert!(probe.taken() <= 500_000);
    assert_eq!(probe.alive(), 0);
}

#[test]
fn a_body_that_breaks_off_is_never_finished() {
    let api = start();
    let probe = Probe::plan("off", usize::MAX, usize::MAX);
    let mut client = api.connect();
    client.send(put("off", "Content-Length: 10"));
    client.send("hello");
    until("it has come", || probe.taken() == 5);
    drop(client);
    until("it is dropped", || probe.alive() == 0);
    let mut client = api.connect();
    client.send(put("off", "Transfer-Encoding: chunked"));
    client.send("5\r\nhelloX");
    assert_eq!(last_answer(client).status, 400);
    assert_eq!(probe.alive(), 0);
}

#[test]
fn a_sender_that_leaves_while_it_is_held_up_is_noticed() {
    let api = start();
    let probe = Probe::plan("held", 0, usize::MAX);
    let mut client = api.connect();
    client.send(put("held", "Content-Length: 1000000"));
    client.send(pattern(100_000));
    until("it is full", || probe.ticket.lock().is_some());
    socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    until("it is dropped", || probe.alive() == 0);
}

#[test]
fn a_sender_that_stops_is_told_so() {
    let patience = Patience { body: Duration::from_millis(100), ..Patience::default() };
    let api = start_with(patience);
    let probe = Probe::plan("stalled", usize::MAX, usize::MAX);
    let mut client = api.connect();
    client.send(put("stalled", "Content-Length: 10"));
    client.send("hello");
    assert_eq!(last_answer(client).status, 408);
    assert_eq!(probe.alive(), 0);
    // Not one that waits for the taker.
    let probe = Probe::plan("patient", 0, usize::MAX);
    let mut client = api.connect();
    client.send(put("patient", "Content-Length: 10"));
    client.send("hello");
    until("it is full", || probe.ticket.lock().is_some());
    let mut other = api.connect();
    Probe::plan("other", usize::MAX, usize::MAX);
    other.send(put("other", "Content-Length: 10"));
    assert_eq!(last_answer(other).status, 408);
    assert_eq!(probe.alive(), 1);
}

#[test]
fn stopping_ends_uploads() {
    let patience = Patience { stop: Duration::from_secs(600), ..Patience::default() };
    let api = start_with(patience);
    let probe = Probe::plan("stop", 7, usize::MAX);
    let mut clients: Vec<_> = (0..2).map(|_| api.connect()).collect();
    for client in &mut clients {
        client.send(put("stop", "Content-Length: 10"));
        client.send("hello");
    }
    until("one is full", || probe.ticket.lock().is_some());
    let Api { node: _node, front } = api;
    front.stop();
    for client in &mut clients {
        client.expect_end();
    }
    assert_eq!(probe.alive(), 0);
}

#[test]
fn uploads_wait_for_their_turn_to_be_answered() {
    let api = start();
    api.node.set_mood(Mood::Silent);
    Probe::plan("turn", usize::MAX, usize::MAX);
    let mut client = api.connect();
    client.send(put("turn", "Content-Length: 5"));
    client.send("hello");
    client.send(put("turn", "Content-Length: 2"));
    client.send("ho");
    client.send("GET /plain HTTP/1.1\r\nHost: h\r\n\r\n");
    api.node.wait_until_kept(2);
    api.node.set_mood(Mood::Fine);
    for body in ["5 bytes", "7 bytes", "plain"] {
        assert_eq!(client.answer().body, body);
    }
}

#[test]
fn the_thin_front_takes_no_bodies_in_pieces() {
    let node = Node::start_with_table(Options::default(), TABLE);
    let api = Api::over(node, Front::Tiny, Patience::default());
    Probe::plan("thin", usize::MAX, usize::MAX);
    problem(&api.ask("PUT", "/up/thin", "hello"), 501);
    // Nothing is nothing to be handed on.
    assert_eq!(api.ask("PUT", "/up/thin", "").body, "0 bytes");
}

fn limits_are_named(front: Front) {
    let options = Options { value_max: 1000, ..Options::default() };
    let api = Api::start_with(front, options, Patience::default());
    for (method, target, length, named) in [
        ("PUT", "/v1/kv/k", 1001, "--kv-value-max"),
        ("PUT", "/v1/kv/k", 1001, "1000"),
        ("PUT", "/v1/txn", 5_000_000, "4194304"),
        ("PUT", "/v1/session/create", 20_000, "16384"),
    ] {
        let answer = api.ask(method, target, &"x".repeat(length));
        assert_eq!(answer.status, 413, "{target}");
        assert_eq!(answer.header("Content-Type"), Some("text/plain; charset=utf-8"));
        assert!(answer.body.contains(named), "{answer:?}");
    }
    for (target, length, named) in [("/api/kv/k", 1001, "1000"), ("/", 20_000, "16384")] {
        let told = problem(&api.ask("PUT", target, &"x".repeat(length)), 413);
        assert!(told["detail"].as_str().unwrap().contains(named), "{told}");
    }
}

both_fronts!(limits_are_named);

#[test]
fn bodies_that_are_under_way_are_bounded_together() {
    let options = Options { bodies_max: 800_000, ..Options::default() };
    let api = Api::start_with(Front::Mio, options, Patience::default());
    let half = "x".repeat(300_000);
    let head =
        |path: &str| format!("PUT {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 500000\r\n\r\n");
    let mut first = api.connect();
    first.send(head("/v1/kv/a"));
    first.send(&half);
    until("it has come", || api.node.service.limits().bodies.used() >= half.len());
    for (path, kind) in
        [("/v1/kv/b", "text/plain; charset=utf-8"), ("/api/kv/b", "application/problem+json")]
    {
        let mut second = api.connect();
        second.send(head(path));
        second.send(&half);
        let answer = last_answer(second);
        assert_eq!((answer.status, answer.header("Retry-After")), (503, Some("1")));
        assert_eq!(answer.header("Content-Type"), Some(kind));
    }
    assert_eq!(api.put("https://example.com/").status, 201, "small ones pass");
    drop(first);
    until("it is forgotten", || api.node.service.limits().bodies.used() == 0);
}
