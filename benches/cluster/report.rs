//! The tables.

use std::collections::BTreeMap;

use super::cells::Cell;
use super::cpu::Usage;
use super::failover::Gap;
use super::load::Sample;

/// What one repetition of a cell came to.
#[derive(Clone, Debug)]
pub struct Figures {
    values: [f64; 7],
    errors: u64,
    /// µs of CPU per request by name of thread, the nodes together.
    threads: BTreeMap<String, f64>,
}

const HEADS: [&str; 7] =
    ["req/s", "p50 ms", "p99 ms", "p99.9 ms", "nodes µs", "client µs", "others %"];

impl Figures {
    /// Makes them from what was seen and used.
    pub fn new(sample: &Sample, usage: &Usage) -> Self {
        let requests = sample.micros.len() as f64;
        let each = |seconds: f64| seconds * 1e6 / requests.max(1.0);
        Self {
            values: [
                requests / sample.seconds,
                sample.percentile(0.5),
                sample.percentile(0.99),
                sample.percentile(0.999),
                each(usage.nodes),
                each(usage.own),
                usage.others_percent(),
            ],
            errors: sample.errors,
            threads: usage.threads.iter().map(|(name, it)| (name.clone(), each(*it))).collect(),
        }
    }
}

/// Prints the medians of each cell, and below them the least and the most.
pub fn cells(results: &[(Cell, Vec<Figures>)], threads: bool) {
    print!("\n{:<18}", "median");
    HEADS.iter().for_each(|head| print!(" {head:>13}"));
    println!(" {:>7}", "errors");
    println!("{:<18} {:>13}", "", "(min-max)");
    for (cell, all) in results {
        print!("{:<18}", cell.name);
        let columns = || (0..HEADS.len()).map(|at| all.iter().map(move |it| it.values[at]));
        columns().for_each(|column| print!(" {:>13}", number(median(column))));
        println!(" {:>7}", all.iter().map(|it| it.errors).sum::<u64>());
        print!("{:<18}", "");
        columns().for_each(|column| print!(" {:>13}", range(column)));
        println!();
        if threads {
            println!("{:<18} µs per request by thread: {}", "", by_thread(all));
        }
    }
    println!(
        "\nnodes µs, client µs: CPU per request, the three nodes together and the load itself;"
    );
    println!("others %: share of the machine that other processes (or its host) took meanwhile");
}

/// Prints each kill and the medians.
pub fn failover(gaps: &[Gap]) {
    let heads =
        ["gap ms", "longest ms", "from ms", "slowest ms", "writes", "retries", "failed", "lost"];
    print!("\n{:<18}", "kill -9 leader");
    heads.iter().for_each(|head| print!(" {head:>10}"));
    println!();
    for (at, gap) in gaps.iter().enumerate() {
        print!("{:<18}", format!("  {}", at + 1));
        [gap.after_kill, gap.longest, gap.longest_at, gap.slowest]
            .iter()
            .for_each(|it| print!(" {it:>10.1}"));
        let counts = [gap.acknowledged, gap.retries, gap.failed, gap.lost];
        counts.iter().for_each(|it| print!(" {it:>10}"));
        println!();
    }
    print!("{:<18}", "median");
    let times: [fn(&Gap) -> f64; 4] =
        [|it| it.after_kill, |it| it.longest, |it| it.longest_at, |it| it.slowest];
    times.iter().for_each(|time| print!(" {:>10.1}", median(gaps.iter().map(time))));
    println!(
        "\n\ngap: from the kill to the next acknowledgement; longest: between two of them, from when;"
    );
    println!("slowest: a write from when it was due; lost: acknowledged and not on every node");
}

/// The threads that matter, the busiest first.
fn by_thread(all: &[Figures]) -> String {
    let names: Vec<&String> = all.iter().flat_map(|it| it.threads.keys()).collect();
    let of = |name: &String| median(all.iter().filter_map(|it| it.threads.get(name).copied()));
    let medians: BTreeMap<&String, f64> = names.into_iter().map(|name| (name, of(name))).collect();
    let total: f64 = medians.values().sum();
    let mut lines: Vec<_> = medians.into_iter().filter(|(_, it)| *it >= total / 100.0).collect();
    lines.sort_by(|left, right| right.1.total_cmp(&left.1));
    let words: Vec<String> = lines.iter().map(|(name, it)| format!("{name} {it:.1}")).collect();
    words.join(", ")
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn range(values: impl Iterator<Item = f64>) -> String {
    let (least, most) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), it| {
        (least.min(it), most.max(it))
    });
    format!("{}-{}", number(least), number(most))
}

/// Three digits or all before the point.
fn number(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value if value >= 1.0 => format!("{value:.2}"),
        value => format!("{value:.3}"),
    }
}
