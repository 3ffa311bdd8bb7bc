//! Where a visitor may be sent: to pages of the board, and nowhere else.

use std::borrow::Cow;

use super::super::query;
use super::super::wire::Head;
use crate::escapes;

/// The board's front page.
pub(in crate::http) const FRONT: &str = "/b";

/// The path, if it is one of the board's pages, else the front page.
pub(super) fn checked(path: &str) -> &str {
    if is_ours(path) { path } else { FRONT }
}

/// Where a query (`?next=…`) wants its visitor to go, checked.
pub(super) fn next_of(query: &str) -> String {
    let next = query::value(query, "next").unwrap_or(Cow::Borrowed(FRONT));
    checked(&next).to_owned()
}

/// `path?next=here`: a way there, and back.
pub(in crate::http) fn and_back(path: &str, here: &str) -> String {
    if here == FRONT {
        path.to_owned()
    } else {
        format!("{path}?next={}", escapes::path(here.as_bytes()))
    }
}

/// Bytes of the longest path that is gone back to. It stands in a page several times over.
const LEN_MAX: usize = 8 << 10;

/// Whether a path is that of a page of the board, which no browser takes for something else: visible
/// ASCII, no step upwards, no backslash (browsers take it for a slash).
fn is_ours(path: &str) -> bool {
    if path.len() > LEN_MAX {
        return false;
    }
    let Some(rest) = path.strip_prefix(FRONT) else { return false };
    let ours = rest.is_empty() || rest.starts_with(['/', '?']);
    let plain = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let cut = path.find(['?', '#']).unwrap_or(path.len());
    let steps = path[1..cut].split('/').any(|part| {
        let part = query::decode(part);
        part.is_empty() || part == "." || part == ".."
    });
    ours && plain && !steps
}

/// Whether a request is for a page, which people look at, and not for a feed or a file.
pub(in crate::http) fn is_page(head: &Head) -> bool {
    let path = head.path();
    let ours = path == FRONT || path.strip_prefix(FRONT).is_some_and(|rest| rest.starts_with('/'));
    ours && ![".rss", ".json", ".css", ".svg"].iter().any(|end| path.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visitors_go_to_pages_of_the_board_and_nowhere_else() {
        for path in
            ["/b", "/b?after=x", "/b/newest", "/b/p/aB-_12345", "/b/u/a?after=%2F", "/b/p/x#c7"]
        {
            assert_eq!(checked(path), path);
        }
        for path in [
            "",
            "b",
            "/",
            "/bx",
            "/b#x",
            "//evil.example",
            "//b",
            "/b//evil.example",
            "/b/",
            "/\\evil.example",
            "/b\\evil",
            "/b/\\evil",
            "/b/../x",
            "/b/..",
            "/b/./x",
            "/b/%2e%2E/x",
            "/b/.%2e",
            "https://evil.example/b",
            "javascript:alert(1)",
            " /b",
            "/b/a b",
            "/b/a\tb",
            "/b/x\r\nSet-Cookie: a=b",
            "/b/\0",
            "/b/\u{e9}",
            "/b/\u{202e}",
            "/B",
            &format!("/b/{}", "x".repeat(LEN_MAX)),
        ] {
            assert_eq!(checked(path), FRONT, "{path:?}");
        }
    }

    #[test]
    fn the_way_back_is_in_the_query() {
        assert_eq!(and_back("/b/login", "/b"), "/b/login");
        let there = and_back("/b/login", "/b/u/a?after=x&y=%2F");
        assert_eq!(there, "/b/login?next=/b/u/a%3Fafter%3Dx%26y%3D%252F");
        assert_eq!(next_of(there.split_once('?').unwrap().1), "/b/u/a?after=x&y=%2F");
        assert_eq!(next_of("next=//evil.example"), "/b");
        assert_eq!(next_of(""), "/b");
    }
}
