//! A leader that had better not be one: it hands over, or leaves.
//!
//! *Unfit* (its disk hangs, its state is not to be trusted): it hands over to the best voter, and if
//! there is none, or that has not taken over within an election timeout, leaves office in its term.
//! It sends no heartbeats from then on, and forgets that it led; the others elect one of themselves.
//! An unfit node does not campaign, and a node that is its own cluster has no leader until it is fit.
//!
//! What an unfit node waits for, its own disk say, keeps it from nothing else: it votes, and stores.
//!
//! *Full* and *slow* are for the cluster's good, and only tried: it leads on if nobody takes over. A
//! leader whose disk has no room hands over to one whose disk has some, if with that a majority has.
//! One whose disk lags (what is committed is not durable here an election timeout later) hands over
//! to one that does not. Both at most once in a while, so that two such leaders do not play ball.
//!
//! Nothing here touches safety: these are hand-overs and a step down, which are allowed at any time.

use super::event::Reason;
use super::leader::Leader;
use super::quorum;
use super::raw::{AnyNode, RawNode};
use super::ready::Unfit;
use super::{Micros, NodeId};

/// How often a leader without room tries to hand over, in election timeouts.
const FULL_PAUSE: u64 = 10;
/// How often a leader with a slow disk tries to hand over, in election timeouts.
const SLOW_PAUSE: u64 = 20;

/// When this node last handed over for the cluster's good. It outlives the office: the next leader's
/// disk may be no better, and hand over to this one.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Relief {
    /// When it last tried to hand over because its disk was full.
    full_at: Option<Micros>,
    /// When it last tried to hand over because its disk was slow.
    slow_at: Option<Micros>,
}

impl RawNode<Leader> {
    /// The voter to hand over to for a reason of this node's own: in touch, sound, with room, and
    /// with all that is committed.
    fn heir(&self) -> Option<NodeId> {
        let heir = self.best_voter()?;
        let progress = self.role.progress.get(&heir)?;
        (!progress.full && progress.match_index >= self.log.commit()).then_some(heir)
    }

    /// This leader is unfit.
    pub(super) fn leave_unfit(mut self, unfit: Unfit) -> AnyNode {
        if let Some(heir) = self.heir() {
            self.transfer(Some(heir)).expect("a voter other than itself");
        }
        self.leave_if_nobody_takes_over(unfit)
    }

    /// Leaves office, unless a hand-over is under way.
    fn leave_if_nobody_takes_over(self, unfit: Unfit) -> AnyNode {
        if self.role.transfer.is_some() {
            return self.into();
        }
        let term = self.term;
        self.into_follower(term, Reason::Unfit(unfit)).into()
    }

    /// Whether so many voters have room for entries that something can be committed. Of whom nothing
    /// is known has room.
    pub(super) fn majority_has_room(&self) -> bool {
        let voters = self.configurations.current().voters();
        let full = |id: &NodeId| match self.role.progress.get(id) {
            Some(progress) => progress.full,
            None => *id == self.id && self.full,
        };
        let (all, room) =
            voters.fold((0, 0), |(all, room), id| (all + 1, room + usize::from(!full(&id))));
        room >= quorum::majority(all)
    }

    /// Looks after itself: leaves when it is unfit and nobody took over, tries to hand over when its
    /// disk is full or lags.
    pub(super) fn look_after_itself(mut self) -> AnyNode {
        if let Some(unfit) = self.unfit {
            return self.leave_if_nobody_takes_over(unfit);
        }
        let time = self.time();
        let slow = self.is_slow();
        if self.role.transfer.is_some() {
            return self.into();
        }
        let election = self.options.election_max;
        let due = |last: Option<Micros>, pause| last.is_none_or(|at| time - at >= pause * election);
        let relief = &self.relief;
        let full = self.full && due(relief.full_at, FULL_PAUSE) && self.majority_has_room();
        let slow = slow && due(relief.slow_at, SLOW_PAUSE);
        if (full || slow)
            && let Some(heir) = self.heir()
        {
            let relief = &mut self.relief;
            relief.full_at = if full { Some(time) } else { relief.full_at };
            relief.slow_at = if slow { Some(time) } else { relief.slow_at };
            self.transfer(Some(heir)).expect("a voter other than itself");
        }
        self.into()
    }

    /// Whether something was committed an election timeout ago that is still not durable here.
    fn is_slow(&mut self) -> bool {
        let (time, commit, durable) = (self.time(), self.log.commit(), self.log.durable());
        match self.role.lagging {
            Some((index, since)) if durable < index => time - since >= self.options.election_max,
            _ => {
                self.role.lagging = (durable < commit).then_some((commit, time));
                false
            }
        }
    }
}
