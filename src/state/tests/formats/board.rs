//! Those of the board.

use super::super::super::board::{
    self, Act, Attempt, Cursor, Deed, List, Refusal, Span, Standing as Stands, Told,
};
use super::*;

const LOGIN: [u8; 32] = *b"thirty-two bytes name one log-in";

fn every_act() -> Vec<(&'static str, Act)> {
    let (login, post) = (LOGIN, || "DxFdsGK3".to_owned());
    let address = || vec![192, 0, 2, 255].into();
    let attempt = |what| Act::Attempt { what, address: address() };
    let comment = |parent| {
        let text = "said \u{202e} so\n".into();
        Act::Comment { login, post: post(), parent, text }
    };
    let of_url = Act::Post {
        login,
        title: "An \"example\" <b>".into(),
        url: "https://www.Example.com/?utm_source=x".into(),
        normal: "example.com/".into(),
        host: "example.com".into(),
    };
    let reason = || "spam".to_owned();
    let hash = |of: &str| format!("$argon2id$v=19$m=19456,t=2,p=1${of}");
    let (old, new) = (hash("old"), hash("new"));
    let sign_up =
        |replaces| Act::SignUp { name: "Ann".into(), password: hash("a"), login, replaces };
    let log_in = |replaces| {
        let (password, address) = (hash("a"), address());
        Act::LogIn { user: 300, password, login, replaces, address }
    };
    vec![
        ("attempt-log-in", attempt(Attempt::LogIn("Ann".into()))),
        ("attempt-sign-up", attempt(Attempt::SignUp)),
        ("sign-up", sign_up(None)),
        ("sign-up-again", sign_up(Some([9; 32]))),
        ("log-in", log_in(None)),
        ("log-in-again", log_in(Some([9; 32]))),
        ("log-out", Act::LogOut { login }),
        ("log-out-everywhere", Act::LogOutEverywhere { login }),
        ("change-password", Act::ChangePassword { login, old, new }),
        ("post", of_url),
        ("retitle", Act::Retitle { login, post: post(), title: "another".into() }),
        ("delete", Act::Delete { login, post: post() }),
        ("like", Act::Like { login, post: post(), on: true }),
        ("unlike", Act::Like { login, post: post(), on: false }),
        ("comment", comment(None)),
        ("answer", comment(Some(300))),
        (
            "remove-comment",
            Act::RemoveComment { login, post: post(), comment: 300, reason: reason() },
        ),
        ("hide", Act::Hide { login, post: post(), hidden: true, reason: reason() }),
        ("disable", Act::Disable { login, name: "Bob".into(), disabled: true, reason: reason() }),
        ("appoint", Act::Appoint { by: Some(login), name: "Bob".into(), moderator: true }),
        ("appoint-by-operator", Act::Appoint { by: None, name: "Bob".into(), moderator: false }),
    ]
}

fn every_told() -> Vec<(&'static str, Told)> {
    vec![
        ("done", Told::Done),
        ("signed-up", Told::SignedUp(300)),
        ("posted", Told::Posted("DxFdsGK3".into())),
        ("posted-before", Told::PostedBefore("DxFdsGK3".into())),
        ("likes", Told::Likes(300)),
        ("commented", Told::Commented(300)),
        ("logged-out", Told::LoggedOut(3)),
    ]
}

const EVERY_REFUSAL: [(&str, Refusal); 12] = [
    ("too-often", Refusal::TooOften(60_000)),
    ("name-taken", Refusal::NameTaken),
    ("logged-out", Refusal::LoggedOut),
    ("password-changed", Refusal::PasswordChanged),
    ("disabled", Refusal::Disabled),
    ("no-user", Refusal::NoUser),
    ("no-post", Refusal::NoPost),
    ("no-comment", Refusal::NoComment),
    ("not-yours", Refusal::NotYours),
    ("too-late", Refusal::TooLate),
    ("not-moderator", Refusal::NotModerator),
    ("full", Refusal::Full),
];

#[test]
fn v1_acts_decode() {
    for (name, act) in every_act() {
        let command = Command::Board(act);
        let bytes = v1(&format!("command-board-{name}.bin"), &command.encode());
        assert_eq!(Command::decode(&bytes), Ok(command));
    }
}

#[test]
fn v1_replies_of_the_board_decode() {
    let refused =
        EVERY_REFUSAL.into_iter().map(|(name, why)| (name, Told::Refused(why), "refused-"));
    let told = every_told().into_iter().map(|(name, told)| (name, told, ""));
    for (name, told, kind) in told.chain(refused) {
        let reply = Reply::Board(told);
        let bytes =
            v1(&format!("reply-board-{kind}{name}.bin"), &rmp_serde::to_vec(&reply).unwrap());
        assert_eq!(rmp_serde::from_slice::<Reply>(&bytes).unwrap(), reply);
    }
}

#[test]
fn v1_row_of_an_owned_link_decodes() {
    let link = Link::Owned("https://example.com/".into());
    let row = v1("row-link-owned.bin", &links::encode(&link, at(5)));
    let mut rows = MemoryStore::default();
    rows.put(b"\x01\0\0\0\0DxFdsGK3", row.into());
    assert_eq!(lookup(&rows, "DxFdsGK3"), Ok(Some(link)));
}

#[test]
fn v1_meta_with_a_board_decodes() {
    let mut meta = example_meta();
    meta.kv = counters(meta.summary.revision);
    meta.board = board::Counters { wall_ms: 1_700_000_000_000, users: 2, posts: 1, comments: 2 };
    let bytes = v1("state-meta-board.bin", &meta.encode());
    assert_eq!(Meta::decode(&bytes), Ok(meta));
}

/// A state in which somebody has signed up, posted, commented, moderated: and the post's key.
fn example_board() -> (State<MemoryStore>, String) {
    let mut state = example_state();
    let mut index = 7;
    let mut act = |act: Act| {
        index += 1;
        let said = state.apply_command(at(index), id(3, index, 1), &Command::Board(act).encode());
        match said.unwrap() {
            Reply::Board(told) => told,
            reply => panic!("{reply:?}"),
        }
    };
    let mut key = "DxFdsGK3".to_owned();
    for what in [
        "sign-up",
        "appoint-by-operator",
        "post",
        "like",
        "comment",
        "answer",
        "retitle",
        "attempt-log-in",
    ] {
        let (_, mut it) = every_act().into_iter().find(|(name, _)| *name == what).unwrap();
        match &mut it {
            Act::Appoint { name, moderator, .. } => (*name, *moderator) = ("ann".into(), true),
            Act::Like { post, .. } | Act::Retitle { post, .. } => *post = key.clone(),
            Act::Comment { post, parent, .. } => {
                // The comment before it made the sixth revision.
                (*post, *parent) = (key.clone(), parent.map(|_| 6));
            }
            _ => {}
        }
        match act(it) {
            Told::Posted(posted) => key = posted,
            Told::Refused(why) => panic!("{what}: {why:?}"),
            _ => {}
        }
    }
    (state, key)
}

/// The tables of the board, and what their rows are called.
const TABLES: [(u8, &str); 18] = [
    (table::DEADLINES, "deadline"),
    (table::USERS, "user"),
    (table::NAMES, "name"),
    (table::MODERATORS, "moderator"),
    (table::LOGINS, "log-in"),
    (table::LOGINS_OF, "log-in-of"),
    (table::LIMITS, "limit"),
    (table::POSTS, "post"),
    (table::POSTED, "posted"),
    (table::LIKES, "like"),
    (table::HOT, "hot"),
    (table::NEWEST, "newest"),
    (table::TOP, "top"),
    (table::POSTS_OF, "post-of"),
    (table::HOSTS, "host"),
    (table::COMMENTS, "comment"),
    (table::THREADS, "thread"),
    (table::DEEDS, "deed"),
];

#[test]
fn v1_rows_of_the_board_decode() {
    let (state, key) = example_board();
    let mut rows = MemoryStore::default();
    for (table, name) in TABLES {
        let mut of_table = Vec::new();
        let visit = &mut |key: &[u8], value: &[u8]| {
            of_table.push([&(key.len() as u64).to_le_bytes()[..], key, value].concat());
            true
        };
        state.table().scan(&[table], Some(&[table + 1]), visit).unwrap();
        assert!(!of_table.is_empty(), "{name}");
        for (number, row) in of_table.iter().enumerate() {
            let row = v1(&format!("row-board-{name}-{number}.bin"), row);
            let (key, value) = row[8..].split_at(usize::from(row[0]));
            rows.put(key, Bytes::copy_from_slice(value));
        }
    }
    let user = board::user_named(&rows, "ANN").unwrap().unwrap();
    assert_eq!(
        (user.id, &user.name[..], user.moderator, user.posts, user.likes),
        (2, "Ann", true, 1, 1)
    );
    assert_eq!(board::login(&rows, &LOGIN).unwrap().unwrap().user, 2);
    assert_eq!(board::logins_of(&rows, 2), Ok(1));
    assert_eq!(board::moderators(&rows, 9), Ok(vec![user]));
    let post = board::post(&rows, &key).unwrap().unwrap();
    assert_eq!((post.likes, post.comments, post.said, &post.title[..]), (1, 2, 2, "another"));
    assert_eq!((post.edited_ms, post.standing), (Some(at(14).wall_ms), Stands::Shown));
    assert_eq!(board::is_liked(&rows, &key, 2), Ok(true));
    let spans = [Span::Day, Span::Week, Span::Year].map(List::Top);
    let others = [List::Hot, List::Newest, List::Of(2), List::Host("example.com".into())];
    for list in spans.into_iter().chain(others) {
        let page = board::page(&rows, &list, None, post.wall_ms, 9).unwrap();
        assert_eq!(page.lines.len(), 1, "{list:?}");
        assert_eq!((&page.lines[0].post, &page.lines[0].author[..]), (&post, "Ann"));
        let nowhere = Cursor(vec![0xff; 16]);
        let page = board::page(&rows, &list, Some(&nowhere), post.wall_ms, 9).unwrap();
        assert_eq!((page.lines.len(), page.next), (0, None));
    }
    let said = board::comments(&rows, &key, None, 9).unwrap().comments;
    assert_eq!(said.iter().map(|(it, _)| (it.thread, it.id)).collect::<Vec<_>>(), [(6, 6), (6, 7)]);
    assert_eq!(board::comment(&rows, &key, 7).unwrap().as_ref(), Some(&said[1].0));
    let deeds = board::moderation(&rows, None, 9).unwrap().deeds;
    assert_eq!(deeds.len(), 1);
    assert_eq!((&deeds[0].0.deed, deeds[0].0.by), (&Deed::Appointed(2), None));
}
