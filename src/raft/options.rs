//! The knobs of the core, with how to choose them.

/// Timing and limits. Times in microseconds, so that experiments can go below a millisecond.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Interval of heartbeats, µs. Must be well below `election_min`: at most a fifth of it, so that
    /// a few lost heartbeats in a row move nobody.
    pub heartbeat: u64,
    /// Shortest election timeout, µs; also how long a voter stays loyal to a leader it heard from.
    /// Well above a round trip plus one disk write.
    pub election_min: u64,
    /// End of the range that election timeouts are drawn from, µs (exclusive). A leader that hears
    /// from no majority for this long steps down; a transfer is given up after it.
    pub election_max: u64,
    /// Append messages on their way to one follower at most. Batching does the work; a deep pipe
    /// only adds queueing.
    pub inflight_messages: usize,
    /// Bytes on their way to one follower, beyond which no further append is sent.
    pub inflight_bytes: usize,
    /// Bytes of entries in one append (a single larger entry is still sent). At most half a frame.
    pub append_bytes_max: usize,
    /// Bytes of uncommitted entries beyond which a leader refuses proposals. One proposal is always
    /// admitted when nothing is uncommitted.
    pub uncommitted_bytes_max: usize,
    /// Bytes of the newest entries that are kept in memory once they are committed, for followers
    /// and an applier that are a little behind. What is older is read back from disk for them.
    pub tail_bytes_max: usize,
}

impl Default for Options {
    /// For machines in one datacentre.
    fn default() -> Self {
        Self {
            heartbeat: 50_000,
            election_min: 250_000,
            election_max: 500_000,
            inflight_messages: 4,
            inflight_bytes: 4 << 20,
            append_bytes_max: 1 << 20,
            uncommitted_bytes_max: 64 << 20,
            tail_bytes_max: 64 << 20,
        }
    }
}

impl Options {
    /// Panics on options that cannot work; the caller checks what a user typed before.
    pub(super) fn assert_valid(&self) {
        assert!(self.heartbeat > 0, "a heartbeat interval of nothing");
        assert!(self.heartbeat < self.election_min, "heartbeats no faster than elections");
        assert!(self.election_min < self.election_max, "an empty range of election timeouts");
        assert!(self.inflight_messages > 0, "no message may be in flight");
    }
}
