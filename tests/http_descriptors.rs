//! A process that has run out of descriptors goes on serving. Alone in its file, because the limit is
//! the whole process's.
#![allow(clippy::unwrap_used, reason = "tests")]

mod http_support;

use std::collections::VecDeque;
use std::net::TcpStream;

use bowline::http::Options;
use bowline::http::front::Patience;
use http_support::{Api, Front, Wire};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

#[test]
fn without_descriptors_the_longest_idle_make_room() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum }).unwrap();
    let patience = Patience { connections_max: 1000, ..Patience::default() };
    let api = Api::start_with(Front::Mio, Options::default(), patience);
    // Both ends are here. When a client takes the last descriptor, there is none to accept it with.
    let mut clients = VecDeque::new();
    for _ in 0..60 {
        let stream = TcpStream::connect(api.front.addr()).unwrap_or_else(|_| {
            clients.pop_front();
            TcpStream::connect(api.front.addr()).unwrap()
        });
        let mut client = Wire::over(stream);
        assert_eq!(client.ask("GET", "/livez", "").status, 200);
        clients.push_back(client);
    }
    assert!(api.node.metrics.http_shed.get() > 0);
}
