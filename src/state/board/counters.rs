//! The numbers of the board that go with every view.

use serde::{Deserialize, Serialize};

/// How much there is, and what time it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Wall clock of the last entry, in ms since 1970: what lists of the best count back from. It is
    /// what the leader of that entry took the time to be, and may go back. 0 before the cluster version
    /// [`VERSION_BOARD`](crate::state::VERSION_BOARD).
    pub wall_ms: u64,
    /// Number of accounts, those that are disabled too.
    pub users: u64,
    /// Number of posts that are shown.
    pub posts: u64,
    /// Number of comments that were not taken away, those of posts that are not shown too.
    pub comments: u64,
}

impl Counters {
    /// Bytes that [`Counters::encode`] gives.
    pub(crate) const LEN: usize = 32;

    /// Whether a state of this revision can have these: each of them was made by one of its own.
    pub(in crate::state) fn is_sound(&self, revision: u64) -> bool {
        self.users.max(self.posts).max(self.comments) <= revision
    }

    /// All of it as bytes, little-endian in the order of the fields.
    pub(crate) fn encode(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        let numbers = [self.wall_ms, self.users, self.posts, self.comments];
        for (to, number) in bytes.chunks_exact_mut(8).zip(numbers) {
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
        Self { wall_ms: number(0), users: number(1), posts: number(2), comments: number(3) }
    }
}
