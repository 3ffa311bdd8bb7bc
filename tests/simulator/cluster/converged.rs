//! What must be so when all has been well for a while.

use bowline::raft::Micros;
use bowline::state::{Link, lookup};

use super::clients::TIMEOUT_US;
use super::{Cluster, Faults};

impl Cluster {
    /// After healing: one leader, equal states, and everything acknowledged is there.
    pub fn check_converged(&mut self) {
        let seed = self.seed;
        self.next_client = Micros(u64::MAX);
        self.run_for(TIMEOUT_US + 1_000_000, Faults::none());
        let now = self.now.mono;
        assert!(self.questions.is_empty(), "seed {seed} at {now:?}: {:?}", self.questions);
        assert!(self.leader().is_some(), "seed {seed}: no leader after healing:{}", self.account());
        let node = self.leader().unwrap().process.as_ref().unwrap().replica.node();
        let members = &node.configuration().members;
        assert_eq!(members.len().min(5), self.voters(), "seed {seed}: somebody was not promoted");
        let states: Vec<_> = self
            .machines
            .values()
            .filter(|machine| members.contains_key(&machine.id))
            .map(|machine| {
                let process = machine.process.as_ref().expect("all run after healing");
                let lost = process.replica.state_lost();
                assert_eq!(lost, None, "seed {seed}: n{} has not fetched a state", machine.id);
                assert!(!process.copy.odd, "seed {seed}: n{} was not found out", machine.id);
                let recovering = machine.disk.recovering;
                assert!(!recovering, "seed {seed}: n{} has not recovered", machine.id);
                self.checks.contents(machine);
                self.checks.board(machine);
                self.check_promises(&process.copy);
                (machine.id, &process.copy.state)
            })
            .collect();
        let (applied, digest) = (states[0].1.summary().applied, states[0].1.digest());
        for (id, state) in &states {
            assert_eq!(state.summary().applied, applied, "seed {seed}: n{id} lags");
            assert_eq!(state.digest(), digest, "seed {seed}: n{id} differs");
        }
        let applied = self.checks.applied_urls();
        let both: Vec<_> = self.denied.intersection(&applied).collect();
        assert!(both.is_empty(), "seed {seed}: denied and yet done: {both:?}");
        assert!(self.acknowledged.len() > 50, "seed {seed}: only {}", self.acknowledged.len());
        for (url, key) in &self.acknowledged {
            for (id, state) in &states {
                let link = lookup(state.table(), key).unwrap();
                let Some(Link::Live(stored)) = link else {
                    panic!("seed {seed}: n{id} lost {url}: {link:?}");
                };
                assert_eq!(stored, url.as_bytes(), "seed {seed}");
            }
        }
    }
}
