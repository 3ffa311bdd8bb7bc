//! The log threads: order, batches, failures.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use bowline::ids::Id128;
use bowline::metrics::Metrics;
use bowline::node::log_writer::{LogCommand, LogDone, LogWrite};
use bowline::node::{log_reader, log_writer};
use bowline::raft::{Entry, HardState, Index, LogRead, Payload, Persisted, Stamp, Term, Write};
use bowline::replica::LogRequest;
use bowline::storage::{DataDir, Identity, RecoveringMark, VoteFile, Wal, WalOptions, WalReader};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use tempfile::TempDir;

const IDENTITY: Identity =
    Identity { cluster: Some(Id128([7; 16])), epoch: 0, tag: Id128([9; 16]), node: Some(3) };
const SMALL: WalOptions = WalOptions { segment_bytes: 4096, hurried_bytes: 1024, tail_bytes: 4096 };

fn entry(index: Index, term: Term) -> Entry {
    let payload = Payload::Command(vec![index as u8; 100].into());
    Entry { index, term, stamp: Stamp::default(), payload }
}

fn write(term: Term, hard_state: Option<HardState>, entries: &[Entry]) -> LogCommand {
    let last = entries.last().map_or((0, 0), |entry| (entry.index, entry.term));
    let entries = entries.to_vec();
    wrap(Write { term, hard_state, entries, last, ..Write::default() })
}

fn wrap(write: Write) -> LogCommand {
    LogCommand::Write(LogWrite { write, commit: 0 })
}

struct Log {
    writes: Sender<LogCommand>,
    done: Receiver<LogDone>,
    thread: thread::JoinHandle<()>,
    reader: WalReader,
    mark: RecoveringMark,
    metrics: Arc<Metrics>,
}

/// Starts the log thread after `queued` writes have gathered.
fn start(dir: &TempDir, queued: Vec<LogCommand>) -> Log {
    let (writer, reader, recovered) = Wal::open(&dir.path().join("log"), &IDENTITY, SMALL).unwrap();
    let vote = VoteFile::open(&dir.path().join("vote"), &IDENTITY, recovered.last_term()).unwrap();
    let (writes, queue) = bounded(200);
    queued.into_iter().for_each(|write| writes.send(write).unwrap());
    let (report, done) = unbounded();
    let metrics = Arc::new(Metrics::default());
    let mark = DataDir::open(&dir.path().join("data")).unwrap().recovering_mark();
    let thread =
        log_writer::spawn(writer, vote, mark.clone(), queue, report, Arc::clone(&metrics)).unwrap();
    Log { writes, done, thread, reader, mark, metrics }
}

fn persisted(done: &Receiver<LogDone>) -> Vec<Persisted> {
    let LogDone::Persisted(persisted) = done.recv().unwrap() else { panic!("the log failed") };
    persisted
}

#[test]
fn what_has_queued_up_is_made_durable_together_and_reported_in_order() {
    let dir = TempDir::new().unwrap();
    let queued = vec![
        write(1, Some(HardState { term: 1, vote: Some(3) }), &[entry(1, 1), entry(2, 1)]),
        write(1, None, &[entry(3, 1)]),
        write(1, None, &[]),
        write(1, None, &[entry(4, 1)]),
    ];
    let expected: Vec<_> = queued
        .iter()
        .map(|queued| {
            let LogCommand::Write(LogWrite { write, .. }) = queued else { panic!("{queued:?}") };
            Persisted { term: write.term, last: write.last }
        })
        .collect();
    let log = start(&dir, queued);
    assert_eq!(persisted(&log.done), expected);
    assert_eq!(log.metrics.log_writes.get(), 1, "one record, one sync");
    assert_eq!(log.metrics.log_entries.get(), 4);
    assert_eq!(log.metrics.log_fsync.read().1, 1);
    assert_eq!(log.reader.last_index(), 4);

    // A term between entries: what comes before it is durable before it, and so on.
    log.writes.send(write(1, None, &[entry(5, 1)])).unwrap();
    let state = HardState { term: 2, vote: None };
    log.writes.send(write(2, Some(state), &[entry(5, 2), entry(6, 2)])).unwrap();
    drop(log.writes);
    log.thread.join().unwrap();
    let reports: Vec<_> = log.done.iter().collect();
    let count = |report: &LogDone| match report {
        LogDone::Persisted(persisted) => persisted.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!(reports.iter().map(count).sum::<usize>(), 2, "a closed queue is drained first");
    drop(log.reader);

    let (_writer, mut reader, recovered) =
        Wal::open(&dir.path().join("log"), &IDENTITY, SMALL).unwrap();
    assert_eq!(recovered.term_runs, [(1, 1), (5, 2)]);
    assert_eq!(reader.read(5, 9, usize::MAX).unwrap(), [entry(5, 2), entry(6, 2)]);
    let vote = VoteFile::open(&dir.path().join("vote"), &IDENTITY, 2).unwrap();
    assert_eq!(vote.state(), state);
}

#[test]
fn a_failing_disk_is_reported_once_and_ends_the_thread() {
    let dir = TempDir::new().unwrap();
    let log = start(&dir, Vec::new());
    log.writes.send(write(1, None, &[entry(1, 1)])).unwrap();
    persisted(&log.done);
    // The next segment cannot be prepared: its directory is gone, in one step, for the thread may be
    // making a file in it.
    fs::rename(dir.path().join("log"), dir.path().join("gone")).unwrap();
    File::create(dir.path().join("log")).unwrap();
    for index in 2.. {
        // Nobody takes writes any more when the thread has ended.
        if log.writes.send(write(1, None, &[entry(index, 1)])).is_err() {
            break;
        }
    }
    log.thread.join().unwrap();
    let reports: Vec<_> = log.done.iter().collect();
    let failed = |report: &LogDone| matches!(report, LogDone::Failed(_));
    let LogDone::Failed(message) = reports.last().unwrap() else { panic!("{reports:?}") };
    assert!(message.contains("check the disk"), "{message}");
    assert_eq!(reports.iter().filter(|report| failed(report)).count(), 1);
}

#[test]
fn entries_are_read_back_on_request() {
    let dir = TempDir::new().unwrap();
    let entries: Vec<_> = (1..=50).map(|index| entry(index, 1)).collect();
    let log = start(&dir, vec![write(1, None, &entries)]);
    persisted(&log.done);
    let (requests, queue) = bounded(10);
    let (report, done) = unbounded();
    let thread = log_reader::spawn(log.reader, queue, report).unwrap();
    let read = LogRead { to: 2, first: 10, last: 12, bytes_max: usize::MAX };
    requests.send(LogRequest::Follower(read)).unwrap();
    let apply = LogRequest::Apply { first: 49, last: 60, bytes_max: 1 << 20 };
    requests.send(apply).unwrap();
    drop(requests);
    thread.join().unwrap();
    let answers: Vec<_> = done.iter().collect();
    assert_eq!(answers[0].request, LogRequest::Follower(read));
    assert_eq!(answers[0].entries.as_ref().unwrap()[..], entries[9..12]);
    assert_eq!(answers[1].request, apply);
    assert_eq!(answers[1].entries.as_ref().unwrap()[..], entries[48..50]);
}

#[test]
fn a_new_beginning_comes_before_the_entries_and_the_mark_goes_before_the_report() {
    let dir = TempDir::new().unwrap();
    let log = start(&dir, vec![write(1, None, &[entry(1, 1), entry(2, 1)])]);
    persisted(&log.done);
    let mark = dir.path().join("data/recovering");
    log.mark.set("a test").unwrap();
    log.writes
        .send(wrap(Write {
            term: 3,
            hard_state: Some(HardState { term: 3, vote: None }),
            restart: Some((90, 2)),
            entries: vec![entry(91, 3)],
            last: (91, 3),
            ..Write::default()
        }))
        .unwrap();
    assert_eq!(persisted(&log.done), [Persisted { term: 3, last: (91, 3) }]);
    assert!(mark.exists());
    assert_eq!(log.reader.clone().read(1, 99, usize::MAX).unwrap(), []);
    assert_eq!(log.reader.clone().read(91, 99, usize::MAX).unwrap(), [entry(91, 3)]);
    log.writes.send(wrap(Write { recovered: true, last: (91, 3), ..Write::default() })).unwrap();
    persisted(&log.done);
    assert!(!mark.exists());
    drop(log.writes);
    log.thread.join().unwrap();
    let (_, _, recovered) = Wal::open(&dir.path().join("log"), &IDENTITY, SMALL).unwrap();
    assert_eq!((recovered.start, recovered.last_index), ((90, 2), 91));
}

#[test]
fn a_purge_is_done_in_its_turn_and_reported_when_something_went() {
    let dir = TempDir::new().unwrap();
    let entries: Vec<_> = (1..=100).map(|index| entry(index, 1)).collect();
    let purge = |keep_bytes| LogCommand::Purge { floor: 90, keep_bytes };
    let log = start(&dir, vec![purge(0), write(1, None, &entries), purge(u64::MAX), purge(0)]);
    persisted(&log.done);
    let LogDone::Purged(start) = log.done.recv().unwrap() else { panic!("it was not purged") };
    assert!((50..=90).contains(&start), "{start}");
    assert_eq!(
        log.reader.clone().read(start + 1, 100, usize::MAX).unwrap(),
        entries[start as usize..]
    );
    drop(log.writes);
    log.thread.join().unwrap();
    assert_eq!(log.done.iter().count(), 0, "what deletes nothing reports nothing");
    assert!(log.metrics.log_file_bytes.get() < 3 * 4096 + 1024);
}

/// A log thread on a disk that becomes full once two segments are made ahead; the link is what keeps
/// it full.
fn start_full(dir: &TempDir) -> (Log, PathBuf) {
    let log = start(dir, Vec::new());
    let path = dir.path().join("log");
    while !(path.join("spare").exists() && path.join("reserve").exists()) {
        thread::yield_now();
    }
    let full = path.join("ahead.tmp");
    symlink("/dev/full", &full).unwrap();
    (log, full)
}

#[test]
fn writes_wait_for_room_in_their_order_and_purges_make_some() {
    let dir = TempDir::new().unwrap();
    let (log, full) = start_full(&dir);
    for index in 1..=100 {
        log.writes.send(write(1, None, &[entry(index, 1)])).unwrap();
    }
    let state = HardState { term: 2, vote: Some(1) };
    log.writes.send(write(2, Some(state), &[])).unwrap();
    // More than fits into what was made ahead, so the purge comes up while writes before it wait.
    log.writes.send(LogCommand::Purge { floor: 60, keep_bytes: 0 }).unwrap();
    let (mut durable, mut told) = (0, Vec::new());
    let mut reports = log.done.iter();
    let purged = loop {
        match reports.next().unwrap() {
            LogDone::Persisted(all) => durable += all.len(),
            LogDone::Full(full) => told.push(full),
            LogDone::Purged(start) => break start,
            LogDone::Failed(why) => panic!("{why}"),
        }
    };
    assert_eq!(told, [true], "said once");
    assert!((1..=60).contains(&purged));
    assert!(durable < 100, "nothing was reported that waits");

    fs::remove_file(full).unwrap();
    while durable < 101 || told != [true, false] {
        match reports.next().unwrap() {
            LogDone::Persisted(all) => durable += all.len(),
            LogDone::Full(full) => told.push(full),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(log.reader.last_index(), 100);
    let vote = VoteFile::open(&dir.path().join("vote"), &IDENTITY, 1).unwrap();
    assert_eq!(vote.state(), state);
}

#[test]
fn a_log_that_waits_for_room_can_be_ended() {
    let dir = TempDir::new().unwrap();
    let (log, _full) = start_full(&dir);
    let entries: Vec<_> = (1..=200).map(|index| entry(index, 1)).collect();
    log.writes.send(write(1, None, &entries)).unwrap();
    assert_eq!(log.done.recv().unwrap(), LogDone::Full(true));
    drop(log.writes);
    log.thread.join().unwrap();
    assert_eq!(log.done.iter().count(), 0, "what is not durable is not reported");
}
