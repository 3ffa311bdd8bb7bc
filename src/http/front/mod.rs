//! The fronts: who owns the sockets.
//!
//! [`mio`] is our own and the default; [`tiny`] is a thin one on `tiny_http`. Both turn bytes into
//! calls of the same [`Service`](super::Service) and its answers into bytes with the same encoder.

mod connection;
mod desk;
mod event_loop;
mod intake;
pub mod mio;
mod outbox;
mod slab;
pub mod tiny;

use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::Duration;

/// How patient a front is, and with how many.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// From the first byte of a head to its last.
    pub head: Duration,
    /// From the end of a head to the last byte of its body.
    pub body: Duration,
    /// Without a request.
    pub idle: Duration,
    /// For a client to take more of its answers.
    pub write: Duration,
    /// For parked requests, when the front stops.
    pub stop: Duration,
    /// Connections at a time.
    pub connections_max: usize,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            body: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            write: Duration::from_secs(30),
            stop: Duration::from_secs(5),
            connections_max: connections_max(),
        }
    }
}

/// Three quarters of the descriptors that the process may have; the rest is for disk and peers.
fn connections_max() -> usize {
    const AT_MOST: u64 = 65_536;
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let limit = limit.unwrap_or(u64::MAX).min(AT_MOST);
    usize::try_from(limit / 4 * 3).expect("it was just bounded").max(16)
}

/// A running front. Dropping it leaves the front running.
pub struct FrontHandle {
    addr: SocketAddr,
    halt: Box<dyn FnOnce() + Send>,
    threads: Vec<JoinHandle<()>>,
}

impl FrontHandle {
    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Stops accepting, waits for parked requests as long as patience allows, closes.
    ///
    /// # Panics
    /// When a thread of the front has panicked.
    pub fn stop(self) {
        (self.halt)();
        for thread in self.threads {
            thread.join().expect("a front's thread has panicked");
        }
    }
}
