//! Readers that wait for a key, a prefix or the sessions to change, on one machine, in the order that
//! production keeps: register, look, arm; woken: reset, look, arm.
//!
//! Who may be answered must have been woken, or nobody would ever come to answer it; and nobody is woken
//! for what is none of its business.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bowline::ids::Ticket;
use bowline::metrics::Metrics;
use bowline::raft::Index;
use bowline::state::{Changes, kv};
use bowline::watch::{Topic, Wake, Watch, Watches};

use crate::checks::Checks;
use crate::disk::Copy;
use crate::reference::Query;
use crate::seen::Seen;

const MAX: usize = 12;

/// The tickets that were woken and not looked at.
#[derive(Clone, Default)]
struct Woken(Arc<Mutex<Vec<Ticket>>>);

impl Wake for Woken {
    fn wake(&self, tickets: Vec<Ticket>) {
        self.0.lock().unwrap().extend(tickets);
    }
}

/// One that waits.
struct Waiting {
    query: Query,
    /// It has seen this index, and wants a higher one.
    index: u64,
    watch: Watch,
    armed: bool,
    /// The log index as of which it looked last.
    looked: Index,
}

/// All readers that wait on one machine; they go with its process.
pub struct Watchers {
    watches: Watches,
    woken: Woken,
    waiting: BTreeMap<u64, Waiting>,
    next: u64,
}

impl Watchers {
    pub fn new() -> Self {
        let woken = Woken::default();
        let watches = Watches::new(woken.clone(), MAX, Arc::new(Metrics::default()));
        Self { watches, woken, waiting: BTreeMap::new(), next: 0 }
    }

    /// Somebody looks at the state, and waits when it finds no more than `index`.
    pub fn wait(&mut self, checks: &Checks, copy: &Copy, query: Query, index: u64, arms: bool) {
        let Ok(watch) = self.watches.watch(vec![topic(&query)]) else {
            assert_eq!(self.waiting.len(), MAX, "a watch was refused though there is room");
            return;
        };
        if checks.may_answer(copy, &query, index) {
            return;
        }
        self.next += 1;
        if arms {
            assert!(!watch.arm(ticket(self.next)), "nothing has happened since");
        }
        let waiting = Waiting { query, index, watch, armed: arms, looked: copy.applied() };
        self.waiting.insert(self.next, waiting);
    }

    /// The state has changed in this way, and stands as it does.
    pub fn changed(&mut self, changes: &Changes, checks: &Checks, copy: &Copy, seen: &mut Seen) {
        self.watches.changed(changes);
        let woken = std::mem::take(&mut *self.woken.0.lock().unwrap());
        let applied = copy.applied();
        self.waiting.retain(|id, waiting| {
            let Waiting { query, index, watch, armed, looked } = waiting;
            let told = if *armed { woken.contains(&ticket(*id)) } else { watch.arm(ticket(*id)) };
            *armed = true;
            if !told {
                let due = checks.reference.world(applied).may_answer(query, *index);
                assert!(!due, "{query:?} has gone beyond {index} by {applied}: nobody was told");
                return true;
            }
            let due = checks.may_answer(copy, query, *index);
            let all = *changes == Changes::All;
            let concerned = all || checks.reference.has_changed(query, *looked, applied);
            assert!(concerned, "{query:?} did not change from {looked} to {applied}");
            seen.count_wakeup(due);
            *looked = applied;
            watch.reset();
            assert!(due || !watch.arm(ticket(*id)), "nothing has happened since");
            !due
        });
        assert_eq!(self.watches.len(), self.waiting.len(), "whoever is answered waits no longer");
    }

    /// The state is not to be trusted: nobody is answered out of it.
    pub fn clear(&mut self) {
        self.waiting.clear();
    }
}

fn topic(query: &Query) -> Topic {
    match query {
        Query::Key(key) => Topic::Row(kv::row_key(key).into()),
        Query::Prefix(prefix) => Topic::Rows(kv::rows_prefix(prefix).into()),
        Query::Sessions => Topic::Rows(kv::sessions_prefix().into()),
    }
}

fn ticket(id: u64) -> Ticket {
    Ticket { sink: 0, id }
}
