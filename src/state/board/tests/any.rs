//! Acts at random: what can be decoded can be applied, whatever it says and whenever it is.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

fn a_login() -> impl Strategy<Value = LoginId> {
    prop_oneof![3 => Just([1; 32]), 2 => Just([2; 32]), 1 => any::<[u8; 32]>()]
}

fn a_text() -> impl Strategy<Value = String> {
    let some = ["", "ann", "BOB", "\u{202e}\0", "😀", "x/../y"].map(String::from).to_vec();
    prop_oneof![3 => prop::sample::select(some), 1 => ".{0,40}"]
}

/// The post that is there, or something else.
fn a_post() -> impl Strategy<Value = String> {
    prop_oneof![3 => Just("the post".to_owned()), 1 => a_text(), 1 => "[A-Za-z0-9_-]{8,43}"]
}

fn an_act() -> impl Strategy<Value = Act> {
    let (text, login) = (a_text, a_login);
    let bytes = || prop::collection::vec(any::<u8>(), 0..16).prop_map(Bytes::from);
    let id = || prop_oneof![0u64..12, any::<u64>()];
    prop_oneof![
        (text(), bytes(), any::<bool>()).prop_map(|(name, address, log_in)| Act::Attempt {
            what: if log_in { Attempt::LogIn(name) } else { Attempt::SignUp },
            address,
        }),
        (text(), text(), login(), prop::option::of(login())).prop_map(
            |(name, password, login, replaces)| Act::SignUp { name, password, login, replaces }
        ),
        (id(), text(), login(), prop::option::of(login()), bytes()).prop_map(
            |(user, password, login, replaces, address)| Act::LogIn {
                user,
                password,
                login,
                replaces,
                address
            }
        ),
        login().prop_map(|login| Act::LogOut { login }),
        login().prop_map(|login| Act::LogOutEverywhere { login }),
        (login(), text(), text()).prop_map(|(login, old, new)| Act::ChangePassword {
            login,
            old,
            new
        }),
        (login(), text(), bytes(), bytes(), text()).prop_map(
            |(login, title, url, normal, host)| Act::Post { login, title, url, normal, host }
        ),
        (login(), a_post(), text()).prop_map(|(login, post, title)| Act::Retitle {
            login,
            post,
            title
        }),
        (login(), a_post()).prop_map(|(login, post)| Act::Delete { login, post }),
        (login(), a_post(), any::<bool>()).prop_map(|(login, post, on)| Act::Like {
            login,
            post,
            on
        }),
        (login(), a_post(), prop::option::of(id()), text())
            .prop_map(|(login, post, parent, text)| Act::Comment { login, post, parent, text }),
        (login(), a_post(), id(), text()).prop_map(|(login, post, comment, reason)| {
            Act::RemoveComment { login, post, comment, reason }
        }),
        (login(), a_post(), any::<bool>(), text())
            .prop_map(|(login, post, hidden, reason)| Act::Hide { login, post, hidden, reason }),
        (login(), text(), any::<bool>(), text()).prop_map(|(login, name, disabled, reason)| {
            Act::Disable { login, name, disabled, reason }
        }),
        (prop::option::of(login()), text(), any::<bool>())
            .prop_map(|(by, name, moderator)| Act::Appoint { by, name, moderator }),
    ]
}

/// Puts the post that is there where the act says so.
fn with_post(mut act: Act, key: &str) -> Act {
    if let Act::Retitle { post, .. }
    | Act::Delete { post, .. }
    | Act::Like { post, .. }
    | Act::Comment { post, .. }
    | Act::RemoveComment { post, .. }
    | Act::Hide { post, .. } = &mut act
        && post == "the post"
    {
        *post = key.to_owned();
    }
    act
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_can_be_decoded_can_be_applied_at_any_time(
        acts in prop::collection::vec((an_act(), 0..20u32), 1..60),
        starts in prop::sample::select(vec![0, 1_000_000, u64::MAX - 1_000_000, u64::MAX]),
        wall_ms in prop::sample::select(vec![0, WALL_MS, u64::MAX]),
    ) {
        let mut bench = Bench::new();
        (bench.clock_ms, bench.wall_ms) = (starts.max(bench.clock_ms), wall_ms);
        for (name, login) in [("Ann", [1; 32]), ("bob", [2; 32])] {
            bench.act(Act::SignUp { name: name.into(), password: String::new(), login, replaces: None });
        }
        bench.act(Act::Appoint { by: None, name: "ann".into(), moderator: true });
        let mut key = match bench.act(post_of([1; 32], "1")) {
            Told::Posted(key) => key,
            told => {
                // At the end of time every log-in has ended.
                prop_assert_eq!(told, Told::Refused(Refusal::LoggedOut));
                "nosuchpost".to_owned()
            }
        };
        for (act, pause) in acts {
            bench.clock_ms = bench.clock_ms.saturating_add(1 << pause);
            let command = Command::Board(with_post(act, &key));
            if Command::decode(&command.encode()).is_err() {
                continue;
            }
            if let Reply::Board(Told::Posted(posted)) = bench.apply(&command) {
                key = posted;
            }
            if pause == 0 {
                bench.expire();
            }
            for list in [List::Hot, List::Top(Span::Day), List::Top(Span::Year)] {
                bench.list(&list, 2);
            }
        }
    }
}

/// Bounds of lists and texts are for people; here is what the log itself lets through.
#[test]
fn the_longest_that_can_be_said_stands_in_every_list_and_ends_like_all_else() {
    let mut bench = Bench::new();
    let (most, name) = ("😀".repeat(16 << 10), "\u{202e}".repeat(85));
    let login = [1; 32];
    let sign_up = Act::SignUp { name: name.clone(), password: most.clone(), login, replaces: None };
    let Told::SignedUp(user) = bench.act(sign_up) else { panic!("the name is free") };
    bench.act(Act::Appoint { by: None, name, moderator: true });
    let address = Bytes::from(vec![0xff; 16]);
    bench.act(Act::Attempt { what: Attempt::LogIn(most.clone()), address });
    let (url, normal) = (Bytes::from(most.clone()), Bytes::from(most.clone()));
    let post = Act::Post { login, title: most.clone(), url, normal, host: most.clone() };
    let Told::Posted(key) = bench.act(post) else { panic!("it is new") };
    bench.like(login, &key, true);
    let say =
        |post: &str| Act::Comment { login, post: post.into(), parent: None, text: most.clone() };
    let Told::Commented(comment) = bench.act(say(&key)) else { panic!("there is room") };
    assert_eq!(bench.refused(say(&most)), Refusal::NoPost);
    // Too late for an author, so that it stands in the log.
    bench.pass(7 * HOUR_MS);
    let (post, reason) = (key.clone(), most.clone());
    bench.act(Act::RemoveComment { login, post, comment, reason });
    let (name, reason) = (most.clone(), most.clone());
    let disable = Act::Disable { login, name, disabled: true, reason };
    assert_eq!(bench.refused(disable), Refusal::NoUser);

    let lists = [List::Hot, List::Newest, List::Of(user), List::Host(most.clone())];
    for list in lists.into_iter().chain([Span::Day, Span::Week, Span::Year].map(List::Top)) {
        assert_eq!(bench.list(&list, 1), [key.as_str()], "{list:?}");
    }
    assert_eq!((bench.comments(&key, 1).len(), bench.deeds(1).len()), (1, 2));
    assert_eq!(read::user(bench.state.table(), user).unwrap().unwrap().password, most);
    bench.pass(40 * DAY_MS);
    assert!(bench.expire() > 0);
    assert_eq!((bench.state.next_expiry(), logins_of(bench.state.table(), user)), (None, Ok(0)));
}
