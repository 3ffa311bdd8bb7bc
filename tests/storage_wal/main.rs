//! The log on real files: what a restart finds, whatever happened before it.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bowline::ids::Id128;
use bowline::raft::{
    Configuration, Entry, Index, Member, MemberInfo, MemberRole, Payload, Stamp, Term,
};
use bowline::storage::{Identity, Recovered, Wal, WalError, WalOptions, WalReader, WalWriter};
use tempfile::TempDir;

mod append;
mod damage;
mod model;
mod purge;
mod room;
mod salvage;

const IDENTITY: Identity =
    Identity { cluster: Some(Id128([7; 16])), epoch: 0, tag: Id128([9; 16]), node: Some(3) };
const SMALL: WalOptions = WalOptions { segment_bytes: 4096, hurried_bytes: 1024, tail_bytes: 2048 };

fn open(dir: &Path) -> Result<(WalWriter, WalReader, Recovered), WalError> {
    Wal::open(dir, &IDENTITY, SMALL)
}

fn command(index: Index, term: Term, length: usize) -> Entry {
    let byte = (index * 31 + term) as u8;
    let stamp = Stamp { clock_ms: 10 * index, wall_ms: 20 * index };
    Entry { index, term, stamp, payload: Payload::Command(vec![byte; length].into()) }
}

fn configuration(index: Index, term: Term) -> Entry {
    let info = MemberInfo { name: format!("n{index}"), ..MemberInfo::default() };
    let members = BTreeMap::from([(index, Member { role: MemberRole::Voter, info })]);
    let stamp = Stamp { clock_ms: 10 * index, wall_ms: 0 };
    Entry { index, term, stamp, payload: Payload::Configuration(Configuration { members }) }
}

/// The segment that is being written: the one with the highest number.
fn last_segment(dir: &Path) -> PathBuf {
    segments(dir).pop().unwrap()
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = names.filter(|path| path.extension() == Some("log".as_ref())).collect();
    paths.sort();
    paths
}

/// All entries, by way of a restart.
fn reopen(dir: &Path) -> Result<(Vec<Entry>, Recovered), WalError> {
    let (_writer, mut reader, recovered) = open(dir)?;
    let (start, _) = recovered.start;
    let entries = reader.read(start + 1, Index::MAX, usize::MAX)?;
    assert_eq!(entries.last().map_or(start, |entry| entry.index), recovered.last_index);
    Ok((entries, recovered))
}

/// A log with a few records in one segment, the last one several sectors long; returns its entries.
fn written(dir: &Path) -> Vec<Entry> {
    let (mut writer, reader, _) =
        Wal::open(dir, &IDENTITY, WalOptions { segment_bytes: 1 << 16, ..SMALL }).unwrap();
    let entries: Vec<_> = (1..=12).map(|index| command(index, 1, 300)).collect();
    for batch in entries.chunks(4) {
        writer.append(batch, 0);
        writer.sync().unwrap();
    }
    drop((writer, reader));
    assert_eq!(reopen(dir).unwrap().0, entries);
    entries
}

/// Where the records begin, and where the last one ends: each salt that stands twice ends one.
fn record_bounds(segment: &[u8]) -> Vec<usize> {
    let salt = &segment[36..40];
    let mut bounds = vec![128];
    while let Some(at) = bounds.last().copied()
        && segment.get(at..at + 4) == Some(salt)
    {
        let length = u32::from_le_bytes(segment[at + 4..at + 8].try_into().unwrap()) as usize;
        bounds.push(at + 56 + length.next_multiple_of(8) + 8);
    }
    bounds
}

/// Every file of a log by its path, without those that are made ahead.
type Files = BTreeMap<PathBuf, Vec<u8>>;

fn files(dir: &Path) -> Files {
    let mut found = Files::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            let below = files(&path).into_iter();
            found.extend(below.map(|(below, bytes)| (Path::new(name).join(below), bytes)));
        } else if !["spare", "reserve", "ahead.tmp"].contains(&name) {
            found.insert(name.into(), fs::read(&path).unwrap());
        }
    }
    found
}

/// A directory with these files.
fn dir_of(files: &Files) -> TempDir {
    let dir = TempDir::new().unwrap();
    for (path, bytes) in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    dir
}

/// All directories that a crash may leave between two: first the files that are new or changed come,
/// those whose names begin like `first` before the others, then the others go.
fn between(before: &Files, after: &Files, first: &str) -> Vec<Files> {
    let mut steps = vec![before.clone()];
    let mut now = before.clone();
    let mut come: Vec<_> =
        after.iter().filter(|(path, bytes)| before.get(*path) != Some(bytes)).collect();
    come.sort_by_key(|(path, _)| !path.to_str().unwrap().starts_with(first));
    for (path, bytes) in come {
        now.insert(path.clone(), bytes.clone());
        steps.push(now.clone());
    }
    for path in before.keys().filter(|path| !after.contains_key(*path)) {
        now.remove(path);
        steps.push(now.clone());
    }
    assert_eq!(&now, after);
    steps
}
