//! The thread `scrub`: reads all of the state on disk now and then, to see whether it still is what was
//! written.
//!
//! The digest that audits compare is kept up to date as rows change, so it does not see a row that rots
//! on the disk. Here every file is read past all caches, and the digest is computed from the rows alone
//! and compared with the one that the checkpoint was written with. It reads at a modest pace, once a
//! week unless told otherwise, also across restarts: the time of the last one is that of a file.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use crossbeam_channel::Sender;
use parking_lot::Mutex;

use super::driver::Control;
use super::scrub_status::{ScrubEnd, ScrubStatus, ScrubWake};
use crate::state::{Digest, Summary};
use crate::storage::{CheckpointView, Scrubbed, StateDir, StoreErrorKind, Views};
use crate::threads;

/// Its time of change is that of the last scrub.
const LAST: &str = "scrubbed";
/// How often a scrub that is not due yet is thought of: the clock of a machine may be set.
const LOOK: Duration = Duration::from_secs(600);
/// Rows between two reports of progress.
const REPORT_ROWS: u64 = 4096;

/// What the thread works with.
pub struct Scrubber {
    /// The data directory.
    pub data: PathBuf,
    /// Which state counts.
    pub dir: Arc<Mutex<StateDir>>,
    /// Where the state is read.
    pub views: Views,
    /// Bytes per second.
    pub rate: u64,
    /// Time between two scrubs; zero for none but those that are asked for.
    pub every: Duration,
    /// Where scrubs are asked for and reported.
    pub status: Arc<ScrubStatus>,
    /// Interrupts one.
    pub stop: Arc<AtomicBool>,
    /// Where a state that is not what was written is reported.
    pub control: Sender<Control>,
}

impl Scrubber {
    /// Starts the thread; it ends by [`ScrubStatus::stop`] and `stop`.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn spawn(self) -> std::io::Result<JoinHandle<()>> {
        threads::spawn("scrub", move || {
            loop {
                let due = self.due();
                match self.status.wait(due.map_or(LOOK, |wait| wait.min(LOOK))) {
                    ScrubWake::Stop => return,
                    ScrubWake::Asked => self.scrub(),
                    ScrubWake::Timeout if self.due() == Some(Duration::ZERO) => self.scrub(),
                    ScrubWake::Timeout => {}
                }
            }
        })
    }

    /// How long it is until the next scrub by itself; none when there is none.
    fn due(&self) -> Option<Duration> {
        if self.every.is_zero() {
            return None;
        }
        let last = fs::metadata(self.data.join(LAST)).and_then(|it| it.modified());
        let Ok(last) = last else {
            // Nothing is known: the first one is due a whole period from now.
            self.note();
            return Some(self.every);
        };
        let age = SystemTime::now().duration_since(last).unwrap_or_default();
        Some(self.every.saturating_sub(age))
    }

    /// Remembers that a scrub was done now. Without that the next one only comes too early.
    fn note(&self) {
        if let Err(error) = fs::write(self.data.join(LAST), b"") {
            log::debug!("the time of the scrub was not kept: {error}");
        }
    }

    fn scrub(&self) {
        self.status.begin(wall_ms());
        let state = self.dir.lock().current();
        let end = match self.views.current().checkpoint() {
            Some(checkpoint) => self.check(&checkpoint),
            None => ScrubEnd::Interrupted("there is no checkpoint on the disk yet".to_owned()),
        };
        match &end {
            ScrubEnd::Sound(what) => log::info!("scrub: {what}"),
            ScrubEnd::Damaged(why) if self.counts(&state) => {
                self.control.send(Control::StateLost(why.clone())).ok();
            }
            ScrubEnd::Damaged(why) => log::warn!("scrub of a state that was replaced: {why}"),
            ScrubEnd::Interrupted(why) => log::info!("scrub interrupted: {why}"),
        }
        if !matches!(end, ScrubEnd::Interrupted(_)) {
            self.note();
        }
        self.status.finish(wall_ms(), end);
    }

    /// Whether the state that was read is still the one in use.
    fn counts(&self, state: &Path) -> bool {
        let dir = self.dir.lock();
        dir.current() == state && dir.lost().is_none()
    }

    fn check(&self, checkpoint: &CheckpointView) -> ScrubEnd {
        let mut digest = Digest::default();
        let (mut rows, mut bytes) = (0, 0);
        let scrubbed = checkpoint.scrub(self.rate, &self.stop, &mut |key, value| {
            digest.add(key, value);
            rows += 1;
            bytes += (key.len() + value.len()) as u64;
            if rows % REPORT_ROWS == 0 {
                self.status.progress(rows, bytes);
            }
        });
        self.status.progress(rows, bytes);
        match scrubbed {
            Ok(Scrubbed::Stopped) => ScrubEnd::Interrupted("the node stops".to_owned()),
            Ok(Scrubbed::Whole { bytes, rows }) => {
                verdict(checkpoint, digest, &format!("{rows} rows in {bytes} bytes on disk"))
            }
            Err(error) if error.kind() == StoreErrorKind::Damaged => {
                ScrubEnd::Damaged(error.to_string())
            }
            Err(error) => ScrubEnd::Interrupted(error.to_string()),
        }
    }
}

/// Compares what was read with what the checkpoint says of itself.
fn verdict(checkpoint: &CheckpointView, read: Digest, what: &str) -> ScrubEnd {
    let checkpoint = checkpoint.checkpoint();
    match Summary::decode(&checkpoint.meta) {
        Ok(summary) if summary.rows_digest == read => ScrubEnd::Sound(format!(
            "{what} are what was written, as of entry {}",
            checkpoint.applied
        )),
        Ok(summary) => ScrubEnd::Damaged(format!(
            "the rows on disk as of entry {} have the digest {read}, and were written with {}",
            checkpoint.applied, summary.rows_digest
        )),
        Err(error) => ScrubEnd::Damaged(error.to_string()),
    }
}

fn wall_ms() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
