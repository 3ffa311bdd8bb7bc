//! Packets: one datagram each, at most `Config::max_packet` bytes.
//!
//! A hand-written little-endian header, then a MessagePack body:
//!
//! | offset | bytes | |
//! |---|---|---|
//! | 0 | 4 | magic `BwlG` |
//! | 4 | 1 | format, 1 |
//! | 5 | 1 | kind |
//! | 6 | 2 | seal and key id: both 0, plain; room for encryption |
//! | 8 | 4 | CRC32C over all other bytes |
//! | 12 | 16 | cluster id |
//! | 28 | 8 | sender's id |
//! | 36 | 16 | sender's tag |
//! | 52 | | body: an array of the kind's fields |
//!
//! Direct probe, and the same through a helper:
//!
//! ```text
//! a ── ping ──▶ b        a ── ping request ──▶ h ── ping ──▶ b
//! a ◀── ack ─── b        a ◀──── ack ───────── h ◀── ack ─── b
//!                        a ◀──── nack ──────── h   (b said nothing in time)
//! ```
//!
//! A ping names whom it is meant for: another node may have taken over an address. A ping request
//! names its target by id only. The helper sends to the address in its *own* roster, so nobody
//! can use a node to send packets to an address of his choice.
//!
//! Kinds and the fields of a kind are never changed, only added, with a new format number.

use core::fmt;

use serde::de::DeserializeOwned;

use crate::config::MAX_MEMBERS;
use crate::{NodeId, Rumour, Tag};

/// The first bytes of every packet.
pub const MAGIC: [u8; 4] = *b"BwlG";

/// The only format there is.
pub const FORMAT: u8 = 1;

/// The length of the header in bytes.
pub const HEADER: usize = 52;

const CRC_AT: core::ops::Range<usize> = 8..12;

/// A packet: who says what in which cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The cluster's id.
    pub cluster: [u8; 16],
    /// Who sends it.
    pub sender: NodeId,
    /// The sender's tag.
    pub tag: Tag,
    /// What is asked or answered.
    pub message: Message,
    /// News that rides along.
    pub rumours: Vec<Rumour>,
}

/// What a packet asks or answers. `probe` is a number that the asker chose; answers carry it
/// back, and one that matches nothing under way is stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// Are you there? (kind 1)
    Ping {
        /// The asker's number for this question.
        probe: u64,
        /// Whom it is meant for.
        target: NodeId,
        /// Whether the asker does not know the target's record and wants it with the answer.
        introduce: bool,
    },
    /// I am, or: he told me that he is. (kind 2)
    Ack {
        /// The number in the ping or the ping request.
        probe: u64,
    },
    /// Please ping that one for me. (kind 3)
    PingRequest {
        /// The asker's number for this question.
        probe: u64,
        /// Whom to ping.
        target: NodeId,
    },
    /// I am here, but got no answer from that one. (kind 4)
    Nack {
        /// The number in the ping request.
        probe: u64,
    },
    /// Only news. (kind 5)
    Gossip,
}

impl Message {
    fn kind(self) -> u8 {
        match self {
            Message::Ping { .. } => 1,
            Message::Ack { .. } => 2,
            Message::PingRequest { .. } => 3,
            Message::Nack { .. } => 4,
            Message::Gossip => 5,
        }
    }
}

/// Why a packet or a push-pull body was refused. It was not answered and changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketError {
    /// Shorter than a header: junk.
    TooShort,
    /// Longer than we accept.
    TooLong,
    /// Not one of our packets: junk.
    Magic,
    /// Written by a newer program, or junk.
    Format(u8),
    /// Damaged on the way.
    Checksum,
    /// From another cluster, or from one that encrypts.
    Cluster,
    /// Sealed with a key; this format knows none.
    Sealed,
    /// A kind that this format does not know.
    Kind(u8),
    /// The body is not what the kind promises.
    Body,
    /// The sender is neither in the roster nor configured.
    Stranger(NodeId),
    /// The sender has a known id with another tag.
    Impostor(NodeId),
    /// Our own packet came back.
    Own,
    /// A ping meant for another node that used to have, or should have, this address.
    Misaddressed(NodeId),
}

impl fmt::Display for PacketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PacketError::TooShort => write!(f, "shorter than a header"),
            PacketError::TooLong => write!(f, "longer than the limit"),
            PacketError::Magic => write!(f, "not a gossip packet"),
            PacketError::Format(format) => write!(f, "format {format} is unknown here"),
            PacketError::Checksum => write!(f, "damaged: the checksum does not match"),
            PacketError::Cluster => write!(f, "from another cluster"),
            PacketError::Sealed => write!(f, "sealed with an unknown key"),
            PacketError::Kind(kind) => write!(f, "kind {kind} is unknown here"),
            PacketError::Body => write!(f, "the body does not fit its kind"),
            PacketError::Stranger(id) => write!(f, "from node {id}, which is not known here"),
            PacketError::Impostor(id) => write!(f, "from a node {id} with another tag"),
            PacketError::Own => write!(f, "our own packet came back"),
            PacketError::Misaddressed(id) => write!(f, "meant for node {id}"),
        }
    }
}

impl core::error::Error for PacketError {}

impl Packet {
    /// The packet's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend(MAGIC);
        bytes.extend([FORMAT, self.message.kind(), 0, 0]);
        bytes.extend([0; 4]);
        bytes.extend(self.cluster);
        bytes.extend(self.sender.to_le_bytes());
        bytes.extend(self.tag);
        assert_eq!(bytes.len(), HEADER, "the table above says so");

        let rumours = &self.rumours;
        bytes.extend(match self.message {
            Message::Ping { probe, target, introduce } => {
                to_body(&(probe, target, introduce, rumours))
            }
            Message::Ack { probe } | Message::Nack { probe } => to_body(&(probe, rumours)),
            Message::PingRequest { probe, target } => to_body(&(probe, target, rumours)),
            Message::Gossip => to_body(&(rumours,)),
        });
        let crc = checksum(&bytes);
        bytes[CRC_AT].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a packet of the cluster `cluster` of at most `max` bytes.
    ///
    /// # Errors
    /// Says what is wrong with the bytes. Never panics, and allocates in proportion to `max`.
    pub fn decode(bytes: &[u8], cluster: &[u8; 16], max: usize) -> Result<Packet, PacketError> {
        if bytes.len() > max {
            return Err(PacketError::TooLong);
        }
        let Some((header, body)) = bytes.split_first_chunk::<HEADER>() else {
            return Err(PacketError::TooShort);
        };
        if header[..4] != MAGIC {
            return Err(PacketError::Magic);
        }
        if header[4] != FORMAT {
            return Err(PacketError::Format(header[4]));
        }
        if header[CRC_AT] != checksum(bytes).to_le_bytes() {
            return Err(PacketError::Checksum);
        }
        if header[12..28] != *cluster {
            return Err(PacketError::Cluster);
        }
        if header[6..8] != [0, 0] {
            return Err(PacketError::Sealed);
        }
        let (message, rumours) = match header[5] {
            1 => {
                let (probe, target, introduce, rumours) = from_body(body)?;
                (Message::Ping { probe, target, introduce }, rumours)
            }
            2 => {
                let (probe, rumours) = from_body(body)?;
                (Message::Ack { probe }, rumours)
            }
            3 => {
                let (probe, target, rumours) = from_body(body)?;
                (Message::PingRequest { probe, target }, rumours)
            }
            4 => {
                let (probe, rumours) = from_body(body)?;
                (Message::Nack { probe }, rumours)
            }
            5 => {
                let (rumours,) = from_body(body)?;
                (Message::Gossip, rumours)
            }
            kind => return Err(PacketError::Kind(kind)),
        };
        let field = |at: usize| -> [u8; 8] { header[at..at + 8].try_into().expect("8 bytes") };
        Ok(Packet {
            cluster: *cluster,
            sender: u64::from_le_bytes(field(28)),
            tag: header[36..52].try_into().expect("16 bytes"),
            message,
            rumours,
        })
    }

    /// The length in bytes of the longest packet without rumours.
    #[must_use]
    pub fn overhead() -> usize {
        // Array header, probe, target, introduce, and the header of a long array of rumours.
        HEADER + 1 + 9 + 9 + 1 + 3
    }
}

/// CRC32C of all but the checksum itself.
fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&bytes[..CRC_AT.start]), &bytes[CRC_AT.end..])
}

/// Writes a body; structs become arrays.
pub(crate) fn to_body<T: serde::Serialize>(body: &T) -> Vec<u8> {
    rmp_serde::to_vec(body).expect("no member type fails to serialise, and memory does not fail")
}

/// Reads a body that must end where its value ends.
pub(crate) fn from_body<T: DeserializeOwned>(body: &[u8]) -> Result<T, PacketError> {
    let mut rest = body;
    let mut from = rmp_serde::Deserializer::new(&mut rest);
    from.set_max_depth(8);
    let value = T::deserialize(&mut from).map_err(|_| PacketError::Body)?;
    if rest.is_empty() { Ok(value) } else { Err(PacketError::Body) }
}

/// Refuses what no roster could have sent.
pub(crate) fn check_rumours(rumours: &[Rumour]) -> Result<(), PacketError> {
    if rumours.len() > MAX_MEMBERS || rumours.iter().any(|r| r.member.check().is_err()) {
        return Err(PacketError::Body);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Status;
    use crate::member::tests::member;

    const CLUSTER: [u8; 16] = [7; 16];

    fn packets() -> Vec<Packet> {
        let messages = [
            Message::Ping { probe: 1 << 40, target: u64::MAX, introduce: true },
            Message::Ack { probe: 2 },
            Message::PingRequest { probe: 3, target: 4 },
            Message::Nack { probe: 5 },
            Message::Gossip,
        ];
        let rumour = |id| Rumour { member: member(id, 300, Status::Suspect), by: 9 };
        messages
            .map(|message| Packet {
                cluster: CLUSTER,
                sender: 258,
                tag: [9; 16],
                message,
                rumours: vec![rumour(1), rumour(2)],
            })
            .to_vec()
    }

    #[test]
    fn every_kind_survives_the_wire() {
        for packet in packets() {
            assert_eq!(Packet::decode(&packet.encode(), &CLUSTER, 1_400), Ok(packet));
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        for packet in packets() {
            let bytes = packet.encode();
            for bit in 0..bytes.len() * 8 {
                let mut bad = bytes.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                assert!(Packet::decode(&bad, &CLUSTER, 1_400).is_err(), "bit {bit}");
            }
        }
    }

    /// Changes a byte and makes the checksum right again.
    fn forged(mut bytes: Vec<u8>, at: usize, value: u8) -> Vec<u8> {
        bytes[at] = value;
        let crc = checksum(&bytes);
        bytes[CRC_AT].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    #[test]
    fn each_refusal_has_its_reason() {
        let bytes = packets()[0].encode();
        let decode = |bytes: &[u8]| Packet::decode(bytes, &CLUSTER, 1_400).unwrap_err();
        assert_eq!(decode(&bytes[..HEADER - 1]), PacketError::TooShort);
        assert_eq!(decode(&[]), PacketError::TooShort);
        assert_eq!(decode(&vec![0; 1_401]), PacketError::TooLong);
        assert_eq!(decode(&forged(bytes.clone(), 0, b'x')), PacketError::Magic);
        assert_eq!(decode(&forged(bytes.clone(), 4, 2)), PacketError::Format(2));
        assert_eq!(decode(&forged(bytes.clone(), 5, 6)), PacketError::Kind(6));
        assert_eq!(decode(&forged(bytes.clone(), 5, 0)), PacketError::Kind(0));
        assert_eq!(decode(&forged(bytes.clone(), 6, 1)), PacketError::Sealed);
        assert_eq!(decode(&forged(bytes.clone(), 12, 8)), PacketError::Cluster);
        assert_eq!(decode(&forged(bytes.clone(), HEADER, 0xc1)), PacketError::Body);
        let longer = [bytes.clone(), vec![0]].concat();
        assert_eq!(decode(&forged(longer, 0, b'B')), PacketError::Body);
        let shorter = bytes[..bytes.len() - 1].to_vec();
        assert_eq!(decode(&forged(shorter, 0, b'B')), PacketError::Body);
    }

    #[test]
    fn the_overhead_is_that_of_the_longest_message() {
        let longest = Message::Ping { probe: u64::MAX, target: u64::MAX, introduce: true };
        let packet = Packet { message: longest, rumours: vec![], ..packets().remove(0) };
        // The header of an array of fewer than 16 rumours takes one byte of the three.
        assert_eq!(packet.encode().len() + 2, Packet::overhead());
    }
}
