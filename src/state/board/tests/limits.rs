//! What may be done only so often.

use super::super::limits::Limit;
use super::super::rows;
use super::*;
use crate::state::{ApplyError, table};
use crate::storage::Table;

const ALL: [Limit; 7] = [
    Limit::LogInPair,
    Limit::LogInName,
    Limit::LogInAddress,
    Limit::SignUpAddress,
    Limit::Posts,
    Limit::Comments,
    Limit::Likes,
];

fn attempt(name: &str, address: [u8; 4]) -> Act {
    let what = Attempt::LogIn(name.into());
    Act::Attempt { what, address: address.to_vec().into() }
}

fn sign_up(address: &[u8]) -> Act {
    Act::Attempt { what: Attempt::SignUp, address: address.to_vec().into() }
}

/// For how long an attempt would be refused, before anybody asks for it in the log.
fn wait_ms(bench: &Bench, act: &Act, now_ms: u64) -> u64 {
    let Act::Attempt { what, address } = act else { panic!("{act:?}") };
    attempt_wait_ms(bench.state.table(), what, address, now_ms).unwrap()
}

/// Does something as often as it may be done at once, and finds that it may not be done once more until
/// one comes back.
fn exhaust(bench: &mut Bench, limit: Limit, mut act: impl FnMut(&mut Bench, u64) -> Act) {
    let (burst, pace_ms) = limit.rate();
    for number in 0..burst {
        let it = act(bench, number);
        assert!(!matches!(bench.act(it), Told::Refused(_)), "{limit:?} {number}");
    }
    let it = act(bench, burst);
    assert_eq!(bench.refused(it.clone()), Refusal::TooOften(pace_ms), "{limit:?}");
    bench.pass(pace_ms - 1);
    assert_eq!(bench.refused(it.clone()), Refusal::TooOften(1));
    bench.pass(1);
    assert!(!matches!(bench.act(it), Told::Refused(_)));
    let it = act(bench, burst + 1);
    assert_eq!(bench.refused(it), Refusal::TooOften(pace_ms));
}

#[test]
fn attempts_to_log_in_are_limited_by_name_and_by_address_and_by_both() {
    let mut bench = Bench::new();
    // Whatever the case, whether there is such a user or not.
    let in_some_case = |number: u64| if number.is_multiple_of(2) { "Nobody" } else { "nobodY" };
    exhaust(&mut bench, Limit::LogInPair, |_, number| attempt(in_some_case(number), [10, 0, 0, 0]));
    assert_eq!(bench.act(attempt("nobody", [10, 0, 0, 1])), Told::Done, "from elsewhere");
    assert_eq!(bench.act(attempt("other", [10, 0, 0, 0])), Told::Done, "of another name");
    bench.pass(20 * MINUTE_MS);
    // Wherever from.
    exhaust(&mut bench, Limit::LogInName, |_, number| {
        attempt(in_some_case(number), [10, 0, 0, number as u8])
    });
    assert_eq!(bench.act(attempt("other", [10, 0, 0, 1])), Told::Done);
    // Of whatever name.
    exhaust(&mut bench, Limit::LogInAddress, |_, number| {
        attempt(&format!("name {number}"), [10, 0, 1, 0])
    });
    assert_eq!(bench.act(attempt("name 1", [10, 0, 1, 1])), Told::Done);
}

/// However long a stranger goes on, and as fast as the limits let them.
#[test]
fn nobody_can_use_up_a_name_from_one_address() {
    let mut bench = Bench::new();
    let (stranger, own) = ([10, 0, 0, 66], [10, 0, 0, 1]);
    let hour_later_ms = bench.clock_ms + HOUR_MS;
    let mut refused = 0;
    while bench.clock_ms < hour_later_ms {
        refused += match bench.act(attempt("ann", stranger)) {
            Told::Done => 0,
            _ => 1,
        };
        let before_ms = bench.clock_ms;
        assert_eq!(wait_ms(&bench, &attempt("ann", own), before_ms), 0);
        bench.pass(5_000);
    }
    assert!(refused > 600, "{refused}");
    for _ in 0..10 {
        assert_eq!(bench.act(attempt("ann", own)), Told::Done);
    }
    // Nor does what comes back to an address make up for more than what comes back to a name.
    assert!(Limit::LogInAddress.rate().1 >= Limit::LogInName.rate().1);
    assert!(Limit::LogInAddress.rate().0 < Limit::LogInName.rate().0);
}

#[test]
fn of_three_limits_all_or_none_are_charged_and_the_longest_wait_counts() {
    let mut bench = Bench::new();
    for _ in 0..10 {
        bench.act(attempt("ann", ADDRESS));
    }
    for _ in 0..50 {
        assert_eq!(bench.refused(attempt("ann", ADDRESS)), Refusal::TooOften(60_000));
    }
    for number in 0..20 {
        let told = bench.act(attempt(&format!("name {number}"), ADDRESS));
        assert_eq!(told, Told::Done, "the refusals took nothing from the address");
    }
    assert_eq!(bench.refused(attempt("bob", ADDRESS)), Refusal::TooOften(10_000));
    assert_eq!(bench.refused(attempt("ann", ADDRESS)), Refusal::TooOften(60_000));
    for number in 10..100 {
        let told = bench.act(attempt("ann", [10, 0, 1, number]));
        assert_eq!(told, Told::Done, "nor from the name");
    }
    assert_eq!(bench.refused(attempt("ann", [10, 0, 1, 0])), Refusal::TooOften(10_000));
    assert_eq!(bench.refused(attempt("ann", ADDRESS)), Refusal::TooOften(60_000));
}

#[test]
fn a_log_in_gives_the_names_attempts_back_and_not_the_addresss() {
    let (mut bench, elsewhere) = (Bench::new(), [10, 0, 0, 2]);
    bench.sign_up("Ann");
    for _ in 0..10 {
        assert_eq!(bench.act(attempt("Ann", elsewhere)), Told::Done);
    }
    for round in 0..3 {
        for _ in 0..10 {
            assert_eq!(bench.act(attempt("ANN", ADDRESS)), Told::Done, "{round}");
        }
        assert!(matches!(bench.refused(attempt("ann", ADDRESS)), Refusal::TooOften(_)));
        bench.log_in("Ann");
    }
    assert_eq!(bench.refused(attempt("ann", ADDRESS)), Refusal::TooOften(10_000));
    let still = bench.refused(attempt("ann", elsewhere));
    assert_eq!(still, Refusal::TooOften(60_000), "who is elsewhere has not shown the password");
    // All hundred of the name, which others had used up, are there again.
    for number in 0..200 {
        if number == 100 {
            assert_eq!(bench.refused(attempt("ann", [10, 0, 1, 100])), Refusal::TooOften(10_000));
            bench.log_in("Ann");
        }
        assert_eq!(bench.act(attempt("ann", [10, 0, 1, number])), Told::Done, "{number}");
    }
}

#[test]
fn signing_up_is_limited_by_address_and_not_in_vain() {
    let mut bench = Bench::new();
    exhaust(&mut bench, Limit::SignUpAddress, |_, _| sign_up(b"10.0"));
    assert_eq!(bench.act(sign_up(b"sixteen bytes v6")), Told::Done);
    assert_eq!(bench.act(attempt("ann", *b"10.0")), Told::Done, "another thing, the same address");
}

#[test]
fn posts_comments_and_likes_are_limited_by_user() {
    let mut bench = Bench::new();
    let (ann, bob) = (bench.sign_up("Ann"), bench.sign_up("bob"));
    let key = bench.post(bob, "of bob");
    exhaust(&mut bench, Limit::Posts, |_, number| post_of(ann, &number.to_string()));
    assert!(matches!(bench.act(post_of(ann, "of bob")), Told::PostedBefore(_)), "posts nothing");
    bench.post(bob, "another");
    let say = |login| Act::Comment { login, post: key.clone(), parent: None, text: "x".into() };
    exhaust(&mut bench, Limit::Comments, |_, _| say(ann));
    assert!(matches!(bench.act(say(bob)), Told::Commented(_)));
    let like = |login, on| Act::Like { login, post: key.clone(), on };
    exhaust(&mut bench, Limit::Likes, |_, number| like(ann, number % 2 == 0));
    let is_on = bench.found(&key).likes == 1;
    assert!(matches!(bench.act(like(ann, is_on)), Told::Likes(_)), "it is so already");
    assert_eq!(bench.act(like(bob, true)), Told::Likes(1 + u64::from(is_on)));
}

#[test]
fn a_limit_that_is_whole_again_leaves_nothing_behind() {
    let mut bench = Bench::new();
    for limit in ALL {
        let (burst, pace_ms) = limit.rate();
        assert!(burst > 0 && pace_ms > 0);
    }
    bench.act(sign_up(b"10.0"));
    bench.act(attempt("ann", [10, 0, 0, 1]));
    let whole_ms = bench.clock_ms + 10 * MINUTE_MS;
    let rows = |bench: &Bench| sound::table_rows(&bench.state, table::LIMITS).len();
    assert_eq!(rows(&bench), 4);
    bench.pass(2 * MINUTE_MS);
    assert_eq!(bench.expire(), 3, "of the log-in");
    let next = bench.state.next_expiry().unwrap();
    assert!(next >= whole_ms && next < whole_ms + MINUTE_MS && next.is_multiple_of(MINUTE_MS));
    bench.clock_ms = next;
    let before = bench.revision();
    assert_eq!((bench.expire(), rows(&bench), bench.revision()), (1, 0, before));
    assert_eq!(bench.state.next_expiry(), None);
}

/// Else the entry that ends it would be due for ever.
#[test]
fn a_deadline_of_nothing_is_damage() {
    let mut bench = Bench::new();
    bench.act(sign_up(b"10.0"));
    bench.state.table_mut().delete(&rows::limit(&Limit::SignUpAddress.of(b"10.0")));
    bench.pass(20 * MINUTE_MS);
    let at = At {
        index: bench.state.summary().applied + 1,
        term: 1,
        clock_ms: bench.clock_ms,
        wall_ms: bench.wall_ms,
    };
    let nobody = WriteId { session: 0, seq: 0, floor: 0 };
    let said = bench.state.apply_command(at, nobody, &Command::Expire.encode());
    assert!(matches!(said, Err(ApplyError::Store(_))), "{said:?}");
}

#[test]
fn what_would_be_refused_is_known_without_an_entry() {
    let mut bench = Bench::new();
    let spend = |bench: &mut Bench, act: &Act, times| {
        for _ in 0..times {
            assert_eq!(wait_ms(bench, act, bench.clock_ms), 0);
            assert_eq!(bench.act(act.clone()), Told::Done);
        }
        // Now, until just before one comes back, and then.
        for later_ms in [0, 1, 4_321] {
            let told = wait_ms(bench, act, bench.clock_ms + later_ms);
            let mut then = bench.clone();
            then.pass(later_ms);
            assert_eq!(then.refused(act.clone()), Refusal::TooOften(told));
            assert_eq!(wait_ms(bench, act, bench.clock_ms + later_ms + told - 1), 1);
            assert_eq!(wait_ms(bench, act, bench.clock_ms + later_ms + told), 0);
        }
    };
    spend(&mut bench, &attempt("Ann", [10, 0, 0, 1]), 10);
    assert!(wait_ms(&bench, &attempt("aNN", [10, 0, 0, 1]), bench.clock_ms) > 0, "the same name");
    assert_eq!(wait_ms(&bench, &attempt("ann", [10, 0, 0, 2]), bench.clock_ms), 0, "elsewhere");
    spend(&mut bench, &attempt("bob", [10, 0, 0, 1]), 10);
    spend(&mut bench, &attempt("cleo", [10, 0, 0, 1]), 10);
    assert_eq!(wait_ms(&bench, &attempt("dora", [10, 0, 0, 1]), bench.clock_ms), 10_000);
    assert_eq!(wait_ms(&bench, &attempt("dora", [10, 0, 0, 2]), bench.clock_ms), 0);
    for number in 0..90 {
        assert_eq!(bench.act(attempt("ann", [10, 0, 1, number])), Told::Done);
    }
    spend(&mut bench, &attempt("ann", [10, 0, 1, 0]), 0);
    spend(&mut bench, &sign_up(b"10.0"), 5);
    assert_eq!(wait_ms(&bench, &sign_up(b"10.1"), bench.clock_ms), 0);
}
