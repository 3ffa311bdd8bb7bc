//! A backup as it arrives: unpacked into a file, no further than there is room.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use flate2::write::MultiGzDecoder;
use rustix::fs::fstatvfs;

use super::RestoreError;

/// What is written is synced, and the room on the disk looked at, in pieces of this many bytes.
const SYNC_BYTES: u64 = 8 << 20;

/// Takes the bytes of a backup, packed, and writes what was packed in them.
pub struct Intake {
    decoder: MultiGzDecoder<Unpacked>,
}

impl Intake {
    /// Begins a file. `reserve_bytes` of the file system are left alone.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(path: &Path, reserve_bytes: u64) -> Result<Self, RestoreError> {
        Self::measured(path, reserve_bytes, free)
    }

    /// The same where so much is free as this says.
    fn measured(path: &Path, reserve_bytes: u64, free: Measure) -> Result<Self, RestoreError> {
        let begin = || {
            let (path, file) = (path.to_owned(), File::create(path)?);
            let unpacked = Unpacked { path, file, bytes: 0, synced: 0, reserve_bytes, free };
            unpacked.expect_room()?;
            Ok(unpacked)
        };
        let unpacked = begin().map_err(|error| trouble(&error))?;
        Ok(Self { decoder: MultiGzDecoder::new(unpacked) })
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// When they are not those of a packed file, or what is in them cannot be written.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        self.decoder.write_all(bytes).map_err(|error| trouble(&error))
    }

    /// All bytes were taken.
    ///
    /// # Errors
    /// When some are missing, or what was in them cannot be written.
    pub fn finish(self) -> Result<(), RestoreError> {
        let finish = || self.decoder.finish()?.file.sync_all();
        finish().map_err(|error| trouble(&error))
    }
}

/// Tells how many bytes are free where a file is.
type Measure = fn(&File) -> io::Result<u64>;

fn free(file: &File) -> io::Result<u64> {
    let stat = fstatvfs(file)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

struct Unpacked {
    path: PathBuf,
    file: File,
    bytes: u64,
    synced: u64,
    reserve_bytes: u64,
    free: Measure,
}

impl Unpacked {
    /// The state that is built of it takes as much again.
    fn expect_room(&self) -> io::Result<()> {
        let free = (self.free)(&self.file)?;
        let needed = self.bytes.saturating_add(self.reserve_bytes).saturating_add(2 * SYNC_BYTES);
        if free >= needed {
            return Ok(());
        }
        let (path, unpacked) = (self.path.display(), self.bytes);
        Err(io::Error::new(
            io::ErrorKind::StorageFull,
            format!(
                "no room for {path}: {unpacked} bytes are unpacked, and {free} are free: make room \
                 there"
            ),
        ))
    }
}

impl Write for Unpacked {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.bytes += written as u64;
        if self.bytes - self.synced >= SYNC_BYTES {
            self.file.sync_data()?;
            self.synced = self.bytes;
            self.expect_room()?;
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// What is to be told of an error of the disk, or of what was sent.
pub(super) fn trouble(error: &io::Error) -> RestoreError {
    use io::ErrorKind::{InvalidData, InvalidInput, QuotaExceeded, StorageFull, UnexpectedEof};
    match error.kind() {
        StorageFull | QuotaExceeded => RestoreError::NoRoom(error.to_string()),
        InvalidData | InvalidInput | UnexpectedEof => {
            RestoreError::Invalid(format!("this is no whole backup: {error}"))
        }
        _ => RestoreError::NotNow(format!("the backup cannot be written: {error}")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::fs;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use tempfile::TempDir;

    use super::*;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn unpack(dir: &TempDir, packed: &[u8], piece: usize) -> Result<Vec<u8>, RestoreError> {
        let path = dir.path().join("part");
        let mut intake = Intake::create(&path, 0)?;
        for piece in packed.chunks(piece) {
            intake.take(piece)?;
        }
        intake.finish()?;
        Ok(fs::read(path).unwrap())
    }

    #[test]
    fn what_was_packed_comes_out_however_it_is_cut() {
        let dir = TempDir::new().unwrap();
        let bytes: Vec<u8> = (0..100_000u32).flat_map(u32::to_le_bytes).collect();
        let whole = packed(&bytes);
        for piece in [1, 7, 4096, whole.len()] {
            assert_eq!(unpack(&dir, &whole, piece).unwrap(), bytes);
        }
        let two = [packed(b"one"), packed(b"two")].concat();
        assert_eq!(unpack(&dir, &two, 5).unwrap(), b"onetwo");
    }

    #[test]
    fn what_is_not_packed_or_not_whole_is_refused() {
        let dir = TempDir::new().unwrap();
        // Of bytes that are all the same, one flipped bit may well give the same bytes again.
        let bytes: Vec<u8> = (0..25_000u32).flat_map(u32::to_le_bytes).collect();
        let whole = packed(&bytes);
        let mut changed = whole.clone();
        let middle = changed.len() / 2;
        changed[middle] ^= 0x10;
        let followed = [&whole[..], b"something"].concat();
        for wrong in [b"BWLNSNAP".as_slice(), &whole[..whole.len() / 2], &changed, &followed] {
            let error = unpack(&dir, wrong, 100).unwrap_err();
            assert!(matches!(error, RestoreError::Invalid(_)), "{error}");
        }
    }

    #[test]
    fn it_stops_where_there_is_no_room_left_for_others() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("part");
        let error = Intake::create(&path, u64::MAX / 2).err().unwrap();
        assert!(matches!(error, RestoreError::NoRoom(_)), "{error}");
        // There is room for it to begin, and none for what is in it and what is built of that.
        let mut intake =
            Intake::measured(&path, 1 << 30, |_| Ok((1 << 30) + 2 * SYNC_BYTES + (2 << 20)))
                .unwrap();
        let error = intake.take(&packed(&vec![0; 64 << 20])).unwrap_err();
        assert!(matches!(error, RestoreError::NoRoom(_)), "{error}");
        assert!(fs::metadata(&path).unwrap().len() < 32 << 20, "it stops early");
    }
}
