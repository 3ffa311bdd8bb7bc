//! One key: its value as the body, its revision as the ETag.

use bytes::Bytes;

use super::super::once;
use super::super::query;
use super::super::reply::{Body, JSON, Problem, Response, Value};
use super::super::service::Service;
use super::super::step::{Continue, Step};
use super::super::wire::Request;
use super::condition::{self, Condition, Known, etag};
use super::entries::{Context, Detail, push_json, session_name};
use super::fresh::{self, Reading};
use super::params::{self, Extras};
use super::{standing, unreadable};
use crate::node::StoreError;
use crate::node::{Ask, Completion, Outcome, View};
use crate::state::kv::{
    self, Entry, Failed, Given, KEY_LEN_EVER, KEY_LEN_MAX, KvReply, Op, When, Why,
};
use crate::state::{Command, Reply, Summary, VERSION_KV};

/// What a value is, as far as the store knows.
const ANY_BYTES: &str = "application/octet-stream";

#[derive(Debug)]
struct Get {
    key: Bytes,
    json: bool,
    known: Known,
}

/// Answers `GET /api/kv/{key}`.
pub(super) fn get(service: &Service, key: Bytes, request: &Request) -> Result<Step, Problem> {
    let json = match query::value(request.query(), "format").as_deref() {
        None | Some("raw") => false,
        Some("json") => true,
        Some(_) => return Err(Problem::new(400, "format is raw or json")),
    };
    let get = Get { key, json, known: Known::of(request)? };
    Ok(fresh::read(service, request, Box::new(get)))
}

impl Reading for Get {
    fn read(self: Box<Self>, _: &Service, view: &View) -> Step {
        let found = standing(view).and_then(|(_, it)| Ok((it, kv::get(view, &self.key)?)));
        match found {
            Ok((context, Some(entry))) => self.found(&entry, &context).into(),
            Ok((_, None)) => Problem::new(404, "there is no such key").into(),
            Err(error) => unreadable(&error).into(),
        }
    }
}

impl Get {
    fn found(&self, entry: &Entry, context: &Context) -> Response {
        let revision = context.revision(entry);
        let response = if self.known.has(revision) {
            Response::new(304)
        } else if self.json {
            let mut out = Vec::new();
            push_json(&mut out, entry, context, Detail::Full);
            out.push(b'\n');
            Response { content_type: JSON, body: Body::Bytes(out.into()), ..Response::new(200) }
        } else {
            let body = Body::Bytes(entry.value.clone());
            // Whatever a client has put there, a browser must not take it for a page of ours.
            Response { content_type: ANY_BYTES, body, ..Response::new(200) }
                .with("X-Content-Type-Options", "nosniff")
                .with("Content-Security-Policy", "sandbox")
        };
        let mut response = response
            .header("ETag", etag(revision))
            .with("Cache-Control", "no-cache")
            .header("X-Bowline-Flags", Value::Number(entry.flags));
        if let Some(ms) = context.ttl_ms(entry) {
            response = response.header("X-Bowline-TTL-Ms", Value::Number(ms));
        }
        match entry.session {
            Some(session) => response.text_header("X-Bowline-Session", session_name(session)),
            None => response,
        }
    }
}

/// Answers `PUT /api/kv/{key}`.
pub(super) fn put(service: &Service, key: Bytes, request: &Request) -> Result<Step, Problem> {
    expect_length(&key, KEY_LEN_MAX)?;
    let Extras { flags, ttl_ms } = params::extras(request)?;
    let condition = condition::of_write(request)?;
    let view = writable(service)?;
    let (context, before) = look(&view, &key)?;
    let when = match condition {
        Condition::None => When::Always,
        Condition::Absent => When::Absent,
        Condition::Present => When::Present,
        Condition::OneOf(tags) => When::At(modify_of(&tags, before.as_ref(), &context)),
    };
    let value = request.body.clone();
    let op = Op::Set { key, value, flags, ttl_ms, when };
    let before = before.map(|entry| entry.modify);
    propose(service, request, vec![op], Written::Set { before })
}

/// Answers `DELETE /api/kv/{key}`.
pub(super) fn delete(service: &Service, key: Bytes, request: &Request) -> Result<Step, Problem> {
    expect_length(&key, KEY_LEN_EVER)?;
    let condition = condition::of_write(request)?;
    let view = writable(service)?;
    let always = Op::Delete { key: key.clone(), when: When::Always };
    let ops = match condition {
        Condition::None => vec![always],
        Condition::Present => vec![Op::Delete { key, when: When::Present }],
        Condition::OneOf(tags) => {
            let (context, before) = look(&view, &key)?;
            // To delete what is not there is no failure, but it has no tag.
            let index = modify_of(&tags, before.as_ref(), &context);
            vec![Op::CheckIndex { key, index }, always]
        }
        Condition::Absent => {
            return Err(Problem::new(400, "a DELETE takes If-Match, and no If-None-Match"));
        }
    };
    propose(service, request, ops, Written::Deleted)
}

fn expect_length(key: &[u8], limit: usize) -> Result<(), Problem> {
    if key.len() <= limit {
        return Ok(());
    }
    let detail = format!("the key has {} bytes; at most {limit} are taken", key.len());
    Err(Problem::new(400, detail))
}

/// The state, if this cluster takes keys already.
fn writable(service: &Service) -> Result<View, Problem> {
    let view = service.client.view();
    let version = Summary::decode(view.meta()).map(|summary| summary.cluster_version);
    match version {
        Ok(version) if version >= VERSION_KV => Ok(view),
        _ => {
            let detail = "a member of this cluster still runs a version without keys and values";
            Err(Problem::unavailable(detail))
        }
    }
}

fn look(view: &View, key: &[u8]) -> Result<(Context, Option<Entry>), Problem> {
    let seen = standing(view).and_then(|(_, context)| Ok((context, kv::get(view, key)?)));
    seen.map_err(|error: StoreError| {
        log::error!("cannot read the key-value store: {error}");
        Problem::new(500, "this node cannot read its disk")
    })
}

/// The `modify` that a key must have so that one of these is its tag: that of the tag that it has here,
/// or else of the first. After a restore a tag may be that of the restore, which no key was changed by;
/// and what is no tag at all is a revision that no key has.
fn modify_of(tags: &[u64], entry: Option<&Entry>, context: &Context) -> u64 {
    let ours = entry.filter(|entry| tags.contains(&context.revision(entry)));
    match (ours, tags.first()) {
        (Some(entry), _) => entry.modify,
        (None, Some(tag)) if *tag > context.floor => *tag,
        (None, _) => 0,
    }
}

fn propose(
    service: &Service,
    request: &Request,
    ops: Vec<Op>,
    then: Written,
) -> Result<Step, Problem> {
    let header = |name| request.header(name).unwrap_or_default();
    let besides = [request.query().as_bytes(), header("If-Match"), header("If-None-Match")];
    let command = once::under_key(request, &besides, Command::Kv { ops })?;
    let ask = Ask::Write(command.encode());
    Ok(Step::ask(ask, service.options.request_timeout, Box::new(then)))
}

/// A write under way.
#[derive(Clone, Copy, Debug)]
enum Written {
    Set {
        /// The revision that had changed the key last, when this was asked.
        before: Option<u64>,
    },
    Deleted,
}

impl Continue for Written {
    fn go_on(self: Box<Self>, service: &Service, completion: Completion) -> Step {
        let response = match completion.outcome {
            Outcome::Written(reply) => self.told(reply, service),
            Outcome::Failed(failure) => {
                Problem::failure(failure).with_leader(service.leader_url()).into()
            }
            outcome => unreachable!("a write is not answered with {outcome:?}"),
        };
        response.at(completion.index).into()
    }
}

impl Written {
    fn told(self, reply: Reply, service: &Service) -> Response {
        match reply {
            Reply::Kv(KvReply::Done { revision, given }) => {
                self.done(revision, &given, floor(service))
            }
            Reply::Kv(KvReply::Refused(failed)) => refused(&failed, floor(service)),
            Reply::Replayed(first) => {
                let first_time = match self {
                    // What is there now is the work of the first time.
                    Self::Set { .. } => Self::Set { before: None },
                    Self::Deleted => Self::Deleted,
                };
                once::replayed(first_time.told(*first, service))
            }
            Reply::KeyReused => once::reused(),
            Reply::UnknownSession | Reply::Stale => {
                Problem::unavailable("this node's write session has ended; nothing was changed")
                    .into()
            }
            reply => unreachable!("a write of a key is not answered with {reply:?}"),
        }
    }

    fn done(self, revision: u64, given: &[Given], floor: u64) -> Response {
        let Self::Set { before } = self else { return Response::new(204) };
        let entry = &given.last().expect("a set gives the key as it left it").entry;
        // A set that changes nothing leaves everything as it was, the store's revision too.
        let changed = entry.modify == revision && before != Some(revision);
        let status = if changed && entry.create == revision { 201 } else { 200 };
        Response::new(status).header("ETag", etag(entry.modify.max(floor)))
    }
}

/// See [`Context::floor`].
fn floor(service: &Service) -> u64 {
    standing(&service.client.view()).map_or(0, |(_, context)| context.floor)
}

/// The answer to a condition that did not hold.
fn refused(failed: &[Failed], floor: u64) -> Response {
    let why = failed.first().map(|failed| &failed.why);
    let (status, detail, revision) = match why {
        Some(Why::Missing) => (412, "the key is not there".to_owned(), None),
        Some(Why::Exists) => (412, "the key is there already".to_owned(), None),
        Some(Why::Stale(modify)) => {
            let revision = floor.max(*modify);
            (412, format!("the key is at revision {revision}"), Some(revision))
        }
        Some(Why::Busy) => (503, "too many answers are under way".to_owned(), None),
        why => unreachable!("a single key is not refused because of {why:?}"),
    };
    let response = Response::from(Problem::new(status, format!("{detail}; nothing was changed")));
    match revision {
        Some(revision) => response.header("ETag", etag(revision)),
        None => response,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_stands_for_the_change_that_made_it() {
        let at = |modify| Entry {
            key: Bytes::new(),
            value: Bytes::new(),
            flags: 0,
            create: 1,
            modify,
            lock_index: 0,
            session: None,
            expires_ms: None,
        };
        let before = Context { now_ms: 0, floor: 0 };
        assert_eq!(modify_of(&[7], Some(&at(7)), &before), 7);
        assert_eq!(modify_of(&[8], Some(&at(7)), &before), 8, "this node may be behind");
        assert_eq!(modify_of(&[9, 7], Some(&at(7)), &before), 7);
        assert_eq!(modify_of(&[7], None, &before), 7);
        assert_eq!(modify_of(&[], Some(&at(7)), &before), 0, "no key was changed by 0");
        let restored = Context { now_ms: 0, floor: 50 };
        assert_eq!(modify_of(&[50], Some(&at(7)), &restored), 7);
        assert_eq!(modify_of(&[7], Some(&at(7)), &restored), 0, "that was another history's 7");
        assert_eq!(modify_of(&[51], Some(&at(51)), &restored), 51);
    }
}
