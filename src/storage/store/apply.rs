//! The applier's side of the state.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

pub use super::checkpointer::Stopper as StoreStopper;
use super::checkpointer::{Checkpointer, Progress, Written};
use super::disk::{Checkpoint, Disk};
use super::layer::Value;
use super::view::{Layers, View, Views};
use super::{Rows, StoreError, Table, assert_row_key};
use crate::metrics::Metrics;

/// How many times [`StoreOptions::checkpoint_bytes`] may gather behind a running checkpoint.
const BACKLOG_FACTOR: u64 = 4;

/// When checkpoints are made, and what they may keep in memory.
#[derive(Clone, Copy, Debug)]
pub struct StoreOptions {
    /// Recent rows are checkpointed when they take about this many bytes of memory. Memory use is up
    /// to six times as much; a larger value writes fewer bytes in all, and makes a restart longer.
    pub checkpoint_bytes: u64,
    /// Recent rows are checkpointed when the last checkpoint is this old: bounds how much of the log
    /// a quiet node replays.
    pub checkpoint_interval: Duration,
    /// Bytes of the checkpoint that are kept in memory for reading.
    pub cache_bytes: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            checkpoint_bytes: 32 << 20,
            checkpoint_interval: Duration::from_secs(10),
            cache_bytes: 64 << 20,
        }
    }
}

/// The state as the applier sees and changes it.
pub struct Store {
    options: StoreOptions,
    metrics: Arc<Metrics>,
    layers: Layers,
    /// The version that rows are written under now; what is published ends below it.
    version: u64,
    /// As of the last publication.
    applied: u64,
    meta: Bytes,
    /// Rows were written since.
    changed: bool,
    durable: u64,
    checkpointed_at: Instant,
    views: Views,
    /// None for a store without a disk.
    checkpointer: Option<Checkpointer>,
    /// The running checkpoint was told not to wait for room: there are no more.
    given_up: bool,
}

impl Store {
    /// Opens the state in `dir`, or begins an empty one; what the checkpoint there says comes along. It
    /// is published as the first view.
    ///
    /// # Errors
    /// When the checkpoint is damaged, newer than this program, in use or unreadable: one line with
    /// the path and what to do.
    pub fn open(
        dir: &Path,
        options: StoreOptions,
        metrics: Arc<Metrics>,
    ) -> Result<(Self, Views, Option<Checkpoint>), StoreError> {
        let views = Views::default();
        let (store, checkpoint) = Self::open_in(dir, options, metrics, views.clone())?;
        Ok((store, views, checkpoint))
    }

    /// As [`Store::open`], for readers that are there already: from now on they see this state. The
    /// store that published for them before must be closed.
    ///
    /// # Errors
    /// As [`Store::open`]; the readers then see what they saw.
    ///
    /// # Panics
    /// When the checkpoint is older than what the readers see.
    pub fn open_in(
        dir: &Path,
        options: StoreOptions,
        metrics: Arc<Metrics>,
        views: Views,
    ) -> Result<(Self, Option<Checkpoint>), StoreError> {
        let (checkpointer, disk) = Checkpointer::start(dir, &options, Arc::clone(&metrics))?;
        let checkpoint = disk.checkpoint().cloned();
        let layers = Layers { disk: Some(disk), ..Layers::default() };
        let mut store = Self::new(options, metrics, layers, views);
        store.checkpointer = Some(checkpointer);
        if let Some(checkpoint) = &checkpoint {
            store.applied = checkpoint.applied;
            store.meta = checkpoint.meta.clone();
        }
        let seen = store.views.current().applied();
        assert!(store.applied >= seen, "a state as of {} after {seen}", store.applied);
        store.publish_layers();
        Ok((store, checkpoint))
    }

    /// Builds a state in `dir`, where there is none, from all its rows in the order of their keys.
    /// When this returns it is durable and can be opened. Memory stays flat however many there are.
    ///
    /// # Errors
    /// The first that a row is, or when the state cannot be written; what was begun is then of no use.
    ///
    /// # Panics
    /// When rows are not in order, or a key is none for a row.
    pub fn build<E: From<StoreError>>(
        dir: &Path,
        options: StoreOptions,
        checkpoint: &Checkpoint,
        rows: impl IntoIterator<Item = Result<(Bytes, Bytes), E>>,
    ) -> Result<(), E> {
        let disk = Disk::open(dir, &options)?;
        let rows = rows.into_iter().map(|row| {
            let (key, value) = row?;
            assert_row_key(&key);
            Ok((key, Some(value)))
        });
        disk.ingest::<E>(checkpoint, rows)?;
        // Moves the run to where the oldest rows belong, so that no later merge begins with all of it.
        Ok(disk.merge()?)
    }

    /// Makes what was built in `dir` the state of another checkpoint with the same rows. When this
    /// returns it is durable. The state must be closed.
    ///
    /// # Errors
    /// When it cannot be opened or written; it is then as it was.
    pub fn relabel(
        dir: &Path,
        options: StoreOptions,
        checkpoint: &Checkpoint,
    ) -> Result<(), StoreError> {
        Disk::open(dir, &options)?.ingest::<StoreError>(checkpoint, std::iter::empty())
    }

    /// An empty state that is never checkpointed, for tests of what reads and writes it.
    #[must_use]
    pub fn in_memory() -> (Self, Views) {
        let (layers, views) = (Layers::default(), Views::default());
        let store = Self::new(StoreOptions::default(), Arc::default(), layers, views.clone());
        (store, views)
    }

    fn new(options: StoreOptions, metrics: Arc<Metrics>, layers: Layers, views: Views) -> Self {
        Self {
            options,
            metrics,
            layers,
            version: 1,
            applied: 0,
            meta: Bytes::new(),
            changed: false,
            durable: 0,
            checkpointed_at: Instant::now(),
            views,
            checkpointer: None,
            given_up: false,
        }
    }

    /// Makes everything that was written up to now visible as one view, as of index `applied`, with a
    /// few bytes about it for its readers.
    ///
    /// # Panics
    /// When `applied` goes back.
    pub fn publish(&mut self, applied: u64, meta: Bytes) {
        assert!(applied >= self.applied, "applied goes from {} to {applied}", self.applied);
        self.applied = applied;
        self.meta = meta;
        self.version += 1;
        self.changed = false;
        self.publish_layers();
    }

    fn publish_layers(&self) {
        let (published, meta) = (self.version - 1, self.meta.clone());
        self.views.publish(View::new(self.layers.clone(), published, self.applied, meta));
    }

    /// Takes over a checkpoint that is done, and tells whether the next one is due:
    /// [`Store::begin_checkpoint`] begins it. To be called after each [`Store::publish`], and now and
    /// then when nothing is applied. When far more was written than a running checkpoint can keep up
    /// with, this waits for it, and counts that; what else would wait for ever on a full disk is ended
    /// by [`Store::stopper`].
    ///
    /// # Errors
    /// When a checkpoint failed: the node must stop, or fetch the state anew if it is damaged.
    pub fn maintain(&mut self) -> Result<bool, StoreError> {
        let Some(checkpointer) = &self.checkpointer else { return Ok(false) };
        if self.is_writing()
            && let Some(report) = checkpointer.poll()
        {
            self.advance(report?);
        }
        let limit = self.options.checkpoint_bytes;
        let backlog = self.layers.recent.bytes();
        if self.is_writing() && backlog > limit.saturating_mul(BACKLOG_FACTOR) {
            self.metrics.apply_pauses.inc();
            self.finish()?;
        }
        let due = self.layers.recent.bytes() >= limit
            || self.checkpointed_at.elapsed() >= self.options.checkpoint_interval;
        Ok(due && self.layers.frozen.is_none() && self.applied != self.durable)
    }

    /// Hands all that is published to the checkpoint thread, with `meta` as of the last publication.
    ///
    /// # Panics
    /// When rows were written since the last publication.
    pub fn begin_checkpoint(&mut self, meta: Bytes) {
        assert!(!self.changed, "only published rows can be checkpointed");
        self.freeze(meta);
    }

    /// The bytes of the last publication.
    #[must_use]
    pub fn published_meta(&self) -> Bytes {
        self.meta.clone()
    }

    /// Makes a checkpoint of all that is published, with the bytes of the last publication as its
    /// meta, and waits until it is durable, or until it is given up ([`Store::stopper`]).
    ///
    /// # Errors
    /// When it failed: the node must stop.
    ///
    /// # Panics
    /// As [`Store::begin_checkpoint`].
    pub fn checkpoint(&mut self) -> Result<(), StoreError> {
        self.finish()?;
        self.begin_checkpoint(self.meta.clone());
        self.finish()
    }

    /// The index up to which a checkpoint is durable that this process saw succeed: the log may be
    /// purged below it. 0 before the first.
    #[must_use]
    pub fn durable_checkpoint(&self) -> u64 {
        self.durable
    }

    /// What makes a checkpoint give up that waits for room on a full disk, so that whoever waits for
    /// it does not wait for ever: for a node that stops. None for a store without a disk.
    #[must_use]
    pub fn stopper(&self) -> Option<StoreStopper> {
        self.checkpointer.as_ref().map(|it| it.stopper().clone())
    }

    /// Waits for a running checkpoint, unless that waits for room, and lets go of the disk. What was
    /// not checkpointed is in the log. The directory can be opened again when the last [`View`] of it
    /// is gone too.
    ///
    /// # Errors
    /// When the running checkpoint failed.
    pub fn close(mut self) -> Result<(), StoreError> {
        if let Some(stopper) = self.stopper() {
            stopper.stop();
        }
        self.finish()
    }

    /// A checkpoint is being written.
    fn is_writing(&self) -> bool {
        self.layers.frozen.is_some() && !self.given_up
    }

    /// Hands what is published to the checkpoint thread, if it is free and there is anything new.
    fn freeze(&mut self, meta: Bytes) {
        let Some(checkpointer) = &self.checkpointer else { return };
        if self.layers.frozen.is_some() || self.applied == self.durable {
            return;
        }
        let layer = std::mem::take(&mut self.layers.recent);
        self.layers.frozen = Some(Arc::clone(&layer));
        let checkpoint = Checkpoint { applied: self.applied, meta };
        checkpointer.begin(layer, checkpoint);
        self.checkpointed_at = Instant::now();
        self.publish_layers();
    }

    /// Waits for a running checkpoint.
    fn finish(&mut self) -> Result<(), StoreError> {
        while let Some(checkpointer) = &self.checkpointer
            && self.is_writing()
        {
            let report = checkpointer.wait()?;
            self.advance(report);
        }
        Ok(())
    }

    fn advance(&mut self, progress: Progress) {
        match progress {
            Progress::Written(written) => self.adopt(written),
            Progress::GivenUp => self.given_up = true,
            Progress::Waiting(disk) => {
                self.layers.disk = Some(disk);
                self.publish_layers();
            }
        }
    }

    /// Reads from the new checkpoint what was in memory.
    fn adopt(&mut self, written: Written) {
        self.metrics.checkpoints.inc();
        self.metrics.checkpoint_time.observe(written.took);
        self.durable = written.applied;
        self.layers.disk = Some(written.disk);
        let frozen = self.layers.frozen.take();
        self.publish_layers();
        if let (Some(frozen), Some(checkpointer)) = (frozen, &self.checkpointer) {
            checkpointer.forget(frozen);
        }
    }

    fn set(&mut self, key: &[u8], value: Value) {
        assert_row_key(key);
        self.changed = true;
        self.layers.recent.set(key, self.version, value);
    }
}

impl Rows for Store {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.layers.get(key, self.version)
    }

    fn scan(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        self.layers.scan(from, to, self.version, visit)
    }
}

impl Table for Store {
    fn put(&mut self, key: &[u8], value: Bytes) {
        self.set(key, Some(value));
    }

    fn delete(&mut self, key: &[u8]) {
        self.set(key, None);
    }
}
