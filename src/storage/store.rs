//! The seam between the state machine and its rows.

use std::collections::BTreeMap;
use std::ops::Bound;
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

    /// Shows the rows from `from` up to and without `to`, in key order, until `f` returns false.
    ///
    /// # Errors
    /// When the disk cannot be read.
    fn scan(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
        f: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError>;
}

/// Ordered rows, changed by the one thread that applies.
pub trait Table: Rows {
    /// Sets the value under a key.
    fn put(&mut self, key: &[u8], value: Bytes);

    /// Takes a row away.
    fn delete(&mut self, key: &[u8]);
}

/// Rows in memory only: for tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryStore(BTreeMap<Vec<u8>, Bytes>);

impl Rows for MemoryStore {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(self.0.get(key).cloned())
    }

    fn scan(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
        f: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        let end = to.map_or(Bound::Unbounded, Bound::Excluded);
        if to.is_some_and(|to| to <= from) {
            return Ok(());
        }
        for (key, value) in self.0.range::<[u8], _>((Bound::Included(from), end)) {
            if !f(key, value) {
                break;
            }
        }
        Ok(())
    }
}

impl Table for MemoryStore {
    fn put(&mut self, key: &[u8], value: Bytes) {
        self.0.insert(key.to_vec(), value);
    }

    fn delete(&mut self, key: &[u8]) {
        self.0.remove(key);
    }
}

/// The state as of one applied index; cheap to clone, never changes.
#[derive(Clone, Default)]
pub struct View {
    applied: u64,
    meta: Bytes,
    rows: Arc<MemoryStore>,
}

impl View {
    /// A view of rows in memory, with the state's own account of itself.
    #[must_use]
    pub fn new(applied: u64, meta: Bytes, rows: MemoryStore) -> Self {
        Self { applied, meta, rows: Arc::new(rows) }
    }

    /// The index of the last entry in it.
    #[must_use]
    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// The summary of the state as of that index, encoded.
    #[must_use]
    pub fn meta(&self) -> &Bytes {
        &self.meta
    }
}

impl Rows for View {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.rows.get(key)
    }

    fn scan(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
        f: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        self.rows.scan(from, to, f)
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

    /// Replaces the newest view.
    pub fn publish(&self, view: View) {
        *self.0.write() = view;
    }
}
