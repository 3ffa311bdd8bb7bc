//! `/api/kv` as a client sees it: values as bodies, revisions as ETags, listings, events.
#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod http_support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use bowline::error::{Failure, Reason};
use bowline::http::Options;
use bowline::http::front::Patience;
use http_support::{Answer, Api, Front, Mood, Node, index, problem};
use serde_json::{Value, json};

both_fronts! {
    a_key_is_set_read_and_removed,
    conditions_hold_or_nothing_changes,
    readers_that_have_it_already_are_told_so,
    keys_are_any_bytes,
    what_is_wrong_is_named,
    keys_may_live_for_a_time,
    listings_come_in_three_forms,
    reads_are_fresh_unless_they_say_otherwise,
    a_write_under_a_key_is_done_once,
    a_young_cluster_takes_no_keys,
}

fn put(api: &Api, target: &str, headers: &str, body: &str) -> Answer {
    api.ask_with("PUT", &format!("/api/kv/{target}"), headers, body)
}

fn delete(api: &Api, target: &str, headers: &str) -> Answer {
    api.ask_with("DELETE", &format!("/api/kv/{target}"), headers, "")
}

fn get(api: &Api, target: &str, headers: &str) -> Answer {
    api.ask_with("GET", &format!("/api/kv/{target}"), headers, "")
}

/// Sets a key that must be taken; gives its ETag.
fn set(api: &Api, target: &str, body: &str) -> String {
    let answer = put(api, target, "", body);
    assert!(answer.status == 200 || answer.status == 201, "{answer:?}");
    answer.header("ETag").unwrap().to_owned()
}

fn a_key_is_set_read_and_removed(front: Front) {
    let api = Api::start(front);
    let made = put(&api, "a/b?flags=7", "", "one");
    assert_eq!((made.status, made.body.as_str()), (201, ""));
    let tag = made.header("ETag").unwrap();
    assert_eq!(index(&made), api.node.applied());

    let read = get(&api, "a/b", "");
    assert_eq!((read.status, read.body.as_str()), (200, "one"));
    assert_eq!(read.header("Content-Type"), Some("application/octet-stream"));
    assert_eq!(read.header("X-Content-Type-Options"), Some("nosniff"));
    assert_eq!((read.header("ETag"), read.header("X-Bowline-Flags")), (Some(tag), Some("7")));
    assert_eq!(read.header("Cache-Control"), Some("no-cache"));
    let head = api.ask("HEAD", "/api/kv/a/b", "");
    assert_eq!((head.status, head.header("Content-Length")), (200, Some("3")));
    let json = get(&api, "a/b?format=json", "").json();
    let revision: u64 = tag.trim_matches('"').parse().unwrap();
    assert_eq!(
        json,
        json!({"key":"a/b","value":"b25l","flags":7,"create":revision,"modify":revision})
    );

    let same = put(&api, "a/b?flags=7", "", "one");
    assert_eq!((same.status, same.header("ETag")), (200, Some(tag)), "nothing has changed");
    let other = put(&api, "a/b", "", "");
    assert_eq!(other.status, 200);
    assert_ne!(other.header("ETag"), Some(tag));
    let read = get(&api, "a/b", "");
    assert_eq!((read.body.as_str(), read.header("X-Bowline-Flags")), ("", Some("0")));

    assert_eq!(delete(&api, "a/b", "").status, 204);
    let missing = get(&api, "a/b", "");
    problem(&missing, 404);
    assert_eq!(missing.header("Cache-Control"), Some("no-store"));
    assert_eq!(delete(&api, "a/b", "").status, 204, "what is not there is removed");
    assert_eq!(put(&api, "a/b", "", "again").status, 201);
}

fn conditions_hold_or_nothing_changes(front: Front) {
    let api = Api::start(front);
    let matches = |tag: &str| format!("If-Match: {tag}\r\n");
    problem(&put(&api, "k", &matches("*"), "x"), 412);
    problem(&put(&api, "k", &matches("\"1\""), "x"), 412);
    let first = put(&api, "k", "If-None-Match: *\r\n", "one");
    assert_eq!(first.status, 201);
    let first = first.header("ETag").unwrap().to_owned();
    let json = problem(&put(&api, "k", "If-None-Match: *\r\n", "x"), 412);
    assert_eq!((&json["outcome"], &json["retryable"]), (&"not_applied".into(), &false.into()));

    let second = put(&api, "k", &matches(&first), "two");
    assert_eq!(second.status, 200, "{second:?}");
    let second = second.header("ETag").unwrap().to_owned();
    let late = put(&api, "k", &matches(&first), "three");
    assert!(problem(&late, 412)["detail"].as_str().unwrap().contains(second.trim_matches('"')));
    assert_eq!(late.header("ETag"), Some(second.as_str()), "what is there now");
    for weak in [format!("W/{second}"), "\"abc\"".into(), "\"0\"".into()] {
        problem(&put(&api, "k", &matches(&weak), "x"), 412);
    }
    let list = put(&api, "k", &matches(&format!("{first}, {second}")), "three");
    assert_eq!(list.status, 200, "one of several");
    let third = list.header("ETag").unwrap().to_owned();
    assert_eq!(get(&api, "k", "").body, "three");

    problem(&delete(&api, "k", &matches(&second)), 412);
    assert_eq!(delete(&api, "k", &matches(&third)).status, 204);
    problem(&delete(&api, "k", &matches(&third)), 412);
    problem(&delete(&api, "k", &matches("*")), 412);
    set(&api, "k", "four");
    assert_eq!(delete(&api, "k", &matches("*")).status, 204);

    for headers in
        ["If-Match: 5\r\n", "If-Match: *\r\nIf-None-Match: *\r\n", "If-None-Match: \"5\"\r\n"]
    {
        problem(&put(&api, "k", headers, "x"), 400);
    }
    problem(&delete(&api, "k", "If-None-Match: *\r\n"), 400);
    problem(&get(&api, "k", ""), 404);
}

fn readers_that_have_it_already_are_told_so(front: Front) {
    let api = Api::start(front);
    let tag = set(&api, "k", "one");
    for has in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".into()] {
        let answer = get(&api, "k", &format!("If-None-Match: {has}\r\n"));
        assert_eq!((answer.status, answer.body.as_str()), (304, ""), "{has}");
        assert_eq!(answer.header("ETag"), Some(tag.as_str()));
    }
    set(&api, "k", "two");
    let answer = get(&api, "k", &format!("If-None-Match: {tag}\r\n"));
    assert_eq!((answer.status, answer.body.as_str()), (200, "two"));
    problem(&get(&api, "k", "If-None-Match: x\r\n"), 400);
}

fn keys_are_any_bytes(front: Front) {
    let api = Api::start(front);
    set(&api, "a%2Fb", "slash");
    assert_eq!(get(&api, "a/b", "").body, "slash", "an escaped slash is a slash");
    set(&api, "%ff%00", "bytes");
    set(&api, "//x//", "slashes");
    assert_eq!(get(&api, "%FF%00", "").body, "bytes");
    assert_eq!(get(&api, "//x//", "").body, "slashes");
    problem(&get(&api, "x", ""), 404);

    let long = "k".repeat(1025);
    let json = problem(&put(&api, &long, "", "x"), 400);
    assert!(json["detail"].as_str().unwrap().contains("1024"), "{json}");
    problem(&get(&api, &long, ""), 404);
    assert_eq!(delete(&api, &long, "").status, 204, "limits are for what is made new");
    problem(&delete(&api, &"k".repeat(8_193), ""), 400);
    assert_eq!(delete(&api, &"k".repeat(8_192), "").status, 204);
    assert_eq!(put(&api, &long[1..], "", "x").status, 201);
    for answer in [put(&api, "", "", "x"), get(&api, "", ""), delete(&api, "", "")] {
        let json = problem(&answer, 400);
        assert!(json["detail"].as_str().unwrap().contains("key is missing"), "{json}");
    }
}

fn what_is_wrong_is_named(front: Front) {
    let api = Api::start(front);
    set(&api, "k", "one");
    for (method, target, word) in [
        ("PUT", "/k?flags=x", "flags"),
        ("PUT", "/k?flags=-1", "flags"),
        ("PUT", "/k?flags=18446744073709551616", "flags"),
        ("PUT", "/k?ttl=5", "ttl"),
        ("PUT", "/k?ttl=0s", "ttl"),
        ("PUT", "/k?ttl=", "ttl"),
        ("GET", "/k?min_index=x", "min_index"),
        ("GET", "/k?consistency=strong", "consistency"),
        ("GET", "/k?format=xml", "format"),
        ("GET", "?format=xml", "format"),
        ("GET", "?watch&index=x", "index"),
    ] {
        let json = problem(&api.ask(method, &format!("/api/kv{target}"), ""), 400);
        assert!(json["detail"].as_str().unwrap().contains(word), "{target}: {json}");
    }
    let answer = api.ask_with("GET", "/api/kv/k?watch", "Last-Event-ID: x\r\n", "");
    assert!(problem(&answer, 400)["detail"].as_str().unwrap().contains("Last-Event-ID"));
    let answer = api.ask("POST", "/api/kv/k", "x");
    assert_eq!(answer.header("Allow"), Some("GET, HEAD, PUT, DELETE"));
    assert_eq!(get(&api, "k", "").body, "one");
    let huge = "x".repeat(512 * 1024 + 1);
    let json = problem(&put(&api, "k", "", &huge), 413);
    assert!(json["detail"].as_str().unwrap().contains("524288"), "{json}");
    assert_eq!(put(&api, "k", "", &huge[1..]).status, 200);
}

fn keys_may_live_for_a_time(front: Front) {
    let api = Api::start(front);
    set(&api, "k?ttl=30s", "one");
    let left = |answer: Answer| -> Option<u64> {
        answer.header("X-Bowline-TTL-Ms").map(|ms| ms.parse().unwrap())
    };
    let ms = left(get(&api, "k", "")).unwrap();
    // Never early: a little is put on top for clocks that lean.
    assert!((29_000..31_000).contains(&ms), "{ms}");
    let json = get(&api, "k?format=json", "").json();
    assert_eq!(json["ttl_ms"].as_u64(), left(get(&api, "k", "")));
    set(&api, "k", "one");
    assert_eq!(left(get(&api, "k", "")), None, "a set without it makes it stay");
}

fn listings_come_in_three_forms(front: Front) {
    let api = Api::start(front);
    let list = |query: &str, headers: &str| {
        let answer = api.ask_with("GET", &format!("/api/kv{query}"), headers, "");
        assert_eq!(answer.status, 200, "{answer:?}");
        let kind = answer.header("Content-Type").unwrap_or_default().to_owned();
        (kind, answer.body)
    };
    let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    assert_eq!(json(&list("?prefix=a", "").1), json!([]));
    assert_eq!(list("?prefix=a&format=jsonl", "").1, "");
    for (key, value) in [("a/1", "one"), ("a/2?flags=3", ""), ("a/%ff", "x"), ("b%20c%0a", "y")] {
        set(&api, key, value);
    }
    let (kind, all) = list("", "");
    assert_eq!((kind.as_str(), json(&all).as_array().unwrap().len()), ("application/json", 4));
    let (_, some) = list("?prefix=a/", "");
    let some = json(&some);
    assert_eq!((&some[0]["key"], &some[0]["value"]), (&"a/1".into(), &"b25l".into()));
    assert_eq!((&some[1]["flags"], &some[2]["key_base64"]), (&3.into(), &"YS//".into()));
    assert!(some[2].get("key").is_none(), "nothing that could be taken for it");
    assert_eq!(json(&list("?prefix=a/&keys", "").1), json!(["a/1", "a/2", {"key_base64": "YS//"}]));
    let meta = json(&list("?prefix=a/1&meta", "").1);
    assert_eq!((&meta[0]["size"], meta[0].get("value")), (&3.into(), None));
    assert_eq!(json(&list("?prefix=a/%FF&keys", "").1), json!([{"key_base64": "YS//"}]));

    let (kind, lines) = list("?format=jsonl", "");
    assert_eq!((kind.as_str(), lines.lines().count()), ("application/jsonl", 4));
    assert!(lines.ends_with('\n'));
    let values: Vec<Value> = lines.lines().map(json).collect();
    assert_eq!(Value::Array(values), json(&all));
    for (query, headers) in [("?format=text", ""), ("", "Accept: text/plain\r\n")] {
        let (kind, text) = list(query, headers);
        assert_eq!(kind, "text/plain; charset=utf-8");
        assert_eq!(text, "a/1\na/2\na/%FF\nb%20c%0A\n", "each line is a path");
    }
    assert_eq!(list("", "Accept: */*\r\n").0, "application/json");
    let answer = api.get("/api/kv?keys");
    let revision: u64 = answer.header("X-Bowline-Revision").unwrap().parse().unwrap();
    let newest = get(&api, "b%20c%0A", "").header("ETag").unwrap().to_owned();
    assert_eq!(newest, format!("\"{revision}\""));
    assert_eq!(index(&answer), api.node.applied());
}

fn reads_are_fresh_unless_they_say_otherwise(front: Front) {
    let api = Api::start(front);
    set(&api, "k", "one");
    let ahead = api.node.applied() + 1;
    problem(&get(&api, &format!("k?consistency=stale&min_index={ahead}"), ""), 503);
    assert_eq!(get(&api, &format!("k?min_index={}", ahead - 1), "").status, 200);
    api.node.set_mood(Mood::Fails(Failure::not_applied(Reason::NoLeader)));
    for target in ["/api/kv/k", "/api/kv?prefix=k", "/api/kv/k?consistency=linearizable"] {
        let json = problem(&api.get(target), 503);
        assert_eq!(json["retryable"], true);
        assert!(json["detail"].as_str().unwrap().contains("stale"), "{json}");
    }
    assert_eq!(get(&api, "k?consistency=stale", "").body, "one");
    let answer = api.get("/api/kv?consistency=stale&format=text");
    assert_eq!((answer.status, answer.body.as_str()), (200, "k\n"));
    problem(&put(&api, "k", "", "two"), 503);
    api.node.set_mood(Mood::Fails(Failure::unknown(Reason::Deadline)));
    assert_eq!(problem(&put(&api, "k", "", "two"), 504)["outcome"], "unknown");
    let json = problem(&get(&api, "k", ""), 503);
    assert!(!json["detail"].as_str().unwrap().contains("may or may not"), "{json}");
}

fn a_write_under_a_key_is_done_once(front: Front) {
    let api = Api::start(front);
    let under = |key: &str, more: &str| format!("Idempotency-Key: {key}\r\n{more}");
    let first = put(&api, "k?ttl=1h", &under("a", ""), "one");
    let again = put(&api, "k?ttl=1h", &under("a", ""), "one");
    assert_eq!((first.status, again.status), (201, 201));
    assert_eq!(again.header("Idempotency-Replayed"), Some("true"));
    assert_eq!(again.header("ETag"), first.header("ETag"));
    problem(&put(&api, "k?ttl=2h", &under("a", ""), "one"), 422);
    problem(&put(&api, "k", &under("a", ""), "one"), 422);
    problem(&put(&api, "k?ttl=1h", &under("a", "If-Match: *\r\n"), "one"), 422);

    let tag = format!("If-Match: {}\r\n", first.header("ETag").unwrap());
    let moved = put(&api, "k", &under("b", &tag), "two");
    assert_eq!(moved.status, 200);
    let again = put(&api, "k", &under("b", &tag), "two");
    assert_eq!((again.status, again.header("ETag")), (200, moved.header("ETag")), "not 412");
    problem(&put(&api, "k", &under("c", &tag), "three"), 412);
    problem(&put(&api, "k", &under("c", &tag), "three"), 412);
    assert_eq!(delete(&api, "k", &under("d", "")).status, 204);
    set(&api, "k", "four");
    let again = delete(&api, "k", &under("d", ""));
    assert_eq!((again.status, again.header("Idempotency-Replayed")), (204, Some("true")));
    assert_eq!(get(&api, "k", "").body, "four", "it was removed once");
}

fn a_young_cluster_takes_no_keys(front: Front) {
    let api = Api::start_unborn(front);
    let json = problem(&put(&api, "k", "", "x"), 503);
    assert!(json["detail"].as_str().unwrap().contains("version"), "{json}");
    problem(&delete(&api, "k", ""), 503);
    problem(&get(&api, "k", ""), 404);
}

/// An answer that goes on.
struct Incoming {
    stream: BufReader<TcpStream>,
    head: String,
}

impl Incoming {
    fn get(api: &Api, target: &str, headers: &str) -> Self {
        let mut stream = TcpStream::connect(api.front.addr()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let request = format!("GET {target} HTTP/1.1\r\nHost: test\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut incoming = Self { stream: BufReader::new(stream), head: String::new() };
        while !incoming.head.ends_with("\r\n\r\n") {
            assert_ne!(incoming.stream.read_line(&mut incoming.head).unwrap(), 0);
        }
        assert!(incoming.head.starts_with("HTTP/1.1 200 "), "{}", incoming.head);
        assert!(incoming.head.contains("Transfer-Encoding: chunked\r\n"), "{}", incoming.head);
        incoming
    }

    /// The next chunk; the last one is empty.
    fn chunk(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        let length = usize::from_str_radix(line.trim(), 16).unwrap_or_else(|_| panic!("{line:?}"));
        let mut bytes = vec![0; length + 2];
        self.stream.read_exact(&mut bytes).unwrap();
        bytes.truncate(length);
        String::from_utf8(bytes).unwrap()
    }
}

/// The events of a watch, comments left out.
struct Events {
    incoming: Incoming,
    text: String,
}

/// An event: kind, data, id; a lone id has no kind.
type Event = (String, Value, Option<u64>);

impl Events {
    fn watch(api: &Api, target: &str, headers: &str) -> Self {
        let incoming = Incoming::get(api, &format!("/api/kv{target}"), headers);
        assert!(incoming.head.contains("Content-Type: text/event-stream\r\n"), "{}", incoming.head);
        Self { incoming, text: String::new() }
    }

    fn next(&mut self) -> Event {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                if !event.starts_with(':') {
                    return parse(&event);
                }
            }
            let chunk = self.incoming.chunk();
            assert!(!chunk.is_empty(), "it ends after {:?}", self.text);
            self.text.push_str(&chunk);
        }
    }

    /// The next event, which is that of a key.
    fn key(&mut self) -> (String, String, Option<u64>) {
        let (kind, data, id) = self.next();
        (kind, data["key"].as_str().unwrap_or_default().to_owned(), id)
    }
}

fn parse(event: &str) -> Event {
    let (mut kind, mut data, mut id) = (String::new(), Value::Null, None);
    for line in event.lines() {
        match line.split_once(": ").unwrap() {
            ("event", text) => kind = text.to_owned(),
            ("data", text) => data = serde_json::from_str(text).unwrap(),
            ("id", text) => id = Some(text.parse().unwrap()),
            other => panic!("{other:?}"),
        }
    }
    (kind, data, id)
}

fn event(kind: &str, key: &str, id: impl Into<Option<u64>>) -> (String, String, Option<u64>) {
    (kind.to_owned(), key.to_owned(), id.into())
}

fn revision(tag: &str) -> u64 {
    tag.trim_matches('"').parse().unwrap()
}

/// The revision that is reached.
fn now(api: &Api) -> u64 {
    api.get("/api/kv?keys&prefix=none").header("X-Bowline-Revision").unwrap().parse().unwrap()
}

#[test]
fn a_long_listing_is_of_one_moment_however_slowly_it_is_read() {
    let api = Api::start(Front::Mio);
    let value = "v".repeat(100_000);
    for n in 0..150 {
        set(&api, &format!("long/{n:03}"), &value);
    }
    let mut listing = Incoming::get(&api, "/api/kv?prefix=long/&format=jsonl", "");
    let mut text = listing.chunk();
    // More than can be on its way: the rest has not been looked at.
    set(&api, "long/149", "too late");
    assert_eq!(delete(&api, "long/148", "").status, 204);
    set(&api, "long/999", "too late");
    loop {
        match listing.chunk() {
            chunk if chunk.is_empty() => break,
            chunk => text.push_str(&chunk),
        }
    }
    let keys: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(keys.len(), 150);
    for (n, entry) in keys.iter().enumerate() {
        assert_eq!(entry["key"], format!("long/{n:03}"));
        assert_eq!(entry["value"].as_str().unwrap().len(), 100_000_usize.div_ceil(3) * 4);
    }
}

#[test]
fn a_long_listing_is_one_array() {
    let api = Api::start(Front::Mio);
    for n in 0..1500 {
        set(&api, &format!("many/{n:04}"), "x");
    }
    let mut listing = Incoming::get(&api, "/api/kv?prefix=many/&keys", "");
    let mut text = String::new();
    loop {
        match listing.chunk() {
            chunk if chunk.is_empty() => break,
            chunk => text.push_str(&chunk),
        }
    }
    let keys: Vec<String> = serde_json::from_str(&text).unwrap();
    assert!(keys.iter().eq((0..1500).map(|n| format!("many/{n:04}")).collect::<Vec<_>>().iter()));
}

#[test]
fn a_watch_tells_what_there_is_and_then_what_changes() {
    let api = Api::start(Front::Mio);
    set(&api, "w/1", "one");
    let start = revision(&set(&api, "w/2", "two"));
    let mut events = Events::watch(&api, "?watch&prefix=w/", "");
    assert_eq!(events.key(), event("put", "w/1", None));
    assert_eq!(events.key(), event("put", "w/2", start), "so far all has been told");
    let changed = revision(&set(&api, "w/1", "changed"));
    let (kind, data, id) = events.next();
    assert_eq!((kind.as_str(), id), ("put", Some(changed)));
    assert_eq!((&data["value"], &data["modify"]), (&"Y2hhbmdlZA==".into(), &changed.into()));

    let wakeups = api.node.metrics.watch_wakeups.get();
    set(&api, "w/1", "changed");
    set(&api, "v", "another");
    set(&api, "w", "not under it");
    assert_eq!(api.node.metrics.watch_wakeups.get(), wakeups, "nobody is woken for nothing");
    assert_eq!(delete(&api, "w/2", "").status, 204);
    let removed = now(&api);
    let (kind, data, id) = events.next();
    assert_eq!((kind.as_str(), id), ("delete", Some(removed)));
    assert_eq!(data, json!({"key": "w/2", "modify": removed}));
    drop(events);
    while api.node.metrics.watches.get() > 0 {
        std::thread::yield_now();
    }
}

#[test]
fn one_key_is_watched_alone() {
    let api = Api::start(Front::Mio);
    let mut events = Events::watch(&api, "/k?watch", "");
    let (kind, _, id) = events.next();
    assert_eq!((kind.as_str(), id.is_some()), ("", true), "it is not there yet");
    set(&api, "k/below", "x");
    let made = revision(&set(&api, "k", "one"));
    assert_eq!(events.key(), event("put", "k", made));
    assert_eq!(delete(&api, "k", "").status, 204);
    assert_eq!(events.key(), event("delete", "k", now(&api)));
    let made = revision(&set(&api, "k", "two"));
    assert_eq!(events.key(), event("put", "k", made));
}

#[test]
fn who_comes_back_misses_nothing_and_hears_nothing_twice() {
    let api = Api::start(Front::Mio);
    set(&api, "w/stays", "one");
    set(&api, "w/goes", "one");
    let last = revision(&set(&api, "w/changes", "one"));
    set(&api, "w/changes", "two");
    set(&api, "w/changes", "three");
    set(&api, "w/comes-and-goes", "x");
    assert_eq!(delete(&api, "w/goes", "").status, 204);
    assert_eq!(delete(&api, "w/comes-and-goes", "").status, 204);
    set(&api, "w/new", "x");
    for (target, headers) in [
        ("?watch&prefix=w/".to_owned(), format!("Last-Event-ID: {last}\r\n")),
        (format!("?watch&prefix=w/&index={last}"), String::new()),
    ] {
        let reached = now(&api);
        let mut events = Events::watch(&api, &target, &headers);
        assert_eq!(events.key(), event("put", "w/changes", None));
        assert_eq!(events.key(), event("put", "w/new", None));
        assert_eq!(events.key(), event("delete", "w/comes-and-goes", None));
        assert_eq!(events.key(), event("delete", "w/goes", reached));
        let next = revision(&set(&api, "w/new", &target));
        assert_eq!(events.key(), event("put", "w/new", next), "and from now on as always");
        set(&api, "w/new", "x");
    }
    let mut events = Events::watch(&api, &format!("/w/goes?watch&index={last}"), "");
    assert_eq!(events.key().0, "delete");
    let mut events = Events::watch(&api, "/w/stays?watch&index=0", "");
    assert_eq!(events.next().0, "put");
}

#[test]
fn who_comes_from_another_history_is_told_to_forget_it() {
    let api = Api::start(Front::Mio);
    let made = revision(&set(&api, "k", "one"));
    let headers = format!("Last-Event-ID: {}\r\n", made + 100);
    let mut events = Events::watch(&api, "/k?watch", &headers);
    assert_eq!(events.next(), ("reset".to_owned(), json!({}), None));
    assert_eq!(events.key(), event("put", "k", made));
    // A node that lags need not know a revision that others have reached.
    let mut events = Events::watch(&api, "/k?watch&consistency=stale", &headers);
    let mut made = made;
    for n in 0..100 {
        made = revision(&set(&api, "k", &n.to_string()));
    }
    let last = revision(&set(&api, "k", "beyond"));
    assert!(last > made);
    let (kind, _, id) = events.next();
    assert_eq!((kind.as_str(), id), ("put", Some(last)));
}

#[test]
fn many_keys_are_told_in_slices_and_then_their_changes() {
    let api = Api::start(Front::Mio);
    for n in 0..1200 {
        set(&api, &format!("m/{n:04}"), "x");
    }
    let last = now(&api);
    let mut events = Events::watch(&api, "?watch&prefix=m/&meta", "");
    for n in 0..1199 {
        assert_eq!(events.key(), event("put", &format!("m/{n:04}"), None));
    }
    assert_eq!(events.key(), event("put", "m/1199", last));
    for n in 0..1200 {
        assert_eq!(delete(&api, &format!("m/{n:04}"), "").status, 204);
    }
    let mut gone = Vec::new();
    loop {
        let (kind, key, id) = events.key();
        assert_eq!(kind, "delete");
        gone.push(key);
        if id == Some(now(&api)) {
            break;
        }
    }
    gone.sort();
    gone.dedup();
    assert_eq!(gone.len(), 1200, "each of them, once or more");
}

#[test]
fn there_is_a_bound_on_watches_and_on_long_listings() {
    let options = Options { streams_max: 0, ..Options::default() };
    let node = Node::start_with_watches(options, 1);
    let api = Api::over(node, Front::Mio, Patience::default());
    for n in 0..600 {
        set(&api, &format!("many/{n}"), "x");
    }
    let json = problem(&api.get("/api/kv"), 429);
    assert_eq!(json["retryable"], true);
    assert_eq!(api.get("/api/kv?prefix=many/1").status, 200, "a short one is like any answer");
    let mut events = Events::watch(&api, "/many/1?watch", "");
    assert_eq!(events.key().0, "put");
    let json = problem(&api.get("/api/kv/many/2?watch"), 429);
    assert!(json["detail"].as_str().unwrap().contains("--watches-max"), "{json}");
    drop(events);
    while api.node.metrics.watches.get() > 0 {
        std::thread::yield_now();
    }
    Events::watch(&api, "/many/2?watch", "");
}

#[test]
fn who_does_not_read_a_watch_costs_a_bounded_amount_of_memory() {
    let api = Api::start(Front::Mio);
    let value = "v".repeat(500_000);
    let mut events = Events::watch(&api, "?watch&prefix=big/", "");
    events.next();
    // 100 MB of changes of four keys: far more than any buffer on the way holds.
    for n in 0..200 {
        set(&api, &format!("big/{}", n % 4), &format!("{n}{value}"));
    }
    let mut told = 0;
    let end = now(&api);
    while events.next().2 != Some(end) {
        told += 1;
    }
    assert!(told < 100, "what nobody read was told once: {told}");
}

#[test]
fn the_other_front_says_that_it_cannot_watch() {
    let api = Api::start(Front::Tiny);
    set(&api, "k", "one");
    let json = problem(&api.get("/api/kv/k?watch"), 501);
    assert!(json["detail"].as_str().unwrap().contains("tiny_http"), "{json}");
}
