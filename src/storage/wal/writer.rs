//! Appending to the log.

use std::fs::File;
use std::mem;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::entries;
use super::format::{
    Owner, RECORD_HEADER, RecordHeader, SEGMENT_HEADER, SegmentHeader, record_size, seal,
};
use super::index::{Extent, LogIndex};
use super::spare::{self, Spares};
use super::{WalError, WalOptions, segment_path};
use crate::raft::{Entry, Index, Payload, Term};
use crate::storage::files;

/// A record is closed when its payload reaches this many bytes: a batch that is larger than this
/// gains nothing from one sync, and readers take a record as a whole.
const RECORD_BYTES_MAX: usize = 1 << 20;
/// A segment under this name is not part of the log yet.
const TEMPORARY: &str = "segment.tmp";

/// What a [`WalWriter::sync`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Synced {
    /// Records written: one, more after a very large batch, none when nothing was appended.
    pub records: u64,
    /// Entries in them.
    pub entries: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Time spent in fdatasync.
    pub fsync: Duration,
}

/// The one that writes the log. Not shared: it belongs to the log thread.
pub struct WalWriter {
    dir: PathBuf,
    owner: Owner,
    options: WalOptions,
    segment: Active,
    pending: Pending,
    /// The highest commit index that was told; written with each record.
    commit: Index,
    done: Synced,
    failed: bool,
    index: Arc<Mutex<LogIndex>>,
    spares: Spares,
}

/// The segment that is being filled.
pub(super) struct Active {
    pub path: PathBuf,
    pub file: File,
    pub header: SegmentHeader,
    /// Where the next record goes; everything below is durable.
    pub offset: u64,
    /// Chain value of the last record.
    pub chain: u32,
}

/// The record that is being gathered.
#[derive(Default)]
struct Pending {
    /// Room for the header, then the entries.
    record: Vec<u8>,
    entries: u32,
    first: Index,
    first_term: Term,
    last_term: Term,
    has_configuration: bool,
}

impl WalWriter {
    pub(super) fn new(
        dir: &Path,
        owner: Owner,
        options: WalOptions,
        segment: Active,
        commit: Index,
        index: LogIndex,
    ) -> Result<Self, WalError> {
        Ok(Self {
            dir: dir.to_owned(),
            owner,
            options,
            segment,
            pending: Pending::default(),
            commit,
            done: Synced::default(),
            failed: false,
            index: Arc::new(Mutex::new(index)),
            spares: Spares::start(dir, options.segment_bytes)?,
        })
    }

    pub(super) fn index(&self) -> Arc<Mutex<LogIndex>> {
        Arc::clone(&self.index)
    }

    /// Index of the last entry that was appended.
    #[must_use]
    pub fn last_index(&self) -> Index {
        match self.pending.entries {
            0 => self.index.lock().last(),
            entries => self.pending.first + Index::from(entries) - 1,
        }
    }

    /// Takes entries and a commit index that is known to go with the next sync. Entries from the first
    /// index on that the log held are superseded.
    ///
    /// # Errors
    /// A large batch is written on the way, and that may fail; the node must stop then.
    ///
    /// # Panics
    /// When the entries do not follow one another, or leave a gap behind the log.
    pub fn append(&mut self, entries: &[Entry], commit: Index) -> Result<(), WalError> {
        for entry in entries {
            let due = self.last_index() + 1;
            assert!((1..=due).contains(&entry.index), "entry {} after {}", entry.index, due - 1);
            if entry.index != due {
                self.flush()?;
            }
            self.pending.add(entry);
            let limit = (self.options.segment_bytes / 4).min(RECORD_BYTES_MAX as u64);
            if self.pending.record.len() as u64 >= limit {
                self.flush()?;
            }
        }
        // Not before: a record that was closed on the way may hold what these entries supersede.
        self.commit = self.commit.max(commit);
        Ok(())
    }

    /// Makes all that was appended durable, and visible to readers.
    ///
    /// # Errors
    /// When the disk fails or is full. What it holds is unknown then, so nothing more is ever written.
    pub fn sync(&mut self) -> Result<Synced, WalError> {
        self.flush()?;
        Ok(mem::take(&mut self.done))
    }

    /// Writes the pending record, if there is one.
    fn flush(&mut self) -> Result<(), WalError> {
        if self.failed {
            return Err(WalError::Failed);
        }
        if self.pending.entries == 0 {
            return Ok(());
        }
        // Until it is done: whichever way this is left by an error, it stays.
        self.failed = true;
        let size = record_size(self.pending.record.len() - RECORD_HEADER) as u64;
        if size > self.segment.header.size - self.segment.offset {
            self.begin_segment(size)?;
        }
        let header = self.pending.header(&self.segment, self.commit);
        let (segment, offset) = (self.segment.header.number, self.segment.offset);
        self.segment.append(&header, &mut self.pending.record)?;
        self.done.fsync += self.segment.sync()?;
        self.done.records += 1;
        self.done.entries += u64::from(header.entries);
        self.done.bytes += size;
        let (first, last) = (header.first, header.last());
        self.index.lock().add(Extent { first, last, segment, offset, bytes: size });
        self.pending.clear();
        self.failed = false;
        Ok(())
    }

    /// Goes on in a new segment with room for a record of `needed` bytes. All records of the old one
    /// are durable, as each is synced before the next is written.
    fn begin_segment(&mut self, needed: u64) -> Result<(), WalError> {
        let old = &self.segment;
        let header = SegmentHeader {
            owner: self.owner,
            group: 0,
            salt: draw_salt(),
            number: old.header.number + 1,
            replaces: 0,
            first: self.pending.first,
            size: self.options.segment_bytes.max(needed + SEGMENT_HEADER as u64),
            previous: old.chain,
        };
        let temporary = self.dir.join(TEMPORARY);
        if header.size == self.options.segment_bytes {
            self.spares.take(&temporary)?;
        } else {
            spare::fill(&temporary, header.size).map_err(WalError::io("prepare", &temporary))?;
        }
        let mut segment = Active::create(&self.dir, header)?;
        segment.publish(&self.dir)?;
        self.segment = segment;
        Ok(())
    }
}

impl Active {
    /// Writes the header of a segment into the prepared file; the log does not hold it yet.
    pub fn create(dir: &Path, header: SegmentHeader) -> Result<Self, WalError> {
        let path = dir.join(TEMPORARY);
        let file = File::options().read(true).write(true).open(&path);
        let file = file.map_err(WalError::io("open", &path))?;
        file.write_all_at(&header.encode(), 0).map_err(WalError::io("write", &path))?;
        let (offset, chain) = (SEGMENT_HEADER as u64, header.chain());
        Ok(Self { path, file, header, offset, chain })
    }

    /// Makes the segment durable under its own name: from now on it is part of the log.
    pub fn publish(&mut self, dir: &Path) -> Result<(), WalError> {
        let path = segment_path(dir, self.header.number);
        self.file.sync_all().map_err(WalError::io("sync", &self.path))?;
        std::fs::rename(&self.path, &path).map_err(WalError::io("rename", &self.path))?;
        files::sync_dir(dir).map_err(WalError::io("sync", dir))?;
        self.path = path;
        Ok(())
    }

    /// Seals a record (room for the header, then the payload) and writes it, without a sync.
    pub fn append(&mut self, header: &RecordHeader, record: &mut Vec<u8>) -> Result<(), WalError> {
        let chain = seal(record, header, self.header.salt);
        self.file.write_all_at(record, self.offset).map_err(WalError::io("write", &self.path))?;
        self.chain = chain;
        self.offset += record.len() as u64;
        Ok(())
    }

    fn sync(&self) -> Result<Duration, WalError> {
        let start = Instant::now();
        self.file.sync_data().map_err(WalError::io("sync", &self.path))?;
        Ok(start.elapsed())
    }
}

impl Pending {
    fn add(&mut self, entry: &Entry) {
        if self.entries == 0 {
            self.record.resize(RECORD_HEADER, 0);
            self.first = entry.index;
            self.first_term = entry.term;
        }
        entries::encode(entry, &mut self.record);
        self.entries += 1;
        self.last_term = entry.term;
        self.has_configuration |= matches!(entry.payload, Payload::Configuration(_));
    }

    fn header(&self, segment: &Active, commit: Index) -> RecordHeader {
        RecordHeader {
            length: u32::try_from(self.record.len() - RECORD_HEADER)
                .expect("a record is closed long before 4 GiB"),
            has_configuration: self.has_configuration,
            has_several_terms: self.first_term != self.last_term,
            entries: self.entries,
            first: self.first,
            term: self.last_term,
            durable: segment.offset,
            commit,
            previous: segment.chain,
        }
    }

    fn clear(&mut self) {
        let mut record = mem::take(&mut self.record);
        record.clear();
        *self = Self { record, ..Self::default() };
    }
}

/// A salt: random, never 0.
pub(super) fn draw_salt() -> u32 {
    u32::from_le_bytes(crate::ids::random()).max(1)
}

/// Where a segment is prepared.
pub(super) fn temporary_path(dir: &Path) -> PathBuf {
    dir.join(TEMPORARY)
}
