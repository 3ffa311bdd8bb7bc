//! The term of each entry, as runs of equal ones: terms only ever grow along a log.

use super::Damage;
use crate::raft::{Index, Term};

/// Terms of the entries behind a beginning.
#[derive(Clone, Debug, Default)]
pub struct TermRuns {
    start: (Index, Term),
    /// (first index, term), ascending in both.
    runs: Vec<(Index, Term)>,
}

impl TermRuns {
    /// No entries yet, behind `start`.
    pub fn behind(start: (Index, Term)) -> Self {
        Self { start, runs: Vec::new() }
    }

    /// Forgets all entries from `first` on.
    pub fn truncate(&mut self, first: Index) {
        while self.runs.pop_if(|(index, _)| *index >= first).is_some() {}
    }

    /// From `index` on entries have this term.
    ///
    /// # Errors
    /// When it is lower than the term before.
    pub fn push(&mut self, index: Index, term: Term) -> Result<(), Damage> {
        let last = self.runs.last().map_or(self.start.1, |(_, last)| *last);
        if term < last {
            return Err(Damage("its term goes back"));
        }
        if term > last || self.runs.is_empty() {
            self.runs.push((index, term));
        }
        Ok(())
    }

    /// The term of the entry at `index`, which must be in the log or be its beginning.
    pub fn at(&self, index: Index) -> Term {
        let after = self.runs.partition_point(|(first, _)| *first <= index);
        self.runs[..after].last().map_or(self.start.1, |(_, term)| *term)
    }

    /// Forgets all entries up to `start`. When nothing is left behind it, the run that is kept there
    /// stands for no entry; the next one takes its place.
    pub fn begin_behind(&mut self, start: (Index, Term)) {
        let first = start.0 + 1;
        let begun = self.runs.partition_point(|(index, _)| *index <= first);
        self.runs.drain(..begun.saturating_sub(1));
        if let Some((index, _)) = self.runs.first_mut() {
            *index = first.max(*index);
        }
        self.start = start;
    }

    /// (first index, term) of each run.
    pub fn into_runs(self) -> Vec<(Index, Term)> {
        self.runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs() -> TermRuns {
        let mut runs = TermRuns::default();
        for (index, term) in [(1, 1), (2, 1), (5, 3), (9, 4)] {
            runs.push(index, term).unwrap();
        }
        runs
    }

    #[test]
    fn every_entry_has_the_term_of_its_run() {
        let mut runs = runs();
        assert_eq!([0, 1, 4, 5, 8, 9, 20].map(|index| runs.at(index)), [0, 1, 1, 3, 3, 4, 4]);
        assert!(runs.push(10, 3).is_err());
        runs.truncate(5);
        assert_eq!(runs.clone().into_runs(), [(1, 1)]);
        runs.push(5, 2).unwrap();
        assert_eq!(runs.at(5), 2);
    }

    #[test]
    fn a_later_beginning_cuts_the_run_it_stands_in() {
        let mut cut = runs();
        cut.begin_behind((6, 3));
        assert_eq!((cut.at(6), cut.at(7), cut.at(9)), (3, 3, 4));
        assert_eq!(cut.into_runs(), [(7, 3), (9, 4)]);
        let mut cut = runs();
        cut.begin_behind((4, 1));
        assert_eq!((cut.at(4), cut.at(5)), (1, 3));
        assert_eq!(cut.into_runs(), [(5, 3), (9, 4)]);
        let mut cut = runs();
        cut.begin_behind((12, 4));
        assert_eq!(cut.at(12), 4);
        cut.truncate(13);
        assert!(cut.push(13, 3).is_err(), "the beginning has a term, too");
        cut.push(13, 4).unwrap();
        assert_eq!(cut.into_runs(), [(13, 4)]);
    }
}
