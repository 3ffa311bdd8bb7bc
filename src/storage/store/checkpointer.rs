//! The thread that writes checkpoints, one at a time.
//!
//! It lowers its own priority before it opens the disk, and what fjall does in the background inherits
//! that: on a machine with few cores the merging of runs would otherwise keep the log's thread
//! waiting for a core after its sync is done.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};

use rustix::process::setpriority_process;
use rustix::thread::gettid;

use super::disk::{Checkpoint, Disk, DiskView};
use super::layer::Layer;
use super::{StoreError, StoreOptions};
use crate::threads;

/// How much the thread gives way to others, as `nice` counts: about a third of an equal share, since
/// with much less the merging would not keep up with a node that is busy for long.
const NICE: i32 = 5;

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

/// Handle of the thread `checkpoint`.
pub struct Checkpointer {
    jobs: Option<Sender<Job>>,
    written: Receiver<Result<Written, StoreError>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    /// Starts the thread and opens the tree in `path`, which is returned as it stands.
    pub fn start(path: &Path, options: &StoreOptions) -> Result<(Self, DiskView), StoreError> {
        // One layer to write and one to forget, at most.
        let (jobs, work) = bounded(2);
        let (done, written) = bounded(1);
        let (tell, opened) = bounded(1);
        let (path, options) = (path.to_owned(), *options);
        let run = move || {
            // A courtesy: where it is not allowed, checkpoints are as quick and only less polite.
            let _ = setpriority_process(Some(gettid()), NICE);
            match Disk::open(&path, &options) {
                Ok(disk) => {
                    let _ = tell.send(Ok(disk.snapshot()));
                    run(&disk, &work, &done);
                }
                Err(error) => {
                    let _ = tell.send(Err(error));
                }
            }
        };
        let thread = threads::spawn("checkpoint", run)
            .map_err(|error| StoreError(format!("cannot start the checkpoint thread: {error}")))?;
        let this = Self { jobs: Some(jobs), written, thread: Some(thread) };
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

    /// The report of the checkpoint that was begun; none yet if it is still being written.
    pub fn poll(&self) -> Result<Option<Written>, StoreError> {
        match self.written.try_recv() {
            Ok(written) => written.map(Some),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(gone()),
        }
    }

    /// Waits for that report.
    pub fn wait(&self) -> Result<Written, StoreError> {
        self.written.recv().unwrap_or_else(|_| Err(gone()))
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
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn gone() -> StoreError {
    StoreError("the checkpoint thread is gone".into())
}

fn run(disk: &Disk, jobs: &Receiver<Job>, done: &Sender<Result<Written, StoreError>>) {
    for job in jobs {
        let (layer, checkpoint) = match job {
            Job::Write(layer, checkpoint) => (layer, checkpoint),
            Job::Forget(layer) => {
                drop(layer);
                continue;
            }
        };
        let start = Instant::now();
        let written = disk.ingest(&layer, &checkpoint).map(|()| Written {
            applied: checkpoint.applied,
            disk: disk.snapshot(),
            took: start.elapsed(),
        });
        let failed = written.is_err();
        if done.send(written).is_err() || failed {
            return;
        }
    }
}
