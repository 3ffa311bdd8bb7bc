//! From a member's data to a node that runs: recover what the disk holds, wire the queues, start the
//! threads.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use parking_lot::Mutex;

use super::applied::{Applied, Facts};
use super::applier::{Applier, Job, facts};
use super::boot::{self, StartError};
use super::dial_back::DialBack;
use super::driver::{Control, Driver, Inputs, Outputs};
use super::log_reader::{self, ReadDone};
use super::log_writer::{self, LogCommand, LogDone};
use super::peers::{self, Peers};
use super::recover::{Found, Recovery};
use super::restore::RestoreThread;
use super::run::{Node, wire_identity};
use super::running::Running;
use super::scrub::Scrubber;
use super::states::{Arrived, States, Stopper};
use super::upkeep::Upkeep;
use super::{Clock, space};
use crate::ids::ClusterId;
use crate::membership::{GossipCommand, GossipThread, Reconciler, announce, gossip_core};
use crate::metrics::Metrics;
use crate::raft::{Boot, Configuration, Index, NodeId};
use crate::replica::{LogRequest, Registration, Replica};
use crate::snapshot::{self, Blobs};
use crate::state::{Command, State};
use crate::storage::{DataDir, StateDir, Store};
use crate::transport::{Hello, Purpose};

/// How long a learner must have been abreast before it becomes a voter, in election timeouts.
const STABLE_TIMEOUTS: u64 = 2;

type Queue<T> = (Sender<T>, Receiver<T>);

/// The queues between the threads of a node. Those that are not bounded here are bounded by who fills
/// them, in bytes or in number.
struct Wires {
    log: Queue<LogCommand>,
    log_done: Queue<LogDone>,
    read: Queue<LogRequest>,
    read_done: Queue<ReadDone>,
    jobs: Queue<Job>,
    control: Queue<Control>,
    gossip: Queue<GossipCommand>,
    /// What the applier says of the state.
    applied: Arc<Applied>,
    /// The index of the newest checkpoint that this process saw succeed.
    checkpointed: Arc<AtomicU64>,
}

impl Wires {
    fn new(applied: Applied) -> Self {
        Self {
            log: unbounded(),
            log_done: unbounded(),
            read: unbounded(),
            read_done: unbounded(),
            jobs: unbounded(),
            control: unbounded(),
            gossip: unbounded(),
            applied: Arc::new(applied),
            checkpointed: Arc::default(),
        }
    }
}

impl Node<'_> {
    /// Recovers what the disk holds and starts the threads that need it.
    pub(super) fn start(mut self) -> Result<Running, StartError> {
        let found = self.recover()?;
        let Found { boot, writer, reader, vote, state, state_lost, recovering, members_of } = found;
        let id = boot.id;
        let newest = newest(&self.data, &boot.configurations)?;
        if let Some((index, configuration)) = &newest {
            self.transport.set_peers(peers::members(configuration), *index);
        }
        let wires = Wires::new(match &state {
            Some(state) => Applied::new(state.summary().applied, facts(state)),
            None => Applied::new(0, Facts::default()),
        });
        let stopper: Stopper =
            Arc::new(Mutex::new(state.as_ref().and_then(|state| state.table().stopper())));
        let replaced = Arc::new(AtomicBool::new(true));
        let (mark, metrics) = (self.data.recovering_mark(), Arc::clone(&self.metrics));
        let (commands, done) = (wires.log.1.clone(), wires.log_done.0.clone());
        let log = log_writer::spawn(writer, vote, mark, commands, done, metrics);
        let log_read = log_reader::spawn(reader, wires.read.1.clone(), wires.read_done.0.clone());
        let reserve = self.config.disk.reserve_bytes;
        let blobs = Blobs::open(self.data.path(), self.store_options, reserve);
        let blobs = Arc::new(blobs.map_err(StartError::failed)?);
        let states = States {
            blobs: Arc::clone(&blobs),
            dir: Arc::clone(&self.state_dir),
            options: self.store_options,
            views: self.views.clone(),
            stopper: Arc::clone(&stopper),
            own: (id, self.boot_nonce),
            data: Arc::clone(&self.data),
            members_of,
            replaced: Arc::clone(&replaced),
        };
        let apply = self.applier(&wires, state, states).spawn();
        let (snapshots, snapshot) = self.snapshots(&wires, Arc::clone(&blobs))?;
        let restore = self.restorer(id, blobs, snapshots.clone()).spawn();
        let interrupt = Arc::new(AtomicBool::new(false));
        let scrub = self.scrubber(&wires, Arc::clone(&interrupt)).spawn();
        let space = self.watch_space(&wires, replaced)?;
        let upkeep = Upkeep::new(
            self.config.disk,
            Arc::clone(&wires.checkpointed),
            snapshots.clone(),
            Arc::clone(&self.metrics),
        );
        let raft = self.driver(&wires, boot, state_lost, recovering, upkeep).spawn();
        let gossip = self.gossip(&wires, id)?;
        if let Some((_, configuration)) = newest {
            self.announce(id, &configuration);
            wires.gossip.0.send(GossipCommand::Contacts(configuration)).ok();
        }
        let mut threads = self.slow;
        threads.push(gossip);
        for thread in
            [raft, restore, Ok(snapshot), scrub, apply, log, log_read, Ok(self.transport_thread)]
        {
            threads.push(thread.map_err(no_thread)?);
        }
        Ok(Running {
            _data: self.data,
            front: self.front,
            control: wires.control.0,
            gossip: wires.gossip.0,
            transport: self.transport,
            snapshots,
            scrub: (self.scrub, interrupt),
            passwords: self.client.passwords,
            restores: self.client.restores,
            stopper,
            _space: space,
            threads,
            hand_over: self.config.timing.election_max * 2,
            end: self.end.1,
        })
    }

    fn recover(&mut self) -> Result<Found, StartError> {
        let store = self.store.take();
        let recovery = Recovery {
            data: &self.data,
            dir: &mut self.state_dir.lock(),
            store: self.store_options,
            wal: boot::wal_options(&self.config.disk),
            views: &self.views,
            metrics: &self.metrics,
            cluster: self.cluster(),
        };
        recovery.run(store)
    }

    fn cluster(&self) -> ClusterId {
        self.data.identity().cluster.expect("a member knows its cluster")
    }

    fn applier(&self, wires: &Wires, state: Option<State<Store>>, states: States) -> Applier {
        Applier {
            state,
            states,
            jobs: wires.jobs.1.clone(),
            completions: self.completions.clone(),
            watches: self.watches.clone(),
            applied: Arc::clone(&wires.applied),
            next_expiry_ms: wires.applied.facts().next_expiry_ms,
            checkpointed: Arc::clone(&wires.checkpointed),
            metrics: Arc::clone(&self.metrics),
            control: wires.control.0.clone(),
            end: self.end.0.clone(),
        }
    }

    fn snapshots(
        &self,
        wires: &Wires,
        blobs: Arc<Blobs>,
    ) -> Result<(snapshot::Handle, JoinHandle<()>), StartError> {
        let config = snapshot::Config {
            data_dir: self.data.path().to_owned(),
            cluster: self.cluster(),
            epoch: self.data.identity().epoch,
            rate: self.config.disk.snapshot_rate,
            store: self.store_options,
            state_dir: Arc::clone(&self.state_dir),
            views: self.views.clone(),
            blobs,
        };
        let (inbox, transport) = (self.states_inbox.clone(), self.transport.clone());
        let events = on_snapshot(wires.control.0.clone());
        snapshot::start(config, inbox, transport, events, Arc::clone(&self.metrics))
            .map_err(|error| StartError::Failed(format!("states cannot be moved: {error}")))
    }

    fn restorer(
        &self,
        id: NodeId,
        blobs: Arc<Blobs>,
        snapshots: snapshot::Handle,
    ) -> RestoreThread {
        RestoreThread {
            id,
            restores: self.client.restores.clone(),
            client: self.client.clone(),
            blobs,
            snapshots,
        }
    }

    fn scrubber(&self, wires: &Wires, stop: Arc<AtomicBool>) -> Scrubber {
        Scrubber {
            data: self.data.path().to_owned(),
            dir: Arc::clone(&self.state_dir),
            views: self.views.clone(),
            rate: self.config.disk.scrub_rate,
            every: self.config.disk.scrub_every,
            status: Arc::clone(&self.scrub),
            stop,
            control: wires.control.0.clone(),
        }
    }

    /// Starts the thread `space`; it ends when what this gives is dropped.
    fn watch_space(
        &self,
        wires: &Wires,
        replaced: Arc<AtomicBool>,
    ) -> Result<Sender<()>, StartError> {
        let (alive, ended) = bounded(0);
        let (control, metrics) = (wires.control.0.clone(), Arc::clone(&self.metrics));
        let report = on_space(control, metrics, Arc::clone(&self.state_dir), replaced);
        space::spawn(self.data.path(), &self.config.disk, ended, report).map_err(no_thread)?;
        Ok(alive)
    }

    fn driver(
        &self,
        wires: &Wires,
        boot: Boot,
        state_lost: Option<String>,
        recovering: Option<String>,
        upkeep: Upkeep,
    ) -> Driver {
        let identity = self.data.identity();
        let command = Command::RegisterSession { node: boot.id, nonce: self.boot_nonce }.encode();
        let registration = Registration { nonce: self.boot_nonce, command };
        let options = boot::replica_options(self.config);
        let reconciler = Reconciler::new(STABLE_TIMEOUTS * options.raft.election_max);
        let own = wire_identity(identity, self.boot_nonce);
        let hello = Box::new(move || Hello::new(own, Purpose::Probe));
        let (clock, applied) = (Clock::start(), wires.applied.index());
        Driver {
            replica: Replica::new(options, boot, applied, state_lost, registration, clock.now()),
            clock,
            cluster: self.cluster(),
            epoch: identity.epoch,
            roster: self.roster.clone(),
            inputs: Inputs {
                requests: self.requests.clone(),
                inbox: self.raft_inbox.clone(),
                guests: self.guests.clone(),
                log_done: wires.log_done.1.clone(),
                read_done: wires.read_done.1.clone(),
                control: wires.control.1.clone(),
                applied: Arc::clone(&wires.applied),
            },
            outputs: Outputs {
                transport: self.transport.clone(),
                log: wires.log.0.clone(),
                log_read: wires.read.0.clone(),
                apply: wires.jobs.0.clone(),
                completions: self.completions.clone(),
                gossip: wires.gossip.0.clone(),
                end: self.end.0.clone(),
            },
            status: Arc::clone(&self.status),
            contact: Arc::clone(&self.contact),
            name: self.info.name.clone(),
            metrics: Arc::clone(&self.metrics),
            reconciler,
            dial_back: DialBack::new(hello, wires.control.0.clone()),
            peers: Peers::default(),
            upkeep,
            recovering,
            stopping: false,
        }
    }

    fn gossip(&mut self, wires: &Wires, id: NodeId) -> Result<JoinHandle<()>, StartError> {
        let start = Instant::now();
        let gossip = GossipThread {
            core: gossip_core(self.cluster(), id, &self.info, self.boot_nonce, start)
                .map_err(StartError::Failed)?,
            socket: self.gossip_socket.take().expect("there is one gossip thread"),
            start,
            inbox: self.gossip_inbox.clone(),
            commands: wires.gossip.1.clone(),
            transport: self.transport.clone(),
            roster: self.roster.clone(),
            metrics: Arc::clone(&self.metrics),
            id,
            first_roster: self.first_roster.take(),
        };
        gossip.spawn().map_err(no_thread)
    }

    /// Tells the cluster of new addresses or another name, if it knows others.
    fn announce(&self, id: NodeId, configuration: &Configuration) {
        let known = configuration.members.get(&id).map(|member| &member.info);
        if known.is_none_or(|info| *info == self.info) {
            return;
        }
        let members = configuration.members.iter().filter(|(other, _)| **other != id);
        let members = members.map(|(_, member)| member.info.peer.clone());
        // Itself first: it may be the one that leads.
        let own = std::iter::once(self.info.peer.clone());
        let targets = own.chain(members).chain(self.config.join.iter().cloned()).collect();
        let identity = wire_identity(self.data.identity(), self.boot_nonce);
        announce(targets, Hello::new(identity, Purpose::Guest), self.info.clone());
    }
}

pub(super) fn no_thread(error: io::Error) -> StartError {
    StartError::Failed(format!("the system gives no thread: {error}"))
}

/// What becomes of the news of states on their way.
fn on_snapshot(control: Sender<Control>) -> impl Fn(snapshot::Event) + Send + 'static {
    move |event| match event {
        snapshot::Event::Ready(ready) => {
            let arrived = Arrived::new(ready.dir, &ready.meta)
                .map_err(|why| format!("the state from n{} cannot be used: {why}", ready.from));
            control.send(Control::StateReady(arrived)).ok();
        }
        snapshot::Event::Failed(why) => log::warn!("fetching a state failed: {why}"),
        snapshot::Event::Damaged(why) => {
            control.send(Control::StateLost(why)).ok();
        }
    }
}

/// What becomes of the news of room on the disk. The thread that brings it also removes states that
/// were replaced, since it may take its time and nobody waits for it.
fn on_space(
    control: Sender<Control>,
    metrics: Arc<Metrics>,
    dir: Arc<Mutex<StateDir>>,
    replaced: Arc<AtomicBool>,
) -> impl Fn(space::Space) + Send + 'static {
    let told = AtomicBool::new(false);
    move |space| {
        metrics.data_log_bytes.set(space.data.log);
        metrics.data_state_bytes.set(space.data.state);
        metrics.data_snapshot_bytes.set(space.data.snapshots);
        metrics.data_other_bytes.set(space.data.other);
        if told.swap(space.full(), Ordering::Relaxed) != space.full() {
            match space.lack {
                Some(lack) => log::warn!("{lack}: client writes are refused"),
                None => log::info!("there is room on the disk again"),
            }
            control.send(Control::SpaceFull(space.full())).ok();
        }
        if replaced.load(Ordering::Relaxed) {
            match dir.lock().remove_unused() {
                Ok(0) => replaced.store(false, Ordering::Relaxed),
                Ok(_) => {}
                Err(error) => log::warn!("a state that was replaced is still there: {error}"),
            }
        }
    }
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
