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
        taken
    }

    /// How many jobs wait for a thread.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.read().as_ref().map_or(0, |queue| queue.tasks.len())
    }

    /// Whether as many wait as may: one more would be refused now.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.waiting() >= WAITING_MAX
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
        let mut memory = hash::Memory::default();
        while let Ok(Task { ticket, deadline, job }) = self.waiting.recv() {
            let idle = self.stopped.load(Ordering::Acquire) || Instant::now() >= deadline;
            let done = (!idle).then(|| {
                self.metrics.password_jobs.inc();
                job.run(&mut memory)
            });
            // The password is wiped before anybody is told.
            drop(job);
            (self.answer)(ticket, done);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Secret;
    use super::*;

    /// A pool of one thread, whose answers nobody takes until the test does: so the thread stands still.
    struct Held {
        pool: Passwords,
        metrics: Arc<Metrics>,
        answers: Receiver<(u64, Option<Done>)>,
        threads: Vec<JoinHandle<()>>,
    }

    fn held() -> Held {
        let (sender, answers) = bounded(0);
        // A test that is over takes no answers.
        let answer = move |ticket: Ticket, done| drop(sender.send((ticket.id, done)));
        let (pool, metrics) = (Passwords::default(), Arc::new(Metrics::default()));
        let threads = pool.start(1, Arc::clone(&metrics), answer).unwrap();
        Held { pool, metrics, answers, threads }
    }

    impl Held {
        fn submit(&self, id: u64, left: Duration, job: Job) -> bool {
            self.pool.submit(Ticket { sink: 0, id }, Instant::now() + left, job)
        }

        fn hash(&self, id: u64) -> bool {
            self.submit(id, Duration::from_secs(600), Job::Hash(secret("password")))
        }

        /// Puts in a job, and as many behind it as may wait.
        fn fill(&self) {
            assert!(self.hash(0));
            while self.metrics.password_jobs.get() == 0 {
                std::thread::yield_now();
            }
            (1..=WAITING_MAX as u64).for_each(|id| assert!(self.hash(id), "{id}"));
        }
    }

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    fn is_hash(done: Option<Done>) -> bool {
        matches!(done, Some(Done::Hashed(hash)) if hash.starts_with("$argon2id$"))
    }

    #[test]
    fn passwords_are_hashed_and_checked() {
        let held = held();
        assert!(held.hash(1));
        let (1, Some(Done::Hashed(hash))) = held.answers.recv().unwrap() else {
            panic!("a hash was wanted");
        };
        let long = Duration::from_secs(600);
        for (password, hash, is) in
            [("password", Some(&hash), true), ("Password", Some(&hash), false), ("", None, false)]
        {
            let job = Job::Check { password: secret(password), hash: hash.cloned() };
            assert!(held.submit(2, long, job));
            assert_eq!(held.answers.recv().unwrap(), (2, Some(Done::Checked(is))));
        }
        assert_eq!((held.metrics.password_jobs.get(), held.metrics.password_refused.get()), (4, 0));
    }

    #[test]
    fn a_full_queue_refuses_and_loses_nothing() {
        let held = held();
        held.fill();
        assert!(held.pool.is_full());
        assert!(!held.hash(1000) && !held.hash(1001));
        assert_eq!(held.metrics.password_refused.get(), 2);
        assert_eq!(held.pool.waiting(), WAITING_MAX);
        for id in 0..=WAITING_MAX as u64 {
            let (answered, done) = held.answers.recv().unwrap();
            assert!(answered == id && is_hash(done), "{id}");
        }
        assert!(held.pool.waiting() == 0 && !held.pool.is_full());
        assert!(held.hash(1002), "there is room again");
    }

    #[test]
    fn what_is_too_late_is_not_done() {
        let held = held();
        assert!(held.submit(1, Duration::ZERO, Job::Hash(secret("password"))));
        assert_eq!(held.answers.recv().unwrap(), (1, None));
        assert_eq!(held.metrics.password_jobs.get(), 0);
    }

    #[test]
    fn a_pool_that_stops_answers_what_waits_undone() {
        let held = held();
        held.fill();
        held.pool.stop();
        assert!(!held.hash(1000));
        let answers: Vec<_> = held.answers.iter().take(WAITING_MAX + 1).collect();
        let done = answers.iter().filter(|(_, done)| done.is_some()).count();
        assert_eq!(done, 1, "the job that was under way is done, and no other");
        assert!(answers.into_iter().map(|(id, _)| id).eq(0..=WAITING_MAX as u64));
        for thread in held.threads {
            thread.join().unwrap();
        }
    }

    #[test]
    fn the_threads_end_with_the_last_handle() {
        let Held { pool, threads, .. } = held();
        drop(pool);
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(!Passwords::default().submit(
            Ticket { sink: 0, id: 1 },
            Instant::now(),
            Job::Hash(secret("password"))
        ));
    }

    #[test]
    fn a_password_is_not_shown() {
        let job = Job::Check { password: secret("open sesame"), hash: None };
        assert!(!format!("{job:?}").contains("sesame"), "{job:?}");
    }
}
