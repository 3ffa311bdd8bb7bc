//! When two URLs are one page: the normaliser by which a board recognises what was posted before.
//!
//! A URL is posted, shown and followed byte for byte as it was typed. Only to find an earlier post of the
//! same page it is brought into a form that leaves out what does not change the page, and that form is
//! compared. It errs on the side of telling URLs apart: two posts of one page are a nuisance, but a page
//! that cannot be posted because another stands in its place is a fault.
//!
//! The rules ([`RULES_VERSION`]), in order:
//!
//! 1. `http` and `https` are one, and the scheme is left out, as are a name and password.
//! 2. The host is lowercase and in ASCII (punycode), without `www.` before it and without a dot behind
//!    it. The scheme's own port is left out.
//! 3. Dots in the path are resolved; `index.html` and `index.htm` at its end, and then slashes, are left
//!    out. The case of a path says something, and stays.
//! 4. The query loses the parameters that only follow people around ([`TRACKERS`], and all of `utm_…`),
//!    and empty ones. The others are put in the order of their names, since servers find them by name;
//!    those of one name stay in their order, which may say something.
//! 5. The fragment, a place within a page, is left out, unless it names the page itself, as those that
//!    begin with `#!` and `#/` do.
//! 6. Escapes of letters, digits and `-._~` are undone, others are written with capital digits; in a query
//!    a plus sign is a blank.
//!
//! The node that takes the request does this, never the one that applies it, so the rules may change with
//! a version of the program. Nothing needs to be made anew then: what was posted under other rules is
//! merely not recognised, and that ends with the [window](crate::state::board::REPOST_MS) in which
//! anything is.

use bytes::Bytes;
use url::Url;

use crate::state::{UrlError, check_url};

/// Which rules these are; one more with each change that gives any URL another form.
pub const RULES_VERSION: u32 = 1;

/// Parameters that say where a visitor came from and nothing about the page, besides `utm_…`.
const TRACKERS: [&str; 27] = [
    "_ga",
    "_gl",
    "_hsenc",
    "_hsmi",
    "dclid",
    "fb_action_ids",
    "fb_action_types",
    "fb_source",
    "fbclid",
    "gbraid",
    "gclid",
    "gclsrc",
    "igsh",
    "igshid",
    "li_fat_id",
    "mc_cid",
    "mc_eid",
    "mkt_tok",
    "msclkid",
    "oly_anon_id",
    "oly_enc_id",
    "srsltid",
    "ttclid",
    "twclid",
    "vero_id",
    "wbraid",
    "yclid",
];

/// What a server gives when asked for a folder.
const INDEX_PAGES: [&str; 2] = ["/index.html", "/index.htm"];

/// Bytes of the longest host; DNS has no longer names.
const HOST_LEN_MAX: usize = 253;

/// Where a post leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The URL as it is stored and followed.
    pub url: Bytes,
    /// The form by which it is recognised.
    pub normal: Bytes,
    /// Its host: lowercase, ASCII, without `www.`; an IPv6 address in brackets.
    pub host: String,
}

/// Why a text cannot be posted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It is no URL that could be shortened.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The host is longer than any.
    #[error("the URL's host is {0} bytes long, and at most {HOST_LEN_MAX} are possible")]
    Host(usize),
}

impl Target {
    /// Checks what somebody typed.
    ///
    /// # Errors
    /// What is wrong with it, precisely.
    pub fn of(typed: &[u8]) -> Result<Self, TargetError> {
        let url = check_url(typed)?;
        let text = str::from_utf8(&url).map_err(|error| UrlError::NotUtf8(error.valid_up_to()))?;
        let parsed = Url::parse(text).map_err(UrlError::Invalid)?;
        let host = plain_host(parsed.host_str().ok_or(UrlError::NoHost("//"))?).to_owned();
        if host.len() > HOST_LEN_MAX {
            return Err(TargetError::Host(host.len()));
        }
        let normal = normal(&parsed, &host).into();
        Ok(Self { url, normal, host })
    }
}

/// A host, lowercase already, without what most sites do not mean by it.
pub fn plain_host(host: &str) -> &str {
    let host = host.strip_suffix('.').unwrap_or(host);
    // `www.com` is a site of its own.
    host.strip_prefix("www.").filter(|rest| rest.contains('.')).unwrap_or(host)
}

fn normal(url: &Url, host: &str) -> String {
    let mut out = host.to_owned();
    if let Some(port) = url.port() {
        out.push_str(&format!(":{port}"));
    }
    let path = unescaped(url.path());
    let mut path = path.trim_end_matches('/');
    while let Some(folder) = INDEX_PAGES.iter().find_map(|page| path.strip_suffix(page)) {
        path = folder.trim_end_matches('/');
    }
    out.push_str(path);
    let mut pairs: Vec<(String, String)> = url.query().into_iter().flat_map(pairs).collect();
    pairs.sort_by(|one, other| one.0.cmp(&other.0));
    for (at, (_, pair)) in pairs.iter().enumerate() {
        out.push(if at == 0 { '?' } else { '&' });
        out.push_str(pair);
    }
    if let Some(fragment) = url.fragment().filter(|it| it.starts_with(['!', '/'])) {
        out.push('#');
        out.push_str(&unescaped(fragment));
    }
    out
}

/// The parameters of a query that say something, each with its name.
fn pairs(query: &str) -> impl Iterator<Item = (String, String)> {
    query.split('&').filter_map(|pair| {
        let pair = unescaped(&pair.replace('+', "%20"));
        let name = pair.split('=').next().unwrap_or_default().to_owned();
        let tracks = name.starts_with("utm_") || TRACKERS.contains(&name.as_str());
        (!pair.is_empty() && !tracks).then_some((name, pair))
    })
}

/// The text with each escape in its one form.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let digits = after.get(..2).filter(|it| it.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let Some((digits, byte)) =
            digits.and_then(|it| Some((it, u8::from_str_radix(it, 16).ok()?)))
        else {
            out.push('%');
            rest = after;
            continue;
        };
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => {
                out.push('%');
                out.push_str(&digits.to_ascii_uppercase());
            }
        }
        rest = &after[2..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn normal_of(text: &str) -> String {
        let target = Target::of(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
        String::from_utf8(target.normal.to_vec()).unwrap()
    }

    /// Rules, version 1: what these give may only change together with [`RULES_VERSION`].
    #[test]
    fn variants_of_a_url_have_one_form() {
        const { assert!(RULES_VERSION == 1) };
        let table: &[(&str, &[&str])] = &[
            (
                "example.com",
                &[
                    "http://example.com",
                    "https://example.com/",
                    "HTTPS://EXAMPLE.com:443",
                    "http://example.com:80//",
                    "http://www.example.com./",
                    "https://user:secret@www.example.com/#top",
                    "https://example.com/index.html",
                    "https://example.com/?",
                    "https://example.com/?&utm_source=a&",
                ],
            ),
            (
                "example.com/a/B",
                &[
                    "https://example.com/a/B",
                    "https://example.com/a/B/",
                    "https://example.com/./x/../a/%42/",
                    "https://example.com/a/B#section-2",
                    "https://example.com/a/B/index.htm",
                    "https://example.com/a/B/index%2Ehtml//",
                    "https://www.example.com/a/B?fbclid=1&gclid=2&utm_medium=m&%75tm_x",
                ],
            ),
            (
                "example.com?a=1&b=2",
                &[
                    "https://example.com/?a=1&b=2",
                    "https://example.com?b=2&a=1",
                    "https://example.com/?b=2&utm_campaign=x&&a=1&igshid=y#f",
                ],
            ),
            (
                "example.com/s?q=a%20b",
                &["http://example.com/s?q=a+b", "http://example.com/s?q=a%20b"],
            ),
            (
                "example.com/~u/%C3%A9",
                &["http://example.com/%7eu/%c3%a9", "http://example.com/~u/\u{e9}"],
            ),
            (
                "xn--bcher-kva.example",
                &["http://b\u{fc}cher.example/", "https://WWW.XN--BCHER-KVA.example"],
            ),
            ("[2001:db8::1]:8080/x", &["http://[2001:DB8:0::1]:8080/x/"]),
            ("127.0.0.1", &["http://127.0.0.1/", "http://127.1", "http://0x7f000001"]),
            ("app.example#/room/1", &["https://app.example/#/room/1"]),
            ("app.example#!/room/1", &["https://app.example/#!/room/1"]),
        ];
        for (form, variants) in table {
            for variant in *variants {
                assert_eq!(normal_of(variant), *form, "{variant}");
            }
        }
    }

    #[test]
    fn what_may_be_another_page_is_told_apart() {
        let all = [
            "https://example.com/a",
            "https://example.com/A",
            "https://example.com/a.html",
            "https://example.com/a/b",
            "https://example.com/a%2Fb",
            "https://example.com/a?b",
            "https://example.com/a?b=1",
            "https://example.com/a?b=1&b=2",
            "https://example.com/a?b=2&b=1",
            "https://example.com/a?ref=main",
            "https://example.com/a?UTM=1",
            "https://example.com/a?b=1%262",
            "https://example.com/a?b=1&2",
            "https://example.com:8443/a",
            "http://example.com:443/a",
            "https://sub.example.com/a",
            "https://m.example.com/a",
            "https://www.com/a",
            "https://com/a",
            "https://example.com/a#!b",
            "https://example.com/a#/b",
            "https://example.com/a%",
            "https://example.com/a%25",
        ];
        for (at, one) in all.iter().enumerate() {
            for other in &all[at + 1..] {
                assert_ne!(normal_of(one), normal_of(other), "{one} and {other}");
            }
        }
    }

    #[test]
    fn the_url_itself_stays_as_it_was_typed_and_the_host_is_named() {
        for (typed, host) in [
            ("HTTPS://WWW.Example.COM:443/%7ex/?utm_source=a#b", "example.com"),
            ("http://www.com/", "www.com"),
            ("http://www.co.uk./", "co.uk"),
            ("http://[::1]:80/", "[::1]"),
            ("http://user@10.0.0.1/", "10.0.0.1"),
        ] {
            let target = Target::of(typed.as_bytes()).unwrap();
            assert_eq!(target.url, typed);
            assert_eq!(target.host, host);
        }
    }

    #[test]
    fn what_is_no_link_is_refused_with_the_reason() {
        let error = |typed: &str| Target::of(typed.as_bytes()).unwrap_err();
        for typed in [
            "javascript:alert(1)",
            "data:text/html,<script>alert(1)</script>",
            "JaVaScRiPt://example.com/%0aalert(1)",
            "vbscript:x",
            "file:///etc/passwd",
            "//example.com/",
            "example.com",
        ] {
            assert_eq!(error(typed), TargetError::Url(UrlError::Scheme), "{typed}");
        }
        assert_eq!(error(""), TargetError::Url(UrlError::Empty));
        assert!(matches!(error("https://"), TargetError::Url(UrlError::NoHost(_))));
        let long = format!("https://{}.example/", vec!["a".repeat(60); 5].join("."));
        assert!(matches!(error(&long), TargetError::Host(312)), "{:?}", error(&long));
    }

    proptest! {
        #[test]
        fn the_form_is_its_own_form(
            path in "(/(a|B|%41|%2f|%C3%a9|\\.\\.|\\.|index\\.html?)?){0,6}",
            query in "(\\?((a|b|c|%62|utm_x|fbclid)(=(1|%31|%26|\\+)?)?&?){0,5})?",
            fragment in "(#(!|/)?[a-z]{0,3})?",
        ) {
            let once = normal_of(&format!("https://www.h.example{path}{query}{fragment}"));
            prop_assert_eq!(normal_of(&format!("http://{once}")), once);
        }

        #[test]
        fn random_bytes_never_panic(bytes in any::<Vec<u8>>()) {
            let _ = Target::of(&bytes);
            let _ = Target::of(&[b"https://h.example/", &bytes[..]].concat());
        }
    }
}
