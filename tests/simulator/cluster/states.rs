//! States on their way from one machine to another, as slowly and unreliably as the world is.

use bowline::raft::{Fetch, Index, Micros, NodeId};
use rand::RngExt;

use super::Cluster;
use crate::disk::Copy;

/// A state on its way.
pub struct Transfer {
    fetch: Fetch,
    /// The process that sends it.
    nonce: u64,
    copy: Copy,
    arrives: Micros,
}

impl Cluster {
    /// A machine wants a state; one that is on its way to it from there already goes on.
    pub(super) fn fetch(&mut self, to: NodeId, fetch: Fetch) {
        assert_ne!(fetch.from, to, "a node that fetches from itself");
        if self.transfers.get(&to).is_some_and(|it| it.fetch.from == fetch.from) {
            return;
        }
        self.transfers.remove(&to);
        let Some((nonce, copy)) = self.cut(fetch.from, fetch.at_least) else { return };
        let took = self.rng.random_range(1_000..=self.faults.transfer_us);
        let arrives = Micros(self.now.mono.0 + took);
        self.transfers.insert(to, Transfer { fetch, nonce, copy, arrives });
    }

    /// The newest checkpoint of a machine, if it is new enough or can be made so.
    fn cut(&mut self, from: NodeId, at_least: Index) -> Option<(u64, Copy)> {
        let now = self.now;
        let machine = self.machines.get_mut(&from)?;
        let process = machine.process.as_mut().filter(|process| process.stalled <= now.mono)?;
        if process.copy.odd && process.replica.state_lost().is_none() {
            // What is wrong must not spread, or it would become the majority.
            process.replica.on_state_lost(now, "found by a scrub".to_owned());
            self.woken.insert(from);
        }
        if process.replica.state_lost().is_some() {
            return None;
        }
        let nonce = process.nonce;
        let newest = machine.disk.checkpoint.as_ref().filter(|copy| copy.applied() >= at_least);
        if newest.is_none_or(|copy| copy.odd) {
            machine.checkpoint(u64::MAX);
        }
        let copy = machine.disk.checkpoint.clone()?;
        (copy.applied() >= at_least && !copy.odd).then_some((nonce, copy))
    }

    pub(super) fn next_transfer(&self) -> Option<Micros> {
        self.transfers.values().map(|transfer| transfer.arrives).min()
    }

    /// States arrive, or do not: their source is gone, or cut off, or they got lost.
    pub(super) fn finish_transfers(&mut self) {
        let now = self.now;
        let due = self.transfers.extract_if(.., |_, transfer| transfer.arrives <= now.mono);
        for (to, Transfer { fetch, nonce, copy, .. }) in due.collect::<Vec<_>>() {
            let source = self.machines.get(&fetch.from).and_then(|it| it.process.as_ref());
            let lives = source.is_some_and(|source| source.nonce == nonce);
            let connected =
                !self.cut.contains(&(fetch.from, to)) && !self.cut.contains(&(to, fetch.from));
            let lost = self.rng.random::<f64>() < self.faults.loss;
            if !lives || !connected || lost {
                continue;
            }
            self.wake(to, |process, now| {
                if process.replica.on_state_ready(now, copy.installed()) {
                    process.staged = Some(copy);
                }
            });
        }
    }

    /// All running machines write a checkpoint from time to time.
    pub(super) fn checkpoint_some(&mut self) {
        let now = self.now.mono;
        for machine in self.machines.values_mut() {
            let runs = machine.process.as_ref().is_some_and(|process| process.stalled <= now);
            if runs && machine.hangs <= now && self.rng.random_bool(0.02) {
                machine.checkpoint(self.rng.random_range(0..=self.faults.keep));
            }
        }
    }
}
