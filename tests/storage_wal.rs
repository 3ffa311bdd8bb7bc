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
        writer.append(batch, batch[0].index - 1);
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

#[test]
fn a_record_that_does_not_follow_the_last_one_supersedes() {
    let dir = TempDir::new().unwrap();
    let (mut writer, mut reader, _) = open(dir.path()).unwrap();
    let first: Vec<_> = (1..=30).map(|index| command(index, 1, 200)).collect();
    writer.append(&first, 0);
    writer.sync().unwrap();
    // Across segments, then twice within one batch.
    writer.append(&[command(8, 2, 50), configuration(9, 2)], 0);
    writer.sync().unwrap();
    writer.append(&[command(10, 2, 50)], 0);
    writer.append(&[command(9, 3, 50), command(10, 3, 50)], 0);
    writer.append(&[command(10, 4, 50)], 0);
    assert_eq!(writer.last_index(), 10);
    writer.sync().unwrap();

    let mut expected = first[..7].to_vec();
    expected.extend([command(8, 2, 50), command(9, 3, 50), command(10, 4, 50)]);
    assert_eq!(reader.read(1, Index::MAX, usize::MAX).unwrap(), expected);
    drop((writer, reader));
    for _ in 0..2 {
        let (entries, recovered) = reopen(dir.path()).unwrap();
        assert_eq!(entries, expected);
        assert_eq!(recovered.term_runs, [(1, 1), (8, 2), (9, 3), (10, 4)]);
        assert_eq!(recovered.configurations, [], "the one at 9 was superseded");
    }
}

#[test]
fn a_reader_takes_as_much_as_was_asked_for_but_at_least_one() {
    let dir = TempDir::new().unwrap();
    let (mut writer, mut reader, _) = open(dir.path()).unwrap();
    let written: Vec<_> = (1..=40).map(|index| command(index, 1, 100)).collect();
    writer.append(&written, 0);
    writer.sync().unwrap();
    let mut indexes = |first, last, bytes| -> Vec<Index> {
        reader.read(first, last, bytes).unwrap().iter().map(|entry| entry.index).collect()
    };
    assert_eq!(indexes(5, 7, usize::MAX), [5, 6, 7]);
    assert_eq!(indexes(5, 40, 1), [5]);
    assert_eq!(indexes(5, 40, 300), [5, 6]);
    assert_eq!(indexes(40, 99, usize::MAX), [40]);
    assert!(indexes(41, 99, usize::MAX).is_empty());
    assert!(indexes(0, 99, usize::MAX).is_empty());
    assert_eq!(indexes(1, 40, 3000).len(), 20);
}

#[test]
fn an_entry_larger_than_a_segment_gets_one_of_its_own_size() {
    let dir = TempDir::new().unwrap();
    let written = [command(1, 1, 10), command(2, 1, 40_000), command(3, 1, 10)];
    let (mut writer, reader, _) = open(dir.path()).unwrap();
    writer.append(&written, 0);
    writer.sync().unwrap();
    drop((writer, reader));
    for _ in 0..3 {
        assert_eq!(reopen(dir.path()).unwrap().0, written);
    }
}

#[test]
fn entries_are_read_while_others_are_appended() {
    let dir = TempDir::new().unwrap();
    let (mut writer, reader, _) = open(dir.path()).unwrap();
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let mut reader = reader.clone();
            std::thread::spawn(move || {
                let mut seen = 0;
                while seen < 300 {
                    let last = reader.last_index();
                    assert!(last >= seen);
                    let entries = reader.read(1, last, usize::MAX).unwrap();
                    let indexes = entries.iter().map(|entry| entry.index);
                    assert!(indexes.eq(1..=last));
                    assert!(entries.iter().all(|entry| *entry == command(entry.index, 1, 60)));
                    seen = last;
                }
            })
        })
        .collect();
    for index in 1..=300 {
        writer.append(&[command(index, 1, 60)], 0);
        writer.sync().unwrap();
    }
    readers.into_iter().for_each(|reader| reader.join().unwrap());
}

#[test]
fn a_reader_never_mixes_two_states_of_the_log() {
    let dir = TempDir::new().unwrap();
    let (mut writer, mut reader, _) = open(dir.path()).unwrap();
    let rounds: Vec<(Index, Vec<Entry>)> = (1..=150)
        .map(|term| {
            let first = if term == 1 { 1 } else { 10 + term % 7 };
            (first, (first..40).map(|index| command(index, term, 200)).collect())
        })
        .collect();
    let mut log: Vec<Entry> = Vec::new();
    let mut states = Vec::new();
    for (first, entries) in &rounds {
        log.truncate(*first as usize - 1);
        log.extend(entries.iter().cloned());
        states.push(log.clone());
    }
    let checker = std::thread::spawn(move || {
        let mut seen = 0;
        while seen < states.len() as Term {
            // A batch may be several records: what is read may end within it.
            let entries = reader.read(1, Index::MAX, usize::MAX).unwrap();
            let Some(last) = entries.last() else { continue };
            assert!(last.term >= seen, "the log never goes back");
            assert!(states[last.term as usize - 1].starts_with(&entries));
            seen = last.term;
        }
    });
    for (_, entries) in &rounds {
        writer.append(entries, 0);
        writer.sync().unwrap();
    }
    checker.join().unwrap();
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

#[test]
fn a_record_that_ends_in_zeros_from_a_sector_on_is_cut_away() {
    let dir = TempDir::new().unwrap();
    let entries = written(dir.path());
    let path = last_segment(dir.path());
    let whole = fs::read(&path).unwrap();
    let bounds = record_bounds(&whole);
    let [start, end] = bounds[bounds.len() - 2..] else { panic!("{bounds:?}") };
    let sectors: Vec<_> = (start..end).filter(|at| at % 512 == 0).collect();
    assert!(sectors.len() >= 2);
    for cut in sectors {
        let mut torn = whole.clone();
        torn[cut..].fill(0);
        let copy = TempDir::new().unwrap();
        for other in segments(dir.path()) {
            fs::copy(&other, copy.path().join(other.file_name().unwrap())).unwrap();
        }
        fs::write(copy.path().join(path.file_name().unwrap()), &torn).unwrap();
        let (mut writer, reader, recovered) = open(copy.path()).unwrap();
        assert_eq!(recovered.last_index, 8, "cut at {cut}");
        assert_eq!(recovered.torn.unwrap().1, start as u64);
        // What was cut away can be written anew, and nothing of it comes back.
        writer.append(&[command(9, 2, 5)], 0);
        writer.sync().unwrap();
        drop((writer, reader));
        let mut expected = entries[..8].to_vec();
        expected.push(command(9, 2, 5));
        assert_eq!(reopen(copy.path()).unwrap().0, expected);
    }
}

/// The message of the error, after a check that the start changed nothing.
fn refused(dir: &Path, damage: impl FnOnce(&mut Vec<u8>), path: &Path) -> String {
    let whole = fs::read(path).unwrap();
    let mut bytes = whole.clone();
    damage(&mut bytes);
    fs::write(path, &bytes).unwrap();
    let message = open(dir).err().expect("it must not open").to_string();
    assert_eq!(fs::read(path).unwrap(), bytes, "nothing was cut away");
    assert_eq!(message.lines().count(), 1);
    assert!(message.contains(&path.display().to_string()), "{message}");
    fs::write(path, whole).unwrap();
    message
}

#[test]
fn a_damaged_record_stops_the_node_and_stays_as_it_is() {
    let dir = TempDir::new().unwrap();
    written(dir.path());
    let path = last_segment(dir.path());
    let bounds = record_bounds(&fs::read(&path).unwrap());

    let message = refused(dir.path(), |bytes| bytes[bounds[1] + 100] ^= 4, &path);
    let (offset, later) = (bounds[1], bounds[2]);
    assert!(message.contains(&format!("damaged at byte {offset}")), "{message}");
    assert!(message.contains(&format!("a valid record at byte {later}")), "{message}");

    let message = refused(dir.path(), |bytes| bytes[bounds[2] + 100] ^= 4, &path);
    assert!(message.contains("neither a record nor a torn one"), "{message}");
    let message = refused(dir.path(), |bytes| bytes[bounds[2] + 1] ^= 4, &path);
    assert!(message.contains("neither a record nor a torn one"), "{message}");
    let message = refused(dir.path(), |bytes| bytes[bounds[3] + 1000] = 1, &path);
    assert!(message.contains("neither a record nor a torn one"), "{message}");
    // Zeros from a sector on, but in the middle: a later record knows better.
    let message = refused(dir.path(), |bytes| bytes[bounds[1] + 8..bounds[2]].fill(0), &path);
    assert!(message.contains("says that it was durable"), "{message}");
    refused(dir.path(), |bytes| bytes.truncate(bounds[2]), &path);
    refused(dir.path(), |bytes| bytes[16] ^= 1, &path);
    assert_eq!(reopen(dir.path()).unwrap().1.last_index, 12, "put back, it opens");
}

#[test]
fn a_sealed_segment_must_be_whole() {
    let dir = TempDir::new().unwrap();
    let (mut writer, reader, _) = open(dir.path()).unwrap();
    for index in 1..=100 {
        writer.append(&[command(index, 1, 100)], 0);
        writer.sync().unwrap();
    }
    drop((writer, reader));
    let sealed = segments(dir.path());
    assert!(sealed.len() > 3);
    let path = &sealed[1];
    let bounds = record_bounds(&fs::read(path).unwrap());
    let (last, end) = (bounds[bounds.len() - 2], bounds[bounds.len() - 1]);
    let message = refused(dir.path(), |bytes| bytes[last..end].fill(0), path);
    assert!(message.contains("a later segment of the log"), "{message}");
    refused(dir.path(), |bytes| bytes[bounds[1] + 60] ^= 1, path);

    let hidden = dir.path().join("elsewhere");
    fs::rename(path, &hidden).unwrap();
    let missing = open(dir.path()).err().unwrap();
    assert!(matches!(missing, WalError::Missing { number: 2, .. }), "{missing}");
    fs::rename(&sealed[0], dir.path().join("elsewhere-too")).unwrap();
    assert!(matches!(open(dir.path()), Err(WalError::Missing { number: 1, .. })));
    fs::rename(&hidden, &sealed[0]).unwrap();
    let message = open(dir.path()).err().unwrap().to_string();
    assert!(message.contains("under another name"), "{message}");
}

#[test]
fn the_log_of_another_node_or_a_newer_program_is_refused() {
    let dir = TempDir::new().unwrap();
    written(dir.path());
    let path = last_segment(dir.path());
    for identity in [
        Identity { cluster: Some(Id128([8; 16])), ..IDENTITY },
        Identity { node: Some(4), ..IDENTITY },
    ] {
        let error = Wal::open(dir.path(), &identity, SMALL).err().unwrap();
        assert!(matches!(error, WalError::Foreign { .. }), "{error}");
    }
    let unadmitted = Identity { node: None, ..IDENTITY };
    assert!(matches!(Wal::open(dir.path(), &unadmitted, SMALL), Err(WalError::NoIdentity)));
    let message = refused(dir.path(), |bytes| bytes[8] = 2, &path);
    assert!(message.contains("format 2, this one knows 1"), "{message}");
    // After a recovery by hand the epoch is higher, and the older segments are still ours.
    let recovered = Identity { epoch: 1, ..IDENTITY };
    assert_eq!(Wal::open(dir.path(), &recovered, SMALL).unwrap().2.last_index, 12);
    assert!(matches!(open(dir.path()), Err(WalError::Foreign { .. })));
}

#[test]
fn a_start_that_was_interrupted_anywhere_is_finished_by_the_next() {
    let dir = TempDir::new().unwrap();
    let entries = written(dir.path());
    let old = last_segment(dir.path());
    let mut copy_of_old = fs::read(&old).unwrap();
    // While the copy was being made: it has no name of its own yet.
    fs::write(dir.path().join("segment.tmp"), &copy_of_old[..700]).unwrap();
    fs::write(dir.path().join("spare.tmp"), [0; 100]).unwrap();
    assert_eq!(reopen(dir.path()).unwrap().0, entries);
    assert!(!old.exists() && !dir.path().join("segment.tmp").exists());
    // After the copy was complete, before the old one was removed: even a torn old one is not needed.
    copy_of_old[1024..].fill(0);
    fs::write(&old, &copy_of_old).unwrap();
    assert_eq!(reopen(dir.path()).unwrap().0, entries);
    assert!(!old.exists());
}

mod any_damage {
    use super::*;
    use proptest::prelude::*;

    /// One append: where it starts relative to the end of the log, how many entries, how large.
    type Batch = (u64, usize, usize);

    /// The log after each batch.
    fn write(dir: &Path, batches: &[Batch]) -> Vec<Vec<Entry>> {
        let (mut writer, _reader, _) = open(dir).unwrap();
        let mut log: Vec<Entry> = Vec::new();
        let mut states = vec![log.clone()];
        for (term, (back, count, length)) in (1..).zip(batches) {
            log.truncate(log.len().saturating_sub(*back as usize));
            let first = log.len() as u64 + 1;
            let batch: Vec<_> =
                (first..).take(*count).map(|index| command(index, term, *length)).collect();
            writer.append(&batch, 0);
            writer.sync().unwrap();
            log.extend(batch);
            states.push(log.clone());
        }
        states
    }

    /// Whether the log held these entries, and no more, at some time; a large batch is several records.
    fn held(states: &[Vec<Entry>], entries: &[Entry]) -> bool {
        states.iter().any(|state| state.starts_with(entries))
    }

    fn batches() -> impl Strategy<Value = Vec<Batch>> {
        prop::collection::vec((0..4_u64, 1..6_usize, 0..700_usize), 1..12)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

        #[test]
        fn a_restart_changes_nothing(batches in batches()) {
            let dir = TempDir::new().unwrap();
            let states = write(dir.path(), &batches);
            prop_assert_eq!(&reopen(dir.path()).unwrap().0, states.last().unwrap());
            prop_assert_eq!(&reopen(dir.path()).unwrap().0, states.last().unwrap());
        }

        #[test]
        fn a_flipped_bit_is_an_error_or_harmless(
            batches in batches(),
            file in any::<prop::sample::Index>(),
            at in any::<prop::sample::Index>(),
            bit in 0..8_u8,
        ) {
            let dir = TempDir::new().unwrap();
            let states = write(dir.path(), &batches);
            let paths = segments(dir.path());
            let path = file.get(&paths);
            let mut bytes = fs::read(path).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            fs::write(path, bytes).unwrap();
            if let Ok((entries, _)) = reopen(dir.path()) {
                prop_assert_eq!(&entries, states.last().unwrap(), "byte {} of {:?}", at, path);
            }
        }

        #[test]
        fn a_log_that_turns_to_zeros_somewhere_gives_an_earlier_state_or_an_error(
            batches in batches(),
            at in any::<prop::sample::Index>(),
            aligned in any::<bool>(),
        ) {
            let dir = TempDir::new().unwrap();
            let states = write(dir.path(), &batches);
            let path = last_segment(dir.path());
            let mut bytes = fs::read(&path).unwrap();
            let at = at.index(bytes.len()).max(128);
            let at = if aligned { at.next_multiple_of(512).min(bytes.len()) } else { at };
            bytes[at..].fill(0);
            fs::write(&path, bytes).unwrap();
            match reopen(dir.path()) {
                Ok((entries, _)) => prop_assert!(held(&states, &entries)),
                Err(error) => prop_assert!(!aligned, "a torn log must open: {}", error),
            }
        }

        #[test]
        fn garbage_is_an_error_and_never_a_panic(
            batches in batches(),
            garbage in prop::collection::vec(any::<u8>(), 1..600),
            at in any::<prop::sample::Index>(),
        ) {
            let dir = TempDir::new().unwrap();
            let states = write(dir.path(), &batches);
            let path = last_segment(dir.path());
            let mut bytes = fs::read(&path).unwrap();
            let at = at.index(bytes.len());
            let end = (at + garbage.len()).min(bytes.len());
            bytes[at..end].copy_from_slice(&garbage[..end - at]);
            fs::write(&path, bytes).unwrap();
            if let Ok((entries, _)) = reopen(dir.path()) {
                prop_assert!(held(&states, &entries));
            }
        }
    }
}

#[test]
fn a_record_never_vouches_for_entries_that_its_own_entries_supersede() {
    let dir = TempDir::new().unwrap();
    let (mut writer, _reader, _) = open(dir.path()).unwrap();
    writer.append(&[command(1, 1, 10), command(2, 1, 10)], 0);
    // The record before is closed and written by this; then the power goes.
    writer.append(&[command(2, 2, 10)], 2);
    drop(writer);
    let (entries, recovered) = reopen(dir.path()).unwrap();
    assert_eq!(entries.last().map(|entry| (entry.index, entry.term)), Some((2, 1)));
    assert_eq!(recovered.commit, 0, "entry 2 of term 1 was never committed");
}
