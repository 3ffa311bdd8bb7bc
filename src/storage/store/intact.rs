//! Whether a tree of fjall is what fjall wrote.
//!
//! fjall checks every block of a table when it reads it. It does not check its manifests, in which a
//! single wrong bit can put runs into another order and make old rows out of new ones; and where one
//! is missing it takes the tree for one that was never begun, and begins it. The sums to check by are
//! there, so both are looked at here before fjall is let in.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::num::NonZeroU64;
use std::path::Path;

use rustix::fs::{Advice, fadvise};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::{StoreError, StoreErrorKind};

/// What fjall's marker of the format begins with; the number of the format follows.
const MARKER: [u8; 3] = *b"FJL";
/// The format of fjall that is known here.
const FORMAT: u8 = 3;
/// Bytes of the file that names the manifest: its number, its sum, the kind of the sum.
const CURRENT: usize = 25;
/// How much of a table is read at once.
const PIECE: usize = 1 << 20;

/// Checks all but the tables of the tree in `path`, if there is one.
pub fn check(path: &Path) -> Result<(), StoreError> {
    let keyspaces = path.join("keyspaces");
    let marker = path.join("version");
    match read(&marker)? {
        Some(bytes) => match bytes.split_first_chunk() {
            Some((&MARKER, [FORMAT, ..])) => {}
            Some((&MARKER, &[found, ..])) if found > FORMAT => {
                let what = format!(
                    "{} was written by a newer Bowline (tree format {found}, this one knows \
                     {FORMAT}): upgrade this program",
                    marker.display()
                );
                return Err(StoreError::new(StoreErrorKind::Newer, what));
            }
            _ => return Err(damaged(&marker, "it is no marker of a format")),
        },
        // It is written before the first tree is begun.
        None if has_entries(&keyspaces)? => return Err(damaged(&marker, "it is missing")),
        None => return Ok(()),
    }
    if !has_journal(path)? {
        return Err(damaged(&path.join("0.jnl"), "it is missing"));
    }
    for entry in entries(&keyspaces)? {
        let tree = entry.map_err(|error| failed(&keyspaces, &error))?.path();
        if tree.is_dir() {
            check_tree(&tree)?;
        }
    }
    Ok(())
}

/// Whether the journal is there, which is made before the marker. It is always empty, and yet without
/// it fjall opens the tree as of its beginning, and shows no row at all.
fn has_journal(path: &Path) -> Result<bool, StoreError> {
    for entry in entries(path)? {
        let entry = entry.map_err(|error| failed(path, &error))?;
        if entry.path().extension().is_some_and(|extension| extension == "jnl") {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Checks that the manifest that counts is the one that was written.
fn check_tree(tree: &Path) -> Result<(), StoreError> {
    let current = tree.join("current");
    let Some(bytes) = read(&current)? else {
        // A tree is begun with an empty folder, and has tables only after its first manifest.
        let begun = has_entries(&tree.join("tables"))?;
        return if begun { Err(damaged(&current, "it is missing")) } else { Ok(()) };
    };
    let bytes: [u8; CURRENT] =
        bytes.try_into().map_err(|_| damaged(&current, "it has not the right length"))?;
    let (number, rest) = bytes.split_first_chunk().expect("it is longer");
    let (sum, kind) = rest.split_first_chunk().expect("it is longer");
    let manifest = tree.join(format!("v{}", u64::from_le_bytes(*number)));
    let Some(bytes) = read(&manifest)? else {
        return Err(damaged(&manifest, "it is missing"));
    };
    if kind != [0] || xxh3_128(&bytes) != u128::from_le_bytes(*sum) {
        return Err(damaged(&manifest, "its checksum is wrong"));
    }
    Ok(())
}

/// Checks a table against its sum, as it is on the disk and not as the system remembers it. `pace` is
/// told of the bytes read and says whether to go on; the answer is none when it did not.
pub fn check_table(
    path: &Path,
    sum: u128,
    pace: &mut dyn FnMut(u64) -> bool,
) -> Result<Option<()>, StoreError> {
    let io = |error| failed(path, &error);
    let file = File::open(path).map_err(io)?;
    let forget = |at: u64, length: usize| {
        let length = NonZeroU64::new(length as u64);
        fadvise(&file, at, length, Advice::DontNeed).map_err(|error| failed(path, &error.into()))
    };
    forget(0, 0)?;
    let (mut hash, mut at, mut piece) = (Xxh3::new(), 0, vec![0; PIECE]);
    loop {
        let count = match (&file).read(&mut piece) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(io(error)),
        };
        hash.update(&piece[..count]);
        forget(at, count)?;
        at += count as u64;
        if !pace(count as u64) {
            return Ok(None);
        }
    }
    if hash.digest128() == sum { Ok(Some(())) } else { Err(damaged(path, "its checksum is wrong")) }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(path, &error)),
    }
}

/// What is in a directory; nothing when it is not there.
fn entries(dir: &Path) -> Result<Box<dyn Iterator<Item = io::Result<fs::DirEntry>>>, StoreError> {
    match fs::read_dir(dir) {
        Ok(entries) => Ok(Box::new(entries)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Box::new(std::iter::empty())),
        Err(error) => Err(failed(dir, &error)),
    }
}

fn has_entries(dir: &Path) -> Result<bool, StoreError> {
    Ok(entries(dir)?.next().is_some())
}

/// A file of the checkpoint is not what was written.
pub fn damaged(path: &Path, what: &str) -> StoreError {
    StoreError::damaged(format!(
        "the checkpoint is damaged in {} ({what}): this state must not be used, and be fetched anew \
         from another node",
        path.display()
    ))
}

fn failed(path: &Path, error: &io::Error) -> StoreError {
    StoreError::new(
        StoreErrorKind::Io,
        format!("cannot read {} of the checkpoint: {error}", path.display()),
    )
}
