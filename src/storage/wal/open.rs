//! Starting: from whatever a crash left to a log that can be appended to.

use std::fs;
use std::io;
use std::path::Path;

use super::active::Active;
use super::format::{Owner, RECORD_HEADER, RecordHeader, SegmentHeader};
use super::index::LogIndex;
use super::walk::{self, Last, Leftovers, Walk};
use super::writer::Opened;
use super::{Recovered, Survey, WalError, WalOptions, WalReader, WalWriter};
use crate::storage::data_dir::Identity;
use crate::storage::files;

/// The log of one node; see [`Wal::open`].
pub struct Wal;

impl Wal {
    /// Opens the log in `dir`, or begins one where there is none. When this returns, all that it tells
    /// of is durable, whatever an earlier process believed.
    ///
    /// # Errors
    /// See [`WalError`]. Nothing is cut away but a torn record at the very end. After damage
    /// ([`WalError::is_damage`]) [`Wal::survey`] tells what is left, and [`Wal::salvage`] goes on
    /// with that.
    pub fn open(
        dir: &Path,
        identity: &Identity,
        options: WalOptions,
    ) -> Result<(WalWriter, WalReader, Recovered), WalError> {
        let owner = owner(identity)?;
        create_dir(dir).map_err(WalError::io("create", dir))?;
        let mut walk = Walk::through(dir, &owner, Leftovers::Remove)?;
        if let Some(damage) = walk.damage {
            return Err(damage);
        }
        let header = walk.next_header(owner, options);
        let segment = copy(dir, options, header, walk.last.as_ref(), &mut walk.index)?;
        if let Some(last) = &walk.last {
            walk::remove(dir, &[last.found.header.number])?;
        }
        let Walk { start, sealed, index, history, torn, .. } = walk;
        let commit = history.commit.min(history.last);
        let (terms, last_index) = (history.terms, history.last);
        let opened = Opened { owner, sealed, segment, start, terms: terms.clone(), commit, index };
        let writer = WalWriter::new(dir, options, opened)?;
        let mut reader = WalReader::new(dir, owner, writer.index());
        let tail = reader.read_tail(options.tail_bytes)?;
        let recovered = Recovered {
            start: start.at(),
            last_clock_ms: tail.last().map_or(0, |entry| entry.stamp.clock_ms),
            term_runs: terms.into_runs(),
            last_index,
            tail,
            configurations: history.configurations,
            commit,
            torn,
        };
        Ok((writer, reader, recovered))
    }

    /// Looks at the log in `dir` without changing anything: what is whole of it from its beginning on,
    /// and where that ends if the log is damaged.
    ///
    /// # Errors
    /// When it cannot be read, or is another node's or a newer program's.
    pub fn survey(dir: &Path, identity: &Identity) -> Result<Survey, WalError> {
        let Walk { start, history, damage, .. } =
            Walk::through(dir, &owner(identity)?, Leftovers::Leave)?;
        Ok(Survey {
            start: start.at(),
            last_index: history.last,
            commit: history.commit.min(history.last),
            term_runs: history.terms.into_runs(),
            configurations: history.configurations,
            damage,
        })
    }
}

/// Whose log is to be opened.
pub fn owner(identity: &Identity) -> Result<Owner, WalError> {
    match (identity.cluster, identity.node) {
        (Some(cluster), Some(node)) => Ok(Owner { cluster, epoch: identity.epoch, node }),
        _ => Err(WalError::NoIdentity),
    }
}

fn create_dir(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => files::sync_dir(parent),
        _ => Ok(()),
    }
}

/// Makes a segment with the whole records of `old` in it, and publishes it: from now on it stands for
/// what its header says, and that may be removed.
pub fn copy(
    dir: &Path,
    options: WalOptions,
    header: SegmentHeader,
    old: Option<&Last>,
    index: &mut LogIndex,
) -> Result<Active, WalError> {
    let mut segment = Active::at_start(dir, options, header)?;
    if let Some(Last { found, end, .. }) = old {
        let mut scanner = found.scanner();
        let mut bytes = Vec::new();
        while segment.offset < *end {
            let record = scanner.next_record().map_err(WalError::io("read", &found.path))?;
            let Some(record) = record else {
                let what = "it cannot be read a second time";
                return Err(WalError::damaged(&found.path, segment.offset, what));
            };
            let header =
                RecordHeader { durable: segment.offset, previous: segment.chain, ..record.header };
            bytes.clear();
            bytes.resize(RECORD_HEADER, 0);
            bytes.extend_from_slice(record.payload);
            index.add(walk::extent(segment.header.number, &header, segment.offset));
            segment.append(&header, &mut bytes)?;
        }
    }
    segment.publish(dir)?;
    Ok(segment)
}
