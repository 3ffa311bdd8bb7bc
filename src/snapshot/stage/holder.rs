//! The side of a member: what it receives, what it holds, and what it has promised.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use super::{Action, HELD_MAX, PATIENCE_MAX, PATIENCE_MIN, SILENCE};
use crate::raft::NodeId;
use crate::snapshot::message::{Blob, CHUNK, FileId, Request, Staging, Why};
use crate::snapshot::serve::WINDOW;

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
