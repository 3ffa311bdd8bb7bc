//! The log threads: order, batches, failures.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::fs::{self, File};
use std::sync::Arc;

use bowline::ids::Id128;
use bowline::metrics::Metrics;
use bowline::node::log_writer::{LogCommand, LogDone, LogWrite};
use bowline::node::{log_reader, log_writer};
use bowline::raft::{Entry, HardState, Index, LogRead, Payload, Persisted, Stamp, Term, Write};
use bowline::replica::LogRequest;
use bowline::storage::{DataDir, Identity, VoteFile, Wal, WalOptions, WalReader};
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
    thread: std::thread::JoinHandle<()>,
    reader: WalReader,
    metrics: Arc<Metrics>,
}

/// Starts the log thread after `queued` writes have gathered.
fn start(dir: &TempDir, queued: Vec<LogCommand>) -> Log {
    let (writer, reader, recovered) = Wal::open(&dir.path().join("log"), &IDENTITY, SMALL).unwrap();
    let vote = VoteFile::open(&dir.path().join("vote"), &IDENTITY, recovered.last_term()).unwrap();
    let (writes, queue) = bounded(100);
    queued.into_iter().for_each(|write| writes.send(write).unwrap());
    let (report, done) = unbounded();
    let metrics = Arc::new(Metrics::default());
    let mark = DataDir::open(&dir.path().join("data")).unwrap().recovering_mark();
    let thread =
        log_writer::spawn(writer, vote, mark, queue, report, Arc::clone(&metrics)).unwrap();
    Log { writes, done, thread, reader, metrics }
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
    // The next segment cannot be prepared: its directory is gone.
    fs::remove_dir_all(dir.path().join("log")).unwrap();
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
