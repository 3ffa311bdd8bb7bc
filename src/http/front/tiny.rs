//! The thin front on `tiny_http`: same handlers, same answers, far less care for sockets.
//!
//! A handful of workers take requests from its queue, check them by the same rules as our own front,
//! and block until the answer is there. What the library does before or after that is out of reach:
//! it knows no limits and no timeouts, and a request with a huge `Content-Length` aborts the process.
//! So this front is for trusted clients on loopback, and says so when it listens elsewhere. What
//! needs a wait for changes, a body taken in pieces, or an answer too long to be gathered in memory is
//! answered with 501.

use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use tiny_http::Server;

use super::{FrontHandle, Patience};
use crate::http::reply::{Body, Problem, Response};
use crate::http::service::Resume;
use crate::http::stream::Piece;
use crate::http::wire::{
    BodyRule, Clock, Exchange, Framing, Head, Limits, Request, WireError, encode,
};
use crate::http::{Service, Step};
use crate::ids::Ticket;
use crate::node::{Completion, Sink};
use crate::threads;

/// How long after its deadline a request is given up, should the raft thread never answer.
const GRACE: Duration = Duration::from_secs(1);
/// Bytes of the longest answer that is gathered in memory, because only so can the library send it.
const GATHERED_MAX: usize = 8 * 1024 * 1024;

/// Starts the front on a bound listener, with the usual patience.
///
/// # Errors
/// When the listener is unusable or there are no threads left.
pub fn start(listener: TcpListener, service: Service, threads: usize) -> io::Result<FrontHandle> {
    start_with(listener, service, threads, Patience::default().stop)
}

/// Starts the front on a bound listener; when it stops, answers under way have this long.
///
/// # Errors
/// As [`start`].
#[expect(clippy::needless_pass_by_value, reason = "the front takes the service over")]
pub fn start_with(
    listener: TcpListener,
    service: Service,
    threads: usize,
    patience: Duration,
) -> io::Result<FrontHandle> {
    let addr = listener.local_addr()?;
    if !addr.ip().is_loopback() {
        log::warn!(
            "--front tiny_http listens on {addr}: anybody who reaches it can stop this node with \
             one request; use the default front outside loopback"
        );
    }
    // Accepted sockets inherit it on Linux; without it a long answer takes 40 ms.
    socket2::SockRef::from(&listener).set_tcp_nodelay(true)?;
    let server = Server::from_listener(listener, None).map_err(io::Error::other)?;
    let server = Arc::new(server);
    let stop = Arc::new(AtomicBool::new(false));
    let (working, workers) = crossbeam_channel::bounded::<()>(0);
    for number in 0..threads.max(1) {
        let (sender, completions) = crossbeam_channel::unbounded();
        let sink = service.client().completions.register(Arc::new(Mailbox(sender)));
        let worker = Worker { service: service.clone(), sink, completions };
        let (server, stop) = (Arc::clone(&server), Arc::clone(&stop));
        let working = working.clone();
        threads::spawn(format!("http-{number}"), move || {
            worker.run(&server, &stop);
            drop(working);
        })?;
    }
    let halt = Box::new(move || {
        stop.store(true, Ordering::Relaxed);
        // One wake-up for each worker.
        (0..threads.max(1)).for_each(|_| server.unblock());
        drop(working);
        // Told by the drop of the last worker's sender. One that waits for a client may wait
        // for ever, since the library has no timeouts: it must not keep the node from stopping.
        if workers.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
            log::warn!(
                "some HTTP clients are left without an answer: they stopped sending or reading"
            );
        }
    });
    Ok(FrontHandle { addr, halt, threads: Vec::new() })
}

/// A worker's sink: holds at most the answer it waits for and late ones to forget.
struct Mailbox(Sender<Completion>);

impl Sink for Mailbox {
    fn complete(&self, batch: Vec<Completion>) {
        for completion in batch {
            // A worker that is gone wants nothing any more.
            let _ = self.0.send(completion);
        }
    }
}

struct Worker {
    service: Service,
    sink: u16,
    completions: Receiver<Completion>,
}

impl Worker {
    fn run(&self, server: &Server, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            match server.recv() {
                Ok(request) => self.serve(request),
                Err(error) if !stop.load(Ordering::Relaxed) => {
                    log::error!("tiny_http has stopped accepting, and cannot be revived: {error}");
                    return;
                }
                Err(_) => return,
            }
        }
    }

    fn serve(&self, mut foreign: tiny_http::Request) {
        let (exchange, response) = match translate(&mut foreign, self.service.limits()) {
            Ok(request) => (Exchange::of(&request), self.answer(&request)),
            Err((error, head)) => (Exchange::refused(), self.service.refuse(error, head.as_ref())),
        };
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let clock = Clock::at(wall.map_or(0, |wall| wall.as_secs()));
        let mut out = Vec::new();
        encode(&response, exchange, &clock, &mut out);
        let mut writer = foreign.into_writer();
        // A client that is gone wants no answer.
        let _ = writer.write_all(&out).and_then(|()| writer.flush());
    }

    fn answer(&self, request: &Request) -> Response {
        let mut step = self.service.call(request);
        loop {
            step = match step {
                Step::Reply(response) => return self.gathered(response),
                Step::Park { ask, deadline, resume } => {
                    match self.service.submit(self.sink, ask, deadline, resume) {
                        Ok((ticket, resume)) => self.wait(ticket, deadline, resume),
                        Err(step) => step,
                    }
                }
                Step::Work(work) => self.service.work(work),
                Step::Wait { .. } => return beyond("does not wait for changes"),
            }
        }
    }

    fn wait(&self, ticket: Ticket, deadline: Instant, resume: Resume) -> Step {
        while let Ok(completion) = self.completions.recv_deadline(deadline + GRACE) {
            if completion.ticket == ticket {
                return self.service.resume(resume, completion);
            }
        }
        self.service.give_up(ticket, resume)
    }

    /// The answer with its whole body, if that has an end and fits.
    fn gathered(&self, mut response: Response) -> Response {
        let Body::Stream(stream) = &mut response.body else { return response };
        let ticket = self.service.client().ticket(self.sink);
        let mut whole = Vec::new();
        loop {
            match stream.next(ticket) {
                Piece::Data(piece) => whole.extend_from_slice(&piece),
                Piece::Wait(_) => return beyond("sends no answers that wait for changes"),
                Piece::Broken => {
                    return Problem::new(500, "the answer could not be made to its end").into();
                }
                Piece::End => return Response { body: Body::Bytes(whole.into()), ..response },
            }
            if whole.len() > GATHERED_MAX {
                return beyond("sends no answers of this length");
            }
        }
    }
}

/// What this front cannot do.
fn beyond(what: &str) -> Response {
    Problem::new(501, format!("--front tiny_http {what}; the default front does")).into()
}

/// The request by our own rules, or what is wrong with it, and its head if that was right. The library
/// has already decided where its body ends, so one whose length is in doubt is refused, though the
/// connection cannot be closed from here.
fn translate(
    foreign: &mut tiny_http::Request,
    limits: &Limits,
) -> Result<Request, (WireError, Option<Head>)> {
    let mut bytes = format!(
        "{} {} HTTP/{}.{}\r\n",
        foreign.method(),
        foreign.url(),
        foreign.http_version().0,
        foreign.http_version().1
    );
    for header in foreign.headers() {
        bytes.push_str(&format!("{}: {}\r\n", header.field, header.value));
    }
    bytes.push_str("\r\n");
    if bytes.len() > limits.head_max {
        return Err((WireError::HeadTooLarge, None));
    }
    let mut head = Head::parse(bytes.as_bytes(), limits).map_err(|error| (error, None))?;
    if let Some(peer) = foreign.remote_addr() {
        head.peer = peer.ip();
    }
    let max = match (limits.body)(&head) {
        BodyRule::Whole(max) => max,
        // Its handler says that this cannot be done here.
        BodyRule::Pieces => return Ok(Request::new(head, Bytes::new())),
    };
    if matches!(head.framing, Framing::Length(length) if length > max as u64) {
        return Err((WireError::BodyTooLarge(max), Some(head)));
    }
    let mut body = Vec::new();
    let reader = foreign.as_reader();
    // A body that breaks off, or chunks that are none.
    if reader.take(max as u64 + 1).read_to_end(&mut body).is_err() {
        return Err((WireError::Chunk, Some(head)));
    }
    if body.len() > max {
        return Err((WireError::BodyTooLarge(max), Some(head)));
    }
    Ok(Request::new(head, body.into()))
}
