//! A backup on its way to the members, before it is restored.
//!
//! A restore is one small entry; what it restores must be there when the entry comes. So the node that
//! was given a backup *announces* it to all members, again and again until each has answered. A member
//! *pulls* it in pieces like any state, checks it, builds a state of it, and says that it holds it.
//! When a majority holds it, the same is asked once more with a time: whoever answers then *promises* to
//! keep it until the clock of its state is past that time, over restarts. The entry names the time too
//! and does nothing after it, so nobody who has kept his promise ever lacks what the entry names.
//!
//! Until there is a promise all of this is worth nothing: a member that does not hear of it any more
//! throws away what it has. Nothing depends on a message: what is lost is said again.
//!
//! Pure, both sides: messages, outcomes and the time go in, [`Action`]s come out.

mod holder;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;

pub use self::holder::Holder;
use super::bucket::Bucket;
use super::message::{Answer, Blob, CHUNK, FileId, Request, Staging, Why};
use super::serve::WINDOW;
use crate::raft::NodeId;

/// How often a member that has not answered is told.
pub const ANNOUNCE_EVERY: Duration = Duration::from_millis(500);
/// Without a promise, and a word of it for so long, a member forgets a backup.
pub const SILENCE: Duration = Duration::from_secs(30);
/// The patience with a piece that was asked for; it doubles up to [`PATIENCE_MAX`] when none comes.
pub const PATIENCE_MIN: Duration = Duration::from_secs(2);
/// The most patience with a piece.
pub const PATIENCE_MAX: Duration = Duration::from_secs(16);
/// Backups that a member holds at most, those that it receives included.
pub const HELD_MAX: usize = 3;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Say something about a backup.
    Say(NodeId, Staging),
    /// Ask for a piece.
    Ask(NodeId, Request),
    /// Answer a question for a piece that cannot be had.
    Answer(NodeId, Answer),
    /// Read a piece of the announced backup and send it.
    Read {
        /// To whom.
        to: NodeId,
        /// Of which.
        file: FileId,
        /// From where on.
        offset: u64,
        /// How many bytes.
        length: usize,
    },
    /// Begin to receive; to be reported with [`Holder::on_failed`] when that is not possible.
    Create(Blob),
    /// Write a piece; likewise.
    Write {
        /// Where.
        offset: u64,
        /// What.
        bytes: Bytes,
    },
    /// It is whole: check it and build a state of it. To be reported with [`Holder::on_checked`] or
    /// [`Holder::on_failed`].
    Check(Blob),
    /// Make a durable note that it is kept. To be reported with [`Holder::on_kept`] or
    /// [`Holder::on_failed`].
    Keep {
        /// What.
        blob: Blob,
        /// Until when.
        not_after_ms: u64,
    },
    /// It is of no use any more.
    Discard(FileId),
}

/// How a member stands to the backup that is announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has not answered.
    Unheard,
    /// It holds it until then; 0 without a promise.
    Holds(u64),
    /// It does not.
    Refuses(Why),
}

impl Standing {
    /// Whether it need not be told any more. Who holds it without a promise is told on and on, so that
    /// it knows that somebody still wants it; who refuses may change its mind.
    fn is_settled(self, not_after_ms: u64) -> bool {
        matches!(self, Self::Holds(until) if until > 0 && until >= not_after_ms)
    }
}

/// The side of the node that was given the backup.
#[derive(Clone, Debug)]
pub struct Stager {
    bucket: Bucket,
    /// None while there is none.
    offer: Option<Offer>,
    /// Pieces that were asked for: by whom, and where.
    wanted: VecDeque<(NodeId, u64)>,
    /// When the bucket will have enough for the next.
    resume: Option<Duration>,
    actions: Vec<Action>,
}

#[derive(Clone, Debug)]
struct Offer {
    blob: Blob,
    not_after_ms: u64,
    members: BTreeMap<NodeId, (Standing, Duration)>,
}

impl Stager {
    /// One that sends `rate` bytes per second at most.
    #[must_use]
    pub fn new(rate: u64) -> Self {
        let burst = usize::try_from(rate / 8).unwrap_or(usize::MAX).clamp(CHUNK, 8 * CHUNK);
        Self {
            bucket: Bucket::new(rate, burst),
            offer: None,
            wanted: VecDeque::new(),
            resume: None,
            actions: Vec::new(),
        }
    }

    /// Announces a backup to these members, instead of any other.
    pub fn begin(&mut self, now: Duration, blob: Blob, members: impl IntoIterator<Item = NodeId>) {
        self.end();
        let members = members.into_iter().map(|id| (id, (Standing::Unheard, now))).collect();
        self.offer = Some(Offer { blob, not_after_ms: 0, members });
        self.advance(now);
    }

    /// Asks for a promise from now on.
    pub fn keep(&mut self, now: Duration, not_after_ms: u64) {
        let Some(offer) = &mut self.offer else { return };
        offer.not_after_ms = offer.not_after_ms.max(not_after_ms);
        offer.members.values_mut().for_each(|(_, next)| *next = now);
        self.advance(now);
    }

    /// Announces nothing any more.
    pub fn end(&mut self) {
        self.offer = None;
        self.wanted.clear();
        self.resume = None;
    }

    /// The backup that is announced.
    #[must_use]
    pub fn file(&self) -> Option<FileId> {
        self.offer.as_ref().map(|offer| offer.blob.file)
    }

    /// How the members stand to it.
    #[must_use]
    pub fn standings(&self) -> BTreeMap<NodeId, Standing> {
        let members = self.offer.iter().flat_map(|offer| &offer.members);
        members.map(|(id, (standing, _))| (*id, *standing)).collect()
    }

    /// A member asks for a piece of what is announced.
    pub fn on_read(&mut self, now: Duration, from: NodeId, file: FileId, offset: u64) {
        let Some(offer) = self.offer.as_ref().filter(|offer| offer.blob.file == file) else {
            return self.actions.push(Action::Answer(from, Answer::Gone { file }));
        };
        let sound = offset < offer.blob.size && offset.is_multiple_of(CHUNK as u64);
        let waiting = self.wanted.iter().filter(|(to, _)| *to == from).count();
        let known = offer.members.contains_key(&from);
        if sound && known && waiting < WINDOW && !self.wanted.contains(&(from, offset)) {
            self.wanted.push_back((from, offset));
        }
        self.advance(now);
    }

    /// A member has answered an announcement.
    pub fn on_standing(&mut self, from: NodeId, file: FileId, standing: Standing) {
        let Some(offer) = self.offer.as_mut().filter(|offer| offer.blob.file == file) else {
            return;
        };
        if let Some((known, _)) = offer.members.get_mut(&from) {
            *known = match (*known, standing) {
                // Answers may overtake each other; a promise stands.
                (Standing::Holds(before), Standing::Holds(now)) => Standing::Holds(before.max(now)),
                (_, standing) => standing,
            };
        }
    }

    /// Lets the time pass: says again what was not answered, sends what may be sent.
    pub fn advance(&mut self, now: Duration) {
        let Some(offer) = &mut self.offer else { return };
        for (id, (standing, next)) in &mut offer.members {
            if !standing.is_settled(offer.not_after_ms) && now >= *next {
                *next = now.saturating_add(ANNOUNCE_EVERY);
                let (blob, not_after_ms) = (offer.blob, offer.not_after_ms);
                self.actions.push(Action::Say(*id, Staging::Stage { blob, not_after_ms }));
            }
        }
        self.resume = None;
        while let Some((to, offset)) = self.wanted.front().copied() {
            let Blob { file, size, .. } = offer.blob;
            let length = usize::try_from(size - offset).map_or(CHUNK, |rest| rest.min(CHUNK));
            if let Err(then) = self.bucket.take(now, length) {
                self.resume = Some(then);
                return;
            }
            self.wanted.pop_front();
            self.actions.push(Action::Read { to, file, offset, length });
        }
    }

    /// When [`Stager::advance`] wants to be called next.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        let offer = self.offer.as_ref()?;
        let unsettled = offer.members.values();
        let unsettled = unsettled.filter(|(it, _)| !it.is_settled(offer.not_after_ms));
        unsettled.map(|(_, next)| *next).chain(self.resume).min()
    }

    /// What is to be done since this was last asked.
    pub fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }
}

#[cfg(test)]
mod tests;
