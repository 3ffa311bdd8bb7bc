//! What can be asked of the board one by one, by whoever has a view of it.

use super::{Comment, CommentId, Login, LoginId, Post, User, UserId, rows};
use crate::state::links::is_key;
use crate::state::scan::scan_prefix;
use crate::storage::{Rows, StoreError};

/// Bytes of the longest name that anybody could have; longer ones need not be looked for.
pub(super) const NAME_BYTES_EVER: usize = 255;

/// A user by number.
///
/// # Errors
/// When the store cannot be read or the row in it is damaged.
pub fn user(rows: &(impl Rows + ?Sized), id: UserId) -> Result<Option<User>, StoreError> {
    record(rows, &rows::user(id))
}

/// A user by name, in whatever case.
///
/// # Errors
/// As [`user`].
pub fn user_named(rows: &(impl Rows + ?Sized), name: &str) -> Result<Option<User>, StoreError> {
    if name.len() > NAME_BYTES_EVER {
        return Ok(None);
    }
    let Some(row) = rows.get(&rows::name(name))? else { return Ok(None) };
    let gone = || rows::damaged("name", "its user is not there");
    user(rows, rows::decode_number("name", &row)?)?.map(Some).ok_or_else(gone)
}

/// A log-in, if it has not ended. One that is due stands until the entry that ends it is applied.
///
/// # Errors
/// As [`user`].
pub fn login(rows: &(impl Rows + ?Sized), id: &LoginId) -> Result<Option<Login>, StoreError> {
    record(rows, &rows::login(id))
}

/// How many log-ins a user has.
///
/// # Errors
/// As [`user`].
pub fn logins_of(rows: &(impl Rows + ?Sized), user: UserId) -> Result<usize, StoreError> {
    logins(rows, user).map(|logins| logins.len())
}

/// The log-ins of a user, each with the revision that made it; at most
/// [`LOGINS_MAX`](super::LOGINS_MAX), in no useful order.
pub(super) fn logins(
    rows: &(impl Rows + ?Sized),
    user: UserId,
) -> Result<Vec<(u64, LoginId)>, StoreError> {
    let (prefix, mut logins) = (rows::logins_of(user), Vec::new());
    scan_prefix(rows, &prefix, None, &mut |row, value| {
        let id = row[prefix.len()..].try_into();
        let id = id.map_err(|_| rows::damaged("log-in of a user", "its key"))?;
        logins.push((rows::decode_number("log-in of a user", value)?, id));
        Ok(true)
    })?;
    Ok(logins)
}

/// The moderators, in the order of their accounts; so many of them at most.
///
/// # Errors
/// As [`user`].
pub fn moderators(rows: &(impl Rows + ?Sized), max: usize) -> Result<Vec<User>, StoreError> {
    let (prefix, mut ids) = (rows::moderators(), Vec::new());
    scan_prefix(rows, &prefix, None, &mut |row, _| {
        let id = row[prefix.len()..].try_into();
        ids.push(UserId::from_be_bytes(id.map_err(|_| rows::damaged("moderator", "its key"))?));
        Ok(ids.len() < max)
    })?;
    ids.truncate(max);
    let gone = || rows::damaged("moderator", "its user is not there");
    ids.into_iter().map(|id| user(rows, id)?.ok_or_else(gone)).collect()
}

/// A post, whatever became of it.
///
/// # Errors
/// As [`user`].
pub fn post(rows: &(impl Rows + ?Sized), key: &str) -> Result<Option<Post>, StoreError> {
    if !is_key(key) {
        return Ok(None);
    }
    record(rows, &rows::post(key))
}

/// Whether a user likes a post.
///
/// # Errors
/// As [`user`].
pub fn is_liked(rows: &(impl Rows + ?Sized), post: &str, user: UserId) -> Result<bool, StoreError> {
    Ok(is_key(post) && rows.get(&rows::like(post, user))?.is_some())
}

/// One comment of a post.
///
/// # Errors
/// As [`user`].
pub fn comment(
    rows: &(impl Rows + ?Sized),
    post: &str,
    id: CommentId,
) -> Result<Option<Comment>, StoreError> {
    if !is_key(post) {
        return Ok(None);
    }
    let Some(row) = rows.get(&rows::thread(post, id))? else { return Ok(None) };
    let thread = rows::decode_number("thread", &row)?;
    let gone = || rows::damaged("thread", "its comment is not there");
    record(rows, &rows::comment(post, thread, id))?.map(Some).ok_or_else(gone)
}

/// What is kept as a structure under this row key.
pub(super) fn record<R: rows::Record>(
    rows: &(impl Rows + ?Sized),
    row_key: &[u8],
) -> Result<Option<R>, StoreError> {
    rows.get(row_key)?.map(|row| rows::decode(&row)).transpose()
}
