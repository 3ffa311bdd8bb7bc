//! Where requests come from, as both fronts see it on real connections.
#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod http_support;

use bowline::http::front::Patience;
use bowline::http::reply::Response;
use bowline::http::wire::Method;
use bowline::http::{Options, Route};
use http_support::{Api, Front, Node};

both_fronts!(
    each_request_names_the_other_end_of_its_connection,
    a_proxy_on_this_machine_is_believed,
);

const TABLE: &[Route] =
    &[Route::whole("/origin", &[Method::Get, Method::Post], |service, _, request| {
        let origin = request.client(service);
        let scheme = if origin.tls { "https" } else { "http" };
        Response::text(200, format!("{scheme} {}", origin.address)).into()
    })];

fn api(front: Front, options: Options) -> Api {
    Api::over(Node::start_with_table(options, TABLE), front, Patience::default())
}

fn each_request_names_the_other_end_of_its_connection(front: Front) {
    let api = api(front, Options { trusted_proxies: Vec::new(), ..Options::default() });
    let fields = "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\n";
    let mut wire = api.connect();
    for (method, body) in [("GET", ""), ("POST", "with a body"), ("GET", "")] {
        let answer = wire.ask_with(method, "/origin", fields, body);
        assert_eq!(answer.body, "http 127.0.0.1", "{answer:?}");
    }
}

fn a_proxy_on_this_machine_is_believed(front: Front) {
    let api = api(front, Options::default());
    let mut wire = api.connect();
    for (fields, origin) in [
        ("X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\n", "https 203.0.113.7"),
        ("X-Forwarded-For: 198.51.100.1, [2001:db8::7]:4711\r\n", "http 2001:db8::7"),
        ("", "http 127.0.0.1"),
    ] {
        assert_eq!(wire.ask_with("GET", "/origin", fields, "").body, origin);
        assert_eq!(wire.ask_with("POST", "/origin", fields, "a body").body, origin);
    }
}
