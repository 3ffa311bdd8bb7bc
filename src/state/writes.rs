//! Exactly once: which writes were done, and what they were told (Ongaro's thesis, section 6.3).
//!
//! A client's write can enter the log more than once, because a node that hears nothing from one
//! leader asks the next. So every write carries (session, seq, floor), and this table, the same on
//! every node, remembers the replies of each session from its floor up: what is known already gets
//! its first reply again and changes nothing.
//!
//! - A session belongs to one process of one node: `(node, nonce)`. Registering that pair again gives
//!   the same session; registering the node with a new nonce ends its older session. A late copy of
//!   the older registration must not end the newer one in turn, so its nonce is remembered too.
//! - An unknown session is an error and never silently a new one: its replies may have been dropped,
//!   and then nobody could tell what was done.
//! - Nothing here looks at a clock. Sessions end when their node registers anew or is removed.
//!
//! The table lives in memory and goes to disk inside the meta row. How many replies a session can
//! hold is bounded by its node, which limits how many writes may wait for their answer. How long they
//! may be in all is bounded here: what may be told at length is not done while its session holds too
//! much ([`Writes::has_room`]). The next write of the same node makes room, for it brings a new floor.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::reply::Reply;
use super::table;
use crate::ids::WriteId;

/// Bytes of replies that are kept before sessions have to wait, in equal shares: with what else is in it
/// the meta must fit into a snapshot. Protocol: the same on every node.
const REPLIES_BYTES_MAX: usize = 48 << 20;

/// The table of sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Writes {
    /// By id, which is the log index of the registration. Invariant: one session per node.
    sessions: BTreeMap<u64, Session>,
    /// Of all that `sessions` holds.
    digest: Digest,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Session {
    node: u64,
    nonce: u64,
    /// The nonce of the session that this one ended.
    ended_nonce: Option<u64>,
    /// All replies below are dropped. Never sinks.
    floor: u64,
    /// By seq. Invariant: none below `floor`.
    replies: BTreeMap<u64, Reply>,
    /// Encoded bytes of `replies`; counted anew when they come from disk.
    #[serde(skip)]
    bytes: usize,
}

/// What the table says about a write before it is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// Do it, then [`Writes::record`] the reply.
    New,
    /// Do nothing, say this.
    Answer(Reply),
}

impl Writes {
    /// The reply that a write got, while its session keeps it.
    #[must_use]
    pub fn lookup(&self, session: u64, seq: u64) -> Option<&Reply> {
        self.sessions.get(&session)?.replies.get(&seq)
    }

    /// Whether a session exists; writes of one that does not are never done.
    #[must_use]
    pub fn is_open(&self, session: u64) -> bool {
        self.sessions.contains_key(&session)
    }

    /// The open session of a node's process.
    #[must_use]
    pub fn session_of(&self, node: u64, nonce: u64) -> Option<u64> {
        let (id, session) = self.session_of_node(node)?;
        (session.nonce == nonce).then_some(id)
    }

    /// Whether a session may be told something long: the replies that it keeps do not fill its share.
    pub(super) fn has_room(&self, session: u64) -> bool {
        let share = REPLIES_BYTES_MAX / self.sessions.len().max(1);
        self.sessions.get(&session).is_none_or(|session| session.bytes < share)
    }

    /// Opens a session for a process of `node` by the entry at `index`, or finds the one it has.
    pub(super) fn register(&mut self, index: u64, node: u64, nonce: u64) -> Reply {
        let mut ended_nonce = None;
        if let Some((id, session)) = self.session_of_node(node) {
            if session.nonce == nonce {
                return Reply::Session(id);
            }
            if session.ended_nonce == Some(nonce) {
                return Reply::Stale;
            }
            ended_nonce = Some(session.nonce);
            self.end(id);
        }
        let session =
            Session { node, nonce, ended_nonce, floor: 0, replies: BTreeMap::new(), bytes: 0 };
        self.digest.add(&session_key(index), &session_value(&session));
        let before = self.sessions.insert(index, session);
        assert!(before.is_none(), "log index {index} registered twice");
        Reply::Session(index)
    }

    /// Whether a write is to be done; moves its session's floor up.
    pub(super) fn admit(&mut self, write: WriteId) -> Admission {
        let Some(session) = self.sessions.get_mut(&write.session) else {
            return Admission::Answer(Reply::UnknownSession);
        };
        if write.floor > session.floor {
            let key = session_key(write.session);
            self.digest.remove(&key, &session_value(session));
            session.floor = write.floor;
            self.digest.add(&key, &session_value(session));
            while let Some(first) = session.replies.first_entry() {
                if *first.key() >= write.floor {
                    break;
                }
                let (seq, reply) = first.remove_entry();
                let value = reply_value(&reply);
                session.bytes -= value.len();
                self.digest.remove(&reply_key(write.session, seq), &value);
            }
        }
        if write.seq < session.floor {
            return Admission::Answer(Reply::Stale);
        }
        match session.replies.get(&write.seq) {
            Some(reply) => Admission::Answer(reply.clone()),
            None => Admission::New,
        }
    }

    /// Remembers the reply of a write that was admitted and done.
    pub(super) fn record(&mut self, write: WriteId, reply: &Reply) {
        let session = self.sessions.get_mut(&write.session).expect("the write was admitted");
        assert!(write.seq >= session.floor, "the write was admitted");
        let value = reply_value(reply);
        session.bytes += value.len();
        self.digest.add(&reply_key(write.session, write.seq), &value);
        let before = session.replies.insert(write.seq, reply.clone());
        assert!(before.is_none(), "write {write:?} was done twice");
    }

    /// Ends the sessions of nodes that are no members any more.
    pub(super) fn retain_nodes(&mut self, nodes: &BTreeSet<u64>) {
        let gone = self.sessions.iter().filter(|(_, session)| !nodes.contains(&session.node));
        for id in gone.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.end(id);
        }
    }

    /// Of everything in the table; see [`Digest`].
    pub(super) fn digest(&self) -> Digest {
        self.digest
    }

    fn session_of_node(&self, node: u64) -> Option<(u64, &Session)> {
        let mut sessions = self.sessions.iter();
        sessions.find(|(_, session)| session.node == node).map(|(id, session)| (*id, session))
    }

    fn end(&mut self, id: u64) {
        let session = self.sessions.remove(&id).expect("only open sessions end");
        self.digest.remove(&session_key(id), &session_value(&session));
        for (seq, reply) in &session.replies {
            self.digest.remove(&reply_key(id, *seq), &reply_value(reply));
        }
    }

    /// Counts the bytes of all replies, and gives the digest.
    fn recount(&mut self) -> Digest {
        let mut digest = Digest::default();
        for (id, session) in &mut self.sessions {
            digest.add(&session_key(*id), &session_value(session));
            session.bytes = 0;
            for (seq, reply) in &session.replies {
                let value = reply_value(reply);
                session.bytes += value.len();
                digest.add(&reply_key(*id, *seq), &value);
            }
        }
        digest
    }
}

/// To disk as a list of (id, session); the digest is computed anew when it comes back, so that it
/// vouches for what was read.
impl Serialize for Writes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.sessions)
    }
}

impl<'de> Deserialize<'de> for Writes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let sessions = Vec::<(u64, Session)>::deserialize(deserializer)?.into_iter().collect();
        let mut writes = Self { sessions, digest: Digest::default() };
        writes.digest = writes.recount();
        Ok(writes)
    }
}

// For the digest, the table is a set of rows like any other.

fn session_key(id: u64) -> [u8; 9] {
    let mut key = [table::WRITES; 9];
    key[1..].copy_from_slice(&id.to_be_bytes());
    key
}

fn session_value(session: &Session) -> [u8; 33] {
    let mut value = [0; 33];
    value[..8].copy_from_slice(&session.node.to_le_bytes());
    value[8..16].copy_from_slice(&session.nonce.to_le_bytes());
    value[16..24].copy_from_slice(&session.floor.to_le_bytes());
    value[24] = u8::from(session.ended_nonce.is_some());
    value[25..].copy_from_slice(&session.ended_nonce.unwrap_or(0).to_le_bytes());
    value
}

fn reply_key(id: u64, seq: u64) -> [u8; 17] {
    let mut key = [table::WRITES; 17];
    key[1..9].copy_from_slice(&id.to_be_bytes());
    key[9..].copy_from_slice(&seq.to_be_bytes());
    key
}

fn reply_value(reply: &Reply) -> Vec<u8> {
    rmp_serde::to_vec(reply).expect("a Vec takes every plain value")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(session: u64, seq: u64, floor: u64) -> WriteId {
        WriteId { session, seq, floor }
    }

    /// A reply that tells writes apart.
    fn reply(seq: u64) -> Reply {
        Reply::Link { key: seq.to_string(), created: true }
    }

    fn done(writes: &mut Writes, write: WriteId) {
        assert_eq!(writes.admit(write), Admission::New, "{write:?}");
        writes.record(write, &reply(write.seq));
    }

    #[test]
    fn the_same_process_gets_its_session_again() {
        let mut writes = Writes::default();
        assert_eq!(writes.register(5, 1, 77), Reply::Session(5));
        assert_eq!(writes.register(6, 1, 77), Reply::Session(5));
        assert_eq!(writes.register(7, 2, 77), Reply::Session(7), "the nonce is the node's own");
        assert_eq!(writes.session_of(1, 77), Some(5));
        assert_eq!(writes.session_of(1, 78), None);
    }

    #[test]
    fn a_newer_process_of_the_node_ends_the_older_session() {
        let mut writes = Writes::default();
        writes.register(5, 1, 77);
        done(&mut writes, id(5, 1, 1));
        assert_eq!(writes.register(6, 1, 78), Reply::Session(6));
        assert!(!writes.is_open(5));
        assert_eq!(writes.admit(id(5, 1, 1)), Admission::Answer(Reply::UnknownSession));
        assert_eq!(writes.register(7, 1, 77), Reply::Stale, "a late copy ends nothing");
        assert!(writes.is_open(6));
    }

    #[test]
    fn a_known_write_gets_its_first_reply() {
        let mut writes = Writes::default();
        writes.register(5, 1, 77);
        done(&mut writes, id(5, 2, 1));
        done(&mut writes, id(5, 1, 1));
        assert_eq!(writes.admit(id(5, 2, 1)), Admission::Answer(reply(2)));
        assert_eq!(writes.lookup(5, 1), Some(&reply(1)));
        assert_eq!(writes.lookup(5, 3), None);
        assert_eq!(writes.lookup(6, 1), None);
    }

    #[test]
    fn below_the_floor_nothing_is_done_or_remembered() {
        let mut writes = Writes::default();
        writes.register(5, 1, 77);
        for seq in 1..=3 {
            done(&mut writes, id(5, seq, 1));
        }
        done(&mut writes, id(5, 4, 3));
        assert_eq!(writes.lookup(5, 2), None);
        assert_eq!(writes.admit(id(5, 2, 1)), Admission::Answer(Reply::Stale));
        assert_eq!(writes.admit(id(5, 3, 1)), Admission::Answer(reply(3)), "the floor never sinks");
        assert_eq!(writes.admit(id(5, 4, 9)), Admission::Answer(Reply::Stale));
    }

    #[test]
    fn an_unknown_session_is_never_a_new_one() {
        let mut writes = Writes::default();
        for session in [0, 9] {
            assert_eq!(writes.admit(id(session, 1, 1)), Admission::Answer(Reply::UnknownSession));
        }
        assert_eq!(writes, Writes::default());
    }

    #[test]
    fn a_session_has_room_again_when_its_node_has_its_answers() {
        let mut writes = Writes::default();
        for node in 1..=64 {
            writes.register(4 + node, node, 77);
        }
        let long = Reply::Link { key: "x".repeat(REPLIES_BYTES_MAX / 128), created: true };
        for seq in 1..=2 {
            assert!(writes.has_room(5));
            assert_eq!(writes.admit(id(5, seq, 1)), Admission::New);
            writes.record(id(5, seq, 1), &long);
        }
        assert!(!writes.has_room(5), "that was its share");
        assert!(writes.has_room(6), "the others have theirs");
        assert_eq!(writes.admit(id(5, 3, 2)), Admission::New);
        assert!(writes.has_room(5));
    }

    #[test]
    fn removed_nodes_lose_their_sessions() {
        let mut writes = Writes::default();
        writes.register(5, 1, 77);
        writes.register(6, 2, 77);
        done(&mut writes, id(6, 1, 1));
        writes.retain_nodes(&BTreeSet::from([1, 3]));
        assert!(writes.is_open(5) && !writes.is_open(6));
        writes.retain_nodes(&BTreeSet::new());
        assert_eq!(writes, Writes::default(), "the digest of nothing is zero");
    }

    proptest! {
        #[test]
        fn the_digest_and_the_bytes_follow_the_table(
            steps in prop::collection::vec((0u8..8, 1u64..4, 1u64..12, 0u64..12), 1..80),
        ) {
            let mut writes = Writes::default();
            for (index, (what, node, seq, floor)) in (1..).zip(steps) {
                match what {
                    0 => { writes.register(index, node, seq % 3); }
                    1 => writes.retain_nodes(&BTreeSet::from([node, node + 1])),
                    _ => {
                        let session = writes.session_of_node(node).map_or(0, |(id, _)| id);
                        let write = id(session, seq, floor);
                        if writes.admit(write) == Admission::New {
                            writes.record(write, &reply(seq));
                        }
                    }
                }
                let mut recounted = writes.clone();
                prop_assert_eq!(recounted.recount(), writes.digest());
                prop_assert_eq!(&recounted, &writes);
            }
            let bytes = rmp_serde::to_vec(&writes).unwrap();
            prop_assert_eq!(rmp_serde::from_slice::<Writes>(&bytes).unwrap(), writes);
        }
    }
}
