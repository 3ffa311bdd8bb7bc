//! The frame of each page: what a browser is told, the way around, and what this node is.

use maud::{DOCTYPE, Markup, html};

use super::super::visitor::{Freshness, Visitor};
use super::super::{assets, cookies, paths};
use super::parts;
use crate::http::reply::{Body, Response, Value};

const HTML: &str = "text/html; charset=utf-8";
/// Nothing but our own style, pictures and forms; nothing from elsewhere, no scripts, no frames.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; \
                      base-uri 'none'; frame-ancestors 'none'";

/// The lists that each page leads to.
const LISTS: [(&str, &str); 3] =
    [("Hot", paths::FRONT), ("Newest", "/b/newest"), ("Top", "/b/top/week")];

/// A page. `feed` is the path of the list that the page shows, without `.rss` and `.json`, where it is
/// there for programs.
pub(in crate::http::board) fn page(
    status: u16,
    visitor: &Visitor,
    title: &str,
    feed: Option<&str>,
    body: Markup,
) -> Response {
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { (title) " · Bowline" }
                meta name="viewport" content="width=device-width,initial-scale=1";
                meta name="color-scheme" content="light dark";
                link rel="stylesheet" href=(assets::style_path());
                link rel="icon" type="image/svg+xml" href=(assets::icon_path());
                @if let Some(feed) = feed {
                    link rel="alternate" type="application/rss+xml" title=(title) href={ (feed) ".rss" };
                    link rel="alternate" type="application/json" title=(title) href={ (feed) ".json" };
                }
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                (header(visitor))
                main #main tabindex="-1" {
                    (freshness(visitor))
                    (body)
                }
                (footer(visitor, feed))
            }
        }
    };
    let body = Body::Bytes(markup.into_string().into());
    let response = Response { content_type: HTML, body, ..Response::new(status) };
    with_cookies(guarded(response), visitor)
}

/// Sends the browser on with a GET: after a form, so that reloading does not send it again.
pub(in crate::http::board) fn redirect(visitor: &Visitor, to: &str) -> Response {
    let response = Response::new(303).text_header("Location", to);
    with_cookies(response.with("Cache-Control", "no-store"), visitor)
}

/// A browser must not guess what this is, keep it without asking, or tell others where it was.
fn guarded(response: Response) -> Response {
    response
        .with("Cache-Control", "private, no-cache")
        .with("Content-Security-Policy", POLICY)
        .with("X-Content-Type-Options", "nosniff")
        .with("Referrer-Policy", "same-origin")
}

fn with_cookies(mut response: Response, visitor: &Visitor) -> Response {
    let tls = visitor.origin.tls;
    if let Some(text) = &visitor.new_form_cookie {
        response = response.header("Set-Cookie", Value::Text(cookies::form(text, tls)));
    }
    if visitor.freshness == Freshness::Foreign {
        response = response.header("Set-Cookie", Value::Text(cookies::nothing_seen(tls)));
    }
    response
}

fn header(visitor: &Visitor) -> Markup {
    html! {
        header {
            nav aria-label="Board" {
                a.home href=(paths::FRONT) { img src=(assets::icon_path()) alt="" width="24" height="24"; "Bowline" }
                @for (name, path) in LISTS {
                    a href=(path) aria-current=[is_here(visitor, path).then_some("page")] { (name) }
                }
                a href="/b/post" aria-current=[is_here(visitor, "/b/post").then_some("page")] { "Post" }
            }
            nav.account aria-label="Account" {
                @if let Some(user) = &visitor.user {
                    a href="/b/settings" { (user.name) }
                    (parts::button_form(visitor, "/b/logout", paths::FRONT, "Log out", html! {}))
                } @else {
                    a href=(paths::and_back("/b/login", &back(visitor))) { "Log in" }
                    a href=(paths::and_back("/b/signup", &back(visitor))) { "Sign up" }
                }
            }
        }
    }
}

/// Where to come back to from the forms of the accounts, which are no place to come back to.
fn back(visitor: &Visitor) -> String {
    let path = visitor.here.split('?').next().unwrap_or_default();
    let here = if matches!(path, "/b/login" | "/b/signup") { &visitor.next } else { &visitor.here };
    here.clone()
}

fn is_here(visitor: &Visitor, path: &str) -> bool {
    let here = &visitor.path;
    here == path || (path.starts_with("/b/top/") && here.starts_with("/b/top/"))
}

fn freshness(visitor: &Visitor) -> Markup {
    match visitor.freshness {
        Freshness::Fresh | Freshness::Foreign => html! {},
        Freshness::Stale => parts::notice(html! {
            "This node has no connection to its cluster and shows what it had before."
        }),
        Freshness::Behind => parts::notice(html! {
            "This node is behind the others: what you did last may not be here yet. "
            a href=(visitor.here) { "Look again" } "."
        }),
    }
}

fn footer(visitor: &Visitor, feed: Option<&str>) -> Markup {
    html! {
        footer {
            nav aria-label="More" {
                a href="/b/about" { "About" }
                a href="/b/log" { "Moderation log" }
                @if let Some(feed) = feed {
                    a href={ (feed) ".rss" } { "RSS" }
                    a href={ (feed) ".json" } { "JSON" }
                }
            }
            p { "Shown by " b { (visitor.node) } " as of entry " (visitor.applied) }
        }
    }
}
