//! The file `start`: where the log begins, once something in front of it is gone.
//!
//! It is replaced as a whole before any segment is deleted, and the deleting is finished at the next
//! start if a crash interrupts it. So whatever a crash leaves, the log begins either where it began
//! before or where it was meant to; and a segment that is missing without this file having said so is
//! a lost one.

use std::fs;
use std::io;
use std::path::Path;

use crc32c::crc32c;

use super::WalError;
use super::format::Owner;
use crate::ids::Id128;
use crate::raft::{Index, Term};
use crate::storage::files;

/// What the file is called.
pub const NAME: &str = "start";
/// The newest format of the file that is understood here.
const FORMAT: u32 = 1;
const MAGIC: [u8; 8] = *b"BWLNSTRT";
/// Bytes of the file.
const LEN: usize = 72;

/// Where a log begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// The log holds what comes behind this entry; 0 when nothing ever went.
    pub index: Index,
    /// The term of that entry; 0 when nothing ever went.
    pub term: Term,
    /// Number of the first segment that counts; those before are to be deleted.
    pub segment: u64,
}

impl Start {
    /// Where a log begins that has everything.
    pub const WHOLE: Self = Self { index: 0, term: 0, segment: 1 };

    /// Index and term together.
    #[must_use]
    pub fn at(&self) -> (Index, Term) {
        (self.index, self.term)
    }

    /// Magic, format, epoch, cluster, node, index, term, segment, zeros, CRC; little-endian.
    #[must_use]
    pub fn encode(&self, owner: &Owner) -> [u8; LEN] {
        let mut out = Vec::with_capacity(LEN);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&FORMAT.to_le_bytes());
        out.extend_from_slice(&owner.epoch.to_le_bytes());
        out.extend_from_slice(&owner.cluster.0);
        for number in [owner.node, self.index, self.term, self.segment] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.resize(LEN - 4, 0);
        out.extend_from_slice(&crc32c(&out).to_le_bytes());
        out.try_into().expect("it was filled up to its length")
    }

    /// Reads what [`Start::encode`] wrote; `path` is for the message.
    ///
    /// # Errors
    /// [`WalError::Newer`], [`WalError::Foreign`], or [`WalError::Damaged`] for all else.
    pub fn decode(bytes: &[u8], owner: &Owner, path: &Path) -> Result<Self, WalError> {
        let damaged = |what: &str| WalError::damaged(path, 0, what);
        let Ok(bytes) = <&[u8; LEN]>::try_from(bytes) else {
            return Err(damaged("it has the wrong length"));
        };
        let u32_at = |at: usize| u32::from_le_bytes(word(bytes, at));
        let u64_at = |at: usize| u64::from_le_bytes(word(bytes, at));
        if bytes[..8] != MAGIC {
            return Err(damaged("it does not say where the log begins"));
        }
        if u32_at(8) > FORMAT {
            return Err(WalError::Newer { path: path.to_owned(), found: u32_at(8) });
        }
        if crc32c(&bytes[..LEN - 4]) != u32_at(LEN - 4) {
            return Err(damaged("its checksum is wrong"));
        }
        let cluster = Id128(word(bytes, 16));
        if cluster != owner.cluster || u64_at(32) != owner.node || u32_at(12) > owner.epoch {
            return Err(WalError::Foreign { path: path.to_owned() });
        }
        Ok(Self { index: u64_at(40), term: u64_at(48), segment: u64_at(56) })
    }

    /// Reads the file in `dir`; without one the log has everything.
    ///
    /// # Errors
    /// As [`Start::decode`], or [`WalError::Io`].
    pub(super) fn read(dir: &Path, owner: &Owner) -> Result<Self, WalError> {
        let path = dir.join(NAME);
        match fs::File::open(&path) {
            Ok(file) => files::settle(&file).map_err(WalError::io("sync", &path))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::WHOLE),
            Err(error) => return Err(WalError::io("open", &path)(error)),
        }
        let bytes = fs::read(&path).map_err(WalError::io("read", &path))?;
        Self::decode(&bytes, owner, &path)
    }

    /// Makes this the beginning of the log in `dir`, durably.
    ///
    /// # Errors
    /// [`WalError::Full`] or [`WalError::Io`]; the old beginning stands then.
    pub(super) fn write(&self, dir: &Path, owner: &Owner) -> Result<(), WalError> {
        files::replace(dir, NAME, &self.encode(owner))
            .map_err(WalError::io("write", &dir.join(NAME)))
    }
}

/// `N` bytes at an offset within the layout.
fn word<const N: usize>(bytes: &[u8; LEN], at: usize) -> [u8; N] {
    *bytes[at..].first_chunk().expect("the layout is shorter than the bytes")
}
