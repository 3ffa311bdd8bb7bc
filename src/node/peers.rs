//! Whom the transport keeps connections to: the members, and for a while those just taken out.
//!
//! A configuration takes effect when it is appended, but whoever it takes out must still hear that
//! it was committed; cut off at once, it would never know and ask for votes for ever.

use std::collections::BTreeMap;

use crate::ids::Id128;
use crate::raft::{Configuration, Index, Micros, NodeId};
use crate::transport::Peer;

/// How long a member that was taken out is still talked to, in µs.
const PARTING_US: u64 = 10_000_000;

/// The list for the transport.
#[derive(Debug, Default)]
pub(super) struct Peers {
    members: Vec<Peer>,
    index: Index,
    /// Those taken out, with the time at which they are let go.
    parting: BTreeMap<NodeId, (Peer, Micros)>,
}

impl Peers {
    /// Takes over a new configuration.
    pub fn replace(&mut self, configuration: &Configuration, index: Index, now: Micros) {
        let until = Micros(now.0 + PARTING_US);
        for peer in std::mem::replace(&mut self.members, members(configuration)) {
            self.parting.insert(peer.id, (peer, until));
        }
        self.parting.retain(|id, _| !configuration.members.contains_key(id));
        self.index = index;
    }

    /// Lets those go whose time is over; true when there were any.
    pub fn let_go(&mut self, now: Micros) -> bool {
        let before = self.parting.len();
        self.parting.retain(|_, (_, until)| *until > now);
        self.parting.len() < before
    }

    /// Everybody, and the index of the configuration that says so.
    pub fn list(&self) -> (Vec<Peer>, Index) {
        let parting = self.parting.values().map(|(peer, _)| peer);
        (self.members.iter().chain(parting).cloned().collect(), self.index)
    }
}

/// The members as the transport wants them.
pub(super) fn members(configuration: &Configuration) -> Vec<Peer> {
    let peer = |(id, member): (&NodeId, &crate::raft::Member)| Peer {
        id: *id,
        tag: Id128(member.info.tag),
        addr: member.info.peer.clone(),
    };
    configuration.members.iter().map(peer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::{Member, MemberInfo, MemberRole};

    fn configuration(ids: &[NodeId]) -> Configuration {
        let member = || Member { role: MemberRole::Voter, info: MemberInfo::default() };
        Configuration { members: ids.iter().map(|id| (*id, member())).collect() }
    }

    fn ids(peers: &Peers) -> Vec<NodeId> {
        peers.list().0.iter().map(|peer| peer.id).collect()
    }

    #[test]
    fn who_is_taken_out_is_let_go_later() {
        let mut peers = Peers::default();
        peers.replace(&configuration(&[1, 2, 3]), 5, Micros(0));
        peers.replace(&configuration(&[1, 3]), 9, Micros(1));
        assert_eq!(ids(&peers), [1, 3, 2]);
        assert!(!peers.let_go(Micros(PARTING_US)));
        assert!(peers.let_go(Micros(PARTING_US + 1)));
        assert_eq!(peers.list().1, 9);
        assert_eq!(ids(&peers), [1, 3]);
    }

    #[test]
    fn a_removal_that_is_rolled_back_makes_a_member_again() {
        let mut peers = Peers::default();
        peers.replace(&configuration(&[1, 2]), 5, Micros(0));
        peers.replace(&configuration(&[1]), 9, Micros(1));
        peers.replace(&configuration(&[1, 2]), 5, Micros(2));
        assert_eq!(ids(&peers), [1, 2]);
        assert!(!peers.let_go(Micros(u64::MAX)));
    }
}
