//! A closed loop: each client sends its next request when it has the answer to the one before.
//!
//! All clients live in one thread, so that the load takes one core at most and its cost can be told
//! apart. What a client waits for its turn in here counts as latency.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};

use super::connection::{Answer, Connection};
use super::stop;

/// How long answers are waited for after the end.
const DRAIN: Duration = Duration::from_secs(2);
/// How often the end is looked for when nothing happens.
const TICK: Duration = Duration::from_millis(50);

/// What the clients do.
pub trait Work {
    /// Writes the next request.
    fn request(&mut self, request: &mut Vec<u8>);
    /// Looks at an answer, which took so many µs; false when it is not the one that was hoped for.
    fn accept(&mut self, answer: &Answer, body: &[u8], micros: f64) -> bool;
}

/// What was seen.
#[derive(Debug, Default)]
pub struct Sample {
    /// Time from the first request to the last answer counted, in seconds.
    pub seconds: f64,
    /// Latencies of good answers in µs, in order of size.
    pub micros: Vec<f64>,
    /// Wrong answers, broken connections, requests without an answer.
    pub errors: u64,
}

impl Sample {
    /// The latency in ms that this share of the requests did not exceed.
    pub fn percentile(&self, share: f64) -> f64 {
        percentile(&self.micros, share)
    }
}

/// The latency in ms that this share of latencies in µs, in order of size, did not exceed.
pub fn percentile(micros: &[f64], share: f64) -> f64 {
    let rank = (share * micros.len() as f64).ceil() as usize;
    let at = rank.clamp(1, micros.len().max(1)) - 1;
    micros.get(at).map_or(f64::NAN, |micros| micros / 1e3)
}

struct Client {
    connection: Option<Connection>,
    /// When its request left, while it waits.
    waits_since: Option<Instant>,
}

struct Loop<'a, W> {
    to: &'a [SocketAddr],
    poll: Poll,
    clients: Vec<Client>,
    work: &'a mut W,
    sample: Sample,
    end: Instant,
}

/// Lets `clients` clients work at these nodes, dealt out in turn, for `duration`.
pub fn run(to: &[SocketAddr], clients: usize, duration: Duration, work: &mut impl Work) -> Sample {
    let poll = Poll::new().expect("the system gives an epoll");
    let start = Instant::now();
    let idle = || Client { connection: None, waits_since: None };
    let clients: Vec<Client> = (0..clients).map(|_| idle()).collect();
    let (sample, end) = (Sample::default(), start + duration);
    let mut state = Loop { to, poll, clients, work, sample, end };
    for client in 0..state.clients.len() {
        state.send(client);
    }
    let mut events = Events::with_capacity(1024);
    let mut scratch = vec![0; 64 * 1024];
    while Instant::now() < end + DRAIN && state.is_busy() {
        stop::check();
        state.poll.poll(&mut events, Some(TICK)).ok();
        for event in &events {
            state.serve(event.token().0, &mut scratch);
        }
        state.reconnect();
    }
    let mut sample = state.sample;
    let unanswered = state.clients.iter().filter(|client| client.waits_since.is_some());
    sample.errors += unanswered.count() as u64;
    sample.seconds = (Instant::now() - start).as_secs_f64();
    sample.micros.sort_by(f64::total_cmp);
    sample
}

impl<W: Work> Loop<'_, W> {
    fn is_busy(&self) -> bool {
        let waits = |client: &Client| client.waits_since.is_some();
        Instant::now() < self.end || self.clients.iter().any(waits)
    }

    fn send(&mut self, at: usize) {
        let client = &mut self.clients[at];
        client.waits_since = None;
        let now = Instant::now();
        if now >= self.end {
            return;
        }
        if client.connection.is_none() {
            let to = self.to[at % self.to.len()];
            client.connection = Connection::open(to, self.poll.registry(), Token(at)).ok();
        }
        let work = &mut *self.work;
        let sent = client.connection.as_mut().map(|it| it.send(|request| work.request(request)));
        match sent {
            Some(Ok(())) => client.waits_since = Some(now),
            Some(Err(_)) | None => self.failed(at),
        }
    }

    fn failed(&mut self, at: usize) {
        self.clients[at] = Client { connection: None, waits_since: None };
        self.sample.errors += 1;
    }

    /// Clients whose connection broke go on with a new one: once a round, so that a node that
    /// refuses everybody does not keep the loop from its end.
    fn reconnect(&mut self) {
        for at in 0..self.clients.len() {
            if self.clients[at].connection.is_none() {
                self.send(at);
            }
        }
    }

    fn serve(&mut self, at: usize, scratch: &mut [u8]) {
        let client = &mut self.clients[at];
        let Some(connection) = &mut client.connection else { return };
        match connection.flush().and_then(|()| connection.receive(scratch)) {
            Ok(None) => {}
            Err(_) => self.failed(at),
            Ok(Some(answer)) => {
                let Some(since) = client.waits_since else { return };
                let micros = since.elapsed().as_nanos() as f64 / 1e3;
                if self.work.accept(&answer, connection.body(&answer), micros) {
                    self.sample.micros.push(micros);
                } else {
                    self.sample.errors += 1;
                }
                self.send(at);
            }
        }
    }
}
