//! Belief: what we may conclude about the life of a peer's process.
//!
//! That a connection ended proves nothing: networks do that. That the peer's address then *refuses*
//! connections, or that a handshake shows another boot nonce, proves that the process we talked to
//! is gone. A dial that hangs, or succeeds with the same nonce, is no evidence. Pure: no I/O here.

use std::collections::VecDeque;

use super::Evidence;
use super::handshake::Lane;

/// How many boot nonces are remembered as reported. More than one, so that two processes that run by
/// mistake under one identity do not take turns in being reported for ever.
const REMEMBERED: usize = 8;

/// What we believe about one peer.
#[derive(Clone, Debug, Default)]
pub struct Belief {
    /// The process we last shook hands with.
    nonce: Option<u64>,
    standing: [bool; 2],
    /// The address refused while a lane still stood; counts when that lane ends too.
    refused: bool,
    /// Nonces whose end was reported, the newest last.
    reported: VecDeque<u64>,
}

impl Belief {
    /// A handshake showed this nonce. Evidence when it is not the one we believed in; all connections
    /// to the old process are then to be closed.
    pub fn met(&mut self, nonce: u64) -> Option<Evidence> {
        match self.nonce.replace(nonce) {
            Some(old) if old != nonce => {
                self.standing = [false; 2];
                self.refused = false;
                self.report(old, Evidence::NewBoot)
            }
            _ => None,
        }
    }

    /// Whether a handshake with this nonce comes from another process than the one we know.
    #[must_use]
    pub fn is_other(&self, nonce: u64) -> bool {
        self.nonce.is_some_and(|known| known != nonce)
    }

    /// A connection of this lane stands.
    pub fn stands(&mut self, lane: Lane) {
        self.standing[lane.index()] = true;
        self.refused = false;
    }

    /// The connection of this lane ended.
    pub fn ended(&mut self, lane: Lane) -> Option<Evidence> {
        self.standing[lane.index()] = false;
        self.judge()
    }

    /// The peer's address refused a connection.
    pub fn refused(&mut self) -> Option<Evidence> {
        self.refused = true;
        self.judge()
    }

    /// A refusal counts when nothing stands: whoever still talks to us is not gone.
    fn judge(&mut self) -> Option<Evidence> {
        if !self.refused || self.standing.contains(&true) {
            return None;
        }
        self.nonce.and_then(|nonce| self.report(nonce, Evidence::Refused))
    }

    fn report(&mut self, nonce: u64, evidence: Evidence) -> Option<Evidence> {
        if self.reported.contains(&nonce) {
            return None;
        }
        self.reported.push_back(nonce);
        if self.reported.len() > REMEMBERED {
            self.reported.pop_front();
        }
        Some(evidence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connected(nonce: u64) -> Belief {
        let mut belief = Belief::default();
        assert_eq!(belief.met(nonce), None);
        Lane::ALL.into_iter().for_each(|lane| belief.stands(lane));
        belief
    }

    #[test]
    fn a_refusal_counts_once_and_only_when_nothing_stands() {
        let mut belief = connected(1);
        assert_eq!(belief.ended(Lane::Bulk), None);
        assert_eq!(belief.refused(), None, "control still stands");
        assert_eq!(belief.ended(Lane::Control), Some(Evidence::Refused));
        assert_eq!(belief.refused(), None, "it was reported");
    }

    #[test]
    fn a_refusal_is_forgotten_when_a_lane_stands_again() {
        let mut belief = connected(1);
        belief.ended(Lane::Bulk);
        belief.refused();
        belief.stands(Lane::Bulk);
        belief.ended(Lane::Bulk);
        assert_eq!(belief.ended(Lane::Control), None);
    }

    #[test]
    fn a_broken_connection_alone_proves_nothing() {
        let mut belief = connected(1);
        for lane in Lane::ALL {
            assert_eq!(belief.ended(lane), None);
        }
        assert_eq!(belief.met(1), None, "the same process answers");
    }

    #[test]
    fn nobody_we_never_met_can_be_gone() {
        assert_eq!(Belief::default().refused(), None);
    }

    #[test]
    fn another_nonce_ends_the_old_process_once() {
        let mut belief = connected(1);
        assert_eq!(belief.met(2), Some(Evidence::NewBoot));
        assert_eq!(belief.met(2), None);

        let mut belief = connected(1);
        belief.ended(Lane::Control);
        belief.ended(Lane::Bulk);
        assert_eq!(belief.refused(), Some(Evidence::Refused));
        assert_eq!(belief.met(2), None, "the end of 1 was reported");
        assert_eq!(belief.met(1), Some(Evidence::NewBoot), "the end of 2 was not");
        assert_eq!(belief.met(2), None);
    }
}
