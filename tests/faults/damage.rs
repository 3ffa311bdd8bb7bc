//! Disks that forget and lie: what may have been acknowledged is never passed over, and what the others
//! still have comes back by itself.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::{Cluster, Node, ask, eventually};
use crate::support::{
    all_lead, becomes, cluster, copy, files, refused, says, says_behind, status, write_much,
};

/// The smallest segments there are, so that a few MiB of log have several.
const FLAGS: [&str; 2] = ["--log-segment", "4M"];

/// Where a bit is flipped.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// In the header of a segment that others follow.
    Header,
    /// Among the records of a segment that others follow.
    Sealed,
    /// Among the records of the last segment.
    Unsealed,
    /// In the last record of all.
    Tail,
}

const PLACES: [Place; 4] = [Place::Header, Place::Sealed, Place::Unsealed, Place::Tail];

/// Flips a bit in the log of a node that has stopped; tells in which file.
fn flip(data: &Path, place: Place) -> PathBuf {
    let segments = files(&data.join("log"), |name| name.ends_with(".log"));
    assert!(segments.len() > 1, "one segment is sealed at least: {segments:?}");
    let last = segments.last().unwrap().clone();
    let used = |path: &PathBuf| {
        fs::read(path).unwrap().iter().rposition(|byte| *byte != 0).unwrap() as u64
    };
    let (path, at) = match place {
        Place::Header => (segments[0].clone(), 20),
        Place::Sealed => (segments[0].clone(), used(&segments[0]) / 2),
        Place::Unsealed => (last.clone(), used(&last) / 2),
        Place::Tail => (last.clone(), used(&last) - 30),
    };
    flip_at(&path, at);
    path
}

fn flip_at(path: &Path, at: u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 4], at).unwrap();
    file.sync_all().unwrap();
}

/// Ten MiB of log on each node, then some more behind the last restart.
fn filled(size: usize) -> (Cluster, Vec<(String, String)>) {
    let cluster = cluster(size, &FLAGS);
    let links = write_much(&cluster, "filled", 10);
    cluster.agree();
    (cluster, links)
}

#[test]
fn a_bit_flipped_in_the_log_of_one_of_three_heals() {
    let (mut cluster, mut links) = filled(3);
    for (round, place) in PLACES.into_iter().enumerate() {
        let victim = round % 3;
        cluster.nodes[victim].terminate();
        let segment = flip(&cluster.nodes[victim].data, place);
        // The others go on, and what was acknowledged meanwhile is what it must not vote against.
        links.extend(write_much(&cluster, &format!("round-{round}"), 1));

        let said = cluster.nodes[victim].log().len();
        cluster.nodes[victim].restart();
        let node = &cluster.nodes[victim];
        says_behind(node, said, segment.file_name().unwrap().to_str().unwrap());
        says_behind(node, said, "is damaged at byte");
        says_behind(node, said, "recovered: the log is whole");
        becomes(node, "recovering", &Value::Null);
        let aside = node.data.join("log").join("damaged-1");
        assert!(aside.is_dir(), "{place:?}: what was found is kept");
        cluster.settled(3);
        cluster.agree();
        all_lead(&cluster, &links);

        // A start of the healed log needs nobody's help.
        cluster.nodes[victim].terminate();
        cluster.nodes[victim].restart();
        becomes(&cluster.nodes[victim], "recovering", &Value::Null);
        cluster.settled(3);
        fs::remove_dir_all(aside).unwrap();
    }
}

#[test]
fn a_bit_flipped_in_the_only_log_there_is_stops_the_node() {
    let (mut cluster, links) = filled(1);
    cluster.nodes[0].terminate();
    for place in PLACES {
        let damaged = cluster.home.path().join("damaged");
        copy(&cluster.nodes[0].data, &damaged);
        let segment = flip(&damaged, place);
        let before: Vec<_> = files(&damaged.join("log"), |name| name.ends_with(".log"));
        let (_, said) = refused(&damaged);
        assert!(said.contains(segment.to_str().unwrap()), "{place:?}: which file:\n{said}");
        assert!(said.contains("byte "), "{place:?}: where:\n{said}");
        assert!(said.contains("restore"), "{place:?}: what to do:\n{said}");
        let after: Vec<_> = files(&damaged.join("log"), |name| name.ends_with(".log"));
        assert_eq!(before, after, "{place:?}: nothing was cut away");
        fs::remove_dir_all(&damaged).unwrap();
    }
    // The log itself was never touched.
    cluster.nodes[0].restart();
    cluster.settled(1);
    all_lead(&cluster, &links);
}

#[test]
fn a_torn_end_is_cut_and_nothing_is_missing() {
    let mut cluster = cluster(1, &FLAGS);
    let key = cluster.nodes[0].shorten("https://example.com/whole");
    cluster.nodes[0].kill();
    // The beginning of a record that was never finished, and so never acknowledged: zeros from the
    // next sector on.
    let last = files(&cluster.nodes[0].data.join("log"), |name| name.ends_with(".log")).pop();
    let last = last.unwrap();
    let bytes = fs::read(&last).unwrap();
    let end = (bytes.iter().rposition(|byte| *byte != 0).unwrap() / 8 + 1) * 8;
    let record = &bytes[128..128 + 40];
    let file = File::options().write(true).open(&last).unwrap();
    let room = 512 - end % 512;
    let torn = &record[..room.min(record.len())];
    file.write_all_at(torn, end as u64).unwrap();
    drop(file);
    let torn_at_all = room <= record.len();
    if torn_at_all {
        cluster.nodes[0].restart();
        says(&cluster.nodes[0], "cut the torn end");
        cluster.settled(1);
        assert!(cluster.nodes[0].follow(&key).is_some());
    } else {
        // Within a sector nothing tears: this is no torn record, and it is not taken for one.
        let (_, said) = refused(&cluster.nodes[0].data);
        assert!(said.contains("byte "), "{said}");
    }
}

#[test]
fn a_lost_vote_is_refused_and_half_of_one_is_healed() {
    let mut cluster = cluster(3, &[]);
    let victim = cluster.follower();
    cluster.nodes[victim].terminate();
    let vote = cluster.nodes[victim].data.join("vote");
    let lost = cluster.home.path().join("lost");
    let with = |change: &dyn Fn(&Path)| {
        copy(&cluster.nodes[victim].data, &lost);
        change(&lost.join("vote"));
        let (_, said) = refused(&lost);
        assert!(said.contains(lost.join("vote").to_str().unwrap()), "where:\n{said}");
        assert!(said.contains("could vote twice"), "why:\n{said}");
        assert!(said.contains("join again as a new node"), "what to do:\n{said}");
        fs::remove_dir_all(&lost).unwrap();
    };
    with(&|vote| fs::remove_dir_all(vote).unwrap());
    with(&|vote| ["vote-a", "vote-b"].iter().for_each(|name| flip_at(&vote.join(name), 50)));
    with(&|vote| {
        fs::remove_file(vote.join("vote-a")).unwrap();
        flip_at(&vote.join("vote-b"), 50);
    });

    flip_at(&vote.join("vote-a"), 50);
    cluster.nodes[victim].restart();
    cluster.settled(3);
    let copies = ["vote-a", "vote-b"].map(|name| fs::read(vote.join(name)).unwrap());
    assert_eq!(copies[0], copies[1], "both are whole again");
    // Whoever follows the advice is a new node; the old one no longer counts when it is taken out.
    cluster.agree();
}

#[test]
fn a_checkpoint_with_a_file_lost_is_built_again_from_a_log_that_has_everything() {
    let (mut cluster, links) = filled(1);
    has_a_checkpoint(&cluster.nodes[0]);
    cluster.nodes[0].terminate();
    let table = largest_table(&cluster.nodes[0].data);
    fs::remove_file(&table).unwrap();
    cluster.nodes[0].restart();
    says(&cluster.nodes[0], "the state is lost");
    says(&cluster.nodes[0], "built again");
    cluster.settled(1);
    all_lead(&cluster, &links);
}

/// A cluster whose logs have no beginning any more.
fn purged() -> (Cluster, Vec<(String, String)>) {
    let cluster = cluster(3, &[&FLAGS[..], &["--log-keep", "4M"]].concat());
    let links = write_much(&cluster, "purged", 20);
    for node in &cluster.nodes {
        eventually("the log is purged", || {
            let status = status(node)?;
            let purged = status["log_start"].as_u64() > Some(0);
            if purged { Ok(()) } else { Err(status.to_string()) }
        });
    }
    (cluster, links)
}

#[test]
fn a_checkpoint_with_a_file_lost_is_fetched_where_the_log_is_purged() {
    let (mut cluster, links) = purged();
    let victim = cluster.follower();
    cluster.nodes[victim].terminate();
    fs::remove_file(largest_table(&cluster.nodes[victim].data)).unwrap();
    cluster.nodes[victim].restart();
    says(&cluster.nodes[victim], "the state is lost");
    says(&cluster.nodes[victim], "installed the fetched state");
    becomes(&cluster.nodes[victim], "state_lost", &Value::Null);
    cluster.settled(3);
    cluster.agree();
    all_lead(&cluster, &links);
}

#[test]
fn a_bit_flipped_in_a_checkpoint_is_found_by_a_scrub_and_the_state_fetched() {
    let (mut cluster, links) = purged();
    let victim = cluster.follower();
    cluster.nodes[victim].terminate();
    let table = largest_table(&cluster.nodes[victim].data);
    flip_at(&table, fs::metadata(&table).unwrap().len() / 2);
    cluster.nodes[victim].restart();
    cluster.settled(3);
    // A start does not read all of it; who reads what is damaged finds out as well.
    let asked = ask("POST", &cluster.nodes[victim].url("/api/scrub"), "").unwrap();
    assert_eq!(asked.status, 202, "{}", asked.body);
    says(&cluster.nodes[victim], table.to_str().unwrap());
    says(&cluster.nodes[victim], "installed the fetched state");
    becomes(&cluster.nodes[victim], "state_lost", &Value::Null);
    cluster.settled(3);
    cluster.agree();
    all_lead(&cluster, &links);
}

fn has_a_checkpoint(node: &Node) {
    eventually("a checkpoint", || {
        let metrics = node.get("/metrics")?.body;
        let name = "bowline_checkpoints_total ";
        let count = metrics.lines().find_map(|line| line.strip_prefix(name)?.parse::<u64>().ok());
        if count > Some(0) { Ok(()) } else { Err(metrics) }
    });
}

fn largest_table(data: &Path) -> PathBuf {
    let mut tables = Vec::new();
    let mut directories = vec![data.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if directory.ends_with("tables") {
                tables.push((fs::metadata(&path).unwrap().len(), path));
            }
        }
    }
    tables.into_iter().max().expect("there is a checkpoint").1
}
