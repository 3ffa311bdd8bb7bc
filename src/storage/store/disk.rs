//! The checkpoint on disk.
//!
//! It is a tree of fjall, of which only one way of writing is used: ingestion. A sorted run is
//! written into files of its own, each is synced with its directory, and then one manifest, synced
//! and renamed into place, makes all of them part of the tree. So a checkpoint, rows, tombstones and meta
//! row alike, is durable and visible as a whole or not at all, and fjall's own journal stays empty.

use std::any::Any;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable, Snapshot};

use super::layer::{Layer, Value};
use super::{StoreError, StoreOptions};

/// The row that says what the checkpoint is; sorts before all others.
const META_KEY: &[u8] = &[0];
/// The first key that a row can have.
const FIRST_ROW: &[u8] = &[1];
const FORMAT: u32 = 1;

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
        let damaged = || damaged(path, "its meta row is too short");
        let (format, rest) = row.split_first_chunk().ok_or_else(damaged)?;
        let format = u32::from_le_bytes(*format);
        if format > FORMAT {
            return Err(StoreError(format!(
                "{} was written by a newer Bowline (format {format}, this one knows {FORMAT}): \
                 upgrade this program",
                path.display()
            )));
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
}

impl Disk {
    /// Opens the tree in `path`, or makes an empty one.
    pub fn open(path: &Path, options: &StoreOptions) -> Result<Self, StoreError> {
        // Nothing else runs yet, and a damaged tree may make fjall panic where it reads what it
        // takes for granted: at the start, and only here, that is one more way to be damaged.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let database =
                Database::builder(path).cache_size(options.cache_bytes).worker_threads(1).open()?;
            let tree = database.keyspace("state", KeyspaceCreateOptions::default)?;
            Ok((database, tree))
        }));
        match opened {
            Ok(Ok((database, tree))) => Ok(Self { path: path.to_owned(), database, tree }),
            Ok(Err(fjall::Error::Locked)) => Err(StoreError(format!(
                "{} is in use by another running node: stop that one first",
                path.display()
            ))),
            Ok(Err(error)) => Err(damaged(path, &error.to_string())),
            Err(panic) => Err(damaged(path, &panic_text(&*panic))),
        }
    }

    /// The checkpoint as it stands, which stays readable whatever comes after it.
    pub fn snapshot(&self) -> DiskView {
        DiskView(Arc::new(DiskViewInner {
            path: self.path.clone(),
            snapshot: self.database.snapshot(),
            tree: self.tree.clone(),
        }))
    }

    /// Adds the newest versions of all rows of a layer. When this returns they are durable.
    pub fn ingest(&self, layer: &Layer, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        let failed = |error: fjall::Error| {
            StoreError(format!("cannot write the checkpoint in {}: {error}", self.path.display()))
        };
        // fjall merges runs in the background; when that has failed it says so only here.
        self.database.persist(PersistMode::Buffer).map_err(failed)?;
        let mut run = self.tree.start_ingestion().map_err(failed)?;
        run.write(META_KEY, checkpoint.encode()).map_err(failed)?;
        for (key, value) in layer.iter(FIRST_ROW, u64::MAX) {
            match value {
                Some(value) => run.write(&key[..], &value[..]).map_err(failed)?,
                None => run.write_tombstone(&key[..]).map_err(failed)?,
            }
        }
        run.finish().map_err(failed)
    }
}

/// The checkpoint as of one moment.
#[derive(Clone)]
pub struct DiskView(Arc<DiskViewInner>);

struct DiskViewInner {
    path: PathBuf,
    snapshot: Snapshot,
    tree: Keyspace,
}

impl DiskView {
    /// What it says about itself; none when nothing was ever written.
    pub fn checkpoint(&self) -> Result<Option<Checkpoint>, StoreError> {
        let row = self.read(META_KEY)?;
        row.map(|row| Checkpoint::decode(&row, &self.0.path)).transpose()
    }

    /// The value under a row key.
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        if key < FIRST_ROW { Ok(None) } else { self.read(key) }
    }

    fn read(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let value = self.0.snapshot.get(&self.0.tree, key).map_err(|error| self.failed(&error))?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    /// All rows from a key on, in order.
    pub fn iter<'a>(
        &'a self,
        from: &[u8],
    ) -> impl Iterator<Item = Result<(Bytes, Value), StoreError>> + use<'a> {
        let from = Bound::Included(from.max(FIRST_ROW));
        let range = (from, Bound::Unbounded);
        let rows = self.0.snapshot.range::<&[u8], _>(&self.0.tree, range);
        rows.map(|row| {
            let (key, value) = row.into_inner().map_err(|error| self.failed(&error))?;
            Ok((Bytes::copy_from_slice(&key), Some(Bytes::copy_from_slice(&value))))
        })
    }

    fn failed(&self, error: &fjall::Error) -> StoreError {
        StoreError(format!("cannot read the checkpoint in {}: {error}", self.0.path.display()))
    }
}

fn damaged(path: &Path, what: &str) -> StoreError {
    StoreError(format!(
        "the checkpoint in {} cannot be opened ({what}): move this node's data directory away and \
         join again as a new node",
        path.display()
    ))
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it is damaged").to_owned()
}
