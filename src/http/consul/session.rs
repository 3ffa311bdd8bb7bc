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
use crate::node::{Rows, StoreError, View};
use crate::state::kv::{self, Counters, Session, SessionId};
use crate::state::{Command, Reply};
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
        Ok(options) => {
            read(service, options, Sessions { which, pretty: options.pretty, list: None })
        }
        Err(refusal) => refusal.into(),
    }
}

/// Sessions that are looked at in one slice.
const ROWS_MAX: usize = 256;

enum Which {
    One(SessionId),
    All,
    OnNode(String),
}

impl Which {
    fn is(&self, session: &Session) -> bool {
        match self {
            Self::One(id) => session.new.id == *id,
            Self::All => true,
            Self::OnNode(node) => session.new.node == *node,
        }
    }
}

/// Reads sessions.
struct Sessions {
    which: Which,
    pretty: bool,
    /// What has been found so far, while there is more to look at.
    list: Option<List>,
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
        let mut list = self.list.take().unwrap_or_default();
        let whole = match &self.which {
            Which::One(id) => {
                kv::session(view, id)?.iter().for_each(|session| list.push(session));
                true
            }
            which => list.go_on(view, which, ROWS_MAX)?,
        };
        if !whole {
            self.list = Some(list);
            return Ok(Look::Again);
        }
        Ok(Look::Answer(index, json::response_of(list.end(), self.pretty)))
    }
}

/// Sessions on their way into an answer.
#[derive(Default)]
struct List {
    /// Those found so far, as JSON without its end.
    out: Vec<u8>,
    /// The last one that was looked at.
    after: Option<SessionId>,
}

impl List {
    /// Looks at the next sessions, at most `rows_max`; whether those were the last.
    fn go_on<R: Rows>(
        &mut self,
        rows: &R,
        which: &Which,
        rows_max: usize,
    ) -> Result<bool, StoreError> {
        let (after, mut left) = (self.after, rows_max);
        kv::scan_sessions(rows, after.as_ref(), &mut |session| {
            left -= 1;
            self.after = Some(session.new.id);
            if which.is(&session) {
                self.push(&session);
            }
            left > 0
        })?;
        Ok(left > 0)
    }

    fn push(&mut self, session: &Session) {
        self.out.push(if self.out.is_empty() { b'[' } else { b',' });
        json::push(&mut self.out, &SessionShape::of(session));
    }

    fn end(mut self) -> Vec<u8> {
        if self.out.is_empty() {
            self.out.push(b'[');
        }
        self.out.push(b']');
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ClusterId, Id128, WriteId};
    use crate::state::kv::{Behavior, NewSession};
    use crate::state::{At, State};
    use crate::storage::MemoryStore;

    /// A store with the sessions 0 to 6, the odd ones on node b and the others on node a.
    fn store() -> MemoryStore {
        let mut state = State::new(MemoryStore::default(), ClusterId::default());
        let mut apply = |index, write, command: Command| {
            let at = At { index, term: 1, clock_ms: index, wall_ms: 0 };
            state.apply_command(at, write, &command.encode()).unwrap();
        };
        let none = WriteId { session: 0, seq: 0, floor: 0 };
        apply(1, none, Command::RegisterSession { node: 1, nonce: 1 });
        for number in 0..7 {
            let session = NewSession {
                id: Id128([number; 16]),
                name: String::new(),
                node: if number % 2 == 0 { "a" } else { "b" }.into(),
                ttl_ms: None,
                lock_delay_ms: 0,
                behavior: Behavior::Release,
                node_checks: Vec::new(),
                service_checks: Vec::new(),
            };
            let seq = u64::from(number) + 1;
            let write = WriteId { session: 1, seq, floor: seq };
            apply(seq + 1, write, Command::OpenSession(session));
        }
        state.into_table()
    }

    /// The first digits of the ids that are listed, and in how many slices.
    fn listed(which: &Which, rows_max: usize) -> (String, usize) {
        let (rows, mut list, mut slices) = (store(), List::default(), 1);
        while !list.go_on(&rows, which, rows_max).unwrap() {
            slices += 1;
        }
        let json: serde_json::Value = serde_json::from_slice(&list.end()).unwrap();
        let ids = json.as_array().unwrap().iter().map(|it| it["ID"].as_str().unwrap());
        (ids.map(|id| &id[1..2]).collect(), slices)
    }

    #[test]
    fn sessions_are_listed_once_whatever_the_slices() {
        let on = |node: &str| Which::OnNode(node.to_owned());
        for rows_max in 1..=8 {
            let slices = 7 / rows_max + 1;
            assert_eq!(listed(&Which::All, rows_max), ("0123456".to_owned(), slices));
            assert_eq!(listed(&on("b"), rows_max), ("135".to_owned(), slices));
            assert_eq!(listed(&on("c"), rows_max), (String::new(), slices));
        }
    }
}
