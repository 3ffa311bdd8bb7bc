//! What the records of a log, read in order, add up to.

use super::Damage;
use super::entries;
use super::format::RecordHeader;
use super::terms::TermRuns;
use crate::raft::{Configuration, Entry, Index, Payload, Term};

/// Terms, configurations and commit index of the log so far.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The log begins behind this entry.
    pub start: (Index, Term),
    /// Terms of the entries.
    pub terms: TermRuns,
    /// Index of the last entry.
    pub last: Index,
    /// All configurations with their indexes.
    pub configurations: Vec<(Index, Configuration)>,
    /// The highest commit index that is known.
    pub commit: Index,
    /// What the records so far build on. The first segment that is left may begin with records whose
    /// predecessors were purged, as a later record superseded both; until that comes this is above
    /// the beginning.
    base: Index,
}

impl History {
    /// The history of a log that begins behind `start`, before its first record. What stood up to
    /// there was committed.
    pub fn behind(start: (Index, Term)) -> Self {
        let (index, _) = start;
        let terms = TermRuns::behind(start);
        Self { start, terms, last: index, commit: index, base: index, ..Self::default() }
    }

    /// The first segment was begun when entry `first` was due.
    ///
    /// # Errors
    /// When that does not fit to the beginning of the log.
    pub fn begin(&mut self, first: Index) -> Result<(), Damage> {
        if first <= self.start.0 {
            return Err(Damage("it begins before the log does"));
        }
        self.base = first - 1;
        self.last = self.base;
        Ok(())
    }

    /// Takes in the next record. Its first index may lie below the last one: then it supersedes.
    ///
    /// # Errors
    /// When the record is whole but does not fit to those before it.
    pub fn add(&mut self, header: &RecordHeader, payload: &[u8]) -> Result<(), Damage> {
        if header.first > self.last + 1 {
            return Err(Damage("entries are missing before it"));
        }
        if header.first <= self.start.0 {
            return Err(Damage("it supersedes what was committed"));
        }
        self.truncate(header.first);
        if header.has_configuration || header.has_several_terms {
            for entry in entries::decode(header, payload)? {
                self.push(entry)?;
            }
        } else {
            self.terms.push(header.first, header.term)?;
        }
        self.base = self.base.min(header.first - 1);
        self.last = header.last();
        self.commit = self.commit.max(header.commit);
        Ok(())
    }

    /// Whether entries are missing right behind the beginning.
    pub fn has_gap(&self) -> bool {
        self.base != self.start.0
    }

    fn truncate(&mut self, first: Index) {
        self.terms.truncate(first);
        while self.configurations.pop_if(|(index, _)| *index >= first).is_some() {}
    }

    fn push(&mut self, entry: Entry) -> Result<(), Damage> {
        self.terms.push(entry.index, entry.term)?;
        if let Payload::Configuration(configuration) = entry.payload {
            self.configurations.push((entry.index, configuration));
        }
        Ok(())
    }
}
