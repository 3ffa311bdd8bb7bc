//! A disk without room: a link to `/dev/full` stands where a file would be made, so that every byte
//! written to it is refused until the link is gone.

use std::os::unix::fs::{MetadataExt, symlink};
use std::thread;
use std::time::Duration;

use super::*;

/// Longest wait for the thread that makes files ahead.
const LONG: Duration = Duration::from_secs(60);

/// Waits until both files are made, then lets the disk be full.
fn fill_disk(dir: &Path) {
    while !(dir.join("spare").exists() && dir.join("reserve").exists()) {
        thread::yield_now();
    }
    symlink("/dev/full", dir.join("ahead.tmp")).unwrap();
}

#[test]
fn what_was_made_ahead_is_used_up_and_then_writes_wait_for_room() {
    let dir = TempDir::new().unwrap();
    let (mut writer, mut reader, _) = open(dir.path()).unwrap();
    fill_disk(dir.path());
    assert!(!writer.is_low());
    let begun = segments(dir.path()).len();
    let mut written = Vec::new();
    let error = loop {
        let entry = command(written.len() as Index + 1, 1, 300);
        written.push(entry.clone());
        writer.append(&[entry], 0);
        if let Err(error) = writer.sync() {
            break error;
        }
        // It is said while a whole segment is left.
        while segments(dir.path()).len() == begun + 1 && !writer.is_low() {
            writer.low_changed().recv_timeout(LONG).unwrap();
        }
    };
    assert!(matches!(error, WalError::Full { .. }), "{error}");
    assert!(error.to_string().contains("make room on this disk"));
    assert_eq!(segments(dir.path()).len(), begun + 2);
    let last = written.len() as Index;
    assert_eq!((reader.last_index(), writer.last_index()), (last - 1, last));
    assert!(matches!(writer.sync(), Err(WalError::Full { .. })), "still");
    // More may come meanwhile, also what supersedes it.
    let more = [command(last, 2, 10), command(last + 1, 2, 10)];
    writer.append(&more, 0);
    assert!(matches!(writer.sync(), Err(WalError::Full { .. })));
    assert_eq!(reader.read(1, last, usize::MAX).unwrap(), written[..last as usize - 1]);

    fs::remove_file(dir.path().join("ahead.tmp")).unwrap();
    while writer.is_low() {
        writer.low_changed().recv_timeout(LONG).unwrap();
    }
    writer.sync().unwrap();
    written.pop();
    written.extend(more);
    assert_eq!(reader.read(1, Index::MAX, usize::MAX).unwrap(), written);
    drop((writer, reader));
    assert_eq!(reopen(dir.path()).unwrap().0, written);
}

#[test]
fn a_segment_of_its_own_size_waits_for_room_too() {
    let dir = TempDir::new().unwrap();
    let (mut writer, mut reader, _) = open(dir.path()).unwrap();
    symlink("/dev/full", dir.path().join("segment.tmp")).unwrap();
    writer.append(&[command(1, 1, 10)], 0);
    writer.append(&[command(2, 1, 40_000)], 0);
    assert!(matches!(writer.sync(), Err(WalError::Full { .. })));
    fs::remove_file(dir.path().join("segment.tmp")).unwrap();
    writer.sync().unwrap();
    assert_eq!(reader.read(1, 9, usize::MAX).unwrap(), [command(1, 1, 10), command(2, 1, 40_000)]);
}

#[test]
fn nothing_is_purged_or_replaced_when_the_new_beginning_cannot_be_written_down() {
    let dir = TempDir::new().unwrap();
    let (mut writer, mut reader, _) = open(dir.path()).unwrap();
    let entries: Vec<_> = (1..=40).map(|index| command(index, 1, 300)).collect();
    writer.append(&entries, 0);
    writer.sync().unwrap();
    let full = || symlink("/dev/full", dir.path().join("start.tmp")).unwrap();
    let count = segments(dir.path()).len();
    full();
    assert_eq!(writer.purge(30, 0).unwrap(), None);
    assert_eq!(segments(dir.path()).len(), count);
    full();
    assert!(matches!(writer.restart((90, 2)), Err(WalError::Full { .. })));
    assert_eq!(reader.read(1, 99, usize::MAX).unwrap(), entries, "the old log stands");
    assert_eq!(segments(dir.path()).len(), count + 1);
    // The segment that was made by the first attempt is used by the next.
    full();
    assert!(matches!(writer.restart((90, 2)), Err(WalError::Full { .. })));
    assert_eq!(segments(dir.path()).len(), count + 1);
    let copy = dir_of(&files(dir.path()));
    assert_eq!(reopen(copy.path()).unwrap().0, entries);
    writer.restart((90, 2)).unwrap();
    assert_eq!((segments(dir.path()).len(), reader.last_index()), (1, 90));
}

#[test]
fn a_file_made_ahead_is_found_again_when_the_disk_is_full_at_a_start() {
    let dir = TempDir::new().unwrap();
    for round in 0..4 {
        let (mut writer, _reader, recovered) = open(dir.path()).unwrap();
        assert_eq!(recovered.last_index, round);
        writer.append(&[command(round + 1, 1, 100)], 0);
        writer.sync().unwrap();
        while !(dir.path().join("spare").exists() && dir.path().join("reserve").exists()) {
            thread::yield_now();
        }
        drop(writer);
    }
    // A start needs one segment: it takes the reserve, and what the old one took is free again.
    let reserve = fs::metadata(dir.path().join("reserve")).unwrap();
    let (writer, ..) = open(dir.path()).unwrap();
    assert_eq!(fs::metadata(last_segment(dir.path())).unwrap().ino(), reserve.ino());
    drop(writer);
}
