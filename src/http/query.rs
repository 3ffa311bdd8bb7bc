//! The part of a target after the question mark.

use std::borrow::Cow;

/// The value of the first parameter of this name, decoded; empty when it has none.
pub(super) fn value<'a>(query: &'a str, name: &str) -> Option<Cow<'a, str>> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(key) == name).then(|| decode(value))
    })
}

/// Whether the parameter is there, whatever its value (Consul's manner).
pub(super) fn flag(query: &str, name: &str) -> bool {
    value(query, name).is_some()
}

/// Percent-decodes; what is no escape, or would not be UTF-8, stays as it is.
pub(super) fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if let Some(byte) = escape(rest) {
            bytes.push(byte);
            rest = &rest[3..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// The byte that the text starts with an escape of.
fn escape(text: &[u8]) -> Option<u8> {
    let [b'%', digits @ ..] = text else { return None };
    let value = |at: usize| char::from(*digits.get(at)?).to_digit(16);
    u8::try_from(value(0)? << 4 | value(1)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_by_their_decoded_names() {
        let query = "a=1&pretty&b=%41%2f&%63=x&d=%zz&e=%ff&a=2";
        assert_eq!(value(query, "a").as_deref(), Some("1"));
        assert_eq!(value(query, "b").as_deref(), Some("A/"));
        assert_eq!(value(query, "c").as_deref(), Some("x"));
        assert_eq!(value(query, "d").as_deref(), Some("%zz"));
        assert_eq!(value(query, "e").as_deref(), Some("%ff"));
        assert!(flag(query, "pretty") && !flag(query, "prett"));
        assert!(!flag("", "pretty"));
    }
}
