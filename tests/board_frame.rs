//! What all pages of the board share: they show what their visitor has seen elsewhere or say that they do
//! not, take no forms but their own, and are pages even when something is wrong.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "board_support/api.rs"]
mod board_api;
mod board_support;
#[macro_use]
mod http_support;

use board_support::{Browser, Form, Page, html};
use bowline::error::{Failure, Reason};
use bowline::http::Options;
use bowline::http::front::Patience;
use http_support::{Answer, Api, Front, Mood, problem};

both_fronts! {
    a_page_waits_for_what_its_visitor_has_seen,
    a_page_without_news_says_so,
    what_no_node_can_have_is_forgotten,
    when_many_wait_a_page_comes_as_it_is,
    when_nothing_can_be_asked_a_page_comes_as_it_is,
    a_form_waits_too_and_is_not_lost,
    no_form_but_our_own_is_taken,
    a_visitor_is_sent_to_pages_of_the_board_alone,
    what_goes_wrong_is_told_on_a_page,
    programs_are_told_as_programs,
    a_node_that_cannot_serve_gives_back_what_was_typed,
    style_and_icon_are_fetched_once,
    behind_tls_cookies_stay_there,
    the_front_page_is_small,
    a_log_in_that_is_used_is_kept_longer,
}

/// A page for a browser with these cookies.
fn get(api: &Api, target: &str, cookies: &str) -> Answer {
    api.ask_with("GET", target, &format!("Cookie: {cookies}\r\n"), "")
}

/// A form that a browser with these cookies sends.
fn post(api: &Api, target: &str, cookies: &str, body: &str) -> Answer {
    let typed = "Content-Type: application/x-www-form-urlencoded\r\n";
    api.ask_with("POST", target, &format!("{typed}Cookie: {cookies}\r\n"), body)
}

fn seen(index: u64) -> String {
    format!("bowline_seen={index}")
}

/// A sound page with this status.
fn page(answer: &Answer, status: u16) -> &str {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("Content-Type"), Some("text/html; charset=utf-8"), "{answer:?}");
    html::sound(&answer.body);
    &answer.body
}

fn index(answer: &Answer) -> u64 {
    answer.header("X-Bowline-Index").unwrap().parse().unwrap()
}

/// The cookies that an answer sets, as a browser would send them.
fn cookies_set(answer: &Answer) -> Vec<&str> {
    let set = answer.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
    set.map(|(_, value)| value.split(';').next().unwrap()).collect()
}

const BEHIND: &str = "This node is behind the others";
const NO_LEADER: Failure =
    Failure { certainty: bowline::error::Certainty::NotApplied, reason: Reason::NoLeader };

fn a_page_waits_for_what_its_visitor_has_seen(front: Front) {
    let api = Api::start(front);
    let seen_elsewhere = api.node.applied() + 1;
    api.node.set_mood(Mood::Silent);
    let now = get(&api, "/b", &seen(seen_elsewhere - 1));
    assert!(!page(&now, 200).contains(BEHIND), "what is here is shown at once");

    let mut browser = api.connect();
    let cookie = format!("Cookie: {}\r\n", seen(seen_elsewhere));
    browser.start("GET", "/b", &cookie, b"");
    api.node.wait_until_kept(1);
    assert_eq!(api.node.service.waiting_misses(), 1);
    api.node.make_link_elsewhere("https://example.com/");
    api.node.set_mood(Mood::Fine);
    let late = browser.answer();
    assert!(!page(&late, 200).contains(BEHIND));
    assert!(index(&late) >= seen_elsewhere);
    assert_eq!(api.node.service.waiting_misses(), 0);
}

fn a_page_without_news_says_so(front: Front) {
    let api = Api::start(front);
    api.node.set_mood(Mood::Fails(NO_LEADER));
    let answer = get(&api, "/b", &seen(api.node.applied() + 1));
    assert!(page(&answer, 200).contains(BEHIND));
    // The browser is right, and is shown it as soon as it is here.
    assert!(!cookies_set(&answer).iter().any(|it| it.starts_with("bowline_seen")), "{answer:?}");
}

fn what_no_node_can_have_is_forgotten(front: Front) {
    let api = Api::start(front);
    for index in [api.node.applied() + 1, u64::MAX] {
        let answer = get(&api, "/b", &seen(index));
        assert!(!page(&answer, 200).contains(BEHIND));
        assert!(cookies_set(&answer).contains(&"bowline_seen="), "{answer:?}");
        let forgets = |(_, value): &(String, String)| {
            value.starts_with("bowline_seen=;") && value.contains("Max-Age=0")
        };
        assert!(answer.headers.iter().any(forgets), "{answer:?}");
    }
}

fn when_many_wait_a_page_comes_as_it_is(front: Front) {
    let options = Options { misses_max: 0, ..Options::default() };
    let api = Api::start_with(front, options, Patience::default());
    api.node.set_mood(Mood::Silent);
    let answer = get(&api, "/b", &seen(api.node.applied() + 1));
    assert!(page(&answer, 200).contains(BEHIND));
    assert_eq!(api.node.service.waiting_misses(), 0);
}

fn when_nothing_can_be_asked_a_page_comes_as_it_is(front: Front) {
    let api = Api::start(front);
    api.node.hang_up();
    let cookies = seen(api.node.applied() + 1);
    assert!(page(&get(&api, "/b", &cookies), 200).contains(BEHIND));
    // A form cannot be taken then, with or without a wait before it.
    for ahead in [0, 1] {
        let (cookies, form) = signup(&api, &[("name", "knut"), ("password", "a secret of mine")]);
        let cookies = format!("{cookies}; {}", seen(api.node.applied() + ahead));
        let answer = post(&api, "/b/signup", &cookies, &form.encode());
        let again = page(&answer, 503);
        assert!(answer.header("Retry-After").is_some());
        assert!(again.contains("knut") && !again.contains("a secret of mine"), "{again}");
    }
}

/// The form to sign up, filled in, and the cookies that it goes with.
fn signup(api: &Api, typed: &[(&str, &str)]) -> (String, Form) {
    let answer = api.get("/b/signup");
    let cookies = cookies_set(&answer).join("; ");
    assert!(cookies.starts_with("bowline_form="), "{answer:?}");
    let mut forms = Form::all(page(&answer, 200));
    forms.retain(|form| form.action == "/b/signup");
    let form = typed.iter().fold(forms.remove(0), |form, (name, value)| form.with(name, value));
    (cookies, form)
}

fn a_form_waits_too_and_is_not_lost(front: Front) {
    let api = Api::start(front);
    let (cookies, form) = signup(&api, &[("name", "knut"), ("password", "short")]);
    let seen_elsewhere = api.node.applied() + 1;
    let cookies = format!("{cookies}; {}", seen(seen_elsewhere));
    api.node.make_link_elsewhere("https://example.com/");
    let answer = post(&api, "/b/signup", &cookies, &form.encode());
    assert!(page(&answer, 422).contains("knut"));
    assert!(index(&answer) >= seen_elsewhere);
}

fn no_form_but_our_own_is_taken(front: Front) {
    let api = Api::start(front);
    let typed = [("name", "knut"), ("password", "a secret of mine")];
    let (cookies, form) = signup(&api, &typed);
    let (other_cookies, other_form) = signup(&api, &typed);
    assert_ne!(cookies, other_cookies);
    let token = form.get("csrf").unwrap().to_owned();
    let other_token = other_form.get("csrf").unwrap();
    let longer = format!("{token}A");
    let before = api.node.applied();
    let refused = |cookies: &str, token: &str| {
        let answer = post(&api, "/b/signup", cookies, &form.clone().with("csrf", token).encode());
        let again = page(&answer, 403);
        assert!(again.contains("knut") && !again.contains("a secret of mine"), "{again}");
        assert!(again.contains("role=\"alert\""), "{again}");
        // What it is sent back with is good.
        let fresh = Form::all(again).into_iter().find(|form| form.action == "/b/signup").unwrap();
        assert_ne!(fresh.get("csrf"), Some(token));
    };
    refused(&cookies, other_token);
    refused(&cookies, "");
    refused(&cookies, &token[1..]);
    refused(&cookies, &longer);
    refused("", &token);
    refused("bowline_form=", &token);
    refused(&format!("bowline_login={}", "A".repeat(43)), &token);
    assert_eq!(api.node.applied(), before, "nothing was even asked");

    let json = api.ask_with("POST", "/b/signup", "Content-Type: application/json\r\n", "{}");
    page(&json, 400);
    let answer = post(&api, "/b/signup", &cookies, &form.encode());
    assert_eq!(answer.status, 303, "{answer:?}");
    let index = index(&answer);
    assert!(cookies_set(&answer).contains(&seen(index).as_str()), "{answer:?}");
}

fn a_visitor_is_sent_to_pages_of_the_board_alone(front: Front) {
    let api = Api::start(front);
    for (at, (next, to)) in [
        ("/b/newest?after=x", "/b/newest?after=x"),
        ("//evil.example", "/b"),
        ("https://evil.example/b", "/b"),
        ("/b/../x", "/b"),
        ("/bx", "/b"),
        ("/b/\r\nSet-Cookie: a=b", "/b"),
    ]
    .into_iter()
    .enumerate()
    {
        // Few may sign up from one place; these are of several.
        let place = format!("X-Forwarded-For: 192.0.2.{at}\r\n");
        let (cookies, form) =
            signup(&api, &[("name", &format!("knut{at}")), ("password", "a secret of mine")]);
        let form = form.with("next", next);
        let typed = "Content-Type: application/x-www-form-urlencoded\r\n";
        let headers = format!("{typed}{place}Cookie: {cookies}\r\n");
        let answer = api.ask_with("POST", "/b/signup", &headers, &form.encode());
        assert_eq!((answer.status, answer.header("Location")), (303, Some(to)), "{answer:?}");
    }
}

fn what_goes_wrong_is_told_on_a_page(front: Front) {
    let api = Api::start(front);
    for target in ["/b/a/b", "/b//", "/b/p/", "/b/nosuchlist", "/b/p/nosuchpo"] {
        page(&api.get(target), 404);
    }
    let answer = api.get("/b/like/x");
    page(&answer, 405);
    assert_eq!(answer.header("Allow"), Some("POST"));
    let long = format!("title={}", "x".repeat(300 * 1024));
    page(&post(&api, "/b/post", "", &long), 413);
    api.node.set_status(|status| status.caught_up = false);
    let answer = api.get("/b");
    assert!(!page(&answer, 503).contains("no connection to it"));
    assert_eq!(answer.header("Retry-After"), Some("1"));
    api.node.set_status(|status| status.serving_stale = true);
    let answer = api.get("/b");
    assert!(page(&answer, 200).contains("no connection to it"));
    assert_eq!(answer.header("X-Bowline-Stale"), Some("true"));
    api.node.set_status(|status| status.caught_up = true);
    assert!(!page(&api.get("/b"), 200).contains("no connection to it"));
    api.node.set_status(|status| status.leader = None);
    assert!(page(&api.get("/b"), 200).contains("no connection to it"), "a majority is lost");
    assert_eq!(api.get("/b/").header("Location"), Some("/b"));
}

fn programs_are_told_as_programs(front: Front) {
    let api = Api::start(front);
    problem(&api.get("/b/a/b.json"), 404);
    problem(&api.get("/b/a/b.rss"), 404);
    problem(&api.get("/bx/y"), 404);
    api.node.set_status(|status| status.state_lost = Some("a page is damaged".to_owned()));
    problem(&api.get("/b/newest.json"), 503);
    problem(&api.get("/api/kv/x"), 503);
}

fn a_node_that_cannot_serve_gives_back_what_was_typed(front: Front) {
    let api = Api::start(front);
    let body = "title=A+%3Cb%3Eknot&url=https%3A%2F%2Fexample.com%2F&password=secret+words&csrf=x";
    let gives_back = |answer: Answer| {
        let again = page(&answer, 503).to_owned();
        let shown = html::text(&again);
        assert!(shown.contains("A <b>knot") && shown.contains("https://example.com/"), "{again}");
        assert!(!again.contains("secret words"), "{again}");
        again
    };
    api.node.set_status(|status| status.caught_up = false);
    gives_back(post(&api, "/b/post", "", body));
    api.node.set_status(|status| status.state_lost = Some("a page is damaged".to_owned()));
    let again = gives_back(post(&api, "/b/post", "", body));
    assert!(again.contains("a page is damaged"));
}

fn style_and_icon_are_fetched_once(front: Front) {
    let api = Api::start(front);
    let front_page = api.get("/b");
    for (path, kind) in
        [("/b/board.css", "text/css; charset=utf-8"), ("/b/icon.svg", "image/svg+xml")]
    {
        let tokens = html::tokens(&front_page.body);
        let linked = tokens.iter().find_map(|token| match token {
            html::Token::Open(tag) if tag.name == "link" => {
                tag.get("href").filter(|href| href.starts_with(path))
            }
            _ => None,
        });
        let linked = linked.unwrap_or_else(|| panic!("no {path}: {front_page:?}"));
        let answer = api.get(linked);
        assert_eq!((answer.status, answer.header("Content-Type")), (200, Some(kind)));
        assert_eq!(answer.header("Cache-Control"), Some("public, max-age=31536000, immutable"));
        let tag = answer.header("ETag").unwrap();
        for known in [tag, &format!("\"x\", W/{tag}"), "*"] {
            let again = api.ask_with("GET", path, &format!("If-None-Match: {known}\r\n"), "");
            assert_eq!((again.status, again.header("ETag")), (304, Some(tag)));
        }
        let other = api.ask_with("GET", path, "If-None-Match: \"x\"\r\n", "");
        assert_eq!((other.status, &other.body), (200, &answer.body));
        for old in [path, &format!("{path}?v=older")] {
            assert_eq!(api.get(old).header("Cache-Control"), Some("public, max-age=3600"));
        }
    }
    assert_eq!(api.get("/favicon.ico").header("Content-Type"), Some("image/svg+xml"));
}

fn behind_tls_cookies_stay_there(front: Front) {
    let api = Api::start(front);
    for (proto, secure) in [("https", true), ("http", false)] {
        let answer =
            api.ask_with("GET", "/b/signup", &format!("X-Forwarded-Proto: {proto}\r\n"), "");
        let cookie = answer.header("Set-Cookie").unwrap();
        assert_eq!(cookie.ends_with("; Secure"), secure, "{cookie}");
    }
}

fn the_front_page_is_small(front: Front) {
    let api = Api::start(front);
    let title = "What a title says is mostly said in sixty characters or so";
    let mut browser = Browser::default();
    // One user may post only so much at once.
    for name in ["alexandra", "benjamin", "charlotte"] {
        browser = Browser::default();
        browser.sign_up(&api, name);
        for at in 0..10 {
            let url = format!("https://www.some-host.example/a/page/of/{name}/{at}.html");
            let key = browser.post(&api, &format!("{title}, number {at}"), &url);
            browser.press(&api, &format!("/b/p/{key}"), "Like");
        }
    }
    let page = browser.open(&api, "/b");
    assert_eq!(page.posts().len(), 30);
    let tokens = html::tokens(&page.body);
    let mut besides: Vec<&str> = Vec::new();
    for token in &tokens {
        let html::Token::Open(tag) = token else { continue };
        let loaded = tag.name == "img" || tag.get("rel").is_some_and(|it| it != "alternate");
        if let (true, "img" | "link") = (loaded, tag.name.as_str()) {
            besides.extend(tag.get("href").or(tag.get("src")));
        }
    }
    besides.sort_unstable();
    besides.dedup();
    assert_eq!(besides.len(), 2, "a style and an icon: {besides:?}");
    let besides: usize = besides.iter().map(|path| api.get(path).body.len()).sum();
    let all = page.body.len() + besides;
    assert!(all < 30_000, "{} bytes and {besides} besides", page.body.len());
    let frame = browser.open(&api, "/b/settings").body.len();
    assert!(frame < 4_000, "{frame} bytes without a list");
}

fn a_log_in_that_is_used_is_kept_longer(front: Front) {
    let api = Api::start(front);
    let mut browser = Browser::default();
    browser.sign_up(&api, "knut");
    let token = browser.cookies["bowline_login"].clone();
    let kept = format!("bowline_login={token}; Path=/; HttpOnly; SameSite=Lax; Max-Age=2592000");
    let set_by = |page: &Page| -> Vec<String> {
        let set = page.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
        let logins = set.filter(|(_, value)| value.starts_with("bowline_login="));
        logins.map(|(_, value)| value.clone()).collect()
    };
    let typed = [("title", "A knot"), ("url", "https://example.com/")];
    let posted = browser.fill(&api, ("/b/post", "/b/post"), &typed);
    assert_eq!(set_by(&posted), [kept], "{posted:?}");
    assert!(set_by(&browser.open(&api, "/b")).is_empty(), "reading is no use of it");

    // What ends it does not bring it back.
    let (form, mut late) = (browser.open(&api, "/b/post").form("/b/post"), browser.clone());
    let left = browser.press(&api, "/b", "Log out");
    assert!(set_by(&left)[0].contains("Max-Age=0") && set_by(&left).len() == 1, "{left:?}");
    let refused =
        late.submit(&api, &form.with("title", "Another").with("url", "https://b.example/"));
    assert_eq!((refused.status, set_by(&refused).len()), (401, 0), "{refused:?}");
}
