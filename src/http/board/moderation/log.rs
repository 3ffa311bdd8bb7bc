//! The log of what moderators did: for everybody, as a page, as RSS and as JSON.
//!
//! It says which post was hidden, not what it was called: to repeat a title here would undo what hiding it
//! was for. The reason is the moderator's to give.

use maud::{Markup, html};
use serde::Serialize;

use super::super::feed::{Feed, Item};
use super::super::lists::Format;
use super::super::site::{self, Site};
use super::super::views::{layout, parts, time};
use super::super::visit::{self, Page};
use super::super::visitor::Visitor;
use super::super::{cursor, json};
use crate::http::reply::Response;
use crate::http::service::Service;
use crate::http::step::Step;
use crate::http::wire::Request;
use crate::node::{StoreError, View};
use crate::state::board::{self, CommentId, Cursor, Deed, Moderated, UserId};

/// Where it is.
const PATH: &str = "/b/log";
/// Deeds on a page.
const DEEDS_MAX: usize = 30;

/// `GET /b/log`.
pub(in crate::http) fn log(service: &Service, _: &str, request: &Request) -> Step {
    show(service, request, Format::Page)
}

/// `GET /b/log.rss`.
pub(in crate::http) fn log_rss(service: &Service, _: &str, request: &Request) -> Step {
    show(service, request, Format::Rss)
}

/// `GET /b/log.json`.
pub(in crate::http) fn log_json(service: &Service, _: &str, request: &Request) -> Step {
    show(service, request, Format::Json)
}

fn show(service: &Service, request: &Request, format: Format) -> Step {
    let (after, host) = (cursor::of(request.query()), site::asked(request));
    visit::page(service, request, Box::new(Asked { format, after, host }))
}

/// A page of it that was asked for.
#[derive(Debug)]
struct Asked {
    format: Format,
    after: Option<Cursor>,
    /// The host that the request was for.
    host: Option<String>,
}

impl Page for Asked {
    fn show(
        self: Box<Self>,
        service: &Service,
        view: &View,
        visitor: &Visitor,
    ) -> Result<Response, StoreError> {
        let seen = Seen::of(view, self.after.as_ref())?;
        let site = Site::of(service, self.host.as_deref(), visitor.origin.tls);
        Ok(match self.format {
            Format::Page => seen.page(visitor),
            Format::Rss => seen.rss(&site),
            Format::Json => seen.json(&site),
        })
    }
}

/// A page of it, as far as all formats agree.
struct Seen {
    lines: Vec<Line>,
    /// The cursors of this page and of the next one, as they stand in queries.
    after: Option<String>,
    next: Option<String>,
}

/// Something that a moderator did.
struct Line {
    moderated: Moderated,
    /// Who; none for an operator.
    by: Option<String>,
    target: Target,
}

/// To what it was done.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Post(String),
    Comment(String, CommentId),
    User(String),
}

impl Seen {
    fn of(view: &View, after: Option<&Cursor>) -> Result<Self, StoreError> {
        let page = board::moderation(view, after, DEEDS_MAX)?;
        let mut lines = Vec::with_capacity(page.deeds.len());
        for (moderated, by) in page.deeds {
            let target = Target::of(view, &moderated.deed)?;
            lines.push(Line { moderated, by, target });
        }
        let (after, next) = (after.map(cursor::text), page.next.as_ref().map(cursor::text));
        Ok(Self { lines, after, next })
    }

    fn page(&self, visitor: &Visitor) -> Response {
        let body = html! {
            h1 { "Moderation log" }
            p { "What moderators did, the latest first." }
            @if self.lines.is_empty() {
                p.empty { "Nothing so far." }
            } @else {
                ol.log { @for line in &self.lines { (line.show(visitor)) } }
            }
            @if let Some(next) = &self.next { (parts::more(PATH, next)) }
        };
        layout::page(200, visitor, "Moderation log", Some(PATH), body)
    }

    fn rss(&self, site: &Site) -> Response {
        let page = site.url(PATH);
        let item = |line: &Line| Item {
            title: line.text(),
            link: site.url(&line.target.path()),
            id: format!("{page}#d-{}", line.moderated.revision),
            id_is_url: false,
            wall_ms: line.moderated.wall_ms,
            comments: None,
            description: line.moderated.reason.clone(),
        };
        let feed = Feed {
            title: "Moderation log · Bowline".to_owned(),
            description: "What moderators did.".to_owned(),
            own: site.url(&own("rss", self.after.as_ref())),
            items: self.lines.iter().map(item).collect(),
            page,
        };
        feed.response()
    }

    fn json(&self, site: &Site) -> Response {
        let url = |after| site.url(&own("json", after));
        json::response(&LogJson {
            title: "Moderation log",
            own: url(self.after.as_ref()),
            next: self.next.as_ref().map(|next| url(Some(next))),
            deeds: self.lines.iter().map(DeedJson::of).collect(),
        })
    }
}

/// The path of a page of it for programs.
fn own(format: &str, after: Option<&String>) -> String {
    match after {
        Some(after) => format!("{PATH}.{format}?after={after}"),
        None => format!("{PATH}.{format}"),
    }
}

impl Target {
    fn of(view: &View, deed: &Deed) -> Result<Self, StoreError> {
        let name = |id: &UserId| {
            let user = board::user(view, *id)?;
            Ok(user.map_or_else(|| format!("user {id}"), |user| user.name))
        };
        Ok(match deed {
            Deed::Hid(post) | Deed::Showed(post) => Self::Post(post.clone()),
            Deed::RemovedComment(post, comment) => Self::Comment(post.clone(), *comment),
            Deed::Disabled(user)
            | Deed::Enabled(user)
            | Deed::Appointed(user)
            | Deed::Dismissed(user) => Self::User(name(user)?),
        })
    }

    /// Its page.
    fn path(&self) -> String {
        match self {
            Self::Post(key) => site::post(key),
            Self::Comment(key, comment) => format!("{}#c-{comment}", site::post(key)),
            Self::User(name) => site::user(name),
        }
    }

    /// What it is called.
    fn name(&self) -> &str {
        match self {
            Self::Post(name) | Self::Comment(name, _) | Self::User(name) => name,
        }
    }
}

impl Line {
    fn by(&self) -> &str {
        self.by.as_deref().unwrap_or("an operator")
    }

    /// What was done, in words before and after what it was done to.
    fn words(&self) -> (&'static str, &'static str) {
        match self.moderated.deed {
            Deed::Hid(_) => ("hid the post", ""),
            Deed::Showed(_) => ("showed the post", " again"),
            Deed::RemovedComment(..) => ("removed a comment on the post", ""),
            Deed::Disabled(_) => ("disabled", ""),
            Deed::Enabled(_) => ("enabled", " again"),
            Deed::Appointed(_) => ("made", " a moderator"),
            Deed::Dismissed(_) => ("made", " a moderator no longer"),
        }
    }

    fn text(&self) -> String {
        let (before, after) = self.words();
        format!("{} {before} {}{after}", self.by(), self.target.name())
    }

    fn show(&self, visitor: &Visitor) -> Markup {
        let (before, after) = self.words();
        let Moderated { revision, wall_ms, reason, .. } = &self.moderated;
        html! {
            li id={ "d-" (revision) } {
                p {
                    @match &self.by {
                        Some(name) => (parts::user_link(name)),
                        None => "An operator",
                    }
                    " " (before) " "
                    a href=(self.target.path()) { (parts::typed(self.target.name())) }
                    (after) " " span.meta { (parts::age(visitor, *wall_ms)) }
                }
                @if !reason.is_empty() { p.reason.text { (parts::typed(reason)) } }
            }
        }
    }
}

/// A page of it, as JSON.
#[derive(Serialize)]
struct LogJson<'a> {
    title: &'static str,
    #[serde(rename = "self")]
    own: String,
    next: Option<String>,
    deeds: Vec<DeedJson<'a>>,
}

/// Something that a moderator did, as JSON.
#[derive(Serialize)]
struct DeedJson<'a> {
    id: u64,
    at: String,
    /// None for an operator.
    by: Option<&'a str>,
    did: &'static str,
    post: Option<&'a str>,
    comment: Option<CommentId>,
    user: Option<&'a str>,
    reason: &'a str,
}

impl<'a> DeedJson<'a> {
    fn of(line: &'a Line) -> Self {
        let (post, comment, user) = match &line.target {
            Target::Post(key) => (Some(&**key), None, None),
            Target::Comment(key, comment) => (Some(&**key), Some(*comment), None),
            Target::User(name) => (None, None, Some(&**name)),
        };
        let did = match line.moderated.deed {
            Deed::Hid(_) => "hid",
            Deed::Showed(_) => "showed",
            Deed::RemovedComment(..) => "removed_comment",
            Deed::Disabled(_) => "disabled",
            Deed::Enabled(_) => "enabled",
            Deed::Appointed(_) => "appointed",
            Deed::Dismissed(_) => "dismissed",
        };
        let Moderated { revision: id, wall_ms, reason, .. } = &line.moderated;
        let at = time::rfc3339(*wall_ms);
        Self { id: *id, at, by: line.by.as_deref(), did, post, comment, user, reason }
    }
}
