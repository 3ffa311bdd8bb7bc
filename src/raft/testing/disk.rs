//! A disk: writes are queued, become durable in order when told, and are lost in a crash. It also
//! keeps the node's state, as far as the core knows of it: which entry it is of.

use std::collections::{BTreeSet, VecDeque};

use crate::raft::{
    Boot, Configuration, Entry, Envelope, HardState, Index, Installed, NodeId, Payload, Persisted,
    Term, Write,
};

/// The durable state of a node, and the writes that are not there yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    pub(super) hard_state: HardState,
    /// (index, term) behind which the log begins.
    pub(super) start: (Index, Term),
    /// The durable log behind the start.
    pub(super) log: Vec<Entry>,
    /// The entries in the order in which they were written, superseded ones too: what the log is made
    /// from, and what a damaged disk forgets the end of.
    journal: Vec<Entry>,
    /// The durable state; none before the first.
    pub(super) state: Option<Installed>,
    /// The log may lack what was acknowledged.
    pub(super) recovering: bool,
    /// What it lost since.
    lost: BTreeSet<(Index, Term)>,
    pub(super) queue: VecDeque<Write>,
}

impl Disk {
    pub(super) fn new(hard_state: HardState, log: Vec<Entry>) -> Self {
        Self { hard_state, journal: log.clone(), log, ..Self::default() }
    }

    /// Makes the oldest queued write durable; hands back what to report and what to send.
    pub(super) fn persist(&mut self) -> Option<(Persisted, Vec<Envelope>)> {
        let write = self.queue.pop_front()?;
        if let Some(hard_state) = write.hard_state {
            self.hard_state = hard_state;
        }
        if let Some(start) = write.restart {
            self.restart(start);
        }
        for entry in write.entries {
            self.journal.push(entry.clone());
            self.put(entry);
        }
        if write.recovered {
            self.recovering = false;
            self.lost.clear();
        }
        Some((Persisted { term: write.term, last: write.last }, write.release))
    }

    fn put(&mut self, entry: Entry) {
        let at = (entry.index - self.start.0) as usize - 1;
        assert!(at <= self.log.len(), "a gap on disk");
        self.log.truncate(at);
        self.log.push(entry);
    }

    fn restart(&mut self, start: (Index, Term)) {
        let holds = |state: &Installed| state.index >= start.0;
        assert!(self.state.as_ref().is_some_and(holds), "a log that begins beyond its state");
        self.start = start;
        self.log.clear();
        self.journal.clear();
    }

    fn last(&self) -> Index {
        self.start.0 + self.log.len() as Index
    }

    /// The state as of an entry in the log.
    pub(super) fn state_at(&self, index: Index) -> Option<Installed> {
        if let Some(state) = self.state.as_ref().filter(|state| state.index == index) {
            return Some(state.clone());
        }
        let entry = self.log.get(index.checked_sub(self.start.0 + 1)? as usize)?;
        let before = self.log.iter().take_while(|entry| entry.index <= index);
        let newest = before.filter_map(|entry| match &entry.payload {
            Payload::Configuration(configuration) => Some((entry.index, configuration.clone())),
            _ => None,
        });
        let of_state = self.state.iter().map(|s| (s.configuration_index, s.configuration.clone()));
        let (configuration_index, configuration) = of_state.chain(newest).last()?;
        let (term, clock_ms) = (entry.term, entry.stamp.clock_ms);
        Some(Installed { index, term, clock_ms, configuration, configuration_index })
    }

    /// Takes the state as of an entry in the log, and drops the entries up to there.
    pub(super) fn purge(&mut self, index: Index) {
        let state = self.state_at(index).expect("what is purged is in the log");
        let term = state.term;
        self.install(state);
        self.log.drain(..(index - self.start.0) as usize);
        self.journal.clone_from(&self.log);
        self.start = (index, term);
    }

    /// Another state takes the place of an older one.
    pub(super) fn install(&mut self, state: Installed) {
        if self.state.as_ref().is_none_or(|old| old.index < state.index) {
            self.state = Some(state);
        }
    }

    /// Loses the entries that were written last; what they superseded is back.
    pub(super) fn forget(&mut self, entries: usize) {
        let before: BTreeSet<(Index, Term)> = self.log.iter().map(|e| (e.index, e.term)).collect();
        self.journal.truncate(self.journal.len().saturating_sub(entries));
        self.log.clear();
        for entry in self.journal.clone() {
            self.put(entry);
        }
        let gone: Vec<_> =
            before.into_iter().filter(|at| self.term_at(at.0) != Some(at.1)).collect();
        self.lost.extend(gone);
        self.recovering = true;
    }

    /// What a process finds when it starts. `commit` is a commit index that it is sure of; so many
    /// of the newest entries are loaded. A log that does not lead to the state begins behind it.
    pub(super) fn boot(&mut self, id: NodeId, commit: Index, load: usize) -> Boot {
        if let Some(state) = &self.state
            && self.term_at(state.index) != Some(state.term)
        {
            let start = (state.index, state.term);
            self.restart(start);
        }
        let mut term_runs: Vec<(Index, Term)> = Vec::new();
        let of_state = self.state.iter().map(|s| (s.configuration_index, s.configuration.clone()));
        let mut configurations: Vec<(Index, Configuration)> = of_state.collect();
        for entry in &self.log {
            if term_runs.last().is_none_or(|(_, term)| *term != entry.term) {
                term_runs.push((entry.index, entry.term));
            }
            if let Payload::Configuration(configuration) = &entry.payload
                && configurations.last().is_none_or(|(index, _)| *index < entry.index)
            {
                configurations.push((entry.index, configuration.clone()));
            }
        }
        let applied = self.state.as_ref().map_or(0, |state| state.index);
        let clock = self.log.last().map(|entry| entry.stamp.clock_ms);
        Boot {
            id,
            hard_state: self.hard_state,
            configurations,
            term_runs,
            last_index: if self.log.is_empty() { 0 } else { self.last() },
            tail: self.log[self.log.len().saturating_sub(load)..].to_vec(),
            commit: commit.min(self.last()).max(applied),
            last_clock_ms: clock.or(self.state.as_ref().map(|s| s.clock_ms)).unwrap_or(0),
            start: self.start,
            recovering: self.recovering,
        }
    }

    /// The durable term of an entry, or of the start.
    pub(super) fn term_at(&self, index: Index) -> Option<Term> {
        if index == self.start.0 {
            return Some(self.start.1);
        }
        let at = index.checked_sub(self.start.0 + 1)? as usize;
        self.log.get(at).map(|entry| entry.term)
    }

    /// Whether an entry is durable here, or was and the node knows that it may have lost it.
    pub(super) fn counts_for(&self, index: Index, term: Term) -> bool {
        self.term_at(index) == Some(term) || self.lost.contains(&(index, term))
    }

    /// Entries for a node that wants them back.
    pub(super) fn read(&self, first: Index, last: Index, bytes_max: usize) -> Vec<Entry> {
        let mut bytes = 0;
        let mut entries = Vec::new();
        let wanted = |entry: &&Entry| entry.index >= first && entry.index <= last;
        for entry in self.log.iter().filter(wanted) {
            bytes += crate::raft::log::entry_bytes(&entry.payload);
            if entry.index != first + entries.len() as Index
                || (bytes > bytes_max && !entries.is_empty())
            {
                break;
            }
            entries.push(entry.clone());
        }
        entries
    }
}
