//! Three machines: joining, forwarding, and losing some of them.

use crate::harness::{Cluster, ask, eventually};

#[test]
fn any_node_takes_any_request() {
    let cluster = Cluster::start(3);
    let follower = cluster.follower();
    for (at, node) in cluster.nodes.iter().enumerate() {
        let url = format!("https://example.com/{at}");
        let key = node.shorten(&url);
        // Read your writes on the node you talk to, at once.
        assert_eq!(node.follow(&key).as_ref(), Some(&url));
        // And never a false 404 anywhere else.
        for other in &cluster.nodes {
            assert_eq!(other.follow(&key).as_ref(), Some(&url));
        }
    }
    let node = &cluster.nodes[follower];
    let redirected = ask("PUT", &node.url("/?forward=redirect"), "http://a.example/");
    let redirected = redirected.unwrap();
    let leader = &cluster.nodes[cluster.leader()];
    assert_eq!(redirected.status, 307, "{}", redirected.body);
    assert!(redirected.header("location").unwrap().starts_with(&leader.http));
    let refused = ask("PUT", &node.url("/?forward=refuse"), "http://a.example/");
    let refused = refused.unwrap();
    assert_eq!(refused.status, 409);
    assert!(refused.body.contains("leaderId"), "{}", refused.body);
    let members = node.json("/v1/agent/members").unwrap();
    assert_eq!(members.as_array().unwrap().len(), 3);
    cluster.agree();
}

#[test]
fn survives_the_loss_of_each_in_turn() {
    let mut cluster = Cluster::start(3);
    let mut links = Vec::new();
    for round in 0..3 {
        let victim = if round == 1 { cluster.follower() } else { cluster.leader() };
        cluster.nodes[victim].kill();
        let other = (victim + 1) % 3;
        let url = format!("https://example.com/round/{round}");
        links.push((cluster.nodes[other].shorten(&url), url));
        cluster.nodes[victim].restart();
        cluster.settled(3);
        for node in &cluster.nodes {
            for (key, url) in &links {
                assert_eq!(node.follow(key).as_ref(), Some(url));
            }
        }
    }
    cluster.agree();
}

#[test]
fn reads_go_on_without_a_majority_and_writes_come_back() {
    let mut cluster = Cluster::start(3);
    let key = cluster.nodes[0].shorten("https://example.com/before");
    let survivor = cluster.follower();
    eventually("the link is everywhere", || {
        cluster.nodes[survivor].follow(&key).ok_or("not yet there")
    });
    for at in 0..3 {
        if at != survivor {
            cluster.nodes[at].kill();
        }
    }
    let node = &cluster.nodes[survivor];
    assert_eq!(node.follow(&key).as_deref(), Some("https://example.com/before"));
    let refused = node.put("https://example.com/during").unwrap();
    match refused.status {
        503 => assert!(refused.header("retry-after").is_some()),
        504 => assert!(refused.body.contains("unknown"), "{}", refused.body),
        status => panic!("{status}: {}", refused.body),
    }
    let missing = node.get("/AAAAAAAA").unwrap();
    assert_eq!(missing.status, 404, "{}", missing.body);
    assert_eq!(missing.header("x-bowline-unconfirmed"), Some("no-quorum"));
    let back = (survivor + 1) % 3;
    cluster.nodes[back].restart();
    let after = cluster.nodes[survivor].shorten("https://example.com/after");
    eventually("the other one catches up", || {
        cluster.nodes[back].follow(&after).ok_or("not yet there")
    });
}

#[test]
fn all_down_and_up_again() {
    let mut cluster = Cluster::start(3);
    let keys: Vec<String> = (0..20)
        .map(|k| cluster.nodes[k % 3].shorten(&format!("https://example.com/{k}")))
        .collect();
    cluster.nodes.iter_mut().for_each(crate::harness::Node::kill);
    cluster.nodes.iter_mut().for_each(crate::harness::Node::restart_without_addresses);
    cluster.settled(3);
    for node in &cluster.nodes {
        for (k, key) in keys.iter().enumerate() {
            assert_eq!(node.follow(key), Some(format!("https://example.com/{k}")));
        }
    }
    assert_eq!(cluster.agree()["links"], 20);
}

#[test]
fn a_member_may_come_back_under_another_address() {
    let mut cluster = Cluster::start(3);
    let follower = cluster.follower();
    let old = cluster.nodes[follower].peer.clone();
    cluster.nodes[follower].terminate();
    cluster.nodes[follower].restart_elsewhere();
    assert_ne!(cluster.nodes[follower].peer, old);
    cluster.settled(3);
    let new = cluster.nodes[follower].peer.clone();
    for node in &cluster.nodes {
        eventually("everybody learns the new address", || {
            let peers = node.json("/v1/status/peers")?;
            let known = peers.as_array().ok_or("no list")?.iter().any(|peer| *peer == new);
            if known { Ok(()) } else { Err(peers.to_string()) }
        });
    }
    let key = cluster.nodes[follower].shorten("https://example.com/moved");
    for node in &cluster.nodes {
        assert!(node.follow(&key).is_some());
    }
}

#[test]
fn the_roster_heals_after_a_death_and_a_return() {
    let mut cluster = Cluster::start(3);
    let status = |cluster: &Cluster, of: &str| {
        let up = cluster.nodes.iter().filter(|node| node.is_up());
        let mut seen = Vec::new();
        for node in up {
            let members = node.json("/v1/agent/members")?;
            let members = members.as_array().ok_or("no list")?.clone();
            let member = members.iter().find(|it| it["Name"] == of).ok_or("unknown")?;
            seen.push(member["Status"].as_u64().ok_or("no status")?);
        }
        seen.dedup();
        Ok::<_, String>(seen)
    };
    let expect = |cluster: &Cluster, wanted: u64| {
        eventually("the rosters agree", || match status(cluster, "n3")? {
            seen if seen == [wanted] => Ok(()),
            seen => Err(format!("{seen:?}")),
        });
    };
    expect(&cluster, 1);
    cluster.nodes[2].kill();
    expect(&cluster, 4);
    let voters = cluster.nodes[0].json("/v1/operator/raft/configuration").unwrap();
    assert_eq!(voters["Servers"].as_array().unwrap().len(), 3, "gossip never changes who votes");
    cluster.nodes[2].restart();
    expect(&cluster, 1);
}

#[test]
fn leadership_is_handed_over_and_members_leave_for_good() {
    let mut cluster = Cluster::start(3);
    let (leader, follower) = (cluster.leader(), cluster.follower());
    let verb = |args: &[&str], node: &crate::harness::Node| {
        let output = crate::harness::bowline().args(args).args(["--node", &node.http]).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    // Asked of the leader, and of a follower.
    let name = format!("n{}", follower + 1);
    verb(&["transfer", &name], &cluster.nodes[leader]);
    assert_eq!(cluster.leader(), follower);
    let name = format!("n{}", leader + 1);
    verb(&["transfer", &name], &cluster.nodes[leader]);
    assert_eq!(cluster.leader(), leader);

    for goes in [follower, leader] {
        let id = cluster.nodes[goes].json("/api/status").unwrap()["node"]["id"].clone();
        verb(&["leave"], &cluster.nodes[goes]);
        assert!(cluster.nodes[goes].ended().success());
        let stays = cluster.nodes.iter().find(|node| node.is_up()).unwrap();
        eventually("the others know", || {
            let status = stays.json("/api/status")?;
            let members = status["node"]["members"].as_array().ok_or("no list")?.clone();
            let metrics = stays.get("/metrics")?.body;
            let left = metrics.lines().find_map(|line| {
                line.strip_prefix("bowline_roster{status=\"left\"} ")?.parse::<u64>().ok()
            });
            let left = left > Some(0);
            let gone = members.iter().all(|member| member["id"] != id);
            if gone && left { Ok(()) } else { Err(format!("{members:?}")) }
        });
        let key = stays.shorten(&format!("https://example.com/without/{id}"));
        assert!(stays.follow(&key).is_some());
    }
    let gone = crate::harness::bowline()
        .arg("--data")
        .arg(&cluster.nodes[follower].data)
        .args(["--http", "127.0.0.1:0", "--peer", "127.0.0.1:0"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&gone.stderr);
    assert!(text.contains("taken out"), "{text}");
}

#[test]
fn a_removed_node_that_comes_back_elsewhere_is_no_newcomer() {
    let mut cluster = Cluster::start(3);
    let gone = cluster.follower();
    let id = cluster.nodes[gone].json("/api/status").unwrap()["node"]["id"].clone();
    cluster.nodes[gone].kill();
    let leader = cluster.leader();
    let path = format!("/v1/operator/raft/peer?id={id}");
    let answer = ask("DELETE", &cluster.nodes[leader].url(&path), "").unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    cluster.nodes[gone].restart_elsewhere();
    assert!(cluster.nodes[gone].ended().success());
    let status = cluster.nodes[leader].json("/api/status").unwrap();
    assert_eq!(status["node"]["members"].as_array().unwrap().len(), 2, "{status}");
}
