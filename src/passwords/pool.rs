//! The threads that hash: few, behind a queue that is short.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::RwLock;
use rustix::process::setpriority_process;
use rustix::thread::gettid;

use super::{Done, Job, hash};
use crate::ids::Ticket;
use crate::metrics::Metrics;
use crate::threads;

/// Jobs that may wait for a thread. One thread does dozens of them a second, so that the last of them is
/// still done within the time that a request has.
pub const WAITING_MAX: usize = 32;

/// How much the threads stand back behind all others (nice(2)): a flood of log-ins must cost neither
/// heartbeats nor pages.
const NICE: i32 = 5;

/// Takes what came of a job, on the thread that did it; none when its time was over before its turn came,
/// or the pool was stopped: nothing was done then.
pub trait Answer: Fn(Ticket, Option<Done>) + Send + Sync + 'static {}
impl<T: Fn(Ticket, Option<Done>) + Send + Sync + 'static> Answer for T {}

/// A handle on the pool: clones are the same. Before it is started, and after it was stopped, it refuses
/// everything.
#[derive(Clone, Default)]
pub struct Passwords(Arc<RwLock<Option<Queue>>>);

/// The pool's front side.
struct Queue {
    tasks: Sender<Task>,
    stopped: Arc<AtomicBool>,
    metrics: Arc<Metrics>,
}

struct Task {
    ticket: Ticket,
    /// When nobody waits for the answer any more.
    deadline: Instant,
    job: Job,
}

impl Passwords {
    /// Starts so many threads. They end after [`Passwords::stop`], or when all handles are gone.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        &self,
        threads: usize,
        metrics: Arc<Metrics>,
        answer: impl Answer,
    ) -> io::Result<Vec<JoinHandle<()>>> {
        let (tasks, waiting) = bounded(WAITING_MAX);
        let stopped = Arc::new(AtomicBool::new(false));
        let answer = Arc::new(answer);
        let mut handles = Vec::new();
        for number in 0..threads {
            let worker = Worker {
                waiting: waiting.clone(),
                stopped: Arc::clone(&stopped),
                metrics: Arc::clone(&metrics),
                answer: Arc::clone(&answer),
            };
            handles.push(threads::spawn(format!("slow-{number}"), move || worker.run())?);
        }
        *self.0.write() = Some(Queue { tasks, stopped, metrics });
        Ok(handles)
    }

    /// Puts a job into the queue, without waiting. Returns whether there was room for it.
    #[must_use]
    pub fn submit(&self, ticket: Ticket, deadline: Instant, job: Job) -> bool {
        let queue = self.0.read();
        let Some(Queue { tasks, metrics, .. }) = &*queue else { return false };
        let taken = tasks.try_send(Task { ticket, deadline, job }).is_ok();
        if !taken {
            metrics.password_refused.inc();
        }
        metrics.password_waiting.set(tasks.len() as u64);
        taken
    }

    /// Takes no more jobs, and lets the threads end once each has done the one that it is at. What still
    /// waits is answered undone. Never blocks.
    pub fn stop(&self) {
        if let Some(queue) = self.0.write().take() {
            queue.stopped.store(true, Ordering::Release);
        }
    }
}

/// One of the threads.
struct Worker<A> {
    waiting: Receiver<Task>,
    stopped: Arc<AtomicBool>,
    metrics: Arc<Metrics>,
    answer: Arc<A>,
}

impl<A: Answer> Worker<A> {
    fn run(self) {
        // A courtesy: where it is not allowed, passwords are as quick and only less polite.
        let _ = setpriority_process(Some(gettid()), NICE);
        hash::prepare();
        while let Ok(Task { ticket, deadline, job }) = self.waiting.recv() {
            self.metrics.password_waiting.set(self.waiting.len() as u64);
            let idle = self.stopped.load(Ordering::Acquire) || Instant::now() >= deadline;
            let done = (!idle).then(|| {
                self.metrics.password_jobs.inc();
                job.run()
            });
            // The password is wiped before anybody is told.
            drop(job);
            (self.answer)(ticket, done);
        }
    }
}
