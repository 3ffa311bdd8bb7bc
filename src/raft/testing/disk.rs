//! A disk: writes are queued, become durable in order when told, and are lost in a crash.

use std::collections::VecDeque;

use crate::raft::{
    Boot, Configuration, Entry, Envelope, HardState, Index, NodeId, Payload, Persisted, Term, Write,
};

/// The durable state of a node, and the writes that are not there yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    pub(super) hard_state: HardState,
    /// The durable log; the entry of index i is at i - 1.
    pub(super) log: Vec<Entry>,
    pub(super) queue: VecDeque<Write>,
}

impl Disk {
    /// Makes the oldest queued write durable; hands back what to report and what to send.
    pub(super) fn persist(&mut self) -> Option<(Persisted, Vec<Envelope>)> {
        let write = self.queue.pop_front()?;
        if let Some(hard_state) = write.hard_state {
            self.hard_state = hard_state;
        }
        for entry in write.entries {
            let at = entry.index as usize - 1;
            assert!(at <= self.log.len(), "a gap on disk");
            self.log.truncate(at);
            self.log.push(entry);
        }
        Some((Persisted { term: write.term, last: write.last }, write.release))
    }

    /// What a process finds when it starts. `commit` is a commit index that it is sure of; so many
    /// of the newest entries are loaded.
    pub(super) fn boot(&self, id: NodeId, commit: Index, load: usize) -> Boot {
        let mut term_runs: Vec<(Index, Term)> = Vec::new();
        let mut configurations: Vec<(Index, Configuration)> = Vec::new();
        for entry in &self.log {
            if term_runs.last().is_none_or(|(_, term)| *term != entry.term) {
                term_runs.push((entry.index, entry.term));
            }
            if let Payload::Configuration(configuration) = &entry.payload {
                configurations.push((entry.index, configuration.clone()));
            }
        }
        let tail = self.log[self.log.len().saturating_sub(load)..].to_vec();
        Boot {
            id,
            hard_state: self.hard_state,
            configurations,
            term_runs,
            last_index: self.log.len() as Index,
            tail,
            commit: commit.min(self.log.len() as Index),
            last_clock_ms: self.log.last().map_or(0, |entry| entry.stamp.clock_ms),
            start: (0, 0),
            recovering: false,
        }
    }

    /// The durable term of an entry.
    pub(super) fn term_at(&self, index: Index) -> Option<Term> {
        let at = index.checked_sub(1)? as usize;
        self.log.get(at).map(|entry| entry.term)
    }

    /// Entries for a node that wants them back.
    pub(super) fn read(&self, first: Index, last: Index, bytes_max: usize) -> Vec<Entry> {
        let (first, last) = (first as usize - 1, (last as usize).min(self.log.len()));
        let mut bytes = 0;
        let mut entries = Vec::new();
        for entry in self.log.get(first..last).unwrap_or_default() {
            bytes += crate::raft::log::entry_bytes(&entry.payload);
            if bytes > bytes_max && !entries.is_empty() {
                break;
            }
            entries.push(entry.clone());
        }
        entries
    }
}
