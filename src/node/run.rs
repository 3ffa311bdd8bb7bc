//! How a node comes up: bind, be admitted, recover, start the threads.
//!
//! Sockets are bound and the HTTP surface answers (503, with the reason) before anything that may
//! take long, so that whoever looks sees why the node is not ready.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::JoinHandle;
use std::time::Instant;

use bytes::Bytes;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use parking_lot::RwLock;

use super::applier::Applier;
use super::banner::Banner;
use super::boot::{self, Beginning, Recovered, StartError};
use super::dial_back::DialBack;
use super::driver::{Driver, End, Inputs, Outputs};
use super::listen::{self, Addresses, Listeners};
use super::peers::{self, Peers};
use super::running::Running;
use super::{Client, Clock, Completions, Status, log_reader, log_writer};
use crate::config::{Front, NodeConfig};
use crate::http;
use crate::ids::{self, ClusterId};
use crate::membership::{
    Admission, FirstRoster, GossipCommand, GossipThread, JoinEnd, Reconciler, Roster, announce,
    gossip_core, join,
};
use crate::metrics::Metrics;
use crate::raft::{Configuration, Index, MemberInfo};
use crate::replica::{Options, Registration, Replica};
use crate::snapshot;
use crate::state::{Command, State};
use crate::storage::{Checkpoint, DataDir, Identity, Store, StoreOptions};
use crate::transport::{self, Hello, Inbound, Purpose};

/// Requests of clients that may wait for the raft thread.
const REQUESTS_MAX: usize = 1024;
/// Messages of peers that may wait for the raft thread.
const INBOX_MAX: usize = 4096;
/// Messages of peers that may wait for the gossip thread.
const GOSSIP_INBOX_MAX: usize = 256;
/// Worker threads of the `tiny_http` front: as many requests may wait for an answer at once.
const TINY_WORKERS: usize = 16;
/// Questions of joiners that may wait.
const GUESTS_MAX: usize = 64;
/// How long a learner must have been abreast before it becomes a voter, in election timeouts.
const STABLE_TIMEOUTS: u64 = 2;

/// Runs a node until `stop` says so or something fatal happens.
///
/// # Errors
/// Why it could not start, or had to stop.
pub fn run(config: &NodeConfig, stop: &Receiver<()>) -> Result<(), StartError> {
    let data = DataDir::open(&config.data).map_err(StartError::failed)?;
    let config = &where_it_listened(config, &data)?;
    let listeners = listen::bind(config).map_err(StartError::Failed)?;
    let on_loopback = is_loopback(&listeners);
    let beginning = boot::beginning(config, data.identity(), on_loopback)?;
    let mut node = Node::prepare(config, data, listeners, on_loopback)?;
    node.greet(beginning);
    if node.begin(beginning, stop)? { node.start()?.live(stop) } else { Ok(()) }
}

/// A member listens where it did before, as far as no flag says otherwise.
fn where_it_listened(config: &NodeConfig, data: &DataDir) -> Result<NodeConfig, StartError> {
    if data.identity().node.is_none() {
        return Ok(config.clone());
    }
    let text = data.addresses().map_err(StartError::failed)?;
    let addresses = text.as_deref().and_then(Addresses::parse);
    Ok(addresses.map_or_else(|| config.clone(), |addresses| addresses.complete(config)))
}

fn is_loopback(listeners: &Listeners) -> bool {
    listeners.peer.local_addr().is_ok_and(|addr| addr.ip().is_loopback())
}

/// Everything that exists before the node knows who it is.
struct Node<'a> {
    config: &'a NodeConfig,
    data: DataDir,
    info: MemberInfo,
    on_loopback: bool,
    chosen: Option<String>,
    gossip_socket: std::net::UdpSocket,
    metrics: Arc<Metrics>,
    status: Arc<RwLock<Arc<Status>>>,
    roster: Roster,
    completions: Completions,
    boot_nonce: u64,
    store: Store,
    checkpoint: Option<Checkpoint>,
    requests: Receiver<super::Request>,
    raft_inbox: Receiver<Inbound>,
    gossip_inbox: Receiver<Inbound>,
    guests: Receiver<Inbound>,
    front: http::front::FrontHandle,
    transport: transport::Handle,
    transport_thread: JoinHandle<()>,
    end: (Sender<End>, Receiver<End>),
    first_roster: Option<FirstRoster>,
}

impl<'a> Node<'a> {
    fn prepare(
        config: &'a NodeConfig,
        data: DataDir,
        listeners: Listeners,
        on_loopback: bool,
    ) -> Result<Self, StartError> {
        let addresses = Addresses::of(&listeners).map_err(StartError::Failed)?;
        data.set_addresses(&addresses.text()).map_err(StartError::failed)?;
        let metrics = Arc::new(Metrics::default());
        let tag = data.identity().tag;
        let name =
            config.name.clone().unwrap_or_else(|| listen::default_name(&listeners.advertise));
        let info = MemberInfo {
            tag: tag.0,
            name: name.clone(),
            peer: listeners.advertise,
            http: listeners.advertise_http,
        };
        let (store, views, checkpoint) =
            Store::open(&data.state_dir(), StoreOptions::default(), Arc::clone(&metrics))
                .map_err(StartError::failed)?;
        let status = Arc::new(RwLock::new(Arc::new(Status { name, ..Status::default() })));
        let (roster, completions) = (Roster::default(), Completions::default());
        let (requests_in, requests) = bounded(REQUESTS_MAX);
        let client = Client::new(
            requests_in,
            views,
            Arc::clone(&status),
            roster.clone(),
            completions.clone(),
            Arc::clone(&metrics),
        );
        let service = http::Service::new(
            client,
            http::Options {
                request_timeout: config.request_timeout,
                miss_timeout: config.timing.election_max,
                ..http::Options::default()
            },
        );
        let front = match config.front {
            Front::Mio => http::front::mio::start(listeners.http, service, config.http_threads),
            Front::TinyHttp => http::front::tiny::start(listeners.http, service, TINY_WORKERS),
        }
        .map_err(|error| StartError::Failed(format!("the HTTP front cannot start: {error}")))?;
        let boot_nonce = u64::from_le_bytes(ids::random());
        let (raft_in, raft_inbox) = bounded(INBOX_MAX);
        let (gossip_in, gossip_inbox) = bounded(GOSSIP_INBOX_MAX);
        let (guests_in, guests) = bounded(GUESTS_MAX);
        let (states_in, _states) = bounded(snapshot::INBOX_MAX);
        let (transport, transport_thread) = transport::start(
            transport::Config {
                identity: wire_identity(data.identity(), boot_nonce),
                guest_inbox: guests_in,
                state_inbox: states_in,
            },
            listeners.peer,
            raft_in,
            gossip_in,
            Arc::clone(&metrics),
        )
        .map_err(|error| StartError::Failed(format!("the transport cannot start: {error}")))?;
        Ok(Self {
            config,
            data,
            info,
            on_loopback,
            chosen: listeners.chosen,
            gossip_socket: listeners.gossip,
            metrics,
            status,
            roster,
            completions,
            boot_nonce,
            store,
            checkpoint,
            requests,
            raft_inbox,
            gossip_inbox,
            guests,
            front,
            transport,
            transport_thread,
            end: bounded(4),
            first_roster: None,
        })
    }

    fn greet(&self, beginning: Beginning) {
        let what = match beginning {
            Beginning::Restart => "restarting with the data that is there",
            Beginning::Bootstrap => "a new cluster, with this node as its first",
            Beginning::Join => "joining; until then every request is answered with 503",
        };
        let program = std::env::args().next().unwrap_or_else(|| "bowline".to_owned());
        let text = Banner {
            http: &self.info.http,
            peer: &self.info.peer,
            data: self.data.path(),
            beginning: what,
            program: &program,
            on_loopback: self.on_loopback,
        }
        .text();
        // Nobody may be reading our output; that is no reason to die.
        std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes()).ok();
        if let Some(chosen) = &self.chosen {
            log::info!("{chosen}; --bind HOST changes that");
        }
        if self.on_loopback {
            log::info!(
                "listening on loopback: no other machine can reach this node; --bind HOST changes that"
            );
        }
    }

    /// Makes the data directory that of a member. False: told to stop while waiting for that.
    fn begin(&mut self, beginning: Beginning, stop: &Receiver<()>) -> Result<bool, StartError> {
        match beginning {
            Beginning::Restart => {}
            Beginning::Bootstrap => {
                boot::bootstrap(&mut self.data, &self.info, Clock::start().now().wall_ms)?;
            }
            Beginning::Join => match self.join(stop) {
                Ok(admission) => self.admitted(&admission)?,
                Err(JoinEnd::Stopped) => return Ok(false),
                Err(JoinEnd::Refused(why)) => {
                    return Err(StartError::Failed(format!("cannot join: {why}")));
                }
            },
        }
        let identity = wire_identity(self.data.identity(), self.boot_nonce);
        self.transport.set_identity(identity);
        Ok(true)
    }

    fn admitted(&mut self, admission: &Admission) -> Result<(), StartError> {
        log::info!(
            "admitted as n{} by the configuration of entry {}, {} members",
            admission.id,
            admission.index,
            admission.configuration.members.len()
        );
        self.first_roster = Some(admission.roster.clone());
        boot::admit(&mut self.data, admission)
    }

    fn join(&self, stop: &Receiver<()>) -> Result<Admission, JoinEnd> {
        let identity = wire_identity(self.data.identity(), self.boot_nonce);
        let hello = || Hello::new(identity, Purpose::Guest);
        join(&self.config.join, &hello, &self.info, stop)
    }

    /// Recovers what the disk holds and starts the threads that need it.
    fn start(self) -> Result<Running, StartError> {
        let identity = *self.data.identity();
        let cluster = identity.cluster.expect("a member knows its cluster");
        let applied = self.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.applied);
        let (state, configuration) = Self::state(self.store, self.checkpoint.as_ref(), cluster)?;
        let Recovered { boot, writer, reader, vote } =
            boot::recover(&self.data, applied, configuration)?;
        let id = boot.id;
        let newest = Self::newest(&self.data, &boot.configurations)?;
        if let Some((index, configuration)) = &newest {
            self.transport.set_peers(peers::members(configuration), *index);
        }
        let renamed = newest.as_ref().is_some_and(|(_, configuration)| {
            configuration.members.get(&id).is_some_and(|member| member.info != self.info)
        });

        let clock = Clock::start();
        let (log_in, log_out) = unbounded();
        let (done_in, done_out) = unbounded();
        let (read_in, read_out) = unbounded();
        let (read_done_in, read_done_out) = unbounded();
        let (work_in, work_out) = unbounded();
        let (control_in, control_out) = unbounded();
        let (gossip_in, gossip_out) = unbounded();
        let applied_index = Arc::new(AtomicU64::new(applied));
        let spawned = |error| StartError::Failed(format!("the system gives no thread: {error}"));

        let mark = self.data.recovering_mark();
        let metrics = Arc::clone(&self.metrics);
        let log =
            log_writer::spawn(writer, vote, mark, log_out, done_in, metrics).map_err(spawned)?;
        let log_read = log_reader::spawn(reader, read_out, read_done_in).map_err(spawned)?;
        let apply = Applier {
            state,
            work: work_out,
            completions: self.completions.clone(),
            applied: Arc::clone(&applied_index),
            metrics: Arc::clone(&self.metrics),
            end: self.end.0.clone(),
        }
        .spawn()
        .map_err(spawned)?;

        let command = Command::RegisterSession { node: id, nonce: self.boot_nonce }.encode();
        let registration = Registration { nonce: self.boot_nonce, command };
        let options = Options {
            raft: boot::raft_options(self.config),
            understands: |command| Command::decode(command).is_ok(),
            ..Options::default()
        };
        let stable_us = STABLE_TIMEOUTS * options.raft.election_max;
        let own_identity = wire_identity(&identity, self.boot_nonce);
        let raft = Driver {
            replica: Replica::new(options, boot, applied, None, registration, clock.now()),
            clock,
            cluster,
            epoch: identity.epoch,
            roster: self.roster.clone(),
            inputs: Inputs {
                requests: self.requests,
                inbox: self.raft_inbox,
                guests: self.guests,
                log_done: done_out,
                read_done: read_done_out,
                control: control_out,
                applied: applied_index,
            },
            outputs: Outputs {
                transport: self.transport.clone(),
                log: log_in,
                log_read: read_in,
                apply: work_in,
                completions: self.completions,
                gossip: gossip_in.clone(),
                end: self.end.0,
            },
            status: self.status,
            name: self.info.name.clone(),
            metrics: Arc::clone(&self.metrics),
            reconciler: Reconciler::new(stable_us),
            dial_back: DialBack::new(
                Box::new(move || Hello::new(own_identity, Purpose::Probe)),
                control_in.clone(),
            ),
            peers: Peers::default(),
            stopping: false,
        }
        .spawn()
        .map_err(spawned)?;

        let start = Instant::now();
        let gossip = GossipThread {
            core: gossip_core(cluster, id, &self.info, self.boot_nonce, start)
                .map_err(StartError::Failed)?,
            socket: self.gossip_socket,
            start,
            inbox: self.gossip_inbox,
            commands: gossip_out,
            transport: self.transport.clone(),
            roster: self.roster,
            metrics: self.metrics,
            id,
            first_roster: self.first_roster,
        }
        .spawn()
        .map_err(spawned)?;
        if let Some((_, configuration)) = newest {
            if renamed {
                let members = configuration.members.iter().filter(|(other, _)| **other != id);
                let members = members.map(|(_, member)| member.info.peer.clone());
                // Itself first: it may be the one that leads.
                let own = std::iter::once(self.info.peer.clone());
                let targets = own.chain(members).chain(self.config.join.iter().cloned()).collect();
                announce(targets, Hello::new(own_identity, Purpose::Guest), self.info);
            }
            gossip_in.send(GossipCommand::Contacts(configuration)).ok();
        }
        Ok(Running {
            _data: self.data,
            front: self.front,
            control: control_in,
            gossip: gossip_in,
            transport: self.transport,
            threads: vec![gossip, raft, apply, log, log_read, self.transport_thread],
            hand_over: self.config.timing.election_max * 2,
            end: self.end.1,
        })
    }

    /// The state as of the checkpoint, or an empty one, and the configuration it holds.
    fn state(
        store: Store,
        checkpoint: Option<&Checkpoint>,
        cluster: ClusterId,
    ) -> Result<(State<Store>, Option<EncodedConfiguration>), StartError> {
        let Some(checkpoint) = checkpoint else { return Ok((State::new(store, cluster), None)) };
        let state = State::restore(store, &checkpoint.meta).map_err(StartError::failed)?;
        if state.summary().cluster != cluster {
            return Err(StartError::Failed(format!(
                "the state belongs to cluster {}, the directory to {cluster}: these files were \
                 mixed up",
                state.summary().cluster
            )));
        }
        let meta = state.meta();
        let configuration = (meta.configuration_index, meta.configuration.clone());
        Ok((state, (configuration.0 > 0).then_some(configuration)))
    }

    /// The members as far as this node knows before it hears from them.
    fn newest(
        data: &DataDir,
        known: &[(Index, Configuration)],
    ) -> Result<Option<(Index, Configuration)>, StartError> {
        // A log that is still being received knows less than what was told at the admission.
        let all = known.last().cloned().into_iter().chain(boot::hint(data)?);
        Ok(all.max_by_key(|(index, _)| *index))
    }
}

/// Index and bytes of the configuration in a checkpoint.
type EncodedConfiguration = (Index, Bytes);

fn wire_identity(identity: &Identity, boot_nonce: u64) -> transport::Identity {
    transport::Identity {
        cluster: identity.cluster.unwrap_or_default(),
        epoch: identity.epoch,
        node: identity.node.unwrap_or_default(),
        tag: identity.tag,
        boot_nonce,
    }
}
