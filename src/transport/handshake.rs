//! The handshake: who dials, whom it means to reach, and what the other side says to that.
//!
//! One [`Hello`] goes out, one [`HelloAnswer`] comes back, then the frames begin. The hello starts
//! with a line that an HTTP server takes for a request, so that somebody who gives an HTTP port where
//! a peer port is meant gets an HTTP answer, which the dialler recognises and explains.
//!
//! Both are: magic, length of the fields (u16), fields, CRC32C over all of it; numbers are
//! little-endian. Later versions append fields; a reader skips what it does not know. Pure: no I/O.

use std::fmt;

use thiserror::Error;

pub use super::fields::Garbage;
use super::fields::{Fields, envelope, open};
use crate::ids::{ClusterId, Id128, InstanceTag};

/// How a hello starts.
pub const HELLO_MAGIC: &[u8] = b"BOWLINE / HTTP/1.0\r\n\r\n";
/// How an answer starts.
pub const ANSWER_MAGIC: &[u8] = b"BOWLINE\n";
/// The newest (and oldest) version of the peer protocol that this program speaks.
pub const VERSION: u16 = 1;
/// The longest reason of a refusal, in bytes.
pub const MAX_REASON: usize = 256;

const HTTP_METHODS: [&[u8]; 9] = [
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"PUT ",
    b"DELETE ",
    b"OPTIONS ",
    b"PATCH ",
    b"TRACE ",
    b"CONNECT ",
];

/// Who a process is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Its cluster; zero while it belongs to none.
    pub cluster: ClusterId,
    /// Recovery epoch of the cluster: raised when it was restarted from less than a quorum.
    pub epoch: u32,
    /// Node id; 0 while it was not admitted.
    pub node: u64,
    /// Its data directory.
    pub tag: InstanceTag,
    /// Drawn anew by each process, so that a restart can be told from a broken connection.
    pub boot_nonce: u64,
}

/// Which of the two connections of a pair of nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// What must not wait: heartbeats, votes, acknowledgements, small forwards.
    Control,
    /// What is large: entries, snapshots, member lists.
    Bulk,
}

impl Lane {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Control, Self::Bulk];

    pub(super) fn index(self) -> usize {
        match self {
            Self::Control => 0,
            Self::Bulk => 1,
        }
    }
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A standing connection between two members.
    Lane(Lane),
    /// A few questions by somebody who is no member.
    Guest,
    /// Only to learn who answers at an address.
    Probe,
}

impl Purpose {
    fn code(self) -> u8 {
        match self {
            Self::Lane(Lane::Control) => 1,
            Self::Lane(Lane::Bulk) => 2,
            Self::Guest => 3,
            Self::Probe => 4,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        [Self::Lane(Lane::Control), Self::Lane(Lane::Bulk), Self::Guest, Self::Probe]
            .into_iter()
            .find(|purpose| purpose.code() == code)
    }
}

/// What a program can do: in the low 16 bits the highest version of the cluster's rules that it knows,
/// of which the transport understands nothing; above them optional abilities, one per bit, none of
/// which is defined yet.
///
/// Programs from before there was a second version say 0 where they mean 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features(pub u64);

impl Features {
    const RULES: u64 = 0xffff;

    /// Of a program that knows the rules up to this version.
    #[must_use]
    pub fn knowing(rules: u16) -> Self {
        Self(u64::from(rules))
    }

    /// The highest version of the rules that is known; at least 1.
    #[must_use]
    pub fn rules(self) -> u16 {
        u16::try_from(self.0 & Self::RULES).expect("sixteen bits").max(1)
    }

    /// What is answered to a dialler: our own number, for the dialler knows its own, and the abilities
    /// that both have.
    #[must_use]
    pub fn answer(self, dialler: Self) -> Self {
        Self(self.0 & (dialler.0 | Self::RULES))
    }
}

/// What a dialler says first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The oldest version it speaks.
    pub version_min: u16,
    /// The newest version it speaks.
    pub version_max: u16,
    /// What its program can do; see [`Features`].
    pub features: Features,
    /// How the stream after the handshake is sealed: 0 is plain, the only one there is.
    pub seal: u8,
    /// Which key seals it; 0 while nothing is sealed.
    pub key_id: u32,
    /// Who dials.
    pub from: Identity,
    /// What for.
    pub purpose: Purpose,
    /// The node that is meant; 0 for whoever answers.
    pub expected_node: u64,
    /// The data directory that is meant; zero for any.
    pub expected_tag: InstanceTag,
}

impl Hello {
    /// A hello of this program to whoever answers.
    #[must_use]
    pub fn new(from: Identity, purpose: Purpose) -> Self {
        Self {
            version_min: VERSION,
            version_max: VERSION,
            features: Features::default(),
            seal: 0,
            key_id: 0,
            from,
            purpose,
            expected_node: 0,
            expected_tag: Id128::default(),
        }
    }

    /// The same, of a program that can do this.
    #[must_use]
    pub fn able(self, features: Features) -> Self {
        Self { features, ..self }
    }

    /// The same, meant for one node (0: any) with one data directory (zero: any).
    #[must_use]
    pub fn expecting(self, node: u64, tag: InstanceTag) -> Self {
        Self { expected_node: node, expected_tag: tag, ..self }
    }

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut fields = Vec::with_capacity(128);
        fields.extend(self.version_min.to_le_bytes());
        fields.extend(self.version_max.to_le_bytes());
        fields.extend(self.features.0.to_le_bytes());
        fields.push(self.seal);
        fields.extend(self.key_id.to_le_bytes());
        put_identity(&mut fields, &self.from);
        fields.push(self.purpose.code());
        fields.extend(self.expected_node.to_le_bytes());
        fields.extend(self.expected_tag.0);
        envelope(HELLO_MAGIC, &fields)
    }

    /// Reads a hello from the start of `bytes`: it and its length, or none while it is incomplete.
    ///
    /// # Errors
    ///
    /// As soon as the bytes cannot become a hello.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, Garbage> {
        if HTTP_METHODS.iter().any(|method| bytes.starts_with(method)) {
            return Err(Garbage::Http);
        }
        if HTTP_METHODS.iter().any(|method| method.starts_with(bytes)) {
            return Ok(None);
        }
        let Some((mut fields, length)) = open(HELLO_MAGIC, bytes)? else {
            return Ok(None);
        };
        let hello = read_hello(&mut fields).ok_or(Garbage::Fields)?;
        Ok(Some((hello, length)))
    }
}

fn read_hello(fields: &mut Fields<'_>) -> Option<Hello> {
    Some(Hello {
        version_min: fields.u16()?,
        version_max: fields.u16()?,
        features: Features(fields.u64()?),
        seal: fields.u8()?,
        key_id: fields.u32()?,
        from: read_identity(fields)?,
        purpose: Purpose::from_code(fields.u8()?)?,
        expected_node: fields.u64()?,
        expected_tag: Id128(fields.take()?),
    })
}

/// What the dialled side says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HelloAnswer {
    /// Come in.
    Accepted(Accepted),
    /// Stay out, and why.
    Refused(Refusal),
}

/// A handshake that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The version both will speak.
    pub version: u16,
    /// The number of who answers, and the abilities both have.
    pub features: Features,
    /// As in [`Hello::seal`].
    pub seal: u8,
    /// As in [`Hello::key_id`].
    pub key_id: u32,
    /// Who answers.
    pub from: Identity,
}

/// A handshake that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{reason}")]
pub struct Refusal {
    /// Why, for programs.
    pub code: RefusalCode,
    /// Why, for people: one sentence of at most [`MAX_REASON`] bytes, without control characters.
    pub reason: String,
}

/// Why a handshake was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalCode {
    /// The dialler belongs to another cluster.
    ForeignCluster,
    /// The same cluster, before or after a recovery.
    OtherEpoch,
    /// The dialled node is not the one that was meant, or the dialler names an impossible id.
    WrongNode,
    /// The same node id with another data directory.
    OtherTag,
    /// The dialler was removed from the cluster.
    Removed,
    /// No protocol version in common.
    Version,
    /// No seal in common.
    Seal,
    /// The dialled node is not yet a member of a cluster.
    NotJoined,
    /// Too many connections of this kind.
    Busy,
    /// The dialled node has just reached the dialler itself; one connection is enough.
    Crossed,
    /// A code of a later version.
    Other(u8),
}

impl RefusalCode {
    const KNOWN: [Self; 10] = [
        Self::ForeignCluster,
        Self::OtherEpoch,
        Self::WrongNode,
        Self::OtherTag,
        Self::Removed,
        Self::Version,
        Self::Seal,
        Self::NotJoined,
        Self::Busy,
        Self::Crossed,
    ];

    fn code(self) -> u8 {
        match self {
            Self::ForeignCluster => 1,
            Self::OtherEpoch => 2,
            Self::WrongNode => 3,
            Self::OtherTag => 4,
            Self::Removed => 5,
            Self::Version => 6,
            Self::Seal => 7,
            Self::NotJoined => 8,
            Self::Busy => 9,
            Self::Crossed => 10,
            Self::Other(code) => code,
        }
    }

    fn from_code(code: u8) -> Self {
        Self::KNOWN.into_iter().find(|known| known.code() == code).unwrap_or(Self::Other(code))
    }
}

impl HelloAnswer {
    /// Its bytes. A reason that is too long is cut.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut fields = Vec::with_capacity(128);
        let nobody = Identity::default();
        let (code, reason, accepted) = match self {
            Self::Accepted(accepted) => (0, "", *accepted),
            Self::Refused(refusal) => (
                refusal.code.code(),
                cut(&refusal.reason),
                Accepted {
                    version: 0,
                    features: Features::default(),
                    seal: 0,
                    key_id: 0,
                    from: nobody,
                },
            ),
        };
        fields.push(code);
        fields.extend(accepted.version.to_le_bytes());
        fields.extend(accepted.features.0.to_le_bytes());
        fields.push(accepted.seal);
        fields.extend(accepted.key_id.to_le_bytes());
        put_identity(&mut fields, &accepted.from);
        let length = u16::try_from(reason.len()).expect("a reason was cut to 256 bytes");
        fields.extend(length.to_le_bytes());
        fields.extend(reason.as_bytes());
        envelope(ANSWER_MAGIC, &fields)
    }

    /// Reads an answer from the start of `bytes`: it and its length, or none while it is incomplete.
    ///
    /// # Errors
    ///
    /// As soon as the bytes cannot become an answer; [`Garbage::Http`] when a web server speaks.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, Garbage> {
        if bytes.starts_with(b"HTTP/") {
            return Err(Garbage::Http);
        }
        if b"HTTP/".starts_with(bytes) {
            return Ok(None);
        }
        let Some((mut fields, length)) = open(ANSWER_MAGIC, bytes)? else {
            return Ok(None);
        };
        let answer = read_answer(&mut fields).ok_or(Garbage::Fields)?;
        Ok(Some((answer, length)))
    }
}

fn read_answer(fields: &mut Fields<'_>) -> Option<HelloAnswer> {
    let code = fields.u8()?;
    let accepted = Accepted {
        version: fields.u16()?,
        features: Features(fields.u64()?),
        seal: fields.u8()?,
        key_id: fields.u32()?,
        from: read_identity(fields)?,
    };
    let length = usize::from(fields.u16()?);
    if length > MAX_REASON {
        return None;
    }
    let reason = String::from_utf8_lossy(fields.slice(length)?);
    if code == 0 {
        return Some(HelloAnswer::Accepted(accepted));
    }
    // It ends in a log or on a terminal: a stranger must not be able to draw there.
    let reason = reason.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    Some(HelloAnswer::Refused(Refusal { code: RefusalCode::from_code(code), reason }))
}

fn cut(reason: &str) -> &str {
    &reason[..reason.floor_char_boundary(MAX_REASON)]
}

fn put_identity(fields: &mut Vec<u8>, identity: &Identity) {
    fields.extend(identity.cluster.0);
    fields.extend(identity.epoch.to_le_bytes());
    fields.extend(identity.node.to_le_bytes());
    fields.extend(identity.tag.0);
    fields.extend(identity.boot_nonce.to_le_bytes());
}

fn read_identity(fields: &mut Fields<'_>) -> Option<Identity> {
    Some(Identity {
        cluster: Id128(fields.take()?),
        epoch: fields.u32()?,
        node: fields.u64()?,
        tag: Id128(fields.take()?),
        boot_nonce: fields.u64()?,
    })
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lane(Lane::Control) => "control",
            Self::Lane(Lane::Bulk) => "bulk",
            Self::Guest => "guest",
            Self::Probe => "probe",
        })
    }
}
