//! One of everything.

use super::*;
use crate::state::{Link, lookup};

#[test]
fn a_board_with_a_bit_of_everything() {
    let mut bench = Bench::new();
    let (ann, bob) = (bench.sign_up("Ann"), bench.sign_up("bob"));
    let first = bench.post(ann, "1");
    bench.pass(MINUTE_MS);
    let second = bench.post(bob, "2");
    assert_eq!(bench.list(&List::Newest, 1), [second.clone(), first.clone()]);
    assert_eq!(bench.like(bob, &first, true), 1);
    assert_eq!(bench.like(bob, &first, true), 1);
    for list in [List::Hot, List::Top(Span::Day), List::Top(Span::Week), List::Top(Span::Year)] {
        assert_eq!(bench.list(&list, 1), [first.clone(), second.clone()], "{list:?}");
    }
    assert_eq!(bench.list(&List::Of(bench.user("ANN").id), 9), [first.as_str()]);
    assert_eq!(bench.list(&List::Host("example.com".into()), 9), [second, first.clone()]);
    let url = Link::Owned("https://www.example.com/1".into());
    assert_eq!(lookup(bench.state.table(), &first), Ok(Some(url)));
    let one = bench.say(bob, &first, None);
    let two = bench.say(bob, &first, None);
    let answer = bench.say(ann, &first, Some(one));
    let thread = comments(bench.state.table(), &first, None, 9).unwrap();
    let said: Vec<_> = thread.comments.iter().map(|(it, by)| (it.id, &by[..])).collect();
    assert_eq!(said, [(one, "bob"), (answer, "Ann"), (two, "bob")]);
    assert_eq!(thread.next, None);
    let post = bench.found(&first);
    assert_eq!((post.likes, post.comments), (1, 3));
    assert_eq!((bench.user("Ann").posts, bench.user("Ann").likes), (1, 1));
    let counters = Counters { wall_ms: bench.wall_ms, users: 2, posts: 2, comments: 3 };
    assert_eq!(bench.counters(), counters);
    assert_eq!(bench.act(Act::LogOut { login: ann }), Told::LoggedOut(1));
    assert_eq!(bench.refused(post_of(ann, "3")), Refusal::LoggedOut);
    let ann = bench.log_in("Ann");
    bench.post(ann, "3");
}
