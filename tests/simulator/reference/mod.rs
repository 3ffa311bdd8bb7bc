//! What every entry of the log must do and say, as naively as it can be put: whole copies of everything,
//! no rows, no overlay, no tables of deadlines. Whatever the real state machine is clever about, this
//! is not, so that the two can only agree on what is right.

mod board;
mod world;

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bowline::ids::WriteId;
use bowline::raft::{Entry, Index, Micros, Payload};
use bowline::state::{Command, Reply};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};

pub use board::{Board, Found, Sought};
pub use world::{Query, World};

/// Where and when an entry was made.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub index: Index,
    /// By the cluster's clock, as its leader stamped it.
    pub clock_ms: u64,
    /// By that leader's wall clock.
    pub wall_ms: u64,
    /// Really.
    pub born: Micros,
}

/// For so long a client's own key is known, by the cluster's clock.
const KEPT_MS: u64 = 24 * 3_600_000;

/// A session of writes: one per process of a node, the newest.
struct Writer {
    node: u64,
    nonce: u64,
    /// The nonce of the session that this one ended.
    ended: Option<u64>,
    floor: u64,
}

/// The whole history of the cluster, fed with the committed log.
#[derive(Default)]
pub struct Reference {
    applied: Index,
    /// The key-value store after each entry that could change it.
    worlds: BTreeMap<Index, World>,
    now: World,
    /// The same of the link board.
    boards: BTreeMap<Index, Board>,
    board: Board,
    /// The wall clock that each entry was stamped with.
    walls: BTreeMap<Index, u64>,
    /// What each entry says; none when that is not known here.
    replies: BTreeMap<Index, Option<Reply>>,
    writers: BTreeMap<u64, Writer>,
    /// What each write was told when it was done, by (session, seq).
    told: BTreeMap<(u64, u64), Reply>,
    /// What was said under a client's own key, with the hash of the request and the cluster's clock.
    kept: BTreeMap<String, ([u8; 32], Reply, u64)>,
    urls: BTreeSet<Bytes>,
}

impl Reference {
    /// Takes the next entry of the log, which its leader made at `born`.
    pub fn apply(&mut self, entry: &Entry, born: Micros) {
        if entry.index <= self.applied {
            return;
        }
        assert_eq!(entry.index, self.applied + 1, "nobody has applied the entry before");
        self.applied = entry.index;
        let reply = match &entry.payload {
            Payload::Noop => None,
            Payload::Configuration(configuration) => {
                let members = &configuration.members;
                self.writers.retain(|_, writer| members.contains_key(&writer.node));
                None
            }
            Payload::Command(payload) => {
                let (id, command) = WriteId::split(payload).expect("every command has an id");
                let command = Command::decode(command).expect("every command is known");
                let (clock_ms, wall_ms) = (entry.stamp.clock_ms, entry.stamp.wall_ms);
                let at = Moment { index: entry.index, clock_ms, wall_ms, born };
                self.command(at, id, command)
            }
        };
        self.walls.insert(entry.index, entry.stamp.wall_ms);
        if matches!(reply, Some(Reply::Board(_) | Reply::Expired { .. })) {
            self.boards.insert(entry.index, self.board.clone());
        }
        self.replies.insert(entry.index, reply);
        if self.worlds.last_key_value().is_none_or(|(_, world)| *world != self.now) {
            self.worlds.insert(entry.index, self.now.clone());
        }
    }

    /// What the entry at `index` must say.
    pub fn reply(&self, index: Index) -> Option<&Reply> {
        self.replies[&index].as_ref()
    }

    /// What the write was told when it was done.
    pub fn told(&self, session: u64, seq: u64) -> Option<&Reply> {
        self.told.get(&(session, seq))
    }

    /// The key-value store as of the entry at `index`.
    pub fn world(&self, index: Index) -> &World {
        assert!(index <= self.applied, "that has not been applied anywhere");
        static NOTHING: std::sync::LazyLock<World> = std::sync::LazyLock::new(World::default);
        self.worlds.range(..=index).next_back().map_or(&*NOTHING, |(_, world)| world)
    }

    /// The link board as of the entry at `index`, and that entry's wall clock.
    pub fn board(&self, index: Index) -> (&Board, u64) {
        assert!(index <= self.applied, "that has not been applied anywhere");
        static NOTHING: std::sync::LazyLock<Board> = std::sync::LazyLock::new(Board::default);
        let board = self.boards.range(..=index).next_back().map_or(&*NOTHING, |(_, board)| board);
        (board, self.walls.get(&index).copied().unwrap_or(0))
    }

    /// The longest for which anything has stayed after its time, in ms of the cluster's clock.
    pub fn overdue_ms(&self, clock_ms: u64) -> u64 {
        let times = self.now.ends().chain(self.board.ends());
        times.map(|at| clock_ms.saturating_sub(at)).max().unwrap_or(0)
    }

    /// Whether anything that is asked for was touched after the entry at `from`, up to that at `to`.
    pub fn has_changed(&self, query: &Query, from: Index, to: Index) -> bool {
        let mut before = self.world(from);
        self.worlds.range(from + 1..=to).any(|(_, world)| {
            let changed = world.differs(before, query);
            before = world;
            changed
        })
    }

    /// The key-value store as of the newest entry that was applied anywhere.
    pub fn now(&self) -> &World {
        &self.now
    }

    fn command(&mut self, at: Moment, id: WriteId, command: Command) -> Option<Reply> {
        match command {
            Command::RegisterSession { node, nonce } => Some(self.register(node, nonce)),
            Command::TakeDigest => None,
            Command::Expire => {
                let count = self.now.expire(at) + self.board.expire(at);
                Some(Reply::Expired { count })
            }
            Command::RaiseVersion { version } => {
                self.now.version = self.now.version.max(version);
                // Readers of an empty store are told 1, and wait for more.
                self.now.revision = self.now.revision.max(1);
                Some(Reply::Version(self.now.version))
            }
            command => Some(self.write(at, id, command)),
        }
    }

    fn register(&mut self, node: u64, nonce: u64) -> Reply {
        let older = self.writers.iter().find(|(_, writer)| writer.node == node);
        let older = older.map(|(id, writer)| (*id, writer.nonce, writer.ended));
        if let Some((id, of, ended)) = older {
            if of == nonce {
                return Reply::Session(id);
            }
            if ended == Some(nonce) {
                return Reply::Stale;
            }
            self.writers.remove(&id);
        }
        let ended = older.map(|(_, nonce, _)| nonce);
        self.writers.insert(self.applied, Writer { node, nonce, ended, floor: 0 });
        Reply::Session(self.applied)
    }

    fn write(&mut self, at: Moment, id: WriteId, command: Command) -> Reply {
        let Some(writer) = self.writers.get_mut(&id.session) else { return Reply::UnknownSession };
        writer.floor = writer.floor.max(id.floor);
        if id.seq < writer.floor {
            return Reply::Stale;
        }
        if let Some(first) = self.told.get(&(id.session, id.seq)) {
            return first.clone();
        }
        let reply = match command {
            Command::Once { key, hash, command } => {
                let kept = self.kept.get(&key);
                match kept.filter(|(_, _, since_ms)| at.clock_ms - since_ms < KEPT_MS) {
                    Some((first, reply, _)) if *first == hash => {
                        Reply::Replayed(Box::new(reply.clone()))
                    }
                    Some(_) => Reply::KeyReused,
                    None => {
                        let reply = self.act(at, *command);
                        self.kept.insert(key, (hash, reply.clone(), at.clock_ms));
                        reply
                    }
                }
            }
            command => self.act(at, command),
        };
        self.told.insert((id.session, id.seq), reply.clone());
        reply
    }

    fn act(&mut self, at: Moment, command: Command) -> Reply {
        match command {
            Command::CreateLink { url } => {
                let key = URL_SAFE_NO_PAD.encode(Sha256::digest(&url))[..8].to_owned();
                let created = self.urls.insert(url);
                self.now.revision += u64::from(created);
                self.now.links += u64::from(created);
                Reply::Link { key, created }
            }
            Command::Kv { ops } => Reply::Kv(self.now.transact(at, &ops)),
            Command::OpenSession(new) => self.now.open(at, new),
            Command::DestroySession { id } => self.now.destroy(at, id),
            Command::RenewSession { id } => Reply::SessionRenewed(self.now.renew(at, id)),
            Command::Board(act) => Reply::Board(self.board.act(at, &mut self.now.revision, &act)),
            other => panic!("no client sends {other:?}"),
        }
    }
}
