//! What a statement about a member changes here.
//!
//! Everything goes through [`Gossip::merge`]: what others say, what a push-pull brings and what this
//! node concludes itself. The precedence is in [`crate::Member::supersedes`].

use crate::config::MAX_MEMBERS;
use crate::gossip::Entry;
use crate::suspicion::{self, Suspicion};
use crate::{Event, Gossip, MAX_INCARNATION, Micros, NodeId, Rumour, Status};

impl Gossip {
    /// Takes one statement; `teller` is who passed it to us, if it is not our own conclusion.
    pub(crate) fn merge(&mut self, rumour: Rumour, teller: Option<NodeId>) {
        let id = rumour.member.id;
        let configured = self.contacts.get(&id).map(|c| c.tag);
        let held = self.roster.get(&id);
        if configured.or(held.map(|e| e.member.tag)).is_some_and(|tag| tag != rumour.member.tag) {
            return self.impostor(id);
        }
        let Some(held) = held else { return self.learn(rumour) };
        if id == self.id {
            return self.hear_about_me(&rumour);
        }
        let standing = |m: &crate::Member| (m.incarnation, m.status);
        if rumour.member.supersedes(&held.member) {
            self.replace(rumour);
        } else if rumour.member.status == Status::Suspect
            && standing(&rumour.member) == standing(&held.member)
        {
            self.confirm(id, rumour.by);
        } else if teller == Some(id)
            && (rumour.member.incarnation < held.member.incarnation
                || !rumour.member.same_details(&held.member))
        {
            // It restarted and does not know how far it once was. The next packet tells it.
            self.roster.get_mut(&id).expect("it is held").remind = true;
        }
    }

    /// Somebody uses a known id with another tag.
    pub(crate) fn impostor(&mut self, id: NodeId) {
        self.counters.impostors += 1;
        if self.impostors.insert(id) {
            self.emit(Event::Impostor { id });
        }
    }

    /// A member that was not in the roster.
    fn learn(&mut self, rumour: Rumour) {
        let Rumour { member, by } = rumour;
        let (id, status) = (member.id, member.status);
        // The death of one we never knew is no news, and believing it would keep the long
        // forgotten going round for ever. Configured members are shown whatever they are.
        if !status.is_live() && !self.contacts.contains_key(&id) {
            return;
        }
        if self.roster.len() >= MAX_MEMBERS {
            self.counters.roster_full += 1;
            return;
        }
        self.emit(Event::Joined { id, name: member.name.clone(), peer: member.peer, status });
        self.roster.insert(id, Entry::new(member, by, self.now));
        match status {
            Status::Alive => self.enter_ring(id),
            Status::Suspect => {
                self.enter_ring(id);
                self.start_suspicion(id);
            }
            Status::Down | Status::Left => return,
        }
        self.broadcast(id);
    }

    /// Better news about a member than what is held.
    fn replace(&mut self, rumour: Rumour) {
        let Rumour { member, by } = rumour;
        let id = member.id;
        let now = self.now;
        let entry = self.roster.get_mut(&id).expect("the caller looked it up");
        let old = core::mem::replace(&mut entry.member, member);
        let (was, is) = (old.status, entry.member.status);
        let incarnation = entry.member.incarnation;
        let (address, after) = (entry.member.peer, now.since(entry.since));
        let silent = entry.heard.map(|at| now.since(at));
        let suspected = entry.suspicion.take().map(|s| now.since(s.start()));
        entry.by = by;
        if was != is {
            entry.since = now;
        }

        if address != old.peer {
            self.emit(Event::AddressChanged { id, old: old.peer, new: address });
        }
        if is.is_live() && !was.is_live() {
            self.enter_ring(id);
        }
        match is {
            Status::Alive if was == Status::Alive => {}
            Status::Alive => self.emit(Event::AliveAgain { id, incarnation, was, after }),
            Status::Suspect => self.start_suspicion(id),
            Status::Down => self.emit(Event::Down { id, incarnation, by, silent, suspected }),
            Status::Left => self.emit(Event::Left { id, incarnation }),
        }
        self.broadcast(id);
    }

    fn enter_ring(&mut self, id: NodeId) {
        self.ring.insert(&mut self.rng, id);
    }

    fn start_suspicion(&mut self, id: NodeId) {
        let config = &self.config;
        let n = self.live();
        let min = suspicion::shortest(config.suspicion_mult, n, config.probe_interval);
        let wanted = suspicion::wanted_confirmations(config.suspicion_mult, n);
        let max = min * config.suspicion_max_mult;
        let now = self.now;
        let entry = self.roster.get_mut(&id).expect("only members are suspected");
        assert_eq!(entry.member.status, Status::Suspect, "the timer belongs to the status");
        let suspicion = Suspicion::new(now, entry.by, min, max, wanted);
        let timeout = suspicion.deadline().since(now);
        entry.suspicion = Some(suspicion);
        let (by, incarnation) = (entry.by, entry.member.incarnation);
        let silent = entry.heard.map(|at| now.since(at));
        self.emit(Event::Suspected { id, incarnation, by, silent, timeout });
    }

    /// One more accuser of a suspect.
    fn confirm(&mut self, id: NodeId, by: NodeId) {
        let entry = self.roster.get_mut(&id).expect("the caller looked it up");
        let suspicion = entry.suspicion.as_mut().expect("every suspect has its timer");
        if !suspicion.confirm(by) {
            return;
        }
        let (confirmations, wanted) = (suspicion.confirmations(), suspicion.wanted());
        // Passed on under the new accuser's name, so that it counts elsewhere too.
        entry.by = by;
        self.emit(Event::Confirmed { id, by, confirmations, wanted });
        self.broadcast(id);
    }

    /// Suspects that did not refute in time are down.
    pub(crate) fn expire_suspicions(&mut self) {
        let over = |e: &Entry| e.suspicion.as_ref().is_some_and(|s| s.deadline() <= self.now);
        let dead: Vec<Rumour> =
            self.roster.values().filter(|e| over(e)).map(Entry::rumour).collect();
        for mut rumour in dead {
            rumour.member.status = Status::Down;
            rumour.by = self.id;
            self.replace(rumour);
        }
    }

    /// When the first suspicion is over.
    pub(crate) fn suspicions_deadline(&self) -> Micros {
        let deadlines = self.roster.values().filter_map(|e| e.suspicion.as_ref());
        deadlines.map(Suspicion::deadline).min().unwrap_or(Micros::NEVER)
    }

    /// Somebody makes a statement about this node; it has the last word.
    fn hear_about_me(&mut self, rumour: &Rumour) {
        let me = self.me();
        let (mine, said) = (me.incarnation, rumour.member.incarnation);
        let outdated = said > mine || (said == mine && !rumour.member.same_details(me));
        let accused = said >= mine && rumour.member.status != Status::Alive;
        if self.leaving {
            // Nothing to refute any more, but the good-bye must win.
            if outdated {
                self.restate(said);
            }
        } else if accused {
            let incarnation = self.restate(said);
            let (status, by) = (rumour.member.status, rumour.by);
            self.emit(Event::Refuted { status, accused: said, by, incarnation });
            // What is remembered of a former life is no sign of poor health.
            if !outdated && status != Status::Left {
                self.doubt(1);
            }
        } else if outdated {
            let incarnation = self.restate(said);
            self.emit(Event::Superseded { remembered: said, incarnation });
        }
    }

    /// Says all about this node again, above every incarnation known.
    pub(crate) fn restate(&mut self, heard: u64) -> u64 {
        let now = self.now;
        let entry = self.roster.get_mut(&self.id).expect("this node is in its own roster");
        let above = entry.member.incarnation.max(heard) + 1;
        // A liar can push it to the limit, but not make this node say what nobody may believe.
        entry.member.incarnation = above.min(MAX_INCARNATION);
        entry.since = now;
        let incarnation = entry.member.incarnation;
        self.broadcast(self.id);
        incarnation
    }

    /// Drops who is gone for long and not configured any more.
    pub(crate) fn forget_the_gone(&mut self) {
        let over = |e: &Entry| self.forget_at(e) <= self.now;
        let gone: Vec<(NodeId, Status)> = self
            .roster
            .values()
            .filter(|e| over(e))
            .map(|e| (e.member.id, e.member.status))
            .collect();
        for (id, status) in gone {
            self.roster.remove(&id);
            self.broadcasts.forget(id);
            self.impostors.remove(&id);
            self.emit(Event::Forgotten { id, status });
        }
    }

    /// When the next one is dropped.
    pub(crate) fn forget_deadline(&self) -> Micros {
        self.roster.values().map(|e| self.forget_at(e)).min().unwrap_or(Micros::NEVER)
    }

    fn forget_at(&self, entry: &Entry) -> Micros {
        let id = entry.member.id;
        if entry.member.status.is_live() || id == self.id || self.contacts.contains_key(&id) {
            return Micros::NEVER;
        }
        entry.since + self.config.forget_after
    }
}
