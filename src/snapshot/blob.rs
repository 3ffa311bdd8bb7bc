//! Backups that are to be restored, on the disk of each member: in the folder `restore`.
//!
//! | file | what it is |
//! |---|---|
//! | `ID.part` | what arrives; nothing is known of it yet |
//! | `ID.building` | a state that is being built of it |
//! | `ID.backup` | it is whole, right and durable |
//! | `ID.state` | the state that was built of it, complete and durable |
//! | `ID.promise` | it stays until the clock of the state is past the time in it |
//!
//! What has no promise is worth nothing to the next process, which begins by removing it. When the
//! entry of the restore comes, the state is taken from here ([`Blobs::take`]) and moves to where states
//! are; the backup stays until that is durable, for a crash in between leaves no state here and none
//! there, and it is built again.
//!
//! The entry may be quicker than a promise, which takes two syncs, and only a majority is waited for. So
//! what is checked is taken too, promised or not: it is the same, and the state would be fetched anew
//! for nothing.

mod promise;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use parking_lot::Mutex;
use rustix::fs::statvfs;

use self::promise::{decode_promise, encode_promise};
use super::message::{Blob, FileId};
use super::work::{WorkError, checked};
use crate::state::{Meta, MetaError};
use crate::storage::snapshot::{SnapshotError, SnapshotReader};
use crate::storage::{Checkpoint, Store, StoreErrorKind, StoreOptions};

/// The folder in the data directory.
const FOLDER: &str = "restore";
/// Of a small file system, only this part is kept free.
const RESERVE_PART: u64 = 8;

/// What a backup turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Its name, length and hash.
    pub blob: Blob,
    /// What it says about itself.
    pub meta: Meta,
    /// Number of its rows.
    pub rows: u64,
}

/// A state that is to take the place of this node's own.
#[derive(Clone, Debug)]
pub struct Taken {
    /// Where it was built, to be moved from there.
    pub dir: PathBuf,
    /// What the backup says about itself.
    pub meta: Meta,
}

/// All backups on their way into a restore. Shared; who works on one is alone with it.
#[derive(Debug)]
pub struct Blobs {
    folder: PathBuf,
    options: StoreOptions,
    /// Bytes of the file system that are left alone.
    reserve_bytes: u64,
    /// Those that are checked.
    fates: Mutex<BTreeMap<FileId, Fate>>,
}

/// What is to become of one.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// It stays for as long as this process wants it.
    Checked(Blob),
    /// It stays until the clock of the state, in ms, is past this.
    Promised(Blob, u64),
    /// It was restored.
    Done,
}

impl Blobs {
    /// Finds what was promised in a data directory, and removes the rest. Others' backups are not received
    /// when less than `reserve_bytes` of the file system would be left; see [`Blobs::reserve`].
    ///
    /// # Errors
    /// When the folder cannot be made, read or cleaned.
    pub fn open(data: &Path, options: StoreOptions, reserve_bytes: u64) -> io::Result<Self> {
        let folder = data.join(FOLDER);
        fs::create_dir_all(&folder)?;
        // A promise is not safe before the folder's name is.
        File::open(data)?.sync_all()?;
        let this = Self { folder, options, reserve_bytes, fates: Mutex::default() };
        let mut names = Vec::new();
        for entry in fs::read_dir(&this.folder)? {
            names.extend(entry?.file_name().into_string());
        }
        let mut promised = BTreeMap::new();
        for name in names.iter().filter(|name| name.ends_with(".promise")) {
            let path = this.folder.join(name);
            match decode_promise(&fs::read(&path)?) {
                Some((blob, until)) if this.backup(blob.file).exists() => {
                    promised.insert(blob.file, (blob, until));
                }
                _ => log::error!("{} is of no use: its backup is dropped", path.display()),
            }
        }
        for name in &names {
            let promised = promised.keys().any(|file| {
                [this.backup(*file), this.state(*file), this.promise(*file)]
                    .contains(&this.folder.join(name))
            });
            if !promised {
                remove(&this.folder.join(name))?;
            }
        }
        let fates = promised.into_values().map(|(it, until)| (it.file, Fate::Promised(it, until)));
        *this.fates.lock() = fates.collect();
        Ok(this)
    }

    /// The folder that all of them are in.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Those that are promised, and until when (ms of the state's clock).
    #[must_use]
    pub fn promised(&self) -> Vec<(Blob, u64)> {
        let fates = self.fates.lock();
        let promised = fates.values().filter_map(|fate| match fate {
            Fate::Promised(blob, until) => Some((*blob, *until)),
            Fate::Checked(_) | Fate::Done => None,
        });
        promised.collect()
    }

    /// Bytes of the file system that are to be left alone: less than what was wished when it is small.
    /// Beyond them this node would take no writes, not even the one that restores.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn reserve(&self) -> io::Result<u64> {
        let stat = statvfs(&self.folder)?;
        let part = stat.f_blocks.saturating_mul(stat.f_frsize) / RESERVE_PART;
        Ok(self.reserve_bytes.min(part))
    }

    /// Whether there is room for a backup of this size, and for the state that is built of it.
    ///
    /// # Errors
    /// When there is not, or the system does not tell.
    pub fn expect_room(&self, size: u64) -> io::Result<()> {
        let stat = statvfs(&self.folder)?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        let needed = size.saturating_mul(2).saturating_add(self.reserve()?);
        if free >= needed {
            return Ok(());
        }
        let folder = self.folder.display();
        Err(io::Error::new(
            ErrorKind::StorageFull,
            format!("{needed} bytes must be free in {folder}, and {free} are: make room there"),
        ))
    }

    /// Where one is received.
    #[must_use]
    pub fn part(&self, file: FileId) -> PathBuf {
        self.named(file, "part")
    }

    /// Where one is when it was checked.
    #[must_use]
    pub fn backup(&self, file: FileId) -> PathBuf {
        self.named(file, "backup")
    }

    fn state(&self, file: FileId) -> PathBuf {
        self.named(file, "state")
    }

    fn promise(&self, file: FileId) -> PathBuf {
        self.named(file, "promise")
    }

    fn named(&self, file: FileId, kind: &str) -> PathBuf {
        self.folder.join(format!("{file}.{kind}"))
    }

    /// Checks what was received as [`Blobs::part`], all of it, and builds a state of it. When this
    /// returns both are durable. `expected` is what was announced, if anything was.
    ///
    /// # Errors
    /// When it is damaged or newer than this program, when it is not what was announced, when it or the
    /// state cannot be read or written, or when it was given up. What there is of it is to be removed.
    pub fn check(
        &self,
        file: FileId,
        expected: Option<&Blob>,
        given_up: [&AtomicBool; 2],
    ) -> Result<Checked, WorkError> {
        let part = self.part(file);
        let checked = self.build(file, &part, expected, given_up)?;
        let backup = self.backup(file);
        let durable = || {
            File::open(&part)?.sync_all()?;
            fs::rename(&part, &backup)?;
            File::open(&self.folder)?.sync_all()
        };
        durable().map_err(|source| SnapshotError::Io {
            action: "sync",
            path: part.clone(),
            source,
        })?;
        self.fates.lock().insert(file, Fate::Checked(checked.blob));
        Ok(checked)
    }

    /// Reads a backup to its end and builds a state of it; that has its name only when it is whole.
    fn build(
        &self,
        file: FileId,
        path: &Path,
        expected: Option<&Blob>,
        given_up: [&AtomicBool; 2],
    ) -> Result<Checked, WorkError> {
        let mut reader = SnapshotReader::open(path)?;
        let meta = usable_meta(&reader.header().meta)?;
        let building = self.named(file, "building");
        remove_dir(&building).map_err(|error| io_error("remove", &building, error))?;
        // It becomes that of an index when the entry comes.
        let checkpoint = Checkpoint { applied: 0, meta: reader.header().meta.clone() };
        let rows = checked(&mut reader, meta.summary.rows_digest, given_up);
        Store::build::<WorkError>(&building, self.options, &checkpoint, rows)?;
        let info = reader.info().expect("all rows were read");
        let blob = Blob { file, size: info.bytes, sha256: info.sha256 };
        if expected.is_some_and(|expected| *expected != blob) {
            return Err(WorkError::Foreign("its length or hash is another"));
        }
        let state = self.state(file);
        remove_dir(&state)
            .and_then(|()| fs::rename(&building, &state))
            .map_err(|error| io_error("rename", &building, error))?;
        Ok(Checked { blob, meta, rows: info.rows })
    }

    /// Promises to keep one that was checked, durably, until the clock of the state is past a time.
    ///
    /// # Errors
    /// When the promise cannot be written; one that was made before stands.
    pub fn keep(&self, blob: &Blob, not_after_ms: u64) -> io::Result<()> {
        let path = self.promise(blob.file);
        let temporary = path.with_extension("promise-new");
        let written = || {
            fs::write(&temporary, encode_promise(blob, not_after_ms))?;
            File::open(&temporary)?.sync_all()?;
            fs::rename(&temporary, &path)?;
            File::open(&self.folder)?.sync_all()
        };
        written()?;
        let mut fates = self.fates.lock();
        // The entry may have come meanwhile.
        if !matches!(fates.get(&blob.file), Some(Fate::Done)) {
            fates.insert(blob.file, Fate::Promised(*blob, not_after_ms));
        }
        Ok(())
    }

    /// The state of a backup whose restore has come, wherever the last process has left it: as it was
    /// built, or built again from the backup. From now on nobody discards it.
    ///
    /// # Errors
    /// [`WorkError::Missing`] when there is none, or another; else as [`Blobs::check`].
    pub fn take(&self, file: FileId, sha256: &[u8; 32]) -> Result<Taken, WorkError> {
        let blob = self.claim(file, sha256).ok_or(WorkError::Missing)?;
        let (path, dir) = (self.backup(file), self.state(file));
        if dir.exists() {
            let meta = usable_meta(&SnapshotReader::open(&path)?.header().meta)?;
            return Ok(Taken { dir, meta });
        }
        let never = AtomicBool::new(false);
        let Checked { meta, .. } = self.build(file, &path, Some(&blob), [&never, &never])?;
        Ok(Taken { dir, meta })
    }

    /// One that is here and is this.
    fn claim(&self, file: FileId, sha256: &[u8; 32]) -> Option<Blob> {
        let mut fates = self.fates.lock();
        let fate = fates.get_mut(&file)?;
        let (blob, until) = match *fate {
            Fate::Checked(blob) => (blob, u64::MAX),
            Fate::Promised(blob, until) => (blob, until),
            Fate::Done => return None,
        };
        if blob.sha256 != *sha256 {
            return None;
        }
        *fate = Fate::Promised(blob, until);
        Some(blob)
    }

    /// A backup was restored, durably: the promise is kept. The rest of it goes with the next
    /// [`Blobs::sweep`].
    pub fn done(&self, file: FileId) {
        if let Some(fate) = self.fates.lock().get_mut(&file) {
            *fate = Fate::Done;
        }
        if let Err(error) = remove(&self.promise(file)) {
            log::warn!("the promise of a backup that was restored is still there: {error}");
        }
    }

    /// Removes those that were restored, and those whose time is over as of a clock of the state (ms of
    /// cluster time), since their restore will never be done. Gives which.
    pub fn sweep(&self, clock_ms: u64) -> Vec<FileId> {
        let over = |fate: &Fate| match fate {
            Fate::Checked(_) => false,
            Fate::Promised(_, until) => clock_ms > *until,
            Fate::Done => true,
        };
        let fates = self.fates.lock();
        let over = fates.iter().filter(|(_, fate)| over(fate)).map(|(file, _)| *file);
        let over: Vec<FileId> = over.collect();
        drop(fates);
        over.iter().for_each(|file| self.remove_all(*file));
        over
    }

    /// Removes all there is of one, unless it is promised or was taken: that is not over by a word.
    pub fn discard(&self, file: FileId) {
        if !matches!(self.fates.lock().get(&file), Some(Fate::Promised(..))) {
            self.remove_all(file);
        }
    }

    /// The promise goes first. What cannot be removed goes at the next start.
    fn remove_all(&self, file: FileId) {
        self.fates.lock().remove(&file);
        for kind in ["promise", "backup", "state", "part", "building"] {
            let path = self.named(file, kind);
            if let Err(error) = remove(&path) {
                log::warn!("cannot remove {}: {error}", path.display());
            }
        }
    }
}

/// The meta of a backup, which some older program or this one has written.
fn usable_meta(meta: &Bytes) -> Result<Meta, MetaError> {
    Meta::decode(meta)
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> SnapshotError {
    SnapshotError::Io { action, path: path.to_owned(), source }
}

/// Removes a file or a directory, if it is there.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == ErrorKind::IsADirectory => remove_dir(path),
        removed => removed,
    }
}

fn remove_dir(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

impl WorkError {
    /// Whether the disk has no room for it.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Self::Store(error) => error.kind() == StoreErrorKind::Full,
            Self::Snapshot(error) => error.is_full(),
            _ => false,
        }
    }

    /// Whether what was read is not what was written once, or not what was announced: to try again
    /// would not help.
    #[must_use]
    pub fn is_wrong(&self) -> bool {
        self.what_is_wrong().is_some()
    }

    /// What is wrong with what was read, without a word about where it was read from.
    #[must_use]
    pub fn what_is_wrong(&self) -> Option<String> {
        match self {
            Self::Missing => Some(self.to_string()),
            Self::Foreign(what) => Some(format!("it is not what was announced: {what}")),
            Self::Digest { .. } => Some(format!("it is damaged: {self}")),
            Self::Meta(error) => Some(error.to_string()),
            Self::Snapshot(SnapshotError::Damaged { offset, what, .. }) => {
                Some(format!("it is damaged at byte {offset} of what is packed in it: {what}"))
            }
            Self::Snapshot(SnapshotError::Newer { found, known, .. }) => Some(format!(
                "it was written by a newer Bowline (format {found}, this one knows {known})"
            )),
            _ => None,
        }
    }
}

/// Reads a whole backup, only to see whether it is right: chain, hash, digest and meta.
///
/// # Errors
/// When it is not, or cannot be read.
pub fn verify(mut reader: SnapshotReader<impl Read>) -> Result<Checked, WorkError> {
    let meta = usable_meta(&reader.header().meta)?;
    let never = AtomicBool::new(false);
    for row in checked(&mut reader, meta.summary.rows_digest, [&never, &never]) {
        row?;
    }
    let info = reader.info().expect("all rows were read");
    let blob = Blob { file: reader.header().file, size: info.bytes, sha256: info.sha256 };
    Ok(Checked { blob, meta, rows: info.rows })
}

#[cfg(test)]
mod tests;
