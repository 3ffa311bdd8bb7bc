//! Where this board is, as its visitor sees it: absolute URLs, for feeds and JSON, which are read away
//! from here. Pages get by with paths.

use super::super::service::Service;
use super::super::wire::Request;
use crate::escapes;

/// Scheme and authority, by which the visitor came here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Site {
    /// Without a slash at its end.
    base: String,
}

impl Site {
    /// What the request said in `Host` ([`asked`]); without that, this node's own address.
    pub(super) fn of(service: &Service, asked: Option<&str>, tls: bool) -> Self {
        if let Some(host) = asked {
            return Self { base: format!("{}://{host}", if tls { "https" } else { "http" }) };
        }
        let status = service.client.status();
        let own = status.members.iter().find(|member| member.id == status.id);
        let base = own.map(|member| member.http.trim_end_matches('/').to_owned());
        Self { base: base.unwrap_or_default() }
    }

    /// The URL of a path here.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }
}

/// The host that a request asks, if that could stand in a URL.
pub(super) fn asked(request: &Request) -> Option<String> {
    let host = str::from_utf8(request.header("Host")?).ok()?;
    is_authority(host).then(|| host.to_owned())
}

/// Whether a `Host` names a host, and perhaps a port, and nothing else. Escapes are for no name that is in
/// use, and in the address of a bookmark they would be undone.
fn is_authority(host: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:[]".contains(&byte);
    !host.is_empty() && host.bytes().all(fits)
}

/// The page of a post.
pub(super) fn post(key: &str) -> String {
    format!("/b/p/{key}")
}

/// The page of a user.
pub(super) fn user(name: &str) -> String {
    format!("/b/u/{}", escapes::path(name.as_bytes()))
}

/// The page of a host.
pub(super) fn host(host: &str) -> String {
    format!("/b/host/{}", escapes::path(host.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_taken_only_when_it_is_one() {
        for host in ["a.example", "a.example:8080", "[::1]:7070", "127.0.0.1"] {
            assert!(is_authority(host), "{host}");
        }
        for host in ["", "a/b", "a b", "u@h", "a?b", "a#b", "<script>", "a\"", "b\u{fc}cher", "%27"]
        {
            assert!(!is_authority(host), "{host}");
        }
    }

    #[test]
    fn paths_are_escaped() {
        assert_eq!(user("ann_b"), "/b/u/ann_b");
        assert_eq!(host("[::1]"), "/b/host/%5B%3A%3A1%5D");
        assert_eq!(post("abc-_12"), "/b/p/abc-_12");
    }
}
