//! `/v1/txn` through both fronts: all or none, in Consul's shapes.
#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod http_support;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bowline::error::{Failure, Reason};
use bowline::http::Options;
use bowline::http::front::Patience;
use http_support::{Answer, Api, Front, Mood};
use serde_json::{Value, json};

both_fronts! {
    all_is_done_and_told_byte_for_byte,
    nothing_is_done_when_anything_fails,
    each_operation_sees_those_before_it,
    failures_are_told_in_consuls_words,
    locks_are_taken_and_given_back,
    a_transaction_that_only_reads_goes_not_through_the_log,
    what_can_never_be_done_is_told,
    what_is_wrong_is_named,
    what_is_too_large_is_refused,
}

fn txn(api: &Api, ops: &Value) -> Answer {
    let ops: Vec<_> = ops.as_array().unwrap().iter().map(|op| json!({ "KV": op })).collect();
    api.ask("PUT", "/v1/txn", &Value::from(ops).to_string())
}

/// The texts of what failed, by operation.
fn errors(answer: &Answer) -> Vec<(u64, String)> {
    assert_eq!(answer.status, 409, "{answer:?}");
    let json = answer.json();
    assert_eq!(json["Results"], Value::Null);
    let errors = json["Errors"].as_array().unwrap().iter();
    errors
        .map(|it| (it["OpIndex"].as_u64().unwrap(), it["What"].as_str().unwrap().to_owned()))
        .collect()
}

fn set(key: &str, value: &str) -> Value {
    json!({ "Verb": "set", "Key": key, "Value": STANDARD.encode(value) })
}

fn all_is_done_and_told_byte_for_byte(front: Front) {
    let api = Api::start(front);
    let done = txn(
        &api,
        &json!([
            set("a", "1"),
            { "Verb": "set", "Key": "b", "Value": "Mg==", "Flags": 7 },
            { "Verb": "get", "Key": "b" },
            { "Verb": "delete", "Key": "none" },
        ]),
    );
    let revision = api.node.standing().summary.revision;
    let entry = |key: &str, flags: u64, value: &str| {
        format!(
            "{{\"KV\":{{\"LockIndex\":0,\"Key\":\"{key}\",\"Flags\":{flags},\"Value\":{value},\
             \"CreateIndex\":{revision},\"ModifyIndex\":{revision}}}}}"
        )
    };
    assert_eq!(
        done.body,
        format!(
            "{{\"Results\":[{},{},{}],\"Errors\":null}}",
            entry("a", 0, "null"),
            entry("b", 7, "null"),
            entry("b", 7, "\"Mg==\"")
        )
    );
    assert_eq!((done.status, done.header("Content-Type")), (200, Some("application/json")));
    assert_eq!(
        txn(&api, &json!([{ "Verb": "delete", "Key": "a" }])).body,
        "{\"Results\":[],\"Errors\":null}"
    );
    let pretty = api.ask("PUT", "/v1/txn?pretty", "[]");
    assert_eq!(pretty.body, "{\n    \"Results\": [],\n    \"Errors\": null\n}\n");
}

fn nothing_is_done_when_anything_fails(front: Front) {
    let api = Api::start(front);
    txn(&api, &json!([set("a", "1")]));
    let before = api.node.standing().summary.revision;
    let refused = txn(
        &api,
        &json!([
            set("a", "2"),
            { "Verb": "cas", "Key": "a", "Index": 0, "Value": "" },
            { "Verb": "delete-tree", "Key": "" },
            { "Verb": "get", "Key": "none" },
        ]),
    );
    assert_eq!(
        errors(&refused),
        [
            (1, "failed to set key \"a\", index is stale".to_owned()),
            (3, "key \"none\" doesn't exist".to_owned()),
        ]
    );
    assert_eq!(api.node.standing().summary.revision, before);
    assert_eq!(api.get("/v1/kv/a?raw").body, "1");
}

fn each_operation_sees_those_before_it(front: Front) {
    let api = Api::start(front);
    let done = txn(
        &api,
        &json!([
            { "Verb": "check-not-exists", "Key": "t/1" },
            set("t/1", "x"),
            set("t/2", "y"),
            { "Verb": "get-tree", "Key": "t/" },
            { "Verb": "delete-tree", "Key": "t/" },
            { "Verb": "get-or-empty", "Key": "t/1" },
        ]),
    );
    assert_eq!(done.status, 200, "{done:?}");
    let results = done.json()["Results"].clone();
    let keys: Vec<_> = results.as_array().unwrap().iter().map(|it| &it["KV"]["Key"]).collect();
    assert_eq!(keys, ["t/1", "t/2", "t/1", "t/2", "t/1"]);
    assert_eq!(results[3]["KV"]["Value"], STANDARD.encode("y"));
    assert_eq!(
        (&results[4]["KV"]["Value"], &results[4]["KV"]["ModifyIndex"]),
        (&Value::Null, &0.into())
    );
    assert_eq!(api.get("/v1/kv/?keys").body, "[]");
}

fn failures_are_told_in_consuls_words(front: Front) {
    let api = Api::start(front);
    txn(&api, &json!([set("k", "1")]));
    let modify = api.node.standing().summary.revision;
    for (op, what) in [
        (json!({ "Verb": "get", "Key": "none" }), "key \"none\" doesn't exist".to_owned()),
        (
            json!({ "Verb": "cas", "Key": "k", "Index": 99, "Value": "" }),
            "failed to set key \"k\", index is stale".into(),
        ),
        (
            json!({ "Verb": "delete-cas", "Key": "k", "Index": 99 }),
            "failed to delete key \"k\", index is stale".into(),
        ),
        (
            json!({ "Verb": "check-index", "Key": "k", "Index": 99 }),
            format!("failed index check for key \"k\", current modify index {modify} != 99"),
        ),
        (
            json!({ "Verb": "check-index", "Key": "none", "Index": 99 }),
            "failed to check index, key \"none\" doesn't exist".into(),
        ),
        (
            json!({ "Verb": "check-session", "Key": "k", "Session": "abc" }),
            "failed session check for key \"k\", current session \"\" != \"abc\"".into(),
        ),
        (
            json!({ "Verb": "check-session", "Key": "none", "Session": "abc" }),
            "failed to check session, key \"none\" doesn't exist".into(),
        ),
        (json!({ "Verb": "check-not-exists", "Key": "k" }), "key \"k\" exists".into()),
        (json!({ "Verb": "lock", "Key": "k", "Session": "abc" }), "invalid session \"abc\"".into()),
        (
            json!({ "Verb": "unlock", "Key": "k", "Session": "abc" }),
            "failed to unlock key \"k\", lock isn't held, or is held by another session".into(),
        ),
    ] {
        let wanted = [(0, what)];
        assert_eq!(errors(&txn(&api, &json!([op]))), wanted);
        // The same whether it goes through the log or not.
        let both = errors(&txn(&api, &json!([op, set("x", "1")])));
        assert_eq!(both, wanted);
    }
    for op in [
        json!({ "Verb": "check-index", "Key": "k", "Index": modify }),
        json!({ "Verb": "cas", "Key": "k", "Index": modify, "Value": "Mg==" }),
        json!({ "Verb": "delete-cas", "Key": "none", "Index": 5 }),
    ] {
        assert_eq!(txn(&api, &json!([op])).status, 200, "{op}");
    }
}

fn locks_are_taken_and_given_back(front: Front) {
    let api = Api::start(front);
    let open = || {
        let id = api.ask("PUT", "/v1/session/create", "").json()["ID"].clone();
        id.as_str().unwrap().to_owned()
    };
    let (one, two) = (open(), open());
    let with = |verb: &str, session: &str| {
        txn(&api, &json!([{ "Verb": verb, "Key": "l", "Session": session, "Value": "eA==" }]))
    };
    let locked = with("lock", &one);
    assert_eq!(locked.json()["Results"][0]["KV"]["Session"], one);
    assert_eq!(with("check-session", &one).status, 200);
    assert_eq!(errors(&with("lock", &two))[0].1, "failed to lock key \"l\", lock is already held");
    let found = format!("current session \"{one}\" != \"{two}\"");
    assert!(errors(&with("check-session", &two))[0].1.ends_with(&found));
    assert_eq!(with("unlock", &one).status, 200);
    assert_eq!(with("lock", &two).status, 200);
    api.ask("PUT", &format!("/v1/session/destroy/{two}"), "");
    let delayed = errors(&with("lock", &one));
    assert_eq!(delayed[0].1, "failed to lock key \"l\" due to lock delay");
    api.node.pass(16_000);
    assert_eq!(with("lock", &one).status, 200);
}

fn a_transaction_that_only_reads_goes_not_through_the_log(front: Front) {
    let api = Api::start(front);
    txn(&api, &json!([set("a/1", "1"), set("a/2", "2")]));
    let applied = api.node.applied();
    let reads = json!([
        { "Verb": "get-tree", "Key": "a/" },
        { "Verb": "get", "Key": "a/1" },
        { "Verb": "get-or-empty", "Key": "none" },
        { "Verb": "check-not-exists", "Key": "none" },
    ]);
    let read = txn(&api, &reads);
    assert_eq!(read.status, 200);
    let keys = read.json();
    let keys: Vec<_> = keys["Results"].as_array().unwrap().iter().collect();
    assert_eq!(keys.len(), 4);
    assert_eq!((&keys[0]["KV"]["Key"], &keys[0]["KV"]["Value"]), (&"a/1".into(), &"MQ==".into()));
    assert_eq!((&keys[3]["KV"]["Key"], &keys[3]["KV"]["Value"]), (&"none".into(), &Value::Null));
    assert_eq!(read.header("X-Consul-KnownLeader"), Some("true"));
    assert_eq!(read.header("X-Consul-LastContact"), Some("0"));
    assert_eq!(read.header("X-Consul-Index"), None);
    assert_eq!(api.node.applied(), applied);

    api.node.set_mood(Mood::Fails(Failure::not_applied(Reason::NoLeader)));
    assert_eq!(txn(&api, &reads).status, 503);
    let body = json!([{ "KV": { "Verb": "get", "Key": "a/2" } }]).to_string();
    assert_eq!(api.ask("PUT", "/v1/txn?stale", &body).status, 200);
    assert_eq!(api.ask("PUT", "/v1/txn?stale&consistent", &body).status, 400);
}

fn what_can_never_be_done_is_told(front: Front) {
    let api = Api::start(front);
    let refused = txn(
        &api,
        &json!([
            set("k", "1"),
            { "Verb": "destroy", "Key": "k" },
            { "Verb": "set", "Key": "" },
            { "Verb": "set", "Key": "k".repeat(1025) },
            { "Verb": "lock", "Key": "k" },
        ]),
    );
    let told = errors(&refused);
    let ops: Vec<_> = told.iter().map(|(op, _)| *op).collect();
    assert_eq!(ops, [1, 2, 3, 4]);
    for ((_, what), part) in told.iter().zip(["destroy", "Key", "1024", "Session"]) {
        assert!(what.contains(part), "{what}");
    }
    assert_eq!(api.get("/v1/kv/?keys").body, "[]");
}

fn what_is_wrong_is_named(front: Front) {
    let api = Api::start(front);
    for (body, status, part) in [
        ("", 400, "body"),
        ("{", 400, "body"),
        ("[{]", 400, "body"),
        ("{}", 400, "list"),
        ("[{}]", 400, "KV"),
        ("[{\"Service\":{}}]", 400, "Service"),
        ("[{\"KV\":{\"Verb\":\"set\",\"Key\":\"k\",\"Value\":\"$\"}}]", 400, "Value"),
        ("[{\"KV\":{\"Verb\":\"cas\",\"Key\":\"k\",\"Index\":\"1\"}}]", 400, "body"),
    ] {
        let answer = api.ask("PUT", "/v1/txn", body);
        assert_eq!(answer.status, status, "{body}: {answer:?}");
        assert!(answer.body.contains(part), "{body}: {answer:?}");
    }
    assert_eq!(api.ask("PUT", "/v1/txn?dc=other", "[]").status, 500);
    assert_eq!(api.get("/v1/txn").status, 405);
}

fn what_is_too_large_is_refused(front: Front) {
    let options = Options { value_max: 600_000, ..Options::default() };
    let api = Api::start_with(front, options, Patience::default());
    let many: Vec<_> = (0..129).map(|it| set(&format!("k{it}"), "v")).collect();
    let refused = txn(&api, &Value::from(many));
    assert_eq!((refused.status, refused.body.contains("129 > 128")), (413, true));

    let large = txn(&api, &json!([set("k", &"v".repeat(600_001))]));
    assert_eq!((large.status, large.body.contains("600001 > 600000")), (413, true), "{large:?}");
    // Each is short enough, and all of them are more than an entry of the log takes.
    let half = "v".repeat(600_000);
    let whole = json!([set("a", &half), set("b", &half), set("c", &half), set("d", &half)]);
    let refused = txn(&api, &whole);
    assert_eq!(refused.status, 413, "{}", refused.body);
    assert_eq!(api.get("/v1/kv/?keys").body, "[]");
    assert_eq!(txn(&api, &json!([set("a", &half), set("b", &half)])).status, 200);
    // What is read has a bound as well.
    let reads = json!([{ "Verb": "get", "Key": "a" }, { "Verb": "get-tree", "Key": "" }]);
    let told = errors(&txn(&api, &reads));
    assert_eq!(told.len(), 1);
    assert!(told[0].1.contains("1 MiB"), "{told:?}");
}
