//! Makes the next segment's file while the current one is being filled.
//!
//! A spare is full of zeros and durable before it gets its name, so one that is found at the start can be
//! used as it stands. Only one is kept.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::WalError;
use crate::storage::files;
use crate::threads;

const NAME: &str = "spare";
/// Bytes of zeros between two syncs: enough to be quick, too few to hold up the log's own syncs.
const STEP: usize = 1 << 20;

/// The thread that makes spares, and its one spare.
pub struct Spares {
    path: PathBuf,
    wanted: Option<Sender<()>>,
    made: Receiver<io::Result<()>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Spares {
    /// Starts the thread `log-ahead`, which at once makes a spare of `size` bytes in `dir`.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(dir: &Path, size: u64) -> Result<Self, WalError> {
        let (wanted, requests) = bounded(1);
        let (done, made) = bounded(1);
        let stop = Arc::new(AtomicBool::new(false));
        let (work_dir, work_stop) = (dir.to_owned(), Arc::clone(&stop));
        let thread = threads::spawn("log-ahead", move || {
            for () in requests {
                if done.send(make(&work_dir, size, &work_stop)).is_err() {
                    return;
                }
            }
        })
        .map_err(WalError::io("start a thread for", dir))?;
        let _ = wanted.send(());
        Ok(Self { path: dir.join(NAME), wanted: Some(wanted), made, stop, thread: Some(thread) })
    }

    /// Moves the spare to `to`, waiting for it if need be, and orders the next one.
    ///
    /// # Errors
    /// When it could not be made: the disk is full or fails.
    pub fn take(&self, to: &Path) -> Result<(), WalError> {
        let made = self.made.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()));
        made.map_err(WalError::io("prepare", &self.path))?;
        fs::rename(&self.path, to).map_err(WalError::io("rename", &self.path))?;
        if let Some(wanted) = &self.wanted {
            let _ = wanted.send(());
        }
        Ok(())
    }
}

impl Drop for Spares {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.wanted = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Moves a spare of `size` bytes that an earlier process left to `to`; false when there is none.
///
/// # Errors
/// When there is one and it cannot be moved.
pub fn take_left(dir: &Path, size: u64, to: &Path) -> io::Result<bool> {
    let usable = is_spare(dir, size)?;
    if usable {
        fs::rename(dir.join(NAME), to)?;
    }
    Ok(usable)
}

/// Writes a file of `size` zeros, durable when this returns.
///
/// # Errors
/// When the disk is full or fails.
pub fn fill(path: &Path, size: u64) -> io::Result<File> {
    fill_until(path, size, &AtomicBool::new(false))
}

fn is_spare(dir: &Path, size: u64) -> io::Result<bool> {
    match fs::metadata(dir.join(NAME)) {
        Ok(metadata) => Ok(metadata.len() == size),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn make(dir: &Path, size: u64, stop: &AtomicBool) -> io::Result<()> {
    if is_spare(dir, size)? {
        return Ok(());
    }
    let temporary = dir.join(files::temporary_name(NAME));
    fill_until(&temporary, size, stop)?;
    fs::rename(&temporary, dir.join(NAME))?;
    files::sync_dir(dir)
}

fn fill_until(path: &Path, size: u64, stop: &AtomicBool) -> io::Result<File> {
    let file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
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
    file.sync_all()?;
    Ok(file)
}
