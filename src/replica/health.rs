//! Whether this node is fit to serve and to lead: its disk, its state, and what is done about them.
//!
//! - A disk that hangs ([`super::disk`]): the node leads no more, and in the end its process stops.
//! - A disk without room: the core refuses what a majority cannot store; this node refuses its own
//!   clients at once, since it could not tell them the outcome before it has stored the entry itself.
//! - A state that is lost, or that the leader's log does not join: another is fetched
//!   ([`super::install`]). Log and vote are not touched by that, so the node goes on counting.
//! - Audits ([`super::audit`]) find a state that is wrong without anything being broken.

use super::audit::Verdict;
use super::chores::NOBODY;
use super::disk::Change;
use super::last_resort::LastResort;
use super::writes::payload;
use super::{Event, PeerMessage, Replica, Resolved, Work};
use crate::error::Reason;
use crate::ids::WriteId;
use crate::raft::{Index, Installed, Micros, NEVER, NodeId, Now, Payload, RoleKind, Unfit};

impl Replica {
    /// Why the state is not to be trusted; none when it is.
    #[must_use]
    pub fn state_lost(&self) -> Option<&str> {
        self.install.lost()
    }

    /// Whether the disk does not finish a write.
    #[must_use]
    pub fn disk_stalled(&self) -> bool {
        self.disk.is_stalled()
    }

    /// Whether the disk has no room for entries.
    #[must_use]
    pub fn disk_full(&self) -> bool {
        self.full
    }

    /// A state that came from another node is checked, durable, and stands beside the own one. False
    /// when it is not wanted (any more): the caller may discard it. Otherwise [`Work::Install`] is on
    /// its way to the applier.
    pub fn on_state_ready(&mut self, now: Now, installed: Installed) -> bool {
        self.now = now;
        let reached = self.node.commit().min(self.node.durable()).max(self.handed);
        if !self.install.begin(&installed, reached, self.node.log_start().0) {
            self.effects.events.push(Event::StateUnused { index: installed.index });
            return false;
        }
        self.effects.work.push(Work::Install(installed, self.writes.claim()));
        true
    }

    /// The applier has switched, durably, to the state that it was given by [`Work::Install`].
    ///
    /// # Panics
    /// When it was given another, or none.
    pub fn on_installed(&mut self, now: Now, installed: Installed, resolved: Resolved) {
        self.now = now;
        self.install.finish(&installed);
        self.audit.on_replaced(self.node.id(), installed.index);
        self.handed = installed.index;
        self.applied = installed.index;
        self.applying.clear();
        self.applying_bytes = 0;
        self.last_resort = LastResort::default();
        self.writes.resolve(&resolved);
        self.effects.events.push(Event::StateInstalled {
            index: installed.index,
            term: installed.term,
            resolved: resolved.seqs.len(),
        });
        self.node.on_installed(now, installed);
        self.judge_fitness();
    }

    /// The state was found to be damaged or wrong. It is fetched anew; until then this node serves and
    /// applies nothing.
    pub fn on_state_lost(&mut self, now: Now, why: String) {
        self.now = now;
        // What readers have seen must not be undone, so a new state has to be as new as this one.
        if self.install.lose(why.clone(), self.handed) {
            self.effects.events.push(Event::StateLost { why: why.clone() });
            self.effects.work.push(Work::Lost(why));
            self.judge_fitness();
        }
    }

    /// The applier has taken the digest of the state as of the audit's entry at `index`.
    pub fn on_digest(&mut self, now: Now, index: Index, digest: u128) {
        self.now = now;
        let own = self.node.id();
        if !self.install.is_idle() || !self.audit.on_own(own, index, digest) {
            return;
        }
        let others = self.node.configuration().members.keys().filter(|id| **id != own);
        let messages = others.map(|id| (*id, PeerMessage::Digest { index, digest }));
        self.effects.messages.extend(messages);
        self.compare(index);
    }

    /// Another node has.
    pub(super) fn on_peer_digest(&mut self, from: NodeId, index: Index, digest: u128) {
        if self.node.configuration().contains(from) {
            self.audit.on_peer(from, index, digest);
            self.compare(index);
        }
    }

    /// The log on disk begins behind `start` now.
    pub fn on_purged(&mut self, start: Index) {
        // It may speak of the log before an installed state took its place.
        if start > self.node.log_start().0 {
            self.node.on_purged(start);
        }
    }

    /// The disk has no room for entries any more, or has room again.
    pub fn on_full(&mut self, now: Now, full: bool) {
        self.now = now;
        if self.full != full {
            self.full = full;
            self.effects.events.push(Event::DiskFull { full });
            self.node.set_full(now, full);
        }
    }

    /// Why this node takes no write of its clients; none when it does.
    pub(super) fn refuses_writes(&self) -> Option<Reason> {
        if self.install.lost().is_some() {
            Some(Reason::Unavailable)
        } else if self.full {
            Some(Reason::DiskFull)
        } else if self.writes.len() >= self.options.pending_writes_max
            || self.writes.bytes() >= self.options.pending_bytes_max
            || self.log_bytes >= self.options.log_bytes_max
        {
            Some(Reason::Busy)
        } else {
            None
        }
    }

    /// Looks how the disk does.
    pub(super) fn watch_disk(&mut self) {
        match self.disk.look(self.now.mono) {
            Some(Change::Stalled(age_us)) => {
                self.effects.events.push(Event::DiskStalled { age_us });
            }
            Some(Change::Resumed) => self.effects.events.push(Event::DiskResumed),
            None => {}
        }
        // A full disk keeps its writes waiting on purpose, until there is room.
        if self.disk.is_hopeless() && !self.full {
            let secs = self.disk.age() / 1_000_000;
            self.effects.stop = Some(format!(
                "a write to the log has not come to its end for {secs} s: the disk hangs"
            ));
        }
    }

    /// Tells the core whether this node may lead.
    pub(super) fn judge_fitness(&mut self) {
        let lost = self.install.lost().is_some() && !self.is_last_resort();
        let unfit = if self.disk.is_stalled() {
            Some(Unfit::DiskStalled)
        } else if lost {
            Some(Unfit::StateLost)
        } else {
            None
        };
        if self.unfit != unfit {
            self.unfit = unfit;
            self.node.set_unfit(self.now, unfit);
        }
    }

    /// Whether this node may lead though its state is lost. If it does, it hands over as soon as
    /// another can take over.
    fn is_last_resort(&mut self) -> bool {
        let (own, leader) = (self.node.id(), self.node.leader());
        if !self.node.configuration().voters().any(|voter| voter != own) {
            self.last_resort = LastResort::default();
            return false;
        }
        let timeout_us = self.options.raft.election_max;
        let may_lead = self.last_resort.look(self.now.mono, leader, own, timeout_us);
        if may_lead && leader == Some(own) && !self.node.is_transferring() {
            // Nobody may be abreast yet; then it is tried again.
            self.node.transfer(self.now, None).ok();
        }
        may_lead
    }

    /// Says what state to fetch, if one is needed.
    pub(super) fn fetch_state(&mut self) {
        let (leader, own) = (self.node.leader(), self.node.id());
        let Some((fetch, news)) = self.install.fetch(leader, own, self.now.mono) else { return };
        if news {
            let (from, at_least) = (fetch.from, fetch.at_least);
            self.effects.events.push(Event::StateWanted { from, at_least });
        }
        self.effects.fetch = Some(fetch);
    }

    /// Proposes an audit when this node leads and one is due.
    pub(super) fn propose_audit(&mut self) {
        let Some(command) = self.options.audit.as_ref().filter(|_| self.may_audit()) else {
            return;
        };
        let (now, last) = (self.now.mono, self.node.last_index());
        let (entries, interval_us) = (self.options.audit_entries, self.options.audit_interval_us);
        if !self.audit.is_due(now, last, entries, interval_us) {
            return;
        }
        match self.node.propose(self.now, vec![payload(NOBODY, command)]) {
            Ok(at) => self.audit.begun(*at.start(), now),
            Err(_) => self.audit.refused(now),
        }
    }

    /// When time alone makes an audit due here.
    pub(super) fn audit_deadline(&self) -> Micros {
        if self.options.audit.is_none() || !self.may_audit() {
            return NEVER;
        }
        self.audit.deadline(self.node.last_index(), self.options.audit_interval_us)
    }

    /// An audit on its way to the applier counts, whoever proposed it.
    pub(super) fn notice_audit(&mut self, index: Index, payload: &Payload) {
        let Payload::Command(bytes) = payload else { return };
        let command = WriteId::split(bytes).map(|(_, command)| command);
        if command.is_some() && command == self.options.audit.as_deref() {
            self.audit.begun(index, self.now.mono);
        }
    }

    fn may_audit(&self) -> bool {
        self.node.role_kind() == RoleKind::Leader && !self.node.is_transferring()
    }

    fn compare(&mut self, index: Index) {
        let (own, members) = (self.node.id(), self.node.configuration());
        match self.audit.verdict(own, index, members) {
            Some(Verdict::Odd { ours, theirs }) => {
                let why = format!(
                    "as of entry {index} its digest is {ours:032x}, that of a majority {theirs:032x}"
                );
                self.on_state_lost(self.now, why);
            }
            Some(Verdict::Split(digests)) => {
                self.effects.events.push(Event::DigestsDiffer { index, digests });
            }
            None => {}
        }
    }
}
