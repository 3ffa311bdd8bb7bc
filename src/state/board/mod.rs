//! The link board: accounts, log-ins, posts, likes, comments, and what moderators did.
//!
//! What can be done is data ([`Act`]); what came of it is a [`Told`]. Who does it is said by a log-in
//! ([`LoginId`]) and checked when the entry is applied, so that a log-in which has ended, on whichever
//! node, can do nothing any more, however late the news of that is elsewhere.
//!
//! Nothing here sees a password or a token: passwords come as argon2id strings and tokens as their
//! SHA-256, made by the node that took the request. Users, comments and the moderators' log are named by
//! the revision that made them, and a revision is never given twice, not even over a restore: so no user
//! ever gets another's number.
//!
//! - [`clerk`](Clerk): what every act has in common: who does it, and the rows that it changes;
//! - `accounts`, `posts`, `comments`, `moderation`: what each of them does;
//! - `shelf`: the one place that writes a post, and all that hangs on it;
//! - `limits`: what may be done only so often; `bounds`: what may be said at all;
//! - [`hot`](hot_ms): what is ranked how;
//! - [`read`](post) and [`lists`](page): what can be asked of a view; `rows`: how all of it looks there.

mod accounts;
mod bounds;
mod clerk;
mod comments;
mod counters;
mod hot;
mod limits;
mod lists;
mod moderation;
mod posts;
mod read;
mod rows;
mod shelf;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub(super) use clerk::Clerk;
pub use counters::Counters;
pub use hot::hot_ms;
pub use limits::attempt_wait_ms;
pub use lists::{Cursor, Line, LogPage, Page, Thread, comments, moderation, page};
pub use read::{comment, is_liked, login, logins_of, moderators, post, user, user_named};

/// Names a user: the revision that made the account.
pub type UserId = u64;
/// Names a comment: the revision that made it.
pub type CommentId = u64;
/// Names a log-in: the SHA-256 of its token, which only the browser has.
pub type LoginId = [u8; 32];

/// Characters of a user's name: ASCII letters, digits, `-` and `_`; one name whatever the case.
pub const NAME_LEN: std::ops::RangeInclusive<usize> = 2..=24;
/// Characters of a post's title.
pub const TITLE_LEN_MAX: usize = 150;
/// Characters of a comment, and of a moderator's reason.
pub const TEXT_LEN_MAX: usize = 5_000;
/// How long an own post or comment can be edited and deleted, in ms of the state's clock.
pub const EDIT_MS: u64 = 6 * 3_600_000;
/// How long a URL leads to its earlier post, in ms of the state's clock.
pub const REPOST_MS: u64 = 30 * 24 * 3_600_000;
/// How long a log-in lasts that is not used for anything but reading, in ms of the state's clock.
pub const LOGIN_MS: u64 = 30 * 24 * 3_600_000;
/// Comments that may ever be made about a post: those that were taken away count, for their rows stay.
pub const COMMENTS_MAX: u64 = 2_000;
/// Log-ins that a user may have; another one ends the oldest.
pub const LOGINS_MAX: usize = 50;

/// Something that is done to the board.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Act {
    /// Asks whether an attempt to log in or sign up is allowed now, and counts it.
    Attempt {
        /// At what.
        what: Attempt,
        /// Where it comes from, as the limits count it: four bytes of IPv4 or the first eight of IPv6.
        address: Bytes,
    },
    /// Makes an account, and logs in.
    SignUp {
        /// The name as it will be shown.
        name: String,
        /// argon2id string.
        password: String,
        /// The log-in.
        login: LoginId,
        /// The log-in that the browser gives up for it, whoever's that is: its token is forgotten.
        replaces: Option<LoginId>,
    },
    /// Logs in. The password was checked already, against `password`, which must still be the account's.
    LogIn {
        /// The user.
        user: UserId,
        /// argon2id string that the password was found to match.
        password: String,
        /// The log-in.
        login: LoginId,
        /// As of [`Act::SignUp`].
        replaces: Option<LoginId>,
        /// As of [`Act::Attempt`]: its attempts under the name are given back, and the name's.
        address: Bytes,
    },
    /// Ends one log-in.
    LogOut {
        /// Which.
        login: LoginId,
    },
    /// Ends all log-ins of whoever this log-in is of.
    LogOutEverywhere {
        /// One of them.
        login: LoginId,
    },
    /// Changes the password, and ends all other log-ins.
    ChangePassword {
        /// Who.
        login: LoginId,
        /// argon2id string that the old password was found to match.
        old: String,
        /// argon2id string of the new one.
        new: String,
    },
    /// Posts a link, unless its URL was posted in the last 30 days.
    Post {
        /// Who.
        login: LoginId,
        /// What it is called.
        title: String,
        /// Where it leads: a URL in its stored form.
        url: Bytes,
        /// The URL as duplicates are recognised by it: see the HTTP layer's normaliser.
        normal: Bytes,
        /// The URL's host, lowercase, without `www.`.
        host: String,
    },
    /// Gives an own post another title.
    Retitle {
        /// Who.
        login: LoginId,
        /// Which post.
        post: String,
        /// What it is called from now on.
        title: String,
    },
    /// Deletes an own post.
    Delete {
        /// Who.
        login: LoginId,
        /// Which post.
        post: String,
    },
    /// Likes a post, or does no longer.
    Like {
        /// Who.
        login: LoginId,
        /// Which post.
        post: String,
        /// Whether it is to be liked from now on.
        on: bool,
    },
    /// Says something about a post.
    Comment {
        /// Who.
        login: LoginId,
        /// Which post.
        post: String,
        /// What it answers; its thread goes on, so that there is one level of answers.
        parent: Option<CommentId>,
        /// What is said.
        text: String,
    },
    /// Takes a comment away: one's own for a while, anybody's for a moderator.
    RemoveComment {
        /// Who.
        login: LoginId,
        /// Of which post.
        post: String,
        /// Which comment.
        comment: CommentId,
        /// Why; for the log when it is a moderator's doing.
        reason: String,
    },
    /// A moderator hides a post, or shows it again.
    Hide {
        /// Who.
        login: LoginId,
        /// Which post.
        post: String,
        /// Whether it is hidden from now on.
        hidden: bool,
        /// Why.
        reason: String,
    },
    /// A moderator disables a user, which ends all log-ins, or enables one again.
    Disable {
        /// Who.
        login: LoginId,
        /// Whom.
        name: String,
        /// Whether the user is disabled from now on.
        disabled: bool,
        /// Why.
        reason: String,
    },
    /// Makes a user a moderator, or takes that back.
    Appoint {
        /// The moderator who does it; none for an operator at a machine of the cluster.
        by: Option<LoginId>,
        /// Whom.
        name: String,
        /// Whether the user is a moderator from now on.
        moderator: bool,
    },
}

impl Act {
    /// The log-in that it is done in, without which it is refused; none when it needs none.
    #[must_use]
    pub fn login(&self) -> Option<&LoginId> {
        match self {
            Self::Attempt { .. }
            | Self::SignUp { .. }
            | Self::LogIn { .. }
            | Self::LogOut { .. } => None,
            Self::Appoint { by, .. } => by.as_ref(),
            Self::LogOutEverywhere { login }
            | Self::ChangePassword { login, .. }
            | Self::Post { login, .. }
            | Self::Retitle { login, .. }
            | Self::Delete { login, .. }
            | Self::Like { login, .. }
            | Self::Comment { login, .. }
            | Self::RemoveComment { login, .. }
            | Self::Hide { login, .. }
            | Self::Disable { login, .. } => Some(login),
        }
    }
}

/// What may be attempted only so often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Attempt {
    /// Logging in under this name, in whatever case, whether it exists or not.
    LogIn(String),
    /// Signing up.
    SignUp,
}

/// What came of an act.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Told {
    /// It is done (or stood so already).
    Done,
    /// The account is there, and the log-in.
    SignedUp(UserId),
    /// The post is there.
    Posted(String),
    /// Nothing was done: the URL was posted lately, as this post.
    PostedBefore(String),
    /// The post has so many likes now.
    Likes(u64),
    /// The comment is there.
    Commented(CommentId),
    /// So many log-ins have ended.
    LoggedOut(u64),
    /// Nothing was done.
    Refused(Refusal),
}

/// Why nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// Too often; it makes sense to try again after this many ms.
    TooOften(u64),
    /// The name is another user's.
    NameTaken,
    /// The log-in has ended, or never was.
    LoggedOut,
    /// The password was changed in the meantime.
    PasswordChanged,
    /// The user is disabled.
    Disabled,
    /// There is no such user.
    NoUser,
    /// There is no such post (any more).
    NoPost,
    /// There is no such comment (any more).
    NoComment,
    /// It is somebody else's.
    NotYours,
    /// The time in which it could be edited is over.
    TooLate,
    /// Only moderators can do that.
    NotModerator,
    /// The post has as many comments as it may have.
    Full,
}

/// An account as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Its number.
    pub id: UserId,
    /// Its name as it was typed.
    pub name: String,
    /// argon2id string.
    pub password: String,
    /// Wall clock when it was made, in ms since 1970.
    pub wall_ms: u64,
    /// Whether it is a moderator.
    pub moderator: bool,
    /// Whether a moderator has disabled it.
    pub disabled: bool,
    /// Number of posts that are shown.
    pub posts: u64,
    /// Likes that these posts have.
    pub likes: u64,
}

/// A log-in as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    /// Whose.
    pub user: UserId,
    /// Wall clock when it was made, in ms since 1970.
    pub wall_ms: u64,
    /// When it ends: ms of the state's clock.
    pub expires_ms: u64,
}

/// Whether a post or comment is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// For everybody.
    Shown,
    /// Its author has taken it away.
    Deleted,
    /// A moderator has.
    Hidden,
}

/// A post as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Post {
    /// Its name, which is the short link's key.
    pub key: String,
    /// Who posted it.
    pub user: UserId,
    /// What it is called.
    pub title: String,
    /// Where it leads.
    pub url: Bytes,
    /// As duplicates are recognised.
    pub normal: Bytes,
    /// The URL's host.
    pub host: String,
    /// The revision that made it.
    pub revision: u64,
    /// The state's clock when it was posted, in ms: what may be done for how long.
    pub clock_ms: u64,
    /// The wall clock then, in ms since 1970: what is shown, and ranked by.
    pub wall_ms: u64,
    /// The wall clock when its title was changed last.
    pub edited_ms: Option<u64>,
    /// Users who like it.
    pub likes: u64,
    /// Comments that are shown.
    pub comments: u64,
    /// Comments that were ever made, those that were taken away too; at most [`COMMENTS_MAX`].
    pub said: u64,
    /// Whether it is there. Of what is not, lists know nothing, and its short link is gone.
    pub standing: Standing,
}

/// A comment as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comment {
    /// Its number.
    pub id: CommentId,
    /// The comment that its thread begins with; its own number for that one.
    pub thread: CommentId,
    /// Who says it.
    pub user: UserId,
    /// What is said; empty when it was taken away.
    pub text: String,
    /// The state's clock when it was said, in ms.
    pub clock_ms: u64,
    /// The wall clock then, in ms since 1970.
    pub wall_ms: u64,
    /// Whether it is there.
    pub standing: Standing,
}

/// What a moderator (or an operator) did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moderated {
    /// The revision that did it.
    pub revision: u64,
    /// The wall clock then, in ms since 1970.
    pub wall_ms: u64,
    /// Who; none for an operator at a machine of the cluster.
    pub by: Option<UserId>,
    /// What.
    pub deed: Deed,
    /// Why; may be empty.
    pub reason: String,
}

/// What moderators do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Deed {
    /// Hid this post.
    Hid(String),
    /// Showed this post again.
    Showed(String),
    /// Took a comment of this post away.
    RemovedComment(String, CommentId),
    /// Disabled this user.
    Disabled(UserId),
    /// Enabled this user again.
    Enabled(UserId),
    /// Made this user a moderator.
    Appointed(UserId),
    /// Made this user a moderator no longer.
    Dismissed(UserId),
}

/// Which posts, and in which order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum List {
    /// By likes and age.
    Hot,
    /// The newest first.
    Newest,
    /// Those of the last time, by likes.
    Top(Span),
    /// A user's, the newest first.
    Of(UserId),
    /// A host's, the newest first.
    Host(String),
}

/// How far back a list of the best goes, from the wall clock of the last entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// 24 hours.
    Day,
    /// 7 days.
    Week,
    /// 365 days.
    Year,
}

#[cfg(test)]
mod tests;
