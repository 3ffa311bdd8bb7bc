//! Term and vote on disk: what must never be forgotten, twice.
//!
//! A node that forgets its vote may give a second one in the same term, and two leaders follow. So
//! there are two copies, both written and synced before anybody hears of the vote; a damaged one is
//! replaced by the other, and when both are damaged the node has lost its disk: it must come back as
//! a new node, never under its old id.
//!
//! A copy is a few bytes, written when the node starts and overwritten in place from then on: a vote
//! needs no new room, so a node goes on voting when its disk is full.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crc32c::crc32c;

use super::data_dir::Identity;
use super::files;
use crate::raft::{HardState, Term};

const NAMES: [&str; 2] = ["vote-a", "vote-b"];
const MAGIC: [u8; 8] = *b"BWLNVOTE";
const FORMAT: u32 = 1;
/// Bytes of one copy: less than any disk writes in one piece.
const LEN: usize = 80;

/// Why the vote cannot be read or written; the node must not take part in any election.
#[derive(Debug, thiserror::Error)]
pub enum VoteError {
    /// Neither copy can be believed.
    #[error(
        "term and vote in {} are lost ({what}): this node could vote twice, so it does not start; move its data directory away and join again as a new node",
        .path.display()
    )]
    Lost {
        /// The directory of the copies.
        path: PathBuf,
        /// What was found.
        what: &'static str,
    },
    /// A copy was written by a newer program.
    #[error(
        "{} was written by a newer Bowline (format {found}, this one knows {known}): upgrade this program",
        .path.display(), known = FORMAT
    )]
    Newer {
        /// The copy.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// The operating system said no.
    #[error("cannot {action} {}: {source}; this node must not vote after this, check the disk", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An earlier write failed; what the disk holds is unknown.
    #[error("the vote file failed before and takes no more writes until the node is started again")]
    Failed,
}

/// The two copies of term and vote.
pub struct VoteFile {
    copies: [(PathBuf, File); 2],
    identity: Identity,
    /// Counts the writes; the copy with the higher one is the newer.
    version: u64,
    state: HardState,
    failed: bool,
}

/// One copy, as read.
enum Copy {
    Missing,
    Damaged,
    Whole(u64, HardState),
}

impl VoteFile {
    /// Opens the copies in `dir` and heals them, or makes them where there are none. `last_term` is the
    /// term of the last entry of the log: term and vote were written before it, so they must be there.
    ///
    /// # Errors
    /// See [`VoteError`].
    pub fn open(dir: &Path, identity: &Identity, last_term: Term) -> Result<Self, VoteError> {
        let io = |action, path: &Path| {
            let path = path.to_owned();
            move |source| VoteError::Io { action, path, source }
        };
        fs::create_dir_all(dir).map_err(io("create", dir))?;
        if let Some(parent) = dir.parent() {
            files::sync_dir(parent).map_err(io("sync", parent))?;
        }
        let paths = NAMES.map(|name| dir.join(name));
        let found = [read(&paths[0], identity)?, read(&paths[1], identity)?];
        let (version, state) = choose(&found, dir, last_term)?;
        let version = version + 1;
        let bytes = encode(identity, version, &state);
        // One after the other: that the second copy is there says that the first is whole.
        let make = |path: &PathBuf| {
            let mut options = File::options();
            let file = options.read(true).write(true).create(true).truncate(false).open(path);
            let file = file.map_err(io("open", path))?;
            write(path, &file, &bytes)?;
            Ok((path.clone(), file))
        };
        let copies = [make(&paths[0])?, make(&paths[1])?];
        files::sync_dir(dir).map_err(io("sync", dir))?;
        Ok(Self { copies, identity: *identity, version, state, failed: false })
    }

    /// Term and vote as of the last write.
    #[must_use]
    pub fn state(&self) -> HardState {
        self.state
    }

    /// Makes term and vote durable in both copies.
    ///
    /// # Errors
    /// When the disk fails; nothing more is ever written then.
    pub fn write(&mut self, state: HardState) -> Result<(), VoteError> {
        if self.failed {
            return Err(VoteError::Failed);
        }
        self.failed = true;
        self.version += 1;
        let bytes = encode(&self.identity, self.version, &state);
        for (path, file) in &self.copies {
            write(path, file, &bytes)?;
        }
        self.state = state;
        self.failed = false;
        Ok(())
    }
}

/// Makes one copy durable.
fn write(path: &Path, file: &File, bytes: &[u8; LEN]) -> Result<(), VoteError> {
    let io = |action| move |source| VoteError::Io { action, path: path.to_owned(), source };
    file.write_all_at(bytes, 0).map_err(io("write"))?;
    file.sync_all().map_err(io("sync"))
}

/// The copy to go on with.
fn choose(found: &[Copy; 2], dir: &Path, last_term: Term) -> Result<(u64, HardState), VoteError> {
    let lost = |what| VoteError::Lost { path: dir.to_owned(), what };
    let newest = found
        .iter()
        .filter_map(|copy| match copy {
            Copy::Whole(version, state) => Some((*version, *state)),
            Copy::Missing | Copy::Damaged => None,
        })
        .max_by_key(|(version, _)| *version);
    match newest {
        Some((_, state)) if state.term < last_term => Err(lost("they are older than the log")),
        Some(newest) => Ok(newest),
        // The first copy is synced before the second is made, so at the very first write one may be
        // torn and the other missing; nothing was promised then, and the log is empty.
        None if last_term > 0 => Err(lost("neither copy can be read, and the log is not empty")),
        None if found.iter().any(|copy| matches!(copy, Copy::Missing)) => {
            Ok((0, HardState::default()))
        }
        None => Err(lost("both copies are damaged")),
    }
}

fn read(path: &Path, identity: &Identity) -> Result<Copy, VoteError> {
    let io = |action| move |source| VoteError::Io { action, path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Copy::Missing),
        Err(error) => return Err(io("open")(error)),
    };
    files::settle(&file).map_err(io("sync"))?;
    let mut bytes = [0; LEN];
    match file.read_exact_at(&mut bytes, 0) {
        Ok(()) => decode(&bytes, path, identity),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Copy::Damaged),
        Err(error) => Err(io("read")(error)),
    }
}

/// Magic, format, epoch, cluster, node, version, term, vote (0 = none), CRC; little-endian.
fn encode(identity: &Identity, version: u64, state: &HardState) -> [u8; LEN] {
    let mut out = Vec::with_capacity(LEN);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&FORMAT.to_le_bytes());
    out.extend_from_slice(&identity.epoch.to_le_bytes());
    out.extend_from_slice(&identity.cluster.unwrap_or_default().0);
    for number in [identity.node.unwrap_or(0), version, state.term, state.vote.unwrap_or(0)] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.resize(LEN - 4, 0);
    out.extend_from_slice(&crc32c(&out).to_le_bytes());
    out.try_into().expect("it was filled up to its length")
}

/// A copy of another node or cluster counts as damaged: it says nothing about this one.
fn decode(bytes: &[u8; LEN], path: &Path, identity: &Identity) -> Result<Copy, VoteError> {
    let u32_at = |at: usize| u32::from_le_bytes(*bytes[at..].first_chunk().expect("in the array"));
    let u64_at = |at: usize| u64::from_le_bytes(*bytes[at..].first_chunk().expect("in the array"));
    let found = u32_at(8);
    if bytes[..8] == MAGIC && found > FORMAT {
        return Err(VoteError::Newer { path: path.to_owned(), found });
    }
    let whole = bytes[..8] == MAGIC && crc32c(&bytes[..LEN - 4]) == u32_at(LEN - 4);
    let ours = bytes[16..32] == identity.cluster.unwrap_or_default().0
        && u64_at(32) == identity.node.unwrap_or(0)
        && u32_at(12) <= identity.epoch;
    if !whole || !ours {
        return Ok(Copy::Damaged);
    }
    let vote = u64_at(56);
    let state = HardState { term: u64_at(48), vote: (vote != 0).then_some(vote) };
    Ok(Copy::Whole(u64_at(40), state))
}
