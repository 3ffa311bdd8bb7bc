//! The board through the acts that clients send.

use super::*;
use crate::ids::{Id128, WriteId};
use crate::state::{At, Command, Reply, State};
use crate::storage::MemoryStore;

mod accounts;
mod any;
mod basics;
mod cost;
mod limits;
mod lists;
mod model;
mod moderation;
mod naive;
mod posts;
mod sound;

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;

/// The wall clock when the cluster's shows 0.
const WALL_MS: u64 = 1_700_000_000_000;

/// A state to which acts are applied, and which is checked after each of them.
#[derive(Clone)]
struct Bench {
    state: State<MemoryStore>,
    clock_ms: u64,
    wall_ms: u64,
    /// How many log-ins were drawn.
    logins: u64,
}

impl Bench {
    fn new() -> Self {
        let state = State::new(MemoryStore::default(), Id128([7; 16]));
        let clock_ms = 1_000_000;
        let mut bench = Self { state, clock_ms, wall_ms: WALL_MS + clock_ms, logins: 0 };
        bench.apply(&Command::RegisterSession { node: 1, nonce: 1 });
        bench.apply(&Command::RaiseVersion { version: 3 });
        bench
    }

    fn apply(&mut self, command: &Command) -> Reply {
        let reply = self.apply_unchecked(command);
        sound::check(&self.state);
        reply
    }

    fn apply_unchecked(&mut self, command: &Command) -> Reply {
        let (index, clock_ms) = (self.state.summary().applied + 1, self.clock_ms);
        let at = At { index, term: 1, clock_ms, wall_ms: self.wall_ms };
        let write = WriteId { session: 1, seq: index, floor: index };
        self.state.apply_command(at, write, &command.encode()).unwrap()
    }

    fn act(&mut self, act: Act) -> Told {
        match self.apply(&Command::Board(act)) {
            Reply::Board(told) => told,
            reply => panic!("{reply:?}"),
        }
    }

    /// Why an act is refused that changes nothing.
    fn refused(&mut self, act: Act) -> Refusal {
        let before = (self.state.summary().revision, self.state.summary().rows_digest);
        let told = self.act(act);
        assert_eq!((self.state.summary().revision, self.state.summary().rows_digest), before);
        match told {
            Told::Refused(refusal) => refusal,
            told => panic!("{told:?}"),
        }
    }

    /// Lets time pass, by both clocks.
    fn pass(&mut self, ms: u64) {
        self.clock_ms += ms;
        self.wall_ms += ms;
    }

    fn expire(&mut self) -> u64 {
        match self.apply(&Command::Expire) {
            Reply::Expired { count } => count,
            reply => panic!("{reply:?}"),
        }
    }

    fn draw(&mut self) -> LoginId {
        self.logins += 1;
        let mut id = [0xee; 32];
        id[..8].copy_from_slice(&self.logins.to_be_bytes());
        id
    }

    /// Signs up, and gives the log-in.
    fn sign_up(&mut self, name: &str) -> LoginId {
        let login = self.draw();
        let told = self.act(Act::SignUp {
            name: name.into(),
            password: password(name),
            login,
            replaces: None,
        });
        assert_eq!(told, Told::SignedUp(self.revision()));
        login
    }

    /// Logs in, and gives the log-in.
    fn log_in(&mut self, name: &str) -> LoginId {
        let (user, login) = (self.user(name).id, self.draw());
        let told = self.act(log_in_of(user, &password(name), login, None));
        assert_eq!(told, Told::Done);
        login
    }

    /// Posts something, and gives its key.
    fn post(&mut self, login: LoginId, path: &str) -> String {
        match self.act(post_of(login, path)) {
            Told::Posted(key) => key,
            told => panic!("{told:?}"),
        }
    }

    fn like(&mut self, login: LoginId, post: &str, on: bool) -> u64 {
        match self.act(Act::Like { login, post: post.into(), on }) {
            Told::Likes(likes) => likes,
            told => panic!("{told:?}"),
        }
    }

    fn say(&mut self, login: LoginId, post: &str, parent: Option<CommentId>) -> CommentId {
        let text = format!("said {parent:?}");
        match self.act(Act::Comment { login, post: post.into(), parent, text }) {
            Told::Commented(id) => id,
            told => panic!("{told:?}"),
        }
    }

    fn user(&self, name: &str) -> User {
        user_named(self.state.table(), name).unwrap().expect("there is such a user")
    }

    fn found(&self, key: &str) -> Post {
        post(self.state.table(), key).unwrap().expect("there is such a post")
    }

    fn revision(&self) -> u64 {
        self.state.summary().revision
    }

    fn counters(&self) -> Counters {
        self.state.meta().board
    }

    /// The keys of a list, read by pages of this size.
    fn list(&self, list: &List, lines_max: usize) -> Vec<String> {
        let now_ms = self.counters().wall_ms;
        let lines = by_pages(|after| {
            let page = page(self.state.table(), list, after, now_ms, lines_max).unwrap();
            assert!(page.lines.len() <= lines_max);
            (page.lines, page.next)
        });
        lines.into_iter().map(|line| line.post.key).collect()
    }

    /// The comments of a post, likewise.
    fn comments(&self, post: &str, max: usize) -> Vec<Comment> {
        let comments = by_pages(|after| {
            let page = comments(self.state.table(), post, after, max).unwrap();
            assert!(page.comments.len() <= max);
            (page.comments, page.next)
        });
        comments.into_iter().map(|(comment, _)| comment).collect()
    }

    /// The moderators' log, likewise.
    fn deeds(&self, max: usize) -> Vec<Moderated> {
        let deeds = by_pages(|after| {
            let page = moderation(self.state.table(), after, max).unwrap();
            assert!(page.deeds.len() <= max);
            (page.deeds, page.next)
        });
        deeds.into_iter().map(|(deed, _)| deed).collect()
    }
}

/// All that is on the pages of something.
fn by_pages<R>(mut page: impl FnMut(Option<&Cursor>) -> (Vec<R>, Option<Cursor>)) -> Vec<R> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let (more, next) = page(after.as_ref());
        all.extend(more);
        let Some(next) = next else { return all };
        assert_ne!(Some(&next), after.as_ref(), "a page goes on");
        after = Some(next);
    }
}

/// What stands for the hash of a user's password.
fn password(name: &str) -> String {
    format!("$argon2id$of {}", name.to_ascii_lowercase())
}

/// Where they log in from.
const ADDRESS: [u8; 4] = [10, 0, 0, 1];

fn log_in_of(user: UserId, password: &str, login: LoginId, replaces: Option<LoginId>) -> Act {
    let (password, address) = (password.into(), Bytes::from_static(&ADDRESS));
    Act::LogIn { user, password, login, replaces, address }
}

fn post_of(login: LoginId, path: &str) -> Act {
    Act::Post {
        login,
        title: format!("About {path}"),
        url: format!("https://www.example.com/{path}").into(),
        normal: format!("example.com/{path}").into(),
        host: "example.com".into(),
    }
}
