//! What moderators do.

use super::*;
use crate::state::{Link, lookup};

fn hide(login: LoginId, post: &str, hidden: bool) -> Act {
    Act::Hide { login, post: post.into(), hidden, reason: format!("hidden: {hidden}") }
}

fn disable(login: LoginId, name: &str, disabled: bool) -> Act {
    Act::Disable { login, name: name.into(), disabled, reason: "spam".into() }
}

fn appoint(by: Option<LoginId>, name: &str, moderator: bool) -> Act {
    Act::Appoint { by, name: name.into(), moderator }
}

/// A board with a moderator, whose log-in it gives.
fn bench() -> (Bench, LoginId) {
    let mut bench = Bench::new();
    let boss = bench.sign_up("boss");
    assert_eq!(bench.act(appoint(None, "BOSS", true)), Told::Done);
    (bench, boss)
}

#[test]
fn only_moderators_moderate() {
    let (mut bench, boss) = bench();
    let ann = bench.sign_up("Ann");
    let key = bench.post(ann, "1");
    for act in [hide(ann, &key, true), disable(ann, "boss", true), appoint(Some(ann), "Ann", true)]
    {
        assert_eq!(bench.refused(act), Refusal::NotModerator);
    }
    assert_eq!(bench.act(appoint(Some(boss), "ann", true)), Told::Done);
    assert_eq!(bench.act(appoint(Some(ann), "boss", false)), Told::Done);
    assert_eq!(bench.refused(hide(boss, &key, true)), Refusal::NotModerator);
    assert_eq!(bench.act(hide(ann, &key, true)), Told::Done);
    assert_eq!(bench.refused(appoint(None, "nobody", true)), Refusal::NoUser);
    assert_eq!(bench.refused(disable(ann, "nobody", true)), Refusal::NoUser);
    assert_eq!(bench.refused(hide(ann, "nosuchpost", true)), Refusal::NoPost);
    let names = moderators(bench.state.table(), 9).unwrap();
    assert_eq!(names.iter().map(|it| &it.name[..]).collect::<Vec<_>>(), ["Ann"]);
    bench.act(appoint(None, "boss", true));
    assert_eq!(moderators(bench.state.table(), 1).unwrap()[0].name, "boss", "the older account");
}

#[test]
fn a_hidden_post_is_nowhere_and_one_that_is_shown_again_stands_where_it_stood() {
    let (mut bench, boss) = bench();
    let ann = bench.sign_up("Ann");
    let (one, two) = (bench.post(ann, "1"), bench.post(ann, "2"));
    bench.like(boss, &one, true);
    let lists = [List::Hot, List::Newest, List::Top(Span::Day), List::Host("example.com".into())];
    let before = lists.clone().map(|list| bench.list(&list, 1));
    let link = lookup(bench.state.table(), &one);
    assert_eq!(bench.act(hide(boss, &one, true)), Told::Done);
    for list in &lists {
        assert_eq!(bench.list(list, 1), [two.as_str()], "{list:?}");
    }
    assert_eq!(lookup(bench.state.table(), &one), Ok(Some(Link::Gone)));
    assert_eq!((bench.user("Ann").posts, bench.user("Ann").likes), (1, 0));
    assert_eq!((bench.counters().posts, bench.state.summary().links), (1, 1));
    for act in [
        Act::Like { login: boss, post: one.clone(), on: false },
        Act::Comment { login: boss, post: one.clone(), parent: None, text: "x".into() },
        Act::Delete { login: ann, post: one.clone() },
    ] {
        assert_eq!(bench.refused(act), Refusal::NoPost);
    }
    assert_eq!(bench.act(hide(boss, &one, false)), Told::Done);
    assert_eq!(lists.map(|list| bench.list(&list, 1)), before);
    assert_eq!(lookup(bench.state.table(), &one), link);
    assert_eq!((bench.user("Ann").posts, bench.user("Ann").likes), (2, 1));
}

#[test]
fn what_its_author_has_deleted_no_moderator_shows() {
    let (mut bench, boss) = bench();
    let ann = bench.sign_up("Ann");
    let key = bench.post(ann, "1");
    bench.act(Act::Delete { login: ann, post: key.clone() });
    for hidden in [true, false] {
        assert_eq!(bench.refused(hide(boss, &key, hidden)), Refusal::NoPost);
    }
}

#[test]
fn a_disabled_user_is_logged_out_and_cannot_log_in() {
    let (mut bench, boss) = bench();
    let ann = bench.sign_up("Ann");
    let (user, login) = (bench.user("Ann").id, bench.draw());
    let key = bench.post(ann, "1");
    assert_eq!(bench.act(disable(boss, "aNN", true)), Told::Done);
    assert_eq!(bench.refused(post_of(ann, "2")), Refusal::LoggedOut);
    let log_in = |password: &str| log_in_of(user, password, login, None);
    assert_eq!(bench.refused(log_in(&password("Ann"))), Refusal::Disabled);
    assert_eq!(bench.refused(log_in("wrong")), Refusal::PasswordChanged, "says no more than that");
    assert_eq!(bench.list(&List::Newest, 9), [key], "what was posted stays");
    assert_eq!(bench.act(disable(boss, "Ann", false)), Told::Done);
    assert_eq!(bench.act(log_in(&password("Ann"))), Told::Done);
    bench.post(login, "2");
    assert_eq!(bench.act(disable(boss, "boss", true)), Told::Done, "and also oneself");
    assert_eq!(bench.refused(disable(boss, "boss", false)), Refusal::LoggedOut);
}

#[test]
fn the_log_has_what_was_done_the_latest_first_and_nothing_twice() {
    let (mut bench, boss) = bench();
    let ann = bench.sign_up("Ann");
    let key = bench.post(ann, "1");
    let ids = (bench.user("boss").id, bench.user("Ann").id);
    for _ in 0..2 {
        for act in [hide(boss, &key, true), disable(boss, "Ann", true)] {
            bench.act(act);
        }
    }
    for act in [disable(boss, "Ann", false), hide(boss, &key, false)] {
        bench.act(act);
    }
    bench.act(appoint(Some(boss), "Ann", true));
    bench.act(appoint(None, "Ann", false));
    let log = moderation(bench.state.table(), None, 99).unwrap();
    let deeds = log.deeds.iter().map(|(it, by)| (it.deed.clone(), by.as_deref(), &it.reason[..]));
    let by = Some("boss");
    let expected = [
        (Deed::Dismissed(ids.1), None, ""),
        (Deed::Appointed(ids.1), by, ""),
        (Deed::Showed(key.clone()), by, "hidden: false"),
        (Deed::Enabled(ids.1), by, "spam"),
        (Deed::Disabled(ids.1), by, "spam"),
        (Deed::Hid(key), by, "hidden: true"),
        (Deed::Appointed(ids.0), None, ""),
    ];
    assert_eq!(deeds.collect::<Vec<_>>(), expected);
    assert_eq!(log.next, None);
    let all: Vec<_> = log.deeds.into_iter().map(|(it, _)| it).collect();
    assert_eq!(bench.deeds(2), all);
}
