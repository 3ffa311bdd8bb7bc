//! The thread `snapshot`: does what the cores say, as far as it is quickly done. What it does for
//! backups on their way is in `staging`.

mod staging;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, after, never, select};
use parking_lot::Mutex;
use rustix::fs::statvfs;

use self::staging::Stagings;
use super::fetch::{self, Fetcher};
use super::message::{Answer, CHUNK_HEADER, FileId, Message, Request, seal_chunk};
use super::serve::{self, Server};
use super::work::{Done, Job, Made, incoming, outgoing};
use super::{Blobs, Event, Shared, Status};
use crate::metrics::Metrics;
use crate::raft::{Index, NodeId};
use crate::storage::{StateDir, Views};
use crate::transport::{self, Inbound, Lane, Service};

/// What is received is made durable in pieces of this many bytes. It need not be durable at all; but
/// what is left to the kernel comes as one large wave, and the log's writes would wait behind it.
const SYNC_BYTES: u64 = 8 << 20;

/// At most one line in this time is logged about messages that cannot be understood.
const QUIET: Duration = Duration::from_secs(10);

/// What the thread is made of.
pub struct Parts {
    /// Bytes per second that are sent.
    pub rate: u64,
    /// Where files are.
    pub folder: PathBuf,
    /// Whether this node's own state may be served.
    pub state_dir: Arc<Mutex<StateDir>>,
    /// Where the newest checkpoint is found.
    pub views: Views,
    /// Backups that are to be restored.
    pub blobs: Arc<Blobs>,
    /// The way to the others.
    pub transport: transport::Handle,
    /// Who is told.
    pub events: Box<dyn Fn(Event) + Send>,
    /// What the worker does next.
    pub jobs: Sender<Job>,
    /// What callers share with this thread.
    pub shared: Arc<Shared>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// The cores and their files.
pub struct Courier {
    parts: Parts,
    start: Instant,
    server: Server,
    fetcher: Fetcher,
    stagings: Stagings,
    /// The files that are served.
    files: BTreeMap<FileId, File>,
    /// The file that is being received.
    part: Option<Incoming>,
    /// Until then nothing is said about messages that are none.
    quiet_until: Duration,
}

struct Incoming {
    name: FileId,
    path: PathBuf,
    file: File,
    /// Bytes written since the last sync.
    unsynced: u64,
    /// Tells the worker that its building is in vain.
    abandoned: Arc<AtomicBool>,
}

impl Courier {
    /// One that serves and fetches nothing yet.
    pub fn new(parts: Parts) -> Self {
        Self {
            start: Instant::now(),
            server: Server::new(parts.rate),
            fetcher: Fetcher::new(),
            stagings: Stagings::new(parts.rate, &parts.blobs),
            files: BTreeMap::new(),
            part: None,
            quiet_until: Duration::ZERO,
            parts,
        }
    }

    /// Runs until it is told to stop, nobody could tell it any more, or the transport has ended.
    pub fn run(mut self, inbox: &Receiver<Inbound>, woken: &Receiver<()>, done: &Receiver<Done>) {
        loop {
            let deadlines =
                [self.server.deadline(), self.fetcher.deadline(), self.stagings.deadline()];
            let next = deadlines.into_iter().flatten().min();
            let timer = next.map_or_else(never, |then| after(then.saturating_sub(self.now())));
            select! {
                recv(inbox) -> message => match message {
                    Ok(Inbound::Message { from, body }) => self.on_message(from, &body),
                    Ok(_) => {}
                    Err(_) => break,
                },
                recv(woken) -> woken => if woken.is_err() || self.obey() { break },
                recv(done) -> outcome => self.on_done(outcome.expect("the worker outlives us")),
                recv(timer) -> _ => {}
            }
            let now = self.now();
            self.server.advance(now);
            self.fetcher.advance(now);
            self.advance_stagings(now);
            self.act();
            let status = Status {
                fetching: self.fetcher.progress(),
                serving: self.server.receivers().collect(),
                pinned: self.server.pinned(),
                announced: self.stagings.announced(),
                standings: self.stagings.standings(),
            };
            let before = std::mem::replace(&mut *self.parts.shared.status.lock(), status.clone());
            if (before.announced, before.standings) != (status.announced, status.standings) {
                self.stagings.tell();
            }
        }
        self.parts.shared.stop.store(true, Ordering::Relaxed);
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Does what callers wish; true when that is to stop.
    fn obey(&mut self) -> bool {
        let wishes = std::mem::take(&mut *self.parts.shared.wishes.lock());
        let now = self.now();
        if wishes.cancel {
            self.fetcher.cancel();
        }
        if let Some(fetch) = wishes.fetch {
            self.fetcher.want(now, fetch);
        }
        if wishes.adopted {
            self.fetcher.adopted(now);
        }
        wishes.staging.into_iter().for_each(|stage| self.stagings.obey(now, stage));
        wishes.stop
    }

    fn on_message(&mut self, from: NodeId, body: &Bytes) {
        let now = self.now();
        match Message::decode(body) {
            Ok(Message::Staging(staging)) => self.stagings.on_message(now, from, staging),
            Ok(Message::Request(Request::Read { file, offset }))
                if self.stagings.announced() == Some(file) =>
            {
                self.stagings.on_read(now, from, file, offset);
            }
            Ok(Message::Answer(Answer::Chunk { file, offset, bytes }))
                if self.stagings.receives(file) =>
            {
                self.stagings.on_chunk(now, from, file, offset, bytes);
            }
            Ok(Message::Answer(Answer::Gone { file })) if self.stagings.receives(file) => {
                self.stagings.on_gone(from, file);
            }
            Ok(Message::Request(request)) => {
                let checkpoint = self.servable(&request);
                self.server.on_request(now, from, request, checkpoint);
            }
            Ok(Message::Answer(answer)) => self.fetcher.on_answer(now, from, answer),
            Err(error) => {
                self.parts.metrics.inbox_dropped.inc();
                if now >= self.quiet_until {
                    self.quiet_until = now + QUIET;
                    log::warn!("n{from} sent {error}");
                }
            }
        }
    }

    /// The newest checkpoint that may be served, looked up if it matters. A state that is lost is no
    /// good to others either.
    fn servable(&mut self, request: &Request) -> Option<Index> {
        if self.parts.state_dir.lock().lost().is_some() {
            self.server.revoke();
            return None;
        }
        let Request::Open { .. } = request else { return None };
        self.parts.views.current().checkpoint().map(|view| view.checkpoint().applied)
    }

    fn on_done(&mut self, done: Done) {
        let now = self.now();
        match done {
            Done::Made(Ok(Made { file, applied, size, data })) => {
                log::info!("a snapshot as of {applied} is ready to be sent, {size} bytes");
                self.files.insert(file, data);
                self.server.on_made(now, file, applied, size);
            }
            Done::Made(Err(error)) => {
                self.server.on_unmade(now);
                if error.is_damage() {
                    let why = format!("the checkpoint does not hold what was written: {error}");
                    (self.parts.events)(Event::Damaged(why));
                } else {
                    log::warn!("no snapshot can be made: {error}");
                }
            }
            Done::Checked { file, abandoned, result } => {
                self.on_checked(now, file, &abandoned, result);
            }
            Done::Built { abandoned, .. } if abandoned.load(Ordering::Relaxed) => {}
            Done::Built { file, result: Ok(ready), .. } => {
                if self.fetcher.on_built(now, file) {
                    (self.parts.events)(Event::Ready(ready));
                }
            }
            Done::Built { file, result: Err(error), .. } => self.failed(file, &error.to_string()),
        }
    }

    fn failed(&mut self, file: FileId, why: &str) {
        let from = self.fetcher.progress().map_or(0, |progress| progress.from);
        if self.fetcher.on_failed(self.now(), file) {
            (self.parts.events)(Event::Failed(format!("cannot use the state of n{from}: {why}")));
        }
    }

    /// Does what the cores have ordered, and what they order because of what came of it.
    fn act(&mut self) {
        loop {
            let (serve, fetch) = (self.server.take_actions(), self.fetcher.take_actions());
            let stage = self.stagings.take_actions();
            if serve.is_empty() && fetch.is_empty() && stage.is_empty() {
                return;
            }
            stage.into_iter().for_each(|action| self.stage(action));
            serve.into_iter().for_each(|action| self.serve(action));
            fetch.into_iter().for_each(|action| self.fetch(action));
        }
    }

    fn serve(&mut self, action: serve::Action) {
        match action {
            serve::Action::Send(to, answer) => self.send(to, Lane::Control, answer.encode()),
            serve::Action::Make => {
                if self.parts.jobs.try_send(Job::Make).is_err() {
                    self.server.on_unmade(self.now());
                }
            }
            serve::Action::Read { to, file, offset, length } => {
                match self.read(file, offset, length) {
                    Ok(message) => {
                        self.parts.metrics.snapshot_bytes_sent.add(length as u64);
                        self.send(to, Lane::Bulk, message);
                    }
                    Err(error) => {
                        log::warn!("a snapshot cannot be read any more: {error}");
                        self.server.on_unreadable(file);
                    }
                }
            }
            serve::Action::Delete(file) => {
                self.files.remove(&file);
                remove(&outgoing(&self.parts.folder, file));
            }
        }
    }

    fn read(&self, file: FileId, offset: u64, length: usize) -> io::Result<Bytes> {
        let data = self.files.get(&file).ok_or(io::ErrorKind::NotFound)?;
        chunk(data, file, offset, length)
    }

    /// What cannot be sent is asked for again.
    fn send(&self, to: NodeId, lane: Lane, message: Bytes) {
        self.parts.transport.send(to, lane, Service::State, message);
    }

    fn fetch(&mut self, action: fetch::Action) {
        match action {
            fetch::Action::Send(to, request) => self.send(to, Lane::Control, request.encode()),
            fetch::Action::Create { file, size } => {
                // The old one goes before the new one needs its room.
                self.discard_part();
                match Incoming::create(incoming(&self.parts.folder, file), file, size) {
                    Ok(part) => self.part = Some(part),
                    Err(error) => self.failed(file, &error.to_string()),
                }
            }
            fetch::Action::Write { offset, bytes } => {
                let Some(part) = &mut self.part else { return };
                self.parts.metrics.snapshot_bytes_received.add(bytes.len() as u64);
                if let Err(error) = part.write(offset, &bytes) {
                    let (name, path) = (part.name, part.path.display());
                    let why = format!("cannot write {path}: {error}");
                    self.failed(name, &why);
                }
            }
            fetch::Action::Build { file, applied } => {
                let Some(part) = &self.part else { return };
                let from = self.fetcher.progress().map_or(0, |progress| progress.from);
                let abandoned = Arc::clone(&part.abandoned);
                let job = Job::Build { from, file, applied, abandoned };
                if self.parts.jobs.try_send(job).is_err() {
                    self.failed(file, "too many others were given up and have not ended yet");
                }
            }
            fetch::Action::Discard => self.discard_part(),
        }
    }

    fn discard_part(&mut self) {
        if let Some(part) = self.part.take() {
            remove(&part.path);
        }
    }
}

impl Incoming {
    fn create(path: PathBuf, name: FileId, size: u64) -> io::Result<Self> {
        let folder = path.parent().expect("a file is in a folder");
        let free = statvfs(folder)?;
        let free = free.f_bavail.saturating_mul(free.f_frsize);
        // The file, and what is built of it.
        let needed = size.saturating_mul(2);
        if free < needed {
            let folder = folder.display();
            return Err(io::Error::new(
                io::ErrorKind::StorageFull,
                format!(
                    "it needs {needed} bytes in {folder}, and {free} are free: make room there"
                ),
            ));
        }
        let file = File::create(&path)?;
        log::info!("receiving {} of {size} bytes", path.display());
        Ok(Self { name, path, file, unsynced: 0, abandoned: Arc::default() })
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)?;
        self.unsynced += bytes.len() as u64;
        if self.unsynced >= SYNC_BYTES {
            self.file.sync_data()?;
            self.unsynced = 0;
        }
        Ok(())
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.abandoned.store(true, Ordering::Relaxed);
    }
}

/// A piece of a file as a message.
fn chunk(data: &File, file: FileId, offset: u64, length: usize) -> io::Result<Bytes> {
    let mut message = vec![0; CHUNK_HEADER + length];
    data.read_exact_at(&mut message[CHUNK_HEADER..], offset)?;
    Ok(seal_chunk(file, offset, message))
}

/// Removes a file of ours; what remains goes at the next start.
fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        log::warn!("cannot remove {}: {error}", path.display());
    }
}
