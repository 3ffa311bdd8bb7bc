//! Clients of the link board: browsers, of which each talks to whichever node answers.
//!
//! Whatever they are told is compared with the reference elsewhere. Here they remember what they were
//! told ([`promises`]), and insist on it: a like that was acknowledged counts once, nothing is done under
//! a log-in whose end was acknowledged, a post is there for good, a name is one user's.

mod people;
mod promises;

use bowline::raft::{Micros, NodeId};
use bowline::replica::Request;
use bowline::state::board::{self, Act, List, Refusal, Span, Standing, Told};
use bowline::state::{Command, Link, Reply, VERSION_BOARD, lookup};
use rand::RngExt;
use rand::rngs::StdRng;

use super::Cluster;
use super::clients::{Question, under_own_key};
use crate::disk::Copy;
use crate::reference::Sought;
use people::People;
use promises::{Promises, While, login_of};

/// Something that a browser sends, perhaps more than once.
#[derive(Clone, Debug)]
pub struct Errand {
    act: Act,
    number: u64,
    /// When it was sent first.
    sent: Micros,
    /// The client's own key for it.
    under: Option<String>,
}

/// All who use the board, and what they remember.
pub struct BoardClients {
    people: People,
    promises: Promises,
    /// Somebody has clicked twice.
    double: Option<Act>,
    /// What was sent under a client's own key, and will be sent once more.
    again: Vec<Errand>,
}

impl BoardClients {
    pub fn new(seed: u64) -> Self {
        let (people, promises) = (People::new(seed), Promises::default());
        Self { people, promises, double: None, again: Vec::new() }
    }
}

impl Cluster {
    /// What a browser asks of this node.
    pub(super) fn ask_board(&mut self, id: NodeId) -> Option<(Request, Question)> {
        if !self.takes_commands_of(id, VERSION_BOARD) {
            return None;
        }
        let must_see = self.acknowledged_index;
        if self.rng.random_bool(0.1) {
            let sought = self.seek()?;
            // A browser says what it has seen, and is shown no less.
            let says_it = self.rng.random_bool(0.7);
            let request = if says_it { Request::Applied(must_see) } else { Request::ReadIndex };
            return Some((request, Question::Browse { must_see, sought }));
        }
        let errand = self.next_errand_of_board()?;
        self.board.promises.sent(&errand.act, errand.number, errand.sent);
        let command = Command::Board(errand.act.clone());
        let command = match &errand.under {
            Some(key) => under_own_key(key, command),
            None => command,
        };
        Some((Request::Write(command.encode()), Question::Board { must_see, errand }))
    }

    fn next_errand_of_board(&mut self) -> Option<Errand> {
        let BoardClients { people, promises, double, again } = &mut self.board;
        if self.rng.random_bool(0.1)
            && let Some(errand) = again.pop()
        {
            return Some(errand);
        }
        let act = match double.take() {
            Some(act) => act,
            None => people.think(&mut self.rng, promises)?,
        };
        if may_be_repeated(&act) && self.rng.random_bool(0.15) {
            *double = Some(act.clone());
        }
        let under = may_be_repeated(&act) && self.rng.random_bool(0.1);
        let under = under.then(|| format!("board {}", self.asked));
        Some(Errand { act, number: self.asked, sent: self.now.mono, under })
    }

    fn seek(&mut self) -> Option<Sought> {
        let (rng, people) = (&mut self.rng, &self.board.people);
        let list = match rng.random_range(0..10) {
            0..=2 => List::Hot,
            3 => List::Newest,
            4 => List::Top(some_span(rng)),
            5 => List::Of(people.some_user(rng)?),
            6 => List::Host(People::some_host(rng)),
            7 => return Some(Sought::Log),
            _ => return Some(Sought::Comments(people.some_post(rng)?)),
        };
        Some(Sought::List(list))
    }

    /// A browser may look now, and turns all the pages over.
    pub(super) fn browse(&mut self, id: NodeId, sought: &Sought) {
        let page_max = self.rng.random_range(1..6);
        let machine = self.machines.get_mut(&id).unwrap();
        let Some(process) = super::store::trusted(machine) else { return };
        self.checks.read_board(&process.copy, sought, page_max);
    }

    /// An act was answered.
    pub(super) fn on_board_reply(&mut self, must_see: u64, errand: Errand, reply: Reply, at: u64) {
        assert!(at > must_see, "{errand:?} was done at {at}, before {must_see}");
        self.acknowledged_index = self.acknowledged_index.max(at);
        let (reply, replayed) = match reply {
            Reply::Replayed(first) if errand.under.is_some() => (*first, true),
            reply => (reply, false),
        };
        let told = match reply {
            Reply::Board(told) => told,
            Reply::UnknownSession => return self.on_board_silence(errand),
            reply => panic!("{errand:?} was told {reply:?}"),
        };
        let Errand { number, sent, .. } = errand;
        let during = While { number, sent, told: self.now.mono };
        let BoardClients { people, promises, again, .. } = &mut self.board;
        promises.told(&errand.act, &told, during);
        if let (Some(login), Told::Refused(Refusal::LoggedOut)) = (login_of(&errand.act), &told) {
            people.is_logged_out(&mut self.rng, login);
        }
        match (&errand.act, &told) {
            (Act::SignUp { name, password, login, .. }, Told::SignedUp(user)) => {
                people.has_account(*user, name, password, *login);
            }
            (Act::LogIn { login, .. }, Told::Done) => people.is_logged_in(*login),
            (Act::ChangePassword { login, new, .. }, Told::Done) => {
                people.may_have_password(promises.name_of(login), new);
            }
            (Act::LogIn { user, password, .. }, Told::Refused(Refusal::PasswordChanged)) => {
                people.has_other_password(*user, password);
            }
            (Act::Post { .. }, Told::Posted(key)) => people.knows_post(key),
            (Act::Comment { post, .. }, Told::Commented(id)) => people.knows_comment(post, *id),
            _ => {}
        }
        self.seen.take_note_of_board(&told);
        if errand.under.is_some() && !replayed {
            again.push(errand); // a browser that did not get the answer
        }
    }

    /// An act failed, or its node died.
    pub(super) fn on_board_silence(&mut self, errand: Errand) {
        let BoardClients { people, promises, again, .. } = &mut self.board;
        if let Act::ChangePassword { login, new, .. } = &errand.act {
            people.may_have_password(promises.name_of(login), new);
        }
        if errand.under.is_some() {
            again.push(errand);
        }
    }

    /// What was promised to browsers is so on a machine.
    pub(super) fn check_promises(&self, copy: &Copy) {
        let (rows, promises) = (copy.state.table(), &self.board.promises);
        for (id, name) in &promises.users {
            for name in [name.clone(), name.to_lowercase(), name.to_uppercase()] {
                let user = board::user_named(rows, &name).unwrap();
                assert_eq!(user.map(|user| user.id), Some(*id), "{name}");
            }
        }
        for (key, promised) in &promises.posts {
            let post = board::post(rows, key).unwrap().expect("a post is there for good");
            assert_eq!(post.url, promised.url, "{key}");
            let shown = post.standing == Standing::Shown;
            assert!(shown || promises.unwanted.contains(key), "{post:?} was taken away");
            assert!(!shown || !promises.deleted.contains(key), "{post:?} was deleted");
            let titled = post.title == promised.title || promises.retitled.contains(key);
            assert!(titled, "{post:?} was called {}", promised.title);
            let link = if shown { Link::Owned(post.url.clone()) } else { Link::Gone };
            assert_eq!(lookup(rows, key).unwrap(), Some(link), "{key}");
            let likes = |user| board::is_liked(rows, key, user).unwrap();
            let likers = promises.users.keys().filter(|user| likes(**user)).count();
            assert_eq!(post.likes, likers as u64, "{post:?}");
            for name in promises.likes.get(key).into_iter().flat_map(|likes| likes.keys()) {
                assert!(likes(promises.names[name]), "{name} likes {post:?} no longer");
            }
        }
        for ((post, id), text) in &promises.comments {
            let comment = board::comment(rows, post, *id).unwrap().expect("it is there for good");
            let shown = comment.standing == Standing::Shown && comment.text == *text;
            assert!(shown || promises.unwanted_comments.contains(id), "{comment:?}");
        }
    }
}

/// What makes sense to be done twice, and is as good as done once; or is found to be done already.
fn may_be_repeated(act: &Act) -> bool {
    matches!(
        act,
        Act::SignUp { .. }
            | Act::Post { .. }
            | Act::Retitle { .. }
            | Act::Delete { .. }
            | Act::Like { .. }
            | Act::Comment { .. }
    )
}

fn some_span(rng: &mut StdRng) -> Span {
    [Span::Day, Span::Week, Span::Year][rng.random_range(0..3)]
}
