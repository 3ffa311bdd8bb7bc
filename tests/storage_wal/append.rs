//! What was appended and synced is there, for readers and after a restart.

use super::*;

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

#[test]
fn a_record_never_vouches_for_entries_that_its_own_entries_supersede() {
    let dir = TempDir::new().unwrap();
    let (mut writer, _reader, _) = open(dir.path()).unwrap();
    writer.append(&[command(1, 1, 10), command(2, 1, 10)], 0);
    // This makes a second record, and the power goes between the two.
    writer.append(&[command(2, 2, 10)], 2);
    assert_eq!(writer.sync().unwrap().records, 2);
    drop(writer);
    let path = last_segment(dir.path());
    let mut bytes = fs::read(&path).unwrap();
    let second = record_bounds(&bytes)[1];
    bytes[second..].fill(0);
    fs::write(&path, bytes).unwrap();
    let (entries, recovered) = reopen(dir.path()).unwrap();
    assert_eq!(entries.last().map(|entry| (entry.index, entry.term)), Some((2, 1)));
    assert_eq!(recovered.commit, 0, "entry 2 of term 1 was never committed");
}
