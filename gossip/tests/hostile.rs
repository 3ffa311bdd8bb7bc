//! What bad input gets: an error, and nothing else. No panic, no answer to strangers, no growth
//! without bound.

#![allow(clippy::unwrap_used)]

mod common;

use core::time::Duration;

use bowline_gossip::config::{MAX_MEMBERS, MAX_RELAYS};
use bowline_gossip::packet::{Message, Packet};
use bowline_gossip::push_pull::{self, Kind};
use bowline_gossip::{
    Config, Contact, Effect, Gossip, MAX_INCARNATION, Member, Micros, PacketError, Rumour, Status,
};
use common::{CLUSTER, addr, member, packet, tag};
use proptest::prelude::*;

/// Node 1, which knows nodes 2 and 3 and has nothing left to say.
fn node() -> Gossip {
    let mut gossip = Gossip::new(Config::lan(CLUSTER), member(1, 0, Status::Alive), 1, Micros(0));
    let contact = |id| Contact { id, tag: tag(id), addr: addr(id) };
    gossip.set_contacts(vec![contact(2), contact(3)]);
    let rows: Vec<Rumour> =
        [2, 3].map(|id| Rumour { member: member(id, 0, Status::Alive), by: id }).into();
    gossip.on_push_pull(Micros(0), 2, &push_pull::encode(Kind::Answer, &rows)).unwrap();
    let _ = gossip.take_effects();
    gossip
}

/// Real packets of every kind, from node 2.
fn real() -> Vec<Packet> {
    let news = vec![
        Rumour { member: member(3, 1, Status::Suspect), by: 2 },
        Rumour { member: member(1, 0, Status::Down), by: 3 },
    ];
    [
        Message::Ping { probe: 9, target: 1, introduce: true },
        Message::Ack { probe: 9 },
        Message::PingRequest { probe: 9, target: 3 },
        Message::Nack { probe: 9 },
        Message::Gossip,
    ]
    .map(|message| packet(2, message, news.clone()))
    .into()
}

/// Makes the checksum right again, as a liar would.
fn reseal(bytes: &mut [u8]) {
    if bytes.len() >= 12 {
        let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..8]), &bytes[12..]);
        bytes[8..12].copy_from_slice(&crc.to_le_bytes());
    }
}

/// Feeds a packet; a refusal must leave no trace but an impostor's report.
fn feed(gossip: &mut Gossip, bytes: &[u8]) -> Result<(), PacketError> {
    let before: Vec<Member> = gossip.members().cloned().collect();
    let result = gossip.on_packet(Micros(1), addr(2), bytes);
    let effects = gossip.take_effects();
    if result.is_err() {
        assert!(effects.iter().all(|e| matches!(e, Effect::Event(_))), "{result:?}: {effects:?}");
        assert_eq!(before, gossip.members().cloned().collect::<Vec<_>>(), "{result:?}");
    }
    result
}

proptest! {
    #[test]
    fn random_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..1_600)) {
        let mut gossip = node();
        prop_assert!(feed(&mut gossip, &bytes).is_err());
        let refused = gossip.on_push_pull(Micros(1), 2, &bytes).is_err();
        prop_assert!(refused || push_pull::decode(&bytes).is_ok());
    }

    #[test]
    fn random_bodies_under_a_good_header_never_panic(
        which in 0..5_usize,
        body in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut bytes = real()[which].encode();
        bytes.truncate(52);
        bytes.extend(body);
        reseal(&mut bytes);
        let _ = feed(&mut node(), &bytes);
    }

    #[test]
    fn mutated_packets_never_panic(
        which in 0..5_usize,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in proptest::option::of(any::<prop::sample::Index>()),
        sealed in any::<bool>(),
    ) {
        let good = real()[which].encode();
        let mut bytes = good.clone();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if sealed {
            reseal(&mut bytes);
        }
        let mut gossip = node();
        let result = feed(&mut gossip, &bytes);
        if !sealed && bytes != good {
            prop_assert!(result.is_err(), "damage is always noticed");
        }
        // And it still works.
        gossip.tick(Micros(10_000_000));
    }

    #[test]
    fn strangers_get_no_answer(
        which in 0..5_usize,
        sender in 4..u64::MAX,
        tag in any::<[u8; 16]>(),
    ) {
        let stranger = Packet { sender, tag, ..real().remove(which) };
        let mut gossip = node();
        prop_assert_eq!(feed(&mut gossip, &stranger.encode()), Err(PacketError::Stranger(sender)));
        prop_assert_eq!(gossip.counters().strangers, 1);
    }

    #[test]
    fn other_clusters_get_no_answer(which in 0..5_usize, cluster in any::<[u8; 16]>()) {
        prop_assume!(cluster != CLUSTER);
        let other = Packet { cluster, ..real().remove(which) };
        prop_assert_eq!(feed(&mut node(), &other.encode()), Err(PacketError::Cluster));
    }

    #[test]
    fn mutated_push_pulls_never_panic(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut body = node().roster_body();
        for (at, value) in changes {
            let at = at.index(body.len());
            body[at] = value;
        }
        let mut gossip = node();
        let _ = gossip.on_push_pull(Micros(1), 2, &body);
        gossip.tick(Micros(10_000_000));
    }

    #[test]
    fn packets_never_exceed_the_limit(lengths in proptest::collection::vec(0..=64_usize, 2..60)) {
        let mut gossip = node();
        let rows: Vec<Rumour> = lengths
            .iter()
            .enumerate()
            .map(|(i, length)| {
                let name = "n".repeat(*length);
                let http = "h".repeat(*length * 4);
                let m = Member { name, http, ..member(10 + i as u64, 0, Status::Suspect) };
                Rumour { member: m, by: 2 }
            })
            .collect();
        gossip.on_push_pull(Micros(1), 2, &push_pull::encode(Kind::Request, &rows)).unwrap();
        let mut sent = 0;
        while gossip.deadline() < Micros(3_000_000) {
            gossip.tick(gossip.deadline());
            for effect in gossip.take_effects() {
                if let Effect::Send { packet, .. } = effect {
                    prop_assert!(packet.len() <= 1_400);
                    sent += 1;
                }
            }
        }
        prop_assert!(sent > 0);
    }
}

#[test]
fn real_packets_are_taken() {
    for packet in real() {
        assert_eq!(feed(&mut node(), &packet.encode()), Ok(()), "{packet:?}");
    }
}

#[test]
fn relays_are_bounded() {
    let mut gossip = node();
    let flood = 10 * MAX_RELAYS as u64;
    let mut pings = 0;
    for probe in 0..flood {
        let bytes = packet(2, Message::PingRequest { probe, target: 3 }, vec![]).encode();
        gossip.on_packet(Micros(1), addr(2), &bytes).unwrap();
        pings += gossip.take_effects().len();
    }
    assert_eq!(pings, MAX_RELAYS);
    assert_eq!(gossip.counters().relays_refused, flood - MAX_RELAYS as u64);
    // A second later there is room again.
    gossip.tick(Micros(1_100_000));
    let bytes = packet(2, Message::PingRequest { probe: 1, target: 3 }, vec![]).encode();
    let _ = gossip.take_effects();
    gossip.on_packet(Micros(1_100_000), addr(2), &bytes).unwrap();
    assert_eq!(gossip.take_effects().len(), 1);
}

#[test]
fn the_roster_is_bounded() {
    let mut gossip = node();
    let someone = |id: u64| {
        let name = format!("n{id}");
        let m = Member { id, name, ..member(3, 0, Status::Alive) };
        Rumour { member: m, by: id }
    };
    for id in 10..1_010 {
        let bytes = packet(2, Message::Gossip, vec![someone(id)]).encode();
        gossip.on_packet(Micros(1), addr(2), &bytes).unwrap();
    }
    assert_eq!(gossip.members().count(), MAX_MEMBERS);
    assert_eq!(gossip.counters().roster_full, 1_003 - MAX_MEMBERS as u64);
    assert!(gossip.roster_body().len() <= bowline_gossip::config::MAX_PUSH_PULL);
}

#[test]
fn unbelievable_records_are_refused_whole() {
    for bad in [
        Member { incarnation: MAX_INCARNATION + 1, ..member(3, 0, Status::Alive) },
        Member { name: "n".repeat(65), ..member(3, 1, Status::Alive) },
        Member { peer: "0.0.0.0:1".parse().unwrap(), ..member(3, 1, Status::Alive) },
    ] {
        let rumours = vec![
            Rumour { member: member(3, 5, Status::Suspect), by: 2 },
            Rumour { member: bad, by: 3 },
        ];
        let bytes = packet(2, Message::Gossip, rumours.clone()).encode();
        assert_eq!(feed(&mut node(), &bytes), Err(PacketError::Body));
        let body = push_pull::encode(Kind::Request, &rumours);
        assert_eq!(node().on_push_pull(Micros(1), 2, &body), Err(PacketError::Body));
    }
}

#[test]
fn the_highest_incarnation_does_not_overflow() {
    let mut gossip = node();
    for _ in 0..2 {
        let rumours = vec![Rumour { member: member(1, MAX_INCARNATION, Status::Suspect), by: 2 }];
        let bytes = packet(2, Message::Gossip, rumours).encode();
        gossip.on_packet(Micros(1), addr(2), &bytes).unwrap();
    }
    assert_eq!(gossip.me().incarnation, MAX_INCARNATION);
    assert_eq!(gossip.me().check(), Ok(()));
}

#[test]
fn own_packets_that_come_back_are_refused() {
    let mut gossip = node();
    let bytes = packet(1, Message::Gossip, vec![]).encode();
    assert_eq!(feed(&mut gossip, &bytes), Err(PacketError::Own));
    let body = gossip.roster_body();
    assert_eq!(gossip.on_push_pull(Micros(1), 1, &body), Err(PacketError::Own));
}

#[test]
fn a_clock_that_steps_back_harms_nothing() {
    let mut gossip = node();
    gossip.tick(Micros(1_000_000));
    gossip.tick(Micros(10));
    assert!(gossip.deadline() >= Micros(1_000_000));
    gossip.tick(Micros::NEVER - Duration::from_secs(1));
}
