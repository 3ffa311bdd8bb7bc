//! The receiver's side: what to ask next, and of whom.
//!
//! A fetch goes through four phases: *opening* (which file is there?), *reading* (its chunks, two asked
//! for at a time), *building* (the file is whole: is it sound, and what state does it make?), *built*
//! (the new state waits to take the old one's place). In all of them messages may be lost: what is not
//! answered is asked for again, more and more patiently.
//!
//! What was received is kept as long as it may be of use. A broken connection, a source that is busy or
//! another source in between cost nothing: whoever offers the same file (by its id) is asked for the
//! rest of it only. Another file begins anew.
//!
//! When another leader is named while chunks arrive, the reading goes on if the file will do for that
//! one, too: where a committed state comes from does not matter, only that it comes.
//!
//! Pure: wishes, answers and the time go in, [`Action`]s come out.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use super::message::{Answer, CHUNK, FileId, Request};
use super::serve::WINDOW;
use crate::raft::{Fetch, Index, NodeId};

/// The least patience with an answer before the question is repeated; it grows up to
/// [`PATIENCE_MAX`].
pub const PATIENCE_MIN: Duration = Duration::from_secs(2);
/// The most patience with an answer.
pub const PATIENCE_MAX: Duration = Duration::from_secs(16);
/// The first pause after "not yet"; it doubles up to [`NOT_YET_MAX`].
pub const NOT_YET_MIN: Duration = Duration::from_millis(250);
/// The longest pause after "not yet".
pub const NOT_YET_MAX: Duration = Duration::from_secs(4);
/// The pause after "busy".
pub const BUSY: Duration = Duration::from_secs(5);
/// A source that has been silent for so long is asked for an offer anew. It is given up sooner, after
/// the patience with one answer, when another one is named.
pub const SILENCE: Duration = Duration::from_secs(20);
/// How often the source is told that the log behind its file is still needed.
pub const HOLD_EVERY: Duration = Duration::from_secs(5);
/// The first pause after a failure; it doubles up to [`FAILURE_MAX`].
pub const FAILURE_MIN: Duration = Duration::from_secs(2);
/// The longest pause after a failure.
pub const FAILURE_MAX: Duration = Duration::from_secs(60);

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask.
    Send(NodeId, Request),
    /// Begin a new file of so many bytes; one that was begun before goes.
    Create {
        /// Its name at the source.
        file: FileId,
        /// Its length in bytes.
        size: u64,
    },
    /// Write a piece of it.
    Write {
        /// Where.
        offset: u64,
        /// What.
        bytes: Bytes,
    },
    /// It is whole: check it and build a state of it. To be reported with [`Fetcher::on_built`] or
    /// [`Fetcher::on_failed`].
    Build {
        /// The file.
        file: FileId,
        /// The index that it must be as of, as the source has said.
        applied: Index,
    },
    /// What was received is of no use any more, nor what is being built of it.
    Discard,
}

/// How far a fetch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Where from.
    pub from: NodeId,
    /// Bytes received so far.
    pub received: u64,
    /// Bytes in all; 0 while that is unknown.
    pub size: u64,
    /// All is received and is being checked and built, or has been.
    pub whole: bool,
}

/// One fetch at a time, from one source at a time.
#[derive(Clone, Debug, Default)]
pub struct Fetcher {
    /// What is wanted, the newest wish; none when nothing is.
    goal: Option<Fetch>,
    phase: Phase,
    part: Option<Part>,
    /// The pause after the next failure.
    failure_pause: Duration,
    /// How long an answer may take.
    patience: Duration,
    actions: Vec<Action>,
}

#[derive(Clone, Debug, Default)]
enum Phase {
    /// Nothing is wanted.
    #[default]
    Idle,
    /// An offer is wanted from the goal's source.
    Opening {
        /// When to ask (again).
        next: Duration,
        /// The pause after the next "not yet".
        pause: Duration,
    },
    /// The part grows.
    Reading {
        /// Where from.
        source: NodeId,
        /// When it brought something last.
        heard: Duration,
    },
    /// The part is whole.
    Whole {
        /// Where from.
        source: NodeId,
        /// When to tell the source that we are still at it.
        hold: Duration,
        /// A state was made of it and handed over; it cannot be taken back.
        built: bool,
    },
}

/// A file, as far as it was received.
#[derive(Clone, Debug)]
struct Part {
    file: FileId,
    applied: Index,
    size: u64,
    /// All chunks below this offset were asked for.
    next: u64,
    /// Those that have not come. At most [`WINDOW`].
    missing: BTreeMap<u64, Asked>,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    first: Duration,
    last: Duration,
}

impl Part {
    fn is_whole(&self) -> bool {
        self.next >= self.size && self.missing.is_empty()
    }

    /// Length of the chunk at an offset below the size.
    fn chunk_len(&self, offset: u64) -> u64 {
        (self.size - offset).min(CHUNK as u64)
    }

    fn received(&self) -> u64 {
        let missing: u64 = self.missing.keys().map(|offset| self.chunk_len(*offset)).sum();
        self.next.min(self.size) - missing
    }
}

impl Fetcher {
    /// One that wants nothing.
    #[must_use]
    pub fn new() -> Self {
        Self { failure_pause: FAILURE_MIN, patience: PATIENCE_MIN, ..Self::default() }
    }

    /// Wants a state; the latest wish counts. To wish the same again changes nothing. A state that is
    /// built has been handed over, so a wish that it does not meet has to wait until it is adopted.
    pub fn want(&mut self, now: Duration, goal: Fetch) {
        let before = self.goal.replace(goal);
        if let Phase::Whole { built: true, .. } = self.phase {
            return;
        }
        let enough = self.part.as_ref().is_some_and(|part| part.applied >= goal.at_least);
        if !enough {
            self.release();
            self.discard();
        }
        match self.phase {
            Phase::Reading { .. } | Phase::Whole { .. } if enough => {}
            // Its pauses are still to be kept; another source does not know of them.
            Phase::Opening { .. } if before.is_some_and(|before| before.from == goal.from) => {}
            _ => self.open(now),
        }
        self.advance(now);
    }

    /// Wants nothing any more; what was received is discarded.
    pub fn cancel(&mut self) {
        self.release();
        self.discard();
        self.goal = None;
        self.phase = Phase::Idle;
    }

    /// The built state has taken the old one's place. Nothing happens when there is none.
    pub fn adopted(&mut self, now: Duration) {
        let (Phase::Whole { built: true, .. }, Some(part)) = (&self.phase, &self.part) else {
            return;
        };
        let next = self.goal.filter(|goal| goal.at_least > part.applied);
        self.cancel();
        self.failure_pause = FAILURE_MIN;
        if let Some(goal) = next {
            self.want(now, goal);
        }
    }

    /// A state was built of a file; false when that file is not wanted any more.
    #[must_use]
    pub fn on_built(&mut self, now: Duration, file: FileId) -> bool {
        let ours = self.part.as_ref().is_some_and(|part| part.file == file);
        match &mut self.phase {
            Phase::Whole { built, .. } if ours && !*built => *built = true,
            _ => return false,
        }
        self.advance(now);
        true
    }

    /// A file cannot be written, or no sound state can be made of it: it is discarded, and after a
    /// while it is begun anew. False when that file is not wanted any more.
    pub fn on_failed(&mut self, now: Duration, file: FileId) -> bool {
        let handed_over = matches!(self.phase, Phase::Whole { built: true, .. });
        if handed_over || self.part.as_ref().is_none_or(|part| part.file != file) {
            return false;
        }
        self.release();
        self.discard();
        let next = now.saturating_add(self.failure_pause);
        self.failure_pause = (self.failure_pause * 2).min(FAILURE_MAX);
        self.phase = Phase::Opening { next, pause: NOT_YET_MIN };
        true
    }

    /// A source answers.
    pub fn on_answer(&mut self, now: Duration, from: NodeId, answer: Answer) {
        match answer {
            Answer::Offer { file, applied, size } => self.on_offer(now, from, file, applied, size),
            Answer::NotYet => self.on_not_yet(now, from),
            Answer::Busy => self.on_busy(now, from),
            Answer::Gone { file } => self.on_gone(now, from, file),
            Answer::Chunk { file, offset, bytes } => {
                self.on_chunk(now, from, file, offset, bytes);
            }
        }
        self.advance(now);
    }

    /// Lets the time pass: repeats what was not answered.
    pub fn advance(&mut self, now: Duration) {
        match &mut self.phase {
            Phase::Idle => {}
            Phase::Opening { next, .. } => {
                let goal = self.goal.expect("a goal is what is opened for");
                if now >= *next {
                    *next = now.saturating_add(self.patience);
                    self.patience = (self.patience * 2).min(PATIENCE_MAX);
                    let request = Request::Open { at_least: goal.at_least };
                    self.actions.push(Action::Send(goal.from, request));
                }
            }
            Phase::Reading { source, heard } => {
                if now >= heard.saturating_add(Self::silence(self.goal, *source, self.patience)) {
                    self.open(now);
                    return self.advance(now);
                }
                self.ask(now);
            }
            Phase::Whole { source, hold, .. } => {
                let part = self.part.as_ref().expect("it is whole");
                if now >= *hold {
                    *hold = now.saturating_add(HOLD_EVERY);
                    self.actions.push(Action::Send(*source, Request::Hold { file: part.file }));
                }
            }
        }
    }

    /// When [`Fetcher::advance`] wants to be called next.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        match &self.phase {
            Phase::Idle => None,
            Phase::Opening { next, .. } => Some(*next),
            Phase::Reading { source, heard } => {
                let part = self.part.as_ref().expect("a part is read");
                let asked = part.missing.values().map(|it| it.last.saturating_add(self.patience));
                let silence = Self::silence(self.goal, *source, self.patience);
                asked.chain([heard.saturating_add(silence)]).min()
            }
            Phase::Whole { hold, .. } => Some(*hold),
        }
    }

    /// How far it is; none when nothing is wanted.
    #[must_use]
    pub fn progress(&self) -> Option<Progress> {
        let goal = self.goal?;
        let (received, size) =
            self.part.as_ref().map_or((0, 0), |part| (part.received(), part.size));
        let (from, whole) = match &self.phase {
            Phase::Reading { source, .. } => (*source, false),
            Phase::Whole { source, .. } => (*source, true),
            Phase::Idle | Phase::Opening { .. } => (goal.from, false),
        };
        Some(Progress { from, received, size, whole })
    }

    /// What is to be done since this was last asked.
    pub fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    fn on_offer(&mut self, now: Duration, from: NodeId, file: FileId, applied: Index, size: u64) {
        let Phase::Opening { .. } = self.phase else { return };
        let goal = self.goal.expect("a goal is what is opened for");
        if from != goal.from || applied < goal.at_least || size == 0 {
            return;
        }
        self.patience = PATIENCE_MIN;
        let same = |part: &Part| (part.file, part.applied, part.size) == (file, applied, size);
        match &mut self.part {
            Some(part) if same(part) => {
                // Whatever was asked for before is asked for again.
                part.missing.values_mut().for_each(|asked| *asked = Asked::never());
            }
            part => {
                *part = Some(Part { file, applied, size, next: 0, missing: BTreeMap::new() });
                self.actions.push(Action::Create { file, size });
            }
        }
        self.phase = Phase::Reading { source: from, heard: now };
    }

    fn on_not_yet(&mut self, now: Duration, from: NodeId) {
        let Phase::Opening { next, pause } = &mut self.phase else { return };
        if self.goal.is_some_and(|goal| goal.from == from) {
            *next = now.saturating_add(*pause);
            *pause = (*pause * 2).min(NOT_YET_MAX);
            self.patience = PATIENCE_MIN;
        }
    }

    fn on_busy(&mut self, now: Duration, from: NodeId) {
        let asked = match &self.phase {
            Phase::Opening { .. } => self.goal.map(|goal| goal.from),
            Phase::Reading { source, .. } => Some(*source),
            Phase::Idle | Phase::Whole { .. } => None,
        };
        if asked == Some(from) {
            self.open(now.saturating_add(BUSY));
        }
    }

    fn on_gone(&mut self, now: Duration, from: NodeId, file: FileId) {
        let ours = self.part.as_ref().is_some_and(|part| part.file == file);
        if let Phase::Reading { source, .. } = self.phase
            && source == from
            && ours
        {
            self.discard();
            self.open(now);
        }
    }

    fn on_chunk(&mut self, now: Duration, from: NodeId, file: FileId, offset: u64, bytes: Bytes) {
        let (Phase::Reading { source, heard }, Some(part)) = (&mut self.phase, &mut self.part)
        else {
            return;
        };
        if *source != from || part.file != file {
            return;
        }
        let Some(asked) = part.missing.get(&offset) else { return };
        if bytes.len() as u64 != part.chunk_len(offset) {
            return;
        }
        // Four times what it took: a repeated question costs the whole chunk again.
        let took = now.saturating_sub(asked.first);
        self.patience = took.saturating_mul(4).clamp(PATIENCE_MIN, PATIENCE_MAX);
        part.missing.remove(&offset);
        *heard = now;
        self.actions.push(Action::Write { offset, bytes });
        if part.is_whole() {
            self.actions.push(Action::Build { file, applied: part.applied });
            self.phase = Phase::Whole { source: from, hold: now, built: false };
        }
    }

    /// Asks for what has not come, and for more while the window is not full.
    fn ask(&mut self, now: Duration) {
        let (Phase::Reading { source, .. }, Some(part)) = (&self.phase, &mut self.part) else {
            unreachable!("only who reads asks for chunks")
        };
        while part.missing.len() < WINDOW && part.next < part.size {
            part.missing.insert(part.next, Asked::never());
            part.next = part.next.saturating_add(CHUNK as u64);
        }
        let mut repeated = false;
        for (offset, asked) in &mut part.missing {
            let new = asked.first == Duration::MAX;
            if new || now >= asked.last.saturating_add(self.patience) {
                repeated |= !new;
                *asked = Asked { first: asked.first.min(now), last: now };
                let request = Request::Read { file: part.file, offset: *offset };
                self.actions.push(Action::Send(*source, request));
            }
        }
        if repeated {
            self.patience = (self.patience * 2).min(PATIENCE_MAX);
        }
    }

    /// How long a source may be silent.
    fn silence(goal: Option<Fetch>, source: NodeId, patience: Duration) -> Duration {
        if goal.is_some_and(|goal| goal.from == source) { SILENCE } else { patience }
    }

    /// From `next` on, the goal's source is asked for an offer.
    fn open(&mut self, next: Duration) {
        self.patience = PATIENCE_MIN;
        self.phase = Phase::Opening { next, pause: NOT_YET_MIN };
    }

    /// Lets the source go that was read from.
    fn release(&mut self) {
        let (Phase::Reading { source, .. } | Phase::Whole { source, .. }) = &self.phase else {
            return;
        };
        let file = self.part.as_ref().expect("a part was read").file;
        self.actions.push(Action::Send(*source, Request::Done { file }));
    }

    fn discard(&mut self) {
        if self.part.take().is_some() {
            self.actions.push(Action::Discard);
        }
    }
}

impl Asked {
    /// To be asked for at the next occasion.
    fn never() -> Self {
        Self { first: Duration::MAX, last: Duration::ZERO }
    }
}

#[cfg(test)]
mod tests;
