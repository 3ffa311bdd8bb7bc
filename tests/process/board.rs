//! The link board on real nodes: whoever dies, users stay logged in and find what they wrote.

use std::collections::BTreeSet;
use std::process::Output;

use crate::board_support::{Browser, Form, PASSWORD, Page, Site, html, key_in};
use crate::harness::{Cluster, Node, ask, ask_with, bowline, eventually};

impl Site for Node {
    fn answer(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Page {
        let answer = ask_with(method, &self.url(target), headers, body).unwrap();
        let (status, headers) = (answer.status, answer.headers);
        Page { target: target.to_owned(), status, headers, body: answer.body }
    }
}

/// A cluster that goes by the rules of the board.
fn cluster(size: usize) -> Cluster {
    let cluster = Cluster::start(size);
    for node in &cluster.nodes {
        newest_rules(node);
    }
    cluster
}

fn newest_rules(node: &Node) {
    let newest = u64::from(bowline::state::VERSION);
    eventually("the newest rules are in force", || {
        let state = node.json("/api/status")?["state"].clone();
        if state["cluster_version"] == newest { Ok(()) } else { Err(state.to_string()) }
    });
}

/// Sends a form until it is taken. A refusal for the moment gives the form back with all that was typed, and
/// that is what is sent again.
fn send(browser: &mut Browser, node: &Node, form: &Form) -> Page {
    let mut form = form.clone();
    eventually("a form is taken", || {
        let page = browser.submit(node, &form);
        if page.status == 503 {
            let typed = form.clone();
            form = page.form(&form.action);
            for (name, value) in typed.fields.iter().filter(|(name, _)| name != "csrf") {
                let secret = ["password", "old", "new"].contains(&name.as_str());
                if secret {
                    form = form.clone().with(name, value);
                }
                assert_eq!(form.get(name), Some(value.as_str()), "it is lost: {page:?}");
            }
            assert!(page.header("Retry-After").is_some(), "{page:?}");
            return Err(page.text());
        }
        Ok(page)
    })
}

fn post(browser: &mut Browser, node: &Node, title: &str, url: &str) -> String {
    let form = browser.open(node, "/b/post").form("/b/post");
    let page = send(browser, node, &form.with("title", title).with("url", url));
    key_in(page.location())
}

/// A browser that comes from an address of its own.
fn from(address: &str) -> Browser {
    Browser { headers: vec![("X-Forwarded-For", address.to_owned())], ..Browser::default() }
}

fn user(node: &Node, name: &str) -> Browser {
    let mut browser = from(&format!("192.0.2.{}", name.bytes().map(u64::from).sum::<u64>() % 250));
    browser.sign_up(node, name);
    browser
}

/// Waits until a node shows these posts, in this order, to somebody without cookies.
fn shows(node: &Node, list: &str, keys: &[&str]) {
    eventually("the node shows the posts", || {
        let found = Browser::default().open(node, list).posts();
        if found == keys { Ok(()) } else { Err(found) }
    });
}

/// Likes as a post's page tells them.
fn likes(node: &Node, browser: &mut Browser, key: &str) -> u64 {
    let json = browser.open(node, &format!("/b/p/{key}.json")).json();
    let post = if json["post"].is_object() { &json["post"] } else { &json };
    post["likes"].as_u64().unwrap_or_else(|| panic!("{json}"))
}

#[test]
fn a_log_in_and_what_was_written_survive_any_machine() {
    let mut cluster = cluster(3);
    let leader = cluster.leader();
    let [a, b, c] = [leader, (leader + 1) % 3, (leader + 2) % 3];
    let mut ann = user(&cluster.nodes[a], "ann");
    let mut bob = user(&cluster.nodes[b], "bob");
    let first = post(&mut ann, &cluster.nodes[a], "Before", "https://example.com/before");
    // At once, on a node that was asked nothing yet: the cookies say how far it has to be.
    assert_eq!(ann.open(&cluster.nodes[c], "/b/newest").posts(), [first.as_str()]);

    cluster.nodes[a].kill();
    assert_eq!(ann.name(&cluster.nodes[c]).as_deref(), Some("ann"), "reading needs no leader");
    let second = post(&mut ann, &cluster.nodes[b], "After", "https://example.com/after");
    assert_eq!(ann.open(&cluster.nodes[c], "/b/newest").posts(), [second.as_str(), &first]);
    assert_eq!(cluster.nodes[c].follow(&second).as_deref(), Some("https://example.com/after"));
    let page = bob.open(&cluster.nodes[c], &format!("/b/p/{second}"));
    let form = page.form(&format!("/b/like/{second}"));
    assert_eq!(send(&mut bob, &cluster.nodes[c], &form.press("Like")).status, 303);
    assert_eq!(likes(&cluster.nodes[b], &mut bob, &second), 1);

    // The old leader comes back as a follower, and shows the same.
    cluster.nodes[a].restart();
    cluster.settled(3);
    assert_eq!(ann.open(&cluster.nodes[a], "/b/newest").posts(), [second.as_str(), &first]);
    assert_eq!(ann.name(&cluster.nodes[a]).as_deref(), Some("ann"));
    assert_eq!(likes(&cluster.nodes[a], &mut ann, &second), 1);

    // A follower dies and comes back while others go on.
    let follower = cluster.follower();
    let living = (0..3).find(|at| *at != follower).unwrap();
    cluster.nodes[follower].kill();
    let page = ann.open(&cluster.nodes[living], &format!("/b/p/{second}"));
    let form = page.form(&format!("/b/like/{second}")).press("Like");
    assert_eq!(send(&mut ann, &cluster.nodes[living], &form).status, 303);
    let comment = format!("/b/comment/{second}");
    let form = ann.open(&cluster.nodes[living], &format!("/b/p/{second}")).form(&comment);
    let form = form.with("text", "Said while one was away");
    assert_eq!(send(&mut ann, &cluster.nodes[living], &form).status, 303);
    cluster.nodes[follower].restart();
    cluster.settled(3);
    let page = ann.open(&cluster.nodes[follower], &format!("/b/p/{second}"));
    assert!(page.text().contains("Said while one was away"), "{page:?}");
    assert_eq!(likes(&cluster.nodes[follower], &mut ann, &second), 2);

    // All of them, stopped in good order and started again.
    for node in &mut cluster.nodes {
        assert!(node.terminate().success());
    }
    for node in &mut cluster.nodes {
        node.restart();
    }
    cluster.settled(3);
    for node in &cluster.nodes {
        shows(node, "/b/newest", &[&second, &first]);
        shows(node, "/b", &[&second, &first]);
        assert_eq!(ann.name(node).as_deref(), Some("ann"));
        assert_eq!(bob.name(node).as_deref(), Some("bob"));
        assert_eq!(likes(node, &mut Browser::default(), &second), 2);
        let page = Browser::default().open(node, &format!("/b/p/{second}"));
        assert!(page.text().contains("Said while one was away"), "{page:?}");
    }
    assert_eq!(from("192.0.2.99").log_in(&cluster.nodes[0], "bob", PASSWORD).status, 303);
    cluster.agree();
}

#[test]
fn all_nodes_die_at_once_and_nothing_that_was_answered_is_gone() {
    let mut cluster = cluster(3);
    let mut ann = user(&cluster.nodes[0], "ann");
    let mut keys = Vec::new();
    for number in 0..8 {
        let node = &cluster.nodes[number % 3];
        keys.insert(0, post(&mut ann, node, "A post", &format!("https://example.com/{number}")));
    }
    for node in &mut cluster.nodes {
        node.kill();
    }
    for node in &mut cluster.nodes {
        node.restart();
    }
    cluster.settled(3);
    for node in &cluster.nodes {
        shows(node, "/b/newest", &keys.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(ann.name(node).as_deref(), Some("ann"));
    }
}

#[test]
fn who_is_left_alone_shows_what_there_is() {
    let mut cluster = cluster(3);
    let mut ann = user(&cluster.nodes[0], "ann");
    let key = post(&mut ann, &cluster.nodes[0], "A post", "https://example.com/");
    for node in &cluster.nodes {
        shows(node, "/b", &[&key]);
    }
    cluster.nodes[1].kill();
    cluster.nodes[2].kill();
    let alone = &cluster.nodes[0];
    eventually("it knows that it is alone", || match alone.is_ready() {
        Err(_) => Ok(()),
        Ok(()) => Err("ready"),
    });
    for list in ["/b", "/b/newest", "/b/top/day", "/b/u/ann"] {
        assert_eq!(ann.open(alone, list).posts(), [key.as_str()]);
    }
    assert_eq!(ann.name(alone).as_deref(), Some("ann"));
    assert_eq!(alone.follow(&key).as_deref(), Some("https://example.com/"));
    let typed = [("title", "Not now"), ("url", "https://example.com/later")];
    let page = ann.fill(alone, ("/b/post", "/b/post"), &typed);
    assert_eq!(page.status, 503, "{page:?}");
    assert_eq!(page.form("/b/post").get("title"), Some("Not now"));
    // What came back is taken as it is when the others are back.
    cluster.nodes[1].restart();
    cluster.nodes[2].restart();
    cluster.settled(3);
    let page = send(&mut ann, &cluster.nodes[1], &page.form("/b/post"));
    let later = key_in(page.location());
    for node in &cluster.nodes {
        shows(node, "/b/newest", &[&later, &key]);
    }
}

#[test]
fn a_user_likes_a_post_once_however_often_and_wherever_it_is_clicked() {
    let cluster = cluster(3);
    let users: Vec<Browser> =
        ["ann", "bob", "cyd"].iter().map(|name| user(&cluster.nodes[0], name)).collect();
    let key = post(&mut users[0].clone(), &cluster.nodes[0], "A post", "https://example.com/");
    let target = format!("/b/p/{key}");
    let likes_of = |on: bool| {
        let says = if on { "Like" } else { "Unlike" };
        // As somebody who has opened the page in many tabs, on all nodes, before any click.
        let tabs: Vec<(Browser, Form, usize)> = users
            .iter()
            .flat_map(|user| (0..6).map(|tab| (user.clone(), tab % 3)))
            .map(|(mut browser, at)| {
                let form = eventually("the page has the button", || {
                    let page = browser.open(&cluster.nodes[at], &target);
                    let form = page.form(&format!("/b/like/{key}"));
                    let found = form.buttons.iter().any(|(it, _)| it == says);
                    if found { Ok(form.press(says)) } else { Err(page.text()) }
                });
                (browser, form, at)
            })
            .collect();
        std::thread::scope(|scope| {
            for (mut browser, form, at) in tabs {
                let node = &cluster.nodes[at];
                scope.spawn(move || assert_eq!(send(&mut browser, node, &form).status, 303));
            }
        });
    };
    for on in [true, false, true] {
        likes_of(on);
        let expected = if on { 3 } else { 0 };
        for node in &cluster.nodes {
            eventually("all nodes count them", || {
                match likes(node, &mut Browser::default(), &key) {
                    count if count == expected => Ok(()),
                    count => Err(count),
                }
            });
        }
    }
    cluster.agree();
}

#[test]
fn of_two_who_want_the_same_at_once_one_gets_it() {
    let cluster = cluster(3);
    // Filled in everywhere before anything is sent anywhere.
    let ready: Vec<(Browser, Form)> = (0..3)
        .map(|at| {
            let mut browser = from(&format!("198.51.100.{at}"));
            let form = browser.open(&cluster.nodes[at], "/b/signup").form("/b/signup");
            (browser, form.with("name", ["ann", "Ann", "ANN"][at]).with("password", PASSWORD))
        })
        .collect();
    let send_all = |ready: Vec<(Browser, Form)>| -> Vec<(Browser, Page)> {
        std::thread::scope(|scope| {
            let sent = ready.into_iter().enumerate().map(|(at, (mut browser, form))| {
                let node = &cluster.nodes[at];
                scope.spawn(move || {
                    let page = send(&mut browser, node, &form);
                    (browser, page)
                })
            });
            sent.collect::<Vec<_>>().into_iter().map(|it| it.join().unwrap()).collect()
        })
    };
    let mut statuses = Vec::new();
    for (mut browser, page) in send_all(ready) {
        statuses.push(page.status);
        assert_eq!(browser.name(&cluster.nodes[0]).is_some(), page.status == 303);
        if page.status == 422 {
            assert!(page.error("name").is_some(), "{page:?}");
        }
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [303, 422, 422]);

    let ready = (0..3)
        .map(|at| {
            let mut browser = user(&cluster.nodes[at], ["bob", "cyd", "dan"][at]);
            let form = browser.open(&cluster.nodes[at], "/b/post").form("/b/post");
            (browser, form.with("title", "The same").with("url", "https://example.com/same"))
        })
        .collect();
    let keys: BTreeSet<String> =
        send_all(ready).iter().map(|(_, page)| key_in(page.location())).collect();
    assert_eq!(keys.len(), 1, "all are led to the one post");
    for node in &cluster.nodes {
        shows(node, "/b/newest", &keys.iter().map(String::as_str).collect::<Vec<_>>());
    }
    cluster.agree();
}

#[test]
fn logging_out_everywhere_reaches_every_node() {
    let cluster = cluster(3);
    let [a, b, c] = [0, 1, 2].map(|at| &cluster.nodes[at]);
    let mut phone = user(a, "ann");
    let mut laptop = from("192.0.2.50");
    assert_eq!(laptop.log_in(b, "ann", PASSWORD).status, 303);
    assert_eq!(laptop.name(c).as_deref(), Some("ann"));
    let typed = laptop.open(c, "/b/post").form("/b/post");
    let typed = typed.with("title", "Too late").with("url", "https://example.com/");

    assert_eq!(phone.press(b, "/b/settings", "Log out everywhere").status, 303);
    // Whatever a node believes yet, nothing can be done with the log-in any more.
    let page = laptop.submit(c, &typed);
    assert!([401, 403].contains(&page.status), "{page:?}");
    assert_eq!(page.form("/b/post").get("title"), Some("Too late"), "{page:?}");
    for node in [a, b, c] {
        eventually("the node has heard of it", || match laptop.clone().name(node) {
            None => Ok(()),
            Some(name) => Err(name),
        });
        assert_eq!(phone.clone().name(node), None);
    }
    // A changed password ends the other log-ins and keeps this one.
    assert_eq!(phone.log_in(a, "ann", PASSWORD).status, 303);
    assert_eq!(laptop.log_in(b, "ann", PASSWORD).status, 303);
    let typed = [("old", PASSWORD), ("new", "another password")];
    let page = phone.fill(c, ("/b/settings", "/b/password"), &typed);
    assert_eq!(page.status, 303, "{page:?}");
    assert_eq!(phone.name(a).as_deref(), Some("ann"));
    eventually("the node has heard of it", || match laptop.clone().name(a) {
        None => Ok(()),
        Some(name) => Err(name),
    });
    assert_eq!(from("192.0.2.51").log_in(b, "ann", PASSWORD).status, 422);
    assert_eq!(from("192.0.2.52").log_in(b, "ann", "another password").status, 303);
}

/// Runs `bowline board moderator …` as on the machine of a node.
fn moderator(node: &Node, args: &[&str]) -> Output {
    let mut command = bowline();
    command.args(["board", "moderator"]).args(args);
    command.args(["--node", &node.http]).arg("--data").arg(&node.data);
    command.output().unwrap()
}

fn text(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8(both).unwrap()
}

#[test]
fn an_operator_makes_the_first_moderator() {
    let cluster = cluster(3);
    let [a, b, c] = [0, 1, 2].map(|at| &cluster.nodes[at]);
    let mut ann = user(a, "ann");
    let mut bob = user(a, "bob");
    let key = post(&mut bob, a, "Spam", "https://example.com/spam");
    let action = format!("/b/hide/{key}");
    let has_button = |page: &Page| Form::all(&page.body).iter().any(|form| form.action == action);
    assert!(!has_button(&ann.open(a, &format!("/b/p/{key}"))));

    let output = moderator(b, &["add", "nobody"]);
    assert!(!output.status.success() && text(&output).contains("nobody"), "{}", text(&output));
    let output = moderator(b, &["add", "Ann"]);
    assert!(output.status.success(), "{}", text(&output));
    assert!(moderator(b, &["add", "ann"]).status.success(), "it is so already");
    // Not with another node's token, and not with none.
    let mut command = bowline();
    command.args(["board", "moderator", "add", "bob", "--node", &b.http, "--data"]).arg(&c.data);
    let output = command.output().unwrap();
    assert!(!output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("--data DIR"), "{}", text(&output));
    let url = b.url("/api/board/moderators/bob");
    let answer = ask("PUT", &url, "").unwrap();
    assert_eq!(answer.status, 401, "{answer:?}");
    assert!(answer.body.contains("operator-token"), "{answer:?}");
    let answer = ask_with("PUT", &url, &[("Authorization", "Bearer wrong")], "").unwrap();
    assert_eq!(answer.status, 401, "{answer:?}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = b.data.join("operator-token").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    let page = eventually("the node knows the moderator", || {
        let page = ann.open(c, &format!("/b/p/{key}"));
        if has_button(&page) { Ok(page) } else { Err(page.text()) }
    });
    let form = page.form(&action).with("reason", "nothing but advertising").press("Hide");
    assert_eq!(send(&mut ann, c, &form).status, 303);
    for node in [a, b, c] {
        shows(node, "/b/newest", &[]);
        assert_eq!(node.get(&format!("/{key}")).unwrap().status, 410);
        let log = Browser::default().open(node, "/b/log").text();
        assert!(log.contains("nothing but advertising") && log.contains("ann"), "{log}");
    }
    let listed =
        bowline().args(["board", "moderator", "list", "--node", &c.http]).output().unwrap();
    assert_eq!(text(&listed), "ann\n");
    let output = moderator(b, &["remove", "ann"]);
    assert!(output.status.success(), "{}", text(&output));
    eventually("the node knows", || {
        let page = ann.open(a, "/b/u/bob");
        let found = Form::all(&page.body).iter().any(|form| form.action == "/b/disable/bob");
        if found { Err(page.text()) } else { Ok(()) }
    });
    // Who tries nevertheless is refused where it counts.
    let page = ann.submit(c, &form);
    assert!([403, 410].contains(&page.status), "{page:?}");
}

fn backup(words: &[&str], node: &Node, file: &std::path::Path) {
    let mut command = bowline();
    command.arg("backup").args(&words[..1]).arg(file).args(&words[1..]);
    let output = command.args(["--node", &node.http]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
fn a_backup_brings_the_board_into_another_cluster() {
    let old = cluster(3);
    let mut ann = user(&old.nodes[0], "ann");
    let mut bob = user(&old.nodes[1], "bob");
    let key = post(&mut ann, &old.nodes[2], "A post", "https://example.com/kept");
    assert_eq!(bob.press(&old.nodes[2], &format!("/b/p/{key}"), "Like").status, 303);
    let file = old.home.path().join("board.backup");
    backup(&["save"], &old.nodes[1], &file);
    // What came after it does not go with it.
    let mut eve = user(&old.nodes[0], "eve");
    post(&mut eve, &old.nodes[0], "Later", "https://example.com/later");

    let new = cluster(3);
    let mut other = user(&new.nodes[0], "other");
    post(&mut other, &new.nodes[0], "Replaced", "https://example.com/replaced");
    backup(&["restore", "--yes"], &new.nodes[2], &file);
    for node in &new.nodes {
        shows(node, "/b/newest", &[&key]);
        assert_eq!(likes(node, &mut Browser::default(), &key), 1);
        assert_eq!(node.follow(&key).as_deref(), Some("https://example.com/kept"));
        assert_eq!(ann.name(node).as_deref(), Some("ann"), "a log-in goes with it");
        assert_eq!(other.name(node), None, "who was replaced is nobody, not somebody else");
        assert_eq!(eve.name(node), None);
    }
    assert_eq!(from("198.51.100.1").log_in(&new.nodes[1], "ANN", PASSWORD).status, 303);
    let page = from("198.51.100.2").log_in(&new.nodes[1], "other", PASSWORD);
    assert_eq!(page.status, 422, "{page:?}");
    // The names are free, and who takes them is another user: nothing of the old log-ins is theirs.
    for (name, mut before) in [("eve", eve), ("other", other)] {
        let mut after = user(&new.nodes[0], name);
        let last = post(&mut after, &new.nodes[0], "Mine", &format!("https://example.com/{name}"));
        for node in &new.nodes {
            assert_eq!(before.name(node), None);
            let page = before.get(node, &format!("/b/edit/{last}"));
            assert_ne!(page.status, 200, "{page:?}");
        }
    }
    assert_eq!(ann.press(&new.nodes[0], &format!("/b/p/{key}"), "Like").status, 303);
    assert_eq!(likes(&new.nodes[0], &mut ann, &key), 2);
    // And over its own past: posts of after the backup are gone, and their keys lead nowhere.
    backup(&["restore", "--yes"], &old.nodes[0], &file);
    for node in &old.nodes {
        shows(node, "/b/newest", &[&key]);
    }
    old.agree();
    new.agree();
}

#[test]
fn cookies_are_secure_behind_a_proxy_that_is_trusted() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path(), "n1", &[]);
    newest_rules(&node);
    let secure = |page: &Page| {
        let cookies: Vec<&str> = page
            .headers
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"))
            .map(|(_, value)| value.as_str())
            .collect();
        assert!(!cookies.is_empty(), "{page:?}");
        let secure: BTreeSet<bool> = cookies.iter().map(|it| it.contains("; Secure")).collect();
        assert_eq!(secure.len(), 1, "all or none: {cookies:?}");
        secure.contains(&true)
    };
    let typed = |name: &'static str| [("name", name), ("password", PASSWORD)];
    let mut ann = from("192.0.2.1");
    ann.headers.push(("X-Forwarded-Proto", "https".to_owned()));
    assert!(secure(&ann.fill(&node, ("/b/signup", "/b/signup"), &typed("ann"))));
    let mut bob = from("192.0.2.2");
    assert!(!secure(&bob.fill(&node, ("/b/signup", "/b/signup"), &typed("bob"))));
    // Without a proxy nobody is believed but the connection: five sign-ups, and the sixth waits.
    let statuses: Vec<u16> = (0..6)
        .map(|number| {
            let typed = [("name", &*format!("user{number}")), ("password", PASSWORD)];
            Browser::default().fill(&node, ("/b/signup", "/b/signup"), &typed).status
        })
        .collect();
    assert_eq!(statuses, [303, 303, 303, 303, 303, 429]);
}

/// All pages that a visitor finds by following links from the front page, on real nodes.
#[test]
fn every_link_leads_somewhere() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::start(home.path(), "n1", &[]);
    newest_rules(&node);
    let mut ann = user(&node, "ann");
    for number in 0..7 {
        let url = format!("https://www{number}.example/page");
        let key = post(&mut ann, &node, &format!("Post {number}"), &url);
        let (target, action) = (format!("/b/p/{key}"), format!("/b/comment/{key}"));
        assert_eq!(ann.fill(&node, (&target, &action), &[("text", "Yes")]).status, 303);
    }
    let (mut seen, mut ahead) = (BTreeSet::new(), vec!["/b".to_owned()]);
    while let Some(target) = ahead.pop() {
        let plain = target.split('#').next().unwrap().to_owned();
        if !seen.insert(plain.clone()) {
            continue;
        }
        let page = ann.get(&node, &plain);
        let is_post = page.status == 301;
        assert!(page.status == 200 || is_post, "{plain}: {page:?}");
        let kind = page.header("Content-Type").unwrap_or_default();
        if !kind.starts_with("text/html") {
            continue;
        }
        html::sound(&page.body);
        for token in html::tokens(&page.body) {
            let html::Token::Open(tag) = token else { continue };
            for name in ["href", "src"] {
                match tag.get(name) {
                    Some(at) if at.starts_with('/') => ahead.push(at.to_owned()),
                    Some(at) if at.starts_with('?') => ahead.push(format!("{plain}{at}")),
                    _ => {}
                }
            }
        }
    }
    for target in ["/b/newest", "/b/top/day", "/b/u/ann", "/b/about", "/b/log", "/b/newest.rss"] {
        assert!(seen.contains(target), "no link to {target}: {seen:?}");
    }
}
