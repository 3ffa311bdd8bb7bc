//! The times and the order that docs/board.md promises, as a visitor sees them.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "board_support/api.rs"]
mod board_api;
mod board_support;
mod http_support;

use board_support::{Browser, PASSWORD};
use http_support::{Api, Front};

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

fn user(api: &Api, name: &str) -> Browser {
    let address = format!("192.0.2.{}", api.node.applied());
    let mut browser = Browser { headers: vec![("X-Forwarded-For", address)], ..Browser::default() };
    browser.sign_up(api, name);
    browser
}

#[test]
fn a_title_can_be_changed_for_six_hours() {
    let api = Api::start(Front::Mio);
    let mut ann = user(&api, "ann");
    let key = ann.post(&api, "First title", "https://example.com/");
    let (post, edit, delete) =
        (format!("/b/p/{key}"), format!("/b/edit/{key}"), format!("/b/delete/{key}"));
    let said = [("text", "Something")];
    assert_eq!(ann.fill(&api, (&post, &format!("/b/comment/{key}")), &said).status, 303);
    api.node.pass(6 * HOUR_MS - 60_000);
    let late = ann.open(&api, &edit).form(&edit).with("title", "Too late");
    let last = ann.open(&api, &delete).form(&delete);
    assert_eq!(ann.fill(&api, (&edit, &edit), &[("title", "Another title")]).status, 303);
    assert!(ann.open(&api, &post).text().contains("edited"));
    assert!(ann.open(&api, &post).body.contains(&delete), "it can still be deleted");

    api.node.pass(60_000);
    let page = ann.submit(&api, &late);
    assert_eq!(page.status, 403, "{page:?}");
    assert_eq!(page.form(&edit).get("title"), Some("Too late"), "what was typed is kept");
    assert_eq!(ann.submit(&api, &last).status, 403);
    assert_eq!(ann.get(&api, &edit).status, 403);
    let page = ann.open(&api, &post);
    assert!(page.text().contains("Another title") && !page.body.contains(&delete), "{page:?}");
    assert!(!page.body.contains("?remove="), "nor can the comment be taken back: {page:?}");
}

#[test]
fn a_url_leads_to_its_earlier_post_for_thirty_days() {
    let api = Api::start(Front::Mio);
    let (mut ann, mut bob) = (user(&api, "ann"), user(&api, "bob"));
    let first = ann.post(&api, "First", "https://www.example.com/page?utm_source=x#top");
    let again = [("title", "Again"), ("url", "http://example.com/page/")];
    api.node.pass(30 * DAY_MS - 60_000);
    assert_eq!(bob.log_in(&api, "bob", PASSWORD).status, 303);
    let page = bob.fill(&api, ("/b/post", "/b/post"), &again);
    assert_eq!(page.location(), format!("/b/p/{first}?again"));
    assert!(bob.open(&api, &format!("/b/p/{first}?again")).text().contains("already"));
    assert_eq!(bob.open(&api, "/b/newest").posts(), [first.as_str()]);
    api.node.pass(60_000);
    let second = bob.post(&api, "Again", "http://example.com/page/");
    assert_eq!(bob.open(&api, "/b/newest").posts(), [second.as_str(), &first]);
    // Of posts that are taken away nobody is led to.
    let delete = format!("/b/delete/{second}");
    assert_eq!(bob.fill(&api, (&delete, &delete), &[]).status, 303);
    assert_eq!(api.get(&format!("/{second}")).status, 410);
    assert_eq!(bob.get(&api, &format!("/b/p/{second}")).status, 410);
    let third = bob.post(&api, "Once more", "http://example.com/page/");
    assert_eq!(bob.open(&api, "/b/newest").posts(), [third.as_str(), &first]);
}

#[test]
fn a_log_in_lasts_for_thirty_days_after_its_last_use() {
    let api = Api::start(Front::Mio);
    let (mut ann, mut bob) = (user(&api, "ann"), user(&api, "bob"));
    let key = ann.post(&api, "A post", "https://example.com/");
    api.node.pass(29 * DAY_MS);
    assert_eq!(ann.press(&api, &format!("/b/p/{key}"), "Like").status, 303);
    assert_eq!(bob.name(&api).as_deref(), Some("bob"), "reading does not count");
    api.node.pass(2 * DAY_MS);
    assert_eq!(ann.name(&api).as_deref(), Some("ann"));
    assert_eq!(bob.name(&api), None);
    api.node.pass(30 * DAY_MS);
    assert_eq!(ann.name(&api), None);
    assert_eq!(ann.log_in(&api, "ann", PASSWORD).status, 303);
    assert_eq!(ann.name(&api).as_deref(), Some("ann"));
}

#[test]
fn after_a_restore_times_go_on_where_the_backup_stood() {
    let api = Api::start(Front::Mio);
    api.node.begin_now();
    api.node.restore_from_the_future(365 * DAY_MS);
    let mut ann = user(&api, "ann");
    let key = ann.post(&api, "A post", "https://example.com/");
    let edit = format!("/b/edit/{key}");
    assert!(ann.open(&api, &format!("/b/p/{key}")).body.contains(&edit));
    api.node.pass(7 * HOUR_MS);
    ann.press(&api, &format!("/b/p/{key}"), "Like");
    assert!(!ann.open(&api, &format!("/b/p/{key}")).body.contains(&edit), "it is too late");
    // One attempt of ten; the next is not a year away.
    assert_eq!(ann.log_in(&api, "ann", "something else").status, 422);
    assert_eq!(ann.log_in(&api, "ann", PASSWORD).status, 303);
}

#[test]
fn twice_the_likes_are_worth_six_hours_and_a_half() {
    let api = Api::start(Front::Mio);
    let mut users = ["ann", "bob", "cyd"].map(|name| user(&api, name));
    let old = users[0].post(&api, "Old", "https://example.com/old");
    api.node.pass(6 * HOUR_MS);
    let new = users[0].post(&api, "New", "https://example.com/new");
    let hot = |users: &mut [Browser; 3]| users[0].open(&api, "/b").posts();
    assert_eq!(hot(&mut users), [new.as_str(), &old]);
    // One like: twice as many, of one more than the likes.
    assert_eq!(users[1].press(&api, &format!("/b/p/{old}"), "Like").status, 303);
    assert_eq!(hot(&mut users), [old.as_str(), &new]);
    api.node.pass(HOUR_MS);
    let newest = users[0].post(&api, "Newest", "https://example.com/newest");
    assert_eq!(hot(&mut users), [newest.as_str(), &old, &new], "seven hours are more");
    for user in [1, 2] {
        assert_eq!(users[user].press(&api, &format!("/b/p/{new}"), "Like").status, 303);
    }
    assert_eq!(hot(&mut users), [new.as_str(), &newest, &old]);
    // No time that passes changes the order; likes that are taken back do.
    api.node.pass(20 * DAY_MS);
    assert_eq!(hot(&mut users), [new.as_str(), &newest, &old]);
    assert_eq!(users[1].press(&api, &format!("/b/p/{old}"), "Unlike").status, 303);
    for user in [1, 2] {
        assert_eq!(users[user].press(&api, &format!("/b/p/{new}"), "Unlike").status, 303);
    }
    assert_eq!(hot(&mut users), [newest.as_str(), &new, &old]);
}

#[test]
fn the_best_of_a_time_go_with_it() {
    let api = Api::start(Front::Mio);
    let mut ann = user(&api, "ann");
    let mut bob = user(&api, "bob");
    let top = |browser: &mut Browser, span| browser.open(&api, &format!("/b/top/{span}")).posts();
    let first = ann.post(&api, "First", "https://example.com/1");
    assert_eq!(bob.press(&api, &format!("/b/p/{first}"), "Like").status, 303);
    api.node.pass(23 * HOUR_MS);
    let second = ann.post(&api, "Second", "https://example.com/2");
    assert_eq!(top(&mut ann, "day"), [first.as_str(), &second]);
    api.node.pass(2 * HOUR_MS);
    let third = ann.post(&api, "Third", "https://example.com/3");
    assert_eq!(top(&mut ann, "day"), [third.as_str(), &second]);
    assert_eq!(top(&mut ann, "week"), [first.as_str(), &third, &second]);
    api.node.pass(7 * DAY_MS);
    let fourth = ann.post(&api, "Fourth", "https://example.com/4");
    assert_eq!(top(&mut ann, "week"), [fourth.as_str()]);
    assert_eq!(top(&mut ann, "year"), [first.as_str(), &fourth, &third, &second]);
    api.node.pass(365 * DAY_MS);
    assert_eq!(ann.log_in(&api, "ann", PASSWORD).status, 303);
    assert_eq!(top(&mut ann, "year"), [] as [&str; 0]);
    assert_eq!(ann.open(&api, "/b").posts().len(), 4, "nothing is gone");
}

/// Cursors lead through a list once, whatever is posted meanwhile.
#[test]
fn pages_lead_through_all_of_a_list() {
    let api = Api::start(Front::Mio);
    let mut ann = user(&api, "ann");
    let mut keys = Vec::new();
    for number in 0..75 {
        keys.push(ann.post(&api, "A post", &format!("https://example.com/{number}")));
        api.node.pass(300_000);
    }
    keys.reverse();
    for list in ["/b", "/b/newest", "/b/top/week", "/b/u/ann", "/b/host/example.com"] {
        let (mut found, mut target) = (Vec::new(), list.to_owned());
        for page in 0.. {
            let shown = ann.open(&api, &target);
            assert!(shown.posts().len() <= 30, "{list}");
            found.extend(shown.posts());
            let more = board_support::html::tokens(&shown.body).into_iter().find_map(|token| {
                let board_support::html::Token::Open(tag) = token else { return None };
                (tag.get("rel") == Some("next")).then(|| tag.get("href").unwrap().to_owned())
            });
            assert!(page < 20, "{list} has no end");
            let Some(more) = more else { break };
            target = more;
        }
        assert_eq!(found, keys, "{list}");
        // For programs as well.
        let (mut found, feed) = (Vec::new(), if list == "/b" { "/b/hot" } else { list });
        let mut target = Some(format!("{feed}.json"));
        while let Some(at) = target {
            let json = ann.open(&api, &at).json();
            let posts = json["posts"].as_array().unwrap().clone();
            found.extend(posts.iter().map(|post| post["key"].as_str().unwrap().to_owned()));
            let next = json["next"].as_str();
            target = next.map(|next| next.strip_prefix("http://test").unwrap().to_owned());
        }
        assert_eq!(found, keys, "{list}");
    }
}
