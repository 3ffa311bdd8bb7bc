//! JSON as Go writes it, since that is what Consul's clients have always been given.
//!
//! Compact, or with `?pretty` indented by four blanks and ended by a line end. `<`, `>`, `&` and the
//! two line separators of Unicode are escaped, so that the text can stand in a page.

use std::io;

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer as Writer};

use crate::http::reply::{Body, JSON, Response};

/// Appends a value to `out`, compact.
///
/// # Panics
/// When the value has a map whose keys are no text.
pub(super) fn push(out: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    value
        .serialize(&mut Writer::with_formatter(out, Go))
        .expect("our own plain structs with text keys can always be written to memory");
}

/// A whole document, compact or indented.
pub(super) fn document(value: &(impl Serialize + ?Sized), pretty: bool) -> Vec<u8> {
    let mut compact = Vec::new();
    push(&mut compact, value);
    shaped(compact, pretty)
}

/// A document that is there in its compact form.
fn shaped(compact: Vec<u8>, pretty: bool) -> Vec<u8> {
    if !pretty {
        return compact;
    }
    let mut out = Vec::with_capacity(compact.len() * 2);
    Indent::default().push(&compact, &mut out);
    out.push(b'\n');
    out
}

/// An answer of one document.
pub(super) fn response(status: u16, value: &(impl Serialize + ?Sized), pretty: bool) -> Response {
    let body = Body::Bytes(document(value, pretty).into());
    Response { content_type: JSON, body, ..Response::new(status) }
}

/// An answer of one document that is there in its compact form.
pub(super) fn response_of(compact: Vec<u8>, pretty: bool) -> Response {
    let body = Body::Bytes(shaped(compact, pretty).into());
    Response { content_type: JSON, body, ..Response::new(200) }
}

/// Bytes as text, in which what is no UTF-8 is replaced byte by byte, as Go does, by U+FFFD.
pub(super) fn text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    text
}

/// serde's compact form, and the escapes that it lacks.
struct Go;

impl Formatter for Go {
    fn write_string_fragment<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        let special = ['<', '>', '&', '\u{2028}', '\u{2029}'];
        while let Some(at) = rest.find(special) {
            let (plain, tail) = rest.split_at(at);
            let found = tail.chars().next().expect("it was just found");
            writer.write_all(plain.as_bytes())?;
            write!(writer, "\\u{:04x}", u32::from(found))?;
            rest = &tail[found.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }
}

/// Indents compact JSON that comes in pieces.
#[derive(Debug, Default)]
pub(super) struct Indent {
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// A bracket was opened, and nothing has followed it yet.
    opened: bool,
}

impl Indent {
    /// Appends the next piece to `out`.
    pub fn push(&mut self, compact: &[u8], out: &mut Vec<u8>) {
        for &byte in compact {
            self.push_byte(byte, out);
        }
    }

    fn push_byte(&mut self, byte: u8, out: &mut Vec<u8>) {
        if self.in_string {
            self.in_string = self.escaped || byte != b'"';
            self.escaped = !self.escaped && byte == b'\\';
            out.push(byte);
            return;
        }
        let closes = matches!(byte, b']' | b'}');
        if closes {
            self.depth = self.depth.saturating_sub(1);
        }
        // An empty list or object stays in one piece.
        if self.opened != closes {
            self.line(out);
        }
        self.opened = matches!(byte, b'[' | b'{');
        self.depth += usize::from(self.opened);
        self.in_string = byte == b'"';
        out.push(byte);
        match byte {
            b',' => self.line(out),
            b':' => out.push(b' '),
            _ => {}
        }
    }

    fn line(&self, out: &mut Vec<u8>) {
        out.push(b'\n');
        out.resize(out.len() + 4 * self.depth, b' ');
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn indented_as_go_does_in_pieces_of_any_size() {
        let value = json!([
            {"a": [], "b": {}, "c": "x\"[,]\\", "d": [1, [2]], "e": null},
            "",
        ]);
        let whole = document(&value, true);
        let wanted = "[\n    {\n        \"a\": [],\n        \"b\": {},\n        \
            \"c\": \"x\\\"[,]\\\\\",\n        \"d\": [\n            1,\n            [\n                \
            2\n            ]\n        ],\n        \"e\": null\n    },\n    \"\"\n]\n";
        assert_eq!(String::from_utf8(whole).unwrap(), wanted);
        let compact = document(&value, false);
        for size in 1..5 {
            let (mut indent, mut out) = (Indent::default(), Vec::new());
            compact.chunks(size).for_each(|piece| indent.push(piece, &mut out));
            assert_eq!(str::from_utf8(&out).unwrap(), wanted.trim_end());
        }
        assert_eq!(document(&json!([]), true), b"[]\n");
        assert_eq!(document(&json!(true), true), b"true\n");
        assert_eq!(document(&json!([[]]), true), b"[\n    []\n]\n");
    }

    #[test]
    fn what_could_end_a_script_is_escaped() {
        let text = document("</a>&\u{2028}\u{2029}é\u{1}\n", false);
        let wanted = "\"\\u003c/a\\u003e\\u0026\\u2028\\u2029é\\u0001\\n\"";
        assert_eq!(str::from_utf8(&text).unwrap(), wanted);
    }

    #[test]
    fn each_byte_that_is_no_utf8_is_replaced() {
        assert_eq!(text(b"a\xff\xfeb\xe2\x82c"), "a\u{fffd}\u{fffd}b\u{fffd}\u{fffd}c");
    }
}
