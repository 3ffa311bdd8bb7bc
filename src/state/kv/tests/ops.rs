//! What each operation does, alone and among others.

use super::*;

#[test]
fn a_key_is_made_changed_and_removed() {
    let mut bench = Bench::new();
    assert_eq!(bench.done(set("k", "one")), 1);
    let entry = bench.get("k").unwrap();
    assert_eq!((&entry.value[..], entry.create, entry.modify), (&b"one"[..], 1, 1));
    assert_eq!((entry.lock_index, entry.session, entry.expires_ms), (0, None, None));
    assert_eq!(bench.woken(), ["k"]);
    assert_eq!(bench.done(set("k", "two")), 2);
    let entry = bench.get("k").unwrap();
    assert_eq!((&entry.value[..], entry.create, entry.modify), (&b"two"[..], 1, 2));
    assert_eq!(bench.done(delete("k")), 3);
    assert_eq!((bench.get("k"), bench.woken()), (None, vec!["k".to_string()]));
    assert_eq!(tombstone(bench.state.table(), b"k"), Ok(Some(3)));
    assert_eq!(bench.done(set("k", "three")), 4);
    assert_eq!(bench.get("k").unwrap().create, 4);
    assert_eq!(tombstone(bench.state.table(), b"k"), Ok(None));
}

#[test]
fn what_changes_nothing_is_no_revision_and_wakes_nobody() {
    let mut bench = Bench::new();
    bench.open(plain(A));
    bench.done(set("k", "v"));
    let locked = bench.done(lock("held", A));
    for op in [set("k", "v"), lock("held", A), delete("gone"), delete_tree("gone"), read("k")] {
        assert_eq!(bench.done(op.clone()), locked, "{op:?}");
        assert!(bench.changes.is_empty(), "{op:?}");
    }
    assert_eq!(bench.get("held").unwrap().lock_index, 1);
    for (flags, revision) in [(7, locked + 1), (7, locked + 1), (0, locked + 2)] {
        let (ttl_ms, when) = (None, When::Always);
        let op = Op::Set { key: bytes("k"), value: bytes("v"), flags, ttl_ms, when };
        assert_eq!(bench.done(op), revision, "flags are part of it");
    }
}

#[test]
fn a_write_happens_only_when_it_may() {
    let mut bench = Bench::new();
    assert_eq!(bench.refused(set_when("k", "v", When::Present)), Why::Missing);
    assert_eq!(bench.refused(set_when("k", "v", When::At(1))), Why::Missing);
    assert_eq!(bench.done(set_when("k", "v", When::Absent)), 1);
    assert_eq!(bench.refused(set_when("k", "w", When::Absent)), Why::Exists);
    assert_eq!(bench.refused(set_when("k", "w", When::At(2))), Why::Stale(1));
    assert_eq!(bench.done(set_when("k", "w", When::At(1))), 2);
    assert_eq!(bench.done(set_when("k", "x", When::Present)), 3);
    let delete_when = |key, when| Op::Delete { key: bytes(key), when };
    assert_eq!(bench.refused(delete_when("k", When::At(0))), Why::Stale(3));
    assert_eq!(bench.refused(delete_when("k", When::Absent)), Why::Exists);
    assert_eq!(bench.refused(delete_when("gone", When::Present)), Why::Missing);
    assert_eq!(bench.done(delete_when("gone", When::At(9))), 3, "it is gone, as was wanted");
    assert_eq!(bench.done(delete_when("k", When::At(3))), 4);
    assert_eq!(bench.get("k"), None);
}

#[test]
fn a_tree_is_a_prefix_of_bytes() {
    let mut bench = Bench::new();
    for key in ["a", "a/", "a/b", "a/b/c", "a0", "b"] {
        bench.done(set(key, "v"));
    }
    let raw = Op::Set {
        key: Bytes::from_static(b"a/\xff\xff"),
        value: Bytes::new(),
        flags: 0,
        ttl_ms: None,
        when: When::Always,
    };
    let before = bench.done(raw);
    assert_eq!(bench.done(delete_tree("a/")), before + 1, "all of them in one revision");
    assert_eq!(bench.keys(""), ["a", "a0", "b"]);
    assert_eq!(bench.done(delete_tree("")), before + 2);
    assert_eq!(bench.keys(""), [""; 0]);
}

#[test]
fn each_operation_sees_what_those_before_it_did() {
    let mut bench = Bench::new();
    bench.done(set("p/old", "1"));
    let ops = vec![
        set("p/a", "x"),
        read("p/a"),
        Op::GetTree { prefix: bytes("p/") },
        delete("p/old"),
        Op::CheckNotExists { key: bytes("p/old") },
        Op::CheckIndex { key: bytes("p/a"), index: 2 },
        set("p/b", "y"),
        delete_tree("p/b"),
        set_when("p/old", "2", When::Absent),
        Op::Get { key: bytes("p/b"), or_empty: true },
    ];
    let KvReply::Done { revision, given } = bench.run(ops) else { panic!() };
    assert_eq!((revision, bench.revision()), (2, 2));
    let told: Vec<_> = given
        .iter()
        .map(|it| {
            let value = str::from_utf8(&it.entry.value).unwrap();
            (it.op, str::from_utf8(&it.entry.key).unwrap(), value, it.read, it.entry.modify)
        })
        .collect();
    let expected = [
        (0, "p/a", "", false, 2),
        (1, "p/a", "x", true, 2),
        (2, "p/a", "x", true, 2),
        (2, "p/old", "1", true, 1),
        (5, "p/a", "", false, 2),
        (6, "p/b", "", false, 2),
        (8, "p/old", "", false, 2),
        (9, "p/b", "", true, 0),
    ];
    assert_eq!(told, expected);
    assert_eq!(bench.keys("p/"), ["p/a", "p/old"]);
    assert_eq!(bench.get("p/old").unwrap().create, 2, "it is another key now");
    assert_eq!(bench.woken(), ["p/a", "p/old"], "and p/b never was");
}

#[test]
fn one_failure_undoes_all_and_every_failure_is_told() {
    let mut bench = Bench::new();
    bench.done(set("k", "v"));
    let before = bench.state.table().clone();
    let reply = bench.run(vec![
        set("new", "v"),
        set_when("k", "w", When::At(9)),
        delete("k"),
        read("k"),
        lock("k", A),
        Op::CheckSession { key: bytes("new"), session: A },
        Op::CheckNotExists { key: bytes("new") },
        unlock("new", A),
    ]);
    let KvReply::Refused(failed) = reply else { panic!() };
    let told: Vec<_> = failed.into_iter().map(|it| (it.op, it.key, it.why)).collect();
    let expected = [
        (1, bytes("k"), Why::Stale(1)),
        (3, bytes("k"), Why::Missing),
        (4, bytes("k"), Why::NoSession),
        (5, bytes("new"), Why::NotHeld),
        (6, bytes("new"), Why::Exists),
        (7, bytes("new"), Why::NotHeld),
    ];
    assert_eq!(told, expected);
    assert_eq!((bench.state.table(), bench.revision()), (&before, 1));
    assert!(bench.changes.is_empty());
}

#[test]
fn what_is_done_and_undone_in_one_go_leaves_the_rows_alone() {
    let mut bench = Bench::new();
    bench.done(set("k", "v"));
    let before = bench.state.table().clone();
    // The entry that was told must not be told of another revision later.
    let KvReply::Done { revision, given } = bench.run(vec![set("x", "v"), delete("x")]) else {
        panic!()
    };
    assert_eq!((revision, given[0].entry.modify, bench.revision()), (2, 2, 2));
    assert_eq!(bench.state.table(), &before);
    assert!(bench.changes.is_empty());
}

#[test]
fn what_is_read_is_bounded() {
    let mut bench = Bench::new();
    let large = "x".repeat(300 << 10);
    for key in ["a/1", "a/2", "a/3", "a/4"] {
        bench.done(set(key, &large));
    }
    let tree = |prefix| Op::GetTree { prefix: bytes(prefix) };
    assert_eq!(bench.refused(tree("a/")), Why::TooLarge);
    let three = vec![read("a/1"), read("a/2"), read("a/3")];
    assert!(matches!(bench.run(three.clone()), KvReply::Done { .. }));
    let KvReply::Refused(failed) = bench.run([three, vec![read("a/4")]].concat()) else { panic!() };
    assert_eq!((failed.len(), failed[0].op, &failed[0].why), (1, 3, &Why::TooLarge));
    let staged = vec![set("b/1", &large), set("b/2", &large), set("b/3", &large), tree("b/")];
    assert!(matches!(bench.run(staged.clone()), KvReply::Done { .. }));
    assert!(matches!(bench.run([staged, vec![tree("a/")]].concat()), KvReply::Refused(_)));
}

#[test]
fn a_scan_goes_on_behind_a_key() {
    let mut bench = Bench::new();
    for key in ["a", "b", "b\0", "b/x", "c"] {
        bench.done(set(key, "v"));
        bench.done(delete(key));
        bench.done(set(key, "v"));
    }
    let after = |prefix: &[u8], after: &[u8]| {
        let mut keys = Vec::new();
        scan(bench.state.table(), prefix, Some(after), &mut |entry| {
            keys.push(String::from_utf8(entry.key.into()).unwrap());
            keys.len() < 2
        })
        .unwrap();
        keys
    };
    assert_eq!(after(b"", b"a"), ["b", "b\0"]);
    assert_eq!(after(b"b", b"b"), ["b\0", "b/x"]);
    assert_eq!(after(b"b", b"a"), ["b", "b\0"], "what is before the prefix is no start");
    assert_eq!(after(b"b", b"b/x"), [""; 0]);
    assert_eq!(after(b"b", b"c"), [""; 0]);
}

#[test]
fn a_key_is_waited_for_and_no_other() {
    let mut bench = Bench::new();
    let since = |bench: &Bench, key: &str, index| {
        let mark = tombstone(bench.state.table(), key.as_bytes()).unwrap();
        bench.counters().key_since(bench.get(key).as_ref(), mark, index)
    };
    assert_eq!(bench.counters().key_index(None), 1, "no index is 0");
    bench.done(set("other", "v"));
    bench.done(set("other", "w"));
    assert_eq!(bench.counters().key_index(None), 2);
    assert!(!since(&bench, "k", 1), "another key came");
    assert!(bench.counters().any_key_since(1) && !bench.counters().any_key_since(2));
    let made = bench.done(set("k", "v"));
    assert!(since(&bench, "k", 2) && !since(&bench, "k", made));
    bench.done(set("other", "x"));
    assert_eq!(bench.counters().key_index(bench.get("k").as_ref()), made);
    let gone = bench.done(delete("k"));
    assert!(since(&bench, "k", made) && !since(&bench, "k", gone));
    assert_eq!(bench.prefix_index("k"), gone);
    assert_eq!(bench.prefix_index("other"), gone - 1);
    assert_eq!(bench.prefix_index("nothing"), 1);
    assert_eq!(bench.counters().store_index(), gone);
}
