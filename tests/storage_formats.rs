//! The bytes of version 1, which must decode for ever, and be written for as long as it is current.
//!
//! A change of these files is a change of format: raise the format number, keep the old files, and keep
//! them readable. `UPDATE_GOLDENFILES=1 cargo test` writes the files that are new.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bowline::ids::Id128;
use bowline::raft::{
    Configuration, Entry, HardState, Index, Member, MemberInfo, MemberRole, Payload, Stamp,
};
use bowline::storage::snapshot::{SnapshotHeader, SnapshotReader, SnapshotWriter};
use bowline::storage::wal::format::{self, Owner, RecordHeader, SegmentHeader};
use bowline::storage::wal::scan::{End, Scanner};
use bowline::storage::wal::start::Start;
use bowline::storage::{DataDir, Identity, Manifest, OpenError, VoteFile, Wal, WalOptions};
use tempfile::TempDir;

const CLUSTER: Id128 = Id128(*b"cluster-cluster-");
const IDENTITY: Identity = Identity {
    cluster: Some(CLUSTER),
    epoch: 2,
    tag: Id128(*b"tag-tag-tag-tag-"),
    node: Some(0x0102_0304_0506_0708),
};

/// Compares with the file, and returns its bytes.
fn golden(name: &str, written: &[u8]) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/v1").join(name);
    if std::env::var_os("UPDATE_GOLDENFILES").is_some() && !path.exists() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, written).unwrap();
    }
    let kept = fs::read(&path).unwrap();
    assert_eq!(written, kept, "{name} is not written as it was");
    kept
}

#[test]
fn identity_v1() {
    let path = Path::new("identity");
    let bytes = golden("identity", &IDENTITY.encode());
    assert_eq!(Identity::decode(&bytes, path).unwrap(), IDENTITY);
    let fresh = Identity { cluster: None, node: None, epoch: 0, ..IDENTITY };
    let bytes = golden("identity-fresh", &fresh.encode());
    assert_eq!(Identity::decode(&bytes, path).unwrap(), fresh);
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        let error = Identity::decode(&damaged, path).unwrap_err();
        let newer = (8..12).contains(&at);
        assert_eq!(matches!(error, OpenError::Newer { .. }), newer, "byte {at}: {error}");
        assert!(Identity::decode(&bytes[..at], path).is_err());
    }
}

#[test]
fn vote_v1() {
    let dir = TempDir::new().unwrap();
    let mut vote = VoteFile::open(dir.path(), &IDENTITY, 0).unwrap();
    let state = HardState { term: 77, vote: Some(5) };
    vote.write(state).unwrap();
    drop(vote);
    let bytes = golden("vote", &fs::read(dir.path().join("vote-a")).unwrap());
    assert_eq!(bytes, fs::read(dir.path().join("vote-b")).unwrap());
    let copy = TempDir::new().unwrap();
    fs::write(copy.path().join("vote-b"), bytes).unwrap();
    assert_eq!(VoteFile::open(copy.path(), &IDENTITY, 77).unwrap().state(), state);
}

#[test]
fn start_v1() {
    let owner = Owner { cluster: CLUSTER, epoch: 2, node: IDENTITY.node.unwrap() };
    let start = Start { index: 0x1122_3344, term: 0x55, segment: 0x66 };
    let bytes = golden("log-start", &start.encode(&owner));
    let path = Path::new("start");
    assert_eq!(Start::decode(&bytes, &owner, path).unwrap(), start);
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            assert!(Start::decode(&damaged, &owner, path).is_err(), "bit {bit} of byte {at}");
        }
        assert!(Start::decode(&bytes[..at], &owner, path).is_err());
    }
}

#[test]
fn recovering_v1() {
    let parent = TempDir::new().unwrap();
    let data = DataDir::open(parent.path()).unwrap();
    assert_eq!(data.recovering().unwrap(), None);
    data.clear_recovering().unwrap();
    let why = "segment 7 of the log is missing";
    data.set_recovering(why).unwrap();
    let path = parent.path().join("recovering");
    let bytes = golden("recovering", &fs::read(&path).unwrap());
    fs::write(&path, &bytes).unwrap();
    drop(data);
    let data = DataDir::open(parent.path()).unwrap();
    assert_eq!(data.recovering().unwrap().as_deref(), Some(why));
    // Whatever became of the mark, it is one.
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x40;
        for damaged in [&damaged[..], &bytes[..at]] {
            fs::write(&path, damaged).unwrap();
            assert!(data.recovering().unwrap().is_some());
        }
    }
    data.clear_recovering().unwrap();
    assert_eq!(data.recovering().unwrap(), None);
}

#[test]
fn manifest_v1() {
    let path = Path::new("state.manifest");
    let lost = Some("the state digest at entry 70000 differs".to_owned());
    for (name, manifest) in [
        ("state-manifest-good", Manifest { number: 1, lost: None, restart: None }),
        ("state-manifest-restart", Manifest { number: 2, lost: None, restart: Some((70_000, 9)) }),
        ("state-manifest-lost", Manifest { number: 3, lost, restart: None }),
    ] {
        let bytes = golden(name, &manifest.encode());
        assert_eq!(Manifest::decode(&bytes, path).unwrap(), manifest);
    }
}

#[test]
fn snapshot_v1() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("snapshot");
    let header = SnapshotHeader {
        cluster: CLUSTER,
        epoch: 2,
        file: Id128(*b"file-file-file--"),
        applied: 70_000,
        meta: b"what the state says"[..].into(),
    };
    let mut writer = SnapshotWriter::create(&path, &header).unwrap();
    let rows = [(&b"\x01empty"[..], &b""[..]), (b"\x01key", b"value"), (b"\x02", &[255; 300])];
    rows.iter().for_each(|(key, value)| writer.row(key, value).unwrap());
    let info = writer.finish().unwrap();
    let bytes = golden("snapshot", &fs::read(&path).unwrap());

    fs::write(&path, bytes).unwrap();
    let mut reader = SnapshotReader::open(&path).unwrap();
    assert_eq!(*reader.header(), header);
    for (key, value) in rows {
        assert_eq!(reader.next_row().unwrap().unwrap(), (key.into(), value.into()));
    }
    assert_eq!(reader.next_row().unwrap(), None);
    assert_eq!(reader.info(), Some(info));
}

fn entries() -> Vec<Entry> {
    let stamp = Stamp { clock_ms: 1_000, wall_ms: 1_700_000_000_000 };
    let info = MemberInfo {
        tag: *b"tag-tag-tag-tag-",
        name: "first".into(),
        peer: "10.0.0.1:7071".into(),
        http: "http://10.0.0.1:7070".into(),
    };
    let members = BTreeMap::from([
        (1, Member { role: MemberRole::Voter, info }),
        (9, Member { role: MemberRole::Learner, info: MemberInfo::default() }),
    ]);
    let payloads = [
        Payload::Configuration(Configuration { members }),
        Payload::Noop,
        Payload::Command(b"a command"[..].into()),
        Payload::Command((0..=255).collect::<Vec<u8>>().into()),
    ];
    let entry = |(index, payload)| Entry { index, term: 1 + index / 2, stamp, payload };
    (1..).zip(payloads).map(entry).collect()
}

/// A segment of two records with nothing drawn at random.
fn segment() -> (SegmentHeader, Vec<u8>) {
    let node = IDENTITY.node.unwrap();
    let header = SegmentHeader {
        owner: Owner { cluster: CLUSTER, epoch: 2, node },
        group: 0,
        salt: 0xC0FF_EE01,
        number: 1,
        replaces: 0,
        first: 1,
        size: 2048,
        previous: 0,
    };
    let mut bytes = header.encode().to_vec();
    let mut chain = header.chain();
    for batch in entries().chunks(3) {
        let mut record = vec![0; format::RECORD_HEADER];
        batch.iter().for_each(|entry| record.extend(rmp_serde::to_vec(entry).unwrap()));
        let (first, last) = (&batch[0], &batch[batch.len() - 1]);
        let record_header = RecordHeader {
            length: (record.len() - format::RECORD_HEADER) as u32,
            has_configuration: first.index == 1,
            has_several_terms: first.term != last.term,
            entries: batch.len() as u32,
            first: first.index,
            term: last.term,
            durable: bytes.len() as u64,
            commit: first.index - 1,
            previous: chain,
        };
        chain = format::seal(&mut record, &record_header, header.salt);
        bytes.extend(record);
    }
    bytes.resize(2048, 0);
    (header, bytes)
}

#[test]
fn log_v1() {
    let bytes = golden("segment.log", &segment().1);
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join(format!("{:016x}.log", 1)), bytes).unwrap();
    let options = WalOptions { segment_bytes: 4096, hurried_bytes: 1024, tail_bytes: 1 << 20 };
    let (_writer, mut reader, recovered) = Wal::open(dir.path(), &IDENTITY, options).unwrap();
    assert_eq!(reader.read(1, Index::MAX, usize::MAX).unwrap(), entries());
    assert_eq!(recovered.tail, entries());
    assert_eq!(recovered.term_runs, [(1, 1), (2, 2), (4, 3)]);
    assert_eq!(recovered.configurations.len(), 1);
    assert_eq!((recovered.commit, recovered.last_clock_ms), (3, 1_000));
}

/// How many records a scan finds, and how it judges the end.
fn scan(header: &SegmentHeader, bytes: &[u8]) -> (usize, End) {
    let mut scanner = Scanner::new(bytes, bytes.len() as u64, header.salt, header.chain());
    let mut records = 0;
    while scanner.next_record().unwrap().is_some() {
        records += 1;
    }
    (records, scanner.end().unwrap())
}

#[test]
fn a_segment_that_stops_at_any_byte_is_never_misread() {
    let (header, bytes) = segment();
    assert_eq!(scan(&header, &bytes), (2, End::Clean));
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    for cut in format::SEGMENT_HEADER..used {
        let mut torn = bytes.clone();
        torn[cut..].fill(0);
        let (records, end) = scan(&header, &torn);
        assert!(records < 2);
        match end {
            End::Clean | End::Torn => {}
            // A disk writes whole sectors: what stops elsewhere may have been damaged.
            End::Suspect => assert!(!cut.is_multiple_of(512), "cut at {cut}"),
            End::Damaged { later } => panic!("cut at {cut}: nothing stands at {later}"),
        }
    }
}

#[test]
fn a_segment_with_any_bit_flipped_is_never_misread() {
    let (header, bytes) = segment();
    for at in format::SEGMENT_HEADER..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            let (_, end) = scan(&header, &damaged);
            let refused = matches!(end, End::Damaged { .. } | End::Suspect);
            assert!(refused, "bit {bit} of byte {at}: {end:?}");
        }
    }
}

#[test]
fn a_header_with_any_bit_flipped_is_refused() {
    let (header, bytes) = segment();
    let owner = header.owner;
    let whole: [u8; format::SEGMENT_HEADER] = *bytes.first_chunk().unwrap();
    assert_eq!(SegmentHeader::decode(&whole, &owner), Ok(header));
    for at in 0..whole.len() {
        let mut damaged = whole;
        damaged[at] ^= 0x20;
        assert!(SegmentHeader::decode(&damaged, &owner).is_err(), "byte {at}");
    }
}

#[test]
fn a_data_dir_keeps_identity_and_hint() {
    let parent = TempDir::new().unwrap();
    let path = parent.path().join("deep/data");
    let mut data = DataDir::open(&path).unwrap();
    let fresh = *data.identity();
    assert_eq!((fresh.cluster, fresh.node, fresh.epoch), (None, None, 0));
    assert_eq!(data.hint().unwrap(), None);
    data.set_hint(b"somewhere").unwrap();
    let joined = Identity { cluster: Some(CLUSTER), node: Some(4), ..fresh };
    data.set_identity(joined).unwrap();
    drop(data);

    let data = DataDir::open(&path).unwrap();
    assert_eq!(*data.identity(), joined);
    assert_eq!(data.hint().unwrap().as_deref(), Some(&b"somewhere"[..]));
    fs::write(path.join("hint"), b"damaged").unwrap();
    assert_eq!(data.hint().unwrap(), None, "it is only a hint");
    let other = DataDir::open(&parent.path().join("other")).unwrap();
    assert_ne!(other.identity().tag, joined.tag);
}

/// The one line that a start with this directory prints.
fn refusal(path: &Path) -> String {
    let message = DataDir::open(path).unwrap_err().to_string();
    assert_eq!(message.lines().count(), 1, "{message}");
    assert!(message.contains(&path.display().to_string()), "{message}");
    message
}

#[test]
fn a_data_dir_that_cannot_be_used_is_refused_and_left_alone() {
    let parent = TempDir::new().unwrap();
    let path = parent.path().join("data");
    let data = DataDir::open(&path).unwrap();
    let message = refusal(&path);
    assert!(message.contains("in use") && message.contains(&std::process::id().to_string()));
    drop(data);
    drop(DataDir::open(&path).unwrap());

    let identity = fs::read(path.join("identity")).unwrap();
    let mut newer = identity.clone();
    newer[8] = 9;
    fs::write(path.join("identity"), newer).unwrap();
    assert!(refusal(&path).contains("upgrade this program"));
    fs::write(path.join("identity"), &identity[..20]).unwrap();
    assert!(refusal(&path).contains("damaged"));

    let foreign = parent.path().join("foreign");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("thesis.tex"), "do not touch").unwrap();
    assert!(refusal(&foreign).contains("not empty"));
    assert_eq!(fs::read_dir(&foreign).unwrap().count(), 1);
    let file = parent.path().join("file");
    fs::write(&file, "").unwrap();
    refusal(&file);
    refusal(&file.join("below"));

    // What an interrupted first start leaves, and a fresh file system, count as empty.
    let fresh = parent.path().join("fresh");
    fs::create_dir_all(fresh.join("lost+found")).unwrap();
    fs::write(fresh.join("LOCK"), "").unwrap();
    fs::write(fresh.join("identity.tmp"), "half").unwrap();
    drop(DataDir::open(&fresh).unwrap());
}

#[test]
fn a_vote_survives_the_loss_of_either_copy_but_not_of_both() {
    let dir = TempDir::new().unwrap();
    let paths = ["vote-a", "vote-b"].map(|name| dir.path().join(name));
    let open = |last_term| VoteFile::open(dir.path(), &IDENTITY, last_term);
    let mut vote = open(0).unwrap();
    assert_eq!(vote.state(), HardState::default());
    let state = HardState { term: 6, vote: Some(2) };
    vote.write(HardState { term: 5, vote: None }).unwrap();
    vote.write(state).unwrap();
    drop(vote);
    for path in &paths {
        for damage in [&b""[..], &[0; 80], &[255; 80]] {
            fs::write(path, damage).unwrap();
            assert_eq!(open(6).unwrap().state(), state);
        }
        fs::remove_file(path).unwrap();
        assert_eq!(open(6).unwrap().state(), state);
    }
    // A crash between the two copies: the newer one counts.
    let old = fs::read(&paths[1]).unwrap();
    let newer = HardState { term: 8, vote: Some(3) };
    open(0).unwrap().write(newer).unwrap();
    fs::write(&paths[1], old).unwrap();
    assert_eq!(open(0).unwrap().state(), newer);

    let error = open(9).err().unwrap().to_string();
    assert!(error.contains("older than the log"), "{error}");
    let other = Identity { node: Some(1), ..IDENTITY };
    assert!(VoteFile::open(dir.path(), &other, 0).is_err(), "another node's");
    fs::write(&paths[0], [1; 80]).unwrap();
    fs::write(&paths[1], [1; 80]).unwrap();
    let error = open(0).err().unwrap().to_string();
    assert!(error.contains("lost") && error.contains("join again"), "{error}");
    fs::remove_file(&paths[0]).unwrap();
    fs::remove_file(&paths[1]).unwrap();
    assert!(open(3).is_err(), "the log is not empty, so there was a vote");
}
