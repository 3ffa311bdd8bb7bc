//! One test for each rule of the source's side.

use super::*;

const SIZE: u64 = 3 * CHUNK as u64 + 5;
/// No limit that these tests would meet.
const FAST: u64 = 1 << 40;

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn file(n: u8) -> FileId {
    crate::ids::Id128([n; 16])
}

/// A server and what it was told about.
struct Bench {
    server: Server,
    now: Duration,
    checkpoint: Option<Index>,
}

impl Bench {
    fn new(rate: u64) -> Self {
        Self { server: Server::new(rate), now: Duration::ZERO, checkpoint: Some(100) }
    }

    fn ask(&mut self, from: NodeId, request: Request) -> Vec<Action> {
        self.server.on_request(self.now, from, request, self.checkpoint);
        self.server.take_actions()
    }

    fn open(&mut self, from: NodeId, at_least: Index) -> Vec<Action> {
        self.ask(from, Request::Open { at_least })
    }

    fn read(&mut self, from: NodeId, file: FileId, chunk: u64) -> Vec<Action> {
        self.ask(from, Request::Read { file, offset: chunk * CHUNK as u64 })
    }

    fn pass(&mut self, time: Duration) -> Vec<Action> {
        self.now += time;
        self.server.advance(self.now);
        self.server.take_actions()
    }

    /// Node 2 has opened, and file 1 was made for it as of index 100.
    fn opened() -> Self {
        let mut bench = Self::new(FAST);
        assert_eq!(bench.open(2, 100), [Action::Make, not_yet(2)]);
        bench.server.on_made(bench.now, file(1), 100, SIZE);
        assert_eq!(bench.open(2, 100), [offer(2, file(1), 100)]);
        bench
    }
}

fn not_yet(to: NodeId) -> Action {
    Action::Send(to, Answer::NotYet)
}

fn busy(to: NodeId) -> Action {
    Action::Send(to, Answer::Busy)
}

fn gone(to: NodeId, file: FileId) -> Action {
    Action::Send(to, Answer::Gone { file })
}

fn offer(to: NodeId, file: FileId, applied: Index) -> Action {
    Action::Send(to, Answer::Offer { file, applied, size: SIZE })
}

fn read(to: NodeId, file: FileId, chunk: u64) -> Action {
    let offset = chunk * CHUNK as u64;
    let length = if chunk == 3 { 5 } else { CHUNK };
    Action::Read { to, file, offset, length }
}

#[test]
fn a_file_is_made_on_demand_and_only_once_at_a_time() {
    let mut bench = Bench::new(FAST);
    assert_eq!(bench.open(2, 90), [Action::Make, not_yet(2)]);
    assert_eq!(bench.open(2, 90), [not_yet(2)], "it is being made");
    assert_eq!(bench.open(3, 90), [not_yet(3)]);
    assert_eq!(bench.server.pinned(), Some(100), "the checkpoint that is being written out");
    bench.server.on_made(bench.now, file(1), 102, SIZE);
    assert_eq!(bench.server.pinned(), Some(102), "before they have asked again");
    assert_eq!(bench.open(2, 90), [offer(2, file(1), 102)]);
    assert_eq!(bench.open(3, 90), [offer(3, file(1), 102)], "one file serves both");
}

#[test]
fn without_a_checkpoint_new_enough_the_answer_is_not_yet() {
    let mut bench = Bench::new(FAST);
    bench.checkpoint = None;
    assert_eq!(bench.open(2, 0), [not_yet(2)]);
    bench.checkpoint = Some(100);
    assert_eq!(bench.open(2, 101), [not_yet(2)]);
    assert_eq!(bench.server.pinned(), None);
    bench.checkpoint = Some(101);
    assert_eq!(bench.open(2, 101), [Action::Make, not_yet(2)]);
}

#[test]
fn after_a_failure_to_make_one_there_is_a_pause() {
    let mut bench = Bench::new(FAST);
    bench.open(2, 1);
    bench.server.on_unmade(bench.now);
    assert_eq!(bench.server.pinned(), None);
    assert_eq!(bench.open(2, 1), [not_yet(2)]);
    bench.pass(MAKE_PAUSE);
    assert_eq!(bench.open(2, 1), [Action::Make, not_yet(2)]);
}

#[test]
fn a_third_receiver_is_told_to_come_later_and_served_when_one_is_done() {
    let mut bench = Bench::opened();
    assert_eq!(bench.open(3, 1), [offer(3, file(1), 100)]);
    assert_eq!(bench.open(4, 1), [busy(4)]);
    assert_eq!(bench.read(4, file(1), 0), [busy(4)]);
    assert_eq!(bench.ask(4, Request::Hold { file: file(1) }), []);
    assert_eq!(bench.server.receivers().collect::<Vec<_>>(), [2, 3]);
    assert_eq!(bench.ask(2, Request::Done { file: file(9) }), [], "of a fetch long ago");
    assert_eq!(bench.open(4, 1), [busy(4)]);
    assert_eq!(bench.ask(2, Request::Done { file: file(1) }), []);
    assert_eq!(bench.open(4, 1), [offer(4, file(1), 100)]);
}

#[test]
fn chunks_are_read_as_asked_and_the_last_is_short() {
    let mut bench = Bench::opened();
    for chunk in [0, 3, 1, 1] {
        assert_eq!(bench.read(2, file(1), chunk), [read(2, file(1), chunk)]);
    }
}

#[test]
fn wrong_places_and_unknown_files_are_not_read() {
    let mut bench = Bench::opened();
    assert_eq!(bench.read(2, file(1), 4), [], "behind the end");
    for offset in [1, CHUNK as u64 - 1, u64::MAX, u64::MAX - (CHUNK as u64 - 1)] {
        assert_eq!(bench.ask(2, Request::Read { file: file(1), offset }), [], "{offset}");
    }
    assert_eq!(bench.read(2, file(7), 0), [gone(2, file(7))]);
    assert_eq!(bench.read(9, file(7), 0), [gone(9, file(7))]);
    assert_eq!(bench.server.receivers().collect::<Vec<_>>(), [2], "no session for nothing");
}

#[test]
fn the_silent_are_forgotten_and_their_files_some_time_later() {
    let mut bench = Bench::opened();
    assert_eq!(bench.server.deadline(), Some(SESSION_IDLE));
    assert_eq!(bench.pass(SESSION_IDLE - secs(1)), []);
    assert_eq!(bench.read(2, file(1), 0).len(), 1, "it was not silent");
    assert_eq!(bench.pass(SESSION_IDLE - secs(1)), []);
    assert_eq!(bench.server.pinned(), Some(100));
    assert_eq!(bench.pass(secs(1)), []);
    assert_eq!(bench.server.pinned(), None);
    assert_eq!(bench.pass(FILE_IDLE - secs(1)), []);
    assert_eq!(bench.server.deadline(), Some(bench.now + secs(1)));
    assert_eq!(bench.pass(secs(1)), [Action::Delete(file(1))]);
    assert_eq!(bench.server.deadline(), None);
    assert_eq!(bench.read(2, file(1), 0), [gone(2, file(1))]);
}

#[test]
fn who_was_forgotten_resumes_as_long_as_the_file_is_there() {
    let mut bench = Bench::opened();
    bench.pass(SESSION_IDLE);
    assert_eq!(bench.server.pinned(), None);
    bench.pass(FILE_IDLE - secs(1));
    assert_eq!(bench.read(2, file(1), 1), [read(2, file(1), 1)]);
    assert_eq!(bench.server.pinned(), Some(100));
    assert_eq!(bench.pass(secs(1)), [], "it is used again");
}

#[test]
fn a_receiver_that_builds_holds_its_session() {
    let mut bench = Bench::opened();
    for _ in 0..10 {
        assert_eq!(bench.pass(SESSION_IDLE / 2), []);
        assert_eq!(bench.ask(2, Request::Hold { file: file(1) }), []);
    }
    assert_eq!(bench.server.pinned(), Some(100));
    bench.ask(2, Request::Done { file: file(1) });
    assert_eq!(bench.server.pinned(), None);
}

#[test]
fn a_slow_receiver_keeps_its_file_while_a_newer_one_is_made_for_another() {
    let mut bench = Bench::opened();
    bench.checkpoint = Some(200);
    assert_eq!(bench.open(3, 150), [Action::Make, not_yet(3)]);
    bench.server.on_made(bench.now, file(2), 200, SIZE);
    assert_eq!(bench.server.take_actions(), []);
    assert_eq!(bench.open(3, 150), [offer(3, file(2), 200)]);
    assert_eq!(bench.read(2, file(1), 0), [read(2, file(1), 0)]);
    assert_eq!(bench.open(2, 100), [offer(2, file(1), 100)], "the one that it can resume");
    assert_eq!(bench.server.pinned(), Some(100));
    bench.ask(2, Request::Done { file: file(1) });
    assert_eq!(bench.server.pinned(), Some(200));
    assert_eq!(bench.open(2, 100), [offer(2, file(2), 200)], "who comes anew gets the newest");
}

#[test]
fn an_older_file_that_nobody_reads_goes_when_a_newer_one_is_there() {
    let mut bench = Bench::opened();
    bench.checkpoint = Some(200);
    assert_eq!(bench.open(2, 150), [Action::Make, not_yet(2)], "its own is too old for it now");
    bench.server.on_made(bench.now, file(2), 200, SIZE);
    assert_eq!(bench.server.take_actions(), [Action::Delete(file(1))]);
}

#[test]
fn the_rate_holds_for_all_together_and_they_take_turns() {
    let mut bench = Bench::opened();
    bench.open(3, 1);
    // One chunk per second, and one saved up.
    bench.server.bucket = Bucket::new(CHUNK as u64, CHUNK);
    let mut sent = bench.read(2, file(1), 0);
    for (from, chunk) in [(2, 1), (2, 2), (2, 2), (3, 0), (3, 1)] {
        sent.extend(bench.read(from, file(1), chunk));
    }
    assert_eq!(sent, [read(2, file(1), 0)]);
    let mut turns = Vec::new();
    for _ in 0..4 {
        assert_eq!(bench.server.deadline(), Some(bench.now + secs(1)));
        turns.extend(bench.pass(secs(1)));
    }
    let expected = [(3, 0), (2, 1), (3, 1), (2, 2)];
    assert_eq!(turns, expected.map(|(to, chunk)| read(to, file(1), chunk)));
    assert_eq!(bench.pass(secs(1)), [], "what was asked for twice at once is sent once");
}

#[test]
fn no_more_than_a_window_is_remembered_for_a_receiver() {
    let mut bench = Bench::opened();
    bench.server.bucket = Bucket::new(CHUNK as u64, CHUNK);
    for chunk in 0..4 {
        bench.read(2, file(1), chunk);
    }
    let mut sent = Vec::new();
    for _ in 0..10 {
        sent.extend(bench.pass(secs(1)));
    }
    assert_eq!(sent, [read(2, file(1), 1), read(2, file(1), 2)]);
}

#[test]
fn a_file_that_cannot_be_read_is_gone_for_all() {
    let mut bench = Bench::opened();
    bench.open(3, 1);
    bench.server.on_unreadable(file(1));
    let expected = [gone(2, file(1)), gone(3, file(1)), Action::Delete(file(1))];
    assert_eq!(bench.server.take_actions(), expected);
    bench.server.on_unreadable(file(1));
    assert_eq!(bench.server.take_actions(), [], "two chunks of it were under way");
    assert_eq!(bench.open(2, 1), [Action::Make, not_yet(2)]);
}

#[test]
fn nothing_of_a_lost_state_is_served() {
    let mut bench = Bench::opened();
    bench.server.revoke();
    bench.checkpoint = None;
    assert_eq!(bench.server.take_actions(), [gone(2, file(1)), Action::Delete(file(1))]);
    assert_eq!(bench.open(2, 1), [not_yet(2)]);
    assert_eq!(bench.server.pinned(), None);
}
