//! A log that loses its beginning, or is replaced as a whole.

use super::*;

/// A log of several segments, one record for each of 60 entries; terms change at 20 and 40.
fn long(dir: &Path) -> (WalWriter, WalReader, Vec<Entry>) {
    let (mut writer, reader, _) = open(dir).unwrap();
    let entries: Vec<_> = (1..=60).map(|index| command(index, 1 + index / 20, 300)).collect();
    for entry in &entries {
        writer.append(std::slice::from_ref(entry), entry.index - 1);
        writer.sync().unwrap();
    }
    assert!(segments(dir).len() > 5);
    (writer, reader, entries)
}

#[test]
fn whole_segments_go_up_to_the_floor() {
    let dir = TempDir::new().unwrap();
    let (mut writer, mut reader, entries) = long(dir.path());
    assert_eq!(writer.purge(0, 0).unwrap(), None);
    let bytes = writer.bytes();
    let (start, term) = writer.purge(45, 0).unwrap().unwrap();
    assert!((35..=45).contains(&start), "{start}: all that can go has gone");
    assert_eq!(term, entries[start as usize - 1].term);
    assert_eq!(writer.start(), (start, term));
    assert!(writer.bytes() < bytes);
    let on_disk: u64 =
        segments(dir.path()).iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert_eq!(writer.bytes(), on_disk);
    assert_eq!(writer.purge(45, 0).unwrap(), None, "nothing more");

    let rest = &entries[start as usize..];
    assert_eq!(reader.read(start + 1, 99, usize::MAX).unwrap(), rest);
    assert!(reader.read(start, 99, usize::MAX).unwrap().is_empty(), "it is not there");
    drop((writer, reader));
    for _ in 0..2 {
        let (found, recovered) = reopen(dir.path()).unwrap();
        assert_eq!(found, rest);
        assert_eq!((recovered.start, recovered.last_term()), ((start, term), 4));
        assert_eq!(recovered.term_runs[0], (start + 1, entries[start as usize].term));
        assert!((start..=60).contains(&recovered.commit));
    }
    // And the log goes on.
    let (mut writer, ..) = open(dir.path()).unwrap();
    writer.append(&[command(61, 9, 10)], 0);
    writer.sync().unwrap();
    let (later, _) = writer.purge(60, 0).unwrap().unwrap();
    assert!((start + 1..=60).contains(&later), "{later}: a floor is never passed");
    drop(writer);
    assert_eq!(reopen(dir.path()).unwrap().1.last_index, 61);
}

#[test]
fn so_much_of_the_log_stays_as_was_asked_for() {
    let dir = TempDir::new().unwrap();
    let (mut writer, _reader, _) = long(dir.path());
    let mut before = writer.bytes();
    for keep in [u64::MAX, before, before / 2, 5000, 0] {
        let purged = writer.purge(60, keep).unwrap();
        assert_eq!(purged.is_some(), writer.bytes() < before);
        assert!(writer.bytes() >= keep.min(before));
        before = writer.bytes();
    }
    assert_eq!(segments(dir.path()).len(), 1, "the last segment always stays");
    assert_eq!(writer.last_index(), 60);
}

#[test]
fn a_log_without_entries_has_the_index_and_term_that_it_begins_behind() {
    let dir = TempDir::new().unwrap();
    let (mut writer, mut reader, _) = long(dir.path());
    writer.restart((1000, 7)).unwrap();
    assert_eq!((writer.last_index(), reader.last_index(), writer.start()), (1000, 1000, (1000, 7)));
    assert!(reader.read(30, 2000, usize::MAX).unwrap().is_empty());
    assert_eq!(segments(dir.path()).len(), 1);
    drop((writer, reader));
    for _ in 0..2 {
        let (entries, recovered) = reopen(dir.path()).unwrap();
        assert!(entries.is_empty() && recovered.term_runs.is_empty());
        assert_eq!(
            (recovered.start, recovered.last_index, recovered.commit),
            ((1000, 7), 1000, 1000)
        );
        assert_eq!((recovered.last_term(), recovered.last_clock_ms), (7, 0));
    }
    let (mut writer, mut reader, _) = open(dir.path()).unwrap();
    let more: Vec<_> = (1001..=1030).map(|index| command(index, 7 + index / 1020, 400)).collect();
    writer.append(&more, 1000);
    writer.sync().unwrap();
    assert_eq!(reader.read(1001, 2000, usize::MAX).unwrap(), more);
    let (start, _) = writer.purge(1025, 0).unwrap().unwrap();
    drop((writer, reader));
    assert_eq!(reopen(dir.path()).unwrap().0, more[start as usize - 1000..]);
}

#[test]
fn a_restart_drops_what_was_not_synced() {
    let dir = TempDir::new().unwrap();
    let (mut writer, mut reader, _) = long(dir.path());
    writer.append(&[command(61, 4, 10)], 0);
    // Also a beginning below the end is one: that tail was of another history.
    writer.restart((30, 9)).unwrap();
    assert_eq!(writer.sync().unwrap().records, 0);
    writer.append(&[command(31, 9, 10)], 30);
    writer.sync().unwrap();
    assert_eq!(reader.read(31, 99, usize::MAX).unwrap(), [command(31, 9, 10)]);
    drop((writer, reader));
    assert_eq!(reopen(dir.path()).unwrap().0, [command(31, 9, 10)]);
}

#[test]
fn records_that_were_superseded_may_stand_before_the_first_that_counts() {
    let dir = TempDir::new().unwrap();
    let (mut writer, reader, entries) = long(dir.path());
    // From 15 on all is superseded: most segments hold nothing that counts any more, and the first
    // that is left begins with records whose predecessors are gone.
    writer.append(&[command(15, 5, 10), configuration(16, 5)], 0);
    writer.sync().unwrap();
    let first = segments(dir.path()).len();
    let (start, _) = writer.purge(10, 0).unwrap().unwrap();
    assert!(start <= 10 && segments(dir.path()).len() < first);
    drop((writer, reader));
    let mut expected = entries[start as usize..14].to_vec();
    expected.extend([command(15, 5, 10), configuration(16, 5)]);
    for _ in 0..2 {
        assert_eq!(reopen(dir.path()).unwrap().0, expected);
    }
    let (mut writer, ..) = open(dir.path()).unwrap();
    let (start, _) = writer.purge(14, 0).unwrap().unwrap();
    assert_eq!(start, 14);
    drop(writer);
    for _ in 0..2 {
        let (found, recovered) = reopen(dir.path()).unwrap();
        assert_eq!(found, expected[expected.len() - 2..]);
        assert_eq!(recovered.configurations.len(), 1);
    }
}

#[test]
fn a_purge_or_restart_that_is_interrupted_anywhere_leaves_the_old_log_or_the_new() {
    let dir = TempDir::new().unwrap();
    let (mut writer, reader, entries) = long(dir.path());
    let before = files(dir.path());
    let (start, _) = writer.purge(45, 0).unwrap().unwrap();
    let purged = files(dir.path());
    writer.restart((50, 9)).unwrap();
    let restarted = files(dir.path());
    drop((writer, reader));

    let steps = between(&before, &purged, "start");
    assert!(steps.len() > 4);
    for (at, step) in steps.iter().enumerate() {
        let copy = dir_of(step);
        let expected = if at == 0 { &entries[..] } else { &entries[start as usize..] };
        for _ in 0..2 {
            assert_eq!(reopen(copy.path()).unwrap().0, expected, "step {at}");
        }
        assert_eq!(fs::read_dir(copy.path()).unwrap().count() > 5, at == 0, "the rest is removed");
    }
    for (at, step) in between(&purged, &restarted, "0").iter().enumerate() {
        let copy = dir_of(step);
        // A segment without anything that tells of it is only a segment.
        let (found, recovered) = reopen(copy.path()).unwrap();
        let old = (&entries[start as usize..], start);
        let expected = if at < 2 { old } else { (&[][..], 50) };
        assert_eq!((&found[..], recovered.start.0), expected, "step {at}");
        // Whichever it is, it goes on, and can be purged and restarted again.
        let last = recovered.last_index;
        let (mut writer, ..) = open(copy.path()).unwrap();
        let more: Vec<_> = (last + 1..last + 40).map(|index| command(index, 9, 300)).collect();
        writer.append(&more, 0);
        writer.sync().unwrap();
        let (start, _) = writer.purge(last + 20, 0).unwrap().unwrap();
        drop(writer);
        assert_eq!(reopen(copy.path()).unwrap().0, more[(start - last) as usize..]);
    }
}

#[test]
fn a_beginning_that_nothing_tells_of_is_damage() {
    let dir = TempDir::new().unwrap();
    let (mut writer, reader, _) = long(dir.path());
    writer.purge(45, 0).unwrap().unwrap();
    drop((writer, reader));
    let whole = files(dir.path());
    let refused = |change: &dyn Fn(&mut Files)| {
        let mut files = whole.clone();
        change(&mut files);
        let error = open(dir_of(&files).path()).err().expect("it must not open");
        assert!(error.is_damage(), "{error}");
        error.to_string()
    };
    let start = Path::new("start");
    assert!(refused(&|files| drop(files.remove(start))).contains("segment 1"));
    for at in (0..8).chain(12..16).chain(40..72) {
        let message = refused(&|files| files.get_mut(start).unwrap()[at] ^= 8);
        assert!(message.contains("/start is damaged"), "{message}");
    }
    refused(&|files| files.get_mut(start).unwrap().truncate(71));
    let first = whole.keys().next().unwrap();
    refused(&|files| drop(files.remove(first)));
    refused(&|files| files.retain(|path, _| path == start));
    let error = |identity: &Identity| Wal::open(dir.path(), identity, SMALL).err().unwrap();
    let other = Identity { node: Some(4), ..IDENTITY };
    assert!(matches!(error(&other), WalError::Foreign { .. }));
    let mut newer = whole.clone();
    newer.get_mut(start).unwrap()[8] = 2;
    let error = open(dir_of(&newer).path()).err().unwrap();
    assert!(matches!(error, WalError::Newer { found: 2, .. }), "{error}");
}

#[test]
fn entries_are_read_while_others_are_purged() {
    let dir = TempDir::new().unwrap();
    let (mut writer, reader, _) = open(dir.path()).unwrap();
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let mut reader = reader.clone();
            std::thread::spawn(move || {
                while reader.last_index() < 500 {
                    let last = reader.last_index();
                    let first = last.saturating_sub(40).max(1);
                    let entries = reader.read(first, last, usize::MAX).unwrap();
                    // All that was asked for, or nothing of it: it was purged meanwhile.
                    let indexes = entries.iter().map(|entry| entry.index);
                    assert!(entries.is_empty() || indexes.eq(first..=last));
                }
            })
        })
        .collect();
    for index in 1..=500 {
        writer.append(&[command(index, 1, 200)], 0);
        writer.sync().unwrap();
        writer.purge(index.saturating_sub(10), 0).unwrap();
    }
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    assert!(segments(dir.path()).len() <= 3, "the log stays small");
}
