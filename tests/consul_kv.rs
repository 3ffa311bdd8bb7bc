//! `/v1/kv` through both fronts: what Consul's clients send, and what they are told, byte for byte.
#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod http_support;

use bowline::error::{Failure, Reason};
use bowline::http::Options;
use bowline::http::front::Patience;
use bowline::state::{Command, kv};
use bytes::Bytes;
use http_support::{Answer, Api, Front, Mood, index};

both_fronts! {
    a_key_is_written_and_read_byte_for_byte,
    a_key_that_is_missing_has_an_index_and_no_body,
    values_are_raw_when_asked,
    keys_are_of_any_bytes,
    everything_under_a_prefix_is_listed,
    names_alone_are_listed_up_to_a_separator,
    a_listing_of_any_size_is_whole,
    flags_are_set_or_zero,
    a_write_may_depend_on_an_index,
    a_write_that_changes_nothing_keeps_its_index,
    a_lock_is_taken_and_given_back,
    keys_are_deleted,
    what_is_wrong_is_named,
    what_is_too_long_is_refused_when_written_only,
    freshness_is_told,
    a_failure_says_whether_it_was_done,
    a_node_that_has_not_caught_up_serves_nothing,
    heads_have_no_bodies,
    tokens_are_taken_and_ignored,
}

fn consul_index(answer: &Answer) -> u64 {
    answer.header("X-Consul-Index").unwrap().parse().unwrap()
}

fn put(api: &Api, key: &str, value: &str) {
    assert_eq!(api.ask("PUT", &format!("/v1/kv/{key}"), value).body, "true");
}

fn modify(api: &Api, key: &str) -> u64 {
    api.get(&format!("/v1/kv/{key}")).json()[0]["ModifyIndex"].as_u64().unwrap()
}

fn open_session(api: &Api) -> String {
    let answer = api.ask("PUT", "/v1/session/create", "");
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["ID"].as_str().unwrap().to_owned()
}

fn a_key_is_written_and_read_byte_for_byte(front: Front) {
    let api = Api::start(front);
    let written = api.ask("PUT", "/v1/kv/a/b?flags=7", "hello");
    assert_eq!((written.status, written.body.as_str()), (200, "true"));
    assert_eq!(written.header("Content-Type"), Some("application/json"));
    assert_eq!(written.header("X-Consul-Index"), None);
    assert_eq!(index(&written), api.node.applied());

    let read = api.get("/v1/kv/a/b");
    let revision = api.node.standing().summary.revision;
    assert_eq!(
        read.body,
        format!(
            "[{{\"LockIndex\":0,\"Key\":\"a/b\",\"Flags\":7,\"Value\":\"aGVsbG8=\",\
             \"CreateIndex\":{revision},\"ModifyIndex\":{revision}}}]"
        )
    );
    assert_eq!(read.status, 200);
    assert_eq!(read.header("Content-Type"), Some("application/json"));
    assert_eq!(consul_index(&read), revision);
    assert_eq!(read.header("X-Consul-KnownLeader"), Some("true"));
    assert_eq!(read.header("X-Consul-LastContact"), Some("0"));
    assert_eq!(read.header("X-Consul-Effective-Consistency"), Some("leader"));
    assert_eq!(read.header("X-Consul-Default-ACL-Policy"), Some("allow"));
    assert_eq!(index(&read), api.node.applied());

    let pretty = api.get("/v1/kv/a/b?pretty");
    assert_eq!(pretty.json(), read.json());
    assert!(
        pretty.body.starts_with("[\n    {\n        \"LockIndex\": 0,\n        \"Key\": \"a/b\"")
    );
    assert!(pretty.body.ends_with("    }\n]\n"));

    // An empty value and none look the same.
    put(&api, "a/b", "");
    let emptied = api.get("/v1/kv/a/b").json();
    assert_eq!((&emptied[0]["Value"], &emptied[0]["Flags"]), (&serde_json::Value::Null, &0.into()));
    assert_eq!(emptied[0]["CreateIndex"], revision);
    assert_eq!(emptied[0]["ModifyIndex"], revision + 1);
}

fn a_key_that_is_missing_has_an_index_and_no_body(front: Front) {
    let api = Api::start(front);
    let missing = api.get("/v1/kv/nothing");
    assert_eq!((missing.status, missing.body.as_str()), (404, ""));
    assert_eq!(consul_index(&missing), 1);
    assert_eq!(missing.header("X-Consul-KnownLeader"), Some("true"));
    put(&api, "other", "1");
    // The index of the store, since there is no key to have one.
    assert_eq!(consul_index(&api.get("/v1/kv/nothing?raw")), modify(&api, "other"));
    for query in ["?recurse", "?keys"] {
        let none = api.get(&format!("/v1/kv/nothing{query}"));
        assert_eq!((none.status, none.body.as_str()), (404, ""), "{query}");
        assert!(consul_index(&none) >= 1);
    }
}

fn values_are_raw_when_asked(front: Front) {
    let api = Api::start(front);
    let value: Vec<u8> = (0..=255).collect();
    let written = api.connect().ask_bytes("PUT", "/v1/kv/raw", "", &value);
    assert_eq!(written.body, "true");
    let read = api.get("/v1/kv/raw?raw");
    assert_eq!(read.bytes, value);
    assert_eq!(read.header("Content-Type"), Some("text/plain"));
    assert_eq!(read.header("X-Content-Type-Options"), Some("nosniff"));
    assert_eq!(read.header("Content-Security-Policy"), Some("sandbox"));
    assert_eq!(consul_index(&read), modify(&api, "raw"));
    // With recurse it is not heard.
    assert!(api.get("/v1/kv/raw?raw&recurse").json().is_array());
}

fn keys_are_of_any_bytes(front: Front) {
    let api = Api::start(front);
    put(&api, "a/b/c", "1");
    assert_eq!(api.get("/v1/kv/a%2Fb%2fc").json()[0]["Key"], "a/b/c");
    for (written, shown) in [
        ("sp%20ace+plus", "sp ace+plus"),
        ("double//slash/", "double//slash/"),
        ("%C3%A9", "é"),
        ("%00%3C%26%3E", "\0<&>"),
        ("up/../down", "up/../down"),
    ] {
        put(&api, written, "x");
        assert_eq!(api.get(&format!("/v1/kv/{written}")).json()[0]["Key"], shown);
    }
    assert!(api.get("/v1/kv/%00%3C%26%3E").body.contains("\\u0000\\u003c\\u0026\\u003e"));
    // What is no UTF-8 is shown with replacements, and named by its bytes all the same.
    put(&api, "no%FF%FEtext", "x");
    let shown = "no\u{fffd}\u{fffd}text";
    assert_eq!(api.get("/v1/kv/no%ff%fetext").json()[0]["Key"], shown);
    assert_eq!(api.get("/v1/kv/no%EF%BF%BDtext").status, 404);
    assert_eq!(api.get("/v1/kv/no?keys").json(), serde_json::json!([shown]));
    for wrong in ["%", "a%2", "a%zz"] {
        let refused = api.get(&format!("/v1/kv/{wrong}"));
        assert_eq!((refused.status, refused.body.contains("key")), (400, true));
    }
}

fn everything_under_a_prefix_is_listed(front: Front) {
    let api = Api::start(front);
    for key in ["b/2", "b/1", "b", "a", "bb"] {
        put(&api, key, key);
    }
    let keys = |target: &str| -> Vec<String> {
        let listed = api.get(target).json();
        let keys = listed.as_array().unwrap().iter();
        keys.map(|entry| entry["Key"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(keys("/v1/kv/b?recurse"), ["b", "b/1", "b/2", "bb"]);
    assert_eq!(keys("/v1/kv/b/?recurse=true"), ["b/1", "b/2"]);
    assert_eq!(keys("/v1/kv/?recurse=1"), ["a", "b", "b/1", "b/2", "bb"]);
    let single = api.get("/v1/kv/b/1").body;
    assert_eq!(api.get("/v1/kv/b/1?recurse").body, single);

    // The index of a prefix is the newest thing under it, the whole store's the newest of all.
    assert_eq!(consul_index(&api.get("/v1/kv/b/?recurse")), modify(&api, "b/1"));
    assert_eq!(consul_index(&api.get("/v1/kv/a?recurse")), modify(&api, "a"));
    assert_eq!(consul_index(&api.get("/v1/kv/?recurse")), modify(&api, "bb"));
    // And what was removed counts.
    api.ask("DELETE", "/v1/kv/b/2", "");
    let after = api.node.standing().summary.revision;
    assert_eq!(consul_index(&api.get("/v1/kv/b/?recurse")), after);
    assert_eq!(consul_index(&api.get("/v1/kv/a?recurse")), modify(&api, "a"));
}

fn names_alone_are_listed_up_to_a_separator(front: Front) {
    let api = Api::start(front);
    let empty = api.get("/v1/kv/?keys");
    assert_eq!((empty.status, empty.body.as_str()), (200, "[]"));
    assert_eq!(api.get("/v1/kv/?recurse").status, 404);
    for key in ["web/a", "web/b/1", "web/b/2", "web/c+d", "x"] {
        put(&api, key, "v");
    }
    for (query, wanted) in [
        ("web/?keys", r#"["web/a","web/b/1","web/b/2","web/c+d"]"#),
        ("web/?keys&separator=/", r#"["web/a","web/b/","web/c+d"]"#),
        ("web/?keys=True&seperator=%2F", r#"["web/a","web/b/","web/c+d"]"#),
        ("web?keys&separator=/", r#"["web/"]"#),
        ("?keys&separator=/", r#"["web/","x"]"#),
        ("web/?keys&separator=%2B", r#"["web/a","web/b/1","web/b/2","web/c+"]"#),
        ("web/?keys&recurse&separator=", r#"["web/a","web/b/1","web/b/2","web/c+d"]"#),
        ("web/b/?keys&pretty", "[\n    \"web/b/1\",\n    \"web/b/2\"\n]\n"),
    ] {
        assert_eq!(api.get(&format!("/v1/kv/{query}")).body, wanted, "{query}");
    }
    let listed = api.get("/v1/kv/web/?keys");
    assert_eq!(consul_index(&listed), modify(&api, "web/c+d"));
}

fn a_listing_of_any_size_is_whole(front: Front) {
    const COUNT: usize = 3_000;
    let api = Api::start(front);
    let mut wanted = Vec::new();
    for number in 0..COUNT {
        let key = format!("many/{number:06}");
        let op = kv::Op::Set {
            key: key.clone().into(),
            value: Bytes::from(vec![b'v'; 64]),
            flags: 0,
            ttl_ms: None,
            when: kv::When::Always,
        };
        api.node.command(&Command::Kv { ops: vec![op] });
        wanted.push(key);
    }
    // Marks of removed keys count as well, however many there are.
    put(&api, "many/gone", "1");
    api.ask("DELETE", "/v1/kv/many/gone", "");
    let newest = api.node.standing().summary.revision;
    put(&api, "other", "1");

    let names = api.get("/v1/kv/many/?keys");
    let streamed = names.header("Transfer-Encoding") == Some("chunked");
    assert_eq!(streamed, front == Front::Mio);
    assert_eq!(names.json(), serde_json::json!(wanted));
    assert_eq!(consul_index(&names), newest);
    let entries = api.get("/v1/kv/many/?recurse");
    let json = entries.json();
    assert_eq!(json.as_array().unwrap().len(), COUNT);
    assert!(json.as_array().unwrap().iter().zip(&wanted).all(|(it, key)| it["Key"] == **key));
    assert_eq!(consul_index(&entries), newest);
    assert_eq!(entries.header("Content-Type"), Some("application/json"));
    let pretty = api.get("/v1/kv/many/?recurse&pretty");
    assert_eq!(pretty.json(), json);
    assert!(pretty.body.ends_with("\n    }\n]\n"));
    let cut = api.get("/v1/kv/?keys&separator=/");
    assert_eq!(cut.body, "[\"many/\",\"other\"]");
    assert_eq!(consul_index(&cut), modify(&api, "other"));
}

fn flags_are_set_or_zero(front: Front) {
    let api = Api::start(front);
    let most = u64::MAX;
    assert_eq!(api.ask("PUT", &format!("/v1/kv/f?flags={most}"), "x").body, "true");
    assert_eq!(api.get("/v1/kv/f").json()[0]["Flags"], most);
    put(&api, "f", "x");
    assert_eq!(api.get("/v1/kv/f").json()[0]["Flags"], 0);
}

fn a_write_may_depend_on_an_index(front: Front) {
    let api = Api::start(front);
    let cas = |index: u64, value: &str| {
        let answer = api.ask("PUT", &format!("/v1/kv/c?cas={index}"), value);
        assert_eq!(answer.status, 200);
        answer.body
    };
    assert_eq!(cas(5, "a"), "false");
    assert_eq!(cas(0, "a"), "true");
    assert_eq!(cas(0, "b"), "false");
    let first = modify(&api, "c");
    assert_eq!(cas(first + 1, "b"), "false");
    assert_eq!(cas(first, "b"), "true");
    assert_eq!(cas(first, "c"), "false");
    assert_eq!(api.get("/v1/kv/c?raw").body, "b");

    let delete = |index: u64| api.ask("DELETE", &format!("/v1/kv/c?cas={index}"), "").body;
    assert_eq!((delete(0), delete(first)), ("false".into(), "false".into()));
    assert_eq!(delete(modify(&api, "c")), "true");
    assert_eq!(api.get("/v1/kv/c").status, 404);
    // What is not there was deleted already.
    assert_eq!((delete(7), delete(0)), ("true".into(), "true".into()));
}

fn a_write_that_changes_nothing_keeps_its_index(front: Front) {
    let api = Api::start(front);
    put(&api, "same", "1");
    let (first, revision) = (modify(&api, "same"), api.node.standing().summary.revision);
    put(&api, "same", "1");
    assert_eq!(modify(&api, "same"), first);
    assert_eq!(api.node.standing().summary.revision, revision);
    put(&api, "same", "2");
    assert_eq!(modify(&api, "same"), revision + 1);
}

fn a_lock_is_taken_and_given_back(front: Front) {
    let api = Api::start(front);
    let (one, two) = (open_session(&api), open_session(&api));
    let ask = |what: &str, session: &str, value: &str| {
        api.ask("PUT", &format!("/v1/kv/lock?{what}={session}"), value).body
    };
    assert_eq!(ask("acquire", &one, "mine"), "true");
    let held = api.get("/v1/kv/lock").json();
    assert_eq!((&held[0]["Session"], &held[0]["LockIndex"]), (&one.as_str().into(), &1.into()));
    assert_eq!(ask("acquire", &two, "theirs"), "false");
    assert_eq!(ask("acquire", &one.to_uppercase(), "again"), "true");
    assert_eq!(api.get("/v1/kv/lock").json()[0]["LockIndex"], 1);
    assert_eq!(api.get("/v1/kv/lock?raw").body, "again");
    // Locks are advisory: who does not ask writes, and the holder stays.
    put(&api, "lock", "anybody");
    assert_eq!(api.get("/v1/kv/lock").json()[0]["Session"], one.as_str());
    assert_eq!(ask("release", &two, "x"), "false");
    assert_eq!(ask("release", &one, "left"), "true");
    let free = api.get("/v1/kv/lock").json();
    assert_eq!((free[0].get("Session"), &free[0]["LockIndex"]), (None, &1.into()));
    assert_eq!(ask("acquire", &two, "next"), "true");
    assert_eq!(api.get("/v1/kv/lock").json()[0]["LockIndex"], 2);

    let unknown = "00000000-1111-4222-8333-444444444444";
    for wrong in [unknown, "no-uuid"] {
        let refused = api.ask("PUT", &format!("/v1/kv/l?acquire={wrong}"), "x");
        assert_eq!(refused.status, 500);
        assert!(refused.body.contains("invalid session") && refused.body.contains(wrong));
        assert!(refused.body.contains("acquire"));
        assert_eq!(ask("release", wrong, "x"), "false");
    }
    for what in ["acquire", "release"] {
        let refused = api.ask("PUT", &format!("/v1/kv/l?{what}="), "x");
        assert_eq!((refused.status, refused.body.contains(what)), (500, true));
    }
}

fn keys_are_deleted(front: Front) {
    let api = Api::start(front);
    for key in ["d/1", "d/2", "d", "dd", "e"] {
        put(&api, key, "v");
    }
    let delete = |target: &str| {
        let answer = api.ask("DELETE", &format!("/v1/kv/{target}"), "");
        (answer.status, answer.body)
    };
    let done = (200, "true".to_owned());
    assert_eq!(delete("d/1"), done);
    assert_eq!(delete("d/1"), done);
    assert_eq!(api.get("/v1/kv/?keys").body, r#"["d","d/2","dd","e"]"#);
    assert_eq!(delete("d?recurse"), done);
    assert_eq!(api.get("/v1/kv/?keys").body, r#"["e"]"#);
    assert_eq!(delete("nothing/?recurse"), done);
    assert_eq!(delete("?recurse=true"), done);
    assert_eq!(api.get("/v1/kv/?keys").body, "[]");
    assert_eq!(delete("").0, 400);
}

fn what_is_wrong_is_named(front: Front) {
    let api = Api::start(front);
    for (method, target, status, text) in [
        ("GET", "", 400, "Missing key name"),
        ("PUT", "", 400, "Missing key name"),
        ("DELETE", "", 400, "Missing key name"),
        ("GET", "k?index=x", 400, "Invalid index"),
        ("GET", "k?index=1&wait=x", 400, "Invalid wait time"),
        ("GET", "k?stale&consistent", 400, "conflicting"),
        ("GET", "k?max_stale=x", 400, "max_stale"),
        ("GET", "k?dc=elsewhere", 500, "No path to datacenter"),
        ("PUT", "k?dc=elsewhere", 500, "No path to datacenter"),
        ("DELETE", "k?dc=elsewhere", 500, "No path to datacenter"),
        ("PUT", "k?flags=x", 500, "flags"),
        ("PUT", "k?flags=-1", 500, "flags"),
        ("PUT", "k?flags=18446744073709551616", 500, "flags"),
        ("PUT", "k?cas=", 500, "cas"),
        ("DELETE", "k?cas=x", 500, "cas"),
        ("PUT", "k?cas=1&acquire=x", 400, "Conflicting flags: cas, acquire"),
        ("PUT", "k?release=y&acquire=x", 400, "Conflicting flags: acquire, release"),
        ("DELETE", "k?cas=1&recurse", 400, "Conflicting flags: recurse, cas"),
    ] {
        let answer = api.ask(method, &format!("/v1/kv/{target}"), "");
        assert_eq!(answer.status, status, "{method} {target}: {answer:?}");
        assert!(answer.body.contains(text), "{method} {target}: {answer:?}");
        assert_eq!(answer.header("Content-Type"), Some("text/plain; charset=utf-8"));
    }
    assert_eq!(api.get("/v1/kv/?keys").body, "[]", "nothing was done");
    let wrong = api.ask("POST", "/v1/kv/k", "");
    assert_eq!((wrong.status, wrong.header("Allow")), (405, Some("GET, HEAD, PUT, DELETE")));
    assert_eq!(api.get("/v1/kv/k?dc=dc1").status, 404);
}

fn what_is_too_long_is_refused_when_written_only(front: Front) {
    let options = Options { value_max: 1_000, ..Options::default() };
    let api = Api::start_with(front, options, Patience::default());
    let key = "k".repeat(kv::KEY_LEN_MAX);
    put(&api, &key, "1");
    assert_eq!(api.get(&format!("/v1/kv/{key}?raw")).body, "1");
    let long = format!("{key}k");
    let refused = api.ask("PUT", &format!("/v1/kv/{long}"), "1");
    assert_eq!(refused.status, 400);
    assert!(refused.body.contains("key") && refused.body.contains("1024"), "{refused:?}");
    assert_eq!(api.get(&format!("/v1/kv/{long}")).status, 404);
    assert_eq!(api.get(&format!("/v1/kv/{long}?recurse")).status, 404);
    assert_eq!(api.ask("DELETE", &format!("/v1/kv/{long}"), "").body, "true");
    // What no node could apply must not get into the log.
    let endless = "k".repeat(kv::KEY_LEN_EVER);
    for path in [format!("/v1/kv/{endless}"), format!("/v1/kv/{endless}?recurse")] {
        assert_eq!(api.ask("DELETE", &path, "").body, "true");
        let refused = api.ask("DELETE", &path.replacen("/kk", "/kkk", 1), "");
        assert_eq!((refused.status, refused.body.contains("8193 bytes")), (400, true));
    }

    put(&api, "v", &"v".repeat(1_000));
    let refused = api.ask("PUT", "/v1/kv/v", &"v".repeat(1_001));
    assert_eq!(refused.status, 413);
    assert!(refused.body.contains("1000"), "{refused:?}");
    assert_eq!(api.get("/v1/kv/v?raw").body.len(), 1_000);
}

fn freshness_is_told(front: Front) {
    let api = Api::start(front);
    put(&api, "k", "v");
    let consistency =
        |answer: &Answer| answer.header("X-Consul-Effective-Consistency").unwrap().to_owned();
    assert_eq!(consistency(&api.get("/v1/kv/k?leader")), "leader");
    assert_eq!(consistency(&api.get("/v1/kv/k?consistent")), "consistent");
    // Here nobody ever led, as far as this node heard.
    let stale = api.get("/v1/kv/k?stale");
    assert_eq!((stale.status, consistency(&stale)), (200, "stale".into()));
    assert_eq!(stale.header("X-Consul-LastContact"), Some("9223372036854"));
    assert_eq!(stale.header("X-Consul-KnownLeader"), Some("true"));

    // Without a leader what is stale can still be had.
    api.node.set_status(|status| status.leader = None);
    api.node.set_mood(Mood::Fails(Failure::not_applied(Reason::NoLeader)));
    let refused = api.get("/v1/kv/k");
    assert_eq!((refused.status, refused.header("Retry-After")), (503, Some("1")));
    assert!(refused.body.contains("No cluster leader"));
    let stale = api.get("/v1/kv/k?stale");
    assert_eq!((stale.status, stale.header("X-Consul-KnownLeader")), (200, Some("false")));
    // Staler than is asked for is not stale any more.
    assert_eq!(api.get("/v1/kv/k?max_stale=1h").status, 503);
}

fn a_failure_says_whether_it_was_done(front: Front) {
    let api = Api::start(front);
    for (failure, status, retry) in [
        (Failure::not_applied(Reason::NoLeader), 503, Some("1")),
        (Failure::not_applied(Reason::Busy), 503, Some("1")),
        (Failure::not_applied(Reason::DiskFull), 507, Some("10")),
        (Failure::unknown(Reason::Deadline), 504, None),
    ] {
        api.node.set_mood(Mood::Fails(failure));
        for (method, target) in [("PUT", "/v1/kv/k"), ("DELETE", "/v1/kv/k")] {
            let answer = api.ask(method, target, "v");
            assert_eq!((answer.status, answer.header("Retry-After")), (status, retry));
            assert!(!answer.body.is_empty());
        }
    }
    // Who only asked has done nothing, whatever became of the question.
    for target in ["/v1/kv/k", "/v1/kv/?recurse", "/v1/session/list", "/v1/snapshot"] {
        let answer = api.get(target);
        assert_eq!((answer.status, answer.header("Retry-After")), (503, Some("1")), "{target}");
        assert!(!answer.body.contains("may or may not"), "{answer:?}");
    }
    let body = r#"[{"KV":{"Verb":"get","Key":"k"}}]"#;
    assert_eq!(api.ask("PUT", "/v1/txn", body).status, 503);
}

fn a_node_that_has_not_caught_up_serves_nothing(front: Front) {
    let api = Api::start_unborn(front);
    api.node.set_status(|status| status.caught_up = false);
    assert_eq!(api.get("/v1/kv/k?stale").status, 503);
    // A cluster some member of which knows no keys takes none.
    let refused = api.ask("PUT", "/v1/kv/k", "v");
    assert_eq!((refused.status, refused.header("Retry-After")), (503, Some("1")));
    assert!(refused.body.contains("older version"), "{refused:?}");
    api.node.set_status(|status| status.serving_stale = true);
    let missing = api.get("/v1/kv/k?stale");
    assert_eq!((missing.status, consul_index(&missing)), (404, 1));
    api.node.set_status(|status| status.state_lost = Some("a bad block".into()));
    assert_eq!(api.get("/v1/kv/k?stale").status, 503);
}

fn heads_have_no_bodies(front: Front) {
    let api = Api::start(front);
    put(&api, "k", "v");
    for (target, status) in [("/v1/kv/k", 200), ("/v1/kv/x", 404), ("/v1/kv/?recurse", 200)] {
        let mut client = api.connect();
        let head = client.ask("HEAD", target, "");
        assert_eq!(head.status, status);
        assert_eq!(consul_index(&head), consul_index(&client.ask("GET", target, "")));
    }
}

fn tokens_are_taken_and_ignored(front: Front) {
    let api = Api::start(front);
    let headers = "X-Consul-Token: secret\r\nAuthorization: Bearer secret\r\n";
    let written = api.ask_with("PUT", "/v1/kv/k?token=secret", headers, "v");
    assert_eq!(written.body, "true");
    let refused = api.ask_with("PUT", "/v1/kv/k?token=secret&cas=1&acquire=2", headers, "v");
    assert_eq!((refused.status, refused.body.contains("secret")), (400, false));
}
