//! Lists and posts for programs: what the pages say, as JSON. The names and meanings of the fields are
//! an interface; the user interface may change its words, this may not.

use serde::Serialize;

use super::super::reply::Response;
use super::site::{self, Site};
use super::views::time;
use crate::state::board::{Comment, Line, Post, Standing};

/// A page of a list.
#[derive(Debug, Serialize)]
pub(super) struct PostList {
    /// What the list is called.
    pub(super) title: String,
    /// Where this page of it is.
    #[serde(rename = "self")]
    pub(super) own: String,
    /// Where the next one is, if there is more.
    pub(super) next: Option<String>,
    /// The posts, in the list's order.
    pub(super) posts: Vec<PostJson>,
}

/// A post, and a page of what is said about it.
#[derive(Debug, Serialize)]
pub(super) struct PostPage {
    /// Where this page is.
    #[serde(rename = "self")]
    pub(super) own: String,
    /// Where the next one is, if there are more comments.
    pub(super) next: Option<String>,
    /// The post.
    pub(super) post: PostJson,
    /// Threads in the order of their beginnings, each with its answers behind it.
    pub(super) comments: Vec<CommentJson>,
}

/// A post.
#[derive(Debug, Serialize)]
pub(super) struct PostJson {
    key: String,
    title: String,
    url: String,
    /// What the title leads through.
    short_url: String,
    comments_url: String,
    host: String,
    author: String,
    likes: u64,
    comments: u64,
    /// RFC 3339.
    posted: String,
    /// The same; null when the title is the first one.
    edited: Option<String>,
}

/// A comment.
#[derive(Debug, Serialize)]
pub(super) struct CommentJson {
    id: u64,
    /// The comment that its thread begins with; its own number for that one.
    thread: u64,
    /// `shown`, `deleted` by its author, or `hidden` by a moderator.
    standing: &'static str,
    /// Null when it was taken away.
    author: Option<String>,
    /// As it was typed; empty when it was taken away.
    text: String,
    posted: String,
    url: String,
}

impl PostJson {
    pub(super) fn of(post: &Post, author: &str, site: &Site) -> Self {
        Self {
            key: post.key.clone(),
            title: post.title.clone(),
            url: String::from_utf8_lossy(&post.url).into_owned(),
            short_url: site.url(&format!("/{}", post.key)),
            comments_url: site.url(&site::post(&post.key)),
            host: post.host.clone(),
            author: author.to_owned(),
            likes: post.likes,
            comments: post.comments,
            posted: time::rfc3339(post.wall_ms),
            edited: post.edited_ms.map(time::rfc3339),
        }
    }

    pub(super) fn of_all(lines: &[Line], site: &Site) -> Vec<Self> {
        lines.iter().map(|line| Self::of(&line.post, &line.author, site)).collect()
    }
}

impl CommentJson {
    pub(super) fn of(comment: &Comment, author: &str, post: &str, site: &Site) -> Self {
        let standing = match comment.standing {
            Standing::Shown => "shown",
            Standing::Deleted => "deleted",
            Standing::Hidden => "hidden",
        };
        let shown = comment.standing == Standing::Shown;
        Self {
            id: comment.id,
            thread: comment.thread,
            standing,
            author: shown.then(|| author.to_owned()),
            text: if shown { comment.text.clone() } else { String::new() },
            posted: time::rfc3339(comment.wall_ms),
            url: site.url(&format!("{}#c-{}", site::post(post), comment.id)),
        }
    }
}

/// The answer that carries it. Nobody but this board's own pages may read it as a page.
pub(super) fn response(value: &impl Serialize) -> Response {
    Response::json(200, value, true)
        .with("Cache-Control", "no-cache")
        .with("X-Content-Type-Options", "nosniff")
}
