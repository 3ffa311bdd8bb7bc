//! All rows replaced by those of a backup, in one step that is the same on every node.
//!
//! A backup is a file that is far too large for the log, so the entry only names it: every node has, or
//! gets, the file by itself, and whoever applies the entry hands its rows over. Here is what becomes of
//! everything that is no row.
//!
//! - What belongs to the cluster stays: who it is, its log, its clock, its members, and which writes were
//!   done, the restore itself among them.
//! - What belongs to the data comes from the backup: counters, the queue of clients' keys.
//! - The revision jumps past both histories and becomes the floor of every index, so that no reader ever
//!   sees one go back, and all who wait are woken.
//! - Times in the rows stay as they are. The state's clock goes on from where the backup's stood, so
//!   what had ten seconds to live then has ten seconds to live now.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::board;
use super::meta::{Meta, Summary};
use super::reply::Reply;
use super::standing::Standing;
use super::writes::Writes;
use super::{At, Changes, State};
use crate::ids::Id128;
use crate::storage::Table;

/// Which backup takes the place of all rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restore {
    /// Names the file among those that were staged.
    pub file: Id128,
    /// SHA-256 of the file.
    pub sha256: [u8; 32],
    /// The cluster's clock in ms after which the restore does not happen any more.
    pub not_after_ms: u64,
    /// The backup's revision.
    pub revision: u64,
    /// The backup's clock in ms: that of its state ([`Counters::now`](super::kv::Counters::now)).
    pub clock_ms: u64,
}

impl Meta {
    /// That of a backup: what belongs to the data of a state that stands so. Nothing of the cluster is in
    /// it but its name, and no write is under way.
    #[must_use]
    pub fn of_backup(standing: Standing) -> Self {
        let Standing { summary, once, kv, board } = standing;
        let writes = Writes::default();
        let summary = Summary { writes_digest: writes.digest(), ..summary };
        let configuration = Bytes::new();
        Self { summary, configuration_index: 0, configuration, writes, once, kv, board }
    }

    /// The clock of the state in ms, which is not the cluster's after a restore.
    #[must_use]
    pub fn state_clock_ms(&self) -> u64 {
        self.kv.now(self.summary.clock_ms)
    }
}

/// How far a restore has come that was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Restoring {
    /// There is none, or it is done.
    No,
    /// The rows are to be replaced.
    Due(Restore),
    /// Whoever is to replace them knows.
    Taken(Restore),
}

impl<T: Table> State<T> {
    /// The restore that was just applied, if one was: [`State::replace_rows`] must be called before
    /// anything else is applied or published.
    #[must_use]
    pub fn take_restore(&mut self) -> Option<Restore> {
        let Restoring::Due(restore) = self.restoring else { return None };
        self.restoring = Restoring::Taken(restore);
        Some(restore)
    }

    /// Carries out the restore that was taken: from now on the rows are those of `table`, which is the
    /// backup's, and `backup` is what it says about itself. Gives back the table of before.
    ///
    /// # Panics
    /// When no restore was taken, or it is not that of this backup.
    pub fn replace_rows(&mut self, table: T, backup: &Meta) -> T {
        let Restoring::Taken(restore) = self.restoring else {
            panic!("rows are replaced only when a restore was applied");
        };
        let clock_ms = backup.state_clock_ms();
        assert_eq!(
            (backup.summary.revision, clock_ms),
            (restore.revision, restore.clock_ms),
            "another backup than the one that was to be restored"
        );
        let own = self.meta.summary;
        self.meta.kv = backup.kv;
        self.meta.kv.restored = own.revision;
        self.meta.kv.clock_offset_ms = clock_ms.wrapping_sub(own.clock_ms).cast_signed();
        self.meta.once = backup.once;
        // Lists count back from the present, not from the backup's.
        let wall_ms = self.meta.board.wall_ms.max(backup.board.wall_ms);
        self.meta.board = board::Counters { wall_ms, ..backup.board };
        self.meta.summary = Summary {
            links: backup.summary.links,
            rows_digest: backup.summary.rows_digest,
            cluster_version: own.cluster_version.max(backup.summary.cluster_version),
            ..own
        };
        self.changes = Changes::All;
        self.passed = Vec::new();
        self.restoring = Restoring::No;
        std::mem::replace(&mut self.table, table)
    }

    /// Applies a restore, all but the rows.
    pub(super) fn restore_from(&mut self, at: At, restore: Restore) -> Reply {
        if at.clock_ms > restore.not_after_ms {
            return Reply::RestoreLate;
        }
        let revision = self.meta.summary.revision.max(restore.revision) + 1;
        self.meta.summary.revision = revision;
        self.restoring = Restoring::Due(restore);
        Reply::Restored { revision }
    }
}
