//! What the disk holds, and what is done when that is not what it should be.
//!
//! | what is found | what follows |
//! |---|---|
//! | all is well | the log is replayed from the checkpoint on |
//! | the log is damaged, or ends before the state | *recovering*: the whole prefix stays, the rest is set aside, and until a leader has replaced it this node gives no votes |
//! | the state is damaged, or the log does not join it | the state is *lost*: it is built again from the log where that has everything, else fetched from another node |
//! | an install was interrupted | it is finished: the log begins behind the installed state |
//! | the vote is damaged | refused: nobody can tell what this node has promised |
//!
//! What has to be replaced by others cannot be when there are none: the only voter of a cluster is
//! refused with the file and what to do, instead of waiting for ever.

use std::path::Path;
use std::sync::Arc;

use super::boot::{self, StartError};
use crate::ids::ClusterId;
use crate::metrics::Metrics;
use crate::raft::{Boot, Configuration, Index, Term};
use crate::state::State;
use crate::storage::{
    Checkpoint, DataDir, Recovered, StateDir, Store, StoreError, StoreErrorKind, StoreOptions,
    Views, VoteFile, Wal, WalOptions, WalReader, WalWriter,
};

/// The store of the state that counts, and what its checkpoint says; none when the state is lost, and
/// then the manifest says why.
pub type OpenStore = Option<(Store, Option<Checkpoint>)>;

/// Opens the state that counts.
///
/// # Errors
/// When it is newer than this program, in use, or the disk fails.
pub fn open_store(
    dir: &mut StateDir,
    options: StoreOptions,
    views: &Views,
    metrics: &Arc<Metrics>,
) -> Result<OpenStore, StartError> {
    if dir.lost().is_some() {
        return Ok(None);
    }
    match Store::open_in(&dir.current(), options, Arc::clone(metrics), views.clone()) {
        Ok(opened) => Ok(Some(opened)),
        Err(error) if error.kind() == StoreErrorKind::Damaged => {
            lose(dir, &error.to_string())?;
            Ok(None)
        }
        Err(error) => Err(StartError::failed(error)),
    }
}

fn lose(dir: &mut StateDir, why: &str) -> Result<(), StartError> {
    log::error!("the state is lost: {why}");
    dir.set_lost(why).map_err(StartError::failed)
}

/// Everything that a member's disk holds.
pub struct Found {
    /// What the core needs to know.
    pub boot: Boot,
    /// Of the log.
    pub writer: WalWriter,
    /// Of the log.
    pub reader: WalReader,
    /// Term and vote.
    pub vote: VoteFile,
    /// The state; none when it is lost.
    pub state: Option<State<Store>>,
    /// Why it is.
    pub state_lost: Option<String>,
    /// Why the log may lack something that was acknowledged.
    pub recovering: Option<String>,
    /// Index of the list of members that the hint file keeps.
    pub members_of: Index,
}

/// What recovery works with.
pub struct Recovery<'a> {
    /// Whose data it is.
    pub data: &'a DataDir,
    /// The states.
    pub dir: &'a mut StateDir,
    /// How a state is opened.
    pub store: StoreOptions,
    /// Sizes of the log.
    pub wal: WalOptions,
    /// Whom the state is shown to.
    pub views: &'a Views,
    /// What is counted.
    pub metrics: &'a Arc<Metrics>,
    /// The cluster that all must belong to.
    pub cluster: ClusterId,
}

/// The parts of a log that was opened.
type Log = (WalWriter, WalReader, Recovered);

impl Recovery<'_> {
    /// Opens everything, and settles what does not fit together.
    ///
    /// # Errors
    /// When something is lost that nobody can replace, is not this node's, or cannot be read.
    pub fn run(mut self, opened: OpenStore) -> Result<Found, StartError> {
        let mut state = match opened {
            Some((store, checkpoint)) => self.state(store, checkpoint.as_ref())?,
            None => None,
        };
        let mut known = self.members(state.as_ref())?;
        let at = state.as_ref().map_or((0, 0), |state| {
            let summary = state.summary();
            (summary.applied, summary.term)
        });
        let (writer, reader, recovered) = self.log(at, &mut known)?;
        known.extend(recovered.configurations.iter().cloned());
        state = self.join(state, recovered.start.0, &known)?;
        let id = self.data.identity().node.expect("a node that recovers was admitted");
        let vote =
            VoteFile::open(&self.data.vote_dir(), self.data.identity(), recovered.last_term())
                .map_err(StartError::failed)?;
        let summary = state.as_ref().map(State::summary);
        let applied = summary.map_or(0, |summary| summary.applied);
        let commit = recovered.commit.max(applied);
        let configurations = self.configurations(state.as_ref(), &recovered)?;
        refuse_removed(self.data.path(), id, &configurations, commit)?;
        let recovering = self.data.recovering().map_err(StartError::failed)?;
        let stamped = summary.map_or(0, |summary| summary.clock_ms);
        let boot = Boot {
            id,
            hard_state: vote.state(),
            configurations,
            term_runs: recovered.term_runs,
            last_index: recovered.last_index,
            tail: recovered.tail,
            commit,
            last_clock_ms: recovered.last_clock_ms.max(stamped),
            start: recovered.start,
            recovering: recovering.is_some(),
        };
        Ok(Found {
            boot,
            writer,
            reader,
            vote,
            state,
            state_lost: self.dir.lost().map(str::to_owned),
            recovering,
            members_of: boot::hint(self.data)?.map_or(0, |(index, _)| index),
        })
    }

    /// The state as of its checkpoint, or an empty one; none when it turns out to be damaged.
    fn state(
        &mut self,
        store: Store,
        checkpoint: Option<&Checkpoint>,
    ) -> Result<Option<State<Store>>, StartError> {
        let Some(checkpoint) = checkpoint else { return Ok(Some(State::new(store, self.cluster))) };
        let state = match State::restore(store, &checkpoint.meta) {
            Ok(state) => state,
            Err(error @ crate::state::MetaError::Newer(_)) => {
                return Err(StartError::failed(error));
            }
            Err(error) => {
                let path = self.dir.current();
                lose(self.dir, &format!("the checkpoint in {}: {error}", path.display()))?;
                return Ok(None);
            }
        };
        if state.summary().cluster != self.cluster {
            return Err(StartError::Failed(format!(
                "the state belongs to cluster {}, the directory to {}: these files were mixed up",
                state.summary().cluster,
                self.cluster
            )));
        }
        Ok(Some(state))
    }

    /// The lists of members that are known without the log: the state's, and the one that was kept.
    fn members(
        &self,
        state: Option<&State<Store>>,
    ) -> Result<Vec<(Index, Configuration)>, StartError> {
        let of_state = state.map(encoded_configuration).transpose()?.flatten();
        Ok(of_state.into_iter().chain(boot::hint(self.data)?).collect())
    }

    /// Opens the log, given the (index, term) that the state has. What was damaged is set aside; a log
    /// that an installed state took the place of begins anew.
    fn log(
        &mut self,
        state: (Index, Term),
        known: &mut Vec<(Index, Configuration)>,
    ) -> Result<Log, StartError> {
        let (dir, identity) = (self.data.log_dir(), self.data.identity());
        let open = || Wal::open(&dir, identity, self.wal);
        let log = match open() {
            Ok(log) => log,
            Err(damage) if damage.is_damage() => {
                let survey = Wal::survey(&dir, identity).map_err(StartError::failed)?;
                known.extend(survey.configurations);
                self.begin_recovering(&damage, known)?;
                let aside = Wal::salvage(&dir, identity, self.wal).map_err(StartError::failed)?;
                tell_aside(aside.as_deref());
                open().map_err(StartError::failed)?
            }
            Err(error) => return Err(StartError::failed(error)),
        };
        if let Some((path, offset)) = &log.2.torn {
            log::info!(
                "cut the torn end of {} at {offset}: it was never durable, so nobody was told of it",
                path.display()
            );
        }
        let log = self.finish_install(log)?;
        let (applied, _) = state;
        if applied == 0 || holds(&log.2, state) {
            return Ok(log);
        }
        // What this node acknowledged behind its state is gone.
        let why = format!(
            "the log in {} ends at {}, before the state's index {applied}, or is another one",
            dir.display(),
            log.2.last_index
        );
        drop(log);
        self.begin_recovering(&why, known)?;
        let aside = Wal::restart_in(&dir, identity, self.wal, state).map_err(StartError::failed)?;
        tell_aside(aside.as_deref());
        Wal::open(&dir, identity, self.wal).map_err(StartError::failed)
    }

    /// The crash came between the switch to an installed state and the new beginning of the log.
    fn finish_install(&mut self, log: Log) -> Result<Log, StartError> {
        let Some(start) = self.dir.pending_restart() else { return Ok(log) };
        let log = if holds(&log.2, start) {
            log
        } else {
            let (mut writer, reader, _) = log;
            writer.restart(start).map_err(StartError::failed)?;
            drop((writer, reader));
            Wal::open(&self.data.log_dir(), self.data.identity(), self.wal)
                .map_err(StartError::failed)?
        };
        self.dir.restart_done().map_err(StartError::failed)?;
        Ok(log)
    }

    /// Writes down, before anything is changed, that this node may have forgotten something.
    fn begin_recovering(
        &self,
        why: &dyn std::fmt::Display,
        known: &[(Index, Configuration)],
    ) -> Result<(), StartError> {
        if self.is_only_voter(known) {
            return Err(StartError::Failed(format!(
                "{why}; this node is the only voter of its cluster, so nobody can replace what is \
                 damaged: restore the file, or the whole directory from a backup"
            )));
        }
        log::error!(
            "{why}; until a leader has replaced what may be lost, this node gives no votes"
        );
        self.data.set_recovering(&why.to_string()).map_err(StartError::failed)
    }

    fn is_only_voter(&self, known: &[(Index, Configuration)]) -> bool {
        let newest = known.iter().max_by_key(|(index, _)| *index);
        newest.is_some_and(|(_, configuration)| {
            let mut voters = configuration.voters();
            voters.next() == self.data.identity().node && voters.next().is_none()
        })
    }

    /// Makes the state join the log: a lost one is built again where the log has everything, and one
    /// that ends before the log begins is lost.
    fn join(
        &mut self,
        mut state: Option<State<Store>>,
        start: Index,
        known: &[(Index, Configuration)],
    ) -> Result<Option<State<Store>>, StartError> {
        if let Some(old) = state.take_if(|state| state.summary().applied < start) {
            let why = format!(
                "the state in {} ends at {}, before the log begins, at {start}",
                self.dir.current().display(),
                old.summary().applied
            );
            old.into_table().close().map_err(StartError::failed)?;
            lose(self.dir, &why)?;
        }
        if state.is_some() {
            return Ok(state);
        }
        let why = self.dir.lost().unwrap_or("the state is lost").to_owned();
        if start > 0 {
            return match self.is_only_voter(known) {
                false => Ok(None),
                true => Err(StartError::Failed(format!(
                    "{why}; this node is the only voter of its cluster, so nobody else has the \
                     state: restore the directory from a backup"
                ))),
            };
        }
        log::warn!("the log has everything from the beginning: the state is built again from it");
        let fresh = self.dir.stage().map_err(StartError::failed)?;
        let fresh = self.dir.adopt(&fresh, None).map_err(StartError::failed)?;
        let opened: Result<_, StoreError> =
            Store::open_in(&fresh, self.store, Arc::clone(self.metrics), self.views.clone());
        let (store, _) = opened.map_err(StartError::failed)?;
        Ok(Some(State::new(store, self.cluster)))
    }

    /// What the core is told of configurations: that of the state first, then those of the log.
    fn configurations(
        &self,
        state: Option<&State<Store>>,
        recovered: &Recovered,
    ) -> Result<Vec<(Index, Configuration)>, StartError> {
        let known = match state {
            Some(state) => encoded_configuration(state)?,
            // Its log begins behind what it does not know; what was kept will do until it knows.
            None => boot::hint(self.data)?.filter(|(index, _)| *index <= recovered.last_index),
        };
        let in_log = &recovered.configurations;
        let mut all: Vec<_> = known
            .into_iter()
            .filter(|(at, _)| in_log.iter().all(|(other, _)| other != at))
            .collect();
        all.extend(in_log.iter().cloned());
        all.sort_by_key(|(index, _)| *index);
        Ok(all)
    }
}

/// Whether a log reaches up to an entry, and has it.
fn holds(log: &Recovered, (index, term): (Index, Term)) -> bool {
    if index == log.start.0 {
        return term == log.start.1;
    }
    let run = log.term_runs.iter().rev().find(|(first, _)| *first <= index);
    (log.start.0..=log.last_index).contains(&index) && run.is_some_and(|(_, it)| *it == term)
}

fn tell_aside(aside: Option<&Path>) {
    if let Some(path) = aside {
        log::warn!("what was damaged, and what came after it, is kept in {}", path.display());
    }
}

fn encoded_configuration(
    state: &State<Store>,
) -> Result<Option<(Index, Configuration)>, StartError> {
    let meta = state.meta();
    if meta.configuration_index == 0 {
        return Ok(None);
    }
    let decoded = rmp_serde::from_slice(&meta.configuration).map_err(|error| {
        StartError::Failed(format!("the configuration in the state is damaged: {error}"))
    })?;
    Ok(Some((meta.configuration_index, decoded)))
}

/// A node that knows it was taken out has nobody to talk to.
fn refuse_removed(
    data: &Path,
    id: u64,
    configurations: &[(Index, Configuration)],
    commit: Index,
) -> Result<(), StartError> {
    let committed = configurations.iter().rev().find(|(index, _)| *index <= commit);
    match committed {
        Some((index, configuration)) if *index > id && !configuration.members.contains_key(&id) => {
            Err(StartError::Failed(format!(
                "this node was taken out of the cluster by entry {index}: to join again as a new \
                 one, move {} away",
                data.display()
            )))
        }
        Some(_) | None => Ok(()),
    }
}
