//! What a machine keeps when its process dies.

use bowline::raft::{self, Boot, Configuration, Entry, HardState, Index, Installed, Payload, Term};
use bowline::state::State;
use bowline::storage::MemoryStore;

/// A whole state, and whether something went wrong in it that nobody has noticed.
#[derive(Clone)]
pub struct Copy {
    pub state: State<MemoryStore>,
    pub odd: bool,
}

impl Copy {
    pub fn new() -> Self {
        Self { state: State::new(MemoryStore::default(), crate::machine::cluster_id()), odd: false }
    }

    pub fn applied(&self) -> Index {
        self.state.summary().applied
    }

    /// (index, configuration) as the state remembers it.
    pub fn configuration(&self) -> Option<(Index, Configuration)> {
        let meta = self.state.meta();
        let decode = |bytes| rmp_serde::from_slice(bytes).unwrap();
        (meta.configuration_index > 0)
            .then(|| (meta.configuration_index, decode(&meta.configuration)))
    }

    /// What is told of it where it is installed.
    pub fn installed(&self) -> Installed {
        let summary = self.state.summary();
        let (configuration_index, configuration) = self.configuration().unwrap_or_default();
        Installed {
            index: summary.applied,
            term: summary.term,
            clock_ms: summary.clock_ms,
            configuration,
            configuration_index,
        }
    }
}

#[derive(Clone, Default)]
pub struct Disk {
    pub hard_state: HardState,
    /// The log begins behind this.
    pub start: (Index, Term),
    pub log: Vec<Entry>,
    pub commit: Index,
    /// The newest checkpoint of the state.
    pub checkpoint: Option<Copy>,
    /// Why the state is not to be trusted.
    pub lost: Option<String>,
    /// A state was installed; the log has to follow, unless it holds this entry.
    pub installed: Option<(Index, Term)>,
    /// The log may lack something that was acknowledged.
    pub recovering: bool,
}

impl Disk {
    pub fn last(&self) -> Index {
        self.start.0 + self.log.len() as Index
    }

    pub fn term_at(&self, index: Index) -> Option<Term> {
        if index == self.start.0 {
            return Some(self.start.1);
        }
        self.entry(index).map(|entry| entry.term)
    }

    pub fn entry(&self, index: Index) -> Option<&Entry> {
        self.log.get(index.checked_sub(self.start.0 + 1)? as usize)
    }

    pub fn write(&mut self, write: &raft::Write, commit: Index) {
        if let Some(hard_state) = write.hard_state {
            self.hard_state = hard_state;
        }
        if let Some(start) = write.restart {
            self.restart(start);
        }
        for entry in &write.entries {
            assert!(entry.index > self.start.0, "an entry before the beginning of the log");
            assert!(entry.index <= self.last() + 1, "a gap in the log on disk");
            self.log.truncate((entry.index - self.start.0) as usize - 1);
            self.log.push(entry.clone());
        }
        if write.recovered {
            self.recovering = false;
        }
        self.commit = self.commit.max(commit.min(self.last()));
    }

    /// Deletes what the checkpoint makes superfluous, but for the newest `keep` entries below it. Where
    /// the log begins then, if that is another place than before.
    pub fn purge(&mut self, keep: u64) -> Option<Index> {
        let floor = self.checkpoint.as_ref().map_or(0, Copy::applied).saturating_sub(keep);
        let term = self.term_at(floor).filter(|_| floor > self.start.0)?;
        self.log.drain(..(floor - self.start.0) as usize);
        self.start = (floor, term);
        Some(floor)
    }

    /// Loses the newest entries, though they were durable.
    pub fn lose_tail(&mut self, count: usize) {
        self.log.truncate(self.log.len().saturating_sub(count));
        self.recovering = true;
    }

    /// What a starting process finds, after the repairs that each start begins with.
    pub fn boot(&mut self, id: raft::NodeId) -> Boot {
        if let Some((index, term)) = self.installed
            && index >= self.start.0
            && self.term_at(index) != Some(term)
        {
            self.restart((index, term));
        }
        if let Some(state) = self.checkpoint.as_ref().map(|copy| copy.state.summary())
            && state.applied > self.last()
        {
            // The end of the log was lost, but the state has it.
            self.restart((state.applied, state.term));
        }
        let applied = self.checkpoint.as_ref().map_or(0, Copy::applied);
        let mut term_runs: Vec<(Index, Term)> = Vec::new();
        let of_state = self.checkpoint.as_ref().and_then(Copy::configuration);
        let mut configurations: Vec<_> =
            of_state.into_iter().filter(|(index, _)| self.entry(*index).is_none()).collect();
        for entry in &self.log {
            if term_runs.last().is_none_or(|(_, term)| *term != entry.term) {
                term_runs.push((entry.index, entry.term));
            }
            if let Payload::Configuration(configuration) = &entry.payload {
                configurations.push((entry.index, configuration.clone()));
            }
        }
        let tail = self.log.iter().rev().take(8).rev().cloned().collect();
        let state_clock = self.checkpoint.as_ref().map_or(0, |copy| copy.state.summary().clock_ms);
        Boot {
            id,
            hard_state: self.hard_state,
            configurations,
            term_runs,
            last_index: self.last(),
            tail,
            commit: self.commit.min(self.last()).max(applied),
            last_clock_ms: self.log.last().map_or(state_clock, |entry| entry.stamp.clock_ms),
            start: self.start,
            recovering: self.recovering,
        }
    }

    fn restart(&mut self, start: (Index, Term)) {
        self.log.clear();
        self.start = start;
    }
}
