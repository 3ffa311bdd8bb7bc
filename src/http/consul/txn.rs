//! `/v1/txn`: several operations at once, all or none.

use serde::Serialize;

use super::options::{ReadOptions, check_datacenter};
use super::reading::{Fresh, ask, marked, state};
use super::shapes::{Entry, uuid};
use super::txn_body::{Hopeless, Told, Transaction, Verb};
use super::writing::write;
use super::{json, refusal, txn_read, unreadable};
use crate::http::query;
use crate::http::reply::Response;
use crate::http::service::{Service, Step};
use crate::http::wire::Request;
use crate::state::kv::{Failed, Given, KvReply, Op, Why};
use crate::state::{Command, Reply};

/// `PUT /v1/txn`.
pub(in crate::http) fn run(service: &Service, _: &str, request: &Request) -> Step {
    begin(service, request).unwrap_or_else(Step::from)
}

fn begin(service: &Service, request: &Request) -> Result<Step, Response> {
    check_datacenter(request.query())?;
    let transaction = Transaction::read(&request.body, service.options.value_max)?;
    let pretty = query::flag(request.query(), "pretty");
    let writes = transaction.writes();
    let Transaction { ops, told, hopeless } = transaction;
    if !hopeless.is_empty() {
        let errors = hopeless.into_iter().map(Problem::from).collect();
        return Ok(refused(errors, pretty).with("X-Consul-Default-ACL-Policy", "allow").into());
    }
    if writes {
        return Ok(write(service, &Command::Kv { ops }, move |reply| match reply {
            Reply::Kv(reply) => answer(&reply, &told, pretty),
            reply => unreachable!("a KV command has a KV reply: {reply:?}"),
        }));
    }
    let options = ReadOptions::of(request.query())?;
    let reading = Box::new(Reading { ops, told, options });
    Ok(ask(service, options.consistency, reading))
}

/// A transaction that only reads.
struct Reading {
    ops: Vec<Op>,
    told: Vec<Told>,
    options: ReadOptions,
}

impl Fresh for Reading {
    fn fresh(self: Box<Self>, service: &Service) -> Step {
        let view = match state(service) {
            Ok((view, _)) => view,
            Err(refusal) => return refusal.into(),
        };
        match txn_read::run(&view, &self.ops) {
            Ok(reply) => {
                let response = answer(&reply, &self.told, self.options.pretty);
                marked(service, self.options.consistency, response).at(view.applied()).into()
            }
            Err(error) => unreadable(&error).into(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Answer<'a> {
    results: Option<Vec<Shown<'a>>>,
    errors: Option<Vec<Problem>>,
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(rename = "KV")]
    kv: Entry<'a>,
}

impl<'a> Shown<'a> {
    fn of(given: &'a Given) -> Self {
        Self { kv: Entry { entry: &given.entry, with_value: given.read } }
    }
}

/// An operation that failed.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Problem {
    op_index: usize,
    what: String,
}

impl From<Hopeless> for Problem {
    fn from(hopeless: Hopeless) -> Self {
        Self { op_index: hopeless.op, what: hopeless.what }
    }
}

fn answer(reply: &KvReply, told: &[Told], pretty: bool) -> Response {
    match reply {
        KvReply::Done { given, .. } => {
            let results = Some(given.iter().map(Shown::of).collect());
            json::response(200, &Answer { results, errors: None }, pretty)
        }
        KvReply::Refused(failed) if failed.iter().any(|it| it.why == Why::Busy) => {
            let why = "too many answers to transactions are under way; nothing was changed";
            refusal(503, why)
        }
        KvReply::Refused(failed) => {
            let errors = failed.iter().map(|failed| problem(failed, told)).collect();
            refused(errors, pretty)
        }
    }
}

/// Nothing was done.
fn refused(errors: Vec<Problem>, pretty: bool) -> Response {
    json::response(409, &Answer { results: None, errors: Some(errors) }, pretty)
}

fn problem(failed: &Failed, told: &[Told]) -> Problem {
    let op_index = usize::try_from(failed.op).expect("a transaction has a handful of operations");
    Problem { op_index, what: what(&told[op_index], &failed.why) }
}

/// Why an operation failed, in Consul's words.
fn what(told: &Told, why: &Why) -> String {
    let Told { verb, key, session, index } = told;
    match (verb, why) {
        (_, Why::TooLarge) => {
            format!("key {key:?}: what the transaction reads is larger than 1 MiB")
        }
        (Verb::Lock, Why::NoSession) => format!("invalid session {session:?}"),
        (Verb::Lock, Why::Delayed) => format!("failed to lock key {key:?} due to lock delay"),
        (Verb::Lock, _) => format!("failed to lock key {key:?}, lock is already held"),
        (Verb::Unlock, _) => {
            format!("failed to unlock key {key:?}, lock isn't held, or is held by another session")
        }
        (Verb::DeleteCas, _) => format!("failed to delete key {key:?}, index is stale"),
        (Verb::CheckIndex, Why::Stale(found)) => {
            format!("failed index check for key {key:?}, current modify index {found} != {index}")
        }
        (Verb::CheckIndex, _) => format!("failed to check index, key {key:?} doesn't exist"),
        (Verb::CheckSession, Why::Missing) => {
            format!("failed to check session, key {key:?} doesn't exist")
        }
        (Verb::CheckSession, _) => {
            let found = if let Why::Held(holder) = why { uuid(*holder) } else { String::new() };
            format!(
                "failed session check for key {key:?}, current session {found:?} != {session:?}"
            )
        }
        (Verb::CheckNotExists, _) => format!("key {key:?} exists"),
        (Verb::Get | Verb::GetOrEmpty | Verb::GetTree, _) => format!("key {key:?} doesn't exist"),
        (Verb::Set | Verb::Cas | Verb::Delete | Verb::DeleteTree, _) => {
            format!("failed to set key {key:?}, index is stale")
        }
    }
}
