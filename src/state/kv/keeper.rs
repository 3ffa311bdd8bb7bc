//! The one place that writes a key, with all that hangs on it.
//!
//! A key's row is never alone: who holds its lock has a row, when it goes by itself there is a
//! deadline, and when it is gone a mark of it remains. [`Keeper::write`] is told what was and what is to
//! be, and brings all of that along, so that no other code can forget a part.

use bytes::Bytes;

use super::rows;
use super::{Counters, Entry, SessionId};
use crate::state::changes::Changes;
use crate::state::deadlines::Mortal;
use crate::state::ledger::Ledger;
use crate::storage::{StoreError, Table};

/// Marks of removed keys that are kept, unless a test wants fewer. Protocol: the same on every node.
const MARKS_MAX: u64 = 1_000_000;

/// What one command does to the store.
pub(in crate::state) struct Keeper<'a, T> {
    pub(super) ledger: Ledger<'a, T>,
    pub(super) counters: &'a mut Counters,
    pub(super) changes: &'a mut Changes,
    /// The state's clock.
    pub(super) now_ms: u64,
    /// The revision that this command makes, if it changes anything.
    pub(super) revision: u64,
    /// Whether it did.
    pub(super) changed: bool,
    pub(super) marks_max: u64,
}

/// A key as it was read from the rows.
#[derive(Clone, Debug)]
pub(super) struct Old {
    pub(super) entry: Entry,
    /// The row's value, which the digest has to give back.
    row: Bytes,
}

impl<'a, T: Table> Keeper<'a, T> {
    /// For a command at this time of the state's clock, the store's revision being what it is.
    pub(in crate::state) fn new(
        ledger: Ledger<'a, T>,
        counters: &'a mut Counters,
        changes: &'a mut Changes,
        now_ms: u64,
        revision: u64,
    ) -> Self {
        let (revision, marks_max) = (revision + 1, MARKS_MAX);
        Self { ledger, counters, changes, now_ms, revision, changed: false, marks_max }
    }

    /// Ends the command, and gives the store's revision.
    pub(in crate::state) fn finish(mut self) -> Result<u64, StoreError> {
        self.trim_marks()?;
        Ok(self.revision - u64::from(!self.changed))
    }

    /// A key as it stands.
    pub(super) fn read(&self, key: &Bytes) -> Result<Option<Old>, StoreError> {
        let Some(row) = self.ledger.get(&rows::key_row(key))? else { return Ok(None) };
        let entry = rows::decode_entry(key.clone(), &row)?;
        Ok(Some(Old { entry, row }))
    }

    /// Makes a key what it is to be from what it was.
    pub(super) fn write(
        &mut self,
        key: &Bytes,
        old: Option<Old>,
        new: Option<Entry>,
    ) -> Result<(), StoreError> {
        let was = old.as_ref().map(|old| &old.entry);
        let of = |entry: Option<&Entry>| entry.and_then(|it| it.session);
        self.move_lock(key, of(was), of(new.as_ref()));
        let ends = |entry: Option<&Entry>| entry.and_then(|it| it.expires_ms);
        self.move_deadline(&Mortal::Key(key.clone()), ends(was), ends(new.as_ref()));
        let row_key = rows::key_row(key);
        match (old, new) {
            (None, None) => return Ok(()),
            (None, Some(new)) => {
                self.forget_mark(key)?;
                self.counters.keys += 1;
                self.ledger.insert(&row_key, rows::encode_entry(&new));
            }
            (Some(old), Some(new)) => {
                self.ledger.overwrite(&row_key, &old.row, rows::encode_entry(&new));
            }
            (Some(old), None) => {
                self.ledger.remove(&row_key, &old.row);
                self.counters.keys -= 1;
                self.leave_mark(key);
            }
        }
        self.changed = true;
        self.counters.last = self.revision;
        self.changes.note(row_key);
        Ok(())
    }

    fn move_lock(&mut self, key: &[u8], from: Option<SessionId>, to: Option<SessionId>) {
        if from == to {
            return;
        }
        if let Some(session) = from {
            self.ledger.remove(&rows::lock_row(&session, key), rows::THERE);
        }
        if let Some(session) = to {
            self.ledger.insert(&rows::lock_row(&session, key), rows::there());
        }
    }
}
