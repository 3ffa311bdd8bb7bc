//! Percent-escapes: bytes in paths and queries of URLs, and back. Both the HTTP surface and its client
//! need them, for keys that are any bytes.

use std::borrow::Cow;

use percent_encoding::{
    AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_decode_str, percent_encode,
};

/// What is escaped in a part of a path.
const IN_PART: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// What is escaped in a part that clients would resolve.
const IN_DOTS: AsciiSet = IN_PART.add(b'.');

/// The bytes that a text stands for; what is no escape stands for itself.
#[must_use]
pub fn decode(text: &str) -> Cow<'_, [u8]> {
    percent_decode_str(text).into()
}

/// The same, of a text in any encoding.
#[must_use]
pub fn decode_bytes(text: &[u8]) -> Cow<'_, [u8]> {
    percent_decode(text).into()
}

/// Whether each percent sign begins an escape.
#[must_use]
pub fn are_sound(text: &str) -> bool {
    let mut behind = text.split('%').skip(1);
    behind.all(|rest| rest.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2)
}

/// Bytes as they stand in the path of a URL, or in a query; slashes stay.
#[must_use]
pub fn path(bytes: &[u8]) -> String {
    let mut path = String::with_capacity(bytes.len());
    for (at, part) in bytes.split(|byte| *byte == b'/').enumerate() {
        if at > 0 {
            path.push('/');
        }
        let dots = part == b"." || part == b"..";
        path.extend(percent_encode(part, if dots { &IN_DOTS } else { &IN_PART }));
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_go_through_a_path_and_back() {
        for (bytes, text) in [
            (&b""[..], ""),
            (b"a/b-c_d~e.f", "a/b-c_d~e.f"),
            (b"a b?c#d%e+f", "a%20b%3Fc%23d%25e%2Bf"),
            (b"//", "//"),
            (b"../a/./b../", "%2E%2E/a/%2E/b../"),
            (b"\xff\x00\n", "%FF%00%0A"),
            ("ключ".as_bytes(), "%D0%BA%D0%BB%D1%8E%D1%87"),
        ] {
            assert_eq!(path(bytes), text);
            assert_eq!(&*decode(text), bytes);
            assert!(are_sound(text));
        }
    }

    #[test]
    fn what_is_no_escape_is_told_and_stays() {
        for text in ["%", "a%2", "%zz", "%2x", "%%41", "%2\u{e9}"] {
            assert!(!are_sound(text), "{text}");
        }
        assert_eq!(&*decode("%zz%4"), b"%zz%4");
    }
}
