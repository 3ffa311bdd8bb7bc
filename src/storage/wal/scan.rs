//! Reading a segment from its beginning, and judging what stands where it ends.
//!
//! A log may end in the middle of a record: the power went while it was written, so it was never
//! acknowledged and is cut away. A log may also be *damaged*: then a record that was acknowledged
//! cannot be read, and a node that cut it would vote and answer as if it had never had it. Telling
//! the two apart is what [`Scanner::end`] is for:
//!
//! - all zeros: the log ends here;
//! - a valid record further on knew this place to be durable: damage;
//! - the record is whole up to the border of a sector and all zeros from there on: torn;
//! - anything else may be either, and is treated as damage.
//!
//! The rules are pure: they read through [`ReadAt`], which a slice implements as well as a file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::format::{RECORD_HEADER, RecordHeader, SECTOR, SEGMENT_HEADER, TRAILER, verify};

/// How much is read at a time, in bytes.
const WINDOW: u64 = 256 << 10;

/// Bytes that can be read at any place.
pub trait ReadAt {
    /// Fills `bytes` from `offset` on.
    ///
    /// # Errors
    /// When there are not that many bytes there, or they cannot be read.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;
}

impl ReadAt for File {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_exact_at(bytes, offset)
    }
}

impl ReadAt for [u8] {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let found = usize::try_from(offset).ok().and_then(|at| self.get(at..)?.get(..bytes.len()));
        bytes.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// What stands where the records end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Nothing.
    Clean,
    /// The beginning of a record that was never finished, and so never acknowledged.
    Torn,
    /// A damaged record: the valid one at offset `later` says that it was durable.
    Damaged {
        /// Where the later record stands.
        later: u64,
    },
    /// Something that may be torn or damaged.
    Suspect,
}

/// Walks through the records of one segment.
pub struct Scanner<'a, R: ?Sized> {
    source: &'a R,
    size: u64,
    salt: u32,
    chain: u32,
    offset: u64,
    window: Vec<u8>,
    window_at: u64,
}

/// A record that was found whole.
pub struct Record<'a> {
    /// Its header.
    pub header: RecordHeader,
    /// Its entries.
    pub payload: &'a [u8],
    /// Where it begins.
    pub offset: u64,
}

impl<'a, R: ReadAt + ?Sized> Scanner<'a, R> {
    /// A scanner over a segment of `size` bytes, whose records carry `salt` and continue `chain`.
    pub fn new(source: &'a R, size: u64, salt: u32, chain: u32) -> Self {
        let offset = SEGMENT_HEADER as u64;
        Self { source, size, salt, chain, offset, window: Vec::new(), window_at: 0 }
    }

    /// Where the next record would begin.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The chain value so far.
    pub fn chain(&self) -> u32 {
        self.chain
    }

    /// The next record, if a whole and undamaged one follows.
    ///
    /// # Errors
    /// When the segment cannot be read.
    pub fn next_record(&mut self) -> io::Result<Option<Record<'_>>> {
        let offset = self.offset;
        let Some((header, chain)) = self.record_at(offset)? else { return Ok(None) };
        if header.previous != self.chain || header.durable > offset {
            return Ok(None);
        }
        self.chain = chain;
        self.offset += header.size();
        let at = self.in_window(offset) + RECORD_HEADER;
        Ok(Some(Record { header, payload: &self.window[at..at + header.length as usize], offset }))
    }

    /// Judges what stands where [`Scanner::next_record`] found no record.
    ///
    /// # Errors
    /// When the segment cannot be read.
    pub fn end(&mut self) -> io::Result<End> {
        let Some(last) = self.last_used()? else { return Ok(End::Clean) };
        if let Some((later, durable)) = self.later_record(last)? {
            let known = durable > self.offset;
            return Ok(if known { End::Damaged { later } } else { End::Suspect });
        }
        Ok(if last < self.torn_from()? { End::Torn } else { End::Suspect })
    }

    /// From where on all must be zero for the record here to be torn; 0 when it cannot be.
    fn torn_from(&mut self) -> io::Result<u64> {
        let header_end = self.offset + RECORD_HEADER as u64;
        let next_sector = (self.offset / SECTOR + 1) * SECTOR;
        if let Some(header) = self.header_at(self.offset)? {
            // The trailer is not zero, so a whole record leaves something in its last sector.
            let last_byte = self.offset + header.size() - 1;
            let last_sector = last_byte / SECTOR * SECTOR;
            let continues = header.previous == self.chain && last_byte < self.size;
            return Ok(if continues && last_sector > self.offset { last_sector } else { 0 });
        }
        // Without its header a record's end is not known; but the header itself was not finished.
        Ok(if header_end > next_sector { next_sector } else { 0 })
    }

    /// Offset of the last byte from here on that is not zero.
    fn last_used(&mut self) -> io::Result<Option<u64>> {
        let (mut last, mut at) = (None, self.offset);
        while at < self.size {
            let bytes = self.view(at, WINDOW.min(self.size - at))?;
            if let Some(found) = bytes.iter().rposition(|byte| *byte != 0) {
                last = Some(at + found as u64);
            }
            at += bytes.len() as u64;
        }
        Ok(last)
    }

    /// The first whole record behind the place where the scan ended: (offset, durable offset).
    fn later_record(&mut self, last_used: u64) -> io::Result<Option<(u64, u64)>> {
        let mut at = self.offset + 8;
        let salt = self.salt.to_le_bytes();
        while at < last_used {
            let bytes = self.view(at, WINDOW.min(self.size - at))?;
            let Some(found) = bytes.chunks_exact(8).position(|word| word[..4] == salt) else {
                at += bytes.len() as u64;
                continue;
            };
            at += 8 * found as u64;
            if let Some((header, _)) = self.record_at(at)? {
                return Ok(Some((at, header.durable)));
            }
            at += 8;
        }
        Ok(None)
    }

    /// The record at an offset with its chain value, when it is whole and fits into the segment.
    fn record_at(&mut self, offset: u64) -> io::Result<Option<(RecordHeader, u32)>> {
        let Some(header) = self.header_at(offset)? else { return Ok(None) };
        if header.size() > self.size - offset {
            return Ok(None);
        }
        let salt = self.salt;
        let record = self.view(offset, header.size())?;
        Ok(verify(record, &header, salt).map(|chain| (header, chain)))
    }

    fn header_at(&mut self, offset: u64) -> io::Result<Option<RecordHeader>> {
        if self.size.saturating_sub(offset) < (RECORD_HEADER + TRAILER) as u64 {
            return Ok(None);
        }
        let salt = self.salt;
        let bytes = self.view(offset, RECORD_HEADER as u64)?;
        let header = bytes.first_chunk().expect("as many bytes were asked for");
        Ok(RecordHeader::decode(header, salt))
    }

    /// `length` bytes at `offset`, which the caller has checked to be within the segment.
    fn view(&mut self, offset: u64, length: u64) -> io::Result<&[u8]> {
        let end = self.window_at + self.window.len() as u64;
        if offset < self.window_at || offset + length > end {
            let wanted = length.max(WINDOW).min(self.size - offset);
            self.window.resize(usize::try_from(wanted).expect("a segment fits into memory"), 0);
            self.source.read_at(&mut self.window, offset)?;
            self.window_at = offset;
        }
        let at = self.in_window(offset);
        Ok(&self.window[at..at + usize::try_from(length).expect("a segment fits into memory")])
    }

    fn in_window(&self, offset: u64) -> usize {
        usize::try_from(offset - self.window_at).expect("the window fits into memory")
    }
}
