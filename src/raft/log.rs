//! The log as the core sees it: all its terms, its newest entries, and how far it is durable.
//!
//! Terms are kept for the whole log, as runs of equal terms: a handful of pairs, however long the
//! log is. So every question that consistency asks is answered from memory. Entries themselves are
//! in memory only at the tail; older ones are read from disk for followers that are far behind,
//! by an effect, never from in here.
//!
//! The log begins behind its *start*, the (index, term) of the last entry that was purged or that an
//! installed state stands for. Everything up to there is committed. Of the start itself the term is
//! known, so that what follows can be compared with another log; of what is before, nothing.
//!
//! Invariants:
//!
//! - Indexes are contiguous from behind the start; terms never decrease.
//! - The start is committed, and never goes back.
//! - The entries in memory are contiguous and end at the last index.
//! - What is not yet committed and durable is in memory if it was appended by this process.
//! - Nothing at or below the commit index is ever truncated.
//! - `durable` never exceeds the last index and falls back when a tail is truncated.

use std::collections::VecDeque;

use super::message::{Entry, Payload};
use super::ready::Boot;
use super::{Index, Term};

/// What an entry costs besides its payload: a generous bound for its encoding and bookkeeping.
const ENTRY_OVERHEAD: usize = 64;

/// What an entry counts against limits in bytes.
pub(super) fn entry_bytes(payload: &Payload) -> usize {
    ENTRY_OVERHEAD
        + match payload {
            Payload::Noop => 0,
            Payload::Command(bytes) => bytes.len(),
            Payload::Configuration(configuration) => {
                let text = |text: &String| text.len();
                let members = configuration.members.values().map(|member| &member.info);
                members.map(|i| 64 + text(&i.name) + text(&i.peer) + text(&i.http)).sum()
            }
        }
}

/// An entry in memory.
#[derive(Clone, Debug, PartialEq)]
struct Slot {
    entry: Entry,
    /// Bytes of all entries that were ever put in memory up to this one, so that the bytes between
    /// two entries are a subtraction.
    end: u64,
}

/// The log.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Log {
    /// (index, term) behind which it begins; (0, 0) for a log that has all its entries.
    start: (Index, Term),
    /// (first index, term) of each run of equal terms that reaches beyond the start, ascending. The
    /// first may begin before.
    runs: Vec<(Index, Term)>,
    /// Last index; that of the start when there are no entries.
    last: Index,
    /// The newest entries.
    memory: VecDeque<Slot>,
    /// `end` of the entry before the first in memory.
    base: u64,
    /// Last index that is durable on this node's disk.
    durable: Index,
    /// Last index that is known to be committed.
    commit: Index,
    /// First index that has not been handed out to be written.
    unwritten: Index,
    /// The log was replaced, and that has not been handed out to be written.
    restarted: bool,
    /// Up to here the commit index is known from a state (its own or an installed one), not from the
    /// leader of this or an earlier term. So a leader that is out of date, unknown to this node, may
    /// contradict it.
    vouched: Index,
}

impl Log {
    /// The log as it was found on disk: all of it is durable.
    pub(super) fn new(boot: &Boot) -> Self {
        let start = boot.start;
        let last = boot.last_index.max(start.0);
        let commit = boot.commit.max(start.0);
        let mut log = Self {
            start,
            runs: boot.term_runs.clone(),
            last,
            memory: VecDeque::new(),
            base: 0,
            durable: last,
            commit,
            unwritten: last + 1,
            restarted: false,
            vouched: commit,
        };
        assert!(log.commit <= log.last, "commit {} beyond last {}", log.commit, log.last);
        assert!(log.runs.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1), "term runs out of order");
        log.trim_runs();
        let known_from = log.runs.first().map_or(log.last + 1, |(first, _)| *first);
        assert!(known_from <= log.start.0 + 1, "terms and last index disagree");
        assert!(log.runs.iter().all(|run| run.1 >= log.start.1), "the log begins in a later term");
        let tail: Vec<&Entry> = boot.tail.iter().filter(|entry| entry.index > start.0).collect();
        let starts = tail.first().map_or(log.last + 1, |entry| entry.index);
        for (index, entry) in (starts..).zip(tail) {
            assert_eq!(entry.index, index, "a gap in the tail");
            assert_eq!(log.term_at(index), Some(entry.term), "tail and terms disagree");
            log.remember(entry.clone());
        }
        assert_eq!(starts + log.memory.len() as u64, log.last + 1, "a tail that ends elsewhere");
        log
    }

    /// (index, term) behind which the log begins.
    pub(super) fn start(&self) -> (Index, Term) {
        self.start
    }

    /// Last index; that of the start when there are no entries.
    pub(super) fn last_index(&self) -> Index {
        self.last
    }

    /// Term of the last entry; that of the start when there are none.
    pub(super) fn last_term(&self) -> Term {
        self.runs.last().map_or(self.start.1, |(_, term)| *term)
    }

    /// (index, term) of the last entry.
    pub(super) fn last(&self) -> (Index, Term) {
        (self.last, self.last_term())
    }

    /// Last index that is committed.
    pub(super) fn commit(&self) -> Index {
        self.commit
    }

    /// Last index that is durable here.
    pub(super) fn durable(&self) -> Index {
        self.durable
    }

    /// Up to where another leader's contradiction is no proof of a broken protocol.
    pub(super) fn vouched(&self) -> Index {
        self.vouched
    }

    /// The term of an entry or of the start; none before the start and beyond the last entry.
    pub(super) fn term_at(&self, index: Index) -> Option<Term> {
        if index == self.start.0 {
            return Some(self.start.1);
        }
        if index < self.start.0 || index > self.last {
            return None;
        }
        let run = self.runs.partition_point(|(first, _)| *first <= index);
        Some(self.runs[run - 1].1)
    }

    /// The largest index up to `index` whose term is at most `term`: where two logs may still be
    /// equal, given that one of them holds nothing newer than `term` there. A result before the start
    /// means only that it is not in this log.
    pub(super) fn last_index_below(&self, index: Index, term: Term) -> Index {
        let index = index.min(self.last);
        if term < self.start.1 {
            return index.min(self.start.0.saturating_sub(1));
        }
        match self.runs.iter().find(|(_, run)| *run > term) {
            Some((first, _)) => index.min(first - 1),
            None => index,
        }
    }

    /// Whether a log that ends at (index, term) is at least as complete as this one (thesis 3.6.1).
    pub(super) fn is_up_to_date(&self, index: Index, term: Term) -> bool {
        (term, index) >= (self.last_term(), self.last)
    }

    /// Adds an entry at the end.
    pub(super) fn append(&mut self, entry: Entry) {
        assert_eq!(entry.index, self.last + 1, "a gap in the log");
        assert!(entry.term >= self.last_term(), "terms in the log decrease");
        if self.runs.last().is_none_or(|(_, term)| *term < entry.term) {
            self.runs.push((entry.index, entry.term));
        }
        self.last = entry.index;
        self.remember(entry);
    }

    fn remember(&mut self, entry: Entry) {
        let before = self.memory.back().map_or(self.base, |slot| slot.end);
        let end = before + entry_bytes(&entry.payload) as u64;
        self.memory.push_back(Slot { entry, end });
    }

    /// Cuts the log off from `first` on.
    pub(super) fn truncate(&mut self, first: Index) {
        assert!(first > self.commit, "truncating {first}, committed is {}", self.commit);
        assert!(first <= self.last, "truncating {first} beyond the last index {}", self.last);
        self.last = first - 1;
        self.runs.retain(|(run, _)| *run < first);
        while self.memory.back().is_some_and(|slot| slot.entry.index >= first) {
            self.memory.pop_back();
        }
        self.durable = self.durable.min(self.last);
        self.unwritten = self.unwritten.min(first);
    }

    /// The log on disk begins behind `index` now: what is before does not exist any more.
    pub(super) fn purge(&mut self, index: Index) {
        if index <= self.start.0 {
            return;
        }
        assert!(index <= self.commit, "purged {index}, committed is {}", self.commit);
        assert!(index <= self.durable, "purged {index}, durable is {}", self.durable);
        let term = self.term_at(index).expect("what is committed is in the log");
        self.start = (index, term);
        self.trim_runs();
        while self.memory.front().is_some_and(|slot| slot.entry.index <= index) {
            self.base = self.memory.pop_front().expect("there is a front").end;
        }
    }

    /// Keeps the runs that reach beyond the start.
    fn trim_runs(&mut self) {
        let beyond = self.runs.partition_point(|(first, _)| *first <= self.start.0 + 1);
        self.runs.drain(..beyond.saturating_sub(1));
        if self.last == self.start.0 {
            self.runs.clear();
        }
    }

    /// A state as of (index, term) took the place of the log: it begins anew behind, without
    /// entries. Nothing of it is durable before the next write.
    pub(super) fn restart(&mut self, (index, term): (Index, Term)) {
        assert!(index > self.commit, "a state of {index} in place of {} committed", self.commit);
        self.base = self.memory.back().map_or(self.base, |slot| slot.end);
        self.memory.clear();
        self.runs.clear();
        self.start = (index, term);
        self.last = index;
        self.commit = index;
        self.vouched = index;
        self.durable = 0;
        self.unwritten = index + 1;
        self.restarted = true;
    }

    /// Raises the commit index on the word of an installed state.
    pub(super) fn vouch(&mut self, index: Index) {
        self.vouched = self.vouched.max(index);
    }

    /// Raises the commit index.
    pub(super) fn commit_to(&mut self, index: Index) {
        assert!(index >= self.commit, "commit goes back from {} to {index}", self.commit);
        assert!(index <= self.last, "commit {index} beyond the last index {}", self.last);
        self.commit = index;
    }

    /// A write that was issued in the current term, when the log ended at (index, term), is durable.
    /// If that entry is still there then so is all before it, and nothing below it was replaced
    /// since, as within a term a log is never truncated where it agrees with the leader's.
    ///
    /// That goes for a log that was restarted in this term, too. If the entry is behind the new
    /// start, it is the leader's, and so was the old log's entry of that position: then that log held
    /// the leader's entry at the start as well, agreed with the installed state, and would have been
    /// kept. If it is the start itself, then the state that stands for it is durable already.
    pub(super) fn persisted(&mut self, (index, term): (Index, Term)) {
        if self.restarted {
            return; // It certainly speaks of the log before.
        }
        if self.term_at(index) == Some(term) && index > self.durable {
            assert!(index < self.unwritten, "{index} is durable but was never handed out");
            self.durable = index;
        }
    }

    /// Hands out the entries that have to be written.
    pub(super) fn take_unwritten(&mut self) -> Vec<Entry> {
        let entries = self
            .entries(self.unwritten, self.last, usize::MAX)
            .expect("entries stay in memory until they are durable");
        self.unwritten = self.last + 1;
        entries
    }

    /// Hands out that the log begins anew behind (index, term), if it does.
    pub(super) fn take_restart(&mut self) -> Option<(Index, Term)> {
        std::mem::take(&mut self.restarted).then_some(self.start)
    }

    /// Whether a restart is to be written.
    pub(super) fn has_restarted(&self) -> bool {
        self.restarted
    }

    /// Whether there are entries to write.
    pub(super) fn has_unwritten(&self) -> bool {
        self.unwritten <= self.last
    }

    /// First index in memory; one beyond the last when there is none.
    pub(super) fn memory_start(&self) -> Index {
        self.last + 1 - self.memory.len() as u64
    }

    /// Entries from memory: as many as fit in `bytes_max`, but at least one if there are any.
    /// None when `first` has left memory.
    pub(super) fn entries(
        &self,
        first: Index,
        last: Index,
        bytes_max: usize,
    ) -> Option<Vec<Entry>> {
        let last = last.min(self.last);
        if first > last {
            return Some(Vec::new());
        }
        let skip = first.checked_sub(self.memory_start())? as usize;
        let start = if skip == 0 { self.base } else { self.memory[skip - 1].end };
        let limit = start.saturating_add(bytes_max as u64);
        let wanted = self.memory.range(skip..).take_while(|slot| {
            let first_one = slot.entry.index == first;
            slot.entry.index <= last && (slot.end <= limit || first_one)
        });
        Some(wanted.map(|slot| slot.entry.clone()).collect())
    }

    /// Whether there are commands among the entries from `first` on; those that have left memory are
    /// taken for some.
    pub(super) fn has_commands(&self, first: Index) -> bool {
        let Some(skip) = first.checked_sub(self.memory_start()) else { return true };
        let behind = self.memory.iter().skip(skip as usize);
        behind.into_iter().any(|slot| matches!(slot.entry.payload, Payload::Command(_)))
    }

    /// Bytes of the entries above the commit index (as far as they are in memory).
    pub(super) fn uncommitted_bytes(&self) -> usize {
        let end = self.memory.back().map_or(self.base, |slot| slot.end);
        let committed = match (self.commit + 1).checked_sub(self.memory_start()) {
            None | Some(0) => self.base,
            Some(count) => self.memory[count as usize - 1].end,
        };
        (end - committed) as usize
    }

    /// Lets go of the oldest entries in memory until they fit in `bytes_max`, but of none beyond
    /// `limit`, nor of what is not committed and durable.
    pub(super) fn release(&mut self, limit: Index, bytes_max: usize) {
        let limit = limit.min(self.durable).min(self.commit);
        let end = self.memory.back().map_or(self.base, |slot| slot.end);
        while end - self.base > bytes_max as u64
            && self.memory.front().is_some_and(|slot| slot.entry.index <= limit)
        {
            self.base = self.memory.pop_front().expect("there is a front").end;
        }
    }

    /// Checks what can be checked cheaply.
    pub(super) fn assert_invariants(&self) {
        assert!(self.commit <= self.last, "commit beyond the last index");
        assert!(self.start.0 <= self.commit, "the log begins beyond the commit index");
        assert!(self.start.1 <= self.last_term(), "the log begins in a later term");
        assert!(self.durable <= self.last, "durable beyond the last index");
        assert!(self.durable < self.unwritten, "durable but not handed out");
        assert!(self.unwritten <= self.last + 1, "handed out beyond the last index");
        assert!(self.memory_start() <= self.unwritten, "left memory before it was handed out");
        assert!(self.memory_start() > self.start.0, "memory from before the start");
        assert_eq!(self.runs.is_empty(), self.last == self.start.0, "terms and entries disagree");
        if let Some(slot) = self.memory.back() {
            assert_eq!(slot.entry.index, self.last, "memory ends elsewhere");
            assert_eq!(slot.entry.term, self.last_term(), "memory and terms disagree");
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::raft::{HardState, Stamp};

    fn entry(index: Index, term: Term) -> Entry {
        let payload = Payload::Command(Bytes::from(vec![b'x'; 36]));
        Entry { index, term, stamp: Stamp::default(), payload }
    }

    /// A log with these terms, of which `loaded` entries are in memory; each counts 100 bytes.
    fn log(terms: &[Term], loaded: usize) -> Log {
        let entries: Vec<Entry> =
            (1..).zip(terms).map(|(index, term)| entry(index, *term)).collect();
        let mut term_runs: Vec<(Index, Term)> = Vec::new();
        for entry in &entries {
            if term_runs.last().is_none_or(|(_, term)| *term < entry.term) {
                term_runs.push((entry.index, entry.term));
            }
        }
        Log::new(&Boot {
            id: 1,
            hard_state: HardState::default(),
            configurations: Vec::new(),
            term_runs,
            last_index: entries.len() as Index,
            tail: entries[entries.len() - loaded..].to_vec(),
            commit: 0,
            last_clock_ms: 0,
            start: (0, 0),
            recovering: false,
        })
    }

    fn indexes(entries: Option<Vec<Entry>>) -> Option<Vec<Index>> {
        entries.map(|entries| entries.iter().map(|entry| entry.index).collect())
    }

    #[test]
    fn terms_are_known_for_the_whole_log() {
        let log = log(&[1, 1, 3, 3, 6], 1);
        let terms: Vec<_> = (0..=6).map(|index| log.term_at(index)).collect();
        assert_eq!(terms, [Some(0), Some(1), Some(1), Some(3), Some(3), Some(6), None]);
        assert_eq!(log.last_index_below(5, 5), 4);
        assert_eq!(log.last_index_below(9, 9), 5);
        assert_eq!(log.last_index_below(4, 2), 2);
        assert_eq!(log.last_index_below(5, 0), 0);
    }

    #[test]
    fn entries_come_in_bounded_portions_of_at_least_one() {
        let log = log(&[1, 1, 1, 1, 1], 4);
        assert_eq!(indexes(log.entries(2, 5, 300)), Some(vec![2, 3, 4]));
        assert_eq!(indexes(log.entries(2, 3, 300)), Some(vec![2, 3]));
        assert_eq!(indexes(log.entries(3, 5, 1)), Some(vec![3]));
        assert_eq!(indexes(log.entries(6, 9, 100)), Some(vec![]));
        assert_eq!(indexes(log.entries(1, 5, 100)), None, "1 is not in memory");
    }

    #[test]
    fn memory_keeps_what_is_not_applied_durable_and_committed() {
        let mut log = log(&[1, 1, 1], 3);
        log.append(entry(4, 2));
        log.commit_to(4);
        log.release(4, 0);
        assert_eq!(log.memory_start(), 4, "4 is not durable yet");
        assert_eq!(log.take_unwritten().len(), 1);
        log.persisted((4, 2));
        log.release(3, 0);
        assert_eq!(log.memory_start(), 4, "4 is not applied yet");
        log.release(4, 100);
        assert_eq!(log.memory_start(), 4, "there is room for one");
        log.release(4, 99);
        assert_eq!(log.memory_start(), 5);
        log.assert_invariants();
    }

    #[test]
    fn uncommitted_bytes_follow_appends_commits_and_truncations() {
        let mut log = log(&[1, 1, 1], 2);
        assert_eq!(log.uncommitted_bytes(), 200, "of those in memory");
        log.commit_to(2);
        assert_eq!(log.uncommitted_bytes(), 100);
        log.append(entry(4, 2));
        assert_eq!(log.uncommitted_bytes(), 200);
        log.truncate(3);
        assert_eq!(log.uncommitted_bytes(), 0);
    }

    #[test]
    fn truncation_takes_back_what_was_durable_and_what_was_handed_out() {
        let mut log = log(&[1, 1, 1], 3);
        log.truncate(2);
        assert_eq!((log.durable(), log.last()), (1, (1, 1)));
        log.append(entry(2, 4));
        assert_eq!(indexes(Some(log.take_unwritten())), Some(vec![2]));
        log.persisted((3, 1));
        assert_eq!(log.durable(), 1, "an entry that is gone");
        log.persisted((2, 4));
        assert_eq!(log.durable(), 2);
        log.assert_invariants();
    }

    #[test]
    fn a_purged_log_begins_behind_its_start() {
        let mut log = log(&[1, 1, 3, 3, 6], 4);
        log.commit_to(4);
        log.purge(3);
        assert_eq!((log.start(), log.last(), log.memory_start()), ((3, 3), (5, 6), 4));
        let terms: Vec<_> = (2..=6).map(|index| log.term_at(index)).collect();
        assert_eq!(terms, [None, Some(3), Some(3), Some(6), None]);
        assert_eq!(log.last_index_below(5, 2), 2, "before the start");
        assert_eq!(log.last_index_below(5, 5), 4);
        assert_eq!(indexes(log.entries(3, 5, 1000)), None);
        log.purge(2);
        assert_eq!(log.start(), (3, 3), "it never goes back");
        log.assert_invariants();
        log.commit_to(5);
        log.purge(5);
        assert_eq!((log.last(), log.last_term(), log.uncommitted_bytes()), ((5, 6), 6, 0));
        log.append(entry(6, 6));
        assert_eq!((log.term_at(6), log.last_index_below(6, 5)), (Some(6), 4));
        log.assert_invariants();
    }

    #[test]
    fn a_log_found_behind_a_start_is_the_same_as_one_that_was_purged() {
        let mut purged = log(&[1, 1, 3, 3, 6], 5);
        purged.commit_to(3);
        purged.purge(3);
        let found = Log::new(&Boot {
            id: 1,
            hard_state: HardState::default(),
            configurations: Vec::new(),
            term_runs: vec![(3, 3), (5, 6)],
            last_index: 5,
            tail: vec![entry(3, 3), entry(4, 3), entry(5, 6)],
            commit: 0,
            last_clock_ms: 0,
            start: (3, 3),
            recovering: false,
        });
        assert_eq!((found.start(), found.last(), found.commit()), ((3, 3), (5, 6), 3));
        for index in 0..=6 {
            assert_eq!(found.term_at(index), purged.term_at(index));
            assert_eq!(found.entries(index, 6, 150), purged.entries(index, 6, 150));
        }
    }

    #[test]
    fn nothing_of_a_restarted_log_is_durable_before_its_write() {
        let mut log = log(&[1, 1, 1], 3);
        log.append(entry(4, 1));
        log.restart((7, 2));
        assert_eq!((log.last(), log.commit(), log.durable()), ((7, 2), 7, 0));
        assert_eq!(log.uncommitted_bytes(), 0);
        log.persisted((4, 1));
        assert_eq!(log.durable(), 0, "an entry that is gone");
        log.persisted((7, 2));
        assert_eq!(log.durable(), 0, "it was not handed out yet");
        log.append(entry(8, 2));
        assert_eq!(log.take_restart(), Some((7, 2)));
        assert_eq!(indexes(Some(log.take_unwritten())), Some(vec![8]));
        assert_eq!(log.take_restart(), None);
        log.persisted((8, 2));
        assert_eq!(log.durable(), 8);
        log.assert_invariants();
    }

    #[test]
    #[should_panic(expected = "purged 3, committed is 2")]
    fn what_is_not_committed_is_never_purged() {
        let mut log = log(&[1, 1, 1], 3);
        log.commit_to(2);
        log.purge(3);
    }

    #[test]
    #[should_panic(expected = "truncating 2, committed is 2")]
    fn what_is_committed_is_never_truncated() {
        let mut log = log(&[1, 1, 1], 3);
        log.commit_to(2);
        log.truncate(2);
    }
}
