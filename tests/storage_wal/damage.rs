//! What a start does with a log that is torn or damaged.

use super::*;

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
