//! What moderators do from the pages of others, and the log that tells everybody.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "board_support/api.rs"]
mod board_api;
mod board_support;
#[macro_use]
mod http_support;

use board_api::appoint;
use board_support::{Browser, Form, PASSWORD, Page, html, says};
use http_support::{Api, Front};

both_fronts!(moderators_act_from_the_pages_of_others);

fn user(api: &Api, name: &str) -> Browser {
    let mut browser = Browser::default();
    browser.sign_up(api, name);
    browser
}

fn deed(page: &Page, action: &str, says: &str) -> Form {
    page.form(action).press(says)
}

fn moderators_act_from_the_pages_of_others(front: Front) {
    let api = Api::start(front);
    let (mut ann, mut moderator) = (user(&api, "ann"), user(&api, "eve"));
    let key = ann.post(&api, "A <title>", "https://example.com/");
    let (post, hide) = (format!("/b/p/{key}"), format!("/b/hide/{key}"));
    let has_tools = |page: &Page| {
        ["/b/hide/", "/b/disable/", "/b/appoint/"].iter().any(|it| page.body.contains(it))
    };
    for page in [post.as_str(), "/b/u/ann", "/b/u/eve"] {
        assert!(!has_tools(&moderator.open(&api, page)), "nobody is a moderator yet");
    }
    appoint(&api.node, "eve", true);
    let form = deed(&moderator.open(&api, &post), &hide, "Hide");
    let disable = deed(&moderator.open(&api, "/b/u/ann"), "/b/disable/ann", "Disable");
    let promote = deed(&moderator.open(&api, "/b/u/ann"), "/b/appoint/ann", "Make moderator");

    // Others have no such forms, and would not be served.
    assert!(!has_tools(&ann.open(&api, &post)));
    let csrf = ann.open(&api, &post).form("/b/logout").get("csrf").unwrap().to_owned();
    for form in [&form, &disable, &promote] {
        says(&ann.submit(&api, &form.clone().with("csrf", &csrf)), 403, "Only moderators");
    }
    let long = "why? ".repeat(1_001);
    let page = moderator.submit(&api, &form.clone().with("reason", &long));
    assert!(page.error("reason").is_some_and(|it| it.contains("at most")), "{page:?}");
    assert_eq!(page.form(&hide).get("reason"), Some(&*long));
    let page = moderator.submit(&api, &form.clone().with("csrf", "x").with("reason", "spam"));
    assert_eq!((page.status, page.form(&hide).get("reason")), (403, Some("spam")));

    let page = moderator.submit(&api, &form.with("reason", " <spam> &\r\nmore "));
    assert_eq!(page.location(), post, "back to where it was done");
    assert_eq!(ann.get(&api, &post).status, 410);
    let hidden = moderator.get(&api, &post);
    let page = moderator.submit(&api, &deed(&hidden, &hide, "Show"));
    assert_eq!((page.status, ann.get(&api, &post).status), (303, 200));

    assert_eq!(moderator.submit(&api, &disable.with("reason", "a crowd")).status, 303);
    assert_eq!(ann.name(&api), None, "all log-ins are ended");
    says(&ann.log_in(&api, "ann", PASSWORD), 403, "disabled");
    let form = deed(&moderator.open(&api, "/b/u/ann"), "/b/disable/ann", "Enable");
    assert_eq!(moderator.submit(&api, &form).status, 303);
    assert_eq!(ann.log_in(&api, "ann", PASSWORD).status, 303);
    assert_eq!(moderator.submit(&api, &promote).location(), "/b/u/ann");
    let form = deed(&ann.open(&api, "/b/u/eve"), "/b/appoint/eve", "Dismiss");
    assert_eq!(ann.submit(&api, &form).status, 303);
    assert!(!has_tools(&moderator.open(&api, &post)));
    says(&moderator.submit(&api, &promote), 403, "Only moderators");

    let mut nothing = deed(&ann.open(&api, "/b/u/eve"), "/b/disable/eve", "Disable");
    let csrf = nothing.get("csrf").unwrap().to_owned();
    for (action, why) in [
        ("/b/hide/nothing", "This post is not there any more."),
        ("/b/disable/nobody", "There is no such user."),
        ("/b/disable/%22%3E%3Cb%3E%3F%23%FF", "There is no such user."),
        ("/b/appoint/nobody", "There is no such user."),
    ] {
        action.clone_into(&mut nothing.action);
        let page = ann.submit(&api, &nothing.clone().with("csrf", &csrf));
        says(&page, 404, why);
    }
    the_log_tells_it_all(&api, &key);
}

fn the_log_tells_it_all(api: &Api, key: &str) {
    let mut anybody = Browser::default();
    let json = anybody.open(api, "/b/log.json").json();
    let deeds = json["deeds"].as_array().unwrap();
    let field = |name: &str| deeds.iter().map(|deed| deed[name].clone()).collect::<Vec<_>>();
    assert_eq!(
        field("did"),
        ["dismissed", "appointed", "enabled", "disabled", "showed", "hid", "appointed"]
    );
    assert_eq!(field("by")[..2], ["ann", "eve"]);
    assert!(field("by")[6].is_null(), "an operator");
    assert_eq!((&deeds[5]["post"], &deeds[5]["user"]), (&key.into(), &serde_json::Value::Null));
    assert_eq!(deeds[5]["reason"], "<spam> &\nmore");
    assert_eq!((&deeds[3]["user"], &deeds[3]["reason"]), (&"ann".into(), &"a crowd".into()));

    let page = anybody.open(api, "/b/log");
    let hid = format!("eve hid the post {key}");
    for line in ["An operator made eve a moderator", "eve disabled ann", &hid, "<spam> & more"] {
        assert!(page.words().contains(line), "{line}: {}", page.words());
    }
    assert!(!page.text().contains("A <title>"), "what was hidden is not told again");
    let rss = html::text(&anybody.open(api, "/b/log.rss").body);
    for line in ["an operator made eve a moderator", &hid, "spam"] {
        assert!(rss.contains(line), "{line}: {rss}");
    }
}

#[test]
fn the_log_comes_a_page_at_a_time() {
    let api = Api::start(Front::Mio);
    user(&api, "ann");
    for number in 0..35 {
        appoint(&api.node, "ann", number % 2 == 0);
    }
    let mut anybody = Browser::default();
    let (mut target, mut ids) = ("/b/log.json".to_owned(), Vec::new());
    for length in [30, 5] {
        let json = anybody.open(&api, &target).json();
        let deeds = json["deeds"].as_array().unwrap();
        assert_eq!(deeds.len(), length);
        ids.extend(deeds.iter().map(|deed| deed["id"].as_u64().unwrap()));
        assert_eq!(json["self"], format!("http://test{target}"));
        match json["next"].as_str() {
            Some(next) => next.strip_prefix("http://test").unwrap().clone_into(&mut target),
            None => assert_eq!(length, 5),
        }
    }
    assert!(ids.is_sorted_by(|newer, older| newer > older), "{ids:?}");
    let page = anybody.open(&api, "/b/log");
    assert!(page.body.contains("rel=\"next\""), "{page:?}");
    assert_eq!(anybody.get(&api, "/b/log?after=anything%00").status, 200);
}
