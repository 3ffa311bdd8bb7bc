//! Members: whom we keep connections to, and what happens when one stands or ends.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;
use std::time::Instant;

use super::handshake::{Identity, Lane};
use super::limits::RETIRED;
use super::peer::{Dial, PeerState, Standing};
use super::poll::{Conn, Poller, Process, Role};
use super::{Evidence, Inbound, Peer};

impl Poller {
    /// Our identity is another now: what was agreed on under the old one is void.
    pub(super) fn become_known_as(&mut self, identity: Identity, now: Instant) {
        let same = Identity { boot_nonce: self.me.boot_nonce, ..identity } == self.me;
        self.me = identity;
        if same {
            return;
        }
        for id in self.peers.keys().copied().collect::<Vec<_>>() {
            self.forget(id);
        }
        self.roll.unbind();
        let (peers, newest_index) = mem::take(&mut self.listed);
        self.take_list(peers, newest_index, now);
    }

    /// The owner's newest list of members.
    pub(super) fn take_list(&mut self, peers: Vec<Peer>, newest_index: u64, now: Instant) {
        let tags: BTreeMap<u64, _> =
            self.peers.keys().map(|id| (*id, self.roll.tag(*id))).collect();
        self.roll.replace(&peers, newest_index);
        for (id, tag) in tags {
            if self.roll.tag(id) != tag {
                self.forget(id);
            }
        }
        let me = self.me.node;
        for peer in peers.iter().filter(|peer| peer.id != me) {
            let state = self.peer(peer.id);
            let moved = state.addr.as_ref().is_some_and(|addr| *addr != peer.addr);
            state.addr = Some(peer.addr.clone());
            for lane in Lane::ALL {
                if moved {
                    self.cancel_dial(peer.id, lane);
                    self.peer(peer.id).lane(lane).moved = true;
                }
                self.dial(peer.id, lane, now);
            }
        }
        self.listed = (peers, newest_index);
    }

    /// The state of a peer, which begins here if need be.
    pub(super) fn peer(&mut self, id: u64) -> &mut PeerState {
        self.peers.entry(id).or_insert_with(|| {
            let state = PeerState::new();
            self.shared.links.write().insert(id, Arc::clone(&state.links));
            state
        })
    }

    /// Ends everything with a peer.
    pub(super) fn forget(&mut self, id: u64) {
        for lane in Lane::ALL {
            self.drop_standing(id, lane);
            self.cancel_dial(id, lane);
        }
        let is_its = |conn: &Conn| matches!(conn.role, Role::Retired { peer, .. } if peer == id);
        let retired = self.conns.iter().filter(|(_, conn)| is_its(conn));
        for token in retired.map(|(token, _)| *token).collect::<Vec<_>>() {
            self.remove(token);
        }
        self.shared.links.write().remove(&id);
        self.peers.remove(&id);
    }

    /// Closes what stands of a lane; true when something stood.
    fn drop_standing(&mut self, id: u64, lane: Lane) -> bool {
        let Some(state) = self.peers.get_mut(&id) else { return false };
        let Some(standing) = state.lane(lane).standing.take() else { return false };
        let lost = state.links[lane.index()].detach(standing.token);
        self.metrics.outbox_dropped.add(lost);
        self.remove(standing.token);
        if lane == Lane::Control {
            self.event(Inbound::Down { peer: id });
        }
        true
    }

    /// Takes a connection whose handshake is finished into use.
    pub(super) fn install(
        &mut self,
        token: usize,
        id: u64,
        lane: Lane,
        process: Process,
        ours: bool,
        now: Instant,
    ) {
        let Process { nonce, can } = process;
        if self.peer(id).belief.is_other(nonce) {
            for lane in Lane::ALL {
                self.drop_standing(id, lane);
            }
        }
        let evidence = self.peer(id).belief.met(nonce);
        self.gone(id, evidence);
        self.settle_dial(id, lane, token);

        let conn = self.conns.get_mut(&token).expect("its handshake was just finished");
        conn.role = Role::Standing { peer: id, lane };
        let stream = Arc::clone(&conn.stream);
        self.disarm(token);
        let state = self.peer(id);
        state.belief.stands(lane);
        state.links[lane.index()].attach(stream, token);
        let slot = state.lane(lane);
        slot.moved = false;
        slot.backoff.stands();
        let old = slot.standing.replace(Standing { token, ours, since: now });
        match old {
            Some(old) => self.retire(old.token, id, lane, now),
            None if lane == Lane::Control => {
                self.event(Inbound::Up { peer: id, boot_nonce: nonce, features: can });
            }
            None => {}
        }
        log::debug!("{lane:?} lane to node {id} stands");
        self.flush(token, now);
        // The other lane may have been dropped with the old process.
        Lane::ALL.into_iter().for_each(|lane| self.dial(id, lane, now));
    }

    /// Reads on for a while from a connection that was replaced, so that nothing sent is lost.
    pub(super) fn retire(&mut self, token: usize, peer: u64, lane: Lane, now: Instant) {
        if let Some(conn) = self.conns.get_mut(&token) {
            conn.role = Role::Retired { peer, lane };
            self.arm(token, now + RETIRED);
        }
    }

    /// Tells of the end of a process, if there is evidence.
    pub(super) fn gone(&mut self, peer: u64, evidence: Option<Evidence>) {
        if let Some(evidence) = evidence {
            self.event(Inbound::Gone { peer, evidence });
        }
    }

    /// The connection of a lane has ended: find out at once what that means.
    pub(super) fn lost(&mut self, id: u64, lane: Lane, now: Instant) {
        let since = self.peer(id).lane(lane).standing.map_or(now, |standing| standing.since);
        assert!(self.drop_standing(id, lane), "a connection that stands is its lane's");
        let state = self.peer(id);
        let evidence = state.belief.ended(lane);
        let at_once = state.lane(lane).backoff.lost(now.saturating_duration_since(since));
        let undecided = state.lane(lane).dial == Dial::Idle;
        let stranded = state.addr.is_none() && state.lanes.iter().all(|s| s.standing.is_none());
        self.gone(id, evidence);
        if stranded {
            // A provisional peer: we have no address to dial, it must come back by itself.
            self.forget(id);
        } else if at_once {
            self.dial_now(id, lane, now);
        } else if undecided {
            self.pause(id, lane, false, now);
        }
    }
}
