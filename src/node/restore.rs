//! Restoring a backup: the whole state is replaced by one entry.
//!
//! The node that is given a backup does this, on the thread `restore`, one at a time:
//!
//! 1. It unpacks what arrives into a file beside its data, as it arrives ([`intake`]).
//! 2. When all is there it checks everything, and builds a state of it ([`Blobs::check`]). Up to here a
//!    backup that is damaged, too new or too large has changed nothing.
//! 3. It announces the backup to all members, who fetch it and do the same (`crate::snapshot::stage`), until
//!    a majority of the voters holds it.
//! 4. It asks for the time of the cluster (an empty write is stamped with it), and all to promise to
//!    keep it a while longer than that, until a majority has promised, durably.
//! 5. It writes one small command. When that is applied, each node takes the state that it holds in place
//!    of its own, and the old one goes.
//!
//! Whatever fails before the command is in the log, nothing was changed, and what was promised is
//! thrown away when its time is over. Once it is committed, a majority can follow it: even if all die in
//! that moment, the promises are on their disks, and the entry is applied when they are back. A node
//! that lacks the backup, since it was away, has lost its state by that entry and fetches it from the
//! leader, like any state that is lost.
//!
//! The command names the time of the promises and does nothing after it. So it cannot come when others
//! have thrown the backup away, however long it was under way.
//!
//! [`Blobs::check`]: crate::snapshot::Blobs::check

mod intake;
mod worker;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use parking_lot::Mutex;

use super::client::Ask;
use crate::ids::Ticket;

pub use worker::RestoreThread;

/// Pieces of an upload that may wait for the thread.
const PIECES_MAX: usize = 16;

/// Why a backup was not restored; the text is one line for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestoreError {
    /// It is no backup, or damaged, or of a newer program. Nothing was changed.
    Invalid(String),
    /// Another one is under way. Nothing was changed.
    Busy,
    /// There is no room for it on a disk. Nothing was changed.
    NoRoom(String),
    /// It cannot be done at the moment. Nothing was changed.
    NotNow(String),
    /// It may have been done, or may still be.
    Unknown(String),
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(why) | Self::NoRoom(why) | Self::NotNow(why) => {
                write!(f, "{why}; nothing was changed")
            }
            Self::Busy => f.write_str("another backup is being restored; nothing was changed"),
            Self::Unknown(why) => write!(f, "{why}; it may or may not be restored"),
        }
    }
}

/// Where backups are handed in. Clones are the same.
#[derive(Clone)]
pub struct Restores {
    busy: Arc<AtomicBool>,
    /// Never full: there is one at a time.
    jobs: (Sender<Job>, Receiver<Job>),
    stop: Stop,
}

/// Tells the thread to end, whatever it is at.
#[derive(Clone)]
struct Stop {
    flag: Arc<AtomicBool>,
    wake: (Sender<()>, Receiver<()>),
}

impl Default for Restores {
    fn default() -> Self {
        let stop = Stop { flag: Arc::default(), wake: bounded(1) };
        Self { busy: Arc::default(), jobs: bounded(1), stop }
    }
}

impl Restores {
    /// Begins to hand in a backup, unless another one is under way.
    #[must_use]
    pub fn begin(&self) -> Option<Upload> {
        let place = Place::take(&self.busy)?;
        let (pieces_in, pieces) = bounded(PIECES_MAX);
        let (end_in, end) = bounded(1);
        let feed = Arc::new(Feed::default());
        let job = Job { pieces, end, feed: Arc::clone(&feed), place };
        self.jobs.0.try_send(job).ok()?;
        Some(Upload { pieces: pieces_in, end: end_in, feed })
    }

    /// Ends the thread, soon. Never blocks.
    pub fn stop(&self) {
        self.stop.flag.store(true, Ordering::Release);
        // Full means that it is woken already.
        self.stop.wake.0.try_send(()).ok();
    }
}

/// Held by whoever is at it.
#[derive(Debug)]
struct Place(Arc<AtomicBool>);

impl Place {
    fn take(busy: &Arc<AtomicBool>) -> Option<Self> {
        let taken = busy.swap(true, Ordering::AcqRel);
        (!taken).then(|| Self(Arc::clone(busy)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// A backup as it arrives, on the thread's side.
struct Job {
    /// Its bytes in order; they end when all are there, or when whoever sent them is gone.
    pieces: Receiver<Bytes>,
    /// Whom to answer, and until when, if all are there.
    end: Receiver<(Ticket, Instant)>,
    feed: Arc<Feed>,
    place: Place,
}

/// What both sides share.
#[derive(Debug, Default)]
struct Feed {
    /// Who is told when there is room for a piece.
    waiting: Mutex<Option<Ticket>>,
    /// What came of it, as soon as that is known: the revision of the state that it is now.
    result: Mutex<Option<Result<u64, RestoreError>>>,
}

/// Where what came of a backup can be looked up, when it is known.
#[derive(Clone, Debug)]
pub struct Restored(Arc<Feed>);

impl Restored {
    /// The revision of the state that the backup is now, or why it is not; none while nobody knows.
    #[must_use]
    pub fn result(&self) -> Option<Result<u64, RestoreError>> {
        self.0.result.lock().clone()
    }
}

/// A backup that is being handed in. Dropped before [`Upload::finish`], it is forgotten.
#[derive(Debug)]
pub struct Upload {
    pieces: Sender<Bytes>,
    end: Sender<(Ticket, Instant)>,
    feed: Arc<Feed>,
}

/// What became of a piece.
#[derive(Debug, PartialEq, Eq)]
pub enum Fed {
    /// It was taken.
    Taken,
    /// There is no room for it: it is to be handed in again when the ticket completes.
    Full(Bytes),
    /// There is no use in going on.
    Failed(RestoreError),
}

impl Upload {
    /// Hands in the next bytes of the backup. Never blocks.
    pub fn feed(&self, bytes: Bytes, wake: Ticket) -> Fed {
        // Before it is tried, so that the thread cannot make room unseen in between.
        *self.feed.waiting.lock() = Some(wake);
        match self.pieces.try_send(bytes) {
            Ok(()) => {
                *self.feed.waiting.lock() = None;
                Fed::Taken
            }
            Err(TrySendError::Full(bytes)) => Fed::Full(bytes),
            Err(TrySendError::Disconnected(_)) => {
                let result = self.feed.result.lock().clone();
                Fed::Failed(result.and_then(Result::err).unwrap_or_else(stopping))
            }
        }
    }

    /// All bytes were handed in: what is to be asked now, and where to look when that is answered.
    #[must_use]
    pub fn finish(self) -> (Ask, Restored) {
        (Ask::Restore(Finish { end: self.end }), Restored(self.feed))
    }
}

/// The end of an upload, on its way to the thread.
#[derive(Clone, Debug)]
pub struct Finish {
    end: Sender<(Ticket, Instant)>,
}

impl Finish {
    /// Tells whom to answer; false when nobody ever will.
    pub(super) fn send(&self, ticket: Ticket, deadline: Instant) -> bool {
        self.end.try_send((ticket, deadline)).is_ok()
    }
}

fn stopping() -> RestoreError {
    RestoreError::NotNow("this node is stopping".to_owned())
}
