//! Where each entry of the log stands.
//!
//! One place per record would grow with every write of a quiet cluster; so neighbouring records are
//! taken together up to [`EXTENT_BYTES`], and a reader walks through them. A log of 100 GB needs some
//! 60 MB this way, and one read finds any entry.

use crate::raft::Index;

/// How much a reader has to walk through at most to find an entry, if no single record is larger.
pub const EXTENT_BYTES: u64 = 64 << 10;

/// Neighbouring records of one segment, holding the entries `first..=last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Index of the first entry.
    pub first: Index,
    /// Index of the last entry that still counts; the records may hold superseded ones after it.
    pub last: Index,
    /// Number of the segment.
    pub segment: u64,
    /// Where the first record begins.
    pub offset: u64,
    /// Bytes of all of them.
    pub bytes: u64,
}

/// The places of all entries. Invariant: the extents are in order and leave no index out, behind
/// `base` and up to the last.
#[derive(Clone, Debug, Default)]
pub struct LogIndex {
    extents: Vec<Extent>,
    /// The last extent was cut short: what follows supersedes its end and must not join it.
    cut: bool,
    /// The first entry stands behind this one.
    base: Index,
    /// Segments with a lower number are gone, or will be.
    oldest: u64,
}

impl LogIndex {
    /// No entries yet, behind `base`, in segments from `oldest` on.
    pub fn behind(base: Index, oldest: u64) -> Self {
        Self { base, oldest, ..Self::default() }
    }

    /// Index of the last entry; that of the beginning when there is none.
    pub fn last(&self) -> Index {
        self.extents.last().map_or(self.base, |extent| extent.last)
    }

    /// Index of the last entry that stands in a segment below `segment`.
    pub fn last_before(&self, segment: u64) -> Index {
        let after = self.extents.partition_point(|extent| extent.segment < segment);
        self.extents[..after].last().map_or(self.base, |extent| extent.last)
    }

    /// Whether a segment with this number was purged or replaced as a whole.
    pub fn is_gone(&self, segment: u64) -> bool {
        segment < self.oldest
    }

    /// Forgets everything in segments below `oldest`.
    pub fn purge(&mut self, oldest: u64) {
        self.base = self.last_before(oldest);
        let gone = self.extents.partition_point(|extent| extent.segment < oldest);
        self.extents.drain(..gone);
        self.cut &= !self.extents.is_empty();
        self.oldest = oldest;
    }

    /// Adds a record; entries from `record.first` on are superseded by it.
    ///
    /// # Panics
    /// When indexes are left out between the last entry and the record.
    pub fn add(&mut self, record: Extent) {
        self.truncate(record.first);
        assert!(record.first == self.last() + 1, "{record:?} after {}", self.last());
        if let Some(extent) = self.extents.last_mut()
            && !self.cut
            && extent.segment == record.segment
            && extent.offset + extent.bytes == record.offset
            && extent.bytes + record.bytes <= EXTENT_BYTES
        {
            extent.last = record.last;
            extent.bytes += record.bytes;
        } else {
            self.extents.push(record);
            self.cut = false;
        }
    }

    /// Forgets all entries from `first` on.
    fn truncate(&mut self, first: Index) {
        while self.extents.pop_if(|extent| extent.first >= first).is_some() {
            self.cut = false;
        }
        match self.extents.last_mut() {
            Some(extent) if extent.last >= first => {
                extent.last = first - 1;
                self.cut = true;
            }
            Some(_) => {}
            None => self.base = self.base.min(first - 1),
        }
    }

    /// The extents that hold the entries `first..=last`, cut to them: as many as come to about `bytes`
    /// without the first one, of which perhaps only the end is wanted. They belong to one state of the log, whatever is appended later.
    pub fn find(&self, first: Index, last: Index, bytes: u64) -> Vec<Extent> {
        let at = self.extents.partition_point(|extent| extent.last < first);
        let (mut found, mut sum, mut next) = (Vec::new(), 0_u64, first);
        for extent in &self.extents[at..] {
            if next > last || extent.first > next || (sum >= bytes && !found.is_empty()) {
                break;
            }
            if !found.is_empty() {
                sum += extent.bytes;
            }
            found.push(Extent { first: next, last: last.min(extent.last), ..*extent });
            next = extent.last + 1;
        }
        found
    }

    /// From where on the records add up to about `bytes`, counted from the end.
    pub fn tail(&self, bytes: u64) -> Option<Index> {
        let mut sum = 0;
        let enough = |extent: &&Extent| {
            sum += extent.bytes;
            sum >= bytes
        };
        let first = self.extents.first();
        self.extents.iter().rev().find(enough).or(first).map(|extent| extent.first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(first: Index, last: Index, offset: u64, bytes: u64) -> Extent {
        Extent { first, last, segment: 1, offset, bytes }
    }

    #[test]
    fn neighbours_are_taken_together_up_to_a_limit() {
        let mut index = LogIndex::default();
        index.add(record(1, 2, 128, 100));
        index.add(record(3, 3, 228, 100));
        index.add(record(4, 4, 328, EXTENT_BYTES));
        assert_eq!(index.find(2, 3, 1), [record(2, 3, 128, 200)]);
        let second = record(4, 4, 328, EXTENT_BYTES);
        assert_eq!(index.find(4, 9, 1), [second]);
        assert_eq!(index.find(3, 9, 1), [record(3, 3, 128, 200), second]);
        assert_eq!(index.find(3, 9, 0), [record(3, 3, 128, 200)]);
        assert_eq!(index.find(5, 9, u64::MAX), []);
        assert_eq!(index.find(0, 9, u64::MAX), []);
    }

    #[test]
    fn a_superseding_record_never_joins_what_it_supersedes() {
        let mut index = LogIndex::default();
        index.add(record(1, 4, 128, 100));
        index.add(record(3, 5, 228, 100));
        assert_eq!(index.find(1, 9, 999), [record(1, 2, 128, 100), record(3, 5, 228, 100)]);
        index.add(record(6, 6, 328, 8));
        assert_eq!(index.find(6, 6, 999), [record(6, 6, 228, 108)]);
        index.add(record(1, 1, 336, 8));
        assert_eq!(index.last(), 1);
    }

    #[test]
    fn what_stood_in_purged_segments_is_not_there() {
        let mut index = LogIndex::behind(0, 1);
        index.add(record(1, 9, 128, 100));
        index.add(Extent { segment: 2, ..record(5, 7, 128, 100) });
        index.add(Extent { segment: 4, ..record(8, 8, 128, 100) });
        assert_eq!([1, 2, 3, 4, 5].map(|segment| index.last_before(segment)), [0, 4, 7, 7, 8]);
        index.purge(3);
        assert_eq!((index.last_before(4), index.last()), (7, 8));
        assert!(index.is_gone(2) && !index.is_gone(3));
        assert_eq!(index.find(7, 8, 999), []);
        assert_eq!(index.find(8, 8, 999).len(), 1);
        index.purge(5);
        assert_eq!(index.last(), 8);
        index.add(Extent { segment: 5, ..record(9, 9, 128, 100) });
        assert_eq!(index.last(), 9);
    }

    #[test]
    fn the_tail_begins_where_enough_bytes_follow() {
        let mut index = LogIndex::default();
        assert_eq!(index.tail(1), None);
        index.add(record(1, 10, 128, EXTENT_BYTES));
        index.add(record(11, 20, 128 + EXTENT_BYTES, EXTENT_BYTES));
        assert_eq!(index.tail(1), Some(11));
        assert_eq!(index.tail(EXTENT_BYTES + 1), Some(1));
        assert_eq!(index.tail(u64::MAX), Some(1));
    }
}
