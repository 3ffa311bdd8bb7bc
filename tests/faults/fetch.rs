//! States that move: to who was away for too long, to who is new, and to who holds a wrong one.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use bowline::ids::WriteId;
use bowline::state::{At, Command, State};
use bowline::storage::{StateDir, Store, StoreOptions, Table};
use bytes::Bytes;
use serde_json::Value;

use crate::harness::{Cluster, Node, PATIENCE, ask, eventually};
use crate::support::{Load, add, all_lead, becomes, cluster, says, status, write_much};

/// Little is kept of the log, so that a few MiB of writes are a long way behind.
const FLAGS: [&str; 4] = ["--log-segment", "4M", "--log-keep", "4M"];

/// Waits until the log of a node begins behind an index. Without writes nothing is purged.
fn begins_behind(node: &Node, index: u64) {
    eventually("the log is purged", || {
        let status = status(node)?;
        let start = status["log_start"].as_u64().ok_or("no log_start")?;
        if start > index { Ok(()) } else { Err(format!("{status}")) }
    });
}

fn last_index(node: &Node) -> u64 {
    status(node).unwrap()["last_index"].as_u64().unwrap()
}

fn load(cluster: &Cluster) -> Load {
    let up: Vec<&Node> = cluster.nodes.iter().filter(|node| node.is_up()).collect();
    Load::on(&up, 2_000)
}

#[test]
fn who_was_away_during_a_compaction_catches_up_under_load() {
    let mut cluster = cluster(3, &FLAGS);
    let away = cluster.follower();
    let last = last_index(&cluster.nodes[away]);
    cluster.nodes[away].terminate();
    let mut links = write_much(&cluster, "away", 20);
    for node in cluster.nodes.iter().filter(|node| node.is_up()) {
        begins_behind(node, last);
    }
    let load = load(&cluster);
    load.goes_on(20);
    cluster.nodes[away].restart();
    says(&cluster.nodes[away], "fetching the state of");
    says(&cluster.nodes[away], "installed the fetched state");
    load.goes_on(50);
    links.extend(load.end());
    cluster.settled(3);
    cluster.agree();
    all_lead(&cluster, &links);

    // What came from another survives like what was made here.
    cluster.nodes[away].kill();
    cluster.nodes[away].restart();
    cluster.settled(3);
    cluster.agree();
    all_lead(&cluster, &links);
}

#[test]
fn who_is_new_joins_a_compacted_cluster_under_load() {
    let mut cluster = cluster(1, &FLAGS);
    let mut links = write_much(&cluster, "old", 20);
    begins_behind(&cluster.nodes[0], 1);
    let load = load(&cluster);
    load.goes_on(20);
    add(&mut cluster, &FLAGS);
    add(&mut cluster, &FLAGS);
    cluster.settled(3);
    for node in &cluster.nodes[1..] {
        says(node, "installed the fetched state");
    }
    load.goes_on(20);
    links.extend(load.end());
    cluster.agree();
    all_lead(&cluster, &links);
    // It is as good a member as any.
    cluster.nodes[0].kill();
    let url = "https://example.com/without-the-first";
    links.push((cluster.nodes[1].shorten(url), url.to_owned()));
    all_lead(&cluster, &links);
}

#[test]
fn a_receiver_killed_on_the_way_begins_again() {
    let mut cluster = cluster(3, &[&FLAGS[..], &["--snapshot-rate", "2M"]].concat());
    let away = cluster.follower();
    let last = last_index(&cluster.nodes[away]);
    cluster.nodes[away].terminate();
    let links = write_much(&cluster, "away", 20);
    for node in cluster.nodes.iter().filter(|node| node.is_up()) {
        begins_behind(node, last);
    }
    // Slowly enough to be caught at it.
    cluster.nodes[away].restart();
    says(&cluster.nodes[away], "fetching the state of");
    cluster.nodes[away].kill();
    cluster.nodes[away].restart();
    says(&cluster.nodes[away], "installed the fetched state");
    cluster.settled(3);
    cluster.agree();
    all_lead(&cluster, &links);
}

/// The checkpoint of a node that does not run, opened as the node would, changed, and closed. What is
/// returned is the index up to which it claims to have applied.
fn change_the_state(data: &Path, change: impl FnOnce(&mut State<Store>)) -> u64 {
    let states = StateDir::open(data).unwrap();
    let (store, views, checkpoint) =
        Store::open(&states.current(), StoreOptions::default(), Arc::default()).unwrap();
    let checkpoint = checkpoint.expect("the node has made a checkpoint");
    let mut state = State::restore(store, &checkpoint.meta).unwrap();
    change(&mut state);
    let (applied, meta) = (state.summary().applied, state.meta_bytes());
    let mut store = state.into_table();
    store.publish(applied, meta);
    store.checkpoint().unwrap();
    drop(views);
    store.close().unwrap();
    applied
}

/// Some writes, a checkpoint that holds them, and some more writes behind it.
fn with_a_checkpoint(cluster: &Cluster) -> Vec<(String, String)> {
    let mut links = write_much(cluster, "before", 1);
    for node in &cluster.nodes {
        eventually("a checkpoint", || {
            let metrics = node.get("/metrics")?.body;
            let none = metrics.contains("bowline_checkpoints_total 0\n");
            if none { Err(metrics) } else { Ok(()) }
        });
    }
    links.extend(write_much(cluster, "behind", 1));
    cluster.agree();
    links
}

#[test]
fn who_holds_another_state_than_the_others_finds_out_and_fetches_theirs() {
    let mut cluster = cluster(3, &[]);
    let mut links = with_a_checkpoint(&cluster);
    let victim = cluster.leader();
    // Not in peace, which would make a last checkpoint that has everything.
    cluster.nodes[victim].kill();
    change_the_state(&cluster.nodes[victim].data, |state| {
        // As if it had applied something else at the next index, a session that nobody has asked for.
        let summary = state.summary();
        let at = At {
            index: summary.applied + 1,
            term: summary.term,
            clock_ms: summary.clock_ms,
            wall_ms: 0,
        };
        let wrong = Command::RegisterSession { node: 99, nonce: 1 }.encode();
        state.apply_command(at, WriteId { session: 0, seq: 1, floor: 0 }, &wrong).unwrap();
    });
    cluster.nodes[victim].restart();
    cluster.settled(3);
    // The states are compared after so many writes, or after a minute with any.
    let load = load(&cluster);
    let begun = Instant::now();
    while !cluster.nodes[victim].log().contains("not to be trusted") {
        assert!(begun.elapsed() < 3 * PATIENCE, "{}", cluster.nodes[victim].log());
        load.goes_on(10);
    }
    says(&cluster.nodes[victim], "installed the fetched state");
    becomes(&cluster.nodes[victim], "state_lost", &Value::Null);
    links.extend(load.end());
    cluster.settled(3);
    cluster.agree();
    all_lead(&cluster, &links);
    let trusted = |node: &Node| !node.log().contains("not to be trusted");
    let others = cluster.nodes.iter().enumerate().filter(|(at, _)| *at != victim);
    assert!(others.map(|(_, node)| node).all(trusted), "the two that agree are right");
}

#[test]
fn a_scrub_finds_rows_that_have_rotted() {
    let mut cluster = cluster(3, &[]);
    let links = with_a_checkpoint(&cluster);
    let victim = cluster.follower();
    cluster.nodes[victim].terminate();
    change_the_state(&cluster.nodes[victim].data, |state| {
        // Past the digest that goes along with every change.
        state.table_mut().put(b"\x01\0\0\0\0rotten", Bytes::from_static(b"row"));
    });
    cluster.nodes[victim].restart();
    cluster.settled(3);
    let asked = ask("POST", &cluster.nodes[victim].url("/api/scrub"), "").unwrap();
    assert_eq!(asked.status, 202, "{}", asked.body);
    says(&cluster.nodes[victim], "not to be trusted");
    says(&cluster.nodes[victim], "installed the fetched state");
    becomes(&cluster.nodes[victim], "state_lost", &Value::Null);
    cluster.settled(3);
    cluster.agree();
    all_lead(&cluster, &links);

    // The others have nothing to hide.
    let other = &cluster.nodes[(victim + 1) % 3];
    assert_eq!(ask("POST", &other.url("/api/scrub"), "").unwrap().status, 202);
    let report = eventually("the scrub ends", || {
        let report = other.json("/api/scrub")?;
        if report["ended"].as_u64() > Some(0) { Ok(report) } else { Err(report.to_string()) }
    });
    assert_eq!(report["sound"], true, "{report}");
    assert!(!other.log().contains("not to be trusted"), "{}", other.log());
}
