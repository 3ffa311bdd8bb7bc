//! Push-pull: two members exchange their whole rosters over a reliable stream.
//!
//! Gossip may be lost; this repairs whatever it left apart, brings a joiner the whole roster at
//! once, and lets a member refute whose datagrams do not get through. The body is one format
//! byte, one kind byte and a MessagePack array of rumours.
//!
//! A death in the other's roster is merged as a mere *suspicion*: after a partition each half
//! believes the other dead, and an exchange must not kill anybody who is alive and well. It only
//! gives him reason to refute.

use core::time::Duration;

use rand::RngExt;

use crate::config::MAX_PUSH_PULL;
use crate::packet::{self, PacketError};
use crate::{Effect, Gossip, Micros, NodeId, Rumour, Status};

/// The only format there is.
pub const FORMAT: u8 = 1;

/// Which side of the exchange a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Here is mine, give me yours. (1)
    Request,
    /// Here is mine. (2)
    Answer,
}

/// Writes a body.
#[must_use]
pub fn encode(kind: Kind, rumours: &[Rumour]) -> Vec<u8> {
    let kind = match kind {
        Kind::Request => 1,
        Kind::Answer => 2,
    };
    let mut body = vec![FORMAT, kind];
    body.extend(packet::to_body(&rumours));
    body
}

/// Reads a body.
///
/// # Errors
/// Says what is wrong with the bytes. Never panics, and allocates in proportion to
/// [`MAX_PUSH_PULL`].
pub fn decode(body: &[u8]) -> Result<(Kind, Vec<Rumour>), PacketError> {
    if body.len() > MAX_PUSH_PULL {
        return Err(PacketError::TooLong);
    }
    let Some(([format, kind], rows)) = body.split_first_chunk::<2>() else {
        return Err(PacketError::TooShort);
    };
    if *format != FORMAT {
        return Err(PacketError::Format(*format));
    }
    let kind = match kind {
        1 => Kind::Request,
        2 => Kind::Answer,
        kind => return Err(PacketError::Kind(*kind)),
    };
    Ok((kind, packet::from_body(rows)?))
}

/// How long to wait between push-pulls in a cluster of `n`: up to 32 members `interval`, above
/// `interval × (1 + ceil(log2(n) − 5))`, so that the traffic does not grow with the square.
#[must_use]
pub fn scaled_interval(interval: Duration, n: usize) -> Duration {
    const THRESHOLD: usize = 32;
    if n <= THRESHOLD {
        return interval;
    }
    // ceil(log2(n)) in whole numbers.
    let log2 = usize::BITS - (n - 1).leading_zeros();
    interval * (1 + log2 - THRESHOLD.ilog2())
}

impl Gossip {
    /// Takes a push-pull body that `from` (authenticated by the transport) sent. The answer to a
    /// request is to be sent back to it; an answer has none.
    ///
    /// # Errors
    /// Says why the body was refused; it changed nothing.
    pub fn on_push_pull(
        &mut self,
        now: Micros,
        from: NodeId,
        body: &[u8],
    ) -> Result<Option<Vec<u8>>, PacketError> {
        self.advance(now);
        let taken = self.take_push_pull(from, body);
        self.count(&taken);
        taken
    }

    fn take_push_pull(
        &mut self,
        from: NodeId,
        body: &[u8],
    ) -> Result<Option<Vec<u8>>, PacketError> {
        if from == self.id {
            return Err(PacketError::Own);
        }
        if !self.roster.contains_key(&from) && !self.contacts.contains_key(&from) {
            return Err(PacketError::Stranger(from));
        }
        let (kind, rows) = decode(body)?;
        packet::check_rumours(&rows)?;
        for row in rows {
            let row = self.soften(row);
            self.merge(row, Some(from));
        }
        if let Some(entry) = self.roster.get_mut(&from) {
            entry.heard = Some(self.now);
        }
        Ok(match kind {
            Kind::Request => Some(self.roster_body()),
            Kind::Answer => None,
        })
    }

    /// The whole roster as the answer of a push-pull, for a joiner to take with
    /// [`Gossip::on_push_pull`] as soon as it is admitted.
    #[must_use]
    pub fn roster_body(&self) -> Vec<u8> {
        encode(Kind::Answer, &self.rows())
    }

    pub(crate) fn rows(&self) -> Vec<Rumour> {
        self.roster.values().map(crate::gossip::Entry::rumour).collect()
    }

    /// Turns the death of another who lives here into a suspicion.
    fn soften(&self, mut row: Rumour) -> Rumour {
        let id = row.member.id;
        let lives = self.roster.get(&id).is_some_and(|e| e.member.status.is_live());
        if id != self.id && lives && row.member.status == Status::Down {
            row.member.status = Status::Suspect;
        }
        row
    }

    /// Starts an exchange with a random member when it is time.
    pub(crate) fn tick_push_pull(&mut self) {
        if self.now < self.next_push_pull {
            return;
        }
        let interval = scaled_interval(self.config.push_pull_interval, self.live());
        self.next_push_pull = self.now + interval;
        let live: Vec<NodeId> =
            self.peers().filter(|(_, e)| e.member.status.is_live()).map(|(id, _)| *id).collect();
        if live.is_empty() {
            return;
        }
        let to = live[self.rng.random_range(0..live.len())];
        let body = encode(Kind::Request, &self.rows());
        self.effects.push(Effect::PushPull { to, body });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::tests::member;

    #[test]
    fn the_interval_grows_above_32_members() {
        let second = Duration::from_secs(1);
        for (n, factor) in [(1, 1), (32, 1), (33, 2), (64, 2), (65, 3), (128, 3), (129, 4)] {
            assert_eq!(scaled_interval(second, n), second * factor, "n = {n}");
        }
    }

    #[test]
    fn a_body_survives_the_wire() {
        let rows: Vec<Rumour> =
            (1..9).map(|id| Rumour { member: member(id, id, Status::Down), by: 3 }).collect();
        for kind in [Kind::Request, Kind::Answer] {
            assert_eq!(decode(&encode(kind, &rows)), Ok((kind, rows.clone())));
        }
    }

    #[test]
    fn each_refusal_has_its_reason() {
        let body = encode(Kind::Request, &[]);
        assert_eq!(decode(&body[..1]), Err(PacketError::TooShort));
        assert_eq!(decode(&[2, 1, 0x90]), Err(PacketError::Format(2)));
        assert_eq!(decode(&[1, 3, 0x90]), Err(PacketError::Kind(3)));
        assert_eq!(decode(&[1, 1]), Err(PacketError::Body));
        assert_eq!(decode(&[1, 1, 0x90, 0]), Err(PacketError::Body));
        // An array that claims four thousand million rows.
        assert_eq!(decode(&[1, 1, 0xdd, 0xff, 0xff, 0xff, 0xff]), Err(PacketError::Body));
        assert_eq!(decode(&vec![1; MAX_PUSH_PULL + 1]), Err(PacketError::TooLong));
    }

    #[test]
    fn the_longest_roster_fits() {
        use crate::config::{MAX_HTTP, MAX_MEMBERS, MAX_NAME, MAX_VERSION};
        let mut longest = member(1, crate::member::MAX_INCARNATION, Status::Down);
        longest.id = u64::MAX;
        longest.name = "n".repeat(MAX_NAME);
        longest.http = "h".repeat(MAX_HTTP);
        longest.version = "v".repeat(MAX_VERSION);
        longest.peer = "[2001:db8::1]:65535".parse().unwrap();
        let row = Rumour { member: longest, by: u64::MAX };
        assert!(packet::to_body(&row).len() * 2 + packet::Packet::overhead() < 1_400);
        let body = encode(Kind::Request, &vec![row; MAX_MEMBERS]);
        assert!(body.len() <= MAX_PUSH_PULL, "{} bytes", body.len());
    }
}
