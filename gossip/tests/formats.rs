//! Bytes that were written once and must decode for ever.
//!
//! `tests/data/v1/` holds one file per packet kind and push-pull kind. They are never rewritten; a
//! new format gets a directory of its own. `GOSSIP_WRITE_FORMATS=1` writes those that are missing.

#![allow(clippy::unwrap_used)]

mod common;

use std::path::PathBuf;

use bowline_gossip::packet::{Message, Packet};
use bowline_gossip::push_pull::{self, Kind};
use bowline_gossip::{Member, Rumour, Status};
use common::CLUSTER;

fn path(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "data", "v1", name].iter().collect()
}

/// The bytes of a file; written first if it is missing and that is asked for.
fn bytes(name: &str, written: &[u8]) -> Vec<u8> {
    let path = path(name);
    if !path.exists() && std::env::var_os("GOSSIP_WRITE_FORMATS").is_some() {
        std::fs::write(&path, written).unwrap();
    }
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// One member of each status, with both kinds of addresses and numbers of all lengths.
fn rumours() -> Vec<Rumour> {
    let member = |id, incarnation, status, peer: &str| Member {
        id,
        tag: core::array::from_fn(|i| u8::try_from(i).unwrap() * 16),
        name: "Zürich-1".into(),
        peer: peer.parse().unwrap(),
        http: "https://links.example:7070".into(),
        version: "0.1.0".into(),
        incarnation,
        status,
    };
    vec![
        Rumour { member: member(1, 0, Status::Alive, "10.0.0.1:7071"), by: 1 },
        Rumour { member: member(300, 200, Status::Suspect, "[2001:db8::1]:65535"), by: 70_000 },
        Rumour { member: member(u64::MAX, 1 << 40, Status::Down, "127.0.0.1:1"), by: 2 },
        Rumour { member: member(4, 1 << 20, Status::Left, "192.0.2.4:7071"), by: 4 },
    ]
}

fn packets() -> Vec<(&'static str, Message)> {
    vec![
        ("ping", Message::Ping { probe: 1 << 33, target: 513, introduce: true }),
        ("ack", Message::Ack { probe: 7 }),
        ("ping-request", Message::PingRequest { probe: 1 << 33, target: 513 }),
        ("nack", Message::Nack { probe: 70_000 }),
        ("gossip", Message::Gossip),
    ]
}

#[test]
fn every_packet_kind_of_format_1_decodes() {
    for (name, message) in packets() {
        let rumours = rumours();
        let packet = Packet { cluster: CLUSTER, sender: 258, tag: [0xee; 16], message, rumours };
        let bytes = bytes(name, &packet.encode());
        assert_eq!(Packet::decode(&bytes, &CLUSTER, 1_400), Ok(packet), "{name}");
    }
}

#[test]
fn every_push_pull_kind_of_format_1_decodes() {
    for (name, kind) in [("push-pull-request", Kind::Request), ("push-pull-answer", Kind::Answer)] {
        let bytes = bytes(name, &push_pull::encode(kind, &rumours()));
        assert_eq!(push_pull::decode(&bytes), Ok((kind, rumours())), "{name}");
    }
}

#[test]
fn the_header_is_what_the_documentation_says() {
    let bytes = bytes("ping", &[]);
    assert_eq!(bytes[..8], *b"BwlG\x01\x01\x00\x00");
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..8]), &bytes[12..]);
    assert_eq!(bytes[8..12], crc.to_le_bytes());
    assert_eq!(bytes[12..28], CLUSTER);
    assert_eq!(bytes[28..36], [2, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bytes[36..52], [0xee; 16]);
}
