//! A whole state as one flat file: what goes to another node, and what a backup is.
//!
//! Header, chunks of rows in the order of their keys, end. It is written from one consistent source
//! and read again as a stream; nothing but a chunk is ever held in memory. Each frame has a CRC32C
//! that begins with the one before, so that a damaged, missing or foreign chunk is found where it is;
//! the end has the number of rows and the SHA-256 of all before it. The file has a random name of its
//! own, so that a receiver that lost its connection can go on in the same file at any offset.
//!
//! ```text
//! header   magic, format, recovery epoch, cluster, file id, applied index, length of meta, meta, CRC
//! frame    kind, length of payload, CRC, payload
//!   rows   payload: (length of key, length of value, key, value) ...
//!   end    payload: number of rows, SHA-256
//! ```
//!
//! Numbers are little-endian; lengths have 32 bits. Nothing follows the end.

mod encoder;
mod format;
mod reader;
mod writer;

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::ids::{ClusterId, Id128};

pub use encoder::SnapshotEncoder;
pub use reader::{SnapshotReader, verify};
pub use writer::SnapshotWriter;

/// Largest row, key and value together, in bytes.
pub const ROW_BYTES_MAX: usize = 16 << 20;
/// Largest meta, in bytes.
pub const META_BYTES_MAX: usize = 64 << 20;

/// What a snapshot says about itself before its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotHeader {
    /// Whose state it is.
    pub cluster: ClusterId,
    /// How often the cluster had been recovered by hand from the loss of its majority.
    pub epoch: u32,
    /// Names this file, drawn at random: the same rows written again are another file.
    pub file: Id128,
    /// Index of the last entry in it.
    pub applied: u64,
    /// What the state machine says about itself, as in [`super::Checkpoint`].
    pub meta: Bytes,
}

/// What a snapshot turned out to be when all of it was written or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// Number of rows.
    pub rows: u64,
    /// Bytes of the whole file.
    pub bytes: u64,
    /// Of everything before the end.
    pub sha256: [u8; 32],
}

/// Why a snapshot cannot be written or read. Each message is one line.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// It is not what was written.
    #[error(
        "snapshot {} is damaged at byte {offset} ({what}): remove it and fetch or make it anew",
        .path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the frame begins that is wrong.
        offset: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// It was written by a newer version of the program.
    #[error(
        "snapshot {} was written by a newer Bowline (format {found}, this one knows {known}): \
         upgrade this program",
        .path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format that is known here.
        known: u32,
    },
    /// The operating system said no.
    #[error("cannot {action} snapshot {}: {source}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl SnapshotError {
    /// Whether there is no room for it on the disk, which may pass.
    #[must_use]
    pub fn is_full(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        matches!(self, Self::Io { source, .. } if matches!(source.kind(), StorageFull | QuotaExceeded))
    }

    fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }
}
