//! Rows in memory, with all their versions.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering as Memory};

use bytes::Bytes;
use crossbeam_skiplist::SkipMap;
use crossbeam_skiplist::map::Entry;

/// What a version of a row costs besides its bytes, about.
const NODE_BYTES: u64 = 136;

/// What a row was set to; `None` when it was removed.
pub type Value = Option<Bytes>;

/// Rows by key, newest version first. One thread writes, any number read without waiting.
#[derive(Default)]
pub struct Layer {
    rows: SkipMap<RowKey, Value>,
    bytes: AtomicU64,
}

/// A version of a row.
#[derive(Clone, Debug)]
struct RowKey {
    /// Decides nearly every comparison without a look at the bytes, which are elsewhere in memory:
    /// that look is what a search in a large layer would spend most of its time on.
    prefix: u128,
    row: Bytes,
    version: u64,
}

/// The first bytes of a key as a number; keys whose prefixes differ are in the order of those.
fn prefix(row: &[u8]) -> u128 {
    let mut first = [0; 16];
    let len = row.len().min(first.len());
    first[..len].copy_from_slice(&row[..len]);
    u128::from_be_bytes(first)
}

/// Lets a version be looked up by a borrowed key.
trait Versioned {
    /// Prefix, key, version.
    fn parts(&self) -> (u128, &[u8], u64);
}

impl Versioned for RowKey {
    fn parts(&self) -> (u128, &[u8], u64) {
        (self.prefix, &self.row, self.version)
    }
}

impl Versioned for (u128, &[u8], u64) {
    fn parts(&self) -> (u128, &[u8], u64) {
        *self
    }
}

impl<'a> Borrow<dyn Versioned + 'a> for RowKey {
    fn borrow(&self) -> &(dyn Versioned + 'a) {
        self
    }
}

impl Ord for dyn Versioned + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        let (prefix, row, version) = self.parts();
        let (other_prefix, other_row, other_version) = other.parts();
        let rows = prefix.cmp(&other_prefix).then_with(|| row.cmp(other_row));
        rows.then(other_version.cmp(&version))
    }
}

impl PartialOrd for dyn Versioned + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for dyn Versioned + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for dyn Versioned + '_ {}

impl Ord for RowKey {
    fn cmp(&self, other: &Self) -> Ordering {
        let (this, other): (&dyn Versioned, &dyn Versioned) = (self, other);
        this.cmp(other)
    }
}

impl PartialOrd for RowKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for RowKey {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for RowKey {}

impl Layer {
    /// Sets a row as of a version.
    pub fn set(&self, row: &[u8], version: u64, value: Value) {
        let value_bytes = value.as_ref().map_or(0, Bytes::len);
        let bytes = (row.len() + value_bytes) as u64 + NODE_BYTES;
        let key = RowKey { prefix: prefix(row), row: Bytes::copy_from_slice(row), version };
        self.rows.insert(key, value);
        self.bytes.fetch_add(bytes, Memory::Relaxed);
    }

    /// The newest value of a row up to a version; none when this layer does not know the row.
    pub fn get(&self, row: &[u8], version: u64) -> Option<Value> {
        let wanted = (prefix(row), row, version);
        let wanted: &dyn Versioned = &wanted;
        let entry = self.rows.lower_bound(Bound::Included(wanted))?;
        (entry.key().row == row).then(|| entry.value().clone())
    }

    /// All rows that were set up to a version, from a key on, in order.
    pub fn iter(&self, from: &[u8], version: u64) -> Iter<'_> {
        let wanted = (prefix(from), from, u64::MAX);
        let wanted: &dyn Versioned = &wanted;
        Iter { next: self.rows.lower_bound(Bound::Included(wanted)), version, last: None }
    }

    /// The newest version of every row, in order.
    pub fn rows(&self) -> Iter<'_> {
        self.iter(&[1], u64::MAX)
    }

    /// Bytes of memory, about.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Memory::Relaxed)
    }
}

/// See [`Layer::iter`].
pub struct Iter<'a> {
    next: Option<Entry<'a, RowKey, Value>>,
    version: u64,
    last: Option<Bytes>,
}

impl Iterator for Iter<'_> {
    type Item = (Bytes, Value);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let entry = self.next.take()?;
            self.next = entry.next();
            let key = entry.key();
            if key.version <= self.version && self.last.as_ref() != Some(&key.row) {
                self.last = Some(key.row.clone());
                return Some((key.row.clone(), entry.value().clone()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &'static str) -> Value {
        Some(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn each_version_stays_readable() {
        let layer = Layer::default();
        layer.set(b"a", 1, value("one"));
        layer.set(b"a", 3, None);
        layer.set(b"b", 2, value("two"));
        layer.set(b"a", 4, value("four"));
        assert_eq!(layer.get(b"a", 0), None);
        assert_eq!(layer.get(b"a", 2), Some(value("one")));
        assert_eq!(layer.get(b"a", 3), Some(None));
        assert_eq!(layer.get(b"a", 9), Some(value("four")));
        assert_eq!(layer.get(b"aa", 9), None);
        let as_of = |version| layer.iter(b"", version).collect::<Vec<_>>();
        assert_eq!(as_of(1), [(Bytes::from("a"), value("one"))]);
        assert_eq!(as_of(3), [(Bytes::from("a"), None), (Bytes::from("b"), value("two"))]);
    }

    #[test]
    fn a_row_set_twice_in_a_batch_keeps_the_second_value() {
        let layer = Layer::default();
        layer.set(b"a", 1, value("one"));
        layer.set(b"a", 1, value("uno"));
        assert_eq!(layer.get(b"a", 1), Some(value("uno")));
        assert_eq!(layer.iter(b"a", 1).count(), 1);
    }
}
