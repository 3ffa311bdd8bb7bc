//! How a node comes up: bind, be admitted, recover, start the threads.
//!
//! Sockets are bound and the HTTP surface answers (503, with the reason) before anything that may
//! take long, so that whoever looks sees why the node is not ready.

use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::{Mutex, RwLock};

use super::assemble::no_thread;
use super::banner::Banner;
use super::boot::{self, Beginning, StartError};
use super::driver::End;
use super::listen::{self, Addresses, Listeners};
use super::recover::{self, OpenStore};
use super::{Client, Clock, Completions, LeaderContact, ScrubStatus, Status};
use crate::config::{Front, NodeConfig};
use crate::http;
use crate::ids;
use crate::membership::{Admission, FirstRoster, JoinEnd, Roster, join};
use crate::metrics::Metrics;
use crate::passwords::Secret;
use crate::raft::MemberInfo;
use crate::snapshot;
use crate::state;
use crate::storage::{DataDir, Identity, OperatorToken, StateDir, StoreOptions, Views};
use crate::transport::{self, Features, Hello, Inbound, Purpose};
use crate::watch::Watches;

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
/// What this program tells others about the rules that it knows.
const RULES: u16 = {
    assert!(state::VERSION <= u16::MAX as u32, "a handshake has sixteen bits for it");
    state::VERSION as u16
};

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
pub(super) struct Node<'a> {
    pub(super) config: &'a NodeConfig,
    pub(super) data: Arc<DataDir>,
    pub(super) info: MemberInfo,
    pub(super) on_loopback: bool,
    pub(super) chosen: Option<String>,
    /// Until the gossip thread has it.
    pub(super) gossip_socket: Option<std::net::UdpSocket>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) status: Arc<RwLock<Arc<Status>>>,
    pub(super) roster: Roster,
    pub(super) completions: Completions,
    pub(super) watches: Watches,
    pub(super) boot_nonce: u64,
    pub(super) state_dir: Arc<Mutex<StateDir>>,
    pub(super) store_options: StoreOptions,
    /// Until it is recovered.
    pub(super) store: OpenStore,
    pub(super) views: Views,
    pub(super) scrub: Arc<ScrubStatus>,
    pub(super) contact: Arc<LeaderContact>,
    pub(super) client: Client,
    pub(super) requests: Receiver<super::Request>,
    pub(super) raft_inbox: Receiver<Inbound>,
    pub(super) gossip_inbox: Receiver<Inbound>,
    pub(super) states_inbox: Receiver<Inbound>,
    pub(super) guests: Receiver<Inbound>,
    pub(super) front: http::front::FrontHandle,
    /// Those that hash passwords.
    pub(super) slow: Vec<JoinHandle<()>>,
    pub(super) transport: transport::Handle,
    pub(super) transport_thread: JoinHandle<()>,
    pub(super) end: (Sender<End>, Receiver<End>),
    pub(super) first_roster: Option<FirstRoster>,
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
        let mut state_dir = StateDir::open(data.path()).map_err(StartError::failed)?;
        let (store_options, views) = (StoreOptions::default(), Views::default());
        let store = recover::open_store(&mut state_dir, store_options, &views, &metrics)?;
        let status = Arc::new(RwLock::new(Arc::new(Status { name, ..Status::default() })));
        let (roster, completions) = (Roster::default(), Completions::default());
        let (requests_in, requests) = bounded(REQUESTS_MAX);
        let watches = Watches::new(completions.clone(), config.watches_max, Arc::clone(&metrics));
        let client = Client::new(
            requests_in,
            views.clone(),
            Arc::clone(&status),
            roster.clone(),
            completions.clone(),
            Arc::clone(&metrics),
            watches.clone(),
        );
        let (scrub, contact) = (Arc::clone(&client.scrub), Arc::clone(&client.contact));
        let operator = OperatorToken::in_dir(data.path()).map_err(StartError::failed)?;
        let slow = client.start_passwords(config.password_threads).map_err(no_thread)?;
        let service = http::Service::new(
            client.clone(),
            http::Options {
                request_timeout: config.request_timeout,
                miss_timeout: config.timing.election_max,
                value_max: config.value_max,
                trusted_proxies: config.trusted_proxies.clone(),
                advertised_tls: info.http.starts_with("https:"),
                operator_token: Some(Secret::new(operator.text)),
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
        let (states_in, states_inbox) = bounded(snapshot::INBOX_MAX);
        let (transport, transport_thread) = transport::start(
            transport::Config {
                identity: wire_identity(data.identity(), boot_nonce),
                features: Features::knowing(RULES),
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
            data: Arc::new(data),
            info,
            on_loopback,
            chosen: listeners.chosen,
            gossip_socket: Some(listeners.gossip),
            metrics,
            status,
            roster,
            completions,
            watches,
            boot_nonce,
            state_dir: Arc::new(Mutex::new(state_dir)),
            store_options,
            store,
            views,
            scrub,
            contact,
            client,
            requests,
            raft_inbox,
            gossip_inbox,
            states_inbox,
            guests,
            front,
            slow,
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
                let (now, wal) = (Clock::start().now(), boot::wal_options(&self.config.disk));
                let info = self.info.clone();
                boot::bootstrap(self.own_data(), &info, now.wall_ms, wal)?;
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

    /// The data directory, to change whose it is.
    fn own_data(&mut self) -> &mut DataDir {
        Arc::get_mut(&mut self.data).expect("no thread has it before the node is a member")
    }

    fn admitted(&mut self, admission: &Admission) -> Result<(), StartError> {
        log::info!(
            "admitted as n{} by the configuration of entry {}, {} members",
            admission.id,
            admission.index,
            admission.configuration.members.len()
        );
        self.first_roster = Some(admission.roster.clone());
        boot::admit(self.own_data(), admission)
    }

    fn join(&self, stop: &Receiver<()>) -> Result<Admission, JoinEnd> {
        let identity = wire_identity(self.data.identity(), self.boot_nonce);
        let hello = || Hello::new(identity, Purpose::Guest);
        join(&self.config.join, &hello, &self.info, stop)
    }
}

pub(super) fn wire_identity(identity: &Identity, boot_nonce: u64) -> transport::Identity {
    transport::Identity {
        cluster: identity.cluster.unwrap_or_default(),
        epoch: identity.epoch,
        node: identity.node.unwrap_or_default(),
        tag: identity.tag,
        boot_nonce,
    }
}
