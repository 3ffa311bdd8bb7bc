//! One thread and the connections that are its own.
//!
//! mio is edge-triggered: it tells once that a socket has something, and not again before it was
//! emptied. So each connection remembers what it was told, and one that stopped early, to let others
//! have their turn, goes to the loop's own list of those that are ready.
//!
//! Everything that comes from other threads comes through the [`Inbox`], with one wake-up for all
//! that gathers while the loop is at work.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use ::mio::{Events, Interest, Poll, Token, Waker};
use parking_lot::Mutex;

use super::Patience;
use super::connection::{Connection, Turn};
use super::desk::{Desk, Job, News, Place};
use super::mio::{Accepted, Acceptor, PAUSE};
use super::slab::Slab;
use crate::http::wire::Decoder;
use crate::node::{Completion, Sink};

pub(super) const WAKER: Token = Token(usize::MAX);
pub(super) const LISTENER: Token = Token(usize::MAX - 1);

/// Bytes read from a socket at once.
const SCRATCH: usize = 64 * 1024;
/// How long the jobs of a round may take, until others get their turn.
const ROUND: Duration = Duration::from_millis(1);
/// How often patience is checked, at most; a shorter patience is checked more often.
const SWEEP: Duration = Duration::from_secs(1);

/// What other threads have for a loop.
pub(super) struct Inbox {
    arrivals: Mutex<Arrivals>,
    waker: Waker,
}

#[derive(Default)]
struct Arrivals {
    completions: Vec<Completion>,
    accepted: Vec<Accepted>,
    /// Close some idle connections: there is no room for new ones.
    shed: bool,
    stop: bool,
}

impl Inbox {
    pub fn new(waker: Waker) -> Self {
        Self { arrivals: Mutex::default(), waker }
    }

    pub fn give(&self, accepted: Accepted) {
        self.arrivals.lock().accepted.push(accepted);
        self.wake();
    }

    pub fn shed(&self) {
        self.arrivals.lock().shed = true;
        self.wake();
    }

    pub fn stop(&self) {
        self.arrivals.lock().stop = true;
        self.wake();
    }

    fn wake(&self) {
        self.waker.wake().expect("an eventfd takes a wake-up at any time");
    }
}

impl Sink for Inbox {
    fn complete(&self, batch: Vec<Completion>) {
        let mut arrivals = self.arrivals.lock();
        // If some are there already, their wake-up is still under way.
        let first = arrivals.completions.is_empty();
        arrivals.completions.extend(batch);
        drop(arrivals);
        if first {
            self.wake();
        }
    }
}

/// The loop.
pub(super) struct EventLoop {
    poll: Poll,
    inbox: Arc<Inbox>,
    desk: Desk,
    patience: Patience,
    /// Connections of all loops.
    open: Arc<AtomicUsize>,
    connections: Slab<Connection>,
    next_id: u64,
    /// Connections that want a turn.
    ready: Vec<usize>,
    scratch: Vec<u8>,
    acceptor: Option<Acceptor>,
    next_sweep: Instant,
    /// Until when to go on, once told to stop.
    stop_at: Option<Instant>,
}

impl EventLoop {
    pub fn new(
        poll: Poll,
        inbox: Arc<Inbox>,
        desk: Desk,
        patience: Patience,
        open: Arc<AtomicUsize>,
        acceptor: Option<Acceptor>,
    ) -> Self {
        Self {
            poll,
            inbox,
            desk,
            patience,
            open,
            connections: Slab::new(),
            next_id: 0,
            ready: Vec::new(),
            scratch: vec![0; SCRATCH],
            acceptor,
            next_sweep: Instant::now(),
            stop_at: None,
        }
    }

    /// Runs until it was stopped and nobody is left, or patience is.
    pub fn run(mut self) {
        let mut events = Events::with_capacity(1024);
        while !self.is_over() {
            match self.poll.poll(&mut events, self.timeout()) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => panic!("the kernel refuses to poll: {error}"),
            }
            let now = Instant::now();
            let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            self.desk.clock.set(wall.map_or(0, |wall| wall.as_secs()));
            for event in &events {
                self.on_event(event);
            }
            self.empty_inbox(now);
            while let Some(news) = self.desk.due(now) {
                self.spread(news);
            }
            self.accept(now);
            self.do_jobs();
            self.take_turns(now);
            if now >= self.next_sweep {
                self.sweep(now);
            }
        }
    }

    fn is_over(&self) -> bool {
        let Some(stop_at) = self.stop_at else { return false };
        self.connections.len() == 0 || Instant::now() >= stop_at
    }

    /// How long to sleep: for ever when there is nobody.
    fn timeout(&self) -> Option<Duration> {
        if !self.ready.is_empty() || !self.desk.jobs.is_empty() {
            return Some(Duration::ZERO);
        }
        let sweep = (self.connections.len() > 0).then_some(self.next_sweep);
        let accept = self.acceptor.as_ref().and_then(Acceptor::due);
        let due = self.desk.next_due();
        let next = [sweep, accept, due, self.stop_at].into_iter().flatten().min()?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    fn on_event(&mut self, event: &::mio::event::Event) {
        match event.token() {
            // What it announces is looked for in every round anyway.
            WAKER => {}
            LISTENER => {
                if let Some(acceptor) = &mut self.acceptor {
                    acceptor.wake();
                }
            }
            Token(slot) => {
                if let Some(connection) = self.connections.get_mut(slot) {
                    connection.wake(event);
                }
                self.queue(slot);
            }
        }
    }

    fn empty_inbox(&mut self, now: Instant) {
        let arrivals = std::mem::take(&mut *self.inbox.arrivals.lock());
        for completion in arrivals.completions {
            if let Some(news) = self.desk.complete(completion) {
                self.spread(news);
            }
        }
        for accepted in arrivals.accepted {
            self.adopt(accepted, now);
        }
        if arrivals.shed {
            self.shed(now);
        }
        if arrivals.stop && self.stop_at.is_none() {
            self.stop(now);
        }
    }

    /// Takes what has arrived, and nothing after it.
    fn stop(&mut self, now: Instant) {
        self.stop_at = Some(now + self.patience.stop);
        self.acceptor = None;
        self.queue_all(Connection::look);
        self.take_turns(now);
        self.queue_all(Connection::finish);
        for news in self.desk.stop() {
            self.spread(news);
        }
    }

    fn queue_all(&mut self, change: impl Fn(&mut Connection)) {
        for (slot, connection) in self.connections.iter_mut() {
            change(connection);
            if !std::mem::replace(&mut connection.queued, true) {
                self.ready.push(slot);
            }
        }
    }

    fn accept(&mut self, now: Instant) {
        let Some(mut acceptor) = self.acceptor.take() else { return };
        for accepted in acceptor.accept(now, &self.inbox) {
            self.adopt(accepted, now);
        }
        self.acceptor = Some(acceptor);
    }

    fn adopt(&mut self, accepted: Accepted, now: Instant) {
        self.desk.service.client().metrics.http_opened.inc();
        let connection = self.next_id;
        self.next_id += 1;
        let slot = self.connections.insert_with(|slot| {
            let place = Place { slot, connection, answer: 0 };
            let decoder = Decoder::new(Arc::clone(self.desk.service.limits()));
            Connection::new(accepted, place, decoder, now)
        });
        let stream = self.connections.get_mut(slot).expect("it was just put there").stream();
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registered = self.poll.registry().register(stream, Token(slot), interest);
        if let Err(error) = registered {
            log::warn!("an HTTP connection was dropped: {error}");
            self.close(slot);
        } else if self.stop_at.is_some() {
            self.close(slot);
        }
    }

    /// Tells the connection concerned.
    fn spread(&mut self, news: News) {
        let place = match &news {
            News::Request(place, _) | News::Wake(place, _) => *place,
        };
        let connection = self.connections.get_mut(place.slot);
        let Some(connection) = connection.filter(|it| it.id() == place.connection) else { return };
        match news {
            News::Request(_, owed) => {
                connection.settle(place.answer, owed, &self.desk);
            }
            News::Wake(_, ticket) => connection.wake_up(ticket, &mut self.desk),
        }
        self.queue(place.slot);
    }

    /// Does what takes a while, for a while.
    fn do_jobs(&mut self) {
        let start = Instant::now();
        for _ in 0..self.desk.jobs.len() {
            let Some(job) = self.desk.jobs.pop_front() else { return };
            let news = match job {
                Job::Work(ticket) => self.desk.work(ticket),
                Job::Woken(ticket, woken) => self.desk.resume(ticket, woken),
                Job::Piece { slot, connection } => {
                    self.pull(slot, connection);
                    None
                }
            };
            if let Some(news) = news {
                self.spread(news);
            }
            if start.elapsed() >= ROUND {
                return;
            }
        }
    }

    fn pull(&mut self, slot: usize, id: u64) {
        let connection = self.connections.get_mut(slot);
        let Some(connection) = connection.filter(|it| it.id() == id) else { return };
        connection.piece_queued = false;
        if connection.wants_piece() {
            connection.pull(&mut self.desk);
            self.queue(slot);
        }
    }

    fn queue(&mut self, slot: usize) {
        if let Some(connection) = self.connections.get_mut(slot)
            && !std::mem::replace(&mut connection.queued, true)
        {
            self.ready.push(slot);
        }
    }

    fn take_turns(&mut self, now: Instant) {
        for slot in std::mem::take(&mut self.ready) {
            let Some(connection) = self.connections.get_mut(slot) else { continue };
            connection.queued = false;
            let turn = connection.turn(&mut self.desk, &mut self.scratch, now);
            let spent = self.stop_at.is_some() && connection.is_spent();
            match turn {
                Turn::Close => self.close(slot),
                _ if spent => self.close(slot),
                Turn::Again => self.queue(slot),
                Turn::Rest => {}
            }
            self.queue_piece(slot);
        }
    }

    fn queue_piece(&mut self, slot: usize) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        if connection.wants_piece() && !std::mem::replace(&mut connection.piece_queued, true) {
            self.desk.jobs.push_back(Job::Piece { slot, connection: connection.id() });
        }
    }

    fn close(&mut self, slot: usize) {
        if let Some(connection) = self.connections.remove(slot) {
            connection.tickets().for_each(|ticket| self.desk.forget(ticket));
            self.open.fetch_sub(1, Ordering::Relaxed);
            self.desk.service.client().metrics.http_closed.inc();
        }
    }

    /// Looks for those whose time is up.
    fn sweep(&mut self, now: Instant) {
        for news in self.desk.give_up(now) {
            self.spread(news);
        }
        for (slot, connection) in self.connections.iter_mut() {
            let late = connection.check_patience(&self.desk, &self.patience, now);
            if late && !std::mem::replace(&mut connection.queued, true) {
                self.ready.push(slot);
            }
        }
        let Patience { head, body, idle, write, .. } = self.patience;
        let shortest = head.min(body).min(idle).min(write);
        self.next_sweep = now + SWEEP.min(shortest / 4).max(Duration::from_millis(10));
    }

    /// Closes the longest idle sixteenth of the connections, to make room. Not those that have only
    /// just come: their request is still under way.
    fn shed(&mut self, now: Instant) {
        let all = self.connections.iter_mut();
        let mut idle: Vec<_> = all
            .filter_map(|(slot, it)| Some((it.idle_since()?, slot)))
            .filter(|(since, _)| now.saturating_duration_since(*since) >= PAUSE)
            .collect();
        idle.sort_unstable();
        if idle.is_empty() {
            return;
        }
        for (_, slot) in idle.iter().take(idle.len().div_ceil(16)) {
            self.desk.service.client().metrics.http_shed.inc();
            self.close(*slot);
        }
        if let Some(acceptor) = &mut self.acceptor {
            acceptor.try_again();
        }
    }
}
