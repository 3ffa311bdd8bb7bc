//! Accounts and log-ins.

use super::clerk::{Clerk, Done};
use super::{
    LOGIN_MS, LOGINS_MAX, Login, LoginId, Refusal, Told, User, UserId, read, rows, user_named,
};
use crate::state::deadlines::Mortal;
use crate::storage::{StoreError, Table};

impl<T: Table> Clerk<'_, T> {
    pub(super) fn sign_up(
        &mut self,
        name: String,
        password: String,
        login: LoginId,
        replaces: Option<LoginId>,
    ) -> Done<Told> {
        if user_named(self.ledger.rows(), &name)?.is_some() {
            return Err(Refusal::NameTaken.into());
        }
        let user = User {
            id: self.revision,
            name,
            password,
            wall_ms: self.at.wall_ms,
            moderator: false,
            disabled: false,
            posts: 0,
            likes: 0,
        };
        self.insert(&rows::name(&user.name), rows::encode_number(user.id));
        self.insert(&rows::user(user.id), rows::encode(&user));
        self.counters.users += 1;
        self.start_login(user.id, login, replaces)?;
        Ok(Told::SignedUp(user.id))
    }

    pub(super) fn log_in(
        &mut self,
        id: UserId,
        password: &str,
        login: LoginId,
        replaces: Option<LoginId>,
        address: &[u8],
    ) -> Done<Told> {
        let user = read::user(self.ledger.rows(), id)?.ok_or(Refusal::NoUser)?;
        if user.password != password {
            return Err(Refusal::PasswordChanged.into());
        }
        if user.disabled {
            return Err(Refusal::Disabled.into());
        }
        self.start_login(id, login, replaces)?;
        self.forgive(&user.name, address)?;
        Ok(Told::Done)
    }

    /// Whatever the log-in is worth: nobody need be told that it had ended.
    pub(super) fn log_out(&mut self, login: &LoginId) -> Done<Told> {
        let ended = self.end_login(login)?;
        Ok(Told::LoggedOut(u64::from(ended)))
    }

    pub(super) fn log_out_everywhere(&mut self, login: &LoginId) -> Done<Told> {
        let user = self.who(login)?;
        let ended = self.end_logins(user.id, None)?;
        Ok(Told::LoggedOut(ended))
    }

    pub(super) fn change_password(
        &mut self,
        login: &LoginId,
        old: &str,
        new: String,
    ) -> Done<Told> {
        let user = self.who(login)?;
        if user.password != old {
            return Err(Refusal::PasswordChanged.into());
        }
        self.end_logins(user.id, Some(login))?;
        self.save_user(&User { password: new, ..user })?;
        Ok(Told::Done)
    }

    /// Logs a user in, in the place of another log-in if that is so. One who has many loses the oldest.
    fn start_login(
        &mut self,
        user: UserId,
        id: LoginId,
        replaces: Option<LoginId>,
    ) -> Result<(), StoreError> {
        // Nobody draws a token twice; should it happen, the new one counts.
        self.end_login(&id)?;
        if let Some(older) = replaces {
            self.end_login(&older)?;
        }
        let mut logins = read::logins(self.ledger.rows(), user)?;
        logins.sort_unstable();
        for (_, oldest) in logins.iter().take((logins.len() + 1).saturating_sub(LOGINS_MAX)) {
            self.end_login(oldest)?;
        }
        let expires_ms = self.deadline(LOGIN_MS);
        let login = Login { user, wall_ms: self.at.wall_ms, expires_ms };
        self.insert(&rows::login(&id), rows::encode(&login));
        self.insert(&rows::login_of(user, &id), rows::encode_number(self.revision));
        self.move_deadline(&Mortal::Login(id), None, Some(expires_ms));
        Ok(())
    }

    /// Ends a log-in, and tells whether it was there.
    pub(super) fn end_login(&mut self, id: &LoginId) -> Result<bool, StoreError> {
        let row_key = rows::login(id);
        let Some(row) = self.ledger.get(&row_key)? else { return Ok(false) };
        let login: Login = rows::decode(&row)?;
        self.remove(&row_key, &row);
        let of_user = rows::login_of(login.user, id);
        let gone = || rows::damaged("log-in", "its user does not know it");
        let row = self.ledger.get(&of_user)?.ok_or_else(gone)?;
        self.remove(&of_user, &row);
        self.move_deadline(&Mortal::Login(*id), Some(login.expires_ms), None);
        Ok(true)
    }

    /// Ends the log-ins of a user, but for one that is to stay, and tells how many.
    pub(super) fn end_logins(
        &mut self,
        user: UserId,
        but: Option<&LoginId>,
    ) -> Result<u64, StoreError> {
        let mut ended = 0;
        for (_, id) in read::logins(self.ledger.rows(), user)? {
            if Some(&id) != but {
                ended += u64::from(self.end_login(&id)?);
            }
        }
        Ok(ended)
    }
}
