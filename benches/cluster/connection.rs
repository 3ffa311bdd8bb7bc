//! As much of an HTTP client as measuring takes: one request at a time on a connection that stays.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::ops::Range;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Whether the head says that a miss was not confirmed.
    pub unconfirmed: bool,
    /// Where the body stands in what was received.
    body: Range<usize>,
}

/// A keep-alive connection to one node.
pub struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    sent: usize,
    received: Vec<u8>,
}

impl Connection {
    /// Begins to connect; a request may be sent at once.
    ///
    /// # Errors
    /// When the connection was refused at once, or there is no socket for it.
    pub fn open(to: SocketAddr, registry: &Registry, token: Token) -> io::Result<Self> {
        let mut stream = TcpStream::connect(to)?;
        stream.set_nodelay(true)?;
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self { stream, request: Vec::new(), sent: 0, received: Vec::new() })
    }

    /// Sends a request. The answer to the one before must have been received.
    ///
    /// # Errors
    /// When the connection is broken.
    pub fn send(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        self.request.clear();
        self.received.clear();
        self.sent = 0;
        write(&mut self.request);
        self.flush()
    }

    /// Sends what the socket did not take before.
    ///
    /// # Errors
    /// When the connection is broken.
    pub fn flush(&mut self) -> io::Result<()> {
        while self.sent < self.request.len() {
            match self.stream.write(&self.request[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if not_yet(&error) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads what has arrived; the answer, when it is whole.
    ///
    /// # Errors
    /// When the connection has ended, or what it brings is no answer.
    pub fn receive(&mut self, scratch: &mut [u8]) -> io::Result<Option<Answer>> {
        loop {
            match self.stream.read(scratch) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.received.extend_from_slice(&scratch[..count]),
                Err(error) if not_yet(&error) => return Ok(None),
                Err(error) => return Err(error),
            }
            let answer = parse(&self.received)?;
            if answer.is_some() {
                return Ok(answer);
            }
        }
    }

    /// The body of the answer that was received last.
    pub fn body(&self, answer: &Answer) -> &[u8] {
        &self.received[answer.body.clone()]
    }
}

fn not_yet(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected)
}

/// An answer with Content-Length, once it is whole.
fn parse(bytes: &[u8]) -> io::Result<Option<Answer>> {
    let Some(end) = bytes.windows(4).position(|it| it == b"\r\n\r\n") else { return Ok(None) };
    let wrong = || io::Error::from(ErrorKind::InvalidData);
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| wrong())?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.get(9..12)?.parse().ok()).ok_or_else(wrong)?;
    let (mut length, mut unconfirmed) = (0, false);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().map_err(|_| wrong())?;
        }
        unconfirmed |= name.eq_ignore_ascii_case("x-bowline-unconfirmed");
    }
    let body = end + 4..end + 4 + length;
    Ok((bytes.len() >= body.end).then_some(Answer { status, unconfirmed, body }))
}

/// Writes `PUT /` of this URL.
pub fn put(request: &mut Vec<u8>, url: &[u8]) {
    let length = url.len();
    write!(request, "PUT / HTTP/1.1\r\nHost: bench\r\nContent-Length: {length}\r\n\r\n")
        .expect("a vector takes everything");
    request.extend_from_slice(url);
}

/// Writes `GET /KEY`.
pub fn get(request: &mut Vec<u8>, key: &str) {
    write!(request, "GET /{key} HTTP/1.1\r\nHost: bench\r\n\r\n")
        .expect("a vector takes everything");
}
