//! Where the state stands, as its readers are told with every view.
//!
//! A [`Summary`], and what of the [`Meta`] is small and fixed besides. As bytes, little-endian:
//!
//! | at  | bytes | meaning                                                        |
//! |----:|------:|----------------------------------------------------------------|
//! |   0 |   116 | the summary                                                    |
//! | 116 |     8 | magic `standing`: a meta has something else there              |
//! | 124 |    24 | queue of clients' keys: number of the oldest, next number, first use of the oldest |
//! | 148 |    88 | counters of the key-value store                                |
//! | 236 |    32 | counters of the board                                          |
//!
//! A view that was opened and to which nothing was applied yet carries the meta of its checkpoint; that
//! is read as well.

use bytes::Bytes;

use super::board;
use super::kv::Counters;
use super::meta::{Meta, MetaError, Summary};
use super::once::Queue;

const MAGIC: &[u8; 8] = b"standing";
const QUEUE: usize = Summary::LEN + MAGIC.len();
const COUNTERS: usize = QUEUE + 24;
const BOARD: usize = COUNTERS + Counters::LEN;

/// What is published with a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Where the state stands.
    pub summary: Summary,
    /// The queue of clients' keys.
    pub once: Queue,
    /// The numbers of the key-value store.
    pub kv: Counters,
    /// The numbers of the board.
    pub board: board::Counters,
}

impl Standing {
    /// Bytes of an encoded standing.
    pub const LEN: usize = BOARD + board::Counters::LEN;

    /// That of a state with this meta.
    #[must_use]
    pub fn of(meta: &Meta) -> Self {
        Self { summary: meta.summary, once: meta.once, kv: meta.kv, board: meta.board }
    }

    /// That of a state in which nothing of all this ever happened.
    #[must_use]
    pub fn bare(summary: Summary) -> Self {
        let (once, kv) = (Queue::default(), Counters::default());
        Self { summary, once, kv, board: board::Counters::default() }
    }

    /// The state's clock in ms, by which all that lasts is kept; it is not the cluster's after a restore.
    #[must_use]
    pub fn clock_ms(&self) -> u64 {
        self.kv.now(self.summary.clock_ms)
    }

    /// The bytes of a standing, which begin with those of its summary.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(Self::LEN);
        bytes.extend_from_slice(&self.summary.encode());
        bytes.extend_from_slice(MAGIC);
        for number in [self.once.first, self.once.next, self.once.oldest_ms] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&self.kv.encode());
        bytes.extend_from_slice(&self.board.encode());
        bytes.into()
    }

    /// The standing in these bytes: one that was encoded, a bare summary (the rest is then as it is in
    /// the beginning), or a meta.
    ///
    /// # Errors
    /// When the bytes are none of these, of a newer format, or damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self, MetaError> {
        let summary = Summary::decode(bytes)?;
        match &bytes[Summary::LEN..] {
            [] => Ok(Self::bare(summary)),
            rest if rest.starts_with(MAGIC) => Self::decode_rest(summary, bytes),
            _ => Meta::decode(bytes).map(|meta| Self::of(&meta)),
        }
    }

    fn decode_rest(summary: Summary, bytes: &[u8]) -> Result<Self, MetaError> {
        if bytes.len() != Self::LEN {
            return Err(MetaError::Damaged("length of the standing"));
        }
        let number = |at: usize| {
            u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes were asked for"))
        };
        let once =
            Queue { first: number(QUEUE), next: number(QUEUE + 8), oldest_ms: number(QUEUE + 16) };
        let (kv, board) = bytes[COUNTERS..].split_at(Counters::LEN);
        let kv = Counters::decode(kv.try_into().expect("it was split there"));
        let board = board.try_into().expect("the length was checked");
        Ok(Self { summary, once, kv, board: board::Counters::decode(board) })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::example_meta;
    use super::*;

    fn example() -> Standing {
        let mut kv = Counters::default();
        (kv.last, kv.clock_offset_ms, kv.keys) = (1, -9, 11);
        let board = board::Counters { wall_ms: 1 << 40, users: 1, posts: 1, comments: 0 };
        Standing { kv, board, ..Standing::of(&example_meta()) }
    }

    #[test]
    fn a_standing_survives_its_bytes_and_begins_with_its_summary() {
        let standing = example();
        let bytes = standing.encode();
        assert_eq!(bytes.len(), Standing::LEN);
        assert_eq!(Standing::decode(&bytes), Ok(standing));
        assert_eq!(Summary::decode(&bytes), Ok(standing.summary));
        for len in (0..bytes.len()).filter(|len| *len != Summary::LEN) {
            Standing::decode(&bytes[..len]).unwrap_err();
        }
    }

    #[test]
    fn the_states_clock_is_not_the_clusters() {
        let standing = example();
        assert_eq!(standing.clock_ms(), standing.summary.clock_ms - 9);
        assert_eq!(Standing::bare(standing.summary).clock_ms(), standing.summary.clock_ms);
    }

    #[test]
    fn a_bare_summary_and_a_meta_will_do() {
        let meta = Meta { kv: example().kv, board: example().board, ..example_meta() };
        assert_eq!(Standing::decode(&meta.encode()), Ok(Standing::of(&meta)));
        assert_eq!(Standing::decode(&meta.summary.encode()), Ok(Standing::bare(meta.summary)));
    }
}
