//! What came to pass in a run: a fault that never shows has not been borne.

use std::collections::BTreeMap;

use bowline::raft;
use bowline::replica::{Effects, Event};
use bowline::state::Reply;
use bowline::state::board::{Refusal, Told};

const INSTALLED: &str = "a state was installed";
const RESOLVED: &str = "a waiting write was answered out of an installed state";
const LOST: &str = "a state was found to be damaged";
const ODD: &str = "a state was found to differ";
const HUNG: &str = "a disk hung";
const HANDED_OVER: &str = "a leader whose disk hung began to hand over";
const FULL: &str = "a disk was full";
const RECOVERED: &str = "a log that had lost its end was whole again";
const STORED: &str = "a transaction was done";
const REFUSED: &str = "a transaction was refused";
const LOCKED: &str = "a lock was taken";
const ANSWERED: &str = "a reader that waited was woken and answered";
const WOKEN: &str = "a reader that waited was woken too early";
const EXPIRED: &str = "something expired";
const SIGNED_UP: &str = "somebody signed up";
const NAME_TAKEN: &str = "a name was taken";
const POSTED: &str = "something was posted";
const REPOSTED: &str = "something had been posted lately";
const LIKED: &str = "something was liked, or no longer";
const COMMENTED: &str = "something was said";
const LOGGED_OUT: &str = "a log-in had ended";
const TOO_OFTEN: &str = "something was done too often";
const TOO_LATE: &str = "it was too late to edit";
const NOT_MODERATOR: &str = "somebody was no moderator";

/// How often each kind of thing was seen.
#[derive(Clone, Debug, Default)]
pub struct Seen(BTreeMap<&'static str, usize>);

impl Seen {
    /// What came of the inputs of a machine, whose disk hangs or does not.
    pub fn take_note(&mut self, effects: &Effects, hangs: bool) {
        for event in &effects.events {
            match event {
                Event::StateInstalled { resolved, .. } => {
                    self.count(INSTALLED, 1);
                    self.count(RESOLVED, *resolved);
                }
                Event::StateLost { why } if why.contains("majority") => self.count(ODD, 1),
                Event::StateLost { .. } => self.count(LOST, 1),
                Event::DiskStalled { .. } => self.count(HUNG, 1),
                Event::Raft(raft::Event::TransferStarted { .. }) if hangs => {
                    self.count(HANDED_OVER, 1);
                }
                Event::DiskFull { full: true } => self.count(FULL, 1),
                _ => {}
            }
        }
        let recovered = effects.writes.iter().filter(|(write, _)| write.recovered);
        self.count(RECOVERED, recovered.count());
    }

    pub fn add(&mut self, other: &Self) {
        other.0.iter().for_each(|(what, count)| self.count(what, *count));
    }

    /// All that draws of faults bring about often, somewhere in a number of runs. What they bring about
    /// seldom has a test of its own.
    pub fn assert_all(&self) {
        for what in [INSTALLED, RESOLVED, LOST, HUNG, FULL, RECOVERED] {
            self.assert(what);
        }
        for what in [STORED, REFUSED, LOCKED, ANSWERED, EXPIRED] {
            self.assert(what);
        }
        for what in [SIGNED_UP, NAME_TAKEN, POSTED, REPOSTED, LIKED, COMMENTED] {
            self.assert(what);
        }
        for what in [LOGGED_OUT, TOO_OFTEN, TOO_LATE, NOT_MODERATOR] {
            self.assert(what);
        }
    }

    pub fn count_store(&mut self, done: bool) {
        self.count(if done { STORED } else { REFUSED }, 1);
    }

    pub fn count_lock(&mut self) {
        self.count(LOCKED, 1);
    }

    pub fn count_wakeup(&mut self, answered: bool) {
        self.count(if answered { ANSWERED } else { WOKEN }, 1);
    }

    /// What an entry said, wherever it was applied.
    pub fn take_note_of_reply(&mut self, reply: Option<&Reply>) {
        if let Some(Reply::Expired { count }) = reply {
            self.count(EXPIRED, *count as usize);
        }
    }

    /// What somebody who did something to the board was told.
    pub fn take_note_of_board(&mut self, told: &Told) {
        let what = match told {
            Told::SignedUp(_) => SIGNED_UP,
            Told::Posted(_) => POSTED,
            Told::PostedBefore(_) => REPOSTED,
            Told::Likes(_) => LIKED,
            Told::Commented(_) => COMMENTED,
            Told::Refused(Refusal::NameTaken) => NAME_TAKEN,
            Told::Refused(Refusal::LoggedOut) => LOGGED_OUT,
            Told::Refused(Refusal::TooOften(_)) => TOO_OFTEN,
            Told::Refused(Refusal::TooLate) => TOO_LATE,
            Told::Refused(Refusal::NotModerator) => NOT_MODERATOR,
            Told::Done | Told::LoggedOut(_) | Told::Refused(_) => return,
        };
        self.count(what, 1);
    }

    pub fn assert_installed(&self) {
        self.assert(INSTALLED);
    }

    pub fn assert_found_odd(&self) {
        self.assert(ODD);
    }

    pub fn assert_handed_over(&self) {
        self.assert(HANDED_OVER);
    }

    fn assert(&self, what: &str) {
        assert!(self.0.get(what).is_some_and(|count| *count > 0), "{what}? {:?}", self.0);
    }

    fn count(&mut self, what: &'static str, times: usize) {
        *self.0.entry(what).or_default() += times;
    }
}
