//! Which of the state directories is the state.
//!
//! A state that comes from another node is built beside the old one, in a directory of its own, and
//! one small file, the *manifest*, says which of them counts. Replacing it is the switch: a crash
//! leaves the old state or the new one, and nothing in between. The manifest also keeps what must not
//! be forgotten between the switch and what follows it: that the state was found wrong and must not
//! be served, or that the log is still to be begun anew behind an installed state.
//!
//! Without a manifest the directory `state` counts; the others are called `state-1`, `state-2`, and so
//! on.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crc32c::crc32c;

use super::OpenError;
use super::data_dir::word;
use super::files;

const MANIFEST: &str = "state.manifest";
/// The file in a state directory that is locked for as long as anything of it is open.
const LOCK: &str = "lock";
/// Longest text about a lost state that is kept, in bytes.
const LOST_BYTES_MAX: usize = 4 << 10;

/// What the manifest says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The directory that counts: 0 is `state`, any other is `state-N`.
    pub number: u64,
    /// Why the state there must not be used; none when it is good.
    pub lost: Option<String>,
    /// Index and term behind which the log must begin, when that is not known to be done.
    pub restart: Option<(u64, u64)>,
}

impl Manifest {
    const MAGIC: [u8; 8] = *b"BWLNSTAT";
    const FORMAT: u32 = 1;
    /// Bytes of all but the text and the checksum.
    const FIXED: usize = 44;
    const LOST: u32 = 1;
    const RESTART: u32 = 2;

    /// Magic, format, flags, number, restart index, restart term, length of the text, the text, CRC;
    /// little-endian.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let lost = self.lost.as_deref().unwrap_or("");
        let flags = u32::from(self.lost.is_some()) * Self::LOST
            + u32::from(self.restart.is_some()) * Self::RESTART;
        let (index, term) = self.restart.unwrap_or_default();
        let length = u32::try_from(lost.len()).expect("the text is short");
        let mut bytes = Vec::with_capacity(Self::FIXED + lost.len() + 4);
        bytes.extend_from_slice(&Self::MAGIC);
        bytes.extend_from_slice(&Self::FORMAT.to_le_bytes());
        bytes.extend_from_slice(&flags.to_le_bytes());
        bytes.extend_from_slice(&self.number.to_le_bytes());
        bytes.extend_from_slice(&index.to_le_bytes());
        bytes.extend_from_slice(&term.to_le_bytes());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(lost.as_bytes());
        let crc = crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads what [`Manifest::encode`] wrote; `path` is for the message.
    ///
    /// # Errors
    /// [`OpenError::Newer`] with a later format, [`OpenError::Damaged`] otherwise.
    pub fn decode(bytes: &[u8], path: &Path) -> Result<Self, OpenError> {
        let damaged = |what| OpenError::Damaged { path: path.to_owned(), what };
        if bytes.len() < 12 || bytes[..8] != Self::MAGIC {
            return Err(damaged("it does not begin like a manifest"));
        }
        let found = u32::from_le_bytes(word(bytes, 8));
        if found > Self::FORMAT {
            return Err(OpenError::Newer { path: path.to_owned(), found, known: Self::FORMAT });
        }
        let (body, crc) = bytes.split_last_chunk().ok_or_else(|| damaged("it is too short"))?;
        if body.len() < Self::FIXED || crc32c(body) != u32::from_le_bytes(*crc) {
            return Err(damaged("its checksum is wrong"));
        }
        let (fixed, text) = body.split_at(Self::FIXED);
        let flags = u32::from_le_bytes(word(fixed, 12));
        let length = u32::from_le_bytes(word(fixed, 40));
        let text = String::from_utf8(text.to_vec()).map_err(|_| damaged("its text is no text"))?;
        if u32::try_from(text.len()) != Ok(length) || flags > Self::LOST + Self::RESTART {
            return Err(damaged("its fields do not fit together"));
        }
        let restart = (u64::from_le_bytes(word(fixed, 24)), u64::from_le_bytes(word(fixed, 32)));
        Ok(Self {
            number: u64::from_le_bytes(word(fixed, 16)),
            lost: (flags & Self::LOST != 0).then_some(text),
            restart: (flags & Self::RESTART != 0).then_some(restart),
        })
    }
}

/// The state directories of a data directory, which the caller has locked.
#[derive(Debug)]
pub struct StateDir {
    data: PathBuf,
    manifest: Manifest,
    /// The directory in which a state is being built, or was, and may still be adopted.
    staged: Option<PathBuf>,
}

impl StateDir {
    /// Reads the manifest, and removes states that were begun and never adopted.
    ///
    /// What the manifest says can be fetched anew from the cluster, so a damaged or missing one does
    /// not stop the node: the state counts as lost then, and no directory is touched.
    ///
    /// # Errors
    /// When the manifest is newer than this program, or the directory cannot be read or cleaned.
    pub fn open(data: &Path) -> Result<Self, OpenError> {
        let path = data.join(MANIFEST);
        let numbers = numbers(data)?;
        let last = numbers.last().copied().unwrap_or(0);
        let lost = |what: &str| {
            let why = format!("{}: {what}, so it is not known which state counts", path.display());
            Manifest { number: last + 1, lost: Some(why), restart: None }
        };
        let manifest = match fs::read(&path) {
            Ok(bytes) => match Manifest::decode(&bytes, &path) {
                Ok(manifest) => manifest,
                Err(OpenError::Damaged { what, .. }) => lost(what),
                Err(error) => return Err(error),
            },
            // The first state is only ever replaced by way of a manifest.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if last > 0 && !numbers.contains(&0) {
                    lost("it is missing")
                } else {
                    Manifest::default()
                }
            }
            Err(source) => return Err(OpenError::Io { action: "read", path, source }),
        };
        let mut this = Self { data: data.to_owned(), manifest, staged: None };
        if this.manifest.number > last {
            // Written down, so that it stays the same from start to start.
            this.replace(this.manifest.clone())?;
        }
        for number in numbers {
            if number > this.manifest.number {
                remove(&this.path(number))?;
            }
        }
        Ok(this)
    }

    /// The directory that counts. It need not exist yet.
    #[must_use]
    pub fn current(&self) -> PathBuf {
        self.path(self.manifest.number)
    }

    /// Why the state there must not be used; none when it is good.
    #[must_use]
    pub fn lost(&self) -> Option<&str> {
        self.manifest.lost.as_deref()
    }

    /// Index and term of an installed state behind which the log is still to begin anew, as far as
    /// is known: doing it twice does no harm.
    #[must_use]
    pub fn pending_restart(&self) -> Option<(u64, u64)> {
        self.manifest.restart
    }

    /// Where the next state is to be built. What attempts before have left is removed, or forgotten; it
    /// must be closed.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn stage(&mut self) -> Result<PathBuf, OpenError> {
        let path = self.path(self.manifest.number + 1);
        remove(&path)?;
        self.staged = Some(path.clone());
        Ok(path)
    }

    /// Makes a state, complete, durable and closed, the one that counts; it is not lost. `restart`
    /// says behind which index and term the log must begin, when what is in it does not fit. Gives
    /// where the state is now: one that was not built where the next is expected moves there.
    ///
    /// # Errors
    /// When it cannot be moved or the manifest cannot be written. Which state counts is then known only
    /// after a new start.
    pub fn adopt(
        &mut self,
        state: &Path,
        restart: Option<(u64, u64)>,
    ) -> Result<PathBuf, OpenError> {
        let mut number = self.manifest.number + 1;
        let staged_by_other = self.staged.as_deref().is_some_and(|staged| staged != state);
        if staged_by_other {
            // Somebody builds there, and what becomes of that is not known yet.
            number += 1;
        }
        let path = self.path(number);
        if state == path {
            self.staged = None;
        } else {
            remove(&path)?;
            fs::rename(state, &path).map_err(|source| OpenError::Io {
                action: "rename",
                path: state.to_owned(),
                source,
            })?;
            self.staged = self.staged.take().filter(|staged| staged != state);
        }
        // The name of the directory must not be younger than the manifest that gives it.
        files::sync_dir(&self.data).map_err(|source| self.failed("sync", source))?;
        self.replace(Manifest { number, lost: None, restart })?;
        Ok(path)
    }

    /// Notes that the log begins behind the installed state.
    ///
    /// # Errors
    /// When the manifest cannot be written; it then still says that this is to be done.
    pub fn restart_done(&mut self) -> Result<(), OpenError> {
        if self.manifest.restart.is_none() {
            return Ok(());
        }
        self.replace(Manifest { restart: None, ..self.manifest.clone() })
    }

    /// Notes that the state must not be used, and why (one line; cut at 4 KiB).
    ///
    /// # Errors
    /// When the manifest cannot be written.
    pub fn set_lost(&mut self, why: &str) -> Result<(), OpenError> {
        let why = &why[..why.floor_char_boundary(LOST_BYTES_MAX)];
        self.replace(Manifest { lost: Some(why.to_owned()), ..self.manifest.clone() })
    }

    /// Removes states that were replaced and that nobody reads any more; returns how many are still
    /// being read, for the caller to try again. Takes a while for large ones. While the state is lost
    /// nothing is removed: who knows what may still be of use.
    ///
    /// # Errors
    /// When one cannot be removed.
    pub fn remove_unused(&self) -> Result<usize, OpenError> {
        if self.manifest.lost.is_some() {
            return Ok(0);
        }
        let mut in_use = 0;
        let numbers = numbers(&self.data)?.into_iter();
        let old = numbers.filter(|it| *it < self.manifest.number).map(|it| self.path(it));
        for path in old.filter(|path| self.staged.as_ref() != Some(path)) {
            let io = |source| OpenError::Io { action: "lock", path: path.clone(), source };
            if is_open(&path).map_err(io)? {
                in_use += 1;
            } else {
                remove(&path)?;
            }
        }
        Ok(in_use)
    }

    fn replace(&mut self, manifest: Manifest) -> Result<(), OpenError> {
        files::replace(&self.data, MANIFEST, &manifest.encode())
            .map_err(|source| self.failed("write", source))?;
        self.manifest = manifest;
        Ok(())
    }

    fn failed(&self, action: &'static str, source: io::Error) -> OpenError {
        OpenError::Io { action, path: self.data.join(MANIFEST), source }
    }

    fn path(&self, number: u64) -> PathBuf {
        self.data.join(if number == 0 { "state".to_owned() } else { format!("state-{number}") })
    }
}

/// The numbers of all state directories there are, in order.
fn numbers(data: &Path) -> Result<Vec<u64>, OpenError> {
    let io = |source| OpenError::Io { action: "read", path: data.to_owned(), source };
    let mut numbers = Vec::new();
    for entry in fs::read_dir(data).map_err(io)? {
        let name = entry.map_err(io)?.file_name();
        let Some(name) = name.to_str() else { continue };
        let number = match name.strip_prefix("state-") {
            Some(number) => number.parse().ok().filter(|it: &u64| format!("state-{it}") == name),
            None => (name == "state").then_some(0),
        };
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Whether a state, or a view of it, is open somewhere; its files can vanish only when not.
fn is_open(path: &Path) -> io::Result<bool> {
    let lock = match File::open(path.join(LOCK)) {
        Ok(lock) => lock,
        // A half removed one.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match lock.try_lock() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn remove(path: &Path) -> Result<(), OpenError> {
    match fs::remove_dir_all(path) {
        Err(source) if source.kind() != ErrorKind::NotFound => {
            Err(OpenError::Io { action: "remove", path: path.to_owned(), source })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
