//! What a node that lives through a script has promised, step by step: computed, not measured.

use std::collections::BTreeMap;

use bowline::raft::{Entry, HardState, Index, Payload, Stamp, Term};

/// How many of the newest entries are not committed, so that they may be superseded.
const OPEN: u64 = 2;
/// Different rows; entries write them over and over.
const ROWS: u64 = 40;

/// One thing that a node does and acknowledges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A new term, and a vote in it.
    Vote,
    /// Entries at the end of the log, synced; the first of them supersede the last `back` ones.
    Append { back: u64, count: u64 },
    /// What is committed is applied, and a checkpoint made of it.
    Checkpoint,
    /// The log up to the checkpoint is deleted, as far as whole segments go.
    Purge,
    /// The state of another node, that many entries further than this log, takes the place of the own
    /// one, and the log begins anew behind it.
    Install { ahead: u64 },
    /// The end and a new start.
    Restart,
}

/// What must be on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    /// Terms of all entries there ever were, from index 1 on, also of those that are purged.
    pub terms: Vec<Term>,
    /// Term and vote.
    pub vote: HardState,
    /// Index of the last entry in the checkpoint.
    pub applied: Index,
}

impl Model {
    /// Does a step.
    pub fn take(&mut self, step: Step) {
        match step {
            Step::Vote => {
                let term = self.vote.term + 1;
                self.vote = HardState { term, vote: Some(1 + term % 3) };
            }
            Step::Append { back, count } => {
                let kept = self.last() - back;
                self.terms.truncate(usize::try_from(kept).unwrap());
                let term = self.vote.term;
                self.terms.extend((0..count).map(|_| term));
            }
            Step::Checkpoint => self.applied = self.commit(),
            Step::Install { ahead } => {
                let last = self.last() + ahead;
                self.terms.truncate(usize::try_from(self.commit()).unwrap());
                let missing = last - self.last();
                let term = self.vote.term;
                self.terms.extend((0..missing).map(|_| term));
                self.applied = last;
            }
            Step::Purge | Step::Restart => {}
        }
    }

    /// This model with the log only up to an index, when that is some of what came after `before`.
    pub fn beginning(&self, before: &Self, last: Index) -> Option<Self> {
        let same = self.terms.iter().zip(&before.terms).take_while(|(a, b)| a == b).count() as u64;
        let terms = self.terms[..usize::try_from(last).ok()?.min(self.terms.len())].to_vec();
        (same < last && last < self.last()).then(|| Self { terms, ..self.clone() })
    }

    /// Index of the last entry.
    pub fn last(&self) -> Index {
        self.terms.len() as u64
    }

    /// Up to where nothing is ever superseded.
    pub fn commit(&self) -> Index {
        self.last().saturating_sub(OPEN).max(self.applied)
    }

    /// Term of an entry; 0 before the first.
    pub fn term(&self, index: Index) -> Option<Term> {
        match usize::try_from(index).unwrap() {
            0 => Some(0),
            index => self.terms.get(index - 1).copied(),
        }
    }

    /// An entry of the log.
    pub fn entry(&self, index: Index) -> Entry {
        let term = self.terms[usize::try_from(index - 1).unwrap()];
        let length = (index * 37 + term * 11) % 400;
        let stamp = Stamp { clock_ms: 10 * index, wall_ms: 20 * index };
        let byte = u8::try_from((index + term) % 251).unwrap();
        let payload = Payload::Command(vec![byte; usize::try_from(length).unwrap() + 1].into());
        Entry { index, term, stamp, payload }
    }

    /// The entries from an index on.
    pub fn entries(&self, from: Index) -> Vec<Entry> {
        (from..=self.last()).map(|index| self.entry(index)).collect()
    }

    /// The row that an entry writes.
    pub fn row(entry: &Entry) -> (Vec<u8>, Vec<u8>) {
        let key = format!("row {:03}", entry.index % ROWS).into_bytes();
        let Payload::Command(command) = &entry.payload else { panic!("only commands here") };
        let value = [format!("{}@{} ", entry.index, entry.term).as_bytes(), command].concat();
        (key, value)
    }

    /// The rows that the checkpoint holds.
    pub fn rows(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        (1..=self.applied).map(|index| Self::row(&self.entry(index))).collect()
    }
}
