//! The replica of a cluster of one, by hand: what waits for its disk and its applier.

#![allow(clippy::unwrap_used, reason = "a test may")]

use bowline::ids::Ticket;
use bowline::raft::{
    Boot, Configuration, Entry, HardState, Member, MemberInfo, MemberRole, Micros, Now, Payload,
    Persisted, Stamp,
};
use bowline::replica::{GuestId, JoinReply, Options, Registration, Replica, Request};

/// A leader without followers, whose disk waits for a word.
struct One {
    replica: Replica,
    now: Now,
    writing: Vec<Persisted>,
    joins: Vec<(GuestId, JoinReply)>,
}

fn info(tag: u8, peer: &str) -> MemberInfo {
    MemberInfo { tag: [tag; 16], peer: peer.to_owned(), ..MemberInfo::default() }
}

impl One {
    fn new() -> Self {
        let member = Member { role: MemberRole::Voter, info: info(1, "old:1") };
        let configuration = Configuration { members: [(1, member)].into() };
        let payload = Payload::Configuration(configuration.clone());
        let entry = Entry { index: 1, term: 1, stamp: Stamp::default(), payload };
        let boot = Boot {
            id: 1,
            hard_state: HardState { term: 1, vote: None },
            configurations: vec![(1, configuration)],
            term_runs: vec![(1, 1)],
            last_index: 1,
            tail: vec![entry],
            commit: 1,
            last_clock_ms: 0,
            start: (0, 0),
            recovering: false,
        };
        let now = Now { mono: Micros(60_000_000), wall_ms: 1 };
        let registration = Registration { nonce: 7, command: b"register".as_slice().into() };
        let mut options = Options::default();
        options.raft.tail_bytes_max = 1_000;
        let replica = Replica::new(options, boot, 1, None, registration, now);
        Self { replica, now, writing: Vec::new(), joins: Vec::new() }
    }

    fn take(&mut self) {
        let effects = self.replica.effects();
        let persisted = |(write, _): &(bowline::raft::Write, u64)| Persisted {
            term: write.term,
            last: write.last,
        };
        self.writing.extend(effects.writes.iter().map(persisted));
        self.joins.extend(effects.joins);
    }

    /// Lets the disk finish all it has.
    fn persist(&mut self) {
        while !self.writing.is_empty() {
            for persisted in std::mem::take(&mut self.writing) {
                self.replica.on_persisted(self.now, persisted);
            }
            self.take();
        }
    }

    fn ask(&mut self, id: u64, request: Request) {
        let deadline = self.now.mono + 5_000_000;
        self.replica.on_request(self.now, Ticket { sink: 0, id }, deadline, request);
    }
}

#[test]
fn new_addresses_wait_for_the_change_that_is_under_way() {
    let mut one = One::new();
    one.take();
    one.persist();
    one.replica.on_join(one.now, 8, info(2, "joiner:1"));
    one.take();
    one.replica.on_join(one.now, 9, info(1, "new:1"));
    one.take();
    assert_eq!(one.joins, [], "both wait for the disk");
    one.persist();
    let admitted: Vec<GuestId> = one.joins.iter().map(|(guest, _)| *guest).collect();
    assert_eq!(admitted, [8, 9]);
    let (_, configuration) = one.replica.node().committed_configuration();
    assert_eq!(configuration.members[&1].info.peer, "new:1");
    assert_eq!(configuration.members.len(), 2);
}

#[test]
fn what_a_slow_applier_has_not_got_to_leaves_memory() {
    let mut one = One::new();
    one.take();
    one.persist();
    for id in 0..100 {
        one.ask(id, Request::Write(vec![b'x'; 100].into()));
        one.take();
        one.persist();
    }
    let node = one.replica.node();
    let (commit, applied_here) = (node.commit(), 1);
    assert!(commit > 100, "{commit}");
    assert_eq!(node.entries(applied_here + 1, commit, usize::MAX), None, "all of it in memory");
    assert!(node.entries(commit, commit, usize::MAX).is_some());
}
