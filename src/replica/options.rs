//! The bounds of a replica.

use bytes::Bytes;

use crate::raft;

/// Bounds and waiting times; the defaults are for a local network.
#[derive(Clone, Debug)]
pub struct Options {
    /// Of the consensus core.
    pub raft: raft::Options,
    /// Whether a command, of this node's clients or another's, is one that every node can apply. What is
    /// committed must be applied, so what nobody understands must not get into the log.
    pub understands: fn(&[u8]) -> bool,
    /// Writes of own clients that may wait at once; one more is refused as busy.
    pub pending_writes_max: usize,
    /// … or that hold so many bytes of commands.
    pub pending_bytes_max: usize,
    /// Payload bytes that may wait for the log; beyond, writes are refused as busy.
    pub log_bytes_max: usize,
    /// Payload bytes that may wait for the applier; beyond, no more committed entries are handed
    /// out and a leader refuses forwarded writes.
    pub apply_bytes_max: usize,
    /// Payload bytes handed to the applier, or read back for it, at once.
    pub apply_batch_bytes: usize,
    /// How often the applied index is looked at while something waits for it, in µs.
    pub apply_poll_us: u64,
    /// After this time without an answer a command is sent again to the same leader, in µs.
    pub resend_us: u64,
    /// How long a request about the cluster, passed on by another node, is pursued, in µs.
    pub admin_wait_us: u64,
    /// How long a join request may wait for its turn and its commit, in µs.
    pub join_wait_us: u64,
    /// From this age on, in µs, the oldest write under way means that the disk hangs: this node leads
    /// no more. At least two election timeouts.
    pub disk_stall_us: u64,
    /// At this age of it, in µs, the process has to end.
    pub disk_exit_us: u64,
    /// The encoded command that makes every node take its digest; none for no audits.
    pub audit: Option<Bytes>,
    /// A leader audits after this many entries, …
    pub audit_entries: u64,
    /// … and after this time in µs if anything was written since the last audit.
    pub audit_interval_us: u64,
    /// The encoded command that ends what has expired; none for nobody's to end.
    pub expire: Option<Bytes>,
    /// The rules that this program knows; none to leave those in force as they are.
    pub rules: Option<Rules>,
}

/// What commands do, by versions that the whole cluster moves to at once.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The newest version that this program knows.
    pub newest: u32,
    /// The encoded command that puts a version in force.
    pub raise: fn(u32) -> Bytes,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            raft: raft::Options::default(),
            understands: |_| true,
            pending_writes_max: 16_384,
            pending_bytes_max: 256 << 20,
            log_bytes_max: 64 << 20,
            apply_bytes_max: 16 << 20,
            apply_batch_bytes: 1 << 20,
            apply_poll_us: 1_000,
            resend_us: 1_000_000,
            admin_wait_us: 5_000_000,
            join_wait_us: 5_000_000,
            disk_stall_us: 1_000_000,
            disk_exit_us: 30_000_000,
            audit: None,
            audit_entries: 10_000,
            audit_interval_us: 60_000_000,
            expire: None,
            rules: None,
        }
    }
}

impl Options {
    /// How long a write waits for a leader before it is refused: the longest election timeout.
    #[must_use]
    pub fn leader_wait_us(&self) -> u64 {
        self.raft.election_max
    }
}
