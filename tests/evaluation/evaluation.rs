//! Five servers under load, looked at all the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::book::{Asker, Book, Numbers, PREFIX};
use crate::harness::{Cluster, eventually};
use crate::support::{Fault, cluster};

/// How many servers there are,
pub const SERVERS: usize = 5;
/// and how many of them make a majority.
const MAJORITY: usize = SERVERS / 2 + 1;
/// Writers, each with keys of its own.
const WRITERS: usize = 2;
/// One write in so many goes to a key that is written again and again: there an old value would show. All
/// others go to a key of their own: there a loss stays a loss.
const HOT: u64 = 4;
/// How many of those keys there are.
const HOT_KEYS: u64 = 5;
/// Acknowledged writes before anything happens, and behind all that happens.
const CALM: u64 = 80;
/// How often a writer reads what it has written, at another server: one in so many.
const READ_BACK: u64 = 5;
/// Time between two checks.
const PAUSE: Duration = Duration::from_millis(200);
/// How long a check may wait for a majority to have applied what was acknowledged: a follower learns of a
/// commit with the next message of a leader, and there may have to be a new one first. Seconds, because
/// machines that run tests are slow; a healthy cluster takes a heartbeat.
const WINDOW: Duration = Duration::from_secs(20);
/// How long all servers may take for it when all of them work again.
const WINDOW_OF_ALL: Duration = Duration::from_secs(40);

/// What the threads share.
struct Shared {
    book: Book,
    /// Base URLs, which outlive a restart.
    http: Vec<String>,
    /// Which servers are asked at all: not those that are dead or stand still.
    reachable: [AtomicBool; SERVERS],
    stop: AtomicBool,
    checks: AtomicU64,
    longest_ms: AtomicU64,
}

impl Shared {
    fn reachable(&self) -> Vec<usize> {
        (0..SERVERS).filter(|at| self.reachable[*at].load(Ordering::Relaxed)).collect()
    }
}

/// The servers, the writers and the checker.
pub struct Evaluation {
    name: &'static str,
    cluster: Cluster,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Evaluation {
    /// Starts servers, writers and checker, and waits until they have done something.
    pub fn start(name: &'static str) -> Self {
        let cluster = cluster(SERVERS, &[]);
        let shared = Arc::new(Shared {
            book: Book::default(),
            http: cluster.nodes.iter().map(|node| node.http.clone()).collect(),
            reachable: std::array::from_fn(|_| AtomicBool::new(true)),
            stop: AtomicBool::new(false),
            checks: AtomicU64::new(0),
            longest_ms: AtomicU64::new(0),
        });
        let mut threads = Vec::new();
        for writer in 0..WRITERS {
            let shared = Arc::clone(&shared);
            threads.push(std::thread::spawn(move || write(writer, &shared)));
        }
        let checked = Arc::clone(&shared);
        threads.push(std::thread::spawn(move || check(&checked)));
        let evaluation = Self { name, cluster, shared, threads };
        evaluation.goes_on(CALM);
        evaluation
    }

    /// Waits until so many more writes are acknowledged and two more checks are through.
    pub fn goes_on(&self, more: u64) {
        let writes = self.shared.book.count() + more;
        let checks = self.shared.checks.load(Ordering::Relaxed) + 2;
        eventually("writes and checks go on", || {
            // Told here already, instead of when patience ends.
            assert!(self.threads.iter().all(|it| !it.is_finished()), "a thread has failed");
            let now = (self.shared.book.count(), self.shared.checks.load(Ordering::Relaxed));
            if now.0 >= writes && now.1 >= checks { Ok(()) } else { Err((now, writes, checks)) }
        });
    }

    /// The server that all reachable ones take for the leader.
    pub fn leader(&self) -> usize {
        let asker = Asker::new();
        eventually("there is a leader", || {
            let reachable = self.shared.reachable();
            let mut leaders = Vec::new();
            for at in &reachable {
                let url = self.cluster.nodes[*at].url("/v1/status/leader");
                leaders.push(asker.ask("GET", &url, "")?.1);
            }
            leaders.dedup();
            let leads = |at: &&usize| leaders == [format!("\"{}\"", self.cluster.nodes[**at].peer)];
            reachable.iter().find(leads).copied().ok_or(format!("{leaders:?}"))
        })
    }

    /// Reachable servers that do not lead.
    pub fn followers(&self) -> Vec<usize> {
        let leader = self.leader();
        self.shared.reachable().into_iter().filter(|at| *at != leader).collect()
    }

    /// Ends a server as a failing machine would.
    pub fn fail(&mut self, at: usize) {
        self.leave_alone(at, true);
        self.cluster.nodes[at].kill();
    }

    /// Starts it again.
    pub fn recover(&mut self, at: usize) {
        self.cluster.nodes[at].restart();
        self.leave_alone(at, false);
    }

    /// Makes a server stand still.
    pub fn pause(&self, at: usize) {
        self.leave_alone(at, true);
        self.cluster.nodes[at].pause();
    }

    /// Lets it go on.
    pub fn resume(&self, at: usize) {
        self.cluster.nodes[at].resume();
        self.leave_alone(at, false);
    }

    /// Makes each sync of a server's disk take this long, until what comes back is dropped.
    pub fn slow_disk(&self, at: usize, delay: Duration) -> Fault {
        let delay = format!("delay_enter={}", delay.as_micros());
        Fault::on(&self.cluster.nodes[at], "fdatasync,fsync", &delay)
    }

    fn leave_alone(&self, at: usize, alone: bool) {
        self.shared.reachable[at].store(!alone, Ordering::Relaxed);
    }

    /// Makes sure that no write is acknowledged any more: not one that is sent here, and none of those
    /// that go on meanwhile.
    pub fn is_stuck(&self) {
        let asker = Asker::new();
        let attempt = |number| {
            let reachable = self.shared.reachable();
            let at = reachable[usize::try_from(number).unwrap() % reachable.len()];
            asker.put(&self.shared.http[at], &format!("{PREFIX}stuck"), number)
        };
        // What was on its way when the majority went may still be acknowledged.
        attempt(1);
        let before = self.shared.book.count();
        assert!(!attempt(2) && !attempt(3), "a minority has acknowledged a write");
        assert_eq!(self.shared.book.count(), before, "so has it here");
    }

    /// Ends the load, and waits until every server has all that was acknowledged, and all have the same.
    pub fn finish(mut self) {
        self.goes_on(CALM);
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("every check was passed");
        }
        assert_eq!(self.shared.reachable().len(), SERVERS, "a scenario ends with all servers");
        let window = wait_for(&self.shared, SERVERS, WINDOW_OF_ALL);
        self.cluster.settled(SERVERS);
        self.cluster.agree();
        println!(
            "{}: {} writes; {} checks, on a majority after {} ms at most; on all after {} ms",
            self.name,
            self.shared.book.count(),
            self.shared.checks.load(Ordering::Relaxed),
            self.shared.longest_ms.load(Ordering::Relaxed),
            window.as_millis(),
        );
    }
}

impl Drop for Evaluation {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

/// Writes one number after the other, at each reachable server in turn, and reads some of them back
/// elsewhere. What is not acknowledged is not repeated: it may have been done or not, and the next number
/// tells them apart.
fn write(writer: usize, shared: &Shared) {
    let asker = Asker::new();
    for number in 1_u64.. {
        if shared.stop.load(Ordering::Relaxed) {
            break;
        }
        let reachable = shared.reachable();
        let turn = usize::try_from(number).unwrap() + writer;
        let at = |turn: usize| shared.http[reachable[turn % reachable.len()]].as_str();
        let key = match number.is_multiple_of(HOT) {
            true => format!("{PREFIX}{writer}/hot/{}", number / HOT % HOT_KEYS),
            false => format!("{PREFIX}{writer}/{number}"),
        };
        if !asker.put(at(turn), &key, number) {
            // A server that refuses everything at once must not take the processor from the others.
            std::thread::park_timeout(Duration::from_millis(5));
            continue;
        }
        shared.book.acknowledged(&key, number);
        if number.is_multiple_of(READ_BACK)
            && let Ok(found) = asker.get(at(turn + 1), &key)
        {
            assert_eq!(found, number, "{key} at {}, just written", at(turn + 1));
        }
    }
}

/// Looks again and again whether all that was acknowledged is on a majority.
fn check(shared: &Shared) {
    while !shared.stop.load(Ordering::Relaxed) {
        let took = wait_for(shared, MAJORITY, WINDOW);
        shared.longest_ms.fetch_max(took.as_millis().try_into().unwrap(), Ordering::Relaxed);
        shared.checks.fetch_add(1, Ordering::Relaxed);
        std::thread::park_timeout(PAUSE);
    }
}

/// Waits until what is acknowledged by now is on so many servers, and tells how long that took.
fn wait_for(shared: &Shared, servers: usize, window: Duration) -> Duration {
    let asker = Asker::new();
    let mut missing = shared.book.so_far();
    let start = Instant::now();
    loop {
        let reachable = shared.reachable();
        let have: Vec<Numbers> = reachable.iter().map(|at| asker.has(&shared.http[*at])).collect();
        missing.retain(|key, number| {
            have.iter().filter(|numbers| numbers.get(key) >= Some(number)).count() < servers
        });
        if missing.is_empty() {
            return start.elapsed();
        }
        let some: Vec<_> = missing.iter().take(3).collect();
        assert!(
            start.elapsed() < window,
            "{} keys are not on {servers} servers after {window:?}: {some:?}",
            missing.len()
        );
        std::thread::park_timeout(Duration::from_millis(10));
    }
}
