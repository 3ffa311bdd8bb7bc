//! Requests that wait for a change: without a thread, until exactly their deadline, and only for as long
//! as there is somebody to tell.
#![allow(clippy::unwrap_used, reason = "tests")]

mod http_support;

use std::time::{Duration, Instant};

use bowline::error::{Failure, Reason};
use bowline::http::front::Patience;
use bowline::http::reply::Response;
use bowline::http::step::{Continue, Waiter, Woken};
use bowline::http::wire::{Method, Request};
use bowline::http::work::{Task, Worked};
use bowline::http::{Options, Route, Service, Step};
use bowline::node::{Ask, Completion, Outcome};
use bowline::state::Changes;
use bowline::watch::{Topic, Watch};
use bytes::Bytes;
use http_support::{Api, Front, Mood, Node, problem, until};

const GET: &[Method] = &[Method::Get];
const TABLE: &[Route] = &[
    Route::whole("/plain", GET, |_, _, _| Response::text(200, "plain").into()),
    Route::whole("/wait/{row}", GET, wait),
    Route::whole("/ask", GET, |_, _, _| ask(Box::new(Asked))),
    Route::whole("/ask-wait/{row}", GET, |_, row, _| ask(Box::new(AskedFirst(row.to_owned())))),
    Route::whole("/work-ask", GET, |_, _, _| Step::work(Box::new(Chain(5)))),
];

/// `?ms=N`: how long. `?skip=N`: how many wake-ups are for nothing. `?race`: the row changes before the
/// wait has begun.
fn wait(service: &Service, row: &str, request: &Request) -> Step {
    let number = |name: &str| {
        let mut pairs = request.query().split('&').filter_map(|it| it.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value.parse().unwrap())
    };
    let deadline = Instant::now() + Duration::from_millis(number("ms").unwrap_or(3_600_000));
    let skip = number("skip").unwrap_or(0);
    let row = Bytes::copy_from_slice(row.as_bytes());
    let Ok(watch) = service.client().watches.watch(vec![Topic::Row(row.clone())]) else {
        return Response::text(429, "full").into();
    };
    if request.query() == "race" {
        service.client().watches.changed(&Changes::Rows(vec![row]));
    }
    Step::wait(watch, deadline, Box::new(Waits { skip, deadline }))
}

#[derive(Debug)]
struct Waits {
    skip: u64,
    deadline: Instant,
}

impl Waiter for Waits {
    fn woken(mut self: Box<Self>, _: &Service, watch: Watch, woken: Woken) -> Step {
        match woken {
            Woken::Changed if self.skip > 0 => {
                self.skip -= 1;
                watch.reset();
                Step::wait(watch, self.deadline, self)
            }
            Woken::Changed => Response::text(200, "changed").into(),
            Woken::TimedOut => Response::text(200, "timed out").into(),
        }
    }
}

fn ask(then: Box<dyn Continue>) -> Step {
    Step::ask(Ask::ReadIndex, Duration::from_secs(5), then)
}

#[derive(Debug)]
struct Asked;

impl Continue for Asked {
    fn go_on(self: Box<Self>, _: &Service, completion: Completion) -> Step {
        match completion.outcome {
            Outcome::Readable => Response::text(200, "readable").into(),
            other => Response::text(503, format!("{other:?}")).into(),
        }
    }
}

#[derive(Debug)]
struct AskedFirst(String);

impl Continue for AskedFirst {
    fn go_on(self: Box<Self>, service: &Service, _: Completion) -> Step {
        let row = Bytes::from(self.0.into_bytes());
        let watch = service.client().watches.watch(vec![Topic::Row(row)]).unwrap();
        let deadline = Instant::now() + Duration::from_secs(3600);
        Step::wait(watch, deadline, Box::new(Waits { skip: 0, deadline }))
    }
}

struct Chain(usize);

impl Task for Chain {
    fn step(mut self: Box<Self>, _: &Service) -> Worked {
        match self.0.checked_sub(1) {
            None => Worked::Done(ask(Box::new(Asked))),
            Some(left) => {
                self.0 = left;
                Worked::Again(self)
            }
        }
    }
}

fn start() -> Api {
    start_with(Patience::default())
}

fn start_with(patience: Patience) -> Api {
    let node = Node::start_with_table(Options::default(), TABLE);
    Api::over(node, Front::Mio, patience)
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n")
}

impl Api {
    fn change(&self, row: &'static str) {
        let row = Bytes::from_static(row.as_bytes());
        self.node.service.client().watches.changed(&Changes::Rows(vec![row]));
    }

    fn until_watched(&self, count: usize) {
        let watches = &self.node.service.client().watches;
        until(&format!("{count} watches"), || watches.len() == count);
    }

    fn woken(&self) -> u64 {
        self.node.metrics.watch_wakeups.get()
    }
}

#[test]
fn a_change_wakes_who_waits_for_it_and_nobody_else() {
    let api = start();
    let mut here = api.connect();
    let mut there = api.connect();
    here.send(get("/wait/a"));
    there.send(get("/wait/b"));
    api.until_watched(2);
    api.change("c");
    api.change("a");
    assert_eq!(here.answer().body, "changed");
    api.until_watched(1);
    api.change("b");
    assert_eq!(there.answer().body, "changed");
    api.until_watched(0);
    // A wait may have been about to begin when the row changed; then nobody had to be woken.
    assert!(api.woken() <= 2);
    assert_eq!(here.ask("GET", "/plain", "").body, "plain");
}

#[test]
fn a_wait_ends_at_its_deadline_and_not_before() {
    let api = start();
    let mut clients: Vec<_> = (0..10).map(|_| api.connect()).collect();
    let start = Instant::now();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(get(&format!("/wait/never?ms={}", 300 - 20 * number)));
    }
    for (number, client) in clients.iter_mut().enumerate().rev() {
        assert_eq!(client.answer().body, "timed out");
        assert!(start.elapsed() >= Duration::from_millis(300 - 20 * number as u64));
    }
    api.until_watched(0);
    assert_eq!(api.woken(), 0);
}

#[test]
fn a_change_that_comes_first_is_not_missed() {
    let api = start();
    assert_eq!(api.get("/wait/x?race").body, "changed");
    assert_eq!(api.woken(), 0, "it never slept");
}

#[test]
fn a_waiter_may_wait_on() {
    let api = start();
    let mut client = api.connect();
    client.send(get("/wait/w?skip=3"));
    api.until_watched(1);
    let answered = std::thread::spawn(move || client.answer().body);
    until("it has had enough", || {
        api.change("w");
        answered.is_finished()
    });
    assert_eq!(answered.join().unwrap(), "changed");
    assert_eq!(api.get("/wait/w?skip=3&ms=50").body, "timed out");
}

#[test]
fn whoever_leaves_is_waited_for_no_longer() {
    let api = start();
    for half_closed in [false, true] {
        let mut client = api.connect();
        client.send(get("/wait/l").repeat(3));
        api.until_watched(3);
        if half_closed {
            // Nothing more will come, and nothing is owed but waits.
            client.end();
            client.expect_end();
        } else {
            drop(client);
        }
        api.until_watched(0);
    }
    // So many that nothing more is read from it.
    let mut client = api.connect();
    client.send(get("/wait/l").repeat(500));
    api.until_watched(128);
    drop(client);
    api.until_watched(0);
}

#[test]
fn who_is_owed_more_than_waits_has_not_left() {
    let api = start();
    api.node.set_mood(Mood::Silent);
    let mut client = api.connect();
    client.send(get("/ask"));
    client.send(get("/wait/m"));
    api.until_watched(1);
    api.node.wait_until_kept(1);
    client.end();
    assert_eq!(api.get("/plain").status, 200);
    api.node.set_mood(Mood::Fine);
    assert_eq!(client.answer().body, "readable");
    client.expect_end();
    api.until_watched(0);
}

#[test]
fn answers_keep_their_order_behind_a_wait() {
    let api = start();
    let mut client = api.connect();
    let plain = get("/plain");
    client.send(format!("{plain}{}{plain}{}{plain}", get("/wait/o"), get("/wait/p")));
    assert_eq!(client.answer().body, "plain");
    api.until_watched(2);
    api.change("p");
    api.until_watched(1);
    api.change("o");
    for body in ["changed", "plain", "changed", "plain"] {
        assert_eq!(client.answer().body, body);
    }
}

#[test]
fn waiting_is_not_idling() {
    let brief = Duration::from_millis(50);
    let patience =
        Patience { idle: brief, head: brief, body: brief, write: brief, ..Patience::default() };
    let api = start_with(patience);
    let mut client = api.connect();
    client.send(get("/wait/i"));
    let mut idle = api.connect();
    idle.expect_end();
    api.change("i");
    assert_eq!(client.answer().body, "changed");
}

#[test]
fn many_wait_at_once() {
    let api = start();
    let mut clients: Vec<_> = (0..300).map(|_| api.connect()).collect();
    for client in &mut clients {
        client.send(get("/wait/many"));
    }
    api.until_watched(300);
    api.change("other");
    assert_eq!(api.woken(), 0);
    api.node.service.client().watches.changed(&Changes::All);
    for client in &mut clients {
        assert_eq!(client.answer().body, "changed");
    }
    assert_eq!(api.node.service.client().watches.len(), 0);
}

#[test]
fn stopping_tells_those_who_wait() {
    let patience = Patience { stop: Duration::from_secs(600), ..Patience::default() };
    let api = start_with(patience);
    let mut clients: Vec<_> = (0..10).map(|_| api.connect()).collect();
    for client in &mut clients {
        client.send(get("/wait/s"));
    }
    api.until_watched(10);
    let Api { node: _node, front } = api;
    front.stop();
    for client in &mut clients {
        let answer = client.answer();
        assert_eq!(
            (answer.body.as_str(), answer.header("Connection")),
            ("timed out", Some("close"))
        );
        client.expect_end();
    }
}

#[test]
fn a_question_may_come_before_a_wait_and_behind_work() {
    let api = start();
    assert_eq!(api.get("/work-ask").body, "readable");
    let mut client = api.connect();
    client.send(get("/ask-wait/q"));
    api.until_watched(1);
    api.change("q");
    assert_eq!(client.answer().body, "changed");

    api.node.set_mood(Mood::Fails(Failure::not_applied(Reason::NoLeader)));
    assert_eq!(api.get("/ask").status, 503);
    api.node.set_mood(Mood::Fine);
    api.node.hang_up();
    let busy = api.get("/work-ask");
    assert!(busy.status == 503 && busy.body.contains("Busy"), "{busy:?}");
}

#[test]
fn the_thin_front_does_not_wait() {
    let node = Node::start_with_table(Options::default(), TABLE);
    let api = Api::over(node, Front::Tiny, Patience::default());
    problem(&api.get("/wait/t"), 501);
    assert_eq!(api.node.service.client().watches.len(), 0);
    assert_eq!(api.get("/work-ask").body, "readable");
}
