//! Texts, URLs and names that somebody might try.

use crate::board_api::appoint;
use crate::board_support::{Browser, Form, PASSWORD, html};
use crate::http_support::{Api, Front};
use crate::{browser_at, user};

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
