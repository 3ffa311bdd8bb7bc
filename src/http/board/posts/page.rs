//! The page of a post: what it is, what can be done with it, what people say about it.

use maud::{Markup, html};

use super::super::act::{Trouble, waiting};
use super::super::comments::{Talk, Thread};
use super::super::form::{Errors, Form};
use super::super::json::{self, CommentJson, PostJson, PostPage};
use super::super::lists::{Format, Row, likes_form};
use super::super::now::Now;
use super::super::site::{self, Site};
use super::super::views::{layout, message, parts, time};
use super::super::visit::Page;
use super::super::visitor::Visitor;
use super::super::{cursor, moderation};
use crate::http::query;
use crate::http::reply::{Problem, Response};
use crate::http::service::Service;
use crate::http::wire::Request;
use crate::node::{StoreError, View};
use crate::state::board::{self, CommentId, Cursor, Post, REPOST_MS, Standing};

/// Comments on a page.
pub(in crate::http::board) const COMMENTS_PER_PAGE: usize = 200;

/// A post that was asked for.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) key: String,
    format: Format,
    around: Around,
    host: Option<String>,
}

/// What is on a post's page besides the post.
#[derive(Clone, Debug, Default)]
pub(in crate::http::board) struct Around {
    /// Where this page of the comments begins.
    pub(in crate::http::board) after: Option<Cursor>,
    /// The comment that is about to be answered; its form is open.
    pub(in crate::http::board) reply: Option<CommentId>,
    /// The comment that is about to be taken away; that is asked about.
    pub(in crate::http::board) remove: Option<CommentId>,
    /// The visitor's own comment, which is not on this page.
    pub(in crate::http::board) said: Option<CommentId>,
    /// The visitor wanted to post this once more.
    pub(in crate::http::board) again: bool,
    /// What was typed into the open form, and what is wrong with it.
    pub(in crate::http::board) form: Form,
    pub(in crate::http::board) errors: Errors,
}

impl Asked {
    pub(super) fn of(part: &str, request: &Request) -> Self {
        let (part, format) = Format::of(part);
        let number = |name| query::value(request.query(), name)?.parse().ok();
        let around = Around {
            after: cursor::of(request.query()),
            reply: number("reply"),
            remove: number("remove"),
            said: number("said"),
            again: query::flag(request.query(), "again"),
            ..Around::default()
        };
        Self { key: super::key(part), format, around, host: site::asked(request) }
    }
}

impl Page for Asked {
    fn show(
        self: Box<Self>,
        service: &Service,
        view: &View,
        visitor: &Visitor,
    ) -> Result<Response, StoreError> {
        match self.format {
            Format::Page => Shown::answer(view, visitor, &self.key, &self.around),
            Format::Json => self.json(service, view, visitor),
            Format::Rss => Ok(message::not_found(visitor, "Only lists are there as RSS.")),
        }
    }
}

impl Asked {
    fn json(
        &self,
        service: &Service,
        view: &View,
        visitor: &Visitor,
    ) -> Result<Response, StoreError> {
        let problem = |status, text: &str| Ok(Problem::new(status, text).into());
        let after = self.around.after.as_ref();
        let post = match board::post(view, &self.key)? {
            None => return problem(404, "there is no such post"),
            Some(post) if post.standing != Standing::Shown => {
                return problem(410, "this post is gone");
            }
            Some(post) => post,
        };
        let site = Site::of(service, self.host.as_deref(), visitor.origin.tls);
        let thread = board::comments(view, &post.key, after, COMMENTS_PER_PAGE)?;
        let url = |cursor: Option<&Cursor>| {
            let path = format!("{}.json", site::post(&post.key));
            site.url(
                &cursor.map_or(path.clone(), |it| format!("{path}?after={}", cursor::text(it))),
            )
        };
        let comment = |(comment, author): &(board::Comment, String)| {
            CommentJson::of(comment, author, &post.key, &site)
        };
        Ok(json::response(&PostPage {
            own: url(after),
            next: thread.next.as_ref().map(|next| url(Some(next))),
            post: PostJson::of(&post, &author_of(view, &post)?, &site),
            comments: thread.comments.iter().map(comment).collect(),
        }))
    }
}

fn author_of(view: &View, post: &Post) -> Result<String, StoreError> {
    let user = board::user(view, post.user)?;
    user.map(|user| user.name)
        .ok_or_else(|| StoreError::damaged(format!("the author of post {} is not there", post.key)))
}

/// A post's page, when there is one.
pub(in crate::http::board) struct Shown<'a> {
    post: &'a Post,
    author: String,
    now: Now,
    view: &'a View,
    visitor: &'a Visitor,
    around: &'a Around,
}

impl Shown<'_> {
    /// The page of a post, or that it is not there (any more).
    ///
    /// # Errors
    /// When the state cannot be read.
    pub(in crate::http::board) fn answer(
        view: &View,
        visitor: &Visitor,
        key: &str,
        around: &Around,
    ) -> Result<Response, StoreError> {
        // What was typed about it is not lost with it.
        let typed = ["text", "reason"]
            .into_iter()
            .fold(Form::default(), |form, name| form.with(name, around.form.text(name)));
        let gone =
            |status, text| Ok(message::refused(visitor, &Trouble::new(status, text), Some(&typed)));
        let Some(post) = board::post(view, key)? else {
            return gone(404, "There is no such post.");
        };
        match post.standing {
            Standing::Shown => {}
            // Only from here it can be shown again.
            Standing::Hidden if visitor.is_moderator() => {}
            Standing::Hidden => {
                return gone(410, "A moderator has hidden this post. The moderation log says why.");
            }
            Standing::Deleted => return gone(410, "Its author has deleted this post."),
        }
        let (author, now) = (author_of(view, &post)?, Now::of(view)?);
        Shown { post: &post, author, now, view, visitor, around }.page()
    }

    fn page(&self) -> Result<Response, StoreError> {
        let Self { post, visitor, around, .. } = *self;
        let row = Row::of(self.view, visitor, post, &self.author)?;
        let headline = html! {
            h1 { (row.title()) }
            p { (row.host()) }
            (row.byline(visitor))
        };
        let body = html! {
            article.post id={ "p-" (post.key) } {
                (likes_form(visitor, post, headline))
                (self.tools())
            }
            (self.notices()?)
            (parts::errors_top(visitor, &around.errors))
            (self.comments()?)
        };
        let errors = &around.errors;
        let response = layout::page(errors.status(), visitor, &post.title, None, body);
        Ok(waiting(response, errors.top().and_then(Trouble::retry_after_s)))
    }

    fn tools(&self) -> Markup {
        let Self { post, visitor, .. } = *self;
        let own = visitor.is(post.user) && post.standing == Standing::Shown;
        html! {
            @if own && self.now.is_fresh(post.clock_ms) {
                p.own-tools {
                    a href={ "/b/edit/" (post.key) } { "Edit title" } " "
                    a href={ "/b/delete/" (post.key) } { "Delete" }
                }
            }
            // One thing at a time, as each comes with a reason.
            @if self.around.remove.is_none() { (moderation::post_tools(visitor, post)) }
        }
    }

    fn notices(&self) -> Result<Markup, StoreError> {
        let Self { post, around, .. } = *self;
        let said = match around.said {
            Some(id) => board::comment(self.view, &post.key, id)?,
            None => None,
        };
        Ok(html! {
            @if post.standing == Standing::Hidden {
                (parts::notice(html! { "This post is hidden: only moderators see this page." }))
            }
            @if around.again {
                (parts::notice(html! {
                    "This page was posted in the last " (time::span(REPOST_MS / 1000))
                    " already: here it is. Nothing new was posted."
                }))
            }
            @if said.is_some() {
                (parts::notice(html! { "Your comment is there, further down or on one of the next pages." }))
            }
        })
    }

    fn comments(&self) -> Result<Markup, StoreError> {
        let Self { post, visitor, around, .. } = *self;
        let after = around.after.as_ref();
        let page = board::comments(self.view, &post.key, after, COMMENTS_PER_PAGE)?;
        let talk = Talk { post, now: self.now, visitor, around };
        let threads = Thread::all(&page.comments);
        let is_open = |id| page.comments.iter().any(|(comment, _)| comment.id == id);
        let answers_here = around.reply.is_some_and(is_open);
        Ok(html! {
            @if !answers_here { (talk.form(around.reply)) }
            section.comments #comments aria-labelledby="comments-title" {
                h2 #comments-title { (parts::count(post.comments, "comment")) }
                @if after.is_some() {
                    p { a href={ (site::post(&post.key)) "#comments" } { "To the first comments" } }
                }
                @for thread in threads { (talk.thread(&thread)) }
                @if let Some(next) = &page.next {
                    (parts::more(&site::post(&post.key), &cursor::text(next)))
                }
            }
        })
    }
}
