//! One client: what it sent, what it is owed, how long it may take.
//!
//! A connection runs in turns. A turn takes requests out of what has arrived, reads more while the
//! socket has more, and ends with one write of all answers. Answers leave in the order of their
//! requests, so one that waits holds back those behind it; all of that is bounded, and beyond the
//! bounds the connection does not read, which the client's TCP feels.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use ::mio::net::TcpStream;

use super::Patience;
use super::desk::{Desk, Place};
use crate::http::reply::Response;
use crate::http::wire::{CONTINUE, Clock, Decoder, Exchange, Stage, encode};

/// Answers that one connection may be owed.
const ANSWERS_MAX: usize = 128;
/// Bytes of answers beyond which no further request is taken.
const OUTPUT_MAX: usize = 256 * 1024;
/// Bytes read in one turn, before others get theirs.
const TURN_MAX: usize = 256 * 1024;
/// An empty output buffer larger than this is given back.
const OUTPUT_KEEP: usize = 16 * 1024;
/// How long, and for how many bytes, a closed connection still listens. Closing a socket that holds
/// unread bytes resets it, and the reset could overtake the last answer (RFC 9112, 9.6).
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What a turn came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing more until something happens.
    Rest,
    /// There is more to do; others first.
    Again,
    /// It is over.
    Close,
}

/// What a connection waits for; each has its own patience.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    Idle,
    Head,
    Body,
    /// For the node; the deadline is the request's own.
    Answer,
    /// For the client to read.
    Write,
    Linger,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Takes requests.
    Open,
    /// Answers what it has taken, then ends.
    Closing,
    /// Has ended, and waits for the client to see it; so many bytes were thrown away.
    Lingering(usize),
}

#[derive(Debug)]
enum Answer {
    Waiting(Exchange),
    Done(Vec<u8>),
}

pub(super) struct Connection {
    stream: TcpStream,
    /// Where it is; the answer's number is that of the next request.
    next: Place,
    decoder: Decoder,
    /// Answers from the oldest that waits; `next.answer - len` is the number of the first.
    answers: VecDeque<Answer>,
    /// Bytes in those that are done.
    held: usize,
    output: Vec<u8>,
    written: usize,
    phase: Phase,
    readable: bool,
    writable: bool,
    /// The client has said that nothing more comes.
    ended: bool,
    wait: Wait,
    since: Instant,
    /// Whether it is already in its loop's list.
    pub queued: bool,
}

impl Connection {
    pub fn new(stream: TcpStream, place: Place, decoder: Decoder, now: Instant) -> Self {
        Self {
            stream,
            next: place,
            decoder,
            answers: VecDeque::new(),
            held: 0,
            output: Vec::new(),
            written: 0,
            phase: Phase::Open,
            readable: false,
            writable: true,
            ended: false,
            wait: Wait::Idle,
            since: now,
            queued: false,
        }
    }

    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Its number in its life.
    pub fn id(&self) -> u64 {
        self.next.connection
    }

    /// Notes what the poll has told.
    pub fn wake(&mut self, event: &::mio::event::Event) {
        self.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
        self.writable |= event.is_writable() || event.is_write_closed() || event.is_error();
        self.ended |= event.is_read_closed();
    }

    /// Makes its next turn look for bytes that nobody has announced yet.
    pub fn look(&mut self) {
        self.readable = true;
    }

    /// Does all there is to do, within bounds.
    pub fn turn(&mut self, desk: &mut Desk, scratch: &mut [u8], now: Instant) -> Turn {
        let (owed, answered) = (self.output.len() - self.written, self.next.answer);
        let mut read = 0;
        let outcome = self.work(desk, scratch, &mut read);
        let progress = read > 0 || self.output.len() - self.written < owed;
        self.note_wait(now, progress, self.next.answer > answered);
        outcome.unwrap_or(Turn::Close)
    }

    /// Gives an answer that waited. Returns whether it was awaited.
    pub fn answer(&mut self, number: u64, response: &Response, clock: &Clock) -> bool {
        let first = self.next.answer - self.answers.len() as u64;
        let at = number.checked_sub(first).and_then(|at| usize::try_from(at).ok());
        let Some(place) = at.and_then(|at| self.answers.get_mut(at)) else { return false };
        let Answer::Waiting(exchange) = *place else { return false };
        let mut bytes = Vec::new();
        encode(response, exchange, clock, &mut bytes);
        self.held += bytes.len();
        *place = Answer::Done(bytes);
        while let Some(Answer::Done(bytes)) = self.answers.front() {
            self.held -= bytes.len();
            self.output.extend_from_slice(bytes);
            self.answers.pop_front();
        }
        true
    }

    /// Takes no further requests. Those taken are answered, the last one saying that it is the last.
    pub fn finish(&mut self) {
        if self.phase == Phase::Open {
            self.phase = Phase::Closing;
            if let Some(Answer::Waiting(exchange)) = self.answers.back_mut() {
                exchange.keep_alive = false;
            }
        }
    }

    /// Ends it when its time is up. Returns whether there is something to do for it.
    pub fn check_patience(&mut self, desk: &Desk, patience: &Patience, now: Instant) -> bool {
        let limit = match self.wait {
            Wait::Answer => return false,
            Wait::Idle => patience.idle,
            Wait::Head => patience.head,
            Wait::Body => patience.body,
            Wait::Write => patience.write,
            Wait::Linger => LINGER,
        };
        if now.saturating_duration_since(self.since) < limit {
            return false;
        }
        match self.wait {
            Wait::Head | Wait::Body => {
                let response = desk.service.too_slow();
                encode(&response, Exchange::refused(), &desk.clock, &mut self.output);
                self.phase = Phase::Closing;
            }
            // Nobody would read an answer.
            _ => self.abandon(),
        }
        if self.wait != Wait::Idle && self.wait != Wait::Linger {
            desk.service.client().metrics.http_timeouts.inc();
        }
        true
    }

    /// Whether all it was owed is on its way.
    pub fn is_spent(&self) -> bool {
        matches!(self.phase, Phase::Lingering(_))
    }

    /// Since when it has been without a request, if it is.
    pub fn idle_since(&self) -> Option<Instant> {
        (self.wait == Wait::Idle).then_some(self.since)
    }

    /// Makes its next turn close it.
    pub fn abandon(&mut self) {
        self.phase = Phase::Lingering(LINGER_BYTES_MAX);
    }

    fn work(&mut self, desk: &mut Desk, scratch: &mut [u8], read: &mut usize) -> Option<Turn> {
        self.flush()?;
        let mut full;
        loop {
            full = self.take_requests(desk);
            if self.answers.is_empty() && self.decoder.take_continue() {
                self.output.extend_from_slice(CONTINUE);
            }
            if full || self.phase != Phase::Open || !self.readable || *read >= TURN_MAX {
                break;
            }
            let count = self.read(scratch)?;
            self.decoder.feed(&scratch[..count]);
            *read += count;
            if count == 0 && !self.readable && self.ended {
                self.finish();
            }
        }
        self.flush()?;
        if self.phase == Phase::Open {
            let more = if full { !self.is_full() } else { self.readable };
            return Some(if more { Turn::Again } else { Turn::Rest });
        }
        self.wind_up(scratch)
    }

    /// Takes requests out of what has arrived. Returns whether it stopped because of a bound.
    fn take_requests(&mut self, desk: &mut Desk) -> bool {
        while self.phase == Phase::Open {
            if self.is_full() {
                return true;
            }
            let (exchange, response) = match self.decoder.next() {
                None => return false,
                Some(Ok(request)) => (Exchange::of(&request), desk.call(&request, self.next)),
                Some(Err(error)) => (Exchange::refused(), Some(desk.service.refuse(error))),
            };
            self.next.answer += 1;
            match response {
                Some(response) if self.answers.is_empty() => {
                    encode(&response, exchange, &desk.clock, &mut self.output);
                }
                Some(response) => {
                    let mut bytes = Vec::new();
                    encode(&response, exchange, &desk.clock, &mut bytes);
                    self.held += bytes.len();
                    self.answers.push_back(Answer::Done(bytes));
                }
                None => self.answers.push_back(Answer::Waiting(exchange)),
            }
            if !exchange.keep_alive {
                self.phase = Phase::Closing;
            }
        }
        false
    }

    fn is_full(&self) -> bool {
        let owed = self.output.len() - self.written + self.held;
        self.answers.len() >= ANSWERS_MAX || owed >= OUTPUT_MAX
    }

    /// Reads once; 0 when there is nothing now, or ever. `None` when the connection is broken.
    fn read(&mut self, scratch: &mut [u8]) -> Option<usize> {
        loop {
            match self.stream.read(scratch) {
                Ok(0) => {
                    (self.readable, self.ended) = (false, true);
                    return Some(0);
                }
                Ok(count) => {
                    // Less than asked for means that the socket is empty, and the next byte is a new
                    // edge (epoll(7)): no call is spent on being told so. Not so the end of the
                    // stream, when it was announced before.
                    self.readable = count == scratch.len() || self.ended;
                    return Some(count);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.readable = false;
                    return Some(0);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
    }

    /// Writes what the socket takes. `None` when the connection is broken.
    fn flush(&mut self) -> Option<()> {
        while self.writable && self.written < self.output.len() {
            match self.stream.write(&self.output[self.written..]) {
                Ok(0) => return None,
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.writable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
        if self.written == self.output.len() {
            self.written = 0;
            self.output.clear();
            if self.output.capacity() > OUTPUT_KEEP {
                self.output = Vec::new();
            }
        }
        Some(())
    }

    /// The end: the last answers, our end of the stream, and then the client's.
    fn wind_up(&mut self, scratch: &mut [u8]) -> Option<Turn> {
        if self.phase == Phase::Closing {
            if !self.answers.is_empty() || !self.output.is_empty() {
                return Some(Turn::Rest);
            }
            if self.ended && !self.readable {
                return None;
            }
            self.stream.shutdown(Shutdown::Write).ok()?;
            self.phase = Phase::Lingering(0);
            // What arrived before may have been left unread.
            self.readable = true;
        }
        while self.readable {
            let Phase::Lingering(dropped) = self.phase else { break };
            if dropped >= LINGER_BYTES_MAX {
                return None;
            }
            let count = self.read(scratch)?;
            self.phase = Phase::Lingering(dropped + count);
            if count == 0 && self.ended {
                return None;
            }
        }
        let over = self.phase == Phase::Lingering(LINGER_BYTES_MAX);
        Some(if over { Turn::Close } else { Turn::Rest })
    }

    fn note_wait(&mut self, now: Instant, progress: bool, request: bool) {
        let wait = if matches!(self.phase, Phase::Lingering(_)) {
            Wait::Linger
        } else if !self.output.is_empty() {
            Wait::Write
        } else if !self.answers.is_empty() {
            Wait::Answer
        } else {
            match self.decoder.stage() {
                Stage::Idle => Wait::Idle,
                Stage::Head => Wait::Head,
                Stage::Body => Wait::Body,
            }
        };
        // A request has its time as a whole, so that dripping bytes does not prolong it; everything
        // else goes on while it moves.
        let moves = progress && !matches!(wait, Wait::Head | Wait::Body | Wait::Linger);
        if wait != self.wait || request || moves {
            self.wait = wait;
            self.since = now;
        }
    }
}
