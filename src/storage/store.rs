//! The seam between the state machine and its rows.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;

/// The store cannot be read or written; the node must not go on applying.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub String);

/// Ordered rows, read.
pub trait Rows {
    /// The value under a key.
    ///
    /// # Errors
    /// When the disk cannot be read.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError>;
}

/// The state as of one applied index; cheap to clone, never changes.
#[derive(Clone, Default)]
pub struct View {
    applied: u64,
}

impl View {
    /// The index of the last entry in it.
    #[must_use]
    pub fn applied(&self) -> u64 {
        self.applied
    }
}

impl Rows for View {
    fn get(&self, _key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(None)
    }
}

/// Where the newest view is published.
#[derive(Clone, Default)]
pub struct Views(Arc<RwLock<View>>);

impl Views {
    /// The newest view.
    #[must_use]
    pub fn current(&self) -> View {
        self.0.read().clone()
    }
}
