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
//! **Starting.** What a failed fsync left in the page cache must not be taken for what is on disk: all
//! files are synced and forgotten by the cache before they are read, and the last segment is copied
//! into a new one (`open`). A torn record at the very end is cut away; a damaged one stops the node
//! ([`scan`]), since a node must never behave as if it had not had what it once acknowledged.
//!
//! **Reading.** A [`WalReader`] finds entries through a sparse index (`index`) that the writer extends
//! after each sync; it never sees what is not durable, and never waits for the disk the writer
//! waits for.

use std::io;
use std::path::{Path, PathBuf};

use crate::raft::{Configuration, Entry, Index, Term};

mod entries;
pub mod format;
mod history;
mod index;
mod open;
mod reader;
pub mod scan;
mod spare;
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
    /// (first index, term) of each run of equal terms.
    pub term_runs: Vec<(Index, Term)>,
    /// Index of the last entry; 0 when the log is empty. The caller must check that it is not below
    /// what the checkpoint has applied: a log that ends before is a lost log.
    pub last_index: Index,
    /// The newest entries, up to about [`WalOptions::tail_bytes`]; at least one if there are any.
    pub tail: Vec<Entry>,
    /// All configurations with their indexes, ascending.
    pub configurations: Vec<(Index, Configuration)>,
    /// A commit index that is known for sure, and not above `last_index`.
    pub commit: Index,
    /// Clock stamp of the last entry, in ms of cluster time; 0 when there is none.
    pub last_clock_ms: u64,
    /// Where the beginning of a record was cut away that never became durable, if one was.
    pub torn: Option<(PathBuf, u64)>,
}

impl Recovered {
    /// Term of the last entry; 0 when the log is empty.
    #[must_use]
    pub fn last_term(&self) -> Term {
        self.term_runs.last().map_or(0, |(_, term)| *term)
    }
}

/// What is wrong with a record whose checksums are right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage(pub &'static str);

/// Why the log cannot be opened, written or read. After an error while writing nothing more is
/// written: what the disk holds is unknown, and the node must stop.
#[derive(Debug, thiserror::Error)]
pub enum WalError {
    /// The identity has no cluster or no node id yet.
    #[error("this node has not been admitted to a cluster yet: it has no log")]
    NoIdentity,
    /// A record that must have been durable cannot be read, or may be such a record.
    #[error(
        "{} is damaged at byte {offset} ({what}): this node may have promised what stands there, so nothing was cut away and it does not start; move its data directory away and join again as a new node, or restore the file",
        .path.display()
    )]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What was found.
        what: String,
    },
    /// A segment is not there.
    #[error(
        "segment {number} of the log in {} is missing: restore it, or move the data directory away and join again as a new node",
        .path.display()
    )]
    Missing {
        /// The directory.
        path: PathBuf,
        /// Number of the segment.
        number: u64,
    },
    /// A segment of another node or cluster.
    #[error("{} belongs to another node or cluster: put back this node's own log directory", .path.display())]
    Foreign {
        /// The segment.
        path: PathBuf,
    },
    /// A segment of a newer program.
    #[error(
        "{} was written by a newer Bowline (format {found}, this one knows {known}): upgrade this program",
        .path.display(), known = format::FORMAT
    )]
    Newer {
        /// The segment.
        path: PathBuf,
        /// Its format.
        found: u32,
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
    /// Names the action and the file of an I/O error.
    fn io<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}

/// What a segment's file is called.
fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:016x}.log"))
}
