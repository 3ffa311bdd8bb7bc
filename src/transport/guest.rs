//! The blocking client of the peer port: for joiners, and for dialling an advertised address back.
//!
//! Runs on the caller's thread with a timeout over everything, name resolution included. Its errors
//! are for a person who has mistyped an address.

use std::fmt::Display;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use thiserror::Error;

use super::GUEST_SERVICE;
use super::frame::{self, Decoder, FrameError};
use super::handshake::{Accepted, Garbage, Hello, HelloAnswer, Purpose, Refusal};
use super::limits::MAX_GUEST_BODY;
use super::resolve::addresses_of;
use crate::threads;

/// Why a call or a probe failed.
#[derive(Debug, Error)]
pub enum CallError {
    /// The name has no address.
    #[error("cannot resolve {addr}: {source}")]
    Resolve {
        /// As it was given.
        addr: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// Nobody listens there.
    #[error("nothing listens at {0} (connection refused)")]
    ConnectionRefused(String),
    /// No answer in time.
    #[error("no answer from {0} in time")]
    TimedOut(String),
    /// A web server answered.
    #[error("{0} is an HTTP port: use the peer port, 7071 by default")]
    HttpPort(String),
    /// Something that is no peer port answered.
    #[error("{addr} is not a peer port: {reason}")]
    NotAPeer {
        /// As it was given.
        addr: String,
        /// What was wrong with its words.
        reason: String,
    },
    /// The node that was reached does not want this connection.
    #[error("{addr} refused: {refusal}")]
    Refused {
        /// As it was given.
        addr: String,
        /// Its words.
        refusal: Refusal,
    },
    /// The question is larger than a guest may send.
    #[error("a question of {0} bytes is larger than a guest may ask")]
    TooLarge(usize),
    /// Any other failure of the network.
    #[error("cannot talk to {addr}: {source}")]
    Io {
        /// As it was given.
        addr: String,
        /// What the operating system said.
        source: io::Error,
    },
}

/// Asks one question as a guest of the node at `addr` (`host:port`) and gives its answer.
///
/// # Errors
///
/// See [`CallError`]. The question may have been received in all cases but [`CallError::TooLarge`].
pub fn call(
    addr: &str,
    hello: Hello,
    body: &[u8],
    timeout: Duration,
) -> Result<Vec<u8>, CallError> {
    if body.len() > MAX_GUEST_BODY {
        return Err(CallError::TooLarge(body.len()));
    }
    let mut line = Line::open(addr, timeout)?;
    match line.shake_hands(&Hello { purpose: Purpose::Guest, ..hello })? {
        HelloAnswer::Accepted(_) => {}
        HelloAnswer::Refused(refusal) => {
            return Err(CallError::Refused { addr: addr.into(), refusal });
        }
    }
    line.write(&[&frame::header(GUEST_SERVICE, body), body].concat())?;
    let mut decoder = Decoder::new(MAX_GUEST_BODY);
    let mut answer = None;
    let mut piece = std::mem::take(&mut line.unread);
    loop {
        let fed = decoder.feed(&piece, |frame| answer = answer.take().or(Some(frame.body)));
        fed.map_err(|error: FrameError| line.not_a_peer(&error))?;
        if let Some(answer) = answer {
            return Ok(answer.into());
        }
        piece = line.read()?;
    }
}

/// Shakes hands with whoever is at `addr` (`host:port`), and leaves.
///
/// # Errors
///
/// See [`CallError`]; a refusal by a node is a success here, it answered.
pub fn probe(addr: &str, hello: Hello, timeout: Duration) -> Result<HelloAnswer, CallError> {
    Line::open(addr, timeout)?.shake_hands(&Hello { purpose: Purpose::Probe, ..hello })
}

/// Like [`probe`], for a caller to whom a refusal is a failure.
///
/// # Errors
///
/// See [`CallError`].
pub fn identify(addr: &str, hello: Hello, timeout: Duration) -> Result<Accepted, CallError> {
    match probe(addr, hello, timeout)? {
        HelloAnswer::Accepted(accepted) => Ok(accepted),
        HelloAnswer::Refused(refusal) => Err(CallError::Refused { addr: addr.into(), refusal }),
    }
}

/// A connection with a deadline.
struct Line<'a> {
    addr: &'a str,
    deadline: Instant,
    stream: TcpStream,
    /// Bytes that came with the answer to the hello.
    unread: Vec<u8>,
}

impl<'a> Line<'a> {
    fn open(addr: &'a str, timeout: Duration) -> Result<Self, CallError> {
        let deadline = Instant::now() + timeout;
        let mut last = CallError::TimedOut(addr.into());
        for target in resolve(addr, deadline)? {
            let made = left(deadline).and_then(|left| TcpStream::connect_timeout(&target, left));
            match made.and_then(|stream| stream.set_nodelay(true).map(|()| stream)) {
                Ok(stream) => return Ok(Self { addr, deadline, stream, unread: Vec::new() }),
                Err(error) => last = failure(addr, error),
            }
        }
        Err(last)
    }

    fn shake_hands(&mut self, hello: &Hello) -> Result<HelloAnswer, CallError> {
        self.write(&hello.encode())?;
        let mut head = Vec::new();
        loop {
            head.extend(self.read()?);
            match HelloAnswer::parse(&head) {
                Ok(None) => {}
                Ok(Some((answer, used))) => {
                    self.unread = head.split_off(used);
                    return Ok(answer);
                }
                Err(Garbage::Http) => return Err(CallError::HttpPort(self.addr.into())),
                Err(garbage) => return Err(self.not_a_peer(&garbage)),
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), CallError> {
        let written = left(self.deadline)
            .and_then(|left| self.stream.set_write_timeout(Some(left)))
            .and_then(|()| self.stream.write_all(bytes));
        written.map_err(|error| failure(self.addr, error))
    }

    /// The next bytes, at least one.
    fn read(&mut self) -> Result<Vec<u8>, CallError> {
        let mut piece = vec![0; 4 << 10];
        loop {
            let read = left(self.deadline)
                .and_then(|left| self.stream.set_read_timeout(Some(left)))
                .and_then(|()| self.stream.read(&mut piece));
            match read {
                Ok(0) => return Err(self.not_a_peer(&"it closed the connection without an answer")),
                Ok(count) => {
                    piece.truncate(count);
                    return Ok(piece);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(failure(self.addr, error)),
            }
        }
    }

    fn not_a_peer(&self, reason: &dyn Display) -> CallError {
        CallError::NotAPeer { addr: self.addr.into(), reason: reason.to_string() }
    }
}

/// The time left, if any.
fn left(deadline: Instant) -> io::Result<Duration> {
    match deadline.checked_duration_since(Instant::now()) {
        Some(left) if !left.is_zero() => Ok(left),
        _ => Err(ErrorKind::TimedOut.into()),
    }
}

fn failure(addr: &str, source: io::Error) -> CallError {
    match source.kind() {
        ErrorKind::ConnectionRefused => CallError::ConnectionRefused(addr.into()),
        ErrorKind::TimedOut | ErrorKind::WouldBlock => CallError::TimedOut(addr.into()),
        _ => CallError::Io { addr: addr.into(), source },
    }
}

/// Addresses of a name. The resolver cannot be interrupted, so it has a thread, which is left behind
/// when the time is over and ends by itself.
fn resolve(addr: &str, deadline: Instant) -> Result<Vec<SocketAddr>, CallError> {
    if let Ok(literal) = addr.parse() {
        return Ok(vec![literal]);
    }
    let (answer, answered) = mpsc::sync_channel(1);
    let name = addr.to_owned();
    threads::spawn("resolve-once", move || answer.send(addresses_of(&name)))
        .map_err(|error| failure(addr, error))?;
    let left = left(deadline).map_err(|error| failure(addr, error))?;
    match answered.recv_timeout(left) {
        Ok(Ok(addresses)) => Ok(addresses),
        Ok(Err(source)) => Err(CallError::Resolve { addr: addr.into(), source }),
        Err(_) => Err(CallError::TimedOut(addr.into())),
    }
}
