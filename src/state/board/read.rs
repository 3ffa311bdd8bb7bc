//! What can be asked of the board, by whoever has a view of it.

use super::{Comment, CommentId, List, Login, LoginId, Moderated, Post, User, UserId};
use crate::storage::{Rows, StoreError};

/// Where a page of a list ends, and the next one begins. Its bytes mean nothing to others, and any
/// bytes that a client sends back will do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(pub Vec<u8>);

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The posts, in the list's order.
    pub lines: Vec<Line>,
    /// Where the next page begins, if there is one.
    pub next: Option<Cursor>,
}

/// A post in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The post.
    pub post: Post,
    /// Its author's name.
    pub author: String,
}

/// A part of the comments of a post: threads in the order of their beginnings, each with its answers in
/// the order in which they were given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// The comments, each with its author's name.
    pub comments: Vec<(Comment, String)>,
    /// Where the next page begins, if there is one.
    pub next: Option<Cursor>,
}

/// A part of the moderators' log, the newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPage {
    /// What was done, and the name of who did it (none for an operator).
    pub deeds: Vec<(Moderated, Option<String>)>,
    /// Where the next page begins, if there is one.
    pub next: Option<Cursor>,
}

/// A user by number.
///
/// # Errors
/// When the store cannot be read or the row in it is damaged.
pub fn user(rows: &(impl Rows + ?Sized), id: UserId) -> Result<Option<User>, StoreError> {
    let _ = (rows, id);
    Ok(None)
}

/// A user by name, in whatever case.
///
/// # Errors
/// As [`user`].
pub fn user_named(rows: &(impl Rows + ?Sized), name: &str) -> Result<Option<User>, StoreError> {
    let _ = (rows, name);
    Ok(None)
}

/// A log-in, if it has not ended.
///
/// # Errors
/// As [`user`].
pub fn login(rows: &(impl Rows + ?Sized), id: &LoginId) -> Result<Option<Login>, StoreError> {
    let _ = (rows, id);
    Ok(None)
}

/// How many log-ins a user has.
///
/// # Errors
/// As [`user`].
pub fn logins_of(rows: &(impl Rows + ?Sized), user: UserId) -> Result<usize, StoreError> {
    let _ = (rows, user);
    Ok(0)
}

/// A post, whatever became of it.
///
/// # Errors
/// As [`user`].
pub fn post(rows: &(impl Rows + ?Sized), key: &str) -> Result<Option<Post>, StoreError> {
    let _ = (rows, key);
    Ok(None)
}

/// Whether a user likes a post.
///
/// # Errors
/// As [`user`].
pub fn is_liked(rows: &(impl Rows + ?Sized), post: &str, user: UserId) -> Result<bool, StoreError> {
    let _ = (rows, post, user);
    Ok(false)
}

/// A page of a list. `now_ms` is the wall clock of the last entry, from which [`List::Top`] counts back.
///
/// # Errors
/// As [`user`].
pub fn page(
    rows: &(impl Rows + ?Sized),
    list: &List,
    after: Option<&Cursor>,
    now_ms: u64,
    lines_max: usize,
) -> Result<Page, StoreError> {
    let _ = (rows, list, after, now_ms, lines_max);
    Ok(Page { lines: Vec::new(), next: None })
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
    let _ = (rows, post, id);
    Ok(None)
}

/// Comments of a post.
///
/// # Errors
/// As [`user`].
pub fn comments(
    rows: &(impl Rows + ?Sized),
    post: &str,
    after: Option<&Cursor>,
    comments_max: usize,
) -> Result<Thread, StoreError> {
    let _ = (rows, post, after, comments_max);
    Ok(Thread { comments: Vec::new(), next: None })
}

/// The moderators' log.
///
/// # Errors
/// As [`user`].
pub fn moderation(
    rows: &(impl Rows + ?Sized),
    after: Option<&Cursor>,
    deeds_max: usize,
) -> Result<LogPage, StoreError> {
    let _ = (rows, after, deeds_max);
    Ok(LogPage { deeds: Vec::new(), next: None })
}
