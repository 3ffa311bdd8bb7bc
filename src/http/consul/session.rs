//! `/v1/session`: who holds locks, and for how long.

use super::options::{ReadOptions, check_datacenter};
use super::reading::{Look, Query, read};
use super::session_body;
use super::shapes::{SessionShape, new_session_id, session_id, uuid};
use super::writing::write;
use super::{boolean, json, refusal};
use crate::http::query;
use crate::http::reply::Response;
use crate::http::service::{Service, Step};
use crate::http::wire::Request;
use crate::membership::RosterStatus;
use crate::node::View;
use crate::state::kv::{self, Counters, SessionId};
use crate::state::{Command, Reply};
use crate::storage::StoreError;
use crate::watch::Topic;

/// `PUT /v1/session/create`.
pub(in crate::http) fn create(service: &Service, _: &str, request: &Request) -> Step {
    match wanted(service, request) {
        Ok(command) => write(service, &command, |reply| match reply {
            Reply::SessionOpened { id, .. } => {
                let body = serde_json::json!({ "ID": uuid(id) });
                json::response(200, &body, false)
            }
            reply => unreachable!("a session was to be opened: {reply:?}"),
        }),
        Err(refusal) => refusal.into(),
    }
}

fn wanted(service: &Service, request: &Request) -> Result<Command, Response> {
    check_datacenter(request.query())?;
    let own = &service.client.status().name;
    let session = session_body::session(&request.body, new_session_id(), own)?;
    if !is_node(service, &session.node) {
        let node = &session.node;
        return Err(refusal(500, &format!("Missing node registration: no Node {node:?} is known")));
    }
    Ok(Command::OpenSession(session))
}

/// Whether a member of this name belongs to the cluster.
fn is_node(service: &Service, name: &str) -> bool {
    let status = service.client.status();
    let gossiped = || {
        let roster = service.client.roster.current();
        roster.iter().any(|it| it.name == name && it.status != RosterStatus::Left)
    };
    status.name == name || status.members.iter().any(|it| it.name == name) || gossiped()
}

/// `PUT /v1/session/destroy/{id}`.
pub(in crate::http) fn destroy(service: &Service, part: &str, request: &Request) -> Step {
    match named(part, request) {
        Ok(id) => write(service, &Command::DestroySession { id }, |reply| match reply {
            Reply::SessionDestroyed { .. } => boolean(true),
            reply => unreachable!("a session was to be destroyed: {reply:?}"),
        }),
        Err(refusal) => refusal.into(),
    }
}

/// `PUT /v1/session/renew/{id}`.
pub(in crate::http) fn renew(service: &Service, part: &str, request: &Request) -> Step {
    let pretty = query::flag(request.query(), "pretty");
    match named(part, request) {
        Ok(id) => write(service, &Command::RenewSession { id }, move |reply| match reply {
            Reply::SessionRenewed(Some(session)) => {
                json::response(200, &[SessionShape::of(&session)], pretty)
            }
            Reply::SessionRenewed(None) => {
                refusal(404, &format!("Session id '{}' not found", uuid(id)))
            }
            reply => unreachable!("a session was to be renewed: {reply:?}"),
        }),
        Err(refusal) => refusal.into(),
    }
}

/// The session that a path names.
fn named(part: &str, request: &Request) -> Result<SessionId, Response> {
    check_datacenter(request.query())?;
    let text = query::decode(part);
    session_id(&text)
        .ok_or_else(|| refusal(500, &format!("invalid session {text:?}: a UUID is wanted")))
}

/// `GET /v1/session/info/{id}`.
pub(in crate::http) fn info(service: &Service, part: &str, request: &Request) -> Step {
    match named(part, request) {
        Ok(id) => list_of(service, Which::One(id), request),
        Err(refusal) => refusal.into(),
    }
}

/// `GET /v1/session/list`.
pub(in crate::http) fn list(service: &Service, _: &str, request: &Request) -> Step {
    list_of(service, Which::All, request)
}

/// `GET /v1/session/node/{node}`.
pub(in crate::http) fn of_node(service: &Service, part: &str, request: &Request) -> Step {
    list_of(service, Which::OnNode(query::decode(part).into_owned()), request)
}

fn list_of(service: &Service, which: Which, request: &Request) -> Step {
    match ReadOptions::of(request.query()) {
        Ok(options) => read(service, options, Sessions { which, pretty: options.pretty }),
        Err(refusal) => refusal.into(),
    }
}

enum Which {
    One(SessionId),
    All,
    OnNode(String),
}

/// Reads sessions.
struct Sessions {
    which: Which,
    pretty: bool,
}

impl Query for Sessions {
    fn topics(&self) -> Vec<Topic> {
        // As in Consul, sessions share one index.
        vec![Topic::Rows(kv::sessions_prefix().into())]
    }

    fn look(
        &mut self,
        view: &View,
        counters: &Counters,
        since: Option<u64>,
    ) -> Result<Look, StoreError> {
        let index = counters.sessions_index();
        if since.is_some_and(|since| index <= since) {
            return Ok(Look::Nothing);
        }
        let sessions = match &self.which {
            Which::One(id) => kv::session(view, id)?.into_iter().collect(),
            Which::All => kv::sessions(view)?,
            Which::OnNode(node) => {
                let mut sessions = kv::sessions(view)?;
                sessions.retain(|session| session.new.node == *node);
                sessions
            }
        };
        let shapes: Vec<_> = sessions.iter().map(SessionShape::of).collect();
        Ok(Look::Answer(index, json::response(200, &shapes, self.pretty)))
    }
}
