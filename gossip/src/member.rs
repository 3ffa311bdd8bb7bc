//! What is known of a member, and which of two statements about it wins.
//!
//! A statement is always a *whole* member record, whoever makes it. Only the member itself issues
//! incarnations, each with its addresses, name and version; so whoever knows an incarnation also
//! knows the details that belong to it, however the news came, and two statements can be
//! compared by (incarnation, status) alone. That order is total, a roster keeps the greater, and
//! therefore all rosters that hear the same statements, in any order, end up equal.

use core::fmt;
use core::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::config::{MAX_HTTP, MAX_NAME, MAX_VERSION};
use crate::wire;

/// A node's number: unique in its cluster and never used again.
pub type NodeId = u64;

/// A random number that a node draws once, when its data directory is made. The same id with
/// another tag is an impostor (most likely a wiped disk), never the same node.
pub type Tag = [u8; 16];

/// The highest incarnation that is believed. Nobody gets there by refuting; the bound keeps one
/// mad packet from pushing a number to where it can no longer grow.
pub const MAX_INCARNATION: u64 = u64::MAX / 2;

/// What the cluster believes of a member. The order is that of precedence at equal incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
pub enum Status {
    /// It answers.
    Alive,
    /// It did not answer somebody, and has time to refute that.
    Suspect,
    /// It did not refute in time.
    Down,
    /// It said good-bye.
    Left,
}

impl Status {
    /// Whether it is to be probed and told news: alive or suspect.
    #[must_use]
    pub fn is_live(self) -> bool {
        self <= Status::Suspect
    }
}

impl From<Status> for u8 {
    fn from(status: Status) -> u8 {
        match status {
            Status::Alive => 0,
            Status::Suspect => 1,
            Status::Down => 2,
            Status::Left => 3,
        }
    }
}

impl TryFrom<u8> for Status {
    type Error = &'static str;

    fn try_from(number: u8) -> Result<Status, &'static str> {
        match number {
            0 => Ok(Status::Alive),
            1 => Ok(Status::Suspect),
            2 => Ok(Status::Down),
            3 => Ok(Status::Left),
            _ => Err("no such status"),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Status::Alive => "alive",
            Status::Suspect => "suspect",
            Status::Down => "down",
            Status::Left => "left",
        })
    }
}

/// One member as a roster holds it and as it travels.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Member {
    /// Its number.
    pub id: NodeId,
    /// Its instance tag.
    #[serde(with = "wire::tag")]
    pub tag: Tag,
    /// A name for people, at most [`MAX_NAME`] bytes.
    pub name: String,
    /// Where it gossips (UDP) and talks to peers (TCP, the same port number).
    #[serde(with = "wire::addr")]
    pub peer: SocketAddr,
    /// The URL of its HTTP service, at most [`MAX_HTTP`] bytes.
    pub http: String,
    /// The version of its program, at most [`MAX_VERSION`] bytes.
    pub version: String,
    /// How often it has restated itself. Only the member raises it; at most [`MAX_INCARNATION`].
    pub incarnation: u64,
    /// What is believed of it.
    pub status: Status,
}

impl Member {
    /// What is wrong with the record, if anything. Records from the network that fail this are
    /// ignored; one's own must pass it.
    ///
    /// # Errors
    /// One line that names the field.
    pub fn check(&self) -> Result<(), &'static str> {
        let ip = self.peer.ip();
        let checks = [
            (self.name.len() <= MAX_NAME, "the name is longer than 64 bytes"),
            (self.http.len() <= MAX_HTTP, "the HTTP URL is longer than 256 bytes"),
            (self.version.len() <= MAX_VERSION, "the version is longer than 64 bytes"),
            (self.incarnation <= MAX_INCARNATION, "the incarnation is beyond belief"),
            (self.peer.port() != 0, "the peer address has no port"),
            (!ip.is_unspecified() && !ip.is_multicast(), "the peer address is nobody's"),
        ];
        match checks.iter().find(|(holds, _)| !holds) {
            Some((_, complaint)) => Err(complaint),
            None => Ok(()),
        }
    }

    /// Whether this statement about a member wins over `held`: the precedence of SWIM, section
    /// 4.2, with *left* above *down*.
    #[must_use]
    pub fn supersedes(&self, held: &Member) -> bool {
        (self.incarnation, self.status) > (held.incarnation, held.status)
    }

    /// Whether both state the same details: all but incarnation and status.
    #[must_use]
    pub fn same_details(&self, other: &Member) -> bool {
        let details = |m: &Member| (m.id, m.tag, m.peer);
        details(self) == details(other)
            && self.name == other.name
            && self.http == other.http
            && self.version == other.version
    }
}

/// A member of the committed configuration: somebody to call for ever, and to believe.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Contact {
    /// Its number.
    pub id: NodeId,
    /// Its instance tag.
    pub tag: Tag,
    /// Its peer address as configured.
    pub addr: SocketAddr,
}

/// A statement about a member, and who first made it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rumour {
    /// The statement.
    pub member: Member,
    /// Who accuses, for *suspect* and *down*; otherwise the member itself.
    pub by: NodeId,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A member that passes `check`.
    pub(crate) fn member(id: NodeId, incarnation: u64, status: Status) -> Member {
        Member {
            id,
            tag: [u8::try_from(id).unwrap(); 16],
            name: format!("n{id}"),
            peer: SocketAddr::from(([10, 0, 0, u8::try_from(id).unwrap()], 7071)),
            http: format!("http://10.0.0.{id}:7070"),
            version: "0.1.0".into(),
            incarnation,
            status,
        }
    }

    #[test]
    fn precedence() {
        use Status::{Alive, Down, Left, Suspect};
        let all = [Alive, Suspect, Down, Left];
        for (i, new) in all.into_iter().enumerate() {
            for (j, held) in all.into_iter().enumerate() {
                let wins = |a, b| member(1, a, new).supersedes(&member(1, b, held));
                assert!(wins(6, 5), "a higher incarnation always wins: {new} over {held}");
                assert!(!wins(5, 6), "a lower one never does: {new} over {held}");
                assert_eq!(wins(5, 5), i > j, "at the same one the worse news wins");
            }
        }
    }

    #[test]
    fn what_a_record_may_not_say() {
        let good = || member(1, 0, Status::Alive);
        assert_eq!(good().check(), Ok(()));
        assert!(Member { name: "x".repeat(65), ..good() }.check().is_err());
        assert!(Member { http: "x".repeat(257), ..good() }.check().is_err());
        assert!(Member { version: "x".repeat(65), ..good() }.check().is_err());
        assert!(Member { incarnation: MAX_INCARNATION + 1, ..good() }.check().is_err());
        for addr in ["10.0.0.1:0", "0.0.0.0:1", "[::]:1", "224.0.0.1:1", "[ff02::1]:1"] {
            assert!(Member { peer: addr.parse().unwrap(), ..good() }.check().is_err(), "{addr}");
        }
    }

    #[test]
    fn status_numbers_are_for_ever() {
        for (number, status) in
            [(0, Status::Alive), (1, Status::Suspect), (2, Status::Down), (3, Status::Left)]
        {
            assert_eq!((u8::from(status), Status::try_from(number)), (number, Ok(status)));
        }
        assert!(Status::try_from(4).is_err());
    }
}
