//! `/v1/kv`: reading, writing and deleting keys.

use bytes::Bytes;

use super::listing::{Form, Listing};
use super::options::{ReadOptions, check_datacenter, number};
use super::reading::{Look, Query, read};
use super::shapes::{Entry, session_id, uuid};
use super::writing::write;
use super::{boolean, json, refusal};
use crate::http::query;
use crate::http::reply::{Body, Response};
use crate::http::service::{Service, Step};
use crate::http::wire::Request;
use crate::node::StoreError;
use crate::node::View;
use crate::state::kv::{
    self, Counters, Failed, KEY_LEN_EVER, KEY_LEN_MAX, KvReply, Op, SessionId, When, Why,
};
use crate::state::{Command, Reply};
use crate::watch::Topic;

/// `GET /v1/kv/{key}`.
pub(in crate::http) fn get(service: &Service, part: &str, request: &Request) -> Step {
    got(service, part, request).unwrap_or_else(Step::from)
}

fn got(service: &Service, part: &str, request: &Request) -> Result<Step, Response> {
    let query = request.query();
    let options = ReadOptions::of(query)?;
    let key = key(part)?;
    let form = if query::flag(query, "keys") {
        let separator = query::bytes(query, "separator");
        // Clients of long ago spell it like this.
        let separator = separator.or_else(|| query::bytes(query, "seperator")).unwrap_or_default();
        Form::Keys { separator: separator.into_owned() }
    } else if query::flag(query, "recurse") {
        Form::Entries
    } else {
        let raw = query::flag(query, "raw");
        let one = One { key: named(key)?, raw, pretty: options.pretty };
        return Ok(read(service, options, one));
    };
    Ok(read(service, options, Listing::new(key, form, options.pretty)))
}

/// The key in a path.
fn key(part: &str) -> Result<Bytes, Response> {
    let key = query::path_bytes(part);
    key.map(Bytes::from).ok_or_else(|| refusal(400, "Invalid escape in the key's path"))
}

/// The key, where there must be one.
fn named(key: Bytes) -> Result<Bytes, Response> {
    if key.is_empty() { Err(refusal(400, "Missing key name")) } else { Ok(key) }
}

/// Reads one key.
struct One {
    key: Bytes,
    raw: bool,
    pretty: bool,
}

impl Query for One {
    fn topics(&self) -> Vec<Topic> {
        vec![Topic::Row(kv::row_key(&self.key).into())]
    }

    fn look(
        &mut self,
        view: &View,
        counters: &Counters,
        since: Option<u64>,
    ) -> Result<Look, StoreError> {
        if since.is_some_and(|since| !counters.any_key_since(since)) {
            return Ok(Look::Nothing);
        }
        let entry = kv::get(view, &self.key)?;
        if let Some(since) = since {
            let mark = if entry.is_none() { kv::tombstone(view, &self.key)? } else { None };
            if !counters.key_since(entry.as_ref(), mark, since) {
                return Ok(Look::Nothing);
            }
        }
        let index = counters.key_index(entry.as_ref());
        let response = match entry {
            None => Response::new(404),
            Some(entry) if self.raw => raw(entry.value),
            Some(entry) => {
                let entries = [Entry { entry: &entry, with_value: true }];
                json::response(200, &entries, self.pretty)
            }
        };
        Ok(Look::Answer(index, response))
    }
}

/// A value as it is, in such a way that no browser takes it for a page.
fn raw(value: Bytes) -> Response {
    Response { content_type: "text/plain", body: Body::Bytes(value), ..Response::new(200) }
        .with("X-Content-Type-Options", "nosniff")
        .with("Content-Security-Policy", "sandbox")
}

/// `PUT /v1/kv/{key}`.
pub(in crate::http) fn put(service: &Service, part: &str, request: &Request) -> Step {
    match asked(service, part, request) {
        Ok(op) => write_one(service, op),
        Err(refusal) => refusal.into(),
    }
}

fn asked(service: &Service, part: &str, request: &Request) -> Result<Op, Response> {
    let query = request.query();
    check_datacenter(query)?;
    let key = named(key(part)?)?;
    conflicts(query, &["cas", "acquire", "release"])?;
    let flags = number(query, "flags")?.unwrap_or(0);
    let cas = number(query, "cas")?;
    expect_length(&key, KEY_LEN_MAX)?;
    let (value, value_max) = (request.body.clone(), service.options.value_max);
    if value.len() > value_max {
        let size = value.len();
        let text = format!("Request body({size} bytes) too large, max size: {value_max} bytes");
        return Err(refusal(413, &text));
    }
    if let Some(session) = query::value(query, "acquire") {
        let Some(session) = session_of("acquire", &session)? else {
            return Err(refusal(500, &format!("invalid session {session:?} (acquire)")));
        };
        return Ok(Op::Lock { key, value, flags, session });
    }
    if let Some(session) = query::value(query, "release") {
        // What is no id at all holds no lock, and there is nothing wrong with saying so.
        let session = session_of("release", &session)?.unwrap_or_default();
        return Ok(Op::Unlock { key, value, flags, session });
    }
    let when = match cas {
        None => When::Always,
        Some(0) => When::Absent,
        Some(index) => When::At(index),
    };
    Ok(Op::Set { key, value, flags, ttl_ms: None, when })
}

fn expect_length(key: &[u8], limit: usize) -> Result<(), Response> {
    let length = key.len();
    if length <= limit {
        return Ok(());
    }
    Err(refusal(400, &format!("The key is {length} bytes long, the limit is {limit} bytes")))
}

/// The session that a parameter names; none when it names no possible one.
fn session_of(parameter: &str, text: &str) -> Result<Option<SessionId>, Response> {
    if text.is_empty() {
        return Err(refusal(500, &format!("missing session ({parameter})")));
    }
    Ok(session_id(text))
}

/// `DELETE /v1/kv/{key}`.
pub(in crate::http) fn delete(service: &Service, part: &str, request: &Request) -> Step {
    match unwanted(part, request.query()) {
        Ok(op) => write_one(service, op),
        Err(refusal) => refusal.into(),
    }
}

fn unwanted(part: &str, query: &str) -> Result<Op, Response> {
    check_datacenter(query)?;
    let key = key(part)?;
    conflicts(query, &["recurse", "cas"])?;
    expect_length(&key, KEY_LEN_EVER)?;
    if query::flag(query, "recurse") {
        return Ok(Op::DeleteTree { prefix: key });
    }
    let when = number(query, "cas")?.map_or(When::Always, When::At);
    Ok(Op::Delete { key: named(key)?, when })
}

/// Refuses parameters that cannot be meant together.
fn conflicts(query: &str, names: &[&str]) -> Result<(), Response> {
    let given: Vec<_> = names.iter().copied().filter(|name| query::flag(query, name)).collect();
    if given.len() < 2 {
        return Ok(());
    }
    Err(refusal(400, &format!("Conflicting flags: {}", given.join(", "))))
}

/// Does one operation; whether it was done is the answer.
fn write_one(service: &Service, op: Op) -> Step {
    let session = match &op {
        Op::Lock { session, .. } => Some(*session),
        _ => None,
    };
    write(service, &Command::Kv { ops: vec![op] }, move |reply| match reply {
        Reply::Kv(KvReply::Done { .. }) => boolean(true),
        Reply::Kv(KvReply::Refused(failed)) => match (failed.first(), session) {
            (Some(Failed { why: Why::NoSession, .. }), Some(session)) => {
                refusal(500, &format!("invalid session {:?} (acquire)", uuid(session)))
            }
            _ => boolean(false),
        },
        reply => unreachable!("a KV command has a KV reply: {reply:?}"),
    })
}
