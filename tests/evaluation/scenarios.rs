//! Who fails, stands still, or has a slow disk, while the store is written and checked.

use std::time::Duration;

use crate::evaluation::{Evaluation, SERVERS};
use crate::need::{need, strace};

/// Acknowledged writes that each stage of a scenario waits for.
const STAGE: u64 = 60;
/// How much longer a sync takes on a slow disk: some hundred times.
const SLOW: Duration = Duration::from_millis(40);

#[test]
fn all_servers_up() {
    let evaluation = Evaluation::start("all servers up");
    for _ in 0..5 {
        evaluation.goes_on(STAGE);
    }
    evaluation.finish();
}

#[test]
fn one_and_two_followers_fail_and_come_back() {
    let mut evaluation = Evaluation::start("followers failed");
    let (one, two) = (evaluation.followers()[0], evaluation.followers()[1]);
    evaluation.fail(one);
    evaluation.goes_on(STAGE);
    evaluation.fail(two);
    evaluation.goes_on(STAGE);
    evaluation.recover(one);
    evaluation.goes_on(STAGE);
    evaluation.recover(two);
    evaluation.finish();
}

#[test]
fn the_leader_fails_and_then_the_next_one() {
    let mut evaluation = Evaluation::start("leaders failed");
    let first = evaluation.leader();
    evaluation.fail(first);
    evaluation.goes_on(STAGE);
    let second = evaluation.leader();
    evaluation.fail(second);
    evaluation.goes_on(STAGE);
    evaluation.recover(first);
    evaluation.recover(second);
    evaluation.goes_on(STAGE);
    // In a row: the second while the first is not there yet.
    let third = evaluation.leader();
    evaluation.fail(third);
    let fourth = evaluation.leader();
    evaluation.fail(fourth);
    evaluation.goes_on(STAGE);
    evaluation.recover(fourth);
    evaluation.recover(third);
    evaluation.finish();
}

#[test]
fn followers_stand_still_in_turns() {
    let evaluation = Evaluation::start("stragglers among followers");
    let followers = evaluation.followers();
    for turn in 0..4 {
        let still = [followers[turn % 4], followers[(turn + 1) % 4]];
        still.iter().for_each(|at| evaluation.pause(*at));
        evaluation.goes_on(STAGE);
        still.iter().for_each(|at| evaluation.resume(*at));
    }
    evaluation.finish();
}

#[test]
fn leaders_stand_still_in_turns() {
    let evaluation = Evaluation::start("stragglers among leaders");
    for _ in 0..3 {
        let leader = evaluation.leader();
        evaluation.pause(leader);
        assert_ne!(evaluation.leader(), leader);
        evaluation.goes_on(STAGE);
        // It comes back in the belief to lead.
        evaluation.resume(leader);
        evaluation.goes_on(STAGE);
    }
    evaluation.finish();
}

#[test]
fn disks_are_slow_in_turns() {
    let test = "disks_are_slow_in_turns";
    let Some(()) = need(test, strace()) else { return };
    let evaluation = Evaluation::start("slow disks");
    let (leader, followers) = (evaluation.leader(), evaluation.followers());
    for slow in [vec![followers[0]], vec![followers[1], followers[2]], vec![leader, followers[3]]] {
        let faults: Vec<_> = slow.iter().map(|at| evaluation.slow_disk(*at, SLOW)).collect();
        evaluation.goes_on(STAGE);
        drop(faults);
    }
    evaluation.finish();
}

#[test]
fn some_fail_while_others_stand_still() {
    let mut evaluation = Evaluation::start("failures and stragglers");
    let (leader, followers) = (evaluation.leader(), evaluation.followers());
    evaluation.fail(followers[0]);
    evaluation.pause(leader);
    evaluation.goes_on(STAGE);
    // The dead come back while the one that stood still does not know yet what has happened.
    evaluation.recover(followers[0]);
    evaluation.goes_on(STAGE);
    evaluation.resume(leader);
    evaluation.goes_on(STAGE);

    let (leader, followers) = (evaluation.leader(), evaluation.followers());
    evaluation.pause(followers[1]);
    evaluation.fail(leader);
    evaluation.goes_on(STAGE);
    evaluation.resume(followers[1]);
    evaluation.recover(leader);
    evaluation.finish();
}

#[test]
fn two_fail_while_the_disk_of_a_third_is_slow() {
    let test = "two_fail_while_the_disk_of_a_third_is_slow";
    let Some(()) = need(test, strace()) else { return };
    let mut evaluation = Evaluation::start("failures and a slow disk");
    let (leader, followers) = (evaluation.leader(), evaluation.followers());
    // Without this one there is no majority.
    let fault = evaluation.slow_disk(followers[2], SLOW);
    evaluation.fail(leader);
    evaluation.fail(followers[0]);
    assert_eq!(evaluation.followers().len(), SERVERS - 3);
    evaluation.goes_on(STAGE);
    drop(fault);
    evaluation.recover(leader);
    evaluation.pause(followers[1]);
    evaluation.goes_on(STAGE);
    evaluation.resume(followers[1]);
    evaluation.recover(followers[0]);
    evaluation.finish();
}

#[test]
fn one_more_than_is_tolerated_stops_writes_and_loses_none() {
    let evaluation = Evaluation::start("three stand still");
    let (leader, followers) = (evaluation.leader(), evaluation.followers());
    let still = [leader, followers[0], followers[1]];
    still.iter().for_each(|at| evaluation.pause(*at));
    evaluation.is_stuck();
    still.iter().for_each(|at| evaluation.resume(*at));
    evaluation.goes_on(STAGE);
    evaluation.finish();
}
