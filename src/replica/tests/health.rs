//! Disks that hang or fill up, states that are lost, fetched and installed, audits.

use super::*;
use crate::raft::{Fetch, Installed};

const AUDIT: &[u8] = b"take digest";

/// The state as of `index`, in term 2, of the cluster of [`Bench::new`].
fn state(index: Index) -> Installed {
    let Payload::Configuration(configuration) = configuration(3) else { unreachable!() };
    Installed { index, term: 2, clock_ms: 5, configuration, configuration_index: 1 }
}

/// Lets time pass in steps as small as the replica asks for.
fn wait(bench: &mut Bench, micros: u64) -> Effects {
    let end = bench.now.mono + micros;
    let mut all = Effects::default();
    while bench.now.mono < end {
        let step = (bench.replica.deadline().min(end) - bench.now.mono).max(1);
        let effects = bench.pass(step);
        all.events.extend(effects.events);
        all.answers.extend(effects.answers);
        all.work.extend(effects.work);
        all.fetch = effects.fetch.or(all.fetch);
        all.stop = effects.stop.or(all.stop);
    }
    all
}

fn reasons(effects: &Effects) -> Vec<(Ticket, Reason)> {
    let reason = |(ticket, answer): &(Ticket, Answer)| match answer {
        Answer::Failed(failure) => Some((*ticket, failure.reason.clone())),
        Answer::Done => None,
    };
    effects.answers.iter().filter_map(reason).collect()
}

fn read(bench: &mut Bench, id: u64) -> Effects {
    let deadline = bench.now.mono + 5_000_000;
    bench.replica.on_request(bench.now, ticket(id), deadline, Request::ReadIndex);
    bench.effects()
}

fn applied(effects: &Effects) -> Vec<Index> {
    let index = |work: &Work| match work {
        Work::Entry(entry, _) => Some(entry.index),
        _ => None,
    };
    effects.work.iter().filter_map(index).collect()
}

fn installs(effects: &Effects) -> Vec<(Installed, Vec<(u64, Ticket)>)> {
    let install = |work: &Work| match work {
        Work::Install(installed, tickets) => Some((installed.clone(), tickets.clone())),
        _ => None,
    };
    effects.work.iter().filter_map(install).collect()
}

fn commands(count: usize) -> Vec<Payload> {
    let id = |seq| WriteId { session: 9, seq, floor: 0 };
    (0..count).map(|seq| payload(id(seq as u64), b"another's")).collect()
}

/// A follower of node 1 in term 2 whose state was found to be wrong.
fn lost() -> Bench {
    let mut bench = Bench::new(2, 3);
    bench.follow(1, 2);
    bench.persist();
    bench.replica.on_state_lost(bench.now, "rot".to_owned());
    let effects = bench.effects();
    assert!(effects.work.iter().any(|work| matches!(work, Work::Lost(why) if why == "rot")));
    assert_eq!(effects.fetch, Some(Fetch { from: 1, at_least: 1 }));
    bench
}

#[test]
fn a_disk_that_hangs_is_noticed_and_forgiven() {
    let mut bench = Bench::new(2, 3);
    bench.follow(1, 2);
    let effects = wait(&mut bench, 999_000);
    assert!(!bench.replica.disk_stalled());
    assert!(!effects.events.iter().any(|it| matches!(it, Event::DiskStalled { .. })));
    let effects = wait(&mut bench, 300_000);
    assert!(effects.events.iter().any(|it| matches!(it, Event::DiskStalled { .. })));
    assert!(bench.replica.disk_stalled());
    bench.persist();
    let effects = wait(&mut bench, 1_000);
    assert!(effects.events.contains(&Event::DiskResumed));
    assert!(!bench.replica.disk_stalled());
}

#[test]
fn a_disk_that_hangs_for_good_ends_the_process_unless_it_is_full() {
    let mut bench = Bench::new(2, 3);
    bench.follow(1, 2);
    assert_eq!(wait(&mut bench, 29_000_000).stop, None);
    bench.replica.on_full(bench.now, true);
    assert_eq!(wait(&mut bench, 2_000_000).stop, None, "it waits for room");
    bench.replica.on_full(bench.now, false);
    assert!(wait(&mut bench, 300_000).stop.unwrap().contains("the disk hangs"));
}

#[test]
fn a_process_that_was_stopped_does_not_end() {
    let mut bench = Bench::new(2, 3);
    bench.follow(1, 2);
    let effects = bench.pass(60_000_000);
    assert_eq!(effects.stop, None);
    assert!(!bench.replica.disk_stalled());
}

#[test]
fn a_full_disk_refuses_writes_and_not_reads() {
    let mut bench = follower_with_session();
    bench.replica.on_full(bench.now, true);
    let effects = bench.write(2);
    assert_eq!(reasons(&effects), [(ticket(2), Reason::DiskFull)]);
    assert_eq!(failures(&effects), [(ticket(2), Certainty::NotApplied)]);
    assert!(effects.events.contains(&Event::DiskFull { full: true }));
    assert_eq!(reasons(&read(&mut bench, 3)), []);
    bench.replica.on_full(bench.now, false);
    let effects = bench.write(4);
    assert_eq!(forwards(&effects).len(), 1);
    assert!(effects.events.contains(&Event::DiskFull { full: false }));
}

#[test]
fn a_leader_without_room_refuses_at_once_even_the_first_write() {
    let mut bench = Bench::new(2, 3);
    bench.follow(1, 2);
    bench.persist();
    bench.write(1);
    let refused = PeerMessage::Refused { id: REGISTRATION, refusal: Refusal::DiskFull };
    bench.replica.on_message(bench.now, 1, refused);
    assert_eq!(reasons(&bench.effects()), [(ticket(1), Reason::DiskFull)]);
}

#[test]
fn a_lost_state_serves_and_applies_nothing() {
    let mut bench = lost();
    assert_eq!(bench.replica.state_lost(), Some("rot"));
    assert!(!bench.replica.caught_up());
    assert_eq!(reasons(&bench.write(1)), [(ticket(1), Reason::Unavailable)]);
    assert_eq!(reasons(&read(&mut bench, 2)), [(ticket(2), Reason::Unavailable)]);
    let effects = bench.replicate(1, 2, commands(3));
    assert!(applied(&effects).is_empty());
    assert_eq!(bench.replica.node().commit(), 4, "log and vote go on");
    bench.replica.on_state_lost(bench.now, "rot again".to_owned());
    assert_eq!(bench.effects().work.len(), 0, "known already");
}

#[test]
fn a_lost_state_is_asked_for_until_it_comes() {
    let mut bench = lost();
    assert_eq!(bench.pass(10_000).fetch, None);
    let mut asked = 0;
    for _ in 0..20 {
        bench.follow(1, 2);
        asked += usize::from(bench.pass(100_000).fetch.is_some());
    }
    assert_eq!(asked, 2, "once a second");
    assert_eq!(bench.follow(3, 3).fetch, Some(Fetch { from: 3, at_least: 1 }));
}

#[test]
fn a_state_that_was_lost_before_the_start_is_fetched() {
    let mut bench = Bench::with(2, 3, Some("the checkpoint is damaged".to_owned()));
    assert_eq!(bench.replica.state_lost(), Some("the checkpoint is damaged"));
    let effects = bench.follow(1, 2);
    assert_eq!(effects.fetch, Some(Fetch { from: 1, at_least: 1 }));
    assert!(applied(&bench.replicate(1, 2, commands(2))).is_empty());
}

#[test]
fn entries_go_on_behind_an_installed_state() {
    let mut bench = lost();
    bench.replicate(1, 2, commands(4));
    assert!(bench.replica.on_state_ready(bench.now, state(3)));
    let effects = bench.effects();
    assert_eq!(installs(&effects), [(state(3), Vec::new())]);
    assert!(applied(&effects).is_empty(), "not before the applier has switched");
    bench.replica.on_applied(3); // its number may be seen before its report
    assert!(!bench.replica.on_state_ready(bench.now, state(4)), "one at a time");
    bench.replica.on_installed(bench.now, state(3), Resolved::default());
    let effects = bench.effects();
    assert_eq!(applied(&effects), [4, 5]);
    assert_eq!(bench.replica.state_lost(), None);
    let installed = Event::StateInstalled { index: 3, term: 2, resolved: 0 };
    assert!(effects.events.contains(&installed));
}

/// What the leader is told of the log.
fn acknowledged(effects: &Effects) -> Vec<Index> {
    let index = |(_, message): &(NodeId, PeerMessage)| match message {
        PeerMessage::Raft(Envelope { message: Message::Holds { index, .. }, .. }) => Some(*index),
        _ => None,
    };
    effects.messages.iter().filter_map(index).collect()
}

#[test]
fn a_log_that_does_not_join_begins_anew_behind_the_state_and_only_then_is_it_acknowledged() {
    let mut bench = Bench::new(2, 3);
    bench.follow(1, 2);
    bench.persist();
    let effects = bench.hear(1, 2, Message::FetchState { start: 100 });
    assert_eq!(effects.fetch, Some(Fetch { from: 1, at_least: 100 }));
    let wanted = Event::StateWanted { from: 1, at_least: 100 };
    assert!(effects.events.contains(&wanted));
    assert!(bench.replica.on_state_ready(bench.now, state(120)));
    let effects = bench.effects();
    assert_eq!(installs(&effects), [(state(120), Vec::new())]);
    assert!(effects.writes.is_empty(), "the log waits for the state");
    bench.replica.on_installed(bench.now, state(120), Resolved::default());
    let effects = bench.effects();
    let restarts: Vec<_> = effects.writes.iter().map(|(write, _)| write.restart).collect();
    assert_eq!(restarts, [Some((120, 2))]);
    assert!(acknowledged(&effects).is_empty(), "the log is not there yet");
    assert_eq!(acknowledged(&bench.persist()), [120]);
    bench.replica.on_purged(50); // told late, of the log as it was
    assert_eq!(applied(&bench.replicate(1, 2, commands(2))), [121, 122]);
}

#[test]
fn the_only_voter_leads_again_when_its_disk_works_again() {
    let mut bench = Bench::new(1, 1);
    bench.pass(1);
    while !bench.writing.is_empty() {
        bench.persist();
    }
    bench.write(1);
    wait(&mut bench, 1_300_000);
    assert!(bench.replica.disk_stalled());
    assert_ne!(bench.replica.node().role_kind(), RoleKind::Leader);
    for _ in 0..20 {
        bench.persist();
        wait(&mut bench, 100_000);
    }
    assert_eq!(bench.replica.node().role_kind(), RoleKind::Leader);
}

#[test]
fn a_state_that_brings_nothing_is_not_installed() {
    let mut bench = Bench::new(2, 3);
    bench.follow(1, 2);
    bench.replicate(1, 2, commands(4));
    assert!(!bench.replica.on_state_ready(bench.now, state(5)), "all of it is in the log");
    let effects = bench.effects();
    assert!(effects.events.contains(&Event::StateUnused { index: 5 }));
    assert_eq!(installs(&effects), []);
}

#[test]
fn waiting_writes_are_answered_out_of_an_installed_state_and_by_nobody_else() {
    let mut bench = follower_with_session();
    bench.write(2);
    assert!(bench.replica.on_state_ready(bench.now, state(40)));
    let tickets = vec![(1, ticket(1)), (2, ticket(2))];
    assert_eq!(installs(&bench.effects()), [(state(40), tickets)]);
    // Neither their deadline nor a refusal may interfere meanwhile.
    let id = WriteId { session: 2, seq: 2, floor: 1 };
    let refused = PeerMessage::Refused { id, refusal: Refusal::Busy };
    bench.replica.on_message(bench.now, 1, refused);
    assert_eq!(failures(&bench.effects()), []);
    assert_eq!(failures(&wait(&mut bench, 6_000_000)), []);
    let resolved = Resolved { session: Some(2), seqs: vec![2] };
    bench.replica.on_installed(bench.now, state(40), resolved);
    assert_eq!(failures(&bench.pass(1)), [(ticket(1), Certainty::Unknown)]);
    assert_eq!(bench.replica.pending_writes(), 0);
}

#[test]
fn an_installed_state_may_hold_the_registration_of_this_process() {
    let mut bench = Bench::new(2, 3);
    bench.follow(1, 2);
    bench.persist();
    assert_eq!(forwards(&bench.write(1)), [(1, REGISTRATION)]);
    assert!(bench.replica.on_state_ready(bench.now, state(40)));
    bench.effects();
    let resolved = Resolved { session: Some(17), seqs: Vec::new() };
    bench.replica.on_installed(bench.now, state(40), resolved);
    let id = WriteId { session: 17, seq: 1, floor: 1 };
    assert_eq!(forwards(&bench.effects()), [(1, id)]);
}

fn tell_digest(bench: &mut Bench, from: NodeId, index: Index, digest: u128) -> Effects {
    bench.replica.on_message(bench.now, from, PeerMessage::Digest { index, digest });
    bench.effects()
}

#[test]
fn who_differs_from_a_majority_has_lost_its_state() {
    let mut bench = Bench::new(2, 3);
    bench.follow(1, 2);
    bench.replica.on_digest(bench.now, 1, 8);
    let told: Vec<NodeId> = bench.effects().messages.iter().map(|(to, _)| *to).collect();
    assert_eq!(told, [1, 3]);
    tell_digest(&mut bench, 9, 1, 7);
    tell_digest(&mut bench, 1, 1, 7);
    assert_eq!(bench.replica.state_lost(), None, "a stranger does not count");
    let effects = tell_digest(&mut bench, 3, 1, 7);
    let why = bench.replica.state_lost().unwrap();
    assert!(why.contains("as of entry 1") && why.ends_with("07"), "{why}");
    assert_eq!(effects.fetch, Some(Fetch { from: 1, at_least: 1 }));
}

#[test]
fn without_a_majority_there_is_an_alarm_and_nobody_acts() {
    let mut bench = Bench::new(2, 3);
    bench.replica.on_digest(bench.now, 1, 8);
    tell_digest(&mut bench, 1, 1, 7);
    let effects = tell_digest(&mut bench, 3, 1, 6);
    let digests = [(1, 7), (2, 8), (3, 6)].into();
    assert!(effects.events.contains(&Event::DigestsDiffer { index: 1, digests }));
    assert_eq!(bench.replica.state_lost(), None);
}

#[test]
fn a_leader_audits_what_was_written_and_only_that() {
    let mut bench = Bench::new(1, 1);
    bench.replica.options.audit = Some(Bytes::from_static(AUDIT));
    bench.pass(1);
    bench.persist();
    bench.persist();
    let audits = |effects: &Effects| {
        let is_audit = |entry: &Entry| matches!(&entry.payload, Payload::Command(bytes) if bytes.ends_with(AUDIT));
        effects
            .writes
            .iter()
            .flat_map(|(write, _)| &write.entries)
            .filter(|it| is_audit(it))
            .count()
    };
    let mut seen = 0;
    for _ in 0..120 {
        seen += audits(&bench.pass(1_000_000));
        bench.persist();
    }
    assert_eq!(seen, 1, "the entries it began with, and then nothing");
    bench.write(1);
    while !bench.writing.is_empty() {
        bench.persist();
    }
    assert_eq!(audits(&bench.pass(59_000_000)), 0);
    assert_eq!(audits(&bench.pass(61_000_000)), 1);
}

#[test]
fn requests_passed_on_to_the_leader_are_bounded() {
    let mut bench = Bench::new(2, 3);
    bench.follow(1, 2);
    let mut busy = Vec::new();
    for id in 0..70 {
        let request = Request::Admin(AdminRequest::Transfer(None));
        let deadline = bench.now.mono + 5_000_000;
        bench.replica.on_request(bench.now, ticket(id), deadline, request);
        busy.extend(reasons(&bench.effects()));
    }
    assert_eq!(busy.len(), 6);
    assert!(busy.iter().all(|(_, reason)| *reason == Reason::Busy));
}
