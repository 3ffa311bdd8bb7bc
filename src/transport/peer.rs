//! Peers: per peer and lane, what stands, what is being dialled, and which of two dials wins.
//!
//! Both nodes of a pair dial. A dial's fate is decided by the side that is dialled, and the dialler
//! adopts it, so that both use the same connection; only when two dials cross could both sides
//! decide at the same moment, and then the one from the smaller id wins. Pure: no I/O here.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::belief::Belief;
use super::handshake::Lane;
use super::limits::{
    BACKOFF_MAX, BACKOFF_MIN, BULK_OUTBOX, CONTROL_OUTBOX, CROSSING, HASTY_LOSSES, REDIAL_PAUSE,
    REDIALS, STEADY,
};
use super::link::Link;

/// The sending halves of a peer's two lanes.
pub(super) type Links = Arc<[Link; 2]>;

/// One peer.
pub(super) struct PeerState {
    /// Address; none for a provisional peer, which must dial us.
    pub addr: Option<String>,
    pub lanes: [LaneState; 2],
    pub belief: Belief,
    pub links: Links,
    /// When a refusal of this peer was last reported to the owner.
    pub complained: Option<Instant>,
}

impl PeerState {
    pub fn new() -> Self {
        Self {
            addr: None,
            lanes: Default::default(),
            belief: Belief::default(),
            links: Arc::new([Link::new(CONTROL_OUTBOX), Link::new(BULK_OUTBOX)]),
            complained: None,
        }
    }

    pub fn lane(&mut self, lane: Lane) -> &mut LaneState {
        &mut self.lanes[lane.index()]
    }
}

/// One lane of one peer.
#[derive(Debug, Default)]
pub(super) struct LaneState {
    pub standing: Option<Standing>,
    pub dial: Dial,
    pub backoff: Backoff,
    /// The address changed and was not reached yet: it is dialled although a connection stands.
    pub moved: bool,
}

/// A connection in use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    pub token: usize,
    /// Whether we dialled it.
    pub ours: bool,
    pub since: Instant,
}

/// How far our dial of a lane is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Dial {
    /// None is under way.
    #[default]
    Idle,
    /// The next begins at this time.
    Waiting(Instant),
    /// The name is being resolved, under this number.
    Resolving(u64),
    /// A connection is being made.
    Connecting {
        /// The poller's number for it.
        token: usize,
        /// When this dial began.
        since: Instant,
        /// The hello is on its way: the other side may already have decided.
        greeted: bool,
    },
}

impl LaneState {
    /// Whether to refuse the dial of a peer because our own has just won. Only the smaller id does;
    /// a later dial than [`CROSSING`] means that the peer no longer has what we believe to stand.
    pub fn crossed(&self, me: u64, peer: u64, now: Instant) -> bool {
        me < peer
            && self
                .standing
                .is_some_and(|standing| standing.ours && now - standing.since < CROSSING)
    }

    /// Whether to drop our own dial, begun at `since` and now accepted, because the peer's dial was
    /// accepted by us meanwhile and is the one that stays.
    pub fn yields(&self, me: u64, peer: u64, since: Instant) -> bool {
        me > peer && self.standing.is_some_and(|standing| !standing.ours && standing.since >= since)
    }
}

/// The pauses between dials.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backoff {
    /// The last pause; zero when the next dial is the first.
    last: Duration,
    /// Quick redials left after a loss.
    quick: u32,
    /// Losses in a row of connections that had hardly stood.
    hasty: u32,
}

impl Backoff {
    /// A connection stands.
    pub fn stands(&mut self) {
        self.quick = 0;
        if self.hasty <= HASTY_LOSSES {
            self.last = Duration::ZERO;
        }
    }

    /// A connection was lost that had stood for so long. Whether the next dial is to begin at once: not
    /// when one after the other is lost as soon as it stands, which would go on at full speed for
    /// ever where two processes run by mistake under one identity.
    pub fn lost(&mut self, stood: Duration) -> bool {
        self.hasty = if stood < STEADY { self.hasty.saturating_add(1) } else { 0 };
        let at_once = self.hasty <= HASTY_LOSSES;
        if at_once {
            (self.last, self.quick) = (Duration::ZERO, REDIALS);
        }
        at_once
    }

    /// The pause after a dial that failed; `cut` when it was cut off in the middle, which a process
    /// that is just dying does. `jitter` is from 0 to 1.
    pub fn pause(&mut self, cut: bool, jitter: f64) -> Duration {
        if cut && self.quick > 0 {
            self.quick -= 1;
            return REDIAL_PAUSE;
        }
        self.quick = 0;
        self.last = (self.last * 2).clamp(BACKOFF_MIN, BACKOFF_MAX);
        self.last.mul_f64(0.5 + jitter / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pauses_double_up_to_a_second() {
        let mut backoff = Backoff::default();
        let pauses: Vec<u128> = (0..8).map(|_| backoff.pause(true, 1.0).as_millis()).collect();
        assert_eq!(pauses, [20, 40, 80, 160, 320, 640, 1000, 1000]);
        assert_eq!(backoff.pause(false, 0.0).as_millis(), 500, "jitter takes up to a half");
    }

    #[test]
    fn after_a_loss_a_few_redials_are_quick_but_only_while_they_are_cut_off() {
        let mut backoff = Backoff::default();
        assert!(backoff.lost(STEADY));
        for _ in 0..REDIALS {
            assert_eq!(backoff.pause(true, 1.0), REDIAL_PAUSE);
        }
        assert_eq!(backoff.pause(true, 1.0), BACKOFF_MIN);
        assert!(backoff.lost(STEADY));
        assert_eq!(backoff.pause(false, 1.0), BACKOFF_MIN);
        assert_eq!(backoff.pause(true, 1.0), 2 * BACKOFF_MIN);
    }

    #[test]
    fn what_is_lost_again_and_again_is_redialled_ever_more_slowly() {
        let mut backoff = Backoff::default();
        let brief = Duration::from_millis(1);
        for _ in 0..HASTY_LOSSES {
            backoff.stands();
            assert!(backoff.lost(brief));
        }
        for pause in [BACKOFF_MIN, 2 * BACKOFF_MIN, 4 * BACKOFF_MIN] {
            backoff.stands();
            assert!(!backoff.lost(brief));
            assert_eq!(backoff.pause(true, 1.0), pause);
        }
        backoff.stands();
        assert!(backoff.lost(STEADY), "it held for once");
        assert_eq!(backoff.pause(true, 1.0), REDIAL_PAUSE);
    }

    #[test]
    fn of_two_crossing_dials_the_one_from_the_smaller_id_stays() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let standing = |ours, ms| LaneState {
            standing: Some(Standing { token: 0, ours, since: at(ms) }),
            ..LaneState::default()
        };
        // Node 1 dialled and stands; node 2's crossing dial arrives: refused by 1, within the time.
        assert!(standing(true, 10).crossed(1, 2, at(20)));
        assert!(!standing(true, 10).crossed(1, 2, at(10) + CROSSING), "2 has lost it");
        assert!(!standing(false, 10).crossed(1, 2, at(20)), "2 dialled both: the newer one stays");
        // Node 2 never refuses, but drops its own dial when 1's came in meanwhile.
        assert!(!standing(true, 10).crossed(2, 1, at(20)));
        assert!(standing(false, 10).yields(2, 1, at(5)));
        assert!(!standing(false, 10).yields(2, 1, at(15)), "dialled anew after 1's had stood");
        assert!(!standing(false, 10).yields(1, 2, at(5)), "1's own dial wins");
    }
}
