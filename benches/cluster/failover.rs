//! What a client notices when the leader is killed.
//!
//! An open loop: a write is due every 10 ms whatever became of those before, each at the next node in
//! turn, as a load balancer would send it. After an error, or half a second without an answer, the
//! client goes to the next node at once; only when all nodes failed in a row does it rest a little.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::cells::Material;
use super::connection::{Connection, put};
use super::nodes::{Cluster, NODES};
use super::stop;

/// Time between two writes.
const PACE: Duration = Duration::from_millis(10);
/// How long a node has to answer.
const ATTEMPT: Duration = Duration::from_millis(500);
/// How long the client rests when no node takes its write.
const REST: Duration = Duration::from_millis(5);
/// Time before the kill, and time after it.
const BEFORE: Duration = Duration::from_millis(1000);
const AFTER: Duration = Duration::from_millis(3000);
/// How long the writes that are under way at the end are waited for.
const DRAIN: Duration = Duration::from_secs(10);

/// What was seen in one repetition.
#[derive(Clone, Copy, Debug)]
pub struct Gap {
    /// From the kill to the next acknowledgement of a write that was due after it, in ms. (Writes
    /// from before it may have been on their way back.)
    pub after_kill: f64,
    /// The longest time between two acknowledgements, in ms.
    pub longest: f64,
    /// When that began, in ms from the kill.
    pub longest_at: f64,
    /// The slowest write from when it was due, in ms.
    pub slowest: f64,
    /// Writes that were acknowledged.
    pub acknowledged: usize,
    /// Attempts that had to be made again.
    pub retries: usize,
    /// Writes that were not acknowledged in the end.
    pub failed: usize,
    /// Acknowledged links that a node does not have, or leads elsewhere.
    pub lost: usize,
}

/// Kills the leader once, and starts it again.
pub fn run(cluster: &mut Cluster, material: &mut Material, repetition: usize) -> Gap {
    // At any moment between two heartbeats and two writes.
    let mut random = StdRng::seed_from_u64(repetition as u64);
    let before = BEFORE + Duration::from_micros(random.random_range(0..100_000));
    let leader = cluster.leader();
    let mut client = Client::new(cluster);
    let start = Instant::now();
    client.write_until(start + before, material);
    let killed = Instant::now();
    cluster.kill(leader);
    client.write_until(killed + AFTER, material);
    client.drain();
    cluster.restart(leader);
    cluster.settle();
    let lost = client.writes.iter().filter(|write| write.is_lost(cluster)).count();
    client.gap(start, killed, lost)
}

struct Write {
    url: String,
    due: Instant,
    /// Where it is, or goes next.
    node: usize,
    /// Nodes that failed in a row.
    failures: usize,
    /// When it was acknowledged, and under which key.
    done: Option<(Instant, String)>,
}

impl Write {
    fn is_lost(&self, cluster: &Cluster) -> bool {
        let Some((_, key)) = &self.done else { return false };
        let there = |node| {
            let found = cluster.get(node, &format!("/{key}"));
            matches!(found, Ok((301, location, _)) if location == self.url)
        };
        !(0..NODES).all(there)
    }
}

/// An attempt under way.
struct Attempt {
    write: usize,
    until: Instant,
}

/// A connection of the client, with the write that it carries.
struct Line {
    node: usize,
    connection: Connection,
    attempt: Option<Attempt>,
}

struct Client {
    poll: Poll,
    events: Events,
    scratch: Vec<u8>,
    addresses: [std::net::SocketAddr; NODES],
    /// By token; tokens are not used again.
    lines: Vec<Option<Line>>,
    writes: Vec<Write>,
    /// Writes to send, and not before when.
    waiting: VecDeque<(Instant, usize)>,
    next_due: Instant,
    retries: usize,
}

impl Client {
    fn new(cluster: &Cluster) -> Self {
        Self {
            poll: Poll::new().expect("the system gives an epoll"),
            events: Events::with_capacity(256),
            scratch: vec![0; 64 * 1024],
            addresses: std::array::from_fn(|node| cluster.http(node)),
            lines: Vec::new(),
            writes: Vec::new(),
            waiting: VecDeque::new(),
            next_due: Instant::now(),
            retries: 0,
        }
    }

    fn write_until(&mut self, end: Instant, material: &mut Material) {
        while Instant::now() < end {
            while self.next_due <= Instant::now() {
                let (due, node) = (self.next_due, self.writes.len() % NODES);
                let url = material.url();
                self.waiting.push_back((due, self.writes.len()));
                self.writes.push(Write { url, due, node, failures: 0, done: None });
                self.next_due += PACE;
            }
            self.turn(end.min(self.next_due));
        }
    }

    fn drain(&mut self) {
        let end = Instant::now() + DRAIN;
        while Instant::now() < end && self.writes.iter().any(|write| write.done.is_none()) {
            self.turn(end);
        }
    }

    /// Sends what waits and takes what comes, until `until` at most.
    fn turn(&mut self, until: Instant) {
        stop::check();
        for _ in 0..self.waiting.len() {
            let (at, write) = self.waiting.pop_front().expect("they were counted");
            if at <= Instant::now() {
                self.attempt(write);
            } else {
                self.waiting.push_back((at, write));
            }
        }
        let attempts = self.lines.iter().flatten().filter_map(|line| line.attempt.as_ref());
        let rests = self.waiting.iter().map(|(at, _)| *at);
        let wake = attempts.map(|it| it.until).chain(rests).fold(until, Instant::min);
        // The kernel counts whole milliseconds; a moment too early is a round too many.
        let sleep = wake.saturating_duration_since(Instant::now());
        self.poll.poll(&mut self.events, Some(sleep)).ok();
        let tokens: Vec<usize> = self.events.iter().map(|event| event.token().0).collect();
        tokens.into_iter().for_each(|token| self.serve(token));
        let now = Instant::now();
        for token in 0..self.lines.len() {
            let attempt = self.lines[token].as_ref().and_then(|line| line.attempt.as_ref());
            if attempt.is_some_and(|attempt| attempt.until <= now) {
                self.broken(token);
            }
        }
    }

    fn attempt(&mut self, write: usize) {
        let node = self.writes[write].node;
        let free = |line: &Option<Line>| {
            line.as_ref().is_some_and(|line| line.node == node && line.attempt.is_none())
        };
        let token = match self.lines.iter().position(free) {
            Some(token) => token,
            None => {
                let token = Token(self.lines.len());
                match Connection::open(self.addresses[node], self.poll.registry(), token) {
                    Ok(connection) => {
                        self.lines.push(Some(Line { node, connection, attempt: None }));
                    }
                    Err(_) => return self.retry(write),
                }
                token.0
            }
        };
        let line = self.lines[token].as_mut().expect("it was found or made just now");
        line.attempt = Some(Attempt { write, until: Instant::now() + ATTEMPT });
        let url = self.writes[write].url.as_bytes();
        if line.connection.send(|request| put(request, url)).is_err() {
            self.broken(token);
        }
    }

    /// To the next node.
    fn retry(&mut self, write: usize) {
        self.retries += 1;
        let it = &mut self.writes[write];
        it.node = (it.node + 1) % NODES;
        it.failures += 1;
        let rest = if it.failures.is_multiple_of(NODES) { REST } else { Duration::ZERO };
        self.waiting.push_back((Instant::now() + rest, write));
    }

    fn broken(&mut self, token: usize) {
        if let Some(Line { attempt: Some(attempt), .. }) = self.lines[token].take() {
            self.retry(attempt.write);
        }
    }

    fn serve(&mut self, token: usize) {
        let Some(line) = &mut self.lines[token] else { return };
        let connection = &mut line.connection;
        match connection.flush().and_then(|()| connection.receive(&mut self.scratch)) {
            Ok(None) => {}
            Err(_) => self.broken(token),
            Ok(Some(answer)) => {
                let Some(Attempt { write, .. }) = line.attempt.take() else { return };
                if answer.status == 201 || answer.status == 200 {
                    let key = String::from_utf8_lossy(connection.body(&answer));
                    self.writes[write].done = Some((Instant::now(), key.trim().to_owned()));
                } else {
                    self.retry(write);
                }
            }
        }
    }

    fn gap(&self, start: Instant, killed: Instant, lost: usize) -> Gap {
        let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
        let done = |write: &Write| write.done.as_ref().map(|(at, _)| *at);
        let mut times: Vec<Instant> = self.writes.iter().filter_map(done).collect();
        times.sort_unstable();
        let later = self.writes.iter().filter(|write| write.due > killed);
        let next = later.filter_map(done).min();
        let between = [start].into_iter().chain(times.iter().copied()).zip(times.iter());
        let longest = between.max_by_key(|(last, next)| **next - *last);
        let (last, first) = longest.map_or((start, start), |(last, next)| (last, *next));
        let slowest = self.writes.iter().filter_map(|it| Some(done(it)? - it.due)).max();
        Gap {
            after_kill: next.map_or(f64::INFINITY, |at| ms(at - killed)),
            longest: ms(first - last),
            longest_at: ms(last - start) - ms(killed - start),
            slowest: ms(slowest.unwrap_or_default()),
            acknowledged: times.len(),
            retries: self.retries,
            failed: self.writes.len() - times.len(),
            lost,
        }
    }
}
