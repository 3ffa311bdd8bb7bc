//! What bad input gets from the board: nothing that a user typed becomes markup, on no page and in no
//! feed, and nothing that was typed is lost when it will not do.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "board_support/api.rs"]
mod board_api;
mod board_support;
#[macro_use]
mod http_support;

use board_api::appoint;
use board_support::{Browser, Form, PASSWORD, Page, Site, html, key_in};
use bowline::error::{Failure, Reason};
use bowline::http::front::Patience;
use bowline::state::VERSION_KV;
use http_support::{Api, Front, Mood, Node};

/// A browser at an address of its own, as far as limits are concerned.
fn browser_at(address: &str) -> Browser {
    Browser { headers: vec![("X-Forwarded-For", address.to_owned())], ..Browser::default() }
}

/// Somebody who is logged in.
fn user(api: &Api, name: &str) -> Browser {
    let mut browser = browser_at(&format!("192.0.2.{}", name.len()));
    browser.sign_up(api, name);
    browser
}

/// Texts that somebody might try. None is longer than a title may be.
const HOSTILE: &[&str] = &[
    "<script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    "</textarea><script>alert(1)</script>",
    "</bdi></a><a href=javascript:alert(1)>",
    "<!--",
    "]]><x>",
    "&lt;b&gt; &amp;amp; &#60;script&#62;",
    "\u{202e}drawkcab\u{202c}",
    "a\u{2066}\u{2067}\u{061c}\u{200f}b",
    "\u{1f469}\u{200d}\u{1f469}\u{200d}\u{1f467} \u{1f3f4}\u{e0067}\u{e0062}",
    "z\u{351}\u{36b}\u{343}\u{36a}\u{302}\u{36b}algo",
    "{{7*7}} ${7*7} <%= 7*7 %>",
    "javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "a\u{fffe}\u{ffff}\u{feff}b",
    "../../etc/passwd",
    "'; DROP TABLE posts; --",
];

/// The pages on which a post is seen by everybody.
fn pages_of(key: &str, author: &str, host: &str) -> Vec<String> {
    let mut pages: Vec<String> =
        ["/b", "/b/newest", "/b/top/day", "/b/top/week", "/b/top/year"].map(str::to_owned).into();
    pages.push(format!("/b/u/{author}"));
    pages.push(format!("/b/host/{host}"));
    pages.push(format!("/b/p/{key}"));
    pages
}

/// The same text without characters that no XML may have.
fn in_xml(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, '\u{fffe}' | '\u{ffff}')).collect()
}

#[test]
fn what_is_typed_never_becomes_markup() {
    let harmless = Api::start(Front::Mio);
    let shapes = show_everything(&harmless, "a harmless text");
    for text in HOSTILE {
        let api = Api::start(Front::Mio);
        let here = show_everything(&api, text);
        assert_eq!(here.len(), shapes.len());
        for ((page, shape), (_, expected)) in here.iter().zip(&shapes) {
            assert_eq!(shape, expected, "{text:?} changes {page}");
        }
    }
}

/// Has a text everywhere a user can put one, and looks at all that shows it. Gives the shapes of the pages.
fn show_everything(api: &Api, text: &str) -> Vec<(String, Vec<String>)> {
    let mut ann = user(api, "ann");
    let key = ann.post(api, text, "https://example.com/page");
    let target = format!("/b/p/{key}");
    let said = format!("one\n{text}\n\nthree");
    let page = ann.fill(api, (&target, &format!("/b/comment/{key}")), &[("text", &said)]);
    assert_eq!(page.status, 303, "{page:?}");
    let edit = format!("/b/edit/{key}");
    let again = format!("{text} again");
    assert_eq!(ann.fill(api, (&edit, &edit), &[("title", &again)]).status, 303);

    let mut shapes = Vec::new();
    let mut pages = pages_of(&key, "ann", "example.com");
    pages.extend([edit.clone(), format!("/b/delete/{key}")]);
    for target in pages {
        let page = ann.open(api, &target);
        let shown = page.text();
        let field = || Form::all(&page.body).iter().any(|form| form.get("title") == Some(&again));
        assert!(shown.contains(&again) || field(), "{text:?} is not on {target}: {shown}");
        if target == format!("/b/p/{key}") {
            for line in said.lines() {
                assert!(shown.contains(line), "{line:?} is not on {target}: {shown}");
            }
        }
        shapes.push((target, html::shape(&page.body)));
    }
    for list in ["/b/hot", "/b/newest", "/b/top/day", "/b/u/ann", "/b/host/example.com"] {
        let json = ann.open(api, &format!("{list}.json"));
        assert_eq!(json.header("Content-Type"), Some("application/json"));
        assert_eq!(json.json()["posts"][0]["title"], again.as_str(), "{list}");
        let rss = ann.open(api, &format!("{list}.rss"));
        assert_eq!(rss.header("Content-Type"), Some("application/rss+xml; charset=utf-8"));
        assert!(html::text(&rss.body).contains(&in_xml(&again)), "{list}: {rss:?}");
        assert!(!rss.body.contains(['\u{fffe}', '\u{ffff}']), "{list}: {rss:?}");
    }
    let json = ann.open(api, &format!("/b/p/{key}.json"));
    assert!(json.body.len() > 2 && json.json().to_string().contains(&again.replace('"', "\\\"")));
    moderate(api, &mut ann, &key, text, &mut shapes);
    shapes
}

/// The same for the reasons of moderators, which everybody can read.
fn moderate(
    api: &Api,
    ann: &mut Browser,
    key: &str,
    text: &str,
    shapes: &mut Vec<(String, Vec<String>)>,
) {
    appoint(&api.node, "ann", true);
    let form = ann.open(api, &format!("/b/p/{key}")).form(&format!("/b/hide/{key}"));
    let page = ann.submit(api, &form.with("reason", text).press("Hide"));
    assert_eq!(page.status, 303, "{page:?}");
    let log = Browser::default().open(api, "/b/log");
    assert!(log.text().contains(text), "{text:?}: {log:?}");
    shapes.push(("/b/log".to_owned(), html::shape(&log.body)));
    let rss = Browser::default().open(api, "/b/log.rss");
    // Readers take a description for HTML, so a text is escaped once more in it.
    let described = html::tokens(&rss.body).into_iter().any(|token| match token {
        html::Token::Text(description) => html::text(&description).contains(&in_xml(text)),
        _ => false,
    });
    assert!(described, "{rss:?}");
    let json = Browser::default().open(api, "/b/log.json").json().to_string();
    assert!(json.contains(serde_json::Value::from(text).to_string().trim_matches('"')), "{json}");
    let gone = Browser::default().get(api, &format!("/b/p/{key}"));
    assert_eq!(gone.status, 410, "{gone:?}");
    assert!(!gone.text().contains(text), "what is hidden is not shown: {gone:?}");
    assert_eq!(api.get(&format!("/{key}")).status, 410, "nor followed");
}

#[test]
fn urls_are_checked_and_escaped() {
    let api = Api::start(Front::Mio);
    let mut ann = user(&api, "ann");
    for url in [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        " javascript:alert(1)",
        "java\nscript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "vbscript:x",
        "file:///etc/passwd",
        "ftp://example.com/",
        "//example.com/",
        "/b/logout",
        "http:///x",
        "https://",
        "http:example.com",
        "https:\\\\example.com",
        "https://exa mple.com/",
        "https://example.com/\u{0}",
        "https://[::1",
        "https://example.com:99999/",
        "example.com",
        "<script>",
        "",
    ] {
        let typed = [("title", "A title"), ("url", url)];
        let page = ann.fill(&api, ("/b/post", "/b/post"), &typed);
        assert_eq!(page.status, 422, "{url:?}: {page:?}");
        assert!(!page.error("url").unwrap().is_empty(), "{url:?}: {page:?}");
        assert_eq!(page.error("title"), None, "{url:?}");
        let form = page.form("/b/post");
        // A field of one line holds no line break, in a browser either.
        let kept = form.get("url").unwrap().replace(['\r', '\n'], "");
        assert_eq!(kept.trim(), url.replace('\n', "").trim(), "{url:?}");
        assert_eq!(form.get("title"), Some("A title"));
    }
    for url in [
        "https://example.com/\"><script>alert(1)</script>",
        "https://example.com/'onmouseover='alert(1)",
        "https://example.com/?a=<b>&c=\"d\"&amp;&lt;",
        "https://user:secret@example.com/private",
        "https://xn--bcher-kva.example/b%C3%BCcher",
        "http://[2001:db8::1]:8080/x",
    ] {
        let key = ann.post(&api, "An odd address", url);
        for target in ["/b/newest".to_owned(), format!("/b/p/{key}")] {
            let page = ann.open(&api, &target);
            assert!(!page.body.contains("<script"), "{page:?}");
        }
        let answer = api.get(&format!("/{key}"));
        assert_eq!((answer.status, answer.header("Location")), (301, Some(url)));
        let json = ann.open(&api, "/b/newest.json").json();
        assert_eq!(json["posts"][0]["url"], url);
        ann.open(&api, "/b/newest.rss");
    }
}

#[test]
fn what_is_too_long_is_refused_and_kept() {
    let api = Api::start(Front::Mio);
    let mut ann = user(&api, "ann");
    for character in ["a", "\u{1f600}", "<", "\u{202e}a"] {
        let long = character.repeat(10_000);
        let typed = [("title", long.as_str()), ("url", "https://example.com/")];
        let page = ann.fill(&api, ("/b/post", "/b/post"), &typed);
        assert_eq!(page.status, 422);
        assert!(page.error("title").unwrap().contains("150"), "{page:?}");
        assert_eq!(page.form("/b/post").get("title"), Some(long.as_str()));
        assert_eq!(page.form("/b/post").get("url"), Some("https://example.com/"));
    }
    let fits = "\u{1f600}".repeat(150);
    let key = ann.post(&api, &fits, "https://example.com/");
    let (post, comment) = (format!("/b/p/{key}"), format!("/b/comment/{key}"));
    let long = "<\u{20ac}".repeat(5_000);
    let page = ann.fill(&api, (&post, &comment), &[("text", &long)]);
    assert_eq!(page.status, 422);
    assert!(page.error("text").unwrap().replace(',', "").contains("5000"), "{page:?}");
    assert_eq!(page.form(&comment).get("text"), Some(long.as_str()));
    assert!(page.text().contains(&fits), "it is the post's page still");
    let fits = "<\u{20ac}".repeat(2_500);
    assert_eq!(ann.fill(&api, (&post, &comment), &[("text", &fits)]).status, 303);
    assert!(ann.open(&api, &post).text().contains(&fits));

    let long = format!("https://example.com/{}", "a".repeat(10_000));
    let page = ann.fill(&api, ("/b/post", "/b/post"), &[("title", "t"), ("url", &long)]);
    assert_eq!((page.status, page.error("url").is_some()), (422, true));
    assert_eq!(page.form("/b/post").get("url"), Some(long.as_str()));

    let long = "n".repeat(10_000);
    let mut bob = browser_at("198.51.100.1");
    let typed = [("name", long.as_str()), ("password", PASSWORD)];
    let page = bob.fill(&api, ("/b/signup", "/b/signup"), &typed);
    assert_eq!((page.status, page.error("name").is_some()), (422, true));
    assert_eq!(page.form("/b/signup").get("name"), Some(long.as_str()));
    let typed = [("name", "bob"), ("password", long.as_str())];
    let page = bob.fill(&api, ("/b/signup", "/b/signup"), &typed);
    assert_eq!((page.status, page.error("password").is_some()), (422, true));
    assert_eq!(page.form("/b/signup").get("name"), Some("bob"));
    assert!(!page.body.contains(&long), "passwords are not sent back");
    for (what, typed) in [("name", [&long, PASSWORD]), ("password", ["ann", &long])] {
        let page = bob.log_in(&api, typed[0], typed[1]);
        assert_eq!(page.status, 422, "{what}");
        assert_eq!(page.form("/b/login").get("name"), Some(typed[0]));
    }
}

#[test]
fn names_are_plain_and_nobody_elses() {
    let api = Api::start(Front::Mio);
    user(&api, "ann");
    for name in [
        "",
        "a",
        "Ann",
        "ANN",
        "<b>x</b>",
        "b\u{f6}b",
        "\u{430}nn",
        "-bob",
        "_bob",
        "b ob",
        "b/ob",
        "b.json",
        "../b",
        "bob\u{202e}",
        "bob\u{0}",
        "bob\nbob",
    ] {
        let mut bob = browser_at("198.51.100.1");
        let typed = [("name", name), ("password", PASSWORD)];
        let page = bob.fill(&api, ("/b/signup", "/b/signup"), &typed);
        assert!([422, 429].contains(&page.status), "{name:?}: {page:?}");
        if page.status == 422 {
            assert!(page.error("name").is_some(), "{name:?}: {page:?}");
        }
        assert!(!bob.cookies.contains_key("bowline_login"), "{name:?}");
        let kept = page.form("/b/signup");
        assert_eq!(kept.get("name").map(|it| it.replace('\n', "")), Some(name.replace('\n', "")));
        // So that the next name is refused for what it is.
        api.node.pass(3_600_000);
    }
    for password in ["", "short", "1234567"] {
        let mut bob = browser_at("198.51.100.2");
        let typed = [("name", "bob"), ("password", password)];
        let page = bob.fill(&api, ("/b/signup", "/b/signup"), &typed);
        assert_eq!((page.status, page.error("password").is_some()), (422, true), "{page:?}");
        assert_eq!(page.form("/b/signup").get("password").unwrap_or_default(), "");
    }
}

/// Names of fields, and what is typed into them.
type Typed = Vec<(&'static str, &'static str)>;

/// The forms of pages that a user sees, each with what can be typed into it.
fn forms_to_try(key: &str) -> Vec<(String, String, Typed)> {
    let text = "kept <b>\u{1f600}\nthis";
    let page = |target: &str, action: &str, typed: &[(&'static str, &'static str)]| {
        (target.to_owned(), action.to_owned(), typed.to_vec())
    };
    vec![
        page("/b/post", "/b/post", &[("title", "kept <b>"), ("url", "https://example.com/kept")]),
        page(&format!("/b/p/{key}"), &format!("/b/comment/{key}"), &[("text", text)]),
        page(&format!("/b/edit/{key}"), &format!("/b/edit/{key}"), &[("title", "kept <b>")]),
        page(&format!("/b/delete/{key}"), &format!("/b/delete/{key}"), &[]),
        page(&format!("/b/p/{key}"), &format!("/b/like/{key}"), &[]),
        page("/b/settings", "/b/password", &[("old", PASSWORD), ("new", "another password")]),
        page("/b/settings", "/b/logout-everywhere", &[]),
        page("/b/about", "/b/logout", &[]),
    ]
}

/// Whether what was typed is on the page that came back, and no password is.
fn is_kept(page: &Page, action: &str, typed: &[(&str, &str)]) {
    // Who is not logged in any more has no settings, and passwords do not come back anyway.
    if typed.is_empty() || (page.status == 401 && action == "/b/password") {
        return;
    }
    let form = page.form(action);
    for (name, value) in typed {
        let kept = form.get(name).unwrap_or_default();
        let secret = ["old", "new", "password"].contains(name);
        assert_eq!(kept, if secret { "" } else { value }, "{name} of {action}: {page:?}");
    }
}

/// Whether somebody who pressed a mere button is led to the page to log in.
fn is_to_login(page: &Page) -> bool {
    page.status == 303 && page.location().starts_with("/b/login?next=/b/p/")
}

fn forged_forms_are_refused(front: Front) {
    let api = Api::start(front);
    let mut ann = user(&api, "ann");
    let mut bob = user(&api, "robert");
    let key = ann.post(&api, "A post", "https://example.com/");
    let applied = api.node.applied();
    let of_bob = bob.open(&api, "/b/settings").form("/b/password").get("csrf").unwrap().to_owned();
    for (target, action, typed) in forms_to_try(&key) {
        let form = ann.open(&api, &target).form(&action);
        let form = typed.iter().fold(form, |form, (name, value)| form.with(name, value));
        for wrong in ["", "x", "\u{20ac}", of_bob.as_str(), &"A".repeat(43)] {
            let mut browser = ann.clone();
            let page = browser.submit(&api, &form.clone().with("csrf", wrong));
            assert_eq!(page.status, 403, "{action} with {wrong:?}: {page:?}");
            is_kept(&page, &action, &typed);
            assert_eq!(browser.name(&api).as_deref(), Some("ann"), "{action}");
        }
        let mut without = form.clone();
        without.fields.retain(|(name, _)| name != "csrf");
        assert_eq!(ann.clone().submit(&api, &without).status, 403, "{action}");
        // Another site's form, which a browser sends without our cookies (SameSite=Lax).
        let page = browser_at("198.51.100.9").submit(&api, &form);
        assert!([401, 403].contains(&page.status) || is_to_login(&page), "{action}: {page:?}");
    }
    for action in ["/b/signup", "/b/login"] {
        let mut eve = browser_at("198.51.100.3");
        let typed = [("name", "eve"), ("password", PASSWORD)];
        let form = eve.open(&api, action).form(action);
        let form = typed.iter().fold(form, |form, (name, value)| form.with(name, value));
        let page = eve.submit(&api, &form.clone().with("csrf", "wrong"));
        assert_eq!(page.status, 403, "{action}: {page:?}");
        is_kept(&page, action, &typed);
        let page = browser_at("198.51.100.3").submit(&api, &form);
        assert_eq!(page.status, 403, "a token without its cookie: {page:?}");
        // What came back can be sent as it is, with the password typed again.
        let form = page.form(action);
        assert_eq!(form.get("name"), Some("eve"));
    }
    assert_eq!(api.node.applied(), applied, "nothing was done");
}

#[test]
fn a_form_that_was_refused_can_be_sent_again() {
    let api = Api::start(Front::Mio);
    let mut ann = user(&api, "ann");
    let form = ann.open(&api, "/b/post").form("/b/post");
    let form =
        form.with("title", "A title").with("url", "https://example.com/").with("csrf", "old");
    let page = ann.submit(&api, &form);
    assert_eq!(page.status, 403);
    let page = ann.submit(&api, &page.form("/b/post"));
    let key = key_in(page.location());
    assert_eq!(ann.open(&api, "/b/newest").posts(), [key]);
}

#[test]
fn who_is_logged_out_elsewhere_loses_nothing_that_was_typed() {
    let api = Api::start(Front::Mio);
    let mut ann = user(&api, "ann");
    let key = ann.post(&api, "A post", "https://example.com/");
    for (target, action, typed) in forms_to_try(&key) {
        if action.starts_with("/b/logout") {
            continue;
        }
        let mut here = browser_at("198.51.100.4");
        assert_eq!(here.log_in(&api, "ann", PASSWORD).status, 303);
        let form = here.open(&api, &target).form(&action);
        let form = typed.iter().fold(form, |form, (name, value)| form.with(name, value));
        let mut there = browser_at("198.51.100.5");
        assert_eq!(there.log_in(&api, "ann", PASSWORD).status, 303);
        assert_eq!(there.press(&api, "/b/settings", "Log out everywhere").status, 303);
        let page = here.submit(&api, &form);
        assert!(page.status == 401 || is_to_login(&page), "{action}: {page:?}");
        if page.status == 401 {
            is_kept(&page, &action, &typed);
            assert!(page.body.contains("href=\"/b/login"), "{action}: {page:?}");
        }
        assert_eq!(here.name(&api), None);
    }
    let posts = ann.open(&api, "/b/newest").posts();
    assert_eq!(posts, [key], "nothing was done");
}

/// The wait that a refusal asks for, in seconds.
fn wait_of(page: &Page) -> u64 {
    assert_eq!(page.status, 429, "{page:?}");
    let seconds = page.header("Retry-After").unwrap().parse().unwrap();
    assert!((1..=3_600).contains(&seconds), "{page:?}");
    seconds
}

#[test]
fn guessing_passwords_is_limited_by_name_and_by_address() {
    let api = Api::start(Front::Mio);
    user(&api, "ann");
    for known in ["ann", "nobody"] {
        for guess in 0..10 {
            let mut eve = browser_at("203.0.113.99");
            let page = eve.log_in(&api, known, "a wrong guess");
            assert_eq!(page.status, 422, "{known} {guess}: {page:?}");
            assert_eq!(page.form("/b/login").get("name"), Some(known));
        }
        // Whatever the case, whatever the password.
        let mut eve = browser_at("203.0.113.99");
        let page = eve.log_in(&api, &known.to_uppercase(), PASSWORD);
        let wait = wait_of(&page);
        assert!(wait <= 60, "{wait}");
        assert_eq!(page.form("/b/login").get("name"), Some(known.to_uppercase().as_str()));
        assert!(!eve.cookies.contains_key("bowline_login"));
    }
    api.node.pass(60_000);
    let mut ann = browser_at("203.0.113.99");
    assert_eq!(ann.log_in(&api, "ann", PASSWORD).status, 303);
    // And has all attempts again.
    for _ in 0..10 {
        assert_eq!(ann.clone().log_in(&api, "ann", "a wrong guess").status, 422);
    }
    wait_of(&ann.log_in(&api, "ann", PASSWORD));

    // One address: IPv6 counts by its first half.
    let mut refused = 0;
    for number in 0..31 {
        let mut eve = browser_at(&format!("2001:db8::{number:x}"));
        let page = eve.log_in(&api, &format!("name{number}"), "a wrong guess");
        refused += usize::from(page.status == 429);
        if number == 30 {
            assert!(wait_of(&page) <= 10, "{page:?}");
        }
    }
    assert_eq!(refused, 1);
    let mut other = browser_at("2001:db8:0:1::1");
    assert_eq!(other.log_in(&api, "somebody", "a wrong guess").status, 422);
}

#[test]
fn unknown_names_and_wrong_passwords_look_the_same() {
    let api = Api::start(Front::Mio);
    user(&api, "ann");
    let answers = ["ann", "bob"].map(|name| {
        let page = browser_at("203.0.113.1").log_in(&api, name, "a wrong guess");
        let mut headers = page.headers.clone();
        headers.retain(|(it, _)| !["Date", "Set-Cookie", "X-Bowline-Index"].contains(&it.as_str()));
        (page.status, headers, html::shape(&page.body), page.text().replace(name, "NAME"))
    });
    let [(.., known), (.., unknown)] = &answers;
    // What the footer says of the log is of the moment.
    let plain = |text: &str| text.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
    assert_eq!(plain(known), plain(unknown));
    assert_eq!((answers[0].0, &answers[0].2), (answers[1].0, &answers[1].2));
}

#[test]
fn signing_up_posting_talking_and_liking_are_limited() {
    let api = Api::start(Front::Mio);
    for number in 0..5 {
        let mut browser = browser_at("203.0.113.7");
        browser.sign_up(&api, &format!("user{number}"));
    }
    let mut late = browser_at("203.0.113.7");
    let typed = [("name", "late"), ("password", PASSWORD)];
    let page = late.fill(&api, ("/b/signup", "/b/signup"), &typed);
    assert!(wait_of(&page) <= 600);
    is_kept(&page, "/b/signup", &typed);
    browser_at("203.0.113.8").sign_up(&api, "other");
    api.node.pass(600_000);
    late.sign_up(&api, "late");

    let mut ann = user(&api, "ann");
    let mut key = String::new();
    for number in 0..10 {
        key = ann.post(&api, "A post", &format!("https://example.com/{number}"));
    }
    let typed = [("title", "One too many <b>"), ("url", "https://example.com/more")];
    let page = ann.fill(&api, ("/b/post", "/b/post"), &typed);
    assert!(wait_of(&page) <= 300);
    is_kept(&page, "/b/post", &typed);
    assert_eq!(late.open(&api, "/b/newest").posts().len(), 10);

    let (target, action) = (format!("/b/p/{key}"), format!("/b/comment/{key}"));
    for number in 0..20 {
        let said = format!("word {number}");
        let page = ann.fill(&api, (&target, &action), &[("text", &said)]);
        assert_eq!(page.status, 303, "{number}: {page:?}");
    }
    let typed = [("text", "one word\ntoo <many>")];
    let page = ann.fill(&api, (&target, &action), &typed);
    assert!(wait_of(&page) <= 30);
    is_kept(&page, &action, &typed);
    api.node.pass(30_000);
    assert_eq!(ann.fill(&api, (&target, &action), &typed).status, 303);

    let mut liked = 0;
    let page = loop {
        let says = if liked % 2 == 0 { "Like" } else { "Unlike" };
        let page = late.press(&api, &target, says);
        if page.status != 303 {
            break page;
        }
        liked += 1;
        assert!(liked < 400, "there is no limit");
    };
    assert!(liked >= 120 && wait_of(&page) <= 1, "{liked}: {page:?}");
}

fn bodies_that_are_no_forms_are_answered(front: Front) {
    let api = Api::start(front);
    let mut ann = user(&api, "ann");
    let token = ann.open(&api, "/b/post").form("/b/post").get("csrf").unwrap().to_owned();
    let huge = format!("csrf={token}&title=a&url={}", "a".repeat(300 * 1024));
    for body in [
        "",
        "&&&",
        "=",
        "%",
        "%zz=%",
        "csrf",
        "csrf=%ff%fe&title=%c3",
        "{\"title\": \"json\"}",
        "--boundary\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\nx\r\n--boundary--",
        "title=a&title=b&url=c&url=d",
        &"a=b&".repeat(20_000),
        &format!("csrf={token}&title=%ff%fe&url=https://example.com/"),
        &format!("csrf={token}&title=\0&url=\0"),
        &format!("csrf={token}"),
    ] {
        let page = ann.ask(&api, "POST", "/b/post", body);
        assert!([303, 400, 403, 422].contains(&page.status), "{body:.80}: {page:?}");
    }
    let page = ann.ask(&api, "POST", "/b/post", &huge);
    assert_eq!(page.status, 413, "{page:?}");
    // As much as a form may be is read, and answered with all of it.
    let title = "a".repeat(250 * 1024);
    let body = format!("csrf={token}&title={title}&url=https://example.com/");
    let page = ann.ask(&api, "POST", "/b/post", &body);
    assert_eq!(page.status, 422);
    assert_eq!(page.form("/b/post").get("title"), Some(title.as_str()));
}

#[test]
fn one_goes_on_within_the_board_only() {
    let api = Api::start(Front::Mio);
    user(&api, "ann");
    for (next, to) in [
        ("//evil.example", "/b"),
        ("https://evil.example/b", "/b"),
        ("/bad", "/b"),
        ("/b\\evil", "/b"),
        ("/b@evil.example", "/b"),
        ("javascript:alert(1)", "/b"),
        ("", "/b"),
        ("/", "/b"),
        ("/b", "/b"),
        ("/b/newest?after=x", "/b/newest?after=x"),
        ("/b?after=x", "/b?after=x"),
        ("/b/\r\nSet-Cookie: x=y", "/b"),
        ("/b/\u{20ac}", "/b"),
    ] {
        let mut browser = browser_at("203.0.113.20");
        let target = format!("/b/login?next={}", html::encoded(next));
        let form = browser.open(&api, &target).form("/b/login");
        let form = form.with("name", "ann").with("password", PASSWORD);
        let page = browser.submit(&api, &form.clone());
        assert_eq!(page.location(), to, "{next:?}: by the page's own field");
        let mut by_hand = form;
        by_hand.fields.retain(|(name, _)| name != "next");
        by_hand.fields.push(("next".to_owned(), next.to_owned()));
        let mut browser = browser_at("203.0.113.21");
        let token = browser.open(&api, "/b/login").form("/b/login");
        let page = browser.submit(&api, &by_hand.with("csrf", token.get("csrf").unwrap()));
        assert_eq!(page.location(), to, "{next:?}: by a field that was changed");
        api.node.pass(60_000);
    }
}

fn all_pages_are_sound(front: Front) {
    let api = Api::start(front);
    let mut ann = user(&api, "ann");
    let key = ann.post(&api, "A post", "https://example.com/");
    let pages = [
        "/b",
        "/b/newest",
        "/b/top",
        "/b/top/day",
        "/b/top/week",
        "/b/top/year",
        "/b/u/ann",
        "/b/host/example.com",
        "/b/post",
        "/b/signup",
        "/b/login",
        "/b/settings",
        "/b/about",
        "/b/log",
        &format!("/b/p/{key}"),
        &format!("/b/edit/{key}"),
        &format!("/b/delete/{key}"),
    ];
    let mut nobody = browser_at("203.0.113.30");
    for target in pages {
        for browser in [&mut ann, &mut nobody] {
            let page = browser.get(&api, target);
            assert!([200, 303, 403].contains(&page.status), "{target}: {page:?}");
            // A HEAD is the same without the body.
            let head = browser.ask(&api, "HEAD", target, "");
            assert_eq!((head.status, head.body.as_str()), (page.status, ""), "{target}");
            assert_eq!(head.header("Content-Length"), page.header("Content-Length"), "{target}");
        }
    }
    for (target, status) in [
        ("/b/nothing", 404),
        ("/b/top/decade", 404),
        ("/b/u/nobody", 404),
        ("/b/u/%3Cscript%3E", 404),
        ("/b/p/nothing", 404),
        ("/b/p/%ff", 404),
        ("/b/p/nothing.json", 404),
        ("/b/edit/nothing", 404),
        ("/b/newest.xml", 404),
    ] {
        let page = ann.get(&api, target);
        assert_eq!(page.status, status, "{target}: {page:?}");
    }
    for cursor in ["", "x", "%ff", "AAAA", "!!", &"A".repeat(4_000), "%3Cscript%3E"] {
        for list in ["/b", "/b/newest", "/b/top/day", "/b/u/ann", "/b/host/example.com", "/b/log"] {
            let page = nobody.get(&api, &format!("{list}?after={cursor}"));
            assert!([200, 400, 404].contains(&page.status), "{list} {cursor}: {page:?}");
        }
    }
}

fn cookies_of_any_kind_are_borne(front: Front) {
    let api = Api::start(front);
    for cookies in [
        "",
        "=",
        ";;;",
        "bowline_login",
        "bowline_login=",
        "bowline_login=x",
        "bowline_login=\"quoted\"",
        &format!("bowline_login={}", "A".repeat(43)),
        &format!("bowline_login={}", "A".repeat(4_000)),
        "bowline_seen=x",
        "bowline_seen=-1",
        "bowline_seen=0",
        "bowline_seen=99999999999999999999999",
        "bowline_form=x; bowline_form=y",
        "bowline_form=<script>alert(1)</script>",
        "bowline_login=a; bowline_login=b; bowline_seen=1; bowline_seen=2",
    ] {
        let page = api.answer("GET", "/b", &[("Cookie", cookies)], "");
        assert_eq!(page.status, 200, "{cookies:?}");
        let page = api.answer("GET", "/b/login", &[("Cookie", cookies)], "");
        assert_eq!(page.status, 200, "{cookies:?}");
        assert!(!page.body.contains("<script"), "{page:?}");
    }
}

#[test]
fn cookies_are_secure_behind_tls_and_only_a_proxy_is_believed() {
    let api = Api::start(Front::Mio);
    for (proto, secure) in [("https", true), ("http", false)] {
        let mut browser = browser_at("203.0.113.40");
        browser.headers.push(("X-Forwarded-Proto", proto.to_owned()));
        let typed = [("name", &*format!("over-{proto}")), ("password", PASSWORD)];
        let page = browser.fill(&api, ("/b/signup", "/b/signup"), &typed);
        assert_eq!(page.status, 303, "{page:?}");
        let cookies: Vec<_> = page
            .headers
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"))
            .collect();
        assert!(cookies.len() >= 2, "the log-in and the index: {page:?}");
        for (_, cookie) in cookies {
            assert_eq!(cookie.contains("; Secure"), secure, "{cookie}");
        }
        let json = browser.open(&api, "/b/newest.json").json();
        assert!(json["self"].as_str().unwrap().starts_with(&format!("{proto}://test/")), "{json}");
    }
}

/// Whatever keeps the cluster from writing, a form comes back as it was filled in.
#[test]
fn what_cannot_be_done_now_is_given_back() {
    let api = Api::start(Front::Mio);
    let mut ann = user(&api, "ann");
    let key = ann.post(&api, "A post", "https://example.com/");
    let mut forms = forms_to_try(&key);
    forms.push((
        "/b/signup".into(),
        "/b/signup".into(),
        vec![("name", "bob"), ("password", PASSWORD)],
    ));
    forms.push((
        "/b/login".into(),
        "/b/login".into(),
        vec![("name", "ann"), ("password", PASSWORD)],
    ));
    for (failure, status, wait) in [
        (Failure::not_applied(Reason::NoLeader), 503, Some("1")),
        (Failure::not_applied(Reason::Busy), 503, Some("1")),
        (Failure::not_applied(Reason::DiskFull), 507, Some("10")),
        (Failure::unknown(Reason::Deadline), 504, None),
    ] {
        for (target, action, typed) in &forms {
            let form = ann.open(&api, target).form(action);
            let form = typed.iter().fold(form, |form, (name, value)| form.with(name, value));
            api.node.set_mood(Mood::Fails(failure.clone()));
            let page = ann.submit(&api, &form);
            // An attempt that may not have been counted is one that was not made.
            let uncounted = status == 504 && page.status == 503;
            assert!(page.status == status || uncounted, "{failure:?} {action}: {page:?}");
            if !uncounted {
                assert_eq!(page.header("Retry-After"), wait, "{page:?}");
            }
            is_kept(&page, action, typed);
            assert_eq!(ann.name(&api).as_deref(), Some("ann"), "{action}");
            api.node.set_mood(Mood::Fine);
        }
    }
    // And it can be sent as it came back.
    let typed = [("title", "Later"), ("url", "https://example.com/later")];
    let form = ann.open(&api, "/b/post").form("/b/post");
    let form = typed.iter().fold(form, |form, (name, value)| form.with(name, value));
    api.node.set_mood(Mood::Fails(Failure::not_applied(Reason::NoLeader)));
    let page = ann.submit(&api, &form);
    api.node.set_mood(Mood::Fine);
    let later = key_in(ann.submit(&api, &page.form("/b/post")).location());
    assert_eq!(ann.open(&api, "/b/newest").posts(), [later, key]);
}

#[test]
fn a_cluster_with_an_older_member_shows_pages_and_takes_no_forms() {
    let node = Node::start_with_rules(VERSION_KV);
    let api = Api::over(node, Front::Mio, Patience::default());
    let before = api.node.applied();
    let mut browser = browser_at("203.0.113.50");
    for target in ["/b", "/b/newest", "/b/about", "/b/log", "/b/newest.rss", "/b/newest.json"] {
        browser.open(&api, target);
    }
    for action in ["/b/signup", "/b/login"] {
        let typed = [("name", "ann"), ("password", PASSWORD)];
        let page = browser.fill(&api, (action, action), &typed);
        assert_eq!(page.status, 503, "{page:?}");
        assert!(page.text().contains("older version"), "{page:?}");
        assert!(page.header("Retry-After").is_some());
        is_kept(&page, action, &typed);
    }
    assert_eq!(api.node.applied(), before, "nothing that the older member does not know");
    assert_eq!(api.put("https://example.com/").status, 201, "all else goes on");
}

/// More passwords than the threads for them can check: who is too many is told so at once, and nobody
/// else notices.
#[test]
fn a_crowd_at_the_door_holds_nobody_up() {
    const CROWD: usize = 80;
    let api = Api::start(Front::Mio);
    user(&api, "ann");
    let mut browser = browser_at("203.0.113.60");
    let form = browser.open(&api, "/b/login").form("/b/login").with("password", "a wrong guess");
    let cookie = &browser.cookies["bowline_form"];
    let mut crowd: Vec<_> = (0..CROWD)
        .map(|number| {
            let body = form.clone().with("name", &format!("name{number}")).encode();
            let headers = format!(
                "Cookie: bowline_form={cookie}\r\nX-Forwarded-For: 198.51.100.{number}\r\n\
                 Content-Type: application/x-www-form-urlencoded\r\n"
            );
            let mut wire = api.connect();
            wire.start("POST", "/b/login", &headers, body.as_bytes());
            wire
        })
        .collect();
    // The threads are at work on the crowd for a second or two. All else is as quick as ever.
    assert_eq!(api.put("https://example.com/").status, 201);
    browser.open(&api, "/b");
    assert_eq!(api.get("/livez").status, 200);
    let mut refused = 0;
    for (number, wire) in crowd.iter_mut().enumerate() {
        let answer = wire.answer();
        assert!([422, 503].contains(&answer.status), "{answer:?}");
        assert!(answer.body.contains(&format!("value=\"name{number}\"")), "{answer:?}");
        if answer.status == 503 {
            refused += 1;
            assert_eq!(answer.header("Retry-After"), Some("1"));
        }
    }
    assert!((1..CROWD).contains(&refused), "{refused} of {CROWD}");
    let mut ann = browser_at("203.0.113.61");
    assert_eq!(ann.log_in(&api, "ann", PASSWORD).status, 303);
}

both_fronts!(
    forged_forms_are_refused,
    bodies_that_are_no_forms_are_answered,
    all_pages_are_sound,
    cookies_of_any_kind_are_borne,
);
