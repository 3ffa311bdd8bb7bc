//! What moderators do, and the log of it that everybody can read.

use super::clerk::{Clerk, Done};
use super::{
    Deed, LoginId, Moderated, Post, Refusal, Standing, Told, User, UserId, read, rows, user_named,
};
use crate::storage::Table;

impl<T: Table> Clerk<'_, T> {
    pub(super) fn hide(
        &mut self,
        login: &LoginId,
        key: &str,
        hidden: bool,
        reason: String,
    ) -> Done<Told> {
        let by = self.moderator(login)?.id;
        let post = read::post(self.ledger.rows(), key)?.ok_or(Refusal::NoPost)?;
        let (standing, deed) = match hidden {
            true => (Standing::Hidden, Deed::Hid(post.key.clone())),
            false => (Standing::Shown, Deed::Showed(post.key.clone())),
        };
        if post.standing == Standing::Deleted {
            return Err(Refusal::NoPost.into());
        }
        if post.standing != standing {
            self.shelve(Some(&post), &Post { standing, ..post.clone() })?;
            self.note(Some(by), deed, reason);
        }
        Ok(Told::Done)
    }

    pub(super) fn disable(
        &mut self,
        login: &LoginId,
        name: &str,
        disabled: bool,
        reason: String,
    ) -> Done<Told> {
        let by = self.moderator(login)?.id;
        let user = self.named(name)?;
        let id = user.id;
        if user.disabled != disabled {
            self.save_user(&User { disabled, ..user })?;
            if disabled {
                self.end_logins(id, None)?;
            }
            let deed = if disabled { Deed::Disabled(id) } else { Deed::Enabled(id) };
            self.note(Some(by), deed, reason);
        }
        Ok(Told::Done)
    }

    pub(super) fn appoint(
        &mut self,
        by: Option<&LoginId>,
        name: &str,
        moderator: bool,
    ) -> Done<Told> {
        let by = by.map(|login| self.moderator(login)).transpose()?.map(|user| user.id);
        let user = self.named(name)?;
        let id = user.id;
        if user.moderator != moderator {
            self.save_user(&User { moderator, ..user })?;
            let row_key = rows::moderator(id);
            match moderator {
                true => self.insert(&row_key, rows::there()),
                false => self.remove(&row_key, rows::THERE),
            }
            let deed = if moderator { Deed::Appointed(id) } else { Deed::Dismissed(id) };
            self.note(by, deed, String::new());
        }
        Ok(Told::Done)
    }

    /// Writes down what this act does.
    pub(super) fn note(&mut self, by: Option<UserId>, deed: Deed, reason: String) {
        let (revision, wall_ms) = (self.revision, self.at.wall_ms);
        let moderated = Moderated { revision, wall_ms, by, deed, reason };
        self.insert(&rows::deed(revision), rows::encode(&moderated));
    }

    fn moderator(&mut self, login: &LoginId) -> Done<User> {
        let user = self.who(login)?;
        if user.moderator { Ok(user) } else { Err(Refusal::NotModerator.into()) }
    }

    fn named(&self, name: &str) -> Done<User> {
        Ok(user_named(self.ledger.rows(), name)?.ok_or(Refusal::NoUser)?)
    }
}
