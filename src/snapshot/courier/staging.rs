//! What the thread does for backups on their way to and from this node.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use crossbeam_channel::Sender;

use super::{Courier, Incoming, chunk};
use crate::raft::NodeId;
use crate::snapshot::message::{FileId, Staging, Why};
use crate::snapshot::stage::{Action, Holder, Stager, Standing};
use crate::snapshot::work::{Job, WorkError};
use crate::snapshot::{Blobs, Stage};
use crate::state::{MetaError, Summary};
use crate::storage::snapshot::SnapshotError;
use crate::transport::Lane;

/// How often the clock of the state is looked at while a promise stands.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Both sides of the staging, and their files.
pub struct Stagings {
    stager: Stager,
    holder: Holder,
    /// The backup that is announced, once somebody has read of it.
    file: Option<(FileId, File)>,
    /// The one that is being received.
    part: Option<Incoming>,
    /// Who is told when a member has answered.
    news: Option<Sender<()>>,
    /// When the promises are looked through next.
    sweep: Option<Duration>,
}

impl Stagings {
    pub fn new(rate: u64, blobs: &Blobs) -> Self {
        Self {
            stager: Stager::new(rate),
            holder: Holder::new(Duration::ZERO, blobs.promised()),
            file: None,
            part: None,
            news: None,
            sweep: Some(Duration::ZERO),
        }
    }

    pub fn obey(&mut self, now: Duration, stage: Stage) {
        self.sweep = Some(now + SWEEP_EVERY);
        match stage {
            Stage::Begin(blob, members, news) => {
                (self.file, self.news) = (None, Some(news));
                self.stager.begin(now, blob, members);
            }
            Stage::Keep(not_after_ms) => self.stager.keep(now, not_after_ms),
            Stage::End => {
                (self.file, self.news) = (None, None);
                self.stager.end();
            }
        }
    }

    pub fn deadline(&self) -> Option<Duration> {
        let all = [self.stager.deadline(), self.holder.deadline(), self.sweep];
        all.into_iter().flatten().min()
    }

    pub fn standings(&self) -> BTreeMap<NodeId, Standing> {
        self.stager.standings()
    }

    /// Tells that the standings have changed.
    pub fn tell(&self) {
        if let Some(news) = &self.news {
            // Full means that it is told already.
            news.try_send(()).ok();
        }
    }

    pub fn announced(&self) -> Option<FileId> {
        self.stager.file()
    }

    pub fn receives(&self, file: FileId) -> bool {
        self.holder.receives(file)
    }

    pub fn on_message(&mut self, now: Duration, from: NodeId, staging: Staging) {
        match staging {
            Staging::Stage { blob, not_after_ms } => {
                self.holder.on_stage(now, from, blob, not_after_ms);
            }
            Staging::Staged { file, not_after_ms } => {
                self.stager.on_standing(from, file, Standing::Holds(not_after_ms));
            }
            Staging::Unstaged { file, why } => {
                self.stager.on_standing(from, file, Standing::Refuses(why));
            }
        }
    }

    pub fn on_read(&mut self, now: Duration, from: NodeId, file: FileId, offset: u64) {
        self.stager.on_read(now, from, file, offset);
    }

    pub fn on_chunk(
        &mut self,
        now: Duration,
        from: NodeId,
        file: FileId,
        offset: u64,
        bytes: Bytes,
    ) {
        self.holder.on_chunk(now, from, file, offset, bytes);
    }

    pub fn on_gone(&mut self, from: NodeId, file: FileId) {
        self.holder.on_gone(from, file);
    }

    pub fn take_actions(&mut self) -> Vec<Action> {
        let mut actions = self.stager.take_actions();
        actions.extend(self.holder.take_actions());
        actions
    }

    /// A piece of the announced backup as a message.
    fn read(
        &mut self,
        blobs: &Blobs,
        file: FileId,
        offset: u64,
        length: usize,
    ) -> io::Result<Bytes> {
        if self.file.as_ref().is_none_or(|(open, _)| *open != file) {
            self.file = Some((file, File::open(blobs.backup(file))?));
        }
        let (_, data) = self.file.as_ref().expect("it was just opened");
        chunk(data, file, offset, length)
    }
}

impl Courier {
    pub(super) fn advance_stagings(&mut self, now: Duration) {
        self.stagings.stager.advance(now);
        self.stagings.holder.advance(now);
        if self.stagings.sweep.is_some_and(|then| now >= then) {
            self.sweep(now);
        }
    }

    /// Removes backups that were restored, or will never be.
    fn sweep(&mut self, now: Duration) {
        // Before the first entry nothing is known, and nothing is over.
        let meta = self.parts.views.current().meta().clone();
        let clock_ms = Summary::decode(&meta).map_or(0, |summary| summary.clock_ms);
        for file in self.parts.blobs.sweep(clock_ms) {
            self.stagings.holder.on_removed(file);
        }
        let more = !self.parts.blobs.promised().is_empty() || self.stagings.stager.file().is_some();
        self.stagings.sweep = more.then_some(now + SWEEP_EVERY);
    }

    pub(super) fn stage(&mut self, action: Action) {
        let blobs = Arc::clone(&self.parts.blobs);
        match action {
            Action::Say(to, staging) => self.send(to, Lane::Control, staging.encode()),
            Action::Ask(to, request) => self.send(to, Lane::Control, request.encode()),
            Action::Answer(to, answer) => self.send(to, Lane::Control, answer.encode()),
            Action::Read { to, file, offset, length } => {
                match self.stagings.read(&blobs, file, offset, length) {
                    Ok(message) => {
                        self.parts.metrics.snapshot_bytes_sent.add(length as u64);
                        self.send(to, Lane::Bulk, message);
                    }
                    Err(error) => log::warn!("a backup cannot be read any more: {error}"),
                }
            }
            Action::Create(blob) => {
                let room = blobs.expect_room(blob.size);
                let part = room
                    .and_then(|()| Incoming::create(blobs.part(blob.file), blob.file, blob.size));
                match part {
                    Ok(part) => self.stagings.part = Some(part),
                    Err(error) => self.unstage(blob.file, &error),
                }
            }
            Action::Write { offset, bytes } => {
                let Some(part) = &mut self.stagings.part else { return };
                self.parts.metrics.snapshot_bytes_received.add(bytes.len() as u64);
                if let Err(error) = part.write(offset, &bytes) {
                    let name = part.name;
                    self.unstage(name, &error);
                }
            }
            Action::Check(blob) => {
                let Some(part) = &self.stagings.part else { return };
                let abandoned = Arc::clone(&part.abandoned);
                if self.parts.jobs.try_send(Job::Check { blob, abandoned }).is_err() {
                    let why = io::Error::other("too many other states are being built");
                    self.unstage(blob.file, &why);
                }
            }
            Action::Keep { blob, not_after_ms } => match blobs.keep(&blob, not_after_ms) {
                Ok(()) => {
                    self.stagings.sweep = Some(self.now() + SWEEP_EVERY);
                    self.stagings.holder.on_kept(blob.file, not_after_ms);
                }
                Err(error) => self.unstage(blob.file, &error),
            },
            Action::Discard(file) => {
                self.stagings.part.take_if(|part| part.name == file);
                blobs.discard(file);
            }
        }
    }

    /// Something could not be done for a backup.
    fn unstage(&mut self, file: FileId, error: &io::Error) {
        log::warn!("cannot hold a backup that is to be restored: {error}");
        let full =
            matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        let why = if full { Why::NoRoom } else { Why::Failed };
        self.stagings.holder.on_failed(self.now(), file, why);
    }

    /// A backup was checked, or was found to be of no use.
    pub(super) fn on_checked(
        &mut self,
        now: Duration,
        file: FileId,
        abandoned: &AtomicBool,
        result: Result<(), WorkError>,
    ) {
        if abandoned.load(Ordering::Relaxed) {
            // What was written since it was discarded.
            return self.parts.blobs.discard(file);
        }
        self.stagings.part.take_if(|part| part.name == file);
        match result {
            Ok(()) => self.stagings.holder.on_checked(now, file),
            Err(error) => {
                log::warn!("cannot hold a backup that is to be restored: {error}");
                self.stagings.holder.on_failed(now, file, why(&error));
            }
        }
    }
}

/// What another node is told of an error.
fn why(error: &WorkError) -> Why {
    match error {
        WorkError::Meta(MetaError::Newer(_)) | WorkError::Snapshot(SnapshotError::Newer { .. }) => {
            Why::Newer
        }
        error if error.is_full() => Why::NoRoom,
        error if error.is_wrong() => Why::Damaged,
        _ => Why::Failed,
    }
}
