//! The log on disk.
//!
//! **Segments.** The log is a row of files ([`mod@format`]), 64 MiB each, made ahead and filled with zeros by
//! a helper (`spare`): to overwrite zeros and sync takes the disk half as long as to make a file
//! grow. A segment is only begun when the one before is durable to its end.
//!
//! **Appending.** Nothing is overwritten in place. Entries whose index is not above the last one
//! supersede the tail: the record that holds them says so by its first index. All that was appended
//! since the last sync becomes one record (more when it is large), one write and one fdatasync
//! (`writer`); so there is never more than one record of which it is not known whether it is
//! durable, and each record names the place up to which it is.
//!
//! **Purging.** What a state holds that is durable needs no log: whole segments go from the beginning
//! ([`WalWriter::purge`]), after a small file has said where the log begins now (`start`). A state that
//! came from another node takes the place of the whole log ([`WalWriter::restart`]).
//!
//! **Starting.** What a failed fsync left in the page cache must not be taken for what is on disk: all
//! files are synced and forgotten by the cache before they are read, and the last segment is copied
//! into a new one (`open`). A torn record at the very end is cut away; a damaged one ([`scan`]) is an
//! error, since a node must never behave as if it had not had what it once acknowledged. What is whole
//! can be salvaged (`salvage`) by a caller who sees to that: such a node recovers from a leader before
//! it votes or acknowledges anything.
//!
//! **A full disk.** Two segments are made ahead, so a full disk shows itself early. When no segment can
//! be begun, what was appended waits ([`WalError::Full`]); nothing is dropped and nothing fails.
//!
//! **Reading.** A [`WalReader`] finds entries through a sparse index (`index`) that the writer extends
//! after each sync; it never sees what is not durable, and never waits for the disk the writer
//! waits for.

use std::io;
use std::path::{Path, PathBuf};

use crate::raft::{Configuration, Entry, Index, Term};
use crate::storage::files;

mod active;
mod entries;
pub mod format;
mod gather;
mod history;
mod index;
mod open;
mod reader;
mod salvage;
pub mod scan;
mod spare;
pub mod start;
mod terms;
mod walk;
mod writer;

pub use entries::weight;
pub use open::Wal;
pub use reader::WalReader;
pub use writer::{Synced, WalWriter};

/// Sizes of the log's files.
#[derive(Clone, Copy, Debug)]
pub struct WalOptions {
    /// Bytes of a segment that is made ahead. Smaller ones mean more files, not less to write.
    pub segment_bytes: u64,
    /// Bytes that a segment has left when it had to be made while somebody waited: small, as zeros
    /// take time to write.
    pub hurried_bytes: u64,
    /// How many bytes of the newest entries are handed over at the start, about.
    pub tail_bytes: u64,
}

impl Default for WalOptions {
    fn default() -> Self {
        Self { segment_bytes: 64 << 20, hurried_bytes: 4 << 20, tail_bytes: 4 << 20 }
    }
}

/// What a log holds when it is opened; the fields are those of [`crate::raft::Boot`].
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// The log begins behind this (index, term); zeros when it has everything.
    pub start: (Index, Term),
    /// (first index, term) of each run of equal terms.
    pub term_runs: Vec<(Index, Term)>,
    /// Index of the last entry; that of `start` when the log is empty. The caller must check that it
    /// is not below what the checkpoint has applied: a log that ends before is a lost log.
    pub last_index: Index,
    /// The newest entries, up to about [`WalOptions::tail_bytes`]; at least one if there are any.
    pub tail: Vec<Entry>,
    /// All configurations in the log with their indexes, ascending.
    pub configurations: Vec<(Index, Configuration)>,
    /// A commit index that is known for sure: from `start` to `last_index`.
    pub commit: Index,
    /// Clock stamp of the last entry, in ms of cluster time; 0 when there is none.
    pub last_clock_ms: u64,
    /// Where the beginning of a record was cut away that never became durable, if one was.
    pub torn: Option<(PathBuf, u64)>,
}

impl Recovered {
    /// Term of the last entry; that of `start` when the log is empty.
    #[must_use]
    pub fn last_term(&self) -> Term {
        self.term_runs.last().map_or(self.start.1, |(_, term)| *term)
    }
}

/// What [`Wal::survey`] finds of a log: all of it, or the longest whole prefix of a damaged one.
#[derive(Debug)]
pub struct Survey {
    /// The log begins behind this (index, term); zeros when it has everything, or when it is not known
    /// any more where it begins.
    pub start: (Index, Term),
    /// Index of the last whole entry; that of `start` when there is none.
    pub last_index: Index,
    /// A commit index that is known for sure: from `start` to `last_index`.
    pub commit: Index,
    /// (first index, term) of each run of equal terms.
    pub term_runs: Vec<(Index, Term)>,
    /// All configurations in the prefix with their indexes, ascending.
    pub configurations: Vec<(Index, Configuration)>,
    /// What the prefix ends at: what [`Wal::open`] would refuse. None when nothing is damaged.
    pub damage: Option<WalError>,
}

impl Survey {
    /// Term of the last whole entry; that of `start` when there is none.
    #[must_use]
    pub fn last_term(&self) -> Term {
        self.term_runs.last().map_or(self.start.1, |(_, term)| *term)
    }
}

/// What is wrong with a record whose checksums are right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage(pub &'static str);

/// Why the log cannot be opened, written or read. After an error while writing nothing more is
/// written, unless it is [`WalError::Full`]: what the disk holds is unknown, and the node must stop.
#[derive(Debug, thiserror::Error)]
pub enum WalError {
    /// The identity has no cluster or no node id yet.
    #[error("this node has not been admitted to a cluster yet: it has no log")]
    NoIdentity,
    /// A record that must have been durable cannot be read, or may be such a record; or the file is
    /// damaged that says where the log begins.
    #[error(
        "{} is damaged at byte {offset} ({what}): this node may have promised what stands there, so it must get it back from a leader before it votes or acknowledges anything; without one, restore the file",
        .path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What was found.
        what: String,
    },
    /// A segment is not there.
    #[error(
        "segment {number} of the log in {} is missing: this node may have promised what it held, so it must get it back from a leader before it votes or acknowledges anything; without one, restore the file",
        .path.display()
    )]
    Missing {
        /// The directory.
        path: PathBuf,
        /// Number of the segment.
        number: u64,
    },
    /// A file of another node or cluster.
    #[error("{} belongs to another node or cluster: put back this node's own log directory", .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A file of a newer program.
    #[error(
        "{} was written by a newer Bowline (format {found}, this one knows {known}): upgrade this program",
        .path.display(), known = format::FORMAT
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// There is no room for a new file of the log. Nothing was written: it can be tried again.
    #[error("cannot {action} {}: {source}; make room on this disk, and the log goes on by itself", .path.display())]
    Full {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The operating system said no.
    #[error("cannot {action} {}: {source}; the log cannot be trusted after this, check the disk", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An earlier write failed; what the disk holds is unknown.
    #[error("the log failed before and takes no more writes until the node is started again")]
    Failed,
}

impl WalError {
    /// Whether what the log once held is not whole any more. A node that has salvaged the rest
    /// ([`Wal::salvage`]) can get the lost part back from a leader.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Missing { .. })
    }

    /// Names the action and the file of an I/O error.
    fn io<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| {
            let path = path.to_owned();
            if files::is_full(&source) {
                Self::Full { action, path, source }
            } else {
                Self::Io { action, path, source }
            }
        }
    }

    /// Damage of a file at an offset.
    fn damaged(path: &Path, offset: u64, what: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), offset, what: what.into() }
    }

    /// An error after which trying again does not help: something was written before it, or the room
    /// had been made ahead.
    fn final_(self) -> Self {
        match self {
            Self::Full { action, path, source } => Self::Io { action, path, source },
            error => error,
        }
    }
}

/// What a segment's file is called.
fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:016x}.log"))
}
