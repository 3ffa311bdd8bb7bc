//! A table that counts what is done with it.

use std::cell::Cell;
use std::collections::BTreeSet;

use bytes::Bytes;

use crate::storage::{MemoryStore, Rows, StoreError, Table};

#[derive(Clone, Default)]
pub struct Counting {
    rows: MemoryStore,
    /// Rows that were removed, which a store on a disk has to step over for a while.
    graves: BTreeSet<Vec<u8>>,
    /// Rows that were looked for.
    pub gets: Cell<u64>,
    /// Ranges that were looked through.
    pub scans: Cell<u64>,
    /// Rows that were seen in them.
    pub seen: Cell<u64>,
    /// Rows that were not there any more, and had to be stepped over.
    pub stepped: Cell<u64>,
    /// Rows that were set or removed.
    pub writes: u64,
}

fn more(count: &Cell<u64>, by: u64) {
    count.set(count.get() + by);
}

impl Rows for Counting {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        more(&self.gets, 1);
        self.rows.get(key)
    }

    fn scan(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        more(&self.scans, 1);
        let mut last = None;
        self.rows.scan(from, to, &mut |key, value| {
            more(&self.seen, 1);
            let go_on = visit(key, value);
            last = (!go_on).then(|| key.to_vec());
            go_on
        })?;
        let end = last.as_deref().or(to);
        let graves = self.graves.range(from.to_vec()..);
        let graves = graves.take_while(|key| end.is_none_or(|end| &key[..] < end));
        more(&self.stepped, graves.count() as u64);
        Ok(())
    }
}

impl Table for Counting {
    fn put(&mut self, key: &[u8], value: Bytes) {
        self.writes += 1;
        self.graves.remove(key);
        self.rows.put(key, value);
    }

    fn delete(&mut self, key: &[u8]) {
        self.writes += 1;
        self.graves.insert(key.to_vec());
        self.rows.delete(key);
    }
}
