//! What every act has in common: who does it, when, and the rows that it changes.
//!
//! An act is done as a whole or refused, and a refusal comes before the first row is written. One that
//! changes any row makes a revision. What ends by itself makes none: nobody is named by it.

use bytes::Bytes;

use super::{Act, Counters, LOGIN_MS, Login, LoginId, Refusal, Told, User, UserId, read, rows};
use crate::state::deadlines::{self, Mortal};
use crate::state::ledger::Ledger;
use crate::state::{At, board};
use crate::storage::{StoreError, Table};

/// A log-in is renewed by what is done with it, but only when that adds so much: a day.
const RENEWAL_MS: u64 = 24 * 3_600_000;

/// What one entry does to the board.
pub(in crate::state) struct Clerk<'a, T> {
    pub(super) ledger: Ledger<'a, T>,
    pub(super) counters: &'a mut Counters,
    /// Nothing of the whole state ends before this.
    earliest_ms: &'a mut u64,
    /// Number of live links of the whole state.
    pub(super) links: &'a mut u64,
    /// The entry; its clock is the state's.
    pub(super) at: At,
    /// The revision that this act makes, if it changes anything.
    pub(super) revision: u64,
    /// Whether it did.
    changed: bool,
    /// Who acts, when the log-in is to be renewed.
    renewal: Option<(LoginId, Login)>,
}

/// Why an act is not done.
#[derive(Debug)]
pub(super) enum No {
    /// It must not be; every node says the same.
    Refused(Refusal),
    /// This node cannot.
    Store(StoreError),
}

impl From<Refusal> for No {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<StoreError> for No {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What comes of a part of an act.
pub(super) type Done<R> = Result<R, No>;

impl<'a, T: Table> Clerk<'a, T> {
    /// For one entry, the state's revision being what it is.
    pub(in crate::state) fn new(
        ledger: Ledger<'a, T>,
        counters: &'a mut Counters,
        earliest_ms: &'a mut u64,
        links: &'a mut u64,
        at: At,
        revision: u64,
    ) -> Self {
        let (revision, changed, renewal) = (revision + 1, false, None);
        Self { ledger, counters, earliest_ms, links, at, revision, changed, renewal }
    }

    /// Ends the entry, and gives the state's revision.
    pub(in crate::state) fn finish(self) -> u64 {
        self.revision - u64::from(!self.changed)
    }

    /// Does an act, or says why not.
    pub(in crate::state) fn run(&mut self, act: Act) -> Result<Told, StoreError> {
        match self.act(act) {
            Ok(told) => {
                self.renew()?;
                Ok(told)
            }
            Err(No::Refused(refusal)) => {
                assert!(!self.changed, "{refusal:?} came too late: something was done");
                Ok(Told::Refused(refusal))
            }
            Err(No::Store(error)) => Err(error),
        }
    }

    fn act(&mut self, act: Act) -> Done<Told> {
        match act {
            Act::Attempt { what, address } => self.attempt(&what, &address),
            Act::SignUp { name, password, login, replaces } => {
                self.sign_up(name, password, login, replaces)
            }
            Act::LogIn { user, password, login, replaces, address } => {
                self.log_in(user, &password, login, replaces, &address)
            }
            Act::LogOut { login } => self.log_out(&login),
            Act::LogOutEverywhere { login } => self.log_out_everywhere(&login),
            Act::ChangePassword { login, old, new } => self.change_password(&login, &old, new),
            Act::Post { login, title, url, normal, host } => {
                self.post(&login, title, url, normal, host)
            }
            Act::Retitle { login, post, title } => self.retitle(&login, &post, title),
            Act::Delete { login, post } => self.delete_post(&login, &post),
            Act::Like { login, post, on } => self.like(&login, &post, on),
            Act::Comment { login, post, parent, text } => self.comment(&login, &post, parent, text),
            Act::RemoveComment { login, post, comment, reason } => {
                self.remove_comment(&login, &post, comment, reason)
            }
            Act::Hide { login, post, hidden, reason } => self.hide(&login, &post, hidden, reason),
            Act::Disable { login, name, disabled, reason } => {
                self.disable(&login, &name, disabled, reason)
            }
            Act::Appoint { by, name, moderator } => self.appoint(by.as_ref(), &name, moderator),
        }
    }

    /// Whose log-in this is, who may act now.
    pub(super) fn who(&mut self, id: &LoginId) -> Done<User> {
        let login = read::login(self.ledger.rows(), id)?;
        let login = login.filter(|login| self.at.clock_ms < login.expires_ms);
        let login = login.ok_or(Refusal::LoggedOut)?;
        let user = self.user(login.user)?;
        if user.disabled {
            return Err(Refusal::Disabled.into());
        }
        let renewed_ms = self.deadline(LOGIN_MS);
        if renewed_ms.saturating_sub(login.expires_ms) >= RENEWAL_MS {
            self.renewal = Some((*id, login));
        }
        Ok(user)
    }

    /// Has the log-in live on of whoever acted, unless it ended by that very act.
    fn renew(&mut self) -> Result<(), StoreError> {
        let Some((id, login)) = self.renewal.take() else { return Ok(()) };
        let row_key = rows::login(&id);
        if self.ledger.get(&row_key)?.is_none() {
            return Ok(());
        }
        let renewed = Login { expires_ms: self.deadline(LOGIN_MS), ..login };
        self.put(&row_key, rows::encode(&renewed))?;
        self.move_deadline(&Mortal::Login(id), Some(login.expires_ms), Some(renewed.expires_ms));
        Ok(())
    }

    /// A user who must be there.
    pub(super) fn user(&self, id: UserId) -> Result<User, StoreError> {
        let gone = || rows::damaged("user", &format!("{id} is not there"));
        board::user(self.ledger.rows(), id)?.ok_or_else(gone)
    }

    /// Makes a user what it is from now on.
    pub(super) fn save_user(&mut self, user: &User) -> Result<(), StoreError> {
        self.put(&rows::user(user.id), rows::encode(user))
    }

    /// When what lives this long from now on ends.
    pub(super) fn deadline(&self, lifetime_ms: u64) -> u64 {
        deadlines::after(self.at.clock_ms, lifetime_ms)
    }

    /// Has a thing end at another time than before, or not at all.
    pub(super) fn move_deadline(&mut self, what: &Mortal, from: Option<u64>, to: Option<u64>) {
        deadlines::shift(&mut self.ledger, self.earliest_ms, what, from, to);
    }

    /// Ends what of this is the board's, and tells how many things.
    pub(in crate::state) fn end_due(&mut self, due: &[(u64, Mortal)]) -> Result<u64, StoreError> {
        let mut ended = 0;
        for (_, what) in due {
            let was_there = match what {
                Mortal::Login(id) => self.end_login(id)?,
                Mortal::Limit(name) => self.end_limit(name)?,
                Mortal::Session(_) | Mortal::Key(_) | Mortal::Delay(_) => continue,
            };
            if !was_there {
                // Its deadline would be due for ever.
                return Err(rows::damaged("deadline", "what ends then is not there"));
            }
            ended += 1;
        }
        self.changed = false;
        Ok(ended)
    }

    /// Sets a row that is known not to be there.
    pub(super) fn insert(&mut self, key: &[u8], value: Bytes) {
        self.ledger.insert(key, value);
        self.changed = true;
    }

    /// Sets a row, whether it is there or not.
    pub(super) fn put(&mut self, key: &[u8], value: Bytes) -> Result<(), StoreError> {
        self.changed = true;
        self.ledger.replace(key, value)
    }

    /// Removes a row that is known to have this value.
    pub(super) fn remove(&mut self, key: &[u8], old: &[u8]) {
        self.ledger.remove(key, old);
        self.changed = true;
    }
}
