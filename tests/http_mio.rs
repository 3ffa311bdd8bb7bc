//! What only our own front promises: patience with bounds, strictness, and nobody in another's way.
#![allow(clippy::unwrap_used, reason = "tests")]

mod http_support;

use std::io::Write;
use std::time::Duration;

use bowline::http::Options;
use bowline::http::front::Patience;
use bowline::http::wire::Limits;
use http_support::{Api, Front, Mood, Wire};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const GET: &str = "GET /livez HTTP/1.1\r\nHost: h\r\n\r\n";
const URL: &str = "https://example.com/";
/// Long enough for an answer to be on time, short enough to wait for it.
const BRIEF: Duration = Duration::from_millis(100);

fn start() -> Api {
    Api::start(Front::Mio)
}

fn start_with(patience: Patience) -> Api {
    Api::start_with(Front::Mio, Options::default(), patience)
}

fn put(url: &str) -> String {
    format!("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{url}", url.len())
}

/// The connection's one answer, and its end.
fn last_answer(mut client: Wire) -> http_support::Answer {
    let answer = client.answer();
    assert_eq!(answer.header("Connection"), Some("close"), "{answer:?}");
    client.expect_end();
    answer
}

#[test]
fn however_the_bytes_are_cut_the_answers_are_the_same() {
    let api = start();
    let stream: String = (0..20)
        .map(|number| match number % 4 {
            0 => GET.to_owned(),
            1 => put(&format!("{URL}{number}")),
            2 => format!(
                "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
                 14;x=y\r\n{URL}\r\n2\r\n{number:02}\r\n0\r\n\r\n"
            ),
            _ => "GET /AAAAAAAA HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(),
        })
        .collect();
    let mut random = StdRng::seed_from_u64(7);
    for round in 0..30 {
        let mut client = api.connect();
        let mut rest = stream.as_bytes();
        while !rest.is_empty() {
            let length = random.random_range(1..=rest.len().min(1 << (round % 10 + 1)));
            client.send(&rest[..length]);
            rest = &rest[length..];
        }
        for number in 0..20 {
            let made = if round == 0 { 201 } else { 200 };
            let status = [200, made, made, 404][number % 4];
            assert_eq!(client.answer().status, status, "round {round}, answer {number}");
        }
    }
}

#[test]
fn ambiguous_requests_end_the_connection_after_one_answer() {
    let api = start();
    let applied = api.node.applied();
    // If any of these were read differently, the second request would be answered too.
    let second = "GET /livez HTTP/1.1\r\nHost: h\r\n\r\n";
    for (fields, status) in [
        ("Content-Length: abc", 400),
        ("Content-Length: -1", 400),
        ("Content-Length: +19", 400),
        ("Content-Length: 0\r\nContent-Length: 0", 400),
        ("Content-Length: 0, 0", 400),
        ("Content-Length: 4\r\nTransfer-Encoding: chunked", 400),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", 400),
        ("Transfer-Encoding: gzip", 501),
        ("Transfer-Encoding\t: chunked", 400),
        ("X: y\r\n Content-Length: 40", 400),
        ("X: y\nContent-Length: 40", 400),
        ("Host: other", 400),
        ("Expect: the-unexpected", 417),
    ] {
        let mut client = api.connect();
        client.send(format!("PUT / HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n{second}"));
        assert_eq!(last_answer(client).status, status, "{fields:?}");
    }
    for (bytes, status) in [
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        ("GET / HTTP/3.0\r\nHost: h\r\n\r\n", 505),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("\x16\x03\x01\x02\x00\x01", 400),
        ("GET /livez HTTP/1.1\nHost: h\n\n", 400),
        ("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX", 400),
    ] {
        let mut client = api.connect();
        client.send(bytes);
        let answer = last_answer(client);
        assert_eq!(answer.status, status, "{bytes:?}");
        assert_eq!(answer.header("Content-Type"), Some("application/problem+json"));
    }
    assert_eq!(api.node.applied(), applied, "nothing was written");
}

#[test]
fn what_is_too_large_is_refused_before_it_is_there() {
    let api = start();
    for (sent, status) in [
        (format!("GET /{}", "a".repeat(2 * Limits::TARGET_MAX)), 414),
        (format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(2 * Limits::HEAD_MAX)), 431),
        (format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "X: y\r\n".repeat(64)), 431),
        ("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 107374182400\r\n\r\n".into(), 413),
        ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 18000000000000000000\r\n\r\n".into(), 413),
        (
            "PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 99999\r\n\r\n"
                .into(),
            413,
        ),
    ] {
        let mut client = api.connect();
        client.send(&sent);
        assert_eq!(last_answer(client).status, status);
    }
    assert_eq!(api.get("/livez").status, 200);
}

#[test]
fn the_last_answer_survives_what_the_client_still_sends() {
    let api = start();
    let mut client = api.connect();
    client.send("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n");
    client.send(vec![b'x'; 1_000_000]);
    assert_eq!(last_answer(client).status, 413);
}

#[test]
fn a_slow_head_is_told_so() {
    let api = start_with(Patience { head: BRIEF, ..Patience::default() });
    let mut client = api.connect();
    assert_eq!(client.ask("GET", "/livez", "").status, 200);
    client.send("GET /livez HTTP/1.1\r\nHost:");
    assert_eq!(last_answer(client).status, 408);
    assert_eq!(api.node.metrics.http_timeouts.get(), 1);
}

#[test]
fn a_stalled_body_is_told_so() {
    let api = start_with(Patience { body: BRIEF, ..Patience::default() });
    let mut client = api.connect();
    client.send("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 20\r\n\r\nhttps://");
    assert_eq!(last_answer(client).status, 408);
}

#[test]
fn a_body_that_drips_is_told_so() {
    let api = start_with(Patience { body: BRIEF, ..Patience::default() });
    let mut client = api.connect();
    client.send("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 16000\r\n\r\n");
    // One byte after the other, each well within the time that the whole has.
    client.stream.set_read_timeout(Some(BRIEF / 10)).unwrap();
    for _ in 0..16_000 {
        client.send("x");
        if client.stream.peek(&mut [0]).is_ok() {
            break;
        }
    }
    client.stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    assert_eq!(last_answer(client).status, 408);
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let api = start_with(Patience { idle: BRIEF, ..Patience::default() });
    let mut silent = api.connect();
    let mut used = api.connect();
    assert_eq!(used.ask("GET", "/livez", "").status, 200);
    used.expect_end();
    silent.expect_end();
    assert_eq!(api.node.metrics.http_timeouts.get(), 0);
}

#[test]
fn waiting_for_the_node_is_not_idling() {
    let patience = Patience { idle: BRIEF, head: BRIEF, body: BRIEF, ..Patience::default() };
    let api = start_with(patience);
    api.node.set_mood(Mood::Silent);
    let mut client = api.connect();
    client.send(put(URL));
    let mut idle = api.connect();
    idle.expect_end();
    api.node.set_mood(Mood::Fine);
    assert_eq!(client.answer().status, 201);
}

#[test]
fn who_does_not_read_is_closed_and_disturbs_nobody() {
    let api = start_with(Patience { write: BRIEF, ..Patience::default() });
    let mut greedy = api.connect();
    let writer = std::thread::spawn(move || {
        let burst = "GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n".repeat(1000);
        // Ends when the server closes: its buffers are bounded, and so is its patience.
        while greedy.stream.write_all(burst.as_bytes()).is_ok() {}
    });
    writer.join().unwrap();
    assert_eq!(api.get("/livez").status, 200);
    assert_eq!(api.node.metrics.http_timeouts.get(), 1);
}

#[test]
fn a_slow_reader_gets_everything_in_the_end() {
    let api = start();
    let client = api.connect();
    let mut writer = client.stream.try_clone().unwrap();
    let count = 5000;
    let sending = std::thread::spawn(move || {
        let request = "GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n";
        writer.write_all(request.repeat(count).as_bytes()).unwrap();
    });
    let mut client = client;
    for _ in 0..count {
        assert_eq!(client.answer().status, 200);
    }
    sending.join().unwrap();
}

#[test]
fn more_requests_than_may_wait_are_answered_in_order() {
    let api = start();
    api.node.set_mood(Mood::Silent);
    let mut client = api.connect();
    let count = 500;
    client.send((0..count).map(|n| put(&format!("{URL}{n}"))).collect::<String>());
    api.node.wait_until_kept(100);
    api.node.set_mood(Mood::Fine);
    for number in 0..count {
        let made = client.answer();
        assert_eq!(made.status, 201);
        let again = api.put(&format!("{URL}{number}"));
        assert_eq!((again.status, again.body), (200, made.body));
    }
}

#[test]
fn many_connections_at_once_are_all_answered() {
    let api = start();
    let mut clients: Vec<_> = (0..64).map(|_| api.connect()).collect();
    for round in 0..3 {
        for (number, client) in clients.iter_mut().enumerate() {
            client.send(put(&format!("{URL}{round}/{number}")));
        }
        for client in &mut clients {
            assert_eq!(client.answer().status, 201);
        }
    }
    let metrics = &api.node.metrics;
    assert_eq!((metrics.http_opened.get(), metrics.http_closed.get()), (64, 0));
}

#[test]
fn at_the_limit_the_longest_idle_make_room() {
    let api = start_with(Patience { connections_max: 4, ..Patience::default() });
    let mut clients: Vec<_> = (0..4).map(|_| api.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.ask("GET", "/livez", "").status, 200);
    }
    for _ in 0..4 {
        let mut client = api.connect();
        assert_eq!(client.ask("GET", "/livez", "").status, 200);
        clients.push(client);
    }
    assert!(api.node.metrics.http_shed.get() >= 4);
    clients[0].expect_end();
}

#[test]
fn a_client_that_leaves_takes_nothing_with_it() {
    let api = start();
    api.node.set_mood(Mood::Silent);
    let mut client = api.connect();
    client.send(put(URL));
    api.node.wait_until_kept(1);
    drop(client);
    api.node.set_mood(Mood::Fine);
    assert_eq!(api.put(URL).status, 200, "it was done all the same");
}

#[test]
fn half_closed_clients_get_their_answers() {
    let api = start();
    let mut client = api.connect();
    client.send(format!("{GET}{}{GET}GET /liv", put(URL)));
    client.end();
    for status in [200, 201, 200] {
        assert_eq!(client.answer().status, status);
    }
    client.expect_end();
}

#[test]
fn nothing_is_answered_after_a_close() {
    let api = start();
    let mut client = api.connect();
    client.send(format!("GET /livez HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n{GET}{GET}"));
    assert_eq!(last_answer(client).status, 200);
}

#[test]
fn a_go_ahead_comes_after_earlier_answers() {
    let api = start();
    let mut client = api.connect();
    client.send(put(URL));
    client.send("PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 20\r\n\r\n");
    assert_eq!(client.answer().status, 201);
    assert_eq!(client.answer().status, 100);
    client.send(URL);
    assert_eq!(client.answer().status, 200);
}

#[test]
fn stopping_closes_idle_connections_at_once() {
    let patience = Patience { stop: Duration::from_secs(600), ..Patience::default() };
    let Api { node: _node, front } = start_with(patience);
    let mut clients: Vec<_> = (0..10).map(|_| Wire::connect(front.addr())).collect();
    for client in &mut clients {
        assert_eq!(client.ask("GET", "/livez", "").status, 200);
    }
    front.stop();
    for client in &mut clients {
        client.expect_end();
    }
}

#[test]
fn stopping_answers_what_has_arrived() {
    let Api { node: _node, front } = start();
    let mut clients: Vec<_> = (0..100).map(|_| Wire::connect(front.addr())).collect();
    for client in &mut clients {
        assert_eq!(client.ask("GET", "/livez", "").status, 200);
    }
    for client in &mut clients {
        client.send(put(URL));
    }
    front.stop();
    for client in &mut clients {
        assert!([200, 201].contains(&client.answer().status));
        client.expect_end();
    }
}
