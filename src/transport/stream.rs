//! Standing connections: reading them into the inboxes, and writing what a full socket left over.

use std::io::{ErrorKind, Read};
use std::mem;
use std::net::SocketAddr;
use std::time::Instant;

use crossbeam_channel::{Sender, TrySendError};

use super::frame::Frame;
use super::handshake::Lane;
use super::limits::{EVENT_PAUSE, GUEST_IDLE, MAX_EVENTS, TURN};
use super::link::Flushed;
use super::poll::{Poller, Role};
use super::{GUEST_SERVICE, Inbound, Service};
use crate::metrics::Metrics;

/// What one call reads while the handshake is not finished.
const HANDSHAKE_CHUNK: usize = 4 << 10;

/// Where messages go.
#[derive(Debug)]
pub(super) struct Inboxes {
    pub raft: Sender<Inbound>,
    pub gossip: Sender<Inbound>,
    pub guests: Sender<Inbound>,
    pub states: Sender<Inbound>,
}

impl Inboxes {
    fn message(&self, from: u64, lane: Lane, frame: Frame, metrics: &Metrics) {
        let inbox = match frame.service {
            service if service == Service::Raft as u8 => &self.raft,
            service if service == Service::Gossip as u8 => &self.gossip,
            service if service == Service::State as u8 => &self.states,
            _ => return metrics.inbox_dropped.inc(),
        };
        // A quarter is kept for the control lane, so that appends do not crowd out heartbeats.
        let crowded = lane == Lane::Bulk
            && inbox.capacity().is_some_and(|capacity| inbox.len() >= capacity - capacity / 4);
        if crowded || inbox.try_send(Inbound::Message { from, body: frame.body }).is_err() {
            metrics.inbox_dropped.inc();
        }
    }

    fn question(&self, conn: usize, from: SocketAddr, frame: Frame, metrics: &Metrics) {
        let question = Inbound::Guest { conn: conn as u64, from, body: frame.body };
        if frame.service != GUEST_SERVICE || self.guests.try_send(question).is_err() {
            metrics.inbox_dropped.inc();
        }
    }
}

impl Poller {
    /// Reads a connection until it is empty or its turn is over.
    pub(super) fn read(&mut self, token: usize, now: Instant) {
        let mut chunk = mem::take(&mut self.chunk);
        self.read_with(token, &mut chunk, now);
        self.chunk = chunk;
    }

    fn read_with(&mut self, token: usize, chunk: &mut [u8], now: Instant) {
        for _ in 0..TURN {
            let Some(conn) = self.conns.get_mut(&token) else { return };
            let handshaking = matches!(conn.role, Role::Greeting | Role::Dialling(_));
            let limit = if handshaking { HANDSHAKE_CHUNK } else { chunk.len() };
            match (&*conn.stream).read(&mut chunk[..limit]) {
                Ok(0) => return self.ended(token, "it was closed", now),
                Ok(count) => {
                    // A short read has emptied the socket, and the next byte is a new event; but an
                    // end that was already announced would never be seen.
                    let emptied = count < limit && !conn.closing;
                    self.took(token, &chunk[..count], now);
                    if emptied {
                        return;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return self.ended(token, error, now),
            }
        }
        self.ready.insert(token);
    }

    fn took(&mut self, token: usize, bytes: &[u8], now: Instant) {
        match self.conns.get(&token).map(|conn| &conn.role) {
            Some(Role::Greeting) => self.took_hello(token, bytes, now),
            Some(Role::Dialling(_)) => self.took_answer(token, bytes, now),
            Some(Role::Guest(_)) => {
                self.arm(token, now + GUEST_IDLE);
                self.feed(token, bytes, now);
            }
            Some(_) => self.feed(token, bytes, now),
            None => {}
        }
    }

    /// Gives bytes after the handshake to the connection's decoder, and its frames to the inboxes.
    pub(super) fn feed(&mut self, token: usize, bytes: &[u8], now: Instant) {
        let Self { conns, inboxes, metrics, .. } = self;
        let Some(conn) = conns.get_mut(&token) else { return };
        let fed = match &conn.role {
            Role::Standing { peer, lane } | Role::Retired { peer, lane } => {
                conn.frames.feed(bytes, |frame| inboxes.message(*peer, *lane, frame, metrics))
            }
            Role::Guest(_) => {
                conn.frames.feed(bytes, |frame| inboxes.question(token, conn.from, frame, metrics))
            }
            Role::Greeting | Role::Dialling(_) => unreachable!("frames begin after the handshake"),
        };
        if let Err(error) = fed {
            let from = conn.from;
            if self.quiet.may_speak(from.ip(), now) {
                log::info!("peer connection with {from} closed: {error}");
            }
            self.ended(token, error, now);
        }
    }

    /// Writes what waits for a connection, until it is full again or its turn is over.
    pub(super) fn flush(&mut self, token: usize, now: Instant) {
        for _ in 0..TURN {
            let flushed = match self.conns.get(&token).map(|conn| &conn.role) {
                Some(Role::Standing { peer, lane }) => {
                    let state = self.peers.get(peer).expect("who stands is a peer");
                    state.links[lane.index()].flush(token)
                }
                Some(Role::Guest(link)) => link.flush(token),
                _ => return,
            };
            match flushed {
                Ok(Flushed::Empty | Flushed::Blocked) => return,
                Ok(Flushed::More) => {}
                Err(error) => return self.ended(token, error, now),
            }
        }
        self.ready.insert(token);
    }

    /// Tells the owner something that must not get lost.
    pub(super) fn event(&mut self, event: Inbound) {
        if self.events.len() >= MAX_EVENTS {
            self.events.pop_front();
            self.metrics.inbox_dropped.inc();
        }
        self.events.push_back(event);
        self.tell();
    }

    /// Offers the events that wait; gives the time until they are to be offered again.
    pub(super) fn tell(&mut self) -> Option<std::time::Duration> {
        while let Some(event) = self.events.pop_front() {
            if let Err(TrySendError::Full(event)) = self.inboxes.raft.try_send(event) {
                self.events.push_front(event);
                return Some(EVENT_PAUSE);
            }
        }
        None
    }
}
