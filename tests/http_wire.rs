//! What is a request, byte by byte.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use bowline::http::wire::{
    Arrival, BodyRule, Budget, Decoder, Limits, Method, Request, Stage, Version, WireError,
};
use proptest::prelude::*;

const BODY_MAX: usize = 1000;

fn limits(memory: usize) -> Arc<Limits> {
    Arc::new(Limits {
        head_max: Limits::HEAD_MAX,
        target_max: Limits::TARGET_MAX,
        body: Box::new(|head| match head.path() {
            "/up" => BodyRule::Pieces,
            _ => BodyRule::Whole(BODY_MAX),
        }),
        bodies: Budget::new(memory),
    })
}

fn decoder() -> Decoder {
    Decoder::new(limits(usize::MAX))
}

fn decode(bytes: impl AsRef<[u8]>) -> Vec<Result<Arrival, WireError>> {
    let mut decoder = decoder();
    decoder.feed(bytes.as_ref());
    let items = decoder.by_ref().collect();
    assert_eq!(decoder.next(), None);
    items
}

fn one(bytes: impl AsRef<[u8]>) -> Request {
    let mut items = decode(bytes);
    assert_eq!(items.len(), 1, "{items:?}");
    request(items.remove(0))
}

fn request(item: Result<Arrival, WireError>) -> Request {
    match item {
        Ok(Arrival::Request(request)) => request,
        other => panic!("no request: {other:?}"),
    }
}

/// The bodies that are handed on, each as one piece. How much of one came before an error is chance.
fn joined(items: Vec<Result<Arrival, WireError>>) -> Vec<Result<Arrival, WireError>> {
    let mut whole: Vec<Result<Arrival, WireError>> = Vec::new();
    for item in items {
        match (whole.last_mut(), item) {
            (Some(Ok(Arrival::Piece(so_far))), Ok(Arrival::Piece(piece))) => {
                assert!(!piece.is_empty());
                *so_far = [&so_far[..], &piece].concat().into();
            }
            (Some(Ok(Arrival::Piece(_))), Err(error)) => {
                whole.pop();
                whole.push(Err(error));
            }
            (_, item) => whole.push(item),
        }
    }
    whole
}

fn error(bytes: impl AsRef<[u8]>) -> WireError {
    let bytes = bytes.as_ref();
    match decode(bytes).pop() {
        Some(Err(error)) => error,
        other => panic!("{:?} is {other:?}", String::from_utf8_lossy(bytes)),
    }
}

#[test]
fn a_request_is_read_with_its_parts() {
    let request = one(
        "PUT /a%2Fb?x=1&y HTTP/1.1\r\nhOsT: h:80\r\nX-It:  a b \r\nContent-Length: 5\r\n\r\nhello",
    );
    assert_eq!(request.method, Method::Put);
    assert_eq!(request.version, Version::Http11);
    assert_eq!((request.path(), request.query()), ("/a%2Fb", "x=1&y"));
    assert_eq!(request.header("x-it"), Some(&b"a b"[..]));
    assert_eq!(request.header("Host"), Some(&b"h:80"[..]));
    assert_eq!(request.header("X-I"), None);
    assert_eq!(&request.body[..], b"hello");
    assert!(request.keep_alive);
}

#[test]
fn targets_may_be_absolute() {
    for (target, path, query) in [
        ("http://h/p?q=http://x/", "/p", "q=http://x/"),
        ("HTTP://h", "/", ""),
        ("https://h?q", "/", "q"),
        ("/", "/", ""),
        ("/?", "/", ""),
        ("/a?b?c", "/a", "b?c"),
        ("*", "*", ""),
    ] {
        let request = one(format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n"));
        assert_eq!((request.path(), request.query()), (path, query), "{target}");
    }
    for target in ["h", "ftp://h/", "http://", "http:///p", "h:80", "htt"] {
        let sent = format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(error(sent), WireError::Target, "{target}");
    }
}

#[test]
fn connections_stay_as_the_versions_say() {
    for (version, connection, stays) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: foo, CLOSE\r\n", false),
        ("1.1", "Connection: keep-alive\r\nConnection: close\r\n", false),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
    ] {
        let request = one(format!("GET / HTTP/{version}\r\nHost: h\r\n{connection}\r\n"));
        assert_eq!(request.keep_alive, stays, "{version} {connection}");
    }
    assert_eq!(one("GET / HTTP/1.0\r\n\r\n").version, Version::Http10);
}

#[test]
fn what_is_ambiguous_is_refused() {
    let with = |fields: &str| error(format!("PUT / HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\nhello"));
    for length in ["", "abc", "-1", "+5", "5,5", "5 5", "0x5", "5.0", "٥"] {
        assert_eq!(with(&format!("Content-Length: {length}")), WireError::Length, "{length}");
    }
    assert_eq!(with("Content-Length: 5\r\nContent-Length: 5"), WireError::Length);
    assert_eq!(with("Content-Length: 5\r\nContent-Length: 6"), WireError::Length);
    assert_eq!(with("Content-Length: 5\r\nTransfer-Encoding: chunked"), WireError::Length);
    assert_eq!(with("Transfer-Encoding: chunked\r\nContent-Length: 5"), WireError::Length);
    assert_eq!(with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), WireError::Length);
    assert_eq!(with("Transfer-Encoding: gzip, chunked"), WireError::Coding);
    assert_eq!(with("Transfer-Encoding: xchunked"), WireError::Coding);
    assert_eq!(with("Transfer-Encoding: "), WireError::Coding);
    assert_eq!(with("Transfer-Encoding : chunked"), WireError::HeaderLine);
    assert_eq!(with("X: a\r\n folded"), WireError::HeaderLine);
    assert_eq!(with("X: a\r\n\tfolded"), WireError::HeaderLine);
    assert_eq!(with("X: a\0b"), WireError::HeaderLine);
    assert_eq!(with("X: a\rb"), WireError::HeaderLine);
    assert_eq!(with("X Y: a"), WireError::HeaderLine);
    assert_eq!(with(": a"), WireError::HeaderLine);
    assert_eq!(with("no colon"), WireError::HeaderLine);
    assert_eq!(with("X: a\nContent-Length: 5"), WireError::BareLineFeed);
    assert_eq!(with("Expect: 200-ok"), WireError::Expectation);
    assert_eq!(with("Content-Length: 1001"), WireError::BodyTooLarge(BODY_MAX));
    assert_eq!(with("Content-Length: 99999999999999999999999"), WireError::BodyTooLarge(BODY_MAX));
    let old = "PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(error(old), WireError::Length);
}

#[test]
fn a_host_is_wanted_once() {
    assert_eq!(error("GET / HTTP/1.1\r\n\r\n"), WireError::Host);
    assert_eq!(error("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"), WireError::Host);
    assert_eq!(error("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"), WireError::Host);
    for host in ["a b", "a/b", "user@h", "a,b", "\"", "a\\b"] {
        let sent = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(error(sent), WireError::Host, "{host}");
    }
    for host in ["", "h", "h:80", "[::1]:80", "a-b.example"] {
        one(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    }
}

#[test]
fn request_lines_are_strict() {
    for line in [
        "GET  / HTTP/1.1",
        "GET /",
        "GET",
        " GET / HTTP/1.1",
        "GET /a b HTTP/1.1",
        "G(T / HTTP/1.1",
    ] {
        let error = error(format!("{line}\r\nHost: h\r\n\r\n"));
        assert!(matches!(error, WireError::RequestLine | WireError::Version), "{line}: {error}");
    }
    assert_eq!(error("\x16\x03\x01\x02"), WireError::RequestLine);
    assert_eq!(error("GET / HTTP/1.1\nHost: h\n\n"), WireError::BareLineFeed);
    assert_eq!(error("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), WireError::Version);
    assert_eq!(error("GET / HTTP/2.0\r\nHost: h\r\n\r\n"), WireError::Version);
    assert_eq!(error("GET / HTTP/1.2\r\nHost: h\r\n\r\n"), WireError::Version);
    assert_eq!(one("BREW / HTTP/1.1\r\nHost: h\r\n\r\n").method, Method::Other);
    assert_eq!(one("\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n").path(), "/");
    assert_eq!(error("\r\n".repeat(5)), WireError::RequestLine);
}

#[test]
fn sizes_are_bounded_exactly() {
    let target =
        |length: usize| format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(length - 1));
    one(target(Limits::TARGET_MAX));
    assert_eq!(error(target(Limits::TARGET_MAX + 1)), WireError::TargetTooLong);
    assert_eq!(error("a".repeat(Limits::TARGET_MAX + 64)), WireError::TargetTooLong);
    let frame = "GET / HTTP/1.1\r\nHost: h\r\nX: \r\n\r\n".len();
    let head = |length: usize| {
        format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "a".repeat(length - frame))
    };
    one(head(Limits::HEAD_MAX));
    assert_eq!(error(head(Limits::HEAD_MAX + 1)), WireError::HeadTooLarge);
    let fields = |count: usize| {
        let fields: String = (1..count).map(|number| format!("X{number}: a\r\n")).collect();
        format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n")
    };
    one(fields(Limits::HEADERS_MAX));
    assert_eq!(error(fields(Limits::HEADERS_MAX + 1)), WireError::HeadTooLarge);
    let body = format!(
        "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: {BODY_MAX}\r\n\r\n{:1$}",
        "", BODY_MAX
    );
    assert_eq!(one(body).body.len(), BODY_MAX);
}

fn chunked(body: &str) -> String {
    format!("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n{body}")
}

#[test]
fn chunks_are_joined() {
    for (sent, body) in [
        ("0\r\n\r\n", ""),
        ("5\r\nhello\r\n0\r\n\r\n", "hello"),
        ("1;a=b\r\nh\r\n00004 ; x=\"y\"\r\nello\r\n000\r\nTrailer: dropped\r\n\r\n", "hello"),
        ("A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789"),
    ] {
        assert_eq!(one(chunked(sent)).body, body, "{sent}");
    }
}

#[test]
fn bad_chunks_are_refused() {
    for sent in [
        "\r\n",
        "g\r\n",
        "-1\r\n",
        "+1\r\n",
        "0x1\r\n",
        "1 1\r\nh",
        "00000000000000000\r\n",
        "5\r\nhelloX",
        "5\r\nhello\rX",
        "1 a\r\n",
        "1;\0\r\n",
        "0\r\nno colon\r\n\r\n",
        "0\r\n : a\r\n\r\n",
        "0\r\na b: c\r\n\r\n",
    ] {
        assert_eq!(error(chunked(sent)), WireError::Chunk, "{sent:?}");
    }
    assert_eq!(error(chunked("5\nhello")), WireError::BareLineFeed);
    assert_eq!(error(chunked("0\r\n\n")), WireError::BareLineFeed);
    assert_eq!(error(chunked(&format!("1;{}", "x".repeat(300)))), WireError::Chunk);
    assert_eq!(error(chunked(&format!("0\r\n{}", "A: b\r\n".repeat(1000)))), WireError::Chunk);
    assert_eq!(error(chunked("3e9\r\n")), WireError::BodyTooLarge(BODY_MAX));
    assert_eq!(error(chunked("ffffffffffffffff\r\n")), WireError::BodyTooLarge(BODY_MAX));
    let twice = format!("1f4\r\n{:500}\r\n1f5\r\n", "");
    assert_eq!(error(chunked(&twice)), WireError::BodyTooLarge(BODY_MAX));
}

#[test]
fn a_go_ahead_is_wanted_only_by_who_waits_for_it() {
    let head = "PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n";
    let mut waiting = decoder();
    waiting.feed(head.as_bytes());
    assert_eq!(waiting.next(), None);
    assert!(waiting.take_continue() && !waiting.take_continue());
    waiting.feed(b"hi");
    assert_eq!(request(waiting.next().unwrap()).body, "hi");
    assert!(!waiting.take_continue());

    let mut hasty = decoder();
    hasty.feed(format!("{head}h").as_bytes());
    assert_eq!(hasty.next(), None);
    assert!(!hasty.take_continue());

    let mut old = decoder();
    old.feed(head.replace("HTTP/1.1", "HTTP/1.0").as_bytes());
    assert_eq!(old.next(), None);
    assert!(!old.take_continue());

    let refused = head.replace("Length: 2", "Length: 1001");
    assert_eq!(error(refused), WireError::BodyTooLarge(BODY_MAX));
}

#[test]
fn the_stage_tells_what_is_missing() {
    let mut decoder = decoder();
    assert_eq!(decoder.stage(), Stage::Idle);
    for (bytes, stage) in [
        (&b"PUT / HTTP/1.1\r\nHost: h\r\n"[..], Stage::Head),
        (b"Content-Length: 2\r\n\r\n", Stage::Body),
        (b"h", Stage::Body),
        (b"i", Stage::Idle),
        (b"G", Stage::Head),
    ] {
        decoder.feed(bytes);
        for item in decoder.by_ref() {
            item.unwrap();
        }
        assert_eq!(decoder.stage(), stage);
    }
}

#[test]
fn a_body_may_be_handed_on_as_it_arrives() {
    let mut decoder = decoder();
    decoder.feed(chunked("3\r\nabc\r\n").replace("PUT /", "PUT /up").as_bytes());
    let Some(Ok(Arrival::Upload(head))) = decoder.next() else { panic!("no head") };
    assert_eq!((head.method, head.path()), (Method::Put, "/up"));
    assert_eq!(decoder.next(), Some(Ok(Arrival::Piece("abc".into()))));
    assert_eq!((decoder.next(), decoder.stage()), (None, Stage::Body));
    decoder.feed(b"4\r\ndefg\r\n0\r\n\r\nGET /x HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(decoder.next(), Some(Ok(Arrival::Piece("defg".into()))));
    assert_eq!(decoder.next(), Some(Ok(Arrival::End)));
    assert_eq!(request(decoder.next().unwrap()).path(), "/x");

    let long = "PUT /up HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999\r\n\r\nab";
    assert_eq!(decode(long).len(), 2, "no bound but its own");
    assert_eq!(one("PUT /up HTTP/1.1\r\nHost: h\r\n\r\n").body, "", "nothing to hand on");
    let broken = decode(chunked("3\r\nabcX").replace("PUT /", "PUT /up"));
    assert_eq!(broken.last(), Some(&Err(WireError::Chunk)));
}

#[test]
fn a_refusal_knows_what_was_refused() {
    let mut late = decoder();
    late.feed(chunked("x\r\n").replace("PUT /", "PUT /late").as_bytes());
    assert_eq!(late.next(), Some(Err(WireError::Chunk)));
    assert_eq!(late.refused().unwrap().path(), "/late");
    let mut early = decoder();
    early.feed(b"PUT /early HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n\r\n");
    assert_eq!(early.next(), Some(Err(WireError::BodyTooLarge(BODY_MAX))));
    assert_eq!(early.refused().unwrap().path(), "/early");
    let mut head = decoder();
    head.feed(b"PUT /early HTTP/1.1\r\n\r\n");
    assert_eq!(head.next(), Some(Err(WireError::Host)));
    assert_eq!(head.refused(), None);
}

#[test]
fn all_bodies_together_are_bounded() {
    let limits = limits(2 * BODY_MAX);
    let half = |length: usize| {
        let body = "x".repeat(length);
        format!("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: {BODY_MAX}\r\n\r\n{body}")
    };
    let mut decoders: Vec<_> = (0..3).map(|_| Decoder::new(Arc::clone(&limits))).collect();
    for decoder in &mut decoders {
        decoder.feed(half(BODY_MAX - 1).as_bytes());
    }
    let outcomes: Vec<_> = decoders.iter_mut().map(Iterator::next).collect();
    assert_eq!(outcomes, [None, None, Some(Err(WireError::Crowd))]);
    assert!(limits.bodies.used() <= 2 * BODY_MAX, "what was refused is forgotten");
    decoders[0].feed(b"x");
    assert_eq!(request(decoders[0].next().unwrap()).body.len(), BODY_MAX);
    assert!(limits.bodies.used() <= BODY_MAX, "what is complete is somebody else's");
    drop(decoders);
    assert_eq!(limits.bodies.used(), 0);
    let mut whole = Decoder::new(Arc::clone(&limits));
    whole.feed(half(BODY_MAX).as_bytes());
    assert!(whole.next().unwrap().is_ok());
}

/// Pieces of streams, good and bad, that meet at every boundary.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        "GET /abc HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(),
        "HEAD / HTTP/1.0\r\n\r\n".to_owned(),
        "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello".to_owned(),
        chunked("5;x\r\nhello\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\n"),
        chunked("5\r\nhello\r\n"),
        "PUT /up HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello".to_owned(),
        chunked("5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n").replace("PUT /", "PUT /up"),
        chunked("5\r\nhello\r\n").replace("PUT /", "PUT /up"),
        chunked("5\r\nhelloX"),
        "GET / HTTP/1.1\r\nHost: h\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n".to_owned(),
        "\r\n".to_owned(),
        "\r".to_owned(),
        "\n".to_owned(),
        "0\r\n\r\n".to_owned(),
        format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(Limits::TARGET_MAX)),
        format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "a".repeat(Limits::HEAD_MAX)),
    ]);
    prop_oneof![
        8 => known.prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..40),
        1 => prop::collection::vec(prop::sample::select(b"GET /:\r\n 0aHTP1.".to_vec()), 0..60),
    ]
}

proptest! {
    #[test]
    fn any_cut_gives_the_same_requests(
        pieces in prop::collection::vec(piece(), 0..8),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let stream = pieces.concat();
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.sort_unstable();
        let mut decoder = decoder();
        let mut items = Vec::new();
        let mut from = 0;
        for to in cuts.into_iter().chain([stream.len()]) {
            decoder.feed(&stream[from..to]);
            items.extend(decoder.by_ref());
            from = to;
        }
        prop_assert_eq!(joined(items), joined(decode(&stream)));
    }

    #[test]
    fn random_bytes_never_panic(bytes in any::<Vec<u8>>()) {
        decode(&bytes);
        decode([b"PUT / HTTP/1.1\r\nHost: h\r\n", &bytes[..]].concat());
        decode([chunked("").as_bytes(), &bytes[..]].concat());
    }

    #[test]
    fn a_chunked_body_is_what_was_cut(body in prop::collection::vec(any::<u8>(), 0..BODY_MAX), size in 1..200_usize) {
        let mut sent = chunked("").into_bytes();
        for chunk in body.chunks(size) {
            sent.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
            sent.extend_from_slice(chunk);
            sent.extend_from_slice(b"\r\n");
        }
        sent.extend_from_slice(b"0\r\n\r\n");
        prop_assert_eq!(&one(&sent).body[..], &body[..]);
    }
}
