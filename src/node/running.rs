//! A node whose threads all run: what ends it, and in which order.
//!
//! Threads stop in the order in which work flows: leadership is handed over, the fronts answer what
//! they took, then gossip, raft, applier and log end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, select};

use super::boot::StartError;
use super::driver::{Control, End};
use super::restore::Restores;
use super::scrub_status::ScrubStatus;
use super::states::Stopper;
use crate::http;
use crate::lines;
use crate::membership::GossipCommand;
use crate::passwords::Passwords;
use crate::snapshot;
use crate::storage::DataDir;
use crate::threads;
use crate::transport;

/// How long the threads may take to end, after leadership was handed over. A checkpoint may be on its
/// way; but a thread that waits for a dead disk never ends.
const STOP_MAX: Duration = Duration::from_secs(15);

/// Ends the process after a while, whatever its threads wait for: what is not durable by then was not
/// acknowledged.
fn end_anyway(after: Duration) {
    let ended = threads::spawn("stop", move || {
        std::thread::sleep(after);
        log::error!("the disk does not let this node stop: ending without it");
        lines::write_out_before_the_end();
        std::process::exit(1);
    });
    if let Err(error) = ended {
        log::warn!("nothing watches whether this node stops: {error}");
    }
}

/// A node that runs.
pub(super) struct Running {
    /// Keeps the directory locked.
    pub _data: Arc<DataDir>,
    pub front: http::front::FrontHandle,
    pub control: Sender<Control>,
    pub gossip: Sender<GossipCommand>,
    pub transport: transport::Handle,
    pub snapshots: snapshot::Handle,
    /// The scrub, and what interrupts it.
    pub scrub: (Arc<ScrubStatus>, Arc<AtomicBool>),
    /// The threads `slow-n`.
    pub passwords: Passwords,
    /// The thread `restore`.
    pub restores: Restores,
    /// Ends a checkpoint that waits for room.
    pub stopper: Stopper,
    /// Its drop ends the thread `space`, which nobody waits for: it may hang with the disk.
    pub _space: Sender<()>,
    /// In the order in which they end.
    pub threads: Vec<JoinHandle<()>>,
    pub hand_over: Duration,
    pub end: Receiver<End>,
}

impl Running {
    /// Lives until told to stop, or until something fatal happens.
    pub fn live(self, stop: &Receiver<()>) -> Result<(), StartError> {
        let end = select! {
            recv(stop) -> _ => None,
            recv(self.end) -> end => Some(end),
        };
        match end {
            None => {}
            Some(Ok(End::Removed(index))) => log::info!(
                "this node was taken out of the cluster by entry {index}; its data is of no use \
                 any more"
            ),
            // The process ends at once: what is not durable was not acknowledged.
            Some(Ok(End::Failed(why))) => return Err(StartError::Failed(why)),
            Some(Err(_)) => {
                return Err(StartError::Failed("a thread ended without a word".to_owned()));
            }
        }
        self.stop();
        Ok(())
    }

    fn stop(self) {
        log::info!("stopping");
        end_anyway(self.hand_over + STOP_MAX);
        let (done_in, done_out) = bounded(0);
        if self.control.send(Control::HandOver(done_in)).is_ok() {
            // Answered by the drop of the sender, as soon as this node does not lead.
            done_out.recv_timeout(self.hand_over).ok();
        }
        self.front.stop();
        self.gossip.send(GossipCommand::Stop).ok();
        self.control.send(Control::Stop).ok();
        self.passwords.stop();
        self.restores.stop();
        self.snapshots.stop();
        let (scrub, interrupt) = self.scrub;
        interrupt.store(true, Ordering::Relaxed);
        scrub.stop();
        if let Some(stopper) = &*self.stopper.lock() {
            stopper.stop();
        }
        self.transport.stop();
        for thread in self.threads {
            if thread.join().is_err() {
                log::error!("a thread ended by a panic");
            }
        }
    }
}
