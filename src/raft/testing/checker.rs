//! What must hold whatever happens, checked from outside after every step.
//!
//! Names after the thesis, figure 3.2 and appendix B, and the invariants of the TLA+ specification.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::cluster::Host;
use crate::raft::{Envelope, Index, Message, Node, NodeId, RoleKind, Term};

/// An entry, by its term and a hash over it and all before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Link {
    term: Term,
    hash: u64,
}

/// A log: what it begins behind, and the entries from there on.
#[derive(Clone, Debug)]
struct Chain {
    start: Index,
    base: Link,
    links: Vec<Link>,
}

impl Default for Chain {
    fn default() -> Self {
        Self { start: 0, base: Link { term: 0, hash: 0 }, links: Vec::new() }
    }
}

impl Chain {
    fn last_index(&self) -> Index {
        self.start + self.links.len() as Index
    }

    fn last(&self) -> Link {
        *self.links.last().unwrap_or(&self.base)
    }

    fn get(&self, index: Index) -> Option<Link> {
        match index.checked_sub(self.start)? {
            0 => Some(self.base),
            behind => self.links.get(behind as usize - 1).copied(),
        }
    }

    /// Lets go of what is before `start`.
    fn purge(&mut self, start: Index) {
        self.base = self.get(start).expect("within the log");
        self.links.drain(..(start - self.start) as usize);
        self.start = start;
    }
}

/// A node as it was when last looked at.
#[derive(Clone, Debug, Default)]
struct Seen {
    chain: Chain,
    term: Term,
    vote: Option<NodeId>,
    commit: Index,
    leads: bool,
}

/// A committed entry, and the term of the node that was first to know.
#[derive(Clone, Copy, Debug)]
struct Committed {
    link: Link,
    in_term: Term,
}

/// The checker's memory of the whole run.
#[derive(Clone, Debug, Default)]
pub(super) struct Checker {
    seen: BTreeMap<NodeId, Seen>,
    leaders: BTreeMap<Term, NodeId>,
    votes: BTreeMap<(NodeId, Term), NodeId>,
    entries: BTreeMap<(Index, Term), u64>,
    committed: Vec<Committed>,
    /// Elections that were won.
    pub(super) elections: usize,
}

impl Checker {
    /// How many entries are known to be committed by anybody.
    pub(super) fn committed(&self) -> Index {
        self.committed.len() as Index
    }

    /// A node's process ended: what it had in memory is gone.
    pub(super) fn forget(&mut self, id: NodeId) {
        self.seen.remove(&id);
    }

    /// A message left a node. Votes are given once per term, for ever (A10).
    pub(super) fn sent(&mut self, envelope: &Envelope) {
        let vote = match envelope.message {
            Message::VoteResponse { granted: true } => envelope.to,
            Message::Vote { .. } => envelope.from,
            _ => return,
        };
        let before = self.votes.insert((envelope.from, envelope.term), vote);
        assert!(before.is_none_or(|before| before == vote), "two votes in a term: {envelope:?}");
    }

    /// Looks at a node after it handled an input.
    pub(super) fn observe(&mut self, hosts: &BTreeMap<NodeId, Host>, id: NodeId) {
        let Some(node) = &hosts[&id].node else { return };
        let before = self.seen.remove(&id).unwrap_or_default();
        let leads = node.role_kind() == RoleKind::Leader;
        assert!(node.term() >= before.term, "A10: the term of {id} went back");
        if node.term() == before.term && before.vote.is_some() {
            assert_eq!(node.vote(), before.vote, "A10: {id} changed its vote");
        }
        assert!(node.commit() >= before.commit, "A12: the commit index of {id} went back");
        assert!(node.commit() <= node.last_index(), "A12: committed beyond the log");
        let chain = self.update_chain(node, before.chain, before.leads && leads, before.term);
        assert!(chain.last().term <= node.term(), "A11: future entries");
        if leads {
            let other = self.leaders.insert(node.term(), id);
            assert!(other.is_none_or(|other| other == id), "A1: two leaders in {}", node.term());
            if !before.leads || before.term < node.term() {
                self.elections += 1;
                self.check_complete(node.term(), &chain, 0);
            }
        }
        self.check_committed(hosts, node, &chain);
        self.check_own_term(hosts, node);
        let (term, vote, commit) = (node.term(), node.vote(), node.commit());
        self.seen.insert(id, Seen { chain, term, vote, commit, leads });
    }

    /// Follows the node's log, and checks that equal (index, term) mean equal logs up to there (A3)
    /// and that a leader only appends (A2).
    fn update_chain(
        &mut self,
        node: &Node,
        mut chain: Chain,
        led_before: bool,
        term_before: Term,
    ) -> Chain {
        let (start, start_term) = node.log_start();
        while let Some(link) = chain.links.last()
            && node.term_at(chain.last_index()) != Some(link.term)
        {
            assert!(!led_before || term_before != node.term(), "A2: a leader's log was cut");
            chain.links.pop();
        }
        if chain.last_index() < start {
            // It begins anew behind an installed state, or has just started. States are of what is
            // committed.
            let base = self.committed[start as usize - 1].link;
            chain = Chain { start, base, links: Vec::new() };
        } else {
            chain.purge(start);
        }
        assert_eq!(chain.base.term, start_term, "the log begins behind another entry");
        let first = chain.last_index() + 1;
        let entries = match node.entries(first, node.last_index(), usize::MAX) {
            Some(entries) => entries,
            None => return self.chain_of_restarted(node, chain),
        };
        for entry in entries {
            let previous = chain.last();
            assert!(entry.term >= previous.term, "A11: terms decrease");
            let mut hasher = DefaultHasher::new();
            (&entry, previous.hash).hash(&mut hasher);
            let hash = hasher.finish();
            let known = *self.entries.entry((entry.index, entry.term)).or_insert(hash);
            assert_eq!(known, hash, "A3: two logs differ at or before {}", entry.index);
            chain.links.push(Link { term: entry.term, hash });
        }
        chain
    }

    /// The log of a node that has just started, and has only a tail in memory: all its entries have
    /// been seen before.
    fn chain_of_restarted(&self, node: &Node, mut chain: Chain) -> Chain {
        let link = |index| {
            let term = node.term_at(index).expect("within the log");
            Link { term, hash: self.entries[&(index, term)] }
        };
        chain.links.extend((chain.last_index() + 1..=node.last_index()).map(link));
        chain
    }

    /// A leader has all that was committed in earlier terms (A4).
    fn check_complete(&self, term: Term, chain: &Chain, from: usize) {
        // What it holds no more is in the hash of what it begins behind.
        let from = from.max((chain.start as usize).saturating_sub(1));
        for (index, committed) in (1..).zip(&self.committed).skip(from) {
            if committed.in_term < term {
                let here = chain.get(index);
                assert_eq!(here, Some(committed.link), "A4: the leader of {term} lacks {index}");
            }
        }
    }

    /// What is committed is the same everywhere and for ever (A5, A13), durable on a majority (A9),
    /// and in the logs of the leaders of later terms (A4).
    fn check_committed(&mut self, hosts: &BTreeMap<NodeId, Host>, node: &Node, chain: &Chain) {
        let known = self.committed.len();
        let commit = node.commit() as usize;
        let last_known = commit.min(known);
        if last_known > 0 {
            let canonical = self.committed[last_known - 1].link;
            let here = chain.get(last_known as Index);
            assert_eq!(here, Some(canonical), "A5: another entry is committed");
        }
        if commit <= known {
            return;
        }
        let in_term = node.term();
        for index in known + 1..=commit {
            let link = chain.get(index as Index).expect("what is committed is in the log");
            self.committed.push(Committed { link, in_term });
        }
        if node.term() > 1 {
            let link = self.committed[commit - 1].link;
            let durable = |id: &NodeId| {
                let disk = hosts.get(id).map(|host| &host.disk);
                disk.is_some_and(|disk| disk.counts_for(commit as Index, link.term))
            };
            let voters: Vec<NodeId> = node.configuration().voters().collect();
            let have = voters.iter().filter(|id| durable(id)).count();
            assert!(have * 2 > voters.len(), "A9: {commit} is durable on {have} of {voters:?}");
        }
        for (other, seen) in &self.seen {
            if seen.leads && *other != node.id() {
                self.check_complete(seen.term, &seen.chain, known);
            }
        }
    }

    /// Nobody has an entry of a term beyond those of its leader, while that leads (A6).
    fn check_own_term(&self, hosts: &BTreeMap<NodeId, Host>, node: &Node) {
        let last_term = node.term_at(node.last_index()).expect("within the log");
        let Some(leader) = self.leaders.get(&last_term) else { return };
        let Some(leader) = hosts.get(leader).and_then(|host| host.node.as_ref()) else { return };
        if leader.role_kind() == RoleKind::Leader && leader.term() == last_term {
            assert!(node.last_index() <= leader.last_index(), "A6: entries nobody made");
        }
    }
}
