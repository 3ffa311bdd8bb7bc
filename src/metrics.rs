//! Counters and histograms of one node.
//!
//! One struct of atomics, shared by reference: a thread counts where the thing happens and never
//! waits. What the raft thread knows (term, role, indexes) is not here but in the published status.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }
    /// The sum so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down: what it was last set to.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Sets it.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
    /// What it was set to last.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Durations in fixed buckets, in the shape Prometheus wants.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; Self::BOUNDS_US.len()],
    count: AtomicU64,
    sum_us: AtomicU64,
}

impl Histogram {
    /// Upper bounds of the buckets, in microseconds.
    pub const BOUNDS_US: [u64; 14] = [
        50, 100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 100_000, 400_000, 1_600_000,
        6_400_000,
    ];

    /// Counts one duration.
    pub fn observe(&self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        if let Some(at) = Self::BOUNDS_US.iter().position(|bound| us <= *bound) {
            self.buckets[at].fetch_add(1, Ordering::Relaxed);
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// (per-bucket counts, number of all, sum in microseconds).
    pub fn read(&self) -> (Vec<u64>, u64, u64) {
        (
            self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect(),
            self.count.load(Ordering::Relaxed),
            self.sum_us.load(Ordering::Relaxed),
        )
    }
}

/// Requests answered, by route and status. A fixed table, so that counting takes no lock.
#[derive(Debug)]
pub struct HttpRequests([[Counter; Self::STATUSES.len()]; Self::ROUTES_MAX]);

impl Default for HttpRequests {
    fn default() -> Self {
        Self(std::array::from_fn(|_| std::array::from_fn(|_| Counter::default())))
    }
}

impl HttpRequests {
    /// Routes that can be told apart.
    pub const ROUTES_MAX: usize = 128;
    /// Statuses that can be told apart, ascending; all others are counted as the last one.
    pub const STATUSES: [u16; 29] = [
        200, 201, 202, 204, 301, 303, 304, 307, 400, 401, 403, 404, 405, 408, 409, 410, 412, 413,
        414, 417, 422, 429, 431, 501, 503, 504, 505, 507, 500,
    ];

    /// Counts one answer of a route, by the route's number.
    pub fn count(&self, route: usize, status: u16) {
        let at = Self::STATUSES.iter().position(|it| *it == status);
        self.0[route][at.unwrap_or(Self::STATUSES.len() - 1)].inc();
    }

    /// (route, status, answers so far), without those that never occurred.
    pub fn read(&self) -> Vec<(usize, u16, u64)> {
        let mut counts = Vec::new();
        for (route, row) in self.0.iter().enumerate() {
            for (status, count) in Self::STATUSES.iter().zip(row) {
                if count.get() > 0 {
                    counts.push((route, *status, count.get()));
                }
            }
        }
        counts
    }
}

/// Everything a node counts outside the raft thread's status.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Log writes (group commits) completed.
    pub log_writes: Counter,
    /// Entries in them.
    pub log_entries: Counter,
    /// Bytes in them.
    pub log_bytes: Counter,
    /// Bytes of the log's files now, without those that are made ahead.
    pub log_file_bytes: Gauge,
    /// Time of each fdatasync of the log.
    pub log_fsync: Histogram,
    /// Bytes that the log takes on disk.
    pub data_log_bytes: Gauge,
    /// Bytes that the state's checkpoint takes on disk.
    pub data_state_bytes: Gauge,
    /// Bytes that snapshot files take on disk.
    pub data_snapshot_bytes: Gauge,
    /// Bytes that everything else in the data directory takes.
    pub data_other_bytes: Gauge,
    /// Entries applied.
    pub applied_entries: Counter,
    /// Checkpoints completed.
    pub checkpoints: Counter,
    /// Time each checkpoint took.
    pub checkpoint_time: Histogram,
    /// Times the applier waited for a checkpoint.
    pub apply_pauses: Counter,
    /// Times a checkpoint waited for room on the disk.
    pub checkpoint_waits: Counter,
    /// Snapshot files written for other nodes.
    pub snapshots_made: Counter,
    /// Bytes of them sent.
    pub snapshot_bytes_sent: Counter,
    /// Bytes of other nodes' snapshot files received.
    pub snapshot_bytes_received: Counter,
    /// States built of them.
    pub snapshots_built: Counter,
    /// Times the merging behind checkpoints was put off for want of room on the disk.
    pub merges_put_off: Counter,
    /// Writes taken from clients of this node.
    pub proposals: Counter,
    /// Writes refused because a queue was full.
    pub proposals_refused: Counter,
    /// Writes sent to the leader.
    pub forwards: Counter,
    /// Messages from peers dropped because the inbox was full.
    pub inbox_dropped: Counter,
    /// Messages to peers dropped because the outbox was full or no link stood.
    pub outbox_dropped: Counter,
    /// Connections refused at the peer port (bad handshake, foreign cluster, garbage).
    pub peer_refused: Counter,
    /// Gossip packets received.
    pub gossip_received: Counter,
    /// Gossip packets sent.
    pub gossip_sent: Counter,
    /// Gossip packets dropped as foreign or malformed.
    pub gossip_refused: Counter,
    /// Audits in which the voters' states differed and none had a majority.
    pub digests_differ: Counter,
    /// Elections this node started.
    pub elections: Counter,
    /// Times this node saw another leader take over.
    pub leader_changes: Counter,
    /// Requests that wait for rows to change.
    pub watches: Gauge,
    /// Times such a request was told that one has.
    pub watch_wakeups: Counter,
    /// Requests that could not wait because too many did.
    pub watches_refused: Counter,
    /// Passwords hashed or checked.
    pub password_jobs: Counter,
    /// Passwords that were not, because as many waited as may.
    pub password_refused: Counter,
    /// Requests answered over HTTP.
    pub http_requests: HttpRequests,
    /// HTTP connections accepted.
    pub http_opened: Counter,
    /// HTTP connections closed.
    pub http_closed: Counter,
    /// HTTP connections closed because the client was too slow in sending or reading.
    pub http_timeouts: Counter,
    /// Idle HTTP connections closed to make room for new ones.
    pub http_shed: Counter,
}
