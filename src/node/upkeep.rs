//! What the raft thread keeps an eye on besides consensus: how far the log may be purged, which state is
//! on its way, whether there is room.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::applier::Job;
use super::log_writer::LogCommand;
use super::states::Arrived;
use crate::config::DiskConfig;
use crate::metrics::Metrics;
use crate::raft::{Index, Node};
use crate::snapshot;

/// See the module's text.
pub struct Upkeep {
    disk: DiskConfig,
    /// The index of the newest checkpoint that this process saw succeed.
    checkpointed: Arc<AtomicU64>,
    snapshots: snapshot::Handle,
    metrics: Arc<Metrics>,
    /// How far the log was last allowed to be purged.
    floor: Index,
    /// A state that the applier is to be given.
    arrived: Option<Arrived>,
    /// A state was installed, and the log is not known to have followed yet.
    installed: Option<Index>,
    /// The log has no room for segments made ahead.
    log_full: bool,
    /// The file system, or the data directory's allowance, is nearly used up.
    space_full: bool,
}

impl Upkeep {
    /// Nothing is known yet.
    pub fn new(
        disk: DiskConfig,
        checkpointed: Arc<AtomicU64>,
        snapshots: snapshot::Handle,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            disk,
            checkpointed,
            snapshots,
            metrics,
            floor: 0,
            arrived: None,
            installed: None,
            log_full: false,
            space_full: false,
        }
    }

    /// The states on their way between nodes.
    pub fn snapshots(&self) -> &snapshot::Handle {
        &self.snapshots
    }

    /// A purge of the log, when more of it may go than was said before: what is in a durable checkpoint
    /// and behind no state that is being sent, unless the log has grown beyond its bound.
    pub fn purge(&mut self) -> Option<LogCommand> {
        let mut floor = self.checkpointed.load(Ordering::Acquire);
        if floor <= self.floor {
            return None;
        }
        let over = self.metrics.log_file_bytes.get() > self.disk.log_max_bytes;
        if let Some(pinned) = self.snapshots.pinned().filter(|_| !over) {
            floor = floor.min(pinned);
        }
        if floor <= self.floor {
            return None;
        }
        self.floor = floor;
        Some(LogCommand::Purge { floor, keep_bytes: self.disk.log_keep_bytes })
    }

    /// A state that the applier is about to be told to install.
    pub fn arrived(&mut self, arrived: Arrived) {
        self.arrived = Some(arrived);
    }

    /// To go along with the work that installs it.
    pub fn take_arrived(&mut self) -> Option<Arrived> {
        self.arrived.take()
    }

    /// The applier has switched to the state as of this index.
    pub fn installed(&mut self, index: Index) {
        self.installed = Some(index);
    }

    /// What the applier is told when the log has followed an installed state. Until then the source
    /// must keep its log behind that state.
    pub fn follow_up(&mut self, node: &Node) -> Option<Job> {
        self.installed.take_if(|index| node.durable() >= *index)?;
        self.snapshots.adopted();
        Some(Job::RestartDone)
    }

    /// The log says whether it has room.
    pub fn log_full(&mut self, full: bool) -> bool {
        self.log_full = full;
        self.log_full || self.space_full
    }

    /// The watch over the file system says whether there is room.
    pub fn space_full(&mut self, full: bool) -> bool {
        self.space_full = full;
        self.log_full || self.space_full
    }
}
