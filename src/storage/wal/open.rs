//! Starting: from whatever a crash left to a log that can be appended to.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::format::{Owner, RECORD_HEADER, RecordHeader, SEGMENT_HEADER, SegmentHeader};
use super::history::History;
use super::index::{Extent, LogIndex};
use super::reader::read_header;
use super::scan::{End, Scanner};
use super::spare;
use super::writer::{Active, draw_salt, temporary_path};
use super::{Recovered, WalError, WalOptions, WalReader, WalWriter, segment_path};
use crate::storage::data_dir::Identity;
use crate::storage::files;

/// The log of one node; see [`Wal::open`].
pub struct Wal;

/// A segment that was found.
struct Found {
    path: PathBuf,
    file: File,
    header: SegmentHeader,
}

impl Found {
    /// The lowest number of a segment that this one stands for.
    fn stands_from(&self) -> u64 {
        if self.header.replaces == 0 { self.header.number } else { self.header.replaces }
    }

    fn damaged(&self, offset: u64, what: impl Into<String>) -> WalError {
        WalError::Damaged { path: self.path.clone(), offset, what: what.into() }
    }

    fn scanner(&self) -> Scanner<'_, File> {
        let header = &self.header;
        Scanner::new(&self.file, header.size, header.salt, header.chain())
    }
}

impl Wal {
    /// Opens the log in `dir`, or begins one where there is none. When this returns, all that it tells
    /// of is durable, whatever an earlier process believed.
    ///
    /// # Errors
    /// See [`WalError`]. Nothing is cut away but a torn record at the very end.
    pub fn open(
        dir: &Path,
        identity: &Identity,
        options: WalOptions,
    ) -> Result<(WalWriter, WalReader, Recovered), WalError> {
        let (Some(cluster), Some(node)) = (identity.cluster, identity.node) else {
            return Err(WalError::NoIdentity);
        };
        let owner = Owner { cluster, epoch: identity.epoch, node };
        create_dir(dir).map_err(WalError::io("create", dir))?;
        let mut segments = find(dir, &owner)?;
        drop_replaced(dir, &mut segments)?;
        check_numbers(dir, &segments)?;

        let mut index = LogIndex::default();
        let mut history = History::default();
        let last = segments.pop();
        let followers = segments.iter().skip(1).chain(&last).map(|next| next.header.previous);
        for (segment, next_chain) in segments.iter().zip(followers) {
            scan_sealed(segment, next_chain, &mut history, &mut index)?;
        }
        let mut torn = None;
        let active = match last {
            Some(last) => {
                let end = scan_last(&last, &mut history)?;
                torn = end.torn.then(|| (last.path.clone(), end.offset));
                rewrite(dir, owner, options, &last, end.offset, &mut index)?
            }
            None => begin(dir, owner, options)?,
        };
        let commit = history.commit.min(history.last);
        let writer = WalWriter::new(dir, owner, options, active, commit, index)?;
        let mut reader = WalReader::new(dir, owner, writer.index());
        let tail = reader.read_tail(options.tail_bytes)?;
        let recovered = Recovered {
            last_clock_ms: tail.last().map_or(0, |entry| entry.stamp.clock_ms),
            term_runs: history.term_runs,
            last_index: history.last,
            tail,
            configurations: history.configurations,
            commit,
            torn,
        };
        Ok((writer, reader, recovered))
    }
}

fn create_dir(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => files::sync_dir(parent),
        _ => Ok(()),
    }
}

/// All segments in order of their numbers, settled, with checked headers. What was being prepared is
/// removed.
fn find(dir: &Path, owner: &Owner) -> Result<Vec<Found>, WalError> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(dir).map_err(WalError::io("read", dir))? {
        let name = entry.map_err(WalError::io("read", dir))?.file_name();
        let Some(name) = name.to_str() else { continue };
        if name.ends_with(".tmp") {
            let path = dir.join(name);
            fs::remove_file(&path).map_err(WalError::io("remove", &path))?;
        } else if let Some(number) = name.strip_suffix(".log") {
            numbers.extend(u64::from_str_radix(number, 16).ok());
        }
    }
    numbers.sort_unstable();
    let open = |number| {
        let path = segment_path(dir, number);
        let file = File::open(&path).map_err(WalError::io("open", &path))?;
        files::settle(&file).map_err(WalError::io("sync", &path))?;
        let header = read_header(&path, &file, owner)?;
        let found = Found { path, file, header };
        if header.number == number {
            Ok(found)
        } else {
            Err(found.damaged(0, format!("it is segment {} under another name", header.number)))
        }
    };
    numbers.into_iter().map(open).collect()
}

/// Finishes a start that was interrupted after the copy of the tail was complete.
fn drop_replaced(dir: &Path, segments: &mut Vec<Found>) -> Result<(), WalError> {
    let Some(last) = segments.last() else { return Ok(()) };
    let (from, to) = (last.stands_from(), last.header.number);
    let mut dropped = false;
    for segment in segments.iter().filter(|segment| (from..to).contains(&segment.header.number)) {
        fs::remove_file(&segment.path).map_err(WalError::io("remove", &segment.path))?;
        dropped = true;
    }
    if dropped {
        files::sync_dir(dir).map_err(WalError::io("sync", dir))?;
        segments.retain(|segment| !(from..to).contains(&segment.header.number));
    }
    Ok(())
}

/// The log begins with segment 1 and leaves none out: it is never purged yet.
fn check_numbers(dir: &Path, segments: &[Found]) -> Result<(), WalError> {
    let mut due = 1;
    for segment in segments {
        if segment.stands_from() != due {
            return Err(WalError::Missing { path: dir.to_owned(), number: due });
        }
        due = segment.header.number + 1;
    }
    Ok(())
}

/// A segment that another one follows was durable to its end.
fn scan_sealed(
    segment: &Found,
    next_chain: u32,
    history: &mut History,
    index: &mut LogIndex,
) -> Result<(), WalError> {
    let mut scanner = segment.scanner();
    while let Some(record) = scanner.next_record().map_err(WalError::io("read", &segment.path))? {
        let (header, offset) = (record.header, record.offset);
        history.add(&header, record.payload).map_err(|why| segment.damaged(offset, why.0))?;
        index.add(extent(segment.header.number, &header, offset));
    }
    let end = scanner.end().map_err(WalError::io("read", &segment.path))?;
    if end != End::Clean || scanner.chain() != next_chain {
        let offset = scanner.offset();
        return Err(segment.damaged(offset, "a later segment of the log says that it was whole"));
    }
    Ok(())
}

/// Where the records of the last segment end.
struct LastEnd {
    offset: u64,
    torn: bool,
}

fn scan_last(segment: &Found, history: &mut History) -> Result<LastEnd, WalError> {
    let io = || WalError::io("read", &segment.path);
    let mut scanner = segment.scanner();
    while let Some(record) = scanner.next_record().map_err(io())? {
        let offset = record.offset;
        history
            .add(&record.header, record.payload)
            .map_err(|why| segment.damaged(offset, why.0))?;
    }
    let end = scanner.end().map_err(io())?;
    let offset = scanner.offset();
    match end {
        End::Clean => Ok(LastEnd { offset, torn: false }),
        End::Torn => Ok(LastEnd { offset, torn: true }),
        End::Damaged { later } => {
            let what = format!("a valid record at byte {later} says that it was durable");
            Err(segment.damaged(offset, what))
        }
        End::Suspect => {
            Err(segment.damaged(offset, "what stands there is neither a record nor a torn one"))
        }
    }
}

/// Begins an empty log.
fn begin(dir: &Path, owner: Owner, options: WalOptions) -> Result<Active, WalError> {
    let size = options.hurried_bytes + SEGMENT_HEADER as u64;
    let header = SegmentHeader {
        owner,
        group: 0,
        salt: draw_salt(),
        number: 1,
        replaces: 0,
        first: 1,
        size,
        previous: 0,
    };
    let mut segment = prepare(dir, options, header)?;
    segment.publish(dir)?;
    Ok(segment)
}

/// Copies the records of the last segment into a new one, makes that durable, and removes the old one.
fn rewrite(
    dir: &Path,
    owner: Owner,
    options: WalOptions,
    old: &Found,
    end: u64,
    index: &mut LogIndex,
) -> Result<Active, WalError> {
    let header = SegmentHeader {
        owner,
        salt: draw_salt(),
        number: old.header.number + 1,
        replaces: old.stands_from(),
        size: end + options.hurried_bytes,
        ..old.header
    };
    let mut segment = prepare(dir, options, header)?;
    let mut scanner = old.scanner();
    let mut copy = Vec::new();
    while let Some(record) = scanner.next_record().map_err(WalError::io("read", &old.path))? {
        let header =
            RecordHeader { durable: segment.offset, previous: segment.chain, ..record.header };
        copy.clear();
        copy.resize(RECORD_HEADER, 0);
        copy.extend_from_slice(record.payload);
        index.add(extent(segment.header.number, &header, segment.offset));
        segment.append(&header, &mut copy)?;
    }
    if segment.offset != end {
        return Err(old.damaged(segment.offset, "it cannot be read a second time"));
    }
    segment.publish(dir)?;
    fs::remove_file(&old.path).map_err(WalError::io("remove", &old.path))?;
    files::sync_dir(dir).map_err(WalError::io("sync", dir))?;
    Ok(segment)
}

/// A segment for `header`, at least as large as it says: in the spare if one is left, else in a file
/// that is made now.
fn prepare(dir: &Path, options: WalOptions, header: SegmentHeader) -> Result<Active, WalError> {
    let path = temporary_path(dir);
    let size = options.segment_bytes;
    let spare = header.size <= size
        && spare::take_left(dir, size, &path).map_err(WalError::io("rename", &path))?;
    let header = if spare { SegmentHeader { size, ..header } } else { header };
    if !spare {
        spare::fill(&path, header.size).map_err(WalError::io("prepare", &path))?;
    }
    Active::create(dir, header)
}

fn extent(segment: u64, header: &RecordHeader, offset: u64) -> Extent {
    let (first, last) = (header.first, header.last());
    Extent { first, last, segment, offset, bytes: header.size() }
}
