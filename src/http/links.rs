//! Short links: making them, following them.

use bytes::Bytes;
use serde::Serialize;

use super::once;
use super::query;
use super::read::{Read, Seen};
use super::reply::{Body, Problem, Response, Value};
use super::service::{self, Service, Step, Then};
use super::wire::Request;
use crate::node::{Ask, Completion, Outcome, Status, View};
use crate::state::{self, Command, Link, Reply};

/// How long a redirect may be remembered, and by whom: long enough to take the load off, short
/// enough that an edited or removed link is noticed.
const REDIRECT_CACHE: &str = "private, max-age=90";

/// `PUT /`: makes a short link for the URL in the body.
pub(super) fn create(service: &Service, _: &str, request: &Request) -> Step {
    if let Some(elsewhere) = forward(service, request) {
        return elsewhere;
    }
    let url = match state::check_url(&request.body) {
        Ok(url) => url,
        Err(error) => return Problem::new(400, error.to_string()).into(),
    };
    match once::under_key(request, &[], Command::CreateLink { url }) {
        Ok(command) => {
            let ask = Ask::Write(command.encode());
            Step::park(ask, service.options.request_timeout, Then::Created)
        }
        Err(problem) => problem.into(),
    }
}

/// The answer to `PUT /`, when the write is resolved.
pub(super) fn created(service: &Service, completion: Completion) -> Step {
    let response = match completion.outcome {
        Outcome::Written(reply) => told(reply),
        Outcome::Failed(failure) => {
            Problem::failure(failure).with_leader(service.leader_url()).into()
        }
        Outcome::Readable | Outcome::Done | Outcome::Changed => {
            unreachable!("only a link's creation is parked with this continuation")
        }
    };
    response.at(completion.index).into()
}

fn told(reply: Reply) -> Response {
    match reply {
        Reply::Link { key, created } => {
            let location = Value::Text(format!("/{key}"));
            let status = if created { 201 } else { 200 };
            Response::line(status, key.into()).header("Location", location)
        }
        Reply::Replayed(first) => once::replayed(told(*first)),
        Reply::KeyReused => once::reused(),
        Reply::UnknownSession | Reply::Stale => {
            Problem::unavailable("this node's write session has ended; nothing was changed").into()
        }
        _ => unreachable!("only a link's creation is parked with this continuation"),
    }
}

/// `GET /{key}`: leads to the URL.
pub(super) fn follow(service: &Service, part: &str, request: &Request) -> Step {
    let status = service.client.status();
    if !status.caught_up && !status.serving_stale {
        return Problem::unavailable("this node has not caught up with its cluster yet").into();
    }
    let key = query::decode(part);
    if !state::is_key(&key) {
        return missing().into();
    }
    service.read(Read::Link(key.into_owned()), request)
}

/// What a view says about a key. The state may have been found wrong while the read waited.
pub(super) fn look(service: &Service, key: &str, view: &View) -> Seen {
    let status = service.client.status();
    if let Some(why) = service::state_lost(&status) {
        return Seen::Found(Problem::unavailable(why).into());
    }
    let seen = match state::lookup(view, key) {
        Ok(Some(Link::Live(url) | Link::Owned(url))) => Seen::Found(redirect(url)),
        Ok(Some(Link::Gone)) => Seen::Found(Problem::new(410, "this link is gone").into()),
        Ok(None) => Seen::Missing(missing()),
        Err(error) => {
            log::error!("cannot read the link {key}: {error}");
            Seen::Found(Problem::new(500, "this node cannot read its disk").into())
        }
    };
    let mark = |response: Response| {
        let response = response.at(view.applied());
        if status.caught_up { response } else { response.with("X-Bowline-Stale", "true") }
    };
    match seen {
        Seen::Found(response) => Seen::Found(mark(response)),
        Seen::Missing(response) => Seen::Missing(mark(response)),
    }
}

fn redirect(url: Bytes) -> Response {
    Response { body: Body::Line(url.clone()), ..Response::new(301) }
        .header("Location", Value::Bytes(url))
        .with("Cache-Control", REDIRECT_CACHE)
}

fn missing() -> Response {
    Problem::new(404, "there is no link under this key").into()
}

/// What `?forward=refuse` answers on a node that does not lead.
#[derive(Serialize)]
struct Elsewhere {
    message: &'static str,
    #[serde(rename = "leaderId")]
    leader_id: Option<u64>,
    leader: Option<String>,
}

/// The answer to a client that wants to go to the leader itself, when this is not the leader.
fn forward(service: &Service, request: &Request) -> Option<Step> {
    let wish = query::value(request.query(), "forward")?;
    if wish != "redirect" && wish != "refuse" {
        return Some(Problem::new(400, "forward is either redirect or refuse").into());
    }
    let status = service.client.status();
    if leads(&status) {
        return None;
    }
    let url = service.leader_url();
    if wish == "refuse" {
        let message = "this node does not lead; nothing was changed";
        let body = Elsewhere { message, leader_id: status.leader, leader: url };
        return Some(Response::json(409, &body, false).with("Cache-Control", "no-store").into());
    }
    let Some(url) = url else {
        return Some(Problem::unavailable("no leader is known to redirect to").into());
    };
    let target = format!("{url}{}?{}", request.path(), request.query());
    let response = Response::text(307, format!("{target}\n")).text_header("Location", target);
    Some(response.with("Cache-Control", "no-store").into())
}

fn leads(status: &Status) -> bool {
    status.id != 0 && status.leader == Some(status.id)
}

/// `GET /`: how to use it.
pub(super) fn usage(_: &Service, _: &str, request: &Request) -> Step {
    let host = request.header("Host").map(String::from_utf8_lossy);
    let host = host.as_deref().filter(|host| !host.is_empty()).unwrap_or("127.0.0.1:7070");
    let page = format!(
        "\
Bowline: short links that stay up.

  Shorten a URL; the answer is its key:
    curl -X PUT --data 'https://example.com/a/long/url' http://{host}/

  Follow a short link:
    curl -i http://{host}/KEY

  Look at the cluster:
    curl http://{host}/readyz?verbose
    curl http://{host}/api/status?pretty
    curl http://{host}/v1/agent/members?pretty
    curl http://{host}/metrics
"
    );
    Response::text(200, page).into()
}
