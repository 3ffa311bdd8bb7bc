//! The `apply` thread: committed entries become rows, replies and a new view.
//!
//! For every batch: apply, publish the view, and only then answer, so that whoever gets an answer
//! finds what it says on this node. The applier owns the state; nobody else writes it.
//!
//! The state may be lost: damaged, or found to differ from that of a majority. Then nothing is applied
//! until another node's takes its place, which is work like any other, at its place in the order.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::applied::{Applied, Facts};
use super::driver::{Control, End};
use super::states::{Arrived, States};
use super::{Completion, Completions, Outcome};
use crate::error::{Failure, Reason};
use crate::ids::{Ticket, WriteId};
use crate::metrics::Metrics;
use crate::raft::{Entry, Installed, Payload};
use crate::replica::{Resolved, Work};
use crate::snapshot::WorkError;
use crate::state::{ApplyError, At, Changes, CommandError, Reply, Restore, State};
use crate::storage::{Checkpoint, Store, StoreError, StoreErrorKind, Table};
use crate::threads;
use crate::watch::Watches;

/// How long nothing is applied before the thread looks whether a checkpoint is due.
const IDLE: Duration = Duration::from_secs(5);

/// Batches of work that are applied and published together at most.
const BATCHES_MAX: usize = 64;

/// What the raft thread hands to this one, in order.
#[derive(Debug)]
pub enum Job {
    /// Work, and the state that an [`Work::Install`] in it is about.
    Work(Vec<Work>, Option<Arrived>),
    /// The log begins behind the state that was installed last.
    RestartDone,
}

/// What the thread is made of.
pub struct Applier {
    /// The state machine with its rows; none while the state is lost.
    pub state: Option<State<Store>>,
    /// Where states are kept, and how one is opened.
    pub states: States,
    /// Batches of work, in order.
    pub jobs: Receiver<Job>,
    /// Where replies go.
    pub completions: Completions,
    /// Who is told of what has changed.
    pub watches: Watches,
    /// What the raft thread looks at.
    pub applied: Arc<Applied>,
    /// The earliest deadline in the state when that was last looked at.
    pub next_expiry_ms: Option<u64>,
    /// The index of the newest checkpoint that this process saw succeed: the log is not needed below.
    pub checkpointed: Arc<AtomicU64>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where the raft thread is told what it has to know at once.
    pub control: Sender<Control>,
    /// Where a failure that must stop the node is reported.
    pub end: Sender<End>,
}

/// Why applying cannot go on.
enum Trouble {
    /// The state is damaged: it can be fetched anew.
    Lost(String),
    /// The node must stop.
    Fatal(String),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        match error.kind() {
            StoreErrorKind::Damaged => Self::Lost(error.to_string()),
            _ => Self::Fatal(error.to_string()),
        }
    }
}

impl Applier {
    /// Starts the thread; it ends when the channel of work is closed, or on a fatal failure.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn spawn(mut self) -> std::io::Result<JoinHandle<()>> {
        threads::spawn("apply", move || {
            loop {
                let done = match self.jobs.recv_timeout(IDLE) {
                    Ok(job) => self.run(job),
                    Err(RecvTimeoutError::Timeout) => self.maintain(),
                    Err(RecvTimeoutError::Disconnected) => break,
                };
                if let Err(why) = done.or_else(|trouble| self.lose(trouble)) {
                    // Nobody listens any more when the node is stopping.
                    self.end.send(End::Failed(why)).ok();
                    return;
                }
            }
            if let Some(state) = self.state
                && let Err(error) = state.into_table().close()
            {
                log::error!("the state's store did not close cleanly: {error}");
            }
        })
    }

    fn run(&mut self, first: Job) -> Result<(), Trouble> {
        let mut batch = Batch::default();
        let more = self.jobs.clone();
        for job in std::iter::once(first).chain(more.try_iter().take(BATCHES_MAX)) {
            let (work, mut arrived) = match job {
                Job::Work(work, arrived) => (work, arrived),
                Job::RestartDone => {
                    self.states.restart_done().map_err(Trouble::Fatal)?;
                    continue;
                }
            };
            for work in work {
                if let Err(trouble) = self.work(work, &mut arrived, &mut batch) {
                    // The rest of the work goes on: it may hold the state that replaces this one.
                    batch.disown(self.applied.index());
                    self.lose(trouble).map_err(Trouble::Fatal)?;
                }
            }
        }
        self.metrics.applied_entries.add(batch.entries);
        let published = if batch.entries > 0 { self.publish() } else { Ok(()) };
        if published.is_err() {
            batch.disown(self.applied.index());
        }
        self.completions.deliver(batch.completions);
        published
    }

    fn work(
        &mut self,
        work: Work,
        arrived: &mut Option<Arrived>,
        batch: &mut Batch,
    ) -> Result<(), Trouble> {
        match work {
            Work::Entry(entry, ticket) => {
                let done = self.apply_entry(&entry, ticket);
                let answer = match &done {
                    Ok(completion) => completion.clone(),
                    Err(_) => ticket.map(|it| unanswered(it, self.applied.index())),
                };
                batch.entries += u64::from(self.state.is_some());
                batch.completions.extend(answer);
                done?;
            }
            Work::Readable(tickets) => {
                let applied = self.state.as_ref().map(|state| state.summary().applied);
                batch.completions.extend(tickets.into_iter().map(|ticket| match applied {
                    Some(index) => Completion { ticket, index, outcome: Outcome::Readable },
                    None => unanswered(ticket, self.applied.index()),
                }));
            }
            Work::Lost(why) => {
                self.close();
                self.states.set_lost(&why).map_err(Trouble::Fatal)?;
            }
            Work::Install(installed, waiting) => {
                let arrived = arrived.take().expect("a state to install comes with its work");
                let completions = self.install(installed, arrived, waiting)?;
                // What was applied to the state before is as good as published: the new one has it.
                batch.entries = 0;
                batch.completions.extend(completions);
            }
        }
        Ok(())
    }

    /// What cannot be read can be fetched anew: the raft thread decides what becomes of that, and says
    /// so by a [`Work::Lost`] that makes it durable. Gives back why the node must stop, if it must.
    fn lose(&mut self, trouble: Trouble) -> Result<(), String> {
        match trouble {
            Trouble::Lost(why) => {
                self.close();
                self.control.send(Control::StateLost(why)).ok();
                Ok(())
            }
            Trouble::Fatal(why) => Err(why),
        }
    }

    fn close(&mut self) {
        if let Some(state) = self.state.take()
            && let Err(error) = state.into_table().close()
        {
            log::warn!("the state that is left behind did not close cleanly: {error}");
        }
    }

    /// Switches to a state that stands complete beside the own one. The manifest is the switch; the
    /// log follows when that is durable.
    fn install(
        &mut self,
        installed: Installed,
        arrived: Arrived,
        waiting: Vec<(u64, Ticket)>,
    ) -> Result<Vec<Completion>, Trouble> {
        self.close();
        // Whatever goes wrong from here on, the next start finds one of the two states, and knows which.
        let state = self
            .states
            .adopt(&installed, &arrived, &self.metrics)
            .map_err(|error| Trouble::Fatal(error.to_string()))?;
        self.applied.set(installed.index, facts(&state));
        let session = self.states.session(&state);
        let mut resolved = Resolved { session, ..Resolved::default() };
        let mut completions = Vec::new();
        for (seq, ticket) in waiting {
            let known = session.and_then(|session| state.writes().lookup(session, seq));
            if let Some(reply) = known.cloned() {
                resolved.seqs.push(seq);
                let outcome = Outcome::Written(reply);
                completions.push(Completion { ticket, index: installed.index, outcome });
            }
        }
        self.state = Some(state);
        self.watches.changed(&Changes::All);
        self.control.send(Control::Installed(installed, resolved)).ok();
        Ok(completions)
    }

    /// Puts the rows of a backup in place of all there are, as the entry at `index` wants it. A node that
    /// does not have the backup has lost its state by that; one that cannot write stops, since the
    /// state is good as it was, and its next process meets the entry again.
    fn restore(&mut self, index: u64, restore: &Restore) -> Result<(), Trouble> {
        let taken = self.states.blobs.take(restore.file, &restore.sha256);
        let taken = taken.map_err(|error| match error {
            WorkError::Missing => {
                Trouble::Lost(format!("entry {index} restores a backup that is not on this node"))
            }
            error if error.is_wrong() || error.is_damage() => {
                Trouble::Lost(format!("entry {index} restores a backup: {error}"))
            }
            error => Trouble::Fatal(format!("entry {index} restores a backup: {error}")),
        })?;
        let mut state = self.state.take().expect("the entry was just applied to it");
        // What follows is counted to the new rows; where they are is known when all of it is durable.
        let old = state.replace_rows(Store::in_memory().0, &taken.meta);
        if let Err(error) = old.close() {
            log::warn!("the state that is left behind did not close cleanly: {error}");
        }
        let checkpoint = Checkpoint { applied: index, meta: state.meta_bytes() };
        *state.table_mut() =
            self.states.restore(restore.file, &taken, &checkpoint, &self.metrics)?;
        log::info!("entry {index} has put a backup in place of all rows");
        self.state = Some(state);
        Ok(())
    }

    fn publish(&mut self) -> Result<(), Trouble> {
        let Some(state) = &mut self.state else { return Ok(()) };
        let applied = state.summary().applied;
        let standing = state.standing_bytes();
        state.table_mut().publish(applied, standing);
        self.watches.changed(&state.take_changes());
        let facts = facts(state);
        self.applied.set(applied, facts);
        self.hurry(facts.next_expiry_ms);
        self.maintain()
    }

    /// The raft thread sleeps until the deadline that it knows: it has to hear of an earlier one.
    fn hurry(&mut self, next_ms: Option<u64>) {
        let known = self.next_expiry_ms.unwrap_or(u64::MAX);
        if next_ms.is_some_and(|next| next < known) {
            self.control.send(Control::Hurry).ok();
        }
        self.next_expiry_ms = next_ms;
    }

    /// Begins a checkpoint when one is due.
    fn maintain(&mut self) -> Result<(), Trouble> {
        let Some(state) = &mut self.state else { return Ok(()) };
        if state.table_mut().maintain()? {
            let meta = state.meta_bytes();
            state.table_mut().begin_checkpoint(meta);
        }
        self.checkpointed.store(state.table().durable_checkpoint(), Ordering::Release);
        Ok(())
    }

    fn apply_entry(
        &mut self,
        entry: &Entry,
        ticket: Option<Ticket>,
    ) -> Result<Option<Completion>, Trouble> {
        let Some(state) = &mut self.state else {
            let index = self.applied.index();
            return Ok(ticket.map(|ticket| unanswered(ticket, index)));
        };
        let reply = apply_entry(state, entry).map_err(|error| match error {
            ApplyError::Store(error) => Trouble::from(error),
            ApplyError::Command(error) => {
                Trouble::Fatal(format!("entry {} cannot be applied: {error}", entry.index))
            }
        })?;
        if let Some(restore) = state.take_restore() {
            self.restore(entry.index, &restore)?;
        }
        if let Payload::Configuration(configuration) = &entry.payload {
            self.states.remember_members(entry.index, configuration);
        }
        if let Some(Reply::Digest(digest)) = reply {
            self.control.send(Control::Digest(entry.index, digest)).ok();
        }
        Ok(ticket.zip(reply).map(|(ticket, reply)| Completion {
            ticket,
            index: entry.index,
            outcome: Outcome::Written(reply),
        }))
    }
}

/// What the raft thread has to know of a state.
pub(super) fn facts(state: &State<Store>) -> Facts {
    Facts { next_expiry_ms: state.next_expiry(), rules: Some(state.summary().cluster_version) }
}

/// What came of the work so far, to be told when it is published.
#[derive(Default)]
struct Batch {
    completions: Vec<Completion>,
    entries: u64,
}

impl Batch {
    /// What was applied is not published, so nobody may be told of it.
    fn disown(&mut self, index: u64) {
        self.entries = 0;
        for completion in &mut self.completions {
            *completion = unanswered(completion.ticket, index);
        }
    }
}

/// What is said to whoever waited for a state that is lost: the write is in the log, but what came of it
/// this node cannot tell.
fn unanswered(ticket: Ticket, index: u64) -> Completion {
    Completion { ticket, index, outcome: Outcome::Failed(Failure::unknown(Reason::Unavailable)) }
}

/// Applies one entry to the state; gives a command's reply.
///
/// # Errors
/// When this node cannot go on: the entry is from a newer program, or the store fails.
pub fn apply_entry<T: Table>(
    state: &mut State<T>,
    entry: &Entry,
) -> Result<Option<Reply>, ApplyError> {
    let at = At {
        index: entry.index,
        term: entry.term,
        clock_ms: entry.stamp.clock_ms,
        wall_ms: entry.stamp.wall_ms,
    };
    match &entry.payload {
        Payload::Noop => state.apply_noop(at),
        Payload::Configuration(configuration) => {
            let nodes: BTreeSet<u64> = configuration.members.keys().copied().collect();
            let encoded = rmp_serde::to_vec(configuration).expect("plain data can be encoded");
            state.apply_configuration(at, &nodes, encoded.into());
        }
        Payload::Command(payload) => {
            let (id, command) = WriteId::split(payload).ok_or_else(|| {
                CommandError::Malformed("the id of the write is missing".to_owned())
            })?;
            return state.apply_command(at, id, command).map(Some);
        }
    }
    Ok(None)
}
