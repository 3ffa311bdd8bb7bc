//! Whatever is asked, the router has an answer or a question, and never a panic.
#![allow(clippy::unwrap_used, reason = "tests")]

mod http_support;

use std::sync::LazyLock;

use bowline::http::routes::limits;
use bowline::http::wire::{Clock, Exchange, Head, Request, encode};
use bowline::http::{Options, ROUTES, Step};
use bowline::metrics::HttpRequests;
use http_support::Node;
use proptest::prelude::*;

static NODE: LazyLock<Node> = LazyLock::new(|| Node::start(Options::default()));

fn target() -> impl Strategy<Value = String> {
    let known = ROUTES.iter().map(|route| route.path);
    let path = prop_oneof![
        3 => prop::sample::select(known.collect::<Vec<_>>()).prop_map(str::to_owned),
        1 => "/b/(newest|hot|top|p|u|host|edit|like)?(/[a-z%0-9]{0,9})?(\\.rss|\\.json)?",
        1 => "/[a-zA-Z0-9_-]{0,12}",
        1 => "(/(v1|api|b|ui|livez|%[0-9a-f]{2}|[!-\"$->@-~]{0,6})){0,4}".prop_map(|path| format!("/{path}")),
    ];
    let name = prop::sample::select(vec![
        "id",
        "address",
        "pretty",
        "verbose",
        "forward",
        "consistency",
        "min_index",
        "x",
        "%69d",
    ]);
    let value = prop_oneof![
        prop::sample::select(vec![
            "1",
            "3",
            "redirect",
            "refuse",
            "stale",
            "linearizable",
            "%",
            "%ff"
        ])
        .prop_map(str::to_owned),
        "[!-\"$-~]{0,8}",
    ];
    let query = prop::collection::vec((name, value), 0..4);
    (path, query).prop_map(|(path, query)| {
        let pairs: Vec<_> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if pairs.is_empty() { path } else { format!("{path}?{}", pairs.join("&")) }
    })
}

proptest! {
    #[test]
    fn everything_is_answered(
        method in prop::sample::select(vec!["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "X"]),
        target in target(),
        body in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let head = format!("{method} {target} HTTP/1.1\r\nHost: h\r\n\r\n");
        let head = Head::parse(head.as_bytes(), &limits()).unwrap();
        let request = Request::new(head, body.into());
        if let Step::Reply(response) = NODE.service.call(&request) {
            prop_assert!(HttpRequests::STATUSES.contains(&response.status), "{}", response.status);
            // Consul says 500 to much that is the client's fault.
            let consul = target.starts_with("/v1/");
            prop_assert!(response.status < 500 || response.status == 503 || consul);
            prop_assert!(response.index.is_some());
            let mut out = Vec::new();
            encode(&response, Exchange::of(&request), &Clock::at(0), &mut out);
            let end = out.windows(4).position(|it| it == b"\r\n\r\n").unwrap();
            prop_assert!(out[..end].split(|byte| *byte == b'\n').all(|line| !line.is_empty()));
        }
    }
}

#[test]
fn each_route_takes_its_methods_and_no_other() {
    for route in ROUTES {
        for method in ["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"] {
            let path = route.path.replace("{key}", "AAAAAAAA");
            // A list of the board could be called as a page is that only takes forms.
            let is_part = path.strip_prefix("/b/").is_some_and(|part| !part.contains('/'));
            let fits = |it: &str| it == route.path || (it == "/b/{list}" && is_part);
            let takes = ROUTES
                .iter()
                .any(|it| fits(it.path) && it.methods.iter().any(|it| it.name() == method));
            let head = format!("{method} {path} HTTP/1.1\r\nHost: h\r\n\r\n");
            let head = Head::parse(head.as_bytes(), &limits()).unwrap();
            let refused = matches!(
                NODE.service.call(&Request::new(head, "https://example.com/".into())),
                Step::Reply(response) if response.status == 405
            );
            assert_eq!(refused, !takes, "{method} {path}");
        }
    }
}
