//! What the records of a log, read in order, add up to.

use super::Damage;
use super::entries;
use super::format::RecordHeader;
use crate::raft::{Configuration, Entry, Index, Payload, Term};

/// Terms, configurations and commit index of the log so far.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// (first index, term) of each run of equal terms.
    pub term_runs: Vec<(Index, Term)>,
    /// Index of the last entry.
    pub last: Index,
    /// All configurations with their indexes.
    pub configurations: Vec<(Index, Configuration)>,
    /// The highest commit index that any record knew.
    pub commit: Index,
}

impl History {
    /// Takes in the next record. Its first index may lie below the last one: then it supersedes.
    ///
    /// # Errors
    /// When the record is whole but does not fit to those before it.
    pub fn add(&mut self, header: &RecordHeader, payload: &[u8]) -> Result<(), Damage> {
        if header.first == 0 || header.first > self.last + 1 {
            return Err(Damage("entries are missing before it"));
        }
        self.truncate(header.first);
        if header.has_configuration || header.has_several_terms {
            for entry in entries::decode(header, payload)? {
                self.push(entry)?;
            }
        } else {
            self.push_term(header.first, header.term)?;
        }
        self.last = header.last();
        self.commit = self.commit.max(header.commit);
        Ok(())
    }

    fn truncate(&mut self, first: Index) {
        while self.term_runs.pop_if(|(index, _)| *index >= first).is_some() {}
        while self.configurations.pop_if(|(index, _)| *index >= first).is_some() {}
    }

    fn push(&mut self, entry: Entry) -> Result<(), Damage> {
        self.push_term(entry.index, entry.term)?;
        if let Payload::Configuration(configuration) = entry.payload {
            self.configurations.push((entry.index, configuration));
        }
        Ok(())
    }

    fn push_term(&mut self, index: Index, term: Term) -> Result<(), Damage> {
        match self.term_runs.last() {
            Some((_, last)) if *last == term => {}
            Some((_, last)) if *last > term => return Err(Damage("its term goes back")),
            _ => self.term_runs.push((index, term)),
        }
        Ok(())
    }
}
