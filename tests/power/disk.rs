//! A small disk of our own, whose power can be cut: ext4 in a file on a loop device.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::statvfs;
use tempfile::TempDir;

use super::need::tool;

/// How long a file system may be busy with what was running on it.
const BUSY: Duration = Duration::from_secs(20);
/// Of memory, for the disks of all tests at once.
const ENOUGH: u64 = 2 << 30;
/// Makes the file system forget what it has not yet sent to its device, its journal included; from then
/// on it does nothing more: `EXT4_IOC_SHUTDOWN` with `NOLOGFLUSH`.
const CUT: &str = "import fcntl, os, struct, sys
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', 2))";

/// A mounted file system; unmounted and gone when dropped.
pub struct Disk {
    home: TempDir,
    /// The loop device; none before it is set up.
    device: Option<String>,
    mounted: bool,
}

impl Disk {
    /// Makes and mounts an empty one of `mib` MiB.
    ///
    /// # Errors
    /// Why this machine does not allow it.
    pub fn new(mib: u64) -> Result<Self, String> {
        let home = home().map_err(|error| error.to_string())?;
        let image = home.path().join("image");
        let file = File::create(&image).map_err(|error| error.to_string())?;
        file.set_len(mib << 20).map_err(|error| error.to_string())?;
        tool("mkfs.ext4", &["-q", "-F", text(&image)])?;
        fs::create_dir(home.path().join("mounted")).map_err(|error| error.to_string())?;
        let mut disk = Self { home, device: None, mounted: false };
        // Not by way of mount, which would take it down again with each cut.
        let device = tool("losetup", &["--find", "--show", text(&image)])?;
        disk.device = Some(device.trim().to_owned());
        disk.mount()?;
        Ok(disk)
    }

    /// As [`Disk::new`], where the power of it can be cut.
    ///
    /// # Errors
    /// Why this machine does not allow it.
    pub fn with_switch(mib: u64) -> Result<Self, String> {
        let mut disk = Self::new(mib)?;
        disk.cut()?;
        disk.mount()?;
        Ok(disk)
    }

    /// The root of the file system.
    pub fn path(&self) -> PathBuf {
        self.home.path().join("mounted")
    }

    /// Mounts it again after a cut.
    pub fn mount(&mut self) -> Result<(), String> {
        let device = self.device.clone().expect("it is set up at once");
        let start = Instant::now();
        loop {
            tool("mount", &[&device, text(&self.path())])?;
            self.mounted = true;
            if !self.is_off() {
                return Ok(());
            }
            // Whoever has copied the machine's mounts keeps the file system as it was.
            if start.elapsed() > BUSY {
                return Err("it stays off".to_owned());
            }
            self.unmount()?;
        }
    }

    /// Cuts the power: what was not synced is gone, and what runs on it can write no more.
    pub fn switch_off(&self) -> Result<(), String> {
        // A wrapper of some kind may stand first on the path, and be slow.
        let usual = "/usr/bin/python3";
        let python = if Path::new(usual).exists() { usual } else { "python3" };
        tool(python, &["-c", CUT, text(&self.path())]).map(|_| ())
    }

    /// Whether nothing works on it any more.
    pub fn is_off(&self) -> bool {
        File::create(self.path().join("is-it-on")).is_err()
    }

    /// Cuts the power and takes the disk out. Nothing may run on it any more.
    pub fn cut(&mut self) -> Result<(), String> {
        self.switch_off()?;
        self.unmount()
    }

    /// What has just ended may still be about to close its files.
    fn unmount(&mut self) -> Result<(), String> {
        let start = Instant::now();
        while let Err(error) = tool("umount", &[text(&self.path())]) {
            if start.elapsed() > BUSY {
                return Err(error);
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
        self.mounted = false;
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let mounted = self.mounted.then(|| self.path());
        // Lazily: whoever still runs on it must not keep the machine from getting clean.
        let unmounted = mounted.map_or(Ok(String::new()), |it| tool("umount", &["-l", text(&it)]));
        let detached = match &self.device {
            Some(device) => unmounted.and_then(|_| tool("losetup", &["--detach", device])),
            None => unmounted,
        };
        if let Err(error) = detached {
            eprintln!("left behind: {error}");
        }
    }
}

/// In memory where there is enough of it: what counts is what reaches the image, not how fast.
fn home() -> std::io::Result<TempDir> {
    let shared = Path::new("/dev/shm");
    match statvfs(shared) {
        Ok(stat) if stat.f_bavail * stat.f_frsize >= ENOUGH => TempDir::new_in(shared),
        Ok(_) | Err(_) => TempDir::new(),
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a temporary directory has a plain name")
}
