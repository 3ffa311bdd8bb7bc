//! Posts, and who likes them.

use bytes::Bytes;

use super::clerk::{Clerk, Done};
use super::limits::Limit;
use super::{EDIT_MS, LoginId, Post, REPOST_MS, Refusal, Standing, Told, UserId, read, rows};
use crate::state::links;
use crate::storage::{StoreError, Table};

/// What the hash begins with that gives a post its key, so that it is no shared link's.
const KEY_SEED: &[u8] = b"bowline post\0";

impl<T: Table> Clerk<'_, T> {
    pub(super) fn post(
        &mut self,
        login: &LoginId,
        title: String,
        url: Bytes,
        normal: Bytes,
        host: String,
    ) -> Done<Told> {
        let user = self.who(login)?.id;
        if let Some(key) = self.posted_lately(&normal)? {
            return Ok(Told::PostedBefore(key));
        }
        self.charge(&[(Limit::Posts, &user.to_be_bytes())])?;
        let seed = [KEY_SEED, &self.at.index.to_le_bytes(), &url].concat();
        let key = links::first_free(self.ledger.rows(), links::keys(&seed))?;
        let post = Post {
            key,
            user,
            title,
            url,
            normal,
            host,
            revision: self.revision,
            clock_ms: self.at.clock_ms,
            wall_ms: self.at.wall_ms,
            edited_ms: None,
            likes: 0,
            comments: 0,
            said: 0,
            standing: Standing::Shown,
        };
        let posted = rows::encode_timed(post.clock_ms, &post.key);
        self.put(&rows::posted(&post.normal), posted)?;
        self.shelve(None, &post)?;
        Ok(Told::Posted(post.key))
    }

    pub(super) fn retitle(&mut self, login: &LoginId, key: &str, title: String) -> Done<Told> {
        let user = self.who(login)?.id;
        let post = self.own_post(user, key)?;
        if post.title != title {
            let edited_ms = Some(self.at.wall_ms);
            self.shelve(Some(&post), &Post { title, edited_ms, ..post.clone() })?;
        }
        Ok(Told::Done)
    }

    pub(super) fn delete_post(&mut self, login: &LoginId, key: &str) -> Done<Told> {
        let user = self.who(login)?.id;
        let post = self.own_post(user, key)?;
        self.shelve(Some(&post), &Post { standing: Standing::Deleted, ..post.clone() })?;
        Ok(Told::Done)
    }

    pub(super) fn like(&mut self, login: &LoginId, key: &str, on: bool) -> Done<Told> {
        let user = self.who(login)?.id;
        let post = self.shown_post(key)?;
        let row_key = rows::like(key, user);
        if read::is_liked(self.ledger.rows(), key, user)? == on {
            return Ok(Told::Likes(post.likes));
        }
        self.charge(&[(Limit::Likes, &user.to_be_bytes())])?;
        let likes = if on {
            self.insert(&row_key, rows::there());
            post.likes + 1
        } else {
            self.remove(&row_key, rows::THERE);
            let uncounted = || rows::damaged("like", "its post does not count it");
            post.likes.checked_sub(1).ok_or_else(uncounted)?
        };
        self.shelve(Some(&post), &Post { likes, ..post.clone() })?;
        Ok(Told::Likes(likes))
    }

    /// A post that is there for everybody.
    pub(super) fn shown_post(&self, key: &str) -> Done<Post> {
        let post = read::post(self.ledger.rows(), key)?;
        let shown = post.filter(|post| post.standing == Standing::Shown);
        Ok(shown.ok_or(Refusal::NoPost)?)
    }

    /// A post of this user that can still be edited.
    fn own_post(&self, user: UserId, key: &str) -> Done<Post> {
        let post = self.shown_post(key)?;
        if post.user != user {
            return Err(Refusal::NotYours.into());
        }
        if self.is_too_late(post.clock_ms) {
            return Err(Refusal::TooLate.into());
        }
        Ok(post)
    }

    /// Whether what was written then cannot be edited any more.
    pub(super) fn is_too_late(&self, written_ms: u64) -> bool {
        self.at.clock_ms >= written_ms.saturating_add(EDIT_MS)
    }

    /// The post that a URL leads to instead of being posted once more.
    fn posted_lately(&self, normal: &[u8]) -> Result<Option<String>, StoreError> {
        let Some(row) = self.ledger.get(&rows::posted(normal))? else { return Ok(None) };
        let (posted_ms, key) = rows::decode_timed("posted URL", &row)?;
        if self.at.clock_ms >= posted_ms.saturating_add(REPOST_MS) {
            return Ok(None);
        }
        let post = read::post(self.ledger.rows(), &key)?;
        let post = post.ok_or_else(|| rows::damaged("posted URL", "its post is not there"))?;
        Ok((post.standing == Standing::Shown).then_some(key))
    }
}
