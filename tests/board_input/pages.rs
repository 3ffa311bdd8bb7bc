//! Bodies, paths and cookies of any kind; and what all pages have in common.

use bowline::error::{Failure, Reason};
use bowline::http::front::Patience;
use bowline::state::VERSION_KV;

use crate::board_support::{PASSWORD, Site, html, key_in};
use crate::forms::{forms_to_try, is_kept};
use crate::http_support::{Api, Front, Mood, Node};
use crate::{browser_at, user};

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
    bodies_that_are_no_forms_are_answered,
    all_pages_are_sound,
    cookies_of_any_kind_are_borne,
);
