//! The default front: a few event loops over non-blocking sockets.
//!
//! The first loop accepts and hands the connections out in turn. What a connection asks is answered
//! on the loop's own thread; what must wait for the raft thread is parked, and comes back through the
//! loop's inbox.

use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ::mio::net::{TcpListener, TcpStream};
use ::mio::{Interest, Poll, Waker};
use socket2::{SockRef, TcpKeepalive};

use super::desk::Desk;
use super::event_loop::{EventLoop, Inbox, LISTENER, WAKER};
use super::{FrontHandle, Patience};
use crate::http::Service;
use crate::threads;

/// Connections accepted before those there get their turn.
const ACCEPT_MAX: usize = 64;
/// How long to leave the backlog alone when there is no room.
pub(super) const PAUSE: Duration = Duration::from_millis(100);
/// How long a silent client is believed to be there, until it is asked,
const PROBE_AFTER: Duration = Duration::from_secs(30);
/// how often it is asked then,
const PROBE_EVERY: Duration = Duration::from_secs(10);
/// and after how many questions without an answer it is given up.
const PROBES: u32 = 3;
/// How often a lack of room is told at most.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// Starts the front on a bound listener, with the usual patience.
///
/// # Errors
/// When the operating system has no descriptors or threads left.
pub fn start(
    listener: std::net::TcpListener,
    service: Service,
    threads: usize,
) -> io::Result<FrontHandle> {
    start_with(listener, service, threads, Patience::default())
}

/// Starts the front on a bound listener.
///
/// # Errors
/// As [`start`].
#[expect(clippy::needless_pass_by_value, reason = "the front takes the service over")]
pub fn start_with(
    listener: std::net::TcpListener,
    service: Service,
    threads: usize,
    patience: Patience,
) -> io::Result<FrontHandle> {
    listener.set_nonblocking(true)?;
    let addr = listener.local_addr()?;
    let mut polls = Vec::new();
    let mut inboxes = Vec::new();
    for _ in 0..threads.max(1) {
        let poll = Poll::new()?;
        inboxes.push(Arc::new(Inbox::new(Waker::new(poll.registry(), WAKER)?)));
        polls.push(poll);
    }
    // Accepted sockets inherit it on Linux. Whoever waits for a change sends nothing for minutes, and
    // a machine that has lost its power says no goodbye.
    let keepalive =
        TcpKeepalive::new().with_time(PROBE_AFTER).with_interval(PROBE_EVERY).with_retries(PROBES);
    SockRef::from(&listener).set_tcp_keepalive(&keepalive)?;
    let mut listener = TcpListener::from_std(listener);
    polls[0].registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let open = Arc::new(AtomicUsize::new(0));
    let mut acceptor = Some(Acceptor {
        listener,
        ready: true,
        retry_at: None,
        held: None,
        next: 0,
        inboxes: inboxes.clone(),
        open: Arc::clone(&open),
        open_max: patience.connections_max,
        warned: None,
    });
    let mut handles = Vec::new();
    for (number, (poll, inbox)) in polls.into_iter().zip(inboxes.clone()).enumerate() {
        let sink = service.client().completions.register(Arc::clone(&inbox) as _);
        let desk = Desk::new(service.clone(), sink);
        let (open, acceptor) = (Arc::clone(&open), acceptor.take());
        let run = move || EventLoop::new(poll, inbox, desk, patience, open, acceptor).run();
        handles.push(threads::spawn(format!("http-{number}"), run)?);
    }
    let halt = Box::new(move || inboxes.iter().for_each(|inbox| inbox.stop()));
    Ok(FrontHandle { addr, halt, threads: handles })
}

/// A connection with its other end.
pub(super) type Accepted = (TcpStream, IpAddr);

/// Takes connections in, as many as there is room for.
///
/// It is never deaf: when there is no room (too many connections, or no descriptors), it asks the
/// loops to close idle ones, lets the backlog wait, and tries again.
pub(super) struct Acceptor {
    listener: TcpListener,
    /// Connections may be waiting.
    ready: bool,
    retry_at: Option<Instant>,
    /// Accepted, but there was no room. Only so can be known that somebody waits.
    held: Option<Accepted>,
    /// Whose turn it is to get one.
    next: usize,
    inboxes: Vec<Arc<Inbox>>,
    open: Arc<AtomicUsize>,
    open_max: usize,
    warned: Option<Instant>,
}

impl Acceptor {
    /// Notes that connections are waiting.
    pub fn wake(&mut self) {
        self.ready = true;
    }

    /// Notes that there may be room now.
    pub fn try_again(&mut self) {
        self.retry_at = None;
    }

    /// When it wants to be called again.
    pub fn due(&self) -> Option<Instant> {
        self.ready.then(|| self.retry_at.unwrap_or_else(Instant::now))
    }

    /// Accepts what waits, hands it out, and returns the share of the loop with this inbox.
    pub fn accept(&mut self, now: Instant, own: &Arc<Inbox>) -> Vec<Accepted> {
        let mut share = Vec::new();
        if !self.ready || self.retry_at.is_some_and(|at| now < at) {
            return share;
        }
        self.retry_at = None;
        for _ in 0..ACCEPT_MAX {
            let accepted = match self.held.take().map_or_else(|| self.take(), |held| Ok(Some(held)))
            {
                Ok(Some(accepted)) => accepted,
                Ok(None) => {
                    self.ready = false;
                    break;
                }
                Err(error) => {
                    self.pause(now, &error);
                    break;
                }
            };
            if self.open.load(Ordering::Relaxed) >= self.open_max {
                self.held = Some(accepted);
                self.pause(now, &"as many are open as are allowed");
                break;
            }
            self.open.fetch_add(1, Ordering::Relaxed);
            let inbox = &self.inboxes[self.next];
            self.next = (self.next + 1) % self.inboxes.len();
            if Arc::ptr_eq(inbox, own) {
                share.push(accepted);
            } else {
                inbox.give(accepted);
            }
        }
        share
    }

    /// The next connection of the backlog, if there is one.
    fn take(&self) -> io::Result<Option<Accepted>> {
        loop {
            match self.listener.accept() {
                Ok((stream, peer)) => {
                    // Answers are written whole; nothing is gained by holding back their ends. A
                    // failure means that the client has gone, which reading will tell.
                    let _ = stream.set_nodelay(true);
                    return Ok(Some((stream, peer.ip())));
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return Ok(None),
                    // This one gave up while it waited.
                    ErrorKind::ConnectionAborted
                    | ErrorKind::ConnectionReset
                    | ErrorKind::Interrupted => {}
                    _ => return Err(error),
                },
            }
        }
    }

    fn pause(&mut self, now: Instant, why: &dyn std::fmt::Display) {
        self.retry_at = Some(now + PAUSE);
        self.inboxes.iter().for_each(|inbox| inbox.shed());
        if self.warned.is_none_or(|at| now - at >= WARN_EVERY) {
            self.warned = Some(now);
            log::warn!("no room for further HTTP connections, closing idle ones: {why}");
        }
    }
}
