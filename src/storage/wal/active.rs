//! The segment that is being filled.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::format::{RecordHeader, SEGMENT_HEADER, SegmentHeader, seal};
use super::spare::{self, Spares};
use super::{WalError, WalOptions, segment_path};
use crate::storage::files;

/// A segment under this name is not part of the log yet.
const TEMPORARY: &str = "segment.tmp";

/// A segment that records are appended to.
pub struct Active {
    path: PathBuf,
    file: File,
    /// Its header.
    pub header: SegmentHeader,
    /// Where the next record goes; everything below is durable once it was synced.
    pub offset: u64,
    /// Chain value of the last record.
    pub chain: u32,
}

impl Active {
    /// A segment at least as large as its header says, which the log does not hold yet, at a start: in
    /// a file that was made ahead if one is left, else in one that is made now.
    ///
    /// # Errors
    /// [`WalError::Full`] when there is no room for it; nothing has changed then.
    pub fn at_start(
        dir: &Path,
        options: WalOptions,
        header: SegmentHeader,
    ) -> Result<Self, WalError> {
        let path = dir.join(TEMPORARY);
        let size = options.segment_bytes;
        let left = header.size <= size
            && spare::take_left(dir, size, &path).map_err(WalError::io("rename", &path))?;
        if left {
            return Self::create(path, SegmentHeader { size, ..header });
        }
        spare::fill(&path, header.size).map_err(WalError::io("prepare", &path))?;
        Self::create(path, header)
    }

    /// The next segment, as large as its header says and published.
    ///
    /// # Errors
    /// [`WalError::Full`] when there is no room for it; nothing has changed then.
    pub fn next(
        dir: &Path,
        options: WalOptions,
        header: SegmentHeader,
        spares: &Spares,
    ) -> Result<Self, WalError> {
        let path = dir.join(TEMPORARY);
        if header.size == options.segment_bytes {
            spares.take(&path)?;
        } else {
            spare::fill(&path, header.size).map_err(WalError::io("prepare", &path))?;
        }
        let mut segment = Self::create(path, header)?;
        segment.publish(dir)?;
        Ok(segment)
    }

    /// Writes the header of a segment into the prepared file; the log does not hold it yet.
    fn create(path: PathBuf, header: SegmentHeader) -> Result<Self, WalError> {
        let file = File::options().read(true).write(true).open(&path);
        let file = file.map_err(WalError::io("open", &path))?;
        file.write_all_at(&header.encode(), 0).map_err(WalError::io("write", &path))?;
        let (offset, chain) = (SEGMENT_HEADER as u64, header.chain());
        Ok(Self { path, file, header, offset, chain })
    }

    /// Makes the segment durable under its own name: from now on it is part of the log.
    ///
    /// # Errors
    /// [`WalError::Full`] as long as the log does not hold it.
    pub fn publish(&mut self, dir: &Path) -> Result<(), WalError> {
        let path = segment_path(dir, self.header.number);
        self.file.sync_all().map_err(WalError::io("sync", &self.path))?;
        fs::rename(&self.path, &path).map_err(WalError::io("rename", &self.path))?;
        files::sync_dir(dir).map_err(WalError::io("sync", dir)).map_err(WalError::final_)?;
        self.path = path;
        Ok(())
    }

    /// Seals a record (room for the header, then the payload) and writes it, without a sync.
    ///
    /// # Errors
    /// When the disk fails; never [`WalError::Full`], as the place was made ahead.
    pub fn append(&mut self, header: &RecordHeader, record: &mut Vec<u8>) -> Result<(), WalError> {
        let chain = seal(record, header, self.header.salt);
        let written = self.file.write_all_at(record, self.offset);
        written.map_err(WalError::io("write", &self.path)).map_err(WalError::final_)?;
        self.chain = chain;
        self.offset += record.len() as u64;
        Ok(())
    }

    /// Makes what was appended durable, and returns how long that took.
    ///
    /// # Errors
    /// When the disk fails; never [`WalError::Full`].
    pub fn sync(&self) -> Result<Duration, WalError> {
        let start = Instant::now();
        let synced = self.file.sync_data();
        synced.map_err(WalError::io("sync", &self.path)).map_err(WalError::final_)?;
        Ok(start.elapsed())
    }
}

/// A salt: random, never 0.
pub fn draw_salt() -> u32 {
    u32::from_le_bytes(crate::ids::random()).max(1)
}
