//! What a checkpoint costs, and what it does to the log meanwhile.
//!
//! ```text
//! cargo bench --bench store -- [rows] [rows per checkpoint] [checkpoints]
//! ```
//!
//! Fills a state with rows (8 million by default), then makes checkpoints of random rows, one after
//! the other, while a second thread appends 4 KiB to a real log and syncs it, once a millisecond. The
//! log's syncs are told apart by what else goes on: a checkpoint (with the merging of runs
//! behind it), or nothing, for two seconds before each checkpoint, so that what other programs do to the
//! machine falls on both. Prints one line per checkpoint, then the targets and whether they were met. `BENCH_DIR` chooses the disk, by default the temporary directory's.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark may")]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bowline::ids::Id128;
use bowline::metrics::Metrics;
use bowline::raft::{Entry, Payload, Stamp};
use bowline::storage::{Identity, Store, StoreOptions, Table, Wal, WalOptions};
use bytes::Bytes;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const VALUE_BYTES: usize = 96;
const KEY_BYTES: usize = 13;
const TARGET_SECONDS: f64 = 1.0;
const TARGET_AMPLIFICATION: f64 = 10.0;
const TARGET_P99: f64 = 3.0;
const QUIET: Duration = Duration::from_secs(2);
const LOG_EVERY: Duration = Duration::from_millis(1);

fn main() {
    // cargo adds `--bench`.
    let numbers: Vec<u64> = std::env::args().filter_map(|word| word.parse().ok()).collect();
    let number = |at: usize, default| numbers.get(at).copied().unwrap_or(default);
    let (rows, changed, rounds) = (number(0, 8_000_000), number(1, 300_000), number(2, 8));
    let dir = match std::env::var_os("BENCH_DIR") {
        Some(parent) => tempfile::tempdir_in(parent).unwrap(),
        None => tempfile::tempdir().unwrap(),
    };

    let never = StoreOptions {
        checkpoint_bytes: u64::MAX,
        checkpoint_interval: Duration::MAX,
        ..StoreOptions::default()
    };
    let (mut store, _views, _) =
        Store::open(&dir.path().join("state"), never, Arc::new(Metrics::default())).unwrap();
    let mut random = StdRng::seed_from_u64(1);
    let start = Instant::now();
    let mut applied = fill(&mut store, &mut random, rows, changed);
    println!("filled {rows} rows in {:.1} s", start.elapsed().as_secs_f64());
    settle();

    let log = Log::start(&dir.path().join("log"));
    let mut checkpoints = Vec::new();
    for _ in 0..rounds {
        applied += 1;
        log.enter(Phase::Quiet);
        thread::sleep(QUIET);
        log.enter(Phase::Other);
        checkpoints.push(checkpoint(&mut store, &mut random, rows, changed, applied, &log));
    }
    let syncs = log.stop();
    let (quiet, busy) = (Latency::of(&syncs, Phase::Quiet), Latency::of(&syncs, Phase::Busy));
    println!("log alone:            {}", quiet.line());
    println!("log with checkpoints: {}", busy.line());
    verdict(&checkpoints, &quiet, &busy);
}

/// Writes each row once, in random order, in steps as large as the checkpoints to be measured.
fn fill(store: &mut Store, random: &mut StdRng, rows: u64, step: u64) -> u64 {
    let mut applied = 0;
    for first in (0..rows).step_by(usize::try_from(step).unwrap()) {
        for number in first..(first + step).min(rows) {
            store.put(&key(number), value(random));
        }
        applied += 1;
        store.publish(applied, Bytes::new());
        store.checkpoint().unwrap();
    }
    applied
}

/// What one checkpoint took.
struct Checkpoint {
    seconds: f64,
    /// Bytes that this process wrote to the disk meanwhile, over the bytes of the rows.
    amplification: f64,
}

fn checkpoint(
    store: &mut Store,
    random: &mut StdRng,
    rows: u64,
    changed: u64,
    applied: u64,
    log: &Log,
) -> Checkpoint {
    for _ in 0..changed {
        store.put(&key(random.next_u64() % rows), value(random));
    }
    store.publish(applied, Bytes::new());
    log.enter(Phase::Busy);
    let (start, before) = (Instant::now(), written());
    store.checkpoint().unwrap();
    let seconds = start.elapsed().as_secs_f64();
    // Merging goes on behind it; what it writes belongs to the checkpoint, and so does its noise.
    let direct = written() - before;
    settle();
    log.enter(Phase::Other);
    let all = written() - before;
    let rows_bytes = (changed * (KEY_BYTES + VALUE_BYTES) as u64) as f64;
    let amplification = all as f64 / rows_bytes;
    println!(
        "checkpoint of {changed} rows, {:.0} MB: {seconds:.2} s, {:.0} MB written at once, {:.0} MB \
         with merging ({amplification:.1} times)",
        rows_bytes / 1e6,
        direct as f64 / 1e6,
        all as f64 / 1e6,
    );
    Checkpoint { seconds, amplification }
}

/// Keys without any order, as short links have.
fn key(number: u64) -> [u8; KEY_BYTES] {
    let mut key = [1; KEY_BYTES];
    let mixed = (number ^ (number >> 31)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    key[5..].copy_from_slice(&(mixed ^ (mixed >> 32)).to_be_bytes());
    key
}

fn value(random: &mut StdRng) -> Bytes {
    let mut value = vec![0; VALUE_BYTES];
    random.fill_bytes(&mut value);
    value.into()
}

/// Bytes that this process has had written to disks by all threads but those of the log.
fn written() -> u64 {
    let mut sum = 0;
    for task in fs::read_dir("/proc/self/task").unwrap() {
        let task = task.unwrap().path();
        let name = fs::read_to_string(task.join("comm")).unwrap();
        if !name.starts_with("log") {
            let io = fs::read_to_string(task.join("io")).unwrap();
            let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: ")).unwrap();
            sum += line.trim().parse::<u64>().unwrap();
        }
    }
    sum
}

/// Waits until the merging behind a checkpoint has come to rest.
fn settle() {
    let mut calm = 0;
    while calm < 5 {
        let before = written();
        thread::sleep(Duration::from_millis(100));
        calm = if written() == before { calm + 1 } else { 0 };
    }
}

/// What goes on besides the log.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Other,
    Quiet,
    Busy,
}

/// A log that is appended to once a millisecond.
struct Log {
    phase: Arc<Mutex<Phase>>,
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<Vec<(Phase, Duration)>>,
}

impl Log {
    fn start(dir: &Path) -> Self {
        let tag = Id128([1; 16]);
        let identity = Identity { cluster: Some(tag), epoch: 0, tag, node: Some(1) };
        let (mut writer, _, _) = Wal::open(dir, &identity, WalOptions::default()).unwrap();
        let phase = Arc::new(Mutex::new(Phase::Other));
        let stop = Arc::new(AtomicBool::new(false));
        let (current, stopped) = (Arc::clone(&phase), Arc::clone(&stop));
        let payload = Payload::Command(vec![7; 4096].into());
        let run = move || {
            let mut syncs = Vec::new();
            for index in 1.. {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                let (phase, start) = (*current.lock(), Instant::now());
                let payload = payload.clone();
                let entry = Entry { index, term: 1, stamp: Stamp::default(), payload };
                writer.append(&[entry], 0);
                syncs.push((phase, writer.sync().unwrap().fsync));
                thread::sleep(LOG_EVERY.saturating_sub(start.elapsed()));
            }
            syncs
        };
        let thread = thread::Builder::new().name("log".into()).spawn(run).unwrap();
        Self { phase, stop, thread }
    }

    fn enter(&self, phase: Phase) {
        *self.phase.lock() = phase;
    }

    fn stop(self) -> Vec<(Phase, Duration)> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// How long the log's syncs took.
struct Latency {
    count: usize,
    p50: Duration,
    p99: Duration,
    p999: Duration,
    max: Duration,
}

impl Latency {
    fn of(syncs: &[(Phase, Duration)], phase: Phase) -> Self {
        let of_phase = syncs.iter().filter(|sync| sync.0 == phase);
        let mut syncs: Vec<_> = of_phase.map(|(_, took)| *took).collect();
        syncs.sort_unstable();
        let at = |share: f64| syncs[((syncs.len() - 1) as f64 * share) as usize];
        Self { count: syncs.len(), p50: at(0.5), p99: at(0.99), p999: at(0.999), max: at(1.0) }
    }

    fn line(&self) -> String {
        let Self { count, p50, p99, p999, max } = self;
        format!(
            "fdatasync p50 {p50:.0?}, p99 {p99:.0?}, p99.9 {p999:.0?}, max {max:.0?}, {count} syncs"
        )
    }
}

fn verdict(checkpoints: &[Checkpoint], quiet: &Latency, busy: &Latency) {
    let worst = |of: fn(&Checkpoint) -> f64| checkpoints.iter().map(of).fold(0.0, f64::max);
    let mean = |of: fn(&Checkpoint) -> f64| {
        checkpoints.iter().map(of).sum::<f64>() / checkpoints.len() as f64
    };
    let slower = busy.p99.as_secs_f64() / quiet.p99.as_secs_f64();
    let say = |what: &str, found: f64, target: f64| {
        let met = if found <= target { "met" } else { "MISSED" };
        println!("{what}: {found:.2}, target {target:.0}: {met}");
    };
    say("slowest checkpoint, s", worst(|checkpoint| checkpoint.seconds), TARGET_SECONDS);
    say(
        "mean bytes written per byte of rows",
        mean(|checkpoint| checkpoint.amplification),
        TARGET_AMPLIFICATION,
    );
    say("log fdatasync p99, times the quiet one", slower, TARGET_P99);
}
