//! What is done too often.

use crate::board_support::{PASSWORD, Page, html};
use crate::forms::is_kept;
use crate::http_support::{Api, Front};
use crate::{browser_at, user};

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
