//! What a leader knows of one follower, and how much it may send to it.
//!
//! *Probe*: the leader does not know where the logs agree and sends one message at a time, again
//! only when a later heartbeat was answered. *Replicate*: it knows, and sends ahead of the
//! acknowledgements, within a window of messages and bytes. A refusal leads from replicate to
//! probe, an acknowledgement back. *Snapshot*: what it needs is not in the log any more; it fetches
//! the state, and nothing is sent until an acknowledgement shows that its log joins again.

use std::collections::VecDeque;

use super::{Index, Micros, NodeId, Options};

/// How a follower is being served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgressState {
    /// Looking for the point where the logs agree.
    Probe,
    /// Sending ahead.
    Replicate,
    /// It needs entries that the log holds no more; it fetches the state, and nothing is sent until
    /// an acknowledgement shows that its log joins again.
    Snapshot,
}

/// A follower that may have lost what it acknowledged.
#[derive(Clone, Debug, PartialEq)]
struct Recovering {
    /// Tells its process from earlier ones.
    nonce: u64,
    /// It counts when it holds this index.
    to: Index,
    /// Whether it does by now.
    done: bool,
}

/// A follower as its leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgressView {
    /// Which node.
    pub id: NodeId,
    /// Last index known to be equal and durable there.
    pub match_index: Index,
    /// Next index to send.
    pub next: Index,
    /// Whether it was heard from within an election timeout.
    pub active: bool,
    /// How it is being served.
    pub state: ProgressState,
    /// Append messages with entries that it has not acknowledged.
    pub inflight: usize,
    /// It may have lost what it acknowledged, and does not count yet.
    pub recovering: bool,
    /// Its disk has no room for entries.
    pub full: bool,
}

/// An append with entries that has not been acknowledged.
#[derive(Clone, Debug, PartialEq)]
struct Inflight {
    /// Index of its last entry.
    last: Index,
    /// What it counts against the window.
    bytes: usize,
    /// The newest heartbeat round when it was sent.
    round: u64,
}

/// Progress of one follower.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Progress {
    /// Last index known to be equal and durable there. Invariant: below `next`.
    pub(super) match_index: Index,
    /// Next index to send.
    pub(super) next: Index,
    pub(super) state: ProgressState,
    /// In probe: a probe is out.
    probing: bool,
    /// In probe: one from the same place was sent before. Whether it was lost or waits for a slow
    /// disk, sending its entries again would be of no use: it is repeated without them.
    probed: bool,
    /// The round in which the last probe or check was sent.
    probe_round: u64,
    /// In replicate: what is out, oldest first.
    inflight: VecDeque<Inflight>,
    inflight_bytes: usize,
    /// When it was last heard from.
    pub(super) heard: Micros,
    /// The newest heartbeat round it answered.
    pub(super) round: u64,
    /// The highest commit index that was sent along with something.
    pub(super) commit_sent: Index,
    /// First index of the read from disk that is under way for it.
    reading: Option<Index>,
    /// Its disk has no room: no commands are sent, only the questions that tell what it holds.
    pub(super) full: bool,
    /// Set when it once asked to recover.
    recovering: Option<Recovering>,
    /// It was removed; until then it is only sent heartbeats, so that it may learn of that.
    pub(super) leaving: Option<Micros>,
}

impl Progress {
    /// A follower of which nothing is known; it gets the benefit of the doubt of being in touch.
    pub(super) fn new(next: Index, time: Micros) -> Self {
        Self {
            match_index: 0,
            next,
            state: ProgressState::Probe,
            probing: false,
            probed: false,
            probe_round: 0,
            inflight: VecDeque::new(),
            inflight_bytes: 0,
            heard: time,
            round: 0,
            commit_sent: 0,
            reading: None,
            full: false,
            recovering: None,
            leaving: None,
        }
    }

    /// Whether an append with entries may be sent now.
    pub(super) fn has_room(&self, options: &Options) -> bool {
        if self.reading.is_some() || self.leaving.is_some() {
            return false;
        }
        match self.state {
            ProgressState::Snapshot => false,
            ProgressState::Probe => !self.probing,
            ProgressState::Replicate => {
                self.inflight.len() < options.inflight_messages
                    && self.inflight_bytes < options.inflight_bytes
            }
        }
    }

    /// Whether the next append is only to ask the same question again, without entries.
    pub(super) fn repeats_probe(&self) -> bool {
        self.state == ProgressState::Probe && self.probed
    }

    /// Takes note of an append that was sent: its last index (or previous index when it has no
    /// entries), the bytes of its entries, the newest round, the commit index in it.
    pub(super) fn sent(&mut self, last: Index, bytes: usize, round: u64, commit: Index) {
        self.commit_sent = self.commit_sent.max(commit.min(last));
        match self.state {
            ProgressState::Probe => {
                self.probing = true;
                self.probed = true;
                self.probe_round = round;
            }
            ProgressState::Replicate if bytes > 0 => {
                self.inflight.push_back(Inflight { last, bytes, round });
                self.inflight_bytes += bytes;
                self.next = last + 1;
            }
            ProgressState::Replicate | ProgressState::Snapshot => {}
        }
    }

    /// An acknowledgement came, of a log that joins the leader's if it reaches `start`; returns
    /// whether it told anything new.
    pub(super) fn accepted(&mut self, match_index: Index, start: Index) -> bool {
        while self.inflight.front().is_some_and(|message| message.last <= match_index) {
            let message = self.inflight.pop_front().expect("there is a front");
            self.inflight_bytes -= message.bytes;
        }
        let mut news = match_index > self.match_index;
        self.match_index = self.match_index.max(match_index);
        if let Some(recovering) = &mut self.recovering
            && !recovering.done
            && self.match_index >= recovering.to
        {
            recovering.done = true;
            news = true;
        }
        let joins = match self.state {
            ProgressState::Probe => match_index == self.match_index,
            ProgressState::Replicate => false,
            ProgressState::Snapshot => self.match_index >= start,
        };
        if joins {
            self.state = ProgressState::Replicate;
            self.probing = false;
            self.probed = false;
            self.next = self.match_index + 1;
        }
        self.next = self.next.max(self.match_index + 1);
        news
    }

    /// A refusal of an append after `prev_index` came; `next` is where to try again. Returns
    /// whether it was about something that is still being tried.
    pub(super) fn rejected(&mut self, prev_index: Index, next: Index) -> bool {
        let stale = match self.state {
            ProgressState::Probe => prev_index + 1 != self.next,
            ProgressState::Replicate => prev_index >= self.next,
            ProgressState::Snapshot => true,
        };
        if stale || prev_index <= self.match_index {
            return false;
        }
        self.next = next.max(self.match_index + 1);
        self.probe();
        true
    }

    /// Looks for the point where the logs agree, from `next` on.
    fn probe(&mut self) {
        self.state = ProgressState::Probe;
        self.commit_sent = 0;
        self.probing = false;
        self.probed = false;
        self.inflight.clear();
        self.inflight_bytes = 0;
    }

    /// Whether it needs entries from before the start of the log.
    pub(super) fn falls_short_of(&self, start: Index) -> bool {
        self.next <= start && self.state != ProgressState::Snapshot
    }

    /// It has to fetch the state.
    pub(super) fn await_state(&mut self) {
        self.probe();
        self.reading = None;
        self.state = ProgressState::Snapshot;
    }

    /// It may have lost what it acknowledged: nothing is known of it any more, and it does not count
    /// before it holds `to`. Returns false if the same process has said so before; what was sent to it
    /// may be lost then.
    pub(super) fn recover(&mut self, nonce: u64, to: Index, next: Index) -> bool {
        if self.recovering.as_ref().is_some_and(|recovering| recovering.nonce == nonce) {
            self.commit_sent = 0;
            return false;
        }
        self.recovering = Some(Recovering { nonce, to, done: false });
        self.match_index = 0;
        self.next = next;
        self.reading = None;
        self.probe();
        true
    }

    /// Whether it is recovering, and does not count.
    pub(super) fn is_recovering(&self) -> bool {
        self.recovering.as_ref().is_some_and(|recovering| !recovering.done)
    }

    /// What to tell it as long as it is recovering: its nonce, and how far to get.
    pub(super) fn recover_to(&self) -> Option<(u64, Index)> {
        self.recovering.as_ref().map(|recovering| (recovering.nonce, recovering.to))
    }

    /// Whether an acknowledgement with this nonce (0: none) is of the process that speaks for it now,
    /// or cannot be wrong.
    pub(super) fn believes(&self, nonce: u64) -> bool {
        let stands = |recovering: &Recovering| recovering.done || recovering.nonce == nonce;
        self.recovering.as_ref().is_none_or(stands)
    }

    /// Last index that counts towards a majority.
    pub(super) fn counted(&self) -> Index {
        if self.is_recovering() { 0 } else { self.match_index }
    }

    /// The follower answered a heartbeat round. A probe that was sent before that round began is
    /// taken for lost.
    pub(super) fn answered(&mut self, round: u64) {
        self.round = self.round.max(round);
        if self.probing && self.probe_round < round {
            self.probing = false;
        }
    }

    /// Whether, given that this round was answered, it is time to ask whether something got lost on
    /// the way: an append is unacknowledged that was sent before the round began. Says so once per
    /// round.
    pub(super) fn suspects_loss(&mut self, round: u64) -> bool {
        let old = self.inflight.front().is_some_and(|message| message.round < round);
        let asked = self.probe_round >= round;
        let suspicious = old && !asked && self.state == ProgressState::Replicate;
        if suspicious {
            self.probe_round = round;
        }
        suspicious
    }

    /// Entries from `next` on have to be read from disk first.
    pub(super) fn await_read(&mut self) {
        self.reading = Some(self.next);
    }

    /// A read from disk came; returns whether it is the one that was awaited and still wanted.
    pub(super) fn finish_read(&mut self, first: Index) -> bool {
        if self.reading != Some(first) {
            return false;
        }
        self.reading = None;
        self.next == first
    }

    /// Sends nothing until a round after this one was answered.
    pub(super) fn hold(&mut self, round: u64) {
        self.state = ProgressState::Probe;
        self.probing = true;
        self.probed = true;
        self.probe_round = round;
        self.inflight.clear();
        self.inflight_bytes = 0;
    }

    /// Append messages in flight.
    pub(super) fn inflight(&self) -> usize {
        self.inflight.len()
    }

    /// Checks that it makes sense in a log with this last index.
    pub(super) fn assert_invariants(&self, last_index: Index, options: &Options) {
        assert!(self.match_index < self.next, "match {} next {}", self.match_index, self.next);
        assert!(self.next <= last_index + 1, "next beyond the log");
        assert!(self.inflight.len() <= options.inflight_messages, "window overrun");
        assert_eq!(self.inflight_bytes, self.inflight.iter().map(|m| m.bytes).sum::<usize>());
        if self.state != ProgressState::Replicate {
            assert!(self.inflight.is_empty(), "a pipe while probing");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options { inflight_messages: 2, inflight_bytes: 100, ..Options::default() }
    }

    fn replicating(next: Index) -> Progress {
        let mut progress = Progress::new(next, Micros(0));
        progress.sent(next - 1, 0, 1, 0);
        assert!(progress.accepted(next - 1, 0));
        progress
    }

    #[test]
    fn the_window_is_bounded_by_messages_and_by_bytes() {
        let mut progress = replicating(5);
        progress.sent(5, 10, 1, 0);
        assert!(progress.has_room(&options()));
        progress.sent(6, 10, 1, 0);
        assert!(!progress.has_room(&options()), "two messages");
        assert!(progress.accepted(5, 0));
        assert!(progress.has_room(&options()));
        progress.sent(7, 90, 1, 0);
        assert!(progress.accepted(6, 0));
        assert!(progress.has_room(&options()), "90 of 100 bytes");
        progress.sent(8, 90, 1, 0);
        assert!(progress.accepted(7, 0));
        assert!(progress.has_room(&options()));
        assert!(progress.accepted(8, 0));
        progress.sent(9, 500, 1, 0);
        assert!(!progress.has_room(&options()), "one large message fills the window");
    }

    #[test]
    fn stale_refusals_change_nothing() {
        let mut progress = replicating(5);
        let before = progress.clone();
        assert!(!progress.rejected(4, 2), "already matched");
        assert!(!progress.rejected(9, 2), "never sent");
        assert_eq!(progress, before);
        progress.sent(5, 10, 1, 0);
        assert!(progress.rejected(5, 2));
        assert_eq!((progress.state, progress.next), (ProgressState::Probe, 5), "match bounds it");
        assert!(!progress.rejected(5, 2), "a repeated refusal");
    }

    #[test]
    fn a_probe_is_repeated_only_after_a_later_round_was_answered() {
        let mut progress = Progress::new(5, Micros(0));
        progress.sent(4, 0, 3, 0);
        progress.answered(3);
        assert!(!progress.has_room(&options()));
        progress.answered(4);
        assert!(progress.has_room(&options()));
    }

    #[test]
    fn loss_is_suspected_once_per_round_and_only_of_what_was_sent_before_it() {
        let mut progress = replicating(5);
        progress.sent(5, 10, 7, 0);
        assert!(!progress.suspects_loss(7));
        assert!(progress.suspects_loss(8));
        assert!(!progress.suspects_loss(8));
        assert!(progress.suspects_loss(9));
        assert!(progress.accepted(5, 0));
        assert!(!progress.suspects_loss(10));
    }

    #[test]
    fn a_follower_that_fetches_joins_by_any_acknowledgement_that_reaches_the_start() {
        let mut progress = replicating(5);
        assert!(!progress.falls_short_of(4) && progress.falls_short_of(5));
        progress.await_state();
        assert!(!progress.has_room(&options()) && !progress.falls_short_of(5));
        assert!(progress.accepted(7, 8), "news, but not enough");
        assert_eq!(progress.state, ProgressState::Snapshot);
        assert!(!progress.accepted(7, 7));
        assert_eq!((progress.state, progress.next), (ProgressState::Replicate, 8));
    }

    #[test]
    fn a_recovering_follower_counts_when_it_holds_what_it_was_told() {
        let mut progress = replicating(9);
        assert!(progress.believes(0) && progress.believes(7));
        assert!(progress.recover(7, 9, 5));
        assert_eq!((progress.counted(), progress.next, progress.match_index), (0, 5, 0));
        assert!(progress.believes(7) && !progress.believes(0) && !progress.believes(6));
        assert!(progress.accepted(8, 0));
        assert!(!progress.recover(7, 12, 5), "the same question again");
        assert_eq!((progress.counted(), progress.recover_to()), (0, Some((7, 9))));
        assert!(progress.accepted(9, 0));
        assert!(!progress.is_recovering() && progress.believes(0));
        assert_eq!(progress.counted(), 9);
        assert!(!progress.recover(7, 12, 5), "the question came late");
        assert!(progress.recover(8, 12, 5), "another process");
        assert_eq!(progress.counted(), 0);
    }
}
