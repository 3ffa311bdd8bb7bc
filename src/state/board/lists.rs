//! What can be asked of the board page by page, by whoever has a view of it.
//!
//! Every list is a range of rows that stand in its order, and a page is where the one before ended and a
//! few rows on: what is asked for costs as much as is shown, however long the list is. Only the best of a
//! time ([`top`]) are found in several ranges, one for each day or month of it, and merged.
//!
//! A cursor is the rest of the row key behind which the next page begins. Likes that come between two
//! pages can move a post from one to the other; nobody who pages through a living list expects more.

mod top;

use std::collections::BTreeMap;

use super::{Comment, List, Moderated, Post, UserId, read, rows};
use crate::state::links::is_key;
use crate::state::scan::scan_prefix;
use crate::storage::{Rows, StoreError};

/// Where a page of a list ends, and the next one begins. Its bytes mean nothing to others, and any
/// bytes that a client sends back will do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(pub Vec<u8>);

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The posts, in the list's order. There may be fewer than asked for, and still a next page.
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
/// the order in which they were given. What was taken away is among them, for others may answer to it.
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

/// A page of a list. `now_ms` is the wall clock of the last entry, from which [`List::Top`] counts back.
///
/// # Errors
/// When the store cannot be read or a row in it is damaged.
pub fn page(
    rows: &(impl Rows + ?Sized),
    list: &List,
    after: Option<&Cursor>,
    now_ms: u64,
    lines_max: usize,
) -> Result<Page, StoreError> {
    let prefix = match list {
        List::Hot => rows::hot(),
        List::Newest => rows::newest(),
        List::Of(user) => rows::posts_of(*user),
        List::Host(host) => rows::host(host),
        List::Top(span) => {
            let (keys, next) = top::keys(rows, *span, after, now_ms, lines_max)?;
            return Ok(Page { lines: lines(rows, keys)?, next });
        }
    };
    let (keys, next) =
        part(rows, &prefix, after, &so_many(lines_max), &mut |row| rows::decode_text("list", row))?;
    Ok(Page { lines: lines(rows, keys)?, next })
}

/// Bytes of text after which a page of comments ends, however few they are: what is asked for with a
/// hundred bytes must not be some megabytes.
const COMMENTS_BYTES: usize = 128 << 10;

/// Comments of a post, so many of them at most; fewer when they are long.
///
/// # Errors
/// As [`page`].
pub fn comments(
    rows: &(impl Rows + ?Sized),
    post: &str,
    after: Option<&Cursor>,
    comments_max: usize,
) -> Result<Thread, StoreError> {
    if !is_key(post) {
        return Ok(Thread { comments: Vec::new(), next: None });
    }
    let decode = &mut |row: &[u8]| rows::decode::<Comment>(row);
    let full = |page: &[Comment]| {
        let bytes: usize = page.iter().map(|comment| comment.text.len()).sum();
        page.len() >= comments_max || bytes >= COMMENTS_BYTES
    };
    let (comments, next) = part(rows, &rows::comments(post), after, &full, decode)?;
    let mut names = Names::default();
    let named = comments.into_iter().map(|comment| {
        let name = names.of(rows, comment.user)?;
        Ok((comment, name))
    });
    Ok(Thread { comments: named.collect::<Result<_, StoreError>>()?, next })
}

/// The moderators' log.
///
/// # Errors
/// As [`page`].
pub fn moderation(
    rows: &(impl Rows + ?Sized),
    after: Option<&Cursor>,
    deeds_max: usize,
) -> Result<LogPage, StoreError> {
    let decode = &mut |row: &[u8]| rows::decode::<Moderated>(row);
    let (deeds, next) = part(rows, &rows::deeds(), after, &so_many(deeds_max), decode)?;
    let mut names = Names::default();
    let named = deeds.into_iter().map(|deed| {
        let name = deed.by.map(|user| names.of(rows, user)).transpose()?;
        Ok((deed, name))
    });
    Ok(LogPage { deeds: named.collect::<Result<_, StoreError>>()?, next })
}

/// Says that a page is full when it has so many.
fn so_many<R>(max: usize) -> impl Fn(&[R]) -> bool {
    move |page| page.len() >= max
}

/// The rows with this prefix that come after a cursor, until the page is full, and where the next one
/// begins.
fn part<R>(
    rows: &(impl Rows + ?Sized),
    prefix: &[u8],
    after: Option<&Cursor>,
    full: &dyn Fn(&[R]) -> bool,
    decode: &mut dyn FnMut(&[u8]) -> Result<R, StoreError>,
) -> Result<(Vec<R>, Option<Cursor>), StoreError> {
    let (mut found, mut last, mut next) = (Vec::new(), Vec::new(), None);
    scan_prefix(rows, prefix, behind(prefix, after), &mut |key, row| {
        if full(&found) {
            next = Some(Cursor(std::mem::take(&mut last)));
            return Ok(false);
        }
        found.push(decode(row)?);
        last = key[prefix.len()..].to_vec();
        Ok(true)
    })?;
    Ok((found, next))
}

/// The row key that a cursor stands for. A client's bytes may be of any length; the rest of no row key
/// is longer than this.
fn behind(prefix: &[u8], after: Option<&Cursor>) -> Option<Vec<u8>> {
    const REST_MAX: usize = 16;
    after.map(|Cursor(rest)| [prefix, &rest[..rest.len().min(REST_MAX)]].concat())
}

fn lines(rows: &(impl Rows + ?Sized), keys: Vec<String>) -> Result<Vec<Line>, StoreError> {
    let mut names = Names::default();
    let line = |key: String| {
        let gone = || rows::damaged("list", &format!("post {key} is not there"));
        let post = read::post(rows, &key)?.ok_or_else(gone)?;
        let author = names.of(rows, post.user)?;
        Ok(Line { post, author })
    };
    keys.into_iter().map(line).collect()
}

/// Names of users, each read once.
#[derive(Default)]
struct Names(BTreeMap<UserId, String>);

impl Names {
    fn of(&mut self, rows: &(impl Rows + ?Sized), id: UserId) -> Result<String, StoreError> {
        if let Some(name) = self.0.get(&id) {
            return Ok(name.clone());
        }
        let gone = || rows::damaged("user", &format!("{id} is not there"));
        let user = read::user(rows, id)?.ok_or_else(gone)?;
        self.0.insert(id, user.name.clone());
        Ok(user.name)
    }
}
