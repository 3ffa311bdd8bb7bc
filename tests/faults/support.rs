//! What the tests of failing disks share: clusters with flags, load, and system calls that fail.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Cluster, Node, ask, bowline, eventually, signal};

/// A cluster of voters, all started with these flags.
pub fn cluster(size: usize, flags: &[&str]) -> Cluster {
    let home = tempfile::tempdir().unwrap();
    let mut cluster = Cluster { nodes: Vec::new(), home };
    for _ in 0..size {
        add(&mut cluster, flags);
    }
    cluster.settled(size);
    cluster
}

/// Starts one more node.
pub fn add(cluster: &mut Cluster, flags: &[&str]) {
    let name = format!("n{}", cluster.nodes.len() + 1);
    let target = cluster.nodes.iter().find(|node| node.is_up()).map(|node| node.peer.clone());
    let begin = match &target {
        Some(peer) => vec!["--join", peer],
        None => vec!["--bootstrap"],
    };
    let node = Node::start(cluster.home.path(), &name, &[&begin, flags].concat());
    cluster.nodes.push(node);
}

/// A URL of `bytes` bytes, with names in it that make it one of its kind.
pub fn url(name: &str, k: u64, bytes: usize) -> String {
    let start = format!("https://example.com/{name}/{k}/");
    format!("{start}{}", "x".repeat(bytes.saturating_sub(start.len())))
}

/// Writes about `mib` MiB, several at a time, to whoever takes it. Gives keys and URLs.
pub fn write_much(cluster: &Cluster, name: &str, mib: u64) -> Vec<(String, String)> {
    const BYTES: usize = 7_500;
    const WRITERS: u64 = 4;
    let each = (mib << 20) / BYTES as u64 / WRITERS + 1;
    let up: Vec<&Node> = cluster.nodes.iter().filter(|node| node.is_up()).collect();
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let node = up[usize::try_from(writer).unwrap() % up.len()];
                scope.spawn(move || {
                    let write = |k| {
                        let url = url(&format!("{name}-{writer}"), k, BYTES);
                        (node.shorten(&url), url)
                    };
                    (0..each).map(write).collect::<Vec<_>>()
                })
            })
            .collect();
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    })
}

/// Every link leads where it should, on every node that runs. Of many, some are looked at.
pub fn all_lead(cluster: &Cluster, links: &[(String, String)]) {
    for node in cluster.nodes.iter().filter(|node| node.is_up()) {
        for (key, url) in links.iter().step_by(1 + links.len() / 100) {
            let found = eventually("it is answered", || {
                let answer = node.get(&format!("/{key}"))?;
                if answer.status == 503 { Err(answer.body) } else { Ok(answer) }
            });
            assert_eq!(found.header("location"), Some(url.as_str()), "{found:?}");
        }
    }
}

/// Writers in the background, each of which sends a write after the other.
pub struct Load {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    writers: Vec<JoinHandle<Vec<(String, String)>>>,
}

impl Load {
    /// One writer for each of these nodes.
    pub fn on(nodes: &[&Node], bytes: usize) -> Self {
        let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let writers = nodes.iter().enumerate().map(|(writer, node)| {
            let (stop, written) = (Arc::clone(&stop), Arc::clone(&written));
            let to = node.url("/");
            std::thread::spawn(move || {
                let mut links = Vec::new();
                for k in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let url = url(&format!("load-{writer}"), k, bytes);
                    let Ok(answer) = ask("PUT", &to, &url) else { continue };
                    if answer.status < 300 {
                        written.fetch_add(1, Ordering::Relaxed);
                        links.push((answer.body.trim().to_owned(), url));
                    }
                }
                links
            })
        });
        Self { writers: writers.collect(), stop, written }
    }

    /// Waits until so many more writes are acknowledged.
    pub fn goes_on(&self, more: u64) {
        let mark = self.written.load(Ordering::Relaxed) + more;
        eventually("writes go on", || {
            let now = self.written.load(Ordering::Relaxed);
            if now >= mark { Ok(()) } else { Err(now) }
        });
    }

    /// Ends it and gives what was acknowledged: keys and URLs.
    pub fn end(mut self) -> Vec<(String, String)> {
        self.stop.store(true, Ordering::Relaxed);
        let writers = std::mem::take(&mut self.writers);
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// What a node says of itself.
pub fn status(node: &Node) -> Result<Value, String> {
    Ok(node.json("/api/status")?["node"].clone())
}

/// Waits until a field of what a node says of itself is what it should be.
pub fn becomes(node: &Node, field: &str, wanted: &Value) {
    eventually(field, || {
        let status = status(node)?;
        if status[field] == *wanted { Ok(()) } else { Err(format!("{status}\n{}", node.log())) }
    });
}

/// Waits until a node has said something in its log.
pub fn says(node: &Node, text: &str) {
    says_behind(node, 0, text);
}

/// Waits until a node has said something behind what it had said before, which took so many bytes.
pub fn says_behind(node: &Node, before: usize, text: &str) {
    eventually(text, || {
        let log = node.log();
        if log[before..].contains(text) { Ok(()) } else { Err(log) }
    });
}

/// Starts a node on the data of another that has stopped, when it is to refuse that.
pub fn refused(data: &Path) -> (Output, String) {
    let mut command = bowline();
    let command = command.arg("--data").arg(data).args(["--http", "127.0.0.1:0"]);
    let output = command.args(["--peer", "127.0.0.1:0"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    (output, said)
}

/// Copies a directory with all that is in it.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.metadata().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The files below a directory whose names pass, in order.
pub fn files(directory: &Path, pass: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let named =
        |path: &PathBuf| path.is_file() && pass(path.file_name().unwrap().to_str().unwrap());
    let mut files: Vec<_> = entries.filter(named).collect();
    files.sort();
    files
}

/// System calls of a running node that do not do what they should, until this is dropped.
pub struct Fault {
    strace: Child,
}

impl Fault {
    /// Tampers with each call of these names (`fsync,fdatasync`) from now on, as strace calls it:
    /// `error=EIO`, or `delay_enter=` with microseconds.
    pub fn on(node: &Node, calls: &str, what: &str) -> Self {
        // A node writes the number of its process into its lock.
        let pid = fs::read_to_string(node.data.join("LOCK")).unwrap();
        let mut strace = Command::new("strace")
            .args(["-f", "-o", "/dev/null", "-e", &format!("trace={calls}")])
            .args(["-e", &format!("inject={calls}:{what}"), "-p", pid.trim()])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(strace.stderr.take().unwrap()).lines();
        let first = said.next().unwrap().unwrap();
        assert!(first.contains("attached"), "{first}");
        // Goes on reading, so that it never writes into a closed pipe.
        std::thread::spawn(move || said.map_while(Result::ok).for_each(drop));
        Self { strace }
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        // Asked to end, it lets go of the node first. If that has ended, it may wait for it for ever.
        let asked = Instant::now();
        if matches!(self.strace.try_wait(), Ok(None)) {
            signal(&self.strace, rustix::process::Signal::TERM);
        }
        while matches!(self.strace.try_wait(), Ok(None)) {
            if asked.elapsed() > Duration::from_secs(2) {
                self.strace.kill().ok();
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }
}
