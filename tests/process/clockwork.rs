//! What a leader does by itself: lifetimes end, and the cluster's rules follow its programs.

use std::time::{Duration, Instant};

use crate::harness::{Cluster, Node, ask, eventually};

/// Puts a key for so many milliseconds. Gives when that was begun.
fn put_for(node: &Node, key: &str, ttl_ms: u64) -> Instant {
    let began = Instant::now();
    eventually("the key is taken", || {
        let answer = ask("PUT", &node.url(&format!("/api/kv/{key}?ttl={ttl_ms}ms")), "here")?;
        if answer.status < 300 { Ok(()) } else { Err(answer.body) }
    });
    began
}

/// Waits by a blocking read until the key is gone; gives how many reads it took.
fn wait_until_gone(node: &Node, key: &str) -> usize {
    let mut index = "1".to_owned();
    for reads in 1.. {
        let path = format!("/v1/kv/{key}?index={index}&wait=60s");
        let answer = eventually("the node answers", || match node.get(&path)? {
            answer if answer.status < 500 => Ok(answer),
            answer => Err(answer.body),
        });
        if answer.status == 404 {
            return reads;
        }
        index = answer.header("x-consul-index").unwrap().to_owned();
    }
    unreachable!("there is no end of numbers")
}

fn rules(node: &Node) -> Result<u64, String> {
    let status = node.json("/api/status")?;
    status["state"]["cluster_version"].as_u64().ok_or_else(|| status.to_string())
}

fn newest_rules(node: &Node) {
    eventually("the newest rules are in force", || match rules(node)? {
        version if version == u64::from(bowline::state::VERSION) => Ok(()),
        version => Err(version.to_string()),
    });
}

#[test]
fn a_key_ends_by_itself_and_who_waits_for_that_is_told() {
    let home = tempfile::tempdir().unwrap();
    let mut node = Node::start(home.path(), "n1", &[]);
    newest_rules(&node);
    let began = put_for(&node, "brief", 400);
    let reads = wait_until_gone(&node, "brief");
    assert!(began.elapsed() >= Duration::from_millis(400), "{:?}", began.elapsed());
    assert!(reads <= 2, "it was woken {reads} times, for one change");
    // An earlier deadline than the one that is slept for, and one that comes while the node is down.
    put_for(&node, "long", 3_600_000);
    put_for(&node, "later", 1_500);
    put_for(&node, "sooner", 100);
    wait_until_gone(&node, "sooner");
    assert_eq!(node.get("/v1/kv/long?keys").unwrap().status, 200);
    node.kill();
    node.restart();
    newest_rules(&node);
    wait_until_gone(&node, "later");
    assert_eq!(node.get("/v1/kv/long?keys").unwrap().status, 200);
}

#[test]
fn lifetimes_and_rules_survive_the_leader() {
    let mut cluster = Cluster::start(3);
    cluster.nodes.iter().for_each(newest_rules);
    let leader = cluster.leader();
    let began = put_for(&cluster.nodes[leader], "outlives", 1_000);
    cluster.nodes[leader].kill();
    for at in (0..3).filter(|at| *at != leader) {
        wait_until_gone(&cluster.nodes[at], "outlives");
        assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
        newest_rules(&cluster.nodes[at]);
    }
    cluster.nodes[leader].restart();
    cluster.settled(3);
    newest_rules(&cluster.nodes[leader]);
    cluster.agree();
}

#[test]
fn a_read_waits_for_the_index_it_names() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path(), "n1", &["--request-timeout", "1s"]);
    let key = node.shorten("https://example.com/first");
    newest_rules(&node);
    let applied = node.json("/api/status").unwrap()["state"]["applied"].as_u64().unwrap();
    let next = node.url(&format!("/{key}?min_index={}", applied + 1));
    let reader = std::thread::spawn(move || ask("GET", &next, "").unwrap());
    node.shorten("https://example.com/second");
    let answer = reader.join().unwrap();
    assert_eq!(answer.status, 301, "{}", answer.body);
    let refused = node.get(&format!("/{key}?min_index={}", applied + 1_000)).unwrap();
    assert_eq!(refused.status, 503, "{}", refused.body);
    assert!(refused.header("retry-after").is_some());
}
