//! Operations, all or none.
//!
//! They run one after the other on a sheet laid over the rows, so that each sees what those before it
//! did. When one fails the others still run, since a client wants to hear of all that is wrong, and then
//! the sheet is thrown away. Else every key on it is written once.

use std::collections::BTreeMap;
use std::collections::btree_map;

use bytes::Bytes;

use super::keeper::{Keeper, Old};
use super::read;
use super::{Entry, Failed, Given, KvReply, Op, SessionId, When, Why};
use crate::storage::{StoreError, Table};

/// Bytes of what the operations of one command may read in all; every node keeps it until the answer has
/// arrived.
pub const READ_MAX: usize = 1 << 20;
/// What a key counts for besides itself and its value: about what all the rest of an [`Entry`] takes.
const ENTRY_BYTES: usize = 64;

/// What an entry with this key and value counts for, against [`READ_MAX`].
#[must_use]
pub fn read_size(key: &[u8], value: &[u8]) -> usize {
    ENTRY_BYTES + key.len() + value.len()
}

/// What a key was and is on the sheet.
struct Staged {
    old: Was,
    new: Option<Entry>,
}

enum Was {
    Read(Option<Old>),
    /// It is there, and not kept: a tree can be larger than memory.
    There,
}

/// What one operation comes to: entries that it gives, or why it failed.
type Outcome = Result<Vec<(Entry, bool)>, Why>;

struct Sheet<'k, 'a, T> {
    keeper: &'k mut Keeper<'a, T>,
    staged: BTreeMap<Bytes, Staged>,
    /// Something was done, even if it was undone again.
    touched: bool,
    /// Bytes read.
    read: usize,
}

impl<T: Table> Keeper<'_, T> {
    /// Does all the operations, or tells which cannot be done.
    pub(in crate::state) fn run(&mut self, ops: Vec<Op>) -> Result<KvReply, StoreError> {
        let mut sheet = Sheet { keeper: self, staged: BTreeMap::new(), touched: false, read: 0 };
        let (mut given, mut failed) = (Vec::new(), Vec::new());
        for (number, op) in (0..).zip(ops) {
            let key = op.key().clone();
            match sheet.run(op)? {
                Ok(entries) => given.extend(entries.into_iter().map(|(entry, read)| Given {
                    op: number,
                    entry,
                    read,
                })),
                Err(why) => failed.push(Failed { op: number, key, why }),
            }
        }
        if !failed.is_empty() {
            return Ok(KvReply::Refused(failed));
        }
        let Sheet { staged, touched, .. } = sheet;
        for (key, Staged { old, new }) in staged {
            let old = match old {
                Was::Read(old) => old,
                Was::There => self.read(&key)?,
            };
            self.write_if_new(&key, old, new)?;
        }
        // A key that came and went is told with a revision that nobody else may get; but there is
        // nothing to see, so no index rises.
        self.changed |= touched;
        Ok(KvReply::Done { revision: self.revision - u64::from(!self.changed), given })
    }

    fn write_if_new(
        &mut self,
        key: &Bytes,
        old: Option<Old>,
        new: Option<Entry>,
    ) -> Result<(), StoreError> {
        if old.as_ref().map(|old| &old.entry) == new.as_ref() {
            return Ok(());
        }
        self.write(key, old, new)
    }
}

impl Op {
    /// The key it is about, or the prefix.
    #[must_use]
    pub fn key(&self) -> &Bytes {
        match self {
            Self::Set { key, .. }
            | Self::Lock { key, .. }
            | Self::Unlock { key, .. }
            | Self::Delete { key, .. }
            | Self::Get { key, .. }
            | Self::CheckIndex { key, .. }
            | Self::CheckSession { key, .. }
            | Self::CheckNotExists { key } => key,
            Self::DeleteTree { prefix } | Self::GetTree { prefix } => prefix,
        }
    }

    /// Whether it only looks.
    #[must_use]
    pub fn is_read(&self) -> bool {
        match self {
            Self::Set { .. }
            | Self::Lock { .. }
            | Self::Unlock { .. }
            | Self::Delete { .. }
            | Self::DeleteTree { .. } => false,
            Self::Get { .. }
            | Self::GetTree { .. }
            | Self::CheckIndex { .. }
            | Self::CheckSession { .. }
            | Self::CheckNotExists { .. } => true,
        }
    }
}

impl<T: Table> Sheet<'_, '_, T> {
    fn run(&mut self, op: Op) -> Result<Outcome, StoreError> {
        match op {
            Op::Set { key, value, flags, ttl_ms, when } => {
                self.set(key, value, flags, ttl_ms, when)
            }
            Op::Lock { key, value, flags, session } => self.lock(key, value, flags, session),
            Op::Unlock { key, value, flags, session } => self.unlock(key, value, flags, session),
            Op::Delete { key, when } => self.delete(key, when),
            Op::DeleteTree { prefix } => self.delete_tree(&prefix),
            Op::Get { key, or_empty } => self.get(key, or_empty),
            Op::GetTree { prefix } => self.get_tree(&prefix),
            Op::CheckIndex { key, index } => self.check_index(key, index),
            Op::CheckSession { key, session } => self.check_session(key, session),
            Op::CheckNotExists { key } => {
                Ok(if self.look(&key)?.is_some() { Err(Why::Exists) } else { nothing() })
            }
        }
    }

    fn set(
        &mut self,
        key: Bytes,
        value: Bytes,
        flags: u64,
        ttl_ms: Option<u64>,
        when: When,
    ) -> Result<Outcome, StoreError> {
        let old = self.look(&key)?.cloned();
        if let Err(why) = when.holds(old.as_ref()) {
            return Ok(Err(why));
        }
        let expires_ms = ttl_ms.map(|ttl_ms| self.keeper.deadline(ttl_ms));
        let new = match old {
            Some(old) => Entry { value, flags, expires_ms, ..old },
            None => self.fresh(key.clone(), value, flags, expires_ms),
        };
        self.put(key, new)
    }

    fn lock(
        &mut self,
        key: Bytes,
        value: Bytes,
        flags: u64,
        session: SessionId,
    ) -> Result<Outcome, StoreError> {
        if self.keeper.session(&session)?.is_none() {
            return Ok(Err(Why::NoSession));
        }
        let old = self.look(&key)?.cloned();
        let holder = old.as_ref().and_then(|old| old.session);
        if let Some(holder) = holder
            && holder != session
        {
            return Ok(Err(Why::Held(holder)));
        }
        if read::is_delayed(self.keeper.ledger.rows(), &key)? {
            return Ok(Err(Why::Delayed));
        }
        let old = old.unwrap_or_else(|| self.fresh(key.clone(), Bytes::new(), flags, None));
        let lock_index = old.lock_index + u64::from(holder.is_none());
        let session = Some(session);
        self.put(key, Entry { value, flags, session, lock_index, expires_ms: None, ..old })
    }

    fn unlock(
        &mut self,
        key: Bytes,
        value: Bytes,
        flags: u64,
        session: SessionId,
    ) -> Result<Outcome, StoreError> {
        match self.look(&key)?.cloned() {
            Some(old) if old.session == Some(session) => {
                self.put(key, Entry { value, flags, session: None, expires_ms: None, ..old })
            }
            _ => Ok(Err(Why::NotHeld)),
        }
    }

    fn delete(&mut self, key: Bytes, when: When) -> Result<Outcome, StoreError> {
        let old = self.look(&key)?;
        match (old, when) {
            (None, When::Always | When::At(_)) => return Ok(nothing()),
            (old, when) => {
                if let Err(why) = when.holds(old) {
                    return Ok(Err(why));
                }
            }
        }
        self.take_away(&key);
        Ok(nothing())
    }

    fn delete_tree(&mut self, prefix: &Bytes) -> Result<Outcome, StoreError> {
        let staged = &mut self.staged;
        let mut found = Vec::new();
        read::scan_rows(self.keeper.ledger.rows(), prefix, None, &mut |row| {
            if !staged.contains_key(row.key) {
                found.push(Bytes::copy_from_slice(row.key));
            }
            true
        })?;
        self.touched |= !found.is_empty();
        let gone = |key| (key, Staged { old: Was::There, new: None });
        let standing: Vec<Bytes> = self.staged_under(prefix).map(|(key, _)| key.clone()).collect();
        for key in &standing {
            self.take_away(key);
        }
        self.staged.extend(found.into_iter().map(gone));
        Ok(nothing())
    }

    fn get(&mut self, key: Bytes, or_empty: bool) -> Result<Outcome, StoreError> {
        let entry = match self.look(&key)?.cloned() {
            Some(entry) => entry,
            None if or_empty => {
                Entry { create: 0, modify: 0, ..self.fresh(key, Bytes::new(), 0, None) }
            }
            None => return Ok(Err(Why::Missing)),
        };
        self.read += read_size(&entry.key, &entry.value);
        Ok(if self.read > READ_MAX { Err(Why::TooLarge) } else { Ok(vec![(entry, true)]) })
    }

    fn get_tree(&mut self, prefix: &Bytes) -> Result<Outcome, StoreError> {
        let mut found: BTreeMap<Bytes, Entry> =
            self.staged_under(prefix).map(|(key, entry)| (key.clone(), entry.clone())).collect();
        let size = |entry: &Entry| read_size(&entry.key, &entry.value);
        let mut read = self.read + found.values().map(size).sum::<usize>();
        read::scan_rows(self.keeper.ledger.rows(), prefix, None, &mut |row| {
            if !self.staged.contains_key(row.key) {
                read += read_size(row.key, row.value);
                if read <= READ_MAX {
                    let entry = row.to_entry();
                    found.insert(entry.key.clone(), entry);
                }
            }
            read <= READ_MAX
        })?;
        self.read = read;
        if read > READ_MAX {
            return Ok(Err(Why::TooLarge));
        }
        Ok(Ok(found.into_values().map(|entry| (entry, true)).collect()))
    }

    fn check_index(&mut self, key: Bytes, index: u64) -> Result<Outcome, StoreError> {
        Ok(match self.look(&key)? {
            None => Err(Why::Missing),
            Some(entry) if entry.modify != index => Err(Why::Stale(entry.modify)),
            Some(entry) => Ok(vec![told(entry)]),
        })
    }

    fn check_session(&mut self, key: Bytes, session: SessionId) -> Result<Outcome, StoreError> {
        Ok(match self.look(&key)? {
            None => Err(Why::Missing),
            Some(entry) if entry.session == Some(session) => Ok(vec![told(entry)]),
            Some(entry) => Err(entry.session.map_or(Why::NotHeld, Why::Held)),
        })
    }

    /// A key as it stands on the sheet.
    fn look(&mut self, key: &Bytes) -> Result<Option<&Entry>, StoreError> {
        match self.staged.entry(key.clone()) {
            btree_map::Entry::Occupied(staged) => Ok(staged.into_mut().new.as_ref()),
            btree_map::Entry::Vacant(place) => {
                let old = self.keeper.read(key)?;
                let new = old.as_ref().map(|old| old.entry.clone());
                Ok(place.insert(Staged { old: Was::Read(old), new }).new.as_ref())
            }
        }
    }

    /// Writes a key that was looked at, unless it is so already.
    fn put(&mut self, key: Bytes, new: Entry) -> Result<Outcome, StoreError> {
        let staged = self.staged.get_mut(&key).expect("it was looked at");
        let same = staged.new.as_ref() == Some(&new);
        if !same {
            self.touched = true;
            staged.new = Some(Entry { modify: self.keeper.revision, ..new });
        }
        Ok(Ok(vec![told(staged.new.as_ref().expect("it was just set"))]))
    }

    /// Removes a key that is staged.
    fn take_away(&mut self, key: &Bytes) {
        let staged = self.staged.get_mut(key).expect("it was looked at");
        self.touched |= staged.new.take().is_some();
    }

    fn staged_under(&self, prefix: &Bytes) -> impl Iterator<Item = (&Bytes, &Entry)> {
        self.staged
            .range(prefix.clone()..)
            .take_while(move |(key, _)| key.starts_with(prefix))
            .filter_map(|(key, staged)| Some((key, staged.new.as_ref()?)))
    }

    fn fresh(&self, key: Bytes, value: Bytes, flags: u64, expires_ms: Option<u64>) -> Entry {
        let (create, modify) = (self.keeper.revision, self.keeper.revision);
        Entry { key, value, flags, create, modify, lock_index: 0, session: None, expires_ms }
    }
}

impl When {
    /// Whether it is so, or why not.
    fn holds(self, entry: Option<&Entry>) -> Result<(), Why> {
        match (self, entry) {
            (Self::Always, _) | (Self::Absent, None) | (Self::Present, Some(_)) => Ok(()),
            (Self::Absent, Some(_)) => Err(Why::Exists),
            (Self::Present | Self::At(_), None) => Err(Why::Missing),
            (Self::At(revision), Some(entry)) if entry.modify == revision => Ok(()),
            (Self::At(_), Some(entry)) => Err(Why::Stale(entry.modify)),
        }
    }
}

fn nothing() -> Outcome {
    Ok(Vec::new())
}

/// An entry as the answer to who does not read it.
fn told(entry: &Entry) -> (Entry, bool) {
    (Entry { value: Bytes::new(), ..entry.clone() }, false)
}
