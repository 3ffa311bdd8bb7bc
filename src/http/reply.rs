//! Answers, and the one form that all errors have.
//!
//! An error is an RFC 9457 problem document. The reader at a terminal gets `title` and `detail`;
//! a program gets the two facts it needs to go on: `retryable`, and whether a write took place
//! (`outcome`: `not_applied` or `unknown`, never mixed up).

use bytes::Bytes;
use serde::Serialize;

use super::stream::Stream;
use super::wire::{self, WireError};
use crate::error::{Certainty, Failure, Reason};

/// Plain text.
pub const TEXT: &str = "text/plain; charset=utf-8";
/// JSON.
pub const JSON: &str = "application/json";
/// A problem document.
pub const PROBLEM: &str = "application/problem+json";

/// An answer, before it is shaped for its connection.
#[derive(Debug)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Type of the body; sent only with one.
    pub content_type: &'static str,
    /// Further header fields, in order.
    pub headers: Vec<(&'static str, Value)>,
    /// The body.
    pub body: Body,
    /// Applied index of the state that the answer was made from.
    pub index: Option<u64>,
}

/// A header value, mostly without an allocation of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Known at compile time.
    Static(&'static str),
    /// A decimal number.
    Number(u64),
    /// Composed.
    Text(String),
    /// Shared with the state.
    Bytes(Bytes),
}

/// A body, mostly without an allocation of its own.
#[derive(Debug)]
pub enum Body {
    /// None.
    Empty,
    /// Known at compile time.
    Static(&'static str),
    /// Composed, or shared with the state.
    Bytes(Bytes),
    /// The same, and a line end, so that a terminal shows it well.
    Line(Bytes),
    /// Made while it is sent.
    Stream(Stream),
}

impl Response {
    /// An answer without a body.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self { status, content_type: TEXT, headers: Vec::new(), body: Body::Empty, index: None }
    }

    /// Plain text.
    #[must_use]
    pub fn text(status: u16, text: impl Into<String>) -> Self {
        Self { body: Body::Bytes(text.into().into()), ..Self::new(status) }
    }

    /// One line of plain text; the line end is added.
    #[must_use]
    pub fn line(status: u16, line: Bytes) -> Self {
        Self { body: Body::Line(line), ..Self::new(status) }
    }

    /// JSON, compact as programs like it, or indented for people.
    #[must_use]
    pub fn json(status: u16, value: &impl Serialize, pretty: bool) -> Self {
        let mut out = Vec::new();
        let written = if pretty {
            let format = serde_json::ser::PrettyFormatter::with_indent(b"    ");
            value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, format))
        } else {
            value.serialize(&mut serde_json::Serializer::new(&mut out))
        };
        written.expect("our own plain structs with text keys can always be written to memory");
        if pretty {
            out.push(b'\n');
        }
        Self { content_type: JSON, body: Body::Bytes(out.into()), ..Self::new(status) }
    }

    /// The same with a fixed header field more.
    #[must_use]
    pub fn with(self, name: &'static str, value: &'static str) -> Self {
        self.header(name, Value::Static(value))
    }

    /// The same with a composed header field more.
    #[must_use]
    pub fn text_header(self, name: &'static str, value: impl Into<String>) -> Self {
        self.header(name, Value::Text(value.into()))
    }

    /// The same with a header field more.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: Value) -> Self {
        if self.headers.capacity() == 0 {
            self.headers.reserve_exact(4);
        }
        self.headers.push((name, value));
        self
    }

    /// The same, made from the state as of this index.
    #[must_use]
    pub fn at(mut self, index: u64) -> Self {
        self.index = Some(index);
        self
    }
}

/// Whether a request that was answered with an error changed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Applied {
    /// Certainly not.
    NotApplied,
    /// Nobody can tell.
    Unknown,
}

/// An RFC 9457 problem document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The standard phrase of the status.
    pub title: &'static str,
    /// Status code.
    pub status: u16,
    /// What happened and what to do, for a reader at a terminal.
    pub detail: String,
    /// Whether the same request may succeed later, or elsewhere.
    pub retryable: bool,
    /// Whether it changed anything.
    pub outcome: Applied,
    /// Base URL of the leader's HTTP surface, when known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leader: Option<String>,
}

impl Problem {
    /// A refusal that stands: repeating the request does not help.
    #[must_use]
    pub fn new(status: u16, detail: impl Into<String>) -> Self {
        Self {
            title: wire::reason(status),
            status,
            detail: detail.into(),
            retryable: false,
            outcome: Applied::NotApplied,
            leader: None,
        }
    }

    /// A refusal for the moment: nothing was done, and a later try may succeed.
    #[must_use]
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self { retryable: true, ..Self::new(503, detail) }
    }

    /// A failure on this node.
    #[must_use]
    pub fn failure(failure: Failure) -> Self {
        let detail = failure.to_string();
        match (failure.certainty, failure.reason) {
            (Certainty::Unknown, _) => {
                Self { retryable: true, outcome: Applied::Unknown, ..Self::new(504, detail) }
            }
            (Certainty::NotApplied, Reason::Refused(_)) => Self::new(409, detail),
            (Certainty::NotApplied, Reason::DiskFull) => {
                Self { retryable: true, ..Self::new(507, detail) }
            }
            (Certainty::NotApplied, _) => Self::unavailable(detail),
        }
    }

    /// The same, naming the leader.
    #[must_use]
    pub fn with_leader(mut self, leader: Option<String>) -> Self {
        self.leader = leader;
        self
    }
}

impl From<Problem> for Response {
    fn from(problem: Problem) -> Self {
        let response = Self::json(problem.status, &problem, true).with("Cache-Control", "no-store");
        let response = Self { content_type: PROBLEM, ..response };
        match retry_after(problem.status) {
            Some(seconds) => response.with("Retry-After", seconds),
            None => response,
        }
    }
}

/// When a request that was refused for the moment may be sent again, in seconds: what is merely busy is
/// soon free, but room on a disk takes a person, or a checkpoint at least.
pub fn retry_after(status: u16) -> Option<&'static str> {
    match status {
        429 | 503 => Some("1"),
        507 => Some("10"),
        _ => None,
    }
}

impl From<WireError> for Response {
    fn from(error: WireError) -> Self {
        Problem::new(error.status(), error.to_string()).into()
    }
}
