//! What may be shortened, decided once, by the node that takes the request.
//!
//! A URL in visible ASCII is stored and given back byte for byte: normalising would break the links
//! of people who know better than we do what their server wants. One with other characters cannot
//! stand in a `Location` header, so it is stored in the ASCII form that browsers would send.

use bytes::Bytes;
use url::Url;

/// Bytes of the longest URL, without the white space around it.
pub const URL_LEN_MAX: usize = 8 * 1024;

/// Why a text is not a URL that could be shortened; says it to the person who sent it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Nothing there, or only white space.
    #[error("the body is empty: send the URL to shorten as the request body")]
    Empty,
    /// Longer than [`URL_LEN_MAX`].
    #[error("the URL is {0} bytes long, and at most {URL_LEN_MAX} are allowed")]
    TooLong(usize),
    /// Longer than [`URL_LEN_MAX`] in the form it would be stored in.
    #[error("the URL would be stored as {0} bytes of ASCII, and at most {URL_LEN_MAX} are allowed")]
    TooLongInAscii(usize),
    /// Not a text.
    #[error("the URL is not valid UTF-8 at byte {0}")]
    NotUtf8(usize),
    /// White space in the middle.
    #[error("the URL contains white space ({character:?}) at byte {at}: write %20 for a space")]
    WhiteSpace {
        /// The first such character.
        character: char,
        /// Bytes before it.
        at: usize,
    },
    /// A control character.
    #[error("the URL contains a control character ({character:?}) at byte {at}")]
    Control {
        /// The first such character.
        character: char,
        /// Bytes before it.
        at: usize,
    },
    /// Relative, or of a scheme that is not shortened.
    #[error("the URL must be absolute and start with http:// or https://")]
    Scheme,
    /// Nothing between `//` and the path.
    #[error("the URL has no host after {0}")]
    NoHost(&'static str),
    /// Anything else that the URL standard forbids.
    #[error("the URL is not valid: {0}")]
    Invalid(url::ParseError),
}

/// Checks what a client sent and returns the bytes to store.
///
/// # Errors
/// What is wrong with it, precisely.
pub fn check_url(raw: &[u8]) -> Result<Bytes, UrlError> {
    let raw = raw.trim_ascii();
    if raw.is_empty() {
        return Err(UrlError::Empty);
    }
    if raw.len() > URL_LEN_MAX {
        return Err(UrlError::TooLong(raw.len()));
    }
    let text = std::str::from_utf8(raw).map_err(|error| UrlError::NotUtf8(error.valid_up_to()))?;
    check_characters(text)?;
    check_start(text)?;
    let parsed = Url::parse(text).map_err(UrlError::Invalid)?;
    if text.is_ascii() {
        return Ok(Bytes::copy_from_slice(raw));
    }
    let stored = String::from(parsed);
    assert!(stored.bytes().all(|byte| byte.is_ascii_graphic()), "http URLs serialise to ASCII");
    if stored.len() > URL_LEN_MAX {
        return Err(UrlError::TooLongInAscii(stored.len()));
    }
    Ok(stored.into())
}

fn check_characters(text: &str) -> Result<(), UrlError> {
    for (at, character) in text.char_indices() {
        if character.is_whitespace() {
            return Err(UrlError::WhiteSpace { character, at });
        }
        if character.is_control() {
            return Err(UrlError::Control { character, at });
        }
    }
    Ok(())
}

/// Wants the scheme, two slashes and the first byte of an authority in so many bytes.
///
/// The parser is more lenient than we may be: it repairs `http:host`, `http:\\host` and
/// `http:///host`, and since we give back what we got, not what it made of it, browsers would read
/// the first as a path relative to ours.
fn check_start(text: &str) -> Result<(), UrlError> {
    let starts = |prefix: &str| {
        text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    let prefix = match () {
        () if starts("http://") => "http://",
        () if starts("https://") => "https://",
        () => return Err(UrlError::Scheme),
    };
    match text.as_bytes().get(prefix.len()) {
        None | Some(b'/' | b'\\' | b'?' | b'#') => Err(UrlError::NoHost(prefix)),
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn visible_ascii_is_kept_byte_for_byte() {
        for url in [
            "http://example.com",
            "HTTP://Example.COM:80/%7euser/../x?b=2&a=1#frag",
            "https://user:pw@[::1]:8443/\"<>`{}|^",
            "http://8ne.sakura.ne.jp:20008/chika/unitbase/xsys35/",
        ] {
            let sent = format!("\r\n\t {url} \n");
            assert_eq!(check_url(sent.as_bytes()), Ok(Bytes::from(url)), "{url}");
        }
    }

    #[test]
    fn other_characters_are_stored_as_browsers_send_them() {
        let stored = check_url("http://bücher.example/straße?q=ä#ö".as_bytes()).unwrap();
        assert_eq!(stored, "http://xn--bcher-kva.example/stra%C3%9Fe?q=%C3%A4#%C3%B6");
    }

    #[test]
    fn what_is_wrong_is_said_precisely() {
        let error = |text: &str| check_url(text.as_bytes()).unwrap_err();
        assert_eq!(error(""), UrlError::Empty);
        assert_eq!(error(" \r\n"), UrlError::Empty);
        assert_eq!(error("http://a b/"), UrlError::WhiteSpace { character: ' ', at: 8 });
        assert_eq!(
            error("http://a/\u{2003}b"),
            UrlError::WhiteSpace { character: '\u{2003}', at: 9 }
        );
        assert_eq!(error("http://a/\nb"), UrlError::WhiteSpace { character: '\n', at: 9 });
        assert_eq!(error("http://a/\0b"), UrlError::Control { character: '\0', at: 9 });
        assert_eq!(error("http://a/\u{85}x"), UrlError::WhiteSpace { character: '\u{85}', at: 9 });
        assert_eq!(error("http://a/\u{9f}x"), UrlError::Control { character: '\u{9f}', at: 9 });
        for text in ["example.com", "/path", "ftp://a/", "http:a", "http:/a", "http:\\\\a", "ü"] {
            assert_eq!(error(text), UrlError::Scheme, "{text}");
        }
        for text in ["http://", "http:///a", "http://\\a", "http://?q", "http://#f"] {
            assert_eq!(error(text), UrlError::NoHost("http://"), "{text}");
        }
        assert_eq!(error("https:///a"), UrlError::NoHost("https://"));
        for text in
            ["http://:80/", "http://user@/", "http://a:99999/", "http://[::1", "http://a<b/"]
        {
            assert!(matches!(error(text), UrlError::Invalid(_)), "{text}");
        }
        assert_eq!(check_url(b"http://a/\xff"), Err(UrlError::NotUtf8(9)));
        assert!(error("http://a:99999/").to_string().contains("port"));
    }

    #[test]
    fn eight_kib_are_allowed_and_not_a_byte_more() {
        let mut url = String::from("https://example.com/");
        url.push_str(&"a".repeat(URL_LEN_MAX - url.len()));
        assert!(check_url(format!(" {url} ").as_bytes()).is_ok());
        url.push('a');
        assert_eq!(check_url(url.as_bytes()), Err(UrlError::TooLong(URL_LEN_MAX + 1)));
        let grows = format!("http://a/{}", "ü".repeat(4000));
        assert_eq!(check_url(grows.as_bytes()), Err(UrlError::TooLongInAscii(24_009)));
    }

    proptest! {
        #[test]
        fn what_is_stored_is_ascii_and_checks_again(
            text in "[hH]ttps?://\\PC{0,40}(/\\PC{0,60})?",
        ) {
            if let Ok(stored) = check_url(text.as_bytes()) {
                prop_assert!(stored.iter().all(u8::is_ascii_graphic));
                prop_assert_eq!(check_url(&stored), Ok(stored));
            }
        }

        #[test]
        fn random_bytes_never_panic(bytes in any::<Vec<u8>>()) {
            let _ = check_url(&bytes);
            let _ = check_url(&[b"https://h/", &bytes[..]].concat());
        }
    }
}
