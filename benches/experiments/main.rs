//! What reading costs beside writing, and what more nodes cost or bring: the key-value store under
//! mixes of reads and writes, on clusters of growing size, against the store on one node.
//!
//! ```text
//! scripts/experiments.sh                 all of it, and writes docs/experiments/kv.md
//! cargo bench --bench experiments -- --smoke
//! ```
//!
//! The clients of a closed loop are dealt out over all nodes, as a load balancer would do it. Nodes and
//! clients share the machine. Each size of cluster is started anew in each round, measures all mixes in
//! turn and ends, so that no idle cluster disturbs another and a noisy minute falls on all; told are the
//! medians over the rounds. `BENCH_DIR` chooses the disk, `BENCH_PROGRAM` another build.
#![allow(clippy::print_stdout, reason = "a benchmark reports")]

#[path = "../cluster/connection.rs"]
#[allow(dead_code, reason = "shared with the benchmark of three nodes")]
mod connection;
#[path = "../cluster/cpu.rs"]
mod cpu;
#[path = "../cluster/load.rs"]
#[allow(dead_code, reason = "shared with the benchmark of three nodes")]
mod load;
#[path = "../cluster/nodes.rs"]
#[allow(dead_code, reason = "shared with the benchmark of three nodes")]
mod nodes;
#[path = "../cluster/stop.rs"]
mod stop;

mod mix;
mod report;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Parser;
use mix::{Freshness, KEYS, MIXES, Mix, Preload, Requests};
use nodes::Cluster;
use report::{Figures, Results, Setup};

/// Work before each measurement that is not counted.
const WARM_UP: Duration = Duration::from_millis(300);
/// Eleven nodes on two cores may be silent for longer than a node in trouble should be: nobody is taken
/// for dead so soon.
const FLAGS: [&str; 4] = ["--heartbeat", "50ms", "--election-timeout", "1s-2s"];

/// Measures the key-value store under mixes of reads and writes, by number of nodes.
#[derive(Parser)]
struct Options {
    /// Sizes of clusters; the first is what the others are compared with
    #[arg(long, value_delimiter = ',', default_value = "1,3,5,7,9,11")]
    nodes: Vec<usize>,
    /// Clients, dealt out over the nodes
    #[arg(long, default_value_t = 32)]
    clients: usize,
    /// How long each mix is measured each time
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// How often everything is measured
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Writes the tables into this file, too
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// One short round of one and three nodes: whether it works at all
    #[arg(long)]
    smoke: bool,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let mut options = Options::parse();
    if options.smoke {
        (options.nodes, options.rounds, options.seconds) = (vec![1, 3], 1, 0.5);
    }
    stop::listen();
    let mut results = Results::new();
    for round in 0..options.rounds {
        for nodes in &options.nodes {
            let start = Instant::now();
            measure(&options, *nodes, round as u64, &mut results);
            println!("round {}, {nodes} nodes: {:.0?}", round + 1, start.elapsed());
        }
    }
    let setup = Setup {
        nodes: &options.nodes,
        clients: options.clients,
        seconds: options.seconds,
        rounds: options.rounds,
    };
    let page = report::page(&setup, &results);
    println!("\n{page}");
    if let Some(file) = &options.write {
        std::fs::write(file, page).expect("the file can be written");
        println!("written to {}", file.display());
    }
}

/// All mixes on a cluster of this size.
fn measure(options: &Options, nodes: usize, round: u64, results: &mut Results) {
    let cluster = Cluster::start(nodes, &FLAGS, false);
    let to = cluster.all_http();
    let mut preload = Preload::default();
    while preload.done < 2 * KEYS {
        load::run(&to, options.clients, Duration::from_millis(100), &mut preload);
    }
    // Nothing of it is still on its way to a slower node.
    cluster.settle();
    for freshness in [Freshness::Linearizable, Freshness::Stale] {
        for reads in MIXES {
            let mix = Mix { reads, freshness };
            let seed = 1 + round * 1000 + u64::from(reads) * 2 + freshness as u64;
            load::run(&to, options.clients, WARM_UP, &mut Requests::new(mix, seed + 500));
            let before = cluster.usage();
            let mut requests = Requests::new(mix, seed);
            let duration = Duration::from_secs_f64(options.seconds);
            let sample = load::run(&to, options.clients, duration, &mut requests);
            let usage = cluster.usage().since(&before);
            let figures = Figures::new(&sample, requests, &usage);
            results.entry((mix, nodes)).or_default().push(figures);
        }
    }
}
