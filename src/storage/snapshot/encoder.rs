//! The bytes of a snapshot, made row by row, wherever they go: to a file, or to somebody far away who
//! takes them slowly. Pure: what was made is taken out as it comes.

use sha2::{Digest, Sha256};

use super::format::{self, CHUNK_BYTES, Frame, Kind};
use super::{META_BYTES_MAX, ROW_BYTES_MAX, SnapshotHeader, SnapshotInfo};

/// Makes a snapshot of rows that come in the order of their keys. Holds what was not taken yet, and the
/// chunk in the making.
pub struct SnapshotEncoder {
    /// Whole frames that were not taken yet.
    made: Vec<u8>,
    chunk: Vec<u8>,
    last_key: Vec<u8>,
    crc: u32,
    sha: Sha256,
    rows: u64,
    bytes: u64,
}

impl SnapshotEncoder {
    /// Begins with the header.
    ///
    /// # Panics
    /// When the meta is larger than [`META_BYTES_MAX`].
    #[must_use]
    pub fn new(header: &SnapshotHeader) -> Self {
        assert!(header.meta.len() <= META_BYTES_MAX, "meta of {} bytes", header.meta.len());
        let (bytes, crc) = format::encode_header(header);
        let mut this = Self {
            made: Vec::new(),
            chunk: Vec::new(),
            last_key: Vec::new(),
            crc,
            sha: Sha256::new(),
            rows: 0,
            bytes: 0,
        };
        this.push(&bytes);
        this
    }

    /// Adds a row.
    ///
    /// # Panics
    /// When its key does not come after the one before, or it is larger than [`ROW_BYTES_MAX`].
    pub fn row(&mut self, key: &[u8], value: &[u8]) {
        assert!(key > &self.last_key[..], "rows come in the order of their keys");
        assert!(key.len() + value.len() <= ROW_BYTES_MAX, "row of {} bytes", value.len());
        self.last_key.clear();
        self.last_key.extend_from_slice(key);
        let length = |part: &[u8]| u32::try_from(part.len()).expect("a row is not that large");
        self.chunk.extend_from_slice(&length(key).to_le_bytes());
        self.chunk.extend_from_slice(&length(value).to_le_bytes());
        self.chunk.extend_from_slice(key);
        self.chunk.extend_from_slice(value);
        self.rows += 1;
        if self.chunk.len() >= CHUNK_BYTES {
            self.end_chunk();
        }
    }

    /// Bytes made so far, taken or not.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What was made since this was last asked: whole frames, or nothing.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.made)
    }

    /// Ends it; gives what was not taken, and what it turned out to be.
    #[must_use]
    pub fn finish(mut self) -> (Vec<u8>, SnapshotInfo) {
        self.end_chunk();
        let sha256: [u8; 32] = self.sha.clone().finalize().into();
        self.frame(Kind::End, &format::encode_end(self.rows, &sha256));
        (self.made, SnapshotInfo { rows: self.rows, bytes: self.bytes, sha256 })
    }

    fn end_chunk(&mut self) {
        if self.chunk.is_empty() {
            return;
        }
        let mut chunk = std::mem::take(&mut self.chunk);
        self.frame(Kind::Rows, &chunk);
        chunk.clear();
        self.chunk = chunk;
    }

    fn frame(&mut self, kind: Kind, payload: &[u8]) {
        let frame = Frame::around(kind, payload, self.crc);
        self.crc = frame.crc;
        self.push(&frame.encode());
        self.push(payload);
    }

    fn push(&mut self, bytes: &[u8]) {
        self.made.extend_from_slice(bytes);
        self.sha.update(bytes);
        self.bytes += bytes.len() as u64;
    }
}
