//! The claims of Ongaro's thesis, section by section: init, act, check.
//!
//! The golden scripts show how things go; here is what must come out, in the words of the text.

use bytes::Bytes;

use super::cluster::{Cluster, info};
use crate::raft::{
    Append, Change, Envelope, Index, Message, NodeId, Options, ProposeError, RoleKind, Term,
};

/// Voters 1 to `voters`, of which 1 leads in term 2.
fn led(voters: u64) -> Cluster {
    let mut cluster = Cluster::new(voters, 0, Options::default(), 1);
    cluster.input(1, |node, now| node.campaign(now));
    cluster.deliver_all();
    assert_eq!(cluster.leader(), Some(1));
    cluster
}

fn propose(cluster: &mut Cluster, id: NodeId, command: &'static str) -> Index {
    let commands = vec![Bytes::from(command)];
    *cluster.input(id, |node, now| node.propose(now, commands)).unwrap().end()
}

/// Gives a message to a node and returns what it answers at once to `from`.
fn ask(
    cluster: &mut Cluster,
    from: NodeId,
    to: NodeId,
    term: Term,
    message: Message,
) -> Vec<Message> {
    cluster.network.clear();
    cluster.deliver(Envelope { from, to, term, message });
    let answers = cluster.network.iter().filter(|answer| answer.to == from);
    answers.map(|answer| answer.message.clone()).collect()
}

fn vote(last_index: Index, last_term: Term) -> Message {
    Message::Vote { last_index, last_term, transfer: false }
}

fn cut_off(cluster: &mut Cluster, id: NodeId) {
    for other in cluster.hosts.keys().copied().collect::<Vec<_>>() {
        cluster.cuts.extend([(id, other), (other, id)]);
    }
}

#[test]
fn section_3_3_whoever_sees_a_larger_term_takes_it_and_follows() {
    for role in [RoleKind::Follower, RoleKind::Candidate, RoleKind::Leader] {
        let mut cluster = Cluster::new(3, 0, Options::default(), 1);
        if role != RoleKind::Follower {
            cluster.input(1, |node, now| node.campaign(now));
            while cluster.node(1).role_kind() != role {
                assert!(cluster.deliver_next());
            }
        }
        let heartbeat = Message::Heartbeat { commit: 0, round: 1 };
        ask(&mut cluster, 2, 1, 9, heartbeat);
        assert_eq!(cluster.node(1).role_kind(), RoleKind::Follower, "from {role}");
        assert_eq!((cluster.node(1).term(), cluster.node(1).leader()), (9, Some(2)));
    }
}

#[test]
fn section_3_3_requests_of_older_terms_are_refused() {
    let mut cluster = led(3);
    let append = Append { prev_index: 4, prev_term: 2, entries: Vec::new(), commit: 0 };
    let answers = ask(&mut cluster, 3, 2, 1, Message::Append(append));
    assert_eq!(answers, [Message::HeartbeatResponse { round: 0, last_index: 4, full: false }]);
    assert_eq!(cluster.network[0].term, 2, "the answer tells the newer term");
    let answers = ask(&mut cluster, 3, 2, 1, vote(9, 9));
    assert_eq!(answers, [Message::VoteResponse { granted: false }]);
}

#[test]
fn section_3_4_a_follower_without_a_leader_starts_an_election() {
    let mut cluster = Cluster::new(3, 0, Options::default(), 1);
    let deadline = cluster.node(2).deadline().0;
    cluster.time = deadline - 1;
    cluster.input(2, |node, now| node.tick(now));
    assert_eq!(cluster.node(2).role_kind(), RoleKind::Follower);
    cluster.time = deadline;
    cluster.input(2, |node, now| node.tick(now));
    assert_eq!(cluster.node(2).role_kind(), RoleKind::PreCandidate);
}

#[test]
fn section_3_4_timeouts_are_spread_over_the_whole_range() {
    let options = Options::default();
    let (min, max) = (options.election_min, options.election_max);
    let mut buckets = [0; 5];
    for seed in 0..500 {
        let cluster = Cluster::new(3, 0, options.clone(), seed);
        let timeout = cluster.node(1).deadline().0 - cluster.time;
        assert!((min..max).contains(&timeout));
        buckets[((timeout - min) * 5 / (max - min)) as usize] += 1;
    }
    assert!(buckets.iter().all(|count| (50..200).contains(count)), "{buckets:?}");
}

#[test]
fn section_3_4_a_candidate_needs_a_majority_of_all_voters() {
    for (voters, refusals, elected) in [(3, 1, true), (3, 2, false), (5, 2, true), (5, 3, false)] {
        let mut cluster = Cluster::new(voters, 0, Options::default(), 1);
        for id in (2..=voters).take(refusals) {
            cluster.crash(id);
        }
        cluster.input(1, |node, now| node.campaign(now));
        cluster.deliver_all();
        assert_eq!(cluster.leader() == Some(1), elected, "{refusals} of {voters} away");
    }
}

#[test]
fn section_3_4_votes_go_to_the_first_who_asks() {
    let mut cluster = Cluster::new(3, 0, Options::default(), 1);
    assert_eq!(ask(&mut cluster, 2, 1, 2, vote(3, 1)), [Message::VoteResponse { granted: true }]);
    assert_eq!(ask(&mut cluster, 3, 1, 2, vote(3, 1)), [Message::VoteResponse { granted: false }]);
    assert_eq!(ask(&mut cluster, 2, 1, 2, vote(3, 1)), [Message::VoteResponse { granted: true }]);
}

#[test]
fn section_3_4_a_leader_lets_all_others_know_at_once() {
    let mut cluster = Cluster::new(5, 0, Options::default(), 1);
    cluster.input(1, |node, now| node.campaign(now));
    while cluster.node(1).role_kind() != RoleKind::Leader {
        assert!(cluster.deliver_next());
    }
    let appends = cluster.network.iter().filter(|e| matches!(e.message, Message::Append(_)));
    assert_eq!(appends.map(|envelope| envelope.to).collect::<Vec<_>>(), [2, 3, 4, 5]);
}

#[test]
fn section_3_5_an_entry_is_committed_when_a_majority_holds_it() {
    for (voters, away, commits) in
        [(1, 0, true), (2, 1, false), (3, 1, true), (5, 2, true), (5, 3, false)]
    {
        let mut cluster = led(voters);
        for id in (2..=voters).take(away) {
            cut_off(&mut cluster, id);
        }
        let index = propose(&mut cluster, 1, "x");
        cluster.deliver_all();
        assert_eq!(cluster.node(1).commit() == index, commits, "{away} of {voters} away");
    }
}

#[test]
fn section_3_5_a_follower_checks_that_its_log_agrees_before_the_new_entries() {
    // The log is 1@1 2@1 3@1 4@2: (previous entry, whether it is accepted).
    for (prev, accepted) in
        [((4, 2), true), ((3, 1), true), ((0, 0), true), ((4, 3), false), ((5, 2), false)]
    {
        let mut cluster = led(3);
        let append = Append { prev_index: prev.0, prev_term: prev.1, entries: vec![], commit: 0 };
        if prev == (4, 3) {
            // Of an entry that is not committed; otherwise it would be a contradiction.
            cluster = Cluster::new(3, 0, Options::default(), 1);
            let entry = led(3).node(1).entries(4, 4, usize::MAX).unwrap();
            let append = Append { prev_index: 3, prev_term: 1, entries: entry, commit: 3 };
            ask(&mut cluster, 1, 2, 2, Message::Append(append));
        }
        let answers = ask(&mut cluster, 1, 2, 3, Message::Append(append));
        let answer = answers.last().unwrap();
        assert_eq!(matches!(answer, Message::AppendAccepted { .. }), accepted, "{prev:?}");
    }
}

#[test]
fn section_3_5_the_leader_makes_followers_repeat_its_own_log() {
    let mut cluster = led(5);
    for id in [1, 5] {
        cut_off(&mut cluster, id);
    }
    propose(&mut cluster, 1, "lost");
    propose(&mut cluster, 1, "lost too");
    cluster.run(1_500_000);
    let leader = cluster.leader().unwrap();
    assert_ne!(leader, 1);
    propose(&mut cluster, leader, "kept");
    cluster.cuts.clear();
    cluster.run(500_000);
    let all = |id: NodeId| cluster.node(id).entries(1, 99, usize::MAX).unwrap();
    for id in 1..=5 {
        assert_eq!(all(id), all(leader));
    }
}

#[test]
fn section_3_6_1_only_who_has_all_committed_entries_is_elected() {
    // The voter's log ends with 4@2. (The candidate's last entry, whether it gets the vote.)
    let cases = [((4, 2), true), ((5, 2), true), ((3, 2), false), ((9, 1), false), ((1, 3), true)];
    for (last, granted) in cases {
        let mut cluster = led(3);
        cluster.crash(2);
        cluster.start(2, 0);
        let answers = ask(&mut cluster, 3, 2, 9, vote(last.0, last.1));
        assert_eq!(answers, [Message::VoteResponse { granted }], "{last:?}");
    }
}

#[test]
fn section_3_6_2_entries_of_earlier_terms_are_not_committed_by_counting() {
    let mut cluster = led(3);
    cut_off(&mut cluster, 1);
    let old = propose(&mut cluster, 1, "old");
    cluster.cuts.clear();
    cluster.crash(1);
    for id in [1, 2, 3] {
        cluster.crash(id);
        cluster.start(id, 0);
    }
    cluster.input(1, |node, now| node.campaign(now));
    while cluster.node(1).role_kind() != RoleKind::Leader {
        assert!(cluster.deliver_next());
    }
    for id in [2, 3] {
        let message = Message::AppendAccepted { match_index: old };
        ask(&mut cluster, id, 1, 3, message);
    }
    assert!(cluster.node(1).commit() < old, "all three hold it");
}

#[test]
fn section_3_8_term_and_vote_survive_a_restart() {
    let mut cluster = Cluster::new(3, 0, Options::default(), 1);
    ask(&mut cluster, 2, 1, 7, vote(3, 1));
    cluster.crash(1);
    cluster.start(1, 0);
    assert_eq!((cluster.node(1).term(), cluster.node(1).vote()), (7, Some(2)));
}

#[test]
fn section_3_10_leadership_goes_where_it_is_wanted() {
    let mut cluster = led(5);
    for target in [4, 2, 5, 1] {
        let leader = cluster.leader().unwrap();
        assert_eq!(cluster.input(leader, |n, now| n.transfer(now, Some(target))), Ok(target));
        let refused = cluster.input(leader, |n, now| n.propose(now, vec![Bytes::new()]));
        assert_eq!(refused, Err(ProposeError::Transferring(target)));
        cluster.deliver_all();
        assert_eq!(cluster.leader(), Some(target));
    }
}

#[test]
fn section_4_1_a_configuration_is_used_as_soon_as_it_is_in_the_log() {
    let mut cluster = led(3);
    let change = Change::Remove(3);
    let index = cluster.input(1, |n, now| n.propose_change(now, change, None)).unwrap();
    assert!(cluster.node(1).commit() < index);
    assert_eq!(cluster.node(1).configuration_index(), index);
    assert!(!cluster.node(1).configuration().contains(3));
    assert!(cluster.node(1).committed_configuration().1.contains(3));
}

#[test]
fn section_4_2_1_a_new_server_catches_up_without_a_vote() {
    let mut cluster = led(3);
    let change = Change::AddLearner(info(77));
    let id = cluster.input(1, |n, now| n.propose_change(now, change, None)).unwrap();
    cluster.deliver_all();
    cluster.join(id);
    propose(&mut cluster, 1, "x");
    cluster.run(200_000);
    assert_eq!(cluster.node(id).commit(), cluster.node(1).commit());
    assert_eq!(cluster.node(1).configuration().voters().count(), 3);
    cluster.run(5_000_000);
    assert_eq!(cluster.node(id).role_kind(), RoleKind::Follower);
}

#[test]
fn section_4_2_3_a_disruptive_server_moves_nobody() {
    let mut cluster = led(3);
    for term in 3..20 {
        assert_eq!(ask(&mut cluster, 3, 2, term, vote(99, 99)), []);
        assert_eq!(ask(&mut cluster, 3, 1, term, vote(99, 99)), []);
        cluster.run(100_000);
    }
    assert_eq!((cluster.leader(), cluster.node(1).term()), (Some(1), 2));
}

#[test]
fn section_6_2_a_leader_without_a_majority_steps_down() {
    let mut cluster = led(3);
    cut_off(&mut cluster, 1);
    cluster.run(2 * cluster.options.election_max);
    assert_ne!(cluster.node(1).role_kind(), RoleKind::Leader);
}

#[test]
fn section_6_4_a_read_sees_every_write_acknowledged_before() {
    let mut cluster = led(3);
    let index = propose(&mut cluster, 1, "x");
    cluster.deliver_all();
    for (number, id) in [1, 2, 3].into_iter().enumerate() {
        cluster.input(id, |node, now| node.read_index(now, number as u64));
    }
    assert!(cluster.reads.is_empty(), "not before a round was answered");
    cluster.deliver_all();
    assert_eq!(cluster.reads.len(), 3);
    assert!(cluster.reads.iter().all(|(_, _, result)| *result == Ok(index)));
}

#[test]
fn section_9_6_a_pre_vote_changes_no_term_and_promises_nothing() {
    let mut cluster = Cluster::new(3, 0, Options::default(), 1);
    let pre_vote = || Message::PreVote { last_index: 3, last_term: 1 };
    for candidate in [2, 3] {
        let answers = ask(&mut cluster, candidate, 1, 2, pre_vote());
        assert_eq!(answers, [Message::PreVoteResponse { granted: true }]);
    }
    assert_eq!((cluster.node(1).term(), cluster.node(1).vote()), (1, None));
}

#[test]
fn section_10_2_1_the_leader_writes_in_parallel_and_does_not_count_itself_early() {
    let mut cluster = led(3);
    cluster.hosts.get_mut(&1).unwrap().auto_disk = false;
    let index = propose(&mut cluster, 1, "x");
    assert_eq!(cluster.network.len(), 2, "sent before it is on the leader's own disk");
    cluster.network.retain(|envelope| envelope.to == 2);
    cluster.deliver_all();
    assert!(cluster.node(1).commit() < index, "one durable copy of three");
    assert!(cluster.persist(1));
    assert_eq!(cluster.node(1).commit(), index);
}
