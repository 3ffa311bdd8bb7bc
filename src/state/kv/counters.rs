//! The numbers of the store, and the indexes that readers are told, which follow from them.
//!
//! An index is a revision: a reader that has seen one and asks again with it waits until there is a
//! higher one. What makes that useful is that it does not rise for nothing; what makes it safe is that
//! it never sinks. Two floors see to the second. *Restored*: no revision from before a restore says
//! anything about what is there after it. *Reaped*: of keys that are gone a mark remains
//! (`tombstones`), but not for ever, and up to this revision there may have been one.

use serde::{Deserialize, Serialize};

use super::Entry;

/// The store's numbers; see the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Revision that changed a key last.
    pub last: u64,
    /// Revision that changed a session last.
    pub sessions: u64,
    /// Revision of the last restore: the floor of every index.
    pub restored: u64,
    /// Up to this revision marks of removed keys may be forgotten: the floor of the indexes of
    /// prefixes and of keys that are not there.
    pub reaped: u64,
    /// Nothing ends before this time, in ms of the state's clock; `u64::MAX` when nothing ends.
    pub earliest_ms: u64,
    /// Milliseconds by which the state's clock is ahead of the cluster's. A restore sets it, so that
    /// times in the backup stay what they were: the state's clock goes on from the backup's.
    pub clock_offset_ms: i64,
    /// Number of keys.
    pub keys: u64,
    /// Number of sessions.
    pub open_sessions: u64,
    /// Number of the oldest mark of a removed key; that of the next when there are none.
    pub(in crate::state) oldest_mark: u64,
    /// Number that the next mark gets.
    pub(in crate::state) next_mark: u64,
    /// Marks below this number are to be forgotten.
    pub(in crate::state) keep_marks_from: u64,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            last: 0,
            sessions: 0,
            restored: 0,
            reaped: 0,
            earliest_ms: u64::MAX,
            clock_offset_ms: 0,
            keys: 0,
            open_sessions: 0,
            oldest_mark: 0,
            next_mark: 0,
            keep_marks_from: 0,
        }
    }
}

impl Counters {
    /// Bytes that [`Counters::encode`] gives.
    pub(crate) const LEN: usize = 88;

    /// The state's clock when the cluster's shows this, both in ms.
    #[must_use]
    pub fn now(&self, cluster_clock_ms: u64) -> u64 {
        cluster_clock_ms.saturating_add_signed(self.clock_offset_ms)
    }

    /// The cluster's clock when the earliest thing may end, in ms; none when nothing ends.
    #[must_use]
    pub fn next_expiry(&self) -> Option<u64> {
        let at = self.earliest_ms;
        // What would end after the end of time does not.
        (at != u64::MAX).then(|| at.saturating_sub_signed(self.clock_offset_ms))
    }

    /// Index of one key: its own, or the store's when it is not there.
    #[must_use]
    pub fn key_index(&self, entry: Option<&Entry>) -> u64 {
        entry.map_or(self.store_index(), |entry| entry.modify.max(self.restored))
    }

    /// Index of the store as a whole, which is that of the empty prefix too.
    #[must_use]
    pub fn store_index(&self) -> u64 {
        self.last.max(self.restored).max(1)
    }

    /// Index of a prefix that is not empty, given the highest revision of a key or of a removed key's
    /// mark under it (0 for none).
    #[must_use]
    pub fn prefix_index(&self, highest: u64) -> u64 {
        highest.max(self.restored).max(self.reaped).max(1)
    }

    /// Index of the list of sessions, and of any part of it.
    #[must_use]
    pub fn sessions_index(&self) -> u64 {
        self.sessions.max(self.restored).max(1)
    }

    /// Whether anything about any key can be newer than this index; when not, nobody need look.
    #[must_use]
    pub fn any_key_since(&self, index: u64) -> bool {
        self.last.max(self.restored).max(self.reaped) > index
    }

    /// Whether one key has changed since this index: what wakes who waits for it. `mark` is the
    /// revision that removed it ([`tombstone`](super::tombstone)), if that is known. What was written
    /// to other keys does not count, though the index of a key that is not there rises with it.
    #[must_use]
    pub fn key_since(&self, entry: Option<&Entry>, mark: Option<u64>, index: u64) -> bool {
        match entry {
            Some(_) => self.key_index(entry) > index,
            None => mark.unwrap_or(0).max(self.reaped).max(self.restored) > index,
        }
    }

    /// Whether these can be the numbers of a store at this revision.
    pub(crate) fn is_sound(&self, revision: u64) -> bool {
        let highest = self.last.max(self.sessions).max(self.restored).max(self.reaped);
        let marks =
            self.oldest_mark <= self.keep_marks_from && self.keep_marks_from <= self.next_mark;
        highest <= revision && marks
    }

    /// All of it as bytes, little-endian in the order of the fields.
    pub(crate) fn encode(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        for (to, number) in bytes.chunks_exact_mut(8).zip(self.numbers()) {
            to.copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    /// What [`Counters::encode`] encoded.
    pub(crate) fn decode(bytes: &[u8; Self::LEN]) -> Self {
        let number = |field: usize| {
            let (number, _) = bytes[8 * field..].split_first_chunk().expect("it is within");
            u64::from_le_bytes(*number)
        };
        Self {
            last: number(0),
            sessions: number(1),
            restored: number(2),
            reaped: number(3),
            earliest_ms: number(4),
            clock_offset_ms: number(5).cast_signed(),
            keys: number(6),
            open_sessions: number(7),
            oldest_mark: number(8),
            next_mark: number(9),
            keep_marks_from: number(10),
        }
    }

    fn numbers(&self) -> [u64; 11] {
        [
            self.last,
            self.sessions,
            self.restored,
            self.reaped,
            self.earliest_ms,
            self.clock_offset_ms.cast_unsigned(),
            self.keys,
            self.open_sessions,
            self.oldest_mark,
            self.next_mark,
            self.keep_marks_from,
        ]
    }
}
