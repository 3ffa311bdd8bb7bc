//! The whole surface in one table: which paths there are, and who answers them.

use super::reply::Response;
use super::service::{Options, Service, Step};
use super::upload::Upload;
use super::wire::{self, BodyRule, Budget, Limits, Method, Request};
use super::{admin, backup, board, consul, kv, links, openapi, prometheus};
use crate::metrics::HttpRequests;
use crate::state::{URL_LEN_MAX, is_reserved};

/// One line of the table: a path, the methods that this handler takes, the handler.
#[derive(Clone, Copy)]
pub struct Route {
    /// The path. Its last part may be variable: `{name}` stands for a single part that is not empty
    /// (and at the root not reserved), `{name*}` for all that follows, slashes included, or nothing.
    pub path: &'static str,
    /// Methods; the first one names the route in metrics.
    pub methods: &'static [Method],
    pub(super) needs: Needs,
    pub(super) handler: Handler,
    pub(super) takes: Takes,
}

/// Who answers a request.
#[derive(Clone, Copy)]
pub(super) enum Handler {
    /// Takes it whole.
    Whole(Whole),
    /// Takes its head, and then its body as it arrives.
    Upload(Begin),
}

/// See [`Route::whole`].
pub type Whole = fn(&Service, &str, &Request) -> Step;
/// See [`Route::upload`].
pub type Begin = fn(&Service, &str, &wire::Head) -> Result<Box<dyn Upload>, Response>;

/// What a node must have to answer; each needs what those before it need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Needs {
    /// Nothing: it is about the node itself.
    Nothing,
    /// A place in a cluster.
    Membership,
    /// A state that can be trusted.
    State,
}

use Method::{Delete, Get, Head, Post, Put};

const fn always(path: &'static str, methods: &'static [Method], handler: Whole) -> Route {
    Route::whole(path, methods, handler)
}

const fn member(path: &'static str, methods: &'static [Method], handler: Whole) -> Route {
    Route { needs: Needs::Membership, ..Route::whole(path, methods, handler) }
}

const fn state(path: &'static str, methods: &'static [Method], handler: Whole) -> Route {
    Route { needs: Needs::State, ..Route::whole(path, methods, handler) }
}

const fn upload(path: &'static str, methods: &'static [Method], begin: Begin) -> Route {
    Route { needs: Needs::State, ..Route::upload(path, methods, begin) }
}

impl Route {
    /// A route that needs nothing and takes short bodies. The handler is given the variable part of the
    /// path as it was sent: not decoded.
    #[must_use]
    pub const fn whole(path: &'static str, methods: &'static [Method], handler: Whole) -> Self {
        let handler = Handler::Whole(handler);
        Self { path, methods, needs: Needs::Nothing, handler, takes: Takes::Little }
    }

    /// The same for one that takes the body piece by piece, or refuses it by its head.
    #[must_use]
    pub const fn upload(path: &'static str, methods: &'static [Method], begin: Begin) -> Self {
        let handler = Handler::Upload(begin);
        Self { path, methods, needs: Needs::Nothing, handler, takes: Takes::Little }
    }

    const fn taking(self, takes: Takes) -> Self {
        Self { takes, ..self }
    }
}

/// Everything that can be asked.
pub const ROUTES: &[Route] = &[
    state("/", &[Put, Post], links::create),
    always("/", &[Get, Head], links::usage),
    state("/{key}", &[Get, Head], links::follow),
    always("/livez", &[Get, Head], admin::live),
    always("/readyz", &[Get, Head], admin::ready),
    always("/metrics", &[Get, Head], prometheus::page),
    always("/robots.txt", &[Get, Head], admin::robots),
    always("/openapi.json", &[Get, Head], openapi::document),
    always("/api/status", &[Get, Head], admin::status),
    always("/api/scrub", &[Get, Head], admin::scrub),
    state("/api/scrub", &[Post], admin::ask_scrub),
    state("/api/kv", &[Get, Head], kv::list),
    state("/api/kv/{key*}", &[Get, Head], kv::get),
    state("/api/kv/{key*}", &[Put], kv::put).taking(Takes::Value),
    state("/api/kv/{key*}", &[Delete], kv::delete),
    state("/v1/kv/{key*}", &[Get, Head], consul::kv::get),
    state("/v1/kv/{key*}", &[Put], consul::kv::put).taking(Takes::Value),
    state("/v1/kv/{key*}", &[Delete], consul::kv::delete),
    state("/v1/txn", &[Put], consul::txn::run).taking(Takes::Transaction),
    state("/v1/session/create", &[Put], consul::session::create),
    state("/v1/session/destroy/{id}", &[Put], consul::session::destroy),
    state("/v1/session/renew/{id}", &[Put], consul::session::renew),
    state("/v1/session/info/{id}", &[Get, Head], consul::session::info),
    state("/v1/session/list", &[Get, Head], consul::session::list),
    state("/v1/session/node/{node}", &[Get, Head], consul::session::of_node),
    state("/v1/snapshot", &[Get], backup::save),
    upload("/v1/snapshot", &[Put], backup::restore),
    member("/v1/agent/members", &[Get, Head], consul::cluster::members),
    member("/v1/agent/self", &[Get, Head], consul::agent::own),
    member("/v1/agent/join/{address}", &[Put], consul::agent::join),
    member("/v1/agent/force-leave/{node}", &[Put], consul::agent::force_leave),
    member("/v1/agent/leave", &[Put], consul::cluster::leave),
    always("/v1/status/leader", &[Get, Head], consul::cluster::leader),
    always("/v1/status/peers", &[Get, Head], consul::cluster::peers),
    member("/v1/operator/raft/configuration", &[Get, Head], consul::cluster::configuration),
    member("/v1/operator/raft/transfer-leader", &[Put, Post], consul::cluster::transfer),
    member("/v1/operator/raft/peer", &[Delete], consul::cluster::remove_peer),
    member("/v1/operator/autopilot/health", &[Get, Head], consul::agent::health),
    member("/v1/operator/autopilot/configuration", &[Get, Head], consul::agent::autopilot),
    state("/b", &[Get, Head], board::lists::front),
    always("/b/", &[Get, Head], board::lists::slash),
    always("/b/board.css", &[Get, Head], board::assets::style),
    always("/b/icon.svg", &[Get, Head], board::assets::icon),
    always("/favicon.ico", &[Get, Head], board::assets::icon),
    always("/b/about", &[Get, Head], board::lists::about),
    state("/b/top/{span}", &[Get, Head], board::lists::top),
    state("/b/u/{name}", &[Get, Head], board::lists::of_user),
    state("/b/host/{host}", &[Get, Head], board::lists::of_host),
    state("/b/p/{post}", &[Get, Head], board::posts::show),
    state("/b/post", &[Get, Head], board::posts::form),
    state("/b/post", &[Post], board::posts::submit).taking(Takes::Form),
    state("/b/edit/{post}", &[Get, Head], board::posts::edit_form),
    state("/b/edit/{post}", &[Post], board::posts::edit).taking(Takes::Form),
    state("/b/delete/{post}", &[Get, Head], board::posts::delete_form),
    state("/b/delete/{post}", &[Post], board::posts::delete).taking(Takes::Form),
    state("/b/like/{post}", &[Post], board::posts::like).taking(Takes::Form),
    state("/b/comment/{post}", &[Post], board::comments::submit).taking(Takes::Form),
    state("/b/uncomment/{post}", &[Post], board::comments::remove).taking(Takes::Form),
    state("/b/signup", &[Get, Head], board::accounts::signup_form),
    state("/b/signup", &[Post], board::accounts::signup).taking(Takes::Form),
    state("/b/login", &[Get, Head], board::accounts::login_form),
    state("/b/login", &[Post], board::accounts::login).taking(Takes::Form),
    state("/b/logout", &[Post], board::accounts::logout).taking(Takes::Form),
    state("/b/logout-everywhere", &[Post], board::accounts::logout_everywhere).taking(Takes::Form),
    state("/b/settings", &[Get, Head], board::accounts::settings),
    state("/b/password", &[Post], board::accounts::password).taking(Takes::Form),
    state("/b/log", &[Get, Head], board::moderation::log),
    state("/b/log.rss", &[Get, Head], board::moderation::log_rss),
    state("/b/log.json", &[Get, Head], board::moderation::log_json),
    state("/b/hide/{post}", &[Post], board::moderation::hide).taking(Takes::Form),
    state("/b/disable/{name}", &[Post], board::moderation::disable).taking(Takes::Form),
    state("/b/appoint/{name}", &[Post], board::moderation::appoint).taking(Takes::Form),
    state("/b/{list}", &[Get, Head], board::lists::named),
    state("/api/board/moderators", &[Get, Head], board::operator::moderators),
    state("/api/board/moderators/{name}", &[Put, Delete], board::operator::moderator),
];

/// Requests to paths that are in no route are counted under this number,
pub const UNMATCHED: usize = ROUTES.len();
/// and what was no request at all under this.
pub const MALFORMED: usize = ROUTES.len() + 1;

const _: () = assert!(MALFORMED < HttpRequests::ROUTES_MAX);

/// How long the body of a request to a route may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// As long as a URL, or a few parameters.
    Little,
    /// As long as a value of the key-value store.
    Value,
    /// As long as a transaction.
    Transaction,
    /// As long as a form that somebody fills in.
    Form,
}

/// Bytes of a short body: those of a URL, and a margin for white space around it.
const LITTLE_MAX: usize = 2 * URL_LEN_MAX;
/// Bytes of a transaction as JSON: its values are in base64, and an entry of the log holds 2 MiB.
const TRANSACTION_MAX: usize = 4 * 1024 * 1024;
/// Bytes of a form: far more text than any field takes, escaped, so that who typed too much is told so
/// beside the field and loses nothing.
const FORM_MAX: usize = 256 * 1024;

/// What the fronts let a client send, by default.
#[must_use]
pub fn limits() -> Limits {
    limits_of(ROUTES, &Options::default())
}

/// What the fronts let a client send, when these are the routes.
pub(super) fn limits_of(table: &'static [Route], options: &Options) -> Limits {
    let Options { value_max, bodies_max, .. } = *options;
    Limits {
        head_max: Limits::HEAD_MAX,
        target_max: Limits::TARGET_MAX,
        body: Box::new(move |head| body_rule(table, head, value_max)),
        bodies: Budget::new(bodies_max),
    }
}

fn body_rule(table: &[Route], head: &wire::Head, value_max: usize) -> BodyRule {
    let Found::Route(number, _) = find(table, head.method, head.path()) else {
        return BodyRule::Whole(LITTLE_MAX);
    };
    let Route { handler, takes, .. } = table[number];
    match (handler, takes) {
        (Handler::Upload(_), _) => BodyRule::Pieces,
        (Handler::Whole(_), Takes::Little) => BodyRule::Whole(LITTLE_MAX),
        (Handler::Whole(_), Takes::Value) => BodyRule::Whole(value_max),
        (Handler::Whole(_), Takes::Transaction) => BodyRule::Whole(TRANSACTION_MAX),
        (Handler::Whole(_), Takes::Form) => BodyRule::Whole(FORM_MAX),
    }
}

/// Which route takes a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// This one, with the path's variable part.
    Route(usize, &'a str),
    /// The path exists, with other methods.
    WrongMethod,
    /// There is no such path.
    Nothing,
}

pub(super) fn find<'a>(table: &[Route], method: Method, path: &'a str) -> Found<'a> {
    let mut found = Found::Nothing;
    for (number, route) in table.iter().enumerate() {
        if let Some(part) = fits(route.path, path) {
            if route.methods.contains(&method) {
                return Found::Route(number, part);
            }
            found = Found::WrongMethod;
        }
    }
    found
}

/// The variable part of a path that fits a pattern; empty when the pattern has none.
fn fits<'a>(pattern: &str, path: &'a str) -> Option<&'a str> {
    let Some((fixed, variable)) = pattern.split_once('{') else {
        return (pattern == path).then_some("");
    };
    let part = path.strip_prefix(fixed)?;
    if variable.ends_with("*}") {
        return Some(part);
    }
    let is_part = !part.is_empty() && !part.contains('/');
    (is_part && !(fixed == "/" && is_reserved(part))).then_some(part)
}

/// The methods that a path takes, as the `Allow` header lists them.
pub(super) fn allow(table: &[Route], path: &str) -> String {
    let takes = |method: &Method| matches!(find(table, *method, path), Found::Route(..));
    let names: Vec<_> =
        [Get, Head, Put, Post, Delete].iter().filter(|it| takes(it)).map(|it| it.name()).collect();
    names.join(", ")
}
