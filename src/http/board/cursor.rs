//! Where a page of a list begins, as it stands in a URL: base64url of bytes that only the state can read.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::super::query;
use crate::state::board::Cursor;

/// Characters of the longest text that is looked at; there are no cursors as long as that.
const LEN_MAX: usize = 1024;

/// What the query says in `after`; what is none begins at the beginning.
pub(super) fn of(query: &str) -> Option<Cursor> {
    let text = query::value(query, "after").filter(|it| it.len() <= LEN_MAX)?;
    URL_SAFE_NO_PAD.decode(text.as_bytes()).ok().map(Cursor)
}

/// As it stands in a query.
pub(super) fn text(cursor: &Cursor) -> String {
    URL_SAFE_NO_PAD.encode(&cursor.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_goes_through_a_url_and_anything_else_is_none() {
        for bytes in [&b""[..], b"\xff\x00?&=#", &[7; 100]] {
            let cursor = Cursor(bytes.to_vec());
            assert_eq!(of(&format!("a=1&after={}", text(&cursor))), Some(cursor));
        }
        for query in
            ["", "after=%00", "after=a+b", "after=/", &format!("after={}", "A".repeat(1025))]
        {
            assert_eq!(of(query), None, "{query}");
        }
    }
}
