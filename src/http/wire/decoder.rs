//! From bytes as they arrive to requests, one after the other.

use bytes::Bytes;

use super::chunked::Chunked;
use super::{Framing, Head, Limits, Request, WireError, is_token, line_end};

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
    limits: Limits,
    buffer: Vec<u8>,
    /// What lies before it in the buffer is used up.
    start: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    Head(HeadScan),
    Body(Box<Partial>),
    Dead,
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
    pub fn new(limits: Limits) -> Self {
        Self { limits, buffer: Vec::new(), start: 0, state: State::Head(HeadScan::default()) }
    }

    /// Takes bytes as they arrived. The caller bounds them: it stops feeding while it does not take
    /// the requests out.
    pub fn feed(&mut self, bytes: &[u8]) {
        if matches!(self.state, State::Dead) {
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
            State::Body(_) => Stage::Body,
            State::Head(_) if self.start < self.buffer.len() => Stage::Head,
            State::Head(_) | State::Dead => Stage::Idle,
        }
    }

    /// Whether the client is waiting for [`CONTINUE`](super::CONTINUE), told once. To be sent when
    /// all earlier answers are out.
    pub fn take_continue(&mut self) -> bool {
        match &mut self.state {
            State::Body(partial) => std::mem::take(&mut partial.wants_continue),
            State::Head(_) | State::Dead => false,
        }
    }

    fn step(&mut self) -> Result<Option<Request>, WireError> {
        if let State::Head(scan) = &mut self.state {
            let Some(length) = scan.find_end(&self.buffer, &mut self.start, &self.limits)? else {
                return Ok(None);
            };
            let bytes = &self.buffer[self.start..self.start + length];
            let head = Head::parse(bytes, &self.limits)?;
            self.start += length;
            self.state = State::Head(HeadScan::default());
            if head.framing == Framing::Length(0) {
                return Ok(Some(Request::new(head, Bytes::new())));
            }
            self.state = State::Body(Box::new(Partial::new(head, &self.limits)?));
        }
        let State::Body(partial) = &mut self.state else { return Ok(None) };
        let (used, done) = partial.advance(&self.buffer[self.start..])?;
        self.start += used;
        if !done {
            return Ok(None);
        }
        let State::Body(partial) =
            std::mem::replace(&mut self.state, State::Head(HeadScan::default()))
        else {
            unreachable!("it was a body a line ago");
        };
        Ok(Some(Request::new(partial.head, partial.body.into())))
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
    type Item = Result<Request, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.step().transpose();
        if let Some(Err(_)) = item {
            self.state = State::Dead;
            self.start = self.buffer.len();
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

impl Partial {
    fn new(head: Head, limits: &Limits) -> Result<Self, WireError> {
        let body_max = (limits.body_max)(head.method, head.path());
        let left = match head.framing {
            Framing::Chunked => Left::Chunks(Chunked::default()),
            Framing::Length(length) => match usize::try_from(length) {
                Ok(length) if length <= body_max => Left::Bytes(length),
                _ => return Err(WireError::BodyTooLarge),
            },
        };
        let wants_continue = head.expects_continue;
        Ok(Self { head, body: Vec::new(), body_max, left, wants_continue })
    }

    /// Takes what there is of the body: (bytes used up, whether it is complete).
    fn advance(&mut self, bytes: &[u8]) -> Result<(usize, bool), WireError> {
        if !bytes.is_empty() {
            // Who sends the body does not wait for leave to send it (RFC 9110, 10.1.1).
            self.wants_continue = false;
        }
        match &mut self.left {
            Left::Bytes(left) => {
                let take = bytes.len().min(*left);
                self.body.extend_from_slice(&bytes[..take]);
                *left -= take;
                Ok((take, *left == 0))
            }
            Left::Chunks(chunked) => {
                let progress = chunked.advance(bytes, &mut self.body, self.body_max)?;
                Ok((progress.used, progress.done))
            }
        }
    }
}
