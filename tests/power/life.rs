//! A node's storage, without a node: what the threads `log`, `apply` and `checkpoint` do to the disk.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bowline::ids::Id128;
use bowline::raft::{Entry, HardState, Index, Term};
use bowline::storage::{
    Checkpoint, DataDir, Identity, Rows, StateDir, Store, StoreError, StoreOptions, Table, Views,
    VoteFile, Wal, WalOptions, WalReader, WalWriter,
};
use bytes::Bytes;

use super::model::{Model, Step};

/// Small enough that every few steps need a new segment.
const LOG: WalOptions =
    WalOptions { segment_bytes: 8 << 10, hurried_bytes: 2 << 10, tail_bytes: 2 << 10 };
/// Checkpoints only when the script says so.
const STATE: StoreOptions = StoreOptions {
    checkpoint_bytes: u64::MAX,
    checkpoint_interval: Duration::MAX,
    cache_bytes: 1 << 20,
};
const NODE: u64 = 3;

/// The opened storage of a node.
pub struct Life {
    dir: DataDir,
    wal: WalWriter,
    reader: WalReader,
    vote: VoteFile,
    states: StateDir,
    store: Store,
    views: Views,
    /// What the start found: where the log begins, and ends.
    start: (Index, Term),
    last: Index,
    applied: Index,
}

/// What stands on a disk.
#[derive(Debug)]
pub struct Found {
    /// All entries of the log.
    pub log: Vec<Entry>,
    /// The log begins behind this entry.
    pub start: (Index, Term),
    /// Term and vote.
    pub vote: HardState,
    /// Index of the last entry in the checkpoint.
    pub applied: Index,
    /// The checkpoint's rows.
    pub rows: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Life {
    /// Starts as a node does.
    pub fn start(path: &Path) -> Result<Self, String> {
        let mut dir = DataDir::open(path).map_err(text)?;
        if dir.identity().node.is_none() {
            dir.discard_unfinished().map_err(text)?;
            let cluster = Some(Id128([7; 16]));
            let identity = Identity { cluster, node: Some(NODE), ..*dir.identity() };
            dir.set_identity(identity).map_err(text)?;
        }
        let identity = *dir.identity();
        let mut states = StateDir::open(path).map_err(text)?;
        let open = || Wal::open(&dir.log_dir(), &identity, LOG).map_err(text);
        let (mut wal, mut reader, mut recovered) = open()?;
        if let Some(restart) = states.pending_restart() {
            // The crash came between the switch to an installed state and the log's new beginning.
            if recovered.start != restart {
                wal.restart(restart).map_err(text)?;
                drop((wal, reader));
                (wal, reader, recovered) = open()?;
            }
            states.restart_done().map_err(text)?;
        }
        states.remove_unused().map_err(text)?;
        let vote = VoteFile::open(&dir.vote_dir(), &identity, recovered.last_term());
        let vote = vote.map_err(text)?;
        let (store, views, checkpoint) =
            Store::open(&states.current(), STATE, Arc::default()).map_err(text)?;
        let applied = checkpoint.map_or(0, |checkpoint| checkpoint.applied);
        let (start, last) = (recovered.start, recovered.last_index);
        if last < applied {
            return Err(format!("the log ends at {last}, before the state's index {applied}"));
        }
        Ok(Self { dir, wal, reader, vote, states, store, views, start, last, applied })
    }

    /// Does a step; `after` is what must hold then. What this returns from is acknowledged.
    pub fn take(mut self, step: Step, after: &Model) -> Result<Self, String> {
        match step {
            Step::Install { .. } => return self.install(after),
            Step::Restart => {
                let path = self.dir.path().to_owned();
                self.end()?;
                return Self::start(&path);
            }
            Step::Vote => self.vote.write(after.vote).map_err(text)?,
            Step::Append { count, .. } => {
                let entries = after.entries(after.last() + 1 - count);
                self.wal.append(&entries, after.commit());
                self.wal.sync().map_err(text)?;
            }
            Step::Checkpoint => self.checkpoint(after)?,
            // To be kept: nothing. Its bytes are of no interest here.
            Step::Purge => drop(self.wal.purge(self.applied, 0).map_err(text)?),
        }
        Ok(self)
    }

    /// As the applier and the log thread do it, one after the other.
    fn install(mut self, after: &Model) -> Result<Self, String> {
        let restart = (after.applied, after.term(after.applied).unwrap());
        let staged = self.states.stage().map_err(text)?;
        let checkpoint =
            Checkpoint { applied: after.applied, meta: Bytes::from_static(b"installed") };
        let rows = after.rows().into_iter().map(|(key, value)| Ok((key.into(), value.into())));
        Store::build::<StoreError>(&staged, STATE, &checkpoint, rows).map_err(text)?;
        self.states.adopt(&staged, Some(restart)).map_err(text)?;
        let Self { dir, mut wal, reader, vote, mut states, store, views, start, last, .. } = self;
        store.close().map_err(text)?;
        let opened = Store::open_in(&states.current(), STATE, Arc::default(), views.clone());
        let (store, _) = opened.map_err(text)?;
        wal.restart(restart).map_err(text)?;
        states.restart_done().map_err(text)?;
        states.remove_unused().map_err(text)?;
        let applied = after.applied;
        Ok(Self { dir, wal, reader, vote, states, store, views, start, last, applied })
    }

    fn checkpoint(&mut self, after: &Model) -> Result<(), String> {
        let entries = self.reader.read(self.applied + 1, after.applied, usize::MAX);
        for entry in entries.map_err(text)? {
            let (key, value) = Model::row(&entry);
            self.store.put(&key, value.into());
            self.applied = entry.index;
        }
        if self.applied != after.applied {
            return Err(format!("the log ends at {} for its reader", self.applied));
        }
        self.store.publish(self.applied, Bytes::from_static(b"meta"));
        self.store.checkpoint().map_err(text)
    }

    /// Ends without a word, as a node does.
    pub fn end(self) -> Result<(), String> {
        let Self { store, views, .. } = self;
        drop(views);
        store.close().map_err(text)
    }

    /// Everything that is there.
    pub fn found(&mut self) -> Result<Found, String> {
        let start = self.start;
        let log = self.reader.read(start.0 + 1, self.last, usize::MAX).map_err(text)?;
        if log.len() as u64 != self.last - start.0 {
            return Err(format!("{} entries of {}", log.len(), self.last));
        }
        let mut rows = BTreeMap::new();
        let mut collect = |key: &[u8], value: &[u8]| {
            rows.insert(key.to_vec(), value.to_vec());
            true
        };
        self.views.current().scan(b"", None, &mut collect).map_err(text)?;
        let vote = self.vote.state();
        Ok(Found { log, start, vote, applied: self.views.current().applied(), rows })
    }
}

/// Lives through a script, and tells after each step that it is done.
pub fn live(path: &Path, script: &[Step], mut done: impl FnMut(usize)) -> Result<(), String> {
    let mut life = Life::start(path)?;
    let mut model = Model::default();
    done(0);
    for (at, step) in script.iter().enumerate() {
        model.take(*step);
        life = life.take(*step, &model).map_err(|error| format!("{step:?}: {error}"))?;
        done(at + 1);
    }
    life.end()
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
