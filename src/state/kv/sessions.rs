//! Sessions: who may hold locks, and what becomes of the locks when it ends.
//!
//! A session is opened with a time within which it must be renewed, or with none. It ends when it is
//! destroyed or when that time is over. Then each of its keys is released, or removed if it wanted so,
//! and for a while nobody can take the lock again: whoever held it may not have noticed yet, and is
//! given time to stop. All of that is one revision.

use bytes::Bytes;

use super::keeper::Keeper;
use super::read;
use super::rows;
use super::{Behavior, NewSession, Session, SessionId};
use crate::state::deadlines::Mortal;
use crate::state::scan::scan_prefix;
use crate::storage::{StoreError, Table};

impl<T: Table> Keeper<'_, T> {
    /// A session as it stands.
    pub(super) fn session(&self, id: &SessionId) -> Result<Option<Session>, StoreError> {
        read::session(self.ledger.rows(), id)
    }

    /// Opens a session, and tells the revision that did; one with this id is left as it is.
    pub(in crate::state) fn open_session(&mut self, new: NewSession) -> Result<u64, StoreError> {
        if let Some(session) = self.session(&new.id)? {
            return Ok(session.create);
        }
        let expires_ms = new.ttl_ms.map(|ttl_ms| self.deadline(ttl_ms));
        let (create, modify) = (self.revision, self.revision);
        let session = Session { new, create, modify, expires_ms };
        let row_key = rows::session_row(&session.new.id);
        self.move_deadline(&Mortal::Session(session.new.id), None, expires_ms);
        self.ledger.insert(&row_key, rows::encode_session(&session));
        self.counters.open_sessions += 1;
        self.session_changed(row_key);
        Ok(create)
    }

    /// Ends a session, and tells whether it was there.
    pub(in crate::state) fn destroy_session(&mut self, id: &SessionId) -> Result<bool, StoreError> {
        let Some(session) = self.session(id)? else { return Ok(false) };
        self.end_session(session)?;
        Ok(true)
    }

    /// Has a session live on from now, if it is there; gives it as it stands then. That is no change to
    /// it that anybody would wait for.
    pub(in crate::state) fn renew_session(
        &mut self,
        id: &SessionId,
    ) -> Result<Option<Session>, StoreError> {
        let Some(session) = self.session(id)? else { return Ok(None) };
        let Some(ttl_ms) = session.new.ttl_ms else { return Ok(Some(session)) };
        let renewed = Session { expires_ms: Some(self.deadline(ttl_ms)), ..session.clone() };
        self.move_deadline(&Mortal::Session(*id), session.expires_ms, renewed.expires_ms);
        let (old, new) = (rows::encode_session(&session), rows::encode_session(&renewed));
        self.ledger.overwrite(&rows::session_row(id), &old, new);
        Ok(Some(renewed))
    }

    pub(super) fn end_session(&mut self, session: Session) -> Result<(), StoreError> {
        for key in self.locks_of(&session.new.id)? {
            self.lose_lock(key, &session)?;
        }
        let id = session.new.id;
        let row_key = rows::session_row(&id);
        self.move_deadline(&Mortal::Session(id), session.expires_ms, None);
        self.ledger.remove(&row_key, &rows::encode_session(&session));
        self.counters.open_sessions -= 1;
        self.session_changed(row_key);
        Ok(())
    }

    fn lose_lock(&mut self, key: Bytes, session: &Session) -> Result<(), StoreError> {
        let gone = || StoreError::damaged("row of a lock: its key is not there");
        let old = self.read(&key)?.ok_or_else(gone)?;
        let mut new = old.entry.clone();
        new.session = None;
        new.modify = self.revision;
        let new = (session.new.behavior == Behavior::Release).then_some(new);
        self.write(&key, Some(old), new)?;
        if session.new.lock_delay_ms > 0 {
            let until_ms = self.deadline(session.new.lock_delay_ms);
            let row_key = rows::delay_row(&key);
            self.ledger.insert(&row_key, rows::encode_delay(until_ms));
            self.move_deadline(&Mortal::Delay(key), None, Some(until_ms));
        }
        Ok(())
    }

    /// The keys whose locks a session holds.
    fn locks_of(&self, id: &SessionId) -> Result<Vec<Bytes>, StoreError> {
        let from = rows::lock_row(id, &[]);
        let mut keys = Vec::new();
        scan_prefix(self.ledger.rows(), &from, None, &mut |row, _| {
            keys.push(Bytes::copy_from_slice(&row[from.len()..]));
            Ok(true)
        })?;
        Ok(keys)
    }

    fn session_changed(&mut self, row_key: Vec<u8>) {
        self.changed = true;
        self.counters.sessions = self.revision;
        self.changes.note(row_key);
    }
}
