//! The tables, as a page of documentation.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;

use super::cpu::Usage;
use super::load::{Sample, percentile};
use super::mix::{Freshness, KEYS, MIXES, Mix, Requests, VALUE_BYTES};
use super::nodes::VOTERS_MAX;

/// What each round came to, by mix and number of nodes.
pub type Results = BTreeMap<(Mix, usize), Vec<Figures>>;

/// How it was measured.
pub struct Setup<'a> {
    /// Sizes of clusters.
    pub nodes: &'a [usize],
    /// Clients of the closed loop.
    pub clients: usize,
    /// Seconds of each measurement.
    pub seconds: f64,
    /// How often each was made.
    pub rounds: usize,
}

/// What one measurement came to.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    rate: f64,
    /// p50 and p99 in ms; not a number where there was nothing to measure.
    read: [f64; 2],
    write: [f64; 2],
    errors: u64,
    others_percent: f64,
}

impl Figures {
    /// Makes them from what was seen and used.
    pub fn new(sample: &Sample, requests: Requests, usage: &Usage) -> Self {
        Self {
            rate: sample.micros.len() as f64 / sample.seconds,
            read: latencies(requests.reads),
            write: latencies(requests.writes),
            errors: sample.errors,
            others_percent: usage.others_percent(),
        }
    }
}

fn latencies(mut micros: Vec<f64>) -> [f64; 2] {
    micros.sort_by(f64::total_cmp);
    [percentile(&micros, 0.5), percentile(&micros, 0.99)]
}

/// The whole page.
pub fn page(setup: &Setup, results: &Results) -> String {
    let mut page = head(setup, results);
    for (freshness, title, text) in [
        (
            Freshness::Linearizable,
            "Linearizable reads",
            "The default of `GET /v1/kv/KEY`: the node asks the leader, which asks a majority.",
        ),
        (
            Freshness::Stale,
            "Stale reads",
            "`GET /v1/kv/KEY?stale`: the node that is asked answers from its own state.",
        ),
    ] {
        let _ = writeln!(page, "\n## {title}\n\n{text}");
        table(&mut page, "Requests per second", setup, |nodes, mix| {
            rate(setup, results, freshness, nodes, mix)
        });
        for (kind, latency) in [
            ("reads", (|it: &Figures| it.read) as fn(&Figures) -> [f64; 2]),
            ("writes", |it: &Figures| it.write),
        ] {
            let title = format!("Latency of {kind}: p50 / p99 in ms");
            table(&mut page, &title, setup, |nodes, reads| {
                let all = &results[&(Mix { reads, freshness }, nodes)];
                let of = |at: usize| median(all.iter().map(|it| latency(it)[at]));
                if of(0).is_nan() {
                    return "–".to_owned();
                }
                format!("{} / {}", number(of(0)), number(of(1)))
            });
        }
    }
    page
}

/// What was done, on what, and how far it can be trusted.
fn head(setup: &Setup, results: &Results) -> String {
    let Setup { clients, seconds, rounds, .. } = setup;
    let others = results.values().flatten().map(|it| it.others_percent).fold(0.0, f64::max);
    let errors: u64 = results.values().flatten().map(|it| it.errors).sum();
    format!(
        "\
# The key-value store: reads and writes, by number of nodes

Written by `scripts/experiments.sh`; what is measured, and what the figures can and cannot say, is told in
[README.md](README.md).

- Machine: {cores} cores for all nodes **and** the clients, {processor}, Linux {kernel}.
- {clients} clients in a closed loop, dealt out over all nodes; {KEYS} keys, values of {VALUE_BYTES} bytes.
- {seconds} s for each figure, {rounds} rounds, each with clusters of its own, sizes and mixes in turn; told
  are the medians, and behind them the ratio to the first row.
- Of more than {VOTERS_MAX} nodes {VOTERS_MAX} vote; the others stand by: they get everything, and no write
  waits for them.
- Other processes used up to {others:.0} % of the machine meanwhile; {errors} requests failed.
",
        cores = std::thread::available_parallelism().map_or(0, usize::from),
        processor = processor(),
        kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim(),
    )
}

fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name"));
    let name = model.map(|rest| rest.trim_start_matches([' ', '\t', ':']).trim());
    name.unwrap_or("of an unknown kind").to_owned()
}

/// Rows by number of nodes, columns by mix.
fn table(page: &mut String, title: &str, setup: &Setup, cell: impl Fn(usize, u32) -> String) {
    let names = MIXES.map(|reads| Mix { reads, freshness: Freshness::Stale }.name());
    let _ = writeln!(page, "\n{title}:\n\n| nodes | {} |", names.join(" | "));
    let _ = writeln!(page, "|--:|{}", "--:|".repeat(MIXES.len()));
    for nodes in setup.nodes {
        let cells = MIXES.map(|reads| cell(*nodes, reads));
        let _ = writeln!(page, "| {nodes} | {} |", cells.join(" | "));
    }
}

/// The rate, and what part of the first row's it is.
fn rate(
    setup: &Setup,
    results: &Results,
    freshness: Freshness,
    nodes: usize,
    reads: u32,
) -> String {
    let of = |nodes| {
        let all = &results[&(Mix { reads, freshness }, nodes)];
        median(all.iter().map(|it| it.rate))
    };
    let (own, first) = (of(nodes), of(setup.nodes[0]));
    format!("{own:.0} ({:.2})", own / first)
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Two digits behind the point, or three that count.
fn number(value: f64) -> String {
    if value < 10.0 { format!("{value:.2}") } else { format!("{value:.1}") }
}
