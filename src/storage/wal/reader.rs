//! Entries that have left memory, read back.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::entries;
use super::format::{
    HeaderError, Owner, RECORD_HEADER, RecordHeader, SEGMENT_HEADER, SegmentHeader, verify,
};
use super::index::{Extent, LogIndex};
use super::scan::ReadAt;
use super::{WalError, segment_path, weight};
use crate::raft::{Entry, Index};

/// Reads durable entries of the log, from any thread, while the writer appends.
///
/// Give each thread its own clone. Between two reads no segment is kept open: a purged one gives its
/// room back only when nobody has it open any more.
#[derive(Clone)]
pub struct WalReader {
    dir: PathBuf,
    owner: Owner,
    index: Arc<Mutex<LogIndex>>,
    open: Option<Arc<Segment>>,
}

/// A segment that is open for reading.
struct Segment {
    path: PathBuf,
    file: File,
    header: SegmentHeader,
}

impl WalReader {
    pub(super) fn new(dir: &Path, owner: Owner, index: Arc<Mutex<LogIndex>>) -> Self {
        Self { dir: dir.to_owned(), owner, index, open: None }
    }

    /// Index of the last durable entry; that of the log's beginning when it is empty.
    #[must_use]
    pub fn last_index(&self) -> Index {
        self.index.lock().last()
    }

    /// The entries `first..=last`, as many as weigh up to `bytes_max` and at least one.
    ///
    /// Fewer come back, or none, when the log does not hold them (any more): a tail that was asked for
    /// may have been superseded meanwhile, and a beginning purged.
    ///
    /// # Errors
    /// When a segment cannot be read or is damaged.
    pub fn read(
        &mut self,
        first: Index,
        last: Index,
        bytes_max: usize,
    ) -> Result<Vec<Entry>, WalError> {
        let extents = self.index.lock().find(first, last, bytes_max as u64);
        let (mut found, mut bytes) = (Vec::new(), 0);
        for extent in extents {
            let read = self.read_extent(&extent, bytes_max, &mut bytes, &mut found);
            match read {
                Ok(false) => {}
                Ok(true) => break,
                // What comes before it may be of another state of the log, and go as well.
                Err(_) if self.index.lock().is_gone(extent.segment) => {
                    found.clear();
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        self.open = None;
        Ok(found)
    }

    /// The newest entries, of about `bytes`.
    pub(super) fn read_tail(&mut self, bytes: u64) -> Result<Vec<Entry>, WalError> {
        let Some(first) = self.index.lock().tail(bytes) else { return Ok(Vec::new()) };
        let mut tail = self.read(first, Index::MAX, usize::MAX)?;
        let mut room = bytes;
        let fits = |entry: &&Entry| {
            let weight = weight(entry) as u64;
            let fits = weight <= room;
            room = room.saturating_sub(weight);
            fits
        };
        let keep = tail.iter().rev().take_while(fits).count().max(1).min(tail.len());
        Ok(tail.split_off(tail.len() - keep))
    }

    /// Adds the entries of an extent to `found`; true when `bytes_max` is reached.
    fn read_extent(
        &mut self,
        wanted: &Extent,
        bytes_max: usize,
        bytes: &mut usize,
        found: &mut Vec<Entry>,
    ) -> Result<bool, WalError> {
        let segment = self.segment(wanted.segment)?;
        let mut buffer =
            vec![0; usize::try_from(wanted.bytes).expect("an extent fits into memory")];
        segment
            .file
            .read_at(&mut buffer, wanted.offset)
            .map_err(WalError::io("read", &segment.path))?;
        let mut at = 0;
        while at < buffer.len() {
            let offset = wanted.offset + at as u64;
            let damaged = |what: &str| WalError::damaged(&segment.path, offset, what);
            let (header, record) = record_at(&buffer[at..], segment.header.salt)
                .ok_or_else(|| damaged("a record that was whole is not any more"))?;
            at += record.len();
            if header.last() < wanted.first {
                continue;
            }
            let payload = &record[RECORD_HEADER..][..header.length as usize];
            let entries = entries::decode(&header, payload).map_err(|why| damaged(why.0))?;
            for entry in entries {
                if (wanted.first..=wanted.last).contains(&entry.index) {
                    let weight = weight(&entry);
                    if *bytes > 0 && *bytes + weight > bytes_max {
                        return Ok(true);
                    }
                    *bytes += weight;
                    found.push(entry);
                }
            }
            if header.last() >= wanted.last {
                break;
            }
        }
        Ok(false)
    }

    fn segment(&mut self, number: u64) -> Result<Arc<Segment>, WalError> {
        if let Some(open) = &self.open
            && open.header.number == number
        {
            return Ok(Arc::clone(open));
        }
        let path = segment_path(&self.dir, number);
        let file = File::open(&path).map_err(WalError::io("open", &path))?;
        let header = read_header(&path, &file, &self.owner)?;
        let segment = Arc::new(Segment { path, file, header });
        self.open = Some(Arc::clone(&segment));
        Ok(segment)
    }
}

/// Reads and checks a segment's header.
pub(super) fn read_header(
    path: &Path,
    file: &File,
    owner: &Owner,
) -> Result<SegmentHeader, WalError> {
    let damaged = |what: &str| WalError::damaged(path, 0, what);
    let size = file.metadata().map_err(WalError::io("read", path))?.len();
    if size < SEGMENT_HEADER as u64 {
        return Err(damaged("too short"));
    }
    let mut bytes = [0; SEGMENT_HEADER];
    file.read_at(&mut bytes, 0).map_err(WalError::io("read", path))?;
    match SegmentHeader::decode(&bytes, owner) {
        Ok(header) if header.size != size => Err(damaged("the file has another size than it says")),
        Ok(header) => Ok(header),
        Err(HeaderError::Damaged) => Err(damaged("its header is not that of a segment")),
        Err(HeaderError::Newer(found)) => Err(WalError::Newer { path: path.to_owned(), found }),
        Err(HeaderError::Foreign) => Err(WalError::Foreign { path: path.to_owned() }),
    }
}

/// The record that `bytes` begin with.
fn record_at(bytes: &[u8], salt: u32) -> Option<(RecordHeader, &[u8])> {
    let header = RecordHeader::decode(bytes.first_chunk()?, salt)?;
    let record = bytes.get(..usize::try_from(header.size()).ok()?)?;
    verify(record, &header, salt)?;
    Some((header, record))
}
