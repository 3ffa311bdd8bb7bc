//! The thread `log`: makes durable what the replica hands out, in order.
//!
//! It takes everything that has queued up while the last sync ran and makes it durable with one sync:
//! the batch grows with the load, and nothing ever waits for a timer. All completions of a batch go
//! back in one message, which is one wake-up.
//!
//! When the disk has no room for another segment, writes wait in their order, nothing is dropped, and
//! the thread tries again every second and whenever something has changed; purging goes on meanwhile,
//! as it makes room. Term and vote need no room of their own, but keep their place in the order.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, after, select};

use crate::metrics::Metrics;
use crate::raft::{Index, Persisted, Write};
use crate::storage::{RecoveringMark, Synced, VoteFile, WalError, WalWriter};
use crate::threads;

/// Most writes that are answered together: bounds how late the first of them is told.
const BATCH_MAX: usize = 1024;
/// Bytes that are gathered for one sync, at most: more gains nothing and takes memory.
const GATHERED_BYTES_MAX: u64 = 4 << 20;
/// How long to wait for room before the next attempt.
const RETRY: Duration = Duration::from_secs(1);

/// What the log thread is told to do.
#[derive(Clone, Debug)]
pub enum LogCommand {
    /// Make something durable.
    Write(LogWrite),
    /// Delete the beginning of the log, as [`WalWriter::purge`] says.
    Purge {
        /// Everything up to here is in a durable state, and nobody needs it from the log.
        floor: Index,
        /// So much of the log stays in any case, for followers that lag a little. In bytes.
        keep_bytes: u64,
    },
}

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
    /// The log begins behind this entry now. A purge that deletes nothing reports nothing.
    Purged(Index),
    /// The disk has no room for the segments that should be made ahead, or has again: said once per
    /// change. What is handed out meanwhile is kept as long as it finds room, and then waits.
    Full(bool),
    /// The disk failed. What it holds is unknown: the node must acknowledge nothing more and stop. The
    /// thread has ended.
    Failed(String),
}

/// Starts the thread. It ends when `commands` is closed and empty, or at the first failure; whatever
/// came before a close is made durable and reported, unless the disk is full.
///
/// `commands` is bounded by its sender (in bytes); `done` must be unbounded or large enough for one
/// message per sync, as the log never drops a report. `recovering` is cleared by the write that says
/// so ([`Write::recovered`]).
///
/// # Errors
/// When the system gives no thread.
pub fn spawn(
    writer: WalWriter,
    vote: VoteFile,
    recovering: RecoveringMark,
    commands: Receiver<LogCommand>,
    done: Sender<LogDone>,
    metrics: Arc<Metrics>,
) -> io::Result<JoinHandle<()>> {
    let log = LogWriter {
        writer,
        vote,
        recovering,
        commands,
        backlog: VecDeque::new(),
        done,
        metrics,
        told_full: false,
        restarting: false,
    };
    threads::spawn("log", move || log.run())
}

struct LogWriter {
    writer: WalWriter,
    vote: VoteFile,
    recovering: RecoveringMark,
    commands: Receiver<LogCommand>,
    /// Taken from `commands` and not begun. Holds more than a batch only while the disk is full.
    backlog: VecDeque<LogCommand>,
    done: Sender<LogDone>,
    metrics: Arc<Metrics>,
    told_full: bool,
    /// The write under way replaces the log.
    restarting: bool,
}

/// Why the thread ends.
enum Ended {
    /// Nobody sends any more, or nobody listens.
    Closed,
    /// The disk failed.
    Failed(String),
}

impl LogWriter {
    fn run(mut self) {
        let ended = loop {
            self.metrics.log_file_bytes.set(self.writer.bytes());
            if let Err(ended) = self.take_batch().and_then(|()| self.work()) {
                break ended;
            }
        };
        if let Ended::Failed(why) = ended {
            // The node is on its way down when nobody listens.
            let _ = self.done.send(LogDone::Failed(why));
        }
    }

    /// Waits for commands, and takes what has queued up.
    fn take_batch(&mut self) -> Result<(), Ended> {
        self.tell_full(self.writer.is_low())?;
        if self.backlog.is_empty() {
            let changed = self.writer.low_changed().clone();
            select! {
                recv(self.commands) -> command => {
                    self.backlog.push_back(command.map_err(|_| Ended::Closed)?);
                }
                recv(changed) -> _ => {}
            }
            self.tell_full(self.writer.is_low())?;
        }
        let room = BATCH_MAX.saturating_sub(self.backlog.len());
        self.backlog.extend(self.commands.try_iter().take(room));
        Ok(())
    }

    /// Carries out a batch as if its commands came one by one. Entries only gather for one sync as
    /// long as nothing comes between them.
    fn work(&mut self) -> Result<(), Ended> {
        let mut persisted = Vec::new();
        while let Some(command) = self.backlog.pop_front() {
            match command {
                LogCommand::Write(LogWrite { write, commit }) => {
                    persisted.push(Persisted { term: write.term, last: write.last });
                    self.write(&write, commit)?;
                }
                LogCommand::Purge { floor, keep_bytes } => {
                    self.finish(&mut persisted)?;
                    self.purge(floor, keep_bytes)?;
                }
            }
            if persisted.len() >= BATCH_MAX {
                break;
            }
        }
        self.finish(&mut persisted)
    }

    fn write(&mut self, write: &Write, commit: Index) -> Result<(), Ended> {
        self.restarting = write.restart.is_some();
        if let Some(state) = write.hard_state {
            self.sync()?;
            self.vote.write(state).map_err(failed)?;
        }
        if let Some(start) = write.restart {
            self.with_room(|writer| writer.restart(start))?;
            self.restarting = false;
        }
        self.writer.append(&write.entries, commit);
        if write.recovered {
            self.sync()?;
            self.recovering.clear().map_err(failed)?;
        }
        if self.writer.gathered_bytes() >= GATHERED_BYTES_MAX {
            self.sync()?;
        }
        Ok(())
    }

    fn purge(&mut self, floor: Index, keep_bytes: u64) -> Result<(), Ended> {
        match self.writer.purge(floor, keep_bytes).map_err(failed)? {
            Some((index, _)) => {
                self.metrics.log_file_bytes.set(self.writer.bytes());
                self.report(LogDone::Purged(index))
            }
            None => Ok(()),
        }
    }

    /// Makes everything durable so far, and says so.
    fn finish(&mut self, persisted: &mut Vec<Persisted>) -> Result<(), Ended> {
        self.sync()?;
        if persisted.is_empty() {
            return Ok(());
        }
        self.report(LogDone::Persisted(mem::take(persisted)))
    }

    fn sync(&mut self) -> Result<(), Ended> {
        let synced: Synced = self.with_room(WalWriter::sync)?;
        if synced.records > 0 {
            self.metrics.log_writes.add(synced.records);
            self.metrics.log_entries.add(synced.entries);
            self.metrics.log_bytes.add(synced.bytes);
            self.metrics.log_fsync.observe(synced.fsync);
        }
        Ok(())
    }

    /// Does something as soon as there is room for it.
    fn with_room<T>(
        &mut self,
        mut action: impl FnMut(&mut WalWriter) -> Result<T, WalError>,
    ) -> Result<T, Ended> {
        loop {
            match action(&mut self.writer) {
                Err(error @ WalError::Full { .. }) => {
                    if !self.told_full {
                        log::warn!("{error}");
                    }
                    self.wait_for_room()?;
                }
                result => return result.map_err(failed),
            }
        }
    }

    /// Waits a while, or until something has changed.
    fn wait_for_room(&mut self) -> Result<(), Ended> {
        self.tell_full(true)?;
        let (later, changed) = (after(RETRY), self.writer.low_changed().clone());
        while !self.purge_early()? {
            select! {
                recv(self.commands) -> command => {
                    self.backlog.push_back(command.map_err(|_| Ended::Closed)?);
                }
                recv(changed) -> _ => break,
                recv(later) -> _ => break,
            }
        }
        Ok(())
    }

    /// Carries out the next purge before its turn, as it makes room; false when there is none. A log
    /// that is about to be replaced is left alone: what comes behind is meant for the new one.
    fn purge_early(&mut self) -> Result<bool, Ended> {
        let restarts =
            |it: &LogCommand| matches!(it, LogCommand::Write(it) if it.write.restart.is_some());
        if self.restarting || self.backlog.iter().any(restarts) {
            return Ok(false);
        }
        let is_purge = |it: &LogCommand| matches!(it, LogCommand::Purge { .. });
        let next = self.backlog.iter().position(is_purge);
        let next = next.and_then(|at| self.backlog.remove(at));
        let Some(LogCommand::Purge { floor, keep_bytes }) = next else { return Ok(false) };
        self.purge(floor, keep_bytes)?;
        Ok(true)
    }

    fn tell_full(&mut self, full: bool) -> Result<(), Ended> {
        if mem::replace(&mut self.told_full, full) == full {
            return Ok(());
        }
        self.report(LogDone::Full(full))
    }

    fn report(&self, done: LogDone) -> Result<(), Ended> {
        self.done.send(done).map_err(|_| Ended::Closed)
    }
}

fn failed(error: impl std::fmt::Display) -> Ended {
    Ended::Failed(error.to_string())
}
