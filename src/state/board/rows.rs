//! Rows of the board: where they stand and how they look.
//!
//! | table       | key within the table                     | value                            |
//! |-------------|------------------------------------------|----------------------------------|
//! | `USERS`     | user                                     | [`User`]                         |
//! | `NAMES`     | name in small letters                    | user                             |
//! | `MODERATORS`| user                                     |                                  |
//! | `LOGINS`    | log-in                                   | [`Login`]                        |
//! | `LOGINS_OF` | user, log-in                             | revision that made it            |
//! | `LIMITS`    | kind of limit, whose                     | when nothing of it is used up    |
//! | `POSTS`     | post's key                               | [`Post`]                         |
//! | `POSTED`    | SHA-256 of a URL's normal form           | when, key of the latest post     |
//! | `LIKES`     | post's key, 0, user                      |                                  |
//! | `HOT`       | ¬[`hot_ms`], ¬revision                   | post's key                       |
//! | `NEWEST`    | ¬revision                                | post's key                       |
//! | `TOP`       | width, number of the time, ¬likes, ¬revision | wall clock, post's key       |
//! | `POSTS_OF`  | user, ¬revision                          | post's key                       |
//! | `HOSTS`     | SHA-256 of the host, ¬revision           | post's key                       |
//! | `COMMENTS`  | post's key, 0, thread, comment           | [`Comment`]                      |
//! | `THREADS`   | post's key, 0, comment                   | thread                           |
//! | `DEEDS`     | ¬revision                                | [`Moderated`]                    |
//!
//! Values begin with a version byte, which is 1; structures are MessagePack. Numbers are `u64`,
//! big-endian in keys and little-endian in values; ¬ is the complement, so that what is highest comes
//! first. A post that is shown has one row in each of `HOT`, `NEWEST`, `POSTS_OF`, `HOSTS` and two in
//! `TOP`, of days and of months of 30 days; one that is not has none, so that lists never look at it.
//!
//! Names that could be of any length are hashed, and a post's key has no zero in it: so every row key is
//! short, and no two things share one.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::{Comment, CommentId, Login, LoginId, Moderated, Post, Standing, User, UserId, hot_ms};
use crate::state::{row_key, table};
use crate::storage::StoreError;

const VERSION: u8 = 1;
/// The value of a row that says everything by being there.
pub(super) const THERE: &[u8] = &[VERSION];

/// [`THERE`], to be written.
pub(super) fn there() -> Bytes {
    Bytes::from_static(THERE)
}

/// How long the times are in which the best posts are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    Day,
    Month,
}

impl Width {
    /// The number of the time that this is in.
    pub(super) fn number(self, wall_ms: u64) -> u64 {
        const DAY_MS: u64 = 24 * 3_600_000;
        match self {
            Self::Day => wall_ms / DAY_MS,
            Self::Month => wall_ms / (30 * DAY_MS),
        }
    }

    fn byte(self) -> u8 {
        match self {
            Self::Day => 1,
            Self::Month => 30,
        }
    }
}

/// A row key of these parts, one behind the other.
fn key(table: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = row_key(table, &[]);
    parts.iter().for_each(|part| key.extend_from_slice(part));
    key
}

/// Puts what is highest first.
fn falling(number: u64) -> [u8; 8] {
    (!number).to_be_bytes()
}

pub(super) fn user(id: UserId) -> Vec<u8> {
    row_key(table::USERS, &id.to_be_bytes())
}

pub(super) fn name(name: &str) -> Vec<u8> {
    row_key(table::NAMES, name.to_ascii_lowercase().as_bytes())
}

pub(super) fn moderator(id: UserId) -> Vec<u8> {
    row_key(table::MODERATORS, &id.to_be_bytes())
}

pub(super) fn moderators() -> Vec<u8> {
    row_key(table::MODERATORS, &[])
}

pub(super) fn login(id: &LoginId) -> Vec<u8> {
    row_key(table::LOGINS, id)
}

pub(super) fn login_of(user: UserId, id: &LoginId) -> Vec<u8> {
    key(table::LOGINS_OF, &[&user.to_be_bytes(), id])
}

pub(super) fn logins_of(user: UserId) -> Vec<u8> {
    row_key(table::LOGINS_OF, &user.to_be_bytes())
}

pub(super) fn limit(name: &[u8]) -> Vec<u8> {
    row_key(table::LIMITS, name)
}

pub(super) fn post(key: &str) -> Vec<u8> {
    row_key(table::POSTS, key.as_bytes())
}

pub(super) fn posted(normal: &[u8]) -> Vec<u8> {
    row_key(table::POSTED, &Sha256::digest(normal))
}

pub(super) fn like(post: &str, user: UserId) -> Vec<u8> {
    key(table::LIKES, &[post.as_bytes(), &[0], &user.to_be_bytes()])
}

pub(super) fn hot() -> Vec<u8> {
    row_key(table::HOT, &[])
}

pub(super) fn newest() -> Vec<u8> {
    row_key(table::NEWEST, &[])
}

/// What the row keys of the posts of one time begin with.
pub(super) fn top(width: Width, number: u64) -> Vec<u8> {
    key(table::TOP, &[&[width.byte()], &number.to_be_bytes()])
}

/// Behind all times of this width.
pub(super) fn top_end(width: Width) -> Vec<u8> {
    key(table::TOP, &[&[width.byte() + 1]])
}

/// The time in a row key of a post of that time.
pub(super) fn top_number(row: &[u8]) -> Result<u64, StoreError> {
    let at = key(table::TOP, &[&[0]]).len();
    let number = row.get(at..).and_then(|rest| rest.first_chunk());
    number.map(|number| u64::from_be_bytes(*number)).ok_or_else(|| damaged("list", "its key"))
}

pub(super) fn posts_of(user: UserId) -> Vec<u8> {
    row_key(table::POSTS_OF, &user.to_be_bytes())
}

pub(super) fn host(host: &str) -> Vec<u8> {
    row_key(table::HOSTS, &Sha256::digest(host))
}

/// Keys and values of the rows by which lists find a post: none when it is not shown.
pub(super) fn listings(post: &Post) -> Vec<(Vec<u8>, Bytes)> {
    if post.standing != Standing::Shown {
        return Vec::new();
    }
    let revision = falling(post.revision);
    let hot = falling(hot_ms(post.wall_ms, post.likes));
    let top = |width: Width| {
        let time = top(width, width.number(post.wall_ms));
        [&time[..], &falling(post.likes), &revision].concat()
    };
    let key = encode_text(&post.key);
    let timed = encode_timed(post.wall_ms, &post.key);
    vec![
        ([&self::hot()[..], &hot, &revision].concat(), key.clone()),
        ([&newest()[..], &revision].concat(), key.clone()),
        (top(Width::Day), timed.clone()),
        (top(Width::Month), timed),
        ([&posts_of(post.user)[..], &revision].concat(), key.clone()),
        ([&host(&post.host)[..], &revision].concat(), key),
    ]
}

pub(super) fn comments(post: &str) -> Vec<u8> {
    key(table::COMMENTS, &[post.as_bytes(), &[0]])
}

pub(super) fn comment(post: &str, thread: CommentId, id: CommentId) -> Vec<u8> {
    [&comments(post)[..], &thread.to_be_bytes(), &id.to_be_bytes()].concat()
}

pub(super) fn thread(post: &str, id: CommentId) -> Vec<u8> {
    key(table::THREADS, &[post.as_bytes(), &[0], &id.to_be_bytes()])
}

pub(super) fn deeds() -> Vec<u8> {
    row_key(table::DEEDS, &[])
}

pub(super) fn deed(revision: u64) -> Vec<u8> {
    row_key(table::DEEDS, &falling(revision))
}

/// What is kept as a structure.
pub(super) trait Record: Serialize + DeserializeOwned {
    /// What it is called when its row is damaged.
    const NAME: &str;
}

impl Record for User {
    const NAME: &str = "user";
}

impl Record for Login {
    const NAME: &str = "log-in";
}

impl Record for Post {
    const NAME: &str = "post";
}

impl Record for Comment {
    const NAME: &str = "comment";
}

impl Record for Moderated {
    const NAME: &str = "moderators' log";
}

pub(super) fn encode<R: Record>(record: &R) -> Bytes {
    let mut row = THERE.to_vec();
    rmp_serde::encode::write(&mut row, record).expect("a Vec takes every plain value");
    row.into()
}

pub(super) fn decode<R: Record>(row: &[u8]) -> Result<R, StoreError> {
    rmp_serde::from_slice(body(R::NAME, row)?).map_err(|why| damaged(R::NAME, &why.to_string()))
}

pub(super) fn encode_number(number: u64) -> Bytes {
    [THERE, &number.to_le_bytes()].concat().into()
}

pub(super) fn decode_number(what: &str, row: &[u8]) -> Result<u64, StoreError> {
    match timed(what, row)? {
        (number, []) => Ok(number),
        _ => Err(damaged(what, "it is too long")),
    }
}

pub(super) fn encode_text(text: &str) -> Bytes {
    [THERE, text.as_bytes()].concat().into()
}

pub(super) fn decode_text(what: &str, row: &[u8]) -> Result<String, StoreError> {
    as_text(what, body(what, row)?)
}

pub(super) fn encode_timed(ms: u64, text: &str) -> Bytes {
    [THERE, &ms.to_le_bytes(), text.as_bytes()].concat().into()
}

pub(super) fn decode_timed(what: &str, row: &[u8]) -> Result<(u64, String), StoreError> {
    let (ms, text) = timed(what, row)?;
    Ok((ms, as_text(what, text)?))
}

fn timed<'a>(what: &str, row: &'a [u8]) -> Result<(u64, &'a [u8]), StoreError> {
    let (number, rest) =
        body(what, row)?.split_first_chunk().ok_or_else(|| damaged(what, "it is cut short"))?;
    Ok((u64::from_le_bytes(*number), rest))
}

fn as_text(what: &str, bytes: &[u8]) -> Result<String, StoreError> {
    let text = std::str::from_utf8(bytes).map_err(|_| damaged(what, "it is no text"))?;
    Ok(text.to_owned())
}

fn body<'a>(what: &str, row: &'a [u8]) -> Result<&'a [u8], StoreError> {
    row.strip_prefix(THERE).ok_or_else(|| damaged(what, "its version is not known"))
}

/// What stands for a name, whatever its case, where it may be of any length.
pub(super) fn hash_of_name(name: &str) -> [u8; 32] {
    Sha256::digest(name.to_ascii_lowercase()).into()
}

/// The row of such a thing, or one that must be there when it is, is not as it must be.
pub(super) fn damaged(what: &str, why: &str) -> StoreError {
    StoreError::damaged(format!("row of a {what} of the board: {why}"))
}
