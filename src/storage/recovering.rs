//! The mark of a node that may have lost something it acknowledged.
//!
//! It is made before a damaged log is salvaged, and stands until a leader has brought this node past
//! all that it may have had, however often the process starts meanwhile. While it stands the node
//! gives no votes, so a mark that cannot be read counts as one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crc32c::crc32c;

use super::data_dir::OpenError;
use super::files;

const NAME: &str = "recovering";
const MAGIC: [u8; 8] = *b"BWLNRCVR";
const FORMAT: u32 = 1;
/// Magic, format and checksum; the reason follows.
const HEAD: usize = 16;

/// The mark of one node; a handle that any thread may hold.
#[derive(Clone, Debug)]
pub struct RecoveringMark {
    dir: PathBuf,
}

impl RecoveringMark {
    /// The mark in a data directory.
    pub(super) fn in_dir(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Why the node is recovering; none when it is not.
    ///
    /// # Errors
    /// When the mark is there and cannot be read.
    pub fn read(&self) -> Result<Option<String>, OpenError> {
        let path = self.dir.join(NAME);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(decode(&bytes))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(OpenError::Io { action: "read", path, source }),
        }
    }

    /// Makes the mark, durably.
    ///
    /// # Errors
    /// When it cannot be written; an older one then stands.
    pub fn set(&self, why: &str) -> Result<(), OpenError> {
        files::replace(&self.dir, NAME, &encode(why)).map_err(self.io("write"))
    }

    /// Takes the mark away, durably.
    ///
    /// # Errors
    /// When that fails; whether it stands is unknown then.
    pub fn clear(&self) -> Result<(), OpenError> {
        files::remove(&self.dir, NAME).map_err(self.io("remove"))
    }

    fn io(&self, action: &'static str) -> impl FnOnce(io::Error) -> OpenError {
        let path = self.dir.join(NAME);
        move |source| OpenError::Io { action, path, source }
    }
}

/// Magic, format, CRC of the text, text; little-endian.
fn encode(why: &str) -> Vec<u8> {
    let crc = crc32c(why.as_bytes()).to_le_bytes();
    [&MAGIC[..], &FORMAT.to_le_bytes(), &crc, why.as_bytes()].concat()
}

fn decode(bytes: &[u8]) -> String {
    let unreadable = || "the mark that says why is damaged".to_owned();
    let Some((head, text)) = bytes.split_at_checked(HEAD) else { return unreadable() };
    let whole = head[..8] == MAGIC && head[12..] == crc32c(text).to_le_bytes();
    match std::str::from_utf8(text) {
        Ok(text) if whole => text.to_owned(),
        Ok(_) | Err(_) => unreadable(),
    }
}
