//! Writing a snapshot into a file.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{SnapshotEncoder, SnapshotError, SnapshotHeader, SnapshotInfo};
use crate::storage::files;

/// What is written is synced in pieces of this many bytes: one sync of gigabytes at the end would
/// keep the log's waiting for just as long.
const SYNC_BYTES: u64 = 8 << 20;

/// Writes a snapshot row by row. The file has its name only when it is whole and durable; until then
/// it is called `NAME.tmp`, and is removed when this is dropped.
pub struct SnapshotWriter {
    path: PathBuf,
    temporary: PathBuf,
    file: File,
    /// None once it is finished.
    encoder: Option<SnapshotEncoder>,
    written: u64,
    synced: u64,
    done: bool,
}

impl SnapshotWriter {
    /// Begins a file; one that is there under the name stays until the new one is whole.
    ///
    /// # Errors
    /// When it cannot be made.
    ///
    /// # Panics
    /// When the meta is larger than [`super::META_BYTES_MAX`].
    pub fn create(path: &Path, header: &SnapshotHeader) -> Result<Self, SnapshotError> {
        let encoder = SnapshotEncoder::new(header);
        let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
        let temporary = path.with_file_name(files::temporary_name(&name));
        let file = File::create(&temporary)
            .map_err(|source| SnapshotError::io("create", &temporary, source))?;
        let mut this = Self {
            path: path.to_owned(),
            temporary,
            file,
            encoder: Some(encoder),
            written: 0,
            synced: 0,
            done: false,
        };
        this.write_made()?;
        Ok(this)
    }

    /// Adds a row.
    ///
    /// # Errors
    /// When it cannot be written.
    ///
    /// # Panics
    /// When its key does not come after the one before, or it is larger than [`super::ROW_BYTES_MAX`].
    pub fn row(&mut self, key: &[u8], value: &[u8]) -> Result<(), SnapshotError> {
        self.encoder().row(key, value);
        self.write_made()
    }

    /// Bytes written so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.written
    }

    /// Ends the file, makes it durable and gives it its name.
    ///
    /// # Errors
    /// When any of that fails; there is then no new file under the name.
    pub fn finish(mut self) -> Result<SnapshotInfo, SnapshotError> {
        let encoder = self.encoder.take().expect("it is finished once");
        let (rest, info) = encoder.finish();
        self.write(&rest)?;
        self.file.sync_all().map_err(|source| self.failed("sync", source))?;
        let dir = self.path.parent().filter(|dir| !dir.as_os_str().is_empty());
        fs::rename(&self.temporary, &self.path)
            .and_then(|()| files::sync_dir(dir.unwrap_or(Path::new("."))))
            .map_err(|source| SnapshotError::io("rename", &self.path, source))?;
        self.done = true;
        Ok(info)
    }

    fn encoder(&mut self) -> &mut SnapshotEncoder {
        self.encoder.as_mut().expect("only finishing takes it")
    }

    fn write_made(&mut self) -> Result<(), SnapshotError> {
        let made = self.encoder().take();
        self.write(&made)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), SnapshotError> {
        self.file.write_all(bytes).map_err(|source| self.failed("write", source))?;
        self.written += bytes.len() as u64;
        if self.written - self.synced >= SYNC_BYTES {
            self.file.sync_data().map_err(|source| self.failed("sync", source))?;
            self.synced = self.written;
        }
        Ok(())
    }

    fn failed(&self, action: &'static str, source: io::Error) -> SnapshotError {
        SnapshotError::io(action, &self.temporary, source)
    }
}

impl Drop for SnapshotWriter {
    fn drop(&mut self) {
        if !self.done {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}
