//! Keys between the command line, URLs and the terminal: any bytes, and nothing lost.

use std::ffi::OsString;
use std::fmt::Write;
use std::os::unix::ffi::OsStringExt;

/// A key or prefix as it was given: mostly text, but any bytes will do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Key(Vec<u8>);

impl Key {
    /// The key that an argument is.
    pub(super) fn given(argument: OsString) -> Self {
        Self(argument.into_vec())
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The key in the path of a URL, slashes as they are.
    pub(super) fn escaped(&self) -> String {
        escape(&self.0)
    }

    /// The key for a message.
    pub(super) fn shown(&self) -> String {
        shown(&self.0)
    }
}

impl From<Vec<u8>> for Key {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

/// Percent-encodes all that means something in a URL, and parts `.` and `..`, which clients like to
/// resolve.
fn escape(key: &[u8]) -> String {
    let mut escaped = String::with_capacity(key.len());
    for (at, part) in key.split(|byte| *byte == b'/').enumerate() {
        if at > 0 {
            escaped.push('/');
        }
        let dots = part == b"." || part == b"..";
        for byte in part {
            let plain = byte.is_ascii_alphanumeric() || b"-_~".contains(byte);
            if plain || (*byte == b'.' && !dots) {
                escaped.push(char::from(*byte));
            } else {
                write!(escaped, "%{byte:02X}").expect("a String takes all");
            }
        }
    }
    escaped
}

/// The bytes that a line of a text listing stands for.
pub(super) fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let digit = |at: usize| char::from(*tail.get(at)?).to_digit(16);
        match (*first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(u8::try_from(high << 4 | low).expect("two hex digits are one byte"));
                rest = &tail[2..];
            }
            (byte, ..) => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    bytes
}

/// Bytes as one line of text, fit for a terminal; text stays as it is.
pub(super) fn shown(bytes: &[u8]) -> String {
    let mut line = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => line.push_str("\\\\"),
                c if c.is_control() => line.extend(c.escape_default()),
                c => line.push(c),
            }
        }
        for byte in chunk.invalid() {
            write!(line, "\\x{byte:02x}").expect("a String takes all");
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_key_goes_through_a_url_and_back() {
        for (key, escaped) in [
            (&b"a/b-c_d~e.f"[..], "a/b-c_d~e.f"),
            (b"a b?c#d%e+f", "a%20b%3Fc%23d%25e%2Bf"),
            (b"//", "//"),
            (b"../a/./b..", "%2E%2E/a/%2E/b.."),
            (b"\xff\x00\n", "%FF%00%0A"),
            ("ключ".as_bytes(), "%D0%BA%D0%BB%D1%8E%D1%87"),
        ] {
            assert_eq!(escape(key), escaped);
            assert_eq!(unescape(escaped), key);
        }
        assert_eq!(unescape("%zz%4"), b"%zz%4", "what is no escape stays");
    }

    #[test]
    fn nothing_that_is_shown_disturbs_a_terminal() {
        assert_eq!(shown(b"plain \xc3\xa9"), "plain é");
        assert_eq!(shown(b"a\tb\nc\\\x1b[31m\xff"), "a\\tb\\nc\\\\\\u{1b}[31m\\xff");
    }
}
