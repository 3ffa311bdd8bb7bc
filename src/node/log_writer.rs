//! The thread `log`: makes durable what the replica hands out, in order.
//!
//! It takes everything that has queued up while the last sync ran and makes it durable with one sync:
//! the batch grows with the load, and nothing ever waits for a timer. All completions of a batch go
//! back in one message, which is one wake-up.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender};

use crate::metrics::Metrics;
use crate::raft::{Index, Persisted, Write};
use crate::storage::{VoteFile, WalWriter};
use crate::threads;

/// Most writes that are answered together: bounds how late the first of them is told.
const BATCH_MAX: usize = 1024;

/// Something to make durable.
#[derive(Clone, Debug, Default)]
pub struct LogWrite {
    /// Term, vote and entries. Its `release` is empty: messages stay with the replica.
    pub write: Write,
    /// A commit index that is known now; kept with the entries as a hint for the next start.
    pub commit: Index,
}

/// What the log thread reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogDone {
    /// These writes, and all before them, are durable; in the order in which they came.
    Persisted(Vec<Persisted>),
    /// The disk failed. What it holds is unknown: the node must acknowledge nothing more and stop. The
    /// thread has ended.
    Failed(String),
}

/// Starts the thread. It ends when `writes` is closed and empty, or at the first failure; whatever
/// came before a close is made durable and reported.
///
/// `writes` is bounded by its sender (in bytes); `done` must be unbounded or large enough for one
/// message per sync, as the log never drops a report.
///
/// # Errors
/// When the system gives no thread.
pub fn spawn(
    writer: WalWriter,
    vote: VoteFile,
    writes: Receiver<LogWrite>,
    done: Sender<LogDone>,
    metrics: Arc<Metrics>,
) -> io::Result<JoinHandle<()>> {
    let log = LogWriter { writer, vote, metrics };
    threads::spawn("log", move || log.run(&writes, &done))
}

struct LogWriter {
    writer: WalWriter,
    vote: VoteFile,
    metrics: Arc<Metrics>,
}

impl LogWriter {
    fn run(mut self, writes: &Receiver<LogWrite>, done: &Sender<LogDone>) {
        while let Ok(first) = writes.recv() {
            let batch = std::iter::once(first).chain(writes.try_iter()).take(BATCH_MAX);
            let report = match self.persist(batch) {
                Ok(persisted) => LogDone::Persisted(persisted),
                Err(error) => LogDone::Failed(error),
            };
            let failed = matches!(report, LogDone::Failed(_));
            if done.send(report).is_err() || failed {
                return;
            }
        }
    }

    /// Makes a batch durable as if its writes were made one by one. Entries only gather for one sync
    /// as long as no term or vote comes between them.
    fn persist(&mut self, batch: impl Iterator<Item = LogWrite>) -> Result<Vec<Persisted>, String> {
        let mut persisted = Vec::new();
        for LogWrite { write, commit } in batch {
            if let Some(state) = write.hard_state {
                self.sync()?;
                self.vote.write(state).map_err(|error| error.to_string())?;
            }
            self.writer.append(&write.entries, commit).map_err(|error| error.to_string())?;
            persisted.push(Persisted { term: write.term, last: write.last });
        }
        self.sync()?;
        Ok(persisted)
    }

    fn sync(&mut self) -> Result<(), String> {
        let synced = self.writer.sync().map_err(|error| error.to_string())?;
        if synced.records > 0 {
            self.metrics.log_writes.add(synced.records);
            self.metrics.log_entries.add(synced.entries);
            self.metrics.log_bytes.add(synced.bytes);
            self.metrics.log_fsync.observe(synced.fsync);
        }
        Ok(())
    }
}
