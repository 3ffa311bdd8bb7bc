//! Values as people write them on a command line: durations, ranges, addresses.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Parses `50ms`, `0.5ms`, `250us`, `5s`, `2m`, `1h`, `7d`; a bare number has no meaning.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let seconds = match unit {
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return Err("write it as 50ms, 0.5ms or 5s".into()),
    };
    let number: f64 = number.parse().map_err(|_| format!("{number:?} is no number"))?;
    let duration =
        Duration::try_from_secs_f64(number * seconds).map_err(|_| "it is too long".to_string())?;
    if duration.is_zero() {
        return Err("it must be longer than nothing".into());
    }
    Ok(duration)
}

/// Parses `64M`, `2G`, `512K`, `1.5G` or bytes; the units are powers of 1024, and may end in `B` or
/// `iB`.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.trim_end_matches("iB").trim_end_matches('B') {
        "" => 1,
        "K" | "k" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        "T" => 1 << 40,
        _ => return Err("write it as 64M, 2G or a number of bytes".into()),
    };
    let number: f64 = number.parse().map_err(|_| format!("{number:?} is no number"))?;
    let bytes = number * factor as f64;
    if bytes < (1u64 << 60) as f64 { Ok(bytes as u64) } else { Err("it is too large".into()) }
}

/// A span that durations are drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DurationRange {
    /// The shortest.
    pub min: Duration,
    /// The longest, never less than `min`.
    pub max: Duration,
}

impl FromStr for DurationRange {
    type Err = String;

    /// `250ms-500ms`; the first unit may be left out when it is the second's, as in `1-2s`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (min, max) = text.split_once('-').ok_or("write it as 250ms-500ms")?;
        let unit = max.trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
        let bare = min.bytes().all(|byte| byte == b'.' || byte.is_ascii_digit());
        let min = if bare { duration(&format!("{min}{unit}"))? } else { duration(min)? };
        let max = duration(max)?;
        if min > max {
            return Err("the first must not be longer than the second".into());
        }
        Ok(Self { min, max })
    }
}

/// A host, by name or number, and a port; an IPv6 number is written in brackets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address<Port = u16> {
    /// Name or number, without brackets.
    pub host: String,
    /// The port.
    pub port: Port,
}

impl<Port> Address<Port> {
    fn parse(text: &str) -> Result<(String, Option<u16>), String> {
        if text.contains("//") {
            return Err("a host and a port are wanted, not a URL".into());
        }
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, after) = rest.split_once(']').ok_or("the ] is missing")?;
                host.parse::<std::net::Ipv6Addr>()
                    .map_err(|_| format!("{host} is no IPv6 address"))?;
                match after.strip_prefix(':') {
                    Some(port) => (host, Some(port)),
                    None if after.is_empty() => (host, None),
                    None => return Err("after ] there can only be a port".into()),
                }
            }
            None if text.matches(':').count() > 1 => (text, None),
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        check_host(host)?;
        let port = port
            .map(|port| port.parse().map_err(|_| format!("{port:?} is no port")))
            .transpose()?;
        Ok((host.to_string(), port))
    }
}

fn check_host(host: &str) -> Result<(), String> {
    if host.is_empty() {
        return Err("the host is missing".into());
    }
    let number = host.contains(':') && host.parse::<std::net::Ipv6Addr>().is_ok();
    let name = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    if number || name { Ok(()) } else { Err(format!("{host:?} is no host")) }
}

impl FromStr for Address {
    type Err = String;

    /// `10.0.0.1:7071`, `example.com:7071`, `[::1]:7071`.
    fn from_str(text: &str) -> Result<Self, String> {
        match Self::parse(text)? {
            (host, Some(port)) => Ok(Self { host, port }),
            (_, None) => Err("the port is missing: write HOST:PORT".into()),
        }
    }
}

impl FromStr for Address<Option<u16>> {
    type Err = String;

    /// As an address with a port, or without one.
    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) = Self::parse(text)?;
        Ok(Self { host, port })
    }
}

impl<Port> Address<Port> {
    fn bracketed_host(&self) -> String {
        if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.bracketed_host(), self.port)
    }
}

/// A host alone, for `--bind`: brackets around an IPv6 number are allowed and dropped.
pub(super) fn host(text: &str) -> Result<String, String> {
    let address: Address<Option<u16>> = text.parse()?;
    match address.port {
        None => Ok(address.host),
        Some(_) => Err("a host without a port is wanted; --http and --peer take ports".into()),
    }
}

/// The base of a URL, `http://host:port`, without a slash at its end.
pub(super) fn base_url(text: &str) -> Result<String, String> {
    let with_scheme =
        if text.contains("://") { text.to_string() } else { format!("http://{text}") };
    let url = url::Url::parse(&with_scheme).map_err(|error| error.to_string())?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("it must start with http://".into());
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err("only scheme, host and port are wanted".into());
    }
    Ok(url.as_str().trim_end_matches('/').to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_units() {
        for (text, micros) in [
            ("50ms", 50_000),
            ("0.5ms", 500),
            ("250us", 250),
            ("5s", 5_000_000),
            ("2m", 120_000_000),
            ("1h", 3_600_000_000),
            ("7d", 604_800_000_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_micros(micros)), "{text}");
        }
        for text in ["", "5", "ms", "-1s", "1y", "0s", "1..5s", "1e9s", "99999999999999999999s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_read_with_their_units() {
        for (text, size) in [
            ("0", 0),
            ("4096", 4096),
            ("512K", 512 << 10),
            ("64M", 64 << 20),
            ("64MiB", 64 << 20),
            ("2GB", 2 << 30),
            ("1.5G", 3 << 29),
        ] {
            assert_eq!(bytes(text), Ok(size), "{text}");
        }
        for text in ["", "M", "-1", "5X", "1..5M", "99999999T", "nanM"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ranges_may_share_a_unit() {
        let range = |min, max| DurationRange {
            min: Duration::from_millis(min),
            max: Duration::from_millis(max),
        };
        assert_eq!("250ms-500ms".parse(), Ok(range(250, 500)));
        assert_eq!("1-2s".parse(), Ok(range(1000, 2000)));
        assert_eq!("500ms-1s".parse(), Ok(range(500, 1000)));
        for text in ["250ms", "2s-1s", "-1s", "1s-", "a-b"] {
            assert!(text.parse::<DurationRange>().is_err(), "{text}");
        }
    }

    #[test]
    fn addresses_are_read_and_written_back() {
        for text in ["10.0.0.1:7071", "node-1.example.com:80", "[::1]:7071"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for text in
            ["10.0.0.1", "::1", ":7071", "a:b", "a:70000", "[::1", "[x]:1", "http://a:1", ""]
        {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
        let no_port = |host: &str| Ok(Address { host: host.into(), port: None });
        assert_eq!("::1".parse::<Address<Option<u16>>>(), no_port("::1"));
        assert_eq!("[::1]".parse::<Address<Option<u16>>>(), no_port("::1"));
        assert_eq!("example.com".parse::<Address<Option<u16>>>(), no_port("example.com"));
        assert_eq!(host("[fe80::1]"), Ok("fe80::1".into()));
        assert!(host("10.0.0.1:7070").unwrap_err().contains("--http"));
    }

    #[test]
    fn a_node_may_be_named_without_its_scheme() {
        for (text, base) in [
            ("127.0.0.1:7070", "http://127.0.0.1:7070"),
            ("http://[::1]:7070/", "http://[::1]:7070"),
            ("https://links.example", "https://links.example"),
        ] {
            assert_eq!(base_url(text), Ok(base.into()));
        }
        for text in ["ftp://a", "http://a/path", "http://a?q", "", "http://"] {
            assert!(base_url(text).is_err(), "{text}");
        }
    }
}
