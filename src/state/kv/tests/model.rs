//! Against a store that does everything in the most naive way.
//!
//! The model has no rows but maps, no sheet but a copy of itself, and no deadlines but a look at
//! everything. Whatever clients do, the store must tell the same, be the same, and wake exactly those
//! whose key or session is another than before.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::restore::Backup;
use super::*;

#[derive(Clone, Debug, Default)]
struct Model {
    revision: u64,
    restored: u64,
    last: u64,
    /// The state's clock.
    now: u64,
    keys: BTreeMap<Bytes, Entry>,
    gone: BTreeMap<Bytes, u64>,
    sessions: BTreeMap<SessionId, Session>,
    delays: BTreeMap<Bytes, u64>,
}

type Told = Result<Vec<(Entry, bool)>, Why>;

impl Model {
    fn end(&self, after: u64) -> u64 {
        self.now + after + after / 64 + 2
    }

    /// Does something that makes a revision if it changes a key or a session, and tells which of them
    /// it did change.
    fn change<R>(&mut self, act: impl FnOnce(&mut Self, u64) -> R) -> (R, BTreeSet<Vec<u8>>) {
        let before = self.clone();
        let done = act(self, before.revision + 1);
        let mut changed = BTreeSet::new();
        for key in before.keys.keys().chain(self.keys.keys()) {
            if before.keys.get(key) != self.keys.get(key) {
                changed.insert(row_key(key));
                self.last = before.revision + 1;
            }
            match self.keys.contains_key(key) {
                true => self.gone.remove(key),
                false => self.gone.insert(key.clone(), before.revision + 1),
            };
        }
        let modified = |session: Option<&Session>| session.map(|it| it.modify);
        for id in before.sessions.keys().chain(self.sessions.keys()) {
            if modified(before.sessions.get(id)) != modified(self.sessions.get(id)) {
                changed.insert(session_row_key(id));
            }
        }
        self.revision = before.revision + u64::from(!changed.is_empty());
        (done, changed)
    }

    fn txn(&mut self, ops: &[Op]) -> (KvReply, BTreeSet<Vec<u8>>) {
        let (mut given, mut failed, mut acted) = (Vec::new(), Vec::new(), false);
        let mut after = self.clone();
        for (op, what) in (0..).zip(ops) {
            let before = after.keys.clone();
            match after.op(what, self.revision + 1) {
                Ok(all) => {
                    let all = all.into_iter();
                    given.extend(all.map(|(entry, read)| Given { op, entry, read }));
                }
                Err(why) => failed.push(Failed { op, key: what.key().clone(), why }),
            }
            acted |= before != after.keys;
        }
        if !failed.is_empty() {
            return (KvReply::Refused(failed), BTreeSet::new());
        }
        let ((), changed) = self.change(|model, _| model.keys = after.keys);
        // Done and undone again is a revision too.
        if acted && changed.is_empty() {
            self.revision += 1;
            self.last = self.revision;
        }
        (KvReply::Done { revision: self.revision, given }, changed)
    }

    fn op(&mut self, op: &Op, revision: u64) -> Told {
        let key = op.key().clone();
        let old = self.keys.get(&key).cloned();
        match op {
            Op::Set { value, flags, ttl_ms, when, .. } => {
                when_holds(*when, old.as_ref())?;
                let expires_ms = ttl_ms.map(|ttl| self.end(ttl));
                let (session, lock_index) =
                    old.as_ref().map_or((None, 0), |old| (old.session, old.lock_index));
                self.put(Entry {
                    key,
                    value: value.clone(),
                    flags: *flags,
                    create: 0,
                    modify: revision,
                    lock_index,
                    session,
                    expires_ms,
                })
            }
            Op::Lock { value, flags, session, .. } => {
                if !self.sessions.contains_key(session) {
                    return Err(Why::NoSession);
                }
                let holder = old.as_ref().and_then(|old| old.session);
                match holder {
                    Some(holder) if holder != *session => return Err(Why::Held(holder)),
                    _ if self.delays.contains_key(&key) => return Err(Why::Delayed),
                    _ => {}
                }
                let taken = old.as_ref().map_or(0, |old| old.lock_index);
                self.put(Entry {
                    key,
                    value: value.clone(),
                    flags: *flags,
                    create: 0,
                    modify: revision,
                    lock_index: if holder.is_some() { taken } else { taken + 1 },
                    session: Some(*session),
                    expires_ms: None,
                })
            }
            Op::Unlock { value, flags, session, .. } => match old {
                Some(old) if old.session == Some(*session) => {
                    let (value, flags) = (value.clone(), *flags);
                    let (session, expires_ms, modify) = (None, None, revision);
                    self.put(Entry { value, flags, session, expires_ms, modify, ..old })
                }
                _ => Err(Why::NotHeld),
            },
            Op::Delete { when, .. } => {
                if old.is_some() || matches!(when, When::Present) {
                    when_holds(*when, old.as_ref())?;
                }
                self.keys.remove(&key);
                Ok(Vec::new())
            }
            Op::DeleteTree { prefix } => {
                self.keys.retain(|key, _| !key.starts_with(prefix));
                Ok(Vec::new())
            }
            Op::Get { or_empty, .. } => match old {
                Some(old) => Ok(vec![(old, true)]),
                None if *or_empty => {
                    let (create, modify, lock_index, flags) = (0, 0, 0, 0);
                    let (value, session, expires_ms) = (Bytes::new(), None, None);
                    let empty = Entry {
                        key,
                        value,
                        flags,
                        create,
                        modify,
                        lock_index,
                        session,
                        expires_ms,
                    };
                    Ok(vec![(empty, true)])
                }
                None => Err(Why::Missing),
            },
            Op::GetTree { prefix } => {
                let tree = self.keys.values().filter(|entry| entry.key.starts_with(prefix));
                Ok(tree.map(|entry| (entry.clone(), true)).collect())
            }
            Op::CheckIndex { index, .. } => match old {
                Some(old) if old.modify == *index => Ok(vec![bare(&old)]),
                Some(old) => Err(Why::Stale(old.modify)),
                None => Err(Why::Missing),
            },
            Op::CheckSession { session, .. } => match old {
                Some(old) if old.session == Some(*session) => Ok(vec![bare(&old)]),
                Some(Entry { session: Some(holder), .. }) => Err(Why::Held(holder)),
                Some(_) => Err(Why::NotHeld),
                None => Err(Why::Missing),
            },
            Op::CheckNotExists { .. } if old.is_some() => Err(Why::Exists),
            Op::CheckNotExists { .. } => Ok(Vec::new()),
        }
    }

    fn put(&mut self, new: Entry) -> Told {
        let new = match self.keys.get(&new.key) {
            None => Entry { create: new.modify, ..new },
            Some(old)
                if (Entry { create: old.create, modify: old.modify, ..new.clone() }) == *old =>
            {
                old.clone()
            }
            Some(old) => Entry { create: old.create, ..new },
        };
        self.keys.insert(new.key.clone(), new.clone());
        Ok(vec![bare(&new)])
    }

    fn open(&mut self, new: &NewSession, revision: u64) {
        if !self.sessions.contains_key(&new.id) {
            let expires_ms = new.ttl_ms.map(|ttl| self.end(ttl));
            let (create, modify) = (revision, revision);
            let session = Session { new: new.clone(), create, modify, expires_ms };
            self.sessions.insert(new.id, session);
        }
    }

    fn destroy(&mut self, id: &SessionId, revision: u64) -> bool {
        let Some(session) = self.sessions.remove(id) else { return false };
        let held: Vec<Bytes> = self
            .keys
            .values()
            .filter(|entry| entry.session == Some(*id))
            .map(|entry| entry.key.clone())
            .collect();
        for key in held {
            match session.new.behavior {
                Behavior::Release => {
                    let entry = self.keys.get_mut(&key).unwrap();
                    (entry.session, entry.modify) = (None, revision);
                }
                Behavior::Delete => {
                    self.keys.remove(&key);
                }
            }
            if session.new.lock_delay_ms > 0 {
                self.delays.insert(key, self.end(session.new.lock_delay_ms));
            }
        }
        true
    }

    /// In the order of time; at the same time sessions, then keys, then delays.
    fn expire(&mut self, revision: u64) -> u64 {
        let mut due = Vec::new();
        for session in self.sessions.values() {
            due.extend(session.expires_ms.map(|at| (at, 1, session.new.id.0.to_vec())));
        }
        for entry in self.keys.values() {
            due.extend(entry.expires_ms.map(|at| (at, 2, entry.key.to_vec())));
        }
        due.extend(self.delays.iter().map(|(key, until)| (*until, 3, key.to_vec())));
        due.retain(|(at, _, _)| *at <= self.now);
        due.sort();
        let mut ended = 0;
        for (_, kind, name) in due {
            ended += u64::from(match kind {
                1 => self.destroy(&Id128(name.try_into().unwrap()), revision),
                2 => self.keys.remove(&name[..]).is_some(),
                _ => self.delays.remove(&name[..]).is_some(),
            });
        }
        ended
    }
}

fn bare(entry: &Entry) -> (Entry, bool) {
    (Entry { value: Bytes::new(), ..entry.clone() }, false)
}

fn when_holds(when: When, old: Option<&Entry>) -> Result<(), Why> {
    match (when, old) {
        (When::Absent, Some(_)) => Err(Why::Exists),
        (When::Present | When::At(_), None) => Err(Why::Missing),
        (When::At(revision), Some(old)) if old.modify != revision => Err(Why::Stale(old.modify)),
        _ => Ok(()),
    }
}

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    Txn(Vec<Op>),
    Open(NewSession),
    Destroy(SessionId),
    Renew(SessionId),
    Expire,
    Wait(u64),
    Restart,
    Save,
    Restore,
}

fn a_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => prop::collection::vec(an_op(), 1..2).prop_map(Step::Txn),
        6 => prop::collection::vec(an_op(), 0..8).prop_map(Step::Txn),
        5 => a_new_session().prop_map(Step::Open),
        2 => a_session().prop_map(Step::Destroy),
        3 => a_session().prop_map(Step::Renew),
        5 => Just(Step::Expire),
        5 => (1u64..150).prop_map(Step::Wait),
        1 => Just(Step::Restart),
        1 => Just(Step::Save),
        1 => Just(Step::Restore),
    ]
}

/// Both of them, and the last backup.
struct Pair {
    bench: Bench,
    model: Model,
    backup: Option<(Backup, Model)>,
}

impl Pair {
    fn step(&mut self, step: &Step) {
        let Self { bench, model, backup } = self;
        let (command, expected, changed) = match step {
            Step::Txn(ops) => {
                let (reply, changed) = model.txn(ops);
                (Command::Kv { ops: ops.clone() }, Reply::Kv(reply), changed)
            }
            Step::Open(new) => {
                let ((), changed) = model.change(|model, revision| model.open(new, revision));
                let (id, revision) = (new.id, model.sessions[&new.id].create);
                (Command::OpenSession(new.clone()), Reply::SessionOpened { id, revision }, changed)
            }
            Step::Destroy(id) => {
                let (existed, changed) =
                    model.change(|model, revision| model.destroy(id, revision));
                let revision = model.revision;
                let reply = Reply::SessionDestroyed { existed, revision };
                (Command::DestroySession { id: *id }, reply, changed)
            }
            Step::Renew(id) => {
                let now = model.clone();
                if let Some(session) = model.sessions.get_mut(id) {
                    session.expires_ms = session.new.ttl_ms.map(|ttl| now.end(ttl));
                }
                let renewed = model.sessions.get(id).cloned();
                (Command::RenewSession { id: *id }, Reply::SessionRenewed(renewed), BTreeSet::new())
            }
            Step::Expire => {
                let (count, changed) = model.change(Model::expire);
                (Command::Expire, Reply::Expired { count }, changed)
            }
            Step::Wait(ms) => {
                bench.clock_ms += ms;
                model.now += ms;
                return;
            }
            Step::Restart => {
                let table = bench.state.table().clone();
                bench.state = State::restore(table, &bench.state.meta_bytes()).unwrap();
                return;
            }
            Step::Save => {
                let mut saved = model.clone();
                // The clock of the last entry, which is where the backup's stands.
                saved.now = bench.counters().now(bench.state.summary().clock_ms);
                *backup = Some((Backup::of(bench), saved));
                return;
            }
            Step::Restore => {
                let Some((backup, saved)) = backup else { return };
                let revision = model.revision.max(saved.revision) + 1;
                assert_eq!(bench.restore(backup), revision);
                *model = Model { revision, restored: revision, ..saved.clone() };
                return;
            }
        };
        assert_eq!(bench.apply(&command), expected);
        let Changes::Rows(rows) = &bench.changes else { panic!("everything changed") };
        let woken: BTreeSet<_> = rows.iter().map(|row| row.to_vec()).collect();
        assert_eq!((woken.len(), &woken), (rows.len(), &changed));
    }

    fn compare(&self) {
        let Self { bench, model, .. } = self;
        let state = &bench.state;
        assert_eq!(sound::entries(state), model.keys.values().cloned().collect::<Vec<_>>());
        let listed = sessions(state.table()).unwrap();
        assert_eq!(listed, model.sessions.values().cloned().collect::<Vec<_>>());
        assert_eq!(sound::delays(state), model.delays.clone().into_iter().collect::<Vec<_>>());
        assert_eq!(sound::marks(state), model.gone.clone().into_iter().collect::<Vec<_>>());
        let kv = bench.counters();
        assert_eq!((bench.revision(), kv.last), (model.revision, model.last));
        assert_eq!((kv.restored, kv.now(bench.clock_ms)), (model.restored, model.now));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]

    #[test]
    fn the_store_is_what_the_naive_one_is(steps in prop::collection::vec(a_step(), 1..60)) {
        let bench = Bench::new();
        let model = Model { now: bench.clock_ms, ..Model::default() };
        let mut pair = Pair { bench, model, backup: None };
        for step in steps {
            pair.step(&step);
            pair.compare();
        }
    }
}
