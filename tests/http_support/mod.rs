//! A node's stand-in behind the real HTTP surface, and a client that says exactly what it is told.
#![allow(
    dead_code,
    unused_macros,
    clippy::unwrap_used,
    reason = "each test file uses its part of it"
)]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bowline::error::{Failure, Reason};
use bowline::http::front::{FrontHandle, Patience, mio, tiny};
use bowline::http::{Options, Route, Service};
use bowline::ids::{ClusterId, Id128, WriteId};
use bowline::membership::{Roster, RosterEntry, RosterStatus};
use bowline::metrics::Metrics;
use bowline::node::{
    Ask, Client, Completion, Completions, MemberStatus, Outcome, Phase, Request, Status,
};
use bowline::state::{At, Command, Meta, Restore, Standing, State, VERSION};
use bowline::storage::Store;
use bowline::watch::Watches;
use bytes::Bytes;
use crossbeam_channel::Receiver;
use parking_lot::{Mutex, RwLock};

/// Each function is a test of both fronts.
macro_rules! both_fronts {
    ($($name:ident),* $(,)?) => {
        mod mio {
            $(#[test] fn $name() { super::$name(super::Front::Mio); })*
        }
        mod tiny_http {
            $(#[test] fn $name() { super::$name(super::Front::Tiny); })*
        }
    };
}

/// The wall clock when the cluster began, in ms since 1970.
const FIRST_WALL_MS: u64 = 1_767_225_600_000;

/// How the node behaves.
#[derive(Clone, Debug, Default)]
pub enum Mood {
    /// Does what it is asked.
    #[default]
    Fine,
    /// Fails everything like this.
    Fails(Failure),
    /// Keeps requests to itself until its mood changes.
    Silent,
}

/// A node without a cluster: one thread that answers requests in order.
pub struct Node {
    pub service: Service,
    pub metrics: Arc<Metrics>,
    pub roster: Roster,
    status: Arc<RwLock<Arc<Status>>>,
    mind: Arc<Mutex<Mind>>,
    completions: Completions,
}

struct Mind {
    mood: Mood,
    deaf: bool,
    state: State<Store>,
    watches: Watches,
    /// Commands done elsewhere, which arrive here with the next read index.
    elsewhere: Vec<Bytes>,
    /// What was asked and not answered yet.
    kept: Vec<Request>,
    /// What was asked for besides writes and reads.
    pub log: Vec<String>,
    seq: u64,
    /// Time that has passed without anything being written.
    passed_ms: u64,
    /// The wall clock when the cluster began, in ms since 1970.
    first_wall_ms: u64,
}

impl Node {
    pub fn start(options: Options) -> Self {
        Self::start_with_watches(options, 10_000)
    }

    /// A node on which only so many clients may wait for changes.
    pub fn start_with_watches(options: Options, watches_max: usize) -> Self {
        Self::unborn(options, watches_max).born(VERSION)
    }

    /// A node of a cluster in which a member still runs an older program.
    pub fn start_with_rules(version: u32) -> Self {
        Self::unborn(Options::default(), 10_000).born(version)
    }

    fn born(self, version: u32) -> Self {
        let node = self;
        let mut mind = node.mind.lock();
        mind.raise_version(version);
        mind.open_session();
        drop(mind);
        node
    }

    /// A node that answers on other paths than the real one.
    pub fn start_with_table(options: Options, table: &'static [Route]) -> Self {
        let mut node = Self::start(options.clone());
        node.service = Service::with_table(node.service.client().clone(), options, table);
        node
    }

    /// A node that has applied nothing yet.
    pub fn start_unborn(options: Options) -> Self {
        Self::unborn(options, 10_000)
    }

    fn unborn(options: Options, watches_max: usize) -> Self {
        let (sender, requests) = crossbeam_channel::bounded(1024);
        let (store, views) = Store::in_memory();
        let status = Arc::new(RwLock::new(Arc::new(status_of_three())));
        let roster = Roster::default();
        roster.publish(roster_of_three(), Bytes::new());
        let completions = Completions::default();
        let metrics = Arc::new(Metrics::default());
        let watches = Watches::new(completions.clone(), watches_max, Arc::clone(&metrics));
        let client = Client::new(
            sender,
            views,
            Arc::clone(&status),
            roster.clone(),
            completions.clone(),
            Arc::clone(&metrics),
            watches.clone(),
        );
        // They end when the last handle on the node is gone.
        drop(client.start_passwords(1).unwrap());
        let mind = Mind {
            mood: Mood::Fine,
            deaf: false,
            state: State::new(store, ClusterId::default()),
            watches,
            elsewhere: Vec::new(),
            kept: Vec::new(),
            log: Vec::new(),
            seq: 0,
            passed_ms: 0,
            first_wall_ms: FIRST_WALL_MS,
        };
        let mind = Arc::new(Mutex::new(mind));
        let service = Service::new(client, options);
        let thread = (Arc::clone(&mind), completions.clone());
        std::thread::spawn(move || {
            // Owned here, so that hanging up closes the channel.
            let requests = requests;
            answer_all(&requests, &thread.0, &thread.1);
        });
        Self { service, metrics, roster, status, mind, completions }
    }

    /// Changes what the node says about itself.
    pub fn set_status(&self, change: impl FnOnce(&mut Status)) {
        let mut status = (**self.status.read()).clone();
        change(&mut status);
        *self.status.write() = Arc::new(status);
    }

    /// Changes the mood; what was kept is answered in the new one.
    pub fn set_mood(&self, mood: Mood) {
        let mut mind = self.mind.lock();
        mind.mood = mood;
        let kept = std::mem::take(&mut mind.kept);
        let batch: Vec<_> = kept.into_iter().filter_map(|request| mind.answer(request)).collect();
        drop(mind);
        self.completions.deliver(batch);
    }

    /// Answers what was kept as if nothing were wrong, and keeps what comes next.
    pub fn release(&self) {
        let mut mind = self.mind.lock();
        let kept = std::mem::take(&mut mind.kept);
        let mood = std::mem::replace(&mut mind.mood, Mood::Fine);
        let batch: Vec<_> = kept.into_iter().filter_map(|request| mind.answer(request)).collect();
        mind.mood = mood;
        drop(mind);
        self.completions.deliver(batch);
    }

    /// Takes no more requests: to a client the same as a queue that stays full.
    pub fn hang_up(&self) {
        self.mind.lock().deaf = true;
        let ticket = self.service.client().ticket(u16::MAX);
        let request = Request { ticket, deadline: Instant::now(), ask: Ask::ReadIndex };
        while self.service.client().submit(request.clone()).is_ok() {
            std::thread::yield_now();
        }
    }

    /// Makes a link on this node, behind the back of HTTP. Returns its key.
    pub fn make_link(&self, url: &str) -> String {
        self.mind.lock().create(Bytes::copy_from_slice(url.as_bytes())).0
    }

    /// Makes a link on another node: it comes with the next read index.
    pub fn make_link_elsewhere(&self, url: &str) {
        self.do_elsewhere(&Command::CreateLink { url: Bytes::copy_from_slice(url.as_bytes()) });
    }

    /// Does a command on another node: it comes with the next read index.
    pub fn do_elsewhere(&self, command: &Command) {
        self.mind.lock().elsewhere.push(command.encode());
    }

    /// What was asked for besides writes and reads.
    pub fn log(&self) -> Vec<String> {
        self.mind.lock().log.clone()
    }

    /// Does a command on this node, behind the back of HTTP.
    pub fn command(&self, command: &Command) -> bowline::state::Reply {
        self.mind.lock().apply(&command.encode())
    }

    /// Lets so much time pass, and what is due end.
    pub fn pass(&self, ms: u64) {
        self.mind.lock().pass(ms);
    }

    /// Has the entries from now on be of now by the wall clock, and not of some years ago.
    pub fn begin_now(&self) {
        let now = std::time::UNIX_EPOCH.elapsed().expect("it is later than 1970");
        let now_ms = u64::try_from(now.as_millis()).expect("the year is sensible");
        // An hour ahead, so that this machine's own clock says nothing more.
        self.mind.lock().first_wall_ms = now_ms + 3_600_000;
    }

    /// Restores a backup of all that is there, as if its cluster's clock had been so far ahead.
    pub fn restore_from_the_future(&self, ahead_ms: u64) {
        self.mind.lock().restore_from_the_future(ahead_ms);
    }

    /// The state's standing.
    pub fn standing(&self) -> Standing {
        Standing::of(self.mind.lock().state.meta())
    }

    /// Waits until so many clients wait for changes.
    pub fn wait_until_watched(&self, count: usize) {
        while self.service.client().watches.len() != count {
            std::thread::yield_now();
        }
    }

    pub fn applied(&self) -> u64 {
        self.mind.lock().state.summary().applied
    }

    /// Waits until so many requests are kept unanswered.
    pub fn wait_until_kept(&self, count: usize) {
        until("as much is kept", || self.mind.lock().kept.len() >= count);
    }
}

fn answer_all(requests: &Receiver<Request>, mind: &Mutex<Mind>, completions: &Completions) {
    while let Ok(first) = requests.recv() {
        let mut mind = mind.lock();
        if mind.deaf {
            return;
        }
        let waiting: Vec<_> = std::iter::once(first).chain(requests.try_iter()).collect();
        let batch = waiting.into_iter().filter_map(|request| mind.answer(request)).collect();
        drop(mind);
        completions.deliver(batch);
    }
}

impl Mind {
    fn answer(&mut self, request: Request) -> Option<Completion> {
        let outcome = match &self.mood {
            Mood::Silent => {
                self.kept.push(request);
                return None;
            }
            Mood::Fails(failure) => Outcome::Failed(failure.clone()),
            Mood::Fine => self.act(&request.ask),
        };
        let index = self.state.summary().applied;
        Some(Completion { ticket: request.ticket, index, outcome })
    }

    fn act(&mut self, ask: &Ask) -> Outcome {
        match ask {
            Ask::Write(command) => Outcome::Written(self.apply(command)),
            Ask::ReadIndex => {
                self.arrive();
                Outcome::Readable
            }
            Ask::Applied(index) => {
                self.arrive();
                if self.state.summary().applied >= *index {
                    Outcome::Readable
                } else {
                    Outcome::Failed(Failure::not_applied(Reason::Deadline))
                }
            }
            Ask::Transfer(Some(9)) => {
                Outcome::Failed(Failure::not_applied(Reason::Refused("9 cannot lead".to_owned())))
            }
            Ask::Transfer(target) => {
                self.log.push(format!("transfer {target:?}"));
                Outcome::Done
            }
            Ask::Remove(id) => {
                self.log.push(format!("remove {id}"));
                Outcome::Done
            }
            Ask::Restore(_) | Ask::Password(_) => panic!("that goes to other threads"),
        }
    }

    /// What was done elsewhere comes here.
    fn arrive(&mut self) {
        for command in std::mem::take(&mut self.elsewhere) {
            self.apply(&command);
        }
    }

    fn create(&mut self, url: Bytes) -> (String, bool) {
        match self.apply(&Command::CreateLink { url }.encode()) {
            bowline::state::Reply::Link { key, created } => (key, created),
            reply => panic!("a link was wanted: {reply:?}"),
        }
    }

    fn raise_version(&mut self, version: u32) {
        let command = Command::RaiseVersion { version }.encode();
        self.step(WriteId { session: 0, seq: 0, floor: 0 }, &command);
    }

    fn pass(&mut self, ms: u64) {
        self.passed_ms += ms;
        while self.state.next_expiry().is_some_and(|at| at <= self.next_clock_ms()) {
            self.step(WriteId { session: 0, seq: 0, floor: 0 }, &Command::Expire.encode());
        }
    }

    fn restore_from_the_future(&mut self, ahead_ms: u64) {
        let mut standing = Standing::of(self.state.meta());
        standing.summary.clock_ms += ahead_ms;
        let backup = Meta::of_backup(standing);
        let restore = Restore {
            file: Id128([1; 16]),
            sha256: [1; 32],
            not_after_ms: u64::MAX,
            revision: backup.summary.revision,
            clock_ms: backup.state_clock_ms(),
        };
        self.apply(&Command::Restore(restore).encode());
        self.state.take_restore().expect("one was just applied");
        let rows = self.state.replace_rows(Store::in_memory().0, &backup);
        *self.state.table_mut() = rows;
        // Whatever comes next is published with what the restore made of all numbers.
        self.pass(0);
        self.raise_version(VERSION);
    }

    fn next_clock_ms(&self) -> u64 {
        (self.state.summary().applied + 1) * 10 + self.passed_ms
    }

    fn open_session(&mut self) {
        let command = Command::RegisterSession { node: 1, nonce: 7 }.encode();
        self.step(WriteId { session: 0, seq: 7, floor: 0 }, &command);
    }

    fn apply(&mut self, command: &[u8]) -> bowline::state::Reply {
        self.seq += 1;
        self.step(WriteId { session: 2, seq: self.seq, floor: self.seq }, command)
    }

    fn step(&mut self, write: WriteId, command: &[u8]) -> bowline::state::Reply {
        let index = self.state.summary().applied + 1;
        let clock_ms = self.next_clock_ms();
        let at = At { index, term: 3, clock_ms, wall_ms: self.first_wall_ms + clock_ms };
        let reply = self.state.apply_command(at, write, command).unwrap();
        let meta = self.state.standing_bytes();
        self.state.table_mut().publish(index, meta);
        self.watches.changed(&self.state.take_changes());
        reply
    }
}

/// Member 1 speaks; member 2 leads; member 3 learns.
fn status_of_three() -> Status {
    let member = |id: u64| MemberStatus {
        id,
        name: format!("n{id}"),
        peer: format!("10.0.0.{id}:7071"),
        http: format!("http://10.0.0.{id}:7070"),
        voter: id < 3,
        match_index: (id == 1).then_some(5),
        active: None,
    };
    Status {
        id: 1,
        cluster: "00ff".into(),
        name: "n1".into(),
        phase: Phase::Follower,
        term: 3,
        leader: Some(2),
        last_index: 5,
        durable_index: 5,
        commit_index: 5,
        configuration_index: 4,
        members: vec![member(1), member(2), member(3)],
        caught_up: true,
        serving_stale: false,
        pending_writes: 0,
        ..Status::default()
    }
}

fn roster_of_three() -> Vec<RosterEntry> {
    let entry = |id: u64, status| RosterEntry {
        id,
        name: format!("n{id}"),
        peer: format!("10.0.0.{id}:7071"),
        http: format!("http://10.0.0.{id}:7070"),
        version: "0.1.0".into(),
        status,
    };
    vec![
        entry(1, RosterStatus::Alive),
        entry(2, RosterStatus::Suspect),
        RosterEntry { peer: "[fe80::3]:7071".into(), ..entry(3, RosterStatus::Down) },
    ]
}

/// Which front is tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Front {
    Mio,
    Tiny,
}

/// A node and a front on a port of its own.
pub struct Api {
    pub node: Node,
    pub front: FrontHandle,
}

impl Api {
    pub fn start(front: Front) -> Self {
        Self::start_with(front, Options::default(), Patience::default())
    }

    pub fn start_unborn(front: Front) -> Self {
        Self::over(Node::start_unborn(Options::default()), front, Patience::default())
    }

    pub fn start_with(front: Front, options: Options, patience: Patience) -> Self {
        Self::over(Node::start(options), front, patience)
    }

    pub fn over(node: Node, front: Front, patience: Patience) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let service = node.service.clone();
        let front = match front {
            Front::Mio => mio::start_with(listener, service, 2, patience).unwrap(),
            Front::Tiny => tiny::start_with(listener, service, 4, patience.stop).unwrap(),
        };
        Self { node, front }
    }

    pub fn connect(&self) -> Wire {
        Wire::connect(self.front.addr())
    }

    /// One request on a connection of its own.
    pub fn ask(&self, method: &str, target: &str, body: &str) -> Answer {
        self.connect().ask(method, target, body)
    }

    pub fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, "")
    }

    pub fn put(&self, url: &str) -> Answer {
        self.ask("PUT", "/", url)
    }

    /// Shortens a URL under an idempotency key.
    pub fn put_under(&self, key: &str, url: &str) -> Answer {
        self.ask_with("PUT", "/", &format!("Idempotency-Key: {key}\r\n"), url)
    }

    /// One request with more header lines, each ended, on a connection of its own.
    pub fn ask_with(&self, method: &str, target: &str, headers: &str, body: &str) -> Answer {
        self.connect().ask_with(method, target, headers, body)
    }
}

/// A connection that sends what it is told, byte for byte.
pub struct Wire {
    pub stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer as received.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    /// The body as text, with replacements where it is none.
    pub body: String,
    /// The body as it came.
    pub bytes: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(it, _)| it.eq_ignore_ascii_case(name));
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} occurs twice: {self:?}");
        value
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Wire {
    pub fn connect(addr: SocketAddr) -> Self {
        Self::over(TcpStream::connect(addr).unwrap())
    }

    pub fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
        Self { stream, buffer: Vec::new() }
    }

    pub fn ask(&mut self, method: &str, target: &str, body: &str) -> Answer {
        self.ask_with(method, target, "", body)
    }

    pub fn ask_with(&mut self, method: &str, target: &str, headers: &str, body: &str) -> Answer {
        self.ask_bytes(method, target, headers, body.as_bytes())
    }

    pub fn ask_bytes(&mut self, method: &str, target: &str, headers: &str, body: &[u8]) -> Answer {
        self.start(method, target, headers, body);
        self.answer_to(method)
    }

    /// Sends a request whose answer will be asked for later.
    pub fn start(&mut self, method: &str, target: &str, headers: &str, body: &[u8]) {
        let length = match body.len() {
            0 => String::new(),
            length => format!("Content-Length: {length}\r\n"),
        };
        let lines = format!("{method} {target} HTTP/1.1\r\nHost: test\r\n{headers}{length}");
        self.send([format!("{lines}\r\n").as_bytes(), body].concat());
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    pub fn end(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// The next answer, which has a body.
    pub fn answer(&mut self) -> Answer {
        self.answer_to("GET")
    }

    /// The next answer, to this method.
    pub fn answer_to(&mut self, method: &str) -> Answer {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|it| it == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(self.fill(), "no answer, but {:?}", String::from_utf8_lossy(&self.buffer));
        };
        let head = String::from_utf8(self.buffer.drain(..end).collect()).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap().strip_prefix("HTTP/1.1 ").unwrap();
        let status = status[..3].parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(": ").unwrap_or_else(|| panic!("{line}")))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let mut answer = Answer { status, headers, body: String::new(), bytes: Vec::new() };
        if method == "HEAD" || matches!(status, 100 | 204 | 304) {
            return answer;
        }
        if answer.header("Transfer-Encoding") == Some("chunked") {
            while let Some(chunk) = self.chunk() {
                answer.bytes.extend(chunk);
            }
        } else {
            answer.bytes = self.take(answer.header("Content-Length").unwrap().parse().unwrap());
        }
        answer.body = String::from_utf8_lossy(&answer.bytes).into_owned();
        answer
    }

    /// The head of the next answer; the body is left for [`chunk`](Self::chunk) or [`rest`](Self::rest).
    pub fn head(&mut self) -> Answer {
        self.answer_to("HEAD")
    }

    /// The next chunk of an answer that is sent in chunks; `None` at its end.
    pub fn chunk(&mut self) -> Option<Vec<u8>> {
        let end = loop {
            if let Some(at) = self.buffer.windows(2).position(|it| it == b"\r\n") {
                break at;
            }
            assert!(self.fill(), "the answer broke off");
        };
        let size = self.take(end + 2);
        let size = usize::from_str_radix(str::from_utf8(&size[..end]).unwrap(), 16).unwrap();
        let mut chunk = self.take(size + 2);
        assert_eq!(chunk.split_off(size), b"\r\n");
        (size > 0).then_some(chunk)
    }

    /// All that comes until the connection ends, and whether it ended well.
    pub fn rest(&mut self) -> (Vec<u8>, bool) {
        let mut rest = std::mem::take(&mut self.buffer);
        let ended = self.stream.read_to_end(&mut rest).is_ok();
        (rest, ended)
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        while self.buffer.len() < length {
            assert!(self.fill(), "the body broke off");
        }
        self.buffer.drain(..length).collect()
    }

    /// Waits for the server's end of the stream, and for nothing before it.
    pub fn expect_end(&mut self) {
        assert!(
            !self.fill() && self.buffer.is_empty(),
            "{:?}",
            String::from_utf8_lossy(&self.buffer)
        );
    }

    /// Reads once; false at the end of the stream.
    fn fill(&mut self) -> bool {
        let mut bytes = [0; 16 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(count) => {
                self.buffer.extend_from_slice(&bytes[..count]);
                count > 0
            }
            Err(error) => panic!("the server does not answer: {error}"),
        }
    }
}

/// Waits until something is so, which nothing but time keeps from being so.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "still not so: {what}");
        std::thread::yield_now();
    }
}

/// Checks that an answer is a well-formed problem document with this status.
pub fn problem(answer: &Answer, status: u16) -> serde_json::Value {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("Content-Type"), Some("application/problem+json"));
    assert!(answer.body.ends_with("}\n"));
    let json = answer.json();
    assert_eq!(json["status"], status);
    assert!(json["title"].is_string() && json["detail"].is_string());
    let retry_after = match status {
        429 | 503 => Some("1"),
        507 => Some("10"),
        _ => None,
    };
    assert_eq!(answer.header("Retry-After"), retry_after);
    json
}

/// The index that an answer was made from.
pub fn index(answer: &Answer) -> u64 {
    answer.header("X-Bowline-Index").unwrap().parse().unwrap()
}
