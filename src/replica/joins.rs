//! Admission of new nodes, on the leader: idempotent by instance tag, one at a time.
//!
//! A joiner is answered only when the entry that admits it is committed, since its node id is that
//! entry's index: an id that could still be rolled back must not get out.

use super::{Effects, Event};
use crate::config::ClusterConfig;
use crate::raft::{
    Change, Configuration, Index, MemberInfo, Micros, NEVER, Node, NodeId, Now, ProposeError,
    RoleKind,
};

/// Names a joiner's connection while it waits for its answer.
pub type GuestId = u64;

/// Join requests that may wait at once.
const WAITING_MAX: usize = 64;

/// What a joiner is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JoinReply {
    /// It is a member: its id, and the configuration that says so.
    Admitted {
        /// The joiner's node id.
        id: NodeId,
        /// Index of the configuration.
        index: Index,
        /// The whole membership, so that it knows everybody at once.
        configuration: Configuration,
    },
    /// Ask the leader, at this peer address.
    Redirect(String),
    /// Ask again later.
    Retry(String),
    /// Never; the reason is for people.
    Refused(String),
}

struct Waiting {
    guest: GuestId,
    info: MemberInfo,
    deadline: Micros,
}

#[derive(Default)]
pub(super) struct Joins {
    waiting: Vec<Waiting>,
}

impl Joins {
    pub fn add(&mut self, guest: GuestId, info: MemberInfo, deadline: Micros) -> Option<JoinReply> {
        if self.waiting.len() >= WAITING_MAX {
            return Some(JoinReply::Retry("too many nodes join at once".to_owned()));
        }
        self.waiting.push(Waiting { guest, info, deadline });
        None
    }

    pub fn expire(&mut self, now: Micros) -> Vec<(GuestId, JoinReply)> {
        let over = self.waiting.extract_if(.., |waiting| waiting.deadline <= now);
        let retry = || JoinReply::Retry("the cluster could not commit it in time".to_owned());
        over.map(|waiting| (waiting.guest, retry())).collect()
    }

    pub fn deadline(&self) -> Micros {
        self.waiting.iter().map(|waiting| waiting.deadline).min().unwrap_or(NEVER)
    }

    /// Answers or proposes whatever can be.
    pub fn run(&mut self, node: &mut Node, now: Now, effects: &mut Effects) {
        if self.waiting.is_empty() {
            return;
        }
        for waiting in std::mem::take(&mut self.waiting) {
            match consider(&waiting, node, now, effects) {
                Some(reply) => effects.joins.push((waiting.guest, reply)),
                None => self.waiting.push(waiting),
            }
        }
    }
}

fn consider(
    waiting: &Waiting,
    node: &mut Node,
    now: Now,
    effects: &mut Effects,
) -> Option<JoinReply> {
    if node.role_kind() != RoleKind::Leader {
        return Some(elsewhere(node));
    }
    let (index, committed) = node.committed_configuration();
    if let Some(id) = member_with_tag(committed, waiting.info.tag) {
        let (configuration, known) = (committed.clone(), committed.members[&id].info.clone());
        if known != waiting.info {
            let update = Change::Update(id, waiting.info.clone());
            if is_settled(node) && propose(node, now, update, effects).is_ok() {
                return Some(JoinReply::Admitted { id, index, configuration });
            }
            return None; // its addresses must not be forgotten; their turn comes
        }
        return Some(JoinReply::Admitted { id, index, configuration });
    }
    if member_with_tag(node.configuration(), waiting.info.tag).is_some() {
        return None; // proposed, not yet committed
    }
    let members_max = ClusterConfig::DEFAULT.members_max;
    if committed.members.len() >= members_max {
        return Some(JoinReply::Refused(format!("the cluster is full: {members_max} members")));
    }
    if !is_settled(node) {
        return None; // one change at a time; this one's turn comes with the commit
    }
    // What cannot be proposed now is tried again with the next input.
    propose(node, now, Change::AddLearner(waiting.info.clone()), effects).ok();
    None
}

fn propose(
    node: &mut Node,
    now: Now,
    change: Change,
    effects: &mut Effects,
) -> Result<(), ProposeError> {
    node.propose_change(now, change.clone(), None)?;
    effects.events.push(Event::ChangeProposed { change });
    Ok(())
}

/// Whether no change of the configuration is under way.
fn is_settled(node: &Node) -> bool {
    node.committed_configuration().0 == node.configuration_index()
}

/// Where to ask instead.
pub(super) fn elsewhere(node: &Node) -> JoinReply {
    let leader = node.leader().and_then(|leader| node.configuration().members.get(&leader));
    match leader {
        Some(leader) => JoinReply::Redirect(leader.info.peer.clone()),
        None => JoinReply::Retry("the cluster has no leader at the moment".to_owned()),
    }
}

fn member_with_tag(configuration: &Configuration, tag: [u8; 16]) -> Option<NodeId> {
    configuration.members.iter().find(|(_, member)| member.info.tag == tag).map(|(id, _)| *id)
}
