//! Inbound connections: accepted, greeted, let in or not.

use std::io::{self, ErrorKind, Read, Write};
use std::mem;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use mio::net::TcpStream;

use super::admission::refusal;
use super::frame::Decoder;
use super::handshake::{
    Accepted, Garbage, Hello, HelloAnswer, Lane, Purpose, Refusal, RefusalCode,
};
use super::limits::{
    ACCEPT_PAUSE, ACCEPTS, GUEST_IDLE, GUEST_OUTBOX, HANDSHAKE_TIMEOUT, MAX_GUEST_BODY, MAX_GUESTS,
    MAX_UNFINISHED,
};
use super::link::Link;
use super::poll::{LISTENER, Poller, Process, Role, Timer};

const NO_WEB: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n\
Connection: close\r\nContent-Length: 91\r\n\r\n\
This is a Bowline peer port; HTTP is served on another one of this machine (7070 usually).\n";

impl Poller {
    /// Takes what waits at the listener, as far as its turn goes.
    pub(super) fn accept(&mut self, now: Instant) {
        for _ in 0..ACCEPTS {
            match self.listener.accept() {
                Ok((stream, from)) => self.welcome(stream, from, now),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return,
                    ErrorKind::Interrupted | ErrorKind::ConnectionAborted => {}
                    // Out of descriptors, most likely. Whoever waits at the listener is not
                    // announced again, so we must come back by ourselves.
                    _ => {
                        log::debug!("cannot accept a peer connection: {error}");
                        self.timers.insert((now + ACCEPT_PAUSE, Timer::Accept));
                        return;
                    }
                },
            }
        }
        self.ready.insert(LISTENER);
    }

    fn welcome(&mut self, stream: TcpStream, from: SocketAddr, now: Instant) {
        // The oldest gives way: a member needs milliseconds for its handshake, an idler all the time.
        if self.unfinished.len() >= MAX_UNFINISHED
            && let Some(oldest) = self.unfinished.first().copied()
        {
            self.metrics.peer_refused.inc();
            self.remove(oldest);
        }
        match self.add(stream, from, Role::Greeting) {
            Ok(token) => {
                self.unfinished.insert(token);
                self.arm(token, now + HANDSHAKE_TIMEOUT);
            }
            Err(error) => log::debug!("cannot use the connection from {from}: {error}"),
        }
    }

    /// Bytes of a hello, perhaps with the first frames behind it.
    pub(super) fn took_hello(&mut self, token: usize, bytes: &[u8], now: Instant) {
        let Some(conn) = self.conns.get_mut(&token) else { return };
        conn.head.extend_from_slice(bytes);
        match Hello::parse(&conn.head) {
            Ok(None) => {}
            Ok(Some((hello, used))) => {
                let head = mem::take(&mut conn.head);
                self.unfinished.remove(&token);
                self.greet(token, &hello, now);
                self.feed(token, &head[used..], now);
            }
            Err(garbage) => {
                log::debug!("peer port: {garbage} from {}", conn.from);
                self.metrics.peer_refused.inc();
                if garbage == Garbage::Http {
                    send_them_away(&conn.stream);
                }
                self.remove(token);
            }
        }
    }

    fn greet(&mut self, token: usize, hello: &Hello, now: Instant) {
        let accepted = match self.roll.admit(&self.me, self.can, hello) {
            Ok(accepted) => accepted,
            Err(refusal) => return self.refuse(token, hello, refusal, now),
        };
        match hello.purpose {
            Purpose::Probe => {
                self.answer(token, &HelloAnswer::Accepted(accepted), now);
                self.remove(token);
            }
            Purpose::Guest => self.greet_guest(token, hello, accepted, now),
            Purpose::Lane(lane) => self.greet_peer(token, hello, lane, accepted, now),
        }
    }

    fn greet_guest(&mut self, token: usize, hello: &Hello, accepted: Accepted, now: Instant) {
        let guests = Arc::clone(&self.shared);
        if guests.guests.read().len() >= MAX_GUESTS {
            let busy = refusal(RefusalCode::Busy, "too many guests at the moment: try again");
            return self.refuse(token, hello, busy, now);
        }
        if !self.answer(token, &HelloAnswer::Accepted(accepted), now) {
            return;
        }
        let conn = self.conns.get_mut(&token).expect("it was just answered");
        let link = Arc::new(Link::new(GUEST_OUTBOX));
        link.attach(Arc::clone(&conn.stream), token);
        conn.frames = Decoder::new(MAX_GUEST_BODY);
        conn.role = Role::Guest(Arc::clone(&link));
        guests.guests.write().insert(token as u64, link);
        self.arm(token, now + GUEST_IDLE);
    }

    fn greet_peer(
        &mut self,
        token: usize,
        hello: &Hello,
        lane: Lane,
        accepted: Accepted,
        now: Instant,
    ) {
        let (id, nonce) = (hello.from.node, hello.from.boot_nonce);
        let (me, process) = (self.me.node, Process { nonce, can: hello.features });
        let crossed = self.peers.get_mut(&id).is_some_and(|state| {
            !state.belief.is_other(nonce) && state.lane(lane).crossed(me, id, now)
        });
        if crossed {
            let reason = "our own dial has just succeeded";
            self.answer(token, &HelloAnswer::Refused(refusal(RefusalCode::Crossed, reason)), now);
            self.remove(token);
        } else if self.answer(token, &HelloAnswer::Accepted(accepted), now) {
            self.install(token, id, lane, process, false, now);
        }
    }

    fn refuse(&mut self, token: usize, hello: &Hello, refusal: Refusal, now: Instant) {
        self.metrics.peer_refused.inc();
        let Some(from) = self.conns.get(&token).map(|conn| conn.from) else { return };
        let (purpose, node) = (hello.purpose, hello.from.node);
        if refusal.code == RefusalCode::NotJoined {
            // Part of every join: members dial as soon as they know, which is before we do.
            log::debug!("refused {from} (node {node}, {purpose}): {refusal}");
        } else if self.quiet.may_speak(from.ip(), now) {
            log::info!("refused {from} (node {node}, {purpose}): {refusal}");
        }
        self.answer(token, &HelloAnswer::Refused(refusal), now);
        self.remove(token);
    }

    /// Writes the answer; false when the connection ended over it. It is far smaller than the send
    /// buffer of a fresh socket: one that cannot take it is broken.
    fn answer(&mut self, token: usize, answer: &HelloAnswer, now: Instant) -> bool {
        let Some(conn) = self.conns.get(&token) else { return false };
        match (&*conn.stream).write_all(&answer.encode()) {
            Ok(()) => true,
            Err(error) => {
                self.ended(token, error, now);
                false
            }
        }
    }
}

/// One line for somebody who took the peer port for a web server, as good as it goes.
fn send_them_away(stream: &TcpStream) {
    let politely = || -> io::Result<()> {
        let mut stream = stream;
        stream.write_all(NO_WEB)?;
        stream.shutdown(Shutdown::Write)?;
        // What is left unread would turn our answer into a reset.
        let mut rest = [0; 4 << 10];
        for _ in 0..16 {
            if stream.read(&mut rest)? == 0 {
                break;
            }
        }
        Ok(())
    };
    politely().unwrap_or_else(|error| log::trace!("a web client was gone already: {error}"));
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn the_web_answer_has_the_length_it_says() {
        let text = std::str::from_utf8(NO_WEB).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{}", body.len());
    }
}
