//! The bytes of frames and handshakes. The files in `tests/data/v1` must decode for ever; they were
//! made by another program than the one under test.

use std::path::Path;

use bowline::ids::Id128;
use bowline::transport::frame::{self, Decoder};
use bowline::transport::handshake::{Accepted, Garbage, MAX_REASON};
use bowline::transport::{
    Features, Hello, HelloAnswer, Identity, Lane, Purpose, Refusal, RefusalCode,
};
use proptest::collection::vec;
use proptest::prelude::*;

fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/v1").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn somebody() -> Identity {
    Identity {
        cluster: Id128([0xc1; 16]),
        epoch: 3,
        node: 0x1122_3344_5566_7788,
        tag: Id128([0x7a; 16]),
        boot_nonce: 0x99aa_bbcc_ddee_ff00,
    }
}

#[test]
fn frames_of_version_1() {
    let bytes = fixture("frames.bin");
    let bodies: [(u8, Vec<u8>); 3] =
        [(1, vec![]), (2, b"a member list".to_vec()), (3, (0..=255).collect())];

    let mut decoded = Vec::new();
    let fed =
        Decoder::new(256).feed(&bytes, |frame| decoded.push((frame.service, frame.body.to_vec())));
    assert_eq!((decoded.as_slice(), fed), (bodies.as_slice(), Ok(())));

    let encode =
        |(service, body): &(u8, Vec<u8>)| [&frame::header(*service, body), &body[..]].concat();
    assert_eq!(bodies.iter().flat_map(encode).collect::<Vec<u8>>(), bytes);
}

#[test]
fn hellos_of_version_1() {
    let cases = [
        ("hello_control.bin", Purpose::Lane(Lane::Control)),
        ("hello_bulk.bin", Purpose::Lane(Lane::Bulk)),
        ("hello_guest.bin", Purpose::Guest),
        ("hello_probe.bin", Purpose::Probe),
    ];
    for (name, purpose) in cases {
        let hello = Hello::new(somebody(), purpose).expecting(5, Id128([0x7b; 16]));
        let bytes = fixture(name);
        assert_eq!(Hello::parse(&bytes), Ok(Some((hello, bytes.len()))), "{name}");
        assert_eq!(hello.encode(), bytes, "{name}");
    }
}

#[test]
fn a_hello_of_a_later_version_is_understood_as_far_as_we_go() {
    let bytes = fixture("hello_later.bin");
    let hello = Hello {
        version_max: 7,
        features: Features(0x8000_0000_0000_0001),
        seal: 2,
        key_id: 77,
        ..Hello::new(somebody(), Purpose::Lane(Lane::Control))
    };
    assert_eq!(Hello::parse(&bytes), Ok(Some((hello, bytes.len()))));
}

#[test]
fn answers_of_version_1() {
    let accepted = HelloAnswer::Accepted(Accepted {
        version: 1,
        features: Features::default(),
        seal: 0,
        key_id: 0,
        from: somebody(),
    });
    let refused = HelloAnswer::Refused(Refusal {
        code: RefusalCode::Removed,
        reason: "node 4 is not in the cluster as of index 8: it was removed".into(),
    });
    for (name, answer) in [("answer_accepted.bin", accepted), ("answer_refused.bin", refused)] {
        let bytes = fixture(name);
        assert_eq!(answer.encode(), bytes, "{name}");
        assert_eq!(HelloAnswer::parse(&bytes), Ok(Some((answer, bytes.len()))), "{name}");
    }
}

#[test]
fn each_side_learns_the_others_number_and_the_abilities_of_both() {
    let (ours, theirs) =
        (Features(0b0110_0000_0000_0000_0010), Features(0b1010_0000_0000_0000_0101));
    assert_eq!(ours.answer(theirs), Features(0b0010_0000_0000_0000_0010));
    assert_eq!((ours.rules(), theirs.rules()), (2, 5));
    assert_eq!(Features::default().rules(), 1, "from before there were two");
    assert_eq!(Features::knowing(3), Features(3));
}

#[test]
fn a_web_server_and_a_web_client_are_recognised() {
    assert_eq!(HelloAnswer::parse(b"HTTP/1.1 400 Bad Request\r\n"), Err(Garbage::Http));
    assert_eq!(HelloAnswer::parse(b"HTT"), Ok(None));
    assert_eq!(Hello::parse(b"GET / HTTP/1.1\r\n"), Err(Garbage::Http));
    assert_eq!(Hello::parse(b"DELE"), Ok(None));
    assert_eq!(Hello::parse(b"GETS / HTTP/1.1"), Err(Garbage::Magic));
}

#[test]
fn a_refusal_is_cut_to_its_limit_and_cannot_draw_on_a_terminal() {
    let reason = format!("\x1b[2J{}", "ä".repeat(300));
    let answer = HelloAnswer::Refused(Refusal { code: RefusalCode::Other(200), reason });
    let Ok(Some((HelloAnswer::Refused(refusal), _))) = HelloAnswer::parse(&answer.encode()) else {
        panic!("it was a refusal");
    };
    assert_eq!(refusal.code, RefusalCode::Other(200));
    assert!(refusal.reason.starts_with("?[2Jä") && refusal.reason.len() <= MAX_REASON);
}

prop_compose! {
    fn identities()(
        cluster: [u8; 16], epoch: u32, node: u64, tag: [u8; 16], boot_nonce: u64,
    ) -> Identity {
        Identity { cluster: Id128(cluster), epoch, node, tag: Id128(tag), boot_nonce }
    }
}

fn purposes() -> impl Strategy<Value = Purpose> {
    prop::sample::select(vec![
        Purpose::Lane(Lane::Control),
        Purpose::Lane(Lane::Bulk),
        Purpose::Guest,
        Purpose::Probe,
    ])
}

proptest! {
    #[test]
    fn a_hello_comes_through_and_only_when_it_is_whole_and_unchanged(
        from in identities(), purpose in purposes(), node: u64, tag: [u8; 16],
        rest in vec(any::<u8>(), 0..20), at: prop::sample::Index,
    ) {
        let hello = Hello::new(from, purpose).expecting(node, Id128(tag));
        let mut bytes = hello.encode();
        let length = bytes.len();
        let at = at.index(length);
        prop_assert_eq!(Hello::parse(&bytes[..at]), Ok(None));
        bytes.extend(rest);
        prop_assert_eq!(Hello::parse(&bytes), Ok(Some((hello, length))));
        bytes[at] ^= 1;
        prop_assert!(!matches!(Hello::parse(&bytes), Ok(Some(_))));
    }

    #[test]
    fn an_answer_comes_through_and_only_when_it_is_whole_and_unchanged(
        from in identities(), reason in proptest::option::of("[ -~]{0,200}"), at: prop::sample::Index,
    ) {
        let answer = match reason {
            None => HelloAnswer::Accepted(Accepted {
                version: 1, features: Features(2), seal: 3, key_id: 4, from,
            }),
            Some(reason) => HelloAnswer::Refused(Refusal { code: RefusalCode::Busy, reason }),
        };
        let mut bytes = answer.encode();
        let at = at.index(bytes.len());
        prop_assert_eq!(HelloAnswer::parse(&bytes[..at]), Ok(None));
        prop_assert_eq!(HelloAnswer::parse(&bytes), Ok(Some((answer, bytes.len()))));
        bytes[at] ^= 1;
        prop_assert!(!matches!(HelloAnswer::parse(&bytes), Ok(Some(_))));
    }

    #[test]
    fn random_bytes_are_no_handshake(bytes in vec(any::<u8>(), 0..700)) {
        prop_assert!(!matches!(Hello::parse(&bytes), Ok(Some(_))));
        prop_assert!(!matches!(HelloAnswer::parse(&bytes), Ok(Some(_))));
    }

    #[test]
    fn random_fields_behind_a_true_magic_are_no_handshake(bytes in vec(any::<u8>(), 0..700)) {
        let hello = Hello::new(Identity::default(), Purpose::Probe).encode();
        let bytes = [&hello[..22], &bytes].concat();
        prop_assert!(!matches!(Hello::parse(&bytes), Ok(Some(_))));
        if bytes.len() > 22 + 2 + 512 + 4 {
            prop_assert!(Hello::parse(&bytes).is_err(), "never wait for more than the longest hello");
        }
    }
}
