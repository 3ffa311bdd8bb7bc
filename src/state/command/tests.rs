//! Commands and their bytes.

use proptest::prelude::*;

use super::*;
use crate::ids::Id128;
use crate::state::board::Attempt;
use crate::state::kv::When;
use crate::state::kv::tests::{a_new_session, an_op};

fn any_id() -> impl Strategy<Value = SessionId> {
    any::<[u8; 16]>().prop_map(Id128)
}

fn any_restore() -> impl Strategy<Value = Command> {
    (any_id(), any::<[u8; 32]>(), any::<[u64; 3]>()).prop_map(|(file, sha256, numbers)| {
        let [not_after_ms, revision, clock_ms] = numbers;
        Command::Restore(Restore { file, sha256, not_after_ms, revision, clock_ms })
    })
}

/// What a client may put under a key.
fn any_write() -> impl Strategy<Value = Command> {
    let ops = prop::collection::vec(an_op(), 0..6);
    prop_oneof![
        any::<Vec<u8>>().prop_map(|url| Command::CreateLink { url: url.into() }),
        ops.prop_map(|ops| Command::Kv { ops }).prop_filter("it reads", Command::fits_under_key),
        a_new_session().prop_map(Command::OpenSession),
        any_id().prop_map(|id| Command::DestroySession { id }),
        any_id().prop_map(|id| Command::RenewSession { id }),
        any_act().prop_map(Command::Board),
    ]
}

fn any_act() -> impl Strategy<Value = Act> {
    let login = || any::<[u8; 32]>();
    prop_oneof![
        (".{0,9}", any::<[u8; 8]>()).prop_map(|(name, address)| Act::Attempt {
            what: Attempt::LogIn(name),
            address: Bytes::copy_from_slice(&address),
        }),
        (".{1,9}", ".{0,9}", login(), any::<Option<[u8; 32]>>()).prop_map(
            |(name, password, login, replaces)| Act::SignUp { name, password, login, replaces }
        ),
        (login(), [".{0,9}", ".{0,9}"], any::<Vec<u8>>()).prop_map(|(login, texts, url)| {
            let ([title, host], url) = (texts, Bytes::from(url));
            Act::Post { login, title, url: url.clone(), normal: url, host }
        }),
        (login(), ".{0,9}", any::<Option<u64>>(), ".{0,9}")
            .prop_map(|(login, post, parent, text)| Act::Comment { login, post, parent, text }),
        (any::<Option<[u8; 32]>>(), ".{0,9}", any::<bool>())
            .prop_map(|(by, name, moderator)| Act::Appoint { by, name, moderator }),
    ]
}

fn any_command() -> impl Strategy<Value = Command> {
    let once = |(key, hash, command)| Command::Once { key, hash, command: Box::new(command) };
    prop_oneof![
        any::<(u64, u64)>().prop_map(|(node, nonce)| Command::RegisterSession { node, nonce }),
        any_write(),
        ("[!-~]{1,255}", any::<[u8; 32]>(), any_write()).prop_map(once),
        Just(Command::TakeDigest),
        prop::collection::vec(an_op(), 0..6).prop_map(|ops| Command::Kv { ops }),
        Just(Command::Expire),
        (0..=VERSION).prop_map(|version| Command::RaiseVersion { version }),
        any_restore(),
    ]
}

proptest! {
    #[test]
    fn a_command_survives_its_bytes(command in any_command()) {
        prop_assert_eq!(Command::decode(&command.encode()), Ok(command));
    }

    #[test]
    fn random_bytes_never_panic(bytes in any::<Vec<u8>>()) {
        let _ = Command::decode(&bytes);
    }

    #[test]
    fn random_bodies_never_panic(kind in 1u8..=12, body in any::<Vec<u8>>()) {
        let _ = Command::decode(&[&[kind, 0, 1, 0], &body[..]].concat());
    }

    #[test]
    fn every_truncation_is_refused(command in any_command()) {
        let bytes = command.encode();
        for len in 0..bytes.len() {
            prop_assert!(Command::decode(&bytes[..len]).is_err());
        }
    }
}

#[test]
fn an_unknown_kind_or_version_asks_for_an_upgrade() {
    for header in [[99, 0, 1, 0], [2, 0, 2, 0], [0, 0, 0, 0]] {
        let error = Command::decode(&header).unwrap_err();
        assert!(matches!(error, CommandError::Unknown { .. }));
        assert!(error.to_string().contains("upgrade this node"), "{error}");
    }
}

fn once(key: &str, command: Command) -> Bytes {
    Command::Once { key: key.into(), hash: [7; 32], command: Box::new(command) }.encode()
}

#[test]
fn only_a_write_stands_under_a_key_and_only_under_one() {
    let link = || Command::CreateLink { url: "http://a/".into() };
    assert!(Command::decode(&once("k", link())).is_ok());
    assert!(Command::decode(&once(&"k".repeat(ONCE_KEY_LEN_MAX), link())).is_ok());
    let twice = Command::decode(&once("k", link())).unwrap();
    for (key, inner) in [
        (String::new(), link()),
        ("k".repeat(ONCE_KEY_LEN_MAX + 1), link()),
        ("k".into(), twice),
        ("k".into(), Command::TakeDigest),
        ("k".into(), Command::RegisterSession { node: 1, nonce: 2 }),
        ("k".into(), Command::Expire),
        ("k".into(), Command::RaiseVersion { version: 2 }),
        ("k".into(), kv(vec![Op::Get { key: "a".into(), or_empty: true }])),
        ("k".into(), kv(vec![Op::GetTree { prefix: "a".into() }])),
        ("k".into(), restore()),
    ] {
        let error = Command::decode(&once(&key, inner)).unwrap_err();
        assert!(matches!(error, CommandError::Malformed(_)), "{error}");
    }
}

#[test]
fn an_unknown_write_under_a_key_asks_for_an_upgrade() {
    let body = OnceV1 { key: "k".into(), hash: vec![7; 32].into(), command: "\x63\0\x01\0".into() };
    let error = Command::decode(&with_header(ONCE, &body)).unwrap_err();
    assert_eq!(error, CommandError::Unknown { kind: 99, version: 1 });
}

#[test]
fn keys_around_keys_do_not_eat_up_the_stack() {
    let mut bytes = Command::CreateLink { url: "http://a/".into() }.encode();
    for _ in 0..1_000 {
        let body = OnceV1 { key: "k".into(), hash: vec![7; 32].into(), command: bytes };
        bytes = with_header(ONCE, &body);
    }
    assert!(matches!(Command::decode(&bytes), Err(CommandError::Malformed(_))));
}

#[test]
fn trailing_bytes_are_refused() {
    let mut bytes = Command::RegisterSession { node: 1, nonce: 2 }.encode().to_vec();
    bytes.push(0);
    assert!(matches!(Command::decode(&bytes), Err(CommandError::Malformed(_))));
}

fn kv(ops: Vec<Op>) -> Command {
    Command::Kv { ops }
}

fn restore() -> Command {
    let (file, sha256) = (Id128([1; 16]), [2; 32]);
    Command::Restore(Restore { file, sha256, not_after_ms: 3, revision: 4, clock_ms: 5 })
}

#[test]
fn what_is_no_client_s_is_no_write() {
    for command in [Command::TakeDigest, Command::Expire, Command::RaiseVersion { version: 2 }] {
        assert!(!command.is_write(), "{command:?}");
    }
    let id = Id128([1; 16]);
    let session = Command::RenewSession { id };
    for command in [kv(Vec::new()), restore(), session, Command::DestroySession { id }] {
        assert!(command.is_write(), "{command:?}");
    }
}

#[test]
fn operations_that_no_row_could_hold_are_refused() {
    let check = |key: &[u8]| Op::CheckNotExists { key: Bytes::copy_from_slice(key) };
    let tree = |len| Op::DeleteTree { prefix: vec![b'k'; len].into() };
    for ops in [
        vec![check(b"k"); OPS_MAX],
        vec![check(&vec![b'k'; KEY_LEN_EVER])],
        vec![tree(0), tree(KEY_LEN_EVER)],
    ] {
        assert_eq!(Command::decode(&kv(ops.clone()).encode()), Ok(kv(ops)));
    }
    let (value, when) = (Bytes::new(), When::Always);
    let set = Op::Set { key: Bytes::new(), value, flags: 0, ttl_ms: None, when };
    for ops in [
        vec![check(b"k"); OPS_MAX + 1],
        vec![check(b"k"), check(b"")],
        vec![set],
        vec![check(&vec![b'k'; KEY_LEN_EVER + 1])],
        vec![tree(KEY_LEN_EVER + 1)],
    ] {
        let error = Command::decode(&kv(ops).encode()).unwrap_err();
        assert!(matches!(error, CommandError::Malformed(_)), "{error}");
    }
}

#[test]
fn a_version_to_come_asks_for_an_upgrade() {
    let error = Command::decode(&Command::RaiseVersion { version: VERSION + 1 }.encode());
    assert_eq!(error, Err(CommandError::Newer(VERSION + 1)));
    assert!(error.unwrap_err().to_string().contains("upgrade this node"));
}

#[test]
fn an_act_says_no_more_than_a_node_could_want_to_apply() {
    let login = [7; 32];
    let long = |bytes: usize| "x".repeat(bytes);
    let sign_up = |name| Act::SignUp { name, password: "p".into(), login, replaces: None };
    let post = |title, url: String, normal: String, host| Act::Post {
        login,
        title,
        url: url.into(),
        normal: normal.into(),
        host,
    };
    let text = |text| Act::Comment { login, post: "p".into(), parent: None, text };
    let attempt = |name, address: usize| {
        let address = vec![0; address].into();
        Act::Attempt { what: Attempt::LogIn(name), address }
    };
    let log_in = |password, address: usize| {
        let address = vec![0; address].into();
        Act::LogIn { user: 1, password, login, replaces: None, address }
    };
    let (most, some) = (64 << 10, || long(9));
    let most_of_all = [
        sign_up(long(255)),
        post(long(most), long(most), long(most), long(most)),
        text(long(most)),
        attempt(long(most), 16),
        log_in(long(most), 16),
    ];
    for act in most_of_all {
        let command = Command::Board(act);
        assert_eq!(Command::decode(&command.encode()), Ok(command));
    }
    for act in [
        sign_up(String::new()),
        sign_up(long(256)),
        post(long(most + 1), some(), some(), some()),
        post(some(), long(most + 1), some(), some()),
        post(some(), some(), long(most + 1), some()),
        post(some(), some(), some(), long(most + 1)),
        text(long(most + 1)),
        attempt(long(most + 1), 4),
        attempt(some(), 17),
        Act::Retitle { login, post: long(most + 1), title: some() },
        Act::Like { login, post: long(most + 1), on: true },
        Act::Hide { login, post: some(), hidden: true, reason: long(most + 1) },
        Act::Disable { login, name: long(most + 1), disabled: true, reason: some() },
        Act::Appoint { by: None, name: long(most + 1), moderator: true },
        Act::ChangePassword { login, old: some(), new: long(most + 1) },
        log_in(long(most + 1), 4),
        log_in(some(), 17),
    ] {
        let error = Command::decode(&Command::Board(act).encode()).unwrap_err();
        assert!(matches!(error, CommandError::Malformed(_)), "{error}");
    }
}
