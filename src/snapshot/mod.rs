//! Moving whole states from node to node: for a node whose log ends before the leader's begins, for one
//! that has lost its state, and for one that is new.
//!
//! # How
//!
//! The *receiver* pulls. It opens at a source and is offered a file (a name, an index, a size); then it
//! asks for the file's chunks, two at a time, so that each question acknowledges what came before;
//! then it checks the file, builds a state of it beside its own, and hands that over. The *source* makes
//! the file from its newest checkpoint when first asked, sends at a limited rate, and forgets whoever
//! is silent. Since nothing is sent unasked, a broken connection, a lost message, a busy or a dead
//! source are all the same to the receiver: it asks again, there or elsewhere, and goes on where it
//! was if the file is the same.
//!
//! A node is both. The two sides are pure cores, [`serve`] and [`fetch`]; what they say to each other is
//! in [`message`]. The thread `snapshot` owns both, and does what is short: chunks in and out. The
//! thread `snapshot-work` does what takes long, one thing at a time: writing out a checkpoint, and
//! checking and building what was received.
//!
//! # Why nothing else notices
//!
//! Chunks have an inbox of their own and the bulk connection, so no heartbeat waits behind them and
//! the raft thread never sees them. A checkpoint is read, not the live rows, so applying goes on. No
//! more than a few chunks are ever in memory. What is on the way is in `snapshots` in the data directory
//! and is worth nothing to the next process, which begins by emptying it.
//!
//! # Backups
//!
//! A backup that is to be restored goes to all members before the one entry that restores it: the node
//! that was given it announces it ([`Handle::stage`]), the others pull it in the same pieces, build a
//! state of it beside their own and promise to keep it ([`stage`], [`blob`]).
//!
//! # What is believed
//!
//! A received state counts only when the chain of its chunks, its hash, the cluster in it and the digest
//! of its rows are right; and the source checks the digest too, while it writes the file, so that a
//! node whose disk has rotted finds out instead of passing it on.

pub mod blob;
mod bucket;
mod courier;
pub mod fetch;
pub mod message;
pub mod serve;
pub mod stage;
#[cfg(test)]
mod tests;
mod work;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;

pub use self::blob::{Blobs, Checked, Taken};
use self::courier::Courier;
pub use self::fetch::Progress;
pub use self::message::{Blob, FileId, Why};
pub use self::stage::Standing;
pub use self::work::WorkError;
use self::work::Worker;
use crate::ids::ClusterId;
use crate::metrics::Metrics;
use crate::raft::{Fetch, Index, NodeId, Term};
use crate::storage::{StateDir, StoreOptions, Views};
use crate::threads;
use crate::transport::{self, Inbound};

/// Messages that may wait for the thread `snapshot`. Few, since each may be a chunk; what finds no
/// room is dropped by the transport and asked for again.
pub const INBOX_MAX: usize = 32;

/// The folder in the data directory for what is on its way.
const FOLDER: &str = "snapshots";

/// What is needed to move states.
pub struct Config {
    /// The data directory; `snapshots` in it is emptied.
    pub data_dir: PathBuf,
    /// Whose states are made and believed.
    pub cluster: ClusterId,
    /// The cluster's recovery epoch, likewise.
    pub epoch: u32,
    /// Bytes per second that are sent, to all receivers together.
    pub rate: u64,
    /// How the new state is built.
    pub store: StoreOptions,
    /// Where the new state is built, and whether this node's own may be served.
    pub state_dir: Arc<Mutex<StateDir>>,
    /// Where the newest checkpoint is found.
    pub views: Views,
    /// Backups that are to be restored.
    pub blobs: Arc<Blobs>,
}

/// What the owner is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A state was received, checked and built in a staged directory: it is to be adopted there, and
    /// [`Handle::adopted`] to be called then. Nothing touches it until that, or until
    /// [`Handle::cancel`].
    Ready(Ready),
    /// A fetch failed, in one line; it is tried again after a while.
    Failed(String),
    /// This node's own checkpoint is not what was written, in one line: its state is lost.
    Damaged(String),
}

/// A state that can take the place of this node's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The source.
    pub from: NodeId,
    /// Where it was built: what [`StateDir::stage`] gave.
    pub dir: PathBuf,
    /// The encoded [`crate::state::Meta`].
    pub meta: Bytes,
    /// Index of the last entry in it.
    pub applied: Index,
    /// The term of that entry.
    pub term: Term,
    /// The clock stamp of that entry, in ms of cluster time.
    pub clock_ms: u64,
}

/// Where things stand, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The state that is being fetched.
    pub fetching: Option<Progress>,
    /// Nodes that are being served.
    pub serving: Vec<NodeId>,
    /// The log behind this index is needed by one of them, if not now then soon.
    pub pinned: Option<Index>,
    /// The backup that this node announces.
    pub announced: Option<FileId>,
    /// How the other members stand to it.
    pub standings: BTreeMap<NodeId, Standing>,
}

/// What callers and the thread share.
#[derive(Debug, Default)]
struct Shared {
    wishes: Mutex<Wishes>,
    status: Mutex<Status>,
    /// Ends what the worker is at.
    stop: AtomicBool,
}

/// What the thread shall do next: the latest of each kind, in this order.
#[derive(Debug, Default)]
struct Wishes {
    cancel: bool,
    fetch: Option<Fetch>,
    adopted: bool,
    staging: Vec<Stage>,
    stop: bool,
}

/// What to do about the backup that is announced.
#[derive(Debug)]
enum Stage {
    /// Announce this one to these.
    Begin(Blob, Vec<NodeId>, Sender<()>),
    /// Ask for a promise.
    Keep(u64),
    /// Announce nothing.
    End,
}

/// The owner's side. Clones are the same.
#[derive(Clone, Debug)]
pub struct Handle {
    shared: Arc<Shared>,
    /// Has room for one: more than woken nobody can be.
    wake: Sender<()>,
}

impl Handle {
    /// Fetches a state. The latest wish counts; to repeat it changes nothing, except that a wish after
    /// [`Event::Ready`] is looked at when that state is adopted, and is met by it if it is as of
    /// [`Fetch::at_least`]. Never blocks.
    pub fn fetch(&self, fetch: Fetch) {
        self.wish(|wishes| wishes.fetch = Some(fetch));
    }

    /// Fetches nothing any more, and forgets a state that was handed over. Never blocks.
    pub fn cancel(&self) {
        self.wish(|wishes| {
            (wishes.cancel, wishes.fetch, wishes.adopted) = (true, None, false);
        });
    }

    /// The state that was handed over is this node's own now: its manifest says so, and best also its
    /// log, since the source keeps what follows for this node only until now. Never blocks.
    pub fn adopted(&self) {
        self.wish(|wishes| wishes.adopted = true);
    }

    /// The log behind this index is needed by a receiver: it should not be purged further.
    #[must_use]
    pub fn pinned(&self) -> Option<Index> {
        self.shared.status.lock().pinned
    }

    /// Where things stand.
    #[must_use]
    pub fn status(&self) -> Status {
        self.shared.status.lock().clone()
    }

    /// Announces a backup, which this node holds checked, to these members, and to nobody what was
    /// announced before. How they stand to it is in [`Status::standings`]; `news` is told when that
    /// changes. Never blocks.
    pub fn stage(&self, blob: Blob, members: Vec<NodeId>, news: Sender<()>) {
        self.wish(|wishes| wishes.staging.push(Stage::Begin(blob, members, news)));
    }

    /// Asks the members to promise to keep it until the clock of their state is past this, in ms.
    /// Never blocks.
    pub fn keep(&self, not_after_ms: u64) {
        self.wish(|wishes| wishes.staging.push(Stage::Keep(not_after_ms)));
    }

    /// Announces it no more; members that have promised nothing forget it. Never blocks.
    pub fn unstage(&self) {
        self.wish(|wishes| wishes.staging.push(Stage::End));
    }

    /// Ends both threads, soon. Never blocks.
    pub fn stop(&self) {
        self.shared.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        self.wish(|wishes| wishes.stop = true);
    }

    fn wish(&self, change: impl FnOnce(&mut Wishes)) {
        change(&mut self.shared.wishes.lock());
        // Full means that it is woken already; gone, that it has stopped.
        self.wake.try_send(()).ok();
    }
}

/// Starts to serve this node's state, and to fetch others' when told. `inbox` is the transport's for
/// [`transport::Service::State`]; `events` is called on the thread `snapshot` and must not block.
///
/// # Errors
/// When `snapshots` cannot be made and emptied, or the system gives no thread.
pub fn start(
    config: Config,
    inbox: Receiver<Inbound>,
    transport: transport::Handle,
    events: impl Fn(Event) + Send + 'static,
    metrics: Arc<Metrics>,
) -> io::Result<(Handle, JoinHandle<()>)> {
    let folder = config.data_dir.join(FOLDER);
    std::fs::create_dir_all(&folder)?;
    empty(&folder)?;
    let shared = Arc::new(Shared::default());
    let (wake, woken) = bounded(1);
    let handle = Handle { shared: Arc::clone(&shared), wake };
    // The cores order one thing of each kind at a time; a build that was given up may still run.
    let (jobs_in, jobs) = bounded(8);
    let (done_in, done) = bounded(8);
    let rate = config.rate;
    let (state_dir, views) = (Arc::clone(&config.state_dir), config.views.clone());
    let blobs = Arc::clone(&config.blobs);
    let worker = Worker::new(config, folder.clone(), Arc::clone(&shared), Arc::clone(&metrics));
    let worker = threads::spawn("snapshot-work", move || worker.run(&jobs, &done_in))?;
    let courier = Courier::new(courier::Parts {
        rate,
        folder: folder.clone(),
        state_dir,
        views,
        blobs,
        transport,
        events: Box::new(events),
        jobs: jobs_in,
        shared,
        metrics,
    });
    let thread = threads::spawn("snapshot", move || {
        courier.run(&inbox, &woken, &done);
        worker.join().expect("a panic there has ended the process");
        if let Err(error) = empty(&folder) {
            log::warn!("cannot empty {}: {error}", folder.display());
        }
    })?;
    Ok((handle, thread))
}

/// Removes every file in a folder.
fn empty(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        std::fs::remove_file(entry?.path())?;
    }
    Ok(())
}
