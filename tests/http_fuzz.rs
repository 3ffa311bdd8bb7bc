//! Whatever comes over a socket is answered: every route, with the parameters and bodies that clients send,
//! and with those that no client should. An answer is whole, its status is one that the documentation
//! knows, an error says something in the form its surface promises, and what was refused has changed
//! nothing.
#![allow(clippy::unwrap_used, reason = "tests")]

mod board_support;
mod http_support;

use std::fmt;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::LazyLock;
use std::time::Duration;

use board_support::{Browser, Page, Site, html};
use bowline::http::ROUTES;
use bowline::metrics::HttpRequests;
use http_support::{Api, Front, Node};
use proptest::prelude::*;
use serde_json::{Value, json};

/// What ends the node's part in its cluster, moves its whole state or is one document has tests of its own.
const LEFT_OUT: [&str; 3] = ["/v1/agent/leave", "/v1/snapshot", "/openapi.json"];

static API: LazyLock<SocketAddr> = LazyLock::new(start);

/// Where a node of its own listens until the process ends.
fn start() -> SocketAddr {
    let api = Api::start(Front::Mio);
    let address = api.front.addr();
    std::mem::forget(api);
    address
}

/// An answer as it came, until the server closed the connection.
struct Raw {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n\n{}", self.head, self.text())
    }
}

impl Raw {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.split("\r\n").filter_map(|line| line.split_once(": "));
        lines.find(|(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

/// One request on a connection of its own.
fn ask(api: SocketAddr, method: &str, target: &str, headers: &str, body: &[u8]) -> Raw {
    let mut stream = TcpStream::connect(api).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let length = body.len();
    let head = format!(
        "{method} {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).ok(); // a refusal may come before the end of the body, and a reset with it
    let mut bytes = Vec::new();
    if let Err(error) = stream.read_to_end(&mut bytes) {
        assert!(!bytes.is_empty(), "{method} {target}: {error}");
    }
    let end = bytes.windows(4).position(|it| it == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no answer to {method} {target}"));
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let status = head["HTTP/1.1 ".len()..][..3].parse().unwrap();
    let mut raw = Raw { status, head, body: bytes.split_off(end + 4) };
    if raw.header("Transfer-Encoding").is_some() && method != "HEAD" {
        raw.body = joined(&raw.body);
    }
    raw
}

/// The body in these chunks, of which the last must have come.
fn joined(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|it| it == b"\r\n").expect("a chunk's length");
        let len = std::str::from_utf8(&rest[..end]).unwrap();
        let len = usize::from_str_radix(len, 16).unwrap();
        body.extend_from_slice(&rest[end + 2..][..len]);
        rest = &rest[end + 2 + len..];
        assert!(rest.starts_with(b"\r\n"), "a chunk's end");
        rest = &rest[2..];
        if len == 0 {
            assert_eq!(rest, b"");
            return body;
        }
    }
}

/// What is true of every answer.
fn check(method: &str, target: &str, raw: &Raw) {
    let said = format!("{method} {target}: {raw:?}");
    assert!(HttpRequests::STATUSES.contains(&raw.status), "{said}");
    assert!(raw.header("X-Bowline-Index").is_some(), "{said}");
    let consul = target.starts_with("/v1/");
    assert!(raw.status < 500 || consul || raw.status == 503, "{said}");
    assert_ne!(raw.status, 501, "{said}");
    assert_ne!(raw.status, 504, "{said}");
    if method == "HEAD" {
        assert_eq!(raw.body, b"", "{said}");
        return;
    }
    let kind = raw.header("Content-Type").unwrap_or_default();
    if raw.status >= 400 && raw.status != 404 && raw.status != 429 && raw.status != 410 {
        assert!(!raw.text().trim().is_empty(), "it says nothing: {said}");
        // Who asked for it (`?forward=refuse`) is told where the leader is, in a form of its own.
        let elsewhere = raw.status == 409 && raw.text().contains("\"leaderId\"");
        let page = kind == "text/html; charset=utf-8";
        if is_of_the_board(target) && !is_feed(target) {
            assert!(page, "{said}");
        } else if !(consul || elsewhere || page && is_of_the_board(target)) {
            assert_eq!(kind, "application/problem+json", "{said}");
        }
    }
    if kind.starts_with("text/html") {
        html::sound(&raw.text());
    }
    if kind.ends_with("json") && !raw.body.is_empty() {
        assert!(raw.json().is_some(), "{said}");
    }
    assert!(!raw.text().contains("panick"), "{said}");
}

fn is_of_the_board(target: &str) -> bool {
    let path = target.split('?').next().unwrap_or_default();
    path == "/b" || path.starts_with("/b/")
}

/// Whether a path ends as those do that are for programs.
fn is_feed(target: &str) -> bool {
    let path = target.split('?').next().unwrap_or_default();
    [".rss", ".json", ".css", ".svg"].iter().any(|end| path.ends_with(end))
}

/// A path of a route, with something in the place of its variable part.
fn path() -> impl Strategy<Value = String> {
    let routes: Vec<_> =
        ROUTES.iter().map(|it| it.path).filter(|it| !LEFT_OUT.contains(it)).collect();
    (prop::sample::select(routes), part()).prop_map(|(path, part)| match path.split_once('{') {
        Some((fixed, _)) => format!("{fixed}{part}"),
        None => path.to_owned(),
    })
}

/// What may stand in a path: keys of any bytes, ids, names, and what is wrong.
fn part() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => prop::sample::select(KEYS).prop_map(str::to_owned),
        3 => "([a-z]|/|%[0-9a-fA-F]{2}|[!$&'()*+,;=:@~-]){0,12}",
        1 => Just(format!("long/{}", "k".repeat(1100))),
        1 => "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        1 => "%[0-9a-zA-Z%]{0,3}",
        2 => prop::sample::select(OF_THE_BOARD).prop_map(str::to_owned),
    ]
}

const OF_THE_BOARD: &[&str] = &[
    "newest",
    "newest.rss",
    "newest.json",
    "hot.rss",
    "top",
    "week",
    "day.json",
    "century.rss",
    "fuzzer",
    "Fuzzer.json",
    "fuzzer.rss.json",
    ".rss",
    "example.com",
    "www.example.com.rss",
    "%3Cscript%3E",
    "%3Cscript%3E.rss",
    "..%2f..",
];

const KEYS: &[&str] = &[
    "",
    "a",
    "a/",
    "a/b",
    "a%2Fb",
    "a//b",
    "%00",
    "%ff%fe",
    "n1",
    "n3",
    "10.0.0.1:7071",
    "%E2%82%AC",
];

/// Parameters as they occur together: what waits says for how long, or is refused for what it says.
const PARAMETERS: &[&str] = &[
    "raw",
    "recurse",
    "recurse=true",
    "keys",
    "separator=/",
    "separator=",
    "separator=%ff",
    "seperator=b",
    "stale",
    "consistent",
    "pretty",
    "cas=0",
    "cas=1",
    "cas=18446744073709551615",
    "cas=18446744073709551616",
    "cas=-1",
    "cas=",
    "cas",
    "flags=1",
    "flags=18446744073709551615",
    "flags=x",
    "acquire=00000000-0000-0000-0000-000000000001",
    "acquire=",
    "acquire=x",
    "release=00000000-0000-0000-0000-000000000001",
    "release=%ff",
    "index=0",
    "index=-1",
    "index=x",
    "index=18446744073709551616",
    "index=1&wait=1ms",
    "index=99999&wait=2ms",
    "index=5&wait=x",
    "index=0&wait=10m",
    "index=0&wait=-1s",
    "wait=99999999999999999999h",
    "dc=dc1",
    "dc=other",
    "token=t",
    "passing",
    "id=1",
    "id=x",
    "address=10.0.0.1:7071",
    "ttl=1s",
    "ttl=0",
    "ttl=x",
    "ttl=999999999999h",
    "prefix=a",
    "prefix=a/&keys",
    "prefix=%zz",
    "format=text",
    "format=jsonl",
    "format=x",
    "consistency=stale",
    "consistency=x",
    "min_index=0",
    "min_index=x",
    "min_index=99999999999999999999",
    "forward=redirect",
    "forward=refuse",
    "node=n1",
    "wan",
    "after=",
    "after=AAAA",
    "after=%ff",
    "after=!",
    "reply=1",
    "reply=x",
    "reply=99999999999999999999",
    "again",
    "url=javascript:alert(1)",
    "url=%22%3E%3Cscript%3E",
    "title=%3C%2Ftitle%3E%3Cscript%3E",
    "next=//evil.example",
    "next=/b/newest",
    "%",
    "=",
    "%ff=%ff",
];

fn query() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(PARAMETERS), 0..4).prop_map(|mut pairs| {
        // Of parameters that are there twice the first one counts: a long wait is to stay without an
        // index.
        pairs.sort_by_key(|pair| !pair.starts_with("index="));
        if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
    })
}

const HEADERS: &[&str] = &[
    "",
    "If-Match: \"1\"\r\n",
    "If-Match: *\r\n",
    "If-Match: \"\r\n",
    "If-None-Match: *\r\n",
    "If-None-Match: \"2\", W/\"3\"\r\n",
    "Idempotency-Key: k\r\n",
    "Idempotency-Key: \r\n",
    "Accept: text/plain\r\n",
    "Accept: application/json;q=0.1, */*\r\n",
    "X-Bowline-Flags: 3\r\n",
    "X-Consul-Token: t\r\n",
    "Last-Event-ID: 7\r\n",
    "Cookie: bowline_login=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n",
    "Cookie: bowline_seen=3; bowline_form=AAAAAAAAAAAAAAAAAAAAAA\r\n",
    "Cookie: bowline_seen=99999999999\r\n",
    "Cookie: =; ;bowline_login; bowline_login=\"\r\n",
    "X-Forwarded-For: 192.0.2.1, unknown\r\nX-Forwarded-Proto: https\r\n",
    "Content-Type: application/x-www-form-urlencoded\r\n",
    "Content-Type: multipart/form-data; boundary=x\r\n",
];

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => prop::collection::vec(any::<u8>(), 0..60),
        2 => transaction().prop_map(|body| body.to_string().into_bytes()),
        2 => session().prop_map(|body| body.to_string().into_bytes()),
        1 => Just(b"https://example.com/".to_vec()),
        1 => Just(Vec::new()),
    ]
}

/// Something where something else belongs.
fn anything() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[ -~]{0,8}".prop_map(Value::from),
        prop::sample::select(KEYS).prop_map(Value::from),
        Just(json!([])),
        Just(json!({})),
        Just(json!([{"KV": []}])),
    ]
}

const VERBS: &[&str] = &[
    "set",
    "cas",
    "lock",
    "unlock",
    "get",
    "get-or-empty",
    "get-tree",
    "check-index",
    "check-session",
    "check-not-exists",
    "delete",
    "delete-tree",
    "delete-cas",
    "SET",
    "drop",
    "",
];

/// One field: mostly as it should be, or wrong, or not there.
fn field(good: impl Strategy<Value = Value> + 'static) -> impl Strategy<Value = Option<Value>> {
    prop_oneof![
        20 => good.prop_map(Some),
        1 => anything().prop_map(Some),
        4 => Just(None),
    ]
}

fn operation() -> impl Strategy<Value = Value> {
    let select = |of: &'static [&'static str]| prop::sample::select(of).prop_map(Value::from);
    let keys: &[&str] = &["t/a", "t/b", "t/c/d", "t/", "\u{0}\u{20ac}", ""];
    let fields = (
        field(select(VERBS)),
        field(select(keys)),
        field(select(&["YQ==", "", "YWI", "!", "YQ==\n"])),
        field((0u64..3).prop_map(Value::from)),
        field((0u64..40).prop_map(Value::from)),
        field(select(&["00000000-0000-0000-0000-000000000001", "x", ""])),
    );
    let kv = fields.prop_map(|(verb, key, value, flags, index, session)| {
        let names = ["Verb", "Key", "Value", "Flags", "Index", "Session"];
        let fields = names.into_iter().zip([verb, key, value, flags, index, session]);
        let fields = fields.filter_map(|(name, value)| Some((name.to_owned(), value?)));
        json!({ "KV": Value::Object(fields.collect()) })
    });
    prop_oneof![30 => kv, 1 => anything(), 1 => Just(json!({"Node": {}, "KV": null}))]
}

fn transaction() -> impl Strategy<Value = Value> {
    prop_oneof![
        20 => prop::collection::vec(operation(), 0..6).prop_map(Value::from),
        1 => prop::collection::vec(operation(), 120..140).prop_map(Value::from),
        1 => anything(),
    ]
}

fn session() -> impl Strategy<Value = Value> {
    let names = ["Name", "Node", "LockDelay", "Behavior", "TTL", "Checks", "NodeChecks", "ttl"];
    let values = prop_oneof![
        3 => prop::sample::select(vec![
            json!("n1"), json!("15s"), json!(15), json!(-1), json!(1e300), json!("release"),
            json!("delete"), json!("10s"), json!("5s"), json!("99999999h"), json!(["serfHealth"]),
            json!(""), json!("0s"),
        ]),
        1 => anything(),
    ];
    let fields = prop::collection::vec((prop::sample::select(names.to_vec()), values), 0..5);
    prop_oneof![
        10 => fields.prop_map(|fields| {
            Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
        }),
        1 => anything(),
    ]
}

/// All keys and all sessions, with their indexes.
fn everything(api: SocketAddr) -> Vec<(Option<String>, Vec<u8>)> {
    ["/v1/kv/?recurse", "/v1/session/list"]
        .map(|target| {
            let raw = ask(api, "GET", target, "", b"");
            assert!([200, 404].contains(&raw.status), "{raw:?}");
            (raw.header("X-Consul-Index").map(str::to_owned), raw.body)
        })
        .into()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn everything_is_answered(
        method in prop::sample::select(vec!["GET", "GET", "HEAD", "PUT", "PUT", "POST", "DELETE", "PATCH"]),
        path in path(),
        query in query(),
        headers in prop::sample::select(HEADERS),
        body in body(),
    ) {
        let target = format!("{path}{query}");
        check(method, &target, &ask(*API, method, &target, headers, &body));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_transaction_is_done_or_changes_nothing(body in transaction(), query in query()) {
        static OWN: LazyLock<SocketAddr> = LazyLock::new(start);
        let target = format!("/v1/txn{query}");
        let before = everything(*OWN);
        let raw = ask(*OWN, "PUT", &target, "", body.to_string().as_bytes());
        check("PUT", &target, &raw);
        prop_assert!([200, 400, 409, 413, 500].contains(&raw.status), "{body}: {raw:?}");
        if raw.status != 200 {
            prop_assert_eq!(everything(*OWN), before, "{} was refused: {:?}", body, raw);
        }
        if raw.status == 200 || raw.status == 409 {
            let answer = raw.json().unwrap();
            let failed = !answer["Errors"].is_null();
            prop_assert_eq!(failed, raw.status == 409, "{}: {}", body, answer);
            for error in answer["Errors"].as_array().into_iter().flatten() {
                let op = error["OpIndex"].as_u64().unwrap();
                prop_assert!((op as usize) < body.as_array().unwrap().len());
                prop_assert!(!error["What"].as_str().unwrap().is_empty());
            }
            for result in answer["Results"].as_array().into_iter().flatten() {
                prop_assert!(result["KV"]["Key"].is_string(), "{answer}");
            }
        }
    }

    #[test]
    fn a_body_that_is_damaged_is_answered(
        body in transaction(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<bool>(),
    ) {
        let mut bytes = body.to_string().into_bytes();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        for target in ["/v1/txn", "/v1/session/create"] {
            check("PUT", target, &ask(*API, "PUT", target, "", &bytes));
        }
    }

    #[test]
    fn a_session_is_opened_or_refused(body in session()) {
        let raw = ask(*API, "PUT", "/v1/session/create", "", body.to_string().as_bytes());
        check("PUT", "/v1/session/create", &raw);
        if raw.status == 200 {
            prop_assert!(raw.json().unwrap()["ID"].is_string());
        } else {
            prop_assert!([400, 500].contains(&raw.status), "{body}: {raw:?}");
        }
    }
}

/// A parser that goes down with every bracket must know when to stop.
#[test]
fn deep_bodies_are_refused() {
    for (open, close) in [("[", "]"), ("{\"KV\":", "}")] {
        let body = format!("{}{}", open.repeat(200_000), close.repeat(200_000));
        for target in ["/v1/txn", "/v1/session/create"] {
            let raw = ask(*API, "PUT", target, "", body.as_bytes());
            assert!([400, 413].contains(&raw.status), "{target}: {raw:?}");
        }
    }
}

/// What serves the board to somebody who is logged in.
struct Board {
    node: Node,
    address: SocketAddr,
}

impl Site for Board {
    fn answer(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Page {
        let lines: String =
            headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let raw = ask(self.address, method, target, &lines, body.as_bytes());
        check(method, target, &raw);
        let fields = raw.head.split("\r\n").filter_map(|line| line.split_once(": "));
        let headers = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let body = raw.text().into_owned();
        Page { target: target.to_owned(), status: raw.status, headers, body }
    }
}

/// A board with a post on it, its author, and the post's key.
static BOARD: LazyLock<(Board, Browser, String)> = LazyLock::new(|| {
    let Api { node, front } = Api::start(Front::Mio);
    let board = Board { node, address: front.addr() };
    std::mem::forget(front);
    let mut author = Browser::default();
    author.sign_up(&board, "fuzzer");
    let key = author.post(&board, "A post", "https://example.com/");
    (board, author, key)
});

/// The paths that take forms, and with which something can be done to the post.
const ACTIONS: &[&str] = &[
    "/b/post",
    "/b/edit/KEY",
    "/b/like/KEY",
    "/b/like/other",
    "/b/comment/KEY",
    "/b/comment/other",
    "/b/uncomment/KEY",
    "/b/hide/KEY",
    "/b/disable/fuzzer",
    "/b/appoint/fuzzer",
    "/b/appoint/nobody",
    "/b/signup",
    "/b/login",
    "/b/password",
];

/// What stands in a field.
fn typed() -> impl Strategy<Value = String> {
    let odd = [
        "",
        "0",
        "1",
        "-1",
        "18446744073709551616",
        "https://example.com/",
        "https://example.com/\u{e9}?utm_source=x#y",
        "javascript:alert(1)",
        "//evil.example",
        "/b/newest",
        "fuzzer",
        "</textarea><script>alert(1)</script>",
        "\"><b>",
        "\u{202e}\u{0}\u{fffe}",
        "\r\n\r\n",
    ];
    prop_oneof![
        4 => prop::sample::select(odd.to_vec()).prop_map(str::to_owned),
        2 => ".{0,40}",
        1 => ".{140,160}",
        1 => Just("x".repeat(5_001)),
    ]
}

const FIELDS: &[&str] = &[
    "title",
    "url",
    "text",
    "parent",
    "comment",
    "reason",
    "on",
    "hidden",
    "disabled",
    "moderator",
    "name",
    "password",
    "old",
    "new",
    "next",
    "again",
    "",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_form_is_done_or_given_back(
        action in prop::sample::select(ACTIONS),
        fields in prop::collection::vec((prop::sample::select(FIELDS), typed()), 0..5),
    ) {
        let (board, author, key) = &*BOARD;
        // So that limits are not all that is seen.
        board.node.pass(300_000);
        let mut browser = author.clone();
        let token = browser.open(board, "/b/post").form("/b/post").get("csrf").unwrap().to_owned();
        let pairs = fields.iter().map(|(name, value)| (*name, value.as_str()));
        let pairs = pairs.chain([("csrf", token.as_str())]);
        let pairs: Vec<_> = pairs
            .map(|(name, value)| format!("{}={}", html::encoded(name), html::encoded(value)))
            .collect();
        let target = action.replace("KEY", key);
        let page = browser.ask(board, "POST", &target, &pairs.join("&"));
        let answered = [303, 400, 401, 403, 404, 409, 410, 422, 429].contains(&page.status);
        prop_assert!(answered, "{target} {fields:?}: {page:?}");
        if page.status == 303 {
            prop_assert!(page.location().starts_with("/b"), "{page:?}");
        }
        let lists = ["/b", "/b/newest.rss", "/b/newest.json", "/b/log", &format!("/b/p/{key}")];
        for target in lists {
            prop_assert_eq!(browser.get(board, target).status, 200, "{} {:?}", target, fields);
        }
    }
}
