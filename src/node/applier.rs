//! The `apply` thread: committed entries become rows, replies and a new view.
//!
//! For every batch: apply, publish the view, and only then answer, so that whoever gets an answer
//! finds what it says on this node. The applier owns the state; nobody else writes it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::driver::End;
use super::{Completion, Completions, Outcome};
use crate::ids::{Ticket, WriteId};
use crate::metrics::Metrics;
use crate::raft::{Entry, Payload};
use crate::replica::Work;
use crate::state::{ApplyError, At, CommandError, Reply, State};
use crate::storage::{Store, Table};
use crate::threads;

/// How long nothing is applied before the thread looks whether a checkpoint is due.
const IDLE: Duration = Duration::from_secs(5);

/// Batches of work that are applied and published together at most.
const BATCHES_MAX: usize = 64;

/// What the thread is made of.
pub struct Applier {
    /// The state machine with its rows.
    pub state: State<Store>,
    /// Batches of work, in order.
    pub work: Receiver<Vec<Work>>,
    /// Where replies go.
    pub completions: Completions,
    /// The index applied last, for the raft thread to look at.
    pub applied: Arc<AtomicU64>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where a failure that must stop the node is reported.
    pub end: Sender<End>,
}

impl Applier {
    /// Starts the thread; it ends when the channel of work is closed, or on a fatal failure.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn spawn(mut self) -> std::io::Result<JoinHandle<()>> {
        threads::spawn("apply", move || {
            loop {
                let done = match self.work.recv_timeout(IDLE) {
                    Ok(batch) => self.apply(batch),
                    Err(RecvTimeoutError::Timeout) => self.maintain(),
                    Err(RecvTimeoutError::Disconnected) => break,
                };
                if let Err(why) = done {
                    // Nobody listens any more when the node is stopping.
                    self.end.send(End::Failed(why)).ok();
                    return;
                }
            }
            if let Err(error) = self.state.into_table().close() {
                log::error!("the state's store did not close cleanly: {error}");
            }
        })
    }

    fn apply(&mut self, first: Vec<Work>) -> Result<(), String> {
        let mut completions = Vec::new();
        let mut entries = 0;
        let more = self.work.clone();
        for work in std::iter::once(first).chain(more.try_iter().take(BATCHES_MAX)).flatten() {
            match work {
                Work::Entry(entry, ticket) => {
                    entries += 1;
                    completions.extend(self.apply_entry(&entry, ticket)?);
                }
                Work::Install(..) | Work::Lost(_) => {
                    return Err("this state cannot be replaced".to_owned());
                }
                Work::Readable(tickets) => {
                    let index = self.state.summary().applied;
                    let completion =
                        |ticket| Completion { ticket, index, outcome: Outcome::Readable };
                    completions.extend(tickets.into_iter().map(completion));
                }
            }
        }
        if entries > 0 {
            self.metrics.applied_entries.add(entries);
            self.publish()?;
        }
        self.completions.deliver(completions);
        Ok(())
    }

    fn publish(&mut self) -> Result<(), String> {
        let applied = self.state.summary().applied;
        let summary = self.state.summary_bytes();
        self.state.table_mut().publish(applied, summary);
        self.applied.store(applied, Ordering::Release);
        self.maintain()
    }

    /// Begins a checkpoint when one is due.
    fn maintain(&mut self) -> Result<(), String> {
        if self.state.table_mut().maintain().map_err(|error| error.to_string())? {
            let meta = self.state.meta_bytes();
            self.state.table_mut().begin_checkpoint(meta);
        }
        Ok(())
    }

    fn apply_entry(
        &mut self,
        entry: &Entry,
        ticket: Option<Ticket>,
    ) -> Result<Option<Completion>, String> {
        let reply = apply_entry(&mut self.state, entry)
            .map_err(|error| format!("entry {} cannot be applied: {error}", entry.index))?;
        Ok(ticket.zip(reply).map(|(ticket, reply)| Completion {
            ticket,
            index: entry.index,
            outcome: Outcome::Written(reply),
        }))
    }
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
