//! Backups of real nodes: saved while they are written to, restored, damaged, and killed over.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Answer, Cluster, Node, ask, bowline, eventually};

/// Runs a verb to its end.
fn backup(words: &[&str], file: &Path, node: &Node) -> Output {
    let mut command = bowline();
    command.arg("backup").args(&words[..1]).arg(file).args(&words[1..]);
    if words[0] != "verify" {
        command.args(["--node", &node.http]);
    }
    command.output().unwrap()
}

fn text(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8(both).unwrap()
}

fn save(node: &Node, file: &Path) {
    let output = backup(&["save"], file, node);
    assert!(output.status.success(), "{}", text(&output));
}

fn restore(node: &Node, file: &Path) {
    let output = backup(&["restore", "--yes"], file, node);
    assert!(output.status.success(), "{}", text(&output));
}

/// Sends bytes as a backup.
fn put(node: &Node, bytes: &[u8]) -> Result<Answer, String> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(50)))
        .build()
        .into();
    let answered = agent.put(node.url("/v1/snapshot")).send(bytes);
    let mut answer = answered.map_err(|error| error.to_string())?;
    let headers = answer
        .headers()
        .iter()
        .map(|(key, value)| (key.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    let status = answer.status().as_u16();
    let body = answer.body_mut().read_to_string().map_err(|error| error.to_string())?;
    Ok(Answer { status, headers, body })
}

/// A cluster that goes by the rules that restores need.
fn cluster(size: usize) -> Cluster {
    let cluster = Cluster::start(size);
    for node in &cluster.nodes {
        at_newest_rules(node);
    }
    cluster
}

fn at_newest_rules(node: &Node) {
    eventually("the newest rules are in force", || {
        let state = state(node)?;
        if state["cluster_version"].as_u64() >= Some(2) { Ok(()) } else { Err(state.to_string()) }
    });
}

fn state(node: &Node) -> Result<Value, String> {
    Ok(node.json("/api/status")?["state"].clone())
}

fn number(node: &Node, name: &str) -> u64 {
    eventually("there is a state", || {
        state(node)?[name].as_u64().ok_or("no such number".to_owned())
    })
}

/// Some links; gives their keys and URLs.
fn links(node: &Node, name: &str, count: usize) -> Vec<(String, String)> {
    let url = |number: usize| format!("https://example.com/{name}/{number}");
    (0..count).map(|number| (node.shorten(&url(number)), url(number))).collect()
}

/// Waits until a node has exactly these of some links.
fn has(node: &Node, there: &[(String, String)], gone: &[(String, String)]) {
    eventually("the node has what it should", || {
        node.is_ready()?;
        for (key, url) in there {
            let found = node.follow(key);
            if found.as_ref() != Some(url) {
                return Err(format!("{key} leads to {found:?}, not to {url}"));
            }
        }
        for (key, _) in gone {
            let status = node.get(&format!("/{key}"))?.status;
            if status != 404 {
                return Err(format!("{key} is answered with {status}"));
            }
        }
        Ok(())
    });
}

/// Sets a key.
fn set(node: &Node, key: &str, value: &str) {
    eventually("a key is set", || {
        let answer = ask("PUT", &node.url(&format!("/v1/kv/{key}")), value)?;
        if answer.status == 200 { Ok(()) } else { Err(answer.body) }
    });
}

/// What a key holds, and Consul's index of it.
fn get(node: &Node, key: &str) -> (Option<String>, u64) {
    eventually("a key is read", || {
        let answer = node.get(&format!("/v1/kv/{key}?raw"))?;
        let index = answer.header("X-Consul-Index").ok_or("no index")?;
        let index = index.parse().map_err(|_| "the index is none")?;
        match answer.status {
            200 => Ok((Some(answer.body), index)),
            404 => Ok((None, index)),
            status => Err(format!("{status}: {}", answer.body)),
        }
    })
}

/// Where a backup of a cluster goes.
fn file(cluster: &Cluster) -> PathBuf {
    cluster.home.path().join("saved.backup")
}

#[test]
fn a_backup_under_writes_restores_everywhere_what_was_there() {
    let cluster = cluster(3);
    let kept = links(&cluster.nodes[0], "kept", 40);
    let stop = AtomicBool::new(false);
    let path = file(&cluster);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) {
                cluster.nodes[1].shorten(&format!("https://example.com/meanwhile/{number}"));
                number += 1;
            }
        });
        save(&cluster.nodes[2], &path);
        stop.store(true, Ordering::Relaxed);
        writer.join().unwrap();
    });
    let saved = backup(&["verify"], &path, &cluster.nodes[0]);
    assert!(saved.status.success() && text(&saved).contains("is whole"), "{}", text(&saved));

    let lost = links(&cluster.nodes[0], "lost", 30);
    let before = cluster.agree();
    restore(&cluster.nodes[cluster.follower()], &path);
    for node in &cluster.nodes {
        has(node, &kept, &lost);
    }
    let after = cluster.agree();
    assert!(after["revision"].as_u64() > before["revision"].as_u64(), "{before} {after}");
    assert!(after["links"].as_u64() < before["links"].as_u64(), "{before} {after}");
    let more = links(&cluster.nodes[1], "more", 5);
    for node in &cluster.nodes {
        has(node, &more, &lost);
    }
    // The same once more: it is another restore.
    restore(&cluster.nodes[0], &path);
    for node in &cluster.nodes {
        has(node, &kept, &more);
    }
    cluster.agree();
}

#[test]
fn keys_are_those_of_the_backup_and_no_index_goes_back() {
    let cluster = cluster(3);
    let nodes = &cluster.nodes;
    set(&nodes[0], "kept", "first");
    set(&nodes[1], "changed", "first");
    let path = file(&cluster);
    save(&nodes[0], &path);
    for number in 0..20 {
        set(&nodes[1], "changed", &format!("later {number}"));
    }
    set(&nodes[2], "new", "later");
    let known = ["kept", "changed", "new"].map(|key| get(&nodes[0], key).1);
    let highest = *known.iter().max().unwrap();
    std::thread::scope(|scope| {
        // A reader that waits is told of the restore.
        let waiting = scope.spawn(|| {
            let index = get(&nodes[2], "kept").1;
            let answer = nodes[2].get(&format!("/v1/kv/kept?raw&index={index}&wait=15s")).unwrap();
            let index: u64 = answer.header("X-Consul-Index").unwrap().parse().unwrap();
            (answer.body, index)
        });
        eventually("it waits", || {
            let metrics = nodes[2].get("/metrics")?.body;
            let line = metrics.lines().find(|line| line.starts_with("bowline_watches "));
            if line == Some("bowline_watches 1") { Ok(()) } else { Err(format!("{line:?}")) }
        });
        restore(&nodes[1], &path);
        let (body, index) = waiting.join().unwrap();
        assert_eq!(body, "first");
        assert!(index > highest, "{index} after {highest}");
    });
    for node in nodes {
        for (key, value) in [("kept", Some("first")), ("changed", Some("first")), ("new", None)] {
            let (found, index) = get(node, key);
            assert_eq!(found.as_deref(), value, "{key}");
            assert!(index > highest, "{key}: {index} after {highest}");
        }
    }
    let floor = get(&nodes[0], "kept").1;
    set(&nodes[2], "new", "again");
    let (found, index) = get(&nodes[0], "new");
    assert!(found.as_deref() == Some("again") && index > floor, "{found:?} {index} {floor}");
    cluster.agree();
}

#[test]
fn a_backup_restores_into_another_cluster_and_a_node_that_was_away_gets_it_too() {
    let path;
    let kept;
    let home = {
        let old = cluster(1);
        kept = links(&old.nodes[0], "kept", 25);
        save(&old.nodes[0], &file(&old));
        path = file(&old);
        old.home
    };
    let mut new = cluster(3);
    let own = links(&new.nodes[0], "own", 10);
    let away = new.follower();
    new.agree();
    let before = number(&new.nodes[0], "revision");
    new.nodes[away].kill();
    let leader = new.leader();
    restore(&new.nodes[leader], &path);
    for at in (0..3).filter(|at| *at != away) {
        has(&new.nodes[at], &kept, &own);
    }
    assert!(number(&new.nodes[leader], "revision") > before.max(25));
    new.nodes[away].restart();
    has(&new.nodes[away], &kept, &own);
    new.agree();
    let log = new.nodes[away].log();
    assert!(log.contains("restores a backup that is not on this node"), "{log}");
    drop(home);
}

#[test]
fn all_nodes_killed_right_after_the_answer_come_back_with_the_backup() {
    let mut cluster = cluster(3);
    let kept = links(&cluster.nodes[0], "kept", 10);
    let path = file(&cluster);
    save(&cluster.nodes[0], &path);
    let lost = links(&cluster.nodes[0], "lost", 10);
    let leader = cluster.leader();
    restore(&cluster.nodes[leader], &path);
    cluster.nodes.iter_mut().for_each(Node::kill);
    cluster.nodes.iter_mut().for_each(Node::restart);
    for node in &cluster.nodes {
        has(node, &kept, &lost);
    }
    cluster.agree();
    cluster.nodes.iter_mut().for_each(Node::kill);
    cluster.nodes.iter_mut().for_each(Node::restart);
    for node in &cluster.nodes {
        has(node, &kept, &lost);
    }
}

/// Files of promises that a node has.
fn promises(node: &Node) -> usize {
    let Ok(entries) = std::fs::read_dir(node.data.join("restore")) else { return 0 };
    let names = entries.flatten().map(|entry| entry.file_name());
    names.filter(|name| name.to_string_lossy().ends_with(".promise")).count()
}

#[test]
fn all_nodes_killed_when_the_entry_comes_have_one_of_both_states_and_the_same() {
    let mut cluster = cluster(3);
    let kept = links(&cluster.nodes[0], "kept", 10);
    let path = file(&cluster);
    save(&cluster.nodes[0], &path);
    let bytes = std::fs::read(&path).unwrap();
    let other = links(&cluster.nodes[0], "other", 10);
    let (mut old, mut new) = (0, 0);
    for round in 0..6 {
        let leader = cluster.leader();
        let nodes = &cluster.nodes;
        let answered = &AtomicBool::new(false);
        std::thread::scope(|scope| {
            let bytes = &bytes;
            scope.spawn(move || {
                put(&nodes[leader], bytes).ok();
                answered.store(true, Ordering::Release);
            });
            // From the promises on each moment is a good one; each round takes a later one. They may
            // be gone before they are seen, and then all is done.
            let promised = || nodes.iter().filter(|node| promises(node) > 0).count() >= 2;
            while !promised() && !answered.load(Ordering::Acquire) {
                std::thread::yield_now();
            }
            let moment = Instant::now() + round * Duration::from_millis(30);
            while Instant::now() < moment {
                std::thread::yield_now();
            }
            for node in nodes {
                node.signal(rustix::process::Signal::KILL);
            }
        });
        cluster.nodes.iter_mut().for_each(Node::kill);
        cluster.nodes.iter_mut().for_each(Node::restart);
        cluster.settled(3);
        let state = cluster.agree();
        match state["links"].as_u64().unwrap() {
            10 => {
                new += 1;
                for node in &cluster.nodes {
                    has(node, &kept, &other);
                }
                links(&cluster.nodes[0], "other", 10);
            }
            _ => {
                old += 1;
                for node in &cluster.nodes {
                    has(node, &kept, &[]);
                    has(node, &other, &[]);
                }
            }
        }
    }
    println!("{old} rounds ended as before, {new} with the backup");
    restore(&cluster.nodes[0], &path);
    for node in &cluster.nodes {
        has(node, &kept, &other);
    }
    cluster.agree();
}

#[test]
fn what_is_damaged_cut_or_none_changes_nothing() {
    let cluster = cluster(1);
    let node = &cluster.nodes[0];
    links(node, "kept", 60);
    let path = file(&cluster);
    save(node, &path);
    let whole = std::fs::read(&path).unwrap();
    let more = links(node, "more", 5);
    let before = state(node).unwrap();
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    // Several: a single one may unpack to the very same, which is no damage then.
    flipped[middle..middle + 16].iter_mut().for_each(|byte| *byte ^= 0x20);
    let cut = [&whole[..whole.len() - 20], &whole[..whole.len() / 2], &whole[..5], b""];
    for bytes in cut.into_iter().chain([&flipped, b"this is no backup".as_slice()]) {
        let answer = put(node, bytes).unwrap();
        assert_eq!(answer.status, 400, "{} bytes: {}", bytes.len(), answer.body);
        assert!(answer.body.contains("nothing was changed"), "{}", answer.body);
    }
    let damaged = path.with_extension("damaged");
    std::fs::write(&damaged, &flipped).unwrap();
    for words in [&["verify"][..], &["restore", "--yes"]] {
        let output = backup(words, &damaged, node);
        assert!(!output.status.success(), "{}", text(&output));
        assert!(text(&output).contains("damaged"), "{}", text(&output));
    }
    let output = backup(&["save"], &path, node);
    assert!(!output.status.success() && text(&output).contains("--force"), "{}", text(&output));
    let output = backup(&["restore"], &path, node);
    assert!(!output.status.success() && text(&output).contains("--yes"), "{}", text(&output));
    has(node, &more, &[]);
    let after = state(node).unwrap();
    assert_eq!((&after["revision"], &after["links"]), (&before["revision"], &before["links"]));
    let left = std::fs::read_dir(node.data.join("restore")).unwrap().count();
    assert_eq!(left, 0, "nothing is left behind");
    restore(node, &path);
}

#[test]
fn who_goes_away_in_the_middle_leaves_room_for_the_next() {
    use std::io::Write;
    let cluster = cluster(1);
    let node = &cluster.nodes[0];
    let kept = links(node, "kept", 60);
    let path = file(&cluster);
    save(node, &path);
    let bytes = std::fs::read(&path).unwrap();
    let head =
        format!("PUT /v1/snapshot HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", bytes.len());
    let stream = eventually("it has begun", || {
        // Anew each time: the one that is whole may have come first.
        let address = node.http.trim_start_matches("http://");
        let mut stream =
            std::net::TcpStream::connect(address).map_err(|error| error.to_string())?;
        let sent = stream.write_all(head.as_bytes());
        let sent = sent.and_then(|()| stream.write_all(&bytes[..bytes.len() / 2]));
        sent.map_err(|error| error.to_string())?;
        let answer = put(node, &bytes)?;
        if answer.status == 429 { Ok(stream) } else { Err(format!("{answer:?}")) }
    });
    drop(stream);
    eventually("it is forgotten", || {
        let answer = put(node, &bytes)?;
        if answer.status == 200 { Ok(()) } else { Err(answer.body) }
    });
    has(node, &kept, &[]);
}

#[test]
fn large_backups_and_two_at_once_leave_all_nodes_with_the_same() {
    let cluster = cluster(3);
    let nodes = &cluster.nodes;
    // Digits that do not pack well, so that it takes many pieces.
    let mut noise = 88_172_645_463_325_252_u64;
    for key in 0..8 {
        let mut value = String::new();
        while value.len() < 400_000 {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            value.push_str(&noise.to_string());
        }
        set(&nodes[0], &format!("large/{key}"), &value);
    }
    set(&nodes[0], "which", "one");
    let value = get(&nodes[0], "large/7").0;
    let (one, two) = (file(&cluster), cluster.home.path().join("other.backup"));
    save(&nodes[1], &one);
    set(&nodes[0], "which", "two");
    save(&nodes[2], &two);
    set(&nodes[0], "large/7", "gone");
    let answers = std::thread::scope(|scope| {
        let files = [(&nodes[0], &one), (&nodes[1], &two), (&nodes[0], &two)];
        let puts = files.map(|(node, file)| {
            scope.spawn(move || put(node, &std::fs::read(file).unwrap()).unwrap())
        });
        puts.map(|put| put.join().unwrap())
    });
    let statuses = answers.each_ref().map(|answer| answer.status);
    assert!(statuses.contains(&200), "{answers:?}");
    assert!(statuses.iter().all(|status| [200, 429].contains(status)), "{answers:?}");
    cluster.agree();
    for node in nodes {
        let which = get(node, "which").0.unwrap();
        assert!(["one", "two"].contains(&&*which), "{which}");
        assert!(get(node, "large/7").0 == value);
    }
}
