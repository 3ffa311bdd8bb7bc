//! Real home pages through a follower, while the leader is killed and comes back.

use std::path::Path;
use std::process::Stdio;

use crate::harness::{Cluster, bowline, eventually};

#[test]
fn import_survives_the_loss_of_the_leader() {
    let mut cluster = Cluster::start(3);
    let (leader, follower) = (cluster.leader(), cluster.follower());
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/homepages.txt");
    let out = cluster.home.path().join("keys.tsv");
    let mut import = bowline()
        .arg("import")
        .arg(&file)
        .arg("--out")
        .arg(&out)
        .args(["--node", &cluster.nodes[follower].http])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("the import is under way", || {
        let links = cluster.nodes[follower].json("/api/status")?["state"]["links"].as_u64();
        if links > Some(200) { Ok(()) } else { Err(format!("{links:?}")) }
    });
    cluster.nodes[leader].kill();
    let others = cluster.leader();
    assert_ne!(others, leader);
    cluster.nodes[leader].restart();
    let status = eventually("the import ends", || import.try_wait().unwrap().ok_or("it runs"));
    assert!(status.success(), "{status}");
    cluster.settled(3);

    let urls = std::fs::read_to_string(&file).unwrap();
    let pairs = std::fs::read_to_string(&out).unwrap();
    assert_eq!(pairs.lines().count(), urls.lines().count());
    let state = cluster.agree();
    assert_eq!(state["links"].as_u64(), Some(urls.lines().count() as u64));
    for (line, url) in pairs.lines().zip(urls.lines()).step_by(50) {
        let (key, shortened) = line.split_once('\t').unwrap();
        assert_eq!(shortened, url);
        for node in &cluster.nodes {
            assert_eq!(node.follow(key).as_deref(), Some(url));
        }
    }
}
