//! The `gossip` thread: the sockets and the clock for the sans-I/O gossip core.
//!
//! UDP on the peer port's number for probes and piggybacked news; push-pull goes over the peer
//! transport, whose inbox this thread drains. What gossip believes goes to the roster and to log
//! lines; it never reaches the raft thread, so it can never move a vote.

use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bowline_gossip as gossip;
use bytes::Bytes;
use crossbeam_channel::{Receiver, TryRecvError};

use super::contacts::Contacts;
use super::{Roster, RosterEntry, RosterStatus};
use crate::ids::ClusterId;
use crate::metrics::Metrics;
use crate::raft::{Configuration, MemberInfo};
use crate::threads;
use crate::transport::{self, Inbound, Lane};

/// What the rest of the node tells the gossip thread.
#[derive(Debug)]
pub enum GossipCommand {
    /// The members of the newest configuration.
    Contacts(Configuration),
    /// Tell everybody that this node leaves for good, then stop.
    Leave,
    /// Stop without a word: the node will be back.
    Stop,
}

/// A roster to begin with.
#[derive(Clone, Debug)]
pub struct FirstRoster {
    /// The node that gave it.
    pub from: u64,
    /// In gossip's own form.
    pub encoded: Bytes,
}

/// Longest time for which the thread does not look at its queues.
const NAP_MAX: Duration = Duration::from_millis(100);
/// Largest datagram read; a longer one is refused by its checksum.
const PACKET_MAX: usize = 2048;
/// Packets taken from the socket before the other inputs get their turn.
const BURST: usize = 256;

/// What the thread is made of.
pub struct GossipThread {
    /// The core.
    pub core: gossip::Gossip,
    /// Bound to the peer port's number.
    pub socket: UdpSocket,
    /// When the core's time began.
    pub start: Instant,
    /// Push-pull messages from peers.
    pub inbox: Receiver<Inbound>,
    /// From the rest of the node.
    pub commands: Receiver<GossipCommand>,
    /// To peers.
    pub transport: transport::Handle,
    /// Where the member list is published.
    pub roster: Roster,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// This node's id, for log lines.
    pub id: u64,
    /// The roster that the leader gave at the admission, taken over as soon as it is known who that
    /// is: a joiner knows everybody at once.
    pub first_roster: Option<FirstRoster>,
}

impl GossipThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn spawn(mut self) -> std::io::Result<JoinHandle<()>> {
        let mut contacts = Contacts::new();
        threads::spawn("gossip", move || {
            let mut buffer = [0; PACKET_MAX];
            self.publish();
            while self.commands_allow(&mut contacts) {
                if let Some(resolved) = contacts.next(Instant::now()) {
                    self.core.set_contacts(resolved);
                    self.take_first_roster();
                }
                self.receive(&mut buffer);
                let inbox = self.inbox.clone();
                inbox.try_iter().take(BURST).for_each(|inbound| self.on_inbound(inbound));
                self.core.tick(now(self.start));
                self.carry_out();
            }
            self.carry_out();
        })
    }

    fn take_first_roster(&mut self) {
        let Some(FirstRoster { from, encoded }) = self.first_roster.take() else { return };
        if let Err(error) = self.core.on_push_pull(now(self.start), from, &encoded) {
            log::debug!("gossip: cannot use the roster that n{from} gave: {error}");
        }
    }

    /// False when it is time to stop.
    fn commands_allow(&mut self, contacts: &mut Contacts) -> bool {
        loop {
            match self.commands.try_recv() {
                Ok(GossipCommand::Contacts(configuration)) => {
                    contacts.replace(configuration);
                }
                Ok(GossipCommand::Leave) => {
                    self.core.leave(now(self.start));
                    return false;
                }
                Ok(GossipCommand::Stop) | Err(TryRecvError::Disconnected) => return false,
                Err(TryRecvError::Empty) => return true,
            }
        }
    }

    /// Sleeps until a packet comes or something is due.
    fn receive(&mut self, buffer: &mut [u8]) {
        let deadline = self.core.deadline().0.saturating_sub(now(self.start).0);
        let nap = Duration::from_micros(deadline).clamp(Duration::from_millis(1), NAP_MAX);
        if let Err(error) = self.socket.set_read_timeout(Some(nap)) {
            log::debug!("gossip: no read timeout: {error}");
        }
        for turn in 0..BURST {
            if turn == 1 && self.socket.set_nonblocking(true).is_err() {
                break;
            }
            match self.socket.recv_from(buffer) {
                Ok((len, from)) => self.on_packet(from, &buffer[..len]),
                // Timeouts, and refusals that earlier packets met at a dead peer.
                Err(_) => break,
            }
        }
        self.socket.set_nonblocking(false).ok();
    }

    fn on_packet(&mut self, from: SocketAddr, packet: &[u8]) {
        self.metrics.gossip_received.inc();
        if let Err(error) = self.core.on_packet(now(self.start), from, packet) {
            self.metrics.gossip_refused.inc();
            log::debug!("gossip: refused a packet from {from}: {error}");
        }
    }

    fn on_inbound(&mut self, inbound: Inbound) {
        let Inbound::Message { from, body } = inbound else { return };
        match self.core.on_push_pull(now(self.start), from, &body) {
            Ok(Some(answer)) => self.push_pull(from, answer),
            Ok(None) => {}
            Err(error) => {
                self.metrics.gossip_refused.inc();
                log::debug!("gossip: refused a push-pull of n{from}: {error}");
            }
        }
    }

    fn push_pull(&self, to: u64, body: Vec<u8>) {
        self.transport.send(to, Lane::Bulk, transport::Service::Gossip, body.into());
    }

    fn carry_out(&mut self) {
        let effects = self.core.take_effects();
        let changed = effects.iter().any(|effect| matches!(effect, gossip::Effect::Event(_)));
        for effect in effects {
            match effect {
                gossip::Effect::Send { to, packet } => {
                    self.metrics.gossip_sent.inc();
                    // UDP may fail as it likes; the protocol expects it.
                    self.socket.send_to(&packet, to).ok();
                }
                gossip::Effect::PushPull { to, body } => self.push_pull(to, body),
                gossip::Effect::Event(event) => log::info!("n{} gossip: {event}", self.id),
            }
        }
        if changed {
            self.publish();
        }
    }

    fn publish(&self) {
        let entries = self.core.members().map(roster_entry).collect();
        self.roster.publish(entries, self.core.roster_body().into());
    }
}

/// The core for a member of `cluster` as it shows itself to others. `start` is when its time begins.
///
/// # Errors
/// A sentence that says what of these settings cannot be used.
pub fn gossip_core(
    cluster: ClusterId,
    id: u64,
    info: &MemberInfo,
    seed: u64,
    start: Instant,
) -> Result<gossip::Gossip, String> {
    let peer = info.peer.to_socket_addrs().ok().and_then(|mut addrs| addrs.next());
    let peer =
        peer.ok_or_else(|| format!("the advertised address {} has no IP address", info.peer))?;
    let me = gossip::Member {
        id,
        tag: info.tag,
        name: info.name.clone(),
        peer,
        http: info.http.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        incarnation: 1,
        status: gossip::Status::Alive,
    };
    me.check().map_err(|why| format!("these settings cannot be used: {why}"))?;
    Ok(gossip::Gossip::new(gossip::Config::lan(cluster.0), me, seed, now(start)))
}

fn roster_entry(member: &gossip::Member) -> RosterEntry {
    RosterEntry {
        id: member.id,
        name: member.name.clone(),
        peer: member.peer.to_string(),
        http: member.http.clone(),
        version: member.version.clone(),
        status: match member.status {
            gossip::Status::Alive => RosterStatus::Alive,
            gossip::Status::Suspect => RosterStatus::Suspect,
            gossip::Status::Down => RosterStatus::Down,
            gossip::Status::Left => RosterStatus::Left,
        },
    }
}

/// The core's time: microseconds since the thread was made.
fn now(start: Instant) -> gossip::Micros {
    gossip::Micros(u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX))
}
