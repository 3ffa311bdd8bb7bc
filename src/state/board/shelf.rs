//! The one place that writes a post, with all that hangs on it.
//!
//! A post's row is never alone: lists find it by rows of their own, its short link leads or is gone, and
//! its author and the board count it, while it is shown. [`Clerk::shelve`] is told what was and what is to
//! be, and brings all of that along, so that no other code can forget a part.

use super::clerk::Clerk;
use super::{Post, Standing, rows};
use crate::state::links::{self, Link};
use crate::state::{row_key, table};
use crate::storage::{StoreError, Table};

/// What a post counts for.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Share {
    posts: u64,
    likes: u64,
}

impl Share {
    fn of(post: &Post) -> Self {
        match post.standing {
            Standing::Shown => Self { posts: 1, likes: post.likes },
            Standing::Deleted | Standing::Hidden => Self::default(),
        }
    }
}

impl<T: Table> Clerk<'_, T> {
    /// Makes a post what it is to be from what it was.
    pub(super) fn shelve(&mut self, old: Option<&Post>, new: &Post) -> Result<(), StoreError> {
        let before = old.map(rows::listings).unwrap_or_default();
        let after = rows::listings(new);
        for (key, value) in before.iter().filter(|row| !after.contains(row)) {
            self.remove(key, value);
        }
        for (key, value) in after.iter().filter(|row| !before.contains(row)) {
            self.insert(key, value.clone());
        }
        self.relink(old, new)?;
        self.count(old, new)?;
        self.put(&rows::post(&new.key), rows::encode(new))
    }

    /// Has the short link be gone or lead.
    fn relink(&mut self, old: Option<&Post>, new: &Post) -> Result<(), StoreError> {
        let link = |post: &Post| match post.standing {
            Standing::Shown => Link::Owned(post.url.clone()),
            Standing::Deleted | Standing::Hidden => Link::Gone,
        };
        let row_key = row_key(table::LINKS, new.key.as_bytes());
        match old.map(link) {
            None => self.insert(&row_key, links::encode(&link(new), self.at)),
            Some(was) if was != link(new) => {
                let gone = || rows::damaged("post", "its link is not there");
                let row = self.ledger.get(&row_key)?.ok_or_else(gone)?;
                self.put(&row_key, links::restate(&row, &link(new))?)?;
            }
            Some(_) => {}
        }
        Ok(())
    }

    /// Brings along what is counted of the post.
    fn count(&mut self, old: Option<&Post>, new: &Post) -> Result<(), StoreError> {
        let (was, is) = (old.map(Share::of).unwrap_or_default(), Share::of(new));
        if was == is {
            return Ok(());
        }
        let mut author = self.user(new.user)?;
        recount(&mut author.posts, was.posts, is.posts)?;
        recount(&mut author.likes, was.likes, is.likes)?;
        recount(&mut self.counters.posts, was.posts, is.posts)?;
        recount(self.links, was.posts, is.posts)?;
        self.save_user(&author)
    }
}

/// Brings a sum along when one part of it changes.
fn recount(sum: &mut u64, from: u64, to: u64) -> Result<(), StoreError> {
    let others = sum.checked_sub(from);
    let damaged = || rows::damaged("post", "it is not among those that are counted");
    *sum = others.ok_or_else(damaged)?.saturating_add(to);
    Ok(())
}
