//! What is kept, what is thrown away, and what a crash leaves.

use proptest::prelude::*;
use tempfile::TempDir;

use super::promise::PROMISE;
use super::*;
use crate::ids::{ClusterId, Id128};
use crate::state::{Digest, Standing, Summary};
use crate::storage::snapshot::{SnapshotHeader, SnapshotWriter};
use crate::storage::{Rows, StateDir};

const FILE: FileId = Id128([7; 16]);
static NEVER: AtomicBool = AtomicBool::new(false);

/// A folder with a backup of 200 rows in it, as it has just arrived; `spoil` changes its meta.
fn arrived(file: FileId, spoil: impl Fn(&mut Summary)) -> (TempDir, Blobs) {
    let dir = TempDir::new().unwrap();
    let blobs = open(&dir);
    write(&blobs, file, spoil);
    (dir, blobs)
}

fn open(dir: &TempDir) -> Blobs {
    Blobs::open(dir.path(), StoreOptions::default(), 0).unwrap()
}

fn rows() -> Vec<(String, String)> {
    (0..200).map(|number| (format!("row {number:05}"), format!("value {number}"))).collect()
}

fn write(blobs: &Blobs, file: FileId, spoil: impl Fn(&mut Summary)) {
    let mut digest = Digest::default();
    rows().iter().for_each(|(key, value)| digest.add(key.as_bytes(), value.as_bytes()));
    let cluster: ClusterId = Id128([1; 16]);
    let mut summary = Summary { revision: 9, rows_digest: digest, ..Summary::new(cluster) };
    spoil(&mut summary);
    let standing = Standing::bare(summary);
    let meta = Meta::of_backup(standing).encode();
    let header = SnapshotHeader { cluster, epoch: 0, file: Id128([9; 16]), applied: 50, meta };
    let mut writer = SnapshotWriter::create(&blobs.part(file), &header).unwrap();
    rows().iter().for_each(|(key, value)| writer.row(key.as_bytes(), value.as_bytes()).unwrap());
    writer.finish().unwrap();
}

fn check(blobs: &Blobs, expected: Option<&Blob>) -> Result<Checked, WorkError> {
    blobs.check(FILE, expected, [&NEVER, &NEVER])
}

/// One that is checked and promised until 70.
fn promised() -> (TempDir, Blobs, Blob) {
    let (dir, blobs) = arrived(FILE, |_| {});
    let blob = check(&blobs, None).unwrap().blob;
    blobs.keep(&blob, 70).unwrap();
    (dir, blobs, blob)
}

fn names(blobs: &Blobs) -> Vec<String> {
    let entries = fs::read_dir(blobs.folder()).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names.iter().map(|name| name.rsplit('.').next().unwrap().to_owned()).collect()
}

/// Whether a state is the one of the backup.
fn assert_whole(dir: &Path) {
    let (store, _, _) = Store::open(dir, StoreOptions::default(), Default::default()).unwrap();
    let mut found = Vec::new();
    let mut visit = |key: &[u8], value: &[u8]| {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        found.push((text(key), text(value)));
        true
    };
    store.scan(b"", None, &mut visit).unwrap();
    assert!(found == rows());
    store.close().unwrap();
}

#[test]
fn what_is_right_is_kept_with_the_state_that_was_built_of_it() {
    let (_dir, blobs) = arrived(FILE, |_| {});
    let checked = check(&blobs, None).unwrap();
    assert_eq!((checked.rows, checked.meta.summary.revision), (200, 9));
    assert_eq!(checked.blob.size, fs::metadata(blobs.backup(FILE)).unwrap().len());
    assert_eq!(names(&blobs), ["backup", "state"]);
    assert_whole(&blobs.state(FILE));
    let reader = SnapshotReader::open(&blobs.backup(FILE)).unwrap();
    let blob = Blob { file: Id128([9; 16]), ..checked.blob };
    assert_eq!(verify(reader).unwrap(), Checked { blob, ..checked });
}

#[test]
fn what_is_not_what_was_announced_or_says_wrong_things_is_refused() {
    let (_dir, blobs) = arrived(FILE, |_| {});
    let blob = check(&blobs, None).unwrap().blob;
    for wrong in [Blob { size: blob.size + 1, ..blob }, Blob { sha256: [0; 32], ..blob }] {
        write(&blobs, FILE, |_| {});
        let error = check(&blobs, Some(&wrong)).unwrap_err();
        assert!(matches!(error, WorkError::Foreign(_)) && error.is_wrong(), "{error}");
    }
    write(&blobs, FILE, |_| {});
    check(&blobs, Some(&blob)).unwrap();
    write(&blobs, FILE, |summary| summary.rows_digest.0 += 1);
    let error = check(&blobs, None).unwrap_err();
    assert!(matches!(error, WorkError::Digest { .. }) && error.is_wrong(), "{error}");
    let stopped = AtomicBool::new(true);
    write(&blobs, FILE, |_| {});
    let error = blobs.check(FILE, None, [&NEVER, &stopped]).unwrap_err();
    assert!(matches!(error, WorkError::Abandoned), "{error}");
}

#[test]
fn any_byte_that_is_wrong_and_any_cut_is_noticed() {
    let (_dir, blobs) = arrived(FILE, |_| {});
    let whole = fs::read(blobs.part(FILE)).unwrap();
    for at in (0..whole.len()).step_by(577) {
        let mut changed = whole.clone();
        changed[at] ^= 4;
        for bytes in [&changed, &whole[..at]] {
            fs::write(blobs.part(FILE), bytes).unwrap();
            let error = check(&blobs, None).unwrap_err();
            assert!(error.is_wrong(), "byte {at}: {error}");
            assert!(
                error.what_is_wrong().is_some_and(|what| !what.contains("restore/")),
                "{error}"
            );
        }
    }
}

#[test]
fn without_a_promise_the_next_process_knows_nothing() {
    let (dir, blobs) = arrived(FILE, |_| {});
    check(&blobs, None).unwrap();
    write(&blobs, Id128([8; 16]), |_| {});
    drop(blobs);
    let blobs = open(&dir);
    assert_eq!((names(&blobs).len(), blobs.promised()), (0, vec![]));
}

#[test]
fn a_promise_is_known_to_the_next_process_and_ends_with_its_time() {
    let (dir, blobs, blob) = promised();
    blobs.keep(&blob, 90).unwrap();
    drop(blobs);
    let blobs = open(&dir);
    assert_eq!(blobs.promised(), [(blob, 90)]);
    assert_eq!(names(&blobs), ["backup", "promise", "state"]);
    assert_eq!(blobs.sweep(90), []);
    assert_eq!(blobs.sweep(91), [FILE]);
    assert_eq!((names(&blobs).len(), blobs.promised()), (0, vec![]));
    assert!(matches!(blobs.take(FILE, &blob.sha256), Err(WorkError::Missing)));
}

#[test]
fn what_was_restored_goes_whatever_the_time() {
    let (dir, blobs, blob) = promised();
    blobs.take(FILE, &blob.sha256).unwrap();
    blobs.done(FILE);
    assert_eq!(blobs.promised(), []);
    assert_eq!(blobs.sweep(0), [FILE]);
    assert_eq!(names(&blobs).len(), 0);
    drop(blobs);
    assert_eq!(open(&dir).promised(), []);
}

#[test]
fn what_is_checked_is_taken_before_it_is_promised() {
    let (_dir, blobs) = arrived(FILE, |_| {});
    let blob = check(&blobs, None).unwrap().blob;
    assert_eq!((blobs.promised(), blobs.sweep(u64::MAX)), (vec![], vec![]));
    assert!(matches!(blobs.take(FILE, &[0; 32]), Err(WorkError::Missing)));
    let taken = blobs.take(FILE, &blob.sha256).unwrap();
    // Whoever has not heard of the entry may think that nobody wants it any more.
    blobs.discard(FILE);
    assert_whole(&taken.dir);
    blobs.done(FILE);
    // The promise comes after all.
    blobs.keep(&blob, 70).unwrap();
    assert_eq!((blobs.promised(), blobs.sweep(0)), (vec![], vec![FILE]));
    assert_eq!(names(&blobs).len(), 0);
}

#[test]
fn what_is_discarded_is_not_taken_and_what_is_promised_is_not_discarded() {
    let (_dir, blobs) = arrived(FILE, |_| {});
    let blob = check(&blobs, None).unwrap().blob;
    blobs.discard(FILE);
    assert!(matches!(blobs.take(FILE, &blob.sha256), Err(WorkError::Missing)));
    assert_eq!(names(&blobs).len(), 0);
    let (_dir, blobs, blob) = promised();
    blobs.discard(FILE);
    assert_eq!(names(&blobs), ["backup", "promise", "state"]);
    assert_eq!(blobs.promised(), [(blob, 70)]);
}

#[test]
fn a_member_receives_nothing_that_would_take_the_reserve() {
    let dir = TempDir::new().unwrap();
    let of = |reserve| Blobs::open(dir.path(), StoreOptions::default(), reserve).unwrap();
    assert_eq!(of(1).reserve().unwrap(), 1);
    let part = of(u64::MAX).reserve().unwrap();
    assert!(part > 0 && part < u64::MAX / RESERVE_PART, "of a small file system less is kept");
    of(0).expect_room(1).unwrap();
    let stat = statvfs(dir.path()).unwrap();
    let free = stat.f_bavail * stat.f_frsize;
    let error = of(0).expect_room(free).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    // Twice this fits, but not beside the reserve.
    let size = free.saturating_sub(part / 2) / 2;
    let error = of(u64::MAX).expect_room(size).unwrap_err();
    assert!(error.to_string().contains("make room"), "{error}");
}

#[test]
fn only_what_the_entry_names_is_taken() {
    let (_dir, blobs, blob) = promised();
    assert!(matches!(blobs.take(FILE, &[0; 32]), Err(WorkError::Missing)));
    assert!(matches!(blobs.take(Id128([1; 16]), &blob.sha256), Err(WorkError::Missing)));
    let taken = blobs.take(FILE, &blob.sha256).unwrap();
    assert_eq!((taken.dir, taken.meta.summary.revision), (blobs.state(FILE), 9));
}

#[test]
fn a_crash_between_taking_the_state_and_the_manifest_leaves_the_old_state_and_the_backup() {
    let (dir, blobs, blob) = promised();
    let states = StateDir::open(dir.path()).unwrap();
    fs::create_dir(states.current()).unwrap();
    assert_eq!(states.current(), dir.path().join("state"));
    // The state has moved, the manifest was not written.
    fs::rename(blobs.state(FILE), dir.path().join("state-1")).unwrap();
    drop((states, blobs));

    let mut states = StateDir::open(dir.path()).unwrap();
    assert_eq!(states.current(), dir.path().join("state"));
    assert!(!dir.path().join("state-1").exists(), "nobody has adopted it");
    let blobs = open(&dir);
    let taken = blobs.take(FILE, &blob.sha256).unwrap();
    assert_whole(&taken.dir);
    // A crash behind the manifest: the promise is still there, and the entry is not met again.
    let state = states.adopt(&taken.dir, None).unwrap();
    drop((states, blobs));
    let (states, blobs) = (StateDir::open(dir.path()).unwrap(), open(&dir));
    assert_eq!((states.current(), blobs.promised()), (state.clone(), vec![(blob, 70)]));
    assert_whole(&state);
    assert_eq!(blobs.sweep(71), [FILE]);
    assert_whole(&state);
}

#[test]
fn a_backup_that_rots_between_promise_and_entry_is_damage_and_no_state() {
    let (_dir, blobs, blob) = promised();
    fs::remove_dir_all(blobs.state(FILE)).unwrap();
    let mut bytes = fs::read(blobs.backup(FILE)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(blobs.backup(FILE), bytes).unwrap();
    let error = blobs.take(FILE, &blob.sha256).unwrap_err();
    assert!(error.is_wrong(), "{error}");
}

#[test]
fn a_promise_with_any_byte_wrong_is_none() {
    let (dir, blobs, blob) = promised();
    let bytes = encode_promise(&blob, 70);
    assert_eq!((bytes.len(), decode_promise(&bytes)), (PROMISE, Some((blob, 70))));
    for at in 0..PROMISE {
        let mut changed = bytes.clone();
        changed[at] ^= 0x10;
        assert_eq!(decode_promise(&changed), None, "byte {at}");
        assert_eq!(decode_promise(&bytes[..at]), None);
    }
    fs::write(blobs.promise(FILE), &bytes[1..]).unwrap();
    drop(blobs);
    let blobs = open(&dir);
    assert_eq!((names(&blobs).len(), blobs.promised()), (0, vec![]));
}

/// A promise of this format must be found by every later program.
#[test]
fn promise_v1() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/v1/restore-promise.bin");
    let blob = Blob { file: Id128(*b"file-file-file--"), size: 1 << 33, sha256: [0xab; 32] };
    let bytes = encode_promise(&blob, 1 << 41);
    if std::env::var_os("BOWLINE_WRITE_V1").is_some() && !path.exists() {
        fs::write(&path, &bytes).unwrap();
    }
    assert_eq!(fs::read(&path).unwrap(), bytes);
    assert_eq!(decode_promise(&bytes), Some((blob, 1 << 41)));
}

proptest! {
    #[test]
    fn random_bytes_are_no_promise(bytes in any::<Vec<u8>>()) {
        prop_assert_eq!(decode_promise(&bytes), None);
    }
}
