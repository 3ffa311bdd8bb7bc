//! Where a request comes from: what limits are counted by, and whether cookies may demand TLS.
//!
//! Behind a proxy every connection comes from the proxy, which says for whom it asks in
//! `X-Forwarded-For`. Anybody can write that header, so only proxies that the operator trusts are
//! believed, and each only about its own client: the list is read from its end, where the nearest proxy
//! has written, up to the first address that is no trusted proxy. What stands before that was the
//! client's own claim.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

use super::service::Service;
use super::wire::Head;
use crate::networks::Network;

/// Bytes of an IPv6 address by which its owner is known: who has one has a /64 at least.
const V6_KEY_LEN: usize = 8;

/// Where a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The client's address, as well as it is known; an IPv4 address is never shown as an IPv6 one.
    pub address: IpAddr,
    /// Whether the client speaks TLS, to a proxy in front of this node.
    pub tls: bool,
}

impl Origin {
    /// What limits count this client by: four bytes of an IPv4 address, eight of an IPv6 one.
    #[must_use]
    pub fn limit_key(&self) -> Bytes {
        limit_key(self.address)
    }

    /// Reads it off a request.
    #[must_use]
    pub fn of(head: &Head, trusted: &[Network], advertised_tls: bool) -> Self {
        let is_trusted = |address| trusted.iter().any(|network| network.contains(address));
        let peer = head.peer.to_canonical();
        if !is_trusted(peer) {
            return Self { address: peer, tls: advertised_tls };
        }
        let mut address = peer;
        for hop in values(head, "X-Forwarded-For").into_iter().rev() {
            // A proxy that hides its client is the last one that is known.
            let Some(hop) = hop_address(hop) else { break };
            address = hop;
            if !is_trusted(hop) {
                break;
            }
        }
        let https = |value: &str| value.eq_ignore_ascii_case("https");
        let tls = advertised_tls || values(head, "X-Forwarded-Proto").into_iter().any(https);
        Self { address, tls }
    }
}

impl Head {
    /// Where this request comes from.
    #[must_use]
    pub fn client(&self, service: &Service) -> Origin {
        let options = &service.options;
        Origin::of(self, &options.trusted_proxies, options.advertised_tls)
    }
}

/// What limits count an address by; see [`Origin::limit_key`].
#[must_use]
pub fn limit_key(address: IpAddr) -> Bytes {
    match address.to_canonical() {
        IpAddr::V4(four) => Bytes::copy_from_slice(&four.octets()),
        IpAddr::V6(six) => Bytes::copy_from_slice(&six.octets()[..V6_KEY_LEN]),
    }
}

/// The values of a header that is a list, over all its lines, in order. What is not text stands for
/// itself as something that nobody can read.
fn values<'a>(head: &'a Head, name: &str) -> Vec<&'a str> {
    let lines = head.headers(name).collect::<Vec<_>>();
    let values = lines.into_iter().flat_map(|line| line.split(|byte| *byte == b','));
    let values = values.map(|value| str::from_utf8(value.trim_ascii()).unwrap_or("?"));
    values.filter(|value| !value.is_empty()).collect()
}

/// The address in one place of the list; some proxies write the port as well.
fn hop_address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse::<IpAddr>();
    let address = address.or_else(|_| text.parse::<SocketAddr>().map(|it| it.ip()));
    address.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::super::routes::limits;
    use super::*;

    fn head(peer: &str, fields: &str) -> Head {
        let text = format!("GET /b HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
        let mut head = Head::parse(text.as_bytes(), &limits()).unwrap();
        head.peer = peer.parse().unwrap();
        head
    }

    fn trusted() -> Vec<Network> {
        let more = ["10.0.0.0/8", "2001:db8:1::/48"].map(|text| text.parse().unwrap());
        [&Network::loopback()[..], &more].concat()
    }

    fn address(peer: &str, fields: &str) -> String {
        Origin::of(&head(peer, fields), &trusted(), false).address.to_string()
    }

    #[test]
    fn a_client_without_a_proxy_is_its_own_address() {
        assert_eq!(address("192.0.2.1", ""), "192.0.2.1");
        assert_eq!(address("::ffff:192.0.2.1", ""), "192.0.2.1");
        assert_eq!(address("192.0.2.1", "X-Forwarded-For: 198.51.100.9\r\n"), "192.0.2.1");
        assert_eq!(address("127.0.0.1", ""), "127.0.0.1");
    }

    #[test]
    fn a_trusted_proxy_is_believed_about_its_own_client() {
        for (list, client) in [
            ("198.51.100.9", "198.51.100.9"),
            ("6.6.6.6, 198.51.100.9", "198.51.100.9"),
            ("6.6.6.6, 198.51.100.9, 10.1.1.1", "198.51.100.9"),
            ("127.0.0.1, 198.51.100.9, 10.1.1.1,10.2.2.2", "198.51.100.9"),
            ("10.1.1.1, 10.2.2.2", "10.1.1.1"),
            ("198.51.100.9:4711", "198.51.100.9"),
            ("::ffff:198.51.100.9", "198.51.100.9"),
            ("2001:db8:2::7", "2001:db8:2::7"),
            ("[2001:db8:2::7]", "2001:db8:2::7"),
            ("[2001:db8:2::7]:443", "2001:db8:2::7"),
            ("198.51.100.9, [2001:db8:1::5]:443", "198.51.100.9"),
            (" 198.51.100.9 , ,", "198.51.100.9"),
        ] {
            let fields = format!("X-Forwarded-For: {list}\r\n");
            for proxy in ["127.0.0.1", "10.9.9.9", "::1", "::ffff:10.9.9.9"] {
                assert_eq!(address(proxy, &fields), client, "{list}");
            }
        }
    }

    #[test]
    fn what_nobody_can_read_ends_the_list() {
        for (list, client) in [
            ("unknown", "10.9.9.9"),
            ("198.51.100.9, unknown", "10.9.9.9"),
            ("198.51.100.9, _hidden, 10.1.1.1", "10.1.1.1"),
            ("198.51.100.9:port", "10.9.9.9"),
            ("198.51.100.999", "10.9.9.9"),
            ("fe80::1%eth0", "10.9.9.9"),
            ("[::1", "10.9.9.9"),
            ("\u{fc}", "10.9.9.9"),
            ("", "10.9.9.9"),
            (",,,", "10.9.9.9"),
        ] {
            assert_eq!(
                address("10.9.9.9", &format!("X-Forwarded-For: {list}\r\n")),
                client,
                "{list}"
            );
        }
    }

    #[test]
    fn several_lines_are_one_list() {
        let fields = "X-Forwarded-For: 6.6.6.6\r\nx-forwarded-for: 198.51.100.9\r\n\
                      X-Forwarded-For: 10.1.1.1\r\n";
        assert_eq!(address("10.9.9.9", fields), "198.51.100.9");
    }

    #[test]
    fn tls_is_believed_of_trusted_proxies_alone() {
        let tls = |peer, fields| Origin::of(&head(peer, fields), &trusted(), false).tls;
        assert!(tls("10.9.9.9", "X-Forwarded-Proto: https\r\n"));
        assert!(tls("10.9.9.9", "X-Forwarded-Proto: HTTPS, http\r\n"));
        assert!(!tls("10.9.9.9", "X-Forwarded-Proto: http\r\n"));
        assert!(!tls("10.9.9.9", ""));
        assert!(!tls("192.0.2.1", "X-Forwarded-Proto: https\r\n"));
        assert!(Origin::of(&head("192.0.2.1", ""), &[], true).tls, "the operator has said so");
    }

    #[test]
    fn limits_count_by_what_a_client_cannot_change() {
        let key = |text: &str| limit_key(text.parse().unwrap());
        assert_eq!(key("1.2.3.4"), [1, 2, 3, 4][..]);
        assert_eq!(key("::ffff:1.2.3.4"), [1, 2, 3, 4][..]);
        assert_eq!(key("2001:db8::1"), [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0][..]);
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:0:0:1"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
    }
}
