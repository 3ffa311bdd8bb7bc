//! News spreads by riding on packets (SWIM, section 4.1), and on its own every gossip interval.
//!
//! Each member that learns something passes it on a limited number of times: the first time to the
//! next node it talks to. Only the newest statement about a subject is worth passing on, so
//! the queue is bounded by the roster.

use core::net::SocketAddr;
use std::collections::BTreeMap;

use rand::seq::SliceRandom;

use crate::packet::{Message, Packet, to_body};
use crate::{Effect, Gossip, Micros, NodeId, Rumour, Status};

/// How often a piece of news is sent by each member: `mult × ceil(log10(n + 1))`.
pub(crate) fn retransmit_limit(mult: u32, n: usize) -> u32 {
    // ceil(log10(n + 1)) is the number of decimal digits of n.
    mult * n.max(1).ilog10().saturating_add(1)
}

#[derive(Clone, Debug)]
struct Pending {
    rumour: Rumour,
    /// Encoded length in bytes.
    size: usize,
    /// How often it was sent.
    sent: u32,
    /// Rises with each piece of news.
    order: u64,
}

/// News that is still to be passed on, one piece per subject.
#[derive(Clone, Debug, Default)]
pub(crate) struct Broadcasts {
    pending: BTreeMap<NodeId, Pending>,
    last_order: u64,
}

impl Broadcasts {
    /// Replaces what was pending about the same subject.
    pub fn push(&mut self, rumour: Rumour) {
        self.last_order += 1;
        let size = to_body(&rumour).len();
        let order = self.last_order;
        self.pending.insert(rumour.member.id, Pending { rumour, size, sent: 0, order });
    }

    /// Nothing about this one is news any more.
    pub fn forget(&mut self, subject: NodeId) {
        self.pending.remove(&subject);
    }

    /// There is nobody to tell.
    pub fn clear(&mut self) {
        self.pending.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Whether there is anything about somebody other than `listener`.
    pub fn has_news_for(&self, listener: NodeId) -> bool {
        self.pending.keys().any(|subject| *subject != listener)
    }

    pub fn contains(&self, subject: NodeId) -> bool {
        self.pending.contains_key(&subject)
    }

    /// Takes what fits into `room` bytes: the least often sent first, of these the newest. Each
    /// piece is dropped when it has been taken `limit` times.
    pub fn take(&mut self, mut room: usize, limit: u32, skip: &[NodeId]) -> Vec<Rumour> {
        let mut order: Vec<_> = self
            .pending
            .iter()
            .filter(|(id, _)| !skip.contains(id))
            .map(|(id, p)| (p.sent, core::cmp::Reverse(p.order), *id))
            .collect();
        order.sort_unstable();

        let mut taken = Vec::new();
        for (_, _, id) in order {
            let pending = self.pending.get_mut(&id).expect("it was listed a moment ago");
            if pending.size > room {
                continue;
            }
            room -= pending.size;
            taken.push(pending.rumour.clone());
            pending.sent += 1;
            if pending.sent >= limit {
                self.pending.remove(&id);
            }
        }
        taken
    }
}

impl Gossip {
    /// Queues what is believed of `id` now.
    pub(crate) fn broadcast(&mut self, id: NodeId) {
        self.broadcasts.push(self.roster[&id].rumour());
    }

    /// One round of news to a few random members, if there is any.
    pub(crate) fn tick_gossip(&mut self) {
        if self.now < self.next_gossip || self.broadcasts.is_empty() {
            return;
        }
        self.next_gossip = self.now + self.config.gossip_interval;
        let window = self.config.gossip_to_dead;
        let listens = |since: Micros, status: Status| match status {
            Status::Alive | Status::Suspect => true,
            // It gets the chance to hear of its own death and to refute.
            Status::Down => self.now.since(since) < window,
            Status::Left => false,
        };
        let mut listeners: Vec<NodeId> = self
            .peers()
            .filter(|(_, e)| listens(e.since, e.member.status))
            .map(|(id, _)| *id)
            .collect();
        // Nobody needs to hear about himself, and whoever comes later gets the whole roster by
        // push-pull: news that interests no listener is dropped.
        match listeners[..] {
            [] => self.broadcasts.clear(),
            [only] => self.broadcasts.forget(only),
            _ => {}
        }
        let (chosen, _) = listeners.partial_shuffle(&mut self.rng, self.config.gossip_nodes);
        let chosen = chosen.to_vec();
        for id in chosen {
            if self.broadcasts.has_news_for(id) {
                self.send(id, Message::Gossip);
            }
        }
    }

    /// Sends to a member at its address in the roster.
    pub(crate) fn send(&mut self, to: NodeId, message: Message) {
        let addr = self.roster[&to].member.peer;
        self.send_to(addr, to, message, false);
    }

    /// Sends to a known id at a given address, with all the news that fits; with our own record
    /// if we are to `introduce` ourselves.
    pub(crate) fn send_to(
        &mut self,
        addr: SocketAddr,
        to: NodeId,
        message: Message,
        introduce: bool,
    ) {
        let rumours = self.rumours_for(to, introduce);
        let packet = Packet {
            cluster: self.config.cluster,
            sender: self.id,
            tag: self.me().tag,
            message,
            rumours,
        };
        let packet = packet.encode();
        assert!(packet.len() <= self.config.max_packet, "rumours_for counts the bytes");
        self.counters.packets_sent += 1;
        self.effects.push(Effect::Send { to: addr, packet });
    }

    /// What to tell `to`: first what concerns it, then who we are if it may not know, then news.
    fn rumours_for(&mut self, to: NodeId, introduce: bool) -> Vec<Rumour> {
        let mut room = self.config.max_packet - Packet::overhead();
        let mut rumours = Vec::new();
        if let Some(entry) = self.roster.get_mut(&to)
            && (entry.member.status != Status::Alive || entry.remind)
        {
            // The accused must hear of it from whoever talks to it (Lifeguard, "buddy system").
            entry.remind = false;
            rumours.push(entry.rumour());
        }
        if introduce || !self.roster.contains_key(&to) {
            rumours.push(self.roster[&self.id].rumour());
        }
        for rumour in &rumours {
            room -= to_body(rumour).len();
        }
        let limit = retransmit_limit(self.config.retransmit_mult, self.live());
        let mut skip = vec![to];
        skip.extend(rumours.iter().map(|r| r.member.id));
        rumours.extend(self.broadcasts.take(room, limit, &skip));
        rumours
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::tests::member;

    fn rumour(id: NodeId, incarnation: u64) -> Rumour {
        Rumour { member: member(id, incarnation, Status::Alive), by: id }
    }

    fn ids(rumours: &[Rumour]) -> Vec<NodeId> {
        rumours.iter().map(|r| r.member.id).collect()
    }

    #[test]
    fn the_limit_grows_with_the_digits_of_the_cluster() {
        for (n, limit) in [(0, 4), (1, 4), (9, 4), (10, 8), (99, 8), (100, 12)] {
            assert_eq!(retransmit_limit(4, n), limit, "n = {n}");
            if n > 0 {
                assert_eq!(limit, 4 * ((n + 1) as f64).log10().ceil() as u32, "as in the paper");
            }
        }
    }

    #[test]
    fn the_newest_goes_first_and_what_was_sent_waits() {
        let mut queue = Broadcasts::default();
        for id in 1..=3 {
            queue.push(rumour(id, 0));
        }
        let one = to_body(&rumour(1, 0)).len();
        assert_eq!(ids(&queue.take(one * 2, 9, &[])), [3, 2]);
        assert_eq!(ids(&queue.take(one * 2, 9, &[])), [1, 3]);
        assert_eq!(ids(&queue.take(one * 9, 9, &[])), [2, 1, 3]);
    }

    #[test]
    fn one_piece_of_news_per_subject() {
        let mut queue = Broadcasts::default();
        queue.push(rumour(1, 0));
        queue.push(rumour(1, 1));
        let taken = queue.take(usize::MAX, 9, &[]);
        assert_eq!(taken, [rumour(1, 1)]);
    }

    #[test]
    fn news_gets_old_after_the_limit() {
        let mut queue = Broadcasts::default();
        queue.push(rumour(1, 0));
        queue.push(rumour(2, 0));
        for _ in 0..3 {
            assert_eq!(ids(&queue.take(usize::MAX, 3, &[2])), [1]);
        }
        assert_eq!(ids(&queue.take(usize::MAX, 3, &[])), [2], "what was skipped is kept");
        queue.forget(2);
        assert!(queue.is_empty());
    }
}
