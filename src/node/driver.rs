//! The `raft` thread: the one owner of the [`Replica`].
//!
//! It sleeps until the replica's deadline or until something arrives, drains every queue that has
//! something, lets time pass once, and then carries out what came of it all: messages first, since
//! they wait for nobody. It never writes to a client, never touches a disk, never blocks on a full
//! queue.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, select};
use parking_lot::RwLock;

use super::applied::Applied;
use super::applier::Job;
use super::client::{Ask, Completion, Completions, Outcome, Request};
use super::dial_back::DialBack;
use super::log_reader::ReadDone;
use super::log_writer::{LogCommand, LogDone, LogWrite};
use super::peers::Peers;
use super::publish::Publisher;
use super::states::Arrived;
use super::upkeep::Upkeep;
use super::{Clock, LeaderContact, Status};
use crate::ids::ClusterId;
use crate::membership::{GossipCommand, Reconciler, Roster};
use crate::metrics::Metrics;
use crate::raft::{Index, Installed, MemberInfo, Micros, NodeId, Persisted, RoleKind};
use crate::replica::{AdminRequest, Answer, GuestId, LogRequest, PeerMessage, Replica, Resolved};
use crate::threads;
use crate::transport::{self, Inbound, Lane};

/// Inputs taken from one queue before the others get their turn.
const BURST: usize = 1024;

/// Longest sleep. The replica has no use for it; but what is published of an idle node, and whom the
/// transport still talks to, changes with time alone.
const NAP_MAX: Duration = Duration::from_secs(1);

/// What the rest of the node tells the raft thread.
#[derive(Debug)]
pub enum Control {
    /// A joiner was dialled back and is what it says.
    JoinVerified(GuestId, MemberInfo),
    /// A state came from another node, and stands beside the own one; or why it is of no use.
    StateReady(Result<Arrived, String>),
    /// The applier has switched to a state.
    Installed(Installed, Resolved),
    /// The state was found to be damaged.
    StateLost(String),
    /// The applier has taken the digest of the state as of this entry.
    Digest(Index, u128),
    /// The state has an earlier deadline than before.
    Hurry,
    /// Whether the file system, or the data directory's allowance, is nearly used up.
    SpaceFull(bool),
    /// The node is about to stop: say so to whoever asks whether it is ready, and hand leadership
    /// over if it leads; the sender is told (by a drop) when it does not.
    HandOver(Sender<()>),
    /// Stop.
    Stop,
}

/// Why the node must end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Something failed that nothing can be done about.
    Failed(String),
    /// It was taken out of the cluster by the entry at this index.
    Removed(Index),
}

/// The queues into the raft thread.
pub struct Inputs {
    /// From the HTTP fronts; bounded.
    pub requests: Receiver<Request>,
    /// From the transport; bounded.
    pub inbox: Receiver<Inbound>,
    /// Questions of joiners, from the transport; bounded.
    pub guests: Receiver<Inbound>,
    /// From the log writer.
    pub log_done: Receiver<LogDone>,
    /// From the log reader.
    pub read_done: Receiver<ReadDone>,
    /// From everybody else.
    pub control: Receiver<Control>,
    /// What the applier says of the state.
    pub applied: Arc<Applied>,
}

/// The queues out of it.
pub struct Outputs {
    /// To peers.
    pub transport: transport::Handle,
    /// To the log writer; bounded by the replica, in bytes.
    pub log: Sender<LogCommand>,
    /// To the log reader; bounded by the replica, in number.
    pub log_read: Sender<LogRequest>,
    /// To the applier; bounded by the replica, in bytes.
    pub apply: Sender<Job>,
    /// To the fronts.
    pub completions: Completions,
    /// To the gossip thread.
    pub gossip: Sender<GossipCommand>,
    /// To the main thread: why the node must end.
    pub end: Sender<End>,
}

/// The thread's state.
pub struct Driver {
    /// The replica it owns.
    pub replica: Replica,
    /// Where time comes from.
    pub clock: Clock,
    /// The cluster.
    pub cluster: ClusterId,
    /// Its recovery epoch.
    pub epoch: u32,
    /// What gossip believes, for joiners to begin with.
    pub roster: Roster,
    /// Queues in.
    pub inputs: Inputs,
    /// Queues out.
    pub outputs: Outputs,
    /// Where the status is published.
    pub status: Arc<RwLock<Arc<Status>>>,
    /// Where it is shown when the leader was last heard.
    pub contact: Arc<LeaderContact>,
    /// This node's name.
    pub name: String,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Promotes learners.
    pub reconciler: Reconciler,
    /// Dials joiners back.
    pub dial_back: DialBack,
    /// Whom the transport is told to keep connections to.
    pub peers: Peers,
    /// Purging, installing, room.
    pub upkeep: Upkeep,
    /// Why the log may lack something that was acknowledged, as found at the start.
    pub recovering: Option<String>,
    /// The node is about to stop.
    pub stopping: bool,
}

/// Frames that go the same way.
type Way = (NodeId, Lane, Vec<(transport::Service, Bytes)>);

enum Next {
    Continue,
    Stop,
}

impl Driver {
    /// Starts the thread. It ends on [`Control::Stop`], on a failed log, or when the node removed
    /// itself; in all but the first case `end` says why.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn spawn(self) -> std::io::Result<JoinHandle<()>> {
        threads::spawn("raft", move || self.run())
    }

    fn run(mut self) {
        let mut publisher = Publisher::new(self.cluster, self.name.clone(), self.recovering.take());
        let mut handing_over: Option<Sender<()>> = None;
        loop {
            self.carry_out();
            self.publish(&mut publisher);
            if self.replica.node().role_kind() != RoleKind::Leader {
                handing_over = None;
            }
            let deadline = self.replica.deadline().min(publisher.deadline(&self.replica));
            match self.wait(deadline, &mut handing_over) {
                Ok(Next::Continue) => {}
                Ok(Next::Stop) => return,
                Err(why) => {
                    self.outputs.end.send(End::Failed(why)).ok();
                    return;
                }
            }
        }
    }

    /// Sleeps until there is something to do and does it.
    fn wait(
        &mut self,
        deadline: Micros,
        handing_over: &mut Option<Sender<()>>,
    ) -> Result<Next, String> {
        let sleep = self.clock.until(deadline).min(NAP_MAX);
        let (requests, inbox) = (self.inputs.requests.clone(), self.inputs.inbox.clone());
        let (log_done, read_done) = (self.inputs.log_done.clone(), self.inputs.read_done.clone());
        let control = self.inputs.control.clone();
        select! {
            recv(inbox) -> inbound => match inbound {
                Ok(inbound) => self.on_inbound(inbound),
                Err(_) => return Err("the transport is gone".to_owned()),
            },
            recv(self.inputs.guests) -> guest => guest.into_iter().for_each(|it| self.on_inbound(it)),
            recv(requests) -> request => request.into_iter().for_each(|it| self.on_request(it)),
            recv(log_done) -> done => match done {
                Ok(done) => self.on_log_done(done)?,
                Err(_) => return Err("the log writer is gone".to_owned()),
            },
            recv(read_done) -> done => match done {
                Ok(done) => self.on_read_done(done)?,
                Err(_) => return Err("the log reader is gone".to_owned()),
            },
            recv(control) -> control => match control {
                Ok(Control::Stop) | Err(_) => return Ok(Next::Stop),
                Ok(control) => self.on_control(control, handing_over),
            },
            default(sleep) => {}
        }
        for inbound in inbox.try_iter().take(BURST) {
            self.on_inbound(inbound);
        }
        for done in log_done.try_iter().take(BURST) {
            self.on_log_done(done)?;
        }
        for done in read_done.try_iter().take(BURST) {
            self.on_read_done(done)?;
        }
        for request in requests.try_iter().take(BURST) {
            self.on_request(request);
        }
        self.replica.on_applied(self.inputs.applied.index());
        let facts = self.inputs.applied.facts();
        self.replica.on_next_expiry(facts.next_expiry_ms);
        if let Some(rules) = facts.rules {
            self.replica.on_cluster_version(rules);
        }
        let now = self.clock.now();
        self.replica.advance(now);
        if let Some(change) = self.reconciler.next(now.mono, self.replica.node()) {
            self.replica.propose_change(now, change);
        }
        Ok(Next::Continue)
    }

    fn on_request(&mut self, request: Request) {
        let ask = match request.ask {
            Ask::Write(command) => {
                self.metrics.proposals.inc();
                crate::replica::Request::Write(command)
            }
            Ask::ReadIndex => crate::replica::Request::ReadIndex,
            Ask::Applied(index) => crate::replica::Request::Applied(index),
            Ask::Transfer(to) => crate::replica::Request::Admin(AdminRequest::Transfer(to)),
            Ask::Remove(node) => crate::replica::Request::Admin(AdminRequest::Remove(node)),
            Ask::Restore(_) | Ask::Password(_) => {
                unreachable!("the client hands it to the threads that do that")
            }
        };
        let deadline = self.clock.micros(request.deadline);
        self.replica.on_request(self.clock.now(), request.ticket, deadline, ask);
    }

    fn on_inbound(&mut self, inbound: Inbound) {
        let now = self.clock.now();
        match inbound {
            Inbound::Message { from, body } => match rmp_serde::from_slice::<PeerMessage>(&body) {
                Ok(message) => self.replica.on_message(now, from, message),
                Err(error) => {
                    self.metrics.inbox_dropped.inc();
                    log::warn!(
                        "{}: dropped a message of n{from} that cannot be read: {error}",
                        self.who()
                    );
                }
            },
            Inbound::Gone { peer, evidence } => {
                log::info!("{}: the process of n{peer} is gone: {evidence}", self.who());
                self.replica.on_gone(now, peer);
            }
            Inbound::Guest { conn, from, body } => self.on_guest(conn, from, &body),
            Inbound::Refused { peer, refusal } => {
                log::warn!("{}: n{peer} refuses this node: {}", self.who(), refusal.reason);
            }
            Inbound::Up { peer, features, .. } => {
                log::debug!("connected to n{peer}");
                self.replica.on_peer_version(peer, u32::from(features.rules()));
            }
            Inbound::Down { peer } => log::debug!("lost the connection to n{peer}"),
        }
    }

    fn on_log_done(&mut self, done: LogDone) -> Result<(), String> {
        match done {
            LogDone::Persisted(all) => {
                let now = self.clock.now();
                all.into_iter().for_each(|it: Persisted| self.replica.on_persisted(now, it));
                Ok(())
            }
            LogDone::Purged(start) => {
                self.replica.on_purged(start);
                Ok(())
            }
            LogDone::Full(full) => {
                let full = self.upkeep.log_full(full);
                self.replica.on_full(self.clock.now(), full);
                Ok(())
            }
            LogDone::Failed(why) => Err(why),
        }
    }

    fn on_read_done(&mut self, done: ReadDone) -> Result<(), String> {
        let entries = done.entries.map_err(|error| format!("the log cannot be read: {error}"))?;
        self.replica.on_log_read(self.clock.now(), done.request, entries);
        Ok(())
    }

    fn on_control(&mut self, control: Control, handing_over: &mut Option<Sender<()>>) {
        match control {
            Control::JoinVerified(guest, info) => {
                self.replica.on_join(self.clock.now(), guest, info);
            }
            Control::StateReady(Err(why)) => {
                log::error!("{}: {why}", self.who());
                self.upkeep.snapshots().cancel();
            }
            Control::StateReady(Ok(arrived)) => {
                if self.replica.on_state_ready(self.clock.now(), arrived.installed.clone()) {
                    self.upkeep.arrived(arrived);
                } else {
                    self.upkeep.snapshots().cancel();
                }
            }
            Control::Installed(installed, resolved) => {
                self.upkeep.installed(installed.index);
                self.replica.on_installed(self.clock.now(), installed, resolved);
            }
            Control::StateLost(why) => self.replica.on_state_lost(self.clock.now(), why),
            Control::Digest(index, digest) => {
                self.replica.on_digest(self.clock.now(), index, digest);
            }
            Control::Hurry => {} // it is looked at whenever this thread is awake
            Control::SpaceFull(full) => {
                let full = self.upkeep.space_full(full);
                self.replica.on_full(self.clock.now(), full);
            }
            Control::HandOver(done) => {
                self.stopping = true;
                if self.replica.hand_over_leadership(self.clock.now()) {
                    *handing_over = Some(done);
                }
            }
            Control::Stop => unreachable!("handled where it is received"),
        }
    }

    /// Carries out what came of the inputs.
    fn carry_out(&mut self) {
        let effects = self.replica.effects();
        self.send(effects.messages);
        for (write, commit) in effects.writes {
            self.outputs.log.send(LogCommand::Write(LogWrite { write, commit })).ok();
        }
        if let Some(purge) = self.upkeep.purge() {
            self.outputs.log.send(purge).ok();
        }
        for request in effects.log_reads {
            self.outputs.log_read.send(request).ok();
        }
        if !effects.work.is_empty() {
            let arrived = self.upkeep.take_arrived();
            self.outputs.apply.send(Job::Work(effects.work, arrived)).ok();
        }
        if let Some(job) = self.upkeep.follow_up(self.replica.node()) {
            self.outputs.apply.send(job).ok();
        }
        if let Some(fetch) = effects.fetch {
            self.upkeep.snapshots().fetch(fetch);
        }
        self.complete(effects.answers);
        for (guest, reply) in effects.joins {
            self.answer_guest(guest, reply);
        }
        self.report(effects.events);
        if let Some(why) = effects.stop {
            self.outputs.end.send(End::Failed(why)).ok();
        }
    }

    /// Sends everything, in order per peer and lane; what goes the same way is one write to a socket.
    fn send(&mut self, messages: Vec<(NodeId, PeerMessage)>) {
        let mut ways: Vec<Way> = Vec::new();
        for (to, message) in messages {
            if matches!(message, PeerMessage::Forward { .. }) {
                self.metrics.forwards.inc();
            }
            let lane = if message.is_bulk() { Lane::Bulk } else { Lane::Control };
            let body = rmp_serde::to_vec(&message).expect("plain data can be encoded");
            let frame = (transport::Service::Raft, Bytes::from(body));
            match ways.iter_mut().find(|way| (way.0, way.1) == (to, lane)) {
                Some((_, _, frames)) => frames.push(frame),
                None => ways.push((to, lane, vec![frame])),
            }
        }
        for (to, lane, frames) in ways {
            self.outputs.transport.send_many(to, lane, frames);
        }
    }

    fn complete(&self, answers: Vec<(crate::ids::Ticket, Answer)>) {
        if answers.is_empty() {
            return;
        }
        let index = self.inputs.applied.index();
        let completion = |(ticket, answer)| {
            let outcome = match answer {
                Answer::Done => Outcome::Done,
                Answer::Failed(failure) => Outcome::Failed(failure),
            };
            Completion { ticket, index, outcome }
        };
        self.outputs.completions.deliver(answers.into_iter().map(completion).collect());
    }

    fn publish(&mut self, publisher: &mut Publisher) {
        let now = self.clock.now().mono;
        let node = self.replica.node();
        match node.role_kind() {
            RoleKind::Leader => self.contact.leads(),
            _ => self.contact.follows(node.leader_silence()),
        }
        if let Some(status) = publisher.next(now, &self.replica, self.stopping) {
            *self.status.write() = Arc::new(status);
        }
        let changed = publisher.new_configuration(self.replica.node());
        if let Some((configuration, index)) = &changed {
            self.peers.replace(configuration, *index, now);
        }
        if self.peers.let_go(now) || changed.is_some() {
            let (peers, index) = self.peers.list();
            self.outputs.transport.set_peers(peers, index);
        }
        if let Some((configuration, _)) = changed {
            self.outputs.gossip.send(GossipCommand::Contacts(configuration)).ok();
        }
    }
}
