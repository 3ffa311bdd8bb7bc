//! What one client is owed, in the order of its requests.
//!
//! Answers that are ready behind one that is not are held; a long one is made piece by piece when its turn
//! has come, and only while little is unsent. All of it is bounded, whatever the client does: beyond
//! the bounds no further request is taken.

use std::collections::VecDeque;
use std::io::{ErrorKind, Write};

use ::mio::net::TcpStream;

use super::desk::{Desk, Owed, Pending, Place};
use crate::http::reply::{Body, Response};
use crate::http::stream::{Piece, Stream};
use crate::http::wire::{Exchange, LAST_CHUNK, Version, encode, has_body, push_chunk};
use crate::ids::Ticket;

/// Answers that one connection may be owed.
const ANSWERS_MAX: usize = 128;
/// Bytes of answers beyond which no further request is taken.
const OUTPUT_MAX: usize = 256 * 1024;
/// Unsent bytes below which the next piece of a long answer is made.
const LOW_WATER: usize = 64 * 1024;
/// An empty buffer larger than this is given back.
const OUTPUT_KEEP: usize = 4 * 1024;

#[derive(Debug)]
enum Answer {
    Waiting { exchange: Exchange, pending: Pending },
    Done(Vec<u8>),
    Stream(Box<Sending>),
}

/// An answer that is made while it is sent.
#[derive(Debug)]
struct Sending {
    /// Until its turn comes.
    head: Vec<u8>,
    stream: Stream,
    ticket: Ticket,
    exchange: Exchange,
    /// It has nothing to say until it is woken.
    resting: bool,
}

pub(super) struct Outbox {
    /// Where the next answer will be.
    next: Place,
    /// Answers from the oldest that is not sent; `next.answer - len` is the number of the first.
    answers: VecDeque<Answer>,
    /// Bytes in those that are not to be sent yet.
    held: usize,
    bytes: Vec<u8>,
    /// So many of the bytes are sent.
    written: usize,
    /// No answer will follow those that are there.
    last: bool,
    /// The client could not tell by what it got that something is missing.
    torn: bool,
}

impl Outbox {
    pub fn new(next: Place) -> Self {
        Self {
            next,
            answers: VecDeque::new(),
            held: 0,
            bytes: Vec::new(),
            written: 0,
            last: false,
            torn: false,
        }
    }

    /// Where the next answer will be.
    pub fn next(&self) -> Place {
        self.next
    }

    /// Bytes that could be sent now.
    pub fn unsent(&self) -> usize {
        self.bytes.len() - self.written
    }

    /// Whether answers are missing.
    pub fn is_waiting(&self) -> bool {
        !self.answers.is_empty()
    }

    /// Whether no further request is to be taken.
    pub fn is_full(&self) -> bool {
        self.answers.len() >= ANSWERS_MAX || self.unsent() + self.held >= OUTPUT_MAX
    }

    /// Whether no answer will follow.
    pub fn is_last(&self) -> bool {
        self.last
    }

    /// Whether a broken connection is the only way to tell the client that something is missing.
    pub fn is_torn(&self) -> bool {
        self.torn
    }

    /// Whether nothing is under way but waits for changes.
    pub fn is_idle(&self) -> bool {
        self.unsent() == 0
            && self.is_waiting()
            && self.answers.iter().all(|answer| match answer {
                Answer::Waiting { pending, .. } => pending.idle,
                Answer::Stream(sending) => sending.resting,
                Answer::Done(_) => true,
            })
    }

    /// Whether [`pull`](Self::pull) would do something.
    pub fn wants_piece(&self) -> bool {
        match self.answers.front() {
            Some(Answer::Stream(sending)) => !sending.resting && self.unsent() < LOW_WATER,
            _ => false,
        }
    }

    /// The tickets of all that is under way.
    pub fn tickets(&self) -> impl Iterator<Item = u64> {
        self.answers.iter().filter_map(|answer| match answer {
            Answer::Waiting { pending, .. } => Some(pending.ticket),
            Answer::Stream(sending) => sending.resting.then_some(sending.ticket.id),
            Answer::Done(_) => None,
        })
    }

    /// Bytes that are no answer.
    pub fn interject(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Adds the next answer.
    pub fn push(&mut self, owed: Owed, exchange: Exchange, desk: &Desk) {
        self.next.answer += 1;
        self.last |= !exchange.keep_alive;
        let answer = match owed {
            Owed::Later(pending) => Answer::Waiting { exchange, pending },
            Owed::Answer(response) => {
                if self.answers.is_empty() && !matches!(response.body, Body::Stream(_)) {
                    encode(&response, exchange, &desk.clock, &mut self.bytes);
                    return;
                }
                self.shape(response, exchange, desk)
            }
        };
        self.answers.push_back(answer);
        self.advance();
    }

    /// Notes what has become of an answer. Returns whether it is awaited.
    pub fn settle(&mut self, number: u64, owed: Owed, desk: &Desk) -> bool {
        let first = self.next.answer - self.answers.len() as u64;
        let at = number.checked_sub(first).and_then(|at| usize::try_from(at).ok());
        let Some(at) = at.filter(|at| *at < self.answers.len()) else { return false };
        let Answer::Waiting { exchange, .. } = self.answers[at] else { return false };
        self.answers[at] = match owed {
            Owed::Later(pending) => Answer::Waiting { exchange, pending },
            Owed::Answer(response) => self.shape(response, exchange, desk),
        };
        self.advance();
        true
    }

    /// Makes the last of the answers say that it is the last, if it can still be told.
    pub fn close(&mut self) {
        self.last = true;
        if let Some(Answer::Waiting { exchange, .. }) = self.answers.back_mut() {
            exchange.keep_alive = false;
        }
    }

    /// Lets the stream with this ticket go on. Returns whether it is here.
    pub fn wake(&mut self, ticket: u64) -> bool {
        match self.answers.front_mut() {
            Some(Answer::Stream(sending)) if sending.ticket.id == ticket => {
                sending.resting = false;
                true
            }
            _ => false,
        }
    }

    /// Makes the next piece of the answer that is being sent.
    pub fn pull(&mut self, desk: &mut Desk) {
        let number = self.next.answer - self.answers.len() as u64;
        let Some(Answer::Stream(sending)) = self.answers.front_mut() else { return };
        let chunked = sending.exchange.version == Version::Http11;
        match sending.stream.next(sending.ticket) {
            Piece::Data(data) => {
                self.bytes.drain(..self.written);
                self.written = 0;
                if chunked {
                    push_chunk(&data, &mut self.bytes);
                } else {
                    self.bytes.extend_from_slice(&data);
                }
            }
            Piece::Wait(until) if !desk.is_stopping() => {
                sending.resting = true;
                let place = Place { answer: number, ..self.next };
                desk.rest(sending.ticket, place, Some(until));
            }
            Piece::End => {
                if chunked {
                    self.bytes.extend_from_slice(LAST_CHUNK);
                }
                if sending.exchange.keep_alive {
                    self.answers.pop_front();
                    self.advance();
                } else {
                    self.end(desk);
                }
            }
            Piece::Wait(_) | Piece::Broken => {
                self.torn = !chunked;
                self.end(desk);
            }
        }
    }

    /// Writes what the socket takes, and returns how much. `None` when the connection is broken.
    pub fn flush(&mut self, stream: &mut TcpStream, writable: &mut bool) -> Option<usize> {
        let start = self.written;
        while *writable && self.written < self.bytes.len() {
            match stream.write(&self.bytes[self.written..]) {
                Ok(0) => return None,
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => *writable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
        let wrote = self.written - start;
        if self.written == self.bytes.len() {
            self.written = 0;
            self.bytes.clear();
            if self.bytes.capacity() > OUTPUT_KEEP {
                self.bytes = Vec::new();
            }
        } else if self.written > OUTPUT_MAX {
            // A client that never quite catches up must not make it grow for ever.
            self.bytes.drain(..self.written);
            self.written = 0;
        }
        Some(wrote)
    }

    fn shape(&mut self, mut response: Response, mut exchange: Exchange, desk: &Desk) -> Answer {
        let streams = matches!(response.body, Body::Stream(_)) && has_body(&response, exchange);
        if streams && exchange.version == Version::Http10 {
            // Nothing but the end of the connection can tell the end of the answer.
            exchange.keep_alive = false;
            self.last = true;
        }
        let mut head = Vec::new();
        encode(&response, exchange, &desk.clock, &mut head);
        self.held += head.len();
        match std::mem::replace(&mut response.body, Body::Empty) {
            Body::Stream(stream) if streams => {
                let ticket = desk.ticket();
                Answer::Stream(Box::new(Sending { head, stream, ticket, exchange, resting: false }))
            }
            _ => Answer::Done(head),
        }
    }

    /// Moves what may be sent to where it is sent from.
    fn advance(&mut self) {
        loop {
            match self.answers.front_mut() {
                Some(Answer::Done(bytes)) => {
                    self.held -= bytes.len();
                    self.bytes.append(bytes);
                    self.answers.pop_front();
                }
                Some(Answer::Stream(sending)) => {
                    let head = std::mem::take(&mut sending.head);
                    self.held -= head.len();
                    self.bytes.extend_from_slice(&head);
                    return;
                }
                Some(Answer::Waiting { .. }) | None => return,
            }
        }
    }

    /// Ends here, whatever else was asked.
    fn end(&mut self, desk: &mut Desk) {
        self.tickets().for_each(|ticket| desk.forget(ticket));
        self.answers.clear();
        self.held = 0;
        self.last = true;
    }
}
