//! The thread that writes checkpoints, one at a time.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};

use super::StoreError;
use super::disk::{Checkpoint, Disk, DiskView};
use super::layer::Layer;

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
    /// Starts the thread.
    pub fn start(disk: Disk) -> Result<Self, StoreError> {
        // One layer to write and one to forget, at most.
        let (jobs, work) = bounded(2);
        let (done, written) = bounded(1);
        let thread = thread::Builder::new()
            .name("checkpoint".into())
            .spawn(move || run(&disk, &work, &done))
            .map_err(|error| StoreError(format!("cannot start the checkpoint thread: {error}")))?;
        Ok(Self { jobs: Some(jobs), written, thread: Some(thread) })
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
