//! A whole cluster in one thread: the production `Replica` and state machine over a simulated
//! network, disk and clock, all drawn from one seed.
//!
//! Each run has a phase of faults (loss, duplication, delay, partitions, crashes that lose what was
//! not yet durable, wrong evidence that a leader is gone; disks that hang, fill up, or lose what was
//! durable; states that rot or differ) and a healed phase in which it must converge. All the while
//! machines write checkpoints and purge their logs, so that whoever was away fetches a state, and wall
//! clocks are set to anything.
//!
//! Clients make links, and use the key-value store: transactions, sessions, locks, keys with a lifetime,
//! readers that wait. People use the link board: they sign up, log in and out, post, like, talk, and are
//! moderated. Now and then all stands still for minutes or months, so that what lasts as long comes to its
//! end. What each entry does and says is compared with a reference that is as naive as can
//! be (`reference`); beyond that, nothing may end before its real time is over, nothing that is due may
//! stay when all is calm, two clients may never believe to hold one lock (`cluster/locks.rs`), a like that
//! was acknowledged counts once and a log-out that was is never undone (`cluster/board/promises.rs`), no
//! index may go back, and a reader that waits is woken when there is something for it, and only then
//! (`watchers`).
//! `BOWLINE_SEED=n` repeats one seed, `BOWLINE_SEEDS=n` runs that many.

mod checks;
mod cluster;
mod disk;
mod machine;
mod reference;
mod seen;
mod watchers;

use cluster::{Cluster, Faults};
use seen::Seen;

const SECOND: u64 = 1_000_000;

fn run(seed: u64, size: usize) -> Seen {
    let mut cluster = Cluster::new(seed, size);
    cluster.run_for(3 * SECOND, Faults::none());
    assert_eq!(cluster.voters(), size, "seed {seed}: all joiners become voters by themselves");
    cluster.prompt = true;
    cluster.run_for(2 * SECOND, Faults::none());
    cluster.prompt = false;
    let faults = cluster.draw_faults();
    cluster.run_for(20 * SECOND, faults);
    let before = cluster.acknowledged();
    cluster.heal();
    for _ in 0..4 {
        cluster.run_for(5 * SECOND / 2, Faults::none());
        cluster.leap();
    }
    cluster.check_converged();
    assert!(cluster.acknowledged() > before + 50, "seed {seed}: it does not take writes again");
    cluster.seen().clone()
}

/// Runs all seeds; together they must have shown what they are for.
fn run_all(size: usize) {
    let mut seen = Seen::default();
    for seed in seeds() {
        println!("seed {seed}, {size} nodes");
        seen.add(&run(seed, size));
    }
    if seeds().count() > 10 {
        println!("{size} nodes: {seen:?}");
        seen.assert_all();
    }
}

fn seeds() -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text: String| text.parse().ok());
    match number("BOWLINE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("BOWLINE_SEEDS").unwrap_or(12),
    }
}

#[test]
fn three_nodes_keep_their_promises() {
    run_all(3);
}

#[test]
fn five_nodes_keep_their_promises() {
    run_all(5);
}

#[test]
fn a_leader_whose_disk_hangs_hands_over_and_comes_back() {
    let mut cluster = Cluster::new(1, 3);
    cluster.run_for(3 * SECOND, Faults::none());
    let hung = cluster.hang_leader(4 * SECOND);
    cluster.run_for(2 * SECOND, Faults::none());
    cluster.seen().assert_handed_over();
    assert_ne!(cluster.leader_id(), Some(hung));
    let before = cluster.acknowledged();
    cluster.run_for(SECOND, Faults::none());
    assert!(cluster.acknowledged() > before + 10, "the others take writes meanwhile");
    cluster.run_for(5 * SECOND, Faults::none());
    cluster.check_converged();
}

/// Whoever it is, the leader too: it is found out, hands over if it leads, and gets the right state.
#[test]
fn a_state_that_differs_is_found_and_fetched_anew() {
    for victim in 0..3 {
        let mut cluster = Cluster::new(2, 3);
        cluster.run_for(3 * SECOND, Faults::none());
        let leader = cluster.leader_id().expect("there is a leader");
        let mut others: Vec<_> = cluster.ids().into_iter().filter(|id| *id != leader).collect();
        others.push(leader);
        cluster.err(others[victim]);
        cluster.run_for(10 * SECOND, Faults::none());
        cluster.seen().assert_found_odd();
        cluster.seen().assert_installed();
        cluster.check_converged();
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let trace = |seed| {
        let mut cluster = Cluster::new(seed, 3);
        let faults = cluster.draw_faults();
        cluster.run_for(5 * SECOND, faults);
        cluster.trace()
    };
    assert_eq!(trace(7), trace(7));
    assert_ne!(trace(7), trace(8));
}
