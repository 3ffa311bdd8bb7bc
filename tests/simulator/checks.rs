//! What must hold at every step, watched from outside.

use std::collections::{BTreeMap, BTreeSet};

use bowline::ids::WriteId;
use bowline::raft::{Entry, NodeId, Payload, RoleKind};
use bowline::state::Command;

use crate::machine::Machine;

/// The history that all nodes must agree with.
#[derive(Default)]
pub struct Checks {
    leaders: BTreeMap<u64, NodeId>,
    applied: BTreeMap<u64, Entry>,
    digests: BTreeMap<u64, String>,
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

    /// State machine safety: everybody applies the same, and it is durable where it is applied.
    pub fn applied(&mut self, machine: &Machine, entry: &Entry) {
        let first = self.applied.entry(entry.index).or_insert_with(|| entry.clone());
        assert_eq!(first, entry, "n{} applies another entry", machine.id);
        let on_disk = &machine.disk.log[entry.index as usize - 1];
        assert_eq!(on_disk, entry, "n{} applies what its disk does not hold", machine.id);
    }

    /// The URLs of all commands that were applied anywhere, to whatever effect.
    pub fn applied_urls(&self) -> BTreeSet<String> {
        let urls = self.applied.values().filter_map(|entry| {
            let Payload::Command(payload) = &entry.payload else { return None };
            let (_, command) = WriteId::split(payload).unwrap();
            url_of(Command::decode(command).unwrap())
        });
        urls.collect()
    }

    /// Equal applied index, equal state.
    pub fn digest(&mut self, machine: &Machine) {
        let summary = machine.process.as_ref().expect("it runs").state.summary();
        let digest = format!("{:?}", summary.digest());
        let first = self.digests.entry(summary.applied).or_insert_with(|| digest.clone());
        assert_eq!(*first, digest, "n{} differs at {}", machine.id, summary.applied);
    }
}

/// The URL that a command makes a link for.
fn url_of(command: Command) -> Option<String> {
    match command {
        Command::CreateLink { url } => Some(String::from_utf8(url.into()).unwrap()),
        Command::Once { command, .. } => url_of(*command),
        Command::RegisterSession { .. } | Command::TakeDigest => None,
    }
}
