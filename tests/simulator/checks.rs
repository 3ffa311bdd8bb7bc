//! What must hold at every step, watched from outside.

mod board;

use std::collections::{BTreeMap, BTreeSet};

use bowline::ids::WriteId;
use bowline::raft::{Entry, Envelope, Index, Message, Micros, NodeId, Payload, RoleKind, Term};
use bowline::state::{Command, Reply, Standing, kv};

use bytes::Bytes;

use crate::disk::Copy;
use crate::machine::Machine;
use crate::reference::{Query, Reference};

/// The longest that a leader may go on after its disk began to hang: until that is noticed (1 s and a
/// quarter), and until a hand-over has succeeded or failed (0.5 s).
const HUNG_LEADER_US: u64 = 2_000_000;
/// From then on after faults have ended, what is due is seen to in time: there is a leader by then.
const RECOVERED_US: u64 = 3_000_000;
/// The longest that anything stays after its time when all is calm, by the cluster's clock.
const OVERDUE_MS: u64 = 50;

/// The history that all nodes must agree with.
#[derive(Default)]
pub struct Checks {
    leaders: BTreeMap<u64, NodeId>,
    applied: BTreeMap<u64, Entry>,
    digests: BTreeMap<u64, u128>,
    commits: BTreeMap<NodeId, u64>,
    terms: BTreeMap<NodeId, u64>,
    /// When each entry, by index and term, was made.
    made: BTreeMap<(Index, Term), Micros>,
    /// What all that was applied had to do.
    pub reference: Reference,
    /// Since when there are no faults.
    pub calm_since: Option<Micros>,
}

impl Checks {
    /// Election safety, and that terms and commit indexes never go back.
    pub fn node(&mut self, machine: &Machine) {
        let Some(process) = &machine.process else {
            self.commits.remove(&machine.id);
            self.terms.remove(&machine.id);
            return;
        };
        let node = process.replica.node();
        if node.role_kind() == RoleKind::Leader {
            let leader = self.leaders.entry(node.term()).or_insert(machine.id);
            assert_eq!(*leader, machine.id, "two leaders in term {}", node.term());
        }
        let commit = self.commits.entry(machine.id).or_default();
        assert!(node.commit() >= *commit, "commit index of n{} went back", machine.id);
        *commit = node.commit();
        let promised = machine.disk.hard_state.term;
        assert!(node.term() >= promised, "n{} forgot term {promised}", machine.id);
        let term = self.terms.entry(machine.id).or_default();
        assert!(node.term() >= *term, "term of n{} went back", machine.id);
        *term = node.term();
    }

    /// Who may lack what it acknowledged neither votes nor campaigns: it says nothing of the kind while
    /// it knows so, and nothing that binds it before the mark of it is off its disk.
    pub fn sends(&self, machine: &Machine, envelope: &Envelope) {
        let node = machine.process.as_ref().expect("it runs").replica.node();
        let recovering = match envelope.message {
            Message::VoteResponse { granted: true } | Message::Vote { .. } => {
                machine.disk.recovering
            }
            Message::PreVoteResponse { granted: true } | Message::PreVote { .. } => {
                node.is_recovering()
            }
            _ => false,
        };
        assert!(!recovering, "n{} is recovering: {envelope:?}", machine.id);
    }

    /// A leader whose disk hangs does not stay one.
    pub fn disk(&self, machine: &Machine, now: Micros) {
        let Some(process) = &machine.process else { return };
        let Some(oldest) = process.writing.front() else { return };
        let hung = now.0 > oldest.handed_out.0 + HUNG_LEADER_US;
        let leads = process.replica.node().role_kind() == RoleKind::Leader;
        assert!(!(hung && leads), "n{} leads with a disk that hangs", machine.id);
    }

    /// Entries that somebody writes to disk; whoever is the first has made them.
    pub fn made(&mut self, entries: &[Entry], now: Micros) {
        for entry in entries {
            self.made.entry((entry.index, entry.term)).or_insert(now);
        }
    }

    /// State machine safety: everybody applies the same, it is durable where it is applied, and says
    /// what it must.
    pub fn applied(&mut self, machine: &Machine, entry: &Entry, reply: Option<&Reply>) {
        if let Some(first) = self.applied.get(&entry.index) {
            assert_eq!(first, entry, "n{} applies another entry", machine.id);
        } else {
            self.applied_first(entry);
        }
        let on_disk = machine.disk.entry(entry.index);
        assert_eq!(on_disk, Some(entry), "n{} applies what its disk does not hold", machine.id);
        let expected = self.reference.reply(entry.index);
        if !is_odd(machine) && expected.is_some() {
            let (id, what) = (machine.id, command(entry));
            assert_eq!(reply, expected, "n{id} says something else to {what:?}: {entry:?}");
        }
    }

    /// An entry comes into force. What is due must not stay when there is somebody to see to it.
    fn applied_first(&mut self, entry: &Entry) {
        // Only the first entry of all was made by nobody.
        let born = self.made.get(&(entry.index, entry.term)).copied().unwrap_or(Micros(0));
        let clock_ms = entry.stamp.clock_ms;
        let calm = self.calm_since.is_some_and(|since| born.0 > since.0 + RECOVERED_US);
        let overdue = self.reference.overdue_ms(clock_ms);
        assert!(
            !calm || overdue <= OVERDUE_MS,
            "{overdue} ms too late: {:?}",
            self.reference.now()
        );
        self.reference.apply(entry, born);
        self.applied.insert(entry.index, entry.clone());
    }

    /// What a machine finds in a state that it has installed is what was said.
    pub fn told(&self, machine: &Machine, session: u64, seq: u64, reply: &Reply) {
        if !is_odd(machine) {
            let told = self.reference.told(session, seq);
            assert_eq!(told, Some(reply), "n{} finds another reply", machine.id);
        }
    }

    /// What a reader finds in a state is what should be there. The index that it is told.
    pub fn look(&self, copy: &Copy, query: &Query) -> u64 {
        let (rows, applied) = (copy.state.table(), copy.applied());
        let world = self.reference.world(applied);
        match query {
            Query::Key(key) => {
                let found = kv::get(rows, key).unwrap();
                assert_eq!(found.as_ref(), world.keys.get(key), "{key:?} at {applied}");
            }
            Query::Prefix(prefix) => {
                let mut found = Vec::new();
                let visit = &mut |entry| {
                    found.push(entry);
                    true
                };
                kv::scan(rows, prefix, None, visit).unwrap();
                let expected: Vec<_> = world.under(prefix).cloned().collect();
                assert_eq!(found, expected, "{prefix:?} at {applied}");
            }
            Query::Sessions => {
                let expected: Vec<_> = world.sessions.values().cloned().collect();
                assert_eq!(kv::sessions(rows).unwrap(), expected, "sessions at {applied}");
            }
        }
        let index = index_of(copy, query);
        assert_eq!(index, world.index(query), "the index of {query:?} at {applied}");
        index
    }

    /// Whether a reader that has seen `index` is answered out of a state.
    pub fn may_answer(&self, copy: &Copy, query: &Query, index: u64) -> bool {
        let may = match query {
            Query::Key(key) => {
                let rows = copy.state.table();
                let entry = kv::get(rows, key).unwrap();
                let grave = kv::tombstone(rows, key).unwrap();
                counters(copy).key_since(entry.as_ref(), grave, index)
            }
            query => index_of(copy, query) > index,
        };
        let expected = self.reference.world(copy.applied()).may_answer(query, index);
        assert_eq!(may, expected, "{query:?} since {index} at {}", copy.applied());
        may
    }

    /// The whole store of a machine is what it should be.
    pub fn contents(&self, machine: &Machine) {
        let copy = &machine.process.as_ref().expect("it runs").copy;
        if copy.odd || copy.applied() == 0 {
            return;
        }
        for query in [Query::Prefix(Bytes::new()), Query::Sessions] {
            self.look(copy, &query);
        }
        let world = self.reference.world(copy.applied());
        let mut graves = BTreeMap::new();
        kv::scan_tombstones(copy.state.table(), &[], None, &mut |key, revision| {
            graves.insert(Bytes::copy_from_slice(key), revision);
            true
        })
        .unwrap();
        assert_eq!(graves, world.graves, "n{} remembers other deletions", machine.id);
        // It may be thought to come too early, when what was to come then has been put off.
        let (board, _) = self.reference.board(copy.applied());
        let (next, expected) = (copy.state.next_expiry(), world.ends().chain(board.ends()).min());
        let in_time = expected.is_none_or(|at| next.is_some_and(|next| next <= at));
        assert!(in_time, "n{}: the next is at {expected:?}, not {next:?}", machine.id);
        let summary = copy.state.summary();
        assert_eq!(summary.revision, world.revision, "n{}", machine.id);
        // Posts that are shown are links as well.
        assert_eq!(summary.links, world.links + board.counts().1, "n{}: links", machine.id);
    }

    /// The URLs of all commands that were applied anywhere, to whatever effect.
    pub fn applied_urls(&self) -> BTreeSet<String> {
        let urls = self.applied.values().filter_map(|entry| {
            let command = match command(entry)? {
                Command::Once { command, .. } => *command,
                command => command,
            };
            match command {
                Command::CreateLink { url } => Some(String::from_utf8(url.into()).unwrap()),
                _ => None,
            }
        });
        urls.collect()
    }

    /// Equal applied index, equal state; but for a state in which something went wrong on purpose.
    pub fn digest(&mut self, machine: &Machine) {
        let copy = &machine.process.as_ref().expect("it runs").copy;
        if copy.odd {
            return;
        }
        let digest = copy.state.digest().0;
        let first = self.digests.entry(copy.applied()).or_insert(digest);
        assert_eq!(*first, digest, "n{} differs at {}", machine.id, copy.applied());
    }
}

fn command(entry: &Entry) -> Option<Command> {
    let Payload::Command(payload) = &entry.payload else { return None };
    let (_, command) = WriteId::split(payload).unwrap();
    Some(Command::decode(command).unwrap())
}

/// Whether its state is wrong, and nobody knows yet.
pub fn is_odd(machine: &Machine) -> bool {
    machine.process.as_ref().is_some_and(|process| process.copy.odd)
}

fn counters(copy: &Copy) -> kv::Counters {
    Standing::decode(&copy.state.standing_bytes()).unwrap().kv
}

/// The index that a reader is told, as production finds it.
fn index_of(copy: &Copy, query: &Query) -> u64 {
    let (rows, counters) = (copy.state.table(), counters(copy));
    match query {
        Query::Key(key) => counters.key_index(kv::get(rows, key).unwrap().as_ref()),
        Query::Prefix(prefix) if prefix.is_empty() => counters.store_index(),
        Query::Prefix(prefix) => {
            let mut highest = 0;
            kv::scan(rows, prefix, None, &mut |entry| {
                highest = entry.modify.max(highest);
                true
            })
            .unwrap();
            kv::scan_tombstones(rows, prefix, None, &mut |_, revision| {
                highest = revision.max(highest);
                true
            })
            .unwrap();
            counters.prefix_index(highest)
        }
        Query::Sessions => counters.sessions_index(),
    }
}
