//! What is said about posts.

use super::clerk::{Clerk, Done};
use super::limits::Limit;
use super::{
    COMMENTS_MAX, Comment, CommentId, Deed, LoginId, Post, Refusal, Standing, Told, read, rows,
};
use crate::storage::Table;

impl<T: Table> Clerk<'_, T> {
    pub(super) fn comment(
        &mut self,
        login: &LoginId,
        key: &str,
        parent: Option<CommentId>,
        text: String,
    ) -> Done<Told> {
        let user = self.who(login)?.id;
        let post = self.shown_post(key)?;
        let id = self.revision;
        let thread = match parent {
            Some(parent) => self.shown_comment(key, parent)?.thread,
            None => id,
        };
        if post.said >= COMMENTS_MAX {
            return Err(Refusal::Full.into());
        }
        self.charge(&[(Limit::Comments, &user.to_be_bytes())])?;
        let (clock_ms, wall_ms) = (self.at.clock_ms, self.at.wall_ms);
        let comment =
            Comment { id, thread, user, text, clock_ms, wall_ms, standing: Standing::Shown };
        self.insert(&rows::comment(key, thread, id), rows::encode(&comment));
        self.insert(&rows::thread(key, id), rows::encode_number(thread));
        self.counters.comments += 1;
        let (comments, said) = (post.comments + 1, post.said + 1);
        self.shelve(Some(&post), &Post { comments, said, ..post.clone() })?;
        Ok(Told::Commented(id))
    }

    pub(super) fn remove_comment(
        &mut self,
        login: &LoginId,
        key: &str,
        id: CommentId,
        reason: String,
    ) -> Done<Told> {
        let user = self.who(login)?;
        let post = self.shown_post(key)?;
        let comment = self.shown_comment(key, id)?;
        let (is_own, is_late) = (comment.user == user.id, self.is_too_late(comment.clock_ms));
        let standing = match () {
            () if is_own && !is_late => Standing::Deleted,
            () if user.moderator => Standing::Hidden,
            () if is_own => return Err(Refusal::TooLate.into()),
            () => return Err(Refusal::NotYours.into()),
        };
        let thread = comment.thread;
        let removed = Comment { text: String::new(), standing, ..comment };
        self.put(&rows::comment(key, thread, id), rows::encode(&removed))?;
        let uncounted = || rows::damaged("comment", "its post does not count it");
        let comments = post.comments.checked_sub(1).ok_or_else(uncounted)?;
        self.counters.comments = self.counters.comments.checked_sub(1).ok_or_else(uncounted)?;
        self.shelve(Some(&post), &Post { comments, ..post.clone() })?;
        if standing == Standing::Hidden {
            self.note(Some(user.id), Deed::RemovedComment(post.key, id), reason);
        }
        Ok(Told::Done)
    }

    /// A comment that is there for everybody.
    fn shown_comment(&self, key: &str, id: CommentId) -> Done<Comment> {
        let comment = read::comment(self.ledger.rows(), key, id)?;
        let shown = comment.filter(|comment| comment.standing == Standing::Shown);
        Ok(shown.ok_or(Refusal::NoComment)?)
    }
}
