//! Reads of Consul's that wait for news (`index`, `wait`): who is woken, by what, and who is not.
//!
//! The front on `tiny_http` has no way to park a request, and says so; so this is about the other one.
#![allow(clippy::unwrap_used, reason = "tests")]

mod http_support;

use std::time::Duration;

use bowline::http::Options;
use bowline::http::front::Patience;
use bowline::state::{Command, kv};
use http_support::{Answer, Api, Front, Node, Wire};

const SHORT: &str = "wait=20ms";
const LONG: &str = "wait=10m";

fn api() -> Api {
    Api::start(Front::Mio)
}

fn put(api: &Api, key: &str, value: &str) {
    assert_eq!(api.ask("PUT", &format!("/v1/kv/{key}"), value).body, "true");
}

fn consul_index(answer: &Answer) -> u64 {
    answer.header("X-Consul-Index").unwrap().parse().unwrap()
}

fn index_of(api: &Api, target: &str) -> u64 {
    consul_index(&api.get(target))
}

/// Begins to wait for something newer than what is there, and is known to wait.
fn wait_for(api: &Api, target: &str) -> Wire {
    let watches = api.node.service.client().watches.len();
    let index = index_of(api, target);
    let mut client = api.connect();
    let mark = if target.contains('?') { '&' } else { '?' };
    client.start("GET", &format!("{target}{mark}index={index}&{LONG}"), "", b"");
    api.node.wait_until_watched(watches + 1);
    client
}

fn wakeups(api: &Api) -> u64 {
    api.node.metrics.watch_wakeups.get()
}

#[test]
fn a_change_of_the_key_is_told_and_nothing_else_wakes() {
    let api = api();
    put(&api, "k", "1");
    let mut client = wait_for(&api, "/v1/kv/k");
    for number in 0..50 {
        put(&api, &format!("other/{number}"), "x");
        put(&api, &format!("k{number}"), "x");
    }
    put(&api, "k", "1");
    assert_eq!(wakeups(&api), 0, "neither other keys nor what changes nothing");
    put(&api, "k", "2");
    let told = client.answer();
    assert_eq!((told.status, &told.json()[0]["Value"]), (200, &"Mg==".into()));
    assert_eq!(told.json()[0]["ModifyIndex"], consul_index(&told));
    assert_eq!(told.header("X-Consul-KnownLeader"), Some("true"));
    assert_eq!(wakeups(&api), 1);
    api.node.wait_until_watched(0);
    // The connection serves on.
    assert_eq!(client.ask("GET", "/v1/kv/k?raw", "").body, "2");
}

#[test]
fn the_first_write_of_all_is_news() {
    for target in ["/v1/kv/k", "/v1/kv/?recurse", "/v1/kv/k?keys"] {
        let api = api();
        let mut client = wait_for(&api, target);
        put(&api, "k", "1");
        assert_eq!(client.answer().status, 200, "{target}");
    }
    let api = api();
    let mut client = wait_for(&api, "/v1/session/list");
    assert_eq!(api.ask("PUT", "/v1/session/create", "").status, 200);
    assert_ne!(client.answer().body, "[]");
}

#[test]
fn who_leads_is_told_as_of_the_answer() {
    let api = api();
    put(&api, "k", "1");
    let mut client = wait_for(&api, "/v1/kv/k");
    api.node.set_status(|status| status.leader = None);
    put(&api, "k", "2");
    let told = client.answer();
    assert_eq!(told.header("X-Consul-KnownLeader"), Some("false"));
    assert_ne!(told.header("X-Consul-LastContact"), Some("0"));
}

#[test]
fn what_is_newer_already_is_told_at_once() {
    let api = api();
    put(&api, "k", "1");
    let index = index_of(&api, "/v1/kv/k");
    for target in [
        format!("k?index=0&{LONG}"),
        format!("k?index={}&{LONG}", index - 1),
        format!("?recurse&index={}&{LONG}", index - 1),
        format!("k?keys&index={}&{LONG}", index - 1),
        format!("none?index=0&{LONG}"),
    ] {
        let status = if target.starts_with("none") { 404 } else { 200 };
        assert_eq!(api.get(&format!("/v1/kv/{target}")).status, status, "{target}");
    }
    assert_eq!(api.node.service.client().watches.len(), 0);
}

#[test]
fn without_news_the_same_is_told_again() {
    let api = api();
    put(&api, "k", "1");
    put(&api, "last", "1");
    for target in ["k", "none", "k?recurse", "k?keys", "?recurse", "none?recurse", "k?stale"] {
        let target = format!("/v1/kv/{target}");
        let before = api.get(&target);
        let mark = if target.contains('?') { '&' } else { '?' };
        let index = consul_index(&before);
        let after = api.get(&format!("{target}{mark}index={index}&{SHORT}"));
        assert_eq!((after.status, &after.body), (before.status, &before.body), "{target}");
        assert_eq!(consul_index(&after), index, "{target}");
    }
    assert_eq!(wakeups(&api), 0);
}

#[test]
fn who_waits_for_a_missing_key_hears_of_it_alone() {
    let api = api();
    put(&api, "first", "1");
    let mut client = wait_for(&api, "/v1/kv/k");
    put(&api, "other", "1");
    put(&api, "kk", "1");
    assert_eq!(wakeups(&api), 0);
    put(&api, "k", "here");
    let told = client.answer();
    assert_eq!((told.status, &told.json()[0]["Key"]), (200, &"k".into()));
    // A read with the index of another key's write waits on: that was no news of this key.
    api.ask("DELETE", "/v1/kv/k", "");
    let mut client = wait_for(&api, "/v1/kv/k");
    put(&api, "other", "2");
    assert_eq!(wakeups(&api), 1);
    put(&api, "k", "again");
    assert_eq!(client.answer().status, 200);
}

#[test]
fn a_prefix_under_which_nothing_was_has_the_stores_index() {
    let api = api();
    assert_eq!(index_of(&api, "/v1/kv/none/?recurse"), 1);
    put(&api, "other", "1");
    for target in ["/v1/kv/none/?recurse", "/v1/kv/none/?keys", "/v1/kv/none/x"] {
        let told = api.get(target);
        assert_eq!((told.status, told.body.as_str()), (404, ""), "{target}");
        assert_eq!(consul_index(&told), api.node.standing().kv.last, "{target}");
    }
    // It rises with what is written elsewhere, which is no news all the same.
    let before = index_of(&api, "/v1/kv/none/?recurse");
    let mut client = wait_for(&api, "/v1/kv/none/?recurse");
    put(&api, "other", "2");
    let late = api.get(&format!("/v1/kv/none/?recurse&index={before}&{SHORT}"));
    assert_eq!((late.status, consul_index(&late)), (404, api.node.standing().kv.last));
    assert_eq!(wakeups(&api), 0);
    put(&api, "none/x", "1");
    assert_eq!(client.answer().status, 200);
    // What was removed there has an index of its own.
    api.ask("DELETE", "/v1/kv/none/x", "");
    let removed = api.node.standing().kv.last;
    put(&api, "other", "3");
    assert_eq!(index_of(&api, "/v1/kv/none/?recurse"), removed);
}

#[test]
fn a_removal_is_news_with_a_higher_index() {
    let api = api();
    put(&api, "a/k", "1");
    put(&api, "a/z", "1");
    let before = index_of(&api, "/v1/kv/a/k");
    let (mut key, mut prefix) = (wait_for(&api, "/v1/kv/a/k"), wait_for(&api, "/v1/kv/a/?recurse"));
    api.ask("DELETE", "/v1/kv/a/k", "");
    let (key, prefix) = (key.answer(), prefix.answer());
    assert_eq!((key.status, key.body.as_str()), (404, ""));
    assert!(consul_index(&key) > before);
    assert_eq!(prefix.json().as_array().unwrap().len(), 1);
    assert_eq!(consul_index(&prefix), api.node.standing().kv.last);
    // A removal that came before it was asked is told too, though nothing is there to have an index.
    let late = api.get(&format!("/v1/kv/a/k?index={before}&{LONG}"));
    assert_eq!(late.status, 404);
}

#[test]
fn a_prefix_is_woken_by_what_is_under_it() {
    let api = api();
    put(&api, "web/a", "1");
    let mut client = wait_for(&api, "/v1/kv/web/?keys");
    let mut all = wait_for(&api, "/v1/kv/?keys");
    put(&api, "we", "1");
    assert_eq!(all.answer().body, r#"["we","web/a"]"#);
    put(&api, "webb", "1");
    assert_eq!(wakeups(&api), 1);
    put(&api, "web/b", "1");
    let told = client.answer();
    assert_eq!(told.body, r#"["web/a","web/b"]"#);
    assert_eq!(consul_index(&told), index_of(&api, "/v1/kv/web/b"));
}

#[test]
fn a_long_listing_waits_as_a_short_one_does() {
    let api = api();
    for number in 0..2_500 {
        let op = kv::Op::Set {
            key: format!("many/{number:05}").into(),
            value: "v".into(),
            flags: 0,
            ttl_ms: None,
            when: kv::When::Always,
        };
        api.node.command(&Command::Kv { ops: vec![op] });
    }
    put(&api, "other", "1");
    let mut client = wait_for(&api, "/v1/kv/many/?keys");
    api.ask("DELETE", "/v1/kv/many/00000", "");
    let told = client.answer();
    assert_eq!(told.json().as_array().unwrap().len(), 2_499);
    assert_eq!(consul_index(&told), api.node.standing().kv.last);
}

#[test]
fn sessions_are_waited_for() {
    let api = api();
    let mut list = wait_for(&api, "/v1/session/list");
    put(&api, "k", "1");
    let id = api.ask("PUT", "/v1/session/create", r#"{"TTL":"10s"}"#).json()["ID"].clone();
    let told = list.answer();
    assert_eq!(told.json()[0]["ID"], id);
    assert_eq!(wakeups(&api), 1);
    // A renewal is no news; that it ends is.
    let mut node = wait_for(&api, "/v1/session/node/n1");
    let mut info = wait_for(&api, &format!("/v1/session/info/{}", id.as_str().unwrap()));
    api.ask("PUT", &format!("/v1/session/renew/{}", id.as_str().unwrap()), "");
    api.node.pass(9_000);
    api.node.wait_until_watched(2);
    api.node.pass(3_000);
    assert_eq!((node.answer().body, info.answer().body), ("[]".into(), "[]".into()));
    assert!(index_of(&api, "/v1/session/list") > consul_index(&told));
}

#[test]
fn a_lock_that_ends_with_its_session_is_news() {
    let api = api();
    let session = api.ask("PUT", "/v1/session/create", r#"{"TTL":"10s"}"#).json();
    let session = session["ID"].as_str().unwrap().to_owned();
    api.ask("PUT", &format!("/v1/kv/lock?acquire={session}"), "mine");
    let mut client = wait_for(&api, "/v1/kv/lock");
    api.node.pass(12_000);
    let told = client.answer().json();
    assert_eq!((told[0].get("Session"), &told[0]["LockIndex"]), (None, &1.into()));
}

#[test]
fn who_goes_away_waits_no_longer() {
    let api = api();
    put(&api, "k", "1");
    let gone = wait_for(&api, "/v1/kv/k");
    let mut stays = wait_for(&api, "/v1/kv/k");
    drop(gone);
    api.node.wait_until_watched(1);
    put(&api, "k", "2");
    assert_eq!(stays.answer().status, 200);
    assert_eq!(wakeups(&api), 1);
}

#[test]
fn only_so_many_may_wait() {
    let node = Node::start_with_watches(Options::default(), 2);
    let api = Api::over(node, Front::Mio, Patience::default());
    put(&api, "k", "1");
    let index = index_of(&api, "/v1/kv/k");
    let mut waiting = [wait_for(&api, "/v1/kv/k"), wait_for(&api, "/v1/kv/k")];
    let refused = api.get(&format!("/v1/kv/k?index={index}&{LONG}"));
    assert_eq!((refused.status, refused.header("Retry-After")), (429, Some("1")));
    assert_eq!(api.node.metrics.watches_refused.get(), 1);
    // Who does not wait is answered.
    assert_eq!(api.get("/v1/kv/k").status, 200);
    put(&api, "k", "2");
    waiting.iter_mut().for_each(|client| assert_eq!(client.answer().status, 200));
}

#[test]
fn many_wait_for_one_change() {
    let api = api();
    put(&api, "k", "1");
    let mut waiting: Vec<_> = (0..100).map(|_| wait_for(&api, "/v1/kv/k")).collect();
    put(&api, "k", "2");
    for client in &mut waiting {
        assert_eq!(client.answer().json()[0]["Value"], "Mg==");
    }
    assert_eq!(wakeups(&api), 100);
}

#[test]
fn a_node_that_stops_answers_who_waits() {
    let patience = Patience { stop: Duration::from_secs(20), ..Patience::default() };
    let api = Api::start_with(Front::Mio, Options::default(), patience);
    put(&api, "k", "1");
    let mut client = wait_for(&api, "/v1/kv/k");
    let Api { node, front } = api;
    front.stop();
    let told = client.answer();
    assert_eq!((told.status, &told.json()[0]["Value"]), (200, &"MQ==".into()));
    assert_eq!(node.metrics.watch_wakeups.get(), 0);
}

#[test]
fn a_front_that_cannot_wait_says_so() {
    let api = Api::start(Front::Tiny);
    put(&api, "k", "1");
    let index = index_of(&api, "/v1/kv/k");
    assert_eq!(api.get(&format!("/v1/kv/k?index={index}&{LONG}")).status, 501);
    assert_eq!(api.get(&format!("/v1/kv/k?index={}&{LONG}", index - 1)).status, 200);
}
