//! Accounts and log-ins.

use super::*;

fn sign_up(name: &str, login: LoginId) -> Act {
    Act::SignUp { name: name.into(), password: password(name), login, replaces: None }
}

#[test]
fn a_name_is_one_persons_whatever_its_case_and_a_number_is_nobodys_again() {
    let mut bench = Bench::new();
    bench.sign_up("Ann");
    let first = bench.user("aNN");
    assert_eq!(
        (first.id, &first.name[..], first.wall_ms),
        (bench.revision(), "Ann", bench.wall_ms)
    );
    let login = bench.draw();
    assert_eq!(bench.refused(sign_up("ANN", login)), Refusal::NameTaken);
    bench.sign_up("Anna");
    assert!(bench.user("anna").id > first.id);
    assert_eq!(user(bench.state.table(), 1), Ok(None), "a revision that made something else");
    assert_eq!(user_named(bench.state.table(), &"a".repeat(20_000)), Ok(None));
}

#[test]
fn who_logs_in_must_have_been_checked_against_the_password_that_stands() {
    let mut bench = Bench::new();
    let ann = bench.sign_up("Ann");
    let (user, login) = (bench.user("Ann").id, bench.draw());
    let log_in = |password: &str, user| log_in_of(user, password, login, None);
    assert_eq!(bench.refused(log_in("another", user)), Refusal::PasswordChanged);
    assert_eq!(bench.refused(log_in("another", user + 1)), Refusal::NoUser);
    let (old, new) = (password("ann"), "new".to_owned());
    let change =
        |old: &str, new: &str| Act::ChangePassword { login: ann, old: old.into(), new: new.into() };
    assert_eq!(bench.refused(change("another", "new")), Refusal::PasswordChanged);
    assert_eq!(bench.act(change(&old, &new)), Told::Done);
    assert_eq!(bench.refused(log_in(&old, user)), Refusal::PasswordChanged);
    assert_eq!(bench.act(log_in(&new, user)), Told::Done);
    assert_eq!(bench.refused(change(&old, "newer")), Refusal::PasswordChanged);
}

#[test]
fn a_log_out_here_leaves_the_others_and_one_everywhere_leaves_none() {
    let mut bench = Bench::new();
    let bob = bench.sign_up("bob");
    let one = bench.sign_up("Ann");
    let (two, three) = (bench.log_in("Ann"), bench.log_in("Ann"));
    let ann = bench.user("Ann").id;
    assert_eq!(logins_of(bench.state.table(), ann), Ok(3));
    assert_eq!(bench.act(Act::LogOut { login: one }), Told::LoggedOut(1));
    let before = bench.revision();
    assert_eq!(bench.act(Act::LogOut { login: one }), Told::LoggedOut(0));
    assert_eq!(bench.revision(), before);
    assert_eq!(bench.refused(post_of(one, "1")), Refusal::LoggedOut);
    assert_eq!(bench.refused(Act::LogOutEverywhere { login: one }), Refusal::LoggedOut);
    assert_eq!(bench.act(Act::LogOutEverywhere { login: two }), Told::LoggedOut(2));
    for login in [two, three] {
        assert_eq!(bench.refused(post_of(login, "1")), Refusal::LoggedOut);
        assert_eq!(login_there(&bench, login), None);
    }
    bench.post(bob, "1");
    bench.log_in("Ann");
}

fn login_there(bench: &Bench, login: LoginId) -> Option<Login> {
    super::super::login(bench.state.table(), &login).unwrap()
}

#[test]
fn another_password_ends_all_other_log_ins() {
    let mut bench = Bench::new();
    let (one, bob) = (bench.sign_up("Ann"), bench.sign_up("bob"));
    let two = bench.log_in("Ann");
    let change = Act::ChangePassword { login: two, old: password("Ann"), new: "new".into() };
    assert_eq!(bench.act(change), Told::Done);
    assert_eq!(bench.refused(post_of(one, "1")), Refusal::LoggedOut);
    bench.post(two, "1");
    bench.post(bob, "2");
}

#[test]
fn one_log_in_too_many_ends_the_oldest() {
    let mut bench = Bench::new();
    let mut logins = vec![bench.sign_up("Ann")];
    while logins.len() < LOGINS_MAX {
        logins.push(bench.log_in("Ann"));
    }
    bench.post(logins[0], "1");
    let last = bench.log_in("Ann");
    assert_eq!(bench.refused(post_of(logins[0], "2")), Refusal::LoggedOut);
    bench.post(logins[1], "2");
    bench.post(last, "3");
    assert_eq!(logins_of(bench.state.table(), bench.user("Ann").id), Ok(LOGINS_MAX));
}

#[test]
fn a_token_that_is_drawn_twice_is_the_last_ones() {
    let mut bench = Bench::new();
    let login = bench.sign_up("Ann");
    assert!(matches!(bench.act(sign_up("bob", login)), Told::SignedUp(_)));
    let key = bench.post(login, "1");
    assert_eq!(bench.found(&key).user, bench.user("bob").id);
    assert_eq!(logins_of(bench.state.table(), bench.user("Ann").id), Ok(0));
}

#[test]
fn a_new_log_in_ends_the_one_that_it_replaces_whoevers_that_was() {
    let mut bench = Bench::new();
    let (ann, other, bob) = (bench.sign_up("Ann"), bench.log_in("Ann"), bench.sign_up("bob"));
    let mut enter = |name: &str, replaces| {
        let login = bench.draw();
        let user = bench.user(name).id;
        let told = bench.act(log_in_of(user, &password(name), login, Some(replaces)));
        (bench.clone(), login, told)
    };
    let (after, again, told) = enter("Ann", ann);
    assert_eq!(told, Told::Done);
    assert_eq!((login_there(&after, ann), login_there(&after, again).is_some()), (None, true));
    assert!(login_there(&after, other).is_some() && login_there(&after, bob).is_some());
    let (after, _, told) = enter("Ann", bob);
    assert_eq!((told, login_there(&after, bob)), (Told::Done, None));
    let (_, _, told) = enter("Ann", [1; 32]);
    assert_eq!(told, Told::Done, "one that has ended, or never was");
    let login = bench.draw();
    let name = "cleo".to_owned();
    let act = Act::SignUp { password: password(&name), name, login, replaces: Some(other) };
    assert!(matches!(bench.act(act), Told::SignedUp(_)));
    assert!(login_there(&bench, login).is_some() && login_there(&bench, other).is_none());
}

#[test]
fn who_is_not_logged_in_loses_nothing_by_it() {
    let mut bench = Bench::new();
    let (ann, login) = (bench.sign_up("Ann"), bench.draw());
    let (user, replaces) = (bench.user("Ann").id, Some(ann));
    let wrong = log_in_of(user, "wrong", login, replaces);
    assert_eq!(bench.refused(wrong), Refusal::PasswordChanged);
    let taken = Act::SignUp { name: "ann".into(), password: "p".into(), login, replaces };
    assert_eq!(bench.refused(taken), Refusal::NameTaken);
    bench.post(ann, "1");
}

#[test]
fn a_log_in_ends_by_itself_when_nothing_is_done_with_it() {
    let mut bench = Bench::new();
    let (ann, bob) = (bench.sign_up("Ann"), bench.sign_up("bob"));
    let ends_ms = bench.clock_ms + LOGIN_MS + LOGIN_MS / 64 + 2;
    assert_eq!(login_there(&bench, ann).unwrap().expires_ms, ends_ms);
    bench.pass(DAY_MS - 1);
    bench.post(ann, "1");
    assert_eq!(login_there(&bench, ann).unwrap().expires_ms, ends_ms, "it is no day yet");
    bench.pass(1);
    assert_eq!(
        bench.refused(Act::Like { login: ann, post: "x".into(), on: true }),
        Refusal::NoPost
    );
    assert_eq!(login_there(&bench, ann).unwrap().expires_ms, ends_ms, "a refusal renews nothing");
    bench.post(ann, "2");
    assert_eq!(login_there(&bench, ann).unwrap().expires_ms, ends_ms + DAY_MS);
    bench.clock_ms = ends_ms - 1;
    bench.expire();
    assert!(login_there(&bench, bob).is_some());
    bench.clock_ms = ends_ms;
    assert_eq!(
        bench.refused(post_of(bob, "3")),
        Refusal::LoggedOut,
        "even before it is taken away"
    );
    let before = bench.revision();
    assert_eq!(bench.expire(), 1);
    assert_eq!((bench.revision(), login_there(&bench, bob)), (before, None));
    bench.post(ann, "3");
}
