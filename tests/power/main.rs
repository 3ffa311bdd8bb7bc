//! The power goes between any two steps of what a node does to its disk: afterwards the storage opens,
//! to what it was before the step that was under way or to what it was after, and holds all that was
//! acknowledged.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod cut;
mod disk;
mod life;
mod model;
mod need;

use cut::{between_any_two_steps, in_full_run};
use model::Step::{self, Append, Checkpoint, Install, Purge, Restart, Vote};

/// The same steps several times.
fn again(times: usize, steps: &[Step]) -> Vec<Step> {
    steps.repeat(times)
}

#[test]
fn the_log_and_the_vote() {
    let grow = Append { back: 0, count: 4 };
    let supersede = Append { back: 2, count: 3 };
    let script = again(3, &[Vote, grow, grow, grow, Vote, supersede, grow, Restart, grow]);
    between_any_two_steps("the_log_and_the_vote", &script);
}

#[test]
fn checkpoints() {
    let script = again(4, &[Vote, Append { back: 0, count: 30 }, Checkpoint]);
    between_any_two_steps("checkpoints", &script);
}

#[test]
fn purges() {
    let grow = Append { back: 0, count: 60 };
    let script = again(3, &[Vote, grow, grow, Checkpoint, grow, Purge, grow, Restart, Purge]);
    between_any_two_steps("purges", &script);
}

#[test]
fn states_of_others() {
    let grow = Append { back: 0, count: 20 };
    let ahead = Install { ahead: 25 };
    let script =
        again(2, &[Vote, grow, grow, ahead, grow, Vote, ahead, Checkpoint, Restart, ahead]);
    between_any_two_steps("states_of_others", &script);
}

#[test]
fn everything_at_once() {
    let grow = Append { back: 0, count: 17 };
    let supersede = Append { back: 1, count: 2 };
    let ahead = Install { ahead: 9 };
    let round = [
        Vote, grow, grow, supersede, Checkpoint, Purge, grow, Vote, supersede, ahead, grow, Restart,
    ];
    let script = again(40, &round);
    in_full_run("everything_at_once", &script, &[1, 4, 9, 30, 75, 140]);
}
