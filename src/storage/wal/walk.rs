//! Walking through all segments of a log: what is whole, and the first thing that is not.
//!
//! Nothing is changed here but what a crash left half done ([`Leftovers`]), and that only when asked
//! for. What the walk finds is the longest *whole prefix* of the log, which is all of it in a log that
//! is not damaged.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::format::{Owner, RecordHeader, SEGMENT_HEADER, SegmentHeader};
use super::history::History;
use super::index::{Extent, LogIndex};
use super::reader::read_header;
use super::scan::{End, Scanner};
use super::start::Start;
use super::writer::Sealed;
use super::{WalError, WalOptions, active, segment_path};
use crate::raft::Index;
use crate::storage::files;

/// What to do with files that an interrupted start or purge was about to remove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leftovers {
    /// Remove them.
    Remove,
    /// Leave them where they are, and look past them.
    Leave,
}

/// A segment that was found.
pub struct Found {
    /// Where.
    pub path: PathBuf,
    /// The segment, settled.
    pub file: File,
    /// Its checked header.
    pub header: SegmentHeader,
}

/// The segment that the whole prefix ends in.
pub struct Last {
    /// The segment.
    pub found: Found,
    /// Where the whole records end.
    pub end: u64,
    /// Chain value there.
    pub chain: u32,
}

/// What is whole of a log.
pub struct Walk {
    /// Where the log begins.
    pub start: Start,
    /// Numbers of all segments that count, damaged or not, ascending.
    pub numbers: Vec<u64>,
    /// The segments that are whole to their ends, and followed by another one.
    pub sealed: VecDeque<Sealed>,
    /// The one behind them, if any of it is whole.
    pub last: Option<Last>,
    /// The number that is due behind `sealed`.
    pub due: u64,
    /// The index that was due at the beginning of `last`.
    pub due_index: Index,
    /// Chain value at the end of `sealed`.
    pub chain: u32,
    /// What the records add up to, including those of `last`.
    pub history: History,
    /// Where the records of `sealed` stand.
    pub index: LogIndex,
    /// Where the beginning of a record was found that never became durable.
    pub torn: Option<(PathBuf, u64)>,
    /// What the whole prefix ends at, if it does not end where the log does.
    pub damage: Option<WalError>,
}

impl Found {
    fn open(dir: &Path, number: u64, owner: &Owner) -> Result<Self, WalError> {
        let path = segment_path(dir, number);
        let file = File::open(&path).map_err(WalError::io("open", &path))?;
        files::settle(&file).map_err(WalError::io("sync", &path))?;
        let header = read_header(&path, &file, owner)?;
        if header.number == number {
            return Ok(Self { path, file, header });
        }
        let what = format!("it is segment {} under another name", header.number);
        Err(WalError::damaged(&path, 0, what))
    }

    /// A scanner from the first record on.
    pub fn scanner(&self) -> Scanner<'_, File> {
        let header = &self.header;
        Scanner::new(&self.file, header.size, header.salt, header.chain())
    }
}

impl Walk {
    /// Walks through the log in `dir`.
    ///
    /// # Errors
    /// When files cannot be read, or are not this node's; damage is no error here.
    pub fn through(dir: &Path, owner: &Owner, leftovers: Leftovers) -> Result<Self, WalError> {
        let (start, damage) = match Start::read(dir, owner) {
            Ok(start) => (start, None),
            Err(error) if error.is_damage() => (Start::WHOLE, Some(error)),
            Err(error) => return Err(error),
        };
        let mut walk = Self::behind(start);
        walk.numbers = list(dir, leftovers)?;
        if damage.is_some() {
            // Without its beginning no segment can be told from one that was to be deleted.
            return Ok(Self { damage, ..walk });
        }
        walk.skip_leftovers(dir, owner, leftovers)?;
        let (segments, failure) = walk.open_all(dir, owner)?;
        walk.scan_all(segments, failure.is_some())?;
        walk.damage = walk.damage.or(failure);
        Ok(walk.without_gap(dir))
    }

    /// Nothing but a beginning.
    fn behind(start: Start) -> Self {
        Self {
            start,
            numbers: Vec::new(),
            sealed: VecDeque::new(),
            last: None,
            due: start.segment,
            due_index: start.index + 1,
            chain: 0,
            history: History::behind(start.at()),
            index: LogIndex::behind(start.index, start.segment),
            torn: None,
            damage: None,
        }
    }

    /// The segment that goes on where the whole prefix ends, standing for `last` and all that follow.
    pub fn next_header(&self, owner: Owner, options: WalOptions) -> SegmentHeader {
        let number = self.numbers.last().map_or(0, |last| *last).max(self.due - 1) + 1;
        let end = self.last.as_ref().map_or(SEGMENT_HEADER as u64, |last| last.end);
        SegmentHeader {
            owner,
            group: 0,
            salt: active::draw_salt(),
            number,
            replaces: if self.due < number { self.due } else { 0 },
            first: self.due_index,
            size: end + options.hurried_bytes,
            previous: self.chain,
        }
    }

    /// Drops segments from `numbers` that were purged, or that the last one was copied from.
    fn skip_leftovers(
        &mut self,
        dir: &Path,
        owner: &Owner,
        leftovers: Leftovers,
    ) -> Result<(), WalError> {
        let mut replaced = 0..0;
        if let Some(last) = self.numbers.last() {
            match Found::open(dir, *last, owner) {
                Ok(found) => replaced = found.header.stands_from()..*last,
                Err(error) if error.is_damage() => {}
                Err(error) => return Err(error),
            }
        }
        let first = self.start.segment;
        let (gone, stay) = std::mem::take(&mut self.numbers)
            .into_iter()
            .partition(|number| *number < first || replaced.contains(number));
        self.numbers = stay;
        if leftovers == Leftovers::Remove { remove(dir, &gone) } else { Ok(()) }
    }

    /// Opens segment after segment, up to the first that is damaged or missing.
    fn open_all(
        &self,
        dir: &Path,
        owner: &Owner,
    ) -> Result<(Vec<Found>, Option<WalError>), WalError> {
        let (mut segments, mut due) = (Vec::new(), self.due);
        for number in &self.numbers {
            match Found::open(dir, *number, owner) {
                Ok(found) if found.header.stands_from() == due => {
                    due = number + 1;
                    segments.push(found);
                }
                Ok(_) => return Ok((segments, Some(missing(dir, due)))),
                Err(error) if error.is_damage() => return Ok((segments, Some(error))),
                Err(error) => return Err(error),
            }
        }
        // At least the one that the log begins in was published before that was written down.
        let none_left = segments.is_empty() && self.start != Start::WHOLE;
        Ok((segments, none_left.then(|| missing(dir, due))))
    }

    /// Reads all records; `more` when the segments are followed by something that is damaged.
    fn scan_all(&mut self, segments: Vec<Found>, more: bool) -> Result<(), WalError> {
        if let Some(first) = segments.first() {
            if let Err(why) = self.history.begin(first.header.first) {
                self.damage = Some(WalError::damaged(&first.path, 0, why.0));
                return Ok(());
            }
            let (base, oldest) = (first.header.first - 1, first.header.number);
            self.index = LogIndex::behind(base, oldest);
            self.chain = first.header.previous;
        }
        let mut segments = segments.into_iter().peekable();
        while let Some(found) = segments.next() {
            let next = segments.peek().map(|next| next.header.previous);
            self.due_index = self.history.last + 1;
            let is_last = next.is_none() && !more;
            let (end, chain) = self.scan(&found, is_last, next)?;
            if is_last || self.damage.is_some() {
                self.last = Some(Last { found, end, chain });
                return Ok(());
            }
            self.chain = chain;
            self.due = found.header.number + 1;
            self.sealed.push_back(Sealed::of(&found.header));
        }
        self.due_index = self.history.last + 1;
        Ok(())
    }

    /// Reads the records of a segment; returns where they end, and the chain value there.
    fn scan(
        &mut self,
        found: &Found,
        is_last: bool,
        next_chain: Option<u32>,
    ) -> Result<(u64, u32), WalError> {
        let io = || WalError::io("read", &found.path);
        let mut scanner = found.scanner();
        while let Some(record) = scanner.next_record().map_err(io())? {
            let (header, offset) = (record.header, record.offset);
            if let Err(why) = self.history.add(&header, record.payload) {
                self.damage = Some(WalError::damaged(&found.path, offset, why.0));
                return Ok((offset, header.previous));
            }
            if !is_last {
                self.index.add(extent(found.header.number, &header, offset));
            }
        }
        let end = scanner.end().map_err(io())?;
        let (offset, chain) = (scanner.offset(), scanner.chain());
        let what = match end {
            End::Clean if next_chain.is_none_or(|next| next == chain) => None,
            End::Torn if is_last => {
                self.torn = Some((found.path.clone(), offset));
                None
            }
            End::Damaged { later } if is_last => {
                Some(format!("a valid record at byte {later} says that it was durable"))
            }
            _ if is_last => Some("what stands there is neither a record nor a torn one".to_owned()),
            _ => Some("a later segment of the log says that it was whole".to_owned()),
        };
        self.damage = what.map(|what| WalError::damaged(&found.path, offset, what));
        Ok((offset, chain))
    }

    /// When what stands right behind the beginning is missing, nothing behind it is of use.
    fn without_gap(self, dir: &Path) -> Self {
        if !self.history.has_gap() {
            return self;
        }
        let path = segment_path(dir, self.due);
        let lost = || WalError::damaged(&path, 0, "the first entries of the log are missing");
        let Self { start, numbers, damage, .. } = self;
        Self { numbers, damage: damage.or_else(|| Some(lost())), ..Self::behind(start) }
    }
}

/// All segments by number, ascending.
fn list(dir: &Path, leftovers: Leftovers) -> Result<Vec<u64>, WalError> {
    let mut numbers = Vec::new();
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(numbers),
        Err(error) => return Err(WalError::io("read", dir)(error)),
    };
    for entry in entries {
        let name = entry.map_err(WalError::io("read", dir))?.file_name();
        let Some(name) = name.to_str() else { continue };
        if name.ends_with(".tmp") && leftovers == Leftovers::Remove {
            let path = dir.join(name);
            fs::remove_file(&path).map_err(WalError::io("remove", &path))?;
        } else if let Some(number) = name.strip_suffix(".log") {
            numbers.extend(u64::from_str_radix(number, 16).ok());
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Removes segments durably.
pub fn remove(dir: &Path, numbers: &[u64]) -> Result<(), WalError> {
    for number in numbers {
        let path = segment_path(dir, *number);
        fs::remove_file(&path).map_err(WalError::io("remove", &path))?;
    }
    if numbers.is_empty() {
        return Ok(());
    }
    files::sync_dir(dir).map_err(WalError::io("sync", dir))
}

fn missing(dir: &Path, number: u64) -> WalError {
    WalError::Missing { path: dir.to_owned(), number }
}

/// Where a record stands.
pub fn extent(segment: u64, header: &RecordHeader, offset: u64) -> Extent {
    let (first, last) = (header.first, header.last());
    Extent { first, last, segment, offset, bytes: header.size() }
}
