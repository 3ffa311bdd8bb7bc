//! Wrong flags, foreign directories, addresses in use: one clear line each, nothing harmed.

use std::path::Path;
use std::process::Output;

use crate::harness::{Node, bowline, eventually};

/// A start on free ports that must fail.
fn refused_in(data: &Path, more: &[&str]) -> (Option<i32>, String) {
    let mut args = vec!["--data", data.to_str().unwrap(), "--http", "127.0.0.1:0"];
    if !more.contains(&"--peer") {
        args.extend(["--peer", "127.0.0.1:0"]);
    }
    args.extend(more);
    refused(&args)
}

fn refused(args: &[&str]) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = bowline().args(args).output().unwrap();
    (status.code(), String::from_utf8_lossy(&stderr).into_owned())
}

#[test]
fn wrong_flags_exit_with_two() {
    let home = tempfile::tempdir().unwrap();
    let everywhere = "--bind 0.0.0.0 --peer 0.0.0.0:0 --http 0.0.0.0:0 --advertise 127.0.0.1";
    let mut last = String::new();
    for flags in [
        "--no-such-flag",
        "--election-timeout soon",
        "--bootstrap --join 127.0.0.1:1 --peer 127.0.0.1:0 --http 127.0.0.1:0",
        everywhere,
    ] {
        let data = home.path().join("new");
        let args: Vec<&str> = ["--data", data.to_str().unwrap()]
            .into_iter()
            .chain(flags.split_whitespace())
            .collect();
        let (code, text) = refused(&args);
        assert_eq!(code, Some(2), "{flags}: {text}");
        assert!(!text.contains("panicked"), "{flags}: {text}");
        last = text;
    }
    assert!(last.contains("--bootstrap") && last.contains("--join"), "{last}");
}

#[test]
fn a_directory_belongs_to_one_process_and_one_node() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path(), "n1", &[]);
    let (code, text) = refused_in(&node.data, &[]);
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains(node.data.to_str().unwrap()) && text.trim().lines().count() == 1,
        "{text}"
    );

    let other = home.path().join("other");
    let (code, text) = refused_in(&other, &["--peer", &node.peer]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("in use") && text.contains(&node.peer), "{text}");

    let foreign = home.path().join("foreign");
    std::fs::create_dir(&foreign).unwrap();
    std::fs::write(foreign.join("diary.txt"), "mine").unwrap();
    let (code, text) = refused_in(&foreign, &[]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("foreign"), "{text}");
    assert_eq!(std::fs::read_dir(&foreign).unwrap().count(), 1, "nothing was put there");
}

#[test]
fn bootstrap_is_refused_on_data() {
    let home = tempfile::tempdir().unwrap();
    let mut node = Node::start(home.path(), "n1", &["--bootstrap"]);
    node.shorten("https://example.com/");
    node.kill();
    let (code, text) = refused_in(&node.data, &["--bootstrap"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("--bootstrap"), "{text}");
}

#[test]
fn a_joiner_waits_for_its_target_and_says_so() {
    let home = tempfile::tempdir().unwrap();
    // A port that was free a moment ago, and where nobody listens yet.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let joiner = Node::start(home.path(), "n2", &["--join", &port.to_string()]);
    let answer = joiner.put("https://example.com/").unwrap();
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert!(answer.header("retry-after").is_some());
    assert_eq!(joiner.get("/livez").unwrap().status, 200);
    assert_eq!(joiner.get("/readyz").unwrap().status, 503);
    let mut first = Node::start_at(home.path(), "n1", &port.to_string(), &["--bootstrap"]);
    eventually("it joins in the end", || joiner.is_ready());
    first.kill();
}

#[test]
fn a_node_of_another_cluster_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let ours = Node::start(home.path(), "ours", &["--bootstrap"]);
    let mut theirs = Node::start(home.path(), "theirs", &["--bootstrap"]);
    let mut other = Node::start(home.path(), "other", &["--join", &theirs.peer]);
    eventually("two of them", || other.is_ready());
    theirs.kill();
    other.kill();
    // It looks for its cluster under another address than its cluster knows, and is told a wrong one.
    other.add_flags(&["--join", &ours.peer]);
    other.restart_elsewhere();
    eventually("it is told why", || {
        let log = other.log();
        if log.contains("cannot tell") && log.contains("cluster") { Ok(()) } else { Err(log) }
    });
    assert_eq!(ours.json("/api/status").unwrap()["node"]["members"].as_array().unwrap().len(), 1);
}

#[test]
fn an_address_that_cannot_be_dialled_back_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let first = Node::start(home.path(), "n1", &["--bootstrap"]);
    eventually("the first node is ready", || first.is_ready());
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (code, text) = refused_in(
        &home.path().join("n2"),
        &["--advertise", &silent.to_string(), "--join", &first.peer],
    );
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("dial back") && text.contains(&silent.to_string()), "{text}");
    let members = first.json("/api/status").unwrap()["node"]["members"].as_array().unwrap().len();
    assert_eq!(members, 1);
}

#[test]
fn joining_at_the_http_port_is_told_so() {
    let home = tempfile::tempdir().unwrap();
    let first = Node::start(home.path(), "n1", &["--bootstrap"]);
    let http = first.http.trim_start_matches("http://").to_owned();
    let joiner = Node::start(home.path(), "n2", &["--join", &http]);
    eventually("it says what is wrong", || {
        let log = joiner.log();
        if log.contains("HTTP") && log.contains("7071") { Ok(()) } else { Err(log) }
    });
}
