//! Forms that are forged, or come too late: refused, and what was typed is kept.

use crate::board_support::{PASSWORD, Page, key_in};
use crate::http_support::{Api, Front};
use crate::{browser_at, user};

/// Names of fields, and what is typed into them.
pub type Typed = Vec<(&'static str, &'static str)>;

/// The forms of pages that a user sees, each with what can be typed into it.
pub fn forms_to_try(key: &str) -> Vec<(String, String, Typed)> {
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
pub fn is_kept(page: &Page, action: &str, typed: &[(&str, &str)]) {
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

both_fronts!(forged_forms_are_refused);
