//! What the raft thread tells people and counters of what happened.

use super::driver::{Driver, End};
use crate::membership::GossipCommand;
use crate::raft::{self, RoleKind};
use crate::replica::Event;

impl Driver {
    /// How every line of this thread begins: whose it is, and when in the cluster's own time.
    pub(super) fn who(&self) -> String {
        let node = self.replica.node();
        format!("n{}: term {}", node.id(), node.term())
    }

    pub(super) fn report(&self, events: Vec<Event>) {
        let id = self.replica.node().id();
        for event in events {
            self.count(&event);
            let level = level(&event);
            match event {
                // These name their term themselves: it may be another one by now.
                Event::Raft(event) => log::log!(level, "n{id}: {event}"),
                event => log::log!(level, "{}: {event}", self.who()),
            }
        }
    }

    fn count(&self, event: &Event) {
        match event {
            Event::Raft(raft::Event::Role { to: RoleKind::Candidate, .. }) => {
                self.metrics.elections.inc();
            }
            Event::Raft(
                raft::Event::Role { to: RoleKind::Leader, .. } | raft::Event::LeaderKnown { .. },
            ) => self.metrics.leader_changes.inc(),
            Event::Raft(raft::Event::Removed { index, .. }) => {
                self.outputs.gossip.send(GossipCommand::Leave).ok();
                self.outputs.end.send(End::Removed(*index)).ok();
            }
            Event::DigestsDiffer { .. } => self.metrics.digests_differ.inc(),
            _ => {}
        }
    }
}

/// How much a person should mind.
fn level(event: &Event) -> log::Level {
    match event {
        Event::DiskStalled { .. } | Event::StateLost { .. } | Event::DigestsDiffer { .. } => {
            log::Level::Error
        }
        Event::DiskFull { full: true } => log::Level::Warn,
        _ => log::Level::Info,
    }
}
