//! Ranges of IP addresses, as an operator writes them down: `10.0.0.0/8`, `::1`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// Bits that IPv4 addresses have in front when they are written as IPv6 ones (RFC 4291, 2.5.5.2).
const MAPPED_BITS: u8 = 96;

/// The addresses that begin with certain bits. An IPv4 address and the same one mapped into IPv6 are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// All that begin with the first `bits` bits of an address; none if it has not so many.
    #[must_use]
    pub fn new(address: IpAddr, bits: u8) -> Option<Self> {
        match (address, address.to_canonical()) {
            (IpAddr::V6(_), IpAddr::V4(inner)) if (MAPPED_BITS..=128).contains(&bits) => {
                Some(Self { address: IpAddr::V4(inner), bits: bits - MAPPED_BITS })
            }
            _ => (bits <= width(address)).then_some(Self { address, bits }),
        }
    }

    /// One address alone.
    #[must_use]
    pub fn of_one(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self { address, bits: width(address) }
    }

    /// The loopback addresses: what runs on this machine.
    #[must_use]
    pub fn loopback() -> Vec<Self> {
        let four = Self { address: IpAddr::from([127, 0, 0, 0]), bits: 8 };
        vec![four, Self::of_one(IpAddr::V6(Ipv6Addr::LOCALHOST))]
    }

    /// Whether an address is one of them.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let differing = match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (own.to_bits() ^ other.to_bits()).leading_zeros()
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (own.to_bits() ^ other.to_bits()).leading_zeros()
            }
            _ => return false,
        };
        differing >= u32::from(self.bits)
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = || format!("{text:?} is no IP address, alone or with /BITS: 10.0.0.0/8, say");
        let (address, bits) = match text.split_once('/') {
            None => (text, None),
            Some((address, bits)) => (address, Some(bits)),
        };
        let address: IpAddr = address.parse().map_err(|_| wanted())?;
        let Some(bits) = bits else { return Ok(Self::of_one(address)) };
        // A number may have a sign for `parse`, but not here.
        let digits = bits.bytes().all(|byte| byte.is_ascii_digit());
        let bits = bits.parse().ok().filter(|_| digits).ok_or_else(wanted)?;
        Self::new(address, bits)
            .ok_or_else(|| format!("{address} has {} bits, not {bits}", width(address)))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, bits } = self;
        if *bits == width(*address) {
            write!(f, "{address}")
        } else {
            write!(f, "{address}/{bits}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn addresses_are_in_networks_or_not() {
        for (range, inside, outside) in [
            ("10.0.0.1", "10.0.0.1", "10.0.0.2"),
            ("10.0.0.0/8", "10.255.0.3", "11.0.0.0"),
            ("10.9.9.9/8", "10.1.2.3", "9.9.9.9"),
            ("192.168.4.0/22", "192.168.7.255", "192.168.8.0"),
            ("10.0.0.0/8", "::ffff:10.1.2.3", "::10.1.2.3"),
            ("::ffff:10.0.0.0/104", "10.1.2.3", "11.1.2.3"),
            ("::ffff:10.0.0.1", "10.0.0.1", "10.0.0.2"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1"),
            ("::1", "::1", "127.0.0.1"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("::/0", "ffff::", "1.2.3.4"),
        ] {
            let range = network(range);
            assert!(range.contains(inside.parse().unwrap()), "{range} {inside}");
            assert!(!range.contains(outside.parse().unwrap()), "{range} {outside}");
        }
        let loopback = Network::loopback();
        assert_eq!(loopback, [network("127.0.0.0/8"), network("::1")]);
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0/8",
            "::/129",
            "a.example",
            "10.0.0.0/+8",
            "10.0.0.0/-1",
            "10.0.0.0/8/8",
            "10.0.0.1:80",
            "[::1]",
            "::ffff:1.2.3.4/200",
        ] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }

    #[test]
    fn networks_are_shown_as_they_are_written() {
        for text in ["10.0.0.0/8", "10.0.0.1", "::1", "2001:db8::/32"] {
            assert_eq!(network(text).to_string(), text);
        }
    }
}
