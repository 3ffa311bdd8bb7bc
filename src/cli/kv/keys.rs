//! Keys between the command line, URLs and the terminal: any bytes, and nothing lost.

use std::ffi::OsString;
use std::fmt::Write;
use std::os::unix::ffi::OsStringExt;

use crate::escapes;

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
        escapes::path(&self.0)
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
    fn nothing_that_is_shown_disturbs_a_terminal() {
        assert_eq!(shown(b"plain \xc3\xa9"), "plain é");
        assert_eq!(shown(b"a\tb\nc\\\x1b[31m\xff"), "a\\tb\\nc\\\\\\u{1b}[31m\\xff");
    }
}
