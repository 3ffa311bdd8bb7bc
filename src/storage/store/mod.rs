//! The replicated state: rows in order, in two layers.
//!
//! **Recent** rows, those written since the last checkpoint, are in memory (`layer`), each with the
//! number of the batch that wrote it; nothing is ever overwritten, so a reader that knows up to which
//! batch it may look needs no lock. **The checkpoint** is on disk (`disk`). When recent rows get
//! many, or old, they are *frozen*, a new empty layer takes over, and the thread `checkpoint` writes
//! the frozen ones in key order into the checkpoint: one sorted run, together with the meta row that
//! says as of which index it is, durable and visible at once. After a crash the log is replayed
//! from there.
//!
//! What is damaged on the disk is an error when it is read, never a wrong row; [`StoreErrorKind`] tells
//! it from a disk that fails and from one that is only full, which is waited for.
//!
//! Readers take a [`View`]: both layers and the checkpoint as of one applied index. The applier owns the
//! [`Store`], and publishes a view after each batch.
//!
//! Row keys are not empty and do not begin with a zero byte: that is the meta row's.

use bytes::Bytes;

mod apply;
mod checkpointer;
mod disk;
mod intact;
mod layer;
mod memory;
mod merge;
mod scrub;
mod view;

pub use apply::{Store, StoreOptions, StoreStopper};
pub use disk::Checkpoint;
pub use memory::MemoryStore;
pub use scrub::Scrubbed;
pub use view::{CheckpointView, View, Views};

/// Longest row key, in bytes.
pub const KEY_BYTES_MAX: usize = 16 << 10;

/// The store cannot be read or written; the node must not go on applying. One line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    kind: StoreErrorKind,
    message: String,
}

/// What a [`StoreError`] means for the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// What is on the disk is not what was written: this state is lost, and another node has it.
    Damaged,
    /// A newer version of the program wrote it.
    Newer,
    /// Another process has it open.
    InUse,
    /// The disk has no room; nothing is lost, and it may pass.
    Full,
    /// The operating system said no.
    Io,
}

impl StoreError {
    /// An error of a kind.
    #[must_use]
    pub fn new(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// What is on the disk is not what was written.
    #[must_use]
    pub fn damaged(message: impl Into<String>) -> Self {
        Self::new(StoreErrorKind::Damaged, message)
    }

    /// What it means.
    #[must_use]
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }
}

/// Ordered rows, read.
pub trait Rows {
    /// The value under a key.
    ///
    /// # Errors
    /// When the disk cannot be read.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError>;

    /// Hands the rows from key `from` on, and below key `to` if there is one, to `visit` in the order
    /// of their keys, until it returns false.
    ///
    /// # Errors
    /// When the disk cannot be read; `visit` has seen the rows before then.
    fn scan(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError>;
}

/// Rows that can be changed; reading sees the changes at once.
pub trait Table: Rows {
    /// Sets a row.
    ///
    /// # Panics
    /// When the key is empty, begins with a zero byte or is longer than [`KEY_BYTES_MAX`].
    fn put(&mut self, key: &[u8], value: Bytes);

    /// Removes a row, if it is there.
    ///
    /// # Panics
    /// As [`Table::put`].
    fn delete(&mut self, key: &[u8]);
}

/// Whether a row can have this key; see [`Table::put`].
pub(super) fn is_row_key(key: &[u8]) -> bool {
    key.first().is_some_and(|byte| *byte != 0) && key.len() <= KEY_BYTES_MAX
}

fn assert_row_key(key: &[u8]) {
    assert!(is_row_key(key), "row key {key:?}");
}
