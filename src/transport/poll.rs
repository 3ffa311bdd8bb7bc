//! The transport thread: one mio loop that owns all connections.
//!
//! mio tells of readiness once, at its edge. So whoever stops before the kernel says "would block"
//! (to let others have their turn) puts the connection on the loop's own `ready` list.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Display;
use std::mem;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{io, net};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use rand::SeedableRng;
use rand::rngs::StdRng;
use socket2::{SockRef, TcpKeepalive};

use super::admission::Roll;
use super::dial::{Attempt, Failure};
use super::frame::Decoder;
use super::handshake::{Features, Identity, Lane};
use super::limits::{
    KEEPALIVE_AFTER, KEEPALIVE_EVERY, KEEPALIVE_PROBES, MAX_BODY, READ_CHUNK, USER_TIMEOUT,
};
use super::link::Link;
use super::peer::{Dial, PeerState};
use super::quiet::Quiet;
use super::resolve::Resolver;
use super::stream::Inboxes;
use super::{Inbound, Peer, Shared, Wishes};
use crate::metrics::Metrics;

pub(super) const LISTENER: usize = 0;
const WAKER: usize = 1;
const FIRST_CONNECTION: usize = 2;
const EVENTS: usize = 256;

/// The state of the transport thread.
pub(super) struct Poller {
    poll: Poll,
    pub shared: Arc<Shared>,
    pub listener: TcpListener,
    pub inboxes: Inboxes,
    pub metrics: Arc<Metrics>,
    pub resolver: Resolver,

    pub me: Identity,
    /// What this program can do.
    pub can: Features,
    /// The owner's list, to begin anew with after a change of identity.
    pub listed: (Vec<Peer>, u64),
    pub roll: Roll,
    pub peers: BTreeMap<u64, PeerState>,

    /// By token; tokens are never reused, so that what is late is recognised.
    pub conns: BTreeMap<usize, Conn>,
    next_token: usize,
    /// Inbound connections whose handshake is not finished, the oldest first.
    pub unfinished: BTreeSet<usize>,
    /// To be read and written again without being announced.
    pub ready: BTreeSet<usize>,
    pub timers: BTreeSet<(Instant, Timer)>,
    /// Events that a full inbox has not taken yet.
    pub events: VecDeque<Inbound>,

    pub chunk: Vec<u8>,
    pub quiet: Quiet<net::IpAddr>,
    pub jitter: StdRng,
    pub lookups: u64,
}

/// What falls due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// The next dial of a lane; void unless the lane waits for just this.
    Dial(u64, Lane),
    /// The deadline of a connection.
    Conn(usize),
    /// The listener is worth another try.
    Accept,
}

/// Who a handshake was finished with.
#[derive(Clone, Copy)]
pub(super) struct Process {
    /// Tells it from the one before and the one after.
    pub nonce: u64,
    /// What it can do; of the abilities, those that we have, too.
    pub can: Features,
}

/// A connection of any kind.
pub(super) struct Conn {
    /// Shared with the link that sends over it.
    pub stream: Arc<TcpStream>,
    pub from: SocketAddr,
    pub role: Role,
    deadline: Option<Instant>,
    /// What has arrived of the handshake.
    pub head: Vec<u8>,
    pub frames: Decoder,
    /// The other side's end was announced: read on until it is reached.
    pub closing: bool,
}

/// What a connection is for at the moment.
pub(super) enum Role {
    /// Inbound, before its hello.
    Greeting,
    /// Ours, before its answer.
    Dialling(Attempt),
    /// In use.
    Standing { peer: u64, lane: Lane },
    /// Replaced by another; what was sent before is still read.
    Retired { peer: u64, lane: Lane },
    /// Of a guest.
    Guest(Arc<Link>),
}

impl Poller {
    pub fn new(
        (me, can): (Identity, Features),
        listener: net::TcpListener,
        inboxes: Inboxes,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut listener = TcpListener::from_std(listener);
        poll.registry().register(&mut listener, Token(LISTENER), Interest::READABLE)?;
        let waker = Arc::new(Waker::new(poll.registry(), Token(WAKER))?);
        let shared = Shared {
            waker: Arc::clone(&waker),
            metrics: Arc::clone(&metrics),
            links: Default::default(),
            guests: Default::default(),
            wishes: Default::default(),
        };
        Ok(Self {
            poll,
            shared: Arc::new(shared),
            listener,
            inboxes,
            metrics,
            resolver: Resolver::start(waker)?,
            me,
            can,
            listed: (Vec::new(), 0),
            roll: Roll::default(),
            peers: BTreeMap::new(),
            conns: BTreeMap::new(),
            next_token: FIRST_CONNECTION,
            unfinished: BTreeSet::new(),
            ready: BTreeSet::new(),
            timers: BTreeSet::new(),
            events: VecDeque::new(),
            chunk: vec![0; READ_CHUNK],
            quiet: Quiet::new(),
            jitter: StdRng::seed_from_u64(me.boot_nonce),
            lookups: 0,
        })
    }

    pub fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// The loop; ends when the owner wants it to.
    pub fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            let timeout = self.timeout();
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    panic!("the transport cannot wait for its sockets: {error}")
                }
                _ => {}
            }
            let now = Instant::now();
            let mut woken = false;
            for event in &events {
                match event.token().0 {
                    LISTENER => self.accept(now),
                    WAKER => woken = true,
                    token => {
                        let closing = event.is_read_closed() || event.is_error();
                        if let Some(conn) = self.conns.get_mut(&token) {
                            conn.closing |= closing;
                        }
                        self.serve(token, event.is_readable() || closing, event.is_writable(), now);
                    }
                }
            }
            if woken && !self.obey(now) {
                break;
            }
            for token in mem::take(&mut self.ready) {
                match token {
                    LISTENER => self.accept(now),
                    token => self.serve(token, true, true, now),
                }
            }
            self.fire(now);
        }
        for id in self.peers.keys().copied().collect::<Vec<_>>() {
            self.forget(id);
        }
        self.shared.guests.write().clear();
    }

    /// How long nothing is due.
    fn timeout(&mut self) -> Option<Duration> {
        if !self.ready.is_empty() {
            return Some(Duration::ZERO);
        }
        let next = self.timers.first().map(|(at, _)| at.saturating_duration_since(Instant::now()));
        [self.tell(), next].into_iter().flatten().min()
    }

    fn serve(&mut self, token: usize, readable: bool, writable: bool, now: Instant) {
        let unmade = match self.conns.get(&token).map(|conn| &conn.role) {
            Some(Role::Dialling(attempt)) => !attempt.greeted,
            Some(_) => false,
            None => return,
        };
        if unmade && !self.connected(token, now) {
            return;
        }
        if writable {
            self.flush(token, now);
        }
        if readable {
            self.read(token, now);
        }
    }

    /// Does what was wished and takes in resolved names; false when the end is wished.
    fn obey(&mut self, now: Instant) -> bool {
        let Wishes { identity, peers, broken, stop } = mem::take(&mut *self.shared.wishes.lock());
        if stop {
            return false;
        }
        for token in broken {
            self.ended(token, "it broke while it was written to", now);
        }
        if let Some(identity) = identity {
            self.become_known_as(identity, now);
        }
        if let Some((peers, newest_index)) = peers {
            self.take_list(peers, newest_index, now);
        }
        while let Ok(lookup) = self.resolver.addresses.try_recv() {
            self.resolved(lookup, now);
        }
        true
    }

    /// A connection has ended, for whatever reason.
    pub(super) fn ended(&mut self, token: usize, why: impl Display, now: Instant) {
        match self.conns.get(&token).map(|conn| &conn.role) {
            Some(Role::Standing { peer, lane }) => {
                let (peer, lane) = (*peer, *lane);
                log::debug!("{lane:?} lane to node {peer} ended: {why}");
                self.lost(peer, lane, now);
            }
            Some(Role::Dialling(_)) => self.dial_failed(token, Failure::Cut, why, now),
            Some(Role::Greeting) => {
                // Whoever said nothing did nothing wrong: a member may have thought better of it.
                let silent = self.conns.get(&token).is_none_or(|conn| conn.head.is_empty());
                self.metrics.peer_refused.add(u64::from(!silent));
                self.remove(token);
            }
            Some(Role::Retired { .. } | Role::Guest(_)) => self.remove(token),
            None => {}
        }
    }

    /// Takes a socket under watch.
    pub(super) fn add(
        &mut self,
        mut stream: TcpStream,
        from: SocketAddr,
        role: Role,
    ) -> io::Result<usize> {
        tune(&stream)?;
        let token = self.next_token;
        self.next_token += 1;
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Token(token), both)?;
        let conn = Conn {
            stream: Arc::new(stream),
            from,
            role,
            deadline: None,
            head: Vec::new(),
            frames: Decoder::new(MAX_BODY),
            closing: false,
        };
        self.conns.insert(token, conn);
        Ok(token)
    }

    /// Closes a connection and forgets it; whoever used it must know already.
    pub(super) fn remove(&mut self, token: usize) {
        self.disarm(token);
        self.unfinished.remove(&token);
        self.ready.remove(&token);
        if let Some(Conn { role: Role::Guest(link), .. }) = self.conns.remove(&token) {
            self.metrics.outbox_dropped.add(link.detach(token));
            self.shared.guests.write().remove(&(token as u64));
        }
    }

    /// Sets a connection's deadline.
    pub(super) fn arm(&mut self, token: usize, at: Instant) {
        self.disarm(token);
        if let Some(conn) = self.conns.get_mut(&token) {
            conn.deadline = Some(at);
            self.timers.insert((at, Timer::Conn(token)));
        }
    }

    pub(super) fn disarm(&mut self, token: usize) {
        if let Some(at) = self.conns.get_mut(&token).and_then(|conn| conn.deadline.take()) {
            self.timers.remove(&(at, Timer::Conn(token)));
        }
    }

    fn fire(&mut self, now: Instant) {
        while let Some((at, timer)) = self.timers.first().copied()
            && at <= now
        {
            self.timers.remove(&(at, timer));
            match timer {
                Timer::Accept => self.accept(now),
                Timer::Conn(token) => {
                    if let Some(Conn { role: Role::Dialling(_), .. }) = self.conns.get(&token) {
                        self.dial_failed(token, Failure::Hung, "no answer in time", now);
                    } else {
                        self.ended(token, "its time was over", now);
                    }
                }
                Timer::Dial(id, lane) => {
                    let due = self.peers.get_mut(&id).map(|state| state.lane(lane).dial);
                    if due == Some(Dial::Waiting(at)) {
                        self.dial_now(id, lane, now);
                    }
                }
            }
        }
    }
}

/// Socket options of every connection: small messages leave at once, dead peers are noticed.
fn tune(stream: &TcpStream) -> io::Result<()> {
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_EVERY)
        .with_retries(KEEPALIVE_PROBES);
    let socket = SockRef::from(stream);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    Ok(())
}
