//! Answers that are never in memory as a whole: their bodies are made piece by piece, as the client
//! takes them.
//!
//! A front asks a [`Source`] for the next piece only while little of what came before is still unsent. So
//! a client that does not read costs a bounded amount of memory, and a source is asked by the one
//! thread that also writes. HTTP/1.1 clients get chunks, whose missing end tells a broken answer from a
//! whole one; to HTTP/1.0 clients the end of the connection is the end of the answer.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use bytes::Bytes;

use crate::ids::Ticket;

/// Makes the body of an answer.
pub trait Source: Send {
    /// The next piece. It is called again when there is room for more; after [`Piece::End`] and
    /// [`Piece::Broken`] never, and when the client goes away the source is dropped.
    fn next(&mut self, wake: Ticket) -> Piece;
}

/// What a source has to give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Bytes, about 64 KiB at most, made in about a millisecond at most. No bytes are a turn for the
    /// others.
    Data(Bytes),
    /// Nothing now. Ask again when a completion for the ticket comes, or at this time. A client that
    /// says that it sends nothing more counts as gone while this is all there is to say to it; and so
    /// it ends when the node stops.
    Wait(Instant),
    /// That was all.
    End,
    /// There should be more, but it cannot be had; the client learns that the answer is not whole.
    Broken,
}

/// A body that is made while it is sent.
pub struct Stream {
    source: Box<dyn Source>,
    /// Whether it counts towards the bound on streams.
    counted: bool,
    _place: Option<Place>,
}

impl Stream {
    /// A body from a source. There is a bound on how many there are at a time, because sources tend to
    /// hold on to a state that has long been replaced.
    #[must_use]
    pub fn new(source: impl Source + 'static) -> Self {
        Self { source: Box::new(source), counted: true, _place: None }
    }

    /// A body that is mostly silent, from a source that holds a [`Watch`](crate::watch::Watch) and no
    /// state: it is bounded with the watches.
    #[must_use]
    pub fn of_events(source: impl Source + 'static) -> Self {
        Self { source: Box::new(source), counted: false, _place: None }
    }

    /// See [`Source::next`].
    pub(super) fn next(&mut self, wake: Ticket) -> Piece {
        self.source.next(wake)
    }

    /// Takes a place among those there may be, if there is one or none is needed.
    pub(super) fn admit(&mut self, streams: &Arc<AtomicUsize>, max: usize) -> bool {
        if self.counted {
            let place = Place(Arc::clone(streams));
            if streams.fetch_add(1, Ordering::Relaxed) >= max {
                return false;
            }
            self._place = Some(place);
        }
        true
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stream")
    }
}

/// A place among the streams, given back when dropped.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
