//! One test for each rule of the receiver's side.

use super::*;
use crate::ids::Id128;

const CHUNKS: u64 = 4;
const SIZE: u64 = 3 * CHUNK as u64 + 5;

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn file(n: u8) -> FileId {
    Id128([n; 16])
}

fn wish(from: NodeId, at_least: Index) -> Fetch {
    Fetch { from, at_least }
}

/// A fetcher and the time.
struct Bench {
    fetcher: Fetcher,
    now: Duration,
}

impl Bench {
    fn new() -> Self {
        Self { fetcher: Fetcher::new(), now: secs(1) }
    }

    /// Wants a state of node 1 as of 100, and reads file 1: the first two chunks are asked for.
    fn reading() -> Self {
        let mut bench = Self::new();
        assert_eq!(bench.want(1, 100), [open(1, 100)]);
        let create = Action::Create { file: file(1), size: SIZE };
        let expected = [create, read(1, file(1), 0), read(1, file(1), 1)];
        assert_eq!(bench.offer(1, file(1)), expected);
        bench
    }

    /// All of file 1 has come.
    fn whole() -> Self {
        let mut bench = Self::reading();
        for at in 0..CHUNKS {
            bench.chunk(1, file(1), at);
        }
        assert!(bench.fetcher.progress().is_some_and(|it| it.whole));
        bench
    }

    fn want(&mut self, from: NodeId, at_least: Index) -> Vec<Action> {
        self.fetcher.want(self.now, wish(from, at_least));
        self.fetcher.take_actions()
    }

    fn answer(&mut self, from: NodeId, answer: Answer) -> Vec<Action> {
        self.fetcher.on_answer(self.now, from, answer);
        self.fetcher.take_actions()
    }

    fn offer(&mut self, from: NodeId, file: FileId) -> Vec<Action> {
        self.answer(from, Answer::Offer { file, applied: 110, size: SIZE })
    }

    fn chunk(&mut self, from: NodeId, file: FileId, at: u64) -> Vec<Action> {
        self.answer(from, Answer::Chunk { file, offset: at * CHUNK as u64, bytes: content(at) })
    }

    fn pass(&mut self, time: Duration) -> Vec<Action> {
        self.now += time;
        self.fetcher.advance(self.now);
        self.fetcher.take_actions()
    }

    /// Waits for the fetcher's own deadline.
    fn pass_on(&mut self) -> Vec<Action> {
        let then = self.fetcher.deadline().expect("something is awaited");
        assert!(then > self.now, "no busy loop");
        self.pass(then - self.now)
    }
}

fn content(at: u64) -> Bytes {
    let length = if at == CHUNKS - 1 { 5 } else { CHUNK };
    vec![at as u8 + 1; length].into()
}

fn open(from: NodeId, at_least: Index) -> Action {
    Action::Send(from, Request::Open { at_least })
}

fn read(from: NodeId, file: FileId, at: u64) -> Action {
    Action::Send(from, Request::Read { file, offset: at * CHUNK as u64 })
}

fn done(from: NodeId, file: FileId) -> Action {
    Action::Send(from, Request::Done { file })
}

fn write(at: u64) -> Action {
    Action::Write { offset: at * CHUNK as u64, bytes: content(at) }
}

fn build(file: FileId) -> Action {
    Action::Build { file, applied: 110 }
}

fn create(file: FileId) -> Action {
    Action::Create { file, size: SIZE }
}

#[test]
fn chunks_are_asked_for_two_at_a_time_and_written_as_they_come() {
    let mut bench = Bench::reading();
    assert_eq!(bench.chunk(1, file(1), 0), [write(0), read(1, file(1), 2)]);
    assert_eq!(bench.chunk(1, file(1), 1), [write(1), read(1, file(1), 3)]);
    let progress = Progress { from: 1, received: 2 * CHUNK as u64, size: SIZE, whole: false };
    assert_eq!(bench.fetcher.progress(), Some(progress));
    assert_eq!(bench.chunk(1, file(1), 3), [write(3)], "out of order");
    let hold = Action::Send(1, Request::Hold { file: file(1) });
    assert_eq!(bench.chunk(1, file(1), 2), [write(2), build(file(1)), hold]);
    assert_eq!(
        bench.fetcher.progress(),
        Some(Progress { received: SIZE, whole: true, ..progress })
    );
}

#[test]
fn to_wish_the_same_again_changes_nothing_in_any_phase() {
    let mut bench = Bench::new();
    bench.want(1, 100);
    assert_eq!(bench.want(1, 100), []);
    bench.answer(1, Answer::Busy);
    assert_eq!(bench.want(1, 100), [], "not before the pause is over");
    let mut bench = Bench::reading();
    assert_eq!(bench.want(1, 100), []);
    let mut bench = Bench::whole();
    assert_eq!(bench.want(1, 100), []);
    assert!(bench.fetcher.on_built(bench.now, file(1)));
    assert_eq!(bench.want(1, 110), []);
}

#[test]
fn an_unanswered_opening_is_repeated_more_and_more_patiently() {
    let mut bench = Bench::new();
    bench.want(1, 100);
    let mut pauses = Vec::new();
    for _ in 0..5 {
        let before = bench.now;
        assert_eq!(bench.pass_on(), [open(1, 100)]);
        pauses.push((bench.now - before).as_secs());
    }
    assert_eq!(pauses, [2, 4, 8, 16, 16]);
}

#[test]
fn not_yet_and_busy_are_waited_for() {
    let mut bench = Bench::new();
    bench.want(1, 100);
    let mut pauses = Vec::new();
    for _ in 0..6 {
        assert_eq!(bench.answer(1, Answer::NotYet), []);
        let before = bench.now;
        assert_eq!(bench.pass_on(), [open(1, 100)]);
        pauses.push((bench.now - before).as_millis());
    }
    assert_eq!(pauses, [250, 500, 1000, 2000, 4000, 4000]);
    assert_eq!(bench.answer(1, Answer::Busy), []);
    assert_eq!(bench.pass(BUSY - secs(1)), []);
    assert_eq!(bench.pass(secs(1)), [open(1, 100)]);
}

#[test]
fn a_lost_chunk_is_asked_for_again_and_alone() {
    let mut bench = Bench::reading();
    bench.chunk(1, file(1), 1);
    assert_eq!(bench.pass(PATIENCE_MIN), [read(1, file(1), 0), read(1, file(1), 2)]);
    bench.chunk(1, file(1), 2);
    assert_eq!(bench.pass_on(), [read(1, file(1), 0), read(1, file(1), 3)]);
}

#[test]
fn a_slow_source_is_not_asked_twice_for_what_is_on_its_way() {
    let mut bench = Bench::reading();
    bench.pass(secs(1));
    bench.chunk(1, file(1), 0);
    bench.pass(secs(1));
    bench.chunk(1, file(1), 1);
    // Each took a second or two, so four to eight are waited for the next ones.
    assert_eq!(bench.pass(secs(5)), []);
    assert_eq!(bench.pass(secs(3)), [read(1, file(1), 2), read(1, file(1), 3)]);
}

#[test]
fn what_was_not_asked_for_is_not_written() {
    let mut bench = Bench::reading();
    let chunk = |offset, bytes: Bytes| Answer::Chunk { file: file(1), offset, bytes };
    assert_eq!(bench.chunk(1, file(2), 0), [], "another file's");
    assert_eq!(bench.chunk(3, file(1), 0), [], "another node's");
    assert_eq!(bench.chunk(1, file(1), 2), [], "not yet asked for");
    assert_eq!(bench.answer(1, chunk(1, content(0))), [], "no place where a chunk begins");
    assert_eq!(bench.answer(1, chunk(u64::MAX, content(0))), []);
    assert_eq!(bench.answer(1, chunk(0, content(3))), [], "too short");
    assert_eq!(bench.answer(1, chunk(0, Bytes::new())), []);
    assert_eq!(bench.answer(1, chunk(0, vec![0; CHUNK + 1].into())), [], "too long");
    assert_eq!(bench.chunk(1, file(1), 0).len(), 2, "but the right one is");
    assert_eq!(bench.chunk(1, file(1), 0), [], "once");
    bench.chunk(1, file(1), 1);
    assert_eq!(bench.answer(1, chunk(3 * CHUNK as u64, content(0))), [], "the last is short");
    assert_eq!(bench.fetcher.progress().map(|it| it.received), Some(2 * CHUNK as u64));
}

#[test]
fn an_offer_must_be_what_was_wished_and_from_whom() {
    let offer = |applied, size| Answer::Offer { file: file(1), applied, size };
    let mut bench = Bench::new();
    assert_eq!(bench.answer(1, offer(100, SIZE)), [], "nothing was wished");
    bench.want(1, 100);
    assert_eq!(bench.answer(2, offer(100, SIZE)), []);
    assert_eq!(bench.answer(1, offer(99, SIZE)), [], "too old");
    assert_eq!(bench.answer(1, offer(100, 0)), [], "there is no empty file");
    assert_eq!(bench.answer(1, offer(100, SIZE)).len(), 3);
    assert_eq!(bench.answer(1, offer(200, 7)), [], "one is enough");
}

#[test]
fn after_a_silence_the_source_is_opened_anew_and_only_the_rest_is_read() {
    let mut bench = Bench::reading();
    bench.chunk(1, file(1), 0);
    let silent_at = bench.now + SILENCE;
    let mut asked = Vec::new();
    while bench.now < silent_at {
        asked = bench.pass_on();
    }
    assert_eq!(asked, [open(1, 100)]);
    assert_eq!(bench.offer(1, file(1)), [read(1, file(1), 1), read(1, file(1), 2)]);
    assert_eq!(bench.chunk(1, file(1), 2), [write(2), read(1, file(1), 3)]);
}

#[test]
fn another_file_begins_anew() {
    let mut bench = Bench::reading();
    bench.chunk(1, file(1), 0);
    bench.pass(SILENCE);
    let expected = [create(file(2)), read(1, file(2), 0), read(1, file(2), 1)];
    assert_eq!(bench.offer(1, file(2)), expected);
    assert_eq!(bench.chunk(1, file(1), 1), [], "the old one is of no use any more");
}

#[test]
fn a_file_of_the_same_name_but_another_size_is_another_file() {
    let mut bench = Bench::reading();
    bench.pass(SILENCE);
    let answer = Answer::Offer { file: file(1), applied: 110, size: 9 };
    let expected = [Action::Create { file: file(1), size: 9 }, read(1, file(1), 0)];
    assert_eq!(bench.answer(1, answer), expected);
}

#[test]
fn a_file_that_is_gone_is_given_up_at_once() {
    let mut bench = Bench::reading();
    assert_eq!(bench.answer(1, Answer::Gone { file: file(2) }), [], "not ours");
    assert_eq!(bench.answer(2, Answer::Gone { file: file(1) }), [], "not from there");
    assert_eq!(bench.answer(1, Answer::Gone { file: file(1) }), [Action::Discard, open(1, 100)]);
    assert_eq!(bench.answer(1, Answer::Gone { file: file(1) }), [], "said twice");
}

#[test]
fn a_source_that_is_busy_in_the_middle_is_asked_later_for_the_rest() {
    let mut bench = Bench::reading();
    bench.chunk(1, file(1), 0);
    assert_eq!(bench.answer(2, Answer::Busy), [], "not ours");
    assert_eq!(bench.answer(1, Answer::Busy), []);
    assert_eq!(bench.pass(BUSY), [open(1, 100)]);
    assert_eq!(bench.offer(1, file(1)), [read(1, file(1), 1), read(1, file(1), 2)]);
}

#[test]
fn a_reading_that_will_do_goes_on_when_another_source_is_named_until_it_falls_silent() {
    let mut bench = Bench::reading();
    assert_eq!(bench.want(3, 105), []);
    assert_eq!(bench.chunk(1, file(1), 0), [write(0), read(1, file(1), 2)]);
    assert_eq!(bench.pass(PATIENCE_MIN - secs(1)), []);
    assert_eq!(bench.pass(secs(1)), [open(3, 105)]);
    assert_eq!(bench.fetcher.progress().map(|it| it.from), Some(3));
    assert_eq!(bench.chunk(1, file(1), 1), [], "it is given up");
    assert_eq!(bench.offer(3, file(3))[0], create(file(3)));
}

#[test]
fn a_reading_that_will_not_do_is_given_up_at_once() {
    let mut bench = Bench::reading();
    assert_eq!(bench.want(3, 111), [done(1, file(1)), Action::Discard, open(3, 111)]);
    let mut bench = Bench::reading();
    assert_eq!(bench.want(1, 111), [done(1, file(1)), Action::Discard, open(1, 111)]);
}

#[test]
fn another_source_is_not_waited_for_because_of_the_first() {
    let mut bench = Bench::new();
    bench.want(1, 100);
    bench.answer(1, Answer::Busy);
    assert_eq!(bench.want(2, 100), [open(2, 100)]);
    assert_eq!(bench.answer(1, Answer::Busy), []);
    assert_eq!(bench.fetcher.deadline(), Some(bench.now + PATIENCE_MIN));
}

#[test]
fn what_is_built_is_held_at_the_source_until_it_is_adopted() {
    let mut bench = Bench::whole();
    let hold = Action::Send(1, Request::Hold { file: file(1) });
    assert_eq!(bench.pass(HOLD_EVERY), std::slice::from_ref(&hold));
    assert!(!bench.fetcher.on_built(bench.now, file(2)), "built of a file of before");
    assert!(bench.fetcher.on_built(bench.now, file(1)));
    assert!(!bench.fetcher.on_built(bench.now, file(1)), "once");
    assert_eq!(bench.pass(HOLD_EVERY), [hold]);
    assert!(!bench.fetcher.on_failed(bench.now, file(1)), "it is not ours to judge any more");
    bench.fetcher.adopted(bench.now);
    assert_eq!(bench.fetcher.take_actions(), [done(1, file(1)), Action::Discard]);
    assert_eq!((bench.fetcher.progress(), bench.fetcher.deadline()), (None, None));
}

#[test]
fn what_is_being_built_too_old_is_superseded() {
    let mut bench = Bench::whole();
    bench.fetcher.adopted(bench.now);
    assert_eq!(bench.fetcher.take_actions(), [], "there is nothing to adopt yet");
    assert_eq!(bench.want(1, 111), [done(1, file(1)), Action::Discard, open(1, 111)]);
}

#[test]
fn what_was_handed_over_is_not_taken_back_and_a_newer_wish_comes_next() {
    let mut bench = Bench::whole();
    assert!(bench.fetcher.on_built(bench.now, file(1)));
    assert_eq!(bench.want(3, 111), []);
    bench.fetcher.adopted(bench.now);
    let expected = [done(1, file(1)), Action::Discard, open(3, 111)];
    assert_eq!(bench.fetcher.take_actions(), expected);
}

#[test]
fn after_a_failure_it_is_begun_anew_later_and_later() {
    let mut bench = Bench::new();
    let mut pauses = Vec::new();
    bench.want(1, 100);
    for _ in 0..7 {
        bench.offer(1, file(1));
        assert!(bench.fetcher.on_failed(bench.now, file(1)));
        assert!(!bench.fetcher.on_failed(bench.now, file(1)), "it is given up already");
        assert_eq!(bench.fetcher.take_actions(), [done(1, file(1)), Action::Discard]);
        assert_eq!(bench.want(1, 100), []);
        let before = bench.now;
        assert_eq!(bench.pass_on(), [open(1, 100)]);
        pauses.push((bench.now - before).as_secs());
    }
    assert_eq!(pauses, [2, 4, 8, 16, 32, 60, 60]);
}

#[test]
fn a_failure_of_a_build_long_superseded_does_no_harm() {
    let mut bench = Bench::whole();
    bench.want(1, 111);
    assert!(!bench.fetcher.on_failed(bench.now, file(1)));
    assert!(!bench.fetcher.on_built(bench.now, file(1)));
}

#[test]
fn who_cancels_is_left_alone() {
    let mut bench = Bench::reading();
    bench.fetcher.cancel();
    assert_eq!(bench.fetcher.take_actions(), [done(1, file(1)), Action::Discard]);
    assert_eq!(bench.chunk(1, file(1), 0), []);
    assert_eq!(bench.pass(secs(1000)), []);
    bench.fetcher.cancel();
    assert_eq!(bench.fetcher.take_actions(), []);
    assert_eq!(bench.want(1, 100), [open(1, 100)]);
}

#[test]
fn the_largest_number_is_a_size_like_any_other() {
    let mut bench = Bench::new();
    bench.want(1, 0);
    let answer = Answer::Offer { file: file(1), applied: u64::MAX, size: u64::MAX };
    assert_eq!(bench.answer(1, answer).len(), 3);
    assert_eq!(bench.chunk(1, file(1), 0).len(), 2);
    assert_eq!(bench.fetcher.progress().map(|it| it.received), Some(CHUNK as u64));
}
