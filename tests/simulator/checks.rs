//! What must hold at every step, watched from outside.

use std::collections::{BTreeMap, BTreeSet};

use bowline::ids::WriteId;
use bowline::raft::{Entry, Envelope, Message, Micros, NodeId, Payload, RoleKind};
use bowline::state::Command;

use crate::machine::Machine;

/// The longest that a leader may go on after its disk began to hang: until that is noticed (1 s and a
/// quarter), and until a hand-over has succeeded or failed (0.5 s).
const HUNG_LEADER_US: u64 = 2_000_000;

/// The history that all nodes must agree with.
#[derive(Default)]
pub struct Checks {
    leaders: BTreeMap<u64, NodeId>,
    applied: BTreeMap<u64, Entry>,
    digests: BTreeMap<u64, u128>,
    commits: BTreeMap<NodeId, u64>,
    terms: BTreeMap<NodeId, u64>,
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

    /// State machine safety: everybody applies the same, and it is durable where it is applied.
    pub fn applied(&mut self, machine: &Machine, entry: &Entry) {
        let first = self.applied.entry(entry.index).or_insert_with(|| entry.clone());
        assert_eq!(first, entry, "n{} applies another entry", machine.id);
        let on_disk = machine.disk.entry(entry.index);
        assert_eq!(on_disk, Some(entry), "n{} applies what its disk does not hold", machine.id);
    }

    /// The URLs of all commands that were applied anywhere, to whatever effect.
    pub fn applied_urls(&self) -> BTreeSet<String> {
        let urls = self.applied.values().filter_map(|entry| {
            let Payload::Command(payload) = &entry.payload else { return None };
            let (_, command) = WriteId::split(payload).unwrap();
            let command = match Command::decode(command).unwrap() {
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
