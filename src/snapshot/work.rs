//! The thread `snapshot-work`: what takes long. Each job passes all rows of a state from one place to
//! another and ends at once when the node stops or nobody wants the outcome any more.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender};

use super::message::{Blob, FileId};
use super::{Config, Ready, Shared};
use crate::ids::Id128;
use crate::metrics::Metrics;
use crate::raft::{Index, NodeId};
use crate::state::{Digest, Meta, MetaError, Summary};
use crate::storage::snapshot::{SnapshotError, SnapshotHeader, SnapshotReader, SnapshotWriter};
use crate::storage::{Checkpoint, OpenError, Store, StoreError, StoreErrorKind};

/// Something to do.
#[derive(Debug)]
pub enum Job {
    /// Write the newest checkpoint into a file.
    Make,
    /// Check the received file and build a state of it.
    Build {
        /// Who sent it.
        from: NodeId,
        /// What it must be.
        file: FileId,
        /// The index that it must be as of.
        applied: Index,
        /// Set when nobody wants it any more.
        abandoned: Arc<AtomicBool>,
    },
    /// Check the backup that was received and build a state of it.
    Check {
        /// What it must be.
        blob: Blob,
        /// Set when nobody wants it any more.
        abandoned: Arc<AtomicBool>,
    },
}

/// What became of it.
#[derive(Debug)]
pub enum Done {
    /// Of [`Job::Make`].
    Made(Result<Made, WorkError>),
    /// Of [`Job::Build`].
    Built {
        /// Of which file.
        file: FileId,
        /// As in the job: nobody wants the result.
        abandoned: Arc<AtomicBool>,
        /// The state.
        result: Result<Ready, WorkError>,
    },
    /// Of [`Job::Check`].
    Checked {
        /// Of which.
        file: FileId,
        /// As in the job: nobody wants it.
        abandoned: Arc<AtomicBool>,
        /// It is what it must be, and durable.
        result: Result<(), WorkError>,
    },
}

/// A file that can be served.
#[derive(Debug)]
pub struct Made {
    /// Its name.
    pub file: FileId,
    /// The index it is as of.
    pub applied: Index,
    /// Its length in bytes.
    pub size: u64,
    /// What is in it.
    pub data: File,
}

/// Why a job was not done.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// Nobody wants it any more.
    #[error("it was given up")]
    Abandoned,
    /// There is no checkpoint yet.
    #[error("there is no checkpoint yet")]
    NoCheckpoint,
    /// The file is not the one that was offered.
    #[error("the snapshot received is not what was offered: {0}")]
    Foreign(&'static str),
    /// A backup that was never here, or is not any more.
    #[error("it is not on this node")]
    Missing,
    /// The rows are not those that the meta speaks of.
    #[error("the rows have the digest {found}, and ought to have {expected}")]
    Digest {
        /// What they have.
        found: Digest,
        /// What they ought to have.
        expected: Digest,
    },
    /// The meta cannot be used.
    #[error(transparent)]
    Meta(#[from] MetaError),
    /// The state cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file cannot be read or written.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The state's directory cannot be made ready.
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl WorkError {
    /// Whether, said about this node's own checkpoint, it means that the state is lost.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Digest { .. } | Self::Meta(MetaError::Foreign | MetaError::Damaged(_)) => true,
            Self::Store(error) => error.kind() == StoreErrorKind::Damaged,
            _ => false,
        }
    }
}

/// Does the jobs.
pub struct Worker {
    config: Config,
    folder: PathBuf,
    shared: Arc<Shared>,
    metrics: Arc<Metrics>,
}

/// The file in `folder` that a snapshot of this node's is in.
pub fn outgoing(folder: &Path, file: FileId) -> PathBuf {
    folder.join(format!("out-{file}"))
}

/// The file in `folder` that another node's snapshot is received into.
pub fn incoming(folder: &Path, file: FileId) -> PathBuf {
    folder.join(format!("in-{file}"))
}

impl Worker {
    /// One that works in `folder`.
    pub fn new(
        config: Config,
        folder: PathBuf,
        shared: Arc<Shared>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { config, folder, shared, metrics }
    }

    /// Works until there is nobody to give it jobs.
    pub fn run(&self, jobs: &Receiver<Job>, done: &Sender<Done>) {
        for job in jobs {
            let outcome = match job {
                Job::Make => Done::Made(self.make()),
                Job::Build { from, file, applied, abandoned } => {
                    let result = self.build(from, file, applied, &abandoned);
                    Done::Built { file, abandoned, result }
                }
                Job::Check { blob, abandoned } => {
                    let given_up = [&self.shared.stop, &*abandoned];
                    let result = self.config.blobs.check(blob.file, Some(&blob), given_up);
                    Done::Checked { file: blob.file, abandoned, result: result.map(|_| ()) }
                }
            };
            if done.send(outcome).is_err() {
                return;
            }
        }
    }

    fn make(&self) -> Result<Made, WorkError> {
        // Kept until the file is whole, and no longer: it keeps its rows on the disk.
        let view = self.config.views.current().checkpoint().ok_or(WorkError::NoCheckpoint)?;
        let Checkpoint { applied, meta } = view.checkpoint().clone();
        let expected = Summary::decode(&meta)?.rows_digest;
        let (cluster, epoch) = (self.config.cluster, self.config.epoch);
        let file = Id128::random();
        let header = SnapshotHeader { cluster, epoch, file, applied, meta };
        let path = outgoing(&self.folder, file);
        let mut writer = SnapshotWriter::create(&path, &header)?;
        let never = AtomicBool::new(false);
        for row in checked(view.rows(), expected, [&self.shared.stop, &never]) {
            let (key, value) = row?;
            writer.row(&key, &value)?;
        }
        let size = writer.finish()?.bytes;
        let opened = File::open(&path);
        let data = opened.map_err(|source| SnapshotError::Io { action: "open", path, source })?;
        self.metrics.snapshots_made.inc();
        Ok(Made { file, applied, size, data })
    }

    fn build(
        &self,
        from: NodeId,
        file: FileId,
        applied: Index,
        abandoned: &AtomicBool,
    ) -> Result<Ready, WorkError> {
        let mut reader = SnapshotReader::open(&incoming(&self.folder, file))?;
        let header = reader.header().clone();
        let foreign = |what| Err(WorkError::Foreign(what));
        let (cluster, epoch) = (self.config.cluster, self.config.epoch);
        if (header.cluster, header.epoch) != (cluster, epoch) {
            return foreign("it is of another cluster, or from before its recovery");
        }
        if (header.file, header.applied) != (file, applied) {
            return foreign("it is another file, or as of another index");
        }
        let summary = Meta::decode(&header.meta)?.summary;
        if (summary.cluster, summary.applied) != (cluster, applied) {
            return foreign("its meta is of another cluster, or as of another index");
        }
        let dir = self.config.state_dir.lock().stage()?;
        let checkpoint = Checkpoint { applied, meta: header.meta };
        let given_up = [&self.shared.stop, abandoned];
        let rows = checked(&mut reader, summary.rows_digest, given_up);
        let built = Store::build::<WorkError>(&dir, self.config.store, &checkpoint, rows);
        if let Err(error) = built {
            // It would be removed before the next attempt too, but may fill the disk until then.
            if let Err(error) = fs::remove_dir_all(&dir) {
                log::warn!("cannot remove {}: {error}", dir.display());
            }
            return Err(error);
        }
        self.metrics.snapshots_built.inc();
        let Summary { term, clock_ms, .. } = summary;
        Ok(Ready { from, dir, meta: checkpoint.meta, applied, term, clock_ms })
    }
}

/// Passes rows on, and behind the last one the complaint if they were not the right ones.
pub fn checked<'a, E: Into<WorkError> + 'a>(
    rows: impl Iterator<Item = Result<(Bytes, Bytes), E>> + 'a,
    expected: Digest,
    given_up: [&'a AtomicBool; 2],
) -> impl Iterator<Item = Result<(Bytes, Bytes), WorkError>> + 'a {
    let given_up = move || given_up.iter().any(|flag| flag.load(Ordering::Relaxed));
    let mut digest = Digest::default();
    // None behind the rows marks their end, for the verdict.
    rows.map(Some).chain([None]).filter_map(move |row| match row {
        _ if given_up() => Some(Err(WorkError::Abandoned)),
        Some(Ok((key, value))) => {
            digest.add(&key, &value);
            Some(Ok((key, value)))
        }
        Some(Err(error)) => Some(Err(error.into())),
        None if digest == expected => None,
        None => Some(Err(WorkError::Digest { found: digest, expected })),
    })
}
