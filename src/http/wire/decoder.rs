//! From bytes as they arrive to requests, one after the other.

use std::sync::Arc;

use bytes::Bytes;

use super::chunked::Chunked;
use super::limits::{BodyRule, Lease, Limits};
use super::{Framing, Head, Request, WireError, is_token, line_end};

/// Blank lines that are forgiven in front of a request line (RFC 9112, 2.2).
const BLANK_LINES_MAX: usize = 4;
/// Bytes of a request line beyond its target: the longest method we would read, and the version.
const REQUEST_LINE_SLACK: usize = 64;
/// An empty buffer larger than this is given back.
const BUFFER_KEEP: usize = 4 * 1024;

/// Cuts one connection's bytes into requests: [`feed`](Self::feed), then iterate until `None`.
///
/// An error is the last item; what is fed after it is dropped.
#[derive(Debug)]
pub struct Decoder {
    limits: Arc<Limits>,
    buffer: Vec<u8>,
    /// What lies before it in the buffer is used up.
    start: usize,
    state: State,
}

/// What has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// A whole request.
    Request(Request),
    /// The head of one whose body follows in pieces; one without a body is a whole request.
    Upload(Head),
    /// A piece of that body.
    Piece(Bytes),
    /// That was its body.
    End,
}

#[derive(Debug)]
enum State {
    Head(HeadScan),
    Body(Box<Partial>),
    Upload(Box<Streamed>),
    /// With the head of the request that was refused, if it had a proper one.
    Dead(Option<Box<Head>>),
}

/// How far the head in front of us was searched for its end, counted from its first byte.
#[derive(Debug, Default)]
struct HeadScan {
    scanned: usize,
    line: usize,
    blank_lines: usize,
}

/// A request whose body is still arriving.
#[derive(Debug)]
struct Partial {
    head: Head,
    body: Vec<u8>,
    body_max: usize,
    incoming: Incoming,
    /// For the memory of the body.
    lease: Lease,
}

/// A request whose body is handed on as it arrives.
#[derive(Debug)]
struct Streamed {
    head: Head,
    incoming: Incoming,
    done: bool,
}

/// What is still to come of a body.
#[derive(Debug)]
struct Incoming {
    left: Left,
    /// The client waits for a go-ahead that nobody has sent yet.
    wants_continue: bool,
}

#[derive(Debug)]
enum Left {
    Bytes(usize),
    Chunks(Chunked),
}

/// What a connection is in the middle of receiving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Nothing: between requests.
    Idle,
    /// A head.
    Head,
    /// A body.
    Body,
}

impl Decoder {
    /// A decoder at the start of a connection.
    #[must_use]
    pub fn new(limits: Arc<Limits>) -> Self {
        Self { limits, buffer: Vec::new(), start: 0, state: State::Head(HeadScan::default()) }
    }

    /// Takes bytes as they arrived. The caller bounds them: it stops feeding while it does not take
    /// the requests out.
    pub fn feed(&mut self, bytes: &[u8]) {
        if matches!(self.state, State::Dead(_)) {
            return;
        }
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// What is being received. Meaningful after iterating to `None`.
    #[must_use]
    pub fn stage(&self) -> Stage {
        match self.state {
            State::Body(_) | State::Upload(_) => Stage::Body,
            State::Head(_) if self.start < self.buffer.len() => Stage::Head,
            State::Head(_) | State::Dead(_) => Stage::Idle,
        }
    }

    /// Whether the client is waiting for [`CONTINUE`](super::CONTINUE), told once. To be sent when
    /// all earlier answers are out.
    pub fn take_continue(&mut self) -> bool {
        match &mut self.state {
            State::Body(partial) => std::mem::take(&mut partial.incoming.wants_continue),
            State::Upload(streamed) => std::mem::take(&mut streamed.incoming.wants_continue),
            State::Head(_) | State::Dead(_) => false,
        }
    }

    /// The head of the request that was refused, when the error was not in the head itself.
    #[must_use]
    pub fn refused(&self) -> Option<&Head> {
        match &self.state {
            State::Dead(head) => head.as_deref(),
            _ => None,
        }
    }

    /// Gives back memory that will not be needed for a while.
    pub fn relieve(&mut self) {
        self.buffer.shrink_to_fit();
    }

    fn step(&mut self) -> Result<Option<Arrival>, WireError> {
        match &mut self.state {
            State::Head(scan) => {
                let end = scan.find_end(&self.buffer, &mut self.start, &self.limits)?;
                let Some(length) = end else { return Ok(None) };
                let bytes = &self.buffer[self.start..self.start + length];
                let head = Head::parse(bytes, &self.limits)?;
                self.start += length;
                self.begin(head)
            }
            State::Body(_) => self.collect(),
            State::Upload(_) => self.hand_on(),
            State::Dead(_) => Ok(None),
        }
    }

    /// Goes on behind a head.
    fn begin(&mut self, head: Head) -> Result<Option<Arrival>, WireError> {
        self.state = State::Head(HeadScan::default());
        if head.framing == Framing::Length(0) {
            return Ok(Some(Arrival::Request(Request::new(head, Bytes::new()))));
        }
        let rule = (self.limits.body)(&head);
        let body_max = match rule {
            BodyRule::Whole(max) => max,
            BodyRule::Pieces => usize::MAX,
        };
        let Some(incoming) = Incoming::of(&head, body_max) else {
            self.state = State::Dead(Some(Box::new(head)));
            return Err(WireError::BodyTooLarge(body_max));
        };
        if rule == BodyRule::Pieces {
            let streamed = Streamed { head: head.clone(), incoming, done: false };
            self.state = State::Upload(Box::new(streamed));
            return Ok(Some(Arrival::Upload(head)));
        }
        let lease = self.limits.bodies.lease();
        let partial = Partial { head, body: Vec::new(), body_max, incoming, lease };
        self.state = State::Body(Box::new(partial));
        self.collect()
    }

    /// Takes what there is of a body, and the request once it is complete.
    fn collect(&mut self) -> Result<Option<Arrival>, WireError> {
        let State::Body(partial) = &mut self.state else { return Ok(None) };
        let Partial { body, body_max, incoming, lease, .. } = &mut **partial;
        let (used, done) = incoming.advance(&self.buffer[self.start..], body, *body_max)?;
        self.start += used;
        if !done {
            return if lease.extend_to(body.capacity()) { Ok(None) } else { Err(WireError::Crowd) };
        }
        let State::Body(partial) =
            std::mem::replace(&mut self.state, State::Head(HeadScan::default()))
        else {
            unreachable!("it was a body a line ago");
        };
        Ok(Some(Arrival::Request(Request::new(partial.head, partial.body.into()))))
    }

    /// Takes what there is of a body that is handed on.
    fn hand_on(&mut self) -> Result<Option<Arrival>, WireError> {
        let State::Upload(streamed) = &mut self.state else { return Ok(None) };
        if !streamed.done {
            let mut piece = Vec::new();
            let rest = &self.buffer[self.start..];
            let (used, done) = streamed.incoming.advance(rest, &mut piece, usize::MAX)?;
            self.start += used;
            streamed.done = done;
            if !piece.is_empty() {
                return Ok(Some(Arrival::Piece(piece.into())));
            }
        }
        if !streamed.done {
            return Ok(None);
        }
        self.state = State::Head(HeadScan::default());
        Ok(Some(Arrival::End))
    }

    /// Takes no bytes any more.
    fn die(&mut self) {
        let state = std::mem::replace(&mut self.state, State::Dead(None));
        self.state = State::Dead(match state {
            State::Head(_) => None,
            State::Body(partial) => Some(Box::new(partial.head)),
            State::Upload(streamed) => Some(Box::new(streamed.head)),
            State::Dead(head) => head,
        });
        self.start = self.buffer.len();
    }

    fn release(&mut self) {
        if self.start == self.buffer.len() {
            self.start = 0;
            self.buffer.clear();
            if self.buffer.capacity() > BUFFER_KEEP {
                self.buffer = Vec::new();
            }
        }
    }
}

impl Iterator for Decoder {
    type Item = Result<Arrival, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.step().transpose();
        if let Some(Err(_)) = item {
            self.die();
        }
        self.release();
        item
    }
}

impl HeadScan {
    /// The length of the head that starts at `start`, once it is complete; moves `start` over blank
    /// lines in front of it.
    ///
    /// All limits are met at a fixed byte of the head, so that it does not matter how it was cut.
    fn find_end(
        &mut self,
        buffer: &[u8],
        start: &mut usize,
        limits: &Limits,
    ) -> Result<Option<usize>, WireError> {
        while self.line == 0 && buffer[*start..].starts_with(b"\r\n") {
            *start += 2;
            self.scanned = 0;
            self.blank_lines += 1;
            if self.blank_lines > BLANK_LINES_MAX {
                return Err(WireError::RequestLine);
            }
        }
        let bytes = &buffer[*start..];
        match bytes {
            [b'\r'] | [] => return Ok(None),
            // Nobody who speaks HTTP starts like this; no need to wait for a line.
            [first, ..] if !is_token(*first) => return Err(WireError::RequestLine),
            _ => {}
        }
        let line_max = limits.head_max.min(limits.target_max + REQUEST_LINE_SLACK);
        loop {
            let max = if self.line == 0 { line_max } else { limits.head_max };
            let within = &bytes[..bytes.len().min(max)];
            let mut scanned = self.scanned - self.line;
            let end = line_end(&within[self.line..], &mut scanned)?;
            let Some(length) = end else {
                self.scanned = within.len();
                return match within.len() == max {
                    false => Ok(None),
                    true if self.line == 0 => Err(WireError::TargetTooLong),
                    true => Err(WireError::HeadTooLarge),
                };
            };
            self.line += length;
            self.scanned = self.line;
            if length == 2 {
                return Ok(Some(self.line));
            }
        }
    }
}

impl Incoming {
    /// The body that a head announces, unless it is too long.
    fn of(head: &Head, body_max: usize) -> Option<Self> {
        let left = match head.framing {
            Framing::Chunked => Left::Chunks(Chunked::default()),
            Framing::Length(length) => {
                let length = usize::try_from(length).ok()?;
                Left::Bytes((length <= body_max).then_some(length)?)
            }
        };
        Some(Self { left, wants_continue: head.expects_continue })
    }

    /// Takes what there is of the body: (bytes used up, whether it is complete).
    fn advance(
        &mut self,
        bytes: &[u8],
        body: &mut Vec<u8>,
        body_max: usize,
    ) -> Result<(usize, bool), WireError> {
        if !bytes.is_empty() {
            // Who sends the body does not wait for leave to send it (RFC 9110, 10.1.1).
            self.wants_continue = false;
        }
        match &mut self.left {
            Left::Bytes(left) => {
                let take = bytes.len().min(*left);
                body.extend_from_slice(&bytes[..take]);
                *left -= take;
                Ok((take, *left == 0))
            }
            Left::Chunks(chunked) => {
                let progress = chunked.advance(bytes, body, body_max)?;
                Ok((progress.used, progress.done))
            }
        }
    }
}
