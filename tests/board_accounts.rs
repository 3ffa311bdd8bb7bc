//! Accounts as a browser meets them, whatever happens on the way.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "board_support/api.rs"]
mod board_api;
mod board_support;
#[macro_use]
mod http_support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use board_api::{OTHER, act, appoint};
use board_support::{Browser, Form, PASSWORD, Page, says};
use bowline::error::{Failure, Reason};
use bowline::node::{Ask, Completion, Request, Sink};
use bowline::passwords::{Job, Secret, WAITING_MAX};
use bowline::state::VERSION_BOARD;
use bowline::state::board::{self, Act, Told};
use bowline::storage::Rows;
use crossbeam_channel::{Sender, bounded};
use http_support::{Api, Front, Mood, Node};
use parking_lot::Mutex;

both_fronts! {
    one_signs_up_logs_out_and_in_and_changes_the_password,
    log_ins_are_ended_here_and_everywhere,
    a_log_in_is_always_a_new_one,
    a_cookie_that_says_nothing_stands_in_nobodys_way,
    without_a_leader_nothing_is_done_and_nothing_lost,
    an_outcome_that_nobody_knows_is_told_as_such,
    a_crowd_at_the_passwords_is_told_to_come_back,
    what_happens_meanwhile_counts,
}

fn user(api: &Api, name: &str) -> Browser {
    let mut browser = Browser::default();
    browser.sign_up(api, name);
    browser
}

fn is_logged_in(browser: &mut Browser, api: &Api) -> bool {
    let page = browser.get(api, "/b/settings");
    match page.status {
        200 => true,
        303 => {
            assert_eq!(page.location(), "/b/login?next=/b/settings");
            false
        }
        _ => panic!("{page:?}"),
    }
}

fn account(node: &Node, name: &str) -> board::User {
    board::user_named(&node.service.client().view(), name).unwrap().unwrap()
}

/// A log-in of a user that no browser has.
fn log_in_behind(node: &Node, name: &str) -> board::LoginId {
    let board::User { id: user, password, .. } = account(node, name);
    let mut login = [7; 32];
    login[..name.len()].copy_from_slice(name.as_bytes());
    let address = vec![192, 0, 2, 1].into();
    let log_in = Act::LogIn { user, password, login, replaces: None, address };
    assert_eq!(act(node, log_in), Told::Done);
    login
}

/// Sends a form to a node that keeps everything to itself, while `does` has it answer.
fn while_kept(
    api: &Api,
    browser: &mut Browser,
    form: &Form,
    does: impl FnOnce(&Node) + Send,
) -> Page {
    let node = &api.node;
    node.set_mood(Mood::Silent);
    std::thread::scope(|scope| {
        scope.spawn(|| does(node));
        browser.submit(api, form)
    })
}

/// Sends a form, and does something when its password is hashed or checked, before what comes of that is
/// applied.
fn meanwhile(
    api: &Api,
    browser: &mut Browser,
    form: &Form,
    what: impl FnOnce(&Node) + Send,
) -> Page {
    while_kept(api, browser, form, |node| {
        node.wait_until_kept(1);
        node.release();
        node.wait_until_kept(1);
        what(node);
        node.set_mood(Mood::Fine);
    })
}

fn change(browser: &mut Browser, api: &Api, old: &str, new: &str) -> Page {
    browser.fill(api, ("/b/settings", "/b/password"), &[("old", old), ("new", new)])
}

fn one_signs_up_logs_out_and_in_and_changes_the_password(front: Front) {
    let api = Api::start(front);
    let mut ann = Browser::default();
    let page = ann.fill(
        &api,
        ("/b/signup?next=/b/newest", "/b/signup"),
        &[("name", " Ann "), ("password", PASSWORD)],
    );
    assert_eq!(page.location(), "/b/newest", "back to where it began");
    assert_eq!(ann.name(&api).as_deref(), Some("Ann"), "the blanks are none of it");
    says(&ann.open(&api, "/b/settings"), 200, "You have 1 log-in, this one included.");

    assert_eq!(ann.press(&api, "/b/newest", "Log out").location(), "/b");
    assert!(!ann.cookies.contains_key("bowline_login") && !is_logged_in(&mut ann, &api));
    says(&ann.log_in(&api, "ann", OTHER), 422, "The name or the password is wrong.");
    let typed = [("name", "aNN"), ("password", PASSWORD)];
    let page = ann.fill(&api, ("/b/login?next=/b/settings", "/b/login"), &typed);
    assert_eq!(page.location(), "/b/settings", "one name whatever the case");

    let mut elsewhere = Browser::default();
    assert_eq!(elsewhere.log_in(&api, "ann", PASSWORD).location(), "/b");
    let page = change(&mut ann, &api, OTHER, OTHER);
    assert_eq!(page.error("new").as_deref(), Some("That is the same password again."));
    let page = change(&mut ann, &api, OTHER, "something else");
    assert_eq!(page.error("old").as_deref(), Some("That is not your password."));
    let page = change(&mut ann, &api, "", "short");
    assert!(page.status == 422 && page.error("old").is_some() && page.error("new").is_some());
    assert!(is_logged_in(&mut elsewhere, &api), "nothing has happened so far");

    let page = change(&mut ann, &api, PASSWORD, OTHER);
    says(&ann.open(&api, page.location()), 200, "Your password is changed.");
    assert!(is_logged_in(&mut ann, &api) && !is_logged_in(&mut elsewhere, &api));
    says(&elsewhere.log_in(&api, "ann", PASSWORD), 422, "The name or the password is wrong.");
    assert_eq!(elsewhere.log_in(&api, "ann", OTHER).status, 303);
}

fn log_ins_are_ended_here_and_everywhere(front: Front) {
    let api = Api::start(front);
    let mut one = user(&api, "ann");
    let mut browsers = [Browser::default(), Browser::default(), Browser::default()];
    for browser in &mut browsers {
        assert_eq!(browser.log_in(&api, "ann", PASSWORD).status, 303);
    }
    let [two, three, four] = &mut browsers;
    let mut stolen = two.clone();
    assert_eq!(two.press(&api, "/b", "Log out").status, 303);
    assert!(!is_logged_in(&mut stolen, &api), "the log-in has ended, not only its cookie");
    says(&one.open(&api, "/b/settings"), 200, "You have 3 log-ins, this one included.");

    // What stands on this page is of a log-in that ends before it is sent.
    let log_out = four.open(&api, "/b").form("/b/logout");
    let everywhere = four.open(&api, "/b/settings").form("/b/logout-everywhere");
    let page = three.press(&api, "/b/settings", "Log out everywhere");
    says(&three.open(&api, page.location()), 200, "here and everywhere else");
    for browser in [&mut one, three, four] {
        assert!(!is_logged_in(browser, &api));
    }
    let page = four.clone().submit(&api, &everywhere);
    says(&page, 401, "You are not logged in any more");
    assert!(four.cookies.contains_key("bowline_login"), "it does not know yet");
    assert_eq!(four.submit(&api, &log_out).location(), "/b");
    assert!(!four.cookies.contains_key("bowline_login"), "it is forgotten all the same");
}

fn a_log_in_is_always_a_new_one(front: Front) {
    let api = Api::start(front);
    let mut ann = user(&api, "ann");
    let mut first = ann.clone();
    says(&ann.open(&api, "/b/login"), 200, "You are logged in as ann");
    assert_eq!(ann.log_in(&api, "ann", PASSWORD).status, 303);
    assert_ne!(ann.cookies["bowline_login"], first.cookies["bowline_login"]);
    assert!(is_logged_in(&mut ann, &api));
    assert!(!is_logged_in(&mut first, &api), "the older one is ended");
    let mut second = ann.clone();
    ann.sign_up(&api, "bob");
    assert_eq!(ann.name(&api).as_deref(), Some("bob"));
    assert!(!is_logged_in(&mut second, &api), "whoever's it was");

    // A token that somebody else has put there is not taken over.
    let planted = "A".repeat(43);
    let mut victim = Browser::default();
    victim.cookies.insert("bowline_login".to_owned(), planted.clone());
    let mut attacker = victim.clone();
    assert_eq!(victim.log_in(&api, "ann", PASSWORD).status, 303);
    assert_ne!(victim.cookies["bowline_login"], planted);
    assert!(is_logged_in(&mut victim, &api) && !is_logged_in(&mut attacker, &api));
}

fn a_cookie_that_says_nothing_stands_in_nobodys_way(front: Front) {
    let api = Api::start(front);
    user(&api, "ann");
    let dead = "B".repeat(43);
    for (login, seen) in [("", ""), ("x", "x"), (&*dead, "1"), ("a=b\"", "99999999")] {
        let mut browser = Browser::default();
        browser.cookies.insert("bowline_login".to_owned(), login.to_owned());
        browser.cookies.insert("bowline_seen".to_owned(), seen.to_owned());
        assert!(!is_logged_in(&mut browser, &api));
        assert_eq!(browser.log_in(&api, "ann", PASSWORD).status, 303, "{login:?} {seen:?}");
        assert!(is_logged_in(&mut browser, &api), "{login:?} {seen:?}");
        let index: u64 = browser.cookies["bowline_seen"].parse().unwrap();
        assert_eq!(index, api.node.applied(), "what this browser has done is what it must see");
    }
}

/// All forms of the accounts, filled in, with where they are.
fn forms(browser: &mut Browser, api: &Api) -> Vec<Form> {
    let settings = browser.open(api, "/b/settings");
    let log_in = browser.open(api, "/b/login").form("/b/login");
    let sign_up = browser.open(api, "/b/signup").form("/b/signup");
    vec![
        log_in.with("name", "ann").with("password", PASSWORD),
        sign_up.with("name", "bob").with("password", PASSWORD),
        settings.form("/b/password").with("old", PASSWORD).with("new", OTHER),
        settings.form("/b/logout-everywhere"),
        settings.form("/b/logout"),
    ]
}

fn without_a_leader_nothing_is_done_and_nothing_lost(front: Front) {
    let api = Api::start(front);
    let mut ann = user(&api, "ann");
    let forms = forms(&mut ann, &api);
    let applied = api.node.applied();
    api.node.set_mood(Mood::Fails(Failure::not_applied(Reason::NoLeader)));
    for form in &forms {
        let page = ann.clone().submit(&api, form);
        says(&page, 503, "nothing was done");
        assert_eq!(page.header("Retry-After"), Some("1"), "{page:?}");
        assert!(!page.headers.iter().any(|(name, _)| name == "Set-Cookie"), "{page:?}");
        let mut again = Form::all(&page.body).into_iter().filter(|it| it.action == form.action);
        assert_eq!(again.next_back().unwrap().get("name"), form.get("name"), "{page:?}");
    }
    api.node.set_mood(Mood::Fine);
    assert_eq!(api.node.applied(), applied);
    assert!(is_logged_in(&mut ann, &api));
}

fn an_outcome_that_nobody_knows_is_told_as_such(front: Front) {
    let api = Api::start(front);
    let mut ann = user(&api, "ann");
    let forms = forms(&mut ann, &api);
    let unknown = || Mood::Fails(Failure::unknown(Reason::Deadline));
    // An attempt that may have been counted has done nothing.
    api.node.set_mood(unknown());
    for form in &forms[..3] {
        says(&ann.clone().submit(&api, form), 503, "nothing was done");
    }
    for form in &forms[3..] {
        says(&ann.clone().submit(&api, form), 504, "may or may not");
    }
    // What comes after it may have.
    for (form, told) in forms[..3].iter().zip([
        "you are not logged in",
        "the account may be there now, or not",
        "the new password may count already",
    ]) {
        let page = while_kept(&api, &mut ann.clone(), form, |node| {
            node.wait_until_kept(1);
            node.release();
            node.wait_until_kept(1);
            node.set_mood(unknown());
        });
        says(&page, 504, told);
        assert_eq!(page.form(&form.action).get("name"), form.get("name"));
    }
    // Done or not, one can go on.
    api.node.set_mood(Mood::Fine);
    let mut bob = Browser::default();
    bob.sign_up(&api, "bob");
    let typed = [("name", "bob"), ("password", PASSWORD)];
    let page = Browser::default().fill(&api, ("/b/signup", "/b/signup"), &typed);
    assert_eq!(page.error("name").as_deref(), Some("This name is taken. If it is yours, log in."));
    assert_eq!(Browser::default().log_in(&api, "bob", PASSWORD).status, 303);
}

/// Takes an answer when the test does: until then the thread that brings it stands still.
struct Gate(Sender<Completion>);

impl Sink for Gate {
    fn complete(&self, batch: Vec<Completion>) {
        batch.into_iter().for_each(|completion| drop(self.0.send(completion)));
    }
}

fn a_crowd_at_the_passwords_is_told_to_come_back(front: Front) {
    let api = Api::start(front);
    let mut ann = user(&api, "ann");
    let forms = forms(&mut ann, &api);
    let client = api.node.service.client();
    let (sender, answers) = bounded(0);
    let sink = client.completions.register(Arc::new(Gate(sender)));
    let jobs = client.metrics.password_jobs.get();
    for number in 0..=WAITING_MAX {
        let ask = Ask::Password(Job::Hash(Secret::new("password".to_owned())));
        let deadline = Instant::now() + Duration::from_secs(600);
        client.submit(Request { ticket: client.ticket(sink), deadline, ask }).unwrap();
        // The thread has taken the first one, and will stand still with it.
        while number == 0 && client.metrics.password_jobs.get() == jobs {
            std::thread::yield_now();
        }
    }
    let (applied, refused) = (api.node.applied(), client.metrics.password_refused.get());
    for form in &forms[..3] {
        let page = ann.clone().submit(&api, form);
        says(&page, 503, "more passwords to check than it can");
        assert_eq!(page.header("Retry-After"), Some("1"), "{page:?}");
        assert_eq!(page.form(&form.action).get("name"), form.get("name"));
    }
    assert_eq!(api.node.applied(), applied, "no attempt is counted that comes to nothing");
    assert_eq!(client.metrics.password_refused.get(), refused + 3);
    assert!(is_logged_in(&mut ann, &api), "nobody else is harmed");
    assert_eq!(ann.clone().submit(&api, &forms[4]).status, 303, "nor who logs out");
    (0..=WAITING_MAX).for_each(|_| drop(answers.recv().unwrap()));
    assert_eq!(Browser::default().log_in(&api, "ann", PASSWORD).status, 303);
}

fn what_happens_meanwhile_counts(front: Front) {
    let api = Api::start(front);
    let mut ann = user(&api, "ann");
    let mut eve = user(&api, "moderator");
    appoint(&api.node, "moderator", true);
    let moderator = log_in_behind(&api.node, "moderator");
    let mut there = Browser::default();
    let log_in = there.open(&api, "/b/login").form("/b/login");
    let log_in = log_in.with("name", "ann").with("password", PASSWORD);
    let sign_up = there.open(&api, "/b/signup").form("/b/signup");
    let sign_up = sign_up.with("name", "Bob").with("password", PASSWORD);
    let password = |browser: &mut Browser| {
        let form = browser.open(&api, "/b/settings").form("/b/password");
        form.with("old", PASSWORD).with("new", OTHER)
    };

    let page = meanwhile(&api, &mut there, &sign_up, |node| {
        let (name, password) = ("bob".to_owned(), "another hash".to_owned());
        let told = act(node, Act::SignUp { name, password, login: [8; 32], replaces: None });
        assert!(matches!(told, Told::SignedUp(_)), "{told:?}");
    });
    assert_eq!(page.error("name").as_deref(), Some("This name is taken. If it is yours, log in."));
    assert_eq!(page.form("/b/signup").get("name"), Some("Bob"));

    let change_behind = |node: &Node, name: &str, new: &str| {
        let (login, old) = (log_in_behind(node, name), account(node, name).password);
        let change = Act::ChangePassword { login, old: old.clone(), new: new.to_owned() };
        assert_eq!(act(node, change), Told::Done);
        old
    };
    let mut hash = String::new();
    let page = meanwhile(&api, &mut there, &log_in, |node| hash = change_behind(node, "ann", "x"));
    says(&page, 422, "The password was changed just now: type the new one.");
    assert!(!there.cookies.contains_key("bowline_login"));
    change_behind(&api.node, "ann", &hash);
    assert!(!is_logged_in(&mut ann, &api), "a change ends all other log-ins");

    assert_eq!(ann.log_in(&api, "ann", PASSWORD).status, 303);
    let form = password(&mut ann);
    let page = meanwhile(&api, &mut ann, &form, |node| {
        // A change elsewhere ends this log-in too.
        hash = change_behind(node, "ann", "x");
    });
    says(&page, 401, "You are not logged in any more");
    assert!(page.body.contains("href=\"/b/login?next=/b/settings\""), "{page:?}");
    change_behind(&api.node, "ann", &hash);

    let disable = |node: &Node, disabled| {
        let (name, reason) = ("ann".to_owned(), String::new());
        let disable = Act::Disable { login: moderator, name, disabled, reason };
        assert_eq!(act(node, disable), Told::Done);
    };
    let page = meanwhile(&api, &mut there, &log_in, |node| disable(node, true));
    says(&page, 403, "A moderator has disabled this account");
    says(&there.log_in(&api, "ann", OTHER), 422, "The name or the password is wrong.");
    says(&there.log_in(&api, "ann", PASSWORD), 403, "A moderator has disabled this account");
    assert!(!there.cookies.contains_key("bowline_login"));
    disable(&api.node, false);
    assert_eq!(there.log_in(&api, "ann", PASSWORD).status, 303);
    assert!(is_logged_in(&mut there, &api) && is_logged_in(&mut eve, &api));
}

#[test]
fn nobody_and_a_wrong_password_are_one_thing() {
    let api = Api::start(Front::Mio);
    user(&api, "anna");
    let client = api.node.service.client();
    let mut eve = Browser::default();
    let form = eve.open(&api, "/b/login").form("/b/login").with("password", OTHER);
    let mut answers = Vec::new();
    for name in ["anna", "nobo", "anna"] {
        let (applied, jobs) = (api.node.applied(), client.metrics.password_jobs.get());
        let page = eve.clone().submit(&api, &form.clone().with("name", name));
        assert_eq!(api.node.applied(), applied + 1, "an attempt is counted");
        assert_eq!(client.metrics.password_jobs.get(), jobs + 1, "a password is checked");
        let entry = format!("as of entry {applied}");
        let body = page.body.replace(name, "NAME").replace(&entry, "");
        let unlike = ["Date", "X-Bowline-Index"];
        let mut headers = page.headers;
        headers.retain(|(it, _)| !unlike.contains(&it.as_str()));
        answers.push((page.status, headers, body));
    }
    assert_eq!(answers[0], answers[1], "byte by byte");
    assert_eq!(answers[0], answers[2]);
    assert_eq!(answers[0].0, 422);
}

#[test]
fn guessing_the_password_of_an_open_browser_is_limited() {
    let api = Api::start(Front::Mio);
    let mut ann = user(&api, "ann");
    for _ in 0..10 {
        let page = change(&mut ann, &api, OTHER, "something else");
        assert!(page.error("old").is_some(), "{page:?}");
    }
    let page = change(&mut ann, &api, PASSWORD, "something else");
    says(&page, 429, "too often");
    let seconds: u64 = page.header("Retry-After").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "{page:?}");
    api.node.pass(seconds * 1000);
    assert_eq!(change(&mut ann, &api, PASSWORD, "something else").status, 303);
}

#[test]
fn a_stranger_who_uses_up_all_attempts_locks_nobody_out() {
    let api = Api::start(Front::Mio);
    let mut ann = user(&api, "ann");
    let at = |address: &str| Browser {
        headers: vec![("X-Forwarded-For", address.to_owned())],
        ..Browser::default()
    };
    // As many as there are, and then each that comes back.
    for attempts in [10, 1, 1] {
        for _ in 0..attempts {
            says(&at("203.0.113.66").log_in(&api, "ann", OTHER), 422, "is wrong");
        }
        for _ in 0..3 {
            says(&at("203.0.113.66").log_in(&api, "ANN", PASSWORD), 429, "too often");
        }
        // Elsewhere, with a typing error or two.
        let mut own = at("203.0.113.7");
        says(&own.log_in(&api, "ann", OTHER), 422, "is wrong");
        assert_eq!(own.log_in(&api, "ann", PASSWORD).status, 303);
        // That has given nothing back to the stranger.
        says(&at("203.0.113.66").log_in(&api, "ann", PASSWORD), 429, "too often");
        api.node.pass(60_000);
    }
    assert_eq!(change(&mut ann, &api, PASSWORD, OTHER).status, 303);
}

#[test]
fn what_this_node_knows_to_be_too_often_is_not_asked_of_the_cluster() {
    let api = Api::start(Front::Mio);
    api.node.begin_now();
    let jobs = || api.node.service.client().metrics.password_jobs.get();
    let tries = |name: &str, page: &str| {
        let typed = [("name", name), ("password", PASSWORD)];
        Browser::default().fill(&api, (page, page), &typed)
    };
    for _ in 0..10 {
        says(&tries("nobody", "/b/login"), 422, "The name or the password is wrong.");
    }
    for number in 0..5 {
        assert_eq!(tries(&format!("user{number}"), "/b/signup").status, 303);
    }
    let before = (api.node.applied(), jobs());
    for _ in 0..20 {
        let page = tries("NoBody", "/b/login");
        says(&page, 429, "too often");
        assert_eq!(page.form("/b/login").get("name"), Some("NoBody"));
        let seconds: u64 = page.header("Retry-After").unwrap().parse().unwrap();
        assert!((1..=60).contains(&seconds), "{page:?}");
        says(&tries("user5", "/b/signup"), 429, "too often");
    }
    assert_eq!((api.node.applied(), jobs()), before, "neither an entry nor a password");
    // The next entry, whatever it is, brings the time along.
    api.node.pass(60_000);
    assert_eq!(tries("user5", "/b/login").status, 422);
    says(&tries("nobody", "/b/login"), 422, "The name or the password is wrong.");
}

#[test]
fn a_form_in_the_name_of_nobody_is_not_asked_of_the_cluster() {
    let api = Api::start(Front::Mio);
    let mut ann = user(&api, "ann");
    let form = ann.open(&api, "/b/post").form("/b/post");
    let form = form.with("title", "A page").with("url", "https://example.com/");
    let settings = ann.open(&api, "/b/settings");
    // Elsewhere; this browser has not heard of it.
    let mut there = ann.clone();
    let log_out = there.open(&api, "/b").form("/b/logout");
    assert_eq!(there.submit(&api, &log_out).status, 303);
    let before = api.node.applied();
    let page = ann.submit(&api, &form);
    says(&page, 401, "You are not logged in any more");
    assert_eq!(page.form("/b/post").get("title"), Some("A page"));
    let page = ann.submit(&api, &settings.form("/b/logout-everywhere"));
    says(&page, 401, "You are not logged in any more");
    // Who wants to log out is told no trouble about it.
    let page = ann.submit(&api, &settings.form("/b/logout"));
    assert_eq!(page.status, 303, "{page:?}");
    assert!(!ann.cookies.contains_key("bowline_login"));
    assert_eq!(api.node.applied(), before);
}

#[test]
fn a_form_that_another_site_sends_is_not_taken() {
    let api = Api::start(Front::Mio);
    user(&api, "ann");
    let mut eve = Browser::default();
    let form = eve.open(&api, "/b/login").form("/b/login");
    let form = form.with("name", "ann").with("password", PASSWORD);
    for site in ["cross-site", "same-site"] {
        let mut browser = eve.clone();
        browser.headers.push(("Sec-Fetch-Site", site.to_owned()));
        let page = browser.submit(&api, &form);
        says(&page, 403, "was not one of ours");
        assert_eq!(page.form("/b/login").get("name"), Some("ann"));
        assert!(!browser.cookies.contains_key("bowline_login"));
    }
    eve.headers.push(("Sec-Fetch-Site", "same-origin".to_owned()));
    assert_eq!(eve.submit(&api, &form).status, 303);
}

#[test]
fn a_young_cluster_has_no_accounts() {
    let node = Node::start_with_rules(VERSION_BOARD - 1);
    let api = Api::over(node, Front::Mio, bowline::http::front::Patience::default());
    for action in ["/b/signup", "/b/login"] {
        let typed = [("name", "ann"), ("password", PASSWORD)];
        let page = Browser::default().fill(&api, (action, action), &typed);
        says(&page, 503, "still runs an older version");
        assert_eq!(page.form(action).get("name"), Some("ann"));
    }
}

/// Keeps all that is logged.
struct Listener(Mutex<Vec<String>>);

static LISTENER: Listener = Listener(Mutex::new(Vec::new()));

impl log::Log for Listener {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        self.0.lock().push(format!("{} {}", record.target(), record.args()));
    }

    fn flush(&self) {}
}

#[test]
fn passwords_and_tokens_are_in_no_log_and_in_no_row() {
    log::set_logger(&LISTENER).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    let api = Api::start(Front::Mio);
    let mut ann = user(&api, "ann");
    let first = ann.cookies["bowline_login"].clone();
    assert_eq!(change(&mut ann, &api, PASSWORD, OTHER).status, 303);
    says(&ann.log_in(&api, "ann", PASSWORD), 422, "wrong");
    assert_eq!(ann.log_in(&api, "ann", OTHER).status, 303);
    let form = ann.open(&api, "/b/login").form("/b/login");
    let form = form.with("name", "ann").with("password", OTHER);
    let page = while_kept(&api, &mut ann, &form, |node| {
        node.wait_until_kept(1);
        node.set_mood(Mood::Fails(Failure::not_applied(Reason::NoLeader)));
    });
    assert_eq!(page.status, 503, "{page:?}");
    api.node.set_mood(Mood::Fine);
    assert!(is_logged_in(&mut ann, &api));

    let secrets = [PASSWORD, OTHER, &first, &ann.cookies["bowline_login"]];
    let lines = LISTENER.0.lock().clone();
    assert!(!lines.is_empty(), "something is logged");
    for secret in secrets {
        assert!(!lines.iter().any(|line| line.contains(secret)), "{lines:?}");
    }
    let mut rows = 0;
    api.node
        .service
        .client()
        .view()
        .scan(&[], None, &mut |key, value| {
            rows += 1;
            let within = |secret: &[u8]| {
                [key, value].iter().any(|it| it.windows(secret.len()).any(|part| part == secret))
            };
            for secret in secrets {
                assert!(!within(secret.as_bytes()), "a row holds {secret}");
            }
            true
        })
        .unwrap();
    assert!(rows > 3, "there are accounts and log-ins");
}
