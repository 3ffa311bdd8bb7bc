//! The source's side: who is served, with which file, and how fast.
//!
//! A receiver that opens gets a *session*. It lives as long as the receiver asks, and a while longer;
//! while it lives, the index of its file is *pinned*: the log behind it must stay, or the receiver
//! would need another state as soon as it has this one. A file is made from the newest checkpoint when
//! somebody wants a state that no file has, and goes when nobody has used it for a while. One is made
//! at a time; a slow receiver on an old file does not keep a new one from being made.
//!
//! Pure: requests and the time go in, [`Action`]s come out.
//!
//! Bounds: [`RECEIVERS`] sessions, [`WINDOW`] chunks that wait in each (more are not remembered: the
//! receiver asks again), and so at most one file for each session, one that is kept, one in the making.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::bucket::Bucket;
use super::message::{Answer, CHUNK, FileId, Request};
use crate::raft::{Index, NodeId};

/// Receivers that are served at one time; others are told to come later.
pub const RECEIVERS: usize = 2;
/// Chunks that a receiver may have asked for and not got.
pub const WINDOW: usize = 2;
/// A receiver that says nothing for so long is forgotten.
pub const SESSION_IDLE: Duration = Duration::from_secs(30);
/// A file that nobody has used for so long is deleted.
pub const FILE_IDLE: Duration = Duration::from_secs(60);
/// After a file could not be made, none is tried for so long.
pub const MAKE_PAUSE: Duration = Duration::from_secs(5);

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send an answer.
    Send(NodeId, Answer),
    /// Make a file from the newest checkpoint; to be reported with [`Server::on_made`] or
    /// [`Server::on_unmade`].
    Make,
    /// Read a piece of a file and send it. What cannot be read is to be reported with
    /// [`Server::on_unreadable`].
    Read {
        /// To whom.
        to: NodeId,
        /// From which file.
        file: FileId,
        /// From where on.
        offset: u64,
        /// How many bytes.
        length: usize,
    },
    /// Delete a file.
    Delete(FileId),
}

/// The files of one node, and who reads them.
#[derive(Clone, Debug)]
pub struct Server {
    bucket: Bucket,
    sessions: BTreeMap<NodeId, Session>,
    files: BTreeMap<FileId, Served>,
    making: Option<Making>,
    /// No file is made before this time.
    make_after: Duration,
    /// Who got a chunk last; the next in line is served next.
    turn: NodeId,
    /// When the bucket will have enough for what waits.
    resume: Option<Duration>,
    actions: Vec<Action>,
}

#[derive(Clone, Debug)]
struct Session {
    /// The state it wants is as of this index or later.
    at_least: Index,
    /// None while it waits for one.
    file: Option<FileId>,
    /// Offsets it has asked for; at most [`WINDOW`].
    wanted: VecDeque<u64>,
    /// When it was heard of, or got something, last.
    seen: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Served {
    applied: Index,
    size: u64,
    /// When a session had it last.
    used: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Making {
    /// The checkpoint's index when it was begun; that of the file is no lower.
    applied: Index,
}

impl Server {
    /// One that sends `rate` bytes per second at most.
    #[must_use]
    pub fn new(rate: u64) -> Self {
        // An eighth of a second's worth: no long pauses, and no long queue before a heartbeat either.
        let burst = usize::try_from(rate / 8).unwrap_or(usize::MAX).clamp(CHUNK, 8 * CHUNK);
        Self {
            bucket: Bucket::new(rate, burst),
            sessions: BTreeMap::new(),
            files: BTreeMap::new(),
            making: None,
            make_after: Duration::ZERO,
            turn: 0,
            resume: None,
            actions: Vec::new(),
        }
    }

    /// A receiver asks; `checkpoint` is the index of the newest checkpoint that may be served, none
    /// when there is none.
    pub fn on_request(
        &mut self,
        now: Duration,
        from: NodeId,
        request: Request,
        checkpoint: Option<Index>,
    ) {
        self.mark_used(now);
        match request {
            Request::Open { at_least } => {
                let answer = self.open(now, from, at_least, checkpoint);
                self.actions.push(Action::Send(from, answer));
            }
            Request::Read { file, offset } => {
                if let Err(answer) = self.read(now, from, file, offset) {
                    self.actions.push(Action::Send(from, answer));
                }
            }
            Request::Hold { file } => {
                // What is gone or busy cannot be helped; the receiver has its file and goes on.
                self.attach(now, from, file).ok();
            }
            Request::Done { file } => {
                if self.sessions.get(&from).is_some_and(|session| session.file == Some(file)) {
                    self.sessions.remove(&from);
                }
            }
        }
        self.advance(now);
    }

    /// The file that was ordered is there.
    pub fn on_made(&mut self, now: Duration, file: FileId, applied: Index, size: u64) {
        assert!(self.making.take().is_some(), "a file is made because it was ordered");
        self.files.insert(file, Served { applied, size, used: now });
        // They have it from now on, so that it is pinned before they ask again.
        for session in self.sessions.values_mut() {
            if session.file.is_none() && session.at_least <= applied {
                session.file = Some(file);
            }
        }
        self.delete_unused(|served| served.applied < applied);
        self.advance(now);
    }

    /// The file that was ordered could not be made; it is tried again when somebody asks, but not at
    /// once.
    pub fn on_unmade(&mut self, now: Duration) {
        assert!(self.making.take().is_some(), "a file is made because it was ordered");
        self.make_after = now.saturating_add(MAKE_PAUSE);
        self.advance(now);
    }

    /// A file could not be read; its readers have to begin anew with another.
    pub fn on_unreadable(&mut self, file: FileId) {
        if self.files.remove(&file).is_none() {
            return;
        }
        for (to, session) in &mut self.sessions {
            if session.file == Some(file) {
                session.file = None;
                session.wanted.clear();
                self.actions.push(Action::Send(*to, Answer::Gone { file }));
            }
        }
        self.actions.push(Action::Delete(file));
    }

    /// This node's own state is not to be trusted any more: nobody may go on with it.
    pub fn revoke(&mut self) {
        for file in self.files.keys().copied().collect::<Vec<_>>() {
            self.on_unreadable(file);
        }
    }

    /// Lets the time pass: forgets who is silent, deletes what is unused, sends what may be sent.
    pub fn advance(&mut self, now: Duration) {
        self.mark_used(now);
        self.sessions.retain(|_, session| now < session.seen.saturating_add(SESSION_IDLE));
        self.delete_unused(|served| now >= served.used.saturating_add(FILE_IDLE));
        self.serve(now);
    }

    /// When [`Server::advance`] wants to be called next.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        let sessions = self.sessions.values().map(|it| it.seen.saturating_add(SESSION_IDLE));
        let unused = self.files.iter().filter(|(id, _)| !self.in_use(**id));
        let files = unused.map(|(_, served)| served.used.saturating_add(FILE_IDLE));
        sessions.chain(files).chain(self.resume).min()
    }

    /// The log behind this index must stay, as long as it can.
    #[must_use]
    pub fn pinned(&self) -> Option<Index> {
        let files = self.sessions.values().filter_map(|session| session.file);
        let files = files.map(|file| self.files[&file].applied);
        files.chain(self.making.map(|making| making.applied)).min()
    }

    /// Nodes that are served.
    pub fn receivers(&self) -> impl Iterator<Item = NodeId> {
        self.sessions.keys().copied()
    }

    /// What is to be done since this was last asked.
    pub fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    fn open(
        &mut self,
        now: Duration,
        from: NodeId,
        at_least: Index,
        checkpoint: Option<Index>,
    ) -> Answer {
        let held = self.sessions.get(&from).and_then(|session| session.file);
        let fits = |file: &FileId| self.files[file].applied >= at_least;
        let newest = self.files.iter().max_by_key(|(_, served)| served.applied);
        // The one it has already is one it can resume.
        let file = held.filter(fits).or(newest.map(|(file, _)| *file).filter(fits));
        let Some(session) = self.session(now, from) else { return Answer::Busy };
        session.at_least = at_least;
        session.file = file;
        session.wanted.clear();
        if let Some(file) = file {
            let served = self.files[&file];
            return Answer::Offer { file, applied: served.applied, size: served.size };
        }
        if self.making.is_none()
            && now >= self.make_after
            && let Some(applied) = checkpoint.filter(|applied| *applied >= at_least)
        {
            self.making = Some(Making { applied });
            self.actions.push(Action::Make);
        }
        Answer::NotYet
    }

    fn read(
        &mut self,
        now: Duration,
        from: NodeId,
        file: FileId,
        offset: u64,
    ) -> Result<(), Answer> {
        self.attach(now, from, file)?;
        let size = self.files[&file].size;
        let session = self.sessions.get_mut(&from).expect("it was just attached");
        let sound = offset < size && offset.is_multiple_of(CHUNK as u64);
        if sound && session.wanted.len() < WINDOW && !session.wanted.contains(&offset) {
            session.wanted.push_back(offset);
        }
        Ok(())
    }

    /// Sees to it that `from` has a session with this file.
    fn attach(&mut self, now: Duration, from: NodeId, file: FileId) -> Result<(), Answer> {
        let Some(served) = self.files.get(&file) else { return Err(Answer::Gone { file }) };
        let applied = served.applied;
        let session = self.session(now, from).ok_or(Answer::Busy)?;
        if session.file.replace(file) != Some(file) {
            session.at_least = applied;
            session.wanted.clear();
        }
        Ok(())
    }

    /// The session of a node, which was just heard of; a new one if there is room.
    fn session(&mut self, now: Duration, from: NodeId) -> Option<&mut Session> {
        if !self.sessions.contains_key(&from) && self.sessions.len() >= RECEIVERS {
            return None;
        }
        let session = self.sessions.entry(from).or_insert_with(|| Session {
            at_least: 0,
            file: None,
            wanted: VecDeque::new(),
            seen: now,
        });
        session.seen = now;
        Some(session)
    }

    /// Notes which files are used up to now, before that may change.
    fn mark_used(&mut self, now: Duration) {
        for file in self.sessions.values().filter_map(|session| session.file) {
            self.files.get_mut(&file).expect("a session's file is there").used = now;
        }
    }

    fn in_use(&self, file: FileId) -> bool {
        self.sessions.values().any(|session| session.file == Some(file))
    }

    fn delete_unused(&mut self, which: impl Fn(&Served) -> bool) {
        let unused = self.files.iter().filter(|(id, served)| !self.in_use(**id) && which(served));
        for id in unused.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.files.remove(&id);
            self.actions.push(Action::Delete(id));
        }
    }

    /// Hands out chunks in turn, as far as the bucket lets them pass.
    fn serve(&mut self, now: Duration) {
        self.resume = None;
        while let Some(to) = self.next_in_line() {
            let session = &self.sessions[&to];
            let offset = session.wanted[0];
            let file = session.file.expect("chunks are wanted of a file");
            let rest = self.files[&file].size - offset;
            let length = usize::try_from(rest).map_or(CHUNK, |rest| rest.min(CHUNK));
            if let Err(then) = self.bucket.take(now, length) {
                self.resume = Some(then);
                return;
            }
            let session = self.sessions.get_mut(&to).expect("who is in line has a session");
            session.wanted.pop_front();
            session.seen = now;
            self.turn = to;
            self.actions.push(Action::Read { to, file, offset, length });
        }
    }

    /// The first behind the one served last, in a circle, for whom a chunk waits.
    fn next_in_line(&self) -> Option<NodeId> {
        let waiting = self.sessions.iter().filter(|(_, session)| !session.wanted.is_empty());
        waiting.map(|(id, _)| *id).min_by_key(|id| (*id <= self.turn, *id))
    }
}

#[cfg(test)]
mod tests;
