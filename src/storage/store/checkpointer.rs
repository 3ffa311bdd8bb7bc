//! The threads that write checkpoints, one at a time, and merge them in the background.
//!
//! They lower their own priority: on a machine with few cores the merging of runs would otherwise
//! keep the log's thread waiting for a core after its sync is done.
//!
//! A disk without room is no failure. What was not checkpointed is in the log, so the writing waits,
//! and looks again each second; merging is left for later. Each attempt writes files of its
//! own from the beginning, so nothing that a failed one has written is ever relied on.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};
use parking_lot::Mutex;
use rustix::process::setpriority_process;
use rustix::thread::gettid;

use super::disk::{Checkpoint, Disk, DiskView, MARGIN};
use super::layer::Layer;
use super::{StoreError, StoreErrorKind, StoreOptions};
use crate::metrics::Metrics;
use crate::threads;

/// How much the threads give way to others, as `nice` counts: about a third of an equal share, since
/// with much less the merging would not keep up with a node that is busy for long.
const NICE: i32 = 5;
/// How often a full disk is looked at.
const POLL: Duration = Duration::from_secs(1);
/// How many times room is made by merging while a checkpoint waits: when that has not helped, others
/// fill the disk, and it is their turn.
const MERGES_MAX: u32 = 6;

/// Work for the thread.
enum Job {
    /// Write a layer.
    Write(Arc<Layer>, Checkpoint),
    /// Let go of a layer that was written: freeing its rows takes a while.
    Forget(Arc<Layer>),
}

/// A checkpoint that is durable.
pub struct Written {
    /// Index of the last entry in it.
    pub applied: u64,
    /// The disk with it.
    pub disk: DiskView,
    /// How long it took.
    pub took: Duration,
}

/// What becomes of a checkpoint that was begun.
pub enum Progress {
    /// It waits for room; what is read through this and no longer through the view before may go.
    Waiting(DiskView),
    /// It is durable. The last report of it.
    Written(Written),
    /// It waited for room and was told to stop. The last report of all.
    GivenUp,
}

type Report = Result<Progress, StoreError>;

/// Makes a checkpoint that waits for room give up; also from another thread.
#[derive(Clone)]
pub struct Stopper(Sender<()>);

impl Stopper {
    /// Gives up the waiting, now and from now on.
    pub fn stop(&self) {
        // When there is one already, that is enough.
        let _ = self.0.try_send(());
    }
}

/// Handle of the threads `checkpoint` and `merge`.
pub struct Checkpointer {
    jobs: Option<Sender<Job>>,
    reports: Receiver<Report>,
    stopper: Stopper,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    /// Starts the threads and opens the tree in `path`, which is returned as it stands.
    pub fn start(
        path: &Path,
        options: &StoreOptions,
        metrics: Arc<Metrics>,
    ) -> Result<(Self, DiskView), StoreError> {
        // One layer to write and one to forget, at most.
        let (jobs, work) = bounded(2);
        // One that it waits, and the last of it.
        let (done, reports) = bounded(2);
        let (stop, stopped) = bounded(1);
        let (tell, opened) = bounded(1);
        let (path, options) = (path.to_owned(), *options);
        let run = move || {
            be_polite();
            let disk = Disk::open(&path, &options).and_then(|disk| {
                let view = disk.snapshot()?;
                Ok((disk, view))
            });
            let (disk, view) = match disk {
                Ok(disk) => disk,
                Err(error) => {
                    let _ = tell.send(Err(error));
                    return;
                }
            };
            let disk = Arc::new(disk);
            let merger = match Merger::start(Arc::clone(&disk), Arc::clone(&metrics)) {
                Ok(merger) => merger,
                Err(error) => {
                    let _ = tell.send(Err(error));
                    return;
                }
            };
            let _ = tell.send(Ok(view));
            Writer { disk, merger, metrics, stopped, reports: done }.run(&work);
        };
        let thread = spawn("checkpoint", run)?;
        let stopper = Stopper(stop);
        let this = Self { jobs: Some(jobs), reports, stopper, thread: Some(thread) };
        let disk = opened.recv().unwrap_or_else(|_| Err(gone()))?;
        Ok((this, disk))
    }

    /// Begins to write a layer. The one before must have been reported.
    pub fn begin(&self, layer: Arc<Layer>, checkpoint: Checkpoint) {
        self.send(Job::Write(layer, checkpoint));
    }

    /// Frees a layer without holding up the caller.
    pub fn forget(&self, layer: Arc<Layer>) {
        self.send(Job::Forget(layer));
    }

    /// The next report of the checkpoint that was begun; none yet if it is still being written.
    pub fn poll(&self) -> Option<Report> {
        match self.reports.try_recv() {
            Ok(report) => Some(report),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Err(gone())),
        }
    }

    /// Waits for that report.
    pub fn wait(&self) -> Report {
        self.reports.recv().unwrap_or_else(|_| Err(gone()))
    }

    /// What ends the waiting for room.
    pub fn stopper(&self) -> &Stopper {
        &self.stopper
    }

    /// A thread that is gone says so in its report, so nobody is told here.
    fn send(&self, job: Job) {
        let jobs = self.jobs.as_ref().expect("only dropping it takes the sender away");
        let _ = jobs.send(job);
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.jobs = None;
        self.stopper.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn gone() -> StoreError {
    StoreError::new(StoreErrorKind::Io, "the checkpoint thread is gone")
}

fn be_polite() {
    // A courtesy: where it is not allowed, checkpoints are as quick and only less polite.
    let _ = setpriority_process(Some(gettid()), NICE);
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StoreError> {
    threads::spawn(name, run).map_err(|error| {
        StoreError::new(StoreErrorKind::Io, format!("cannot start the {name} thread: {error}"))
    })
}

/// The side of the thread `checkpoint`.
struct Writer {
    disk: Arc<Disk>,
    merger: Merger,
    metrics: Arc<Metrics>,
    stopped: Receiver<()>,
    reports: Sender<Report>,
}

impl Writer {
    fn run(self, jobs: &Receiver<Job>) {
        for job in jobs {
            let (layer, checkpoint) = match job {
                Job::Write(layer, checkpoint) => (layer, checkpoint),
                Job::Forget(layer) => {
                    drop(layer);
                    continue;
                }
            };
            let report = self.write(&layer, &checkpoint);
            let more = matches!(report, Ok(Progress::Written(_)));
            if self.reports.send(report).is_err() || !more {
                return;
            }
        }
    }

    /// Writes a layer as soon as there is room for it.
    fn write(&self, layer: &Layer, checkpoint: &Checkpoint) -> Report {
        let mut polls = 0;
        loop {
            let start = Instant::now();
            match self.attempt(layer, checkpoint) {
                Ok(disk) => {
                    self.merger.wake(Merge::Usual);
                    let (applied, took) = (checkpoint.applied, start.elapsed());
                    return Ok(Progress::Written(Written { applied, disk, took }));
                }
                Err(error) if error.kind() == StoreErrorKind::Full => {
                    if polls == 0 {
                        log::warn!("{error}; it is made as soon as there is room");
                        self.metrics.checkpoint_waits.inc();
                    }
                }
                Err(error) => return Err(error),
            }
            if polls < MERGES_MAX {
                self.make_room()?;
            }
            polls += 1;
            if self.stopped.recv_timeout(POLL).is_ok() {
                return Ok(Progress::GivenUp);
            }
        }
    }

    /// What lies there twice may be what fills the disk: merges runs, and takes care that those that
    /// were merged before are not kept for readers any more.
    fn make_room(&self) -> Result<(), StoreError> {
        self.merger.wake(Merge::Urgent);
        match self.disk.renew() {
            Ok(Some(disk)) if self.reports.is_empty() => {
                let _ = self.reports.send(Ok(Progress::Waiting(disk)));
            }
            Err(error) if error.kind() != StoreErrorKind::Full => return Err(error),
            Ok(_) | Err(_) => {}
        }
        Ok(())
    }

    fn attempt(&self, layer: &Layer, checkpoint: &Checkpoint) -> Result<DiskView, StoreError> {
        self.merger.failure()?;
        self.disk.expect_room(layer.bytes().saturating_mul(2).saturating_add(MARGIN))?;
        self.disk.ingest::<StoreError>(checkpoint, layer.rows().map(Ok))?;
        self.disk.snapshot()
    }
}

/// Why runs are merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Merge {
    /// There is a new run, and reading many is slow: not worth the room that others may need.
    Usual,
    /// A checkpoint waits for the room that merging may set free.
    Urgent,
}

/// The thread `merge`.
struct Merger {
    wake: Option<Sender<Merge>>,
    failure: Arc<Mutex<Option<StoreError>>>,
    thread: Option<JoinHandle<()>>,
}

impl Merger {
    fn start(disk: Arc<Disk>, metrics: Arc<Metrics>) -> Result<Self, StoreError> {
        let (wake, woken) = bounded(1);
        let failure = Arc::new(Mutex::new(None));
        let failed = Arc::clone(&failure);
        let run = move || {
            be_polite();
            for merge in woken {
                match merge_runs(&disk, merge) {
                    Ok(()) => {}
                    Err(error) if error.kind() == StoreErrorKind::Full => {
                        log::debug!("{error}; merging is left for later");
                        metrics.merges_put_off.inc();
                    }
                    Err(error) => {
                        *failed.lock() = Some(error);
                        return;
                    }
                }
            }
        };
        let thread = spawn("merge", run)?;
        let this = Self { wake: Some(wake), failure, thread: Some(thread) };
        // There may be something left to do from the last time.
        this.wake(Merge::Usual);
        Ok(this)
    }

    fn wake(&self, merge: Merge) {
        let wake = self.wake.as_ref().expect("only dropping it takes the sender away");
        // When one is waiting already, that is enough.
        let _ = wake.try_send(merge);
    }

    /// Why it ended.
    fn failure(&self) -> Result<(), StoreError> {
        self.failure.lock().clone().map_or(Ok(()), Err)
    }
}

fn merge_runs(disk: &Disk, merge: Merge) -> Result<(), StoreError> {
    disk.forget_merged()?;
    // What it needs is only known from above, and what fails is taken away again: so it is tried when
    // there is nothing left to spare.
    if merge == Merge::Usual {
        disk.expect_room(disk.merge_bytes().saturating_add(MARGIN))?;
    }
    disk.merge()
}

impl Drop for Merger {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
