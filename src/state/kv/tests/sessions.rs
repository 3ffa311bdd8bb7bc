//! Sessions and the locks they hold.

use super::*;

#[test]
fn a_lock_has_one_holder() {
    let mut bench = Bench::new();
    assert_eq!(bench.refused(lock("k", A)), Why::NoSession);
    bench.open(plain(A));
    bench.open(plain(B));
    bench.done(lock("k", A));
    let entry = bench.get("k").unwrap();
    assert_eq!((entry.session, entry.lock_index, &entry.value[..]), (Some(A), 1, &b"locked"[..]));
    assert_eq!(bench.refused(lock("k", B)), Why::Held(A));
    assert_eq!(bench.refused(unlock("k", B)), Why::NotHeld);
    bench.done(Op::CheckSession { key: bytes("k"), session: A });
    let check = Op::CheckSession { key: bytes("k"), session: B };
    assert_eq!(bench.refused(check), Why::Held(A));
    // Locks are advisory: whoever writes without one does.
    bench.done(set("k", "plain"));
    let entry = bench.get("k").unwrap();
    assert_eq!((entry.session, &entry.value[..]), (Some(A), &b"plain"[..]));
    bench.done(unlock("k", A));
    let entry = bench.get("k").unwrap();
    assert_eq!((entry.session, entry.lock_index, &entry.value[..]), (None, 1, &b"unlocked"[..]));
    assert_eq!(bench.refused(unlock("k", A)), Why::NotHeld);
    bench.done(lock("k", B));
    assert_eq!(bench.get("k").unwrap().lock_index, 2, "given back, it can be had at once");
}

#[test]
fn a_locked_key_that_is_removed_is_nobodys() {
    let mut bench = Bench::new();
    bench.open(NewSession { lock_delay_ms: 15_000, ..plain(A) });
    bench.done(lock("k", A));
    bench.done(delete("k"));
    bench.done(set("k", "v"));
    assert_eq!(bench.get("k").unwrap().session, None);
    let revision = bench.destroy(A);
    assert_eq!(bench.get("k").unwrap().modify, revision - 1, "nothing of it was to be released");
    bench.open(plain(B));
    bench.done(lock("k", B));
}

#[test]
fn a_lock_changes_hands_within_a_transaction() {
    let mut bench = Bench::new();
    bench.open(plain(A));
    bench.open(plain(B));
    bench.done(lock("k", A));
    assert!(matches!(bench.run(vec![unlock("k", A), lock("k", B)]), KvReply::Done { .. }));
    assert_eq!(bench.get("k").unwrap().session, Some(B));
    assert!(matches!(bench.run(vec![delete("k"), lock("k", A)]), KvReply::Done { .. }));
    let entry = bench.get("k").unwrap();
    assert_eq!((entry.session, entry.lock_index, entry.create), (Some(A), 1, entry.modify));
}

#[test]
fn a_session_that_ends_releases_or_removes_its_keys_in_one_revision() {
    for behavior in [Behavior::Release, Behavior::Delete] {
        let mut bench = Bench::new();
        bench.open(NewSession { behavior, ..plain(A) });
        bench.open(plain(B));
        for key in ["a", "b"] {
            bench.done(lock(key, A));
        }
        let before = bench.done(lock("other", B));
        assert_eq!(bench.destroy(A), before + 1);
        assert_eq!(bench.woken(), ["a".to_string(), "b".to_string(), A.to_string()]);
        for key in ["a", "b"] {
            match (behavior, bench.get(key)) {
                (Behavior::Release, Some(entry)) => {
                    assert_eq!((entry.session, entry.modify), (None, before + 1));
                    assert_eq!(&entry.value[..], b"locked");
                }
                (Behavior::Delete, None) => {}
                (_, entry) => panic!("{entry:?}"),
            }
        }
        assert_eq!(bench.get("other").unwrap().session, Some(B));
        assert_eq!(bench.counters().sessions_index(), before + 1);
        let again = bench.apply(&Command::DestroySession { id: A });
        assert_eq!(again, Reply::SessionDestroyed { existed: false, revision: before + 1 });
    }
}

#[test]
fn a_lock_that_was_lost_is_delayed_whatever_became_of_the_key() {
    for behavior in [Behavior::Release, Behavior::Delete] {
        let mut bench = Bench::new();
        bench.open(NewSession { behavior, lock_delay_ms: 15_000, ..plain(A) });
        bench.open(plain(B));
        bench.done(lock("k", A));
        bench.destroy(A);
        assert_eq!(bench.refused(lock("k", B)), Why::Delayed);
        bench.done(set("k", "without a lock"));
        bench.clock_ms += 15_000;
        assert_eq!((bench.expire(), bench.refused(lock("k", B))), (0, Why::Delayed));
        bench.clock_ms += 15_000 / 64 + 2;
        let revision = bench.revision();
        assert_eq!((bench.expire(), bench.revision()), (1, revision), "nothing to be seen");
        bench.done(lock("k", B));
        assert_eq!(bench.state.next_expiry(), None);
    }
}

#[test]
fn a_session_is_opened_once_and_listed() {
    let mut bench = Bench::new();
    bench.done(set("k", "v"));
    assert_eq!(bench.open(NewSession { ttl_ms: Some(10_000), ..plain(B) }), 2);
    assert_eq!(bench.woken(), [B.to_string()]);
    assert_eq!(bench.open(plain(A)), 3);
    assert_eq!(bench.open(plain(B)), 2, "it stands already, as it was opened");
    assert!(bench.changes.is_empty());
    let listed = sessions(bench.state.table()).unwrap();
    assert_eq!(listed.iter().map(|it| it.new.id).collect::<Vec<_>>(), [A, B]);
    let end = bench.clock_ms + 10_000 + 10_000 / 64 + 2;
    assert_eq!((listed[1].create, listed[1].modify), (2, 2));
    assert_eq!((listed[0].expires_ms, listed[1].expires_ms), (None, Some(end)));
    assert_eq!(session(bench.state.table(), &A), Ok(Some(listed[0].clone())));
    assert_eq!(session(bench.state.table(), &Id128([9; 16])), Ok(None));
    assert_eq!((bench.counters().store_index(), bench.counters().sessions_index()), (1, 3));
}
