//! Escapes: in the part of a target after the question mark, and in keys within a path.

use std::borrow::Cow;

use crate::escapes;

/// The value of the first parameter of this name, decoded; empty when it has none. One that would not
/// be UTF-8 stays as it was sent.
pub(super) fn value<'a>(query: &'a str, name: &str) -> Option<Cow<'a, str>> {
    find(query, name).map(|value| match form(value) {
        Cow::Borrowed(_) => Cow::Borrowed(value),
        Cow::Owned(bytes) => String::from_utf8(bytes).map_or(Cow::Borrowed(value), Cow::Owned),
    })
}

/// The same, of any bytes.
pub(super) fn bytes<'a>(query: &'a str, name: &str) -> Option<Cow<'a, [u8]>> {
    find(query, name).map(form)
}

/// Whether the parameter is there, whatever its value (Consul's manner).
pub(super) fn flag(query: &str, name: &str) -> bool {
    find(query, name).is_some()
}

fn find<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (*form(key) == *name.as_bytes()).then_some(value)
    })
}

/// Decodes a part of a query, in which a plus sign stands for a blank.
fn form(text: &str) -> Cow<'_, [u8]> {
    if !text.contains('+') {
        return escapes::decode(text);
    }
    Cow::Owned(escapes::decode(&text.replace('+', " ")).into_owned())
}

/// Percent-decodes; what is no escape, or would not be UTF-8, stays as it is.
pub(super) fn decode(text: &str) -> Cow<'_, str> {
    match escapes::decode(text) {
        Cow::Borrowed(_) => Cow::Borrowed(text),
        Cow::Owned(bytes) => String::from_utf8(bytes).map_or(Cow::Borrowed(text), Cow::Owned),
    }
}

/// Percent-decodes a part of a path into any bytes; `None` when a percent sign begins no escape.
pub(super) fn path_bytes(text: &str) -> Option<Vec<u8>> {
    escapes::are_sound(text).then(|| escapes::decode(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_by_their_decoded_names() {
        let query = "a=1&pretty&b=%41%2f&%63=x&d=%zz&e=%ff&a=2&f=a+b%2b&g+h=%FF+";
        assert_eq!(value(query, "a").as_deref(), Some("1"));
        assert_eq!(value(query, "b").as_deref(), Some("A/"));
        assert_eq!(value(query, "c").as_deref(), Some("x"));
        assert_eq!(value(query, "d").as_deref(), Some("%zz"));
        assert_eq!(value(query, "e").as_deref(), Some("%ff"));
        assert_eq!(value(query, "f").as_deref(), Some("a b+"));
        assert_eq!(bytes(query, "g h").as_deref(), Some(&b"\xff "[..]));
        assert_eq!(bytes(query, "d").as_deref(), Some(&b"%zz"[..]));
        assert_eq!(bytes(query, "x"), None);
        assert!(flag(query, "pretty") && !flag(query, "prett"));
        assert!(!flag("", "pretty"));
    }

    #[test]
    fn keys_in_paths_are_of_any_bytes() {
        for (text, bytes) in [
            ("", &b""[..]),
            ("a/b//c", b"a/b//c"),
            ("a%2Fb%2f", b"a/b/"),
            ("%00%ff+%25", b"\0\xff+%"),
            ("\u{e9}", b"\xc3\xa9"),
        ] {
            assert_eq!(path_bytes(text).as_deref(), Some(bytes), "{text}");
        }
        for text in ["%", "a%2", "%zz", "%2x", "%%41"] {
            assert_eq!(path_bytes(text), None, "{text}");
        }
        assert_eq!(decode("a+%62%zz"), "a+b%zz");
    }
}
