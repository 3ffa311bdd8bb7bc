//! What the API answers, through both fronts.
#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod http_support;

use std::time::Duration;

use bowline::error::{Failure, Reason};
use bowline::http::Options;
use bowline::http::front::Patience;
use bowline::node::Phase;
use http_support::{Api, Front, Mood, Wire, index, problem};

const URL: &str = "https://example.com/a/long/url?with=a&query#and-more";

both_fronts! {
    a_url_is_shortened_and_followed,
    bytes_are_kept_as_sent,
    what_is_no_url_is_refused_with_a_reason,
    a_missing_key_is_confirmed_first,
    a_miss_without_a_quorum_says_so,
    a_waiting_miss_finds_what_came_meanwhile,
    beyond_the_bound_misses_are_not_confirmed,
    freshness_can_be_asked_for,
    failures_say_whether_it_was_done,
    a_client_can_go_to_the_leader,
    a_node_that_has_not_caught_up_does_not_serve,
    a_node_without_a_cluster_says_so,
    a_node_without_a_state_says_so,
    paths_and_methods_are_checked,
    the_node_tells_how_it_is,
    metrics_are_in_the_text_format,
    consul_shapes_are_kept,
    leadership_and_members_are_managed,
    heads_have_no_bodies,
    old_clients_are_answered,
    keep_alive_serves_one_after_the_other,
    chunked_bodies_are_taken,
    a_go_ahead_is_given,
    large_bodies_are_refused,
    a_burst_is_answered_in_order,
    a_node_that_never_answers_is_given_up,
    a_node_with_a_full_queue_refuses,
    stopping_answers_who_waits,
}

fn a_url_is_shortened_and_followed(front: Front) {
    let api = Api::start(front);
    let made = api.put(URL);
    assert_eq!(made.status, 201);
    let key = made.body.trim_end();
    assert_eq!(made.body, format!("{key}\n"));
    assert_eq!(key.len(), 8);
    assert_eq!(made.header("Location"), Some(format!("/{key}").as_str()));
    assert_eq!(index(&made), api.node.applied());

    let again = api.ask("POST", "/", &format!("  {URL}\r\n"));
    assert_eq!((again.status, &again.body), (200, &made.body));
    assert_eq!(again.header("Location"), made.header("Location"));

    let followed = api.get(&format!("/{key}"));
    assert_eq!(followed.status, 301);
    assert_eq!(followed.header("Location"), Some(URL));
    assert_eq!(followed.header("Cache-Control"), Some("private, max-age=90"));
    assert_eq!(followed.body, format!("{URL}\n"));
    assert_eq!(index(&followed), api.node.applied());
    assert!(followed.header("Date").unwrap().ends_with(" GMT"));
    let escaped: String = key.bytes().map(|byte| format!("%{byte:02x}")).collect();
    assert_eq!(api.get(&format!("/{escaped}")).status, 301);
}

fn bytes_are_kept_as_sent(front: Front) {
    let api = Api::start(front);
    for url in [
        "HTTP://Example.COM:80/%7euser/../x?b=2&a=1#frag",
        "http://a/?<>\"{}|^`\\",
        &format!("https://example.com/{}", "a".repeat(8 * 1024 - 20)),
    ] {
        let made = api.put(url);
        assert_eq!(made.status, 201, "{made:?}");
        let followed = api.get(made.header("Location").unwrap());
        assert_eq!(followed.header("Location"), Some(url));
    }
    let made = api.put("http://bücher.example/");
    let followed = api.get(made.header("Location").unwrap());
    assert_eq!(followed.header("Location"), Some("http://xn--bcher-kva.example/"));
}

fn what_is_no_url_is_refused_with_a_reason(front: Front) {
    let api = Api::start(front);
    for (sent, why) in [
        ("", "empty"),
        ("example.com", "http://"),
        ("javascript:alert(1)", "http://"),
        ("http://a b/", "white space"),
        ("http://a/\u{1}", "control"),
        (&format!("http://a/{}", "b".repeat(8 * 1024)), "long"),
    ] {
        let json = problem(&api.put(sent), 400);
        assert!(json["detail"].as_str().unwrap().contains(why), "{json}");
        assert_eq!((&json["retryable"], &json["outcome"]), (&false.into(), &"not_applied".into()));
    }
}

fn a_missing_key_is_confirmed_first(front: Front) {
    let api = Api::start(front);
    let missing = api.get("/AAAAAAAA");
    problem(&missing, 404);
    assert_eq!(missing.header("Cache-Control"), Some("no-store"));
    assert_eq!(missing.header("X-Bowline-Unconfirmed"), None);

    let key = api.node.make_link("https://example.com/known");
    api.node.make_link_elsewhere("https://example.com/known-elsewhere");
    assert_eq!(api.get(&format!("/{key}")).status, 301);
    // The key of the other is what this node would give it, had it been asked.
    let other = Api::start(front).put("https://example.com/known-elsewhere");
    let found = api.get(other.header("Location").unwrap());
    assert_eq!(found.status, 301);
    assert_eq!(index(&found), api.node.applied());
    // What cannot be a key need not be asked for.
    api.node.set_mood(Mood::Silent);
    for path in ["/short", "/has.dots.in", "/%ff%ff%ff%ff%ff%ff%ff%ff", "/AAAAAAAA/", "/a/b"] {
        problem(&api.get(path), 404);
    }
    api.node.set_mood(Mood::Fine);
}

fn a_miss_without_a_quorum_says_so(front: Front) {
    let api = Api::start(front);
    let key = api.node.make_link(URL);
    api.node.set_mood(Mood::Fails(Failure::not_applied(Reason::NoLeader)));
    let missing = api.get("/AAAAAAAA");
    problem(&missing, 404);
    assert_eq!(missing.header("X-Bowline-Unconfirmed"), Some("no-quorum"));
    assert_eq!(api.get(&format!("/{key}")).status, 301);
    let stale = api.get("/AAAAAAAA?consistency=stale");
    assert_eq!((stale.status, stale.header("X-Bowline-Unconfirmed")), (404, Some("stale")));
}

fn a_waiting_miss_finds_what_came_meanwhile(front: Front) {
    let api = Api::start(front);
    let key = Api::start(front).put(URL).body.trim_end().to_owned();
    api.node.set_mood(Mood::Silent);
    let mut client = api.connect();
    client.send(format!("GET /{key} HTTP/1.1\r\nHost: h\r\n\r\n"));
    api.node.wait_until_kept(1);
    assert_eq!(api.node.service.waiting_misses(), 1);
    api.node.make_link(URL);
    api.node.set_mood(Mood::Fails(Failure::not_applied(Reason::Deadline)));
    let found = client.answer();
    assert_eq!((found.status, found.header("X-Bowline-Unconfirmed")), (301, None));
    assert_eq!(api.node.service.waiting_misses(), 0);
}

fn beyond_the_bound_misses_are_not_confirmed(front: Front) {
    let options = Options { misses_max: 2, ..Options::default() };
    let api = Api::start_with(front, options, Patience::default());
    api.node.set_mood(Mood::Silent);
    let mut clients = [api.connect(), api.connect()];
    for client in &mut clients {
        client.send("GET /AAAAAAAA HTTP/1.1\r\nHost: h\r\n\r\n");
    }
    api.node.wait_until_kept(2);
    let third = api.get("/AAAAAAAA");
    assert_eq!((third.status, third.header("X-Bowline-Unconfirmed")), (404, Some("overload")));
    let strict = api.get("/AAAAAAAA?consistency=linearizable");
    problem(&strict, 503);
    assert_eq!(strict.header("Retry-After"), Some("1"));
    api.node.set_mood(Mood::Fine);
    for client in &mut clients {
        assert_eq!(client.answer().header("X-Bowline-Unconfirmed"), None);
    }
    assert_eq!(api.get("/AAAAAAAA").header("X-Bowline-Unconfirmed"), None);
}

fn freshness_can_be_asked_for(front: Front) {
    let api = Api::start(front);
    let key = api.node.make_link(URL);
    let applied = api.node.applied();
    api.node.make_link_elsewhere("https://example.com/2");
    let old = api.get(&format!("/{key}?min_index={applied}"));
    assert_eq!((old.status, index(&old)), (301, applied));
    let fresh = api.get(&format!("/{key}?min_index={}", applied + 1));
    assert_eq!((fresh.status, index(&fresh)), (301, applied + 1));
    problem(&api.get(&format!("/{key}?min_index={}", applied + 2)), 503);
    api.node.make_link_elsewhere("https://example.com/3");
    let linearizable = api.get(&format!("/{key}?consistency=linearizable"));
    assert_eq!(index(&linearizable), applied + 2);
    let status = api.get(&format!("/api/status?min_index={}", applied + 2)).json();
    assert_eq!(status["state"]["applied"], applied + 2);

    api.node.set_mood(Mood::Fails(Failure::not_applied(Reason::NoLeader)));
    let refused = problem(&api.get(&format!("/{key}?consistency=linearizable")), 503);
    assert_eq!((&refused["retryable"], &refused["outcome"]), (&true.into(), &"not_applied".into()));
    assert_eq!(api.get(&format!("/{key}?consistency=stale")).status, 301);
    problem(&api.get(&format!("/{key}?min_index=99")), 503);
    for query in ["min_index=-1", "min_index=", "min_index=x", "consistency=strong", "consistency"]
    {
        problem(&api.get(&format!("/{key}?{query}")), 400);
    }
}

fn failures_say_whether_it_was_done(front: Front) {
    let api = Api::start(front);
    for reason in [Reason::NoLeader, Reason::Busy, Reason::Unavailable, Reason::Deadline] {
        api.node.set_mood(Mood::Fails(Failure::not_applied(reason)));
        let json = problem(&api.put(URL), 503);
        assert_eq!(json["outcome"], "not_applied");
        assert_eq!(json["retryable"], true);
        assert_eq!(json["leader"], "http://10.0.0.2:7070");
    }
    api.node.set_mood(Mood::Fails(Failure::unknown(Reason::Deadline)));
    api.node.set_status(|status| status.leader = None);
    let json = problem(&api.put(URL), 504);
    assert_eq!(json["outcome"], "unknown");
    assert!(json.get("leader").is_none());
}

fn a_client_can_go_to_the_leader(front: Front) {
    let api = Api::start(front);
    let applied = api.node.applied();
    let sent = api.ask("PUT", "/?forward=redirect&x=1", URL);
    assert_eq!(sent.status, 307);
    assert_eq!(sent.header("Location"), Some("http://10.0.0.2:7070/?forward=redirect&x=1"));
    let refused = api.ask("PUT", "/?forward=refuse", URL);
    assert_eq!(refused.status, 409);
    let json = refused.json();
    assert_eq!((&json["leaderId"], &json["leader"]), (&2.into(), &"http://10.0.0.2:7070".into()));
    assert!(json["message"].is_string());
    problem(&api.ask("PUT", "/?forward=sideways", URL), 400);
    assert_eq!(api.node.applied(), applied, "nothing was written");

    api.node.set_status(|status| status.leader = None);
    problem(&api.ask("PUT", "/?forward=redirect", URL), 503);
    let json = api.ask("PUT", "/?forward=refuse", URL).json();
    assert!(json["leaderId"].is_null() && json["leader"].is_null());

    api.node.set_status(|status| status.leader = Some(1));
    assert_eq!(api.ask("PUT", "/?forward=redirect", URL).status, 201);
    assert_eq!(api.ask("PUT", "/?forward=refuse", URL).status, 200);
}

fn a_node_that_has_not_caught_up_does_not_serve(front: Front) {
    let api = Api::start(front);
    let key = api.node.make_link(URL);
    api.node.set_status(|status| status.caught_up = false);
    problem(&api.get(&format!("/{key}")), 503);
    assert_eq!(api.get("/readyz").status, 503);
    assert_eq!(api.put(URL).status, 200, "writes go to the leader anyway");
    api.node.set_status(|status| status.serving_stale = true);
    let stale = api.get(&format!("/{key}"));
    assert_eq!((stale.status, stale.header("X-Bowline-Stale")), (301, Some("true")));
    assert_eq!(api.get("/AAAAAAAA").header("X-Bowline-Stale"), Some("true"));
    api.node.set_status(|status| status.caught_up = true);
    assert_eq!(api.get(&format!("/{key}")).header("X-Bowline-Stale"), None);
}

fn a_node_without_a_cluster_says_so(front: Front) {
    let api = Api::start(front);
    api.node.set_status(|status| status.phase = Phase::Joining);
    let json = problem(&api.put(URL), 503);
    assert!(json["detail"].as_str().unwrap().contains("join"), "{json}");
    problem(&api.get("/AAAAAAAA"), 503);
    let members = api.get("/v1/agent/members");
    assert_eq!((members.status, members.header("Retry-After")), (503, Some("1")));
    assert_eq!(members.header("Content-Type"), Some("text/plain; charset=utf-8"));
    for path in ["/livez", "/metrics", "/api/status", "/v1/status/leader"] {
        assert_eq!(api.get(path).status, 200, "{path}");
    }
    assert_eq!(api.get("/readyz").status, 503);
}

fn a_node_without_a_state_says_so(front: Front) {
    let api = Api::start_unborn(front);
    let status = api.get("/api/status").json();
    assert_eq!((&status["state"]["applied"], &status["state"]["links"]), (&0.into(), &0.into()));
    let metrics = api.get("/metrics");
    assert!(metrics.body.contains("\nbowline_applied_index 0\n"), "{}", metrics.body);
}

fn paths_and_methods_are_checked(front: Front) {
    let api = Api::start(front);
    for (method, target, allow) in [
        ("DELETE", "/", "GET, HEAD, PUT, POST"),
        ("PUT", "/AAAAAAAA", "GET, HEAD"),
        ("POST", "/livez", "GET, HEAD"),
        ("GET", "/v1/operator/raft/peer?id=1", "DELETE"),
        ("DELETE", "/v1/operator/raft/transfer-leader", "PUT, POST"),
        ("PUT", "/api/scrub", "GET, HEAD, POST"),
    ] {
        let answer = api.ask(method, target, "");
        assert_eq!((answer.status, answer.header("Allow")), (405, Some(allow)), "{target}");
    }
    for path in ["/api", "/api/other", "/ui", "/bb", "/b.rss", "/.well-known/x", "/livez/x"] {
        problem(&api.get(path), 404);
    }
    let consul = api.get("/v1/other");
    assert_eq!(consul.header("Cache-Control"), Some("no-store"));
    assert_eq!(consul.status, 404);
    assert_eq!(consul.header("Content-Type"), Some("text/plain; charset=utf-8"));
    let robots = api.get("/robots.txt");
    assert_eq!((robots.status, robots.body.as_str()), (200, "User-agent: *\nDisallow: /\n"));
    let usage = api.get("/");
    assert_eq!(usage.status, 200);
    assert!(
        usage.body.contains("curl -X PUT --data 'https://example.com/a/long/url' http://test/")
    );
}

fn the_node_tells_how_it_is(front: Front) {
    let api = Api::start(front);
    assert_eq!(api.get("/livez").body, "ok\n");
    let ready = api.get("/readyz");
    assert_eq!((ready.status, ready.body.as_str()), (200, "ready\n"));
    assert!(api.get("/readyz?verbose").body.contains("[+] leader: member 2 leads in term 3\n"));
    api.node.set_status(|status| status.leader = None);
    let ready = api.get("/readyz");
    assert_eq!(ready.status, 503);
    assert_eq!(ready.body, "[-] leader: no leader known in term 3\nnot ready\n");

    api.node.make_link(URL);
    let status = api.get("/api/status").json();
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["node"]["phase"], "follower");
    assert_eq!(status["node"]["members"][1]["peer"], "10.0.0.2:7071");
    let state = &status["state"];
    assert_eq!((&state["applied"], &state["term"]), (&api.node.applied().into(), &3.into()));
    assert_eq!((&state["links"], &state["revision"]), (&1.into(), &2.into()));
    assert_eq!(state["clock_ms"], api.node.applied() * 10);
    assert_eq!(state["digest"].as_str().unwrap().len(), 32);
    assert!(api.get("/api/status?pretty").body.contains("\n    \"version\""));
}

fn metrics_are_in_the_text_format(front: Front) {
    let api = Api::start(front);
    api.put(URL);
    api.put("nonsense");
    api.get("/AAAAAAAA");
    api.get("/api/nothing");
    api.node.metrics.data_log_bytes.set(4096);
    api.node.metrics.log_fsync.observe(Duration::from_micros(150));
    api.node.metrics.log_fsync.observe(Duration::from_secs(60));
    let page = api.get("/metrics");
    assert_eq!(page.header("Content-Type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    for line in [
        "bowline_term 3",
        "bowline_role{role=\"follower\"} 1",
        "bowline_role{role=\"leader\"} 0",
        "bowline_leader_id 2",
        "bowline_commit_index 5",
        "bowline_durable_index 5",
        &format!("bowline_applied_index {}", api.node.applied()),
        "bowline_links 1",
        "bowline_log_start_index 0",
        "bowline_recovering 0",
        "bowline_state_lost 0",
        "bowline_disk_full 0",
        "bowline_disk_stalled 0",
        "bowline_data_bytes{part=\"log\"} 4096",
        "bowline_data_bytes{part=\"state\"} 0",
        "bowline_data_bytes{part=\"snapshots\"} 0",
        "bowline_data_bytes{part=\"other\"} 0",
        "bowline_members{role=\"voter\"} 2",
        "bowline_roster{status=\"suspect\"} 1",
        "bowline_log_fsync_seconds_bucket{le=\"0.0001\"} 0",
        "bowline_log_fsync_seconds_bucket{le=\"0.0002\"} 1",
        "bowline_log_fsync_seconds_bucket{le=\"6.4\"} 1",
        "bowline_log_fsync_seconds_bucket{le=\"+Inf\"} 2",
        "bowline_log_fsync_seconds_sum 60.00015",
        "bowline_log_fsync_seconds_count 2",
        "bowline_http_requests_total{method=\"PUT\",route=\"/\",status=\"201\"} 1",
        "bowline_http_requests_total{method=\"PUT\",route=\"/\",status=\"400\"} 1",
        "bowline_http_requests_total{method=\"GET\",route=\"/{key}\",status=\"404\"} 1",
        "bowline_http_requests_total{route=\"unmatched\",status=\"404\"} 1",
        "bowline_messages_dropped_total{queue=\"inbox\"} 0",
    ] {
        assert!(page.body.lines().any(|it| it == line), "{line} is not in\n{}", page.body);
    }
    let mut families: Vec<_> =
        page.body.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let count = families.len();
    families.sort_unstable();
    families.dedup();
    assert_eq!(families.len(), count, "a family occurs twice");
}

fn consul_shapes_are_kept(front: Front) {
    let api = Api::start(front);
    let members = api.get("/v1/agent/members");
    assert_eq!(members.header("X-Consul-Default-ACL-Policy"), Some("allow"));
    let json = members.json();
    assert_eq!(json[0]["Name"], "n1");
    assert_eq!((&json[0]["Addr"], &json[0]["Port"]), (&"10.0.0.1".into(), &7071.into()));
    assert_eq!((&json[0]["Status"], &json[1]["Status"]), (&1.into(), &1.into()));
    assert_eq!(json[1]["Tags"]["gossip"], "suspect");
    assert_eq!((&json[2]["Addr"], &json[2]["Status"]), (&"fe80::3".into(), &4.into()));
    assert_eq!(json[2]["Tags"]["role"], "learner");
    assert!(json[0]["ProtocolCur"].is_number() && json[0]["DelegateMax"].is_number());
    let pretty = api.get("/v1/agent/members?pretty");
    assert!(pretty.body.starts_with("[\n    {\n        \"Name\"") && pretty.body.ends_with("]\n"));

    assert_eq!(api.get("/v1/status/leader").body, "\"10.0.0.2:7071\"");
    assert_eq!(api.get("/v1/status/peers").json().as_array().unwrap().len(), 3);
    let configuration = api.get("/v1/operator/raft/configuration");
    assert_eq!(configuration.header("X-Consul-Index"), Some("4"));
    assert_eq!(configuration.header("X-Consul-KnownLeader"), Some("true"));
    assert_eq!(configuration.header("X-Consul-Effective-Consistency"), Some("stale"));
    let json = configuration.json();
    assert_eq!(json["Index"], 4);
    let server = &json["Servers"][1];
    assert_eq!((&server["ID"], &server["Node"]), (&"2".into(), &"n2".into()));
    assert_eq!((&server["Leader"], &server["Voter"]), (&true.into(), &true.into()));
    assert_eq!(server["ProtocolVersion"], "3");
    assert_eq!(json["Servers"][0]["LastIndex"], 5);

    api.node.set_status(|status| status.leader = None);
    assert_eq!(api.get("/v1/status/leader").body, "\"\"");
    let configuration = api.get("/v1/operator/raft/configuration?stale");
    assert_eq!(configuration.header("X-Consul-KnownLeader"), Some("false"));
}

fn leadership_and_members_are_managed(front: Front) {
    let api = Api::start(front);
    let transfer = "/v1/operator/raft/transfer-leader";
    let peer = "/v1/operator/raft/peer";
    assert_eq!(api.ask("POST", transfer, "").body, "{\"Success\":true}");
    assert_eq!(api.ask("PUT", &format!("{transfer}?id=2"), "").status, 200);
    let refused = api.ask("POST", &format!("{transfer}?id=9"), "");
    assert_eq!((refused.status, refused.body.contains("9 cannot lead")), (500, true));
    assert_eq!(api.ask("POST", &format!("{transfer}?id=x"), "").status, 400);

    assert_eq!(api.ask("DELETE", &format!("{peer}?id=3"), "").status, 200);
    assert_eq!(api.ask("DELETE", &format!("{peer}?address=10.0.0.2:7071"), "").status, 200);
    for (query, status) in [("", 400), ("?id=1&address=a", 400), ("?id=7", 500), ("?id=x", 500)] {
        let answer = api.ask("DELETE", &format!("{peer}{query}"), "");
        assert_eq!(answer.status, status, "{query}");
    }
    assert_eq!(api.node.log(), ["transfer None", "transfer Some(2)", "remove 3", "remove 2"]);

    api.node.set_mood(Mood::Fails(Failure::not_applied(Reason::NoLeader)));
    let refused = api.ask("DELETE", &format!("{peer}?id=3"), "");
    assert_eq!((refused.status, refused.header("Retry-After")), (503, Some("1")));
    api.node.set_mood(Mood::Fails(Failure::unknown(Reason::Deadline)));
    assert_eq!(api.ask("DELETE", &format!("{peer}?id=3"), "").status, 504);
}

fn heads_have_no_bodies(front: Front) {
    let api = Api::start(front);
    let key = api.node.make_link(URL);
    let mut client = api.connect();
    for path in [format!("/{key}"), "/AAAAAAAA".into(), "/".into(), "/livez".into()] {
        let whole = client.ask("GET", &path, "");
        let head = client.ask("HEAD", &path, "");
        assert_eq!(head.status, whole.status);
        assert_eq!(head.header("Content-Length"), whole.header("Content-Length"));
        assert_eq!(head.header("Location"), whole.header("Location"));
    }
}

fn old_clients_are_answered(front: Front) {
    let api = Api::start(front);
    let mut client = api.connect();
    client.send("GET /livez HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(client.answer().header("Connection"), Some("keep-alive"));
    client.send("GET /livez HTTP/1.0\r\n\r\n");
    assert_eq!(client.answer().header("Connection"), Some("close"));
    client.expect_end();
}

fn keep_alive_serves_one_after_the_other(front: Front) {
    let api = Api::start(front);
    let mut client = api.connect();
    for number in 0..50 {
        let made = client.ask("PUT", "/", &format!("https://example.com/{number}"));
        assert_eq!((made.status, made.header("Connection")), (201, None));
        let followed = client.ask("GET", made.header("Location").unwrap(), "");
        assert_eq!(followed.status, 301);
    }
    client.send("GET /livez HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert_eq!(client.answer().header("Connection"), Some("close"));
    client.expect_end();
}

fn chunked_bodies_are_taken(front: Front) {
    let api = Api::start(front);
    let mut client = api.connect();
    client.send("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send("8\r\nhttps://\r\n13\r\nexample.com/chunked\r\n0\r\n\r\n");
    assert_eq!(client.answer().status, 201);
    assert_eq!(api.put("https://example.com/chunked").status, 200);
}

fn a_go_ahead_is_given(front: Front) {
    let api = Api::start(front);
    let mut client = api.connect();
    let length = URL.len();
    client.send(format!(
        "PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
    ));
    assert_eq!(client.answer().status, 100);
    client.send(URL);
    assert_eq!(client.answer().status, 201);
    assert_eq!(client.ask("GET", "/livez", "").status, 200);
}

fn large_bodies_are_refused(front: Front) {
    let api = Api::start(front);
    let answer = api.put(&"x".repeat(100_000));
    problem(&answer, 413);
    assert_eq!(answer.header("Connection"), Some("close"));
    assert_eq!(api.put(URL).status, 201, "others are not disturbed");
}

fn a_burst_is_answered_in_order(front: Front) {
    let api = Api::start(front);
    let keys: Vec<_> =
        (0..10).map(|n| api.node.make_link(&format!("https://example.com/{n}"))).collect();
    let mut burst = String::new();
    for number in 0..100 {
        // Hits, misses that wait, and writes that wait, mixed.
        burst += &match number % 3 {
            0 => format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", keys[number % 10]),
            1 => format!("GET /missing{number} HTTP/1.1\r\nHost: h\r\n\r\n"),
            _ => {
                let url = format!("https://example.com/burst/{number}");
                format!("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{url}", url.len())
            }
        };
    }
    let mut client = api.connect();
    client.send(burst);
    for number in 0..100 {
        let answer = client.answer();
        match number % 3 {
            0 => {
                let url = format!("https://example.com/{}", number % 10);
                assert_eq!(answer.header("Location"), Some(url.as_str()));
            }
            1 => assert_eq!(answer.status, 404),
            _ => assert_eq!(answer.status, 201),
        }
    }
}

fn a_node_that_never_answers_is_given_up(front: Front) {
    let brief = Duration::from_millis(20);
    let options = Options { request_timeout: brief, miss_timeout: brief, ..Options::default() };
    let api = Api::start_with(front, options, Patience::default());
    api.node.set_mood(Mood::Silent);
    let mut miss = api.connect();
    miss.send("GET /AAAAAAAA HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(problem(&api.put(URL), 504)["outcome"], "unknown");
    assert_eq!(miss.answer().header("X-Bowline-Unconfirmed"), Some("no-quorum"));
    assert_eq!(api.node.service.waiting_misses(), 0);
    // Answers that come after all are nobody's.
    api.node.set_mood(Mood::Fine);
    assert_eq!(api.put(URL).status, 200);
}

fn a_node_with_a_full_queue_refuses(front: Front) {
    let api = Api::start(front);
    api.node.hang_up();
    let json = problem(&api.put(URL), 503);
    assert_eq!((&json["outcome"], &json["retryable"]), (&"not_applied".into(), &true.into()));
    let miss = api.get("/AAAAAAAA");
    assert_eq!((miss.status, miss.header("X-Bowline-Unconfirmed")), (404, Some("overload")));
    assert_eq!(api.node.service.waiting_misses(), 0);
}

fn stopping_answers_who_waits(front: Front) {
    let patience = Patience { stop: Duration::from_secs(600), ..Patience::default() };
    let Api { node, front } = Api::start_with(front, Options::default(), patience);
    let mut idle = Wire::connect(front.addr());
    assert_eq!(idle.ask("GET", "/livez", "").status, 200);
    let mut client = Wire::connect(front.addr());
    node.set_mood(Mood::Silent);
    client.send(format!("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{URL}", URL.len()));
    node.wait_until_kept(1);
    let stopping = std::thread::spawn(move || front.stop());
    node.set_mood(Mood::Fine);
    assert_eq!(client.answer().status, 201);
    // Neither holds the front up by staying connected.
    stopping.join().unwrap();
}

/// The library has no timeouts, so its front must not wait for what never comes.
#[test]
fn tiny_http_stops_though_a_body_never_comes() {
    let patience = Patience { stop: Duration::from_millis(50), ..Patience::default() };
    let Api { node: _node, front } = Api::start_with(Front::Tiny, Options::default(), patience);
    let mut client = Wire::connect(front.addr());
    let head = "PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2000\r\n\r\n";
    client.send(head);
    // Told when a worker begins to read.
    assert_eq!(client.answer().status, 100);
    front.stop();
}
