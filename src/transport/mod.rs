//! The peer transport: one thread that carries messages between nodes and never reads them.
//!
//! # Contract
//!
//! Weak on purpose, because consensus and gossip repair everything anyway: a message may be dropped
//! (full outbox, full inbox, broken connection) and messages may overtake each other, within a lane
//! when a connection is replaced, across lanes always. None is repeated or changed. Sending never
//! blocks. Every drop is counted.
//!
//! # Connections
//!
//! A pair of nodes keeps two TCP connections, one per [`Lane`], so that a heartbeat never waits behind
//! megabytes in a socket buffer. Both nodes dial, for ever, and of two dials that cross the one from
//! the smaller id stays (`peer`). A connection begins with a handshake (`handshake`) that is accepted
//! only for the exact identity of a member (`admission`); then both send frames (`frame`). Frames go
//! by their service number to one of three inboxes, so that a state on its way to another node never
//! stands in the way of consensus.
//!
//! The thread that has something to send writes it itself (`link`); this module's own thread, named
//! `transport`, reads, dials, and goes on with what a full socket did not take (`poll`).
//!
//! # Who lives
//!
//! When a connection ends the peer is redialled at once; what that shows is told to the owner
//! as [`Inbound::Up`], [`Inbound::Down`] and, with evidence that a process is gone,
//! [`Inbound::Gone`] (`belief`).
//!
//! # Strangers
//!
//! Garbage is closed without an answer and counted. A joiner that is no member yet is a *guest*
//! (`guest`): it may ask small questions, and gets its answers on the same connection. Nothing is
//! encrypted or authenticated yet: the handshake keeps out the mistaken, not the malicious.

mod admission;
mod belief;
mod dial;
mod fields;
pub mod frame;
pub mod guest;
pub mod handshake;
mod inbound;
pub mod limits;
mod link;
mod members;
mod peer;
mod poll;
mod quiet;
mod resolve;
mod stream;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::{fmt, io};

use bytes::Bytes;
use crossbeam_channel::Sender;
use mio::Waker;
use parking_lot::{Mutex, RwLock};

pub use handshake::{Features, Hello, HelloAnswer, Identity, Lane, Purpose, Refusal, RefusalCode};

use self::link::{Link, Pushed};
use self::peer::Links;
use self::poll::Poller;
use crate::ids::InstanceTag;
use crate::metrics::Metrics;
use crate::threads;

/// Which part of the receiver a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Service {
    /// Consensus, and writes forwarded to the leader.
    Raft = 1,
    /// The exchange of whole member lists.
    Gossip = 2,
    /// States on their way from one node to another. (3 is the guests'.)
    State = 4,
}

/// The service number of guests' questions and of the answers to them.
pub(crate) const GUEST_SERVICE: u8 = 3;

/// A member that connections are kept to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Node id.
    pub id: u64,
    /// Its data directory.
    pub tag: InstanceTag,
    /// `host:port` of its peer port; the name is resolved at each dial.
    pub addr: String,
}

/// What the transport hands to its owner.
#[derive(Clone, Debug, PartialEq)]
pub enum Inbound {
    /// A message of a member.
    Message {
        /// Its node id.
        from: u64,
        /// The message.
        body: Bytes,
    },
    /// A question of somebody who is no member; to be answered with [`Handle::answer`].
    Guest {
        /// The connection it came on; never reused.
        conn: u64,
        /// Where from.
        from: SocketAddr,
        /// The question, at most [`limits::MAX_GUEST_BODY`] bytes.
        body: Bytes,
    },
    /// The control lane to a peer stands.
    Up {
        /// Its node id.
        peer: u64,
        /// The process that was reached.
        boot_nonce: u64,
        /// What its program can do.
        features: Features,
    },
    /// The control lane to a peer ended. Proves nothing about the peer.
    Down {
        /// Its node id.
        peer: u64,
    },
    /// The process that a peer was has ended. Told once per boot nonce.
    Gone {
        /// Its node id.
        peer: u64,
        /// How that is known.
        evidence: Evidence,
    },
    /// A peer that was dialled refuses us, at most once in [`limits::QUIET`] per peer. Left out are
    /// the refusals that pass by themselves (crossed dials, busy, not yet joined).
    Refused {
        /// Its node id.
        peer: u64,
        /// Its words.
        refusal: Refusal,
    },
}

/// How the end of a process is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// Its address refuses connections.
    Refused,
    /// Another process answers for the same node.
    NewBoot,
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "its address refuses connections",
            Self::NewBoot => "another process answers for it",
        })
    }
}

/// What the transport needs to know at its start.
#[derive(Debug)]
pub struct Config {
    /// Who we are; a joiner has no node id yet and gets it later by [`Handle::set_identity`].
    pub identity: Identity,
    /// What this program can do.
    pub features: Features,
    /// Where the questions of guests go.
    pub guest_inbox: Sender<Inbound>,
    /// Where messages about whole states go; small, since each may carry a piece of one.
    pub state_inbox: Sender<Inbound>,
}

/// Starts the transport on a bound listener: its thread, and one that resolves names.
///
/// Messages go to the inbox of their service, events to `raft_inbox`. A full inbox drops messages,
/// those of the bulk lane already when three quarters are full; events wait.
///
/// # Errors
///
/// When the operating system gives no poll, or no thread.
pub fn start(
    config: Config,
    listener: TcpListener,
    raft_inbox: Sender<Inbound>,
    gossip_inbox: Sender<Inbound>,
    metrics: Arc<Metrics>,
) -> io::Result<(Handle, JoinHandle<()>)> {
    listener.set_nonblocking(true)?;
    let inboxes = stream::Inboxes {
        raft: raft_inbox,
        gossip: gossip_inbox,
        guests: config.guest_inbox,
        states: config.state_inbox,
    };
    let poller = Poller::new((config.identity, config.features), listener, inboxes, metrics)?;
    let handle = Handle { shared: poller.shared() };
    let thread = threads::spawn("transport", move || poller.run())?;
    Ok((handle, thread))
}

/// What callers and the transport thread share.
#[derive(Debug)]
pub(crate) struct Shared {
    waker: Arc<Waker>,
    metrics: Arc<Metrics>,
    links: RwLock<BTreeMap<u64, Links>>,
    guests: RwLock<BTreeMap<u64, Arc<Link>>>,
    wishes: Mutex<Wishes>,
}

/// What the transport thread shall do next. Each is the latest value or a set, so that it is bounded
/// without being a queue.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    identity: Option<Identity>,
    peers: Option<(Vec<Peer>, u64)>,
    /// Connections that a sender found broken.
    broken: BTreeSet<usize>,
    stop: bool,
}

/// The owner's side of the transport. Clones are the same transport.
#[derive(Clone, Debug)]
pub struct Handle {
    shared: Arc<Shared>,
}

impl Handle {
    /// Sends a message; false when it was dropped. Never blocks.
    pub fn send(&self, to: u64, lane: Lane, service: Service, body: Bytes) -> bool {
        self.send_many(to, lane, [(service, body)]) == 1
    }

    /// Sends messages to one peer with as few writes as possible; gives how many were not dropped.
    /// Never blocks.
    pub fn send_many(
        &self,
        to: u64,
        lane: Lane,
        messages: impl IntoIterator<Item = (Service, Bytes)>,
    ) -> u64 {
        let links = self.shared.links.read().get(&to).cloned();
        let frames = messages.into_iter().map(|(service, body)| (service as u8, body));
        let pushed = match links {
            Some(links) => links[lane.index()].push(frames),
            None => Pushed { dropped: frames.count() as u64, ..Pushed::default() },
        };
        self.account(pushed)
    }

    /// Answers a guest; false when it is gone, or the answer larger than
    /// [`limits::MAX_GUEST_BODY`]. Never blocks.
    pub fn answer(&self, conn: u64, body: Bytes) -> bool {
        let link = self.shared.guests.read().get(&conn).cloned();
        match link {
            Some(link) if body.len() <= limits::MAX_GUEST_BODY => {
                self.account(link.push([(GUEST_SERVICE, body)])) == 1
            }
            _ => {
                self.shared.metrics.outbox_dropped.inc();
                false
            }
        }
    }

    /// Replaces our identity. Connections made under another one (apart from the boot nonce) end.
    pub fn set_identity(&self, identity: Identity) {
        self.wish(|wishes| wishes.identity = Some(identity));
    }

    /// Replaces the list of members, as of log index `newest_index`. Our own entry is ignored.
    /// Connections of nodes that are not in it end, unless their ids are above `newest_index`.
    pub fn set_peers(&self, peers: Vec<Peer>, newest_index: u64) {
        self.wish(|wishes| wishes.peers = Some((peers, newest_index)));
    }

    /// Whether the control lane to a peer stands.
    #[must_use]
    pub fn connected(&self, id: u64) -> bool {
        let links = self.shared.links.read().get(&id).cloned();
        links.is_some_and(|links| links[Lane::Control.index()].stands())
    }

    /// Closes the listener and all connections, and ends the thread.
    pub fn stop(&self) {
        self.wish(|wishes| wishes.stop = true);
    }

    fn account(&self, pushed: Pushed) -> u64 {
        if pushed.dropped > 0 {
            self.shared.metrics.outbox_dropped.add(pushed.dropped);
        }
        if let Some(token) = pushed.broken {
            self.wish(|wishes| wishes.broken.insert(token));
        }
        pushed.taken
    }

    fn wish<T>(&self, change: impl FnOnce(&mut Wishes) -> T) {
        change(&mut self.shared.wishes.lock());
        self.shared.waker.wake().expect("the poll lives as long as the handle");
    }
}
