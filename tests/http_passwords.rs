//! Passwords over HTTP: who comes when too many wait is told to come back, and nobody else notices.
#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod http_support;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bowline::http::front::{self, FrontHandle, Patience};
use bowline::http::reply::{Problem, Response};
use bowline::http::step::Continue;
use bowline::http::wire::{Method, Request};
use bowline::http::{Options, Route, Service, Step};
use bowline::node::{self, Ask, Completion, Outcome, Sink};
use bowline::passwords::{Done, Job, Secret, WAITING_MAX};
use crossbeam_channel::{Receiver, Sender, bounded};
use http_support::{Api, Front, Wire, problem};

both_fronts!(
    passwords_are_hashed_while_the_connection_waits,
    a_crowd_at_the_passwords_is_refused_and_harms_nobody_else,
);

/// Hashes what is sent, and answers with the hash.
const TABLE: &[Route] = &[Route::whole("/hash", &[Method::Post], hash)];

fn hash(_: &Service, _: &str, request: &Request) -> Step {
    let password = Secret::new(String::from_utf8_lossy(&request.body).into_owned());
    Step::ask(Ask::Password(Job::Hash(password)), Duration::from_secs(600), Box::new(Hashed))
}

#[derive(Debug)]
struct Hashed;

impl Continue for Hashed {
    fn go_on(self: Box<Self>, _: &Service, completion: Completion) -> Step {
        match completion.outcome {
            Outcome::Password(Done::Hashed(hash)) => Response::text(200, hash).into(),
            Outcome::Failed(failure) => Problem::failure(failure).into(),
            other => panic!("a hash was wanted: {other:?}"),
        }
    }
}

/// A second front on the same node, with the paths of this test.
fn hashing(api: &Api, front: Front) -> FrontHandle {
    let client = api.node.service.client().clone();
    let service = Service::with_table(client, Options::default(), TABLE);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    match front {
        Front::Mio => front::mio::start_with(listener, service, 1, Patience::default()).unwrap(),
        Front::Tiny => {
            front::tiny::start_with(listener, service, 1, Patience::default().stop).unwrap()
        }
    }
}

/// Takes an answer when the test does: until then the thread that brings it stands still.
struct Gate(Sender<Completion>);

impl Sink for Gate {
    fn complete(&self, batch: Vec<Completion>) {
        // A test that is over takes no answers.
        batch.into_iter().for_each(|completion| drop(self.0.send(completion)));
    }
}

/// Gives the only thread a job, at whose answer it stands still, and fills the queue behind it.
fn crowd(api: &Api, sink: u16) {
    let client = api.node.service.client();
    let submit = || {
        let ask = Ask::Password(Job::Hash(Secret::new("password".to_owned())));
        let deadline = Instant::now() + Duration::from_secs(600);
        client.submit(node::Request { ticket: client.ticket(sink), deadline, ask })
    };
    submit().unwrap();
    while client.metrics.password_jobs.get() == 0 {
        std::thread::yield_now();
    }
    (0..WAITING_MAX).for_each(|_| submit().unwrap());
    assert_eq!(client.passwords.waiting(), WAITING_MAX);
}

fn passwords_are_hashed_while_the_connection_waits(front: Front) {
    let api = Api::start(front);
    let hashing = hashing(&api, front);
    let answer = Wire::connect(hashing.addr()).ask("POST", "/hash", "correct horse");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(bowline::passwords::check(&Secret::new("correct horse".into()), Some(&answer.body)));
}

fn a_crowd_at_the_passwords_is_refused_and_harms_nobody_else(front: Front) {
    let api = Api::start(front);
    let key = api.put("https://example.com/").body.trim().to_owned();
    let hashing = hashing(&api, front);
    let (sender, answers): (_, Receiver<Completion>) = bounded(0);
    let sink = api.node.service.client().completions.register(Arc::new(Gate(sender)));
    crowd(&api, sink);

    let refused = Wire::connect(hashing.addr()).ask("POST", "/hash", "correct horse");
    assert_eq!(problem(&refused, 503)["outcome"], "not_applied", "with Retry-After");
    assert_eq!(api.get("/livez").status, 200);
    assert_eq!(api.get(&format!("/{key}")).header("Location"), Some("https://example.com/"));
    assert_eq!(api.put("https://example.com/another").status, 201);
    let metrics = api.get("/metrics").body;
    assert!(metrics.contains("\nbowline_password_jobs_total 1\n"), "{metrics}");
    assert!(metrics.contains("\nbowline_password_refused_total 1\n"), "{metrics}");
    assert!(metrics.contains(&format!("\nbowline_password_waiting {WAITING_MAX}\n")), "{metrics}");

    // Those who were let in are served in their turn, and then there is room again.
    for _ in 0..=WAITING_MAX {
        let outcome = answers.recv().unwrap().outcome;
        assert!(matches!(outcome, Outcome::Password(Done::Hashed(_))), "{outcome:?}");
    }
    assert_eq!(Wire::connect(hashing.addr()).ask("POST", "/hash", "correct horse").status, 200);
}
