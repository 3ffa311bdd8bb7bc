//! What a node is told at its start, and what every node of a cluster must agree on.

use std::path::PathBuf;
use std::time::Duration;

use crate::networks::Network;

/// Which HTTP front answers clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Front {
    /// Our own event loops.
    Mio,
    /// The thin one on `tiny_http`.
    TinyHttp,
}

/// Settings of one process; nodes of a cluster may differ in them.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// The data directory; made when missing.
    pub data: PathBuf,
    /// Host to listen on; none: loopback, or for a joiner the source address of its route to the
    /// join target.
    pub bind: Option<String>,
    /// Where to listen for HTTP, `host:port`, instead of the bind host and 7070.
    pub http: Option<String>,
    /// Where to listen for peers (TCP) and gossip (UDP), instead of the bind host and 7071.
    pub peer: Option<String>,
    /// What others are told to dial: `host` or `host:port`.
    pub advertise: Option<String>,
    /// Base URL under which clients reach the HTTP surface.
    pub advertise_http: Option<String>,
    /// Peer addresses of members to join through.
    pub join: Vec<String>,
    /// Start a new cluster with this node as its first.
    pub bootstrap: bool,
    /// Name for people; none: the host's name and the peer port.
    pub name: Option<String>,
    /// Which HTTP front answers.
    pub front: Front,
    /// Event loops of the `mio` front.
    pub http_threads: usize,
    /// When every request must have been answered.
    pub request_timeout: Duration,
    /// Bytes of the longest value that the key-value store takes; at most [`VALUE_MAX`].
    pub value_max: usize,
    /// Requests that may wait for changes of the key-value store at a time.
    pub watches_max: usize,
    /// The pace of the protocol.
    pub timing: Timing,
    /// Threads that hash passwords.
    pub password_threads: usize,
    /// Proxies that are believed when they say for whom they ask.
    pub trusted_proxies: Vec<Network>,
    /// What the node may take of its disk, and what it expects of it.
    pub disk: DiskConfig,
}

/// What a node may take of its disk, and what it expects of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskConfig {
    /// A write to the log that takes longer than this means that the disk hangs: the node leads no
    /// more. At least two election timeouts.
    pub stall: Duration,
    /// When a write has hung for this long, the process ends.
    pub stall_exit: Duration,
    /// Bytes of one file of the log; three of them are made ahead at most.
    pub segment_bytes: u64,
    /// Bytes of the log that are kept for followers that lag behind, when the state no longer needs
    /// them.
    pub log_keep_bytes: u64,
    /// Bytes of the log beyond which it is purged even if that means that a follower under way has to
    /// fetch the state again.
    pub log_max_bytes: u64,
    /// Free bytes of the file system below which client writes are refused.
    pub reserve_bytes: u64,
    /// Bytes of the data directory beyond which client writes are refused; 0 for no such bound.
    pub data_max_bytes: u64,
    /// Bytes per second that are sent of a state to other nodes, in all.
    pub snapshot_rate: u64,
    /// Bytes per second that the scrub reads.
    pub scrub_rate: u64,
    /// Time between two scrubs; zero for none.
    pub scrub_every: Duration,
}

impl Default for DiskConfig {
    fn default() -> Self {
        Self {
            stall: Duration::from_secs(1),
            stall_exit: Duration::from_secs(30),
            segment_bytes: 64 << 20,
            log_keep_bytes: 256 << 20,
            log_max_bytes: 2 << 30,
            reserve_bytes: 128 << 20,
            data_max_bytes: 0,
            snapshot_rate: 64 << 20,
            scrub_rate: 16 << 20,
            scrub_every: Duration::from_secs(7 * 24 * 3600),
        }
    }
}

impl Default for NodeConfig {
    /// What a start without flags means.
    fn default() -> Self {
        Self {
            data: PathBuf::from("./bowline-data"),
            bind: None,
            http: None,
            peer: None,
            advertise: None,
            advertise_http: None,
            join: Vec::new(),
            bootstrap: false,
            name: None,
            front: Front::Mio,
            http_threads: 2,
            request_timeout: Duration::from_secs(5),
            value_max: 512 << 10,
            watches_max: 10_000,
            timing: Timing::LAN,
            password_threads: 1,
            trusted_proxies: Network::loopback(),
            disk: DiskConfig::default(),
        }
    }
}

/// The pace of the consensus protocol. All nodes of a cluster should use the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Pause between a leader's heartbeats; at most a fifth of `election_min`.
    pub heartbeat: Duration,
    /// Shortest time without a leader after which a follower asks for votes. Also how long a
    /// follower sticks to its leader.
    pub election_min: Duration,
    /// Longest such time; the actual one is drawn anew each time.
    pub election_max: Duration,
}

impl Timing {
    /// For machines in one place.
    pub const LAN: Self = Self {
        heartbeat: Duration::from_millis(50),
        election_min: Duration::from_millis(250),
        election_max: Duration::from_millis(500),
    };
    /// For machines far apart.
    pub const WAN: Self = Self {
        heartbeat: Duration::from_millis(200),
        election_min: Duration::from_secs(1),
        election_max: Duration::from_secs(2),
    };
}

/// Bytes of the longest value that any node may be told to take: with its key and what else is in an
/// entry it stays well below the 2 MiB that one may have.
pub const VALUE_MAX: usize = 1 << 20;

/// Port of the HTTP surface when none is given.
pub const HTTP_PORT: u16 = 7070;
/// Port of peers and gossip when none is given.
pub const PEER_PORT: u16 = 7071;

/// Limits that are part of the protocol: the same on every node of a cluster, checked where a
/// write enters, never applied to reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterConfig {
    /// Voters that the leader promotes learners up to.
    pub voters_max: usize,
    /// Members, learners included.
    pub members_max: usize,
}

impl ClusterConfig {
    /// The limits in force.
    pub const DEFAULT: Self = Self { voters_max: 5, members_max: 64 };
}
