//! What is done to posts: they are made, liked, talked about, and taken away.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bowline::state::board::{
    COMMENTS_MAX, CommentId, Deed, EDIT_MS, REPOST_MS, Refusal, Standing, Told, UserId,
};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::limits::Bucket;
use super::{Board, Moment};

/// A post with all that hangs on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    pub key: String,
    pub user: UserId,
    pub title: String,
    pub url: Bytes,
    pub normal: Bytes,
    pub host: String,
    pub revision: u64,
    pub clock_ms: u64,
    pub wall_ms: u64,
    pub edited_ms: Option<u64>,
    pub standing: Standing,
    pub likers: BTreeSet<UserId>,
    pub comments: BTreeMap<CommentId, Said>,
}

/// A comment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub thread: CommentId,
    pub user: UserId,
    pub text: String,
    pub clock_ms: u64,
    pub wall_ms: u64,
    pub standing: Standing,
}

impl Posted {
    pub fn is_shown(&self) -> bool {
        self.standing == Standing::Shown
    }
}

impl Board {
    pub(super) fn post(
        &mut self,
        at: Moment,
        revision: u64,
        user: UserId,
        (title, url, normal, host): (&str, &Bytes, &Bytes, &str),
    ) -> Result<Told, Refusal> {
        let lately = |post: &&Arc<Posted>| at.clock_ms - post.clock_ms < REPOST_MS;
        let same = self.posts.values().filter(|post| post.normal == *normal);
        let newest = same.max_by_key(|post| post.revision);
        if let Some(before) = newest.filter(lately).filter(|post| post.is_shown()) {
            return Ok(Told::PostedBefore(before.key.clone()));
        }
        self.take(at, &[Bucket::Posts(user)])?;
        let key = key(at.index, url);
        let posted = Posted {
            key: key.clone(),
            user,
            title: title.to_owned(),
            url: url.clone(),
            normal: normal.clone(),
            host: host.to_owned(),
            revision,
            clock_ms: at.clock_ms,
            wall_ms: at.wall_ms,
            edited_ms: None,
            standing: Standing::Shown,
            likers: BTreeSet::new(),
            comments: BTreeMap::new(),
        };
        assert!(self.posts.insert(key.clone(), posted.into()).is_none(), "a post's key twice");
        Ok(Told::Posted(key))
    }

    pub(super) fn retitle(
        &mut self,
        at: Moment,
        user: UserId,
        post: &str,
        title: &str,
    ) -> Result<Told, Refusal> {
        let post = self.own(at, user, post)?;
        if post.title == title {
            return Ok(Told::Done);
        }
        (post.title, post.edited_ms) = (title.to_owned(), Some(at.wall_ms));
        Ok(Told::Done)
    }

    pub(super) fn delete(&mut self, at: Moment, user: UserId, post: &str) -> Result<Told, Refusal> {
        self.own(at, user, post)?.standing = Standing::Deleted;
        Ok(Told::Done)
    }

    pub(super) fn like(
        &mut self,
        at: Moment,
        user: UserId,
        post: &str,
        on: bool,
    ) -> Result<Told, Refusal> {
        let likers = &self.shown(post)?.likers;
        let count = likers.len() as u64;
        if likers.contains(&user) == on {
            return Ok(Told::Likes(count));
        }
        self.take(at, &[Bucket::Likes(user)])?;
        let likers = &mut self.shown(post)?.likers;
        let changed = if on { likers.insert(user) } else { likers.remove(&user) };
        assert!(changed, "it was just looked up");
        Ok(Told::Likes(likers.len() as u64))
    }

    pub(super) fn comment(
        &mut self,
        at: Moment,
        revision: u64,
        user: UserId,
        (post, parent, text): (&str, Option<CommentId>, &str),
    ) -> Result<Told, Refusal> {
        let shown = self.shown(post)?;
        let thread = match parent {
            None => revision,
            Some(parent) => {
                let parent = shown.comments.get(&parent);
                let parent = parent.filter(|said| said.standing == Standing::Shown);
                parent.ok_or(Refusal::NoComment)?.thread
            }
        };
        // Those that were taken away count as well.
        if shown.comments.len() as u64 >= COMMENTS_MAX {
            return Err(Refusal::Full);
        }
        self.take(at, &[Bucket::Comments(user)])?;
        let said = Said {
            thread,
            user,
            text: text.to_owned(),
            clock_ms: at.clock_ms,
            wall_ms: at.wall_ms,
            standing: Standing::Shown,
        };
        self.shown(post)?.comments.insert(revision, said);
        Ok(Told::Commented(revision))
    }

    pub(super) fn remove_comment(
        &mut self,
        at: Moment,
        revision: u64,
        user: UserId,
        (post, id, reason): (&str, CommentId, &str),
    ) -> Result<Told, Refusal> {
        let moderator = self.users[&user].moderator;
        let said = self.shown(post)?.comments.get_mut(&id).ok_or(Refusal::NoComment)?;
        if said.standing != Standing::Shown {
            return Err(Refusal::NoComment);
        }
        let in_time = at.clock_ms - said.clock_ms < EDIT_MS;
        if said.user == user && in_time {
            said.standing = Standing::Deleted;
        } else if moderator {
            said.standing = Standing::Hidden;
        } else if said.user == user {
            return Err(Refusal::TooLate);
        } else {
            return Err(Refusal::NotYours);
        }
        said.text.clear();
        if said.standing == Standing::Hidden {
            let deed = Deed::RemovedComment(post.to_owned(), id);
            self.note(at, revision, Some(user), deed, reason);
        }
        Ok(Told::Done)
    }

    pub(super) fn hide(
        &mut self,
        at: Moment,
        revision: u64,
        by: UserId,
        (post, hidden, reason): (&str, bool, &str),
    ) -> Result<Told, Refusal> {
        let there = self.posts.get_mut(post).filter(|it| it.standing != Standing::Deleted);
        let there = Arc::make_mut(there.ok_or(Refusal::NoPost)?);
        if there.is_shown() != hidden {
            return Ok(Told::Done);
        }
        there.standing = if hidden { Standing::Hidden } else { Standing::Shown };
        let deed = if hidden { Deed::Hid(post.into()) } else { Deed::Showed(post.into()) };
        self.note(at, revision, Some(by), deed, reason);
        Ok(Told::Done)
    }

    fn shown(&mut self, post: &str) -> Result<&mut Posted, Refusal> {
        let post = self.posts.get_mut(post).filter(|post| post.is_shown());
        post.map(Arc::make_mut).ok_or(Refusal::NoPost)
    }

    /// An own post that may still be edited.
    fn own(&mut self, at: Moment, user: UserId, post: &str) -> Result<&mut Posted, Refusal> {
        let post = self.shown(post)?;
        if post.user != user {
            return Err(Refusal::NotYours);
        }
        if at.clock_ms - post.clock_ms >= EDIT_MS {
            return Err(Refusal::TooLate);
        }
        Ok(post)
    }
}

/// The name of the post that this entry of the log makes. None of a run share their beginning.
fn key(index: u64, url: &[u8]) -> String {
    let hash = Sha256::new().chain_update(b"bowline post\0").chain_update(index.to_le_bytes());
    URL_SAFE_NO_PAD.encode(hash.chain_update(url).finalize())[..8].to_owned()
}
