//! A state that comes from another node, in place of this node's own.
//!
//! There are two reasons to fetch one: the leader's log does not reach back to where this node's ends
//! (the core says so), or this node's own state is lost: damaged, or found to differ from that of the
//! others. What is fetched arrives beside the own state and changes nothing; then the applier switches,
//! at one point of its order of work, and only when that is durable may the log follow.
//!
//! While the state is lost, or a switch is under way, the applier is given no entries.

use crate::raft::{Fetch, Index, Installed, Micros, NEVER, NodeId};

/// An asking without a result is repeated after this time, in µs: whoever fetches may have given up.
const REPEAT_US: u64 = 1_000_000;

/// What is known about the need for a state.
#[derive(Default)]
pub(super) struct Install {
    /// Why the own state is not to be trusted.
    lost: Option<String>,
    /// A state older than this is of no use in its place: the log would not join, or what readers saw
    /// would be undone.
    at_least: Index,
    /// The core needs one, as it said last.
    wanted: Option<Fetch>,
    /// What was asked for last, and when.
    asked: Option<(Fetch, Micros)>,
    /// Handed to the applier.
    under_way: Option<Installed>,
}

impl Install {
    /// At the start of a process; `at_least` is what a new state must reach if the own one is lost.
    pub fn new(lost: Option<String>, at_least: Index) -> Self {
        Self { lost, at_least, ..Self::default() }
    }

    pub fn lost(&self) -> Option<&str> {
        self.lost.as_deref()
    }

    /// The state that the applier is about to switch to, or has switched to without our knowing.
    pub fn under_way(&self) -> Option<&Installed> {
        self.under_way.as_ref()
    }

    /// Whether the applier may be given entries.
    pub fn is_idle(&self) -> bool {
        self.lost.is_none() && self.under_way.is_none()
    }

    /// The own state is not to be trusted. False when that is known already, or when the applier is
    /// about to leave it behind anyway.
    pub fn lose(&mut self, why: String, at_least: Index) -> bool {
        if !self.is_idle() {
            return false;
        }
        self.lost = Some(why);
        self.at_least = at_least;
        true
    }

    /// The core needs a state.
    pub fn want(&mut self, fetch: Fetch) {
        self.wanted = Some(fetch);
    }

    /// What to fetch now, if anything; and whether that is news.
    pub fn fetch(
        &mut self,
        leader: Option<NodeId>,
        own: NodeId,
        now: Micros,
    ) -> Option<(Fetch, bool)> {
        let wanted = self.wanted.take();
        if self.under_way.is_some() {
            return None;
        }
        let fetch = if self.lost.is_some() {
            let from = leader.filter(|leader| *leader != own)?;
            self.at_least = self.at_least.max(wanted.map_or(0, |fetch| fetch.at_least));
            Fetch { from, at_least: self.at_least }
        } else {
            wanted?
        };
        let before = self.asked.filter(|(asked, _)| asked.from == fetch.from);
        if before.is_some_and(|(_, at)| now - at < REPEAT_US) {
            return None;
        }
        self.asked = Some((fetch, now));
        Some((fetch, before.is_none()))
    }

    /// A state is ready. `reached` is the index that the own state gets to by itself, `start` where the
    /// log begins. Whether it is wanted.
    pub fn begin(&mut self, installed: &Installed, reached: Index, start: Index) -> bool {
        let useful = match self.lost {
            Some(_) => installed.index >= self.at_least.max(start),
            None => installed.index > reached,
        };
        if self.under_way.is_some() || !useful {
            return false;
        }
        self.under_way = Some(installed.clone());
        true
    }

    /// The applier has switched.
    ///
    /// # Panics
    /// When it was not told to.
    pub fn finish(&mut self, installed: &Installed) {
        let expected = self.under_way.take();
        assert_eq!(expected.as_ref(), Some(installed), "the applier installs what it was given");
        *self = Self::default();
    }

    /// When [`Install::fetch`] has something to repeat by itself.
    pub fn deadline(&self, leader: Option<NodeId>, own: NodeId) -> Micros {
        let asks = self.lost.is_some() && self.under_way.is_none();
        match self.asked {
            Some((_, at)) if asks && leader.is_some_and(|leader| leader != own) => at + REPEAT_US,
            _ => NEVER,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::Configuration;

    fn state(index: Index) -> Installed {
        Installed {
            index,
            term: 1,
            clock_ms: 0,
            configuration: Configuration::default(),
            configuration_index: 1,
        }
    }

    fn from(from: NodeId, at_least: Index) -> Fetch {
        Fetch { from, at_least }
    }

    const LATER: Micros = Micros(5 * REPEAT_US);

    #[test]
    fn a_lost_state_is_fetched_from_each_new_leader_and_from_time_to_time() {
        let mut install = Install::new(Some("rot".to_owned()), 7);
        assert_eq!(install.fetch(None, 1, Micros(0)), None, "nobody to ask");
        assert_eq!(install.fetch(Some(1), 1, Micros(0)), None, "not from itself");
        assert_eq!(install.fetch(Some(2), 1, Micros(0)), Some((from(2, 7), true)));
        assert_eq!(install.fetch(Some(2), 1, Micros(9)), None);
        assert_eq!(install.fetch(Some(3), 1, Micros(9)), Some((from(3, 7), true)));
        assert_eq!(install.deadline(Some(3), 1), Micros(9 + REPEAT_US));
        assert_eq!(install.deadline(None, 1), NEVER);
        assert_eq!(install.deadline(Some(1), 1), NEVER);
        assert_eq!(install.fetch(Some(3), 1, LATER), Some((from(3, 7), false)));
    }

    #[test]
    fn what_the_core_needs_is_passed_on_once_a_second() {
        let mut install = Install::default();
        assert_eq!(install.fetch(Some(2), 1, Micros(0)), None);
        install.want(from(2, 50));
        assert_eq!(install.fetch(Some(2), 1, Micros(0)), Some((from(2, 50), true)));
        install.want(from(2, 60));
        assert_eq!(install.fetch(Some(2), 1, Micros(9)), None);
        install.want(from(2, 60));
        assert_eq!(install.fetch(Some(2), 1, LATER), Some((from(2, 60), false)));
        assert_eq!(install.deadline(Some(2), 1), NEVER, "the core says it again itself");
    }

    #[test]
    fn a_lost_state_has_to_reach_the_leaders_log_too() {
        let mut install = Install::new(Some("rot".to_owned()), 7);
        install.want(from(2, 50));
        assert_eq!(install.fetch(Some(2), 1, Micros(0)), Some((from(2, 50), true)));
        assert!(!install.begin(&state(49), 0, 0));
        assert!(install.begin(&state(50), 0, 0));
    }

    #[test]
    fn one_state_at_a_time_and_none_without_use() {
        let mut install = Install::default();
        assert!(!install.begin(&state(9), 9, 0), "its own state gets there by itself");
        assert!(install.begin(&state(10), 9, 0));
        assert!(!install.begin(&state(11), 9, 0));
        assert!(!install.is_idle());
        install.want(from(2, 20));
        assert_eq!(install.fetch(Some(2), 1, LATER), None, "one is on its way in");
        assert!(!install.lose("rot".to_owned(), 9), "what is lost is about to go");
        install.finish(&state(10));
        assert!(install.is_idle());
    }

    #[test]
    fn a_state_behind_which_the_log_does_not_begin_is_of_no_use() {
        let mut install = Install::default();
        assert!(install.lose("rot".to_owned(), 30));
        assert!(!install.lose("rot again".to_owned(), 10), "known already");
        assert_eq!(install.lost(), Some("rot"));
        assert!(!install.begin(&state(29), 0, 0), "readers saw more");
        assert!(!install.begin(&state(35), 0, 40), "a gap up to the log");
        assert!(install.begin(&state(40), 0, 40));
    }

    #[test]
    #[should_panic(expected = "installs what it was given")]
    fn a_switch_that_nobody_asked_for_is_a_bug() {
        Install::default().finish(&state(1));
    }
}
