//! Where this node's state lives, and what is done to change it for another one.
//!
//! A state that comes from another node stands beside the own one, complete and durable; the manifest
//! ([`StateDir`]) says which counts. Here is all that touches it: opened at the start, switched by the
//! applier, marked as lost.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::metrics::Metrics;
use crate::raft::{Configuration, Index, Installed};
use crate::snapshot::{Blobs, FileId, Taken};
use crate::state::{Meta, State};
use crate::storage::{
    Checkpoint, DataDir, StateDir, Store, StoreError, StoreErrorKind, StoreOptions, StoreStopper,
    Views,
};

/// A state that came from another node: complete, checked, durable, and not in use yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// Its directory, staged.
    pub dir: PathBuf,
    /// What it says about itself.
    pub installed: Installed,
}

impl Arrived {
    /// Reads off a state's meta what the replica has to know of it.
    ///
    /// # Errors
    /// When the meta is damaged.
    pub fn new(dir: PathBuf, meta: &[u8]) -> Result<Self, String> {
        let meta = Meta::decode(meta).map_err(|error| error.to_string())?;
        let configuration = rmp_serde::from_slice(&meta.configuration)
            .map_err(|error| format!("its configuration is damaged: {error}"))?;
        let installed = Installed {
            index: meta.summary.applied,
            term: meta.summary.term,
            clock_ms: meta.summary.clock_ms,
            configuration,
            configuration_index: meta.configuration_index,
        };
        Ok(Self { dir, installed })
    }
}

/// Ends a checkpoint of the state in use that waits for room; empty while there is none.
pub type Stopper = Arc<Mutex<Option<StoreStopper>>>;

/// Where states are kept, and how one is opened.
pub struct States {
    /// Backups that are to be restored.
    pub blobs: Arc<Blobs>,
    /// Which one counts.
    pub dir: Arc<Mutex<StateDir>>,
    /// How one is opened.
    pub options: StoreOptions,
    /// Whom they are shown to.
    pub views: Views,
    /// Of the one in use.
    pub stopper: Stopper,
    /// This node, and the nonce of its process.
    pub own: (u64, u64),
    /// Keeps the newest list of members, for a start that finds it nowhere else.
    pub data: Arc<DataDir>,
    /// Index of the list it keeps.
    pub members_of: Index,
    /// Set when a state was replaced: the old one is to be removed when nobody reads it any more.
    pub replaced: Arc<AtomicBool>,
}

impl States {
    /// Makes the state that arrived the one in use.
    ///
    /// # Errors
    /// When it cannot be switched to or opened; the node must stop, and its next start finds the old
    /// state or the new one.
    pub fn adopt(
        &mut self,
        installed: &Installed,
        arrived: &Arrived,
        metrics: &Arc<Metrics>,
    ) -> Result<State<Store>, StoreError> {
        assert_eq!(&arrived.installed, installed, "another state than the one to install");
        let restart = Some((installed.index, installed.term));
        let failed =
            |error: &dyn std::fmt::Display| StoreError::new(StoreErrorKind::Io, error.to_string());
        let dir = self.dir.lock().adopt(&arrived.dir, restart).map_err(|error| failed(&error))?;
        let (store, checkpoint) =
            Store::open_in(&dir, self.options, Arc::clone(metrics), self.views.clone())?;
        *self.stopper.lock() = store.stopper();
        self.replaced.store(true, Ordering::Relaxed);
        let meta = checkpoint.map(|it| it.meta).unwrap_or_default();
        let state = State::restore(store, &meta).map_err(|error| failed(&error))?;
        self.remember_members(installed.configuration_index, &installed.configuration);
        Ok(state)
    }

    /// Makes the state that was built of a backup the one in use, as of a checkpoint with its rows.
    /// Until the manifest says so the backup stays, so a crash anywhere leaves the old state, and what
    /// it takes to do this again.
    ///
    /// # Errors
    /// When it cannot be switched to or opened, as with [`States::adopt`]. Damage that is found before
    /// the switch is told as such.
    pub fn restore(
        &self,
        file: FileId,
        taken: &Taken,
        checkpoint: &Checkpoint,
        metrics: &Arc<Metrics>,
    ) -> Result<Store, StoreError> {
        Store::relabel(&taken.dir, self.options, checkpoint)?;
        let io =
            |error: &dyn std::fmt::Display| StoreError::new(StoreErrorKind::Io, error.to_string());
        let mut manifest = self.dir.lock();
        // The log may still have to follow a state that was installed before.
        let restart = manifest.pending_restart();
        let dir = manifest.adopt(&taken.dir, restart).map_err(|error| io(&error))?;
        drop(manifest);
        self.blobs.done(file);
        let opened = Store::open_in(&dir, self.options, Arc::clone(metrics), self.views.clone());
        let (store, _) = opened.map_err(|error| io(&error))?;
        *self.stopper.lock() = store.stopper();
        self.replaced.store(true, Ordering::Relaxed);
        Ok(store)
    }

    /// The log begins behind the state that was adopted.
    ///
    /// # Errors
    /// When that cannot be noted down.
    pub fn restart_done(&self) -> Result<(), String> {
        self.dir.lock().restart_done().map_err(|error| error.to_string())
    }

    /// Notes down that the state in use must not be used.
    ///
    /// # Errors
    /// When that cannot be noted down.
    pub fn set_lost(&self, why: &str) -> Result<(), String> {
        *self.stopper.lock() = None;
        self.dir.lock().set_lost(why).map_err(|error| error.to_string())
    }

    /// This process's write session in a state, if it has one there.
    #[must_use]
    pub fn session(&self, state: &State<Store>) -> Option<u64> {
        let (node, nonce) = self.own;
        state.writes().session_of(node, nonce)
    }

    /// Keeps a list of members when it is newer than the one that is kept. It is only a hint, so when it
    /// cannot be written the old one does.
    pub fn remember_members(&mut self, index: Index, configuration: &Configuration) {
        if index <= self.members_of {
            return;
        }
        self.members_of = index;
        let hint = rmp_serde::to_vec(&(index, configuration)).expect("plain data can be encoded");
        if let Err(error) = self.data.set_hint(&hint) {
            log::warn!("the list of members was not kept for the next start: {error}");
        }
    }
}
