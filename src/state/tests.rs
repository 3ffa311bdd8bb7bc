//! The state machine as a whole.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::ids::Id128;
use crate::storage::MemoryStore;

pub(super) mod counting;
mod formats;

const CLUSTER: ClusterId = Id128([7; 16]);

fn at(index: u64) -> At {
    At { index, term: 1 + index / 10, clock_ms: 1000 + index, wall_ms: 1_700_000_000_000 + index }
}

fn id(session: u64, seq: u64, floor: u64) -> WriteId {
    WriteId { session, seq, floor }
}

fn create(url: &str) -> Bytes {
    Command::CreateLink { url: Bytes::copy_from_slice(url.as_bytes()) }.encode()
}

fn once(key: &str, hash: u8, url: &str) -> Bytes {
    let command = Command::CreateLink { url: Bytes::copy_from_slice(url.as_bytes()) };
    Command::Once { key: key.into(), hash: [hash; 32], command: Box::new(command) }.encode()
}

fn register(node: u64, nonce: u64) -> Bytes {
    Command::RegisterSession { node, nonce }.encode()
}

fn link(key: &str, created: bool) -> Reply {
    Reply::Link { key: key.into(), created }
}

fn new_state() -> State<MemoryStore> {
    State::new(MemoryStore::default(), CLUSTER)
}

/// A state with a bit of everything in it.
fn example_state() -> State<MemoryStore> {
    let mut state = new_state();
    state.apply_noop(at(1));
    state.apply_configuration(at(2), &BTreeSet::from([1, 2]), "two nodes".into());
    state.apply_command(at(3), id(0, 77, 0), &register(1, 77)).unwrap();
    state.apply_command(at(4), id(0, 88, 0), &register(2, 88)).unwrap();
    state.apply_command(at(5), id(3, 1, 1), &create("https://example.com/")).unwrap();
    state.apply_command(at(6), id(3, 2, 1), &create("https://example.com/")).unwrap();
    state.apply_command(at(7), id(0, 89, 0), &register(2, 89)).unwrap();
    state
}

/// The same after a write under a client's key.
fn example_state_with_a_key() -> State<MemoryStore> {
    let mut state = example_state();
    state.apply_command(at(8), id(3, 3, 1), &once("a key", 1, "https://example.org/")).unwrap();
    state
}

pub(super) fn example_meta() -> Meta {
    example_state_with_a_key().meta
}

#[test]
fn a_url_is_made_once_and_found_again() {
    let mut state = new_state();
    state.apply_command(at(1), id(0, 77, 0), &register(1, 77)).unwrap();
    let first = state.apply_command(at(2), id(1, 1, 1), &create("https://example.com/"));
    assert_eq!(first, Ok(link("DxFdsGK3", true)));
    let second = state.apply_command(at(3), id(1, 2, 1), &create("https://example.com/"));
    assert_eq!(second, Ok(link("DxFdsGK3", false)));
    let url = Link::Live("https://example.com/".into());
    assert_eq!(lookup(state.table(), "DxFdsGK3"), Ok(Some(url)));
    assert_eq!(lookup(state.table(), "DxFdsGK4"), Ok(None));
    let summary = state.summary();
    assert_eq!((summary.applied, summary.links, summary.revision), (3, 1, 1));
    assert_eq!((summary.clock_ms, summary.term), (1003, 1));
}

#[test]
fn a_write_that_comes_twice_gets_the_first_reply() {
    let mut state = new_state();
    state.apply_command(at(1), id(0, 77, 0), &register(1, 77)).unwrap();
    for index in 2..5 {
        let reply = state.apply_command(at(index), id(1, 1, 1), &create("https://example.com/"));
        assert_eq!(reply, Ok(link("DxFdsGK3", true)), "and not created: false");
    }
    assert_eq!(state.summary().revision, 1);
}

#[test]
fn a_clients_key_outlives_the_session() {
    let mut state = example_state_with_a_key();
    let first = link("gZjRusQK", true);
    let key = |url| once("a key", 1, url);
    // Another session, another number, the same key: the first answer, and nothing done.
    let before = state.summary();
    let replayed = Reply::Replayed(Box::new(first.clone()));
    let reply = state.apply_command(at(9), id(7, 1, 1), &key("https://example.org/"));
    assert_eq!(reply, Ok(replayed.clone()));
    // The session layer stays around it: its own repetition is told just what it was told.
    let reply = state.apply_command(at(10), id(3, 3, 1), &key("https://example.org/"));
    assert_eq!(reply, Ok(first));
    let reply = state.apply_command(at(11), id(7, 1, 1), &key("https://example.org/"));
    assert_eq!(reply, Ok(replayed.clone()));
    // Only the hash decides what is the same request.
    let reply = state.apply_command(at(12), id(7, 2, 1), &once("a key", 2, "https://example.org/"));
    assert_eq!(reply, Ok(Reply::KeyReused));
    let reply = state.apply_command(at(13), id(7, 3, 1), &key("https://example.net/"));
    assert_eq!(reply, Ok(replayed.clone()));
    assert_eq!(state.summary().rows_digest, before.rows_digest);
    assert_eq!((state.summary().links, state.summary().revision), (2, 2));
    // From its bytes, it knows the key as well.
    let mut state = State::restore(state.table.clone(), &state.meta_bytes()).unwrap();
    let reply = state.apply_command(at(14), id(7, 4, 1), &key("https://example.org/"));
    assert_eq!(reply, Ok(replayed));
}

#[test]
fn a_clients_key_is_forgotten_after_a_day_of_cluster_time() {
    let mut state = example_state_with_a_key();
    let used = state.summary().clock_ms;
    let day = OnceLimits::DEFAULT.age_ms;
    let later = |index, clock_ms| At { clock_ms, ..at(index) };
    let same = once("a key", 1, "https://example.org/");
    let reply = state.apply_command(later(9, used + day - 1), id(7, 1, 1), &same).unwrap();
    assert!(matches!(reply, Reply::Replayed(_)));
    let other = once("a key", 2, "https://example.org/");
    let reply = state.apply_command(later(10, used + day), id(7, 2, 1), &other);
    assert_eq!(reply, Ok(link("gZjRusQK", false)), "it is done anew");
    assert_eq!(state.meta().once.len(), 1);
    assert_eq!(state.computed_rows_digest(), Ok(state.summary().rows_digest));
    // Any write sweeps, with or without a key.
    let plain = create("https://example.org/");
    state.apply_command(later(11, used + 2 * day), id(7, 3, 1), &plain).unwrap();
    assert!(state.meta().once.is_empty());
    assert_eq!(state.computed_rows_digest(), Ok(state.summary().rows_digest));
}

/// Something that happens to a state.
type Change = fn(&mut State<MemoryStore>);

#[test]
fn taking_the_digest_changes_nothing_and_sees_everything() {
    let take = Command::TakeDigest.encode();
    let none = id(0, 0, 0);
    let mut state = example_state_with_a_key();
    let before = state.clone();
    let reply = state.apply_command(at(9), none, &take).unwrap();
    assert_eq!(reply, Reply::Digest(state.digest().0));
    assert_eq!(state.table, before.table);
    let Summary { applied, term, clock_ms, .. } = state.summary();
    assert_eq!(Summary { applied, term, clock_ms, ..before.summary() }, state.summary());
    // What any number, row or remembered write does to it.
    let digest = |change: Change| {
        let mut other = before.clone();
        change(&mut other);
        let index = other.summary().applied + 1;
        other.apply_command(at(index), none, &take).unwrap()
    };
    assert_eq!(digest(|_| {}), reply);
    let changes: [Change; 13] = [
        |state| state.apply_noop(at(9)),
        |state| state.meta.summary.revision += 1,
        |state| state.meta.summary.links += 1,
        |state| state.meta.summary.cluster_version += 1,
        |state| state.meta.summary.rows_digest.add(b"\x01key", b"value"),
        |state| state.meta.once.first += 1,
        |state| state.meta.once.next += 1,
        |state| state.meta.once.oldest_ms += 1,
        |state| state.meta.kv.reaped += 1,
        |state| state.meta.kv.clock_offset_ms -= 1,
        |state| state.meta.kv.next_mark += 1,
        |state| state.meta.configuration_index += 1,
        |state| state.meta.configuration = "three nodes".into(),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        assert_ne!(digest(change), reply, "change {number} is not seen");
    }
}

#[test]
fn a_refused_write_changes_nothing_but_the_applied_index() {
    let mut state = example_state();
    let before = state.clone();
    for (index, write, reply) in
        [(8, id(4, 1, 1), Reply::UnknownSession), (9, id(0, 1, 1), Reply::UnknownSession)]
    {
        let said = state.apply_command(at(index), write, &create("https://example.org/"));
        assert_eq!(said, Ok(reply));
    }
    assert_eq!(state.table, before.table);
    assert_eq!(state.summary().digest(), before.summary().digest());
    assert_eq!(state.summary().applied, 9);
}

#[test]
fn what_may_be_told_at_length_waits_until_the_node_has_its_other_answers() {
    let mut state = new_state();
    for index in 1..=64 {
        state.apply_command(at(index), id(0, 77, 0), &register(index, 77)).unwrap();
    }
    let key = Bytes::from_static(b"k");
    let set = |len| Op::Set {
        key: key.clone(),
        value: vec![b'v'; len].into(),
        flags: 0,
        ttl_ms: None,
        when: kv::When::Always,
    };
    let get = || Op::Get { key: key.clone(), or_empty: false };
    let mut seq = 0;
    let mut run = |ops, floor| {
        seq += 1;
        let command = Command::Kv { ops }.encode();
        match state.apply_command(at(64 + seq), id(1, seq, floor), &command).unwrap() {
            Reply::Kv(reply) => reply,
            reply => panic!("{reply:?}"),
        }
    };
    let done = |reply: &KvReply| matches!(reply, KvReply::Done { .. });
    assert!(done(&run(vec![set(500_000), get(), get()], 1)));
    let refused = Failed { op: 0, key: Bytes::new(), why: Why::Busy };
    assert_eq!(run(vec![set(1), get()], 1), KvReply::Refused(vec![refused]));
    assert!(done(&run(vec![set(2)], 1)), "its answer is short");
    assert!(done(&run(vec![set(3), get()], 4)), "the node has had the others");
}

#[test]
fn sessions_of_removed_nodes_end_with_the_configuration() {
    let mut state = example_state();
    state.apply_configuration(at(8), &BTreeSet::from([2]), "one node".into());
    assert!(!state.writes().is_open(3) && state.writes().is_open(7));
    assert_eq!(state.meta().configuration_index, 8);
    assert_eq!(state.meta().configuration, "one node");
}

#[test]
fn an_unknown_command_stops_the_node_and_changes_nothing() {
    let mut state = example_state();
    let before = state.meta_bytes();
    let error = state.apply_command(at(8), id(3, 3, 1), &[0xff, 0, 1, 0]).unwrap_err();
    assert_eq!(error, ApplyError::Command(CommandError::Unknown { kind: 0xff, version: 1 }));
    assert_eq!(state.meta_bytes(), before);
}

#[test]
#[should_panic(expected = "the clock never goes back")]
fn the_clock_never_goes_back() {
    let mut state = example_state();
    state.apply_noop(At { clock_ms: 0, ..at(8) });
}

#[test]
#[should_panic(expected = "one after the other")]
fn no_entry_is_left_out() {
    example_state().apply_noop(at(9));
}

/// One delivery of a write to the log: which session's, which seq, and how far its floor trails.
#[derive(Clone, Copy, Debug)]
struct Delivery {
    node: u64,
    seq: u64,
    trail: u64,
}

/// Few URLs, so that many writes ask for one that stands already.
fn url_of(delivery: Delivery) -> String {
    format!("https://example.com/{}", (delivery.node * 5 + delivery.seq * 3) % 11)
}

fn deliveries() -> impl Strategy<Value = Vec<Delivery>> {
    let one =
        (1u64..4, 1u64..20, 0u64..20).prop_map(|(node, seq, trail)| Delivery { node, seq, trail });
    prop::collection::vec(one, 0..120)
}

/// A state in which nodes 1 to 3 have sessions 1 to 3.
fn three_sessions() -> State<MemoryStore> {
    let mut state = new_state();
    for node in 1..=3 {
        let reply = state.apply_command(at(node), id(0, node, 0), &register(node, node));
        assert_eq!(reply, Ok(Reply::Session(node)));
    }
    state
}

fn deliver(state: &mut State<MemoryStore>, delivery: Delivery) -> Reply {
    let write = id(delivery.node, delivery.seq, delivery.seq.saturating_sub(delivery.trail));
    let index = state.summary().applied + 1;
    state.apply_command(at(index), write, &create(&url_of(delivery))).unwrap()
}

proptest! {
    /// However often and in whatever order a session's writes arrive, each is answered like the
    /// first time or not at all, and each key is told to be new exactly once.
    #[test]
    fn every_write_is_done_at_most_once(deliveries in deliveries()) {
        let mut state = three_sessions();
        let mut replies: BTreeMap<(u64, u64), Reply> = BTreeMap::new();
        for delivery in deliveries {
            let before = state.summary();
            let reply = deliver(&mut state, delivery);
            let changed = state.summary().revision - before.revision;
            match replies.get(&(delivery.node, delivery.seq)) {
                Some(first) => {
                    prop_assert!(reply == *first || reply == Reply::Stale);
                    prop_assert_eq!(changed, 0);
                }
                None if reply == Reply::Stale => prop_assert_eq!(changed, 0),
                None => {
                    let created = matches!(reply, Reply::Link { created: true, .. });
                    prop_assert_eq!(changed, u64::from(created));
                    replies.insert((delivery.node, delivery.seq), reply);
                }
            }
        }
        let created =
            replies.values().filter(|reply| matches!(reply, Reply::Link { created: true, .. }));
        prop_assert_eq!(created.count() as u64, state.summary().links);
    }

    /// Two nodes, one of which was restarted from its bytes anywhere in between, end up the same.
    #[test]
    fn nodes_with_one_log_have_one_state(deliveries in deliveries(), restart in 0usize..120) {
        let (mut left, mut right) = (three_sessions(), three_sessions());
        for (at, delivery) in deliveries.into_iter().enumerate() {
            if at == restart {
                right = State::restore(right.table.clone(), &right.meta_bytes()).unwrap();
            }
            prop_assert_eq!(deliver(&mut left, delivery), deliver(&mut right, delivery));
        }
        prop_assert_eq!(left.meta_bytes(), right.meta_bytes());
        prop_assert_eq!(left.summary().digest(), right.summary().digest());
        prop_assert_eq!(left.table, right.table);
    }

    #[test]
    fn the_kept_digest_is_the_computed_one(deliveries in deliveries()) {
        let mut state = three_sessions();
        for delivery in deliveries {
            deliver(&mut state, delivery);
        }
        prop_assert_eq!(state.computed_rows_digest(), Ok(state.summary().rows_digest));
    }
}

#[test]
fn the_first_key_is_newer_than_what_an_empty_store_is_told_to_be() {
    let mut state = State::new(MemoryStore::default(), ClusterId::default());
    let none = id(0, 0, 0);
    state.apply_command(at(1), none, &Command::RaiseVersion { version: 2 }.encode()).unwrap();
    let standing = Standing::decode(&state.standing_bytes()).unwrap();
    assert!(standing.summary.revision >= standing.kv.key_index(None));
}

#[test]
fn the_clusters_version_rises_and_is_never_more_than_is_known() {
    let raise = |version| Command::RaiseVersion { version }.encode();
    let none = id(0, 0, 0);
    let mut state = example_state();
    assert_eq!(state.summary().cluster_version, 1);
    for (index, version) in [(8, VERSION), (9, 1), (10, VERSION)] {
        let said = state.apply_command(at(index), none, &raise(version));
        assert_eq!(said, Ok(Reply::Version(VERSION)), "and it never sinks");
    }
    assert_eq!(state.summary().cluster_version, VERSION);
    let error = state.apply_command(at(11), none, &raise(VERSION + 1)).unwrap_err();
    assert_eq!(error, ApplyError::Command(CommandError::Newer(VERSION + 1)));

    state.meta.summary.cluster_version = VERSION + 1;
    let error = State::restore(MemoryStore::default(), &state.meta_bytes()).unwrap_err();
    assert_eq!(error, MetaError::Version(VERSION + 1));
    assert!(error.to_string().contains("upgrade this node"), "{error}");
}

#[test]
fn nothing_ever_has_the_revision_that_readers_of_an_empty_store_are_told() {
    let mut state = State::new(MemoryStore::default(), ClusterId::default());
    let raise = Command::RaiseVersion { version: VERSION_KV }.encode();
    state.apply_command(at(1), id(0, 0, 0), &raise).unwrap();
    assert_eq!(state.summary().revision, 1);
    assert_eq!(state.meta().kv.store_index(), 1);
    // Where something was done already nothing is passed over.
    let mut state = example_state();
    let before = state.summary().revision;
    state.apply_command(at(8), id(0, 0, 0), &raise).unwrap();
    assert!(before >= 1 && state.summary().revision == before);
}

#[test]
fn until_all_members_know_the_board_no_number_is_one_of_its() {
    let mut state = State::new(MemoryStore::default(), ClusterId::default());
    let raise = |version| Command::RaiseVersion { version }.encode();
    let entries = [raise(VERSION_KV), register(1, 1), Command::Expire.encode()];
    for (entry, index) in entries.iter().zip(1..) {
        state.apply_command(at(index), id(0, 0, 0), entry).unwrap();
        assert_eq!(state.meta().board, board::Counters::default());
    }
    state.apply_command(at(4), id(0, 0, 0), &raise(VERSION_BOARD)).unwrap();
    assert_eq!(state.meta().board.wall_ms, at(4).wall_ms, "from the very entry on");
    state.apply_noop(At { wall_ms: 5, ..at(5) });
    assert_eq!(state.meta().board.wall_ms, 5, "it is what the leader takes it to be");
}

/// A member that runs an older program can be sent the state until there are keys or a board in it, which
/// is not before every member runs a newer one.
#[test]
fn a_state_without_keys_or_a_board_is_written_as_it_was_before_there_were_any() {
    let mut meta = example_meta();
    let before = meta.encode();
    meta.kv.last = 1;
    assert!(meta.encode().len() > before.len() + 8);
    assert_ne!(meta.digest(), example_meta().digest());
    let (with_keys, digest) = (meta.encode(), meta.digest());
    meta.board.wall_ms = 1;
    assert!(meta.encode().len() > with_keys.len() + 3);
    assert_ne!(meta.digest(), digest);
}
