//! Who asks: the browser's cookies, and what the state says about them.

use std::time::SystemTime;

use super::super::origin::Origin;
use super::super::service::Service;
use super::super::wire::{Head, Method};
use super::cookies::{self, Cookies};
use super::{csrf, paths};
use crate::node::View;
use crate::state::board::{self, LoginId, User};

/// What of a request is known without the state; kept while it waits for that.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) cookies: Cookies,
    origin: Origin,
    path: String,
    here: String,
    next: String,
    /// Whether its browser says that another site has sent it.
    pub(super) is_foreign: bool,
}

impl Caller {
    /// That of a request.
    pub(super) fn of(service: &Service, head: &Head) -> Self {
        let origin = head.client(service);
        let next = paths::next_of(head.query());
        let here = match (head.method, head.query()) {
            (Method::Get | Method::Head, "") => paths::checked(head.path()).to_owned(),
            (Method::Get | Method::Head, query) => {
                paths::checked(&format!("{}?{query}", head.path())).to_owned()
            }
            // A page cannot be gone back to that nobody can GET.
            _ => next.clone(),
        };
        let (cookies, is_foreign) = (Cookies::of(head, origin.tls), csrf::is_foreign(head));
        let path = head.path().to_owned();
        Self { cookies, origin, path, here, next, is_foreign }
    }

    /// The same, with the `next` that its form says.
    pub(super) fn with_next(mut self, next: &str) -> Self {
        if !next.is_empty() {
            self.next = paths::checked(next).to_owned();
            self.here = self.next.clone();
        }
        self
    }

    /// Who that is, as far as this view knows.
    pub(super) fn visit(self, service: &Service, view: &View) -> Visitor {
        let nobody = self.nobody(service);
        let user = nobody.claim.and_then(|claim| user_of(view, &claim));
        Visitor { user, applied: view.applied(), ..nobody }
    }

    /// The same without a look at the state, when there is none to be trusted.
    pub(super) fn nobody(self, service: &Service) -> Visitor {
        let (csrf, new_form_cookie) = match csrf::token(&self.cookies) {
            Some(token) => (token, None),
            None => {
                let cookie = cookies::new_form();
                (csrf::token_of(&cookie), Some(cookie))
            }
        };
        let status = service.client.status();
        let is_cut_off =
            if status.caught_up { status.leader.is_none() } else { status.serving_stale };
        Visitor {
            claim: self.cookies.login_id(),
            login_cookie: self.cookies.login,
            user: None,
            csrf,
            origin: self.origin,
            path: self.path,
            here: self.here,
            next: self.next,
            wall_now_ms: wall_now_ms(),
            new_form_cookie,
            node: status.name.clone(),
            applied: service.client.applied().0,
            freshness: if is_cut_off { Freshness::Stale } else { Freshness::Fresh },
        }
    }
}

/// How what is shown stands to what the visitor should see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Freshness {
    /// It is all there.
    Fresh,
    /// This node knows no leader, and tells what it has.
    Stale,
    /// This node has not come to what this browser has seen elsewhere.
    Behind,
    /// This browser says it has seen what no node of this cluster has: it is to forget that.
    Foreign,
}

/// Who asks for a page, and what any page needs to know besides the state.
#[derive(Clone, Debug)]
pub(in crate::http) struct Visitor {
    /// The log-in that the browser claims to have. Whether that is (still) one is decided when an act is
    /// applied, so acts are sent in its name even if this node does not know it (yet); what to show goes
    /// by [`user`](Self::user).
    pub claim: Option<LoginId>,
    /// The text that the claim rests on.
    pub(super) login_cookie: Option<String>,
    /// The user who is logged in, as of the view; nobody who is disabled.
    pub user: Option<User>,
    /// What forms carry in the field `csrf`; see [`parts::csrf`](super::views::parts::csrf).
    pub csrf: String,
    /// Where the request comes from.
    pub origin: Origin,
    /// The path that was asked for, or that the form was sent to.
    pub path: String,
    /// The page, path and query, to come back to; that of the form when one was sent.
    pub here: String,
    /// Where to go when it is done: from the query or the form, checked.
    pub next: String,
    /// This node's wall clock in ms since 1970: to tell ages by, and for nothing else.
    pub wall_now_ms: u64,
    /// What the browser is to keep, so that its forms can be told from others.
    pub(super) new_form_cookie: Option<String>,
    /// Name of this node.
    pub(super) node: String,
    /// Index of the state that is shown.
    pub(super) applied: u64,
    pub(super) freshness: Freshness,
}

impl Visitor {
    /// Whether this is a moderator.
    pub(in crate::http) fn is_moderator(&self) -> bool {
        self.user.as_ref().is_some_and(|user| user.moderator)
    }

    /// Whether nobody is logged in by this browser's claim, for certain enough not to ask the log: this
    /// node has come to all that the browser has seen, and so to where it was given that log-in.
    pub(super) fn is_logged_out(&self) -> bool {
        self.claim.is_some() && self.user.is_none() && self.freshness == Freshness::Fresh
    }

    /// Whether this is that user.
    pub(in crate::http) fn is(&self, user: board::UserId) -> bool {
        self.user.as_ref().is_some_and(|it| it.id == user)
    }
}

/// The user of a log-in that has not ended. Whoever cannot be read is nobody: the page itself will tell
/// about the disk.
fn user_of(view: &View, claim: &LoginId) -> Option<User> {
    let found = board::login(view, claim).and_then(|login| match login {
        Some(login) => board::user(view, login.user),
        None => Ok(None),
    });
    match found {
        Ok(user) => user.filter(|user| !user.disabled),
        Err(error) => {
            log::error!("cannot read who is logged in: {error}");
            None
        }
    }
}

fn wall_now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
