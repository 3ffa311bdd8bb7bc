//! The data directory: who may use it, and whose it is.
//!
//! A directory belongs to one process at a time (a lock) and to one node of one cluster for ever (the
//! identity file). Everything that could mix up two nodes' data is refused here, in one clear line,
//! before anything else is opened.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use crc32c::crc32c;

use super::files;
use super::recovering::RecoveringMark;
use crate::ids::{ClusterId, Id128, InstanceTag};

const LOCK: &str = "LOCK";
const IDENTITY: &str = "identity";
const HINT: &str = "hint";
const ADDRESSES: &str = "addresses";
/// What a freshly made file system puts into its root.
const LOST_FOUND: &str = "lost+found";

/// Longest hint that is written or believed, in bytes.
const HINT_BYTES_MAX: usize = 1 << 20;

/// Why a data directory cannot be used. Each message is one line with the path and what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process holds the lock.
    #[error(
        "{} is in use by another running node{holder}: stop that one, or give this one its own --data DIR",
        .path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
        /// " (process 123)" when the holder wrote its number down, else empty.
        holder: String,
    },
    /// There are files in it, but not ours.
    #[error(
        "{} is not empty and is not a Bowline data directory: give an empty or a new one with --data DIR",
        .path.display()
    )]
    Foreign {
        /// The directory.
        path: PathBuf,
    },
    /// A file was written by a newer version of the program.
    #[error(
        "{} was written by a newer Bowline (format {found}, this one knows {known}): upgrade this program",
        .path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format that is known here.
        known: u32,
    },
    /// A file is damaged.
    #[error(
        "{} is damaged ({what}): this node's data cannot be trusted; move the directory away and join again with an empty one",
        .path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The operating system said no.
    #[error("cannot {action} {}: {source}; check the path and its permissions, or give another --data DIR", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Whose data this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster; none until this node has founded or joined one.
    pub cluster: Option<ClusterId>,
    /// How often the cluster was recovered by hand from the loss of its majority.
    pub epoch: u32,
    /// Names this directory; drawn when it was made, never changed.
    pub tag: InstanceTag,
    /// The node's id; none until it was admitted.
    pub node: Option<u64>,
}

impl Identity {
    const MAGIC: [u8; 8] = *b"BWLNIDNT";
    const FORMAT: u32 = 1;
    /// Bytes of the encoded identity.
    pub const LEN: usize = 64;

    /// Magic, format, epoch, cluster, tag, node, zeros, CRC; little-endian. No cluster and no node
    /// are zeros.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..8].copy_from_slice(&Self::MAGIC);
        bytes[8..12].copy_from_slice(&Self::FORMAT.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.cluster.unwrap_or_default().0);
        bytes[32..48].copy_from_slice(&self.tag.0);
        bytes[48..56].copy_from_slice(&self.node.unwrap_or(0).to_le_bytes());
        let crc = crc32c(&bytes[..60]);
        bytes[60..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads what [`Identity::encode`] wrote; `path` is for the message.
    ///
    /// # Errors
    /// [`OpenError::Foreign`] without the magic, [`OpenError::Newer`] with a later format,
    /// [`OpenError::Damaged`] otherwise.
    pub fn decode(bytes: &[u8], path: &Path) -> Result<Self, OpenError> {
        let damaged = |what| OpenError::Damaged { path: path.to_owned(), what };
        if bytes.len() < 12 {
            return Err(damaged("too short"));
        }
        if bytes[..8] != Self::MAGIC {
            return Err(damaged("it does not begin like an identity file"));
        }
        let found = u32::from_le_bytes(word(bytes, 8));
        if found > Self::FORMAT {
            return Err(OpenError::Newer { path: path.to_owned(), found, known: Self::FORMAT });
        }
        if bytes.len() != Self::LEN || crc32c(&bytes[..60]).to_le_bytes() != bytes[60..] {
            return Err(damaged("its checksum is wrong"));
        }
        let (cluster, node) = (Id128(word(bytes, 16)), u64::from_le_bytes(word(bytes, 48)));
        Ok(Self {
            cluster: (cluster != Id128::default()).then_some(cluster),
            epoch: u32::from_le_bytes(word(bytes, 12)),
            tag: Id128(word(bytes, 32)),
            node: (node != 0).then_some(node),
        })
    }
}

/// `N` bytes at an offset that the caller has checked.
pub(super) fn word<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    *bytes[at..].first_chunk().expect("the caller checked the length")
}

/// A data directory, locked for this process until dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    identity: Identity,
    /// Held, never used: closing it gives the lock back.
    _lock: File,
}

impl DataDir {
    /// Opens a data directory, or makes one where there is nothing (or an empty directory).
    ///
    /// # Errors
    /// See [`OpenError`]; a directory that is not ours is left exactly as it was.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        create(path)?;
        if !is_ours(path)? {
            return Err(OpenError::Foreign { path: path.to_owned() });
        }
        let lock = lock(path)?;
        let file = path.join(IDENTITY);
        let identity = match fs::read(&file) {
            Ok(bytes) => Identity::decode(&bytes, &file)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let tag = Id128::random();
                let fresh = Identity { cluster: None, epoch: 0, tag, node: None };
                write_identity(path, &fresh)?;
                fresh
            }
            Err(source) => return Err(OpenError::Io { action: "read", path: file, source }),
        };
        Ok(Self { path: path.to_owned(), identity, _lock: lock })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the log lives.
    #[must_use]
    pub fn log_dir(&self) -> PathBuf {
        self.path.join("log")
    }

    /// Where the two copies of the vote live.
    #[must_use]
    pub fn vote_dir(&self) -> PathBuf {
        self.path.join("vote")
    }

    /// Where the checkpoint lives.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.path.join("state")
    }

    /// Whose it is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Takes away what a bootstrap that did not come to its end has left: a log and a vote that nobody
    /// was ever told of.
    ///
    /// # Errors
    /// When something is there and cannot be taken away.
    ///
    /// # Panics
    /// When the node was admitted: its log is a promise.
    pub fn discard_unfinished(&self) -> Result<(), OpenError> {
        assert!(self.identity.node.is_none(), "a member's log is never discarded");
        for path in [self.log_dir(), self.vote_dir()] {
            match fs::remove_dir_all(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(OpenError::Io { action: "remove", path, source });
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Makes a new identity durable: the node has founded or joined a cluster.
    ///
    /// # Errors
    /// When it cannot be written; the old one then stands.
    ///
    /// # Panics
    /// When the tag changes, or a cluster or node id that was set: these are for ever.
    pub fn set_identity(&mut self, identity: Identity) -> Result<(), OpenError> {
        let old = self.identity;
        assert_eq!(old.tag, identity.tag, "an instance tag never changes");
        assert!(old.cluster.is_none() || old.cluster == identity.cluster, "a cluster is for ever");
        assert!(old.node.is_none() || old.node == identity.node, "a node id is for ever");
        write_identity(&self.path, &identity)?;
        self.identity = identity;
        Ok(())
    }

    /// The mark of a node that may have lost something it acknowledged.
    #[must_use]
    pub fn recovering_mark(&self) -> RecoveringMark {
        RecoveringMark::in_dir(&self.path)
    }

    /// Why this node is recovering: it may have lost something it acknowledged. None when it is not.
    ///
    /// # Errors
    /// When the mark is there and cannot be read.
    pub fn recovering(&self) -> Result<Option<String>, OpenError> {
        self.recovering_mark().read()
    }

    /// Writes down durably that this node may have lost something it acknowledged, and why.
    ///
    /// # Errors
    /// When it cannot be written; an older mark then stands.
    pub fn set_recovering(&self, why: &str) -> Result<(), OpenError> {
        self.recovering_mark().set(why)
    }

    /// Takes the mark away, durably: this node has again all that it ever acknowledged.
    ///
    /// # Errors
    /// When that fails; whether the mark stands is unknown then.
    pub fn clear_recovering(&self) -> Result<(), OpenError> {
        self.recovering_mark().clear()
    }

    /// Where the node listened last, as it wrote it down; none if it never did.
    ///
    /// # Errors
    /// When the file is there but cannot be read.
    pub fn addresses(&self) -> Result<Option<String>, OpenError> {
        let path = self.path.join(ADDRESSES);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(OpenError::Io { action: "read", path, source }),
        }
    }

    /// Writes down where the node listens.
    ///
    /// # Errors
    /// When it cannot be written; the old text then stands.
    pub fn set_addresses(&self, text: &str) -> Result<(), OpenError> {
        files::replace(&self.path, ADDRESSES, text.as_bytes()).map_err(|source| OpenError::Io {
            action: "write",
            path: self.path.join(ADDRESSES),
            source,
        })
    }

    /// The last hint that was kept, if there is a whole one. It is only a hint: a damaged one is none.
    ///
    /// # Errors
    /// When the file is there but cannot be read.
    pub fn hint(&self) -> Result<Option<Vec<u8>>, OpenError> {
        let path = self.path.join(HINT);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(OpenError::Io { action: "open", path, source }),
        };
        let mut bytes = Vec::new();
        file.take(HINT_BYTES_MAX as u64 + 5)
            .read_to_end(&mut bytes)
            .map_err(|source| OpenError::Io { action: "read", path, source })?;
        let Some((crc, hint)) = bytes.split_first_chunk() else { return Ok(None) };
        Ok((crc32c(hint) == u32::from_le_bytes(*crc)).then(|| hint.to_vec()))
    }

    /// Keeps a hint: opaque bytes that help this node to find its cluster, such as the last known
    /// configuration.
    ///
    /// # Errors
    /// When it cannot be written; the old one then stands.
    ///
    /// # Panics
    /// When it is longer than 1 MiB.
    pub fn set_hint(&self, hint: &[u8]) -> Result<(), OpenError> {
        assert!(hint.len() <= HINT_BYTES_MAX, "a hint of {} bytes", hint.len());
        let bytes = [&crc32c(hint).to_le_bytes(), hint].concat();
        files::replace(&self.path, HINT, &bytes).map_err(|source| OpenError::Io {
            action: "write",
            path: self.path.join(HINT),
            source,
        })
    }
}

/// Makes the directory when it is missing, with a durable name.
fn create(path: &Path) -> Result<(), OpenError> {
    let io = |source| OpenError::Io { action: "create", path: path.to_owned(), source };
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path).map_err(io)?;
    match path.canonicalize().map_err(io)?.parent() {
        Some(parent) => files::sync_dir(parent).map_err(io),
        None => Ok(()),
    }
}

/// Whether the directory holds an identity, or nothing but what an interrupted creation leaves.
fn is_ours(path: &Path) -> Result<bool, OpenError> {
    let io = |source| OpenError::Io { action: "read", path: path.to_owned(), source };
    let leftover = files::temporary_name(IDENTITY);
    let mut foreign = false;
    for entry in fs::read_dir(path).map_err(io)? {
        let name = entry.map_err(io)?.file_name();
        if name == IDENTITY {
            return Ok(true);
        }
        foreign |= name != LOCK && name != LOST_FOUND && name != leftover.as_str();
    }
    Ok(!foreign)
}

/// Takes the lock, and writes the process number into it for the message of the next who tries.
fn lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join(LOCK);
    let io = |source| OpenError::Io { action: "lock", path: path.clone(), source };
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    let mut file = options.open(&path).map_err(io)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let _ = file.read_to_string(&mut pid);
            let pid = pid.trim();
            let known = !pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit());
            let holder = if known { format!(" (process {pid})") } else { String::new() };
            return Err(OpenError::InUse { path: dir.to_owned(), holder });
        }
        Err(TryLockError::Error(source)) => return Err(io(source)),
    }
    file.set_len(0).map_err(io)?;
    file.rewind().map_err(io)?;
    writeln!(file, "{}", std::process::id()).map_err(io)?;
    Ok(file)
}

fn write_identity(dir: &Path, identity: &Identity) -> Result<(), OpenError> {
    files::replace(dir, IDENTITY, &identity.encode()).map_err(|source| OpenError::Io {
        action: "write",
        path: dir.join(IDENTITY),
        source,
    })
}
