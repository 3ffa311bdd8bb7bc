//! Going on after damage: what is whole becomes the log, and what was found is set aside untouched.
//!
//! A log made here has lost something, perhaps something that was acknowledged. Whoever calls this must
//! have written that down first: such a node gives no votes and acknowledges nothing until a leader
//! has brought it past all that it may have had (CTRL, FAST'18).
//!
//! The files are first linked into `damaged-N`, then the new segment is published, which says itself
//! what it stands for; only then are the old names removed. A crash leaves the damaged log as it was,
//! or the new one with names in it that the next start removes.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::format::SegmentHeader;
use super::index::LogIndex;
use super::open::{copy, owner};
use super::start::{self, Start};
use super::walk::{self, Leftovers, Walk};
use super::{Wal, WalError, WalOptions, segment_path};
use crate::raft::{Index, Term};
use crate::storage::data_dir::Identity;
use crate::storage::files;

/// What the directories of files that were set aside begin with.
const ASIDE: &str = "damaged-";

impl Wal {
    /// Makes the longest whole prefix of a damaged log the log, so that [`Wal::open`] opens it. Returns
    /// where the files are now that were damaged or came after the damage; none when nothing was
    /// damaged, and nothing is changed then.
    ///
    /// # Errors
    /// See [`WalError`]; the log is as it was then, or salvaged already, and this may be called again.
    pub fn salvage(
        dir: &Path,
        identity: &Identity,
        options: WalOptions,
    ) -> Result<Option<PathBuf>, WalError> {
        let owner = owner(identity)?;
        let walk = Walk::through(dir, &owner, Leftovers::Remove)?;
        if walk.damage.is_none() {
            return Ok(None);
        }
        let start_lost = Start::read(dir, &owner).is_err();
        let numbers: Vec<u64> = walk.numbers.iter().copied().filter(|it| *it >= walk.due).collect();
        let aside = set_aside(dir, &numbers, start_lost)?;
        let header = walk.next_header(owner, options);
        copy(dir, options, header, walk.last.as_ref(), &mut LogIndex::behind(header.first - 1, 0))?;
        if start_lost {
            let path = dir.join(start::NAME);
            fs::remove_file(&path).map_err(WalError::io("remove", &path))?;
            files::sync_dir(dir).map_err(WalError::io("sync", dir))?;
        }
        walk::remove(dir, &numbers)?;
        Ok(Some(aside))
    }

    /// Begins the log anew behind `start`, the (index, term) of a state that is durable, when the log
    /// ends before it. Returns where the files of the old log are now; none when the log begins there
    /// and is not damaged, and nothing is changed then.
    ///
    /// # Errors
    /// See [`WalError`]; this may be called again then.
    pub fn restart_in(
        dir: &Path,
        identity: &Identity,
        options: WalOptions,
        start: (Index, Term),
    ) -> Result<Option<PathBuf>, WalError> {
        let owner = owner(identity)?;
        fs::create_dir_all(dir).map_err(WalError::io("create", dir))?;
        let walk = Walk::through(dir, &owner, Leftovers::Remove)?;
        if walk.damage.is_none() && walk.start.at() == start {
            return Ok(None);
        }
        let (index, term) = start;
        let has_start = dir.join(start::NAME).exists();
        let aside = set_aside(dir, &walk.numbers, has_start)?;
        let number = walk.numbers.last().map_or(0, |last| *last) + 1;
        // It continues the chain: until the next step an undamaged log is still one.
        let header = SegmentHeader {
            number,
            replaces: 0,
            first: index + 1,
            previous: walk.last.as_ref().map_or(walk.chain, |last| last.chain),
            ..walk.next_header(owner, options)
        };
        copy(dir, options, header, None, &mut LogIndex::behind(index, number))?;
        Start { index, term, segment: number }.write(dir, &owner)?;
        walk::remove(dir, &walk.numbers)?;
        Ok(Some(aside))
    }
}

/// Gives segments, and the file that says where the log begins if `with_start`, a second name in a
/// directory of their own. One that an interrupted attempt has made is used again.
fn set_aside(dir: &Path, numbers: &[u64], with_start: bool) -> Result<PathBuf, WalError> {
    let mut paths: Vec<PathBuf> = numbers.iter().map(|number| segment_path(dir, *number)).collect();
    paths.extend(with_start.then(|| dir.join(start::NAME)));
    let aside = aside_for(dir, &paths).map_err(WalError::io("read", dir))?;
    fs::create_dir_all(&aside).map_err(WalError::io("create", &aside))?;
    for path in paths {
        let name = path.file_name().expect("it was made with one");
        match fs::hard_link(&path, aside.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            linked => linked.map_err(WalError::io("link", &path))?,
        }
    }
    files::sync_dir(&aside).map_err(WalError::io("sync", &aside))?;
    files::sync_dir(dir).map_err(WalError::io("sync", dir))?;
    Ok(aside)
}

/// Where to set these files aside: in the newest directory if it holds nothing but some of them, else
/// in a new one.
fn aside_for(dir: &Path, paths: &[PathBuf]) -> io::Result<PathBuf> {
    let newest = newest_aside(dir)?;
    let aside = |number: u64| dir.join(format!("{ASIDE}{number}"));
    if newest == 0 {
        return Ok(aside(1));
    }
    for entry in fs::read_dir(aside(newest))? {
        let held = entry?.path();
        let is_held = |path: &PathBuf| path.file_name() == held.file_name() && same(path, &held);
        if !paths.iter().any(is_held) {
            return Ok(aside(newest + 1));
        }
    }
    Ok(aside(newest))
}

/// The highest number of a directory of files that were set aside; 0 when there is none.
fn newest_aside(dir: &Path) -> io::Result<u64> {
    let mut newest = 0;
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(ASIDE)?.parse().ok());
        newest = newest.max(number.unwrap_or(0));
    }
    Ok(newest)
}

/// Whether two names are of one file.
fn same(one: &Path, other: &Path) -> bool {
    let id = |path: &Path| fs::metadata(path).map(|it| (it.dev(), it.ino())).ok();
    id(one).is_some() && id(one) == id(other)
}
