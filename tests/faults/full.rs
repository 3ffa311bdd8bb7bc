//! A disk without room: writes are refused in time, everything else goes on, and nobody has to do more
//! than to make room.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use rustix::fs::statvfs;
use serde_json::json;

use crate::disk::Disk;
use crate::harness::{Answer, Cluster, bowline, eventually};
use crate::need::need;
use crate::support::{add, all_lead, becomes, says};

/// Of each disk. A node with small segments takes about 20 of it.
const DISK_MIB: u64 = 128;
const FLAGS: [&str; 4] = ["--log-segment", "4M", "--disk-reserve", "12M"];

/// A cluster of three in which some nodes have a small disk of their own.
struct Small {
    cluster: Cluster,
    disks: Vec<Option<Disk>>,
}

impl Small {
    fn start(disks: Vec<Option<Disk>>) -> Self {
        let home = tempfile::tempdir().unwrap();
        for (at, disk) in disks.iter().enumerate() {
            if let Some(disk) = disk {
                let name = format!("n{}", at + 1);
                fs::create_dir(disk.path().join("data")).unwrap();
                symlink(disk.path().join("data"), home.path().join(name)).unwrap();
            }
        }
        let mut cluster = Cluster { nodes: Vec::new(), home };
        for _ in &disks {
            add(&mut cluster, &FLAGS);
        }
        cluster.settled(disks.len());
        Self { cluster, disks }
    }

    /// Fills a disk until only so much is left; gives the file that does it.
    fn fill(&self, at: usize, left: u64) -> PathBuf {
        let root = self.disks[at].as_ref().unwrap().path();
        let path = root.join("filler");
        let mut file = File::options().create(true).append(true).open(&path).unwrap();
        let block = vec![1; 64 << 10];
        loop {
            let now = statvfs(&root).unwrap();
            if now.f_bavail * now.f_frsize <= left {
                return path;
            }
            match file.write_all(&block) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return path,
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn put(&self, at: usize, k: u64) -> Result<Answer, String> {
        self.cluster.nodes[at].put(&format!("https://example.com/{k}"))
    }
}

/// Two small disks, and one with room. None where the machine has no loop devices.
fn disks(test: &str) -> Option<Vec<Option<Disk>>> {
    let first = need(test, Disk::new(DISK_MIB))?;
    let second = need(test, Disk::new(DISK_MIB))?;
    Some(vec![Some(first), Some(second), None])
}

#[test]
fn a_majority_of_full_disks_refuses_writes_and_nothing_else() {
    let Some(disks) = disks("a_majority_of_full_disks_refuses_writes_and_nothing_else") else {
        return;
    };
    let small = Small::start(disks);
    let nodes = &small.cluster.nodes;
    let key = nodes[0].shorten("https://example.com/before");
    let fillers = [small.fill(0, 4 << 20), small.fill(1, 4 << 20)];
    for node in &nodes[..2] {
        becomes(node, "disk", &json!("full"));
    }
    // Whoever is asked, and whoever leads.
    for (at, node) in nodes.iter().enumerate() {
        let refused = eventually("writes are refused", || {
            let answer = small.put(at, 100 + at as u64)?;
            if answer.status == 507 { Ok(answer) } else { Err(format!("{answer:?}")) }
        });
        assert!(refused.body.contains("no room"), "{}", refused.body);
        assert!(refused.body.contains("\"outcome\": \"not_applied\""), "{}", refused.body);
        assert!(refused.header("retry-after").is_some());
        assert_eq!(node.follow(&key).as_deref(), Some("https://example.com/before"));
        let fresh = node.get(&format!("/{key}?consistency=linearizable")).unwrap();
        assert_eq!(fresh.status, 301, "{}", fresh.body);
        node.is_ready().unwrap();
    }
    // Votes too.
    let leader = small.cluster.leader();
    let next = (leader + 1) % 3;
    let verb = ["transfer", &format!("n{}", next + 1), "--node", &nodes[leader].http];
    let said = bowline().args(verb).output().unwrap();
    assert!(said.status.success(), "{said:?}");
    eventually("there is a leader", || nodes[next].is_ready());

    for filler in fillers {
        fs::remove_file(filler).unwrap();
    }
    for node in &nodes[..2] {
        becomes(node, "disk", &json!("ok"));
    }
    let mut links = vec![(key, "https://example.com/before".to_owned())];
    for (at, node) in nodes.iter().enumerate() {
        let url = format!("https://example.com/after/{at}");
        links.push((node.shorten(&url), url));
    }
    small.cluster.agree();
    all_lead(&small.cluster, &links);
}

#[test]
fn a_leader_without_room_hands_over_to_one_that_has() {
    let Some(disks) = disks("a_leader_without_room_hands_over_to_one_that_has") else { return };
    let small = Small::start(disks);
    let nodes = &small.cluster.nodes;
    if small.cluster.leader() != 0 {
        let verb = ["transfer", "n1", "--node", &nodes[0].http];
        assert!(bowline().args(verb).output().unwrap().status.success());
    }
    let filler = small.fill(0, 4 << 20);
    becomes(&nodes[0], "disk", &json!("full"));
    eventually("another one leads", || {
        let leader = nodes[1].json("/v1/status/leader")?;
        if leader != json!("") && leader != json!(nodes[0].peer) {
            Ok(())
        } else {
            Err(leader.to_string())
        }
    });
    // The others have room, so writes go on; also those of its own clients reach them.
    let mut links = Vec::new();
    for k in 0..30 {
        let url = format!("https://example.com/{k}");
        links.push((nodes[1 + k % 2].shorten(&url), url));
    }
    fs::remove_file(filler).unwrap();
    becomes(&nodes[0], "disk", &json!("ok"));
    small.cluster.agree();
    all_lead(&small.cluster, &links);
}

#[test]
fn a_disk_full_to_the_last_byte_is_survived() {
    let Some(disks) = disks("a_disk_full_to_the_last_byte_is_survived") else { return };
    let mut small = Small::start(disks);
    let key = small.cluster.nodes[0].shorten("https://example.com/before");
    says_it_has_a_reserve(&small, 0);
    let filler = small.fill(0, 0);
    becomes(&small.cluster.nodes[0], "disk", &json!("full"));
    says(&small.cluster.nodes[0], "reserve, to have room for a checkpoint");
    // The room that the reserve gave may be taken as well.
    small.fill(0, 0);
    for k in 0..50 {
        small.cluster.nodes[2].shorten(&format!("https://example.com/during/{k}"));
    }
    let node = &small.cluster.nodes[0];
    assert_eq!(node.follow(&key).as_deref(), Some("https://example.com/before"));
    node.is_ready().unwrap();

    // It may be stopped like that, too, and comes back when there is room.
    small.cluster.nodes[0].terminate();
    fs::remove_file(filler).unwrap();
    small.cluster.nodes[0].restart();
    becomes(&small.cluster.nodes[0], "disk", &json!("ok"));
    small.cluster.settled(3);
    small.cluster.agree();
}

fn says_it_has_a_reserve(small: &Small, at: usize) {
    let reserve = small.cluster.nodes[at].data.join("reserve");
    eventually("there is a reserve", || match fs::metadata(&reserve) {
        Ok(metadata) if metadata.len() == 4 << 20 => Ok(()),
        other => Err(format!("{other:?}")),
    });
}
