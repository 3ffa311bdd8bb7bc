//! Turning the configured addresses into gossip's contacts.
//!
//! Names may take long to resolve, so that happens on a thread of its own, and only the newest
//! answer counts: an older one can never replace it. A name that has no address now may have one later, and
//! gossip listens to nobody that it has no contact for, so what is missing is asked for again.

use std::collections::BTreeMap;
use std::net::ToSocketAddrs;
use std::time::{Duration, Instant};

use bowline_gossip::Contact;
use crossbeam_channel::{Receiver, TryRecvError, bounded};

use crate::raft::{Configuration, NodeId};
use crate::threads;

/// Pause before names without an address are asked for again.
const RETRY: Duration = Duration::from_secs(5);

/// The members of the newest configuration, on their way to becoming contacts.
pub(super) struct Contacts {
    newest: Configuration,
    /// Those that have an address, perhaps one from earlier.
    known: BTreeMap<NodeId, Contact>,
    /// When to resolve them (again), if there is a reason to.
    due: Option<Instant>,
    under_way: Option<Receiver<Vec<Contact>>>,
}

impl Contacts {
    pub fn new() -> Self {
        let (newest, known) = (Configuration::default(), BTreeMap::new());
        Self { newest, known, due: None, under_way: None }
    }

    /// Takes the newest configuration. What is still being resolved of an older one is not waited for.
    pub fn replace(&mut self, configuration: Configuration) {
        self.newest = configuration;
        self.due = Some(Instant::now());
        self.under_way = None;
    }

    /// The contacts, when there is news of them. Never blocks.
    pub fn next(&mut self, now: Instant) -> Option<Vec<Contact>> {
        let found = self.under_way.as_ref().map(Receiver::try_recv);
        if found == Some(Err(TryRecvError::Empty)) {
            return None;
        }
        if self.under_way.take().is_none() && self.due.is_some_and(|due| now >= due) {
            self.under_way = resolve(self.newest.clone());
            self.due = self.under_way.is_none().then(|| now + RETRY);
        }
        let found = found?.ok()?;
        if found.len() < self.newest.members.len() {
            self.due = Some(now + RETRY);
        }
        self.known.extend(found.into_iter().map(|contact| (contact.id, contact)));
        let members = &self.newest.members;
        self.known.retain(|id, it| members.get(id).is_some_and(|now| now.info.tag == it.tag));
        Some(self.known.values().cloned().collect())
    }
}

/// Starts to resolve; nothing when there is no thread to be had.
fn resolve(configuration: Configuration) -> Option<Receiver<Vec<Contact>>> {
    let (then, found) = bounded(1);
    let resolver = move || {
        let mut contacts = Vec::new();
        for (id, member) in configuration.members {
            match member.info.peer.to_socket_addrs().map(|mut addrs| addrs.next()) {
                Ok(Some(addr)) => contacts.push(Contact { id, tag: member.info.tag, addr }),
                Ok(None) | Err(_) => log::debug!("gossip: {} has no address", member.info.peer),
            }
        }
        // Nobody listens when the node is stopping.
        then.send(contacts).ok();
    };
    match threads::spawn("gossip-resolve", resolver) {
        Ok(_) => Some(found),
        Err(error) => {
            log::warn!("gossip: no thread to resolve addresses: {error}");
            None
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::raft::{Member, MemberInfo, MemberRole};

    fn configuration(peers: &[(NodeId, &str)]) -> Configuration {
        let member = |peer: &str| Member {
            role: MemberRole::Voter,
            info: MemberInfo { peer: peer.to_owned(), ..MemberInfo::default() },
        };
        Configuration { members: peers.iter().map(|(id, peer)| (*id, member(peer))).collect() }
    }

    fn wait(contacts: &mut Contacts, now: Instant) -> Vec<(NodeId, String)> {
        loop {
            if let Some(found) = contacts.next(now) {
                return found.iter().map(|it| (it.id, it.addr.to_string())).collect();
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn who_has_no_address_is_looked_for_again_and_keeps_the_one_it_had() {
        let mut contacts = Contacts::new();
        contacts.replace(configuration(&[(1, "10.0.0.1:1"), (2, "no port")]));
        let start = Instant::now();
        assert_eq!(wait(&mut contacts, start), [(1, "10.0.0.1:1".to_owned())]);
        assert_eq!(contacts.next(start), None, "not at once");
        wait(&mut contacts, start + RETRY);

        contacts.replace(configuration(&[(1, "no port"), (3, "10.0.0.3:1")]));
        let found = wait(&mut contacts, Instant::now());
        assert_eq!(found, [(1, "10.0.0.1:1".to_owned()), (3, "10.0.0.3:1".to_owned())]);
    }

    #[test]
    fn an_older_configuration_never_comes_after_a_newer_one() {
        let mut contacts = Contacts::new();
        let now = Instant::now() + RETRY;
        for last in 1..=20 {
            contacts.replace(configuration(&[(last, "10.0.0.1:1")]));
            contacts.next(now);
        }
        assert_eq!(wait(&mut contacts, now), [(20, "10.0.0.1:1".to_owned())]);
        for _ in 0..1000 {
            assert_eq!(contacts.next(now), None);
        }
    }
}
