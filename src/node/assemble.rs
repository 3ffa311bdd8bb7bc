//! From a member's data to a node that runs: recover what the disk holds, wire the queues, start the
//! threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use crossbeam_channel::{Sender, bounded, unbounded};
use parking_lot::Mutex;

use super::applier::Applier;
use super::boot::{self, StartError};
use super::dial_back::DialBack;
use super::driver::{Control, Driver, Inputs, Outputs};
use super::peers::{self, Peers};
use super::recover::{Found, Recovery};
use super::run::{Node, wire_identity};
use super::running::Running;
use super::scrub::Scrubber;
use super::states::{Arrived, States, Stopper};
use super::upkeep::Upkeep;
use super::{Clock, log_reader, log_writer, space};
use crate::membership::{GossipCommand, GossipThread, Reconciler, announce, gossip_core};
use crate::metrics::Metrics;
use crate::raft::{Configuration, Index};
use crate::replica::{Options, Registration, Replica};
use crate::snapshot;
use crate::state::Command;
use crate::storage::{DataDir, StateDir};
use crate::transport::{Hello, Purpose};

/// How long a learner must have been abreast before it becomes a voter, in election timeouts.
const STABLE_TIMEOUTS: u64 = 2;

impl Node<'_> {
    /// Recovers what the disk holds and starts the threads that need it.
    pub(super) fn start(mut self) -> Result<Running, StartError> {
        let identity = *self.data.identity();
        let cluster = identity.cluster.expect("a member knows its cluster");
        let found = Recovery {
            data: &self.data,
            dir: &mut self.state_dir,
            store: self.store_options,
            wal: boot::wal_options(&self.config.disk),
            views: &self.views,
            metrics: &self.metrics,
            cluster,
        }
        .run(self.store)?;
        let Found { boot, writer, reader, vote, state, state_lost, recovering, members_of } = found;
        let id = boot.id;
        let newest = newest(&self.data, &boot.configurations)?;
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
        let applied = state.as_ref().map_or(0, |state| state.summary().applied);
        let applied_index = Arc::new(AtomicU64::new(applied));
        let checkpointed = Arc::new(AtomicU64::new(0));
        let data = Arc::new(self.data);
        let state_dir = Arc::new(Mutex::new(self.state_dir));
        let stopper: Stopper =
            Arc::new(Mutex::new(state.as_ref().and_then(|state| state.table().stopper())));
        let replaced = Arc::new(AtomicBool::new(true));
        let disk = self.config.disk;

        let mark = data.recovering_mark();
        let log =
            log_writer::spawn(writer, vote, mark, log_out, done_in, Arc::clone(&self.metrics))
                .map_err(no_thread)?;
        let log_read = log_reader::spawn(reader, read_out, read_done_in).map_err(no_thread)?;
        let apply = Applier {
            state,
            states: States {
                dir: Arc::clone(&state_dir),
                options: self.store_options,
                views: self.views.clone(),
                stopper: Arc::clone(&stopper),
                own: (id, self.boot_nonce),
                data: Arc::clone(&data),
                members_of,
                replaced: Arc::clone(&replaced),
            },
            jobs: work_out,
            completions: self.completions.clone(),
            applied: Arc::clone(&applied_index),
            checkpointed: Arc::clone(&checkpointed),
            metrics: Arc::clone(&self.metrics),
            control: control_in.clone(),
            end: self.end.0.clone(),
        }
        .spawn()
        .map_err(no_thread)?;
        let moving = snapshot::Config {
            data_dir: data.path().to_owned(),
            cluster,
            epoch: identity.epoch,
            rate: disk.snapshot_rate,
            store: self.store_options,
            state_dir: Arc::clone(&state_dir),
            views: self.views.clone(),
        };
        let (snapshots, snapshot_thread) = snapshot::start(
            moving,
            self.states_inbox,
            self.transport.clone(),
            on_snapshot(control_in.clone()),
            Arc::clone(&self.metrics),
        )
        .map_err(StartError::failed)?;
        let interrupt = Arc::new(AtomicBool::new(false));
        let scrub = Scrubber {
            data: data.path().to_owned(),
            dir: Arc::clone(&state_dir),
            views: self.views,
            rate: disk.scrub_rate,
            every: disk.scrub_every,
            status: Arc::clone(&self.scrub),
            stop: Arc::clone(&interrupt),
            control: control_in.clone(),
        }
        .spawn()
        .map_err(no_thread)?;
        let (space_in, space_out) = bounded(0);
        let report = on_space(control_in.clone(), Arc::clone(&self.metrics), state_dir, replaced);
        space::spawn(data.path(), &disk, space_out, report).map_err(no_thread)?;

        let command = Command::RegisterSession { node: id, nonce: self.boot_nonce }.encode();
        let registration = Registration { nonce: self.boot_nonce, command };
        let micros =
            |time: std::time::Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let options = Options {
            raft: boot::raft_options(self.config),
            understands: |command| Command::decode(command).is_ok(),
            disk_stall_us: micros(disk.stall),
            disk_exit_us: micros(disk.stall_exit),
            audit: Some(Command::TakeDigest.encode()),
            ..Options::default()
        };
        let stable_us = STABLE_TIMEOUTS * options.raft.election_max;
        let own_identity = wire_identity(&identity, self.boot_nonce);
        let replica = Replica::new(options, boot, applied, state_lost, registration, clock.now());
        let raft = Driver {
            replica,
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
            upkeep: Upkeep::new(disk, checkpointed, snapshots.clone(), Arc::clone(&self.metrics)),
            recovering,
            stopping: false,
        }
        .spawn()
        .map_err(no_thread)?;

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
        .map_err(no_thread)?;
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
            _data: data,
            front: self.front,
            control: control_in,
            gossip: gossip_in,
            transport: self.transport,
            snapshots,
            scrub: (self.scrub, interrupt),
            stopper,
            _space: space_in,
            threads: vec![
                gossip,
                raft,
                snapshot_thread,
                scrub,
                apply,
                log,
                log_read,
                self.transport_thread,
            ],
            hand_over: self.config.timing.election_max * 2,
            end: self.end.1,
        })
    }
}

fn no_thread(error: std::io::Error) -> StartError {
    StartError::Failed(format!("the system gives no thread: {error}"))
}

/// What becomes of the news of states on their way.
fn on_snapshot(control: Sender<Control>) -> impl Fn(snapshot::Event) + Send + 'static {
    move |event| match event {
        snapshot::Event::Ready(ready) => match Arrived::new(ready.dir, &ready.meta) {
            Ok(arrived) => {
                control.send(Control::StateReady(arrived)).ok();
            }
            Err(why) => log::error!("the state from n{} cannot be used: {why}", ready.from),
        },
        snapshot::Event::Failed(why) => log::warn!("fetching a state failed: {why}"),
        snapshot::Event::Damaged(why) => {
            control.send(Control::StateLost(why)).ok();
        }
    }
}

/// What becomes of the news of room on the disk. The thread that brings it also removes states that
/// were replaced, since it may take its time and waits for nobody.
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
