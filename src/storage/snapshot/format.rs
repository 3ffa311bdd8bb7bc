//! The bytes of a snapshot; see the module above for the picture.

use bytes::Bytes;
use crc32c::{crc32c, crc32c_append};

use super::{META_BYTES_MAX, ROW_BYTES_MAX, SnapshotHeader};
use crate::ids::Id128;

/// What every snapshot begins with.
pub const MAGIC: [u8; 8] = *b"BWLNSNAP";
/// The newest format that is known here.
pub const FORMAT: u32 = 1;
/// Bytes of the header before the meta.
pub const HEADER: usize = 60;
/// Bytes of a frame before its payload.
pub const FRAME: usize = 12;
/// Bytes of a row before its key.
pub const ROW: usize = 8;
/// Bytes of the payload of the end.
pub const END: usize = 40;
/// A frame of rows is full when its payload has this many bytes; one row may make it larger.
pub const CHUNK_BYTES: usize = 64 << 10;
/// Largest payload of a frame.
pub const PAYLOAD_MAX: usize = CHUNK_BYTES + ROW + ROW_BYTES_MAX;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Some rows.
    Rows = 1,
    /// The end.
    End = 2,
}

/// A frame's first bytes.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// What it holds.
    pub kind: Kind,
    /// Bytes of payload.
    pub length: usize,
    /// Of kind, length and payload, begun with the one before.
    pub crc: u32,
}

impl Frame {
    /// The frame around a payload that follows whatever ended in `previous`.
    pub fn around(kind: Kind, payload: &[u8], previous: u32) -> Self {
        let frame = Self { kind, length: payload.len(), crc: 0 };
        Self { crc: frame.check(payload, previous), ..frame }
    }

    /// What its checksum ought to be.
    pub fn check(&self, payload: &[u8], previous: u32) -> u32 {
        crc32c_append(crc32c_append(previous, &self.encode()[..8]), payload)
    }

    /// Kind, length, CRC.
    pub fn encode(&self) -> [u8; FRAME] {
        let length = u32::try_from(self.length).expect("the writer bounds its frames");
        let mut bytes = [0; FRAME];
        bytes[..4].copy_from_slice(&(self.kind as u32).to_le_bytes());
        bytes[4..8].copy_from_slice(&length.to_le_bytes());
        bytes[8..].copy_from_slice(&self.crc.to_le_bytes());
        bytes
    }

    /// None when these bytes begin no frame.
    pub fn decode(bytes: &[u8; FRAME]) -> Option<Self> {
        let kind = match number(bytes, 0) {
            1 => Kind::Rows,
            2 => Kind::End,
            _ => return None,
        };
        let (length, crc) = (number(bytes, 4) as usize, number(bytes, 8));
        (length <= PAYLOAD_MAX).then_some(Self { kind, length, crc })
    }
}

/// The header with its checksum, which is also where the chain of those begins.
pub fn encode_header(header: &SnapshotHeader) -> (Vec<u8>, u32) {
    let length = u32::try_from(header.meta.len()).expect("the writer bounds the meta");
    let mut bytes = Vec::with_capacity(HEADER + header.meta.len() + 4);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&FORMAT.to_le_bytes());
    bytes.extend_from_slice(&header.epoch.to_le_bytes());
    bytes.extend_from_slice(&header.cluster.0);
    bytes.extend_from_slice(&header.file.0);
    bytes.extend_from_slice(&header.applied.to_le_bytes());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&header.meta);
    let crc = crc32c(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    (bytes, crc)
}

/// The length of the meta that follows; none when it cannot be right.
pub fn meta_length(fixed: &[u8; HEADER]) -> Option<usize> {
    let length = number(fixed, 56) as usize;
    (length <= META_BYTES_MAX).then_some(length)
}

/// Reads what [`encode_header`] wrote, whose checksum was found right.
pub fn decode_header(fixed: &[u8; HEADER], meta: Bytes) -> SnapshotHeader {
    SnapshotHeader {
        epoch: number(fixed, 12),
        cluster: Id128(part(fixed, 16)),
        file: Id128(part(fixed, 32)),
        applied: u64::from_le_bytes(part(fixed, 48)),
        meta,
    }
}

/// The payload of the end.
pub fn encode_end(rows: u64, sha256: &[u8; 32]) -> [u8; END] {
    let mut bytes = [0; END];
    bytes[..8].copy_from_slice(&rows.to_le_bytes());
    bytes[8..].copy_from_slice(sha256);
    bytes
}

/// Takes the first row off a payload; none when it does not hold a whole one.
pub fn split_row(payload: &mut Bytes) -> Option<(Bytes, Bytes)> {
    if payload.len() < ROW {
        return None;
    }
    let (key, value) = (number(payload, 0) as usize, number(payload, 4) as usize);
    let end = ROW.checked_add(key)?.checked_add(value)?;
    if payload.len() < end {
        return None;
    }
    let mut row = payload.split_to(end).split_off(ROW);
    let value = row.split_off(key);
    Some((row, value))
}

/// A number of 32 bits at an offset that the caller has checked.
pub fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(part(bytes, at))
}

/// `N` bytes at an offset that the caller has checked.
pub fn part<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    *bytes[at..].first_chunk().expect("the caller checked the length")
}
