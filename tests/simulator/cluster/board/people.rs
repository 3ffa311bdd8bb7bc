//! What people of the board think of: few of them, few links, so that they meet.

use bowline::state::board::{Act, Attempt, CommentId, LoginId, UserId};
use bytes::Bytes;
use rand::RngExt;
use rand::rngs::StdRng;

use super::promises::Promises;

const NAMES: [&str; 7] = ["ann", "Bob", "cy-1", "d_d", "Eve", "frank", "g0"];
const HOSTS: [&str; 3] = ["example.org", "a.example.org", "example.net"];
const ADDRESSES: [&[u8]; 3] = [&[10, 0, 0, 1], &[10, 0, 0, 2], &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 1]];
/// Log-ins, posts and comments that people remember.
const REMEMBERED: usize = 24;

/// What a run is about besides all the rest.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mood {
    Ordinary,
    /// Somebody cannot stop liking.
    Likes,
    /// Somebody logs in again and again.
    LogsIn,
    /// Somebody guesses passwords.
    Guesses,
}

/// An account whose password somebody knows, unless it was changed meanwhile.
#[derive(Clone, Debug)]
struct Account {
    user: UserId,
    name: String,
    passwords: Vec<String>,
}

pub struct People {
    mood: Mood,
    accounts: Vec<Account>,
    logins: Vec<LoginId>,
    posts: Vec<String>,
    comments: Vec<(String, CommentId)>,
    /// How much they have thought of.
    thoughts: u64,
}

impl People {
    pub fn new(seed: u64) -> Self {
        let mood = match seed % 5 {
            1 => Mood::Likes,
            2 => Mood::LogsIn,
            3 => Mood::Guesses,
            _ => Mood::Ordinary,
        };
        let (accounts, logins) = (Vec::new(), Vec::new());
        Self { mood, accounts, logins, posts: Vec::new(), comments: Vec::new(), thoughts: 0 }
    }

    pub fn has_account(&mut self, user: UserId, name: &str, password: &str, login: LoginId) {
        if self.accounts.iter().all(|account| account.user != user) {
            let (name, passwords) = (name.to_owned(), vec![password.to_owned()]);
            self.accounts.push(Account { user, name, passwords });
        }
        self.is_logged_in(login);
    }

    pub fn is_logged_in(&mut self, login: LoginId) {
        remember(&mut self.logins, login);
    }

    /// Most notice and log in again; the others go on as if nothing were.
    pub fn is_logged_out(&mut self, rng: &mut StdRng, login: LoginId) {
        if rng.random_bool(0.6) {
            self.logins.retain(|other| *other != login);
        }
    }

    pub fn knows_post(&mut self, key: &str) {
        remember(&mut self.posts, key.to_owned());
    }

    pub fn knows_comment(&mut self, post: &str, id: CommentId) {
        remember(&mut self.comments, (post.to_owned(), id));
    }

    /// The password may be this one now.
    pub fn may_have_password(&mut self, name: &str, password: &str) {
        let same = |account: &&mut Account| account.name.eq_ignore_ascii_case(name);
        if let Some(account) = self.accounts.iter_mut().find(same) {
            account.passwords.push(password.to_owned());
        }
    }

    /// It is not this one; another that may be is tried next.
    pub fn has_other_password(&mut self, user: UserId, password: &str) {
        if let Some(account) = self.accounts.iter_mut().find(|account| account.user == user) {
            account.passwords.sort_by_key(|known| known != password);
        }
    }

    /// A user, a host, a post that somebody may look at.
    pub fn some_user(&self, rng: &mut StdRng) -> Option<UserId> {
        one_of(rng, &self.accounts).map(|account| account.user)
    }

    pub fn some_host(rng: &mut StdRng) -> String {
        HOSTS[rng.random_range(0..HOSTS.len())].to_owned()
    }

    pub fn some_post(&self, rng: &mut StdRng) -> Option<String> {
        one_of(rng, &self.posts)
    }

    /// What somebody wants to do next, if anybody can.
    pub fn think(&mut self, rng: &mut StdRng, promises: &Promises) -> Option<Act> {
        self.thoughts += 1;
        if self.mood != Mood::Ordinary && self.accounts.len() > 2 && rng.random_bool(0.6) {
            return self.indulge(rng, promises);
        }
        match rng.random_range(0..100) {
            0..=7 => Some(self.attempt(rng)),
            8..=11 => Some(self.sign_up(rng)),
            12..=23 => {
                let account = one_of(rng, &self.accounts)?;
                self.log_in(rng, &account)
            }
            24..=31 => self.end_something(rng, promises),
            32..=95 => {
                let login = one_of(rng, &self.logins)?;
                self.use_board(rng, promises, login)
            }
            _ => {
                let (name, moderator) = (self.name(rng)?, rng.random_bool(0.7));
                let by = rng.random_bool(0.5).then(|| one_of(rng, &self.logins)).flatten();
                Some(Act::Appoint { by, name, moderator })
            }
        }
    }

    fn indulge(&mut self, rng: &mut StdRng, promises: &Promises) -> Option<Act> {
        let account = self.accounts[0].clone();
        match self.mood {
            Mood::LogsIn => return self.log_in(rng, &account),
            Mood::Guesses => return Some(self.attempt(rng)),
            Mood::Likes | Mood::Ordinary => {}
        }
        let own = |login: &&LoginId| promises.name_of(login) == account.name.to_lowercase();
        let login = self.logins.iter().rev().find(own).copied();
        match login {
            Some(login) => self.like(rng, promises, login),
            None => self.log_in(rng, &account),
        }
    }

    fn attempt(&self, rng: &mut StdRng) -> Act {
        let name = NAMES[rng.random_range(0..2)];
        let what = match rng.random_range(0..4) {
            0 => Attempt::SignUp,
            _ => Attempt::LogIn(in_some_case(rng, name)),
        };
        let address = Bytes::from_static(ADDRESSES[rng.random_range(0..ADDRESSES.len())]);
        Act::Attempt { what, address }
    }

    fn sign_up(&self, rng: &mut StdRng) -> Act {
        let name = NAMES[rng.random_range(0..NAMES.len())];
        let name = in_some_case(rng, name);
        Act::SignUp {
            name,
            password: format!("password {}", self.thoughts),
            login: rng.random(),
            replaces: None,
        }
    }

    fn log_in(&self, rng: &mut StdRng, account: &Account) -> Option<Act> {
        let newest = account.passwords.last().cloned();
        let old = one_of(rng, &account.passwords);
        let password = if rng.random_bool(0.1) { old? } else { newest? };
        let (user, login) = (account.user, rng.random());
        let address = Bytes::from_static(ADDRESSES[self.thoughts as usize % ADDRESSES.len()]);
        Some(Act::LogIn { user, password, login, replaces: None, address })
    }

    fn end_something(&self, rng: &mut StdRng, promises: &Promises) -> Option<Act> {
        let login = one_of(rng, &self.logins)?;
        match rng.random_range(0..10) {
            0..=4 => Some(Act::LogOut { login }),
            5 => Some(Act::LogOutEverywhere { login }),
            6..=7 => {
                let name = promises.name_of(&login);
                let same = |account: &&Account| account.name.to_lowercase() == name;
                let account = self.accounts.iter().find(same)?;
                let (old, new) = (account.passwords.last()?.clone(), self.thoughts);
                Some(Act::ChangePassword { login, old, new: format!("password {new}") })
            }
            _ => {
                let (name, disabled) = (self.name(rng)?, rng.random_bool(0.5));
                Some(Act::Disable { login, name, disabled, reason: "because".to_owned() })
            }
        }
    }

    fn use_board(&self, rng: &mut StdRng, promises: &Promises, login: LoginId) -> Option<Act> {
        let post = one_of(rng, &self.posts);
        match rng.random_range(0..100) {
            0..=24 => Some(self.post(rng, login)),
            25..=49 => self.like(rng, promises, login),
            50..=69 => {
                let answers = rng.random_bool(0.5);
                let parent = one_of(rng, &self.comments).filter(|_| answers);
                let (post, parent) = match parent {
                    Some((post, parent)) => (post, Some(parent)),
                    None => (post?, None),
                };
                Some(Act::Comment { login, post, parent, text: format!("{}\n", self.thoughts) })
            }
            70..=75 => {
                let (post, comment) = one_of(rng, &self.comments)?;
                Some(Act::RemoveComment { login, post, comment, reason: String::new() })
            }
            76..=83 => {
                let titles = ["another title".to_owned(), format!("title {}", self.thoughts)];
                let title = titles[rng.random_range(0..2)].clone();
                Some(Act::Retitle { login, post: post?, title })
            }
            84..=88 => Some(Act::Delete { login, post: post? }),
            _ => {
                let hidden = rng.random_bool(0.5);
                Some(Act::Hide { login, post: post?, hidden, reason: "spam".to_owned() })
            }
        }
    }

    fn post(&self, rng: &mut StdRng, login: LoginId) -> Act {
        let host = Self::some_host(rng);
        let normal = format!("{host}/{}", rng.random_range(0..20));
        let www = if rng.random_bool(0.5) { "www." } else { "" };
        let url = format!("https://{www}{normal}").into();
        let title = format!("title {}", self.thoughts);
        Act::Post { login, title, url, normal: normal.into(), host }
    }

    fn like(&self, rng: &mut StdRng, promises: &Promises, login: LoginId) -> Option<Act> {
        let post = one_of(rng, &self.posts)?;
        let faithful = Promises::is_faithful(promises.name_of(&login), &post);
        Some(Act::Like { login, post, on: faithful || rng.random() })
    }

    fn name(&self, rng: &mut StdRng) -> Option<String> {
        let account = one_of(rng, &self.accounts)?;
        Some(in_some_case(rng, &account.name))
    }
}

fn in_some_case(rng: &mut StdRng, name: &str) -> String {
    match rng.random_range(0..3) {
        0 => name.to_lowercase(),
        1 => name.to_uppercase(),
        _ => name.to_owned(),
    }
}

fn one_of<T: Clone>(rng: &mut StdRng, among: &[T]) -> Option<T> {
    if among.is_empty() { None } else { Some(among[rng.random_range(0..among.len())].clone()) }
}

fn remember<T: PartialEq>(among: &mut Vec<T>, what: T) {
    if !among.contains(&what) {
        among.push(what);
        if among.len() > REMEMBERED {
            among.remove(0);
        }
    }
}
