//! The link board as one value: who there is, who is logged in, what was posted, liked and said, and what
//! moderators did. No row, no index, no count is kept that can be counted: lists are sorted when somebody
//! asks for them (`lists`).

mod limits;
mod lists;
mod posts;

use std::collections::BTreeMap;
use std::sync::Arc;

use bowline::raft::Micros;
use bowline::state::board::{
    Act, Attempt, Deed, LOGIN_MS, LOGINS_MAX, Login, LoginId, Moderated, Refusal, Told, UserId,
};

use super::Moment;
use limits::Bucket;
pub use lists::{Found, Sought};
use posts::Posted;

const DAY_MS: u64 = 24 * 3_600_000;

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Account {
    name: String,
    password: String,
    wall_ms: u64,
    moderator: bool,
    disabled: bool,
}

/// A log-in, and when its time really began.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stay {
    login: Login,
    /// Which of all it is, in the order of their beginnings.
    number: u64,
    since: Micros,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Board {
    users: BTreeMap<UserId, Account>,
    logins: BTreeMap<LoginId, Stay>,
    posts: BTreeMap<String, Arc<Posted>>,
    deeds: Vec<Arc<Moderated>>,
    /// When each is full again; those that are not there are.
    buckets: BTreeMap<Bucket, u64>,
    /// How many log-ins there ever were.
    stays: u64,
}

impl Board {
    /// Does an act, or refuses it. What it says; the revision goes on if it changes anything at all.
    pub fn act(&mut self, at: Moment, revision: &mut u64, act: &Act) -> Told {
        let mut draft = self.clone();
        match draft.run(at, *revision + 1, act) {
            Ok(told) => {
                *revision += u64::from(draft != *self);
                *self = draft;
                told
            }
            Err(refusal) => Told::Refused(refusal),
        }
    }

    /// Ends all whose time is over, and checks that it really is. How many things.
    pub fn expire(&mut self, at: Moment) -> u64 {
        let before = self.logins.len() + self.buckets.len();
        self.logins.retain(|id, stay| {
            let over = stay.login.expires_ms <= at.clock_ms;
            let lived = at.born.0 - stay.since.0;
            assert!(!over || lived >= LOGIN_MS * 1000, "log-in {id:?} lived for {lived} µs");
            !over
        });
        self.buckets.retain(|_, full_ms| limits::ends_ms(*full_ms) > at.clock_ms);
        (before - self.logins.len() - self.buckets.len()) as u64
    }

    /// The times at which something ends, by the cluster's clock.
    pub fn ends(&self) -> impl Iterator<Item = u64> {
        let logins = self.logins.values().map(|stay| stay.login.expires_ms);
        logins.chain(self.buckets.values().map(|full_ms| limits::ends_ms(*full_ms)))
    }

    fn run(&mut self, at: Moment, revision: u64, act: &Act) -> Result<Told, Refusal> {
        match act {
            Act::Attempt { what, address } => {
                let buckets = match what {
                    Attempt::LogIn(name) => {
                        let (name, address) = (name.to_lowercase(), address.clone());
                        let pair = Bucket::Pair(name.clone(), address.clone());
                        [pair, Bucket::Name(name), Bucket::Address(address)].to_vec()
                    }
                    Attempt::SignUp => [Bucket::SignUps(address.clone())].to_vec(),
                };
                self.take(at, &buckets)?;
                Ok(Told::Done)
            }
            Act::SignUp { name, password, login, replaces } => {
                if self.named(name).is_ok() {
                    return Err(Refusal::NameTaken);
                }
                let (name, password) = (name.clone(), password.clone());
                let (moderator, disabled) = (false, false);
                let account = Account { name, password, wall_ms: at.wall_ms, moderator, disabled };
                assert!(self.users.insert(revision, account).is_none(), "a user's id twice");
                self.log_in(at, revision, *login, *replaces);
                Ok(Told::SignedUp(revision))
            }
            Act::LogIn { user, password, login, replaces, address } => {
                let account = self.users.get(user).ok_or(Refusal::NoUser)?;
                // Who does not know the password does not learn what became of the user.
                if account.password != *password {
                    return Err(Refusal::PasswordChanged);
                }
                if account.disabled {
                    return Err(Refusal::Disabled);
                }
                let name = account.name.to_lowercase();
                self.buckets.remove(&Bucket::Pair(name.clone(), address.clone()));
                self.buckets.remove(&Bucket::Name(name));
                self.log_in(at, *user, *login, *replaces);
                Ok(Told::Done)
            }
            Act::LogOut { login } => {
                let was = self.logins.remove(login).is_some();
                Ok(Told::LoggedOut(u64::from(was)))
            }
            Act::LogOutEverywhere { login } => {
                let user = self.who(at, login)?;
                Ok(Told::LoggedOut(self.log_out(user, None)))
            }
            Act::ChangePassword { login, old, new } => {
                let user = self.who(at, login)?;
                let account = self.users.get_mut(&user).expect("whose log-in it is");
                if account.password != *old {
                    return Err(Refusal::PasswordChanged);
                }
                account.password.clone_from(new);
                self.log_out(user, Some(login));
                Ok(Told::Done)
            }
            act => self.run_on_posts(at, revision, act),
        }
    }

    fn run_on_posts(&mut self, at: Moment, revision: u64, act: &Act) -> Result<Told, Refusal> {
        match act {
            Act::Post { login, title, url, normal, host } => {
                let user = self.who(at, login)?;
                self.post(at, revision, user, (title, url, normal, host))
            }
            Act::Retitle { login, post, title } => {
                let user = self.who(at, login)?;
                self.retitle(at, user, post, title)
            }
            Act::Delete { login, post } => {
                let user = self.who(at, login)?;
                self.delete(at, user, post)
            }
            Act::Like { login, post, on } => {
                let user = self.who(at, login)?;
                self.like(at, user, post, *on)
            }
            Act::Comment { login, post, parent, text } => {
                let user = self.who(at, login)?;
                self.comment(at, revision, user, (post, *parent, text))
            }
            Act::RemoveComment { login, post, comment, reason } => {
                let user = self.who(at, login)?;
                self.remove_comment(at, revision, user, (post, *comment, reason))
            }
            Act::Hide { login, post, hidden, reason } => {
                let user = self.moderator(at, login)?;
                self.hide(at, revision, user, (post, *hidden, reason))
            }
            Act::Disable { login, name, disabled, reason } => {
                let by = self.moderator(at, login)?;
                self.disable(at, revision, by, (name, *disabled, reason))
            }
            Act::Appoint { by, name, moderator } => {
                let by = by.map(|login| self.moderator(at, &login)).transpose()?;
                self.appoint(at, revision, by, (name, *moderator))
            }
            other => unreachable!("{other:?} is about no post"),
        }
    }

    /// Who acts by this log-in, which lives on by that.
    fn who(&mut self, at: Moment, login: &LoginId) -> Result<UserId, Refusal> {
        let stay = self.logins.get_mut(login).filter(|it| it.login.expires_ms > at.clock_ms);
        let stay = stay.ok_or(Refusal::LoggedOut)?;
        let expires_ms = until(at, LOGIN_MS);
        if expires_ms - stay.login.expires_ms >= DAY_MS {
            (stay.login.expires_ms, stay.since) = (expires_ms, at.born);
        }
        assert!(!self.users[&stay.login.user].disabled, "who is disabled is logged out");
        Ok(stay.login.user)
    }

    fn moderator(&mut self, at: Moment, login: &LoginId) -> Result<UserId, Refusal> {
        let user = self.who(at, login)?;
        if self.users[&user].moderator { Ok(user) } else { Err(Refusal::NotModerator) }
    }

    fn named(&self, name: &str) -> Result<UserId, Refusal> {
        let same = |account: &Account| account.name.eq_ignore_ascii_case(name);
        let found = self.users.iter().find(|(_, account)| same(account));
        found.map(|(id, _)| *id).ok_or(Refusal::NoUser)
    }

    /// The one that the browser gives up for it ends; another one than the user may have ends the oldest.
    fn log_in(&mut self, at: Moment, user: UserId, id: LoginId, replaces: Option<LoginId>) {
        if let Some(older) = replaces {
            self.logins.remove(&older);
        }
        let own = |stay: &Stay| stay.login.user == user;
        if self.logins.values().filter(|stay| own(stay)).count() >= LOGINS_MAX {
            let own = self.logins.iter().filter(|(_, stay)| own(stay));
            let oldest = own.min_by_key(|(_, stay)| stay.number).map(|(id, _)| *id);
            self.logins.remove(&oldest.expect("there are so many"));
        }
        self.stays += 1;
        let login = Login { user, wall_ms: at.wall_ms, expires_ms: until(at, LOGIN_MS) };
        self.logins.insert(id, Stay { login, number: self.stays, since: at.born });
    }

    /// Ends all log-ins of a user but one. How many.
    fn log_out(&mut self, user: UserId, but: Option<&LoginId>) -> u64 {
        let before = self.logins.len();
        self.logins.retain(|id, stay| stay.login.user != user || Some(id) == but);
        (before - self.logins.len()) as u64
    }

    fn disable(
        &mut self,
        at: Moment,
        revision: u64,
        by: UserId,
        (name, disabled, reason): (&str, bool, &str),
    ) -> Result<Told, Refusal> {
        let user = self.named(name)?;
        let account = self.users.get_mut(&user).expect("it was just found");
        if account.disabled == disabled {
            return Ok(Told::Done);
        }
        account.disabled = disabled;
        if disabled {
            self.log_out(user, None);
        }
        let deed = if disabled { Deed::Disabled(user) } else { Deed::Enabled(user) };
        self.note(at, revision, Some(by), deed, reason);
        Ok(Told::Done)
    }

    fn appoint(
        &mut self,
        at: Moment,
        revision: u64,
        by: Option<UserId>,
        (name, moderator): (&str, bool),
    ) -> Result<Told, Refusal> {
        let user = self.named(name)?;
        let account = self.users.get_mut(&user).expect("it was just found");
        if account.moderator == moderator {
            return Ok(Told::Done);
        }
        account.moderator = moderator;
        let deed = if moderator { Deed::Appointed(user) } else { Deed::Dismissed(user) };
        self.note(at, revision, by, deed, "");
        Ok(Told::Done)
    }

    /// The moderators' log goes on.
    fn note(&mut self, at: Moment, revision: u64, by: Option<UserId>, deed: Deed, reason: &str) {
        let (wall_ms, reason) = (at.wall_ms, reason.to_owned());
        self.deeds.push(Arc::new(Moderated { revision, wall_ms, by, deed, reason }));
    }
}

/// Until when something lives that lives for so long from now.
fn until(at: Moment, length_ms: u64) -> u64 {
    at.clock_ms + length_ms + length_ms / 64 + 2
}
