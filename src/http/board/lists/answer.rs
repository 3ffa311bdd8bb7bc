//! A list as an answer: as a page, as RSS, as JSON; all of them a page at a time.

use maud::{Markup, html};

use super::super::feed::{Feed, Item};
use super::super::json::{self, PostJson, PostList};
use super::super::now::Now;
use super::super::site::{self, Site};
use super::super::views::{layout, message, parts, time};
use super::super::visit::Page;
use super::super::visitor::Visitor;
use super::super::{cursor, moderation};
use super::row::{Row, likes_form};
use super::which::{Format, Found, SPANS, Which};
use crate::http::reply::{Problem, Response};
use crate::http::service::Service;
use crate::http::wire::Request;
use crate::node::{StoreError, View};
use crate::state::board::{self, Cursor, Line, List, User};

/// Posts on a page.
const LINES_MAX: usize = 30;

/// A list that was asked for.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    which: Which,
    format: Format,
    after: Option<Cursor>,
    host: Option<String>,
}

/// A page of it, as far as all formats agree.
struct Seen {
    found: Found,
    lines: Vec<Line>,
    /// The cursors in URLs.
    after: Option<String>,
    next: Option<String>,
}

impl Asked {
    pub(super) fn of(request: &Request, which: Which, format: Format) -> Self {
        Self { which, format, after: cursor::of(request.query()), host: site::asked(request) }
    }

    fn look(&self, view: &View) -> Result<Option<Seen>, StoreError> {
        let Some(found) = self.which.find(view)? else { return Ok(None) };
        let after = self.after.as_ref();
        let page = board::page(view, &found.list, after, Now::of(view)?.wall_ms, LINES_MAX)?;
        let is_nothing = page.lines.is_empty() && page.next.is_none() && after.is_none();
        if is_nothing && matches!(found.list, List::Host(_)) {
            return Ok(None);
        }
        let (after, next) = (after.map(cursor::text), page.next.as_ref().map(cursor::text));
        Ok(Some(Seen { found, lines: page.lines, after, next }))
    }

    fn missing(&self, visitor: &Visitor) -> Response {
        let text = match &self.which {
            Which::Of(_) => "There is no user of this name.",
            Which::Host(_) => "Nobody has posted anything from this host.",
            Which::Hot | Which::Newest | Which::Top(_) => "There is no such list.",
        };
        match self.format {
            Format::Page => message::not_found(visitor, text),
            Format::Rss | Format::Json => Problem::new(404, text).into(),
        }
    }
}

impl Page for Asked {
    fn show(
        self: Box<Self>,
        service: &Service,
        view: &View,
        visitor: &Visitor,
    ) -> Result<Response, StoreError> {
        let Some(seen) = self.look(view)? else { return Ok(self.missing(visitor)) };
        let site = Site::of(service, self.host.as_deref(), visitor.origin.tls);
        match self.format {
            Format::Page => seen.page(view, visitor),
            Format::Rss => Ok(seen.rss(&site)),
            Format::Json => Ok(seen.json(&site)),
        }
    }
}

/// There is no such page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nothing;

impl Page for Nothing {
    fn show(
        self: Box<Self>,
        _: &Service,
        _: &View,
        visitor: &Visitor,
    ) -> Result<Response, StoreError> {
        Ok(message::not_found(visitor, "There is no such page."))
    }
}

impl Seen {
    fn page(&self, view: &View, visitor: &Visitor) -> Result<Response, StoreError> {
        let Found { title, page, feed, user, list } = &self.found;
        let mut rows = Vec::with_capacity(self.lines.len());
        for Line { post, author } in &self.lines {
            rows.push((post, Row::of(view, visitor, post, author)?));
        }
        let rows = html! {
            ol.posts {
                @for (post, row) in rows {
                    li.post id={ "p-" (post.key) } { (row.show(visitor)) }
                }
            }
        };
        let body = html! {
            h1 { (parts::typed(title)) }
            @if let Some(user) = user { (about_user(visitor, user)) }
            @if let List::Top(span) = list {
                nav.spans aria-label="Spans" {
                    @for (it, name) in SPANS {
                        a href={ "/b/top/" (name) } aria-current=[(it == *span).then_some("page")] { (name) } " "
                    }
                }
            }
            @if let Some(first) = self.lines.first() {
                (likes_form(visitor, &first.post, rows))
            } @else {
                (self.nothing(visitor))
            }
            @if let Some(next) = &self.next { (parts::more(page, next)) }
        };
        Ok(layout::page(200, visitor, title, Some(feed), body))
    }

    /// What to do where nothing is.
    fn nothing(&self, visitor: &Visitor) -> Markup {
        let Found { list, page, user, .. } = &self.found;
        let post = html! { a href="/b/post" { "Post a link" } };
        let text = match (list, user) {
            _ if self.next.is_some() => html! { "Nothing on this page; there is more behind it." },
            _ if self.after.is_some() => {
                html! { "That was all. " a href=(page) { "Back to the beginning" } "." }
            }
            (List::Top(_), _) => html! {
                "Nothing was posted in this time. See what is " a href="/b/newest" { "newest" } ", or "
                (post) "."
            },
            (_, Some(user)) if visitor.is(user.id) => {
                html! { "You have no posts here. " (post) "." }
            }
            (_, Some(user)) => html! { (parts::typed(&user.name)) " has no posts here." },
            _ => html! { "Nothing here yet. Be the first: " (post) "." },
        };
        html! { p.empty { (text) } }
    }

    /// The list's own path, with the cursor of this page.
    fn path(&self, format: Format, after: Option<&String>) -> String {
        let path = format!("{}{}", self.found.feed, format.ending());
        match after {
            Some(after) => format!("{path}?after={after}"),
            None => path,
        }
    }

    fn json(&self, site: &Site) -> Response {
        let url = |after| site.url(&self.path(Format::Json, after));
        json::response(&PostList {
            title: self.found.title.clone(),
            own: url(self.after.as_ref()),
            next: self.next.as_ref().map(|next| url(Some(next))),
            posts: PostJson::of_all(&self.lines, site),
        })
    }

    fn rss(&self, site: &Site) -> Response {
        let item = |Line { post, author }: &Line| {
            let (likes, comments) =
                (parts::count(post.likes, "like"), parts::count(post.comments, "comment"));
            let page = site.url(&site::post(&post.key));
            Item {
                title: post.title.clone(),
                link: site.url(&format!("/{}", post.key)),
                id: page.clone(),
                id_is_url: true,
                wall_ms: post.wall_ms,
                comments: Some(page),
                description: format!("{} · posted by {author} · {likes} · {comments}", post.host),
            }
        };
        let Found { title, page, .. } = &self.found;
        let feed = Feed {
            title: format!("{title} · Bowline"),
            description: "Links that people have posted here.".to_owned(),
            page: site.url(page),
            own: site.url(&self.path(Format::Rss, self.after.as_ref())),
            items: self.lines.iter().map(item).collect(),
        };
        feed.response()
    }
}

/// Who a user is.
fn about_user(visitor: &Visitor, user: &User) -> Markup {
    html! {
        p.user-facts {
            "Here since " time datetime=(time::rfc3339(user.wall_ms)) { (&time::rfc3339(user.wall_ms)[..10]) }
            " · " (parts::count(user.posts, "post")) " · " (parts::count(user.likes, "like")) " for them"
            @if user.moderator { " · " strong { "moderator" } }
            @if user.disabled { " · " strong { "disabled" } }
            @if visitor.is(user.id) { " · " a href="/b/settings" { "Your settings" } }
        }
        (moderation::user_tools(visitor, user))
    }
}
