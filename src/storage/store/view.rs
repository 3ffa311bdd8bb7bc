//! What readers read.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;

use super::disk::{Checkpoint, DiskView};
use super::layer::Layer;
use super::merge::{Source, merge};
use super::{Rows, StoreError};

/// The layers of the state, newest first.
#[derive(Clone, Default)]
pub struct Layers {
    /// Rows written since the last checkpoint was begun.
    pub recent: Arc<Layer>,
    /// Rows that are on their way into the checkpoint.
    pub frozen: Option<Arc<Layer>>,
    /// The checkpoint.
    pub disk: Option<DiskView>,
}

impl Layers {
    /// The value under a key as of a version.
    pub fn get(&self, key: &[u8], version: u64) -> Result<Option<Bytes>, StoreError> {
        let memory = [Some(&self.recent), self.frozen.as_ref()];
        if let Some(value) = memory.into_iter().flatten().find_map(|layer| layer.get(key, version))
        {
            return Ok(value);
        }
        self.disk.as_ref().map_or(Ok(None), |disk| disk.get(key))
    }

    /// All rows of a range as of a version; see [`Rows::scan`].
    pub fn scan(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
        version: u64,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        let memory = [Some(&self.recent), self.frozen.as_ref()];
        let mut sources: Vec<Source<'_>> = Vec::with_capacity(3);
        for layer in memory.into_iter().flatten() {
            sources.push(Box::new(layer.iter(from, version).map(Ok)));
        }
        if let Some(disk) = &self.disk {
            let rows = disk.iter(from);
            sources.push(Box::new(rows.map(|row| row.map(|(key, value)| (key, Some(value))))));
        }
        merge(sources, to, visit)
    }
}

/// The state as of one applied index; cheap to clone, never changes.
///
/// A view that is kept keeps memory and disk: the rows of its time stay.
#[derive(Clone, Default)]
pub struct View(Arc<ViewInner>);

#[derive(Default)]
struct ViewInner {
    layers: Layers,
    version: u64,
    applied: u64,
    meta: Bytes,
}

impl View {
    pub(super) fn new(layers: Layers, version: u64, applied: u64, meta: Bytes) -> Self {
        Self(Arc::new(ViewInner { layers, version, applied, meta }))
    }

    /// The index of the last entry in it.
    #[must_use]
    pub fn applied(&self) -> u64 {
        self.0.applied
    }

    /// What the state machine published with that index.
    #[must_use]
    pub fn meta(&self) -> &Bytes {
        &self.0.meta
    }

    /// The newest checkpoint as of this view, which is older than it; none before the first.
    #[must_use]
    pub fn checkpoint(&self) -> Option<CheckpointView> {
        let disk = self.0.layers.disk.as_ref()?;
        Some(CheckpointView { checkpoint: disk.checkpoint()?.clone(), disk: disk.clone() })
    }
}

/// A checkpoint, whole and alone: the rows as of one applied index. What a snapshot is made of.
///
/// While it is kept, so are its rows on the disk, and the directory stays open.
#[derive(Clone)]
pub struct CheckpointView {
    checkpoint: Checkpoint,
    pub(super) disk: DiskView,
}

impl CheckpointView {
    /// Which one it is.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// All rows in the order of their keys, read as they are asked for. An error is the last item
    /// that counts.
    pub fn rows(&self) -> impl Iterator<Item = Result<(Bytes, Bytes), StoreError>> + use<'_> {
        self.disk.iter(b"")
    }
}

impl Rows for View {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.0.layers.get(key, self.0.version)
    }

    fn scan(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        self.0.layers.scan(from, to, self.0.version, visit)
    }
}

/// Where the newest view is published.
#[derive(Clone, Default)]
pub struct Views(Arc<RwLock<View>>);

impl Views {
    /// The newest view.
    #[must_use]
    pub fn current(&self) -> View {
        self.0.read().clone()
    }

    /// Looks at the newest view without keeping it: whoever lets go of a view last gives its memory
    /// and its files back, and some readers must not be held up by that. `look` must be quick.
    pub fn look<T>(&self, look: impl FnOnce(&View) -> T) -> T {
        look(&self.0.read())
    }

    /// Replaces the view; the old one is dropped outside the lock.
    pub(super) fn publish(&self, view: View) {
        let old = std::mem::replace(&mut *self.0.write(), view);
        drop(old);
    }
}
