//! Reading a whole checkpoint to see whether it is still what was written.
//!
//! A digest that is kept up to date with each write does not see what rots on the disk, and reading by
//! way of the caches does not either.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{CheckpointView, StoreError, intact};

/// How long to sleep at most before looking whether to stop.
const SLEEP: Duration = Duration::from_millis(50);

/// What a scrub came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scrubbed {
    /// Everything was read and is as it was written.
    Whole {
        /// Bytes of the files.
        bytes: u64,
        /// Number of rows.
        rows: u64,
    },
    /// It was told to stop.
    Stopped,
}

impl CheckpointView {
    /// Reads every file of the checkpoint from the disk, past all caches, and checks it against its
    /// checksum; then hands every row to `visit`, in the order of the keys, whose sum the caller can
    /// compare with what the checkpoint says of itself. Reads `rate` bytes per second at most.
    ///
    /// # Errors
    /// [`super::StoreErrorKind::Damaged`], with the name of the file, when one is not what was written.
    pub fn scrub(
        &self,
        rate: u64,
        stop: &AtomicBool,
        visit: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<Scrubbed, StoreError> {
        let mut pace = Pace { rate: rate.max(1), stop, start: Instant::now(), bytes: 0 };
        for (path, sum, _kept) in self.disk.tables() {
            if intact::check_table(&path, sum, &mut |bytes| pace.spend(bytes))?.is_none() {
                return Ok(Scrubbed::Stopped);
            }
        }
        let (bytes, mut rows) = (pace.bytes, 0);
        for row in self.rows() {
            let (key, value) = row?;
            visit(&key, &value);
            rows += 1;
            if !pace.spend((key.len() + value.len()) as u64) {
                return Ok(Scrubbed::Stopped);
            }
        }
        Ok(Scrubbed::Whole { bytes, rows })
    }
}

/// Keeps a reader to its rate.
struct Pace<'a> {
    rate: u64,
    stop: &'a AtomicBool,
    start: Instant,
    bytes: u64,
}

impl Pace<'_> {
    /// Sleeps until these bytes too are within the rate; says whether to go on.
    fn spend(&mut self, bytes: u64) -> bool {
        self.bytes += bytes;
        let due = Duration::from_secs_f64(self.bytes as f64 / self.rate as f64);
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return false;
            }
            let early = due.saturating_sub(self.start.elapsed());
            if early.is_zero() {
                return true;
            }
            thread::sleep(early.min(SLEEP));
        }
    }
}
