//! What clients of the board know for certain, who saw only what they sent and were told, and when.

use std::collections::{BTreeMap, BTreeSet};

use bowline::raft::Micros;
use bowline::state::board::{
    Act, Attempt, CommentId, EDIT_MS, LOGIN_MS, LOGINS_MAX, LoginId, REPOST_MS, Refusal, Told,
    UserId,
};
use bytes::Bytes;

/// When something was sent, and when its answer came; what was done was done in between.
#[derive(Clone, Copy, Debug)]
pub struct While {
    /// Which of all that was ever sent it is.
    pub number: u64,
    pub sent: Micros,
    pub told: Micros,
}

/// A log-in that somebody was told is there.
#[derive(Debug)]
struct Stay {
    /// Whose, in lower case.
    name: String,
    begun: While,
    /// When the last act under it was sent that was done.
    used: Option<Micros>,
}

/// Somebody wanted log-ins to end.
#[derive(Debug)]
struct Ending {
    number: u64,
    sent: Micros,
    /// When it was told that it is done; none as long as that is not known.
    told: Option<Micros>,
    /// The log-in that it spares.
    but: Option<LoginId>,
}

/// A post that somebody was told is there.
#[derive(Debug)]
pub struct Post {
    pub url: Bytes,
    pub title: String,
    normal: Bytes,
    made: While,
}

#[derive(Debug, Default)]
pub struct Promises {
    /// Users by their names in lower case, and their names as they were typed.
    pub names: BTreeMap<String, UserId>,
    pub users: BTreeMap<UserId, String>,
    logins: BTreeMap<LoginId, Stay>,
    /// By the name of the user whose log-ins were to end.
    endings: BTreeMap<String, Vec<Ending>>,
    log_outs: BTreeMap<LoginId, Ending>,
    /// How many log-ins of a user were asked for.
    asked: BTreeMap<String, usize>,
    pub posts: BTreeMap<String, Post>,
    /// Posts that somebody wanted to be called something else, or wanted away; and those of which the
    /// author was told that they are.
    pub retitled: BTreeSet<String>,
    pub unwanted: BTreeSet<String>,
    pub deleted: BTreeSet<String>,
    pub comments: BTreeMap<(String, CommentId), String>,
    pub unwanted_comments: BTreeSet<CommentId>,
    /// Likes of those who never take them back, by post and name.
    pub likes: BTreeMap<String, BTreeMap<String, While>>,
    meters: BTreeMap<Metered, Vec<While>>,
}

/// What is done only so often.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Metered {
    SignUps(Bytes),
    Posts(String),
    Comments(String),
}

impl Metered {
    /// (how many at once, ms until there is one more).
    fn limit(&self) -> (u64, u64) {
        match self {
            Self::SignUps(_) => (5, 600_000),
            Self::Posts(_) => (10, 300_000),
            Self::Comments(_) => (20, 30_000),
        }
    }
}

impl Promises {
    /// An act is on its way, perhaps not for the first time.
    pub fn sent(&mut self, act: &Act, number: u64, sent: Micros) {
        let ending = |but| Ending { number, sent, told: None, but };
        match act {
            Act::LogOut { login } => {
                self.log_outs.entry(*login).or_insert(ending(None));
            }
            Act::LogOutEverywhere { login } => {
                let name = self.logins[login].name.clone();
                self.endings.entry(name).or_default().push(ending(None));
            }
            Act::ChangePassword { login, .. } => {
                let name = self.logins[login].name.clone();
                self.endings.entry(name).or_default().push(ending(Some(*login)));
            }
            Act::Disable { name, disabled: true, .. } => {
                self.endings.entry(name.to_lowercase()).or_default().push(ending(None));
            }
            Act::LogIn { user, .. } => {
                let name = self.users[user].to_lowercase();
                *self.asked.entry(name).or_default() += 1;
            }
            Act::Retitle { post, .. } => {
                self.retitled.insert(post.clone());
            }
            Act::Delete { post, .. } | Act::Hide { post, .. } => {
                self.unwanted.insert(post.clone());
            }
            Act::RemoveComment { comment, .. } => {
                self.unwanted_comments.insert(*comment);
            }
            _ => {}
        }
    }

    /// An act was answered.
    pub fn told(&mut self, act: &Act, told: &Told, during: While) {
        if let Some(login) = login_of(act) {
            self.check_login(&login, told, during);
        }
        match (act, told) {
            (_, Told::Refused(Refusal::TooOften(ms))) => assert!(*ms > 0, "now is not later"),
            (_, Told::Refused(refusal)) => self.refused(act, *refusal, during),
            (Act::SignUp { name, login, .. }, Told::SignedUp(user)) => {
                let lower = name.to_lowercase();
                let id = *self.names.entry(lower.clone()).or_insert(*user);
                assert_eq!(id, *user, "two users have the name {name}");
                let owner = self.users.entry(*user).or_insert(name.clone());
                assert_eq!(owner, name, "two users have the number {user}");
                self.logins.insert(*login, Stay { name: lower, begun: during, used: None });
            }
            (Act::LogIn { user, login, .. }, Told::Done) => {
                let name = self.users[user].to_lowercase();
                self.logins.insert(*login, Stay { name, begun: during, used: None });
            }
            (Act::LogOut { login }, Told::LoggedOut(_)) => {
                self.log_outs.get_mut(login).expect("it was sent").told.get_or_insert(during.told);
            }
            (
                Act::LogOutEverywhere { .. } | Act::ChangePassword { .. } | Act::Disable { .. },
                Told::Done | Told::LoggedOut(_),
            ) => {
                let endings = self.endings.values_mut().flatten();
                let ending = endings.filter(|ending| ending.number == during.number);
                ending.for_each(|ending| ending.told = Some(during.told));
            }
            (Act::Attempt { what: Attempt::SignUp, address }, Told::Done) => {
                self.meter(Metered::SignUps(address.clone()), during);
            }
            (Act::Post { login, title, url, normal, .. }, Told::Posted(key)) => {
                let before = self.posts.get(key);
                assert!(
                    before.is_none_or(|it| it.made.number == during.number),
                    "{key}: two posts"
                );
                self.check_repost(normal, key, during);
                let (title, url, normal) = (title.clone(), url.clone(), normal.clone());
                if before.is_none() {
                    self.meter(Metered::Posts(self.logins[login].name.clone()), during);
                }
                let post = Post { url, title, normal, made: during };
                self.posts.entry(key.clone()).or_insert(post);
            }
            (Act::Post { .. }, Told::PostedBefore(_)) => {}
            (Act::Delete { post, .. }, Told::Done) => {
                self.deleted.insert(post.clone());
            }
            (Act::Like { login, post, on }, Told::Likes(count)) => {
                self.liked(&self.logins[login].name.clone(), post, (*on, *count), during);
            }
            (Act::Comment { login, post, text, .. }, Told::Commented(id)) => {
                let comment = (post.clone(), *id);
                if self.comments.insert(comment, text.clone()).is_none() {
                    self.meter(Metered::Comments(self.logins[login].name.clone()), during);
                }
            }
            (
                Act::Attempt { .. }
                | Act::Retitle { .. }
                | Act::RemoveComment { .. }
                | Act::Hide { .. }
                | Act::Appoint { .. },
                Told::Done,
            ) => {}
            (act, told) => panic!("{act:?} was told {told:?}"),
        }
    }

    /// Whether this user never takes back a like of this post.
    pub fn is_faithful(name: &str, post: &str) -> bool {
        (name.len() + usize::from(post.as_bytes()[0])).is_multiple_of(2)
    }

    /// The user as whom this log-in acts, by a name in lower case.
    pub fn name_of(&self, login: &LoginId) -> &str {
        &self.logins[login].name
    }

    fn refused(&mut self, act: &Act, refusal: Refusal, during: While) {
        let endings = self.endings.values_mut();
        endings.for_each(|endings| endings.retain(|ending| ending.number != during.number));
        let age_ms = |since: Micros| (during.told.0 - since.0) / 1000;
        let made = match (act, refusal) {
            (Act::Retitle { post, .. } | Act::Delete { post, .. }, Refusal::TooLate) => {
                self.posts.get(post).map(|post| post.made)
            }
            _ => None,
        };
        if let Some(made) = made {
            let age = age_ms(made.sent);
            assert!(age >= at_least(EDIT_MS), "too late after {age} ms: {act:?}");
        }
    }

    /// Nothing is done under a log-in that was ended, and it does not end by itself before its time.
    fn check_login(&mut self, login: &LoginId, told: &Told, during: While) {
        let Some(stay) = self.logins.get(login) else { return };
        let log_out = self.log_outs.get(login).into_iter();
        let of_user = self.endings.get(&stay.name).into_iter().flatten();
        let endings = log_out.chain(of_user.filter(|ending| ending.but != Some(*login)));
        if !matches!(told, Told::Refused(Refusal::LoggedOut)) {
            for ending in endings {
                let after = ending.told.is_some_and(|told| told < during.sent);
                let over = ending.sent > stay.begun.told && after;
                assert!(!over, "{told:?} under {stay:?}, which had ended: {ending:?}");
            }
            if !matches!(told, Told::Refused(_)) {
                let stay = self.logins.get_mut(login).expect("it was just looked up");
                stay.used = stay.used.max(Some(during.sent));
            }
            return;
        }
        let mut endings = endings;
        let was_ended = endings.any(|ending| ending.told.is_none_or(|told| told > stay.begun.sent));
        let crowded = self.asked.get(&stay.name).is_some_and(|count| *count >= LOGINS_MAX);
        let since_ms = |at: Micros| (during.told.0 - at.0) / 1000;
        let day_ms = LOGIN_MS / 30;
        let unused = stay.used.is_none_or(|at| since_ms(at) >= at_least(LOGIN_MS - day_ms));
        let over = unused && since_ms(stay.begun.sent) >= at_least(LOGIN_MS);
        assert!(was_ended || crowded || over, "{stay:?} has ended by {during:?}");
    }

    /// A URL is not posted a second time while its post is there and new.
    fn check_repost(&self, normal: &Bytes, key: &str, during: While) {
        for (other, post) in &self.posts {
            let before = other != key && post.normal == *normal && post.made.told < during.sent;
            if before && !self.unwanted.contains(other) {
                let age = (during.told.0 - post.made.sent.0) / 1000;
                assert!(age >= at_least(REPOST_MS), "{key} repeats {other} after {age} ms");
            }
        }
    }

    fn liked(&mut self, name: &str, post: &str, (on, count): (bool, u64), during: While) {
        let likes = self.likes.entry(post.to_owned()).or_default();
        let others =
            likes.iter().filter(|(other, liked)| *other != name && liked.told < during.sent);
        let faithful = Self::is_faithful(name, post);
        let certain = others.count() as u64 + u64::from(faithful);
        assert!(count >= certain, "{post} has {count} likes, and {certain} at least");
        assert!(on || !faithful, "it was never sent");
        if faithful {
            likes.entry(name.to_owned()).or_insert(during);
        }
    }

    /// Nothing is done more often than it may be, whichever time one looks back to.
    fn meter(&mut self, what: Metered, during: While) {
        let (count, each_ms) = what.limit();
        let done = self.meters.entry(what.clone()).or_default();
        done.push(during);
        for first in done.iter() {
            let since = done.iter().filter(|it| it.sent >= first.sent && it.told <= during.told);
            let times = since.count() as u64;
            let span_ms = (during.told.0 - first.sent.0) / 1000;
            let allowed = count + (span_ms + span_ms / 64 + 2) / each_ms;
            assert!(times <= allowed, "{what:?}: {times} times in {span_ms} ms");
        }
    }
}

/// Who does it.
pub fn login_of(act: &Act) -> Option<LoginId> {
    match act {
        Act::LogOutEverywhere { login }
        | Act::ChangePassword { login, .. }
        | Act::Post { login, .. }
        | Act::Retitle { login, .. }
        | Act::Delete { login, .. }
        | Act::Like { login, .. }
        | Act::Comment { login, .. }
        | Act::RemoveComment { login, .. }
        | Act::Hide { login, .. }
        | Act::Disable { login, .. } => Some(*login),
        Act::Appoint { by, .. } => *by,
        Act::Attempt { .. } | Act::SignUp { .. } | Act::LogIn { .. } | Act::LogOut { .. } => None,
    }
}

/// What a time by the cluster's clock comes to really, which may run a hundredth too fast.
fn at_least(ms: u64) -> u64 {
    ms / 101 * 100
}
