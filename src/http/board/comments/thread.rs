//! How a talk looks.

use maud::{Markup, html};

use super::super::now::Now;
use super::super::posts::Around;
use super::super::views::parts::{self, Field};
use super::super::visitor::Visitor;
use super::super::{cursor, paths, site};
use crate::state::board::{Comment, CommentId, Post, Standing, TEXT_LEN_MAX};

/// What is said about a post, and by whom it is read.
#[derive(Clone, Copy)]
pub(in crate::http::board) struct Talk<'a> {
    pub(in crate::http::board) post: &'a Post,
    pub(in crate::http::board) now: Now,
    pub(in crate::http::board) visitor: &'a Visitor,
    pub(in crate::http::board) around: &'a Around,
}

/// A comment and its answers, as far as they are on this page.
#[derive(Clone, Copy, Debug)]
pub(in crate::http::board) struct Thread<'a> {
    /// None when it is on the page before.
    first: Option<&'a (Comment, String)>,
    answers: &'a [(Comment, String)],
}

impl<'a> Thread<'a> {
    /// The threads of a page of comments.
    pub(in crate::http::board) fn all(comments: &'a [(Comment, String)]) -> Vec<Self> {
        let threads = comments.chunk_by(|(one, _), (other, _)| one.thread == other.thread);
        let thread = |comments: &'a [(Comment, String)]| match comments {
            [first, answers @ ..] if first.0.id == first.0.thread => {
                Self { first: Some(first), answers }
            }
            answers => Self { first: None, answers },
        };
        threads.map(thread).collect()
    }
}

impl Talk<'_> {
    /// A comment, and its answers below it.
    pub(in crate::http::board) fn thread(&self, thread: &Thread<'_>) -> Markup {
        html! {
            div.thread {
                @if let Some((comment, author)) = thread.first { (self.comment(comment, author)) }
                @if !thread.answers.is_empty() {
                    div.answers {
                        @for (comment, author) in thread.answers { (self.comment(comment, author)) }
                    }
                }
            }
        }
    }

    fn comment(&self, comment: &Comment, author: &str) -> Markup {
        let id = comment.id;
        html! {
            article.comment id={ "c-" (id) } {
                p.byline {
                    @if comment.standing == Standing::Shown { (parts::user_link(author)) " " }
                    a.permalink href={ "#c-" (id) } { (parts::age(self.visitor, comment.wall_ms)) }
                }
                @match comment.standing {
                    Standing::Shown => (said(&comment.text)),
                    Standing::Deleted => p.gone { "Taken back by who said it." },
                    Standing::Hidden => p.gone { "Removed by a moderator." },
                }
                (self.below(comment))
            }
        }
    }

    /// What can be done about a comment, or the form in which it is being done.
    fn below(&self, comment: &Comment) -> Markup {
        let id = comment.id;
        let open = self.post.standing == Standing::Shown && comment.standing == Standing::Shown;
        html! {
            @if self.around.reply == Some(id) {
                (self.form(Some(id)))
            } @else if self.around.remove == Some(id) && self.is_removable(comment) {
                (self.removal(id))
            } @else if open {
                p.comment-tools {
                    a href=(self.here(Some("reply"), id)) rel="nofollow" { "Reply" } " "
                    @if self.is_removable(comment) {
                        a href=(self.here(Some("remove"), id)) rel="nofollow" { "Remove" }
                    }
                }
            }
        }
    }

    /// Whether this visitor may take it away.
    fn is_removable(&self, comment: &Comment) -> bool {
        let own = self.visitor.is(comment.user) && self.now.is_fresh(comment.clock_ms);
        comment.standing == Standing::Shown && (own || self.visitor.is_moderator())
    }

    /// This page, at a comment, with something to be done about it or nothing.
    fn here(&self, what: Option<&str>, id: CommentId) -> String {
        let after = self.around.after.as_ref().map(|it| format!("after={}", cursor::text(it)));
        let what = what.map(|what| format!("{what}={id}"));
        let query = after.into_iter().chain(what).collect::<Vec<_>>().join("&");
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{}{mark}{query}#c-{id}", site::post(&self.post.key))
    }

    /// The form to say something with, or to answer this comment.
    pub(in crate::http::board) fn form(&self, parent: Option<CommentId>) -> Markup {
        let Self { post, visitor, around, .. } = self;
        if post.standing != Standing::Shown {
            return html! {};
        }
        let nothing_typed = around.form.text("text").is_empty() && around.errors.is_empty();
        if visitor.user.is_none() && nothing_typed {
            let login = paths::and_back("/b/login", &visitor.here);
            return html! { p.login-first { a href=(login) { "Log in" } " to say something." } };
        }
        let is_answer = parent.is_some();
        let field = Field {
            name: "text",
            label: if is_answer { "Your answer" } else { "Your comment" },
            value: around.form.text("text"),
            hint: "Plain text; an empty line begins a paragraph.",
            required: true,
            autofocus: is_answer,
            max: TEXT_LEN_MAX,
            ..Field::default()
        };
        html! {
            form.stacked.say method="post" action={ "/b/comment/" (post.key) } {
                (parts::csrf(visitor))
                (parts::next(&visitor.here))
                @if let Some(parent) = parent { input type="hidden" name="parent" value=(parent); }
                (parts::textarea_field(field, &around.errors))
                (parts::button(if is_answer { "Reply" } else { "Comment" }))
                @if let Some(parent) = parent { " " a href=(self.here(None, parent)) { "Cancel" } }
            }
        }
    }

    fn removal(&self, id: CommentId) -> Markup {
        let Self { post, visitor, around, .. } = self;
        let reason = Field {
            name: "reason",
            label: "Reason",
            value: around.form.text("reason"),
            hint: "It stands in the moderation log, which everybody can read.",
            max: TEXT_LEN_MAX,
            ..Field::default()
        };
        html! {
            form.stacked.remove method="post" action={ "/b/uncomment/" (post.key) } {
                p { "Remove this comment? It does not come back." }
                (parts::csrf(visitor))
                (parts::next(&visitor.here))
                input type="hidden" name="comment" value=(id);
                @if visitor.is_moderator() { (parts::text_field(reason, &around.errors)) }
                (parts::button("Remove")) " "
                a href=(self.here(None, id)) { "Cancel" }
            }
        }
    }
}

/// What was said, with its paragraphs and lines.
fn said(text: &str) -> Markup {
    let paragraphs = text.split("\n\n").map(str::trim).filter(|it| !it.is_empty());
    html! {
        div.said {
            @for paragraph in paragraphs {
                p { bdi {
                    @for (at, line) in paragraph.lines().enumerate() {
                        @if at > 0 { br; }
                        (line)
                    }
                } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_and_lines_are_kept_and_tags_are_text() {
        let html = said("a\nb\n\n\n<script>&\n\n \n\u{202e}c").into_string();
        assert_eq!(
            html,
            "<div class=\"said\"><p><bdi>a<br>b</bdi></p><p><bdi>&lt;script&gt;&amp;</bdi></p>\
             <p><bdi>\u{202e}c</bdi></p></div>"
        );
    }

    #[test]
    fn a_page_that_begins_within_a_thread_shows_answers_only() {
        let comment = |id, thread| {
            let comment = Comment {
                id,
                thread,
                user: 1,
                text: String::new(),
                clock_ms: 0,
                wall_ms: 0,
                standing: Standing::Shown,
            };
            (comment, "ann".to_owned())
        };
        let comments = [comment(9, 4), comment(5, 5), comment(7, 5), comment(8, 5), comment(6, 6)];
        let threads = Thread::all(&comments);
        let shape: Vec<_> = threads
            .iter()
            .map(|it| (it.first.map(|(comment, _)| comment.id), it.answers.len()))
            .collect();
        assert_eq!(shape, [(None, 1), (Some(5), 2), (Some(6), 0)]);
        assert!(Thread::all(&[]).is_empty());
    }
}
