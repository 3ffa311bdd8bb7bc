//! A GET whose answer is read as it comes, however long it is and however long it lasts.
//!
//! The other verbs use a client that bounds a whole answer in bytes and time. Here only silence is
//! bounded: a node that has nothing to tell says so every 15 seconds, so one that says nothing for
//! three times as long is gone, even if its machine never said goodbye.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::client::Answer;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const SILENCE_MAX: Duration = Duration::from_secs(45);
/// Bytes of the longest head.
const HEAD_MAX: u64 = 64 * 1024;
/// Bytes of an error that are looked at.
const ERROR_MAX: u64 = 64 * 1024;

/// An answer of which the head is here.
pub(super) struct Incoming {
    /// Status code.
    pub(super) status: u16,
    /// The body. Reading fails when it breaks off before its end.
    pub(super) body: BufReader<Body>,
}

impl Incoming {
    /// The answer as one that is short: for errors.
    pub(super) fn into_answer(self) -> Answer {
        let mut body = Vec::new();
        // What cannot be read is no part of the message.
        let _ = self.body.take(ERROR_MAX).read_to_end(&mut body);
        let status = self.status;
        Answer { status, location: None, etag: None, index: None, retry_after: None, body }
    }
}

/// Asks one node.
///
/// # Errors
/// When no answer came; the text says from where and why.
pub(super) fn get(base: &str, path: &str, headers: &[(&str, &str)]) -> Result<Incoming, String> {
    let failed = |error: io::Error| {
        let why = match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "it took too long".into(),
            _ => error.to_string(),
        };
        format!("no answer from {base}: {why}")
    };
    let (authority, mut stream) = connect(base).map_err(failed)?;
    let mut head = format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).map_err(failed)?;
    read_head(BufReader::new(stream)).map_err(failed)
}

fn connect(base: &str) -> io::Result<(String, TcpStream)> {
    let url = url::Url::parse(base).map_err(io::Error::other)?;
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or(80);
    let mut last = io::Error::other("there is no host of that name");
    for address in (host.trim_matches(['[', ']']), port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(stream) => {
                stream.set_read_timeout(Some(SILENCE_MAX))?;
                stream.set_write_timeout(Some(SILENCE_MAX))?;
                return Ok((format!("{host}:{port}"), stream));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn read_head(mut input: BufReader<TcpStream>) -> io::Result<Incoming> {
    let mut head = Vec::new();
    let mut limited = (&mut input).take(HEAD_MAX);
    while !head.ends_with(b"\r\n\r\n") {
        if limited.read_until(b'\n', &mut head)? == 0 {
            return Err(io::Error::other("it is no HTTP answer"));
        }
    }
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Response::new(&mut fields);
    parsed.parse(&head).map_err(io::Error::other)?;
    let value = |name: &str| {
        let field = parsed.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name))?;
        str::from_utf8(field.value).ok()
    };
    let rest = if value("Transfer-Encoding").is_some_and(|it| it.eq_ignore_ascii_case("chunked")) {
        Rest::Chunk(0)
    } else {
        match value("Content-Length").map(str::parse) {
            Some(length) => Rest::Bytes(length.map_err(io::Error::other)?),
            None => Rest::UntilEnd,
        }
    };
    let status = parsed.code.unwrap_or(0);
    Ok(Incoming { status, body: BufReader::with_capacity(64 * 1024, Body { input, rest }) })
}

/// A body on its way.
pub(super) struct Body {
    input: BufReader<TcpStream>,
    rest: Rest,
}

/// What is still to come.
#[derive(Clone, Copy)]
enum Rest {
    /// So much of this chunk, and then others.
    Chunk(u64),
    /// So much.
    Bytes(u64),
    /// All that comes.
    UntilEnd,
    /// Nothing.
    Done,
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if let Rest::Chunk(0) = self.rest {
            self.rest = match self.next_chunk()? {
                0 => Rest::Done,
                length => Rest::Chunk(length),
            };
        }
        let left = match self.rest {
            Rest::Done | Rest::Bytes(0) => return Ok(0),
            Rest::Chunk(left) | Rest::Bytes(left) => left,
            Rest::UntilEnd => u64::MAX,
        };
        let room = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.input.read(&mut buffer[..room])?;
        match &mut self.rest {
            Rest::Chunk(_) | Rest::Bytes(_) if count == 0 => return Err(broken_off()),
            Rest::Bytes(left) => *left -= count as u64,
            Rest::Chunk(left) => {
                *left -= count as u64;
                if *left == 0 {
                    self.line()?;
                }
            }
            Rest::UntilEnd | Rest::Done => {}
        }
        Ok(count)
    }
}

impl Body {
    /// The length of the next chunk; of the last one, which is empty, the rest is read too.
    fn next_chunk(&mut self) -> io::Result<u64> {
        let line = self.line()?;
        let digits = line.split(';').next().unwrap_or_default().trim();
        let length = u64::from_str_radix(digits, 16).map_err(io::Error::other)?;
        if length == 0 {
            while !self.line()?.is_empty() {}
        }
        Ok(length)
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        (&mut self.input).take(HEAD_MAX).read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            return Err(broken_off());
        }
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }
}

fn broken_off() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the answer broke off")
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// A node that answers one request with these bytes, and ends the connection.
    fn node(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
        });
        base
    }

    fn body(answer: &'static str) -> io::Result<String> {
        let mut incoming = get(&node(answer), "/x", &[("A", "b")]).unwrap();
        let mut text = String::new();
        incoming.body.read_to_string(&mut text)?;
        assert_eq!(incoming.body.read(&mut [0]).unwrap(), 0, "the end stays the end");
        Ok(text)
    }

    #[test]
    fn bodies_end_where_they_say() {
        for answer in [
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabcdefgh",
            "HTTP/1.0 200 OK\r\n\r\nabcde",
        ] {
            assert_eq!(body(answer).unwrap(), "abcde", "{answer}");
        }
    }

    #[test]
    fn what_breaks_off_is_no_whole_answer() {
        for answer in [
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcd",
        ] {
            assert_eq!(body(answer).unwrap_err().kind(), io::ErrorKind::UnexpectedEof, "{answer}");
        }
        for answer in ["", "HTTP/1.1 200 OK\r\n", "SSH-2.0-x\r\n\r\n"] {
            assert!(get(&node(answer), "/x", &[]).is_err(), "{answer}");
        }
    }

    #[test]
    fn errors_are_told_as_those_of_short_answers() {
        let answer = "HTTP/1.1 400 Bad\r\nContent-Length: 20\r\n\r\n{\"detail\": \"no key\"}";
        let answer = get(&node(answer), "/x", &[]).unwrap().into_answer();
        assert_eq!((answer.status, answer.problem()), (400, "no key".to_owned()));
        let nobody = super::super::testing::nobody();
        assert!(get(&nobody, "/x", &[]).err().unwrap().contains(&nobody));
    }
}
