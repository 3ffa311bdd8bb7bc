//! A disk that says no: what could not be made durable is never acknowledged, and the node ends.

use crate::harness::eventually;
use crate::need::{need, strace};
use crate::support::{Fault, Load, all_lead, cluster};

#[test]
fn a_log_that_cannot_be_synced_ends_the_leader_and_nobody_else() {
    let test = "a_log_that_cannot_be_synced_ends_the_leader_and_nobody_else";
    let Some(()) = need(test, strace()) else { return };
    let mut cluster = cluster(3, &[]);
    let before = cluster.nodes[0].shorten("https://example.com/before");
    let leader = cluster.leader();
    let load = Load::on(&cluster.nodes.iter().collect::<Vec<_>>(), 100);
    load.goes_on(20);
    let fault = Fault::on(&cluster.nodes[leader], "fdatasync", "error=EIO");
    let ended = cluster.nodes[leader].ended();
    drop(fault);
    assert_eq!(ended.code(), Some(1), "{}", cluster.nodes[leader].log());
    let log = cluster.nodes[leader].log();
    let told = log.contains("cannot sync") && log.contains(".log") && log.contains("os error 5");
    assert!(told, "what failed, and on which file:\n{log}");

    // Its clients have found the others long before anybody repairs it.
    load.goes_on(50);
    assert_ne!(cluster.leader(), leader);
    cluster.nodes[leader].restart();
    cluster.settled(3);
    let mut links = load.end();
    links.push((before, "https://example.com/before".to_owned()));
    cluster.agree();
    all_lead(&cluster, &links);
}

#[test]
fn a_vote_that_cannot_be_synced_is_never_given() {
    let test = "a_vote_that_cannot_be_synced_is_never_given";
    let Some(()) = need(test, strace()) else { return };
    let mut cluster = cluster(3, &[]);
    let leader = cluster.leader();
    let (bad, next) = ((leader + 1) % 3, (leader + 2) % 3);
    let fault = Fault::on(&cluster.nodes[bad], "fsync", "error=EIO");
    // A new term, and a vote in it, for everybody.
    let verb = ["transfer", &format!("n{}", next + 1), "--node", &cluster.nodes[leader].http];
    let said = crate::harness::bowline().args(verb).output().unwrap();
    let ended = cluster.nodes[bad].ended();
    drop(fault);
    assert_eq!(ended.code(), Some(1), "{said:?}\n{}", cluster.nodes[bad].log());
    let log = cluster.nodes[bad].log();
    assert!(log.contains("vote-a") && log.contains("must not vote"), "{log}");
    let key = cluster.nodes[next].shorten("https://example.com/after");

    cluster.nodes[bad].restart();
    cluster.settled(3);
    eventually("it has caught up", || cluster.nodes[bad].follow(&key).ok_or("not yet there"));
    cluster.agree();
}
