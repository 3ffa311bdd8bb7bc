//! Rows in memory only, for tests and simulations.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use super::{Rows, StoreError, Table, assert_row_key};

/// A table without a disk, equal for equal histories.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryStore {
    rows: BTreeMap<Bytes, Bytes>,
}

impl Rows for MemoryStore {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(self.rows.get(key).cloned())
    }

    fn scan(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        if to.is_some_and(|to| to <= from) {
            return Ok(());
        }
        let range = (Bound::Included(from), to.map_or(Bound::Unbounded, Bound::Excluded));
        for (key, value) in self.rows.range::<[u8], _>(range) {
            if !visit(key, value) {
                break;
            }
        }
        Ok(())
    }
}

impl Table for MemoryStore {
    fn put(&mut self, key: &[u8], value: Bytes) {
        assert_row_key(key);
        self.rows.insert(Bytes::copy_from_slice(key), value);
    }

    fn delete(&mut self, key: &[u8]) {
        assert_row_key(key);
        self.rows.remove(key);
    }
}
