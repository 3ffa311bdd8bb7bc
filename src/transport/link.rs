//! Links: the sending half of a connection, shared by the thread that sends and the one that polls.
//!
//! A wake-up of another thread costs more than a write, so the sender writes to the non-blocking
//! socket itself as long as nothing waits before it; what the socket does not take is queued, and the
//! transport thread goes on when the socket becomes writable. No wake-up is lost: the sender keeps
//! the lock from the write that met a full socket until the rest is in the queue, and the poller
//! reports the socket writable only after such a write.
//!
//! The queue is bounded by bytes. What finds it full is dropped: the newest, because what was queued
//! before is what the receiver needs first. Without a connection everything is dropped.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Write};
use std::sync::Arc;

use bytes::Bytes;
use mio::net::TcpStream;
use parking_lot::Mutex;

use super::frame::{self, HEADER_LEN};
use super::limits::MAX_BODY;

/// Pieces (two per frame) that are given to the kernel in one call.
const SLICES: usize = 64;

/// The sending half of one connection that may come and go.
#[derive(Debug)]
pub struct Link {
    /// The most bytes that may wait.
    limit: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    connection: Option<Connection>,
    queue: Queue,
}

#[derive(Debug)]
struct Connection {
    socket: Arc<TcpStream>,
    /// The poller's number for it.
    token: usize,
}

/// What became of a push.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pushed {
    /// Frames written or queued.
    pub taken: u64,
    /// Frames dropped.
    pub dropped: u64,
    /// The connection that turned out to be broken; the poller must be told.
    pub broken: Option<usize>,
}

/// How far a flush came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flushed {
    /// Nothing is left.
    Empty,
    /// The socket is full; it will be reported writable.
    Blocked,
    /// More may go at once.
    More,
}

impl Link {
    /// A link without a connection; at most `limit` bytes will wait.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit, state: Mutex::default() }
    }

    /// Whether a connection stands.
    #[must_use]
    pub fn stands(&self) -> bool {
        self.state.lock().connection.is_some()
    }

    /// Sends from now on over this connection. Whole frames that waited for the one before go first.
    pub fn attach(&self, socket: Arc<TcpStream>, token: usize) {
        let mut state = self.state.lock();
        state.queue.forget_started();
        state.connection = Some(Connection { socket, token });
    }

    /// Ends the use of connection `token`; what waits is dropped. Gives the number of frames dropped.
    pub fn detach(&self, token: usize) -> u64 {
        let mut state = self.state.lock();
        if state.connection.as_ref().is_none_or(|connection| connection.token != token) {
            return 0;
        }
        state.connection = None;
        state.queue.clear()
    }

    /// Sends frames (service, body), in order, never waiting.
    pub fn push(&self, frames: impl IntoIterator<Item = (u8, Bytes)>) -> Pushed {
        let mut pushed = Pushed::default();
        let mut state = self.state.lock();
        let State { connection, queue } = &mut *state;
        let idle = queue.frames.is_empty();
        for (service, body) in frames {
            let length = HEADER_LEN + body.len();
            if body.len() > MAX_BODY {
                log::error!("a message of {} bytes is larger than a frame may be", body.len());
            }
            let fits = body.len() <= MAX_BODY && queue.bytes + length <= self.limit.max(length);
            if connection.is_none() || !fits {
                pushed.dropped += 1;
                continue;
            }
            queue.push(service, body);
            pushed.taken += 1;
        }
        let Some(standing) = connection.as_ref().filter(|_| idle) else {
            return pushed;
        };
        loop {
            match queue.write_to(&mut &*standing.socket) {
                Ok(Flushed::More) => {}
                Ok(Flushed::Empty | Flushed::Blocked) => return pushed,
                Err(_) => break,
            }
        }
        pushed.broken = Some(standing.token);
        let lost = queue.clear().min(pushed.taken);
        pushed.taken -= lost;
        pushed.dropped += lost;
        *connection = None;
        pushed
    }

    /// Writes once from the queue, if `token` is still the connection in use.
    ///
    /// # Errors
    ///
    /// Those of the socket: the connection is broken.
    pub fn flush(&self, token: usize) -> io::Result<Flushed> {
        let mut state = self.state.lock();
        let State { connection, queue } = &mut *state;
        match connection {
            Some(connection) if connection.token == token => {
                queue.write_to(&mut &*connection.socket)
            }
            _ => Ok(Flushed::Empty),
        }
    }
}

/// Frames that wait, the first perhaps written in part.
#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<Waiting>,
    /// Bytes of all frames, including what was written of the first.
    bytes: usize,
    /// How much of the first frame was written.
    written: usize,
}

#[derive(Debug)]
struct Waiting {
    header: [u8; HEADER_LEN],
    body: Bytes,
}

impl Waiting {
    fn len(&self) -> usize {
        HEADER_LEN + self.body.len()
    }
}

impl Queue {
    fn push(&mut self, service: u8, body: Bytes) {
        let waiting = Waiting { header: frame::header(service, &body), body };
        self.bytes += waiting.len();
        self.frames.push_back(waiting);
    }

    fn clear(&mut self) -> u64 {
        let lost = self.frames.len() as u64;
        *self = Self::default();
        lost
    }

    /// Drops a frame of which the old connection got a part: the rest is no use to a new one.
    fn forget_started(&mut self) {
        if self.written > 0 {
            let length = self.frames.front().expect("a frame was begun").len();
            self.written = 0;
            self.drop_front(length);
        }
    }

    fn drop_front(&mut self, length: usize) {
        self.frames.pop_front();
        self.bytes -= length;
    }

    /// One write of as much as one call may take.
    fn write_to(&mut self, socket: &mut impl Write) -> io::Result<Flushed> {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut used = 0;
        let mut skip = self.written;
        for waiting in self.frames.iter().take(SLICES / 2) {
            let (head, body) = (&waiting.header[skip.min(HEADER_LEN)..], &waiting.body);
            let body = &body[skip.saturating_sub(HEADER_LEN)..];
            for part in [head, body].into_iter().filter(|part| !part.is_empty()) {
                slices[used] = IoSlice::new(part);
                used += 1;
            }
            skip = 0;
        }
        if used == 0 {
            return Ok(Flushed::Empty);
        }
        match socket.write_vectored(&slices[..used]) {
            Ok(0) => Err(ErrorKind::WriteZero.into()),
            Ok(count) => {
                self.advance(count);
                Ok(if self.frames.is_empty() { Flushed::Empty } else { Flushed::More })
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Flushed::Blocked),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(Flushed::More),
            Err(error) => Err(error),
        }
    }

    fn advance(&mut self, count: usize) {
        self.written += count;
        while let Some(length) = self.frames.front().map(Waiting::len)
            && self.written >= length
        {
            self.written -= length;
            self.drop_front(length);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::frame::Decoder;
    use super::*;

    /// A socket that takes what its script says: so many bytes, or none for now.
    struct Scripted {
        script: VecDeque<usize>,
        out: Vec<u8>,
    }

    impl Write for Scripted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.write_vectored(&[IoSlice::new(bytes)])
        }

        fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
            let all: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
            match self.script.pop_front() {
                Some(0) => Err(ErrorKind::WouldBlock.into()),
                Some(count) => {
                    self.out.extend(&all[..count.min(all.len())]);
                    Ok(count.min(all.len()))
                }
                None => {
                    self.out.extend(&all);
                    Ok(all.len())
                }
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    proptest! {
        #[test]
        fn however_the_socket_takes_it_the_stream_is_whole(
            bodies in vec(vec(any::<u8>(), 0..100), 0..100),
            script in vec(0usize..60, 0..60),
        ) {
            let mut queue = Queue::default();
            for body in &bodies {
                queue.push(3, body.clone().into());
            }
            let mut socket = Scripted { script: script.into(), out: Vec::new() };
            while queue.write_to(&mut socket).unwrap() != Flushed::Empty {}
            prop_assert_eq!(queue.bytes, 0);

            let mut got: Vec<Vec<u8>> = Vec::new();
            Decoder::new(100).feed(&socket.out, |frame| got.push(frame.body.into())).unwrap();
            prop_assert_eq!(got, bodies);
        }
    }

    #[test]
    fn a_frame_begun_on_one_connection_is_not_continued_on_the_next() {
        let mut queue = Queue::default();
        queue.push(1, Bytes::from_static(b"first"));
        queue.push(1, Bytes::from_static(b"second"));
        let mut socket = Scripted { script: [3, 0].into(), out: Vec::new() };
        assert_eq!(queue.write_to(&mut socket).unwrap(), Flushed::More);
        queue.forget_started();

        let mut next = Scripted { script: VecDeque::new(), out: Vec::new() };
        assert_eq!(queue.write_to(&mut next).unwrap(), Flushed::Empty);
        let mut got = Vec::new();
        Decoder::new(100).feed(&next.out, |frame| got.push(frame.body)).unwrap();
        assert_eq!(got, [Bytes::from_static(b"second")]);
    }

    #[test]
    fn without_a_connection_everything_is_dropped_and_counted() {
        let link = Link::new(100);
        let pushed = link.push([(1, Bytes::new()), (1, Bytes::new())]);
        assert_eq!(pushed, Pushed { taken: 0, dropped: 2, broken: None });
    }
}
