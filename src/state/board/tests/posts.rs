//! Posts, likes and comments.

use super::*;
use crate::state::{Link, is_key, lookup};
use crate::storage::{Rows, Table};

fn like(login: LoginId, post: &str, on: bool) -> Act {
    Act::Like { login, post: post.into(), on }
}

fn retitle(login: LoginId, post: &str, title: &str) -> Act {
    Act::Retitle { login, post: post.into(), title: title.into() }
}

fn delete(login: LoginId, post: &str) -> Act {
    Act::Delete { login, post: post.into() }
}

fn remove(login: LoginId, post: &str, comment: CommentId) -> Act {
    Act::RemoveComment { login, post: post.into(), comment, reason: "spam".into() }
}

#[test]
fn a_post_is_a_short_link_of_its_own() {
    let mut bench = Bench::new();
    let ann = bench.sign_up("Ann");
    let url = "https://www.example.com/1";
    let shared = bench.apply(&Command::CreateLink { url: url.into() });
    let key = bench.post(ann, "1");
    assert!(is_key(&key));
    assert!(matches!(shared, Reply::Link { key: shared, .. } if shared != key));
    assert_eq!(lookup(bench.state.table(), &key), Ok(Some(Link::Owned(url.into()))));
    assert_eq!(bench.state.summary().links, 2);
    let again = bench.apply(&Command::CreateLink { url: url.into() });
    assert!(matches!(again, Reply::Link { key: shared, created: false } if shared != key));
    assert_eq!(bench.act(delete(ann, &key)), Told::Done);
    assert_eq!(lookup(bench.state.table(), &key), Ok(Some(Link::Gone)));
    assert_eq!(bench.state.summary().links, 1);
    let next = bench.post(ann, "1");
    assert_ne!(next, key, "what is gone stays gone");
}

#[test]
fn a_key_that_is_taken_is_passed_over() {
    let mut bench = Bench::new();
    let ann = bench.sign_up("Ann");
    let mut other = bench.clone();
    assert_eq!(bench.state.summary().applied, 3);
    let key = bench.post(ann, "1");
    let row_key = [&b"\x01\0\0\0\0"[..], key.as_bytes()].concat();
    let taken = bench.state.table().get(&row_key).unwrap().unwrap();
    other.state.table_mut().put(&row_key, taken);
    let told = other.apply_unchecked(&Command::Board(post_of(ann, "1")));
    let Reply::Board(Told::Posted(longer)) = told else { panic!("{told:?}") };
    assert_eq!((longer.len(), &longer[..8]), (9, &key[..]));
}

#[test]
fn a_url_leads_to_its_earlier_post_for_thirty_days() {
    let mut bench = Bench::new();
    let (ann, bob) = (bench.sign_up("Ann"), bench.sign_up("bob"));
    let first = bench.post(ann, "1");
    bench.pass(REPOST_MS - 1);
    let before = bench.revision();
    for _ in 0..2 {
        bench.log_in("bob");
    }
    let bob_again = bench.log_in("bob");
    assert_eq!(bench.revision(), before + 3);
    let mut other = post_of(bob_again, "1");
    if let Act::Post { url, title, .. } = &mut other {
        (*url, *title) = ("http://example.com/1#x".into(), "another".into());
    }
    assert_eq!(bench.act(other), Told::PostedBefore(first.clone()));
    assert_eq!(bench.revision(), before + 3, "nothing was done");
    bench.pass(1);
    let second = bench.post(bob, "1");
    assert_ne!(second, first);
    assert_eq!(bench.act(post_of(ann, "1")), Told::PostedBefore(second.clone()));
    assert_eq!(bench.list(&List::Newest, 9), [second, first]);
}

#[test]
fn what_is_not_shown_does_not_stand_in_the_way_of_a_new_post() {
    let mut bench = Bench::new();
    let (ann, boss) = (bench.sign_up("Ann"), bench.sign_up("boss"));
    bench.act(Act::Appoint { by: None, name: "boss".into(), moderator: true });
    let first = bench.post(ann, "1");
    bench.act(delete(ann, &first));
    let second = bench.post(ann, "1");
    let hide =
        |hidden| Act::Hide { login: boss, post: second.clone(), hidden, reason: String::new() };
    bench.act(hide(true));
    let third = bench.post(ann, "1");
    bench.act(hide(false));
    assert_eq!(bench.list(&List::Newest, 1), [third.clone(), second]);
    assert_eq!(bench.act(post_of(ann, "1")), Told::PostedBefore(third));
}

#[test]
fn a_like_counts_once_and_moves_the_post_up() {
    let mut bench = Bench::new();
    let (ann, bob) = (bench.sign_up("Ann"), bench.sign_up("bob"));
    let old = bench.post(ann, "old");
    bench.pass(23_759_999);
    let new = bench.post(ann, "new");
    assert_eq!(bench.list(&List::Hot, 9), [new.clone(), old.clone()]);
    for _ in 0..3 {
        assert_eq!(bench.like(bob, &old, true), 1);
    }
    let revision = bench.revision();
    assert_eq!(bench.like(bob, &old, true), 1);
    assert_eq!(bench.revision(), revision, "nothing changed");
    assert_eq!(bench.list(&List::Hot, 9), [old.clone(), new.clone()], "worth 6.6 hours");
    assert_eq!(bench.list(&List::Newest, 9), [new.clone(), old.clone()]);
    assert_eq!(bench.like(ann, &old, true), 2);
    assert_eq!(bench.like(bob, &old, false), 1);
    assert_eq!(bench.like(bob, &old, false), 1);
    assert_eq!(bench.like(ann, &old, false), 0);
    assert_eq!(bench.list(&List::Hot, 9), [new, old]);
    for login in [[0; 32], bob] {
        let refusal = bench.refused(like(login, "nosuchpost", true));
        assert_eq!(refusal, if login == bob { Refusal::NoPost } else { Refusal::LoggedOut });
    }
    for strange in ["", "a", "../../x", "\0\0\0\0\0\0\0\0", &"k".repeat(20_000)] {
        assert_eq!(bench.refused(like(bob, strange, true)), Refusal::NoPost);
    }
}

#[test]
fn an_own_post_can_be_edited_and_deleted_for_a_while() {
    let mut bench = Bench::new();
    let (ann, bob) = (bench.sign_up("Ann"), bench.sign_up("bob"));
    let key = bench.post(ann, "1");
    bench.like(bob, &key, true);
    bench.pass(EDIT_MS - 1);
    assert_eq!(bench.refused(retitle(bob, &key, "mine")), Refusal::NotYours);
    assert_eq!(bench.refused(delete(bob, &key)), Refusal::NotYours);
    let before = bench.revision();
    assert_eq!(bench.act(retitle(ann, &key, "About 1")), Told::Done);
    assert_eq!((bench.revision(), bench.found(&key).edited_ms), (before, None), "it is the same");
    assert_eq!(bench.act(retitle(ann, &key, "better")), Told::Done);
    let post = bench.found(&key);
    assert_eq!((&post.title[..], post.edited_ms, post.likes), ("better", Some(bench.wall_ms), 1));
    let mut late = bench.clone();
    late.pass(1);
    assert_eq!(late.refused(retitle(ann, &key, "best")), Refusal::TooLate);
    assert_eq!(late.refused(delete(ann, &key)), Refusal::TooLate);
    assert_eq!(bench.act(delete(ann, &key)), Told::Done);
    assert_eq!(bench.found(&key).standing, Standing::Deleted);
    for act in [retitle(ann, &key, "x"), delete(ann, &key), like(bob, &key, false)] {
        assert_eq!(bench.refused(act), Refusal::NoPost);
    }
    assert_eq!((bench.user("Ann").posts, bench.user("Ann").likes), (0, 0));
    assert_eq!(bench.list(&List::Newest, 9), [""; 0]);
}

#[test]
fn answers_stand_in_the_thread_that_they_answer_to() {
    let mut bench = Bench::new();
    let (ann, bob) = (bench.sign_up("Ann"), bench.sign_up("bob"));
    let (key, other) = (bench.post(ann, "1"), bench.post(ann, "2"));
    let one = bench.say(bob, &key, None);
    let two = bench.say(bob, &key, None);
    let answer = bench.say(ann, &key, Some(one));
    let to_answer = bench.say(bob, &key, Some(answer));
    let to_two = bench.say(ann, &key, Some(two));
    let ids = |bench: &Bench| -> Vec<(u64, u64)> {
        bench.comments(&key, 2).iter().map(|it| (it.thread, it.id)).collect()
    };
    let expected = [(one, one), (one, answer), (one, to_answer), (two, two), (two, to_two)];
    assert_eq!(ids(&bench), expected);
    let say = |post: &str, parent| {
        let text = "x".to_owned();
        Act::Comment { login: ann, post: post.into(), parent, text }
    };
    assert_eq!(bench.refused(say(&other, Some(one))), Refusal::NoComment, "of another post");
    assert_eq!(bench.refused(say(&key, Some(1))), Refusal::NoComment);
    assert_eq!(bench.refused(say("nosuchpost", None)), Refusal::NoPost);
    assert_eq!(bench.act(remove(bob, &key, one)), Told::Done);
    assert_eq!(bench.refused(say(&key, Some(one))), Refusal::NoComment, "it was taken away");
    bench.say(ann, &key, Some(answer));
    assert_eq!(ids(&bench).len(), 6, "its thread goes on");
    assert_eq!(bench.found(&key).comments, 5);
}

#[test]
fn a_comment_is_taken_away_by_its_author_for_a_while_and_by_moderators() {
    let mut bench = Bench::new();
    let (ann, bob) = (bench.sign_up("Ann"), bench.sign_up("bob"));
    let key = bench.post(ann, "1");
    let (one, two) = (bench.say(bob, &key, None), bench.say(bob, &key, None));
    assert_eq!(
        bench.refused(remove(ann, &key, one)),
        Refusal::NotYours,
        "the post is, this is not"
    );
    assert_eq!(bench.act(remove(bob, &key, one)), Told::Done);
    assert_eq!(bench.refused(remove(bob, &key, one)), Refusal::NoComment);
    bench.pass(EDIT_MS);
    assert_eq!(bench.refused(remove(bob, &key, two)), Refusal::TooLate);
    bench.act(Act::Appoint { by: None, name: "ann".into(), moderator: true });
    assert_eq!(bench.act(remove(ann, &key, two)), Told::Done);
    let standings: Vec<_> = bench.comments(&key, 9).iter().map(|it| it.standing).collect();
    assert_eq!(standings, [Standing::Deleted, Standing::Hidden]);
    let deeds: Vec<_> = bench.deeds(9).into_iter().map(|it| it.deed).collect();
    let ann = bench.user("ann").id;
    assert_eq!(deeds, [Deed::RemovedComment(key, two), Deed::Appointed(ann)]);
}

#[test]
fn a_post_has_so_many_comments_at_most_and_those_taken_away_count() {
    let mut bench = Bench::new();
    let ann = bench.sign_up("Ann");
    let key = bench.post(ann, "1");
    let say = Act::Comment { login: ann, post: key.clone(), parent: None, text: String::new() };
    let mut last = 0;
    for _ in 0..COMMENTS_MAX {
        bench.clock_ms += 30_000;
        // Checking all of it each time would take long.
        let Reply::Board(Told::Commented(id)) = bench.apply_unchecked(&Command::Board(say.clone()))
        else {
            panic!("there is room")
        };
        last = id;
    }
    bench.clock_ms += 30_000;
    assert_eq!(bench.refused(say.clone()), Refusal::Full);
    assert_eq!(bench.act(remove(ann, &key, last)), Told::Done);
    assert_eq!(bench.found(&key).comments, COMMENTS_MAX - 1);
    assert_eq!(bench.refused(say), Refusal::Full, "its row is still there");
}
