//! What a client is told, step by step: one replica, the others played by the test.

mod chores;
mod health;

use super::*;
use crate::error::Certainty;
use crate::raft::{
    Append, Configuration, HardState, Member, MemberInfo, MemberRole, Message, Stamp, Term,
};

const START: u64 = 60_000_000;

struct Bench {
    replica: Replica,
    now: Now,
    /// Writes handed out and not yet reported.
    writing: VecDeque<Persisted>,
}

fn entry(index: Index, term: Term, payload: Payload) -> Entry {
    Entry { index, term, stamp: Stamp::default(), payload }
}

fn configuration(voters: u64) -> Payload {
    let member = || Member { role: MemberRole::Voter, info: MemberInfo::default() };
    Payload::Configuration(Configuration {
        members: (1..=voters).map(|id| (id, member())).collect(),
    })
}

impl Bench {
    /// Node `id` of `voters`, whose log holds only the configuration.
    fn new(id: NodeId, voters: u64) -> Self {
        Self::with(id, voters, None)
    }

    /// The same, with a state that may be lost.
    fn with(id: NodeId, voters: u64, state_lost: Option<String>) -> Self {
        let first = entry(1, 1, configuration(voters));
        let Payload::Configuration(members) = first.payload.clone() else { unreachable!() };
        let boot = Boot {
            id,
            hard_state: HardState { term: 1, vote: None },
            configurations: vec![(1, members)],
            term_runs: vec![(1, 1)],
            last_index: 1,
            tail: vec![first],
            commit: 1,
            last_clock_ms: 0,
            start: (0, 0),
            recovering: false,
        };
        let now = Now { mono: Micros(START), wall_ms: 1_000 };
        let registration = Registration { nonce: 77, command: Bytes::from_static(b"register") };
        let options = Options { resend_us: 1_000_000, ..Options::default() };
        let replica = Replica::new(options, boot, 1, state_lost, registration, now);
        Self { replica, now, writing: VecDeque::new() }
    }

    fn pass(&mut self, micros: u64) -> Effects {
        self.now.mono = self.now.mono + micros;
        self.replica.advance(self.now);
        self.effects()
    }

    fn effects(&mut self) -> Effects {
        let effects = self.replica.effects();
        let writes = effects.writes.iter();
        self.writing.extend(writes.map(|(it, _)| Persisted { term: it.term, last: it.last }));
        for work in &effects.work {
            if let Work::Entry(entry, _) = work {
                self.replica.on_applied(entry.index);
            }
        }
        effects
    }

    fn persist(&mut self) -> Effects {
        while let Some(persisted) = self.writing.pop_front() {
            self.replica.on_persisted(self.now, persisted);
        }
        self.effects()
    }

    fn write(&mut self, id: u64) -> Effects {
        let deadline = self.now.mono + 5_000_000;
        let request = Request::Write(Bytes::from_static(b"command"));
        self.replica.on_request(self.now, ticket(id), deadline, request);
        self.effects()
    }

    fn hear(&mut self, from: NodeId, term: Term, message: Message) -> Effects {
        let to = self.replica.node().id();
        let envelope = Envelope { from, to, term, message };
        self.replica.on_message(self.now, from, PeerMessage::Raft(envelope));
        self.effects()
    }

    fn follow(&mut self, leader: NodeId, term: Term) -> Effects {
        self.hear(leader, term, Message::Heartbeat { commit: 1, round: 0 })
    }

    /// The leader commits these payloads after what is there.
    fn replicate(&mut self, from: NodeId, term: Term, payloads: Vec<Payload>) -> Effects {
        let (prev_index, prev_term) = {
            let node = self.replica.node();
            let last = node.last_index();
            (last, node.term_at(last).unwrap())
        };
        let entries: Vec<Entry> =
            (prev_index + 1..).zip(payloads).map(|(at, it)| entry(at, term, it)).collect();
        let commit = prev_index + entries.len() as u64;
        let append = Append { prev_index, prev_term, entries, commit };
        self.hear(from, term, Message::Append(append));
        self.persist()
    }
}

fn ticket(id: u64) -> Ticket {
    Ticket { sink: 0, id }
}

fn forwards(effects: &Effects) -> Vec<(NodeId, WriteId)> {
    let forward = |(to, message): &(NodeId, PeerMessage)| match message {
        PeerMessage::Forward { id, .. } => Some((*to, *id)),
        _ => None,
    };
    effects.messages.iter().filter_map(forward).collect()
}

fn answered(effects: &Effects) -> Vec<Ticket> {
    let ticket = |work: &Work| match work {
        Work::Entry(_, ticket) => *ticket,
        Work::Readable(_) | Work::Install(..) | Work::Lost(_) => None,
    };
    effects.work.iter().filter_map(ticket).collect()
}

fn failures(effects: &Effects) -> Vec<(Ticket, Certainty)> {
    let failure = |(ticket, answer): &(Ticket, Answer)| match answer {
        Answer::Failed(failure) => Some((*ticket, failure.certainty)),
        Answer::Done => None,
    };
    effects.answers.iter().filter_map(failure).collect()
}

fn payload(id: WriteId, command: &'static [u8]) -> Payload {
    Payload::Command([&id.encode()[..], command].concat().into())
}

const REGISTRATION: WriteId = WriteId { session: 0, seq: 77, floor: 0 };

/// A follower of node 1 in term 2 whose session stands at entry 2.
fn follower_with_session() -> Bench {
    let mut bench = Bench::new(2, 3);
    bench.follow(1, 2);
    bench.persist();
    let sent = bench.write(1);
    assert_eq!(forwards(&sent), [(1, REGISTRATION)], "first things first");
    let effects = bench.replicate(1, 2, vec![payload(REGISTRATION, b"register")]);
    let id = WriteId { session: 2, seq: 1, floor: 1 };
    assert_eq!(forwards(&effects), [(1, id)], "the command goes out as soon as the session stands");
    bench
}

#[test]
fn writes_that_wait_are_bounded_by_their_bytes_too() {
    let mut bench = Bench::new(1, 3);
    bench.replica.options.pending_bytes_max = 2 * b"command".len();
    for id in 1..=2 {
        assert_eq!(bench.write(id).answers, []);
    }
    let busy = (ticket(3), Answer::Failed(Failure::not_applied(Reason::Busy)));
    assert_eq!(bench.write(3).answers, [busy]);
    let given_up = bench.pass(5_000_000).answers;
    assert_eq!((given_up.len(), bench.replica.pending_writes()), (2, 0));
    assert_eq!(bench.write(4).answers, [], "there is room again");
}

#[test]
fn what_this_program_cannot_apply_does_not_get_into_the_log() {
    let mut bench = Bench::new(1, 3);
    bench.replica.options.understands = |command| command != b"command";
    bench.follow(2, 2);
    let effects = bench.write(1);
    let [(asked, Answer::Failed(failure))] = &effects.answers[..] else {
        panic!("{:?}", effects.answers)
    };
    assert_eq!((*asked, failure.certainty), (ticket(1), Certainty::NotApplied));
    assert!(matches!(failure.reason, Reason::Refused(_)), "{failure}");
    assert_eq!(bench.replica.pending_writes(), 0);
}

#[test]
fn a_cluster_of_one_answers_when_its_disk_has_it_and_not_before() {
    let mut bench = Bench::new(1, 1);
    bench.pass(1);
    bench.persist();
    assert_eq!(bench.replica.node().role_kind(), RoleKind::Leader);
    bench.persist();
    let mut effects = bench.write(1);
    for _ in 0..3 {
        assert_eq!(answered(&effects), [], "nothing is durable yet");
        effects = bench.persist();
        if !answered(&effects).is_empty() {
            break;
        }
    }
    assert_eq!(answered(&effects), [ticket(1)]);
}

#[test]
fn a_followers_client_is_answered_by_its_own_log() {
    let mut bench = follower_with_session();
    let id = WriteId { session: 2, seq: 1, floor: 1 };
    let effects = bench.replicate(1, 2, vec![payload(id, b"command")]);
    assert_eq!(answered(&effects), [ticket(1)]);
    assert_eq!(bench.replica.pending_writes(), 0);
}

#[test]
fn a_second_copy_in_the_log_answers_nobody() {
    let mut bench = follower_with_session();
    let id = WriteId { session: 2, seq: 1, floor: 1 };
    let twice = vec![payload(id, b"command"), payload(id, b"command")];
    assert_eq!(answered(&bench.replicate(1, 2, twice)), [ticket(1)]);
}

#[test]
fn without_a_leader_nothing_was_applied() {
    let mut bench = Bench::new(2, 3);
    bench.write(1);
    let mut effects = bench.pass(100_000);
    for _ in 0..10 {
        effects.answers.extend(bench.pass(100_000).answers);
    }
    assert_eq!(failures(&effects), [(ticket(1), Certainty::NotApplied)]);
}

#[test]
fn what_was_sent_and_not_answered_is_unknown() {
    let mut bench = follower_with_session();
    let mut effects = Effects::default();
    for _ in 0..60 {
        effects.answers.extend(bench.pass(100_000).answers);
    }
    assert_eq!(failures(&effects), [(ticket(1), Certainty::Unknown)]);
}

#[test]
fn a_new_leader_gets_it_under_the_same_id() {
    let mut bench = follower_with_session();
    let id = WriteId { session: 2, seq: 1, floor: 1 };
    assert_eq!(forwards(&bench.follow(3, 3)), [(3, id)]);
    assert_eq!(forwards(&bench.follow(3, 3)), [], "once per leader");
}

#[test]
fn a_lost_message_is_sent_again() {
    let mut bench = follower_with_session();
    let id = WriteId { session: 2, seq: 1, floor: 1 };
    let mut sent = Vec::new();
    for _ in 0..14 {
        sent.extend(forwards(&bench.follow(1, 2)));
        sent.extend(forwards(&bench.pass(100_000)));
    }
    assert_eq!(sent, [(1, id)], "after a second, to the same leader");
}

#[test]
fn a_refusal_is_final_only_when_no_other_sending_can_still_count() {
    let id = WriteId { session: 2, seq: 1, floor: 1 };
    let refused = |bench: &mut Bench, from, refusal| {
        bench.replica.on_message(bench.now, from, PeerMessage::Refused { id, refusal });
        failures(&bench.effects())
    };
    let mut bench = follower_with_session();
    assert_eq!(refused(&mut bench, 1, Refusal::Busy), [(ticket(1), Certainty::NotApplied)]);

    let mut bench = follower_with_session();
    bench.follow(3, 3);
    assert_eq!(refused(&mut bench, 3, Refusal::Busy), [], "the first leader may have it");
    assert_eq!(refused(&mut bench, 1, Refusal::Busy), [(ticket(1), Certainty::NotApplied)]);

    let mut bench = follower_with_session();
    assert_eq!(refused(&mut bench, 1, Refusal::NotLeader), [], "another will be found");
}

#[test]
fn who_should_lead_and_says_no_is_asked_again_soon() {
    let id = WriteId { session: 2, seq: 1, floor: 1 };
    let mut bench = follower_with_session();
    let refused = PeerMessage::Refused { id, refusal: Refusal::NotLeader };
    bench.replica.on_message(bench.now, 1, refused);
    assert_eq!(forwards(&bench.effects()), [], "not at once, or it would go on and on");
    assert!(bench.replica.deadline().0 - bench.now.mono.0 <= 50_000);
    assert_eq!(forwards(&bench.pass(50_000)), [(1, id)]);
}

#[test]
fn a_registration_that_got_lost_is_sent_again_before_patience_ends() {
    let mut bench = Bench::new(2, 3);
    bench.follow(1, 2);
    bench.persist();
    assert_eq!(forwards(&bench.write(1)), [(1, REGISTRATION)]);
    let mut sent = Vec::new();
    for _ in 0..4 {
        sent.extend(forwards(&bench.follow(1, 2)));
        sent.extend(forwards(&bench.pass(100_000)));
    }
    assert_eq!(sent, [(1, REGISTRATION)]);
}

#[test]
fn acknowledgements_leave_when_their_write_is_durable() {
    let mut bench = Bench::new(2, 3);
    bench.follow(1, 2);
    bench.persist();
    let append = Append {
        prev_index: 1,
        prev_term: 1,
        entries: vec![entry(2, 2, Payload::Noop)],
        commit: 1,
    };
    let accepted = |effects: &Effects| {
        effects.messages.iter().any(|(_, message)| {
            matches!(message, PeerMessage::Raft(it)
                if matches!(it.message, Message::AppendAccepted { match_index: 2 }))
        })
    };
    assert!(!accepted(&bench.hear(1, 2, Message::Append(append))), "nothing is durable yet");
    assert!(accepted(&bench.persist()));
}

#[test]
fn a_reader_waits_for_a_round_that_began_after_it_came() {
    let mut bench = Bench::new(2, 3);
    let asked = |effects: &Effects| {
        let id = |(_, message): &(NodeId, PeerMessage)| match message {
            PeerMessage::Raft(Envelope { message: Message::ReadIndex { id }, .. }) => Some(*id),
            _ => None,
        };
        effects.messages.iter().find_map(id)
    };
    // The first question is the node's own: is it caught up?
    let first = asked(&bench.follow(1, 2)).unwrap();
    bench.persist();
    bench.replica.on_request(bench.now, ticket(9), bench.now.mono + 1_000_000, Request::ReadIndex);
    assert_eq!(asked(&bench.effects()), None, "one round at a time");
    assert!(!bench.replica.caught_up());
    let done = |id| Message::ReadIndexResponse { id, index: Some(1) };
    let effects = bench.hear(1, 2, done(first));
    assert!(bench.replica.caught_up());
    let readable = |effects: &Effects| {
        effects.work.iter().any(|it| matches!(it, Work::Readable(all) if all == &[ticket(9)]))
    };
    assert!(!readable(&effects), "the round began before it came");
    let second = asked(&effects).expect("the next round begins at once");
    assert!(readable(&bench.hear(1, 2, done(second))));
}
