//! `/api/kv`: the key-value store for curl: raw bodies, ETags, listings of any size, events.
//!
//! The same store as Consul's surface, and the same rules; what differs is the manner. A value is the
//! body, and nothing else; what goes with it is in headers and in the query; conditions are those of
//! HTTP. Reads are linearizable unless they say `?consistency=stale`.
//!
//! - `one`: a key: GET, PUT, DELETE; `condition`: its ETag, and what may be asked of it;
//! - `list`: the keys under a prefix, streamed;
//! - `watch`: their changes, as server-sent events (`events`);
//! - `fresh`: how fresh a read is; `params`: what URLs say; `entries`: keys as JSON and text.

mod condition;
mod entries;
mod events;
mod fresh;
mod list;
mod one;
mod params;
mod watch;

use super::query;
use super::reply::{Problem, Response};
use super::service::Service;
use super::step::Step;
use super::wire::Request;
use crate::node::StoreError;
use crate::state::Standing;
use crate::state::kv::Counters;
use entries::{Context, Detail};

use crate::node::View;

/// `GET /api/kv`.
pub(in crate::http) fn list(service: &Service, _: &str, request: &Request) -> Step {
    let prefix = params::prefix(request).into();
    let step = if query::flag(request.query(), "watch") {
        watch::start(service, request, watch::Subject::Prefix(prefix))
    } else {
        list::start(service, request, prefix)
    };
    step.unwrap_or_else(Step::from)
}

/// `GET /api/kv/{key}`.
pub(in crate::http) fn get(service: &Service, part: &str, request: &Request) -> Step {
    let step = params::key(part).and_then(|key| {
        if query::flag(request.query(), "watch") {
            watch::start(service, request, watch::Subject::Key(key.into()))
        } else {
            one::get(service, key.into(), request)
        }
    });
    step.unwrap_or_else(Step::from)
}

/// `PUT /api/kv/{key}`.
pub(in crate::http) fn put(service: &Service, part: &str, request: &Request) -> Step {
    let step = params::key(part).and_then(|key| one::put(service, key.into(), request));
    step.unwrap_or_else(Step::from)
}

/// `DELETE /api/kv/{key}`.
pub(in crate::http) fn delete(service: &Service, part: &str, request: &Request) -> Step {
    let step = params::key(part).and_then(|key| one::delete(service, key.into(), request));
    step.unwrap_or_else(Step::from)
}

/// The numbers that a view was published with, and what they mean for its keys.
fn standing(view: &View) -> Result<(Counters, Context), StoreError> {
    if view.meta().is_empty() {
        // Nothing has been applied yet.
        return Ok(Default::default());
    }
    let standing = Standing::decode(view.meta()).map_err(|error| {
        StoreError::damaged(format!("what a view was published with is damaged: {error}"))
    })?;
    let kv = standing.kv;
    Ok((kv, Context { now_ms: standing.clock_ms(), floor: kv.restored }))
}

/// How much a listing or a watch tells: `?keys`, `?meta`, or all.
fn detail(request: &Request) -> Detail {
    match query::flag(request.query(), "keys") {
        true => Detail::Name,
        false if query::flag(request.query(), "meta") => Detail::Meta,
        false => Detail::Full,
    }
}

fn unreadable(error: &StoreError) -> Response {
    log::error!("cannot read the key-value store: {error}");
    Problem::new(500, "this node cannot read its disk").into()
}
