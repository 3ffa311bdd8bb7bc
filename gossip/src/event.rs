//! What happened, with the evidence as numbers. The caller makes log lines and metrics of it; an
//! idle, healthy cluster has no events.

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use crate::{NodeId, Status};

/// Something that the roster's owner may want to log, count or act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A member that was not in the roster is now.
    Joined {
        /// Who.
        id: NodeId,
        /// Its name.
        name: String,
        /// Its peer address.
        peer: SocketAddr,
        /// What it was believed to be when we learned of it.
        status: Status,
    },
    /// A member is suspected; it has until the timer runs out to refute.
    Suspected {
        /// Who.
        id: NodeId,
        /// At which incarnation.
        incarnation: u64,
        /// Who accuses.
        by: NodeId,
        /// How long ago we last heard from it ourselves; `None` if never.
        silent: Option<Duration>,
        /// How long it has, if nobody confirms.
        timeout: Duration,
    },
    /// Another member also accuses a suspect, so its time is shorter.
    Confirmed {
        /// Who is suspected.
        id: NodeId,
        /// Who else accuses.
        by: NodeId,
        /// How many confirmations there are.
        confirmations: usize,
        /// How many would shorten the time to the minimum.
        wanted: usize,
    },
    /// This node was accused, and said at a higher incarnation that it lives.
    Refuted {
        /// What was said of us.
        status: Status,
        /// At which incarnation.
        accused: u64,
        /// Who accused.
        by: NodeId,
        /// Our incarnation now.
        incarnation: u64,
    },
    /// Others remember a former life of this node; it passed that incarnation.
    Superseded {
        /// The incarnation the others remember.
        remembered: u64,
        /// Our incarnation now.
        incarnation: u64,
    },
    /// A member did not refute in time.
    Down {
        /// Who.
        id: NodeId,
        /// At which incarnation.
        incarnation: u64,
        /// Who says so: this node when its own timer ran out, or another.
        by: NodeId,
        /// How long ago we last heard from it ourselves; `None` if never.
        silent: Option<Duration>,
        /// How long we suspected it; `None` if we did not.
        suspected: Option<Duration>,
    },
    /// A member said good-bye.
    Left {
        /// Who.
        id: NodeId,
        /// At which incarnation.
        incarnation: u64,
    },
    /// A member that was suspected, down or gone is alive.
    AliveAgain {
        /// Who.
        id: NodeId,
        /// Its new incarnation.
        incarnation: u64,
        /// What it was believed to be.
        was: Status,
        /// For how long.
        after: Duration,
    },
    /// A member is reached at another address.
    AddressChanged {
        /// Who.
        id: NodeId,
        /// Where it was.
        old: SocketAddr,
        /// Where it is.
        new: SocketAddr,
    },
    /// A known id turned up with another tag: most likely a wiped disk under an old id. Said once
    /// per id.
    Impostor {
        /// The id.
        id: NodeId,
    },
    /// The local health score changed: 0 is healthy.
    Health {
        /// The score before.
        from: u32,
        /// The score now.
        to: u32,
    },
    /// This process did not run for a while; what it would have concluded is void.
    Stalled {
        /// For how long.
        late: Duration,
    },
    /// A member that was long gone was dropped from the roster.
    Forgotten {
        /// Who.
        id: NodeId,
        /// What it was.
        status: Status,
    },
}

/// Seconds with milliseconds, or a word.
struct Ago(Option<Duration>, &'static str);

impl fmt::Display for Ago {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(duration) => write!(f, "{:.3} s", duration.as_secs_f64()),
            None => f.write_str(self.1),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Joined { id, name, peer, status } => {
                write!(f, "node {id} ({name}, {peer}) is new here, {status}")
            }
            Event::Suspected { id, incarnation, by, silent, timeout } => write!(
                f,
                "node {id} is suspect at incarnation {incarnation}: accused by node {by}, silent \
                 here for {}, has {} to refute",
                Ago(*silent, "ever"),
                Ago(Some(*timeout), "")
            ),
            Event::Confirmed { id, by, confirmations, wanted } => write!(
                f,
                "node {id} is suspect for node {by} too: {confirmations} of {wanted} confirmations"
            ),
            Event::Refuted { status, accused, by, incarnation } => write!(
                f,
                "refuted: node {by} called this node {status} at incarnation {accused}, it is \
                 alive at {incarnation}"
            ),
            Event::Superseded { remembered, incarnation } => write!(
                f,
                "others remember this node at incarnation {remembered}, it goes on at {incarnation}"
            ),
            Event::Down { id, incarnation, by, silent, suspected } => write!(
                f,
                "node {id} is down at incarnation {incarnation}: declared by node {by}, silent \
                 here for {}, suspect for {}",
                Ago(*silent, "ever"),
                Ago(*suspected, "no time")
            ),
            Event::Left { id, incarnation } => {
                write!(f, "node {id} has left at incarnation {incarnation}")
            }
            Event::AliveAgain { id, incarnation, was, after } => write!(
                f,
                "node {id} is alive again at incarnation {incarnation}, after {} as {was}",
                Ago(Some(*after), "")
            ),
            Event::AddressChanged { id, old, new } => {
                write!(f, "node {id} is at {new} now, was at {old}")
            }
            Event::Impostor { id } => {
                write!(f, "something claims to be node {id} with another tag; it is ignored")
            }
            Event::Health { from, to } => write!(f, "local health score {to}, was {from}"),
            Event::Stalled { late } => {
                write!(f, "this process did not run for {}", Ago(Some(*late), ""))
            }
            Event::Forgotten { id, status } => write!(f, "node {id} ({status}) is forgotten"),
        }
    }
}
