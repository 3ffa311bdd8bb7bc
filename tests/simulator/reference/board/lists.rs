//! What readers find, sorted when they ask.

use std::cmp::Reverse;

use bowline::state::Link;
use bowline::state::board::{
    Comment, CommentId, Line, List, Login, LoginId, Moderated, Post, Span, Standing, User, UserId,
};

use super::Board;
use super::posts::Posted;

const DAY_MS: u64 = 24 * 3_600_000;
/// What a doubling of 1 + likes is worth in the hot list: 6.6 hours.
const DOUBLING_MS: f64 = 23_760_000.0;
/// So far apart posts may be in it and yet stand the other way round: its numbers are whole ones.
const HOT_TOLERANCE_MS: f64 = 1_000.0;

/// What a reader of the board asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sought {
    List(List),
    Comments(String),
    Log,
}

/// All of it, however many pages it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    List(Vec<Line>),
    Comments(Vec<(Comment, String)>),
    Log(Vec<(Moderated, Option<String>)>),
}

impl Board {
    /// What a reader must find when the last entry's wall clock shows this.
    pub fn find(&self, sought: &Sought, wall_ms: u64) -> Found {
        match sought {
            Sought::List(list) => Found::List(self.list(list, wall_ms)),
            Sought::Comments(post) => Found::Comments(self.comments(post)),
            Sought::Log => Found::Log(self.log()),
        }
    }

    /// Everything that can be asked for.
    pub fn all_there_is(&self) -> Vec<Sought> {
        let mut lists = vec![List::Hot, List::Newest];
        lists.extend([Span::Day, Span::Week, Span::Year].map(List::Top));
        lists.extend(self.users.keys().map(|user| List::Of(*user)));
        lists.extend(self.posts.values().map(|post| List::Host(post.host.clone())));
        let mut all: Vec<Sought> = lists.into_iter().map(Sought::List).collect();
        all.extend(self.posts.keys().map(|key| Sought::Comments(key.clone())));
        all.push(Sought::Log);
        all.dedup();
        all
    }

    /// Whether the posts of a hot list may stand in this order.
    pub fn is_hot(lines: &[Line]) -> bool {
        lines.windows(2).all(|pair| {
            let (first, second) = (&pair[0].post, &pair[1].post);
            let apart = hot(first) - hot(second);
            let alike = (first.wall_ms, first.likes) == (second.wall_ms, second.likes);
            if alike { first.revision > second.revision } else { apart > -HOT_TOLERANCE_MS }
        })
    }

    pub fn users(&self) -> impl Iterator<Item = User> {
        self.users.keys().map(|id| self.user(*id))
    }

    pub fn logins(&self) -> impl Iterator<Item = (&LoginId, &Login)> {
        self.logins.iter().map(|(id, stay)| (id, &stay.login))
    }

    pub fn logins_of(&self, user: UserId) -> usize {
        self.logins.values().filter(|stay| stay.login.user == user).count()
    }

    pub fn posts(&self) -> impl Iterator<Item = (Post, Link)> {
        self.posts.values().map(|post| {
            let link = if post.is_shown() { Link::Owned(post.url.clone()) } else { Link::Gone };
            (self.post_as_shown(post), link)
        })
    }

    pub fn is_liked(&self, post: &str, user: UserId) -> bool {
        self.posts[post].likers.contains(&user)
    }

    /// (users, posts that are shown, comments that are, whatever became of their posts).
    pub fn counts(&self) -> (u64, u64, u64) {
        let posts = self.posts.values().filter(|post| post.is_shown()).count() as u64;
        let said = self.posts.values().flat_map(|post| post.comments.values());
        let comments = said.filter(|said| said.standing == Standing::Shown).count() as u64;
        (self.users.len() as u64, posts, comments)
    }

    fn user(&self, id: UserId) -> User {
        let account = self.users[&id].clone();
        let own = || self.posts.values().filter(|post| post.user == id && post.is_shown());
        User {
            id,
            name: account.name,
            password: account.password,
            wall_ms: account.wall_ms,
            moderator: account.moderator,
            disabled: account.disabled,
            posts: own().count() as u64,
            likes: own().map(|post| post.likers.len() as u64).sum(),
        }
    }

    fn post_as_shown(&self, post: &Posted) -> Post {
        let shown = |said: &&super::posts::Said| said.standing == Standing::Shown;
        Post {
            key: post.key.clone(),
            user: post.user,
            title: post.title.clone(),
            url: post.url.clone(),
            normal: post.normal.clone(),
            host: post.host.clone(),
            revision: post.revision,
            clock_ms: post.clock_ms,
            wall_ms: post.wall_ms,
            edited_ms: post.edited_ms,
            likes: post.likers.len() as u64,
            comments: post.comments.values().filter(shown).count() as u64,
            said: post.comments.len() as u64,
            standing: post.standing,
        }
    }

    fn list(&self, list: &List, wall_ms: u64) -> Vec<Line> {
        let shown = self.posts.values().filter(|post| post.is_shown());
        let mut posts: Vec<Post> = shown.map(|post| self.post_as_shown(post)).collect();
        posts.sort_by_key(|post| Reverse(post.revision));
        match list {
            List::Newest => {}
            // Sorting is stable: of what is alike the newest comes first.
            List::Hot => posts.sort_by(|a, b| hot(b).total_cmp(&hot(a))),
            List::Top(span) => {
                let days = match span {
                    Span::Day => 1,
                    Span::Week => 7,
                    Span::Year => 365,
                };
                posts.retain(|post| post.wall_ms + days * DAY_MS > wall_ms);
                posts.sort_by_key(|post| Reverse(post.likes));
            }
            List::Of(user) => posts.retain(|post| post.user == *user),
            List::Host(host) => posts.retain(|post| post.host == *host),
        }
        let line = |post: Post| Line { author: self.users[&post.user].name.clone(), post };
        posts.into_iter().map(line).collect()
    }

    fn comments(&self, post: &str) -> Vec<(Comment, String)> {
        let mut comments: Vec<_> = self.posts[post].comments.iter().collect();
        comments.sort_by_key(|(id, said)| (said.thread, **id));
        let give = |(id, said): (&CommentId, &super::posts::Said)| {
            let comment = Comment {
                id: *id,
                thread: said.thread,
                user: said.user,
                text: said.text.clone(),
                clock_ms: said.clock_ms,
                wall_ms: said.wall_ms,
                standing: said.standing,
            };
            (comment, self.users[&said.user].name.clone())
        };
        comments.into_iter().map(give).collect()
    }

    fn log(&self) -> Vec<(Moderated, Option<String>)> {
        let give = |deed: &std::sync::Arc<Moderated>| {
            let by = deed.by.map(|user| self.users[&user].name.clone());
            ((**deed).clone(), by)
        };
        self.deeds.iter().rev().map(give).collect()
    }
}

/// How hot a post is, in ms of the wall clock: as if posted so much later.
fn hot(post: &Post) -> f64 {
    post.wall_ms as f64 + DOUBLING_MS * ((1 + post.likes) as f64).log2()
}
