//! Against a board that does everything in the most naive way: whatever people do, the two must tell the
//! same and show the same.

use bytes::Bytes;
use proptest::prelude::*;

use super::naive::Model;
use super::*;
use crate::state::{Meta, Restore};

/// What happens next. Numbers choose among what is there.
#[derive(Clone, Debug)]
enum Step {
    Act(What, usize, usize, bool),
    /// Somebody guesses the password of a name, from several addresses in turn.
    Guess(usize, u8),
    Wait(u64),
    /// The leader's wall clock is another.
    SetWall(i64),
    Expire,
    Restart,
    Save,
    Restore,
}

#[derive(Clone, Copy, Debug)]
enum What {
    AttemptLogIn,
    AttemptSignUp,
    SignUp,
    LogIn,
    LogOut,
    LogOutEverywhere,
    ChangePassword,
    Post,
    Retitle,
    Delete,
    Like,
    Comment,
    RemoveComment,
    Hide,
    Disable,
    Appoint,
}

const NAMES: [&str; 6] = ["ann", "Bob", "bOB", "cleo", "dora", "ANN"];

fn a_step() -> impl Strategy<Value = Step> {
    let what = prop_oneof![
        2 => Just(What::AttemptLogIn),
        2 => Just(What::AttemptSignUp),
        4 => Just(What::SignUp),
        4 => Just(What::LogIn),
        1 => Just(What::LogOut),
        1 => Just(What::LogOutEverywhere),
        1 => Just(What::ChangePassword),
        14 => Just(What::Post),
        2 => Just(What::Retitle),
        5 => Just(What::Delete),
        14 => Just(What::Like),
        18 => Just(What::Comment),
        3 => Just(What::RemoveComment),
        6 => Just(What::Hide),
        6 => Just(What::Disable),
        5 => Just(What::Appoint),
    ];
    let wait = prop::sample::select(vec![
        1,
        1_000,
        MINUTE_MS,
        HOUR_MS,
        EDIT_MS - 1,
        EDIT_MS,
        DAY_MS - 1,
        DAY_MS,
        7 * DAY_MS,
        REPOST_MS - 1,
        REPOST_MS,
        LOGIN_MS + LOGIN_MS / 64 + 1,
        200 * DAY_MS,
    ]);
    let slip = prop::sample::select(vec![-40 * DAY_MS.cast_signed(), -1, 1, DAY_MS.cast_signed()]);
    prop_oneof![
        60 => (what, 0..6usize, 0..6usize, any::<bool>())
            .prop_map(|(what, a, b, flag)| Step::Act(what, a, b, flag)),
        2 => (0..6usize, 1..12u8).prop_map(|(name, addresses)| Step::Guess(name, addresses)),
        8 => wait.prop_map(Step::Wait),
        1 => slip.prop_map(Step::SetWall),
        4 => Just(Step::Expire),
        1 => Just(Step::Restart),
        1 => Just(Step::Save),
        1 => Just(Step::Restore),
    ]
}

/// Both of them, and the last backup.
struct Pair {
    bench: Bench,
    model: Model,
    backup: Option<(State<MemoryStore>, Model)>,
    drawn: Vec<LoginId>,
}

impl Pair {
    fn new() -> Self {
        let bench = Bench::new();
        let (revision, now_ms, wall_ms) = (bench.revision(), bench.clock_ms, bench.wall_ms);
        let model = Model { revision, now_ms, wall_ms, ..Model::default() };
        Self { bench, model, backup: None, drawn: Vec::new() }
    }

    /// One of the last log-ins that stand, or now and then one that may have ended.
    fn login(&self, number: usize) -> LoginId {
        let last = self.model.logins.keys().rev().copied();
        let found =
            if number == 5 { self.drawn.first().copied() } else { last.cycle().nth(number) };
        found.unwrap_or([0; 32])
    }

    /// One of the last posts that are shown, or now and then one that may not be.
    fn key(&self, number: usize) -> String {
        let last = self.model.written.iter().rev().map(|it| &it.post);
        let mut shown = last.clone().filter(|post| post.standing == Standing::Shown);
        let found = if number > 3 { last.clone().nth(number - 4) } else { shown.nth(number) };
        found.map_or_else(|| "nosuchpost".into(), |post| post.key.clone())
    }

    fn act(&mut self, what: What, a: usize, b: usize, flag: bool) -> Act {
        let name = NAMES[b].to_owned();
        let address = Bytes::from(vec![10, 0, 0, u8::from(flag)]);
        let (login, key) = (self.login(a), self.key(b));
        let replaces = b.is_multiple_of(2).then_some(login);
        let new_login = if flag || a > 0 { self.bench.draw() } else { login };
        match what {
            What::AttemptLogIn => Act::Attempt { what: Attempt::LogIn(name), address },
            What::AttemptSignUp => Act::Attempt { what: Attempt::SignUp, address },
            What::SignUp => {
                self.drawn.push(new_login);
                let password = if flag { password(&name) } else { "another".into() };
                Act::SignUp { name, password, login: new_login, replaces }
            }
            What::LogIn => {
                self.drawn.push(new_login);
                let user = self.model.users.get(b % 4).map_or(99_999, |user| user.id);
                let of = self.model.users.get(b % 4).map(|user| user.password.clone());
                let password = of.filter(|_| a > 0).unwrap_or_else(|| "wrong".into());
                Act::LogIn { user, password, login: new_login, replaces, address }
            }
            What::LogOut => Act::LogOut { login },
            What::LogOutEverywhere => Act::LogOutEverywhere { login },
            What::ChangePassword => {
                let old = if flag { password(&name) } else { "another".into() };
                Act::ChangePassword { login, old, new: format!("new {b}") }
            }
            What::Post => {
                let host = if flag { "example.com" } else { "example.org" };
                Act::Post {
                    login,
                    title: format!("title {b}"),
                    url: format!("https://{host}/{}?{a}", b % 3).into(),
                    normal: format!("{host}/{}", b % 3).into(),
                    host: host.into(),
                }
            }
            What::Retitle => {
                let title = format!("title {}", if flag { b } else { a });
                Act::Retitle { login, post: key, title }
            }
            What::Delete => Act::Delete { login, post: key },
            What::Like => Act::Like { login, post: key, on: flag || a > 1 },
            What::Comment => {
                let parent = flag.then(|| self.comment(&key, a));
                Act::Comment { login, post: key, parent, text: format!("said {b}") }
            }
            What::RemoveComment => {
                let comment = self.comment(&key, usize::from(flag));
                Act::RemoveComment { login, post: key, comment, reason: "spam".into() }
            }
            What::Hide => Act::Hide { login, post: key, hidden: flag, reason: "spam".into() },
            What::Disable => Act::Disable { login, name, disabled: flag, reason: String::new() },
            What::Appoint => {
                Act::Appoint { by: (a > 2).then_some(login), name, moderator: flag || a == 0 }
            }
        }
    }

    fn comment(&self, key: &str, number: usize) -> CommentId {
        let written = self.model.written.iter().find(|it| it.post.key == key);
        let comments = written.map(|it| &it.comments[..]).unwrap_or_default();
        comments.iter().cycle().nth(number).map_or(77_777, |comment| comment.id)
    }

    /// An entry is about to be applied.
    fn next_entry(&mut self) {
        self.model.index = self.bench.state.summary().applied + 1;
        self.model.wall_ms = self.bench.wall_ms;
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Act(what, a, b, flag) => {
                let act = self.act(*what, *a, *b, *flag);
                self.next_entry();
                let expected = self.model.apply(&act);
                assert_eq!(self.bench.act(act.clone()), expected, "{act:?}");
            }
            Step::Guess(name, addresses) => {
                for number in 0..60 {
                    let address = Bytes::from(vec![10, 0, 0, number % addresses]);
                    let act =
                        Act::Attempt { what: Attempt::LogIn(NAMES[*name].to_owned()), address };
                    self.next_entry();
                    let expected = self.model.apply(&act);
                    let told = self.bench.apply_unchecked(&Command::Board(act));
                    assert_eq!(told, Reply::Board(expected), "{number} of {step:?}");
                }
                sound::check(&self.bench.state);
            }
            Step::Wait(ms) => {
                self.bench.pass(*ms);
                self.model.now_ms += ms;
            }
            Step::SetWall(ms) => {
                self.bench.wall_ms = self.bench.wall_ms.saturating_add_signed(*ms);
            }
            Step::Expire => {
                self.next_entry();
                let expected = self.model.expire();
                assert_eq!(self.bench.expire(), expected);
                let next = self.bench.state.next_expiry();
                assert_eq!(
                    next.is_some(),
                    !self.model.left.is_empty() || !self.model.logins.is_empty()
                );
            }
            Step::Restart => {
                let table = self.bench.state.table().clone();
                let meta = self.bench.state.meta_bytes();
                self.bench.state = State::restore(table, &meta).unwrap();
            }
            Step::Save => {
                let mut saved = self.model.clone();
                let meta = self.bench.state.meta();
                // Where the backup's clocks stand: at the last entry.
                saved.now_ms = meta.state_clock_ms();
                saved.wall_ms = meta.board.wall_ms;
                self.backup = Some((self.bench.state.clone(), saved));
            }
            Step::Restore => self.restore(),
        }
    }

    fn restore(&mut self) {
        let Some((backup, saved)) = self.backup.clone() else { return };
        self.next_entry();
        let meta = Meta::of_backup(crate::state::Standing::of(backup.meta()));
        let restore = Restore {
            file: Id128([5; 16]),
            sha256: [6; 32],
            not_after_ms: u64::MAX,
            revision: meta.summary.revision,
            clock_ms: meta.state_clock_ms(),
        };
        let revision = self.model.revision.max(saved.revision) + 1;
        let reply = self.bench.apply_unchecked(&Command::Restore(restore));
        assert_eq!(reply, Reply::Restored { revision });
        self.bench.state.take_restore().expect("one was applied");
        self.bench.state.replace_rows(backup.into_table(), &meta);
        sound::check(&self.bench.state);
        let (wall_ms, index) = (self.model.wall_ms.max(saved.wall_ms), self.model.index);
        self.model = Model { revision, wall_ms, index, ..saved };
    }

    fn compare(&self, lines_max: usize) {
        let Self { bench, model, .. } = self;
        let state = &bench.state;
        assert_eq!(sound::users(state), model.users);
        let logins = model.logins.iter().map(|(id, (_, login))| (*id, login.clone()));
        assert_eq!(sound::logins(state), logins.collect::<Vec<_>>());
        let mut posts: Vec<_> = model.written.iter().map(|it| it.post.clone()).collect();
        posts.sort_by(|a, b| a.key.cmp(&b.key));
        assert_eq!(sound::posts(state), posts);
        let mut lists = vec![List::Hot, List::Newest];
        lists.extend([Span::Day, Span::Week, Span::Year].map(List::Top));
        lists.extend(["example.com", "example.org", "x"].map(|host| List::Host(host.into())));
        lists.extend(model.users.iter().map(|user| List::Of(user.id)));
        for list in lists {
            assert_eq!(bench.list(&list, lines_max), model.list(&list), "{list:?}");
        }
        for written in &model.written {
            let mut expected = written.comments.clone();
            expected.sort_by_key(|comment| (comment.thread, comment.id));
            assert_eq!(bench.comments(&written.post.key, lines_max), expected);
        }
        let newest_first: Vec<_> = model.deeds.iter().rev().cloned().collect();
        assert_eq!(bench.deeds(lines_max), newest_first);
        assert_eq!((bench.revision(), bench.counters().wall_ms), (model.revision, model.wall_ms));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_board_is_what_the_naive_one_is(
        steps in prop::collection::vec(a_step(), 1..100), lines_max in 1..4usize,
    ) {
        let mut pair = Pair::new();
        for step in steps {
            pair.step(&step);
            pair.compare(lines_max);
        }
    }
}
