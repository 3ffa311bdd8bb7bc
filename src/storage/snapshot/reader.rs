//! Reading a snapshot, from a file or from any other source of bytes: where it ends shows only at the
//! end, so no length is believed before the bytes are there.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use crc32c::{crc32c, crc32c_append};
use sha2::{Digest, Sha256};

use super::format::{self, END, FRAME, Frame, HEADER, Kind};
use super::{SnapshotError, SnapshotHeader, SnapshotInfo};
use crate::storage::store::is_row_key;

/// Reads a snapshot row by row. Rows are to be believed only when the end was reached: each chunk is
/// checked before its rows are handed out, but that all of them are there shows at the end.
pub struct SnapshotReader<R = BufReader<File>> {
    path: PathBuf,
    input: R,
    header: SnapshotHeader,
    /// What is left of the current frame's payload.
    chunk: Bytes,
    /// Where the current frame begins.
    at: u64,
    /// Where the next one begins.
    next: u64,
    last_key: Bytes,
    crc: u32,
    sha: Sha256,
    rows: u64,
    info: Option<SnapshotInfo>,
    failed: bool,
}

impl SnapshotReader {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// When it cannot be read, is newer than this program, or is damaged in its header.
    pub fn open(path: &Path) -> Result<Self, SnapshotError> {
        let file = File::open(path).map_err(|source| SnapshotError::io("open", path, source))?;
        Self::over(BufReader::with_capacity(format::CHUNK_BYTES, file), path)
    }
}

impl<R: Read> SnapshotReader<R> {
    /// Reads the header of a snapshot that comes from somewhere; `path` names it in messages. What cannot be
    /// unpacked or decoded on the way here must be reported as [`io::ErrorKind::InvalidData`] or
    /// [`io::ErrorKind::InvalidInput`]; it counts as damage.
    ///
    /// # Errors
    /// As [`SnapshotReader::open`].
    pub fn over(mut input: R, path: &Path) -> Result<Self, SnapshotError> {
        let mut sha = Sha256::new();
        let (header, crc, next) = read_header(path, &mut input, &mut sha)?;
        Ok(Self {
            path: path.to_owned(),
            input,
            header,
            chunk: Bytes::new(),
            at: 0,
            next,
            last_key: Bytes::new(),
            crc,
            sha,
            rows: 0,
            info: None,
            failed: false,
        })
    }

    /// What it says about itself.
    #[must_use]
    pub fn header(&self) -> &SnapshotHeader {
        &self.header
    }

    /// What it turned out to be; none before [`SnapshotReader::next_row`] gave none.
    #[must_use]
    pub fn info(&self) -> Option<SnapshotInfo> {
        self.info
    }

    /// The next row; none at the end, when everything was found right.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub fn next_row(&mut self) -> Result<Option<(Bytes, Bytes)>, SnapshotError> {
        while self.chunk.is_empty() {
            if self.info.is_some() {
                return Ok(None);
            }
            self.next_frame()?;
        }
        let row = format::split_row(&mut self.chunk);
        let (key, value) = row.ok_or_else(|| self.damaged("a row goes beyond its chunk"))?;
        if !is_row_key(&key) || key <= self.last_key {
            return Err(self.damaged("a row's key is not in order"));
        }
        self.last_key = key.clone();
        self.rows += 1;
        Ok(Some((key, value)))
    }

    /// Reads a frame; the end is checked here.
    fn next_frame(&mut self) -> Result<(), SnapshotError> {
        self.at = self.next;
        let before: [u8; 32] = self.sha.clone().finalize().into();
        let bytes: [u8; FRAME] = part(&self.read(FRAME)?);
        let frame = Frame::decode(&bytes).ok_or_else(|| self.damaged("no frame begins here"))?;
        let payload = self.read(frame.length)?;
        if frame.check(&payload, self.crc) != frame.crc {
            return Err(self.damaged("a checksum is wrong"));
        }
        self.crc = frame.crc;
        match frame.kind {
            Kind::Rows if payload.is_empty() => return Err(self.damaged("a chunk is empty")),
            Kind::Rows => self.chunk = payload,
            Kind::End => {
                if payload.len() != END || payload[..] != format::encode_end(self.rows, &before) {
                    return Err(self.damaged("rows or hash of the whole are not as at the end"));
                }
                if !read(&self.path, &mut self.input, self.at, 1)?.is_empty() {
                    return Err(self.damaged("something follows the end"));
                }
                let info = SnapshotInfo { rows: self.rows, bytes: self.next, sha256: before };
                self.info = Some(info);
            }
        }
        Ok(())
    }

    /// The next bytes, which count for the hash.
    fn read(&mut self, length: usize) -> Result<Bytes, SnapshotError> {
        let bytes = read(&self.path, &mut self.input, self.at, length)?;
        if bytes.len() < length {
            return Err(self.damaged("it ends too early"));
        }
        self.sha.update(&bytes);
        self.next += length as u64;
        Ok(bytes.into())
    }

    fn damaged(&self, what: &'static str) -> SnapshotError {
        damaged(&self.path, self.at, what)
    }
}

impl<R: Read> Iterator for SnapshotReader<R> {
    type Item = Result<(Bytes, Bytes), SnapshotError>;

    /// As [`SnapshotReader::next_row`]; after an error there is nothing more.
    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let row = self.next_row().transpose();
        self.failed = matches!(row, Some(Err(_)));
        row
    }
}

/// Reads a whole snapshot, only to see whether it is right.
///
/// # Errors
/// As [`SnapshotReader`].
pub fn verify(path: &Path) -> Result<(SnapshotHeader, SnapshotInfo), SnapshotError> {
    let mut reader = SnapshotReader::open(path)?;
    while reader.next_row()?.is_some() {}
    let info = reader.info.expect("there are no more rows only at the end");
    Ok((reader.header, info))
}

/// Header, its checksum, and where it ends.
fn read_header(
    path: &Path,
    input: &mut impl Read,
    sha: &mut Sha256,
) -> Result<(SnapshotHeader, u32, u64), SnapshotError> {
    let begun = read(path, input, 0, HEADER)?;
    let Ok(fixed) = <[u8; HEADER]>::try_from(&begun[..]) else {
        return Err(damaged(path, 0, "it ends too early"));
    };
    if fixed[..8] != format::MAGIC {
        return Err(damaged(path, 0, "it does not begin like a snapshot"));
    }
    let (found, known) = (format::number(&fixed, 8), format::FORMAT);
    if found > known {
        return Err(SnapshotError::Newer { path: path.to_owned(), found, known });
    }
    let length = format::meta_length(&fixed);
    let length = length.ok_or_else(|| damaged(path, 0, "its header is impossible"))?;
    let wanted = length + 4;
    let rest = read(path, input, 0, wanted)?;
    if rest.len() < wanted {
        return Err(damaged(path, 0, "it ends within its header"));
    }
    sha.update(fixed);
    sha.update(&rest);
    let mut meta = Bytes::from(rest);
    let crc = format::number(&meta.split_off(length), 0);
    if crc32c_append(crc32c(&fixed), &meta) != crc {
        return Err(damaged(path, 0, "the checksum of its header is wrong"));
    }
    Ok((format::decode_header(&fixed, meta), crc, (HEADER + wanted) as u64))
}

fn part<const N: usize>(bytes: &Bytes) -> [u8; N] {
    format::part(bytes, 0)
}

/// This many bytes, or fewer when there are no more. Memory is taken as they come, so a damaged length
/// asks for none.
fn read(
    path: &Path,
    input: &mut impl Read,
    at: u64,
    length: usize,
) -> Result<Vec<u8>, SnapshotError> {
    use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    let mut bytes = Vec::with_capacity(length.min(2 * format::CHUNK_BYTES));
    match input.take(length as u64).read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(error) => Err(match error.kind() {
            UnexpectedEof => damaged(path, at, "it ends too early"),
            InvalidData | InvalidInput => damaged(path, at, "it cannot be unpacked"),
            _ => SnapshotError::io("read", path, error),
        }),
    }
}

fn damaged(path: &Path, offset: u64, what: &'static str) -> SnapshotError {
    SnapshotError::Damaged { path: path.to_owned(), offset, what }
}
