//! Who should become a voter: the leader's reconciler.
//!
//! Gossip never changes who votes. What the leader itself sees of a learner (it answers, and its
//! log is abreast, for a while without a break) is the evidence for a promotion; the change itself
//! is an entry in the log, one at a time.

use std::collections::BTreeMap;

use crate::config::ClusterConfig;
use crate::raft::{Change, Index, MemberRole, Micros, Node, NodeId, RoleKind};

/// Entries that a learner may be behind and still count as abreast.
const LAG_MAX: Index = 256;

/// Watches learners while this node leads.
#[derive(Debug)]
pub struct Reconciler {
    /// How long a learner must have been abreast, in µs.
    stable_us: u64,
    abreast_since: BTreeMap<NodeId, Micros>,
    looked_at: Micros,
}

impl Reconciler {
    /// Pause between two looks, in µs.
    const PAUSE_US: u64 = 100_000;

    /// A reconciler that promotes learners which have been abreast for `stable_us`.
    #[must_use]
    pub fn new(stable_us: u64) -> Self {
        Self { stable_us, abreast_since: BTreeMap::new(), looked_at: Micros(0) }
    }

    /// The change that is due, if any.
    pub fn next(&mut self, now: Micros, node: &Node) -> Option<Change> {
        if node.role_kind() != RoleKind::Leader {
            self.abreast_since.clear();
            return None;
        }
        if now.0 < self.looked_at.0 + Self::PAUSE_US {
            return None;
        }
        self.looked_at = now;
        let configuration = node.configuration();
        let role = |id: &NodeId| configuration.members.get(id).map(|member| member.role);
        self.abreast_since.retain(|id, _| role(id) == Some(MemberRole::Learner));
        for progress in node.progress() {
            if role(&progress.id) != Some(MemberRole::Learner) {
                continue;
            }
            if progress.active && progress.match_index + LAG_MAX >= node.commit() {
                self.abreast_since.entry(progress.id).or_insert(now);
            } else {
                self.abreast_since.remove(&progress.id);
            }
        }
        let voters =
            configuration.members.values().filter(|it| it.role == MemberRole::Voter).count();
        let settled = node.commit() >= node.configuration_index();
        if voters >= ClusterConfig::DEFAULT.voters_max || !settled {
            return None;
        }
        let stable = |since: &Micros| now.0 >= since.0 + self.stable_us;
        let (id, _) = self.abreast_since.iter().find(|(_, since)| stable(since))?;
        Some(Change::Promote(*id))
    }
}
