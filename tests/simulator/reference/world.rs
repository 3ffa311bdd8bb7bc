//! The key-value store as one value: keys, locks, sessions and what waits for its time.

use std::collections::{BTreeMap, BTreeSet};

use bowline::raft::Micros;
use bowline::state::Reply;
use bowline::state::kv::{
    Behavior, Entry, Failed, Given, KvReply, NewSession, Op, Session, SessionId, When, Why,
};
use bytes::Bytes;

use super::Moment;

/// Something that ends by itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mortal {
    Session(SessionId),
    Key(Bytes),
    /// That a lock cannot be taken.
    Delay(Bytes),
}

/// The time of something that ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lifetime {
    /// Ends at the first expiry at or after this, by the cluster's clock.
    until_ms: u64,
    /// When it really began.
    since: Micros,
    length_ms: u64,
}

/// What a reader asks for, or waits for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Query {
    Key(Bytes),
    Prefix(Bytes),
    Sessions,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct World {
    /// How many commands changed anything, links included.
    pub revision: u64,
    pub version: u32,
    /// How many links were made that are no posts.
    pub links: u64,
    pub keys: BTreeMap<Bytes, Entry>,
    /// The revision at which a key that is gone went.
    pub graves: BTreeMap<Bytes, u64>,
    pub sessions: BTreeMap<SessionId, Session>,
    /// The revision of the last change of a key, and of a session.
    last: u64,
    sessions_last: u64,
    lives: BTreeMap<Mortal, Lifetime>,
    /// The transaction or ending under way has changed something.
    changed: bool,
}

type Refused = (Bytes, Why);

impl World {
    pub fn transact(&mut self, at: Moment, ops: &[Op]) -> KvReply {
        let mut draft = self.clone();
        draft.begin();
        let (mut given, mut failed) = (Vec::new(), Vec::new());
        for (op, what) in (0..).zip(ops) {
            match draft.run(at, what) {
                Ok(found) => {
                    given.extend(found.into_iter().map(|(entry, read)| give(op, entry, read)));
                }
                Err((key, why)) => failed.push(Failed { op, key, why }),
            }
        }
        if !failed.is_empty() {
            return KvReply::Refused(failed);
        }
        // What came and went between two revisions was never there.
        for (key, grave) in &mut draft.graves {
            if let Some(before) = self.graves.get(key) {
                *grave = *before;
            }
        }
        draft.graves.retain(|key, _| self.keys.contains_key(key) || self.graves.contains_key(key));
        if draft.keys == self.keys {
            draft.last = self.last;
        }
        if draft.changed {
            *self = draft;
        }
        KvReply::Done { revision: self.revision, given }
    }

    pub fn open(&mut self, at: Moment, new: NewSession) -> Reply {
        let id = new.id;
        if let Some(session) = self.sessions.get(&id) {
            return Reply::SessionOpened { id, revision: session.create };
        }
        self.begin();
        self.sessions_last = self.revision;
        let expires_ms = new.ttl_ms.map(|ttl| self.live(at, Mortal::Session(id), ttl));
        let session = Session { new, create: self.revision, modify: self.revision, expires_ms };
        self.sessions.insert(id, session);
        Reply::SessionOpened { id, revision: self.revision }
    }

    pub fn renew(&mut self, at: Moment, id: SessionId) -> Option<Session> {
        let ttl_ms = self.sessions.get(&id)?.new.ttl_ms;
        let expires_ms = ttl_ms.map(|ttl| self.live(at, Mortal::Session(id), ttl));
        let session = self.sessions.get_mut(&id)?;
        session.expires_ms = expires_ms;
        Some(session.clone())
    }

    pub fn destroy(&mut self, at: Moment, id: SessionId) -> Reply {
        let existed = self.sessions.contains_key(&id);
        if existed {
            self.begin();
            self.end(at, id);
        }
        Reply::SessionDestroyed { existed, revision: self.revision }
    }

    /// Ends all whose time is over, and checks that it really is. How many things.
    pub fn expire(&mut self, at: Moment) -> u64 {
        let mut count = 0;
        self.begin();
        while let Some((mortal, life)) = self.next_to_end()
            && life.until_ms <= at.clock_ms
        {
            count += 1;
            let lived = at.born.0 - life.since.0;
            assert!(
                lived >= life.length_ms * 1000,
                "{mortal:?} was to live for {} ms, and lived for {lived} µs",
                life.length_ms
            );
            match &mortal {
                Mortal::Session(id) => self.end(at, *id),
                Mortal::Key(key) => self.remove(key),
                Mortal::Delay(_) => {
                    self.lives.remove(&mortal);
                }
            }
        }
        if !self.changed {
            self.revision -= 1;
        }
        count
    }

    fn next_to_end(&self) -> Option<(Mortal, Lifetime)> {
        let next = self.lives.iter().min_by_key(|(mortal, life)| (life.until_ms, *mortal));
        next.map(|(mortal, life)| (mortal.clone(), *life))
    }

    /// The times at which something ends, by the cluster's clock.
    pub fn ends(&self) -> impl Iterator<Item = u64> {
        self.lives.values().map(|life| life.until_ms)
    }

    /// The index that a reader is told.
    pub fn index(&self, query: &Query) -> u64 {
        let index = match query {
            Query::Key(key) => self.keys.get(key).map_or(self.last, |entry| entry.modify),
            Query::Prefix(prefix) if prefix.is_empty() => self.last,
            Query::Prefix(prefix) => self.newest(prefix),
            Query::Sessions => self.sessions_last,
        };
        index.max(1)
    }

    /// Whether a reader who has seen `index` need not wait.
    pub fn may_answer(&self, query: &Query, index: u64) -> bool {
        match query {
            Query::Key(key) => match self.keys.get(key) {
                Some(entry) => entry.modify > index,
                None => self.graves.get(key).is_some_and(|grave| *grave > index),
            },
            query => self.index(query) > index,
        }
    }

    /// Whether this is not the same in another world.
    pub fn differs(&self, other: &Self, query: &Query) -> bool {
        match query {
            Query::Key(key) => {
                self.keys.get(key) != other.keys.get(key)
                    || self.graves.get(key) != other.graves.get(key)
            }
            Query::Prefix(prefix) => self.newest(prefix) != other.newest(prefix),
            Query::Sessions => self.sessions_last != other.sessions_last,
        }
    }

    pub fn under(&self, prefix: &Bytes) -> impl Iterator<Item = &Entry> {
        self.keys.values().filter(move |entry| entry.key.starts_with(prefix))
    }

    fn newest(&self, prefix: &Bytes) -> u64 {
        let graves = self.graves.iter().filter(|(key, _)| key.starts_with(prefix));
        let living = self.under(prefix).map(|entry| entry.modify);
        living.chain(graves.map(|(_, grave)| *grave)).max().unwrap_or(0)
    }

    fn begin(&mut self) {
        self.revision += 1;
        self.changed = false;
    }

    fn run(&mut self, at: Moment, op: &Op) -> Result<Vec<(Entry, bool)>, Refused> {
        match op {
            Op::Set { key, value, flags, ttl_ms, when } => {
                self.check(key, *when)?;
                let holder = self.keys.get(key).and_then(|entry| entry.session);
                Ok(vec![(self.put(at, key, value, *flags, holder, *ttl_ms), false)])
            }
            Op::Lock { key, value, flags, session } => {
                self.may_lock(key, *session).map_err(|why| (key.clone(), why))?;
                Ok(vec![(self.put(at, key, value, *flags, Some(*session), None), false)])
            }
            Op::Unlock { key, value, flags, session } => {
                self.held(key, *session).map_err(|(key, _)| (key, Why::NotHeld))?;
                Ok(vec![(self.put(at, key, value, *flags, None, None), false)])
            }
            Op::Delete { key, when } => {
                match when {
                    When::Always => {}
                    When::At(_) if !self.keys.contains_key(key) => {}
                    when => self.check(key, *when)?,
                }
                self.remove(key);
                Ok(Vec::new())
            }
            Op::DeleteTree { prefix } => {
                let keys: Vec<Bytes> = self.under(prefix).map(|entry| entry.key.clone()).collect();
                keys.iter().for_each(|key| self.remove(key));
                Ok(Vec::new())
            }
            Op::Get { key, or_empty } => match self.keys.get(key) {
                Some(entry) => Ok(vec![(entry.clone(), true)]),
                None if *or_empty => Ok(vec![(nothing(key, 0), true)]),
                None => Err((key.clone(), Why::Missing)),
            },
            Op::GetTree { prefix } => {
                Ok(self.under(prefix).map(|entry| (entry.clone(), true)).collect())
            }
            Op::CheckIndex { key, index } => {
                self.check(key, When::At(*index))?;
                Ok(vec![(self.keys[key].clone(), false)])
            }
            Op::CheckSession { key, session } => {
                self.held(key, *session)?;
                Ok(vec![(self.keys[key].clone(), false)])
            }
            Op::CheckNotExists { key } => {
                self.check(key, When::Absent)?;
                Ok(Vec::new())
            }
        }
    }

    fn check(&self, key: &Bytes, when: When) -> Result<(), Refused> {
        let why = match (when, self.keys.get(key)) {
            (When::Always, _) | (When::Absent, None) | (When::Present, Some(_)) => return Ok(()),
            (When::At(revision), Some(entry)) if entry.modify == revision => return Ok(()),
            (When::Absent, Some(_)) => Why::Exists,
            (When::Present | When::At(_), None) => Why::Missing,
            (When::At(_), Some(entry)) => Why::Stale(entry.modify),
        };
        Err((key.clone(), why))
    }

    fn held(&self, key: &Bytes, session: SessionId) -> Result<(), Refused> {
        match self.keys.get(key) {
            None => Err((key.clone(), Why::Missing)),
            Some(entry) if entry.session == Some(session) => Ok(()),
            Some(entry) => Err((key.clone(), entry.session.map_or(Why::NotHeld, Why::Held))),
        }
    }

    fn may_lock(&self, key: &Bytes, session: SessionId) -> Result<(), Why> {
        if !self.sessions.contains_key(&session) {
            return Err(Why::NoSession);
        }
        if self.lives.contains_key(&Mortal::Delay(key.clone())) {
            return Err(Why::Delayed);
        }
        match self.keys.get(key).and_then(|entry| entry.session) {
            Some(holder) if holder != session => Err(Why::Held(holder)),
            _ => Ok(()),
        }
    }

    fn put(
        &mut self,
        at: Moment,
        key: &Bytes,
        value: &Bytes,
        flags: u64,
        session: Option<SessionId>,
        ttl_ms: Option<u64>,
    ) -> Entry {
        let before = self.keys.get(key).cloned();
        let mut entry = before.clone().unwrap_or(nothing(key, self.revision));
        let taken = session.is_some() && session != entry.session;
        entry.lock_index += u64::from(taken);
        (entry.value, entry.flags, entry.session) = (value.clone(), flags, session);
        let mortal = Mortal::Key(key.clone());
        self.lives.remove(&mortal);
        entry.expires_ms = ttl_ms.map(|ttl| self.live(at, mortal, ttl));
        if before.as_ref() == Some(&entry) {
            return entry;
        }
        entry.modify = self.revision;
        self.keys.insert(key.clone(), entry.clone());
        self.graves.remove(key);
        self.touched();
        entry
    }

    fn remove(&mut self, key: &Bytes) {
        if self.keys.remove(key).is_some() {
            self.lives.remove(&Mortal::Key(key.clone()));
            self.graves.insert(key.clone(), self.revision);
            self.touched();
        }
    }

    fn touched(&mut self) {
        self.changed = true;
        self.last = self.revision;
    }

    /// Ends a session: what it holds is free, or gone, and cannot be taken for a while.
    fn end(&mut self, at: Moment, id: SessionId) {
        let Session { new, .. } = self.sessions.remove(&id).expect("only a live session ends");
        self.lives.remove(&Mortal::Session(id));
        self.sessions_last = self.revision;
        self.changed = true;
        let holds = |entry: &&Entry| entry.session == Some(id);
        let held: BTreeSet<Bytes> =
            self.keys.values().filter(holds).map(|entry| entry.key.clone()).collect();
        for key in held {
            if new.lock_delay_ms > 0 {
                self.live(at, Mortal::Delay(key.clone()), new.lock_delay_ms);
            }
            match new.behavior {
                Behavior::Delete => self.remove(&key),
                Behavior::Release => {
                    let entry = self.keys.get_mut(&key).expect("it was just looked up");
                    (entry.session, entry.modify) = (None, self.revision);
                    self.touched();
                }
            }
        }
    }

    /// Something lives for so long from now. Until when, by the cluster's clock: that may run one per
    /// cent too fast, and nothing may end early.
    fn live(&mut self, at: Moment, mortal: Mortal, length_ms: u64) -> u64 {
        let until_ms = at.clock_ms + length_ms + length_ms / 64 + 2;
        self.lives.insert(mortal, Lifetime { until_ms, since: at.born, length_ms });
        until_ms
    }
}

/// A key that nobody has set yet.
fn nothing(key: &Bytes, create: u64) -> Entry {
    Entry {
        key: key.clone(),
        value: Bytes::new(),
        flags: 0,
        create,
        modify: 0,
        lock_index: 0,
        session: None,
        expires_ms: None,
    }
}

fn give(op: u32, entry: Entry, read: bool) -> Given {
    let value = if read { entry.value.clone() } else { Bytes::new() };
    Given { op, entry: Entry { value, ..entry }, read }
}
