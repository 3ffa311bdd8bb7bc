//! Real nodes as child processes: started on port 0, read back, killed, restarted.

use std::fmt::Debug;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Catches a hang, not slowness: nothing here should take this long on any machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks until the answer is there.
pub fn eventually<T, E: Debug>(what: &str, mut ask: impl FnMut() -> Result<T, E>) -> T {
    let start = Instant::now();
    loop {
        match ask() {
            Ok(value) => return value,
            Err(error) => assert!(start.elapsed() < PATIENCE, "{what}: {error:?}"),
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

pub fn bowline() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bowline"));
    command.env_remove("RUST_LOG").env_remove("BOWLINE_NODE");
    command
}

/// An answer as the tests look at it.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// One request, on a connection of its own, redirects not followed.
pub fn ask(method: &str, url: &str, body: &str) -> Result<Answer, String> {
    ask_with(method, url, &[], body)
}

/// The same with further header fields.
pub fn ask_with(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Answer, String> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(20)))
        .build()
        .into();
    let request = ureq::http::Request::builder().method(method).uri(url);
    let request =
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let answered = if body.is_empty() {
        agent.run(request.body(()).map_err(|error| error.to_string())?)
    } else {
        agent.run(request.body(body.to_owned()).map_err(|error| error.to_string())?)
    };
    let mut answer = answered.map_err(|error| error.to_string())?;
    let headers = answer
        .headers()
        .iter()
        .map(|(key, value)| {
            (key.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        })
        .collect();
    let body = answer.body_mut().read_to_string().map_err(|error| error.to_string())?;
    Ok(Answer { status: answer.status().as_u16(), headers, body })
}

/// A node that runs, or ran: its directory and its addresses stay.
pub struct Node {
    child: Option<Child>,
    pub data: PathBuf,
    log: PathBuf,
    pub http: String,
    pub peer: String,
    flags: Vec<String>,
}

impl Node {
    /// Starts a node on free ports of loopback.
    pub fn start(home: &Path, name: &str, flags: &[&str]) -> Self {
        Self::start_at(home, name, "127.0.0.1:0", flags)
    }

    /// Starts a node whose peer address is given.
    pub fn start_at(home: &Path, name: &str, peer: &str, flags: &[&str]) -> Self {
        let mut node = Self {
            child: None,
            data: home.join(name),
            log: home.join(format!("{name}.log")),
            http: "127.0.0.1:0".to_owned(),
            peer: peer.to_owned(),
            flags: ["--name", name].iter().chain(flags).map(|flag| (*flag).to_owned()).collect(),
        };
        node.launch();
        node
    }

    /// Starts it again, with its data, under its addresses; flags for the first start are left out.
    pub fn restart(&mut self) {
        assert!(self.child.is_none(), "it runs");
        if let Some(at) = self.flags.iter().position(|flag| flag == "--bootstrap") {
            self.flags.remove(at);
        }
        self.launch();
    }

    /// Flags for the next start.
    pub fn add_flags(&mut self, flags: &[&str]) {
        self.flags.extend(flags.iter().map(|flag| (*flag).to_owned()));
    }

    /// Starts it again on other ports.
    pub fn restart_elsewhere(&mut self) {
        self.http = "127.0.0.1:0".to_owned();
        self.peer = "127.0.0.1:0".to_owned();
        self.restart();
    }

    /// Starts it again without a word about where to listen.
    pub fn restart_without_addresses(&mut self) {
        let (http, peer) = (self.http.clone(), self.peer.clone());
        (self.http, self.peer) = (String::new(), String::new());
        self.restart();
        assert_eq!((&self.http, &self.peer), (&http, &peer), "it listens where it did");
    }

    fn launch(&mut self) {
        let addresses = match self.peer.as_str() {
            "" => vec![],
            peer => vec!["--http", self.http.trim_start_matches("http://"), "--peer", peer],
        };
        let log = File::options().create(true).append(true).open(&self.log).unwrap();
        let mut child = bowline()
            .arg("--data")
            .arg(&self.data)
            .args(addresses)
            .args(&self.flags)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        self.child = Some(child);
        let (line_in, line_out) = mpsc::channel();
        std::thread::spawn(move || {
            // Goes on reading, so that the node never writes into a closed pipe.
            BufReader::new(stdout).lines().map_while(Result::ok).for_each(|line| {
                line_in.send(line).ok();
            });
        });
        let (mut http, mut peer) = (None, None);
        while http.is_none() || peer.is_none() {
            let line = line_out.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("no banner; its log:\n{}", self.log()));
            http = http.or(line.strip_prefix("bowline: http ").map(str::to_owned));
            peer = peer.or(line.strip_prefix("bowline: peer ").map(str::to_owned));
        }
        (self.http, self.peer) = (http.unwrap(), peer.unwrap());
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Sends a signal.
    pub fn signal(&self, which: rustix::process::Signal) {
        signal(self.child.as_ref().expect("it runs"), which);
    }

    /// SIGTERM, and waits for the end.
    pub fn terminate(&mut self) -> ExitStatus {
        let child = self.child.take().expect("it runs");
        signal(&child, rustix::process::Signal::TERM);
        self.child = Some(child);
        self.ended()
    }

    /// SIGSTOP: it does nothing any more, and nobody is told.
    pub fn pause(&self) {
        signal(self.child.as_ref().expect("it runs"), rustix::process::Signal::STOP);
    }

    /// SIGCONT: it goes on as if nothing had been.
    pub fn resume(&self) {
        signal(self.child.as_ref().expect("it runs"), rustix::process::Signal::CONT);
    }

    /// Waits for the end that the node comes to by itself.
    pub fn ended(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("it runs");
        eventually("the node stops", || match child.try_wait().unwrap() {
            Some(status) => Ok(status),
            None => Err(self.log()),
        })
    }

    pub fn is_up(&self) -> bool {
        self.child.is_some()
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.http)
    }

    pub fn put(&self, url: &str) -> Result<Answer, String> {
        ask("PUT", &self.url("/"), url)
    }

    pub fn get(&self, path: &str) -> Result<Answer, String> {
        ask("GET", &self.url(path), "")
    }

    pub fn json(&self, path: &str) -> Result<Value, String> {
        let answer = self.get(path)?;
        serde_json::from_str(&answer.body).map_err(|error| format!("{error}: {}", answer.body))
    }

    /// Shortens a URL, however long it takes to find a leader. Gives the key.
    pub fn shorten(&self, url: &str) -> String {
        eventually("a write is taken", || {
            let answer = self.put(url)?;
            if answer.status < 300 { Ok(answer.body.trim().to_owned()) } else { Err(answer.body) }
        })
    }

    /// Where a key leads here, if it does.
    pub fn follow(&self, key: &str) -> Option<String> {
        let answer = self.get(&format!("/{key}")).ok()?;
        (answer.status == 301).then(|| answer.header("location").unwrap().to_owned())
    }

    pub fn is_ready(&self) -> Result<(), String> {
        let answer = self.get("/readyz")?;
        if answer.status == 200 { Ok(()) } else { Err(answer.body) }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            child.kill().ok();
            child.wait().ok();
        }
        if std::thread::panicking() {
            eprintln!("---- log of {}:\n{}", self.data.display(), self.log());
        }
    }
}

pub fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, signal).unwrap();
}

/// A cluster of nodes, all of them voters.
pub struct Cluster {
    pub nodes: Vec<Node>,
    pub home: tempfile::TempDir,
}

impl Cluster {
    pub fn start(size: usize) -> Self {
        let home = tempfile::tempdir().unwrap();
        let first = Node::start(home.path(), "n1", &["--bootstrap"]);
        let target = first.peer.clone();
        let mut nodes = vec![first];
        for k in 2..=size {
            nodes.push(Node::start(home.path(), &format!("n{k}"), &["--join", &target]));
        }
        let cluster = Self { nodes, home };
        cluster.settled(size);
        cluster
    }

    /// Waits until everybody is ready and sees this many voters and a leader.
    pub fn settled(&self, voters: usize) {
        for node in self.nodes.iter().filter(|node| node.is_up()) {
            eventually("the cluster settles", || {
                node.is_ready()?;
                let status = node.json("/api/status")?;
                let members = status["node"]["members"].as_array().ok_or("no members")?;
                let voting = members.iter().filter(|it| it["voter"] == true).count();
                if voting == voters { Ok(()) } else { Err(format!("{voting} voters: {status}")) }
            });
        }
    }

    /// The position of the node that all running nodes take for the leader.
    pub fn leader(&self) -> usize {
        eventually("there is a leader", || {
            let up: Vec<&Node> = self.nodes.iter().filter(|node| node.is_up()).collect();
            let mut leaders = Vec::new();
            for node in &up {
                leaders.push(node.json("/v1/status/leader")?);
            }
            leaders.dedup();
            let [Value::String(leader)] = leaders.as_slice() else {
                return Err(format!("{leaders:?}"));
            };
            let at = self.nodes.iter().position(|node| node.is_up() && node.peer == *leader);
            at.ok_or_else(|| format!("{leader} does not run"))
        })
    }

    pub fn follower(&self) -> usize {
        let leader = self.leader();
        (0..self.nodes.len()).find(|at| *at != leader && self.nodes[*at].is_up()).unwrap()
    }

    /// Waits until all running nodes have applied the same and say the same of it.
    pub fn agree(&self) -> Value {
        eventually("the nodes agree", || {
            let mut states = Vec::new();
            for node in self.nodes.iter().filter(|node| node.is_up()) {
                let state = node.json("/api/status")?["state"].clone();
                states.push(state);
            }
            states.dedup();
            match states.as_slice() {
                [state] => Ok(state.clone()),
                _ => Err(format!("{states:?}")),
            }
        })
    }
}
