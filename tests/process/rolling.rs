//! Every node is restarted in turn while clients write: nothing is lost, nothing is done twice, and
//! what is refused is refused honestly.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::harness::Cluster;

#[test]
fn rolling_restart_under_write_load() {
    let mut cluster = Cluster::start(3);
    let urls: Vec<String> = cluster.nodes.iter().map(|node| node.url("/")).collect();
    let (stop, written) = (AtomicBool::new(false), AtomicU64::new(0));
    let acknowledged = std::thread::scope(|scope| {
        let writers: Vec<_> = urls
            .iter()
            .enumerate()
            .map(|(writer, url)| {
                let (stop, written) = (&stop, &written);
                scope.spawn(move || write(writer, url, stop, written))
            })
            .collect();
        for at in 0..3 {
            // The next one goes only after work was done since the last one came back.
            let mark = written.load(Ordering::Relaxed);
            crate::harness::eventually("writes go on", || {
                let now = written.load(Ordering::Relaxed);
                if now > mark + 30 { Ok(()) } else { Err(now) }
            });
            assert!(cluster.nodes[at].terminate().success());
            cluster.nodes[at].restart();
            cluster.settled(3);
        }
        stop.store(true, Ordering::Relaxed);
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(acknowledged.len() > 90, "only {} writes", acknowledged.len());
    let state = cluster.agree();
    assert!(state["links"].as_u64().unwrap() >= acknowledged.len() as u64);
    for (url, key) in &acknowledged {
        for node in &cluster.nodes {
            assert_eq!(node.follow(key).as_ref(), Some(url));
        }
    }
}

/// Writes URLs that nobody else writes, each of them sent once.
fn write(writer: usize, to: &str, stop: &AtomicBool, written: &AtomicU64) -> Vec<(String, String)> {
    let mut acknowledged = Vec::new();
    for k in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let url = format!("https://example.com/{writer}/{k}");
        // No connection at all: the node is down, and nothing was asked.
        let Ok(answer) = crate::harness::ask("PUT", to, &url) else { continue };
        match answer.status {
            201 => {
                written.fetch_add(1, Ordering::Relaxed);
                acknowledged.push((url, answer.body.trim().to_owned()));
            }
            503 => assert!(answer.header("retry-after").is_some(), "{}", answer.body),
            // 200 would mean that a write which was sent once has been done twice.
            status => panic!("{status}: {}", answer.body),
        }
    }
    acknowledged
}
