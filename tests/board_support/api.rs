//! A node's stand-in as a site of the board, all of whose answers are looked at, and what can be done to it
//! behind the back of HTTP.
#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses its part of it")]

use bowline::state::board::{Act, Told};
use bowline::state::{Command, Reply};

use crate::board_support::{PASSWORD, Page, Site, html};
use crate::http_support::{Api, Node};

/// What users change their password to.
pub const OTHER: &str = "wrong battery staple";

impl Site for Api {
    fn answer(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Page {
        let lines: String =
            headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let answer = self.ask_with(method, target, &lines, body);
        let (status, headers) = (answer.status, answer.headers);
        let page = Page { target: target.to_owned(), status, headers, body: answer.body };
        looks_right(&page, method);
        page
    }
}

/// What is true of everything that the board answers.
fn looks_right(page: &Page, method: &str) {
    for password in [PASSWORD, OTHER] {
        assert!(!page.body.contains(password), "a password came back: {page:?}");
    }
    let kind = page.header("Content-Type").unwrap_or_default();
    if !kind.starts_with("text/html") || method == "HEAD" {
        return;
    }
    assert!(page.header("X-Bowline-Index").is_some(), "{page:?}");
    assert_eq!(kind, "text/html; charset=utf-8");
    html::sound(&page.body);
    for (name, value) in [
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "same-origin"),
        ("Cache-Control", "private, no-cache"),
    ] {
        assert_eq!(page.header(name), Some(value), "{page:?}");
    }
    let policy = page.header("Content-Security-Policy").unwrap_or_default();
    for part in [
        "default-src 'none'",
        "style-src 'self'",
        "img-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.split("; ").any(|it| it == part), "no {part}: {policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
}

/// Does something to the board.
pub fn act(node: &Node, act: Act) -> Told {
    match node.command(&Command::Board(act)) {
        Reply::Board(told) => told,
        reply => panic!("no answer to an act: {reply:?}"),
    }
}

/// An operator makes somebody a moderator, or takes that back.
pub fn appoint(node: &Node, name: &str, moderator: bool) {
    let name = name.to_owned();
    assert_eq!(act(node, Act::Appoint { by: None, name, moderator }), Told::Done);
}
