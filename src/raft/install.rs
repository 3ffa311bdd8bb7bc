//! A log that does not reach back: states of other nodes in place of entries (thesis 5).
//!
//! The leader's log begins behind its *start*. A follower that needs entries from before is told so
//! ([`Message::FetchState`]); the state itself travels apart from consensus, and when it is durable
//! in the place of the follower's own, the core is told ([`Installed`]).
//!
//! If the log holds the state's last entry, it is kept with its tail: the state is only a way to be
//! quick. Else it goes as a whole, and begins anew behind that entry. What is lost by that was never
//! committed and never will be: a log that holds a committed entry beyond the state's last holds that
//! one too. So it is as if the leader that committed the entry had replaced the tail by an append.
//!
//! One thing is different from an append: a state need not come from the leader of this node's term.
//! Its sender may know of entries of later terms, while this node still follows, or is, a leader that
//! was deposed unknown to both. Therefore:
//!
//! - "I hold all that is committed up to here" is no acknowledgement to rest on: such a leader would
//!   take it for entries of its own, which are not here. A follower that cannot compare an append
//!   with its log, as it is about what the state replaced, says which entry it does hold
//!   ([`Message::Holds`], index and term). A leader that has the same entry there may conclude, by
//!   the log matching property (3.5), that all before is equal; any other draws no conclusion. So
//!   no acknowledgement needs an argument about who knew what in which term.
//! - Such a leader contradicts what is committed without anything being broken. Its appends are
//!   dropped where they do, up to the commit index that a state vouched for; elsewhere a
//!   contradiction stops the node.
//! - A candidate or leader whose log is replaced is none any more: what it stood for is gone. In a
//!   correct cluster it can only be one that a later leader has made meaningless. The term becomes
//!   at least that of the state's last entry; nobody has this node's vote in a term that is new.
//!
//! # Around the restart of a log
//!
//! - *Acknowledgements* that wait for the write in which the log restarts are taken back. Those in
//!   earlier writes leave when they are durable, and were true; what they speak of is dropped only
//!   after another entry was committed in its place, hence after the election of a later leader
//!   whose voters did without it. Counted or not, they commit nothing.
//! - *Completions* of writes that were issued before cannot be mistaken for later ones, even in the
//!   same term: see `Log::persisted`.
//! - *The configuration* is that of the state, which is committed: nothing before it can come back,
//!   and a truncation never gets to it.
//! - *The clock* has seen the stamp of the state's last entry, so it does not go back in an empty log.
//! - *A crash* between the switch to the state and the write of the restart leaves a log that does not
//!   lead to its state. It is known by its term at the state's index, and begins behind the state
//!   from then on, as it would have.

use super::candidate::Candidate;
use super::event::{Event, Reason};
use super::follower::Follower;
use super::leader::Leader;
use super::message::{Message, Stamp};
use super::raw::{AnyNode, RawNode, Role};
use super::ready::{Fetch, Installed};
use super::{Index, NodeId, Term};

impl<R> RawNode<R> {
    /// Whether the log holds the last entry of the state, or has held it.
    fn holds_state(&self, installed: &Installed) -> bool {
        let Installed { index, term, .. } = *installed;
        if index < self.log.start().0 {
            return true;
        }
        let holds = self.log.term_at(index) == Some(term);
        assert!(holds || index > self.log.commit(), "a state contradicts what is committed");
        holds
    }

    /// The log goes, and begins anew behind the state.
    fn restart_log(&mut self, installed: Installed) {
        let Installed { index, term, clock_ms, configuration, configuration_index } = installed;
        assert!(configuration_index <= index, "a configuration from beyond the state");
        let (start, last) = (self.log.start().0, self.log.last_index());
        self.output.take_back_acknowledgements();
        self.in_line = None;
        self.log.restart((index, term));
        self.clock.observe(Stamp { clock_ms, wall_ms: 0 });
        self.emit(Event::LogReplaced { term: self.term, start, last, by: (index, term) });
        let removed = configuration_index > self.id && !configuration.contains(self.id);
        self.configurations.install(configuration_index, configuration);
        if removed {
            self.note_removal(configuration_index);
        }
    }
}

impl<R: Role> RawNode<R> {
    /// Makes way for a state that the log does not lead to, as a follower in its term at least.
    fn give_way(self, installed: Installed) -> AnyNode {
        let term = self.term.max(installed.term);
        let mut node = self.into_follower(term, Reason::StateAhead(installed.index));
        node.restart_log(installed);
        node.into()
    }
}

impl RawNode<Candidate> {
    pub(super) fn on_installed(mut self, installed: Installed) -> AnyNode {
        if !self.holds_state(&installed) {
            return self.give_way(installed);
        }
        self.log.vouch(installed.index);
        if installed.index > self.log.commit() {
            self.commit_to(installed.index);
        }
        match self.is_promotable() {
            true => self.into(),
            false => self.into_voteless().into(),
        }
    }
}

impl RawNode<Follower> {
    pub(super) fn on_installed(mut self, installed: Installed) -> AnyNode {
        if self.holds_state(&installed) {
            self.log.vouch(installed.index);
            self.advance_commit(installed.index);
        } else if installed.term > self.term {
            return self.give_way(installed);
        } else {
            self.restart_log(installed);
        }
        self.tell_what_it_holds();
        self.into()
    }

    /// The leader's log begins behind `start`. If this one reaches that far, they join.
    pub(super) fn on_fetch_state(&mut self, leader: NodeId, start: Index) {
        if self.log.commit() >= start {
            self.role.fetching = None;
            return self.tell_what_it_holds();
        }
        if self.role.fetching.replace(start) != Some(start) {
            let commit = self.log.commit();
            self.emit(Event::StateNeeded { term: self.term, leader, start, commit });
        }
        self.output.fetch = Some(Fetch { from: leader, at_least: start });
    }

    /// Tells the leader, if one is known, the last committed entry that is here, when it is durable.
    pub(super) fn tell_what_it_holds(&mut self) {
        let Some(leader) = self.role.leader(self.id) else { return };
        let nonce = match &self.recovery {
            Some(recovery) => match recovery.nonce(self.term) {
                Some(nonce) => nonce,
                None => return,
            },
            None => 0,
        };
        let index = self.log.commit();
        let term = self.log.term_at(index).expect("what is committed is in the log");
        self.send_once_durable(leader, index, Message::Holds { index, term, nonce });
    }
}

impl RawNode<Leader> {
    /// A follower cannot be served from the log: it has to fetch the state.
    pub(super) fn tell_to_fetch(&mut self, to: NodeId) {
        let start = self.log.start().0;
        self.send(to, Message::FetchState { start });
    }

    /// Moves a follower that needs entries from before the start to another way of being served.
    pub(super) fn check_reach(&mut self, id: NodeId) {
        let start = self.log.start().0;
        let Some(progress) = self.role.progress.get_mut(&id) else { return };
        if progress.falls_short_of(start) {
            let next = progress.next;
            progress.await_state();
            if progress.leaving.is_some() {
                return;
            }
            self.emit(Event::FollowerNeedsState { term: self.term, follower: id, next, start });
            self.tell_to_fetch(id);
        }
    }

    /// The log begins later now.
    pub(super) fn check_reach_of_all(&mut self) {
        let followers: Vec<NodeId> = self.role.progress.keys().copied().collect();
        followers.into_iter().for_each(|id| self.check_reach(id));
    }

    /// A follower says which entry it holds. If it is in this log as well, then all before is equal.
    pub(super) fn on_holds(self, from: NodeId, held: (Index, Term), nonce: u64) -> AnyNode {
        let Some(progress) = self.role.progress.get(&from) else { return self.into() };
        if !progress.believes(nonce) || self.log.term_at(held.0) != Some(held.1) {
            return self.into();
        }
        self.on_accepted(from, held.0)
    }

    pub(super) fn on_installed(mut self, installed: Installed) -> AnyNode {
        if !self.holds_state(&installed) {
            return self.give_way(installed);
        }
        self.log.vouch(installed.index);
        if installed.index <= self.log.commit() {
            return self.into();
        }
        self.commit_as_leader(installed.index)
    }
}
