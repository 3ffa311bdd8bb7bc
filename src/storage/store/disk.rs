//! The checkpoint on disk.
//!
//! It is a tree of fjall, of which only one way of writing is used: ingestion. A sorted run is
//! written into files of its own, each is synced with its directory, and then one manifest, synced
//! and renamed into place, makes all of them part of the tree. So a checkpoint, rows, tombstones and meta
//! row alike, is durable and visible as a whole or not at all, and fjall's own journal stays empty.
//!
//! fjall's own threads are not used either. One that merges runs and meets a full disk would leave the
//! tree unusable until it is opened anew, and that is only possible when the last reader of it is
//! gone. So merging is a call here as well, and what a call that failed has left behind is removed:
//! it is what fills the disk.

use std::any::Any;
use std::fs;
use std::io;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use fjall::compaction::Leveled;
use fjall::{
    AbstractTree, Database, Keyspace, KeyspaceCreateOptions, LsmError, Readable, Snapshot,
};
use parking_lot::Mutex;

use super::layer::Value;
use super::{KEY_BYTES_MAX, StoreError, StoreErrorKind, StoreOptions, intact, is_row_key};
use crate::storage::files;

/// The row that says what the checkpoint is; sorts before all others.
const META_KEY: &[u8] = &[0];
/// The first key that a row can have.
const FIRST_ROW: &[u8] = &[1];
const FORMAT: u32 = 1;

/// Room that is left to others, above what something is thought to need.
pub const MARGIN: u64 = 16 << 20;
/// About the most that one merge takes of the level below the young runs: what fjall lets that level
/// grow to, and then some.
const NEXT_LEVEL_BYTES: u64 = 512 << 20;

/// What a checkpoint says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Index of the last entry in it.
    pub applied: u64,
    /// What the state machine gave to [`super::Store::publish`] with that index.
    pub meta: Bytes,
}

impl Checkpoint {
    fn encode(&self) -> Vec<u8> {
        let mut row = Vec::with_capacity(12 + self.meta.len());
        row.extend_from_slice(&FORMAT.to_le_bytes());
        row.extend_from_slice(&self.applied.to_le_bytes());
        row.extend_from_slice(&self.meta);
        row
    }

    fn decode(row: &[u8], path: &Path) -> Result<Self, StoreError> {
        let damaged = || intact::damaged(path, "its meta row is too short");
        let (format, rest) = row.split_first_chunk().ok_or_else(damaged)?;
        let format = u32::from_le_bytes(*format);
        if format > FORMAT {
            let what = format!(
                "{} was written by a newer Bowline (format {format}, this one knows {FORMAT}): \
                 upgrade this program",
                path.display()
            );
            return Err(StoreError::new(StoreErrorKind::Newer, what));
        }
        let (applied, meta) = rest.split_first_chunk().ok_or_else(damaged)?;
        let applied = u64::from_le_bytes(*applied);
        Ok(Self { applied, meta: Bytes::copy_from_slice(meta) })
    }
}

/// The tree of a node.
pub struct Disk {
    path: PathBuf,
    database: Database,
    tree: Keyspace,
    /// Held while tables are written: those of a call that failed are then easy to tell from others.
    writing: Mutex<()>,
}

impl Disk {
    /// Opens the tree in `path`, or makes an empty one.
    pub fn open(path: &Path, options: &StoreOptions) -> Result<Self, StoreError> {
        intact::check(path)?;
        // Nothing else runs yet, and a damaged tree may make fjall panic where it reads what it
        // takes for granted: at the start, and only here, that is one more way to be damaged.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let database = Database::builder(path)
                .cache_size(options.cache_bytes)
                .worker_threads_unchecked(0)
                .open()?;
            let tree = database.keyspace("state", KeyspaceCreateOptions::default)?;
            Ok((database, tree))
        }));
        let (database, tree) = match opened {
            Ok(Ok(opened)) => opened,
            Ok(Err(fjall::Error::Locked)) => {
                let what = format!(
                    "{} is in use by another running node: stop that one first",
                    path.display()
                );
                return Err(StoreError::new(StoreErrorKind::InUse, what));
            }
            Ok(Err(error)) => return Err(failed("open", path, &error)),
            Err(panic) => return Err(intact::damaged(path, &panic_text(&*panic))),
        };
        let this = Self { path: path.to_owned(), database, tree, writing: Mutex::new(()) };
        this.sync_names().map_err(|error| failed("open", path, &error.into()))?;
        Ok(this)
    }

    /// Makes the names of the tree's directories durable.
    fn sync_names(&self) -> io::Result<()> {
        files::sync_dir(&self.path.join("keyspaces"))?;
        files::sync_dir(&self.path)?;
        match self.path.canonicalize()?.parent() {
            Some(parent) => files::sync_dir(parent),
            None => Ok(()),
        }
    }

    /// The checkpoint as it stands, which stays readable whatever comes after it.
    pub fn snapshot(&self) -> Result<DiskView, StoreError> {
        let mut inner = DiskViewInner {
            path: self.path.clone(),
            checkpoint: None,
            snapshot: self.database.snapshot(),
            tree: self.tree.clone(),
        };
        if let Some(row) = inner.read(META_KEY)? {
            inner.checkpoint = Some(Checkpoint::decode(&row, &self.path)?);
        }
        Ok(DiskView(Arc::new(inner)))
    }

    /// Adds rows in the order of their keys, and removes those without a value. When this returns all
    /// of it is durable, or nothing of it was done.
    pub fn ingest<E: From<StoreError>>(
        &self,
        checkpoint: &Checkpoint,
        rows: impl Iterator<Item = Result<(Bytes, Value), E>>,
    ) -> Result<(), E> {
        let failed = |error| failed("write", &self.path, &error);
        self.write_tables(|| {
            let mut run = self.tree.start_ingestion().map_err(failed)?;
            run.write(META_KEY, checkpoint.encode()).map_err(failed)?;
            for row in rows {
                let (key, value) = row?;
                match value {
                    Some(value) => run.write(&key[..], &value[..]).map_err(failed)?,
                    None => run.write_tombstone(&key[..]).map_err(failed)?,
                }
            }
            Ok(run.finish().map_err(failed)?)
        })
    }

    /// The same checkpoint once more, behind all merges up to now: only from such a one on does fjall
    /// let go of what those have merged. None without a checkpoint.
    pub fn renew(&self) -> Result<Option<DiskView>, StoreError> {
        let Some(checkpoint) = self.snapshot()?.checkpoint().cloned() else { return Ok(None) };
        self.ingest::<StoreError>(&checkpoint, std::iter::empty())?;
        self.snapshot().map(Some)
    }

    /// Does the one merge, or move, of runs that is the most useful now, if any is.
    pub fn merge(&self) -> Result<(), StoreError> {
        self.write_tables(|| {
            let seen = self.database.supervisor.snapshot_tracker.get_seqno_safe_to_gc();
            let merged = self.tree.tree.compact(Arc::new(Leveled::default()), seen);
            merged.map_err(|error| failed("merge", &self.path, &error.into()))
        })
    }

    /// Lets go of tables that were merged into others and that no view of this process reads any more.
    /// By itself fjall does so only at the end of the next merge, which may never find the room.
    pub fn forget_merged(&self) -> Result<(), StoreError> {
        let seen = self.database.supervisor.snapshot_tracker.get_seqno_safe_to_gc();
        let mut versions = self.tree.tree.get_version_history_lock();
        let forgotten = versions.maintenance(self.tree.path(), seen);
        forgotten.map_err(|error| failed("merge", &self.path, &error.into()))
    }

    /// Bytes that a merge may write, about: all young runs with what they overlap of the next level.
    pub fn merge_bytes(&self) -> u64 {
        let version = self.tree.tree.current_version();
        let young = version.l0().size();
        let all: u64 = version.iter_levels().map(|level| level.size()).sum();
        young + (all - young).min(NEXT_LEVEL_BYTES)
    }

    /// Whether there is room on the disk for this many bytes.
    ///
    /// # Errors
    /// [`StoreErrorKind::Full`] when there is not.
    pub fn expect_room(&self, needed: u64) -> Result<(), StoreError> {
        let stat = rustix::fs::statvfs(&self.path)
            .map_err(|error| failed("measure", &self.path, &io::Error::from(error).into()))?;
        let room = stat.f_bavail.saturating_mul(stat.f_frsize);
        if room >= needed {
            return Ok(());
        }
        let what = format!(
            "no room for the checkpoint in {}: {room} bytes are free, {needed} are needed",
            self.path.display()
        );
        Err(StoreError::new(StoreErrorKind::Full, what))
    }

    /// Runs what writes tables, and removes those that it made when it failed.
    fn write_tables<E>(&self, write: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        let _one_at_a_time = self.writing.lock();
        let first = self.tree.tree.next_table_id();
        let written = write();
        if written.is_err() {
            self.remove_tables(first);
        }
        written
    }

    /// Removes tables from a number on that belong to no run.
    fn remove_tables(&self, first: u64) {
        let version = self.tree.tree.current_version();
        let Ok(entries) = fs::read_dir(self.tree.path().join("tables")) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().and_then(|name| name.to_str());
            let Some(number) = name.and_then(|name| name.parse::<u64>().ok()) else { continue };
            if number >= first && version.iter_tables().all(|table| table.id() != number) {
                // One that stays only takes room until the tree is opened again.
                let _ = fs::remove_file(path);
            }
        }
    }
}

/// The checkpoint as of one moment.
#[derive(Clone)]
pub struct DiskView(Arc<DiskViewInner>);

struct DiskViewInner {
    path: PathBuf,
    checkpoint: Option<Checkpoint>,
    snapshot: Snapshot,
    tree: Keyspace,
}

impl DiskViewInner {
    fn read(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let value = self.snapshot.get(&self.tree, key);
        let value = value.map_err(|error| failed("read", &self.path, &error))?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }
}

impl DiskView {
    /// What it says about itself; none when nothing was ever written.
    pub fn checkpoint(&self) -> Option<&Checkpoint> {
        self.0.checkpoint.as_ref()
    }

    /// The value under a row key.
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        // The tree panics when it is asked for what is longer than a key of its own can be.
        if is_row_key(key) { self.0.read(key) } else { Ok(None) }
    }

    /// All rows from a key on, in order.
    pub fn iter<'a>(
        &'a self,
        from: &[u8],
    ) -> impl Iterator<Item = Result<(Bytes, Bytes), StoreError>> + use<'a> {
        // Nothing is between a beginning that is longer than any key, and the whole.
        let from = &from[..from.len().min(KEY_BYTES_MAX + 1)];
        let from = Bound::Included(from.max(FIRST_ROW));
        let range = (from, Bound::Unbounded);
        let rows = self.0.snapshot.range::<&[u8], _>(&self.0.tree, range);
        rows.map(|row| {
            let row = row.into_inner().map_err(|error| failed("read", &self.0.path, &error));
            row.map(|(key, value)| (Bytes::copy_from_slice(&key), Bytes::copy_from_slice(&value)))
        })
    }

    /// The tables that there are now, with their checksums, kept for as long as the answer is.
    pub fn tables(&self) -> Vec<(Arc<PathBuf>, u128, impl Sized + use<>)> {
        let version = self.0.tree.tree.current_version();
        let tables = version.iter_tables().cloned();
        tables.map(|table| (table.path.clone(), table.checksum().into_u128(), table)).collect()
    }
}

/// What became of something that fjall was asked for.
fn failed(action: &str, path: &Path, error: &fjall::Error) -> StoreError {
    use io::ErrorKind::{
        InvalidData, InvalidInput, NotFound, QuotaExceeded, StorageFull, UnexpectedEof,
    };
    let (fjall::Error::Io(io) | fjall::Error::Storage(LsmError::Io(io))) = error else {
        let ours = matches!(error, fjall::Error::Poisoned | fjall::Error::KeyspaceDeleted);
        assert!(!ours, "the tree is never written by way of its journal, and never deleted");
        return intact::damaged(path, &error.to_string());
    };
    let kind = match io.kind() {
        // It reads only what it knows to be there, at places that there are.
        InvalidData | InvalidInput | NotFound | UnexpectedEof => {
            return intact::damaged(path, &io.to_string());
        }
        StorageFull | QuotaExceeded => StoreErrorKind::Full,
        _ => StoreErrorKind::Io,
    };
    StoreError::new(kind, format!("cannot {action} the checkpoint in {}: {io}", path.display()))
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it is damaged").to_owned()
}
