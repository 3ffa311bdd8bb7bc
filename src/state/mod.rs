//! The replicated state machine: what commands do to the rows.
//!
//! Every node feeds the same entries, in the same order, to the same code, and so holds the same
//! state (Ongaro's thesis, section 2.1). For that to be true this module knows no clock, no
//! randomness, no Raft and no HTTP: time and position come with each entry as [`At`], and rows live
//! behind [`Table`]. [`State::apply_command`] is the whole story; the files around it are
//!
//! - [`command`](Command): the bytes of a command; [`reply`](Reply): what it says;
//! - [`links`](Link): which key a URL gets; [`url`](check_url): what may be shortened at all;
//! - [`writes`](Writes): the table by which a write that a node sends twice is done once;
//! - [`once`](OnceQueue): the same for a write that its client sends twice, under a key of its own;
//! - [`board`]: accounts, posts and likes;
//! - [`kv`]: keys with values, locks and sessions;
//! - `deadlines`: what ends by itself, of both;
//! - [`restore`](Restore): all rows replaced by those of a backup;
//! - [`changes`](Changes): which rows changed, for those who wait;
//! - `ledger`: rows and their digest, changed in one step;
//! - `scan`: ranges of rows; `table`: which there are;
//! - [`digest`](Digest): a fingerprint by which nodes notice that their copies differ;
//! - [`meta`](Meta): all of the state that is not a row, as bytes; [`standing`](Standing): what of it
//!   goes with every view.
//!
//! What can go wrong is of two kinds. A refusal is a [`Reply`]: every node gives the same one. An
//! [`ApplyError`] is this node's own failure, or an entry it is too old for: it must stop, because
//! to go on would be to differ.

pub mod board;
mod changes;
mod command;
mod deadlines;
mod digest;
pub mod kv;
mod ledger;
mod links;
mod meta;
mod once;
mod reply;
mod restore;
mod scan;
mod standing;
mod table;
mod url;
mod writes;

use std::collections::BTreeSet;

use bytes::Bytes;

pub use changes::Changes;
pub use command::{Command, CommandError, ONCE_KEY_LEN_MAX};
pub use digest::{Digest, rows_digest};
pub use links::{KEY_LEN_MAX, KEY_LEN_MIN, Link, RESERVED, is_key, is_reserved, lookup};
pub use meta::{Meta, MetaError, Summary};
pub use once::{Limits as OnceLimits, Queue as OnceQueue};
pub use reply::Reply;
pub use restore::Restore;
pub use standing::Standing;
pub use url::{URL_LEN_MAX, UrlError, check_url};
pub use writes::Writes;

use crate::ids::{ClusterId, WriteId};
use crate::storage::{StoreError, Table};
use board::Clerk;
use kv::{Failed, Keeper, KvReply, Op, Why};
use ledger::Ledger;
use links::Place;
use restore::Restoring;
use writes::Admission;

/// The highest cluster version that this program knows. The replicated one ([`Summary::cluster_version`])
/// is raised to it when every member has said that it knows it too.
pub const VERSION: u32 = 3;
/// The cluster version from which on commands of the key-value store may be proposed.
pub const VERSION_KV: u32 = 2;
/// The cluster version from which on commands of the link board may be proposed.
pub const VERSION_BOARD: u32 = 3;

/// A row's key: table, space, and the key within. There is one space, number 0; the number is there
/// so that a cluster can be shared one day without rewriting every row.
pub(crate) fn row_key(table: u8, key: &[u8]) -> Vec<u8> {
    let mut row_key = Vec::with_capacity(5 + key.len());
    row_key.push(table);
    row_key.extend_from_slice(&0u32.to_be_bytes());
    row_key.extend_from_slice(key);
    row_key
}

/// Where in the log and when an entry stands; the same on every node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// Its index, one more than that of the entry before.
    pub index: u64,
    /// Its term.
    pub term: u64,
    /// The cluster clock that its leader stamped it with, in ms; never less than the entry before.
    pub clock_ms: u64,
    /// The wall clock of that leader, in ms since 1970: for people to look at and for what is ranked by
    /// age, and nothing else.
    pub wall_ms: u64,
}

/// This node cannot apply the entry and must stop.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// The rows cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The entry is no command that this program knows.
    #[error(transparent)]
    Command(#[from] CommandError),
}

/// The state of one node.
#[derive(Clone, Debug)]
pub struct State<T> {
    table: T,
    meta: Meta,
    changes: Changes,
    restoring: Restoring,
    /// No deadline stands here or before: every new one is behind the state's clock, and this is not.
    /// Nothing but work hangs on it, so that nodes need not agree on it.
    passed: Vec<u8>,
}

impl<T: Table> State<T> {
    /// The state before the first entry, over an empty table.
    pub fn new(table: T, cluster: ClusterId) -> Self {
        let meta = Meta {
            summary: Summary::new(cluster),
            configuration_index: 0,
            configuration: Bytes::new(),
            writes: Writes::default(),
            once: OnceQueue::default(),
            kv: kv::Counters::default(),
            board: board::Counters::default(),
        };
        Self::over(table, meta)
    }

    /// The state as of a meta, over the table as it was written together with it.
    ///
    /// # Errors
    /// When the meta is foreign, of a newer format, or damaged.
    pub fn restore(table: T, meta: &[u8]) -> Result<Self, MetaError> {
        let meta = Meta::decode(meta)?;
        match meta.summary.cluster_version {
            0..=VERSION => Ok(Self::over(table, meta)),
            version => Err(MetaError::Version(version)),
        }
    }

    fn over(table: T, meta: Meta) -> Self {
        let (changes, restoring, passed) = (Changes::default(), Restoring::No, Vec::new());
        Self { table, meta, changes, restoring, passed }
    }

    /// Applies a command, unless the write is known already, and tells what it says.
    ///
    /// A command that is no client's write ([`Command::is_write`]) is not looked up by its id.
    ///
    /// # Errors
    /// When this node cannot go on. What it holds in memory is of no use from then on.
    ///
    /// # Panics
    /// When entries come out of order, the clock goes back, or a restore was not carried out: that is a
    /// bug in the caller.
    pub fn apply_command(
        &mut self,
        at: At,
        write: WriteId,
        command: &[u8],
    ) -> Result<Reply, ApplyError> {
        self.assert_whole();
        let reply = match Command::decode(command)? {
            Command::RegisterSession { node, nonce } => {
                self.meta.writes.register(at.index, node, nonce)
            }
            Command::TakeDigest => {
                self.advance(at);
                return Ok(Reply::Digest(self.digest().0));
            }
            Command::Expire => {
                let clock_ms = self.meta.kv.now(at.clock_ms);
                Reply::Expired { count: self.expire(At { clock_ms, ..at })? }
            }
            Command::RaiseVersion { version } => {
                let summary = &mut self.meta.summary;
                summary.cluster_version = version.max(summary.cluster_version);
                if summary.cluster_version >= VERSION_KV {
                    // Of a store in which nothing was ever done readers are told index 1, and then
                    // wait for more: nothing in it may have that revision.
                    summary.revision = summary.revision.max(1);
                }
                Reply::Version(summary.cluster_version)
            }
            command => match self.meta.writes.admit(write) {
                Admission::Answer(reply) => reply,
                Admission::New => {
                    let reply = match self.refusal(write, &command) {
                        Some(refusal) => refusal,
                        None => self.write(at, command)?,
                    };
                    self.meta.writes.record(write, &reply);
                    reply
                }
            },
        };
        self.advance(at);
        Ok(reply)
    }

    /// Passes over an entry without a command.
    ///
    /// # Panics
    /// As [`State::apply_command`].
    pub fn apply_noop(&mut self, at: At) {
        self.assert_whole();
        self.advance(at);
    }

    /// Remembers a configuration, and ends the write sessions of all but its `nodes`.
    ///
    /// # Panics
    /// As [`State::apply_command`].
    pub fn apply_configuration(&mut self, at: At, nodes: &BTreeSet<u64>, encoded: Bytes) {
        self.assert_whole();
        self.meta.configuration_index = at.index;
        self.meta.configuration = encoded;
        self.meta.writes.retain_nodes(nodes);
        self.advance(at);
    }

    /// Where the state stands.
    #[must_use]
    pub fn summary(&self) -> Summary {
        self.meta.summary
    }

    /// What goes with a published view, as bytes; see [`Standing::decode`].
    #[must_use]
    pub fn standing_bytes(&self) -> Bytes {
        Standing::of(&self.meta).encode()
    }

    /// Which rows changed since this was asked last.
    #[must_use]
    pub fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }

    /// The cluster's clock when something may end by itself and [`Command::Expire`] is due, in ms; it
    /// may turn out that nothing was to end yet. None when nothing ends.
    #[must_use]
    pub fn next_expiry(&self) -> Option<u64> {
        self.meta.kv.next_expiry()
    }

    /// All of the state that is not a row.
    #[must_use]
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The meta as bytes, to be written together with the rows; see [`State::restore`].
    #[must_use]
    pub fn meta_bytes(&self) -> Bytes {
        self.meta.encode()
    }

    /// Digest of the whole state: rows, writes table and every number besides, the same on every
    /// node that has applied the same index. [`Summary::digest`] leaves the numbers out.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.meta.digest()
    }

    /// The exactly-once table.
    #[must_use]
    pub fn writes(&self) -> &Writes {
        &self.meta.writes
    }

    /// The rows.
    #[must_use]
    pub fn table(&self) -> &T {
        &self.table
    }

    /// The table, for its owner to freeze and publish. Rows changed through it are not in the digest.
    pub fn table_mut(&mut self) -> &mut T {
        &mut self.table
    }

    /// Gives the table back; the state ends.
    pub fn into_table(self) -> T {
        self.table
    }

    /// The digest of the rows computed from the rows alone, to check the one that is kept.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn computed_rows_digest(&self) -> Result<Digest, StoreError> {
        let digest = rows_digest(&self.table, &mut |_, _| true)?;
        Ok(digest.expect("nobody stopped it"))
    }

    /// Why a write cannot be done now, whatever the rows are: it may say much, and its session keeps so
    /// much already that the node has not had.
    fn refusal(&self, write: WriteId, command: &Command) -> Option<Reply> {
        let Command::Kv { ops } = command else { return None };
        let wordy = ops.len() > 1 || ops.iter().any(Op::is_read);
        let refused = Failed { op: 0, key: Bytes::new(), why: Why::Busy };
        (wordy && !self.meta.writes.has_room(write.session))
            .then(|| Reply::Kv(KvReply::Refused(vec![refused])))
    }

    /// Does a write that is new to the session layer.
    fn write(&mut self, at: At, command: Command) -> Result<Reply, StoreError> {
        if let Command::Restore(restore) = command {
            return Ok(self.restore_from(at, restore));
        }
        // Everything that is kept goes by the state's own clock.
        let at = At { clock_ms: self.meta.kv.now(at.clock_ms), ..at };
        let reply = match command {
            Command::Once { key, hash, command } => self.write_once(at, &key, &hash, *command)?,
            command => self.act(at, command)?,
        };
        let mut ledger = Ledger::new(&mut self.table, &mut self.meta.summary.rows_digest);
        self.meta.once.trim(&mut ledger, at.clock_ms, OnceLimits::DEFAULT)?;
        Ok(reply)
    }

    /// Does a write unless its key is known.
    fn write_once(
        &mut self,
        at: At,
        key: &str,
        hash: &[u8; 32],
        command: Command,
    ) -> Result<Reply, StoreError> {
        if let Some(kept) = once::find(&self.table, key, at.clock_ms, OnceLimits::DEFAULT)? {
            return Ok(kept.answer(hash));
        }
        let reply = self.act(at, command)?;
        let mut ledger = Ledger::new(&mut self.table, &mut self.meta.summary.rows_digest);
        self.meta.once.remember(&mut ledger, key, hash, at.clock_ms, &reply)?;
        Ok(reply)
    }

    fn act(&mut self, at: At, command: Command) -> Result<Reply, StoreError> {
        match command {
            Command::CreateLink { url } => self.create_link(at, &url),
            Command::Kv { ops } => self.keep(at.clock_ms, |it| it.run(ops)).map(Reply::Kv),
            Command::OpenSession(new) => {
                let id = new.id;
                let revision = self.keep(at.clock_ms, |it| it.open_session(new))?;
                Ok(Reply::SessionOpened { id, revision })
            }
            Command::DestroySession { id } => {
                let existed = self.keep(at.clock_ms, |it| it.destroy_session(&id))?;
                let revision = self.meta.summary.revision;
                Ok(Reply::SessionDestroyed { existed, revision })
            }
            Command::RenewSession { id } => {
                self.keep(at.clock_ms, |it| it.renew_session(&id)).map(Reply::SessionRenewed)
            }
            Command::Board(act) => self.serve(at, |it| it.run(act)).map(Reply::Board),
            Command::Once { .. }
            | Command::RegisterSession { .. }
            | Command::TakeDigest
            | Command::Expire
            | Command::RaiseVersion { .. }
            | Command::Restore(_) => {
                unreachable!("decoding lets no such command stand where a plain write must")
            }
        }
    }

    /// Does something to the key-value store, at this time of the state's clock.
    fn keep<R>(
        &mut self,
        now_ms: u64,
        act: impl FnOnce(&mut Keeper<'_, T>) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        let Meta { summary, kv, .. } = &mut self.meta;
        let ledger = Ledger::new(&mut self.table, &mut summary.rows_digest);
        let mut keeper = Keeper::new(ledger, kv, &mut self.changes, now_ms, summary.revision);
        let done = act(&mut keeper)?;
        summary.revision = keeper.finish()?;
        Ok(done)
    }

    /// Does something to the board; the time in `at` is the state's clock.
    fn serve<R>(
        &mut self,
        at: At,
        act: impl FnOnce(&mut Clerk<'_, T>) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        let Meta { summary, kv, board, .. } = &mut self.meta;
        let ledger = Ledger::new(&mut self.table, &mut summary.rows_digest);
        let revision = summary.revision;
        let links = &mut summary.links;
        let mut clerk = Clerk::new(ledger, board, &mut kv.earliest_ms, links, at, revision);
        let done = act(&mut clerk)?;
        summary.revision = clerk.finish();
        Ok(done)
    }

    fn create_link(&mut self, at: At, url: &Bytes) -> Result<Reply, StoreError> {
        let key = match links::place(&self.table, url, links::keys(url))? {
            Place::Stands(key) => return Ok(Reply::Link { key, created: false }),
            Place::Free(key) => key,
        };
        let row = links::encode(&Link::Live(url.clone()), at);
        let summary = &mut self.meta.summary;
        summary.links += 1;
        summary.revision += 1;
        let mut ledger = Ledger::new(&mut self.table, &mut summary.rows_digest);
        ledger.insert(&row_key(table::LINKS, key.as_bytes()), row);
        Ok(Reply::Link { key, created: true })
    }

    fn assert_whole(&self) {
        assert_eq!(self.restoring, Restoring::No, "a restore was applied, its rows were not");
    }

    fn advance(&mut self, at: At) {
        let summary = &mut self.meta.summary;
        assert_eq!(at.index, summary.applied + 1, "entries are applied one after the other");
        assert!(at.term >= summary.term, "terms never sink: {} < {}", at.term, summary.term);
        assert!(
            at.clock_ms >= summary.clock_ms,
            "the clock never goes back: {} < {}",
            at.clock_ms,
            summary.clock_ms
        );
        summary.applied = at.index;
        summary.term = at.term;
        summary.clock_ms = at.clock_ms;
        summary.writes_digest = self.meta.writes.digest();
        if summary.cluster_version >= VERSION_BOARD {
            self.meta.board.wall_ms = at.wall_ms;
        }
    }
}

#[cfg(test)]
mod tests;
