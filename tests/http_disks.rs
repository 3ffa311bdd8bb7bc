//! What clients and operators are told about disks that are full, hang or lie, through both fronts.
#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod http_support;

use std::time::Duration;

use bowline::error::{Failure, Reason};
use bowline::node::{DiskHealth, ScrubEnd, ScrubWake};
use http_support::{Api, Front, Mood, problem};

const URL: &str = "https://example.com/a/long/url?with=a&query#and-more";

both_fronts! {
    a_full_disk_refuses_writes_and_nothing_else,
    a_lost_state_is_not_served,
    a_state_that_is_lost_meanwhile_is_not_served,
    a_bad_disk_is_told_of,
    a_scrub_is_asked_for_and_watched,
}

fn a_full_disk_refuses_writes_and_nothing_else(front: Front) {
    let api = Api::start(front);
    let key = api.node.make_link(URL);
    api.node.set_status(|status| status.disk = DiskHealth::Full);
    api.node.set_mood(Mood::Fails(Failure::not_applied(Reason::DiskFull)));
    let json = problem(&api.put(URL), 507);
    assert_eq!((&json["retryable"], &json["outcome"]), (&true.into(), &"not_applied".into()));
    assert_eq!(json["title"], "Insufficient Storage");
    let detail = json["detail"].as_str().unwrap();
    assert!(detail.contains("no room") && detail.contains("nothing was changed"), "{json}");
    assert_eq!(api.get(&format!("/{key}")).status, 301);
    let ready = api.get("/readyz");
    assert_eq!((ready.status, ready.body.as_str()), (200, "ready\n"));
    assert!(api.get("/readyz?verbose").body.contains("[!] disk: is full"));
    assert!(api.get("/metrics").body.contains("\nbowline_disk_full 1\n"));
    let transfer = api.ask("POST", "/v1/operator/raft/transfer-leader", "");
    assert_eq!((transfer.status, transfer.header("Retry-After")), (507, Some("10")));
}

fn a_lost_state_is_not_served(front: Front) {
    let api = Api::start(front);
    let key = api.node.make_link(URL);
    let why = "the digest at index 7 is not that of the majority";
    api.node.set_status(|status| status.state_lost = Some(why.into()));
    for (method, path) in [("GET", &*format!("/{key}")), ("GET", "/AAAAAAAA"), ("PUT", "/")] {
        let json = problem(&api.ask(method, path, URL), 503);
        assert!(json["detail"].as_str().unwrap().contains(why), "{json}");
        assert_eq!((&json["retryable"], &json["outcome"]), (&true.into(), &"not_applied".into()));
    }
    problem(&api.ask("GET", &format!("/{key}?consistency=stale"), ""), 503);
    problem(&api.ask("POST", "/api/scrub", ""), 503);
    for path in ["/livez", "/metrics", "/", "/v1/agent/members", "/v1/status/leader", "/api/scrub"]
    {
        assert_eq!(api.get(path).status, 200, "{path}");
    }
    assert_eq!(api.get("/v1/operator/raft/configuration").status, 200);
    assert_eq!(api.get("/api/status").json()["node"]["state_lost"], why);
    assert!(api.get("/metrics").body.contains("\nbowline_state_lost 1\n"));
    let ready = api.get("/readyz");
    assert_eq!((ready.status, ready.header("Retry-After")), (503, Some("1")));
    assert!(ready.body.starts_with("[-] state: ") && ready.body.contains(why), "{}", ready.body);
    api.node.set_status(|status| status.state_lost = None);
    assert_eq!(api.get(&format!("/{key}")).status, 301);
}

fn a_state_that_is_lost_meanwhile_is_not_served(front: Front) {
    let api = Api::start(front);
    let key = api.node.make_link(URL);
    api.node.set_mood(Mood::Silent);
    let mut client = api.connect();
    client.send(format!("GET /{key}?consistency=linearizable HTTP/1.1\r\nHost: h\r\n\r\n"));
    api.node.wait_until_kept(1);
    api.node.set_status(|status| status.state_lost = Some("row 7 is damaged".into()));
    api.node.set_mood(Mood::Fine);
    problem(&client.answer(), 503);
}

fn a_bad_disk_is_told_of(front: Front) {
    let api = Api::start(front);
    let status = api.get("/api/status").json();
    assert_eq!((&status["node"]["disk"], &status["node"]["log_start"]), (&"ok".into(), &0.into()));
    assert!(status["node"]["recovering"].is_null());
    let verbose = api.get("/readyz?verbose").body;
    assert!(verbose.contains("[+] disk: ") && verbose.contains("[+] log: "), "{verbose}");

    api.node.set_status(|status| {
        status.disk = DiskHealth::Stalled;
        status.recovering = Some("the tail of the log was torn".into());
        status.log_start = 4;
    });
    let ready = api.get("/readyz");
    assert_eq!(ready.status, 503);
    assert_eq!(ready.body, "[-] disk: a write to the log hangs\nnot ready\n");
    assert!(api.get("/readyz?verbose").body.contains("[!] log: recovers and does not vote: the"));
    let status = api.get("/api/status").json();
    assert_eq!(status["node"]["disk"], "stalled");
    assert_eq!(status["node"]["recovering"], "the tail of the log was torn");
    assert_eq!(status["node"]["log_start"], 4);
    let metrics = api.get("/metrics").body;
    for line in ["bowline_disk_stalled 1", "bowline_recovering 1", "bowline_log_start_index 4"] {
        assert!(metrics.lines().any(|it| it == line), "{line} is not in\n{metrics}");
    }
}

fn a_scrub_is_asked_for_and_watched(front: Front) {
    let api = Api::start(front);
    let scrub = api.node.service.client().scrub.clone();
    let idle = api.get("/api/scrub");
    assert_eq!((idle.status, &idle.json()["asked"]), (200, &0.into()));
    let asked = api.ask("POST", "/api/scrub", "");
    assert_eq!((asked.status, &asked.json()["asked"]), (202, &1.into()));
    assert_eq!(scrub.wait(Duration::ZERO), ScrubWake::Asked);
    scrub.begin(1_700_000_000_000);
    scrub.progress(5, 600);
    let running = api.get("/api/scrub?pretty");
    assert!(running.body.contains("\n    \"running\": true"), "{}", running.body);
    assert_eq!((&running.json()["rows"], &running.json()["bytes"]), (&5.into(), &600.into()));
    assert_eq!(api.ask("POST", "/api/scrub", "").json()["asked"], 1, "it joins the running one");
    scrub.finish(1_700_000_001_000, ScrubEnd::Sound("5 rows are what was written".into()));
    let done = api.get("/api/scrub").json();
    assert_eq!((&done["ended"], &done["sound"]), (&1.into(), &true.into()));
    assert_eq!(done["finished_ms"], 1_700_000_001_000_u64);
    assert_eq!(done["result"], "5 rows are what was written");
}
