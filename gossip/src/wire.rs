//! How tags and addresses are written inside MessagePack bodies: as plain bytes, which is half as
//! long as what serde would make of them.

use serde::de::{Error, Visitor};
use serde::{Deserializer, Serializer};

/// Reads a byte string of the input without copying it.
struct Bytes<F>(F, &'static str);

impl<T, F: FnOnce(&[u8]) -> Option<T>> Visitor<'_> for Bytes<F> {
    type Value = T;

    fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.1)
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<T, E> {
        let what = self.1;
        (self.0)(bytes).ok_or_else(|| E::invalid_length(bytes.len(), &what))
    }
}

/// 16 bytes.
pub(crate) mod tag {
    use super::{Bytes, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(tag: &[u8; 16], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(tag)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 16], D::Error> {
        from.deserialize_bytes(Bytes(|bytes: &[u8]| bytes.try_into().ok(), "16 bytes"))
    }
}

/// The address in network order (4 or 16 bytes), then the port, little-endian.
pub(crate) mod addr {
    use core::net::{IpAddr, SocketAddr};

    use super::{Bytes, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(addr: &SocketAddr, to: S) -> Result<S::Ok, S::Error> {
        let mut bytes = match addr.ip() {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        bytes.extend(addr.port().to_le_bytes());
        to.serialize_bytes(&bytes)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SocketAddr, D::Error> {
        from.deserialize_bytes(Bytes(parse, "6 or 18 bytes"))
    }

    fn parse(bytes: &[u8]) -> Option<SocketAddr> {
        let (ip, port) = bytes.split_last_chunk::<2>()?;
        let ip = match ip.len() {
            4 => IpAddr::from(<[u8; 4]>::try_from(ip).ok()?),
            16 => IpAddr::from(<[u8; 16]>::try_from(ip).ok()?),
            _ => return None,
        };
        Some(SocketAddr::new(ip, u16::from_le_bytes(*port)))
    }
}
