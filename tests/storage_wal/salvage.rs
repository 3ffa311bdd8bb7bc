//! What is left of a damaged log, and going on with it.

use super::*;

/// A log that was purged, of several segments, some superseded; and its entries in order of time.
fn log(dir: &Path) -> Vec<Vec<Entry>> {
    let (mut writer, _reader, _) = open(dir).unwrap();
    let mut log: Vec<Entry> = Vec::new();
    let mut states = Vec::new();
    for (first, term, count) in [(1, 1, 30), (20, 2, 20), (40, 3, 5), (42, 4, 12)] {
        log.retain(|entry| entry.index < first);
        for index in first..first + count {
            let entry = if index % 11 == 0 {
                configuration(index, term)
            } else {
                command(index, term, 250)
            };
            writer.append(std::slice::from_ref(&entry), (index - 1).min(15));
            writer.sync().unwrap();
            log.push(entry);
            states.push(log.clone());
        }
    }
    let (start, _) = writer.purge(15, 0).unwrap().unwrap();
    states.iter_mut().for_each(|state| state.retain(|entry| entry.index > start));
    assert!(start > 5 && segments(dir).len() > 4);
    states
}

/// Opens a log that was salvaged, and checks that it goes on.
fn salvaged(dir: &Path) -> (Vec<Entry>, Recovered) {
    let (entries, recovered) = reopen(dir).expect("what was salvaged opens");
    let (mut writer, ..) = open(dir).unwrap();
    writer.append(&[command(recovered.last_index + 1, 99, 10)], 0);
    writer.sync().unwrap();
    drop(writer);
    assert_eq!(reopen(dir).unwrap().1.last_index, recovered.last_index + 1);
    (entries, recovered)
}

/// Checks all that is promised for a log with this damage; returns the entries that are left.
fn check(whole: &Files, damaged: &Files, states: &[Vec<Entry>]) -> Vec<Entry> {
    let dir = dir_of(damaged);
    let survey = Wal::survey(dir.path(), &IDENTITY).unwrap();
    assert_eq!(&files(dir.path()), damaged, "a survey changes nothing");
    let Some(damage) = survey.damage else {
        let entries = reopen(dir.path()).unwrap().0;
        assert_eq!(Some(&entries), states.last(), "not seen, so it must be harmless");
        assert_eq!(Wal::salvage(dir.path(), &IDENTITY, SMALL).unwrap(), None);
        return entries;
    };
    let refused = open(dir.path()).err().unwrap();
    assert!(refused.is_damage() && damage.is_damage());
    assert_eq!(refused.to_string(), damage.to_string());
    assert_eq!(&files(dir.path()), damaged, "a start that is refused changes nothing");

    let aside = Wal::salvage(dir.path(), &IDENTITY, SMALL).unwrap().unwrap();
    let kept = files(&aside);
    for (path, bytes) in damaged {
        let now = fs::read(dir.path().join(path)).ok();
        assert!(kept.get(path).or(now.as_ref()) == Some(bytes), "{path:?} is not lost");
    }
    assert!(
        whole
            .keys()
            .filter(|path| !damaged.contains_key(*path))
            .all(|path| !kept.contains_key(path))
    );
    assert_eq!(Wal::salvage(dir.path(), &IDENTITY, SMALL).unwrap(), None, "once is enough");
    let (entries, recovered) = salvaged(dir.path());
    assert_eq!((recovered.start, recovered.last_index), (survey.start, survey.last_index));
    assert_eq!(recovered.configurations, survey.configurations);
    assert_eq!((&recovered.term_runs, recovered.commit), (&survey.term_runs, survey.commit));
    let held = states.iter().any(|state| state.starts_with(&entries));
    assert!(held || entries.is_empty(), "a whole prefix of what the log once was");
    entries
}

#[test]
fn every_byte_of_the_log_may_be_flipped() {
    let dir = TempDir::new().unwrap();
    let states = log(dir.path());
    let whole = files(dir.path());
    for (path, bytes) in &whole {
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
        for at in (0..bytes.len()).filter(|at| *at < 128 || at % 61 == 0 || *at == used) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            fs::write(dir.path().join(path), &damaged).unwrap();
            match Wal::survey(dir.path(), &IDENTITY) {
                Ok(survey) => assert!(survey.damage.is_some(), "byte {at} of {path:?}"),
                // Its format, or whose it is: as if of another program or node.
                Err(error) => assert!(at < 12, "byte {at} of {path:?}: {error}"),
            }
            let interesting = at % 23 == 0 || at == used;
            if interesting && !(8..12).contains(&at) {
                let files =
                    Files::from_iter(whole.clone().into_iter().chain([(path.clone(), damaged)]));
                check(&whole, &files, &states);
            }
        }
        fs::write(dir.path().join(path), bytes).unwrap();
    }
    assert!(Wal::survey(dir.path(), &IDENTITY).unwrap().damage.is_none());
}

#[test]
fn every_file_may_be_cut_or_gone() {
    let dir = TempDir::new().unwrap();
    let states = log(dir.path());
    let whole = files(dir.path());
    for (path, bytes) in &whole {
        let mut gone = whole.clone();
        gone.remove(path);
        // A log that ends early is whole in itself: only what the state has applied tells.
        if Some(path) != whole.keys().rfind(|path| path.extension().is_some()) {
            check(&whole, &gone, &states);
        }
        for cut in [0, 1, 127, 128, 512, bytes.len() / 2, bytes.len() - 1] {
            for zeros in [false, true] {
                let mut damaged = whole.clone();
                let file = damaged.get_mut(path).unwrap();
                file.truncate(cut);
                file.resize(if zeros { bytes.len() } else { cut }, 0);
                if *file == *bytes
                    || Some(path) == whole.keys().rfind(|it| it.extension().is_some()) && zeros
                {
                    continue;
                }
                check(&whole, &damaged, &states);
            }
        }
    }
}

#[test]
fn the_prefix_reaches_up_to_the_damage() {
    let dir = TempDir::new().unwrap();
    let entries = written(dir.path());
    let path = last_segment(dir.path());
    let mut bytes = fs::read(&path).unwrap();
    let bounds = record_bounds(&bytes);
    bytes[bounds[2] + 70] ^= 1;
    fs::write(&path, bytes).unwrap();
    let survey = Wal::survey(dir.path(), &IDENTITY).unwrap();
    assert_eq!((survey.last_index, survey.last_term()), (8, 1));
    let aside = Wal::salvage(dir.path(), &IDENTITY, SMALL).unwrap().unwrap();
    assert_eq!(aside, dir.path().join("damaged-1"));
    assert_eq!(reopen(dir.path()).unwrap().0, entries[..8]);
    // A second accident gets a directory of its own.
    let path = last_segment(dir.path());
    let mut bytes = fs::read(&path).unwrap();
    let bounds = record_bounds(&bytes);
    bytes[bounds[1] + 70] ^= 1;
    fs::write(&path, bytes).unwrap();
    let aside = Wal::salvage(dir.path(), &IDENTITY, SMALL).unwrap().unwrap();
    assert_eq!(aside, dir.path().join("damaged-2"));
    assert_eq!(reopen(dir.path()).unwrap().0, entries[..4]);
}

#[test]
fn a_log_behind_the_state_begins_anew_behind_it() {
    let dir = TempDir::new().unwrap();
    let entries = written(dir.path());
    let before = files(dir.path());
    let aside = Wal::restart_in(dir.path(), &IDENTITY, SMALL, (90, 5)).unwrap().unwrap();
    assert_eq!(files(&aside), before, "the old log is set aside as it was");
    let after = files(dir.path());
    assert_eq!(Wal::restart_in(dir.path(), &IDENTITY, SMALL, (90, 5)).unwrap(), None);
    assert_eq!(files(dir.path()), after);
    let (found, recovered) = salvaged(dir.path());
    assert!(found.is_empty());
    assert_eq!((recovered.start, recovered.last_index, recovered.last_term()), ((90, 5), 90, 5));

    for (at, step) in between(&before, &after, "damaged").iter().enumerate() {
        let copy = dir_of(step);
        let begun = step.contains_key(Path::new("start"));
        let (found, recovered) = reopen(copy.path()).unwrap();
        let old = if begun { &[][..] } else { &entries[..] };
        assert_eq!((&found[..], recovered.start.0), (old, if begun { 90 } else { 0 }), "step {at}");
        Wal::restart_in(copy.path(), &IDENTITY, SMALL, (90, 5)).unwrap();
        assert_eq!(salvaged(copy.path()).1.start, (90, 5));
    }
    // Also where no log is left at all.
    let empty = TempDir::new().unwrap();
    let log = empty.path().join("log");
    Wal::restart_in(&log, &IDENTITY, SMALL, (90, 5)).unwrap();
    assert_eq!(salvaged(&log).1.start, (90, 5));
}

#[test]
fn a_salvage_that_is_interrupted_anywhere_is_finished_by_the_next() {
    let dir = TempDir::new().unwrap();
    let states = log(dir.path());
    let whole = files(dir.path());
    let middle = whole.keys().nth(1).unwrap();
    for path in [middle, Path::new("start")] {
        let mut damaged = whole.clone();
        damaged.get_mut(path).unwrap()[60] ^= 1;
        let expected = check(&whole, &damaged, &states);
        let dir = dir_of(&damaged);
        Wal::salvage(dir.path(), &IDENTITY, SMALL).unwrap();
        for step in between(&damaged, &files(dir.path()), "damaged") {
            let copy = dir_of(&step);
            let done = open(copy.path()).is_ok();
            let aside = Wal::salvage(copy.path(), &IDENTITY, SMALL).unwrap();
            assert_eq!(aside.is_none(), done);
            assert_eq!(reopen(copy.path()).unwrap().0, expected);
        }
    }
}
