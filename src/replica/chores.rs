//! What a leader proposes of itself, as nobody's write: the end of what has expired, and newer rules.
//!
//! *Expiry.* The state knows when the next of its deadlines is, on the cluster's clock; the leader's
//! clock tells when that is reached. Then an entry is proposed that ends whatever is due by its own
//! stamp: nothing ends by the opinion of one node. One such entry is under way at a time; if it left
//! something, the next follows as soon as it is applied.
//!
//! *Rules.* What a command does may only change on all nodes at once, with an entry. It is proposed when
//! every member, learners too, has said that its program knows the newer version: a member that nobody
//! has heard of may be of an old program, and would stop at the first command that it does not know.
//!
//! Both are idempotent, so a second one, by a leader that does not know of the first, does no harm.
//! (The third of the kind, audits, is in [`super::audit`].)

use std::collections::BTreeMap;

use bytes::Bytes;

use super::writes::payload;
use super::{Event, Replica};
use crate::ids::WriteId;
use crate::raft::{Configuration, Index, Micros, NEVER, NodeId, RoleKind, Term};

/// Stands before a command that is nobody's write.
pub(super) const NOBODY: WriteId = WriteId { session: 0, seq: 0, floor: 0 };

/// Pause after one could not be proposed, in µs.
const RETRY_US: u64 = 100_000;

/// What is known of the state, and of the members, that may call for an entry.
#[derive(Default)]
pub(super) struct Chores {
    /// The earliest deadline in the state, in ms of the cluster's clock.
    next_expiry_ms: Option<u64>,
    /// The version of the rules by which the state is applied; none until that is known.
    rules: Option<u32>,
    /// The newest version that the other members' programs know.
    known: BTreeMap<NodeId, u32>,
    expire: Errand,
    raise: Errand,
}

/// A kind of entry of which one at a time is under way.
#[derive(Default)]
struct Errand {
    proposed: Option<(Term, Index)>,
    hold_until: Micros,
}

impl Errand {
    /// The entry under way, if it is: proposed by the leader of this term, and not applied.
    fn under_way(&self, term: Term, applied: Index) -> Option<Index> {
        self.proposed.filter(|(of, index)| *of == term && *index > applied).map(|(_, index)| index)
    }
}

impl Chores {
    /// The version that every member knows, `own` among them as `id`; none when one has not told.
    fn known_to_all(&self, id: NodeId, own: u32, members: &Configuration) -> Option<u32> {
        let known = |member: &NodeId| match *member == id {
            true => Some(own),
            false => self.known.get(member).copied(),
        };
        members.members.keys().map(known).try_fold(own, |least, known| Some(least.min(known?)))
    }
}

impl Replica {
    /// The earliest deadline in the state as applied, in ms of the cluster's clock; none when nothing
    /// in it expires. To be told when [`on_applied`](Self::on_applied) is, and not later.
    pub fn on_next_expiry(&mut self, clock_ms: Option<u64>) {
        self.chores.next_expiry_ms = clock_ms;
    }

    /// The version of the rules by which the state is applied.
    pub fn on_cluster_version(&mut self, version: u32) {
        let before = self.chores.rules.replace(version);
        if before.is_some_and(|before| before < version) {
            self.effects.events.push(Event::RulesRaised { version });
        }
    }

    /// A peer, which may not be a member yet, runs a program that knows the rules up to this version.
    pub fn on_peer_version(&mut self, peer: NodeId, version: u32) {
        let (members, newest) = (self.node.configuration(), self.node.configuration_index());
        // Ids are log indexes: a larger one may be that of a node whose admission is not known here.
        self.chores.known.retain(|id, _| *id > newest || members.contains(*id));
        self.chores.known.insert(peer, version);
    }

    /// Proposes what is due when this node leads.
    pub(super) fn do_chores(&mut self) {
        if let Some(command) = self.options.expire.clone()
            && self.expiry_due_in().is_some_and(|left_us| left_us == 0)
        {
            self.run_errand(command, |chores| &mut chores.expire);
        }
        if let Some(command) = self.due_raise() {
            self.run_errand(command, |chores| &mut chores.raise);
        }
    }

    /// When there is something to do again.
    pub(super) fn chores_deadline(&self) -> Micros {
        let now = self.now.mono;
        let (expire, raise) = (&self.chores.expire, &self.chores.raise);
        let expiry = self
            .expiry_due_in()
            .map_or(NEVER, |left_us| Micros(now.0.saturating_add(left_us)).max(expire.hold_until));
        let rules = if self.due_raise().is_some() { raise.hold_until.max(now) } else { NEVER };
        // What follows a chore begins when it is applied, and that is told by no wake-up.
        let applying = |errand: &Errand| {
            let index = errand.under_way(self.node.term(), self.applied);
            index.is_some_and(|index| index <= self.handed)
        };
        let look = if applying(expire) { now + self.options.apply_poll_us } else { NEVER };
        expiry.min(rules).min(look)
    }

    /// µs until the earliest deadline of the state is reached, by the pace of this leader's clock; none
    /// when there is none to be looked after, here and now.
    fn expiry_due_in(&self) -> Option<u64> {
        let next_ms = self.chores.next_expiry_ms.filter(|_| self.may_do(&self.chores.expire))?;
        self.options.expire.as_ref()?;
        let clock_ms = self.node.cluster_clock_ms(self.now)?;
        Some(next_ms.saturating_sub(clock_ms).saturating_mul(1000))
    }

    /// The command that raises the rules, if all members know newer ones.
    fn due_raise(&self) -> Option<Bytes> {
        let rules = self.options.rules.filter(|_| self.may_do(&self.chores.raise))?;
        let members = self.node.configuration();
        let known = self.chores.known_to_all(self.node.id(), rules.newest, members)?;
        (known > self.chores.rules?).then(|| (rules.raise)(known))
    }

    /// Whether this node leads, with a state that it can trust, and none of the kind is under way.
    fn may_do(&self, errand: &Errand) -> bool {
        self.node.role_kind() == RoleKind::Leader
            && !self.node.is_transferring()
            && self.install.lost().is_none()
            && errand.under_way(self.node.term(), self.applied).is_none()
    }

    fn run_errand(&mut self, command: Bytes, errand: fn(&mut Chores) -> &mut Errand) {
        if self.now.mono < errand(&mut self.chores).hold_until {
            return;
        }
        let proposed = self.node.propose(self.now, vec![payload(NOBODY, &command)]);
        let (term, now) = (self.node.term(), self.now.mono);
        let errand = errand(&mut self.chores);
        match proposed {
            Ok(at) => errand.proposed = Some((term, *at.start())),
            Err(_) => errand.hold_until = now + RETRY_US,
        }
    }
}
