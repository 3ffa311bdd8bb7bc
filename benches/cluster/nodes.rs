//! Nodes as processes of their own, on loopback, in a directory that goes away with them.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use ureq::Agent;

use super::cpu::Usage;
use super::stop;

/// How many there are unless it is said otherwise.
pub const NODES: usize = 3;
/// How many of them vote at most; the others stand by.
pub const VOTERS_MAX: usize = 5;
/// How long anything may take to come about.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked for.
const PAUSE: Duration = Duration::from_millis(20);

/// The cluster.
pub struct Cluster {
    nodes: Vec<Node>,
    /// What each of them is started with.
    flags: Vec<String>,
    agent: Agent,
    /// Removed when dropped, after the nodes.
    dir: TempDir,
}

/// One node; it is killed when dropped.
struct Node {
    process: Child,
    /// Kept open: nobody likes to write into a closed pipe.
    _stdout: BufReader<ChildStdout>,
    dir: PathBuf,
    http: SocketAddr,
    peer: SocketAddr,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

impl Cluster {
    /// Starts so many nodes with these flags and waits until all that may vote do. `BENCH_DIR` chooses
    /// the disk; `keep` leaves directories and logs there.
    pub fn start(nodes: usize, flags: &[&str], keep: bool) -> Self {
        let dir = match std::env::var_os("BENCH_DIR") {
            Some(parent) => tempfile::tempdir_in(parent),
            None => tempfile::tempdir(),
        };
        let mut dir = dir.expect("a temporary directory can be made");
        if keep {
            dir.disable_cleanup(true);
            println!("nodes in {}", dir.path().display());
        }
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .timeout_global(Some(Duration::from_secs(10)))
            .build()
            .new_agent();
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let mut cluster = Self { nodes: Vec::new(), flags, agent, dir };
        for number in 0..nodes {
            let home = cluster.dir.path().join(format!("n{number}"));
            std::fs::create_dir(&home).expect("a directory can be made in an empty one");
            let mut flags = cluster.flags.clone();
            match cluster.nodes.first() {
                None => flags.push("--bootstrap".to_owned()),
                Some(first) => flags.extend(["--join".to_owned(), first.peer.to_string()]),
            }
            let any = SocketAddr::from(([127, 0, 0, 1], 0));
            cluster.nodes.push(Node::start(&home, any, any, &flags));
        }
        cluster.settle();
        cluster
    }

    /// The HTTP addresses of all nodes.
    pub fn all_http(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.http).collect()
    }

    /// The HTTP address of a node.
    pub fn http(&self, node: usize) -> SocketAddr {
        self.nodes[node].http
    }

    /// Processor time used up to now.
    pub fn usage(&self) -> Usage {
        Usage::now(&self.nodes.iter().map(|node| node.process.id()).collect::<Vec<_>>())
    }

    /// The node that leads.
    pub fn leader(&self) -> usize {
        eventually("a leader", || {
            let servers = self.configuration(0)?;
            let leads = |node: &&Node| {
                let own = node.peer.to_string();
                servers.iter().any(|it| it["Leader"] == true && it["Address"] == own.as_str())
            };
            let leader = self.nodes.iter().find(leads).ok_or("nobody leads")?;
            Ok(self.nodes.iter().position(|node| node.peer == leader.peer).expect("it is of these"))
        })
    }

    /// Kills a node as a failing machine would.
    pub fn kill(&mut self, node: usize) {
        self.nodes[node].process.kill().expect("a child can be killed");
        self.nodes[node].process.wait().expect("a child can be waited for");
    }

    /// Starts a killed node again, where it was.
    pub fn restart(&mut self, node: usize) {
        let Node { dir, http, peer, .. } = &self.nodes[node];
        self.nodes[node] = Node::start(&dir.clone(), *http, *peer, &self.flags);
    }

    /// Waits until all nodes are members, as many voters as may be, know their leader, and are abreast
    /// of it.
    pub fn settle(&self) {
        let nodes = self.nodes.len();
        eventually("all nodes as members, abreast", || {
            let mut last = Vec::new();
            for node in 0..nodes {
                let (status, _, body) = self.get(node, "/readyz")?;
                if status != 200 {
                    return Err(body);
                }
                let servers = self.configuration(node)?;
                let voters = servers.iter().filter(|server| server["Voter"] == true).count();
                if (servers.len(), voters) != (nodes, nodes.min(VOTERS_MAX)) {
                    return Err(format!("node {node} knows other members: {servers:?}"));
                }
                let (_, _, body) = self.get(node, "/api/status")?;
                let status: Value = serde_json::from_str(&body).map_err(|it| it.to_string())?;
                last.push((status["state"]["applied"].clone(), status["node"]["leader"].clone()));
            }
            match last.iter().all(|it| *it == last[0]) {
                true => Ok(()),
                false => Err(format!("not abreast: {last:?}")),
            }
        });
    }

    /// Status, `Location` and body of an answer.
    pub fn get(&self, node: usize, path: &str) -> Result<(u16, String, String), String> {
        let failed = |error: ureq::Error| format!("no answer from node {node}: {error}");
        let url = format!("http://{}{path}", self.nodes[node].http);
        let mut response = self.agent.get(url).call().map_err(failed)?;
        let location = response.headers().get("Location").and_then(|it| it.to_str().ok());
        let (status, location) = (response.status().as_u16(), location.unwrap_or("").to_owned());
        let body = response.body_mut().read_to_string().map_err(failed)?;
        Ok((status, location, body))
    }

    fn configuration(&self, node: usize) -> Result<Vec<Value>, String> {
        let (_, _, body) = self.get(node, "/v1/operator/raft/configuration")?;
        let value: Value = serde_json::from_str(&body).map_err(|error| error.to_string())?;
        value["Servers"].as_array().cloned().ok_or(body)
    }
}

impl Node {
    fn start(dir: &Path, http: SocketAddr, peer: SocketAddr, flags: &[String]) -> Self {
        let log = File::options().create(true).append(true).open(dir.join("log"));
        let program = std::env::var_os("BENCH_PROGRAM");
        let mut process = Command::new(program.unwrap_or(env!("CARGO_BIN_EXE_bowline").into()))
            .arg("--data")
            .arg(dir.join("data"))
            .args(["--http", &http.to_string(), "--peer", &peer.to_string()])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.expect("a file can be made in our own directory"))
            .spawn()
            .expect("the program was built along with this one");
        let mut stdout = BufReader::new(process.stdout.take().expect("it was asked for"));
        let http = banner(&mut stdout, "bowline: http http://");
        let peer = banner(&mut stdout, "bowline: peer ");
        let (Some(http), Some(peer)) = (http, peer) else {
            process.kill().ok();
            process.wait().ok();
            let log = std::fs::read_to_string(dir.join("log")).unwrap_or_default();
            panic!("a node did not start:\n{log}");
        };
        Self { process, _stdout: stdout, dir: dir.to_owned(), http, peer }
    }
}

/// The address in the next line, which begins like this.
fn banner(stdout: &mut impl BufRead, prefix: &str) -> Option<SocketAddr> {
    let mut line = String::new();
    stdout.read_line(&mut line).ok()?;
    line.trim().strip_prefix(prefix)?.parse().ok()
}

/// Asks again and again until the answer is there.
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        stop::check();
        match ask() {
            Ok(value) => return value,
            Err(why) => assert!(start.elapsed() < PATIENCE, "no {what} in {PATIENCE:?}: {why}"),
        }
        thread::sleep(PAUSE);
    }
}
