//! Writing a snapshot.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::format::{self, CHUNK_BYTES, Frame, Kind};
use super::{META_BYTES_MAX, ROW_BYTES_MAX, SnapshotError, SnapshotHeader, SnapshotInfo};
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
    chunk: Vec<u8>,
    last_key: Vec<u8>,
    crc: u32,
    sha: Sha256,
    rows: u64,
    bytes: u64,
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
    /// When the meta is larger than [`META_BYTES_MAX`].
    pub fn create(path: &Path, header: &SnapshotHeader) -> Result<Self, SnapshotError> {
        assert!(header.meta.len() <= META_BYTES_MAX, "meta of {} bytes", header.meta.len());
        let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
        let temporary = path.with_file_name(files::temporary_name(&name));
        let file = File::create(&temporary)
            .map_err(|source| SnapshotError::io("create", &temporary, source))?;
        let (bytes, crc) = format::encode_header(header);
        let mut this = Self {
            path: path.to_owned(),
            temporary,
            file,
            chunk: Vec::new(),
            last_key: Vec::new(),
            crc,
            sha: Sha256::new(),
            rows: 0,
            bytes: 0,
            synced: 0,
            done: false,
        };
        this.write(&bytes)?;
        Ok(this)
    }

    /// Adds a row.
    ///
    /// # Errors
    /// When it cannot be written.
    ///
    /// # Panics
    /// When its key does not come after the one before, or it is larger than [`ROW_BYTES_MAX`].
    pub fn row(&mut self, key: &[u8], value: &[u8]) -> Result<(), SnapshotError> {
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
            self.end_chunk()?;
        }
        Ok(())
    }

    /// Bytes written so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Ends the file, makes it durable and gives it its name.
    ///
    /// # Errors
    /// When any of that fails; there is then no new file under the name.
    pub fn finish(mut self) -> Result<SnapshotInfo, SnapshotError> {
        self.end_chunk()?;
        let sha256: [u8; 32] = self.sha.clone().finalize().into();
        self.frame(Kind::End, &format::encode_end(self.rows, &sha256))?;
        self.file.sync_all().map_err(|source| self.failed("sync", source))?;
        let dir = self.path.parent().filter(|dir| !dir.as_os_str().is_empty());
        fs::rename(&self.temporary, &self.path)
            .and_then(|()| files::sync_dir(dir.unwrap_or(Path::new("."))))
            .map_err(|source| SnapshotError::io("rename", &self.path, source))?;
        self.done = true;
        Ok(SnapshotInfo { rows: self.rows, bytes: self.bytes, sha256 })
    }

    fn end_chunk(&mut self) -> Result<(), SnapshotError> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let mut chunk = std::mem::take(&mut self.chunk);
        self.frame(Kind::Rows, &chunk)?;
        chunk.clear();
        self.chunk = chunk;
        Ok(())
    }

    fn frame(&mut self, kind: Kind, payload: &[u8]) -> Result<(), SnapshotError> {
        let frame = Frame::around(kind, payload, self.crc);
        self.crc = frame.crc;
        self.write(&frame.encode())?;
        self.write(payload)?;
        if self.bytes - self.synced >= SYNC_BYTES {
            self.file.sync_data().map_err(|source| self.failed("sync", source))?;
            self.synced = self.bytes;
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), SnapshotError> {
        self.file.write_all(bytes).map_err(|source| self.failed("write", source))?;
        self.sha.update(bytes);
        self.bytes += bytes.len() as u64;
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
