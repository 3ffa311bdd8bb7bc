//! One test for each rule, and both sides against each other over a network that loses and repeats.

use std::collections::BTreeSet;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

const SIZE: u64 = 2 * CHUNK as u64 + 7;
const FAST: u64 = 1 << 40;

fn file(n: u8) -> FileId {
    crate::ids::Id128([n; 16])
}

fn blob(n: u8) -> Blob {
    Blob { file: file(n), size: SIZE, sha256: [n; 32] }
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn stage(to: NodeId, blob: Blob, not_after_ms: u64) -> Action {
    Action::Say(to, Staging::Stage { blob, not_after_ms })
}

fn staged(to: NodeId, file: FileId, not_after_ms: u64) -> Action {
    Action::Say(to, Staging::Staged { file, not_after_ms })
}

fn unstaged(to: NodeId, file: FileId, why: Why) -> Action {
    Action::Say(to, Staging::Unstaged { file, why })
}

fn read(to: NodeId, file: FileId, chunk: u64) -> Action {
    Action::Ask(to, Request::Read { file, offset: chunk * CHUNK as u64 })
}

fn piece(chunk: u64) -> Bytes {
    let length = if chunk == 2 { 7 } else { CHUNK };
    vec![chunk as u8; length].into()
}

fn write(chunk: u64) -> Action {
    Action::Write { offset: chunk * CHUNK as u64, bytes: piece(chunk) }
}

/// A member that was told by node 1 at time zero, and asks for the first pieces.
fn receiving() -> Holder {
    let mut holder = Holder::default();
    holder.on_stage(ms(0), 1, blob(5), 0);
    let expected = [Action::Create(blob(5)), read(1, file(5), 0), read(1, file(5), 1)];
    assert_eq!(holder.take_actions(), expected);
    holder
}

/// One that holds it without a promise, since time zero.
fn holding() -> Holder {
    let mut holder = receiving();
    for chunk in 0..3 {
        holder.on_chunk(ms(0), 1, file(5), chunk * CHUNK as u64, piece(chunk));
    }
    let expected = [write(0), read(1, file(5), 2), write(1), write(2), Action::Check(blob(5))];
    assert_eq!(holder.take_actions(), expected);
    holder.on_checked(ms(0), file(5));
    assert_eq!(holder.take_actions(), [staged(1, file(5), 0)]);
    holder
}

#[test]
fn every_member_is_told_until_it_has_promised() {
    let mut stager = Stager::new(FAST);
    stager.begin(ms(0), blob(5), [2, 3]);
    assert_eq!(stager.take_actions(), [stage(2, blob(5), 0), stage(3, blob(5), 0)]);
    assert_eq!(stager.deadline(), Some(ANNOUNCE_EVERY));
    stager.on_standing(2, file(5), Standing::Holds(0));
    stager.on_standing(3, file(5), Standing::Refuses(Why::NoRoom));
    stager.on_standing(9, file(5), Standing::Holds(0));
    stager.on_standing(3, file(6), Standing::Holds(0));
    let standings = [(2, Standing::Holds(0)), (3, Standing::Refuses(Why::NoRoom))];
    assert_eq!(stager.standings(), standings.into());
    stager.advance(ANNOUNCE_EVERY);
    assert_eq!(stager.take_actions(), [stage(2, blob(5), 0), stage(3, blob(5), 0)]);
    stager.keep(ANNOUNCE_EVERY, 77);
    assert_eq!(stager.take_actions(), [stage(2, blob(5), 77), stage(3, blob(5), 77)]);
    stager.on_standing(2, file(5), Standing::Holds(77));
    stager.on_standing(2, file(5), Standing::Holds(0));
    assert_eq!(stager.standings()[&2], Standing::Holds(77), "a late answer takes nothing back");
    stager.advance(ANNOUNCE_EVERY * 2);
    assert_eq!(stager.take_actions(), [stage(3, blob(5), 77)]);
    stager.end();
    stager.advance(ANNOUNCE_EVERY * 9);
    assert_eq!((stager.take_actions(), stager.deadline()), (vec![], None));
}

#[test]
fn pieces_are_sent_to_members_as_the_rate_allows_and_to_nobody_else() {
    let mut stager = Stager::new(FAST);
    let gone = Action::Answer(2, Answer::Gone { file: file(5) });
    stager.on_read(ms(0), 2, file(5), 0);
    assert_eq!(stager.take_actions(), [gone]);
    stager.begin(ms(0), blob(5), [2, 3]);
    stager.take_actions();
    stager.bucket = Bucket::new(CHUNK as u64, CHUNK);
    let at = |chunk: u64| chunk * CHUNK as u64;
    for (from, offset) in [(9, 0), (2, 3), (2, at(3)), (2, u64::MAX)] {
        stager.on_read(ms(0), from, file(5), offset);
        assert_eq!(stager.take_actions(), [], "{from} {offset}");
    }
    for (from, chunk) in [(2, 0), (2, 0), (2, 1), (3, 2), (2, 2)] {
        stager.on_read(ms(0), from, file(5), at(chunk));
    }
    let sent = |to, chunk, length| Action::Read { to, file: file(5), offset: at(chunk), length };
    assert_eq!(stager.take_actions(), [sent(2, 0, CHUNK)]);
    let mut later = Vec::new();
    for second in 1..9 {
        stager.advance(ms(second * 1000));
        later.extend(stager.take_actions());
    }
    later.retain(|action| matches!(action, Action::Read { .. }));
    assert_eq!(later, [sent(2, 0, CHUNK), sent(2, 1, CHUNK), sent(3, 2, 7)]);
}

#[test]
fn a_backup_is_pulled_checked_and_held() {
    let mut holder = holding();
    assert!(holder.knows(file(5)) && !holder.receives(file(5)));
    holder.on_stage(ms(9), 1, blob(5), 0);
    assert_eq!(holder.take_actions(), [staged(1, file(5), 0)], "said again when asked again");
}

#[test]
fn a_promise_is_told_when_it_is_durable_and_never_shortened() {
    let mut holder = holding();
    holder.on_stage(ms(1), 1, blob(5), 70);
    assert_eq!(holder.take_actions(), [Action::Keep { blob: blob(5), not_after_ms: 70 }]);
    holder.on_kept(file(5), 70);
    assert_eq!(holder.take_actions(), [staged(1, file(5), 70)]);
    holder.on_stage(ms(2), 1, blob(5), 60);
    assert_eq!(holder.take_actions(), [staged(1, file(5), 70)]);
    holder.on_stage(ms(3), 1, blob(5), 80);
    holder.take_actions();
    holder.on_failed(ms(3), file(5), Why::Failed);
    assert_eq!(holder.take_actions(), [unstaged(1, file(5), Why::Failed)], "the first one stands");
    holder.advance(SILENCE * 100);
    assert_eq!(holder.take_actions(), []);
    holder.on_removed(file(5));
    assert!(!holder.knows(file(5)));
}

#[test]
fn what_was_promised_by_a_process_before_is_known() {
    let mut holder = Holder::new(ms(0), [(blob(5), 70)]);
    holder.advance(SILENCE * 2);
    holder.on_stage(SILENCE * 2, 4, blob(5), 70);
    assert_eq!(holder.take_actions(), [staged(4, file(5), 70)]);
}

#[test]
fn without_a_promise_and_a_word_it_is_forgotten() {
    let mut holder = holding();
    assert_eq!(holder.deadline(), Some(SILENCE));
    holder.on_stage(ms(500), 1, blob(5), 0);
    holder.take_actions();
    holder.advance(SILENCE);
    assert_eq!(holder.take_actions(), []);
    holder.advance(SILENCE + ms(500));
    assert_eq!(holder.take_actions(), [Action::Discard(file(5))]);
    let mut holder = receiving();
    holder.advance(SILENCE);
    assert_eq!(holder.take_actions(), [Action::Discard(file(5))]);
    assert_eq!(holder.deadline(), None);
}

#[test]
fn what_is_being_checked_is_not_forgotten_however_long_that_takes() {
    let mut holder = receiving();
    for chunk in [1, 0, 2] {
        holder.on_chunk(ms(0), 1, file(5), chunk * CHUNK as u64, piece(chunk));
    }
    holder.take_actions();
    holder.advance(SILENCE * 5);
    assert_eq!((holder.take_actions(), holder.deadline()), (vec![], None));
    holder.on_checked(SILENCE * 5, file(5));
    assert_eq!(holder.take_actions(), [staged(1, file(5), 0)]);
}

#[test]
fn pieces_that_do_not_come_are_asked_for_again_with_patience() {
    let mut holder = receiving();
    let mut pauses = Vec::new();
    let mut now = ms(0);
    for _ in 0..3 {
        let then = holder.deadline().unwrap();
        pauses.push((then - now).as_secs());
        now = then;
        holder.on_stage(now, 1, blob(5), 0);
        holder.advance(now);
        assert_eq!(holder.take_actions(), [read(1, file(5), 0), read(1, file(5), 1)]);
    }
    assert_eq!(pauses, [2, 4, 8]);
}

#[test]
fn pieces_that_nobody_asked_for_are_not_written() {
    let mut holder = receiving();
    let at = CHUNK as u64;
    for (from, of, offset, bytes) in [
        (2, file(5), 0, piece(0)),
        (1, file(6), 0, piece(0)),
        (1, file(5), 2 * at, piece(2)),
        (1, file(5), 0, piece(2)),
        (1, file(5), 1, piece(0)),
    ] {
        holder.on_chunk(ms(0), from, of, offset, bytes);
        assert_eq!(holder.take_actions(), []);
    }
    holder.on_chunk(ms(0), 1, file(5), 0, piece(0));
    holder.on_chunk(ms(0), 1, file(5), 0, piece(0));
    assert_eq!(holder.take_actions(), [write(0), read(1, file(5), 2)], "written once");
}

#[test]
fn one_is_received_at_a_time_and_few_are_held() {
    let mut holder = receiving();
    holder.on_stage(ms(0), 2, blob(6), 0);
    assert_eq!(holder.take_actions(), [unstaged(2, file(6), Why::Busy)]);
    let promised = (0..HELD_MAX as u8).map(|n| (blob(n), 9));
    let mut holder = Holder::new(ms(0), promised);
    holder.on_stage(ms(0), 2, blob(6), 0);
    assert_eq!(holder.take_actions(), [unstaged(2, file(6), Why::Busy)]);
    holder.on_removed(file(0));
    holder.on_stage(ms(0), 2, blob(6), 0);
    assert_eq!(holder.take_actions()[0], Action::Create(blob(6)));
}

#[test]
fn the_next_of_the_same_node_takes_the_place_of_the_one_before() {
    for mut holder in [receiving(), holding()] {
        holder.on_stage(ms(1), 1, blob(6), 0);
        let actions = holder.take_actions();
        assert_eq!(actions[..2], [Action::Discard(file(5)), Action::Create(blob(6))]);
    }
    let mut holder = Holder::new(ms(0), [(blob(5), 70)]);
    holder.on_stage(ms(1), 1, blob(6), 0);
    assert_eq!(holder.take_actions()[0], Action::Create(blob(6)));
    assert!(holder.knows(file(5)), "a promise stands");
}

#[test]
fn one_without_a_byte_is_refused() {
    let mut holder = Holder::default();
    holder.on_stage(ms(0), 1, Blob { size: 0, ..blob(5) }, 0);
    assert_eq!(holder.take_actions(), [unstaged(1, file(5), Why::Damaged)]);
}

#[test]
fn what_came_to_nothing_is_told_and_not_begun_again_at_once() {
    let mut holder = receiving();
    holder.on_failed(ms(0), file(5), Why::NoRoom);
    let expected = [Action::Discard(file(5)), unstaged(1, file(5), Why::NoRoom)];
    assert_eq!(holder.take_actions(), expected);
    holder.on_stage(ms(1), 1, blob(5), 0);
    assert_eq!(holder.take_actions(), [unstaged(1, file(5), Why::NoRoom)]);
    holder.on_stage(SILENCE, 1, blob(5), 0);
    assert_eq!(holder.take_actions()[0], Action::Create(blob(5)));
}

#[test]
fn when_the_source_has_it_no_more_it_is_forgotten() {
    let mut holder = receiving();
    holder.on_gone(2, file(5));
    assert_eq!(holder.take_actions(), []);
    holder.on_gone(1, file(5));
    assert_eq!(holder.take_actions(), [Action::Discard(file(5))]);
    holder.on_checked(ms(0), file(5));
    assert_eq!(holder.take_actions(), [Action::Discard(file(5))], "it is too late");
}

/// Three members, one of which loses what it was told, and a network that loses a third of all.
#[test]
fn over_a_bad_network_all_members_promise_in_the_end() {
    for seed in 0..40 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut stager = Stager::new(FAST);
        let ids: [NodeId; 3] = [2, 3, 4];
        let mut holders: BTreeMap<NodeId, Holder> = ids.map(|id| (id, Holder::default())).into();
        let mut written: BTreeMap<NodeId, BTreeSet<u64>> = ids.map(|id| (id, [].into())).into();
        let mut now = ms(0);
        stager.begin(now, blob(5), ids);
        let mut promised = false;
        for step in 0.. {
            assert!(step < 20_000, "seed {seed}: somebody waits for ever");
            for action in stager.take_actions() {
                if rng.random_range(0..3) == 0 {
                    continue;
                }
                match action {
                    Action::Say(to, Staging::Stage { blob, not_after_ms }) => {
                        holders.get_mut(&to).unwrap().on_stage(now, 1, blob, not_after_ms);
                    }
                    Action::Read { to, file, offset, length } => {
                        let bytes = vec![0; length].into();
                        holders.get_mut(&to).unwrap().on_chunk(now, 1, file, offset, bytes);
                    }
                    Action::Answer(to, Answer::Gone { file }) => {
                        holders.get_mut(&to).unwrap().on_gone(1, file);
                    }
                    other => panic!("{other:?}"),
                }
            }
            for (id, holder) in &mut holders {
                for action in holder.take_actions() {
                    let lost = rng.random_range(0..3) == 0;
                    match action {
                        Action::Create(_) => written.get_mut(id).unwrap().clear(),
                        Action::Write { offset, .. } => {
                            assert!(written.get_mut(id).unwrap().insert(offset), "twice");
                        }
                        Action::Check(blob) => {
                            assert_eq!(written[id].len(), 3, "it is whole");
                            match rng.random_range(0..4) {
                                0 => holder.on_failed(now, blob.file, Why::Failed),
                                _ => holder.on_checked(now, blob.file),
                            }
                        }
                        Action::Keep { blob, not_after_ms } => {
                            holder.on_kept(blob.file, not_after_ms);
                        }
                        Action::Discard(_) => {}
                        _ if lost => {}
                        Action::Ask(_, Request::Read { file, offset }) => {
                            stager.on_read(now, *id, file, offset);
                        }
                        Action::Say(_, Staging::Staged { file, not_after_ms }) => {
                            stager.on_standing(*id, file, Standing::Holds(not_after_ms));
                        }
                        Action::Say(_, Staging::Unstaged { file, why }) => {
                            stager.on_standing(*id, file, Standing::Refuses(why));
                        }
                        other => panic!("{other:?}"),
                    }
                }
                holder.advance(now);
            }
            let holds = |it: &Standing| matches!(it, Standing::Holds(_));
            if !promised && stager.standings().values().all(holds) {
                stager.keep(now, 99);
                promised = true;
            }
            if stager.standings().values().all(|it| *it == Standing::Holds(99)) {
                break;
            }
            now += ms(rng.random_range(1..800));
            stager.advance(now);
        }
    }
}
