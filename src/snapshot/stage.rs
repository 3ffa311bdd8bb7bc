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

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;

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

/// The side of a member that is told to hold a backup.
#[derive(Clone, Debug, Default)]
pub struct Holder {
    /// Those that are checked, durable, and perhaps promised.
    held: BTreeMap<FileId, Held>,
    /// The one on its way.
    incoming: Option<Incoming>,
    /// The last one that came to nothing, for whoever goes on asking.
    failed: Option<(FileId, Why, Duration)>,
    actions: Vec<Action>,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    blob: Blob,
    /// Whom to tell: who asked last.
    from: NodeId,
    /// Promised until then; 0 for no promise.
    not_after_ms: u64,
    heard: Duration,
}

#[derive(Clone, Debug)]
struct Incoming {
    blob: Blob,
    from: NodeId,
    /// All pieces below this offset were asked for.
    next: u64,
    /// Those that have not come, and when they were asked for last. At most [`WINDOW`].
    missing: BTreeMap<u64, Option<Duration>>,
    patience: Duration,
    heard: Duration,
}

impl Incoming {
    fn is_whole(&self) -> bool {
        self.next >= self.blob.size && self.missing.is_empty()
    }

    fn chunk_len(&self, offset: u64) -> u64 {
        (self.blob.size - offset).min(CHUNK as u64)
    }
}

impl Holder {
    /// One that holds what was promised by processes before.
    #[must_use]
    pub fn new(now: Duration, promised: impl IntoIterator<Item = (Blob, u64)>) -> Self {
        let held = promised.into_iter().map(|(blob, not_after_ms)| {
            (blob.file, Held { blob, from: 0, not_after_ms, heard: now })
        });
        Self { held: held.collect(), ..Self::default() }
    }

    /// Whether this one is on its way to this node.
    #[must_use]
    pub fn receives(&self, file: FileId) -> bool {
        self.incoming.as_ref().is_some_and(|incoming| incoming.blob.file == file)
    }

    /// Whether this one is held, or on its way.
    #[must_use]
    pub fn knows(&self, file: FileId) -> bool {
        self.receives(file) || self.held.contains_key(&file)
    }

    /// A node that has a backup announces it.
    pub fn on_stage(&mut self, now: Duration, from: NodeId, blob: Blob, not_after_ms: u64) {
        let file = blob.file;
        if let Some(held) = self.held.get_mut(&file) {
            (held.from, held.heard) = (from, now);
            if not_after_ms > held.not_after_ms {
                self.actions.push(Action::Keep { blob: held.blob, not_after_ms });
            } else {
                let not_after_ms = held.not_after_ms;
                self.actions.push(Action::Say(from, Staging::Staged { file, not_after_ms }));
            }
            return;
        }
        if let Some(incoming) = self.incoming.as_mut().filter(|it| it.blob.file == file) {
            incoming.heard = now;
            return;
        }
        self.forget_others(from);
        let failed = self.failed.filter(|(failed, _, at)| *failed == file && now < *at + SILENCE);
        let why = match failed {
            Some((_, why, _)) => Some(why),
            None if blob.size == 0 => Some(Why::Damaged),
            None if self.incoming.is_some() || self.held.len() >= HELD_MAX => Some(Why::Busy),
            None => None,
        };
        match why {
            Some(why) => self.actions.push(Action::Say(from, Staging::Unstaged { file, why })),
            None => self.receive(now, from, blob),
        }
    }

    /// A node announces one backup at a time, so what it announced before has come to nothing.
    fn forget_others(&mut self, from: NodeId) {
        if self.incoming.as_ref().is_some_and(|incoming| incoming.from == from) {
            self.forget_incoming();
        }
        let is_over = |held: &Held| held.not_after_ms == 0 && held.from == from;
        for file in self.held.values().filter(|held| is_over(held)).map(|held| held.blob.file) {
            self.actions.push(Action::Discard(file));
        }
        self.held.retain(|_, held| !is_over(held));
    }

    fn receive(&mut self, now: Duration, from: NodeId, blob: Blob) {
        let missing = BTreeMap::new();
        let patience = PATIENCE_MIN;
        self.incoming = Some(Incoming { blob, from, next: 0, missing, patience, heard: now });
        self.actions.push(Action::Create(blob));
        self.advance(now);
    }

    /// A piece has come.
    pub fn on_chunk(
        &mut self,
        now: Duration,
        from: NodeId,
        file: FileId,
        offset: u64,
        bytes: Bytes,
    ) {
        let Some(incoming) = &mut self.incoming else { return };
        let ours = (incoming.from, incoming.blob.file) == (from, file);
        if !ours || !incoming.missing.contains_key(&offset) {
            return;
        }
        if bytes.len() as u64 != incoming.chunk_len(offset) {
            return;
        }
        incoming.missing.remove(&offset);
        (incoming.heard, incoming.patience) = (now, PATIENCE_MIN);
        self.actions.push(Action::Write { offset, bytes });
        if incoming.is_whole() {
            self.actions.push(Action::Check(incoming.blob));
        }
        self.advance(now);
    }

    /// Its source does not have it any more.
    pub fn on_gone(&mut self, from: NodeId, file: FileId) {
        if self.incoming.as_ref().is_some_and(|it| (it.from, it.blob.file) == (from, file)) {
            self.forget_incoming();
        }
    }

    /// What was received is what was announced, and durable.
    pub fn on_checked(&mut self, now: Duration, file: FileId) {
        let Some(incoming) = self.incoming.take_if(|it| it.blob.file == file) else {
            return self.actions.push(Action::Discard(file));
        };
        let Incoming { blob, from, .. } = incoming;
        self.held.insert(file, Held { blob, from, not_after_ms: 0, heard: now });
        self.actions.push(Action::Say(from, Staging::Staged { file, not_after_ms: 0 }));
    }

    /// The promise is durable.
    pub fn on_kept(&mut self, file: FileId, not_after_ms: u64) {
        let Some(held) = self.held.get_mut(&file) else { return };
        held.not_after_ms = held.not_after_ms.max(not_after_ms);
        let not_after_ms = held.not_after_ms;
        self.actions.push(Action::Say(held.from, Staging::Staged { file, not_after_ms }));
    }

    /// Something that was ordered could not be done.
    pub fn on_failed(&mut self, now: Duration, file: FileId, why: Why) {
        let incoming = self.incoming.take_if(|it| it.blob.file == file);
        let from = incoming.map(|it| it.from).or(self.held.get(&file).map(|held| held.from));
        // A promise that was made stands, even if it could not be extended.
        if self.held.get(&file).is_none_or(|held| held.not_after_ms == 0) {
            self.held.remove(&file);
            self.failed = Some((file, why, now));
            self.actions.push(Action::Discard(file));
        }
        if let Some(from) = from {
            self.actions.push(Action::Say(from, Staging::Unstaged { file, why }));
        }
    }

    /// What was held is gone: it was restored, or its time is over.
    pub fn on_removed(&mut self, file: FileId) {
        self.held.remove(&file);
    }

    /// Lets the time pass: repeats what was not answered, forgets what nobody speaks of.
    pub fn advance(&mut self, now: Duration) {
        let silent = |heard: Duration| now >= heard.saturating_add(SILENCE);
        let idle = |held: &Held| held.not_after_ms == 0 && silent(held.heard);
        for file in self.held.values().filter(|held| idle(held)).map(|held| held.blob.file) {
            self.actions.push(Action::Discard(file));
        }
        self.held.retain(|_, held| !idle(held));
        let Some(incoming) = &mut self.incoming else { return };
        if incoming.is_whole() {
            // It is being checked, however long nobody speaks.
            return;
        }
        if silent(incoming.heard) {
            return self.forget_incoming();
        }
        while incoming.missing.len() < WINDOW && incoming.next < incoming.blob.size {
            incoming.missing.insert(incoming.next, None);
            incoming.next = incoming.next.saturating_add(CHUNK as u64);
        }
        let (file, mut repeated) = (incoming.blob.file, false);
        for (offset, asked) in &mut incoming.missing {
            if asked.is_none_or(|at| now >= at.saturating_add(incoming.patience)) {
                repeated |= asked.is_some();
                *asked = Some(now);
                let request = Request::Read { file, offset: *offset };
                self.actions.push(Action::Ask(incoming.from, request));
            }
        }
        if repeated {
            incoming.patience = (incoming.patience * 2).min(PATIENCE_MAX);
        }
    }

    fn forget_incoming(&mut self) {
        if let Some(incoming) = self.incoming.take() {
            self.actions.push(Action::Discard(incoming.blob.file));
        }
    }

    /// When [`Holder::advance`] wants to be called next.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        let unpromised = self.held.values().filter(|held| held.not_after_ms == 0);
        let held = unpromised.map(|held| held.heard.saturating_add(SILENCE));
        let incoming = self.incoming.iter().filter(|incoming| !incoming.is_whole());
        let incoming = incoming.flat_map(|incoming| {
            let asked = incoming.missing.values().flatten();
            let asked = asked.map(|at| at.saturating_add(incoming.patience));
            asked.chain([incoming.heard.saturating_add(SILENCE)])
        });
        held.chain(incoming).min()
    }

    /// What is to be done since this was last asked.
    pub fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }
}

#[cfg(test)]
mod tests;
