//! Makes the next segments' files while the current one is being filled.
//!
//! Two are kept: the *spare* is the next segment, the *reserve* the one after. So a disk that is full
//! shows itself while there is still a whole segment left: the node stops taking writes from clients,
//! and what elections and configurations need still finds its place. The thread tries again every
//! second; a file that could not be finished gives its room back meanwhile.
//!
//! A file made ahead is full of zeros and durable before it gets its name, so one that is found at the
//! start can be used as it stands.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::{Condvar, Mutex};
use rustix::fs::statvfs;

use super::WalError;
use crate::storage::files;
use crate::threads;

const NAMES: [&str; 2] = ["spare", "reserve"];
/// What is being made.
const MAKING: &str = "ahead";
/// Bytes of zeros between two syncs: enough to be quick, too few to hold up the log's own syncs.
const STEP: usize = 1 << 20;
/// How long to wait for room before the next attempt.
const RETRY: Duration = Duration::from_secs(1);

/// The thread that makes files ahead, and what it has made.
pub struct Spares {
    shelf: Arc<Shelf>,
    low_changed: Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread shares with the writer.
struct Shelf {
    dir: PathBuf,
    size: u64,
    stock: Mutex<Stock>,
    changed: Condvar,
    stop: AtomicBool,
    low: AtomicBool,
    low_changed: Sender<()>,
}

#[derive(Default)]
struct Stock {
    ready: [bool; NAMES.len()],
    /// Why the last attempt failed. With anything but a full disk the thread has ended.
    failure: Option<io::Error>,
}

impl Spares {
    /// Starts the thread `log-ahead`, which at once makes files of `size` bytes in `dir`.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(dir: &Path, size: u64) -> Result<Self, WalError> {
        let (tell, low_changed) = bounded(1);
        let shelf = Arc::new(Shelf {
            dir: dir.to_owned(),
            size,
            stock: Mutex::default(),
            changed: Condvar::new(),
            stop: AtomicBool::new(false),
            low: AtomicBool::new(false),
            low_changed: tell,
        });
        let work = Arc::clone(&shelf);
        let thread = threads::spawn("log-ahead", move || work.run())
            .map_err(WalError::io("start a thread for", dir))?;
        Ok(Self { shelf, low_changed, thread: Some(thread) })
    }

    /// Moves a file to `to`, waiting for one while the disk has room, and orders the next.
    ///
    /// # Errors
    /// [`WalError::Full`] when there is none and no room for one: it may be asked again.
    /// [`WalError::Io`] when the disk fails.
    pub fn take(&self, to: &Path) -> Result<(), WalError> {
        let mut stock = self.shelf.stock.lock();
        let at = loop {
            if let Some(at) = stock.ready.iter().position(|ready| *ready) {
                break at;
            }
            if let Some(failure) = &stock.failure {
                let failure = failure
                    .raw_os_error()
                    .map_or_else(|| io::Error::from(failure.kind()), io::Error::from_raw_os_error);
                return Err(WalError::io("prepare", to)(failure));
            }
            self.shelf.changed.wait(&mut stock);
        };
        let path = self.shelf.dir.join(NAMES[at]);
        fs::rename(&path, to).map_err(WalError::io("rename", &path))?;
        stock.ready[at] = false;
        self.shelf.changed.notify_all();
        Ok(())
    }

    /// Whether the last file could not be made for want of room.
    pub fn is_low(&self) -> bool {
        self.shelf.low.load(Ordering::Acquire)
    }

    /// Holds a message after [`Spares::is_low`] has changed.
    pub fn low_changed(&self) -> &Receiver<()> {
        &self.low_changed
    }
}

impl Drop for Spares {
    fn drop(&mut self) {
        {
            let _stock = self.shelf.stock.lock();
            self.shelf.stop.store(true, Ordering::Relaxed);
        }
        self.shelf.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shelf {
    /// The thread.
    fn run(&self) {
        while let Some(at) = self.wait_for_a_gap() {
            let made = make(&self.dir, NAMES[at], self.size, &self.stop);
            let full = made.as_ref().is_err_and(files::is_full);
            let failed = made.is_err();
            let mut stock = self.stock.lock();
            stock.ready[at] = !failed;
            stock.failure = made.err();
            self.changed.notify_all();
            if self.low.swap(full, Ordering::AcqRel) != full {
                let _ = self.low_changed.try_send(());
            }
            if full && !self.stopped() {
                self.changed.wait_for(&mut stock, RETRY);
            } else if failed {
                return;
            }
        }
    }

    /// Which file to make next; none when it is time to stop.
    fn wait_for_a_gap(&self) -> Option<usize> {
        let mut stock = self.stock.lock();
        loop {
            if self.stopped() {
                return None;
            }
            if let Some(at) = stock.ready.iter().position(|ready| !ready) {
                return Some(at);
            }
            self.changed.wait(&mut stock);
        }
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// Moves a file of `size` bytes that an earlier process made ahead to `to`; false when there is none.
///
/// # Errors
/// When there is one and it cannot be moved.
pub fn take_left(dir: &Path, size: u64, to: &Path) -> io::Result<bool> {
    // The reserve first: then a spare is left in its place.
    for name in NAMES.iter().rev() {
        if is_usable(dir, name, size)? {
            fs::rename(dir.join(name), to)?;
            return Ok(true);
        }
    }
    Ok(false)
}

/// Writes a file of `size` zeros, durable when this returns.
///
/// # Errors
/// When the disk is full or fails; the file then takes no room.
pub fn fill(path: &Path, size: u64) -> io::Result<File> {
    fill_until(path, size, &AtomicBool::new(false))
}

fn is_usable(dir: &Path, name: &str, size: u64) -> io::Result<bool> {
    match fs::metadata(dir.join(name)) {
        Ok(metadata) => Ok(metadata.len() == size),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn make(dir: &Path, name: &str, size: u64, stop: &AtomicBool) -> io::Result<()> {
    if is_usable(dir, name, size)? {
        return Ok(());
    }
    // Not tried in vain: it would take the last room from others every second, and wear the disk.
    let room = statvfs(dir)?;
    if room.f_bavail.saturating_mul(room.f_frsize) < size {
        return Err(io::ErrorKind::StorageFull.into());
    }
    let temporary = dir.join(files::temporary_name(MAKING));
    fill_until(&temporary, size, stop)?;
    fs::rename(&temporary, dir.join(name))?;
    files::sync_dir(dir)
}

fn fill_until(path: &Path, size: u64, stop: &AtomicBool) -> io::Result<File> {
    let file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
    match write_zeros(&file, size, stop) {
        Ok(()) => Ok(file),
        Err(error) => {
            // As good as it can be done: the error itself is what counts.
            let _ = file.set_len(0);
            Err(error)
        }
    }
}

fn write_zeros(file: &File, size: u64, stop: &AtomicBool) -> io::Result<()> {
    let zeros = vec![0; STEP];
    let mut at = 0;
    while at < size {
        if stop.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let length = usize::try_from(size - at).unwrap_or(STEP).min(STEP);
        file.write_all_at(&zeros[..length], at)?;
        file.sync_data()?;
        at += length as u64;
    }
    file.sync_all()
}
