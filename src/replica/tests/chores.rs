//! Ends of lifetimes, and newer rules: what a leader proposes of itself, and when it does not.

use super::*;
use crate::raft::NEVER;
use crate::replica::chores::NOBODY;

const EXPIRE: &[u8] = b"expire";

fn raise(version: u32) -> Bytes {
    Bytes::from(format!("rules {version}"))
}

/// Node 1 of `voters`, elected in term 2; all that it knows is durable, and its own entry committed.
fn leader(voters: u64) -> Bench {
    let mut bench = Bench::new(1, voters);
    let options = &mut bench.replica.options;
    options.expire = Some(Bytes::from_static(EXPIRE));
    options.rules = Some(Rules { newest: 2, raise });
    come_to_lead(&mut bench);
    assert_eq!(bench.replica.node().role_kind(), RoleKind::Leader);
    commit(&mut bench, voters);
    bench
}

/// Lets time pass until this node leads, with the vote of node 2. Gives what it proposed on the way.
fn come_to_lead(bench: &mut Bench) -> Vec<Bytes> {
    let mut seen = Vec::new();
    for _ in 0..10 {
        let wait = bench.replica.deadline().max(bench.now.mono + 1) - bench.now.mono;
        seen.extend(proposed(&bench.pass(wait.min(1_000_000))));
        seen.extend(proposed(&bench.persist()));
        let (kind, term) = (bench.replica.node().role_kind(), bench.replica.node().term());
        match kind {
            RoleKind::Leader => return seen,
            RoleKind::PreCandidate => {
                bench.hear(2, term + 1, Message::PreVoteResponse { granted: true });
            }
            RoleKind::Candidate => {
                let effects = bench.hear(2, term, Message::VoteResponse { granted: true });
                seen.extend(proposed(&effects));
            }
            RoleKind::Follower => {}
        }
    }
    panic!("it was not elected: {:?}", bench.replica.node().role_kind());
}

/// Everything in the log becomes durable here and on node 2, and is applied.
fn commit(bench: &mut Bench, voters: u64) -> Effects {
    let mut all = bench.persist();
    if voters > 1 {
        let (last, term) = (bench.replica.node().last_index(), bench.replica.node().term());
        let more = bench.hear(2, term, Message::AppendAccepted { match_index: last });
        all.work.extend(more.work);
    }
    all
}

/// The commands that were written to the log.
fn proposed(effects: &Effects) -> Vec<Bytes> {
    let entries = effects.writes.iter().flat_map(|(write, _)| &write.entries);
    let commands = entries.filter_map(|entry| match &entry.payload {
        Payload::Command(payload) => {
            let (id, command) = WriteId::split(payload).unwrap();
            assert_eq!(id, NOBODY);
            Some(Bytes::copy_from_slice(command))
        }
        _ => None,
    });
    commands.collect()
}

/// What the cluster's clock says now.
fn clock(bench: &Bench) -> u64 {
    bench.replica.node().cluster_clock_ms(bench.now).unwrap()
}

/// Lets time pass in steps as small as the replica asks for, while node 2 goes on answering.
fn wait(bench: &mut Bench, voters: u64, micros: u64) -> Vec<(u64, Bytes)> {
    let end = bench.now.mono + micros;
    let mut all = Vec::new();
    while bench.now.mono < end {
        let step = (bench.replica.deadline().min(end) - bench.now.mono).max(1);
        let effects = bench.pass(step);
        all.extend(proposed(&effects).into_iter().map(|command| (clock(bench), command)));
        if voters > 1 {
            let term = bench.replica.node().term();
            let last = bench.replica.node().last_index();
            bench.persist();
            bench.hear(2, term, Message::AppendAccepted { match_index: last });
            let answer = Message::HeartbeatResponse { round: 0, full: false, last_index: last };
            bench.hear(2, term, answer);
        }
    }
    all
}

#[test]
fn what_has_expired_is_ended_when_the_clusters_clock_says_so_and_once() {
    for voters in [1, 3] {
        let mut bench = leader(voters);
        let due = clock(&bench) + 700;
        bench.replica.on_next_expiry(Some(due));
        let ended = wait(&mut bench, voters, 690_000);
        assert_eq!(ended, [], "{voters} voters: never early");
        let ended = wait(&mut bench, voters, 20_000);
        assert_eq!(ended.len(), 1, "{voters} voters: {ended:?}");
        assert_eq!(ended[0].1, EXPIRE);
        assert!((due..due + 2).contains(&ended[0].0), "{due}: {ended:?}");
    }
}

#[test]
fn one_is_under_way_at_a_time_and_what_is_left_follows_at_once() {
    let mut bench = leader(3);
    let due = clock(&bench);
    bench.replica.on_next_expiry(Some(due));
    assert_eq!(proposed(&bench.pass(1)), [EXPIRE]);
    for _ in 0..5 {
        assert_eq!(proposed(&bench.pass(1_000)), [] as [&[u8]; 0], "it is under way");
    }
    commit(&mut bench, 3);
    // Committed and handed out, and in this bench applied at once; the state has more that is due.
    assert_eq!(proposed(&bench.pass(1_000)), [EXPIRE]);
    commit(&mut bench, 3);
    bench.replica.on_next_expiry(None);
    assert_eq!(proposed(&bench.pass(1_000)), [] as [&[u8]; 0]);
}

#[test]
fn a_deadline_that_moves_is_followed() {
    let mut bench = leader(1);
    let due = clock(&bench) + 500;
    bench.replica.on_next_expiry(Some(due));
    assert_eq!(wait(&mut bench, 1, 400_000), []);
    bench.replica.on_next_expiry(Some(due + 500));
    assert_eq!(wait(&mut bench, 1, 400_000), [], "it was put off");
    bench.replica.on_next_expiry(Some(clock(&bench) + 20));
    assert_eq!(wait(&mut bench, 1, 30_000).len(), 1, "another is earlier");
}

#[test]
fn who_has_nothing_to_look_after_sleeps() {
    let mut bench = leader(1);
    bench.replica.on_cluster_version(2);
    bench.pass(1);
    let idle = bench.replica.deadline();
    let due = clock(&bench) + 3_600_000;
    bench.replica.on_next_expiry(Some(due));
    let deadline = bench.replica.deadline().min(idle);
    assert!(deadline >= bench.now.mono + 50_000_000, "one long sleep: {deadline:?}");
    bench.replica.on_next_expiry(None);
    assert_eq!(bench.replica.chores_deadline(), NEVER);
}

#[test]
fn followers_leave_it_to_the_leader_and_do_it_when_they_lead() {
    let mut bench = Bench::new(1, 3);
    bench.replica.options.expire = Some(Bytes::from_static(EXPIRE));
    bench.follow(3, 2);
    bench.persist();
    bench.replica.on_next_expiry(Some(1));
    assert_eq!(proposed(&bench.pass(1_000)), [] as [&[u8]; 0]);
    assert_eq!(bench.replica.chores_deadline(), NEVER);
    let seen = come_to_lead(&mut bench);
    assert_eq!(seen, [EXPIRE]);
}

#[test]
fn what_cannot_be_proposed_is_tried_again_after_a_pause() {
    let mut bench = leader(1);
    bench.replica.on_full(bench.now, true);
    bench.replica.on_next_expiry(Some(1));
    assert_eq!(proposed(&bench.pass(1)), [] as [&[u8]; 0]);
    assert!(bench.replica.deadline() > bench.now.mono + 50_000, "not at once");
    bench.replica.on_full(bench.now, false);
    assert_eq!(wait(&mut bench, 1, 110_000).len(), 1);
}

#[test]
fn a_cluster_of_one_goes_by_its_newest_rules_at_once() {
    let mut bench = leader(1);
    assert_eq!(proposed(&bench.pass(1)), [] as [&[u8]; 0], "nobody knows which are in force");
    bench.replica.on_cluster_version(1);
    assert_eq!(proposed(&bench.pass(1)), [raise(2)]);
    assert_eq!(proposed(&bench.pass(1_000)), [] as [&[u8]; 0], "it is under way");
    commit(&mut bench, 1);
    bench.replica.on_cluster_version(2);
    let effects = bench.pass(1);
    assert!(effects.events.contains(&Event::RulesRaised { version: 2 }), "{:?}", effects.events);
    assert_eq!(proposed(&effects), [] as [&[u8]; 0]);
}

#[test]
fn newer_rules_wait_for_every_member() {
    let mut bench = leader(3);
    bench.replica.on_cluster_version(1);
    assert_eq!(proposed(&bench.pass(1)), [] as [&[u8]; 0], "who has not told may be old");
    bench.replica.on_peer_version(2, 2);
    bench.replica.on_peer_version(3, 1);
    assert_eq!(proposed(&bench.pass(1)), [] as [&[u8]; 0], "one is old");
    bench.replica.on_peer_version(9, 1);
    bench.replica.on_peer_version(3, 3);
    assert_eq!(proposed(&bench.pass(1)), [raise(2)], "what a stranger knows does not count");
}

#[test]
fn the_oldest_program_decides_how_far_they_are_raised() {
    let mut bench = leader(3);
    bench.replica.options.rules = Some(Rules { newest: 5, raise });
    bench.replica.on_cluster_version(1);
    bench.replica.on_peer_version(2, 7);
    bench.replica.on_peer_version(3, 3);
    assert_eq!(proposed(&bench.pass(1)), [raise(3)]);
    commit(&mut bench, 3);
    bench.replica.on_cluster_version(3);
    assert_eq!(proposed(&bench.pass(1)), [] as [&[u8]; 0]);
    bench.replica.on_peer_version(3, 9);
    assert_eq!(proposed(&bench.pass(1)), [raise(5)], "it was restarted with a newer program");
}

#[test]
fn a_new_leader_does_what_the_old_one_may_have_done() {
    let mut bench = leader(3);
    bench.replica.on_cluster_version(1);
    bench.replica.on_peer_version(2, 2);
    bench.replica.on_peer_version(3, 2);
    assert_eq!(proposed(&bench.pass(1)), [raise(2)]);
    let term = bench.replica.node().term();
    // Deposed before it could be committed, it follows, and is elected again.
    bench.hear(3, term + 1, Message::Heartbeat { commit: 1, round: 0 });
    bench.persist();
    let seen = come_to_lead(&mut bench);
    assert!(bench.replica.node().term() > term + 1);
    assert_eq!(seen, [raise(2)], "what became of the first it cannot know, and twice does no harm");
}

#[test]
fn who_names_an_index_waits_for_it_and_no_longer_than_it_wants() {
    let mut bench = leader(1);
    let (now, last) = (bench.now.mono, bench.replica.node().last_index());
    bench.replica.on_request(bench.now, ticket(1), now + 1_000_000, Request::Applied(last));
    bench.replica.on_request(bench.now, ticket(2), now + 1_000_000, Request::Applied(last + 1));
    bench.replica.on_request(bench.now, ticket(3), now + 500_000, Request::Applied(u64::MAX));
    let readable = |effects: &Effects| {
        let tickets = effects.work.iter().filter_map(|work| match work {
            Work::Readable(tickets) => Some(tickets.clone()),
            _ => None,
        });
        tickets.flatten().collect::<Vec<_>>()
    };
    assert_eq!(readable(&bench.effects()), [ticket(1)], "it is there");
    bench.replica.on_cluster_version(1);
    bench.pass(1);
    assert_eq!(readable(&commit(&mut bench, 1)), [ticket(2)], "the next entry");
    let effects = bench.pass(500_000);
    assert_eq!(failures(&effects), [(ticket(3), Certainty::NotApplied)]);
}
