//! A cluster of one: the first thing anybody tries.

use crate::harness::{Node, ask};

#[test]
fn shortens_follows_and_remembers() {
    let home = tempfile::tempdir().unwrap();
    let mut node = Node::start(home.path(), "n1", &[]);
    let url = "http://example.com/a?b=c#d";
    let key = node.shorten(url);

    let again = node.put(&format!("  {url}\n")).unwrap();
    assert_eq!((again.status, again.body.as_str()), (200, format!("{key}\n").as_str()));
    assert_eq!(again.header("location"), Some(format!("/{key}").as_str()));

    let followed = node.get(&format!("/{key}")).unwrap();
    assert_eq!(followed.status, 301);
    assert_eq!(followed.header("location"), Some(url));
    assert_eq!(followed.header("cache-control"), Some("private, max-age=90"));
    let head = ask("HEAD", &node.url(&format!("/{key}")), "").unwrap();
    assert_eq!((head.status, head.body.as_str()), (301, ""));
    assert_eq!(node.get("/AAAAAAAA").unwrap().status, 404);

    for wrong in ["", "nonsense", "ftp://example.com/", "http://exa mple.com/", "http://"] {
        let answer = node.put(wrong).unwrap();
        assert_eq!(answer.status, 400, "{wrong:?}: {}", answer.body);
    }

    assert!(node.terminate().success());
    node.restart();
    assert_eq!(node.shorten(url), key);
    assert_eq!(node.follow(&key).as_deref(), Some(url));
    node.kill();
    node.restart();
    assert_eq!(node.shorten(url), key);
    assert_eq!(node.follow(&key).as_deref(), Some(url));
}

#[test]
fn looks_at_itself() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path(), "n1", &[]);
    node.shorten("https://example.com/");
    crate::harness::eventually("it is ready", || node.is_ready());
    assert_eq!(node.get("/livez").unwrap().status, 200);
    assert_eq!(node.json("/v1/status/leader").unwrap(), node.peer);
    assert_eq!(node.json("/v1/status/peers").unwrap(), serde_json::json!([node.peer]));
    let members = node.json("/v1/agent/members").unwrap();
    assert_eq!(members[0]["Name"], "n1");
    assert_eq!(members[0]["Status"], 1);
    let servers = node.json("/v1/operator/raft/configuration").unwrap();
    assert_eq!(servers["Servers"][0]["Leader"], true);
    let metrics = node.get("/metrics").unwrap().body;
    for name in ["bowline_term", "bowline_commit_index", "bowline_log_fsync_seconds_bucket"] {
        assert!(metrics.contains(name), "{name} is missing:\n{metrics}");
    }
    for verb in [&["status"][..], &["status", "--json"], &["members"], &["members", "--json"]] {
        let output =
            crate::harness::bowline().args(verb).args(["--node", &node.http]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{verb:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(text.contains("n1"), "{verb:?}: {text}");
    }
}

#[test]
fn tells_nobody_its_old_address() {
    let home = tempfile::tempdir().unwrap();
    let mut node = Node::start(home.path(), "n1", &[]);
    let old = node.peer.clone();
    node.kill();
    node.restart_elsewhere();
    assert_ne!(node.peer, old);
    crate::harness::eventually("its new address stands in the configuration", || {
        let peers = node.json("/v1/status/peers")?;
        if peers == serde_json::json!([node.peer]) { Ok(()) } else { Err(peers.to_string()) }
    });
}

#[test]
fn both_fronts_serve() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path(), "n1", &["--front", "tiny_http"]);
    let key = node.shorten("https://example.com/tiny");
    assert_eq!(node.follow(&key).as_deref(), Some("https://example.com/tiny"));
}
