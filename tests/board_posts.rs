//! Lists, posts, likes and comments, as people and programs see them over HTTP.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "board_support/api.rs"]
mod board_api;
mod board_support;
#[macro_use]
mod http_support;

use board_api::act;
use board_support::html::{self, Token};
use board_support::{Browser, Form, key_in};
use bowline::state::Command;
use bowline::state::board::{self, Act, Told};
use http_support::{Api, Front};

both_fronts!(
    a_post_is_in_every_list_that_it_belongs_to,
    likes_count_once_and_move_a_post,
    who_likes_without_a_log_in_goes_there_and_back,
    a_page_that_was_posted_lately_leads_to_the_earlier_post,
    what_was_typed_without_a_log_in_is_kept,
    an_own_post_can_be_edited_and_deleted_for_a_while,
    people_talk_in_threads,
);

/// Somebody who is logged in, at an address of its own.
fn user(api: &Api, name: &str) -> Browser {
    let address = format!("192.0.2.{}", name.bytes().map(u32::from).sum::<u32>() % 250);
    let headers = vec![("X-Forwarded-For", address)];
    let mut browser = Browser { headers, ..Browser::default() };
    browser.sign_up(api, name);
    browser
}

/// A log-in behind the back of HTTP, for those who do more than people do.
fn crowd(api: &Api, name: &str) -> board::LoginId {
    let mut login = [7; 32];
    login[..name.len()].copy_from_slice(name.as_bytes());
    let password = "$argon2id$".to_owned();
    let told =
        act(&api.node, Act::SignUp { name: name.to_owned(), password, login, replaces: None });
    assert!(matches!(told, Told::SignedUp(_)), "{told:?}");
    login
}

/// So many posts, with time between them; their keys.
fn posts(api: &Api, count: u64, title: &str) -> Vec<String> {
    let login = crowd(api, "the-crowd");
    let post = |number| {
        api.node.pass(301_000);
        let url = format!("https://news.example.com/articles/2026/{number}");
        let told = act(
            &api.node,
            Act::Post {
                login,
                title: format!("{title} {number}"),
                url: url.clone().into(),
                normal: url.into(),
                host: "news.example.com".to_owned(),
            },
        );
        match told {
            Told::Posted(key) => key,
            told => panic!("{told:?}"),
        }
    };
    (0..count).map(post).collect()
}

fn a_post_is_in_every_list_that_it_belongs_to(front: Front) {
    let api = Api::start(front);
    let mut ann = user(&api, "Ann");
    let url = "https://www.example.com/a?utm_source=x&b=\"1\"#c";
    let key = ann.post(&api, "  A  title with \"quotes\" & <tags>\r\n", url);
    let title = "A title with \"quotes\" & <tags>";
    let lists = ["/b", "/b/hot", "/b/newest", "/b/top/day", "/b/top/week", "/b/top/year"];
    let lists = lists.into_iter().chain([
        "/b/u/ann",
        "/b/u/ANN",
        "/b/host/example.com",
        "/b/host/www.Example.com",
    ]);
    for list in lists {
        let page = Browser::default().open(&api, list);
        assert_eq!(page.posts(), std::slice::from_ref(&key), "{list}");
        let leads = |tag: &html::Tag| {
            tag.has_class("title")
                && tag.get("href") == Some(&format!("/{key}"))
                && tag.get("rel") == Some("nofollow ugc")
        };
        assert_eq!(html::text_in(&page.body, leads).as_deref(), Some(title), "{list}");
        let text = page.text();
        for said in ["0 likes", "example.com", "Ann", "discuss"] {
            assert!(text.contains(said), "{said} on {list}: {text}");
        }
        let feed = if list == "/b" { "/b/hot" } else { list };
        let json = Browser::default().open(&api, &format!("{feed}.json")).json();
        let post = &json["posts"][0];
        assert_eq!(
            (&post["title"], &post["url"], &post["author"], &post["host"]),
            (&title.into(), &url.into(), &"Ann".into(), &"example.com".into())
        );
        assert_eq!(post["short_url"], format!("http://test/{key}"));
        assert_eq!(post["comments_url"], format!("http://test/b/p/{key}"));
        assert_eq!((&post["likes"], &post["comments"]), (&0.into(), &0.into()));
        assert!(post["posted"].as_str().unwrap().starts_with("2026-01-01T"), "{post}");
        assert!(post["edited"].is_null() && json["next"].is_null());
        let rss = Browser::default().open(&api, &format!("{feed}.rss"));
        assert!(rss.body.contains(&format!("<link>http://test/{key}</link>")), "{rss:?}");
        assert!(html::text(&rss.body).contains(title), "{rss:?}");
    }
    assert_eq!(api.get(&format!("/{key}")).header("Location"), Some(url));
    let page = Browser::default().open(&api, &format!("/b/p/{key}"));
    assert!(page.text().contains(title));
    let json = Browser::default().open(&api, &format!("/b/p/{key}.json")).json();
    assert_eq!((&json["post"]["key"], &json["comments"]), (&key.into(), &serde_json::json!([])));
}

#[test]
fn lists_go_on_page_by_page() {
    let api = Api::start(Front::Mio);
    let mut keys = posts(&api, 65, "Number");
    keys.reverse();
    for list in ["/b/newest", "/b", "/b/u/the-crowd", "/b/host/news.example.com", "/b/top/week"] {
        let (mut seen, mut target, mut pages) = (Vec::new(), list.to_owned(), 0);
        loop {
            let page = Browser::default().open(&api, &target);
            let here = page.posts();
            assert!(here.len() <= 30, "{target}");
            seen.extend(here);
            pages += 1;
            assert!(pages < 10, "{target}");
            let more = html::tokens(&page.body).into_iter().find_map(|token| match token {
                Token::Open(tag) if tag.get("rel") == Some("next") => Some(tag),
                _ => None,
            });
            let Some(more) = more else { break };
            assert!(more.has_class("more"));
            target = more.get("href").unwrap().to_owned();
            assert!(target.starts_with(&format!("{list}?after=")), "{target}");
        }
        assert_eq!(seen, keys, "{list}: each once, in its order");
    }
    let (mut seen, mut target) = (Vec::new(), Some("/b/newest.json".to_owned()));
    while let Some(here) = target {
        let json = Browser::default().open(&api, &here).json();
        assert_eq!(json["self"], format!("http://test{here}"));
        for post in json["posts"].as_array().unwrap() {
            seen.push(post["key"].as_str().unwrap().to_owned());
        }
        let next = json["next"].as_str().map(|it| it.strip_prefix("http://test").unwrap());
        target = next.map(str::to_owned);
    }
    assert_eq!(seen, keys);
    let rss = Browser::default().open(&api, "/b/newest.rss");
    assert_eq!(rss.body.matches("<item>").count(), 30);
    html::tokens(&rss.body);
}

#[test]
fn the_front_page_is_small_with_its_style() {
    let api = Api::start(Front::Mio);
    let keys =
        posts(&api, 31, "A title as long as titles on boards like this one are when they are long");
    let mut ann = user(&api, "ann");
    for key in &keys[10..20] {
        assert_eq!(ann.press(&api, &format!("/b/p/{key}"), "Like").status, 303);
    }
    let page = ann.open(&api, "/b");
    assert_eq!(page.posts().len(), 30);
    let mut bytes = page.body.len();
    for token in html::tokens(&page.body) {
        let Token::Open(tag) = token else { continue };
        let fetched = match tag.name.as_str() {
            "link" if tag.get("rel") != Some("alternate") => tag.get("href"),
            "img" => tag.get("src"),
            _ => None,
        };
        let Some(fetched) = fetched else { continue };
        let asset = ann.open(&api, fetched);
        assert!(asset.header("Cache-Control").unwrap().contains("immutable"), "{fetched}");
        bytes += if tag.name == "img" { 0 } else { asset.body.len() };
    }
    assert!(bytes < 30 * 1024, "{bytes} bytes, {} of them HTML", page.body.len());
}

#[test]
fn where_nothing_is_there_is_a_hint_what_to_do() {
    let api = Api::start(Front::Mio);
    let mut ann = user(&api, "ann");
    for (list, feed) in [
        ("/b", "/b/hot"),
        ("/b/newest", "/b/newest"),
        ("/b/top/day", "/b/top/day"),
        ("/b/u/ann", "/b/u/ann"),
    ] {
        let page = ann.open(&api, list);
        let hint = html::text_in(&page.body, |tag| tag.has_class("empty")).unwrap();
        assert!(hint.contains("Post a link"), "{list}: {hint}");
        let json = ann.open(&api, &format!("{feed}.json")).json();
        assert_eq!(json["posts"], serde_json::json!([]), "{list}");
        assert!(!ann.open(&api, &format!("{feed}.rss")).body.contains("<item>"));
    }
    let missing =
        ["/b/host/nobody.example", "/b/u/bob", "/b/top/month", "/b/best", "/b/p/abcdefgh"];
    for target in missing {
        let page = ann.get(&api, target);
        assert_eq!(page.status, 404, "{target}");
        assert!(page.body.contains("href=\"/b\""), "a way on: {target}");
        assert_eq!(ann.get(&api, &format!("{target}.json")).status, 404, "{target}");
    }
    // Behind the end.
    ann.post(&api, "A post", "https://example.com/");
    let json = ann.open(&api, "/b/newest.json?after=__________8").json();
    assert_eq!(json["posts"], serde_json::json!([]));
    let page = ann.open(&api, "/b/newest?after=__________8");
    assert!(page.text().contains("That was all") && page.posts().is_empty(), "{page:?}");
    assert_eq!(ann.get(&api, "/b/top").location(), "/b/top/week");
}

fn likes_count_once_and_move_a_post(front: Front) {
    let api = Api::start(front);
    let (mut ann, mut bob) = (user(&api, "ann"), user(&api, "bob"));
    let first = ann.post(&api, "The first", "https://example.com/1");
    let second = ann.post(&api, "The second", "https://example.com/2");
    assert_eq!(bob.open(&api, "/b").posts(), [second.clone(), first.clone()]);
    // By the button beside it, in a list that is not the front page.
    let list = bob.open(&api, "/b/newest?x=1");
    let like = list.form(&format!("/b/like/{first}")).press("Like");
    let page = bob.submit(&api, &like);
    assert_eq!(page.location(), format!("/b/newest?x=1#p-{first}"));
    // Pressing it once more on a page that was open already does nothing more.
    assert_eq!(bob.submit(&api, &like).status, 303);
    let json = bob.open(&api, "/b/hot.json").json();
    assert_eq!(
        (&json["posts"][0]["key"], &json["posts"][0]["likes"]),
        (&first.clone().into(), &1.into())
    );
    assert_eq!(bob.open(&api, "/b").posts(), [first.clone(), second.clone()]);
    assert_eq!(bob.open(&api, "/b/top/day").posts(), [first.clone(), second.clone()]);
    assert_eq!(bob.open(&api, "/b/newest").posts(), [second, first.clone()]);
    let target = format!("/b/p/{first}");
    let seen = bob.open(&api, &target).text();
    assert!(seen.contains("1 like ") && seen.contains("Unlike"), "{seen}");
    let seen = ann.open(&api, &target).text();
    assert!(seen.contains("1 like ") && !seen.contains("Unlike"), "it was not her: {seen}");
    ann.press(&api, &target, "Like");
    assert!(ann.open(&api, &target).text().contains("2 likes"));
    let back = bob.press(&api, &target, "Unlike");
    assert_eq!(back.location(), format!("{target}#p-{first}"));
    assert!(bob.open(&api, &target).text().contains("1 like "));
    assert!(ann.open(&api, "/b/u/ann").text().contains("1 like "), "for her posts");
}

fn who_likes_without_a_log_in_goes_there_and_back(front: Front) {
    let api = Api::start(front);
    let key = user(&api, "ann").post(&api, "A post", "https://example.com/");
    user(&api, "bob");
    let mut bob = Browser::default();
    let page = bob.press(&api, "/b/newest", "Like");
    assert!(page.location().starts_with("/b/login?next="), "{page:?}");
    let form = bob.open(&api, page.location()).form("/b/login");
    let form = form.with("name", "bob").with("password", board_support::PASSWORD);
    assert_eq!(bob.submit(&api, &form).location(), format!("/b/newest#p-{key}"));
    assert!(bob.open(&api, "/b/newest").text().contains("0 likes"), "it was not pressed for him");
}

fn a_page_that_was_posted_lately_leads_to_the_earlier_post(front: Front) {
    let api = Api::start(front);
    let (mut ann, mut bob) = (user(&api, "ann"), user(&api, "bob"));
    let key = ann.post(&api, "First", "https://example.com/a?b=1&c=2");
    let form = |bob: &mut Browser, url| {
        let form = bob.open(&api, "/b/post").form("/b/post");
        bob.submit(&api, &form.with("title", "Second").with("url", url))
    };
    let page = form(&mut bob, "http://www.example.com/a/?c=2&utm_source=feed&b=1#top");
    assert_eq!(page.location(), format!("/b/p/{key}?again"));
    let page = bob.open(&api, page.location());
    assert!(page.text().contains("30 days") && page.text().contains("First"), "{page:?}");
    assert_eq!(bob.open(&api, "/b/newest").posts(), std::slice::from_ref(&key));
    // Another page is another post, and so is the same one later.
    assert_ne!(key_in(form(&mut bob, "https://example.com/a?b=1").location()), key);
    api.node.pass(board::REPOST_MS);
    let mut bob = user(&api, "bob2");
    assert_ne!(key_in(form(&mut bob, "https://example.com/a?b=1&c=2").location()), key);
}

fn what_was_typed_without_a_log_in_is_kept(front: Front) {
    let api = Api::start(front);
    let mut ann = user(&api, "ann");
    let typed = [("title", "A \"title\" & more"), ("url", "https://example.com/?a=1&b=2#c")];
    // A bookmark that fills in the form leads there by way of the log-in page.
    let bookmark =
        "/b/post?url=https%3A%2F%2Fexample.com%2F%3Fa%3D1%26b%3D2%23c&title=A+%22title%22+%26+more";
    let mut nobody = Browser::default();
    let page = nobody.get(&api, bookmark);
    let login = nobody.open(&api, page.location()).form("/b/login");
    let login = login.with("name", "ann").with("password", board_support::PASSWORD);
    let page = nobody.submit(&api, &login);
    let form = nobody.open(&api, page.location()).form("/b/post");
    for (name, value) in typed {
        assert_eq!(form.get(name), Some(value));
    }
    // Logged out while typing.
    let other = ann.clone();
    ann.press(&api, "/b/settings", "Log out everywhere");
    for mut browser in [other, nobody] {
        let page = browser.submit(&api, &form);
        let kept = Form::all(&page.body).into_iter().find(|it| it.action == "/b/post").unwrap();
        for (name, value) in typed {
            assert_eq!(kept.get(name), Some(value), "{page:?}");
        }
        assert!([401, 403].contains(&page.status));
        let way = html::tokens(&page.body).into_iter().find_map(|token| match token {
            Token::Open(tag) => {
                tag.get("href").filter(|it| it.contains("next=/b/post%3Ftitle")).map(str::to_owned)
            }
            _ => None,
        });
        assert!(way.is_some(), "it goes along to the log-in page: {page:?}");
    }
    assert_eq!(
        Browser::default().open(&api, "/b/newest.json").json()["posts"],
        serde_json::json!([])
    );
}

fn an_own_post_can_be_edited_and_deleted_for_a_while(front: Front) {
    let api = Api::start(front);
    let (mut ann, mut bob) = (user(&api, "ann"), user(&api, "bob"));
    let key = ann.post(&api, "A titel", "https://example.com/");
    let (target, edit, delete) =
        (format!("/b/p/{key}"), format!("/b/edit/{key}"), format!("/b/delete/{key}"));
    let page = ann.open(&api, &target);
    assert!(page.body.contains(&edit) && page.body.contains(&delete));
    assert!(!bob.open(&api, &target).body.contains("/b/edit/"), "it is not his");
    assert_eq!((bob.get(&api, &edit).status, bob.get(&api, &delete).status), (403, 403));
    assert!(Browser::default().get(&api, &edit).location().starts_with("/b/login?next="));

    let form = ann.open(&api, &edit).form(&edit);
    assert_eq!(form.get("title"), Some("A titel"));
    let page = ann.submit(&api, &form.clone().with("title", " \u{200b} "));
    assert_eq!((page.status, page.error("title").is_some()), (422, true));
    assert_eq!(ann.submit(&api, &form.with("title", "A title")).location(), target);
    for seen in [target.as_str(), "/b", "/b/newest"] {
        let page = bob.open(&api, seen);
        assert!(page.text().contains("A title") && !page.text().contains("titel"), "{seen}");
        let mark = html::text_in(&page.body, |tag| tag.has_class("edited"));
        assert_eq!(mark.as_deref(), Some("edited"), "{seen}");
    }
    assert!(bob.open(&api, "/b/newest.json").json()["posts"][0]["edited"].is_string());

    // The question shows what it is about, and only the button does it.
    let form = ann.open(&api, &delete).form(&delete);
    assert_eq!(bob.open(&api, &target).status, 200);
    assert_eq!(ann.submit(&api, &form).location(), "/b/u/ann");
    assert_eq!(bob.get(&api, &target).status, 410);
    assert_eq!(bob.get(&api, &format!("{target}.json")).status, 410);
    assert_eq!(api.get(&format!("/{key}")).status, 410);
    assert!(bob.open(&api, "/b").posts().is_empty());
    assert!([404, 410].contains(&ann.submit(&api, &form).status), "it is gone already");

    let key = ann.post(&api, "Another", "https://example.com/");
    let (target, edit) = (format!("/b/p/{key}"), format!("/b/edit/{key}"));
    let form = ann.open(&api, &edit).form(&edit).with("title", "Too late");
    api.node.pass(board::EDIT_MS);
    assert!(!ann.open(&api, &target).body.contains(&edit));
    assert_eq!(ann.get(&api, &edit).status, 403);
    let page = ann.submit(&api, &form);
    assert_eq!(page.status, 403);
    assert_eq!(page.form(&edit).get("title"), Some("Too late"), "what was typed is there still");
    assert!(ann.open(&api, &target).text().contains("Another"));
}

fn people_talk_in_threads(front: Front) {
    let api = Api::start(front);
    let (mut ann, mut bob) = (user(&api, "ann"), user(&api, "bob"));
    let key = ann.post(&api, "A post", "https://example.com/");
    let (target, say) = (format!("/b/p/{key}"), format!("/b/comment/{key}"));
    let comment = |browser: &mut Browser, at: &str, text: &str| {
        let page = browser.fill(&api, (at, &say), &[("text", text)]);
        page.location().strip_prefix(&format!("{target}#c-")).unwrap().to_owned()
    };
    let first = comment(&mut ann, &target, "one\r\ntwo\n\nthree <b>");
    let second = comment(&mut bob, &target, "second");
    let answer = comment(&mut bob, &format!("{target}?reply={first}"), "an answer");
    let again = comment(&mut ann, &format!("{target}?reply={answer}"), "to the answer");
    let page = bob.open(&api, &target);
    let order: Vec<_> = html::tokens(&page.body)
        .into_iter()
        .filter_map(|token| match token {
            Token::Open(tag) if tag.has_class("comment") => tag.get("id").map(str::to_owned),
            _ => None,
        })
        .collect();
    let expected: Vec<_> = [&first, &answer, &again, &second].map(|id| format!("c-{id}")).into();
    assert_eq!(order, expected);
    assert!(page.body.contains("one<br>two</bdi></p><p><bdi>three &lt;b&gt;"), "{page:?}");
    assert!(page.text().contains("4 comments"));
    assert!(bob.open(&api, "/b").text().contains("4 comments"));
    let json = bob.open(&api, &format!("{target}.json")).json();
    assert_eq!(json["comments"][0]["text"], "one\ntwo\n\nthree <b>");
    assert_eq!(json["comments"][1]["thread"], json["comments"][0]["id"]);

    // Who said it can take it back; the thread stays.
    let question = bob.open(&api, &format!("{target}?remove={answer}"));
    let page = bob.submit(&api, &question.form(&format!("/b/uncomment/{key}")));
    assert_eq!(page.location(), format!("{target}#c-{answer}"));
    let page = ann.open(&api, &target);
    assert!(!page.text().contains("an answer") && page.text().contains("to the answer"));
    assert!(page.text().contains("3 comments"));
    let json = bob.open(&api, &format!("{target}.json")).json();
    let gone = &json["comments"][1];
    assert_eq!((&gone["standing"], &gone["text"]), (&"deleted".into(), &"".into()));
    assert!(gone["author"].is_null());
    // Not somebody else's, and not later.
    assert!(!bob.open(&api, &format!("{target}?remove={again}")).body.contains("/b/uncomment/"));
    let forged = question.form(&format!("/b/uncomment/{key}")).with("comment", &again);
    assert_eq!(bob.submit(&api, &forged).status, 403);
    // A talk that ends while somebody types takes nothing along.
    let form = bob.open(&api, &target).form(&say).with("text", "my \"late\" words");
    let delete = format!("/b/delete/{key}");
    let sure = ann.open(&api, &delete).form(&delete);
    let anybody = Browser::default().open(&api, &target);
    assert_eq!(ann.submit(&api, &sure).status, 303);
    let page = bob.submit(&api, &form);
    assert!(page.status == 410 && page.text().contains("my \"late\" words"), "{page:?}");
    // And who was not logged in could read.
    assert!(!anybody.body.contains("<textarea") && anybody.body.contains("/b/login?next=/b/p/"));
}

#[test]
fn moderators_take_comments_and_posts_away_and_say_why() {
    let api = Api::start(Front::Mio);
    let (mut ann, mut mod_) = (user(&api, "ann"), user(&api, "mod"));
    let appoint = Act::Appoint { by: None, name: "mod".to_owned(), moderator: true };
    assert_eq!(act(&api.node, appoint), Told::Done);
    let key = ann.post(&api, "A post", "https://example.com/");
    let (target, say) = (format!("/b/p/{key}"), format!("/b/comment/{key}"));
    ann.fill(&api, (&target, &say), &[("text", "rude words")]);
    let json = ann.open(&api, &format!("{target}.json")).json();
    let id = json["comments"][0]["id"].as_u64().unwrap();
    api.node.pass(board::EDIT_MS);

    let remove = format!("{target}?remove={id}");
    assert!(!ann.open(&api, &remove).body.contains("/b/uncomment/"), "it is too late for her");
    let form = mod_.open(&api, &remove).form(&format!("/b/uncomment/{key}"));
    let long = "y".repeat(6_000);
    let page = mod_.submit(&api, &form.clone().with("reason", &long));
    assert_eq!((page.status, page.error("reason").is_some()), (422, true), "{page:?}");
    assert_eq!(page.form(&form.action).get("reason"), Some(&*long));
    assert_eq!(mod_.submit(&api, &form.with("reason", "be kind <3")).status, 303);
    let page = ann.open(&api, &target);
    assert!(!page.text().contains("rude words") && page.text().contains("Removed by a moderator"));
    let json = ann.open(&api, &format!("{target}.json")).json();
    let gone = &json["comments"][0];
    assert_eq!((&gone["standing"], &gone["text"]), (&"hidden".into(), &"".into()));
    assert!(Browser::default().open(&api, "/b/log").text().contains("be kind <3"));

    // What is hidden is gone for everybody but those who can show it again.
    let hide = mod_.open(&api, &target).form(&format!("/b/hide/{key}"));
    assert_eq!(mod_.submit(&api, &hide.with("reason", "spam").press("Hide")).status, 303);
    for browser in [&mut ann, &mut Browser::default()] {
        assert_eq!(browser.get(&api, &target).status, 410);
        assert_eq!(browser.get(&api, &format!("{target}.json")).status, 410);
    }
    assert!(ann.open(&api, "/b/u/ann").posts().is_empty());
    let page = mod_.open(&api, &target);
    assert!(page.text().contains("only moderators see this page") && !page.body.contains(&say));
    let show = page.form(&format!("/b/hide/{key}")).press("Show");
    assert_eq!(mod_.submit(&api, &show).status, 303);
    assert_eq!(ann.open(&api, "/b").posts(), [key]);
}

#[test]
fn long_talks_have_pages() {
    let api = Api::start(Front::Mio);
    let key = posts(&api, 1, "Talk").remove(0);
    let login = crowd(&api, "talker");
    let said = |number: u64| {
        api.node.pass(31_000);
        let (post, text) = (key.clone(), format!("comment number {number}."));
        match act(&api.node, Act::Comment { login, post, parent: None, text }) {
            Told::Commented(id) => id,
            told => panic!("{told:?}"),
        }
    };
    let ids: Vec<_> = (0..250).map(said).collect();
    let target = format!("/b/p/{key}");
    let page = Browser::default().open(&api, &target);
    assert_eq!(page.body.matches("class=\"comment\"").count(), 200);
    assert!(page.body.contains("comment number 199.") && !page.body.contains("number 200."));
    let more = page.body.split("class=\"more\"").nth(1).unwrap();
    let more = more.split("href=\"").nth(1).unwrap().split('"').next().unwrap();
    let page = Browser::default().open(&api, more);
    assert_eq!(page.body.matches("class=\"comment\"").count(), 50);
    assert!(page.body.contains(&format!("c-{}", ids[249])));
    // Who adds to it is told where it went, and answers on the second page stay there.
    let mut ann = user(&api, "ann");
    let say = format!("/b/comment/{key}");
    let page = ann.fill(&api, (&target, &say), &[("text", "the last one")]);
    assert!(page.location().starts_with(&format!("{target}?said=")), "{page:?}");
    assert!(ann.open(&api, page.location()).text().contains("Your comment is there"));
    let second_page = ann.open(&api, more);
    let reply = format!("reply={}#c-{}", ids[249], ids[249]);
    let link = html::tokens(&second_page.body).into_iter().find_map(|token| match token {
        Token::Open(tag) => tag.get("href").filter(|it| it.ends_with(&reply)).map(str::to_owned),
        _ => None,
    });
    // A browser keeps what is behind the `#` to itself.
    let open = link.unwrap().split('#').next().unwrap().to_owned();
    let page = ann.fill(&api, (&open, &say), &[("text", "an answer")]);
    assert_eq!(page.status, 303);
    let json = ann.open(&api, &more.replace(&key, &format!("{key}.json"))).json();
    let comments = json["comments"].as_array().unwrap();
    let answer = comments.iter().find(|it| it["text"] == "an answer").unwrap();
    assert_eq!(answer["thread"], ids[249]);
}

#[test]
fn what_is_missing_here_is_asked_for_elsewhere_first() {
    let api = Api::start(Front::Mio);
    let sign_up =
        Act::SignUp { name: "late".into(), password: "$".into(), login: [9; 32], replaces: None };
    api.node.do_elsewhere(&Command::Board(sign_up));
    assert_eq!(Browser::default().get(&api, "/b/u/nobody").status, 404, "asked, and there is none");
    let sign_up =
        Act::SignUp { name: "later".into(), password: "$".into(), login: [8; 32], replaces: None };
    api.node.do_elsewhere(&Command::Board(sign_up));
    assert_eq!(Browser::default().get(&api, "/b/u/later").status, 200, "it was only late");
}
