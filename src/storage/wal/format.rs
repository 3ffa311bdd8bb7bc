//! The bytes of the log: segment headers and records.
//!
//! ```text
//! segment   = header (128 bytes), records, zeros up to the size of the file
//! header    = magic 8, format u32, group u32, cluster 16, epoch u32, salt u32, node u64, number u64,
//!             replaces u64, first index u64, size u64, previous chain u32, zeros, crc u32 at 124
//! record    = header (56 bytes), payload, zeros up to a multiple of 8, trailer (8 bytes)
//!   header  = salt u32, payload length u32, kind u8, version u8, flags u16, entries u32, index u64,
//!             term u64, durable u64, commit u64, previous chain u32, header crc u32
//!   trailer = salt u32, chain u32
//! ```
//!
//! All numbers are little-endian. A record's chain value is the CRC32C of its header, payload and
//! padding, continued from the chain value of the record before, so no record can be lost, repeated or
//! moved unseen. The header has a checksum of its own, so that a length can be believed; the trailer
//! is never zero, so that a record whose end was not written is told from one that was damaged. The
//! salt is drawn per segment, is never zero and stands at both ends of a record: a page of zeros is
//! never a record, and neither are bytes of another segment.

use crc32c::crc32c_append;

use crate::ids::{ClusterId, Id128};
use crate::raft::{Index, NodeId, Term};

/// The newest format of a segment that is understood here.
pub const FORMAT: u32 = 1;
/// Bytes of a segment's header.
pub const SEGMENT_HEADER: usize = 128;
/// Bytes of a record's header.
pub const RECORD_HEADER: usize = 56;
/// Bytes of a record's trailer.
pub const TRAILER: usize = 8;
/// What a disk writes in one piece, at least; the unit that torn writes are recognised by.
pub const SECTOR: u64 = 512;

const MAGIC: [u8; 8] = *b"BWLNLOG\n";
const KIND_ENTRIES: u8 = 1;
const VERSION: u8 = 1;

/// Whose log it is; a segment of anybody else is never read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The cluster.
    pub cluster: ClusterId,
    /// Its recovery epoch; older segments may carry a lower one.
    pub epoch: u32,
    /// The node.
    pub node: NodeId,
}

/// The first bytes of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Whose it is.
    pub owner: Owner,
    /// Which of several logs in one directory; always 0 today.
    pub group: u32,
    /// Drawn at random, never 0: seeds the checksums and marks each record as this segment's.
    pub salt: u32,
    /// Position in the sequence of segments, from 1.
    pub number: u64,
    /// The segment that this one was copied from and stands for, or 0.
    pub replaces: u64,
    /// The index that was due when the segment was begun.
    pub first: Index,
    /// Bytes of the file.
    pub size: u64,
    /// Chain value at the end of the segment before; 0 at the beginning of the log.
    pub previous: u32,
}

/// Why bytes are not the header of a segment of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// Not a segment at all, or a damaged one.
    Damaged,
    /// Written by a newer program, in this format.
    Newer(u32),
    /// Another node's, or another cluster's.
    Foreign,
}

impl SegmentHeader {
    /// The header's bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; SEGMENT_HEADER] {
        let mut out = Vec::with_capacity(SEGMENT_HEADER);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&FORMAT.to_le_bytes());
        out.extend_from_slice(&self.group.to_le_bytes());
        out.extend_from_slice(&self.owner.cluster.0);
        out.extend_from_slice(&self.owner.epoch.to_le_bytes());
        out.extend_from_slice(&self.salt.to_le_bytes());
        for number in [self.owner.node, self.number, self.replaces, self.first, self.size] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.previous.to_le_bytes());
        out.resize(SEGMENT_HEADER - 4, 0);
        out.extend_from_slice(&crc32c_append(0, &out).to_le_bytes());
        out.try_into().expect("it was filled up to its length")
    }

    /// Reads a header and checks that it is `owner`'s.
    ///
    /// # Errors
    /// See [`HeaderError`].
    pub fn decode(bytes: &[u8; SEGMENT_HEADER], owner: &Owner) -> Result<Self, HeaderError> {
        if bytes[..8] != MAGIC {
            return Err(HeaderError::Damaged);
        }
        let format = u32_at(bytes, 8);
        if format > FORMAT {
            return Err(HeaderError::Newer(format));
        }
        let crc = crc32c_append(0, &bytes[..SEGMENT_HEADER - 4]);
        if crc != u32_at(bytes, SEGMENT_HEADER - 4) {
            return Err(HeaderError::Damaged);
        }
        let cluster: [u8; 16] = *bytes[16..].first_chunk().expect("the array is longer");
        let written_by =
            Owner { cluster: Id128(cluster), epoch: u32_at(bytes, 32), node: u64_at(bytes, 40) };
        let header = Self {
            owner: written_by,
            group: u32_at(bytes, 12),
            salt: u32_at(bytes, 36),
            number: u64_at(bytes, 48),
            replaces: u64_at(bytes, 56),
            first: u64_at(bytes, 64),
            size: u64_at(bytes, 72),
            previous: u32_at(bytes, 80),
        };
        let ours = written_by.cluster == owner.cluster
            && written_by.node == owner.node
            && written_by.epoch <= owner.epoch
            && header.group == 0;
        match (ours, header.salt) {
            (false, _) => Err(HeaderError::Foreign),
            (true, 0) => Err(HeaderError::Damaged),
            (true, _) => Ok(header),
        }
    }

    /// The lowest number of a segment that this one stands for: its own, if for no other.
    #[must_use]
    pub fn stands_from(&self) -> u64 {
        if self.replaces == 0 { self.number } else { self.replaces }
    }

    /// What the chain of this segment starts from.
    #[must_use]
    pub fn chain(&self) -> u32 {
        crc32c_append(self.salt, &self.previous.to_le_bytes())
    }
}

/// What a record says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    /// Bytes of the payload.
    pub length: u32,
    /// Whether a configuration is among the entries.
    pub has_configuration: bool,
    /// Whether the entries are of more than one term.
    pub has_several_terms: bool,
    /// How many entries; at least one.
    pub entries: u32,
    /// Index of the first.
    pub first: Index,
    /// Term of the last.
    pub term: Term,
    /// Everything in this segment below this offset was durable when the record was written.
    pub durable: u64,
    /// A commit index that was known then.
    pub commit: Index,
    /// Chain value of the record before.
    pub previous: u32,
}

impl RecordHeader {
    /// Index of the last entry.
    #[must_use]
    pub fn last(&self) -> Index {
        self.first + u64::from(self.entries) - 1
    }

    /// Bytes of the whole record.
    #[must_use]
    pub fn size(&self) -> u64 {
        record_size(self.length as usize) as u64
    }

    /// The header's bytes.
    #[must_use]
    pub fn encode(&self, salt: u32) -> [u8; RECORD_HEADER] {
        let flags = u16::from(self.has_configuration) | u16::from(self.has_several_terms) << 1;
        let mut out = Vec::with_capacity(RECORD_HEADER);
        out.extend_from_slice(&salt.to_le_bytes());
        out.extend_from_slice(&self.length.to_le_bytes());
        out.extend_from_slice(&[KIND_ENTRIES, VERSION]);
        out.extend_from_slice(&flags.to_le_bytes());
        out.extend_from_slice(&self.entries.to_le_bytes());
        for number in [self.first, self.term, self.durable, self.commit] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.previous.to_le_bytes());
        out.extend_from_slice(&crc32c_append(salt, &out).to_le_bytes());
        out.try_into().expect("the fields add up to its length")
    }

    /// Reads a header; none when it is not an undamaged one of the segment with this salt.
    #[must_use]
    pub fn decode(bytes: &[u8; RECORD_HEADER], salt: u32) -> Option<Self> {
        let crc = crc32c_append(salt, &bytes[..RECORD_HEADER - 4]);
        if u32_at(bytes, 0) != salt || u32_at(bytes, RECORD_HEADER - 4) != crc {
            return None;
        }
        let flags = u16::from_le_bytes([bytes[10], bytes[11]]);
        let header = Self {
            length: u32_at(bytes, 4),
            has_configuration: flags & 1 != 0,
            has_several_terms: flags & 2 != 0,
            entries: u32_at(bytes, 12),
            first: u64_at(bytes, 16),
            term: u64_at(bytes, 24),
            durable: u64_at(bytes, 32),
            commit: u64_at(bytes, 40),
            previous: u32_at(bytes, 48),
        };
        let known = bytes[8] == KIND_ENTRIES && bytes[9] == VERSION && flags < 4;
        let sane = header.entries > 0 && header.first.checked_add(header.entries.into()).is_some();
        (known && sane).then_some(header)
    }
}

/// Bytes of a record with that much payload.
#[must_use]
pub fn record_size(payload: usize) -> usize {
    RECORD_HEADER + payload.next_multiple_of(8) + TRAILER
}

/// Makes a record of `record`, which holds room for the header and then the payload, and returns its
/// chain value.
///
/// # Panics
/// When the payload is 4 GiB or more; the limits on entries are far below.
pub fn seal(record: &mut Vec<u8>, header: &RecordHeader, salt: u32) -> u32 {
    assert_eq!(record.len(), RECORD_HEADER + header.length as usize, "length of the payload");
    record[..RECORD_HEADER].copy_from_slice(&header.encode(salt));
    record.resize(record.len().next_multiple_of(8), 0);
    let chain = crc32c_append(header.previous, record);
    record.extend_from_slice(&salt.to_le_bytes());
    record.extend_from_slice(&chain.to_le_bytes());
    chain
}

/// The chain value of a whole record, when its trailer agrees.
///
/// # Panics
/// When `record` is not as long as its header says.
#[must_use]
pub fn verify(record: &[u8], header: &RecordHeader, salt: u32) -> Option<u32> {
    assert_eq!(record.len() as u64, header.size(), "a whole record");
    let (body, trailer) = record.split_at(record.len() - TRAILER);
    let chain = crc32c_append(header.previous, body);
    (u32_at(trailer, 0) == salt && u32_at(trailer, 4) == chain).then_some(chain)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(*bytes[at..].first_chunk().expect("the layout is shorter than the bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().expect("the layout is shorter than the bytes"))
}
