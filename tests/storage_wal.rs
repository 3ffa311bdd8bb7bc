//! The log on real files: what a restart finds, whatever happened before it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bowline::ids::Id128;
use bowline::raft::{
    Configuration, Entry, Index, Member, MemberInfo, MemberRole, Payload, Stamp, Term,
};
use bowline::storage::{Identity, Recovered, Wal, WalError, WalOptions, WalReader, WalWriter};
use tempfile::TempDir;

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
    let entries = reader.read(1, Index::MAX, usize::MAX)?;
    assert_eq!(entries.last().map_or(0, |entry| entry.index), recovered.last_index);
    Ok((entries, recovered))
}

#[test]
fn an_empty_log_opens_empty_again_and_again() {
    let dir = TempDir::new().unwrap();
    for _ in 0..3 {
        let (entries, recovered) = reopen(dir.path()).unwrap();
        assert!(entries.is_empty() && recovered.term_runs.is_empty());
        assert_eq!((recovered.last_index, recovered.last_clock_ms), (0, 0));
    }
}

#[test]
fn what_was_synced_is_found_after_a_restart() {
    let dir = TempDir::new().unwrap();
    let mut written = vec![configuration(1, 1)];
    written.extend((2..=60).map(|index| command(index, 1 + index / 20, 100)));
    written.push(configuration(61, 4));
    let (mut writer, mut reader, _) = open(dir.path()).unwrap();
    for batch in written.chunks(3) {
        writer.append(batch, batch[0].index - 1).unwrap();
        let seen = reader.last_index();
        assert!(seen < batch[0].index, "not visible before it is durable");
        writer.sync().unwrap();
        assert_eq!(reader.last_index(), batch.last().unwrap().index);
        assert_eq!(
            reader.read(1, Index::MAX, usize::MAX).unwrap().len() as u64,
            reader.last_index()
        );
    }
    assert!(segments(dir.path()).len() > 2, "the segments are small enough to need several");
    drop((writer, reader));

    let (entries, recovered) = reopen(dir.path()).unwrap();
    assert_eq!(entries, written);
    assert_eq!(recovered.term_runs, [(1, 1), (20, 2), (40, 3), (60, 4)]);
    assert_eq!(recovered.commit, 60);
    assert_eq!(recovered.last_clock_ms, 610);
    let configurations: Vec<_> = recovered.configurations.iter().map(|(index, _)| *index).collect();
    assert_eq!(configurations, [1, 61]);
    assert!(recovered.tail.len() > 1 && recovered.tail.len() < written.len());
    assert_eq!(recovered.tail[..], written[written.len() - recovered.tail.len()..]);
    assert_eq!(recovered.torn, None);
}
