//! The rules of the board, for those who use it. What is a number in the program is that number here.

use maud::{Markup, html};

use super::super::normal::RULES_VERSION;
use super::super::site::{self, Site};
use super::super::typed::grouped;
use super::super::views::{layout, time};
use super::super::visit::Page;
use super::super::visitor::Visitor;
use crate::http::reply::Response;
use crate::http::service::Service;
use crate::http::wire::Request;
use crate::node::{StoreError, View};
use crate::state::board::{
    COMMENTS_MAX, EDIT_MS, LOGIN_MS, LOGINS_MAX, REPOST_MS, TEXT_LEN_MAX, TITLE_LEN_MAX,
};

/// The page.
#[derive(Clone, Debug)]
pub(super) struct About {
    host: Option<String>,
}

impl About {
    pub(super) fn of(request: &Request) -> Self {
        Self { host: site::asked(request) }
    }
}

impl Page for About {
    fn show(
        self: Box<Self>,
        service: &Service,
        _: &View,
        visitor: &Visitor,
    ) -> Result<Response, StoreError> {
        let site = Site::of(service, self.host.as_deref(), visitor.origin.tls);
        let body = html! {
            article.prose {
                h1 { "About this board" }
                p {
                    "People post links here, like them and talk about them. The board is kept by several \
                     machines at once, which agree on every post and every like; whichever of them you \
                     talk to shows you the same, and any one of them can fail without anybody being \
                     logged out or anything being lost."
                }
                (lists())
                (posting())
                (accounts())
                (moderation())
                (programs(&site))
            }
        };
        Ok(layout::page(200, visitor, "About", None, body))
    }
}

fn span(ms: u64) -> String {
    time::span(ms / 1000)
}

fn lists() -> Markup {
    html! {
        h2 { "What stands where" }
        p {
            a href="/b" { "Hot" } " weighs likes against age. A post stands where the time of its posting \
            puts it, moved up by 6.6 hours for each doubling of one more than its likes: the first \
            like is worth 6.6 hours, ten times as many likes are worth nearly a day. As a formula: "
            code { "posted + 6.6 h × log₂(1 + likes)" }
            ". Only times that stand in the common log of the machines are used, so all of them show \
            one order; and nothing but a like moves a post."
        }
        p {
            a href="/b/newest" { "Newest" } " is all posts, the last one first. Top is the most liked posts of the last "
            a href="/b/top/day" { "24 hours" } ", " a href="/b/top/week" { "7 days" } " or "
            a href="/b/top/year" { "365 days" } ". Each user and each host has a list of its own as well."
        }
    }
}

fn posting() -> Markup {
    html! {
        h2 { "Posting" }
        p {
            "A post is a title of at most " (TITLE_LEN_MAX) " characters and a link, which must begin with "
            code { "http://" } " or " code { "https://" } ". Each post is a short link too: its title leads \
            through it."
        }
        p {
            "A page that was posted in the last " (span(REPOST_MS)) " leads to the earlier post. Two links are \
            taken for one page when they differ only in " code { "http" } " and " code { "https" }
            ", the case of the host, " code { "www." } ", the usual port, a slash or " code { "index.html" }
            " at the end, the order of their parameters, parameters that only follow people around, such as "
            code { "utm_source" } " and " code { "fbclid" } ", or a place within the page after " code { "#" }
            " (these are version " (RULES_VERSION) " of the rules). What the author has deleted or a moderator has hidden \
            does not count."
        }
        p {
            "For " (span(EDIT_MS)) " you can give your post another title, which is marked, or delete it, and take \
            back what you said. A comment has at most " (grouped(TEXT_LEN_MAX)) " characters; there is one level of \
            answers, and a post has at most " (grouped(usize::try_from(COMMENTS_MAX).unwrap_or(usize::MAX))) " comments, those that were removed too."
        }
        p {
            "So that nobody drowns out the others you can post ten links at once and then one every 5 \
            minutes, comment twenty times at once and then once every 30 seconds, and like 120 times at \
            once and then once a second."
        }
    }
}

fn accounts() -> Markup {
    html! {
        h2 { "Accounts" }
        p {
            "An account is a name and a password; there is no way to get a lost password back. Passwords are \
            kept only as argon2id hashes. You stay logged in for " (span(LOGIN_MS)) " after you last did something, on up to "
            (LOGINS_MAX) " browsers, and can log out of all of them at once in your settings. Three cookies \
            are all that is kept in your browser: the log-in, how far you have seen, and one that protects \
            forms. Nobody else is told anything, and there are no scripts."
        }
        p {
            "Logging in with a name can be tried ten times from an address and then once a minute, and a \
            hundred times from all addresses together and then once every 10 seconds; with whatever name, \
            thirty times from an address and then once every 10 seconds. Signing up can be tried five \
            times from an address and then once every 10 minutes."
        }
    }
}

fn moderation() -> Markup {
    html! {
        h2 { "Moderation" }
        p {
            "Moderators can hide posts, remove comments and disable accounts, and they can undo that, but for \
            comments. What they do, and why, stands in a " a href="/b/log" { "log" } " that everybody can read. Who runs \
            the machines makes the first moderator; moderators make others."
        }
    }
}

fn programs(site: &Site) -> Markup {
    let bookmarklet = format!(
        "javascript:location.href='{}?url='+encodeURIComponent(location.href)\
         +'&title='+encodeURIComponent(document.title)",
        site.url("/b/post")
    );
    html! {
        h2 { "For programs" }
        p {
            "Each list is there as RSS and JSON as well: put " code { ".rss" } " or " code { ".json" }
            " behind its address, such as " a href="/b/newest.rss" { code { "/b/newest.rss" } } ", "
            a href="/b/top/week.json" { code { "/b/top/week.json" } } " or " code { "/b/u/NAME.rss" }
            " (the front page is " code { "/b/hot" } "). The page of a post has a " code { ".json" } " with its comments."
        }
        p { "To post the page that you are on, make a bookmark with this address:" }
        pre { code { (bookmarklet) } }
    }
}
