//! `demo`: a whole cluster on loopback in one terminal.
//!
//! The nodes are child processes of the very program, exactly as they would run on machines of their
//! own. One thread per output stream passes lines on with the node's name in front, and everything
//! that happens (a line, a child's end, Ctrl-C) goes through one channel to the thread that owns the
//! children. They run in process groups of their own, so that Ctrl-C reaches the demo alone and each
//! node is told to stop once.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use ureq::http::Method;

use super::args::DemoArgs;
use super::client::{Answer, Client};
use super::{Error, print};
use crate::config::ClusterConfig;

/// How long nodes get to come up, and to stop.
const START_TIMEOUT: Duration = Duration::from_secs(30);
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// Events on their way; a node that talks faster than the terminal shows waits.
const EVENTS_MAX: usize = 1024;
/// Where the addresses of the nodes are kept, so that a data directory can be gone on with.
const ADDRESSES: &str = "addresses";

/// What the thread that owns the children is told.
enum Event {
    /// A node wrote a line.
    Line { node: usize, text: String },
    /// A node's output ended: so did the node.
    Ended { node: usize },
    /// Every node says that it is ready.
    Ready,
    /// Somebody wants the demo to end.
    Stop,
}

/// Runs the demo until Ctrl-C.
pub(super) fn run(args: &DemoArgs) -> Result<(), Error> {
    let program = std::env::current_exe()
        .map_err(|error| Error::new(format!("cannot find this program's file: {error}")))?;
    let (events, inbox) = bounded(EVENTS_MAX);
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])
        .map_err(|error| Error::new(format!("cannot listen to signals: {error}")))?;
    let stop = events.clone();
    std::thread::spawn(move || {
        for _ in signals.forever() {
            if stop.send(Event::Stop).is_err() {
                return;
            }
        }
    });
    let mut directory = std::fs::DirBuilder::new();
    let (data, temporary) = match &args.data {
        Some(data) => (data.clone(), false),
        None => (std::env::temp_dir().join(format!("bowline-demo-{}", std::process::id())), true),
    };
    // A temporary directory must be new: one that stands already is somebody else's.
    directory.recursive(!temporary).mode(0o700);
    directory.create(&data).map_err(|error| at(&data, &error))?;
    let mut demo = Demo::new(program.into(), data.clone(), args.nodes.into(), events, inbox);
    let result = demo.run();
    drop(demo);
    if temporary {
        std::fs::remove_dir_all(&data).map_err(|error| at(&data, &error))?;
    }
    result
}

fn at(path: &Path, error: &io::Error) -> Error {
    Error::new(format!("{}: {error}", path.display()))
}

/// One node: a child process.
struct Node {
    child: Child,
    /// What it said at its start: `http` and `peer`.
    addresses: BTreeMap<String, String>,
    running: bool,
}

struct Demo {
    program: OsString,
    data: PathBuf,
    count: usize,
    colour: bool,
    events: Sender<Event>,
    inbox: Receiver<Event>,
    nodes: Vec<Node>,
}

impl Demo {
    fn new(
        program: OsString,
        data: PathBuf,
        count: usize,
        events: Sender<Event>,
        inbox: Receiver<Event>,
    ) -> Self {
        let colour = io::stdout().is_terminal();
        Self { program, data, count, colour, events, inbox, nodes: Vec::new() }
    }

    fn run(&mut self) -> Result<(), Error> {
        let result = self.start().and_then(|started| match started {
            true => self.watch(),
            false => Ok(()),
        });
        self.stop();
        result
    }

    /// Starts all nodes; false when it was told to stop meanwhile.
    fn start(&mut self) -> Result<bool, Error> {
        let old = read_addresses(&self.data);
        // Addresses that were used before come again, for those the nodes know each other by.
        let old = |node: usize, what: &str| {
            old.get(&format!("{} {what}", name(node))).cloned().unwrap_or("127.0.0.1:0".into())
        };
        let mut join: Option<String> = None;
        for node in 0..self.count {
            let mut command = Command::new(&self.program);
            let data = self.data.join(name(node));
            command.arg("--data").arg(&data).args(["--name", &name(node)]);
            command.args(["--http", &old(node, "http"), "--peer", &old(node, "peer")]);
            match &join {
                Some(peer) => {
                    command.args(["--join", peer]);
                }
                None if is_empty(&data) => {
                    command.arg("--bootstrap");
                }
                None => {}
            }
            self.spawn(node, command)?;
            if !self.wait_for_addresses(node)? {
                return Ok(false);
            }
            join.get_or_insert_with(|| self.nodes[node].addresses["peer"].clone());
        }
        self.write_addresses()?;
        let urls: Vec<String> =
            self.nodes.iter().map(|node| node.addresses["http"].clone()).collect();
        let events = self.events.clone();
        std::thread::spawn(move || {
            if wait_until_ready(&urls) {
                let _ = events.send(Event::Ready);
            }
        });
        Ok(true)
    }

    fn spawn(&mut self, node: usize, mut command: Command) -> Result<(), Error> {
        if self.colour && std::env::var_os("RUST_LOG_STYLE").is_none() {
            command.env("RUST_LOG_STYLE", "always");
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.process_group(0).spawn().map_err(|error| {
            Error::new(format!("cannot start {}: {error}", Path::new(&self.program).display()))
        })?;
        let stdout = child.stdout.take().expect("it is piped");
        let stderr = child.stderr.take().expect("it is piped");
        let events = self.events.clone();
        std::thread::spawn(move || pass_on(stderr, node, &events));
        let events = self.events.clone();
        std::thread::spawn(move || {
            pass_on(stdout, node, &events);
            let _ = events.send(Event::Ended { node });
        });
        self.nodes.push(Node { child, addresses: BTreeMap::new(), running: true });
        Ok(())
    }

    /// Waits until a node has said where it listens; false when it was told to stop meanwhile.
    fn wait_for_addresses(&mut self, node: usize) -> Result<bool, Error> {
        let deadline = Instant::now() + START_TIMEOUT;
        while ["http", "peer"].iter().any(|what| !self.nodes[node].addresses.contains_key(*what)) {
            match self.inbox.recv_deadline(deadline) {
                Ok(Event::Stop) => return Ok(false),
                Ok(event) => self.on_event(event)?,
                Err(_) => {
                    return Err(Error::new(format!("{} does not come up", name(node))));
                }
            }
            if !self.nodes[node].running {
                return Err(Error::new(format!("{} did not come up; see above", name(node))));
            }
        }
        Ok(true)
    }

    /// Shows what the nodes say until it is told to stop, or none is left.
    fn watch(&mut self) -> Result<(), Error> {
        while self.nodes.iter().any(|node| node.running) {
            match self.inbox.recv().expect("this thread holds a sender itself") {
                Event::Stop => return Ok(()),
                event => self.on_event(event)?,
            }
        }
        Err(Error::new("no node is left"))
    }

    fn on_event(&mut self, event: Event) -> Result<(), Error> {
        match event {
            Event::Line { node, text } => {
                if let Some((what, value)) = address(&text) {
                    self.nodes[node].addresses.insert(what.to_string(), value.to_string());
                }
                self.say(Some(node), &text)
            }
            Event::Ended { node } => {
                self.nodes[node].running = false;
                let status = self.nodes[node].child.wait();
                let how =
                    status.map_or_else(|error| error.to_string(), |status| status.to_string());
                self.say(None, &format!("{} ended: {how}", name(node)))
            }
            Event::Ready => self.invite(),
            Event::Stop => Ok(()),
        }
    }

    /// Says what can be tried now, in lines that can be pasted.
    fn invite(&self) -> Result<(), Error> {
        let http = |node: usize| self.nodes[node % self.count].addresses["http"].as_str();
        let pids: Vec<String> = self.nodes.iter().map(|node| node.child.id().to_string()).collect();
        let (first, other) = (http(0), http(1));
        let program = Path::new(&self.program).display();
        let url = "https://example.com/a/long/url";
        let moderator = self.data.join(name(0));
        let moderator = moderator.display();
        print(&format!(
            "\n\
             {} nodes are ready. Shorten a URL on one, and follow the link on another:\n\n  \
               curl -X PUT --data '{url}' {first}/\n  \
               curl -i {other}/$(curl -sX PUT --data '{url}' {first}/)\n\n\
             The link board is on each of them, for a browser:\n\n  \
               {first}/b\n  \
               {program} board moderator add NAME --node {first} --data {moderator}\n\n\
             Look at them, kill one (their process ids are {}), and look again:\n\n  \
               {program} status --node {first}\n  \
               {program} members --node {other}\n  \
               kill -9 {}\n\n\
             Data is in {}. Ctrl-C stops all.\n\n",
            self.count,
            pids.join(", "),
            pids[self.count - 1],
            self.data.display(),
        ))
    }

    fn say(&self, node: Option<usize>, text: &str) -> Result<(), Error> {
        const COLOURS: [u8; 6] = [36, 33, 35, 32, 34, 31];
        let line = match node {
            None => format!("demo | {text}\n"),
            Some(node) if self.colour => {
                let colour = COLOURS[node % COLOURS.len()];
                format!("\x1b[{colour}m{:>4} |\x1b[0m {text}\n", name(node))
            }
            Some(node) => format!("{:>4} | {text}\n", name(node)),
        };
        print(&line)
    }

    /// Stops all nodes: politely, and after a while or a second Ctrl-C for good. The last nodes go
    /// first, so that the cluster has a majority as long as can be.
    fn stop(&mut self) {
        for node in self.nodes.iter().rev().filter(|node| node.running) {
            // It may just have ended; it is not waited for yet, so the id is still its own.
            let _ = kill_process(Pid::from_child(&node.child), Signal::TERM);
        }
        let deadline = Instant::now() + STOP_TIMEOUT;
        while self.nodes.iter().any(|node| node.running) {
            match self.inbox.recv_deadline(deadline) {
                Ok(Event::Stop) | Err(_) => break,
                // A terminal that went away must not keep the nodes alive.
                Ok(event) => drop(self.on_event(event)),
            }
        }
        self.kill();
    }

    fn kill(&mut self) {
        for node in self.nodes.iter_mut().filter(|node| node.running) {
            node.running = false;
            let _ = node.child.kill();
            let _ = node.child.wait();
        }
    }

    fn write_addresses(&self) -> Result<(), Error> {
        let path = self.data.join(ADDRESSES);
        let mut text = String::new();
        for (node, Node { addresses, .. }) in self.nodes.iter().enumerate() {
            for (what, value) in addresses {
                let value = value.trim_start_matches("http://");
                text.push_str(&format!("{} {what} {value}\n", name(node)));
            }
        }
        let mut file = std::fs::File::create(&path).map_err(|error| at(&path, &error))?;
        file.write_all(text.as_bytes()).map_err(|error| at(&path, &error))
    }
}

/// No node outlives the demo, however it ends.
impl Drop for Demo {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Letters, so that nobody takes a name for a node's id.
fn name(node: usize) -> String {
    let letter = u8::try_from(node).ok().and_then(|node| b'a'.checked_add(node));
    char::from(letter.unwrap_or(b'z')).to_string()
}

fn is_empty(data: &Path) -> bool {
    std::fs::read_dir(data).map_or(true, |mut entries| entries.next().is_none())
}

/// `a http` and the like to addresses, as a demo before wrote them down; none if there was none.
fn read_addresses(data: &Path) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(data.join(ADDRESSES)).unwrap_or_default();
    let pair = |line: &str| {
        let (key, value) = line.rsplit_once(' ')?;
        Some((key.to_string(), value.to_string()))
    };
    text.lines().filter_map(pair).collect()
}

/// What a line of a node's start says about where it listens.
fn address(line: &str) -> Option<(&str, &str)> {
    let (what, value) = line.strip_prefix("bowline: ")?.split_once(' ')?;
    matches!(what, "http" | "peer").then_some((what, value.trim()))
}

/// Passes lines on until the stream ends. What is no text is made one, and lines are cut where they
/// would fill the memory.
fn pass_on(stream: impl Read, node: usize, events: &Sender<Event>) {
    const LINE_LEN_MAX: u64 = 64 * 1024;
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        match stream.by_ref().take(LINE_LEN_MAX).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line).trim_end().to_string();
        if events.send(Event::Line { node, text }).is_err() {
            return;
        }
    }
}

/// Asks every node until all are ready; gives up when one does not become so.
fn wait_until_ready(urls: &[String]) -> bool {
    let deadline = Instant::now() + START_TIMEOUT;
    urls.iter().all(|url| {
        let client = Client::new(std::slice::from_ref(url));
        loop {
            match is_ready(&client, urls.len()) {
                true => return true,
                false if Instant::now() >= deadline => return false,
                false => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    })
}

/// Whether a node serves and knows of as many voters as it can have: who kills one before that may
/// have killed the cluster.
fn is_ready(client: &Client, nodes: usize) -> bool {
    let ready = client.ask(&Method::GET, "/readyz", &[]);
    let voters = client.ask(&Method::GET, "/v1/operator/raft/configuration", &[]);
    let voting = |answer: Answer| answer.text().matches("\"Voter\":true").count();
    ready.is_ok_and(|answer| answer.status == 200)
        && voters.is_ok_and(|answer| voting(answer) >= nodes.min(ClusterConfig::DEFAULT.voters_max))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, Reply};
    use super::*;

    /// A stand-in for the program: notes its flags, says where it listens, and stays.
    fn fake_node(dir: &Path) -> OsString {
        let base = testing::serve(|_| Reply::new(200, &"\"Voter\":true".repeat(9)));
        let script = format!(
            "#!/bin/sh\n\
             mkdir -p \"$2\" && echo \"$*\" >> \"$2/flags\"\n\
             echo 'bowline: http {base}'\n\
             echo 'bowline: peer 127.0.0.1:9'\n\
             exec sleep 1000\n"
        );
        executable(dir, &script)
    }

    /// A file with this script. A shell writes it: were it open for writing in this process, a child
    /// started by another test at that moment would inherit it, and it could not be run.
    fn executable(dir: &Path, script: &str) -> OsString {
        let path = dir.join("fake-node");
        let mut shell = Command::new("/bin/sh")
            .args(["-c", "cat > \"$1\" && chmod 755 \"$1\"", "sh"])
            .arg(&path)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        shell.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        assert!(shell.wait().unwrap().success());
        path.into()
    }

    fn flags(dir: &Path, node: &str) -> String {
        let flags = std::fs::read_to_string(dir.join(node).join("flags")).unwrap();
        flags.lines().last().unwrap().to_string()
    }

    fn demo(dir: &Path, program: OsString) -> Demo {
        let (events, inbox) = bounded(EVENTS_MAX);
        Demo::new(program, dir.into(), 3, events, inbox)
    }

    #[test]
    fn the_first_node_starts_a_cluster_and_the_others_join_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut demo = demo(dir.path(), fake_node(dir.path()));
        assert_eq!(demo.start(), Ok(true));
        assert!(flags(dir.path(), "a").ends_with("--bootstrap"));
        assert!(flags(dir.path(), "a").contains("--http 127.0.0.1:0 --peer 127.0.0.1:0"));
        assert!(flags(dir.path(), "c").ends_with("--join 127.0.0.1:9"));
        loop {
            match demo.inbox.recv_timeout(START_TIMEOUT).unwrap() {
                Event::Ready => break,
                event => demo.on_event(event).unwrap(),
            }
        }
        demo.invite().unwrap();
        demo.events.send(Event::Stop).unwrap();
        assert_eq!(demo.watch(), Ok(()));
        demo.stop();
        for node in &mut demo.nodes {
            assert!(!node.running);
            let status = node.child.wait().unwrap();
            assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(SIGTERM));
        }
    }

    #[test]
    fn a_directory_is_gone_on_with_under_the_same_addresses() {
        let dir = tempfile::tempdir().unwrap();
        for round in 0..2 {
            let mut demo = demo(dir.path(), fake_node(dir.path()));
            let before = read_addresses(dir.path());
            assert_eq!(demo.start(), Ok(true));
            demo.stop();
            if round == 1 {
                let flags = flags(dir.path(), "a");
                assert!(!flags.contains("--bootstrap"), "{flags}");
                assert!(flags.contains(&format!("--http {} ", before["a http"])), "{flags}");
                assert!(flags.contains("--peer 127.0.0.1:9"), "{flags}");
            }
        }
    }

    #[test]
    fn a_node_that_does_not_come_up_ends_the_demo() {
        let dir = tempfile::tempdir().unwrap();
        let program = executable(dir.path(), "#!/bin/sh\nexit 3\n");
        let error = demo(dir.path(), program).run().unwrap_err();
        assert_eq!(error, Error::new("a did not come up; see above"));
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let error = demo(dir.path(), "/nonexistent/program".into()).run().unwrap_err();
        assert!(error.to_string().starts_with("cannot start /nonexistent/program"), "{error}");
    }

    #[test]
    fn only_the_lines_of_the_start_say_where_a_node_listens() {
        assert_eq!(address("bowline: http http://[::1]:70"), Some(("http", "http://[::1]:70")));
        assert_eq!(address("bowline: peer 127.0.0.1:71"), Some(("peer", "127.0.0.1:71")));
        for line in ["bowline: data ./x", "[INFO] http http://a", "bowline: http", ""] {
            assert_eq!(address(line), None);
        }
    }
}
