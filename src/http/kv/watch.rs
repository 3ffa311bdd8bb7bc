//! `?watch`: the changes of a key, or of the keys under a prefix, as server-sent events.
//!
//! News come in rounds. A round tells every key that has changed since the revision up to which all
//! was told, as it stands now, so a key that changed often in between is told once. It goes slice by
//! slice over whatever state is newest then: what it tells too early is told again by the next, and
//! nothing old is held on to for a reader who is slow. Between rounds it sleeps until a row changes.
//!
//! Who comes without a revision is told all there is, and then the changes. Who comes with one
//! (`Last-Event-ID`, or `?index=`) is told what has changed since. When that cannot be known, because a
//! restore has put another history in its place, because marks of removed keys are forgotten, or
//! because the revision is of no past of ours, a `reset` says so, and all there is follows anew.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::super::query;
use super::super::reply::{Body, Problem, Response};
use super::super::service::{self, Service};
use super::super::step::Step;
use super::super::stream::{Piece, Source, Stream};
use super::super::wire::Request;
use super::entries::{Context, Detail};
use super::events::{Events, KEEP_ALIVE};
use super::fresh::{self, Reading};
use super::{detail, params, standing, unreadable};
use crate::ids::Ticket;
use crate::node::{Client, View};
use crate::state::kv::{self, Counters};
use crate::storage::StoreError;
use crate::watch::{Topic, Watch};

/// How long nothing may be said.
const SILENCE: Duration = Duration::from_secs(15);
/// Rows that are looked at in one slice.
const SLICE_ROWS: usize = 512;
/// Bytes of events after which a slice ends.
const SLICE_BYTES: usize = 48 * 1024;

/// What is watched.
#[derive(Clone, Debug)]
pub(super) enum Subject {
    Key(Bytes),
    Prefix(Bytes),
}

#[derive(Debug)]
struct Start {
    subject: Subject,
    detail: Detail,
    since: Option<u64>,
    /// The view is the newest there is, so a revision beyond it is of no past of ours.
    newest: bool,
}

/// Answers a GET with `?watch`.
pub(super) fn start(
    service: &Service,
    request: &Request,
    subject: Subject,
) -> Result<Step, Problem> {
    let since = match request.header("Last-Event-ID") {
        None => params::number(request, "index")?,
        // An event source that has got no id yet sends none, or an empty one.
        Some(b"") => None,
        Some(id) => {
            Some(str::from_utf8(id).ok().and_then(|id| id.parse().ok()).ok_or_else(|| {
                Problem::new(400, "Last-Event-ID is the id of an event: a decimal number")
            })?)
        }
    };
    let newest = query::value(request.query(), "consistency").as_deref() != Some("stale");
    // By name alone nobody could tell what has changed.
    let detail = match detail(request) {
        Detail::Full => Detail::Full,
        Detail::Name | Detail::Meta => Detail::Meta,
    };
    let start = Start { subject, detail, since, newest };
    Ok(fresh::read(service, request, Box::new(start)))
}

impl Reading for Start {
    fn read(self: Box<Self>, service: &Service, view: &View) -> Step {
        let counters = match standing(view) {
            Ok((counters, _)) => counters,
            Err(error) => return unreadable(&error).into(),
        };
        let topic = match &self.subject {
            Subject::Key(key) => Topic::Row(kv::row_key(key).into()),
            Subject::Prefix(prefix) => Topic::Rows(kv::rows_prefix(prefix).into()),
        };
        let Ok(watch) = service.client.watches.watch(vec![topic]) else {
            return too_many().into();
        };
        let told = match self.since {
            None => Told::Nothing,
            Some(since) if self.newest && since > reached(&counters) => Told::Unknown,
            Some(since) => Told::UpTo(since),
        };
        let watching = Watching {
            client: service.client.clone(),
            watch,
            subject: self.subject,
            detail: self.detail,
            told,
            round: None,
            fresh: true,
            events: Events::default(),
            speak_by: Instant::now() + SILENCE,
        };
        let body = Body::Stream(Stream::of_events(watching));
        Response { content_type: "text/event-stream", body, ..Response::new(200) }
            .with("Cache-Control", "no-store")
            .with("X-Accel-Buffering", "no")
            .into()
    }
}

fn too_many() -> Problem {
    let detail = "as many requests wait for changes as this node allows (--watches-max)";
    Problem { retryable: true, ..Problem::new(429, detail) }
}

/// The revision up to which all that has happened to keys can be told.
fn reached(counters: &Counters) -> u64 {
    counters.store_index().max(counters.reaped)
}

/// How far a reader has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// It has just come.
    Nothing,
    /// It has been told something that may be wrong.
    Unknown,
    /// It has been told all up to this revision.
    UpTo(u64),
}

/// One way through the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Round {
    /// Only what has changed since; none for all there is.
    since: Option<u64>,
    /// The revision that all has been told up to when it is over.
    to: u64,
    at: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Keys,
    Removed,
    Over,
}

/// The source of a watch's events.
struct Watching {
    client: Client,
    watch: Watch,
    subject: Subject,
    detail: Detail,
    told: Told,
    /// The round that is under way, and the last key that it looked at.
    round: Option<(Round, Option<Bytes>)>,
    /// Nothing has been looked at yet.
    fresh: bool,
    events: Events,
    /// When something must be said.
    speak_by: Instant,
}

impl Source for Watching {
    fn next(&mut self, wake: Ticket) -> Piece {
        match self.round.is_some() || self.fresh || self.watch.arm(wake) {
            true => self.tell().unwrap_or_else(|error| {
                log::error!("a watch breaks off, the key-value store cannot be read: {error}");
                Piece::Broken
            }),
            false => self.wait(),
        }
    }
}

impl Watching {
    fn wait(&mut self) -> Piece {
        let now = Instant::now();
        if now < self.speak_by {
            return Piece::Wait(self.speak_by);
        }
        self.speak_by = now + SILENCE;
        Piece::Data(Bytes::from_static(KEEP_ALIVE))
    }

    /// Goes on with a round, or begins one.
    fn tell(&mut self) -> Result<Piece, StoreError> {
        if service::state_lost(&self.client.status()).is_some() {
            return Ok(Piece::Broken);
        }
        if self.round.is_none() {
            self.fresh = false;
            self.watch.reset();
        }
        let view = self.client.view();
        let (counters, context) = standing(&view)?;
        let (mut round, mut after) = match self.round.take() {
            Some(round) => round,
            None => (self.begin(&counters), None),
        };
        match self.subject.clone() {
            Subject::Key(key) => self.one(&view, &context, &key, &mut round)?,
            Subject::Prefix(prefix) => {
                self.many(&view, &context, &prefix, &mut round, &mut after)?;
            }
        }
        if round.at == Stage::Over {
            if self.told != Told::UpTo(round.to) || self.events.is_open() {
                self.events.reached(round.to);
            }
            self.told = Told::UpTo(round.to);
        } else {
            self.round = Some((round, after));
        }
        let out = self.events.take();
        if !out.is_empty() {
            self.speak_by = Instant::now() + SILENCE;
        }
        Ok(Piece::Data(out.into()))
    }

    fn begin(&mut self, counters: &Counters) -> Round {
        // A view that is behind what was told, on a node that lags, has nothing to tell.
        let floor = counters.restored.max(counters.reaped);
        let (since, to) = match self.told {
            Told::UpTo(since) if since >= floor => (Some(since), reached(counters).max(since)),
            Told::Nothing => (None, reached(counters)),
            Told::UpTo(_) | Told::Unknown => {
                self.events.reset();
                (None, reached(counters))
            }
        };
        Round { since, to, at: Stage::Keys }
    }

    fn one(
        &mut self,
        view: &View,
        context: &Context,
        key: &[u8],
        round: &mut Round,
    ) -> Result<(), StoreError> {
        round.at = Stage::Over;
        match (kv::get(view, key)?, round.since) {
            (Some(entry), since) if since.is_none_or(|since| entry.modify > since) => {
                self.events.put(&entry, context, self.detail);
            }
            (None, Some(since)) => match kv::tombstone(view, key)? {
                Some(revision) if revision > since => self.events.removed(key, revision),
                Some(_) | None => {}
            },
            (Some(_) | None, _) => {}
        }
        Ok(())
    }

    /// One slice of a prefix.
    fn many(
        &mut self,
        view: &View,
        context: &Context,
        prefix: &[u8],
        round: &mut Round,
        after: &mut Option<Bytes>,
    ) -> Result<(), StoreError> {
        let mut left = SLICE_ROWS;
        if round.at == Stage::Keys {
            let (events, detail) = (&mut self.events, self.detail);
            let mut last = None;
            let mut more = false;
            kv::scan_rows(view, prefix, after.as_deref(), &mut |row| {
                left -= 1;
                if round.since.is_none_or(|since| row.head.modify > since) {
                    events.put(&row.to_entry(), context, detail);
                }
                more = left == 0 || events.len() >= SLICE_BYTES;
                if more {
                    last = Some(Bytes::copy_from_slice(row.key));
                }
                !more
            })?;
            *after = last;
            if more {
                return Ok(());
            }
            round.at = if round.since.is_some() { Stage::Removed } else { Stage::Over };
        }
        if let (Stage::Removed, Some(since)) = (round.at, round.since) {
            let events = &mut self.events;
            let mut last = None;
            let mut more = false;
            kv::scan_tombstones(view, prefix, after.as_deref(), &mut |key, revision| {
                left -= 1;
                if revision > since {
                    events.removed(key, revision);
                }
                more = left == 0 || events.len() >= SLICE_BYTES;
                if more {
                    last = Some(Bytes::copy_from_slice(key));
                }
                !more
            })?;
            *after = last;
            if !more {
                round.at = Stage::Over;
            }
        }
        Ok(())
    }
}
