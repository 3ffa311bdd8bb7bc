//! One request head: the grammar from `httparse`, and the rules that it leaves to its caller.

use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;

use super::{Limits, Method, Version, WireError};

/// How a body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// This many bytes follow; 0 without a body.
    Length(u64),
    /// Chunks follow.
    Chunked,
}

/// A request's head, kept as received; header fields are looked up when asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The method.
    pub method: Method,
    /// The version.
    pub version: Version,
    /// Whether the client lets the connection stay open.
    pub keep_alive: bool,
    /// How the body is delimited.
    pub framing: Framing,
    /// Whether the client waits for a go-ahead before it sends the body.
    pub expects_continue: bool,
    /// Who sent it: the other end of the connection, which is not in the bytes. Unspecified (`0.0.0.0`)
    /// until the front says it.
    pub peer: IpAddr,
    bytes: Box<[u8]>,
    /// Empty when an absolute target had no path.
    path: Range<usize>,
    query: Range<usize>,
    /// Where the header lines start.
    fields: usize,
}

impl Head {
    /// Reads one head: `bytes` are a request line, header lines and the blank line, each ended by
    /// CR LF, and nothing else.
    ///
    /// # Errors
    /// The rule that the head breaks.
    pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Self, WireError> {
        let mut fields = [const { MaybeUninit::uninit() }; Limits::HEADERS_MAX];
        let mut parsed = httparse::Request::new(&mut []);
        match parsed.parse_with_uninit_headers(bytes, &mut fields) {
            Ok(httparse::Status::Complete(end)) if end == bytes.len() => {}
            Ok(_) => return Err(WireError::RequestLine),
            Err(error) => return Err(refusal(error)),
        }
        let (Some(token), Some(target), Some(minor)) = (parsed.method, parsed.path, parsed.version)
        else {
            return Err(WireError::RequestLine);
        };
        if target.len() > limits.target_max {
            return Err(WireError::TargetTooLong);
        }
        let version = if minor == 0 { Version::Http10 } else { Version::Http11 };
        let meaning = Meaning::of(parsed.headers, version)?;
        // A single space follows the method, and nothing precedes it: httparse took no others.
        let target_at = token.len() + 1;
        let (path, query) = split_target(target)?;
        let shift = |range: Range<usize>| range.start + target_at..range.end + target_at;
        let first_line = target_at + target.len() + " HTTP/1.x\r\n".len();
        Ok(Self {
            method: Method::parse(token),
            version,
            keep_alive: meaning.keep_alive(version),
            framing: meaning.framing()?,
            expects_continue: meaning.expects_continue,
            peer: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            path: shift(path),
            query: shift(query),
            fields: first_line.min(bytes.len()),
            bytes: bytes.into(),
        })
    }

    /// The path as sent, not decoded; starts with a slash.
    #[must_use]
    pub fn path(&self) -> &str {
        if self.path.is_empty() { "/" } else { self.text(&self.path) }
    }

    /// What follows the question mark, as sent; empty without one.
    #[must_use]
    pub fn query(&self) -> &str {
        self.text(&self.query)
    }

    /// The value of the first header field of this name (any case), without surrounding space.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers(name).next()
    }

    /// The values of all header fields of this name, in order; see [`Head::header`].
    pub fn headers<'a, 'n>(
        &'a self,
        name: &'n str,
    ) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        let lines = self.bytes[self.fields..].split(|byte| *byte == b'\n');
        lines.filter_map(move |line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let (field, value) = line.split_at(colon);
            field.eq_ignore_ascii_case(name.as_bytes()).then(|| value[1..].trim_ascii())
        })
    }

    fn text(&self, range: &Range<usize>) -> &str {
        str::from_utf8(&self.bytes[range.clone()])
            .expect("the target was UTF-8 and is cut at ASCII characters")
    }
}

fn refusal(error: httparse::Error) -> WireError {
    match error {
        httparse::Error::Version => WireError::Version,
        httparse::Error::TooManyHeaders => WireError::HeadTooLarge,
        httparse::Error::HeaderName | httparse::Error::HeaderValue | httparse::Error::NewLine => {
            WireError::HeaderLine
        }
        httparse::Error::Status | httparse::Error::Token => WireError::RequestLine,
    }
}

/// Path and query within a target, which is a path, an absolute http URL (of which the authority is
/// dropped: this server has one), or the asterisk of OPTIONS.
fn split_target(target: &str) -> Result<(Range<usize>, Range<usize>), WireError> {
    let start = if target.starts_with('/') || target == "*" {
        0
    } else {
        let scheme = ["http://", "https://"]
            .into_iter()
            .find(|it| target.get(..it.len()).is_some_and(|cut| cut.eq_ignore_ascii_case(it)))
            .ok_or(WireError::Target)?;
        let authority = &target[scheme.len()..];
        let length = authority.find(['/', '?']).unwrap_or(authority.len());
        if length == 0 {
            return Err(WireError::Target);
        }
        scheme.len() + length
    };
    let end = target[start..].find('?').map_or(target.len(), |mark| start + mark);
    let query = (end + 1).min(target.len())..target.len();
    Ok((start..end, query))
}

/// What the header fields say about the message itself.
#[derive(Default)]
struct Meaning {
    hosts: usize,
    length: Option<u64>,
    codings: usize,
    chunked: bool,
    close: bool,
    stay: bool,
    expects_continue: bool,
}

impl Meaning {
    fn of(fields: &[httparse::Header<'_>], version: Version) -> Result<Self, WireError> {
        let mut meaning = Self::default();
        for field in fields {
            meaning.take(field.name, field.value)?;
        }
        let hosts_min = usize::from(version == Version::Http11);
        if meaning.hosts < hosts_min || meaning.hosts > 1 {
            return Err(WireError::Host);
        }
        if version == Version::Http10 {
            if meaning.codings > 0 {
                return Err(WireError::Length);
            }
            // An old client cannot know what a 100 is (RFC 9110, 10.1.1).
            meaning.expects_continue = false;
        }
        Ok(meaning)
    }

    fn take(&mut self, name: &str, value: &[u8]) -> Result<(), WireError> {
        // Most fields are told apart by their length alone.
        match name.len() {
            4 if name.eq_ignore_ascii_case("host") => {
                self.hosts += 1;
                if !value.iter().all(|byte| is_host(*byte)) {
                    return Err(WireError::Host);
                }
            }
            6 if name.eq_ignore_ascii_case("expect") => {
                if !value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(WireError::Expectation);
                }
                self.expects_continue = true;
            }
            10 if name.eq_ignore_ascii_case("connection") => {
                for token in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                    self.close |= token.eq_ignore_ascii_case(b"close");
                    self.stay |= token.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            14 if name.eq_ignore_ascii_case("content-length") => {
                // A repeated length is refused even when it says the same: somebody between here
                // and the client may have looked at only one of them.
                if self.length.is_some() {
                    return Err(WireError::Length);
                }
                self.length = Some(digits(value)?);
            }
            17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                self.codings += 1;
                self.chunked = value.eq_ignore_ascii_case(b"chunked");
                if !self.chunked && self.length.is_none() && self.codings == 1 {
                    return Err(WireError::Coding);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn framing(&self) -> Result<Framing, WireError> {
        match (self.length, self.codings) {
            (length, 0) => Ok(Framing::Length(length.unwrap_or(0))),
            (None, 1) if self.chunked => Ok(Framing::Chunked),
            _ => Err(WireError::Length),
        }
    }

    fn keep_alive(&self, version: Version) -> bool {
        match version {
            Version::Http10 => self.stay && !self.close,
            Version::Http11 => !self.close,
        }
    }
}

/// A length: digits and nothing else. One too large for the type is only too large, not malformed.
fn digits(value: &[u8]) -> Result<u64, WireError> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(WireError::Length);
    }
    Ok(value
        .iter()
        .fold(0_u64, |sum, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'))))
}

/// Whether a byte may stand in a host with port (RFC 3986, 3.2.2), user information excluded.
fn is_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=:[]".contains(&byte)
}
