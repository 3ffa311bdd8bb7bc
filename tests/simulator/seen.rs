//! What came to pass in a run: a fault that never shows has not been borne.

use std::collections::BTreeMap;

use bowline::raft;
use bowline::replica::{Effects, Event};

const INSTALLED: &str = "a state was installed";
const RESOLVED: &str = "a waiting write was answered out of an installed state";
const LOST: &str = "a state was found to be damaged";
const ODD: &str = "a state was found to differ";
const HUNG: &str = "a disk hung";
const HANDED_OVER: &str = "a leader handed over when its disk hung";
const FULL: &str = "a disk was full";
const RECOVERED: &str = "a log that had lost its end was whole again";

/// How often each kind of thing was seen.
#[derive(Clone, Debug, Default)]
pub struct Seen(BTreeMap<&'static str, usize>);

impl Seen {
    pub fn take_note(&mut self, effects: &Effects) {
        for event in &effects.events {
            match event {
                Event::StateInstalled { resolved, .. } => {
                    self.count(INSTALLED, 1);
                    self.count(RESOLVED, *resolved);
                }
                Event::StateLost { why } if why.contains("majority") => self.count(ODD, 1),
                Event::StateLost { .. } => self.count(LOST, 1),
                Event::DiskStalled { .. } => {
                    self.count(HUNG, 1);
                    self.count(HANDED_OVER, effects.events.iter().filter(begins_transfer).count());
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

    /// All of it, somewhere in a number of runs.
    pub fn assert_all(&self) {
        for what in [INSTALLED, RESOLVED, LOST, ODD, HUNG, HANDED_OVER, FULL, RECOVERED] {
            assert!(self.0.get(what).is_some_and(|count| *count > 0), "{what}? {:?}", self.0);
        }
    }

    fn count(&mut self, what: &'static str, times: usize) {
        *self.0.entry(what).or_default() += times;
    }
}

fn begins_transfer(event: &&Event) -> bool {
    matches!(event, Event::Raft(raft::Event::TransferStarted { .. }))
}
