//! Who used how much of the processors, from `/proc`.

use std::collections::BTreeMap;
use std::fs;

/// Kernel ticks per second in `/proc`: 100 on every Linux that this runs on (proc(5), `USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// Processor time used up to a moment, in seconds.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    /// Of the nodes together.
    pub nodes: f64,
    /// Of this process.
    pub own: f64,
    /// Of everything on the machine, stolen time included.
    busy: f64,
    /// All there was, used or not.
    all: f64,
    /// Of the nodes' threads together, by name.
    pub threads: BTreeMap<String, f64>,
}

impl Usage {
    /// Reads the counters; `pids` are the nodes.
    pub fn now(pids: &[u32]) -> Self {
        let (busy, all) = machine();
        let mut usage = Self { own: process("self"), busy, all, ..Self::default() };
        for pid in pids {
            usage.nodes += process(&pid.to_string());
            for (name, seconds) in threads(*pid) {
                *usage.threads.entry(name).or_default() += seconds;
            }
        }
        usage
    }

    /// What was used since an earlier moment.
    pub fn since(&self, earlier: &Self) -> Self {
        let before = |name: &String| earlier.threads.get(name).copied().unwrap_or(0.0);
        let threads = self.threads.iter().map(|(name, it)| (name.clone(), it - before(name)));
        Self {
            nodes: self.nodes - earlier.nodes,
            own: self.own - earlier.own,
            busy: self.busy - earlier.busy,
            all: self.all - earlier.all,
            threads: threads.collect(),
        }
    }

    /// The share of the machine that others used, in percent: how far the figures can be trusted.
    pub fn others_percent(&self) -> f64 {
        (100.0 * (self.busy - self.nodes - self.own) / self.all.max(1e-9)).max(0.0)
    }
}

/// User and system time of a process (proc(5), fields 14 and 15; the name before may hold blanks).
fn process(pid: &str) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = fields.split_ascii_whitespace().skip(11).take(2);
    ticks.filter_map(|it| it.parse::<f64>().ok()).sum::<f64>() / TICKS_PER_SECOND
}

/// (busy, all) of the whole machine; busy is what is not idle and does not wait for a disk.
fn machine() -> (f64, f64) {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = stat.lines().next().unwrap_or("");
    let ticks: Vec<f64> =
        line.split_ascii_whitespace().skip(1).take(8).filter_map(|it| it.parse().ok()).collect();
    let all: f64 = ticks.iter().sum();
    let idle: f64 = ticks.iter().skip(3).take(2).sum();
    ((all - idle) / TICKS_PER_SECOND, all / TICKS_PER_SECOND)
}

/// Name and time of the threads of a process. `schedstat` counts nanoseconds.
fn threads(pid: u32) -> Vec<(String, f64)> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let usage = |task: fs::DirEntry| {
        let name = fs::read_to_string(task.path().join("comm")).ok()?;
        let times = fs::read_to_string(task.path().join("schedstat")).ok()?;
        let nanos: f64 = times.split_ascii_whitespace().next()?.parse().ok()?;
        Some((name.trim().to_owned(), nanos / 1e9))
    };
    tasks.flatten().filter_map(usage).collect()
}
