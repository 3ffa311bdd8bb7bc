//! Appending to the log, and taking away its beginning.

use std::collections::VecDeque;
use std::fs;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Receiver;
use parking_lot::Mutex;

use super::active::{Active, draw_salt};
use super::format::{Owner, SEGMENT_HEADER, SegmentHeader};
use super::gather::Gathered;
use super::index::{Extent, LogIndex};
use super::spare::Spares;
use super::start::Start;
use super::terms::TermRuns;
use super::{WalError, WalOptions, segment_path};
use crate::raft::{Entry, Index, Term};
use crate::storage::files;

/// What a [`WalWriter::sync`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Synced {
    /// Records written: one, more after a very large batch, none when nothing was appended.
    pub records: u64,
    /// Entries in them.
    pub entries: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Time spent in fdatasync.
    pub fsync: Duration,
}

/// The one that writes the log. Not shared: it belongs to the log thread.
pub struct WalWriter {
    dir: PathBuf,
    owner: Owner,
    options: WalOptions,
    /// The segments before the last one, oldest first.
    sealed: VecDeque<Sealed>,
    segment: Active,
    start: Start,
    terms: TermRuns,
    gathered: Gathered,
    done: Synced,
    failed: bool,
    index: Arc<Mutex<LogIndex>>,
    spares: Spares,
}

/// A segment that takes no more records.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sealed {
    /// Its number.
    pub number: u64,
    /// The lowest number of a segment that it stands for.
    pub stands_from: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

impl Sealed {
    pub fn of(header: &SegmentHeader) -> Self {
        Self { number: header.number, stands_from: header.stands_from(), bytes: header.size }
    }
}

/// What is known of a log that was opened.
pub(super) struct Opened {
    pub owner: Owner,
    pub sealed: VecDeque<Sealed>,
    pub segment: Active,
    pub start: Start,
    pub terms: TermRuns,
    pub commit: Index,
    pub index: LogIndex,
}

impl WalWriter {
    pub(super) fn new(dir: &Path, options: WalOptions, opened: Opened) -> Result<Self, WalError> {
        let Opened { owner, sealed, segment, start, terms, commit, index } = opened;
        Ok(Self {
            dir: dir.to_owned(),
            owner,
            options,
            sealed,
            segment,
            start,
            terms,
            gathered: Gathered::new(commit, options.segment_bytes),
            done: Synced::default(),
            failed: false,
            index: Arc::new(Mutex::new(index)),
            spares: Spares::start(dir, options.segment_bytes)?,
        })
    }

    pub(super) fn index(&self) -> Arc<Mutex<LogIndex>> {
        Arc::clone(&self.index)
    }

    /// Index of the last entry that was appended; that of [`WalWriter::start`] when there is none.
    #[must_use]
    pub fn last_index(&self) -> Index {
        self.gathered.last().unwrap_or_else(|| self.index.lock().last())
    }

    /// (index, term) of the entry that the log begins behind; zeros when it has everything.
    #[must_use]
    pub fn start(&self) -> (Index, Term) {
        self.start.at()
    }

    /// Bytes of the log's files, without those that are made ahead.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.sealed.iter().map(|sealed| sealed.bytes).sum::<u64>() + self.segment.header.size
    }

    /// Bytes that were appended and not yet synced.
    #[must_use]
    pub fn gathered_bytes(&self) -> u64 {
        self.gathered.bytes()
    }

    /// Whether the disk has no room for the segments that should be made ahead. What is there still
    /// takes entries for a while: stop clients' writes, and keep the rest for what must go on.
    #[must_use]
    pub fn is_low(&self) -> bool {
        self.spares.is_low()
    }

    /// Holds a message after [`WalWriter::is_low`] has changed.
    #[must_use]
    pub fn low_changed(&self) -> &Receiver<()> {
        self.spares.low_changed()
    }

    /// Takes entries and a commit index that is known to go with the next sync. Entries from the first
    /// index on that the log held are superseded.
    ///
    /// # Panics
    /// When the entries do not follow one another, or leave a gap behind the log, or supersede what
    /// was purged.
    pub fn append(&mut self, entries: &[Entry], commit: Index) {
        let mut due = self.last_index() + 1;
        for entry in entries {
            let fits = entry.index > self.start.index && entry.index <= due;
            assert!(fits, "entry {} after {}", entry.index, due - 1);
            self.gathered.add(entry, due);
            due = entry.index + 1;
        }
        self.gathered.learn_commit(commit);
    }

    /// Makes all that was appended durable, and visible to readers.
    ///
    /// # Errors
    /// [`WalError::Full`] when there is no room for a segment: what is not written yet is kept, and
    /// this may be called again. After any other error what the disk holds is unknown, so nothing
    /// more is ever written.
    pub fn sync(&mut self) -> Result<Synced, WalError> {
        self.gathered.close();
        self.guard(|log| {
            while log.write_next()? {}
            Ok(mem::take(&mut log.done))
        })
    }

    /// Deletes whole segments from the beginning of the log, as far as they hold nothing above
    /// `floor` and at least `keep_bytes` of log stay. Returns the entry that the log begins behind
    /// now; none when nothing was deleted.
    ///
    /// The caller vouches that everything up to `floor` is in a state that is durable.
    ///
    /// # Errors
    /// When the disk fails. A disk that is too full to write down the new beginning is no error:
    /// nothing is deleted then.
    pub fn purge(
        &mut self,
        floor: Index,
        keep_bytes: u64,
    ) -> Result<Option<(Index, Term)>, WalError> {
        let mut stay = self.sealed.iter().map(|sealed| sealed.bytes).sum::<u64>();
        stay += self.segment.offset;
        let goes = |sealed: &&Sealed| {
            stay -= sealed.bytes;
            stay >= keep_bytes && self.index.lock().last_before(sealed.number + 1) <= floor
        };
        let gone = self.sealed.iter().take_while(goes).count();
        if gone == 0 {
            return Ok(None);
        }
        let kept = self.sealed.get(gone).copied().unwrap_or(Sealed::of(&self.segment.header));
        let index = self.index.lock().last_before(kept.number);
        let start = Start { index, term: self.terms.at(index), segment: kept.stands_from };
        match self.guard(|log| log.begin_at(start, kept.number)) {
            Ok(()) => Ok(Some(start.at())),
            Err(WalError::Full { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Forgets the whole log, also what was appended and not synced, and begins anew behind `start`,
    /// the last (index, term) of a state that is durable by now.
    ///
    /// A crash leaves the old log or the new one: first an empty segment is made, then the beginning of
    /// the log is moved to it, then the others are deleted.
    ///
    /// # Errors
    /// [`WalError::Full`] when there is no room for a segment: the old log stands, and this may be
    /// called again. After any other error nothing more is ever written.
    pub fn restart(&mut self, start: (Index, Term)) -> Result<(), WalError> {
        self.gathered.clear();
        self.guard(|log| log.restart_now(start))?;
        self.gathered.learn_commit(start.0);
        Ok(())
    }

    fn restart_now(&mut self, (index, term): (Index, Term)) -> Result<(), WalError> {
        // An earlier attempt may have come this far.
        let fresh = self.segment.offset == SEGMENT_HEADER as u64;
        if !fresh || self.segment.header.first != index + 1 {
            self.begin_segment(index + 1, 0)?;
        }
        let number = self.segment.header.number;
        self.begin_at(Start { index, term, segment: self.segment.header.stands_from() }, number)?;
        *self.index.lock() = LogIndex::behind(index, number);
        self.terms = TermRuns::behind((index, term));
        Ok(())
    }

    /// Moves the beginning of the log to the segment `number` and deletes those before it.
    fn begin_at(&mut self, start: Start, number: u64) -> Result<(), WalError> {
        start.write(&self.dir, &self.owner)?;
        self.start = start;
        self.terms.begin_behind(start.at());
        // Before they go: a reader that finds none must find out why.
        self.index.lock().purge(number);
        while let Some(sealed) = self.sealed.pop_front_if(|sealed| sealed.number < number) {
            let path = segment_path(&self.dir, sealed.number);
            let removed = fs::remove_file(&path).map_err(WalError::io("remove", &path));
            removed.map_err(WalError::final_)?;
        }
        files::sync_dir(&self.dir)
            .map_err(WalError::io("sync", &self.dir))
            .map_err(WalError::final_)
    }

    /// Runs a step that writes, unless one failed before. Whichever way it is left by an error, the
    /// log takes no more writes, except when there was no room and so nothing happened.
    fn guard<T>(
        &mut self,
        step: impl FnOnce(&mut Self) -> Result<T, WalError>,
    ) -> Result<T, WalError> {
        if self.failed {
            return Err(WalError::Failed);
        }
        let result = step(self);
        self.failed = result.as_ref().is_err_and(|error| !matches!(error, WalError::Full { .. }));
        result
    }

    /// Writes the next record, if there is one.
    fn write_next(&mut self) -> Result<bool, WalError> {
        let Some(pending) = self.gathered.front() else { return Ok(false) };
        let (size, first) = (pending.size(), pending.first());
        if size > self.segment.header.size - self.segment.offset {
            self.begin_segment(first, size)?;
        }
        let pending = self.gathered.front().expect("it is still there");
        let offset = self.segment.offset;
        let header = pending.header(offset, self.segment.chain);
        self.segment.append(&header, &mut pending.record)?;
        self.done.fsync += self.segment.sync()?;
        self.done.records += 1;
        self.done.entries += u64::from(header.entries);
        self.done.bytes += size;
        self.terms.truncate(first);
        for (index, term) in &pending.runs {
            self.terms.push(*index, *term).expect("terms never go back along a log");
        }
        let (last, segment) = (header.last(), self.segment.header.number);
        self.index.lock().add(Extent { first, last, segment, offset, bytes: size });
        self.gathered.pop();
        Ok(true)
    }

    /// Goes on in a new segment with room for a record of `needed` bytes. All records of the old one
    /// are durable, as each is synced before the next is written.
    fn begin_segment(&mut self, first: Index, needed: u64) -> Result<(), WalError> {
        let old = &self.segment;
        let header = SegmentHeader {
            owner: self.owner,
            group: 0,
            salt: draw_salt(),
            number: old.header.number + 1,
            replaces: 0,
            first,
            size: self.options.segment_bytes.max(needed + SEGMENT_HEADER as u64),
            previous: old.chain,
        };
        let segment = Active::next(&self.dir, self.options, header, &self.spares)?;
        self.sealed.push_back(Sealed::of(&old.header));
        self.segment = segment;
        Ok(())
    }
}
