//! One client: what it sent, what it is owed, how long it may take.
//!
//! A connection runs in turns. A turn takes requests out of what has arrived, reads more while the
//! socket has more, and ends with one write of all answers. Answers leave in the order of their
//! requests, so one that waits holds back those behind it; all of that is bounded, and beyond the
//! bounds the connection does not read, which the client's TCP feels.

use std::io::{ErrorKind, Read};
use std::net::{IpAddr, Shutdown};
use std::time::{Duration, Instant};

use ::mio::net::TcpStream;
use socket2::SockRef;

use super::Patience;
use super::desk::{Desk, Owed, Place};
use super::intake::Intake;
use super::mio::Accepted;
use super::outbox::Outbox;
use crate::http::reply::Response;
use crate::http::wire::{Arrival, CONTINUE, Decoder, Exchange, Stage};

/// Bytes read in one turn, before others get theirs.
const TURN_MAX: usize = 256 * 1024;
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
    /// For more of a body that is handed on: as long as it takes, while it moves.
    Upload,
    /// For the node; the deadline is the request's own.
    Answer,
    /// For the client to read.
    Write,
    Linger,
}

/// Bytes that went through a socket in a turn.
#[derive(Clone, Copy, Debug, Default)]
struct Moved {
    read: usize,
    written: usize,
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

pub(super) struct Connection {
    stream: TcpStream,
    peer: IpAddr,
    decoder: Decoder,
    /// The body that is being handed on.
    intake: Option<Box<Intake>>,
    outbox: Outbox,
    phase: Phase,
    readable: bool,
    writable: bool,
    /// The client has said that nothing more comes.
    ended: bool,
    /// The client cannot be told anything any more.
    broken: bool,
    wait: Wait,
    since: Instant,
    /// Whether it is already in its loop's list.
    pub queued: bool,
    /// Whether a piece of a long answer is already among its loop's jobs.
    pub piece_queued: bool,
}

impl Connection {
    pub fn new((stream, peer): Accepted, place: Place, decoder: Decoder, now: Instant) -> Self {
        Self {
            stream,
            peer,
            decoder,
            intake: None,
            outbox: Outbox::new(place),
            phase: Phase::Open,
            readable: false,
            writable: true,
            ended: false,
            broken: false,
            wait: Wait::Idle,
            since: now,
            queued: false,
            piece_queued: false,
        }
    }

    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Its number in its life.
    pub fn id(&self) -> u64 {
        self.outbox.next().connection
    }

    /// Notes what the poll has told.
    pub fn wake(&mut self, event: &::mio::event::Event) {
        self.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
        self.writable |= event.is_writable() || event.is_write_closed() || event.is_error();
        self.ended |= event.is_read_closed();
        self.broken |= event.is_write_closed() || event.is_error();
    }

    /// Makes its next turn look for bytes that nobody has announced yet.
    pub fn look(&mut self) {
        self.readable = true;
    }

    /// Does all there is to do, within bounds.
    pub fn turn(&mut self, desk: &mut Desk, scratch: &mut [u8], now: Instant) -> Turn {
        let answered = self.outbox.next().answer;
        let mut moved = Moved::default();
        let outcome = self.work(desk, scratch, &mut moved);
        self.note_wait(now, moved, self.outbox.next().answer > answered);
        outcome.unwrap_or(Turn::Close)
    }

    /// Notes what has become of an answer that is owed. Returns whether it is awaited.
    pub fn settle(&mut self, number: u64, owed: Owed, desk: &Desk) -> bool {
        let awaited = self.outbox.settle(number, owed, desk);
        self.heed_last();
        awaited
    }

    /// Lets a stream or an upload go on.
    pub fn wake_up(&mut self, ticket: u64, desk: &mut Desk) {
        if self.outbox.wake(ticket) {
            return;
        }
        if let Some(intake) = &mut self.intake {
            let outcome = intake.wake(ticket, self.outbox.next(), desk);
            self.heed_refusal(outcome, desk);
        }
    }

    /// Whether a long answer wants to go on.
    pub fn wants_piece(&self) -> bool {
        !self.is_spent() && self.outbox.wants_piece()
    }

    /// Makes the next piece of a long answer.
    pub fn pull(&mut self, desk: &mut Desk) {
        self.outbox.pull(desk);
        self.heed_last();
    }

    /// The tickets of all that is under way for it.
    pub fn tickets(&self) -> impl Iterator<Item = u64> {
        let intake = self.intake.as_ref().and_then(|it| it.ticket());
        self.outbox.tickets().chain(intake)
    }

    /// Takes no further requests. Those taken are answered, the last one saying that it is the last.
    pub fn finish(&mut self) {
        if self.phase == Phase::Open {
            self.phase = Phase::Closing;
            self.intake = None;
            self.outbox.close();
        }
    }

    /// Ends it when its time is up. Returns whether there is something to do for it.
    pub fn check_patience(&mut self, desk: &Desk, patience: &Patience, now: Instant) -> bool {
        let limit = match self.wait {
            Wait::Answer => return false,
            Wait::Idle => patience.idle,
            Wait::Head => patience.head,
            Wait::Body | Wait::Upload => patience.body,
            Wait::Write => patience.write,
            Wait::Linger => LINGER,
        };
        if now.saturating_duration_since(self.since) < limit {
            return false;
        }
        match self.wait {
            Wait::Head | Wait::Body | Wait::Upload => {
                self.refuse(desk.service.too_slow(), Exchange::refused(), desk);
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

    fn work(&mut self, desk: &mut Desk, scratch: &mut [u8], moved: &mut Moved) -> Option<Turn> {
        moved.written += self.flush()?;
        let mut full;
        loop {
            full = self.take_requests(desk);
            let go_ahead = self.phase == Phase::Open && !self.outbox.is_waiting();
            if go_ahead && self.decoder.take_continue() {
                self.outbox.interject(CONTINUE);
            }
            if full || self.phase != Phase::Open || !self.readable || moved.read >= TURN_MAX {
                break;
            }
            let count = self.read(scratch)?;
            self.decoder.feed(&scratch[..count]);
            moved.read += count;
            if count == 0 && !self.readable && self.ended {
                self.finish();
            }
        }
        moved.written += self.flush()?;
        if self.is_left(full) {
            return None;
        }
        if self.outbox.is_idle() {
            self.outbox.relieve();
            self.decoder.relieve();
        }
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
            match self.decoder.next() {
                None => return false,
                Some(Ok(arrival)) => self.take(arrival, desk),
                Some(Err(error)) => {
                    let response = desk.service.refuse(error, self.decoder.refused());
                    self.refuse(response, Exchange::refused(), desk);
                }
            }
            self.heed_last();
        }
        false
    }

    fn take(&mut self, arrival: Arrival, desk: &mut Desk) {
        let place = self.outbox.next();
        let outcome = match (arrival, &mut self.intake) {
            (Arrival::Request(request), _) => {
                let request = request.sent_by(self.peer);
                let owed = desk.call(&request, place);
                return self.outbox.push(owed, Exchange::of(&request), desk);
            }
            (Arrival::Upload(mut head), intake) => {
                head.peer = self.peer;
                match Intake::begin(&head, desk) {
                    Ok(begun) => {
                        *intake = Some(Box::new(begun));
                        Ok(())
                    }
                    Err(response) => return self.refuse(response, Exchange::of(&head), desk),
                }
            }
            (Arrival::Piece(bytes), Some(intake)) => intake.write(bytes, place, desk),
            (Arrival::End, intake) => {
                let intake = intake.take().expect("a body ends behind its head");
                let exchange = intake.exchange();
                let owed = intake.finish(place, desk);
                return self.outbox.push(owed, exchange, desk);
            }
            (Arrival::Piece(_), None) => unreachable!("a body comes behind its head"),
        };
        self.heed_refusal(outcome, desk);
    }

    /// Ends the upload with this answer, if its taker has given one.
    fn heed_refusal(&mut self, outcome: Result<(), Response>, desk: &Desk) {
        if let (Err(response), Some(intake)) = (outcome, &self.intake) {
            self.refuse(response, intake.exchange(), desk);
        }
    }

    /// Answers before all was read, so that nothing more can be.
    fn refuse(&mut self, response: Response, exchange: Exchange, desk: &Desk) {
        self.intake = None;
        let exchange = Exchange { keep_alive: false, ..exchange };
        self.outbox.push(Owed::Answer(response), exchange, desk);
        self.heed_last();
    }

    /// Whether nothing is to be taken out of what arrives.
    fn is_full(&self) -> bool {
        self.outbox.is_full() || self.intake.as_ref().is_some_and(|it| it.is_full())
    }

    /// Whether there is nobody left to answer: the client cannot be reached, or it has said all it
    /// wanted to say, and nothing is under way for it but waits for changes.
    fn is_left(&self, full: bool) -> bool {
        let deaf = full || !self.readable || self.phase != Phase::Open;
        deaf && !self.is_spent() && (self.broken || self.ended && self.outbox.is_idle())
    }

    /// Takes no further request once there is an answer that is the last.
    fn heed_last(&mut self) {
        if self.outbox.is_last() && self.phase == Phase::Open {
            self.phase = Phase::Closing;
        }
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

    fn flush(&mut self) -> Option<usize> {
        self.outbox.flush(&mut self.stream, &mut self.writable)
    }

    /// The end: the last answers, our end of the stream, and then the client's.
    fn wind_up(&mut self, scratch: &mut [u8]) -> Option<Turn> {
        if self.phase == Phase::Closing {
            if self.outbox.is_waiting() || self.outbox.unsent() > 0 {
                return Some(Turn::Rest);
            }
            if self.outbox.is_torn() {
                // A reset, if it can be had; the end of the stream would pass for that of the answer.
                let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
                return None;
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

    fn note_wait(&mut self, now: Instant, moved: Moved, request: bool) {
        let wait = if self.is_spent() {
            Wait::Linger
        } else if self.outbox.unsent() > 0 {
            Wait::Write
        } else if self.outbox.is_waiting() {
            Wait::Answer
        } else {
            match self.decoder.stage() {
                Stage::Idle => Wait::Idle,
                Stage::Head => Wait::Head,
                Stage::Body => match &self.intake {
                    Some(intake) if intake.is_full() => Wait::Answer,
                    Some(_) => Wait::Upload,
                    None => Wait::Body,
                },
            }
        };
        let moves = match wait {
            // A request has its time as a whole, so that dripping bytes does not prolong it.
            Wait::Head | Wait::Body | Wait::Linger => false,
            // Sending on does not make up for not reading.
            Wait::Write => moved.written > 0,
            Wait::Idle | Wait::Upload | Wait::Answer => moved.read + moved.written > 0,
        };
        if wait != self.wait || request || moves {
            self.wait = wait;
            self.since = now;
        }
    }
}
