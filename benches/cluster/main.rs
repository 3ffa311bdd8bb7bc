//! What a cluster of three does on this machine: writes, reads, misses, and the death of a leader.
//!
//! ```text
//! cargo bench --bench cluster
//! cargo bench --bench cluster -- --only write-leader --seconds 5 --threads
//! ```
//!
//! Three real nodes on loopback and the clients share the machine, so the figures say what all of
//! them together can do; compare only figures of one run. The cells are measured in turn, over and
//! over, so that a noisy moment falls on all of them, and the share that others took of the machine
//! is shown beside. `BENCH_DIR` chooses the disk, by default the temporary directory's;
//! `BENCH_PROGRAM` names another build of the program, to compare.
#![allow(clippy::print_stdout, reason = "a benchmark reports")]

mod cells;
mod connection;
mod cpu;
mod failover;
mod load;
#[allow(dead_code, reason = "shared with the experiments")]
mod nodes;
mod report;
mod stop;

use std::time::Duration;

use cells::{CELLS, Cell, Kind, Material};
use clap::Parser;
use nodes::{Cluster, NODES};
use report::Figures;

/// How `--only` calls the part that kills leaders.
const FAILOVER: &str = "failover";
/// Work before each measurement that is not counted.
const WARM_UP: Duration = Duration::from_millis(300);

/// Measures a cluster of three nodes on loopback.
#[derive(Parser)]
struct Options {
    /// Only these, or all that begin with these words: write-leader-1, …-16, …-64, …-256,
    /// write-follower-1, …-64, read-1, …-64, miss-64, failover
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// How long each cell is measured each time
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// How often each cell is measured
    #[arg(long, default_value_t = 3)]
    repetitions: usize,
    /// How often the leader is killed
    #[arg(long, default_value_t = 5)]
    kills: usize,
    /// Show which threads of the nodes use the processors
    #[arg(long)]
    threads: bool,
    /// Leave the nodes' directories and logs behind
    #[arg(long)]
    keep: bool,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    fn wants(&self, name: &str) -> bool {
        let is = |part: &String| name == part || name.starts_with(&format!("{part}-"));
        self.only.is_empty() || self.only.iter().any(is)
    }
}

fn main() {
    let options = Options::parse();
    stop::listen();
    let mut cluster = Cluster::start(NODES, &[], options.keep);
    let mut material = Material::new();
    let cells: Vec<Cell> = CELLS.into_iter().filter(|cell| options.wants(cell.name)).collect();
    if !cells.is_empty() {
        measure(&options, &cells, &cluster, &mut material);
    }
    if options.wants(FAILOVER) && options.kills > 0 {
        let run = |repetition| failover::run(&mut cluster, &mut material, repetition);
        report::failover(&(0..options.kills).map(run).collect::<Vec<_>>());
    }
}

fn measure(options: &Options, cells: &[Cell], cluster: &Cluster, material: &mut Material) {
    if cells.iter().any(|cell| cell.kind == Kind::Read) {
        material.preload(cluster);
    }
    let mut results: Vec<(Cell, Vec<Figures>)> =
        cells.iter().map(|cell| (*cell, Vec::new())).collect();
    for _ in 0..options.repetitions {
        for (cell, figures) in &mut results {
            cell.run(cluster, material, WARM_UP);
            let before = cluster.usage();
            let sample = cell.run(cluster, material, Duration::from_secs_f64(options.seconds));
            figures.push(Figures::new(&sample, &cluster.usage().since(&before)));
        }
    }
    report::cells(&results, options.threads);
}
