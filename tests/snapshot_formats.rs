//! What nodes say to each other while a state moves must be understood for ever: every kind of message,
//! as bytes that were written once (`tests/data/v1`). `BOWLINE_WRITE_V1=1` writes those that are missing.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::path::Path;

use bowline::ids::Id128;
use bowline::snapshot::message::{Answer, Blob, Message, Request, Staging, Why};
use bytes::Bytes;

/// The bytes of a file of old, which must be those that are written today.
fn stands(name: &str, encoded: &[u8]) -> Bytes {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/v1").join(name);
    if !path.exists() && std::env::var_os("BOWLINE_WRITE_V1").is_some() {
        std::fs::write(&path, encoded).unwrap();
    }
    let old = std::fs::read(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(old, encoded, "{name} is written in another way than it was");
    old.into()
}

#[test]
fn every_message_about_a_state_is_understood_for_ever() {
    let file = Id128(*b"file-file-file-f");
    let (applied, size) = (70_000, 0x0102_0304_0506_0708);
    let requests = [
        ("snapshot-open.bin", Request::Open { at_least: 69_999 }),
        ("snapshot-read.bin", Request::Read { file, offset: 3 << 19 }),
        ("snapshot-hold.bin", Request::Hold { file }),
        ("snapshot-done.bin", Request::Done { file }),
    ];
    for (name, request) in requests {
        let old = stands(name, &request.encode());
        assert_eq!(Message::decode(&old), Ok(Message::Request(request)), "{name}");
    }
    let answers = [
        ("snapshot-offer.bin", Answer::Offer { file, applied, size }),
        ("snapshot-not-yet.bin", Answer::NotYet),
        ("snapshot-busy.bin", Answer::Busy),
        ("snapshot-gone.bin", Answer::Gone { file }),
        (
            "snapshot-chunk.bin",
            Answer::Chunk { file, offset: 3 << 19, bytes: Bytes::from_static(b"a piece") },
        ),
    ];
    for (name, answer) in answers {
        let old = stands(name, &answer.encode());
        assert_eq!(Message::decode(&old), Ok(Message::Answer(answer)), "{name}");
    }
    let blob = Blob { file, size, sha256: [0xab; 32] };
    let stagings = [
        ("restore-stage.bin", Staging::Stage { blob, not_after_ms: 1 << 41 }),
        ("restore-staged.bin", Staging::Staged { file, not_after_ms: 1 << 41 }),
        ("restore-unstaged.bin", Staging::Unstaged { file, why: Why::NoRoom }),
    ];
    for (name, staging) in stagings {
        let old = stands(name, &staging.encode());
        assert_eq!(Message::decode(&old), Ok(Message::Staging(staging)), "{name}");
    }
}
