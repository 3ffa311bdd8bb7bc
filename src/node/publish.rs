//! What the raft thread shows of itself, and how often.

use super::{DiskHealth, MemberStatus, Phase, Status};
use crate::ids::ClusterId;
use crate::raft::{Configuration, Index, MemberRole, Micros, NEVER, Node, NodeId, RoleKind, Term};
use crate::replica::Replica;

/// Numbers alone are shown at most this often, in µs; what a person acts on, at once.
const PAUSE_US: u64 = 5_000;
/// Without a leader for this long after its start, a node serves what it has, marked as stale.
const STALE_AFTER_US: u64 = 5_000_000;

/// What is shown at once when it changes.
type Essence = (Term, Phase, Option<NodeId>, Index, bool, bool, DiskHealth, bool, bool);
/// What changes with every write: last, durable and commit index, pending writes.
type Numbers = (Index, Index, Index, usize);

/// Decides when the raft thread's status is published anew, and makes it.
pub(super) struct Publisher {
    cluster: ClusterId,
    name: String,
    /// Why this node was recovering at its start.
    recovering: Option<String>,
    shown: Option<Essence>,
    shown_numbers: Numbers,
    shown_at: Micros,
    started: Option<Micros>,
    serving_stale: bool,
    configuration: Option<(Index, Configuration)>,
}

impl Publisher {
    pub fn new(cluster: ClusterId, name: String, recovering: Option<String>) -> Self {
        Self {
            cluster,
            name,
            recovering,
            shown: None,
            shown_numbers: Numbers::default(),
            shown_at: Micros(0),
            started: None,
            serving_stale: false,
            configuration: None,
        }
    }

    /// The configuration in force, when it is another one than last time.
    pub fn new_configuration(&mut self, node: &Node) -> Option<(Configuration, Index)> {
        let (index, configuration) = (node.configuration_index(), node.configuration());
        if self.configuration.as_ref().is_some_and(|(at, it)| (*at, it) == (index, configuration)) {
            return None;
        }
        if index < node.id() {
            return None; // history before its admission, when it was told of a newer one
        }
        self.configuration = Some((index, configuration.clone()));
        Some((configuration.clone(), index))
    }

    /// When the status must be looked at again, so that no old numbers are left standing.
    pub fn deadline(&self, replica: &Replica) -> Micros {
        let same = self.shown_numbers == numbers(replica);
        if same { NEVER } else { Micros(self.shown_at.0 + PAUSE_US) }
    }

    /// The status to show now, if it is time to.
    pub fn next(&mut self, now: Micros, replica: &Replica, stopping: bool) -> Option<Status> {
        let node = replica.node();
        let started = *self.started.get_or_insert(now);
        let caught_up = replica.caught_up();
        if caught_up {
            self.serving_stale = false;
        } else if node.leader().is_none() && now.0 >= started.0 + STALE_AFTER_US {
            self.serving_stale = true;
        }
        let phase = if stopping { Phase::Stopping } else { phase(node) };
        let disk = disk(replica);
        let essence = (
            node.term(),
            phase,
            node.leader(),
            node.configuration_index(),
            caught_up,
            self.serving_stale,
            disk,
            node.is_recovering(),
            replica.state_lost().is_some(),
        );
        if self.shown == Some(essence) && now.0 < self.shown_at.0 + PAUSE_US {
            return None;
        }
        self.shown = Some(essence);
        self.shown_numbers = numbers(replica);
        self.shown_at = now;
        Some(Status {
            id: node.id(),
            cluster: self.cluster.to_string(),
            name: self.name.clone(),
            phase,
            term: node.term(),
            leader: node.leader(),
            last_index: node.last_index(),
            durable_index: node.durable(),
            commit_index: node.commit(),
            configuration_index: node.configuration_index(),
            members: members(node),
            caught_up,
            serving_stale: self.serving_stale,
            pending_writes: u64::try_from(replica.pending_writes()).unwrap_or(u64::MAX),
            disk,
            recovering: self.recovering.clone().filter(|_| node.is_recovering()),
            state_lost: replica.state_lost().map(str::to_owned),
            log_start: node.log_start().0,
        })
    }
}

fn numbers(replica: &Replica) -> Numbers {
    let node = replica.node();
    (node.last_index(), node.durable(), node.commit(), replica.pending_writes())
}

fn disk(replica: &Replica) -> DiskHealth {
    if replica.disk_stalled() {
        DiskHealth::Stalled
    } else if replica.disk_full() {
        DiskHealth::Full
    } else {
        DiskHealth::Ok
    }
}

fn phase(node: &Node) -> Phase {
    let me = node.configuration().members.get(&node.id());
    match node.role_kind() {
        RoleKind::Leader => Phase::Leader,
        RoleKind::Candidate | RoleKind::PreCandidate => Phase::Candidate,
        RoleKind::Follower if me.is_some_and(|me| me.role == MemberRole::Voter) => Phase::Follower,
        RoleKind::Follower if node.removed().is_some() => Phase::Removed,
        RoleKind::Follower => Phase::Learner,
    }
}

fn members(node: &Node) -> Vec<MemberStatus> {
    let progress = node.progress();
    let leads = node.role_kind() == RoleKind::Leader;
    let status = |(id, member): (&NodeId, &crate::raft::Member)| {
        let seen = progress.iter().find(|it| it.id == *id);
        let own = (*id == node.id()).then(|| node.durable());
        MemberStatus {
            id: *id,
            name: member.info.name.clone(),
            peer: member.info.peer.clone(),
            http: member.info.http.clone(),
            voter: member.role == MemberRole::Voter,
            match_index: own.or(seen.map(|it| it.match_index)),
            active: leads.then(|| *id == node.id() || seen.is_some_and(|it| it.active)),
        }
    };
    node.configuration().members.iter().map(status).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::raft::{Boot, HardState, Now};
    use crate::replica::{Options, Registration};

    fn replica() -> Replica {
        let boot = Boot {
            id: 1,
            hard_state: HardState::default(),
            configurations: Vec::new(),
            term_runs: Vec::new(),
            last_index: 0,
            tail: Vec::new(),
            commit: 0,
            last_clock_ms: 0,
            start: (0, 0),
            recovering: false,
        };
        let registration = Registration { nonce: 1, command: Bytes::new() };
        Replica::new(Options::default(), boot, 0, None, registration, Now::default())
    }

    #[test]
    fn who_stops_says_so_at_once() {
        let replica = replica();
        let mut publisher = Publisher::new(ClusterId::default(), "n1".to_owned(), None);
        let phase = |status: Option<Status>| status.map(|status| status.phase);
        assert_eq!(phase(publisher.next(Micros(1), &replica, false)), Some(Phase::Learner));
        assert_eq!(phase(publisher.next(Micros(2), &replica, false)), None, "nothing has changed");
        assert_eq!(phase(publisher.next(Micros(3), &replica, true)), Some(Phase::Stopping));
    }

    #[test]
    fn without_a_leader_it_serves_what_it_has_after_a_while() {
        let replica = replica();
        let mut publisher = Publisher::new(ClusterId::default(), "n1".to_owned(), None);
        let stale = |status: Option<Status>| status.map(|status| status.serving_stale);
        assert_eq!(stale(publisher.next(Micros(1), &replica, false)), Some(false));
        let later = Micros(1 + STALE_AFTER_US);
        assert_eq!(stale(publisher.next(later, &replica, false)), Some(true));
    }
}
