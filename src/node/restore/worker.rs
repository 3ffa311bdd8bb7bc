//! The thread `restore`: one backup after the other, from the first byte to the answer.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, after, bounded, select, unbounded};

use super::intake::{self, Intake};
use super::{Feed, Job, RestoreError, Restores, Stop, stopping};
use crate::error::{Certainty, Failure, Reason};
use crate::ids::{Id128, Ticket};
use crate::node::client::{Ask, Client, Completion, Outcome, Request, Sink};
use crate::raft::NodeId;
use crate::snapshot::{self, Blob, Blobs, Checked, FileId, Standing, Why, WorkError};
use crate::state::{Command, Reply, Restore, Summary, VERSION_KV};
use crate::threads;

/// How long the cluster has to tell its time, to promise, and to write the entry.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a promise lasts, in ms of cluster time: longer than the entry can be under way.
const KEEP_MS: u64 = 120_000;
/// How long so many members must have refused that there can be no majority: they may be done with
/// another backup in a moment.
const REFUSED: Duration = Duration::from_secs(3);
/// When a majority holds a backup, the others get half as long again as that took, within these bounds.
const GRACE_MIN: Duration = Duration::from_secs(1);
const GRACE_MAX: Duration = Duration::from_secs(30);
/// Nobody gets that far; but the next revision has to be a number, too.
const REVISION_MAX: u64 = 1 << 62;
/// Longest wait for news of the members.
const LOOK: Duration = Duration::from_millis(500);

/// What the thread is made of.
pub struct RestoreThread {
    /// This node.
    pub id: NodeId,
    /// Where backups are handed in.
    pub restores: Restores,
    /// The way to the rest of the node.
    pub client: Client,
    /// Where backups are kept.
    pub blobs: Arc<Blobs>,
    /// The way to the other members.
    pub snapshots: snapshot::Handle,
}

impl RestoreThread {
    /// Starts the thread; it ends when [`Restores::stop`] says so.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn spawn(self) -> std::io::Result<JoinHandle<()>> {
        threads::spawn("restore", move || {
            let (answers_in, answers) = unbounded();
            let sink = self.client.completions.register(Arc::new(Answers(answers_in)));
            let jobs = self.restores.jobs.1.clone();
            let worker = Worker { stop: self.restores.stop.clone(), thread: self, sink, answers };
            while let Some(job) = worker.wait(&jobs, None) {
                worker.work(job);
            }
        })
    }
}

/// Where the answers to this thread's questions come.
struct Answers(Sender<Completion>);

impl Sink for Answers {
    fn complete(&self, batch: Vec<Completion>) {
        for completion in batch {
            // Nobody listens any more when the node is stopping.
            self.0.send(completion).ok();
        }
    }
}

struct Worker {
    thread: RestoreThread,
    stop: Stop,
    sink: u16,
    answers: Receiver<Completion>,
}

impl Worker {
    /// What comes next from a channel; none when it ends, when the time is over, or when the node stops.
    fn wait<T>(&self, channel: &Receiver<T>, timeout: Option<Duration>) -> Option<T> {
        if self.stop.flag.load(Ordering::Acquire) {
            return None;
        }
        let timer = timeout.map_or_else(crossbeam_channel::never, after);
        select! {
            recv(channel) -> it => it.ok(),
            recv(self.stop.wake.1) -> _ => None,
            recv(timer) -> _ => None,
        }
    }

    fn work(&self, job: Job) {
        let Job { pieces, end, feed, place } = job;
        let file = Id128::random();
        let received = self.receive(file, &pieces, &feed);
        if let Err(error) = &received {
            *feed.result.lock() = Some(Err(error.clone()));
        }
        drop(pieces);
        self.wake(&feed);
        // Without an end, whoever sent it is gone, whatever has arrived.
        let asked = self.wait(&end, None);
        let result = match (received, asked) {
            (Ok(()), Some((_, deadline))) => self.restore(file, deadline),
            (Ok(()), None) => Err(stopping()),
            (Err(error), _) => Err(error),
        };
        self.thread.snapshots.unstage();
        if self.thread.blobs.promised().iter().all(|(blob, _)| blob.file != file) {
            self.thread.blobs.discard(file);
        }
        // Before the answer, so that whoever gets it can begin the next.
        drop(place);
        if let Some((ticket, _)) = asked {
            match &result {
                Ok(revision) => log::info!("a backup is restored, at revision {revision}"),
                Err(error) => log::warn!("a backup was not restored: {error}"),
            }
            *feed.result.lock() = Some(result);
            self.tell(ticket, Outcome::Done);
        }
    }

    fn tell(&self, ticket: Ticket, outcome: Outcome) {
        let (index, _) = self.thread.client.applied();
        self.thread.client.completions.deliver(vec![Completion { ticket, index, outcome }]);
    }

    /// There is room for a piece, or will be none.
    fn wake(&self, feed: &Feed) {
        let waiting = feed.waiting.lock().take();
        if let Some(ticket) = waiting {
            self.tell(ticket, Outcome::Changed);
        }
    }

    /// Takes what arrives until it ends.
    fn receive(
        &self,
        file: FileId,
        pieces: &Receiver<Bytes>,
        feed: &Feed,
    ) -> Result<(), RestoreError> {
        let blobs = &self.thread.blobs;
        let reserve = blobs.reserve().map_err(|error| intake::trouble(&error))?;
        let mut intake = Intake::create(&blobs.part(file), reserve)?;
        while let Some(piece) = self.wait(pieces, None) {
            self.wake(feed);
            intake.take(&piece)?;
        }
        intake.finish()
    }

    /// Restores what was received. Gives the revision that the state has then.
    fn restore(&self, file: FileId, deadline: Instant) -> Result<u64, RestoreError> {
        let never = AtomicBool::new(false);
        let checked = self.thread.blobs.check(file, None, [&self.stop.flag, &never]);
        let checked = checked.map_err(|error| unusable(&error))?;
        self.expect_version(&checked)?;
        // Who cannot tell the time cannot restore anything either, and says so at once.
        self.cluster_clock()?;
        let blob = checked.blob;
        let (news_in, news) = bounded(1);
        self.gather(&blob, news_in, &news, deadline)?;
        let not_after_ms = self.promise(&blob, &news)?;
        let summary = checked.meta.summary;
        let command = Command::Restore(Restore {
            file,
            sha256: blob.sha256,
            not_after_ms,
            revision: summary.revision,
            clock_ms: checked.meta.state_clock_ms(),
        });
        match self.ask(Ask::Write(command.encode()), PATIENCE)? {
            Outcome::Written(Reply::Restored { revision }) => Ok(revision),
            Outcome::Written(Reply::RestoreLate) => {
                Err(RestoreError::NotNow("the cluster took too long to restore it".to_owned()))
            }
            Outcome::Failed(failure) => Err(failed(&failure)),
            other => Err(RestoreError::Unknown(format!("the cluster says {other:?}"))),
        }
    }

    /// Whether all members know what is in a backup.
    fn expect_version(&self, checked: &Checked) -> Result<(), RestoreError> {
        let own = self.summary().map_or(0, |summary| summary.cluster_version);
        if own < VERSION_KV {
            return Err(RestoreError::NotNow(
                "a member still runs an older version, which cannot restore a backup".to_owned(),
            ));
        }
        let Summary { cluster_version: found, revision, .. } = checked.meta.summary;
        if revision > REVISION_MAX {
            return Err(RestoreError::Invalid(format!("no backup has revision {revision}")));
        }
        if found > own {
            return Err(RestoreError::Invalid(format!(
                "the backup is of cluster version {found}, and this cluster is at {own}: upgrade all \
                 its members first"
            )));
        }
        Ok(())
    }

    fn summary(&self) -> Option<Summary> {
        Summary::decode(&self.thread.client.applied().1).ok()
    }

    /// The clock of the cluster, in ms, which only an entry can tell: one that changes nothing.
    fn cluster_clock(&self) -> Result<u64, RestoreError> {
        let mark = Command::Kv { ops: Vec::new() };
        let outcome =
            self.ask(Ask::Write(mark.encode()), PATIENCE).map_err(|error| match error {
                // Whatever came of it, it changes nothing.
                RestoreError::Unknown(why) => RestoreError::NotNow(why),
                other => other,
            })?;
        match outcome {
            Outcome::Written(_) => {}
            Outcome::Failed(Failure { reason, .. }) => {
                return Err(failed(&Failure::not_applied(reason)));
            }
            other => return Err(RestoreError::NotNow(format!("the cluster says {other:?}"))),
        }
        let summary = self.summary();
        let summary = summary.ok_or_else(|| not_now("this node's state cannot be read"))?;
        Ok(summary.clock_ms)
    }

    /// Waits until a majority of the voters holds a backup, and a little for the others.
    fn gather(
        &self,
        blob: &Blob,
        news_in: Sender<()>,
        news: &Receiver<()>,
        deadline: Instant,
    ) -> Result<(), RestoreError> {
        let members = self.thread.client.status();
        let others = members.members.iter().map(|it| it.id).filter(|id| *id != self.thread.id);
        let begun = Instant::now();
        self.thread.snapshots.stage(*blob, others.collect(), news_in);
        self.await_majority(blob.file, news, deadline, |_| true)?;
        let grace = (begun.elapsed() / 2).clamp(GRACE_MIN, GRACE_MAX);
        let until = deadline.min(Instant::now() + grace);
        while Instant::now() < until && self.tally(blob.file, |_| true).unheard > 0 {
            self.look(news, until);
        }
        Ok(())
    }

    /// Promises, here and at a majority, to keep a backup; gives until when.
    fn promise(&self, blob: &Blob, news: &Receiver<()>) -> Result<u64, RestoreError> {
        let not_after_ms = self.cluster_clock()?.saturating_add(KEEP_MS);
        let kept = self.thread.blobs.keep(blob, not_after_ms);
        kept.map_err(|error| RestoreError::NotNow(format!("the backup cannot be kept: {error}")))?;
        self.thread.snapshots.keep(not_after_ms);
        let deadline = Instant::now() + PATIENCE;
        self.await_majority(blob.file, news, deadline, |until| until >= not_after_ms)?;
        Ok(not_after_ms)
    }

    /// Waits until a majority of the voters holds a backup for long enough.
    fn await_majority(
        &self,
        file: FileId,
        news: &Receiver<()>,
        deadline: Instant,
        enough: impl Fn(u64) -> bool,
    ) -> Result<(), RestoreError> {
        let mut hopeless_since = None;
        loop {
            let tally = self.tally(file, &enough);
            if tally.holding >= tally.majority {
                return Ok(());
            }
            if self.stop.flag.load(Ordering::Acquire) {
                return Err(stopping());
            }
            let now = Instant::now();
            hopeless_since = tally.refusal().map(|_| hopeless_since.unwrap_or(now));
            if let (Some(why), Some(since)) = (tally.refusal(), hopeless_since)
                && now >= since + REFUSED
            {
                return Err(refused(why));
            }
            if now >= deadline {
                let Tally { holding, voters, .. } = tally;
                return Err(RestoreError::NotNow(format!(
                    "only {holding} of {voters} voters hold the backup"
                )));
            }
            self.look(news, deadline);
        }
    }

    /// Waits for news of the members, or a moment.
    fn look(&self, news: &Receiver<()>, until: Instant) {
        let left = until.saturating_duration_since(Instant::now());
        self.wait(news, Some(left.min(LOOK)));
    }

    /// How the voters stand to a backup, which this node holds.
    fn tally(&self, file: FileId, enough: impl Fn(u64) -> bool) -> Tally {
        let node = self.thread.client.status();
        let voters = node.members.iter().filter(|it| it.voter).map(|it| it.id);
        let voters: BTreeSet<NodeId> = voters.collect();
        let status = self.thread.snapshots.status();
        // Until the announcement has begun, what is there is about another one.
        let known = status.announced == Some(file);
        let mut tally =
            Tally { voters: voters.len(), majority: voters.len() / 2 + 1, ..Tally::default() };
        for id in voters {
            let standing = status.standings.get(&id).copied().filter(|_| known);
            match standing.unwrap_or(Standing::Unheard) {
                _ if id == self.thread.id => tally.holding += 1,
                Standing::Holds(until) if enough(until) => tally.holding += 1,
                Standing::Refuses(why) => tally.refusing.push(why),
                Standing::Holds(_) | Standing::Unheard => tally.unheard += 1,
            }
        }
        tally
    }

    /// Asks the rest of the node, and waits for the answer.
    fn ask(&self, ask: Ask, timeout: Duration) -> Result<Outcome, RestoreError> {
        let ticket = self.thread.client.ticket(self.sink);
        let deadline = Instant::now() + timeout;
        if self.thread.client.submit(Request { ticket, deadline, ask }).is_err() {
            return Err(failed(&Failure::not_applied(Reason::Busy)));
        }
        // The raft thread answers by the deadline, the applier as soon as it can.
        while let Some(completion) = self.wait(&self.answers, Some(timeout * 4)) {
            if completion.ticket == ticket {
                return Ok(completion.outcome);
            }
        }
        Err(RestoreError::Unknown("this node has not found out what came of it".to_owned()))
    }
}

/// How many voters hold a backup.
#[derive(Debug, Default)]
struct Tally {
    voters: usize,
    majority: usize,
    holding: usize,
    /// Why those do not that have said so.
    refusing: Vec<Why>,
    /// Those that have not said enough.
    unheard: usize,
}

impl Tally {
    /// Why there can be no majority as things stand.
    fn refusal(&self) -> Option<Why> {
        let hopeless = self.holding + self.unheard < self.majority;
        // What somebody can do something about comes first.
        let order = [Why::NoRoom, Why::Newer, Why::Busy, Why::Damaged, Why::Failed];
        order.into_iter().find(|why| hopeless && self.refusing.contains(why))
    }
}

fn not_now(why: &str) -> RestoreError {
    RestoreError::NotNow(why.to_owned())
}

/// What is wrong with the backup, or with this node's disk.
fn unusable(error: &WorkError) -> RestoreError {
    match error {
        WorkError::Abandoned => stopping(),
        error if error.is_full() => RestoreError::NoRoom(error.to_string()),
        error => match error.what_is_wrong() {
            Some(why) => RestoreError::Invalid(format!("this backup cannot be restored: {why}")),
            None => RestoreError::NotNow(error.to_string()),
        },
    }
}

/// What so many members say that there is no majority.
fn refused(why: Why) -> RestoreError {
    match why {
        Why::Busy => RestoreError::Busy,
        Why::NoRoom => RestoreError::NoRoom(
            "the disks of so many voters have no room for the backup that there is no majority"
                .to_owned(),
        ),
        Why::Newer => not_now("the backup is newer than what other members know: upgrade them"),
        Why::Damaged => not_now("the backup was damaged on its way to other members"),
        Why::Failed => not_now("other members cannot hold the backup; their logs say why"),
    }
}

/// What the raft thread says.
fn failed(failure: &Failure) -> RestoreError {
    match (failure.certainty, &failure.reason) {
        (Certainty::Unknown, reason) => {
            RestoreError::Unknown(Failure::unknown(reason.clone()).to_string())
        }
        (Certainty::NotApplied, Reason::DiskFull) => RestoreError::NoRoom(
            "the disk of this node, or those of a majority, have no room left".to_owned(),
        ),
        (Certainty::NotApplied, Reason::NoLeader) => {
            not_now("the cluster has no leader at the moment")
        }
        (Certainty::NotApplied, reason) => {
            RestoreError::NotNow(Failure::not_applied(reason.clone()).to_string())
        }
    }
}
