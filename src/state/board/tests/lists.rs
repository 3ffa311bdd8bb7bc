//! Lists and their pages.

use bytes::Bytes;

use super::*;
use crate::storage::Table;

/// A board with so many posts, each of the last with one minute between them.
fn bench(posts: u64) -> (Bench, LoginId, Vec<String>) {
    let mut bench = Bench::new();
    let ann = bench.sign_up("Ann");
    let mut keys = Vec::new();
    for number in 0..posts {
        bench.pass(5 * MINUTE_MS);
        keys.push(bench.post(ann, &number.to_string()));
    }
    (bench, ann, keys)
}

#[test]
fn any_bytes_will_do_for_a_cursor() {
    let (mut bench, ann, keys) = bench(3);
    bench.say(ann, &keys[0], None);
    bench.act(Act::Appoint { by: None, name: "Ann".into(), moderator: true });
    let rows = bench.state.table();
    let lists = [List::Hot, List::Newest, List::Top(Span::Year), List::Host("example.com".into())];
    for cursor in [vec![], vec![0], vec![0xff; 3], vec![0x80; 16], vec![0; 10_000]] {
        let cursor = Cursor(cursor);
        for list in &lists {
            let page = page(rows, list, Some(&cursor), bench.wall_ms, 9).unwrap();
            assert!(page.lines.len() <= 3 && page.next.is_none());
        }
        comments(rows, &keys[0], Some(&cursor), 9).unwrap();
        moderation(rows, Some(&cursor), 9).unwrap();
    }
    let first = Cursor(vec![]);
    assert_eq!(page(rows, &lists[1], Some(&first), 0, 9).unwrap().lines.len(), 3, "from the top");
}

#[test]
fn a_page_of_nothing_is_no_end() {
    let (bench, _, keys) = bench(2);
    for list in [List::Newest, List::Top(Span::Day)] {
        let page = page(bench.state.table(), &list, None, bench.wall_ms, 0).unwrap();
        assert!(page.lines.is_empty() && page.next.is_some());
    }
    let of_nobody = comments(bench.state.table(), "../nothing", None, 9).unwrap();
    assert!(of_nobody.comments.is_empty() && of_nobody.next.is_none());
    assert_eq!(bench.list(&List::Of(99), 9), [""; 0]);
    assert_eq!(bench.list(&List::Host("example.comx".into()), 9), [""; 0]);
    assert_eq!(bench.list(&List::Host("example.com".into()), 1), [&*keys[1], &*keys[0]]);
}

#[test]
fn a_day_a_week_and_a_year_end_to_the_millisecond() {
    for (span, ms) in [(Span::Day, DAY_MS), (Span::Week, 7 * DAY_MS), (Span::Year, 365 * DAY_MS)] {
        assert_eq!(span.ms(), ms);
        let (mut bench, _, keys) = bench(1);
        bench.pass(ms - 1);
        bench.expire();
        assert_eq!(bench.list(&List::Top(span), 9), keys, "{span:?}");
        bench.pass(1);
        bench.expire();
        assert_eq!(bench.list(&List::Top(span), 9), [""; 0], "{span:?}");
    }
}

#[test]
fn the_best_of_a_year_are_merged_from_all_its_months() {
    let mut bench = Bench::new();
    for number in 0..4 {
        bench.sign_up(&format!("fan-{number}"));
    }
    let mut posted = Vec::new();
    for number in 0..60u64 {
        bench.pass(7 * DAY_MS);
        let login = bench.log_in("fan-0");
        let key = bench.post(login, &number.to_string());
        let likes = number * 7 % 5;
        for fan in 0..likes {
            let login = bench.log_in(&format!("fan-{fan}"));
            bench.like(login, &key, true);
        }
        posted.push((likes, number, key));
    }
    // 365 days are 52 weeks and a day: the last 53 posts.
    let mut best = posted.split_off(60 - 53);
    best.sort_by_key(|(likes, number, _)| std::cmp::Reverse((*likes, *number)));
    let best: Vec<_> = best.into_iter().map(|(_, _, key)| key).collect();
    for lines_max in [1, 7, 99] {
        assert_eq!(bench.list(&List::Top(Span::Year), lines_max), best);
    }
}

#[test]
fn a_post_of_a_leader_whose_clock_was_ahead_is_among_the_best_all_the_same() {
    let mut bench = Bench::new();
    let ann = bench.sign_up("Ann");
    bench.wall_ms += 100 * DAY_MS;
    let ahead = bench.post(ann, "1");
    bench.wall_ms -= 100 * DAY_MS;
    let now = bench.post(ann, "2");
    for span in [Span::Day, Span::Week, Span::Year] {
        assert_eq!(bench.list(&List::Top(span), 1), [now.clone(), ahead.clone()]);
    }
}

#[test]
fn a_page_that_must_step_over_too_many_is_short_and_has_a_next_one() {
    let mut bench = Bench::new();
    let ann = bench.sign_up("Ann");
    let day = (bench.wall_ms / DAY_MS + 1) * DAY_MS;
    let post = |bench: &mut Bench, number: u64| {
        bench.clock_ms += 5 * MINUTE_MS;
        match bench.apply_unchecked(&Command::Board(post_of(ann, &number.to_string()))) {
            Reply::Board(Told::Posted(key)) => key,
            reply => panic!("{reply:?}"),
        }
    };
    bench.wall_ms = day + HOUR_MS;
    let first = post(&mut bench, 0);
    bench.wall_ms = day;
    for number in 1..=1_200 {
        post(&mut bench, number);
    }
    bench.wall_ms = day + DAY_MS;
    let last = post(&mut bench, 2_000);
    sound::check(&bench.state);
    let list = List::Top(Span::Day);
    let top = |after: Option<&Cursor>| {
        page(bench.state.table(), &list, after, bench.counters().wall_ms, 30).unwrap()
    };
    let page = top(None);
    assert_eq!((page.lines.len(), &page.lines[0].post.key), (1, &last));
    let page = top(page.next.as_ref());
    assert_eq!((page.lines.len(), page.next.is_some()), (0, true));
    assert_eq!(bench.list(&list, 30), [last, first]);
}

#[test]
fn damaged_rows_are_errors() {
    let (bench, _, keys) = bench(2);
    let gone = [&b"\x0f\0\0\0\0"[..], keys[0].as_bytes()].concat();
    let mut rows = bench.state.table().clone();
    rows.delete(&gone);
    assert!(post(&rows, &keys[0]).unwrap().is_none());
    let error = page(&rows, &List::Newest, None, 0, 9).unwrap_err();
    assert!(error.to_string().contains(&keys[0]), "{error}");
    rows.put(&gone, Bytes::from_static(b"\x02"));
    post(&rows, &keys[0]).unwrap_err();
    page(&rows, &List::Top(Span::Day), None, bench.wall_ms, 9).unwrap_err();
}

#[test]
fn a_page_of_long_comments_is_short() {
    let mut bench = Bench::new();
    let ann = bench.sign_up("Ann");
    let key = bench.post(ann, "1");
    let text = "x".repeat(40 << 10);
    for _ in 0..6 {
        let text = text.clone();
        bench.act(Act::Comment { login: ann, post: key.clone(), parent: None, text });
    }
    let first = comments(bench.state.table(), &key, None, 200).unwrap();
    assert_eq!(first.comments.len(), 4, "a page ends with the comment that is too much");
    let second = comments(bench.state.table(), &key, first.next.as_ref(), 200).unwrap();
    assert_eq!((second.comments.len(), second.next), (2, None));
}
