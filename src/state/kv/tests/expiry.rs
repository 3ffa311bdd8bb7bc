//! What ends by itself: never early, and by an entry only.

use super::*;
use crate::state::deadlines::ENDINGS_MAX;

/// What is added to the time after which something ends.
fn grace(ms: u64) -> u64 {
    ms / 64 + 2
}

#[test]
fn a_key_goes_when_its_time_is_over_and_not_before() {
    let mut bench = Bench::new();
    bench.done(set_for("k", "v", 30_000));
    bench.done(set("stays", "v"));
    let end = bench.clock_ms + 30_000 + grace(30_000);
    assert_eq!(bench.state.next_expiry(), Some(end));
    bench.clock_ms = end - 1;
    assert_eq!(bench.expire(), 0);
    bench.clock_ms = end;
    assert!(bench.get("k").is_some(), "it stands until an entry removes it");
    let revision = bench.revision();
    assert_eq!((bench.expire(), bench.revision()), (1, revision + 1));
    assert_eq!(bench.woken(), ["k"]);
    assert_eq!((bench.keys(""), bench.state.next_expiry()), (vec!["stays".to_string()], None));
    assert_eq!(tombstone(bench.state.table(), b"k"), Ok(Some(revision + 1)));
}

#[test]
fn a_lifetime_is_renewed_and_taken_away() {
    let mut bench = Bench::new();
    let made = bench.done(set_for("k", "v", 30_000));
    bench.clock_ms += 20_000;
    assert_eq!(bench.done(set_for("k", "v", 30_000)), made + 1, "a new end is a change");
    bench.clock_ms += 20_000;
    assert_eq!(bench.expire(), 0);
    bench.done(set("k", "v"));
    assert_eq!(bench.get("k").unwrap().expires_ms, None);
    bench.done(set_for("k", "v", 10));
    bench.open(plain(A));
    bench.done(lock("k", A));
    bench.clock_ms += 1_000_000;
    assert_eq!(bench.expire(), 0, "what is locked stays");
    // Whoever writes with a lifetime says so knowingly, locked or not.
    bench.done(set_for("k", "v", 10));
    bench.clock_ms += 1_000;
    assert_eq!((bench.expire(), bench.get("k")), (1, None));
    bench.done(lock("k", A));
    bench.done(set_for("k", "v", 10));
    bench.done(unlock("k", A));
    assert_eq!(bench.get("k").unwrap().expires_ms, None, "as any write without one");
    bench.destroy(A);
}

#[test]
fn a_session_lives_as_long_as_it_is_renewed() {
    let mut bench = Bench::new();
    bench.open(NewSession { ttl_ms: Some(10_000), lock_delay_ms: 1_000, ..plain(A) });
    bench.done(lock("k", A));
    for _ in 0..5 {
        bench.clock_ms += 10_000;
        assert_eq!(bench.expire(), 0);
        let revision = bench.revision();
        let Reply::SessionRenewed(Some(renewed)) = bench.apply(&Command::RenewSession { id: A })
        else {
            panic!("it is there")
        };
        assert_eq!(renewed.expires_ms, Some(bench.clock_ms + 10_000 + grace(10_000)));
        assert_eq!(session(bench.state.table(), &A), Ok(Some(renewed)));
        assert_eq!(bench.revision(), revision);
        assert!(bench.changes.is_empty(), "nobody waits for that");
    }
    bench.clock_ms += 10_000 + grace(10_000);
    let revision = bench.revision();
    assert_eq!((bench.expire(), bench.revision()), (1, revision + 1));
    assert_eq!(bench.woken(), ["k".to_string(), A.to_string()]);
    assert_eq!(bench.get("k").unwrap().session, None);
    assert_eq!(bench.apply(&Command::RenewSession { id: A }), Reply::SessionRenewed(None));
    bench.open(plain(B));
    assert_eq!(bench.refused(lock("k", B)), Why::Delayed);
}

#[test]
fn a_session_without_a_time_is_renewed_to_no_effect() {
    let mut bench = Bench::new();
    bench.open(plain(A));
    let before = bench.state.table().clone();
    let reply = bench.apply(&Command::RenewSession { id: A });
    assert_eq!(reply, Reply::SessionRenewed(session(bench.state.table(), &A).unwrap()));
    assert_eq!((bench.state.table(), bench.state.next_expiry()), (&before, None));
}

#[test]
fn what_a_session_takes_along_does_not_end_twice() {
    let mut bench = Bench::new();
    let behavior = Behavior::Delete;
    bench.open(NewSession { ttl_ms: Some(10_000), behavior, ..plain(A) });
    bench.done(lock("k", A));
    bench.done(set_for("k", "v", 10_000));
    bench.done(set_for("own", "v", 10_000));
    bench.clock_ms += 20_000;
    let revision = bench.revision();
    assert_eq!((bench.expire(), bench.revision()), (2, revision + 1), "all in one revision");
    assert_eq!((bench.keys(""), bench.state.next_expiry()), (Vec::new(), None));
}

#[test]
fn an_entry_ends_so_many_things_and_the_next_is_due_at_once() {
    let mut bench = Bench::new();
    for batch in 0..4 {
        let key = |number| format!("{batch}/{number}");
        bench.run((0..100).map(|number| set_for(&key(number), "v", 10 + number)).collect());
    }
    bench.open(NewSession { ttl_ms: Some(1_000_000), ..plain(A) });
    bench.clock_ms += 1_000;
    assert_eq!(bench.expire(), ENDINGS_MAX as u64);
    assert!(bench.state.next_expiry().unwrap() <= bench.clock_ms);
    assert_eq!(bench.expire(), 400 - ENDINGS_MAX as u64);
    let left = 1_000_000 + grace(1_000_000) - 1_000;
    assert_eq!(bench.state.next_expiry(), Some(bench.clock_ms + left));
    assert_eq!(bench.expire(), 0);
}

#[test]
fn what_lives_for_ever_in_all_but_name_never_ends() {
    let mut bench = Bench::new();
    bench.done(set_for("k", "v", u64::MAX));
    assert_eq!(bench.state.next_expiry(), None);
    bench.clock_ms = u64::MAX - 1;
    assert_eq!(bench.expire(), 0);
    bench.done(delete("k"));
}
