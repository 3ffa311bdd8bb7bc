//! What was appended and is not written yet, as records to be.
//!
//! Entries gather here until a sync; that is one record as a rule. A large batch makes several, and so
//! does one whose entries supersede others of it. Nothing here touches the disk, so taking entries
//! never fails, and a record that finds no room stays until there is some.

use std::collections::VecDeque;
use std::mem;

use super::entries;
use super::format::{RECORD_HEADER, RecordHeader, record_size};
use crate::raft::{Entry, Index, Payload, Term};

/// A record is closed when its payload reaches this many bytes: a batch that is larger than this
/// gains nothing from one sync, and readers take a record as a whole.
const RECORD_BYTES_MAX: usize = 1 << 20;

/// A record that is being gathered.
#[derive(Default)]
pub struct Pending {
    /// Room for the header, then the entries.
    pub record: Vec<u8>,
    /// (first index, term) of each run of equal terms.
    pub runs: Vec<(Index, Term)>,
    entries: u32,
    first: Index,
    last_term: Term,
    has_configuration: bool,
    /// What was known to be committed when the record was closed.
    commit: Index,
}

/// All records that are to be written, oldest first.
pub struct Gathered {
    closed: VecDeque<Pending>,
    open: Pending,
    /// The highest commit index that was told.
    commit: Index,
    record_bytes_max: usize,
}

impl Pending {
    /// Index of the first entry.
    pub fn first(&self) -> Index {
        self.first
    }

    /// Index of the last entry; one below the first when there is none.
    fn last(&self) -> Index {
        self.first + Index::from(self.entries) - 1
    }

    /// Bytes of the record on disk.
    pub fn size(&self) -> u64 {
        record_size(self.record.len() - RECORD_HEADER) as u64
    }

    /// The header of the record at an offset behind the chain value `previous`.
    pub fn header(&self, offset: u64, previous: u32) -> RecordHeader {
        RecordHeader {
            length: u32::try_from(self.record.len() - RECORD_HEADER)
                .expect("a record is closed long before 4 GiB"),
            has_configuration: self.has_configuration,
            has_several_terms: self.runs.len() > 1,
            entries: self.entries,
            first: self.first,
            term: self.last_term,
            durable: offset,
            commit: self.commit,
            previous,
        }
    }

    fn add(&mut self, entry: &Entry) {
        if self.entries == 0 {
            self.record.resize(RECORD_HEADER, 0);
            self.first = entry.index;
        }
        if self.entries == 0 || self.last_term != entry.term {
            self.runs.push((entry.index, entry.term));
        }
        entries::encode(entry, &mut self.record);
        self.entries += 1;
        self.last_term = entry.term;
        self.has_configuration |= matches!(entry.payload, Payload::Configuration(_));
    }
}

impl Gathered {
    /// Nothing yet; `commit` is known already.
    pub fn new(commit: Index, segment_bytes: u64) -> Self {
        let quarter = usize::try_from(segment_bytes / 4).unwrap_or(usize::MAX);
        let record_bytes_max = quarter.min(RECORD_BYTES_MAX);
        Self { closed: VecDeque::new(), open: Pending::default(), commit, record_bytes_max }
    }

    /// Index of the last entry; none when there are no entries.
    pub fn last(&self) -> Option<Index> {
        let open = (self.open.entries > 0).then_some(&self.open);
        open.or(self.closed.back()).map(Pending::last)
    }

    /// Bytes of all records.
    pub fn bytes(&self) -> u64 {
        let closed: usize = self.closed.iter().map(|pending| pending.record.len()).sum();
        (closed + self.open.record.len()) as u64
    }

    /// Takes an entry whose index is `due`, or below: then it supersedes.
    pub fn add(&mut self, entry: &Entry, due: Index) {
        if entry.index != due {
            self.close();
        }
        self.open.add(entry);
        if self.open.record.len() >= self.record_bytes_max {
            self.close();
        }
    }

    /// Learns a commit index. Not before the entries it came with are added: a record that was closed
    /// on the way may hold what these entries supersede.
    pub fn learn_commit(&mut self, commit: Index) {
        self.commit = self.commit.max(commit);
    }

    /// Closes the open record: what is added from now on is not part of it.
    pub fn close(&mut self) {
        if self.open.entries > 0 {
            self.open.commit = self.commit;
            self.closed.push_back(mem::take(&mut self.open));
        }
    }

    /// The next closed record.
    pub fn front(&mut self) -> Option<&mut Pending> {
        self.closed.front_mut()
    }

    /// The next closed record was written; its buffer is used again.
    pub fn pop(&mut self) {
        let written = self.closed.pop_front();
        if let Some(Pending { mut record, .. }) = written
            && self.open.entries == 0
        {
            record.clear();
            self.open.record = record;
        }
    }

    /// Drops everything.
    pub fn clear(&mut self) {
        self.closed.clear();
        self.open = Pending::default();
    }
}
