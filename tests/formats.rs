//! What nodes say to each other must be understood for ever: every kind of message, as bytes that
//! were written once (`tests/data/v1`). `BOWLINE_WRITE_V1=1` writes those that are missing.

use std::path::Path;

use bowline::ids::{Id128, WriteId};
use bowline::membership::{JoinRequest, JoinResponse};
use bowline::raft::{
    Append, Configuration, Entry, Envelope, Member, MemberInfo, MemberRole, Message, Payload, Stamp,
};
use bowline::replica::{AdminRequest, PeerMessage, Refusal};

/// The bytes of a file of old, which must be those that are written today.
fn stands(name: &str, encoded: &[u8]) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/v1").join(name);
    if !path.exists() && std::env::var_os("BOWLINE_WRITE_V1").is_some() {
        std::fs::write(&path, encoded).unwrap();
    }
    let old = read(name);
    assert_eq!(old, encoded, "{name} is written in another way than it was");
    old
}

/// The bytes of a file of old.
fn read(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/v1").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn info() -> MemberInfo {
    MemberInfo {
        tag: [0xab; 16],
        name: "amber".to_owned(),
        peer: "10.0.0.1:7071".to_owned(),
        http: "http://10.0.0.1:7070".to_owned(),
    }
}

fn configuration() -> Configuration {
    let member = |role| Member { role, info: info() };
    Configuration {
        members: [(1, member(MemberRole::Voter)), (300, member(MemberRole::Learner))].into(),
    }
}

fn entries() -> Vec<Entry> {
    let payloads = [
        Payload::Noop,
        Payload::Command(vec![1, 2, 3, 250].into()),
        Payload::Configuration(configuration()),
    ];
    let stamp = Stamp { clock_ms: 1_700_000_000_000, wall_ms: 1_700_000_000_123 };
    let entry = |(at, payload)| Entry { index: 70_000 + at as u64, term: 9, stamp, payload };
    payloads.into_iter().enumerate().map(entry).collect()
}

fn messages() -> Vec<(&'static str, PeerMessage)> {
    let raft = |message| PeerMessage::Raft(Envelope { from: 1, to: 300, term: 9, message });
    let answer = |full| raft(Message::HeartbeatResponse { round: 44, last_index: 70_002, full });
    let append = Append { prev_index: 69_999, prev_term: 8, entries: entries(), commit: 69_998 };
    let id = WriteId { session: 12, seq: 345, floor: 340 };
    vec![
        ("pre-vote", raft(Message::PreVote { last_index: 7, last_term: 3 })),
        ("pre-vote-response", raft(Message::PreVoteResponse { granted: true })),
        ("vote", raft(Message::Vote { last_index: 7, last_term: 3, transfer: true })),
        ("vote-response", raft(Message::VoteResponse { granted: false })),
        ("append", raft(Message::Append(append))),
        ("append-accepted", raft(Message::AppendAccepted { match_index: 70_002 })),
        (
            "append-rejected",
            raft(Message::AppendRejected { prev_index: 9, hint_index: 5, hint_term: 2 }),
        ),
        ("heartbeat", raft(Message::Heartbeat { commit: 70_000, round: 44 })),
        ("heartbeat-response", answer(false)),
        ("heartbeat-response-full", answer(true)),
        ("timeout-now", raft(Message::TimeoutNow)),
        ("read-index", raft(Message::ReadIndex { id: 5 })),
        ("read-index-response", raft(Message::ReadIndexResponse { id: 5, index: Some(70_000) })),
        ("fetch-state", raft(Message::FetchState { start: 70_000 })),
        ("recovering", raft(Message::Recovering { nonce: 77_000, last_index: 69_000 })),
        ("recover-to", raft(Message::RecoverTo { nonce: 77_000, index: 70_002 })),
        ("holds", raft(Message::Holds { index: 70_001, term: 9, nonce: 0xfeed_f00d })),
        ("removed", raft(Message::Removed { index: 70_002 })),
        ("forward", PeerMessage::Forward { id, command: vec![0, 1, 255].into() }),
        ("refused", PeerMessage::Refused { id, refusal: Refusal::Busy }),
        ("refused-disk-full", PeerMessage::Refused { id, refusal: Refusal::DiskFull }),
        ("digest", PeerMessage::Digest { index: 70_000, digest: u128::MAX / 3 }),
        ("admin", PeerMessage::Admin { id: 3, request: AdminRequest::Transfer(Some(2)) }),
        ("admin-done", PeerMessage::AdminDone { id: 3, result: Err("not a voter".to_owned()) }),
    ]
}

#[test]
fn every_peer_message_is_understood_for_ever() {
    for (name, message) in messages() {
        let old = stands(&format!("message-{name}.bin"), &rmp_serde::to_vec(&message).unwrap());
        assert_eq!(rmp_serde::from_slice::<PeerMessage>(&old).unwrap(), message, "{name}");
    }
}

/// What was written before fields were appended: they have their defaults.
#[test]
fn messages_from_before_a_field_was_appended_are_understood() {
    let answer = Message::HeartbeatResponse { round: 44, last_index: 70_002, full: false };
    let envelope = Envelope { from: 1, to: 300, term: 9, message: answer };
    let old = read("message-heartbeat-response.bin");
    assert_eq!(rmp_serde::from_slice::<PeerMessage>(&old).unwrap(), PeerMessage::Raft(envelope));
}

#[test]
fn joining_is_understood_for_ever() {
    let request = JoinRequest::new(info());
    let old = stands("join-request.bin", &request.encode());
    assert_eq!(JoinRequest::decode(&old).unwrap(), request);
    let responses = [
        (
            "admitted",
            JoinResponse::Admitted {
                cluster: Id128([3; 16]),
                epoch: 1,
                id: 300,
                index: 70_002,
                configuration: configuration(),
                by: 1,
                roster: vec![9, 8, 7].into(),
            },
        ),
        ("redirect", JoinResponse::Redirect("10.0.0.2:7071".to_owned())),
        ("retry", JoinResponse::Retry("no leader".to_owned())),
        ("refused", JoinResponse::Refused("cannot dial back".to_owned())),
    ];
    for (name, response) in responses {
        let old = stands(&format!("join-{name}.bin"), &response.encode());
        assert_eq!(rmp_serde::from_slice::<JoinResponse>(&old).unwrap(), response, "{name}");
    }
}

#[test]
fn noise_is_refused_without_a_panic() {
    use rand::rngs::StdRng;
    use rand::{Rng, RngExt, SeedableRng};
    let mut rng = StdRng::seed_from_u64(3);
    let samples: Vec<Vec<u8>> =
        messages().iter().map(|(_, message)| rmp_serde::to_vec(message).unwrap()).collect();
    for _ in 0..20_000 {
        let mut bytes = samples[rng.random_range(0..samples.len())].clone();
        match rng.random_range(0..3) {
            0 => bytes.truncate(rng.random_range(0..bytes.len())),
            1 => {
                let at = rng.random_range(0..bytes.len());
                bytes[at] ^= 1 << rng.random_range(0..8);
            }
            _ => rng.fill_bytes(&mut bytes),
        }
        let _ = rmp_serde::from_slice::<PeerMessage>(&bytes);
        let _ = JoinRequest::decode(&bytes);
    }
}
