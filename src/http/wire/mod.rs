//! HTTP/1.1 messages over byte buffers: pure, strict, bounded.
//!
//! `httparse` knows the grammar of a head; this module adds what decides where a message *ends*
//! (RFC 9112), because two programs that disagree about that can be made to smuggle requests past
//! each other. So nothing is guessed: a bare LF, a folded header, a signed, doubled or malformed
//! `Content-Length`, one beside a `Transfer-Encoding`, any coding but `chunked`, a missing or second
//! `Host` are errors, and every error ends the connection, since the next message's start is in doubt.
//!
//! Nothing is scanned twice and nothing is reserved on a client's word: memory grows with what has
//! arrived, up to [`Limits`], and the same bytes give the same requests however they were cut.

mod chunked;
mod decoder;
mod encode;
mod head;
mod limits;

use std::net::IpAddr;

use bytes::Bytes;

pub use decoder::{Arrival, Decoder, Stage};
pub use encode::{CONTINUE, Clock, Exchange, LAST_CHUNK, encode, has_body, push_chunk};
pub(in crate::http) use encode::{Date, http_date, reason};
pub use head::{Framing, Head};
pub use limits::{BodyRule, Budget, Limits};

/// Request methods that some route may take; all others are [`Method::Other`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// Reads.
    Get,
    /// Reads, without the body.
    Head,
    /// Writes.
    Put,
    /// Writes.
    Post,
    /// Removes.
    Delete,
    /// Changes a part.
    Patch,
    /// Asks for the methods.
    Options,
    /// Any other token.
    Other,
}

impl Method {
    fn parse(token: &str) -> Self {
        match token {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "PUT" => Self::Put,
            "POST" => Self::Post,
            "DELETE" => Self::Delete,
            "PATCH" => Self::Patch,
            "OPTIONS" => Self::Options,
            _ => Self::Other,
        }
    }

    /// The token on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Put => "PUT",
            Self::Post => "POST",
            Self::Delete => "DELETE",
            Self::Patch => "PATCH",
            Self::Options => "OPTIONS",
            Self::Other => "?",
        }
    }
}

/// Versions that are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Closes after each answer unless asked to stay.
    Http10,
    /// Stays unless asked to close.
    Http11,
}

/// One request, complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    head: Head,
    /// The decoded body; empty when there was none.
    pub body: Bytes,
}

impl Request {
    /// Puts a head and its decoded body together.
    #[must_use]
    pub fn new(head: Head, body: Bytes) -> Self {
        Self { head, body }
    }

    /// The same, sent by this other end of a connection.
    #[must_use]
    pub fn sent_by(mut self, peer: IpAddr) -> Self {
        self.head.peer = peer;
        self
    }
}

impl std::ops::Deref for Request {
    type Target = Head;

    fn deref(&self) -> &Head {
        &self.head
    }
}

/// Why a connection's bytes are not (acceptable) requests. After one, nothing more is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The request line is none.
    #[error("the request line is malformed")]
    RequestLine,
    /// A header line is none (bad name, control characters, folded, space before the colon).
    #[error("a header line is malformed")]
    HeaderLine,
    /// A line ended with LF alone.
    #[error("lines must end with CR LF")]
    BareLineFeed,
    /// Neither a path nor an absolute http URL.
    #[error("the request target must be a path")]
    Target,
    /// HTTP/1.1 without a host, or several, or one that is no host.
    #[error("exactly one valid Host header is required")]
    Host,
    /// Malformed, signed, repeated, or beside a `Transfer-Encoding`.
    #[error("the body's length is malformed or ambiguous")]
    Length,
    /// A chunk or trailer is malformed or too long.
    #[error("the chunked body is malformed")]
    Chunk,
    /// A coding other than `chunked`.
    #[error("the only transfer coding understood is chunked")]
    Coding,
    /// An expectation other than `100-continue`.
    #[error("the only expectation understood is 100-continue")]
    Expectation,
    /// The target is too long.
    #[error("the request target is too long")]
    TargetTooLong,
    /// The head is too long, or has too many fields.
    #[error("the request's header fields are too large or too many")]
    HeadTooLarge,
    /// The body is longer than the route takes.
    #[error("the request's body is longer than the {0} bytes that this path takes")]
    BodyTooLarge(usize),
    /// The bodies that are arriving take as much memory as they may.
    #[error("too many large request bodies are arriving at once; this one was not taken")]
    Crowd,
    /// A version other than 1.0 and 1.1.
    #[error("this server speaks HTTP/1.1 and HTTP/1.0")]
    Version,
}

impl WireError {
    /// The status code of the answer.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::RequestLine
            | Self::HeaderLine
            | Self::BareLineFeed
            | Self::Target
            | Self::Host
            | Self::Length
            | Self::Chunk => 400,
            Self::BodyTooLarge(_) => 413,
            Self::TargetTooLong => 414,
            Self::Expectation => 417,
            Self::HeadTooLarge => 431,
            Self::Coding => 501,
            Self::Crowd => 503,
            Self::Version => 505,
        }
    }
}

/// Where a line that starts at 0 ends: the index after its CR LF.
///
/// `scanned` remembers how far earlier calls looked, so that no byte is looked at twice. `None` when
/// the line is not complete; [`WireError::BareLineFeed`] when it ends with LF alone.
fn line_end(bytes: &[u8], scanned: &mut usize) -> Result<Option<usize>, WireError> {
    let Some(found) = bytes[*scanned..].iter().position(|byte| *byte == b'\n') else {
        *scanned = bytes.len();
        return Ok(None);
    };
    let end = *scanned + found;
    if end == 0 || bytes[end - 1] != b'\r' {
        return Err(WireError::BareLineFeed);
    }
    Ok(Some(end + 1))
}

/// Whether a byte may stand in a token (RFC 9110, 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
