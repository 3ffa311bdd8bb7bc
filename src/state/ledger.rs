//! Rows and their digest, changed in one step so that neither is ever without the other.

use bytes::Bytes;

use super::digest::Digest;
use crate::storage::{StoreError, Table};

/// A table to write to, with the digest of its rows.
pub(super) struct Ledger<'a, T> {
    table: &'a mut T,
    digest: &'a mut Digest,
}

impl<'a, T: Table> Ledger<'a, T> {
    pub(super) fn new(table: &'a mut T, digest: &'a mut Digest) -> Self {
        Self { table, digest }
    }

    /// The value under a key.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.table.get(key)
    }

    /// Sets a row that is known not to be there.
    pub(super) fn insert(&mut self, key: &[u8], value: Bytes) {
        self.digest.add(key, &value);
        self.table.put(key, value);
    }

    /// Sets a row that is known to have this value.
    pub(super) fn overwrite(&mut self, key: &[u8], old: &[u8], value: Bytes) {
        self.digest.remove(key, old);
        self.insert(key, value);
    }

    /// Removes a row that is known to have this value.
    pub(super) fn remove(&mut self, key: &[u8], old: &[u8]) {
        self.digest.remove(key, old);
        self.table.delete(key);
    }

    /// The rows as they are.
    pub(super) fn rows(&self) -> &T {
        self.table
    }

    /// Sets a row, whether it is there or not.
    pub(super) fn replace(&mut self, key: &[u8], value: Bytes) -> Result<(), StoreError> {
        if let Some(old) = self.table.get(key)? {
            self.digest.remove(key, &old);
        }
        self.insert(key, value);
        Ok(())
    }

    /// Removes a row, if it is there.
    pub(super) fn delete(&mut self, key: &[u8]) -> Result<(), StoreError> {
        if let Some(old) = self.table.get(key)? {
            self.digest.remove(key, &old);
            self.table.delete(key);
        }
        Ok(())
    }
}
