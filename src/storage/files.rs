//! What every small file here is written with: whole or not at all, and with its directory.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{Advice, fadvise};

/// Makes the names in a directory durable: a file is not safe before its name is.
///
/// # Errors
/// When the directory cannot be opened or synced.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Puts `bytes` under `dir/name` so that a crash leaves the old file or the new one.
///
/// # Errors
/// When any step fails; the old file then still stands.
pub fn replace(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    replace_by(File::options().write(true).create(true).truncate(true), dir, name, bytes)
}

/// The same for a file with these permission bits, from its first byte on.
///
/// # Errors
/// As [`replace`].
pub fn replace_private(dir: &Path, name: &str, bytes: &[u8], mode: u32) -> io::Result<()> {
    // One that was left behind would keep its own mode.
    match fs::remove_file(dir.join(temporary_name(name))) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    replace_by(File::options().write(true).create_new(true).mode(mode), dir, name, bytes)
}

fn replace_by(options: &OpenOptions, dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = dir.join(temporary_name(name));
    let written = || {
        let mut file = options.open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, dir.join(name))
    };
    if let Err(error) = written() {
        // A full disk is not made fuller; the error itself is what counts.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    sync_dir(dir)
}

/// Takes `dir/name` away, durably; without one there is nothing to do.
///
/// # Errors
/// When the system says no.
pub fn remove(dir: &Path, name: &str) -> io::Result<()> {
    match fs::remove_file(dir.join(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        removed => removed?,
    }
    sync_dir(dir)
}

/// Whether an error means that the disk has no room (for this user).
#[must_use]
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// What a half-written `name` is called.
#[must_use]
pub fn temporary_name(name: &str) -> String {
    format!("{name}.tmp")
}

/// Makes sure that what is read from now on is what the disk holds.
///
/// After a failed fsync the kernel keeps pages that never reached the disk and calls them clean; a
/// process that starts anew would read them, find every checksum right and acknowledge what a power
/// cut takes away. So: write out what is dirty, then forget what is cached.
///
/// # Errors
/// When the file cannot be written out: its content cannot be trusted.
pub fn settle(file: &File) -> io::Result<()> {
    file.sync_data()?;
    fadvise(file, 0, None, Advice::DontNeed)?;
    Ok(())
}
