//! A little HTTP server that answers as a test wants: one thread per connection, keep-alive.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use socket2::{Domain, Socket, Type};

/// What the client sent.
pub(super) struct Asked {
    /// `PUT /path?query`
    pub(super) line: String,
    /// The header fields, a line each.
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

/// What it gets.
pub(super) struct Reply {
    status: u16,
    head: String,
    body: String,
}

impl Reply {
    pub(super) fn new(status: u16, body: &str) -> Self {
        Self { status, head: String::new(), body: body.to_string() }
    }

    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.head.push_str(&format!("{name}: {value}\r\n"));
        self
    }
}

/// Serves until the test process ends; returns the base URL.
pub(super) fn serve(handler: impl Fn(Asked) -> Reply + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let handler = Arc::new(handler);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let handler = Arc::clone(&handler);
            std::thread::spawn(move || connection(stream.unwrap(), &*handler));
        }
    });
    base
}

/// A base URL at which nobody listens: the port is bound, so that no other test gets it, and never
/// listened on, so that connections are refused.
pub(super) fn nobody() -> String {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    std::mem::forget(socket);
    format!("http://{address}")
}

fn connection(stream: TcpStream, handler: &impl Fn(Asked) -> Reply) {
    let mut input = BufReader::new(stream.try_clone().unwrap());
    let mut output = stream;
    while let Some(asked) = read(&mut input) {
        let reply = handler(asked);
        let text = format!(
            "HTTP/1.1 {} Status\r\nContent-Length: {}\r\n{}\r\n{}",
            reply.status,
            reply.body.len(),
            reply.head,
            reply.body
        );
        if output.write_all(text.as_bytes()).is_err() {
            return;
        }
    }
}

fn read(input: &mut impl BufRead) -> Option<Asked> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if input.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_string()),
        }
    }
    let len = lines.iter().find_map(|line| {
        line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok()
    });
    let mut body = vec![0; len.unwrap_or(0)];
    input.read_exact(&mut body).ok()?;
    let line = lines[0].trim_end_matches(" HTTP/1.1").to_string();
    Some(Asked { line, head: lines[1..].join("\n"), body })
}
