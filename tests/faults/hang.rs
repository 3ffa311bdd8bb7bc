//! A disk that says nothing: it must not keep the cluster waiting, nor the one who asks what is wrong.

use serde_json::json;

use crate::harness::{Node, eventually};
use crate::need::{need, strace};
use crate::support::{Fault, Load, all_lead, becomes, cluster, says, status};

/// A sync that takes longer than any test, in strace's words.
const FOR_EVER: &str = "delay_enter=600000000";

/// What never touches a disk, on a node whose disk hangs.
fn tells_how_it_is(node: &Node) {
    assert_eq!(node.get("/livez").unwrap().status, 200);
    let ready = node.get("/readyz").unwrap();
    assert_eq!(ready.status, 503, "{}", ready.body);
    assert!(ready.body.contains("hangs"), "{}", ready.body);
    let metrics = node.get("/metrics").unwrap();
    assert!(metrics.body.contains("bowline_disk_stalled 1"), "{}", metrics.body);
    assert_eq!(status(node).unwrap()["disk"], "stalled", "all that while it hung");
}

#[test]
fn a_leader_whose_disk_hangs_leads_no_more_and_comes_back() {
    let test = "a_leader_whose_disk_hangs_leads_no_more_and_comes_back";
    let Some(()) = need(test, strace()) else { return };
    let cluster = cluster(3, &["--disk-stall", "1s", "--disk-stall-exit", "10m"]);
    let before = cluster.nodes[0].shorten("https://example.com/before");
    let leader = cluster.leader();
    let others: Vec<&Node> =
        (0..3).filter(|at| *at != leader).map(|at| &cluster.nodes[at]).collect();
    let load = Load::on(&others, 100);
    load.goes_on(20);

    let fault = Fault::on(&cluster.nodes[leader], "fdatasync,fsync", FOR_EVER);
    becomes(&cluster.nodes[leader], "disk", &json!("stalled"));
    let id = status(&cluster.nodes[leader]).unwrap()["id"].clone();
    eventually("another one leads", || {
        let now = status(others[0])?["leader"].clone();
        if now.is_u64() && now != id { Ok(()) } else { Err(now) }
    });
    load.goes_on(50);
    tells_how_it_is(&cluster.nodes[leader]);
    says(&cluster.nodes[leader], "the disk hangs");
    let stale = cluster.nodes[leader].follow(&before);
    assert_eq!(stale.as_deref(), Some("https://example.com/before"), "reads go on");

    drop(fault);
    becomes(&cluster.nodes[leader], "disk", &json!("ok"));
    says(&cluster.nodes[leader], "the disk works again");
    load.goes_on(20);
    let links = load.end();
    cluster.settled(3);
    cluster.agree();
    all_lead(&cluster, &links);
}

#[test]
fn a_follower_whose_disk_hangs_holds_nobody_up() {
    let test = "a_follower_whose_disk_hangs_holds_nobody_up";
    let Some(()) = need(test, strace()) else { return };
    let cluster = cluster(3, &["--disk-stall", "1s", "--disk-stall-exit", "10m"]);
    let (leader, follower) = (cluster.leader(), cluster.follower());
    let load = Load::on(&[&cluster.nodes[leader]], 100);
    let fault = Fault::on(&cluster.nodes[follower], "fdatasync,fsync", FOR_EVER);
    becomes(&cluster.nodes[follower], "disk", &json!("stalled"));
    load.goes_on(50);
    assert_eq!(cluster.leader(), leader, "nothing has moved");
    tells_how_it_is(&cluster.nodes[follower]);
    drop(fault);
    becomes(&cluster.nodes[follower], "disk", &json!("ok"));
    let links = load.end();
    cluster.agree();
    all_lead(&cluster, &links);
}

#[test]
fn a_disk_that_hangs_for_too_long_ends_the_node() {
    let test = "a_disk_that_hangs_for_too_long_ends_the_node";
    let Some(()) = need(test, strace()) else { return };
    let mut cluster = cluster(3, &["--disk-stall", "1s", "--disk-stall-exit", "3s"]);
    let leader = cluster.leader();
    let fault = Fault::on(&cluster.nodes[leader], "fdatasync,fsync", FOR_EVER);
    let url = cluster.nodes[(leader + 1) % 3].url("/");
    // Something to write, if only for once.
    let asked =
        std::thread::spawn(move || crate::harness::ask("PUT", &url, "https://example.com/x"));
    says(&cluster.nodes[leader], "has not come to its end for");
    // A thread that strace holds, or a disk, keeps the remains of a process.
    drop(fault);
    let ended = cluster.nodes[leader].ended();
    asked.join().unwrap().ok();
    assert_eq!(ended.code(), Some(1), "{}", cluster.nodes[leader].log());
    assert!(cluster.nodes[leader].log().contains("the disk hangs"));
    cluster.nodes[(leader + 1) % 3].shorten("https://example.com/y");
    cluster.nodes[leader].restart();
    cluster.settled(3);
    cluster.agree();
}
