//! Answers that are made while they are sent, and answers that take computing: what a client gets, what
//! it costs when it does not take it, and that nobody else waits for it.
#![allow(clippy::unwrap_used, reason = "tests")]

mod http_support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use bowline::http::front::Patience;
use bowline::http::reply::{Body, Response};
use bowline::http::stream::{Piece, Source, Stream};
use bowline::http::wire::{Method, Request};
use bowline::http::work::{Task, Worked};
use bowline::http::{Options, Route, Service, Step};
use bowline::ids::Ticket;
use bowline::node::{Completion, Outcome};
use http_support::{Api, Front, Node, Wire, problem, until};
use parking_lot::Mutex;

const METHODS: &[Method] = &[Method::Get, Method::Head];
const TABLE: &[Route] = &[
    Route::whole("/plain", METHODS, |_, _, _| Response::text(200, "plain").into()),
    Route::whole("/empty/{status}", METHODS, |_, status, _| {
        Response { body: Body::Static("never sent"), ..Response::new(status.parse().unwrap()) }
            .into()
    }),
    Route::whole("/stream/{name}", METHODS, stream),
    Route::whole("/v1/stream/{name}", METHODS, stream),
    Route::whole("/events/{name}", METHODS, stream),
    Route::whole("/count/{name}", METHODS, |_, name, _| {
        Step::work(Box::new(Counting(probe(name))))
    }),
];
/// Bytes of a full piece.
const PIECE: usize = 64 * 1024;
/// Long enough for an answer to be on time, short enough to wait for it.
const BRIEF: Duration = Duration::from_millis(100);

/// What a test knows of, and does to, the sources and tasks under its name.
#[derive(Default)]
struct Probe {
    /// Pieces to give, and their size.
    pieces: AtomicUsize,
    size: AtomicUsize,
    /// What comes after the pieces.
    then: Mutex<Option<Piece>>,
    /// How often one was asked, or worked.
    calls: AtomicUsize,
    /// The last ticket that one was given, and when.
    ticket: Mutex<Option<(Ticket, Instant)>>,
    /// How many there are.
    alive: AtomicUsize,
    /// Tells a task that it is done.
    done: AtomicBool,
}

static PROBES: LazyLock<Mutex<BTreeMap<String, Arc<Probe>>>> = LazyLock::new(Mutex::default);

/// What goes by this name; each test has names of its own.
fn probe(name: &str) -> Arc<Probe> {
    Arc::clone(PROBES.lock().entry(name.to_owned()).or_default())
}

impl Probe {
    fn plan(name: &str, pieces: usize, size: usize, then: Piece) -> Arc<Self> {
        let probe = probe(name);
        probe.pieces.store(pieces, SeqCst);
        probe.size.store(size, SeqCst);
        *probe.then.lock() = Some(then);
        probe
    }

    fn calls(&self) -> usize {
        self.calls.load(SeqCst)
    }

    fn alive(&self) -> usize {
        self.alive.load(SeqCst)
    }
}

struct Planned {
    probe: Arc<Probe>,
    given: usize,
}

impl Drop for Planned {
    fn drop(&mut self) {
        self.probe.alive.fetch_sub(1, SeqCst);
    }
}

impl Source for Planned {
    fn next(&mut self, wake: Ticket) -> Piece {
        self.probe.calls.fetch_add(1, SeqCst);
        *self.probe.ticket.lock() = Some((wake, Instant::now()));
        if self.given >= self.probe.pieces.load(SeqCst) {
            return self.probe.then.lock().clone().unwrap();
        }
        self.given += 1;
        let letter = b'a' + u8::try_from(self.given % 26).unwrap();
        Piece::Data(vec![letter; self.probe.size.load(SeqCst)].into())
    }
}

fn stream(_: &Service, name: &str, request: &Request) -> Step {
    let probe = probe(name);
    probe.alive.fetch_add(1, SeqCst);
    let source = Planned { probe, given: 0 };
    let events = request.path().starts_with("/events");
    let stream = if events { Stream::of_events(source) } else { Stream::new(source) };
    Response { body: Body::Stream(stream), ..Response::new(200) }.into()
}

struct Counting(Arc<Probe>);

impl Task for Counting {
    fn step(self: Box<Self>, _: &Service) -> Worked {
        let before = self.0.calls.fetch_add(1, SeqCst);
        self.0.alive.store(1, SeqCst);
        if self.0.done.load(SeqCst) {
            return Worked::Done(Response::text(200, "worked").into());
        }
        assert!(before < usize::MAX / 2, "counted");
        Worked::Again(self)
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.0.alive.store(0, SeqCst);
    }
}

fn start() -> Api {
    start_with(Options::default(), Patience::default())
}

fn start_with(options: Options, patience: Patience) -> Api {
    Api::over(Node::start_with_table(options, TABLE), Front::Mio, patience)
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n")
}

fn whole(probe: &Probe) -> Vec<u8> {
    let (pieces, size) = (probe.pieces.load(SeqCst), probe.size.load(SeqCst));
    (1..=pieces).flat_map(|n| vec![b'a' + u8::try_from(n % 26).unwrap(); size]).collect()
}

/// Far away: it can only be woken.
fn rests() -> Piece {
    Piece::Wait(Instant::now() + Duration::from_secs(3600))
}

#[test]
fn a_stream_comes_in_chunks_and_the_connection_goes_on() {
    let api = start();
    let probe = Probe::plan("chunks", 100, 10_000, Piece::End);
    let mut client = api.connect();
    for _ in 0..2 {
        let answer = client.ask("GET", "/stream/chunks", "");
        assert_eq!(answer.header("Transfer-Encoding"), Some("chunked"));
        assert_eq!(answer.header("Content-Length"), None);
        assert_eq!(answer.header("Connection"), None);
        assert!(answer.header("X-Bowline-Index").is_some());
        assert!(answer.body.as_bytes() == whole(&probe));
    }
    assert_eq!(client.ask("GET", "/plain", "").body, "plain");
    until("it is dropped at its end", || probe.alive() == 0);
}

#[test]
fn an_old_client_knows_the_end_by_the_end() {
    let api = start();
    let probe = Probe::plan("old", 50, 10_000, Piece::End);
    let mut client = api.connect();
    // What it sends after that would be answered by nothing it could tell from the stream.
    let request = "GET /stream/old HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    client.send(format!("{request}{request}"));
    let head = client.head();
    assert_eq!(head.header("Transfer-Encoding"), None);
    assert_eq!(head.header("Content-Length"), None);
    assert_eq!(head.header("Connection"), Some("close"));
    let (body, ended) = client.rest();
    assert!(ended && body == whole(&probe));
}

#[test]
fn the_head_alone_asks_for_no_piece() {
    let api = start();
    let probe = Probe::plan("head", 1, 10, Piece::End);
    let mut client = api.connect();
    for version in ["1.1", "1.0"] {
        client.send(format!(
            "HEAD /stream/head HTTP/{version}\r\nHost: h\r\nConnection: keep-alive\r\n\r\n"
        ));
        let head = client.head();
        assert_eq!((head.status, head.header("Content-Length")), (200, None));
    }
    assert_eq!(client.ask("GET", "/plain", "").body, "plain");
    assert_eq!((probe.calls(), probe.alive()), (0, 0));
}

#[test]
fn some_answers_end_with_their_head() {
    let api = start();
    let mut client = api.connect();
    for status in [204, 304] {
        let answer = client.ask("GET", &format!("/empty/{status}"), "");
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("Content-Length"), None);
        assert_eq!(answer.header("Content-Type"), None);
    }
    assert_eq!(client.ask("GET", "/plain", "").body, "plain");
}

#[test]
fn answers_keep_the_order_of_their_requests() {
    let api = start();
    let probe = Probe::plan("order", 20, 50_000, Piece::End);
    let mut client = api.connect();
    let plain = get("/plain");
    client.send(format!("{plain}{0}{plain}{0}{0}{plain}", get("/stream/order")));
    for streams in [false, true, false, true, true, false] {
        let answer = client.answer();
        let body = if streams { whole(&probe) } else { b"plain".to_vec() };
        assert!(answer.body.as_bytes() == body, "{streams}");
    }
}

#[test]
fn a_client_that_does_not_read_costs_little() {
    let api = start();
    let pieces = 4096;
    let probe = Probe::plan("unread", pieces, PIECE, Piece::End);
    let mut client = api.connect();
    socket2::SockRef::from(&client.stream).set_recv_buffer_size(PIECE).unwrap();
    client.send(get("/stream/unread"));
    // While others are served by the same loops, it fills what buffers there are and then rests.
    let mut others: Vec<_> = (0..2).map(|_| api.connect()).collect();
    let mut seen = usize::MAX;
    until("it rests", || {
        for _ in 0..20 {
            for other in &mut others {
                assert_eq!(other.ask("GET", "/plain", "").status, 200);
            }
        }
        std::mem::replace(&mut seen, probe.calls()) == probe.calls()
    });
    // The kernel keeps a few MiB for a socket; ours is two pieces.
    assert!(seen * PIECE < 24 << 20, "{seen} pieces of {pieces} were made for nobody");
    let head = client.head();
    assert_eq!(head.status, 200);
    let mut count = 0;
    while let Some(chunk) = client.chunk() {
        assert!(chunk.len() == PIECE);
        count += 1;
    }
    assert_eq!(count, pieces);
}

#[test]
fn who_takes_nothing_for_long_is_closed() {
    let api = start_with(Options::default(), Patience { write: BRIEF, ..Patience::default() });
    let probe = Probe::plan("forgotten", usize::MAX, PIECE, Piece::End);
    let mut client = api.connect();
    client.send(get("/stream/forgotten"));
    // That it goes on sending does not make up for it.
    let mut writer = client.stream.try_clone().unwrap();
    let sending = std::thread::spawn(move || {
        while std::io::Write::write_all(&mut writer, get("/plain").as_bytes()).is_ok() {
            std::thread::yield_now();
        }
    });
    until("it has begun", || probe.calls() > 0);
    until("it is closed", || probe.alive() == 0);
    sending.join().unwrap();
    assert_eq!(api.node.metrics.http_timeouts.get(), 1);
}

#[test]
fn a_client_that_leaves_is_noticed_at_once() {
    let api = start();
    for (name, pieces, then) in [("leaves", usize::MAX, Piece::End), ("leaves-idle", 1, rests())] {
        let probe = Probe::plan(name, pieces, PIECE, then);
        let mut client = api.connect();
        client.send(get(&format!("/events/{name}")));
        assert_eq!(client.head().status, 200);
        assert_eq!(probe.alive(), 1);
        drop(client);
        until("nothing is left", || probe.alive() == 0);
    }
}

#[test]
fn an_answer_that_cannot_be_finished_is_told_from_a_whole_one() {
    let api = start();
    let probe = Probe::plan("broken", 3, 1000, Piece::Broken);
    let mut client = api.connect();
    client.send(format!("{}{}", get("/stream/broken"), get("/plain")));
    assert_eq!(client.head().status, 200);
    let (rest, _) = client.rest();
    let text = String::from_utf8(rest).unwrap();
    assert_eq!(text.matches("3e8\r\n").count(), 3);
    assert!(!text.contains("0\r\n\r\n") && !text.contains("HTTP"), "{text}");

    let mut old = api.connect();
    old.send("GET /stream/broken HTTP/1.0\r\n\r\n");
    let (rest, ended) = old.rest();
    assert!(!ended, "a reset, not an end: {}", String::from_utf8_lossy(&rest));
    assert_eq!(probe.alive(), 0);
}

#[test]
fn endless_answers_leave_others_their_turn() {
    let api = start();
    let probe = Probe::plan("endless", usize::MAX, PIECE, Piece::End);
    let readers: Vec<_> = (0..6)
        .map(|_| {
            let mut client = api.connect();
            client.send(get("/stream/endless").replace("Host: h", "Host: h\r\nConnection: close"));
            std::thread::spawn(move || {
                client.head();
                while client.chunk().is_some() {}
                client.expect_end();
            })
        })
        .collect();
    // If one of them kept its loop to itself, nobody would ever be answered.
    let mut others: Vec<_> = (0..4).map(|_| api.connect()).collect();
    until("they have begun", || probe.calls() > 100);
    for _ in 0..20 {
        for other in &mut others {
            assert_eq!(other.ask("GET", "/plain", "").status, 200);
        }
    }
    probe.pieces.store(0, SeqCst);
    for reader in readers {
        reader.join().unwrap();
    }
}

#[test]
fn endless_work_leaves_others_their_turn() {
    let api = start();
    let names = ["w0", "w1", "w2", "w3"];
    let mut clients: Vec<_> = names
        .iter()
        .map(|name| {
            let mut client = api.connect();
            client.send(format!("{}{}", get(&format!("/count/{name}")), get("/plain")));
            client
        })
        .collect();
    for name in names {
        until("they are at work", || probe(name).calls() > 10);
    }
    let mut other = api.connect();
    for _ in 0..20 {
        assert_eq!(other.ask("GET", "/plain", "").status, 200);
    }
    for (client, name) in clients.iter_mut().zip(names) {
        probe(name).done.store(true, SeqCst);
        assert_eq!(client.answer().body, "worked");
        assert_eq!(client.answer().body, "plain");
    }
}

#[test]
fn nobody_works_for_a_client_that_has_gone() {
    let api = start();
    let mut client = api.connect();
    client.send(get("/count/abandoned"));
    let probe = probe("abandoned");
    until("it is at work", || probe.calls() > 0);
    // A reset; one that only sends nothing more may still want the answer.
    socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    until("it has stopped", || probe.alive() == 0);
}

#[test]
fn a_resting_stream_goes_on_when_it_is_woken() {
    let api = start();
    let probe = Probe::plan("woken", 1, 5, rests());
    let mut client = api.connect();
    client.send(get("/events/woken"));
    assert_eq!(client.head().status, 200);
    for round in 0..3 {
        assert_eq!(client.chunk().unwrap().len(), 5);
        until("it rests", || probe.calls() == 2 * (round + 1));
        probe.pieces.fetch_add(1, SeqCst);
        let (ticket, _) = probe.ticket.lock().unwrap();
        let completion = Completion { ticket, index: 0, outcome: Outcome::Changed };
        api.node.service.client().completions.deliver(vec![completion]);
    }
    assert_eq!(client.chunk().unwrap().len(), 5);
}

#[test]
fn a_resting_stream_goes_on_at_its_time_and_not_before() {
    let api = start();
    let at = Instant::now() + 3 * BRIEF;
    let probe = Probe::plan("timed", 1, 5, Piece::Wait(at));
    let mut client = api.connect();
    client.send(get("/events/timed"));
    client.head();
    client.chunk();
    until("it rests", || probe.calls() == 2);
    *probe.then.lock() = Some(Piece::End);
    assert_eq!(client.chunk(), None);
    assert_eq!(probe.calls(), 3);
    let (_, asked) = probe.ticket.lock().unwrap();
    assert!(asked >= at);
}

#[test]
fn there_is_a_bound_on_streams_and_none_on_events() {
    let options = Options { streams_max: 2, ..Options::default() };
    let api = start_with(options, Patience::default());
    Probe::plan("counted", 1, 5, rests());
    let mut clients: Vec<_> = (0..6).map(|_| api.connect()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        let kind = if number < 2 { "stream" } else { "events" };
        client.send(get(&format!("/{kind}/counted")));
        assert_eq!(client.head().status, 200);
    }
    assert_eq!(api.node.service.streams(), 2);
    let refused = problem(&api.get("/stream/counted"), 429);
    assert_eq!(refused["retryable"], true);
    let refused = api.get("/v1/stream/counted");
    assert_eq!((refused.status, refused.header("Retry-After")), (429, Some("1")));
    assert_eq!(refused.header("Content-Type"), Some("text/plain; charset=utf-8"));
    drop(clients.remove(0));
    until("its place is free", || api.node.service.streams() == 1);
    let mut client = api.connect();
    client.send(get("/stream/counted"));
    assert_eq!(client.head().status, 200);
}

#[test]
fn stopping_cuts_what_rests_and_finishes_what_goes_on() {
    let patience = Patience { stop: Duration::from_secs(600), ..Patience::default() };
    let api = start_with(Options::default(), patience);
    let resting = Probe::plan("cut", 1, 5, rests());
    let going = Probe::plan("finished", 500, PIECE, Piece::End);
    let mut cut = api.connect();
    cut.send(get("/events/cut"));
    assert_eq!(cut.head().status, 200);
    assert_eq!(cut.chunk().unwrap().len(), 5);
    until("it rests", || resting.calls() == 2);
    let mut whole = api.connect();
    whole.send(get("/stream/finished"));
    until("it has begun", || going.calls() > 0);
    let Api { node: _node, front } = api;
    let reading = std::thread::spawn(move || {
        whole.head();
        let mut count = 0;
        while whole.chunk().is_some() {
            count += 1;
        }
        count
    });
    front.stop();
    assert_eq!(reading.join().unwrap(), 500);
    let (rest, _) = cut.rest();
    assert!(rest.is_empty(), "no last chunk: it is not whole");
    assert_eq!((resting.alive(), going.alive()), (0, 0));
}

#[test]
fn the_thin_front_sends_what_it_can_gather() {
    let node = Node::start_with_table(Options::default(), TABLE);
    let api = Api::over(node, Front::Tiny, Patience::default());
    let probe = Probe::plan("gathered", 10, 10_000, Piece::End);
    let answer = api.get("/stream/gathered");
    assert!(answer.status == 200 && answer.body.as_bytes() == whole(&probe));
    crate::probe("tiny-work").done.store(true, SeqCst);
    assert_eq!(api.get("/count/tiny-work").body, "worked");
    for (name, pieces, then, status) in [
        ("gathered-long", usize::MAX, Piece::End, 501),
        ("gathered-rests", 1, rests(), 501),
        ("gathered-broken", 1, Piece::Broken, 500),
    ] {
        let probe = Probe::plan(name, pieces, PIECE, then);
        problem(&api.get(&format!("/stream/{name}")), status);
        assert_eq!(probe.alive(), 0);
    }
    let mut client: Wire = api.connect();
    assert_eq!(client.ask("GET", "/plain", "").body, "plain");
}
