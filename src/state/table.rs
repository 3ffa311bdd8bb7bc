//! The first byte of every row key: which table the row is in.
//!
//! What a table's rows look like is said where they are written. A number is never used for anything
//! else again.

/// Short links, by key.
pub(crate) const LINKS: u8 = 1;
/// Keys of the key-value store.
pub(crate) const KEYS: u8 = 2;
/// Marks of keys that were removed.
pub(crate) const MARKS: u8 = 3;
/// The same in the order of removal.
pub(crate) const MARK_ORDER: u8 = 4;
/// Sessions that can hold locks.
pub(crate) const SESSIONS: u8 = 5;
/// Which keys each of them holds.
pub(crate) const LOCKS: u8 = 6;
/// Keys whose locks cannot be taken for a while.
pub(crate) const DELAYS: u8 = 7;
/// What ends by itself, in the order of time.
pub(crate) const DEADLINES: u8 = 8;
/// Users of the board, by number.
pub(crate) const USERS: u8 = 9;
/// Their numbers, by name.
pub(crate) const NAMES: u8 = 10;
/// Those of them who are moderators.
pub(crate) const MODERATORS: u8 = 11;
/// Log-ins.
pub(crate) const LOGINS: u8 = 12;
/// Which log-ins each user has.
pub(crate) const LOGINS_OF: u8 = 13;
/// How much was done of what may be done only so often.
pub(crate) const LIMITS: u8 = 14;
/// Posts, by key.
pub(crate) const POSTS: u8 = 15;
/// Which post a URL leads to that is posted again.
pub(crate) const POSTED: u8 = 16;
/// Who likes which post.
pub(crate) const LIKES: u8 = 17;
/// Posts that are shown, by likes and age.
pub(crate) const HOT: u8 = 18;
/// Posts that are shown, the newest first.
pub(crate) const NEWEST: u8 = 19;
/// Posts that are shown, by the time of which they are and by likes.
pub(crate) const TOP: u8 = 20;
/// Posts that are shown, by user.
pub(crate) const POSTS_OF: u8 = 21;
/// Posts that are shown, by host.
pub(crate) const HOSTS: u8 = 22;
/// Comments, by post and thread.
pub(crate) const COMMENTS: u8 = 23;
/// Which thread a comment is in.
pub(crate) const THREADS: u8 = 24;
/// What moderators did, the latest first.
pub(crate) const DEEDS: u8 = 25;
/// Keys that clients put writes under.
pub(crate) const ONCE: u8 = 0xf0;
/// The same in the order of their first use.
pub(crate) const ONCE_ORDER: u8 = 0xf1;
/// Never a row: all of the state that is a number, as the digest sees it.
pub(crate) const SCALARS: u8 = 0xfe;
/// Never a row: the exactly-once table, as the digest sees it.
pub(crate) const WRITES: u8 = 0xff;
