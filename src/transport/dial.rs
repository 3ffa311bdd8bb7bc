//! Dialling: from an address, through a handshake, to a standing connection or to a reason why not.

use std::collections::VecDeque;
use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::mem;
use std::net::SocketAddr;
use std::time::Instant;

use mio::net::TcpStream;
use rand::RngExt;
use socket2::SockRef;

use super::Inbound;
use super::handshake::{
    Accepted, Hello, HelloAnswer, Lane, Purpose, Refusal, RefusalCode, VERSION,
};
use super::limits::{HANDSHAKE_TIMEOUT, QUIET};
use super::peer::Dial;
use super::poll::{Poller, Process, Role, Timer};
use super::resolve::Lookup;

/// A dial under way.
pub(super) struct Attempt {
    peer: u64,
    lane: Lane,
    began: Instant,
    /// Addresses still to be tried.
    others: VecDeque<SocketAddr>,
    /// All addresses so far refused: nobody listens there.
    refused: bool,
    /// Connected, and the hello is sent.
    pub greeted: bool,
}

/// How a dial failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// Nobody listens there.
    Refused,
    /// It ended before the handshake was finished.
    Cut,
    /// No answer.
    Hung,
    /// There was an answer, but not one to work with; other addresses are not tried.
    Unwelcome,
    /// Anything else: no route, no such name, no descriptors.
    Local,
}

impl Poller {
    /// Dials a lane at once, unless a dial is being made; a pause is cut short.
    pub(super) fn dial_now(&mut self, id: u64, lane: Lane, now: Instant) {
        if matches!(self.peer(id).lane(lane).dial, Dial::Waiting(_)) {
            self.cancel_dial(id, lane);
        }
        self.dial(id, lane, now);
    }

    /// Dials a lane that needs it, unless it is on the way or in its pause.
    pub(super) fn dial(&mut self, id: u64, lane: Lane, now: Instant) {
        let joined = self.me.node != 0;
        let state = self.peer(id);
        let Some(addr) = state.addr.clone().filter(|_| joined) else { return };
        let slot = state.lane(lane);
        if slot.dial != Dial::Idle || (slot.standing.is_some() && !slot.moved) {
            return;
        }
        if let Ok(literal) = addr.parse::<SocketAddr>() {
            return self.connect(id, lane, [literal].into(), true, now, now);
        }
        self.lookups += 1;
        let lookup = Lookup { peer: id, lane, number: self.lookups, what: addr };
        if self.resolver.ask(lookup) {
            let number = self.lookups;
            self.peer(id).lane(lane).dial = Dial::Resolving(number);
        } else {
            self.pause(id, lane, false, now);
        }
    }

    pub(super) fn resolved(&mut self, lookup: Lookup<io::Result<Vec<SocketAddr>>>, now: Instant) {
        let Lookup { peer, lane, number, what } = lookup;
        let current = self.peers.get_mut(&peer).map(|state| state.lane(lane).dial);
        if current != Some(Dial::Resolving(number)) {
            return;
        }
        match what {
            Ok(addresses) => self.connect(peer, lane, addresses.into(), true, now, now),
            Err(error) => {
                log::debug!("cannot resolve the address of node {peer}: {error}");
                self.dial_over(peer, lane, Failure::Local, now);
            }
        }
    }

    /// Connects to the first of the addresses that can be begun with.
    fn connect(
        &mut self,
        peer: u64,
        lane: Lane,
        mut others: VecDeque<SocketAddr>,
        mut refused: bool,
        began: Instant,
        now: Instant,
    ) {
        while let Some(addr) = others.pop_front() {
            let left = mem::take(&mut others);
            let attempt = Attempt { peer, lane, began, others: left, refused, greeted: false };
            let made = TcpStream::connect(addr).map_err(|error| (error, attempt.others.clone()));
            match made {
                Ok(stream) => match self.add(stream, addr, Role::Dialling(attempt)) {
                    Ok(token) => {
                        let dial = Dial::Connecting { token, since: began, greeted: false };
                        self.peer(peer).lane(lane).dial = dial;
                        return self.arm(token, now + HANDSHAKE_TIMEOUT);
                    }
                    Err(error) => {
                        log::debug!("cannot dial node {peer}: {error}");
                        return self.dial_over(peer, lane, Failure::Local, now);
                    }
                },
                Err((error, left)) => {
                    refused &= error.kind() == ErrorKind::ConnectionRefused;
                    others = left;
                }
            }
        }
        let failure = if refused { Failure::Refused } else { Failure::Local };
        self.dial_over(peer, lane, failure, now);
    }

    /// The socket of a dial has news: whether it is connected and greeted now.
    pub(super) fn connected(&mut self, token: usize, now: Instant) -> bool {
        let Some(conn) = self.conns.get_mut(&token) else { return false };
        let Role::Dialling(attempt) = &mut conn.role else { return false };
        match is_made(&conn.stream) {
            Ok(true) => {}
            Ok(false) => return false,
            Err(error) => {
                let failure = match error.kind() {
                    ErrorKind::ConnectionRefused => Failure::Refused,
                    ErrorKind::ConnectionReset => Failure::Cut,
                    ErrorKind::TimedOut => Failure::Hung,
                    _ => Failure::Local,
                };
                self.dial_failed(token, failure, error, now);
                return false;
            }
        }
        attempt.greeted = true;
        let (peer, lane, since) = (attempt.peer, attempt.lane, attempt.began);
        let tag = self.roll.tag(peer).expect("only listed peers are dialled");
        let hello = Hello::new(self.me, Purpose::Lane(lane)).able(self.can).expecting(peer, tag);
        let sent = (&*conn.stream).write_all(&hello.encode());
        self.peer(peer).lane(lane).dial = Dial::Connecting { token, since, greeted: true };
        if let Err(error) = sent {
            self.dial_failed(token, Failure::Cut, error, now);
            return false;
        }
        true
    }

    /// Bytes of an answer, perhaps with the first frames behind it.
    pub(super) fn took_answer(&mut self, token: usize, bytes: &[u8], now: Instant) {
        let Some(conn) = self.conns.get_mut(&token) else { return };
        conn.head.extend_from_slice(bytes);
        let Role::Dialling(Attempt { peer, lane, began, .. }) = conn.role else { return };
        match HelloAnswer::parse(&conn.head) {
            Ok(None) => {}
            Ok(Some((HelloAnswer::Accepted(accepted), used))) => {
                let head = mem::take(&mut conn.head);
                match self.mismatch(peer, &accepted) {
                    None => self.adopt(token, peer, lane, began, &accepted, now),
                    Some(why) => self.unwelcome(token, peer, why, now),
                }
                self.feed(token, &head[used..], now);
            }
            Ok(Some((HelloAnswer::Refused(refusal), _))) => {
                self.turned_away(token, peer, refusal, now);
            }
            Err(garbage) => self.unwelcome(token, peer, garbage, now),
        }
    }

    /// Why whoever answered is not the peer that was meant.
    fn mismatch(&self, peer: u64, accepted: &Accepted) -> Option<String> {
        let from = &accepted.from;
        if (accepted.version, accepted.seal) != (VERSION, 0) {
            return Some("it answered in another version of the protocol".into());
        }
        let (cluster, epoch) = (self.me.cluster, self.me.epoch);
        if (from.cluster, from.epoch) != (cluster, epoch) {
            return Some(format!("it is in cluster {} epoch {}", from.cluster, from.epoch));
        }
        (from.node != peer || Some(from.tag) != self.roll.tag(peer))
            .then(|| format!("it is node {} with data directory {}", from.node, from.tag))
    }

    /// Our dial was accepted; use it, unless the peer's dial has come in meanwhile and is to stay.
    fn adopt(
        &mut self,
        token: usize,
        peer: u64,
        lane: Lane,
        began: Instant,
        accepted: &Accepted,
        now: Instant,
    ) {
        let (me, nonce) = (self.me.node, accepted.from.boot_nonce);
        let state = self.peer(peer);
        let same = !state.belief.is_other(nonce);
        if same && state.lane(lane).yields(me, peer, began) {
            state.lane(lane).dial = Dial::Idle;
            self.retire(token, peer, lane, now);
        } else {
            let process = Process { nonce, can: accepted.features };
            self.install(token, peer, lane, process, true, now);
        }
    }

    fn turned_away(&mut self, token: usize, peer: u64, refusal: Refusal, now: Instant) {
        let passing = [RefusalCode::Crossed, RefusalCode::Busy, RefusalCode::NotJoined]
            .contains(&refusal.code);
        let why = refusal.to_string();
        if passing {
            return self.dial_failed(token, Failure::Unwelcome, why, now);
        }
        let state = self.peer(peer);
        if state.complained.is_none_or(|last| now - last >= QUIET) {
            state.complained = Some(now);
            self.event(Inbound::Refused { peer, refusal });
        }
        self.dial_failed(token, Failure::Unwelcome, why, now);
    }

    fn unwelcome(&mut self, token: usize, peer: u64, why: impl Display, now: Instant) {
        let state = self.peer(peer);
        if state.complained.is_none_or(|last| now - last >= QUIET) {
            state.complained = Some(now);
            let addr = state.addr.clone().unwrap_or_default();
            log::info!("whoever answers at {addr} is not node {peer}: {why}");
        }
        self.dial_failed(token, Failure::Unwelcome, why, now);
    }

    pub(super) fn dial_failed(
        &mut self,
        token: usize,
        failure: Failure,
        why: impl Display,
        now: Instant,
    ) {
        let Some(conn) = self.conns.get_mut(&token) else { return };
        let from = conn.from;
        let Role::Dialling(attempt) = &mut conn.role else { return };
        let (peer, lane, began) = (attempt.peer, attempt.lane, attempt.began);
        let refused = attempt.refused && failure == Failure::Refused;
        let others = mem::take(&mut attempt.others);
        self.remove(token);
        log::debug!("dial of node {peer} at {from} failed: {why}");
        if failure == Failure::Unwelcome || others.is_empty() {
            let failure = match failure {
                Failure::Refused if !refused => Failure::Local,
                failure => failure,
            };
            self.dial_over(peer, lane, failure, now);
        } else {
            self.connect(peer, lane, others, refused, began, now);
        }
    }

    /// A dial has failed at all addresses.
    fn dial_over(&mut self, peer: u64, lane: Lane, failure: Failure, now: Instant) {
        if failure == Failure::Refused {
            let evidence = self.peer(peer).belief.refused();
            self.gone(peer, evidence);
        }
        self.pause(peer, lane, failure == Failure::Cut, now);
    }

    /// Waits before the next dial.
    pub(super) fn pause(&mut self, peer: u64, lane: Lane, cut: bool, now: Instant) {
        let jitter = self.jitter.random::<f64>();
        let slot = self.peer(peer).lane(lane);
        if slot.standing.is_some() && !slot.moved {
            slot.dial = Dial::Idle;
            return;
        }
        let at = now + slot.backoff.pause(cut, jitter);
        slot.dial = Dial::Waiting(at);
        self.timers.insert((at, Timer::Dial(peer, lane)));
    }

    /// Connection `token` is going to stand: what our own dial does then. One whose hello is on its
    /// way goes on, because the peer may already have chosen it.
    pub(super) fn settle_dial(&mut self, id: u64, lane: Lane, token: usize) {
        match self.peer(id).lane(lane).dial {
            Dial::Connecting { token: ours, .. } if ours == token => {
                self.peer(id).lane(lane).dial = Dial::Idle;
            }
            Dial::Connecting { greeted: true, .. } => {}
            _ => self.cancel_dial(id, lane),
        }
    }

    pub(super) fn cancel_dial(&mut self, id: u64, lane: Lane) {
        let Some(state) = self.peers.get_mut(&id) else { return };
        match mem::take(&mut state.lane(lane).dial) {
            Dial::Connecting { token, .. } => self.remove(token),
            Dial::Waiting(at) => {
                self.timers.remove(&(at, Timer::Dial(id, lane)));
            }
            Dial::Idle | Dial::Resolving(_) => {}
        }
    }
}

/// Whether a socket that was being connected is so now.
fn is_made(stream: &TcpStream) -> io::Result<bool> {
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    match stream.peer_addr() {
        Ok(peer) if stream.local_addr()? == peer => {
            // A port in the range of outgoing ports was dialled while nobody listened, and TCP
            // connected the socket to itself. It must not keep the port from its owner either.
            SockRef::from(stream).set_linger(Some(std::time::Duration::ZERO))?;
            Err(ErrorKind::ConnectionRefused.into())
        }
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotConnected => Ok(false),
        Err(error) => Err(error),
    }
}
