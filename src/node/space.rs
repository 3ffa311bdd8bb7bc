//! The thread `space`: whether there is room to go on, and what takes it.
//!
//! A disk that is full to the last byte cannot be helped by the program that filled it: to purge the log
//! takes a checkpoint, and a checkpoint takes room. So client writes are refused while there is still
//! some left ([`DiskConfig::reserve_bytes`]), and because other programs may take that too, a file
//! `reserve` keeps a part of it: it is removed when the file system is nearly out of room, and made again
//! when there is plenty.
//!
//! What is decided from is `statvfs`, which may hang when the disk does. So it has a thread of its own,
//! that nobody waits for: while it hangs, the last word stands.

use std::fmt;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use rustix::fs::{FallocateFlags, fallocate, statvfs};

use crate::config::DiskConfig;
use crate::threads;

/// Pause between two looks at the file system.
const LOOK: Duration = Duration::from_secs(1);
/// Pause between two walks through the data directory, when nothing depends on them but a gauge.
const WALK: Duration = Duration::from_secs(10);
/// The file that keeps room.
const RESERVE: &str = "reserve";
/// Largest reserve file, in bytes.
const RESERVE_FILE_MAX: u64 = 64 << 20;
/// Of a small file system, only this part is kept free.
const RESERVE_PART: u64 = 8;

/// Bytes of disk that the parts of a data directory take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct DataBytes {
    /// The log's segments, with those made ahead.
    pub log: u64,
    /// The state's checkpoints, also one that is being built.
    pub state: u64,
    /// States on their way from or to other nodes, and backups on their way into a restore.
    pub snapshots: u64,
    /// Everything else: identity, vote, the reserve.
    pub other: u64,
}

impl DataBytes {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.log + self.state + self.snapshots + self.other
    }
}

/// Why client writes are refused; the text is for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// The file system is nearly full.
    Room {
        /// Bytes that are free.
        free: u64,
        /// Bytes that are kept free.
        reserve: u64,
    },
    /// The data directory has grown to its bound.
    Allowance {
        /// Bytes of the data directory.
        data: u64,
        /// [`DiskConfig::data_max_bytes`].
        data_max: u64,
    },
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Room { free, reserve } => write!(
                f,
                "the disk is full: {} free, less than the {} that are kept in reserve",
                Size(*free),
                Size(*reserve)
            ),
            Self::Allowance { data, data_max } => write!(
                f,
                "the data directory takes {}, and {} is all it may take",
                Size(*data),
                Size(*data_max)
            ),
        }
    }
}

/// Bytes for people.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes >= 10 << 30 => write!(f, "{} GiB", bytes >> 30),
            bytes if bytes >= 10 << 20 => write!(f, "{} MiB", bytes >> 20),
            bytes => write!(f, "{} KiB", bytes >> 10),
        }
    }
}

/// What the thread reports, once a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Why client writes are to be refused; none when there is room.
    pub lack: Option<Lack>,
    /// Bytes that the file system has left.
    pub free_bytes: u64,
    /// What the data directory takes, at most ten seconds ago.
    pub data: DataBytes,
}

impl Space {
    /// Whether client writes are to be refused.
    #[must_use]
    pub fn full(&self) -> bool {
        self.lack.is_some()
    }
}

/// Starts the thread. It looks at the file system of `data` once a second and reports each time, until
/// `stop` is closed. Nobody should wait for its end: it may hang with the disk.
///
/// # Errors
/// When the system gives no thread.
pub fn spawn(
    data: &Path,
    config: &DiskConfig,
    stop: Receiver<()>,
    report: impl Fn(Space) + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let mut watch = Watch {
        data: data.to_owned(),
        judge: Judge::new(config),
        walked: None,
        parts: DataBytes::default(),
        unreadable: false,
        unreserved: false,
    };
    threads::spawn("space", move || {
        loop {
            if let Some(space) = watch.look() {
                report(space);
            }
            match stop.recv_timeout(LOOK) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    })
}

/// What is seen of a file system.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// Bytes in all.
    total: u64,
    /// Bytes that are free.
    free: u64,
    /// Bytes of the data directory.
    data: u64,
    /// Whether the reserve file is there.
    reserved: bool,
}

/// What to do about the reserve file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reserve {
    Leave,
    Remove,
    Make { bytes: u64 },
}

/// The decisions, without the disk.
#[derive(Clone, Debug)]
struct Judge {
    reserve_bytes: u64,
    segment_bytes: u64,
    data_max_bytes: u64,
    lack: Option<Lack>,
}

impl Judge {
    fn new(config: &DiskConfig) -> Self {
        Self {
            reserve_bytes: config.reserve_bytes,
            segment_bytes: config.segment_bytes,
            data_max_bytes: config.data_max_bytes,
            lack: None,
        }
    }

    /// Whether client writes are refused. Who was refused is only taken up again when there is a
    /// quarter more than the least, so that it does not go back and forth with each checkpoint.
    fn judge(&mut self, seen: &Seen) -> (Option<Lack>, Reserve) {
        let reserve = self.reserve(seen);
        let (data, data_max) = (seen.data, self.data_max_bytes);
        let again = |least: u64| least.saturating_add(least / 4);
        let (room, allowance) = match self.lack {
            None => (seen.free < reserve, data > data_max),
            Some(_) => (seen.free < again(reserve), again(data) > data_max),
        };
        self.lack = if room {
            Some(Lack::Room { free: seen.free, reserve })
        } else if allowance && data_max > 0 {
            Some(Lack::Allowance { data, data_max })
        } else {
            None
        };
        (self.lack, self.keep(seen))
    }

    /// Bytes that are kept free: of a small file system, not what was meant for a large one.
    fn reserve(&self, seen: &Seen) -> u64 {
        self.reserve_bytes.min(seen.total / RESERVE_PART)
    }

    /// At most half of what is kept free, so that to remove it never looks like a recovery, and made
    /// only where that leaves enough not to be refused again.
    fn keep(&self, seen: &Seen) -> Reserve {
        let reserve = self.reserve(seen);
        let bytes = self.segment_bytes.min(RESERVE_FILE_MAX).min(reserve / 2);
        if seen.reserved && seen.free < reserve / 2 {
            Reserve::Remove
        } else if !seen.reserved && bytes > 0 && seen.free >= reserve + reserve / 4 + bytes {
            Reserve::Make { bytes }
        } else {
            Reserve::Leave
        }
    }
}

/// The judge's eyes and hands.
struct Watch {
    data: PathBuf,
    judge: Judge,
    walked: Option<Instant>,
    parts: DataBytes,
    /// The last look failed, and that was said.
    unreadable: bool,
    /// A reserve file cannot be made here; not tried again.
    unreserved: bool,
}

impl Watch {
    /// One look; none when the file system does not tell, and then the last word stands.
    fn look(&mut self) -> Option<Space> {
        let looked = self.see();
        let unreadable = std::mem::replace(&mut self.unreadable, looked.is_err());
        let seen = match looked {
            Ok(seen) => seen,
            Err(error) if unreadable => {
                log::debug!("cannot look at {}: {error}", self.data.display());
                return None;
            }
            Err(error) => {
                log::warn!(
                    "cannot see how much room {} has: {error}; taking it to be as before",
                    self.data.display()
                );
                return None;
            }
        };
        let (lack, reserve) = self.judge.judge(&seen);
        self.handle(reserve);
        Some(Space { lack, free_bytes: seen.free, data: self.parts })
    }

    fn see(&mut self) -> io::Result<Seen> {
        let pause = if self.judge.data_max_bytes > 0 { Duration::ZERO } else { WALK };
        if self.walked.is_none_or(|at| at.elapsed() >= pause) {
            self.parts = measure(&self.data)?;
            self.walked = Some(Instant::now());
        }
        let file_system = statvfs(&self.data)?;
        let reserved = match fs::metadata(self.data.join(RESERVE)) {
            Ok(_) => true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        Ok(Seen {
            total: file_system.f_blocks.saturating_mul(file_system.f_frsize),
            free: file_system.f_bavail.saturating_mul(file_system.f_frsize),
            data: self.parts.total(),
            reserved,
        })
    }

    /// Neither failure matters more than the state of the disk it comes from, which is reported.
    fn handle(&mut self, reserve: Reserve) {
        let path = self.data.join(RESERVE);
        match reserve {
            Reserve::Remove => match fs::remove_file(&path) {
                Ok(()) => log::warn!("removed {}, to have room for a checkpoint", path.display()),
                Err(error) => log::warn!("cannot remove {}: {error}", path.display()),
            },
            Reserve::Make { bytes } if !self.unreserved => {
                if let Err(error) = preallocate(&path, bytes) {
                    log::info!("no room is set aside in {}: {error}", path.display());
                    fs::remove_file(&path).ok();
                    self.unreserved = true;
                }
            }
            Reserve::Leave | Reserve::Make { .. } => {}
        }
    }
}

/// A file system that cannot set room aside without writing has no reserve file.
fn preallocate(path: &Path, bytes: u64) -> io::Result<()> {
    let file = File::create(path)?;
    Ok(fallocate(&file, FallocateFlags::empty(), 0, bytes)?)
}

/// What each part of a data directory takes.
fn measure(data: &Path) -> io::Result<DataBytes> {
    let mut parts = DataBytes::default();
    for entry in fs::read_dir(data)? {
        let entry = entry?;
        let Some(metadata) = unless_gone(entry.metadata())? else { continue };
        let bytes =
            allocated(&metadata) + if metadata.is_dir() { below(&entry.path())? } else { 0 };
        let name = entry.file_name();
        match name.to_str().unwrap_or_default() {
            "log" => parts.log += bytes,
            "snapshots" | "restore" => parts.snapshots += bytes,
            name if name == "state" || name.starts_with("state-") => parts.state += bytes,
            _ => parts.other += bytes,
        }
    }
    Ok(parts)
}

/// Bytes of all that is below a directory.
fn below(directory: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        let Some(entries) = unless_gone(fs::read_dir(&directory))? else { continue };
        for entry in entries {
            let Some(entry) = unless_gone(entry)? else { continue };
            let Some(metadata) = unless_gone(entry.metadata())? else { continue };
            bytes += allocated(&metadata);
            if metadata.is_dir() {
                directories.push(entry.path());
            }
        }
    }
    Ok(bytes)
}

/// Files come and go while the directory is walked.
fn unless_gone<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What a file takes of its disk, which is neither less for its length nor more for its holes.
fn allocated(metadata: &Metadata) -> u64 {
    metadata.blocks() * 512
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn seen(total: u64, free: u64) -> Seen {
        Seen { total: total * MIB, free: free * MIB, data: 0, reserved: true }
    }

    fn judge(change: impl FnOnce(&mut DiskConfig)) -> Judge {
        let mut config = DiskConfig::default();
        change(&mut config);
        Judge::new(&config)
    }

    #[test]
    fn writes_are_refused_below_the_reserve_and_taken_again_at_a_quarter_more() {
        let mut judge = judge(|config| config.reserve_bytes = 100 * MIB);
        let looks =
            [(101, false), (100, false), (99, true), (124, true), (125, false), (100, false)];
        for (free, full) in looks {
            let (lack, _) = judge.judge(&seen(10_000, free));
            assert_eq!(lack.is_some(), full, "{free} MiB free");
        }
    }

    #[test]
    fn of_a_small_file_system_an_eighth_is_kept() {
        let mut judge = judge(|_| ());
        assert_eq!(judge.judge(&seen(64, 8)).0, None);
        let (lack, _) = judge.judge(&seen(64, 7));
        assert_eq!(lack, Some(Lack::Room { free: 7 * MIB, reserve: 8 * MIB }));
        let text =
            "the disk is full: 7168 KiB free, less than the 8192 KiB that are kept in reserve";
        assert_eq!(lack.unwrap().to_string(), text);
    }

    #[test]
    fn the_directory_has_a_bound_if_one_is_set() {
        let with_data = |data: u64| Seen { data: data * MIB, ..seen(10_000, 9_000) };
        let mut unbounded = judge(|_| ());
        assert_eq!(unbounded.judge(&with_data(1_000_000)).0, None);
        let mut judge = judge(|config| config.data_max_bytes = 100 * MIB);
        for (data, full) in [(100, false), (101, true), (81, true), (80, false), (100, false)] {
            let (lack, _) = judge.judge(&with_data(data));
            assert_eq!(lack.is_some(), full, "{data} MiB of data");
        }
    }

    #[test]
    fn the_reserve_goes_when_room_is_scarce_and_comes_back_when_there_is_plenty() {
        let mut judge = judge(|config| config.reserve_bytes = 128 * MIB);
        let mut step = |free: u64, reserved: bool| {
            let (lack, reserve) = judge.judge(&Seen { reserved, ..seen(10_000, free) });
            (lack.is_some(), reserve)
        };
        assert_eq!(step(5_000, false), (false, Reserve::Make { bytes: 64 * MIB }));
        assert_eq!(step(4_936, true), (false, Reserve::Leave));
        assert_eq!(step(64, true), (true, Reserve::Leave));
        assert_eq!(step(63, true), (true, Reserve::Remove));
        assert_eq!(step(127, false), (true, Reserve::Leave), "removing it is no recovery");
        assert_eq!(step(200, false), (false, Reserve::Leave), "to make it would be no good");
        assert_eq!(step(224, false), (false, Reserve::Make { bytes: 64 * MIB }));
        assert_eq!(step(160, true), (false, Reserve::Leave));
    }

    #[test]
    fn a_data_directory_is_measured_by_its_parts() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, kib: usize| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, vec![1; kib << 10]).unwrap();
        };
        for (path, kib) in [
            ("log/1.log", 400),
            ("log/damaged-1/1.log", 100),
            ("state-2/tables/7", 300),
            ("snapshots/incoming", 200),
            ("vote/vote-a", 4),
        ] {
            write(path, kib);
        }
        let parts = measure(dir.path()).unwrap();
        let kib = |bytes: u64| bytes >> 10;
        assert!((500..600).contains(&kib(parts.log)), "{parts:?}");
        assert!((300..400).contains(&kib(parts.state)), "{parts:?}");
        assert!((200..300).contains(&kib(parts.snapshots)), "{parts:?}");
        assert!((4..100).contains(&kib(parts.other)), "{parts:?}");
    }

    #[test]
    fn the_thread_reports_and_keeps_its_reserve() {
        let dir = tempfile::tempdir().unwrap();
        let (stop, stopped) = crossbeam_channel::bounded(0);
        let (report, reports) = crossbeam_channel::unbounded();
        let config =
            DiskConfig { reserve_bytes: MIB, segment_bytes: MIB / 4, ..DiskConfig::default() };
        let thread = spawn(dir.path(), &config, stopped, move |space| {
            report.send(space).ok();
        });
        let space = reports.recv().unwrap();
        assert!(space.free_bytes > 0);
        reports.recv().unwrap();
        let reserve = fs::metadata(dir.path().join(RESERVE)).unwrap();
        assert_eq!((reserve.len(), space.lack), (MIB / 4, None));
        assert!(allocated(&reserve) >= MIB / 4);
        drop(stop);
        thread.unwrap().join().unwrap();
    }
}
