//! `/v1/session` and what is about the agent, through both fronts.
#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod http_support;

use bowline::membership::RosterStatus;
use bowline::node::Phase;
use bytes::Bytes;
use http_support::{Answer, Api, Front};

both_fronts! {
    a_session_is_opened_and_shown_byte_for_byte,
    a_session_is_as_it_was_asked_for,
    a_session_ends_when_it_is_destroyed,
    a_session_ends_when_it_is_not_renewed,
    a_session_may_take_its_keys_with_it,
    a_lock_that_was_lost_is_delayed,
    sessions_are_listed_by_node,
    what_is_wrong_is_named,
    the_node_tells_about_itself,
    members_join_by_themselves,
    who_is_down_is_made_to_leave,
    health_is_judged,
}

const UNKNOWN: &str = "00000000-1111-4222-8333-444444444444";

fn open(api: &Api, body: &str) -> String {
    let answer = api.ask("PUT", "/v1/session/create", body);
    assert_eq!(answer.status, 200, "{answer:?}");
    let id = answer.json()["ID"].as_str().unwrap().to_owned();
    assert_eq!(answer.body, format!("{{\"ID\":\"{id}\"}}"));
    id
}

fn consul_index(answer: &Answer) -> u64 {
    answer.header("X-Consul-Index").unwrap().parse().unwrap()
}

fn a_session_is_opened_and_shown_byte_for_byte(front: Front) {
    let api = Api::start(front);
    let none = api.get("/v1/session/list");
    assert_eq!((none.body.as_str(), consul_index(&none)), ("[]", 1));
    let id = open(&api, "");
    let revision = api.node.standing().summary.revision;
    let shown = format!(
        "[{{\"ID\":\"{id}\",\"Name\":\"\",\"Node\":\"n1\",\"LockDelay\":15000000000,\
         \"Behavior\":\"release\",\"TTL\":\"\",\"NodeChecks\":[\"serfHealth\"],\
         \"ServiceChecks\":null,\"CreateIndex\":{revision},\"ModifyIndex\":{revision}}}]"
    );
    for path in ["list".to_owned(), format!("info/{id}"), "node/n1".into()] {
        let read = api.get(&format!("/v1/session/{path}"));
        assert_eq!(read.body, shown, "{path}");
        assert_eq!(consul_index(&read), revision);
        assert_eq!(read.header("X-Consul-KnownLeader"), Some("true"));
        assert_eq!(read.header("X-Consul-LastContact"), Some("0"));
    }
    let renewed = api.ask("PUT", &format!("/v1/session/renew/{id}"), "");
    assert_eq!((renewed.status, renewed.body), (200, shown));
}

fn a_session_is_as_it_was_asked_for(front: Front) {
    let api = Api::start(front);
    let body = r#"{"name":"job","NODE":"n2","LockDelay":"20s","Behavior":"delete","TTL":"30s",
                   "Checks":[]}"#;
    let id = open(&api, body);
    let shown = api.get(&format!("/v1/session/info/{}", id.to_uppercase())).json();
    for (field, value) in [
        ("Name", "job".into()),
        ("Node", "n2".into()),
        ("LockDelay", serde_json::json!(20_000_000_000_u64)),
        ("Behavior", "delete".into()),
        ("TTL", "30s".into()),
        ("NodeChecks", serde_json::json!([])),
    ] {
        assert_eq!(shown[0][field], value, "{field}");
    }
    assert_ne!(open(&api, "{}"), open(&api, "null"));
}

fn a_session_ends_when_it_is_destroyed(front: Front) {
    let api = Api::start(front);
    let id = open(&api, r#"{"LockDelay":0}"#);
    api.ask("PUT", &format!("/v1/kv/l?acquire={id}"), "v");
    let destroyed = api.ask("PUT", &format!("/v1/session/destroy/{id}"), "");
    assert_eq!((destroyed.status, destroyed.body.as_str()), (200, "true"));
    assert_eq!(api.get(&format!("/v1/session/info/{id}")).body, "[]");
    let released = api.get("/v1/kv/l").json();
    assert_eq!((released[0].get("Session"), &released[0]["LockIndex"]), (None, &1.into()));
    // It is gone, whoever made it so.
    let again = api.ask("PUT", &format!("/v1/session/destroy/{id}"), "");
    assert_eq!((again.status, again.body.as_str()), (200, "true"));
    let renewed = api.ask("PUT", &format!("/v1/session/renew/{id}"), "");
    assert_eq!(renewed.status, 404);
    assert!(renewed.body.contains(&format!("Session id '{id}' not found")));
    let next = open(&api, "");
    assert_eq!(api.ask("PUT", &format!("/v1/kv/l?acquire={next}"), "v").body, "true");
}

fn a_session_ends_when_it_is_not_renewed(front: Front) {
    let api = Api::start(front);
    let id = open(&api, r#"{"TTL":"10s"}"#);
    let alive = || api.get(&format!("/v1/session/info/{id}")).json()[0]["ID"] == id.as_str();
    for _ in 0..3 {
        api.node.pass(9_000);
        assert!(alive());
        assert_eq!(api.ask("PUT", &format!("/v1/session/renew/{id}"), "").status, 200);
    }
    api.node.pass(9_900);
    assert!(alive(), "not early");
    api.node.pass(400);
    assert!(!alive());
}

fn a_session_may_take_its_keys_with_it(front: Front) {
    let api = Api::start(front);
    let id = open(&api, r#"{"Behavior":"delete","TTL":"10s"}"#);
    for key in ["mine/1", "mine/2"] {
        assert_eq!(api.ask("PUT", &format!("/v1/kv/{key}?acquire={id}"), "v").body, "true");
    }
    api.ask("PUT", "/v1/kv/mine/3", "v");
    api.node.pass(11_000);
    assert_eq!(api.get("/v1/kv/?keys").body, "[\"mine/3\"]");
    assert_eq!(api.get("/v1/session/list").body, "[]");
}

fn a_lock_that_was_lost_is_delayed(front: Front) {
    let api = Api::start(front);
    let (first, next) = (open(&api, r#"{"LockDelay":"5s"}"#), open(&api, ""));
    let take = |session: &str| {
        let answer = api.ask("PUT", &format!("/v1/kv/l?acquire={session}"), "v");
        assert_eq!(answer.status, 200);
        answer.body
    };
    assert_eq!(take(&first), "true");
    api.ask("PUT", &format!("/v1/session/destroy/{first}"), "");
    assert_eq!(take(&next), "false");
    api.node.pass(4_800);
    assert_eq!(take(&next), "false");
    api.node.pass(400);
    assert_eq!(take(&next), "true");
}

fn sessions_are_listed_by_node(front: Front) {
    let api = Api::start(front);
    let (one, two) = (open(&api, ""), open(&api, r#"{"Node":"n2"}"#));
    let ids = |path: &str| -> Vec<String> {
        let json = api.get(&format!("/v1/session/{path}")).json();
        let ids = json.as_array().unwrap().iter();
        ids.map(|it| it["ID"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids("node/n1"), [one.as_str()]);
    assert_eq!(ids("node/%6e2"), [two.as_str()]);
    assert_eq!(ids("node/nobody"), [""; 0]);
    let mut both = [one, two];
    both.sort();
    assert_eq!(ids("list"), both);
    assert!(api.get("/v1/session/list?pretty").body.starts_with("[\n    {\n        \"ID\": "));
}

fn what_is_wrong_is_named(front: Front) {
    let api = Api::start(front);
    for (body, status, part) in [
        ("{", 400, "decode"),
        ("[1]", 400, "decode"),
        (r#"{"LockDelay":"soon"}"#, 400, "LockDelay"),
        (r#"{"Node":"nobody"}"#, 500, "Node"),
        (r#"{"Behavior":"keep"}"#, 500, "Behavior"),
        (r#"{"TTL":"soon"}"#, 500, "TTL"),
        (r#"{"TTL":"1s"}"#, 500, "TTL"),
        (r#"{"TTL":"25h"}"#, 500, "TTL"),
    ] {
        let answer = api.ask("PUT", "/v1/session/create", body);
        assert_eq!(answer.status, status, "{body}: {answer:?}");
        assert!(answer.body.contains(part), "{body}: {answer:?}");
    }
    for (method, path) in [("PUT", "destroy"), ("PUT", "renew"), ("GET", "info")] {
        let answer = api.ask(method, &format!("/v1/session/{path}/no-uuid"), "");
        assert_eq!(answer.status, 500, "{path}");
        assert!(answer.body.contains("session") && answer.body.contains("no-uuid"));
        let answer = api.ask(method, &format!("/v1/session/{path}/{UNKNOWN}?dc=x"), "");
        assert_eq!(answer.status, 500, "{path}");
    }
    assert_eq!(api.get(&format!("/v1/session/info/{UNKNOWN}")).body, "[]");
    assert_eq!(api.get("/v1/session/list?index=x").status, 400);
    assert_eq!(api.ask("PUT", "/v1/session/create?dc=x", "").status, 500);
    assert_eq!(api.get("/v1/session/list").body, "[]");
}

fn the_node_tells_about_itself(front: Front) {
    let api = Api::start(front);
    let own = api.get("/v1/agent/self").json();
    let config = &own["Config"];
    assert_eq!((&config["Datacenter"], &config["NodeName"]), (&"dc1".into(), &"n1".into()));
    assert_eq!((&config["NodeID"], &config["Server"]), (&"1".into(), &true.into()));
    assert_eq!(config["Version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(own["Member"]["Name"], "n1");
    assert_eq!(own["Stats"]["consul"]["leader_addr"], "10.0.0.2:7071");
    assert_eq!(own["Stats"]["consul"]["leader"], "false");
    assert_eq!(own["Stats"]["raft"]["state"], "Follower");
    api.node.set_status(|status| {
        status.phase = Phase::Leader;
        status.leader = Some(1);
    });
    let own = api.get("/v1/agent/self?pretty").json();
    assert_eq!(own["Stats"]["raft"]["state"], "Leader");
    assert_eq!(own["Stats"]["consul"]["leader"], "true");

    let configuration = api.get("/v1/operator/autopilot/configuration").json();
    assert_eq!(configuration["CleanupDeadServers"], false);

    for path in [
        "status/leader",
        "status/peers",
        "operator/raft/configuration",
        "operator/autopilot/health",
        "operator/autopilot/configuration",
    ] {
        let elsewhere = api.get(&format!("/v1/{path}?dc=elsewhere"));
        assert_eq!((elsewhere.status, elsewhere.body.contains("dc")), (500, true), "{path}");
    }
}

fn members_join_by_themselves(front: Front) {
    let api = Api::start(front);
    for known in ["10.0.0.3:7071", "10.0.0.3", "10.0.0.1%3A7071"] {
        let answer = api.ask("PUT", &format!("/v1/agent/join/{known}"), "");
        assert_eq!((answer.status, answer.body.as_str()), (200, ""), "{known}");
    }
    let refused = api.ask("PUT", "/v1/agent/join/10.0.0.9:7071", "");
    assert_eq!(refused.status, 500);
    assert!(refused.body.contains("--join 10.0.0.1:7071"), "{refused:?}");
}

fn who_is_down_is_made_to_leave(front: Front) {
    let api = Api::start(front);
    let force = |name: &str| api.ask("PUT", &format!("/v1/agent/force-leave/{name}"), "").status;
    assert_eq!(force("n3"), 200);
    // Who is alive leaves by itself, and who is not known cannot.
    assert_eq!((force("n1"), force("n2"), force("nobody")), (500, 500, 500));
    assert_eq!(api.node.log(), ["remove 3"]);
    api.node.set_status(|status| status.members.retain(|member| member.id != 3));
    assert_eq!(force("n3"), 200);
    assert_eq!(api.node.log(), ["remove 3"]);
}

fn health_is_judged(front: Front) {
    let api = Api::start(front);
    let path = "/v1/operator/autopilot/health";
    let ill = api.get(path);
    assert_eq!(ill.status, 429);
    let json = ill.json();
    assert_eq!((&json["Healthy"], &json["FailureTolerance"]), (&false.into(), &0.into()));
    let servers = json["Servers"].as_array().unwrap();
    assert_eq!(servers.len(), 3);
    assert_eq!((&servers[1]["Leader"], &servers[1]["LastContact"]), (&true.into(), &"0ms".into()));
    assert_eq!(servers[2]["SerfStatus"], "failed");
    assert_eq!((&servers[0]["Healthy"], &servers[2]["Healthy"]), (&true.into(), &false.into()));

    let mut roster = (*api.node.roster.current()).clone();
    roster[2].status = RosterStatus::Alive;
    api.node.roster.publish(roster, Bytes::new());
    api.node.set_status(|status| status.members[2].voter = true);
    let well = api.get(path);
    assert_eq!((well.status, &well.json()["FailureTolerance"]), (200, &1.into()));
    api.node.set_status(|status| status.leader = None);
    assert_eq!(api.get(path).status, 429);
}
