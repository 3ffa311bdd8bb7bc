//! Resolving names, on a thread of its own: `getaddrinfo` may block for many seconds.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};
use mio::Waker;

use super::handshake::Lane;
use super::limits::MAX_ADDRESSES;
use crate::threads;

/// Questions, and answers, that may wait; there is at most one per lane of 64 peers.
const QUEUE: usize = 256;

/// A name to resolve, or its addresses.
#[derive(Debug)]
pub(super) struct Lookup<T> {
    pub peer: u64,
    pub lane: Lane,
    /// Of the dial that asks, so that a late answer is recognised.
    pub number: u64,
    pub what: T,
}

/// The thread's two ends. It stops when this is dropped.
#[derive(Debug)]
pub(super) struct Resolver {
    names: Sender<Lookup<String>>,
    pub addresses: Receiver<Lookup<io::Result<Vec<SocketAddr>>>>,
}

impl Resolver {
    pub fn start(waker: Arc<Waker>) -> io::Result<Self> {
        let (names, asked) = bounded::<Lookup<String>>(QUEUE);
        let (answers, addresses) = bounded(QUEUE);
        threads::spawn("resolve", move || {
            for Lookup { peer, lane, number, what } in asked {
                let answer = Lookup { peer, lane, number, what: addresses_of(&what) };
                if answers.send(answer).is_err() || waker.wake().is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { names, addresses })
    }

    /// Asks for a name; false when too many wait.
    pub fn ask(&self, lookup: Lookup<String>) -> bool {
        self.names.try_send(lookup).is_ok()
    }
}

/// The addresses of `host:port`, each once, at most [`MAX_ADDRESSES`]. Blocks.
///
/// # Errors
///
/// When the name cannot be resolved, or to nothing.
pub(super) fn addresses_of(name: &str) -> io::Result<Vec<SocketAddr>> {
    let mut addresses = Vec::new();
    for address in name.to_socket_addrs()? {
        if !addresses.contains(&address) && addresses.len() < MAX_ADDRESSES {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    }
    Ok(addresses)
}
