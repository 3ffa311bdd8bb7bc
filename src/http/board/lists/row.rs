//! A post as it stands in a list, and above its comments.

use maud::{Markup, html};

use super::super::site;
use super::super::views::{parts, time};
use super::super::visitor::Visitor;
use crate::node::{StoreError, View};
use crate::state::board::{self, Post};

/// A post, and what else is shown with it.
#[derive(Clone, Copy, Debug)]
pub(in crate::http::board) struct Row<'a> {
    post: &'a Post,
    author: &'a str,
    /// Whether the visitor likes it.
    is_liked: bool,
}

impl<'a> Row<'a> {
    /// A post of this author, for this visitor.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub(in crate::http::board) fn of(
        view: &View,
        visitor: &Visitor,
        post: &'a Post,
        author: &'a str,
    ) -> Result<Self, StoreError> {
        let is_liked = match &visitor.user {
            Some(user) => board::is_liked(view, &post.key, user.id)?,
            None => false,
        };
        Ok(Self { post, author, is_liked })
    }

    /// As it stands in a list.
    pub(in crate::http::board) fn show(&self, visitor: &Visitor) -> Markup {
        html! {
            p { (self.title()) " " (self.host()) }
            (self.byline(visitor))
        }
    }

    /// The title, which leads through the short link.
    pub(in crate::http::board) fn title(&self) -> Markup {
        let Self { post, .. } = *self;
        html! {
            a.title href={ "/" (post.key) } rel="nofollow ugc" { (parts::typed(&post.title)) }
        }
    }

    /// The host that it leads to, which is ASCII by the rules of URLs.
    pub(in crate::http::board) fn host(&self) -> Markup {
        let Self { post, .. } = *self;
        html! { a.host href=(site::host(&post.host)) { (post.host) } }
    }

    /// What there is to know about it, and the button to like it.
    pub(in crate::http::board) fn byline(&self, visitor: &Visitor) -> Markup {
        let Self { post, author, .. } = *self;
        html! {
            p.byline {
                span.acts {
                    span.likes { (parts::count(post.likes, "like")) } " "
                    (self.like()) " "
                    a href=(site::post(&post.key)) { (discussion(post.comments)) }
                } " "
                small {
                    "by " (parts::user_link(author)) " "
                    (parts::age(visitor, post.wall_ms)) " " (edited(post))
                }
            }
        }
    }

    /// The button; it works within a [`likes_form`] only.
    fn like(&self) -> Markup {
        let (on, text) = if self.is_liked { ("no", "Unlike") } else { ("yes", "Like") };
        html! {
            button.link formaction=(like_path(self.post)) name="on" value=(on) { (text) }
        }
    }
}

/// Where it is said that a post is liked.
fn like_path(post: &Post) -> String {
    format!("/b/like/{}", post.key)
}

/// The form that the like buttons of a page share, with these posts in it: thirty forms of their own would
/// be a third of the page. Each button says itself where it leads.
pub(in crate::http::board) fn likes_form(visitor: &Visitor, first: &Post, rows: Markup) -> Markup {
    html! {
        form.likes-form method="post" action=(like_path(first)) {
            (parts::csrf(visitor)) (parts::next(&visitor.here)) (rows)
        }
    }
}

fn edited(post: &Post) -> Markup {
    html! {
        @if let Some(ms) = post.edited_ms {
            span.edited title=(time::rfc3339(ms)) { "edited" }
        }
    }
}

fn discussion(comments: u64) -> String {
    if comments == 0 { "discuss".to_owned() } else { parts::count(comments, "comment") }
}
