//! What can be asked of the rows, by whoever has a view of them.
//!
//! A key that is due stands until the entry that removes it is applied, and is read until then: what
//! is there is decided in the log, and not by the clock of whoever looks.

use bytes::Bytes;

use super::rows::{self, Row};
use super::{Entry, Session, SessionId};
use crate::state::scan::scan_prefix;
use crate::storage::{Rows, StoreError};

/// A key as it stands.
///
/// # Errors
/// When the store cannot be read or the row in it is damaged.
pub fn get(rows: &(impl Rows + ?Sized), key: &[u8]) -> Result<Option<Entry>, StoreError> {
    let Some(row) = rows.get(&rows::key_row(key))? else { return Ok(None) };
    rows::decode_entry(Bytes::copy_from_slice(key), &row).map(Some)
}

/// The revision that removed a key, if it is not there and that is still known.
///
/// # Errors
/// As [`get`].
pub fn tombstone(rows: &(impl Rows + ?Sized), key: &[u8]) -> Result<Option<u64>, StoreError> {
    let Some(row) = rows.get(&rows::mark_row(key))? else { return Ok(None) };
    rows::decode_mark(key, &row).map(|(revision, _)| Some(revision))
}

/// Whether a key's lock cannot be taken for a while, because a session has lost it.
///
/// # Errors
/// As [`get`].
pub fn is_delayed(rows: &(impl Rows + ?Sized), key: &[u8]) -> Result<bool, StoreError> {
    Ok(rows.get(&rows::delay_row(key))?.is_some())
}

/// A session as it stands.
///
/// # Errors
/// As [`get`].
pub fn session(rows: &(impl Rows + ?Sized), id: &SessionId) -> Result<Option<Session>, StoreError> {
    rows.get(&rows::session_row(id))?.map(|row| rows::decode_session(&row)).transpose()
}

/// All sessions, in the order of their ids.
///
/// # Errors
/// As [`get`].
pub fn sessions(rows: &(impl Rows + ?Sized)) -> Result<Vec<Session>, StoreError> {
    let mut sessions = Vec::new();
    scan_sessions(rows, None, &mut |session| {
        sessions.push(session);
        true
    })?;
    Ok(sessions)
}

/// Hands the sessions that come after `after`, if that is given, to `visit` in the order of their ids,
/// until it returns false.
///
/// # Errors
/// As [`get`]; `visit` has seen what came before then.
pub fn scan_sessions(
    rows: &(impl Rows + ?Sized),
    after: Option<&SessionId>,
    visit: &mut dyn FnMut(Session) -> bool,
) -> Result<(), StoreError> {
    let after = after.map(rows::session_row);
    scan_prefix(rows, &rows::sessions_prefix(), after, &mut |_, row| {
        Ok(visit(rows::decode_session(row)?))
    })
}

/// Hands the keys with this prefix that come after `after`, if that is given, to `visit` in their
/// order, until it returns false.
///
/// # Errors
/// As [`get`]; `visit` has seen what came before then.
pub fn scan(
    rows: &(impl Rows + ?Sized),
    prefix: &[u8],
    after: Option<&[u8]>,
    visit: &mut dyn FnMut(Entry) -> bool,
) -> Result<(), StoreError> {
    scan_rows(rows, prefix, after, &mut |row| visit(row.to_entry()))
}

/// As [`scan`], for those who need no copy of every value.
///
/// # Errors
/// As [`scan`].
pub fn scan_rows(
    rows: &(impl Rows + ?Sized),
    prefix: &[u8],
    after: Option<&[u8]>,
    visit: &mut dyn FnMut(Row<'_>) -> bool,
) -> Result<(), StoreError> {
    let after = after.map(rows::key_row);
    scan_prefix(rows, &rows::key_row(prefix), after, &mut |key, row| {
        let key = rows::key_of_row(key).expect("the scan is within the table");
        Ok(visit(rows::decode_row(key, row)?))
    })
}

/// As [`scan`], the keys that were removed, and the revisions that removed them.
///
/// # Errors
/// As [`scan`].
pub fn scan_tombstones(
    rows: &(impl Rows + ?Sized),
    prefix: &[u8],
    after: Option<&[u8]>,
    visit: &mut dyn FnMut(&[u8], u64) -> bool,
) -> Result<(), StoreError> {
    let (before_key, after) = (rows::mark_row(&[]).len(), after.map(rows::mark_row));
    scan_prefix(rows, &rows::mark_row(prefix), after, &mut |key, row| {
        let key = &key[before_key..];
        Ok(visit(key, rows::decode_mark(key, row)?.0))
    })
}
