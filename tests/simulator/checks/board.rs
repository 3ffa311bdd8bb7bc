//! What a reader of the link board finds on a machine is what should be there.

use bowline::state::board::{self, Line, List};
use bowline::state::{Standing, lookup};

use super::{Checks, is_odd};
use crate::disk::Copy;
use crate::machine::Machine;
use crate::reference::{Board, Found, Sought};

impl Checks {
    /// A reader goes through all pages of something.
    pub fn read_board(&self, copy: &Copy, sought: &Sought, page_max: usize) {
        let applied = copy.applied();
        let (board, wall_ms) = self.reference.board(applied);
        let found = read(copy, sought, page_max);
        let expected = board.find(sought, wall_ms);
        if let (Sought::List(List::Hot), Found::List(found), Found::List(expected)) =
            (sought, &found, &expected)
        {
            // What is hotter by next to nothing may come later.
            let sorted = |lines: &[Line]| {
                let mut lines = lines.to_vec();
                lines.sort_by_key(|line| line.post.revision);
                lines
            };
            assert_eq!(sorted(found), sorted(expected), "the hot list as of {applied}");
            assert!(Board::is_hot(found), "that is no hot list, as of {applied}: {found:?}");
            return;
        }
        assert_eq!(found, expected, "{sought:?} as of {applied}");
    }

    /// The whole board of a machine is what it should be: every list, every user, log-in, post and like.
    pub fn board(&self, machine: &Machine) {
        let copy = &machine.process.as_ref().expect("it runs").copy;
        if is_odd(machine) || copy.applied() == 0 {
            return;
        }
        let rows = copy.state.table();
        let (board, wall_ms) = self.reference.board(copy.applied());
        for sought in board.all_there_is() {
            self.read_board(copy, &sought, 7);
        }
        let users: Vec<_> = board.users().collect();
        for user in &users {
            assert_eq!(board::user(rows, user.id).unwrap().as_ref(), Some(user));
            let named = board::user_named(rows, &user.name.to_uppercase()).unwrap();
            assert_eq!(named.as_ref(), Some(user), "by name");
            assert_eq!(board::logins_of(rows, user.id).unwrap(), board.logins_of(user.id));
        }
        let moderators = users.iter().filter(|user| user.moderator).cloned().collect::<Vec<_>>();
        assert_eq!(board::moderators(rows, usize::MAX).unwrap(), moderators);
        for (id, login) in board.logins() {
            assert_eq!(board::login(rows, id).unwrap().as_ref(), Some(login));
        }
        for (post, link) in board.posts() {
            assert_eq!(board::post(rows, &post.key).unwrap().as_ref(), Some(&post));
            assert_eq!(lookup(rows, &post.key).unwrap(), Some(link), "the link of {}", post.key);
            for user in &users {
                let liked = board::is_liked(rows, &post.key, user.id).unwrap();
                assert_eq!(liked, board.is_liked(&post.key, user.id), "{} {}", post.key, user.name);
            }
        }
        let counters = standing(copy).board;
        let counts = (counters.users, counters.posts, counters.comments);
        assert_eq!(counts, board.counts(), "users, posts, comments");
        assert_eq!(counters.wall_ms, wall_ms, "the wall clock of the last entry");
    }
}

fn standing(copy: &Copy) -> Standing {
    Standing::decode(&copy.state.standing_bytes()).unwrap()
}

/// What is found in a state, page by page.
fn read(copy: &Copy, sought: &Sought, page_max: usize) -> Found {
    let rows = copy.state.table();
    match sought {
        Sought::List(list) => {
            let now_ms = standing(copy).board.wall_ms;
            Found::List(leaf(page_max, |after| {
                let page = board::page(rows, list, after, now_ms, page_max).unwrap();
                (page.lines, page.next)
            }))
        }
        Sought::Comments(post) => Found::Comments(leaf(page_max, |after| {
            let thread = board::comments(rows, post, after, page_max).unwrap();
            (thread.comments, thread.next)
        })),
        Sought::Log => Found::Log(leaf(page_max, |after| {
            let page = board::moderation(rows, after, page_max).unwrap();
            (page.deeds, page.next)
        })),
    }
}

/// Turns pages over until there is no next one.
fn leaf<T>(
    page_max: usize,
    turn: impl Fn(Option<&board::Cursor>) -> (Vec<T>, Option<board::Cursor>),
) -> Vec<T> {
    let (mut all, mut after) = (Vec::new(), None);
    for _ in 0..1_000 {
        let (page, next) = turn(after.as_ref());
        assert!(page.len() <= page_max, "more than a page");
        all.extend(page);
        if next.is_none() {
            return all;
        }
        after = next;
    }
    panic!("there is always another page: {after:?}");
}
