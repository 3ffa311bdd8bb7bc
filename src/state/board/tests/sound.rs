//! What is so after every entry, whatever it was: seen from the rows alone.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::super::{limits, rows};
use super::*;
use crate::state::deadlines::{self, Mortal};
use crate::state::{Link, Meta, Standing as ViewStanding, lookup, row_key, table};
use crate::storage::Rows;

/// Keys within their table, and values, of all rows of a table.
pub fn table_rows(state: &State<MemoryStore>, table: u8) -> Vec<(Vec<u8>, Bytes)> {
    let (mut rows, before) = (Vec::new(), row_key(table, &[]).len());
    let visit = &mut |key: &[u8], value: &[u8]| {
        rows.push((key[before..].to_vec(), Bytes::copy_from_slice(value)));
        true
    };
    state.table().scan(&[table], Some(&[table + 1]), visit).unwrap();
    rows
}

fn row_keys(state: &State<MemoryStore>, table: u8) -> BTreeSet<Vec<u8>> {
    table_rows(state, table).into_iter().map(|(key, _)| row_key(table, &key)).collect()
}

fn records<R: rows::Record>(state: &State<MemoryStore>, table: u8) -> Vec<R> {
    table_rows(state, table).iter().map(|(_, row)| rows::decode(row).unwrap()).collect()
}

/// All users.
pub fn users(state: &State<MemoryStore>) -> Vec<User> {
    records(state, table::USERS)
}

/// All posts, whatever became of them.
pub fn posts(state: &State<MemoryStore>) -> Vec<Post> {
    records(state, table::POSTS)
}

/// All log-ins.
pub fn logins(state: &State<MemoryStore>) -> Vec<(LoginId, Login)> {
    let rows = table_rows(state, table::LOGINS);
    rows.iter().map(|(id, row)| (id[..].try_into().unwrap(), rows::decode(row).unwrap())).collect()
}

/// Panics when anything is not as it must be.
pub fn check(state: &State<MemoryStore>) {
    let summary = state.summary();
    assert_eq!(state.computed_rows_digest(), Ok(summary.rows_digest));
    let (users, posts) = (users(state), posts(state));
    check_users(state, &users);
    check_logins(state, &users);
    check_deadlines(state);
    check_posts(state, &posts);
    check_links(state, &posts);
    check_likes(state, &users, &posts);
    check_comments(state, &posts);
    for (key, row) in table_rows(state, table::DEEDS) {
        let deed: Moderated = rows::decode(&row).unwrap();
        assert_eq!(row_key(table::DEEDS, &key), rows::deed(deed.revision));
        assert!(deed.revision <= summary.revision);
    }
    let counters = state.meta().board;
    let shown = posts.iter().filter(|post| post.standing == Standing::Shown).count() as u64;
    assert_eq!((counters.users, counters.posts), (users.len() as u64, shown));
    assert!(counters.is_sound(summary.revision), "{counters:?}");
    let standing = ViewStanding::of(state.meta());
    assert_eq!(ViewStanding::decode(&state.standing_bytes()), Ok(standing));
    assert_eq!(Meta::decode(&state.meta_bytes()).as_ref(), Ok(state.meta()));
}

fn check_users(state: &State<MemoryStore>, users: &[User]) {
    let names: BTreeSet<_> = users.iter().map(|it| rows::name(&it.name)).collect();
    assert_eq!(names.len(), users.len(), "nobody has another's name");
    assert_eq!(row_keys(state, table::NAMES), names);
    for user in users {
        assert_eq!(super::super::user(state.table(), user.id).as_ref(), Ok(&Some(user.clone())));
        assert_eq!(user_named(state.table(), &user.name).as_ref(), Ok(&Some(user.clone())));
    }
    let moderators: Vec<_> = users.iter().filter(|user| user.moderator).cloned().collect();
    let expected: BTreeSet<_> = moderators.iter().map(|it| rows::moderator(it.id)).collect();
    assert_eq!(row_keys(state, table::MODERATORS), expected);
    assert_eq!(super::super::moderators(state.table(), 99), Ok(moderators));
}

fn check_logins(state: &State<MemoryStore>, users: &[User]) {
    let logins = logins(state);
    let of: BTreeSet<_> = logins.iter().map(|(id, it)| rows::login_of(it.user, id)).collect();
    assert_eq!(row_keys(state, table::LOGINS_OF), of);
    for user in users {
        let count = logins.iter().filter(|(_, login)| login.user == user.id).count();
        assert_eq!(logins_of(state.table(), user.id), Ok(count));
        assert!(count <= if user.disabled { 0 } else { LOGINS_MAX });
    }
    let users: BTreeSet<_> = users.iter().map(|user| user.id).collect();
    assert!(logins.iter().all(|(_, login)| users.contains(&login.user)));
}

fn check_deadlines(state: &State<MemoryStore>) {
    let of_logins = logins(state).into_iter().map(|(id, it)| (it.expires_ms, Mortal::Login(id)));
    let of_limits = table_rows(state, table::LIMITS).into_iter().map(|(name, row)| {
        let full_ms = rows::decode_number("limit", &row).unwrap();
        (limits::row_ends_ms(full_ms), Mortal::Limit(name.into()))
    });
    let all: Vec<_> = of_logins.chain(of_limits).collect();
    let expected: BTreeSet<_> = all.iter().map(|(at, what)| deadlines::row(*at, what)).collect();
    let mut found = row_keys(state, table::DEADLINES);
    found.retain(|row| {
        let (_, what) = deadlines::decode(row).unwrap();
        matches!(what, Mortal::Login(_) | Mortal::Limit(_))
    });
    assert_eq!(found, expected, "deadlines");
    let first = all.iter().map(|(at, _)| *at).min().unwrap_or(u64::MAX);
    assert!(state.meta().kv.earliest_ms <= first, "something ends before the earliest");
}

fn check_posts(state: &State<MemoryStore>, posts: &[Post]) {
    let lists = [table::HOT, table::NEWEST, table::TOP, table::POSTS_OF, table::HOSTS];
    let listed = lists.into_iter().flat_map(|table| {
        let rows = table_rows(state, table).into_iter();
        rows.map(move |(key, row)| (row_key(table, &key), row))
    });
    let listed: BTreeMap<_, _> = listed.collect();
    let expected: BTreeMap<_, _> = posts.iter().flat_map(rows::listings).collect();
    assert_eq!(listed, expected, "lists have the posts that are shown, and no other rows");
    let mut latest: BTreeMap<Vec<u8>, Bytes> = BTreeMap::new();
    let mut oldest_first: Vec<_> = posts.iter().collect();
    oldest_first.sort_by_key(|post| post.revision);
    for post in oldest_first {
        let value = rows::encode_timed(post.clock_ms, &post.key);
        latest.insert(rows::posted(&post.normal), value);
    }
    let rows = table_rows(state, table::POSTED).into_iter();
    let found: BTreeMap<_, _> =
        rows.map(|(key, row)| (row_key(table::POSTED, &key), row)).collect();
    assert_eq!(found, latest, "a URL leads to the latest post");
}

fn check_links(state: &State<MemoryStore>, posts: &[Post]) {
    for post in posts {
        let link = match post.standing {
            Standing::Shown => Link::Owned(post.url.clone()),
            Standing::Deleted | Standing::Hidden => Link::Gone,
        };
        assert_eq!(lookup(state.table(), &post.key), Ok(Some(link)));
    }
    let keys = table_rows(state, table::LINKS).into_iter().map(|(key, _)| key);
    let links = keys.map(|key| lookup(state.table(), &String::from_utf8(key).unwrap()).unwrap());
    let live = links.filter(|link| *link != Some(Link::Gone)).count() as u64;
    assert_eq!(state.summary().links, live);
}

fn check_likes(state: &State<MemoryStore>, users: &[User], posts: &[Post]) {
    let mut likes = 0;
    for post in posts {
        let by = users.iter().filter(|it| is_liked(state.table(), &post.key, it.id).unwrap());
        assert_eq!(by.count() as u64, post.likes, "{}", post.key);
        likes += post.likes;
    }
    assert_eq!(table_rows(state, table::LIKES).len() as u64, likes, "likes of what is not there");
    for user in users {
        let shown = posts.iter().filter(|it| it.user == user.id && it.standing == Standing::Shown);
        let likes = shown.clone().map(|post| post.likes).sum();
        assert_eq!((user.posts, user.likes), (shown.count() as u64, likes), "{}", user.name);
    }
}

fn check_comments(state: &State<MemoryStore>, posts: &[Post]) {
    let (mut shown, mut threads) = (0, BTreeSet::new());
    let mut rows_expected = BTreeSet::new();
    for post in posts {
        let all: Vec<_> = by_pages(|after| {
            let page = comments(state.table(), &post.key, after, usize::MAX).unwrap();
            (page.comments, page.next)
        });
        let all: Vec<_> = all.into_iter().map(|(comment, _)| comment).collect();
        assert!(all.is_sorted_by_key(|comment| (comment.thread, comment.id)));
        let of_post = all.iter().filter(|comment| comment.standing == Standing::Shown).count();
        assert_eq!((post.comments, post.said), (of_post as u64, all.len() as u64));
        shown += of_post as u64;
        for it in all {
            assert_eq!(comment(state.table(), &post.key, it.id).as_ref(), Ok(&Some(it.clone())));
            assert!(it.standing == Standing::Shown || it.text.is_empty());
            threads.insert(rows::thread(&post.key, it.id));
            rows_expected.insert(rows::comment(&post.key, it.thread, it.id));
        }
    }
    assert_eq!(row_keys(state, table::THREADS), threads);
    assert_eq!(row_keys(state, table::COMMENTS), rows_expected);
    assert_eq!(state.meta().board.comments, shown);
}
