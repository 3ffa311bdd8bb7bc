//! `?watch`: the changes of a key, or of the keys under a prefix, as server-sent events.
//!
//! News come in rounds. A round tells every key that has changed since the revision up to which all
//! was told, as it stands now, so a key that changed often in between is told once. Which keys to look
//! at, the wake-up says; only the first round, and one after very many changes, looks at all. It goes
//! slice by slice over whatever state is newest then: what it tells too early is told again by the
//! next, and nothing old is held on to for a reader who is slow. Between rounds it sleeps.
//!
//! Who comes without a revision is told all there is, and then the changes. Who comes with one
//! (`Last-Event-ID`, or `?index=`) is told what has changed since. When that cannot be known, because a
//! restore has put another history in its place, because marks of removed keys are forgotten, or
//! because the revision is of no past of ours, a `reset` says so, and all there is follows anew.

use std::collections::BTreeSet;
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
use crate::watch::{News, Topic, Watch};

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
#[derive(Clone, Debug, PartialEq, Eq)]
struct Round {
    /// Only what has changed since; none for all there is.
    since: Option<u64>,
    /// The revision that all has been told up to when it is over.
    to: u64,
    at: Stage,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    /// Looks at these rows.
    Rows(BTreeSet<Bytes>),
    /// Looks at all keys behind this one,
    Keys(Option<Bytes>),
    /// and then at the marks of all that were removed.
    Removed(Option<Bytes>),
    Over,
}

/// The source of a watch's events.
struct Watching {
    client: Client,
    watch: Watch,
    subject: Subject,
    detail: Detail,
    told: Told,
    /// What is under way.
    round: Option<Round>,
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
        // Before the state is looked at, so that no change is missed.
        let news = self.round.is_none().then(|| self.watch.take_news());
        let view = self.client.view();
        let (counters, context) = standing(&view)?;
        let round = self.round.take();
        let mut round = round.unwrap_or_else(|| self.begin(&counters, news));
        round.at = match (round.at, self.subject.clone()) {
            (Stage::Rows(rows), _) => self.rows(&view, &context, rows, round.since)?,
            (Stage::Keys(_), Subject::Key(key)) => {
                self.one(&view, &context, &key, round.since)?;
                Stage::Over
            }
            (Stage::Keys(after), Subject::Prefix(prefix)) => {
                self.keys(&view, &context, &prefix, after, round.since)?
            }
            (Stage::Removed(after), Subject::Prefix(prefix)) => {
                self.removed(&view, &prefix, after, round.since)?
            }
            (at, _) => at,
        };
        if round.at == Stage::Over {
            if self.told != Told::UpTo(round.to) || self.events.is_open() {
                self.events.reached(round.to);
            }
            self.told = Told::UpTo(round.to);
        } else {
            self.round = Some(round);
        }
        let out = self.events.take();
        if !out.is_empty() {
            self.speak_by = Instant::now() + SILENCE;
        }
        Ok(Piece::Data(out.into()))
    }

    fn begin(&mut self, counters: &Counters, news: Option<News>) -> Round {
        let first = std::mem::take(&mut self.fresh);
        let (round, reset) = plan(self.told, counters, news.filter(|_| !first));
        if reset {
            self.events.reset();
        }
        round
    }

    /// Tells of one key, if there is something to tell.
    fn one(
        &mut self,
        view: &View,
        context: &Context,
        key: &[u8],
        since: Option<u64>,
    ) -> Result<(), StoreError> {
        match (kv::get(view, key)?, since) {
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

    /// A slice of the rows that the wake-up named.
    fn rows(
        &mut self,
        view: &View,
        context: &Context,
        mut rows: BTreeSet<Bytes>,
        since: Option<u64>,
    ) -> Result<Stage, StoreError> {
        while self.events.len() < SLICE_BYTES {
            let Some(row) = rows.pop_first() else { return Ok(Stage::Over) };
            if let Some(key) = kv::key_of_row(&row) {
                self.one(view, context, key, since)?;
            }
        }
        Ok(Stage::Rows(rows))
    }

    /// A slice of all keys.
    fn keys(
        &mut self,
        view: &View,
        context: &Context,
        prefix: &[u8],
        after: Option<Bytes>,
        since: Option<u64>,
    ) -> Result<Stage, StoreError> {
        let (events, detail) = (&mut self.events, self.detail);
        let mut left = SLICE_ROWS;
        let mut last = None;
        kv::scan_rows(view, prefix, after.as_deref(), &mut |row| {
            left -= 1;
            if since.is_none_or(|since| row.head.modify > since) {
                events.put(&row.to_entry(), context, detail);
            }
            let more = left > 0 && events.len() < SLICE_BYTES;
            last = (!more).then(|| Bytes::copy_from_slice(row.key));
            more
        })?;
        Ok(match (last, since) {
            (Some(last), _) => Stage::Keys(Some(last)),
            // What was removed from there before, nobody knew of who hears of all there is.
            (None, None) => Stage::Over,
            (None, Some(_)) => Stage::Removed(None),
        })
    }

    /// A slice of the marks of removed keys.
    fn removed(
        &mut self,
        view: &View,
        prefix: &[u8],
        after: Option<Bytes>,
        since: Option<u64>,
    ) -> Result<Stage, StoreError> {
        let events = &mut self.events;
        let mut left = SLICE_ROWS;
        let mut last = None;
        kv::scan_tombstones(view, prefix, after.as_deref(), &mut |key, revision| {
            left -= 1;
            if since.is_some_and(|since| revision > since) {
                events.removed(key, revision);
            }
            let more = left > 0 && events.len() < SLICE_BYTES;
            last = (!more).then(|| Bytes::copy_from_slice(key));
            more
        })?;
        Ok(last.map_or(Stage::Over, |last| Stage::Removed(Some(last))))
    }
}

/// What the next round looks at, given how far the reader has come and which rows may have changed since
/// the last; and whether the reader must forget what it was told.
fn plan(told: Told, counters: &Counters, news: Option<News>) -> (Round, bool) {
    let all = Round { since: None, to: reached(counters), at: Stage::Keys(None) };
    let since = match told {
        Told::UpTo(since) if since >= counters.restored.max(counters.reaped) => since,
        Told::Nothing => return (all, false),
        Told::UpTo(_) | Told::Unknown => return (all, true),
    };
    let at = match news {
        _ if !counters.any_key_since(since) => Stage::Over,
        Some(News::Rows(rows)) => Stage::Rows(rows),
        Some(News::Anything) | None => Stage::Keys(None),
    };
    // A view that is behind what was told, on a node that lags, has nothing to tell.
    (Round { since: Some(since), to: reached(counters).max(since), at }, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_looks_at_what_may_have_changed_and_a_reset_at_all() {
        let counters = |last, restored, reaped| {
            let mut counters = Counters::default();
            (counters.last, counters.restored, counters.reaped) = (last, restored, reaped);
            counters
        };
        let round = |since: Option<u64>, to, at| Round { since, to, at };
        let rows = || News::Rows([Bytes::from_static(b"row")].into());
        let all = |to| round(None, to, Stage::Keys(None));
        let now = counters(20, 0, 0);
        assert_eq!(plan(Told::Nothing, &now, None), (all(20), false));
        assert_eq!(plan(Told::Unknown, &now, None), (all(20), true));
        let at = Told::UpTo(10);
        let changed = Stage::Keys(None);
        assert_eq!(plan(at, &now, None), (round(Some(10), 20, changed.clone()), false));
        assert_eq!(plan(at, &now, Some(News::Anything)), (round(Some(10), 20, changed), false));
        let News::Rows(set) = rows() else { panic!("they are rows") };
        assert_eq!(plan(at, &now, Some(rows())), (round(Some(10), 20, Stage::Rows(set)), false));

        assert_eq!(plan(Told::UpTo(20), &now, None).0.at, Stage::Over);
        assert_eq!(plan(Told::UpTo(30), &now, None).0, round(Some(30), 30, Stage::Over));
        // A restore, and marks of removed keys that are forgotten.
        assert_eq!(plan(at, &counters(9, 15, 0), Some(News::Anything)), (all(15), true));
        assert_eq!(plan(at, &counters(20, 0, 11), Some(rows())), (all(20), true));
        assert!(!plan(at, &counters(20, 10, 10), Some(rows())).1);
    }
}
