//! A board that does everything in the most naive way.
//!
//! It has lists of everything and looks through all of it: it sorts posts anew for every list, counts
//! likes when it is asked, and fills limits up by the time that went by.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::*;

const RENEWAL_MS: u64 = DAY_MS;

#[derive(Clone, Debug)]
pub struct Written {
    pub post: Post,
    pub liked_by: BTreeSet<UserId>,
    pub comments: Vec<Comment>,
}

/// How much of a limit is left: ms of credit, and as of when.
#[derive(Clone, Copy, Debug)]
pub struct Left {
    credit_ms: u64,
    as_of_ms: u64,
}

/// What is limited how: how many at once, and ms until one more.
pub type Rate = (u64, u64);
const LOG_IN_PAIR: Rate = (10, MINUTE_MS);
const LOG_IN_NAME: Rate = (100, 10_000);
const LOG_IN_ADDRESS: Rate = (30, 10_000);
const SIGN_UP: Rate = (5, 10 * MINUTE_MS);
const POSTS: Rate = (10, 5 * MINUTE_MS);
const COMMENTS: Rate = (20, 30_000);
const LIKES: Rate = (120, 1_000);

#[derive(Clone, Debug, Default)]
pub struct Model {
    pub revision: u64,
    /// The state's clock.
    pub now_ms: u64,
    pub wall_ms: u64,
    pub index: u64,
    pub users: Vec<User>,
    /// With the revision that made it.
    pub logins: BTreeMap<LoginId, (u64, Login)>,
    pub written: Vec<Written>,
    pub deeds: Vec<Moderated>,
    pub left: BTreeMap<(Rate, Vec<u8>), Left>,
}

fn pair(name: &str, address: &[u8]) -> (Rate, Vec<u8>) {
    (LOG_IN_PAIR, format!("{} from {address:?}", name.to_ascii_lowercase()).into_bytes())
}

fn of_name(name: &str) -> (Rate, Vec<u8>) {
    (LOG_IN_NAME, name.to_ascii_lowercase().into_bytes())
}

type Outcome = Result<(Told, bool), Refusal>;

impl Model {
    pub fn apply(&mut self, act: &Act) -> Told {
        let before = self.clone();
        let done = self.act(act, before.revision + 1);
        match done {
            Ok((told, changed)) => {
                let renewed = self.renew(act);
                self.revision += u64::from(changed || renewed);
                self.count();
                told
            }
            Err(refusal) => {
                *self = before;
                Told::Refused(refusal)
            }
        }
    }

    /// Counts everything anew that is counted.
    fn count(&mut self) {
        for written in &mut self.written {
            let shown = |it: &&Comment| it.standing == Standing::Shown;
            written.post.comments = written.comments.iter().filter(shown).count() as u64;
            written.post.said = written.comments.len() as u64;
            written.post.likes = written.liked_by.len() as u64;
        }
        let shown: Vec<_> = self.shown().cloned().collect();
        for user in &mut self.users {
            let own = shown.iter().filter(|post| post.user == user.id);
            (user.posts, user.likes) = (own.clone().count() as u64, own.map(|it| it.likes).sum());
        }
    }

    fn shown(&self) -> impl Iterator<Item = &Post> {
        let posts = self.written.iter().map(|written| &written.post);
        posts.filter(|post| post.standing == Standing::Shown)
    }

    fn login_ends(&self) -> u64 {
        self.now_ms + LOGIN_MS + LOGIN_MS / 64 + 2
    }

    fn renew(&mut self, act: &Act) -> bool {
        let acts = match act {
            Act::Attempt { .. } | Act::SignUp { .. } | Act::LogIn { .. } | Act::LogOut { .. } => {
                None
            }
            Act::Appoint { by, .. } => by.as_ref(),
            Act::LogOutEverywhere { login }
            | Act::ChangePassword { login, .. }
            | Act::Post { login, .. }
            | Act::Retitle { login, .. }
            | Act::Delete { login, .. }
            | Act::Like { login, .. }
            | Act::Comment { login, .. }
            | Act::RemoveComment { login, .. }
            | Act::Hide { login, .. }
            | Act::Disable { login, .. } => Some(login),
        };
        let ends_ms = self.login_ends();
        let Some((_, login)) = acts.and_then(|id| self.logins.get_mut(id)) else { return false };
        let renewed = ends_ms - login.expires_ms >= RENEWAL_MS;
        if renewed {
            login.expires_ms = ends_ms;
        }
        renewed
    }

    fn who(&self, login: &LoginId) -> Result<User, Refusal> {
        let (_, login) = self.logins.get(login).ok_or(Refusal::LoggedOut)?;
        if login.expires_ms <= self.now_ms {
            return Err(Refusal::LoggedOut);
        }
        let user = self.users.iter().find(|user| user.id == login.user).unwrap();
        if user.disabled { Err(Refusal::Disabled) } else { Ok(user.clone()) }
    }

    fn moderator(&self, login: &LoginId) -> Result<User, Refusal> {
        let user = self.who(login)?;
        if user.moderator { Ok(user) } else { Err(Refusal::NotModerator) }
    }

    fn named(&mut self, name: &str) -> Option<&mut User> {
        self.users.iter_mut().find(|user| user.name.eq_ignore_ascii_case(name))
    }

    fn written(&mut self, key: &str) -> Result<&mut Written, Refusal> {
        let found = self.written.iter_mut().find(|written| written.post.key == key);
        found.ok_or(Refusal::NoPost)
    }

    fn shown_one(&mut self, key: &str) -> Result<&mut Written, Refusal> {
        let written = self.written(key)?;
        match written.post.standing {
            Standing::Shown => Ok(written),
            Standing::Deleted | Standing::Hidden => Err(Refusal::NoPost),
        }
    }

    fn own(&mut self, login: &LoginId, key: &str) -> Result<&mut Written, Refusal> {
        let (user, now_ms) = (self.who(login)?.id, self.now_ms);
        let written = self.shown_one(key)?;
        match () {
            () if written.post.user != user => Err(Refusal::NotYours),
            () if now_ms - written.post.clock_ms >= EDIT_MS => Err(Refusal::TooLate),
            () => Ok(written),
        }
    }

    /// What is left of a limit now.
    fn credit(&self, rate: Rate, whose: &[u8]) -> u64 {
        let all = rate.0 * rate.1;
        let left = self.left.get(&(rate, whose.to_vec()));
        left.map_or(all, |left| all.min(left.credit_ms + (self.now_ms - left.as_of_ms)))
    }

    fn charge(&mut self, limits: &[(Rate, Vec<u8>)]) -> Result<(), Refusal> {
        let short =
            |(rate, whose): &(Rate, Vec<u8>)| rate.1.saturating_sub(self.credit(*rate, whose));
        match limits.iter().map(short).max() {
            Some(0) | None => {}
            Some(ms) => return Err(Refusal::TooOften(ms)),
        }
        for (rate, whose) in limits {
            let credit_ms = self.credit(*rate, whose) - rate.1;
            let left = Left { credit_ms, as_of_ms: self.now_ms };
            self.left.insert((*rate, whose.clone()), left);
        }
        Ok(())
    }

    fn start_login(&mut self, user: UserId, id: LoginId, replaces: Option<LoginId>, revision: u64) {
        self.logins.retain(|it, _| *it != id && Some(*it) != replaces);
        let of_user = |it: &&(u64, Login)| it.1.user == user;
        while self.logins.values().filter(of_user).count() >= LOGINS_MAX {
            let oldest = self.logins.iter().filter(|(_, it)| it.1.user == user);
            let (id, _) = oldest.min_by_key(|(id, it)| (it.0, **id)).unwrap();
            let id = *id;
            self.logins.remove(&id);
        }
        let (wall_ms, expires_ms) = (self.wall_ms, self.login_ends());
        self.logins.insert(id, (revision, Login { user, wall_ms, expires_ms }));
    }

    fn note(&mut self, by: Option<UserId>, deed: Deed, reason: &str) {
        let (revision, wall_ms) = (self.revision + 1, self.wall_ms);
        self.deeds.push(Moderated { revision, wall_ms, by, deed, reason: reason.into() });
    }

    /// What comes of an act, and whether anything changed.
    fn act(&mut self, act: &Act, revision: u64) -> Outcome {
        let wall_ms = self.wall_ms;
        match act {
            Act::Attempt { what: Attempt::LogIn(name), address } => {
                let address_alone = (LOG_IN_ADDRESS, address.to_vec());
                self.charge(&[pair(name, address), of_name(name), address_alone])?;
                Ok((Told::Done, true))
            }
            Act::Attempt { what: Attempt::SignUp, address } => {
                self.charge(&[(SIGN_UP, address.to_vec())])?;
                Ok((Told::Done, true))
            }
            Act::SignUp { name, password, login, replaces } => {
                if self.named(name).is_some() {
                    return Err(Refusal::NameTaken);
                }
                self.users.push(User {
                    id: revision,
                    name: name.clone(),
                    password: password.clone(),
                    wall_ms,
                    moderator: false,
                    disabled: false,
                    posts: 0,
                    likes: 0,
                });
                self.start_login(revision, *login, *replaces, revision);
                Ok((Told::SignedUp(revision), true))
            }
            Act::LogIn { user, password, login, replaces, address } => {
                let found = self.users.iter().find(|it| it.id == *user).cloned();
                let found = found.ok_or(Refusal::NoUser)?;
                match () {
                    () if found.password != *password => Err(Refusal::PasswordChanged),
                    () if found.disabled => Err(Refusal::Disabled),
                    () => {
                        self.start_login(*user, *login, *replaces, revision);
                        self.left.remove(&pair(&found.name, address));
                        self.left.remove(&of_name(&found.name));
                        Ok((Told::Done, true))
                    }
                }
            }
            Act::LogOut { login } => {
                let ended = self.logins.remove(login).is_some();
                Ok((Told::LoggedOut(u64::from(ended)), ended))
            }
            Act::LogOutEverywhere { login } => {
                let user = self.who(login)?.id;
                let before = self.logins.len();
                self.logins.retain(|_, it| it.1.user != user);
                Ok((Told::LoggedOut((before - self.logins.len()) as u64), true))
            }
            Act::ChangePassword { login, old, new } => {
                let user = self.who(login)?;
                if user.password != *old {
                    return Err(Refusal::PasswordChanged);
                }
                self.named(&user.name).unwrap().password = new.clone();
                self.logins.retain(|id, it| it.1.user != user.id || id == login);
                Ok((Told::Done, true))
            }
            Act::Post { login, title, url, normal, host } => {
                let user = self.who(login)?.id;
                let latest = self.written.iter().rev().find(|it| it.post.normal == *normal);
                if let Some(Written { post, .. }) = latest
                    && post.standing == Standing::Shown
                    && self.now_ms - post.clock_ms < REPOST_MS
                {
                    return Ok((Told::PostedBefore(post.key.clone()), false));
                }
                self.charge(&[(POSTS, user.to_be_bytes().to_vec())])?;
                let key = self.key(url);
                let post = Post {
                    key: key.clone(),
                    user,
                    title: title.clone(),
                    url: url.clone(),
                    normal: normal.clone(),
                    host: host.clone(),
                    revision,
                    clock_ms: self.now_ms,
                    wall_ms,
                    edited_ms: None,
                    likes: 0,
                    comments: 0,
                    said: 0,
                    standing: Standing::Shown,
                };
                let (liked_by, comments) = (BTreeSet::new(), Vec::new());
                self.written.push(Written { post, liked_by, comments });
                Ok((Told::Posted(key), true))
            }
            Act::Retitle { login, post, title } => {
                let post = &mut self.own(login, post)?.post;
                let changed = post.title != *title;
                if changed {
                    (post.title, post.edited_ms) = (title.clone(), Some(wall_ms));
                }
                Ok((Told::Done, changed))
            }
            Act::Delete { login, post } => {
                self.own(login, post)?.post.standing = Standing::Deleted;
                Ok((Told::Done, true))
            }
            Act::Like { login, post, on } => {
                let user = self.who(login)?.id;
                let before = self.shown_one(post)?.liked_by.clone();
                if before.contains(&user) == *on {
                    return Ok((Told::Likes(before.len() as u64), false));
                }
                self.charge(&[(LIKES, user.to_be_bytes().to_vec())])?;
                let liked_by = &mut self.shown_one(post)?.liked_by;
                if *on {
                    liked_by.insert(user)
                } else {
                    liked_by.remove(&user)
                };
                Ok((Told::Likes(liked_by.len() as u64), true))
            }
            Act::Comment { login, post, parent, text } => {
                let user = self.who(login)?.id;
                let now_ms = self.now_ms;
                let written = self.shown_one(post)?;
                let mut thread = revision;
                if let Some(parent) = parent {
                    let shown = written.comments.iter().find(|comment| {
                        comment.id == *parent && comment.standing == Standing::Shown
                    });
                    thread = shown.ok_or(Refusal::NoComment)?.thread;
                }
                self.charge(&[(COMMENTS, user.to_be_bytes().to_vec())])?;
                let standing = Standing::Shown;
                let (id, text) = (revision, text.clone());
                let comment =
                    Comment { id, thread, user, text, clock_ms: now_ms, wall_ms, standing };
                self.shown_one(post)?.comments.push(comment);
                Ok((Told::Commented(revision), true))
            }
            Act::RemoveComment { login, post, comment, reason } => {
                let (user, now_ms) = (self.who(login)?, self.now_ms);
                let comments = &mut self.shown_one(post)?.comments;
                let it = comments.iter_mut().find(|it| it.id == *comment);
                let it =
                    it.filter(|it| it.standing == Standing::Shown).ok_or(Refusal::NoComment)?;
                let in_time = now_ms - it.clock_ms < EDIT_MS;
                it.standing = match (it.user == user.id, in_time, user.moderator) {
                    (true, true, _) => Standing::Deleted,
                    (_, _, true) => Standing::Hidden,
                    (true, false, false) => return Err(Refusal::TooLate),
                    (false, _, false) => return Err(Refusal::NotYours),
                };
                it.text = String::new();
                if it.standing == Standing::Hidden {
                    self.note(Some(user.id), Deed::RemovedComment(post.clone(), *comment), reason);
                }
                Ok((Told::Done, true))
            }
            Act::Hide { login, post, hidden, reason } => {
                let by = self.moderator(login)?.id;
                let it = &mut self.written(post)?.post.standing;
                let wanted = if *hidden { Standing::Hidden } else { Standing::Shown };
                if *it == Standing::Deleted {
                    return Err(Refusal::NoPost);
                }
                let changed = std::mem::replace(it, wanted) != wanted;
                if changed {
                    let deed = if *hidden { Deed::Hid } else { Deed::Showed };
                    self.note(Some(by), deed(post.clone()), reason);
                }
                Ok((Told::Done, changed))
            }
            Act::Disable { login, name, disabled, reason } => {
                let by = self.moderator(login)?.id;
                let user = self.named(name).ok_or(Refusal::NoUser)?;
                let id = user.id;
                let changed = std::mem::replace(&mut user.disabled, *disabled) != *disabled;
                if *disabled {
                    self.logins.retain(|_, it| it.1.user != id);
                }
                if changed {
                    let deed = if *disabled { Deed::Disabled } else { Deed::Enabled };
                    self.note(Some(by), deed(id), reason);
                }
                Ok((Told::Done, changed))
            }
            Act::Appoint { by, name, moderator } => {
                let by = by.as_ref().map(|by| self.moderator(by)).transpose()?;
                let user = self.named(name).ok_or(Refusal::NoUser)?;
                let id = user.id;
                if std::mem::replace(&mut user.moderator, *moderator) == *moderator {
                    return Ok((Told::Done, false));
                }
                let deed = if *moderator { Deed::Appointed } else { Deed::Dismissed };
                self.note(by.map(|by| by.id), deed(id), "");
                Ok((Told::Done, true))
            }
        }
    }

    /// The key of a URL that is posted now: nobody else's, so the first cut of the hash.
    fn key(&self, url: &[u8]) -> String {
        let seed = [&b"bowline post\0"[..], &self.index.to_le_bytes(), url].concat();
        let key = URL_SAFE_NO_PAD.encode(Sha256::digest(seed));
        let is_taken = |key: &str| self.written.iter().any(|it| it.post.key == key);
        (8..).map(|len| &key[..len]).find(|key| !is_taken(key)).unwrap().to_owned()
    }

    /// What is due ends: log-ins, and limits that are whole again, with the next whole minute.
    pub fn expire(&mut self) -> u64 {
        let before = self.logins.len() + self.left.len();
        let now_ms = self.now_ms;
        self.logins.retain(|_, it| it.1.expires_ms > now_ms);
        self.left.retain(|(rate, _), left| {
            let whole_ms = left.as_of_ms + (rate.0 * rate.1 - left.credit_ms);
            whole_ms.div_ceil(MINUTE_MS) * MINUTE_MS > now_ms
        });
        (before - self.logins.len() - self.left.len()) as u64
    }

    pub fn list(&self, list: &List) -> Vec<String> {
        let mut posts: Vec<&Post> = self.shown().collect();
        posts.sort_by_key(|post| Reverse(post.revision));
        match list {
            List::Newest => {}
            List::Hot => posts.sort_by_key(|post| Reverse(hot_ms(post.wall_ms, post.likes))),
            List::Top(span) => {
                let span_ms = match span {
                    Span::Day => DAY_MS,
                    Span::Week => 7 * DAY_MS,
                    Span::Year => 365 * DAY_MS,
                };
                posts.retain(|post| post.wall_ms + span_ms > self.wall_ms);
                posts.sort_by_key(|post| Reverse(post.likes));
            }
            List::Of(user) => posts.retain(|post| post.user == *user),
            List::Host(host) => posts.retain(|post| post.host == *host),
        }
        posts.into_iter().map(|post| post.key.clone()).collect()
    }
}
