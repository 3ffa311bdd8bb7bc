//! From requests to answers: the one seam between the fronts and everything that can be asked.
//!
//! A front hands each request to [`Service::call`], which finds its handler in the table
//! ([`ROUTES`]), and gets a [`Step`]: an answer, or a question to the raft thread, with what to do when
//! its completion comes ([`Service::resume`]). So no request ever holds a thread, and both fronts
//! behave the same.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::reply::{Body, Problem, Response, retry_after};
use super::routes::{
    Found, Handler, MALFORMED, Needs, ROUTES, Route, Takes, UNMATCHED, allow, find, limits_of,
};
pub(super) use super::step::Then;
pub use super::step::{Resume, Step, Woken};
use super::upload::Receiving;
use super::wire::{Framing, Head, Limits, Request, WireError};
use super::work::{Work, Worked};
use super::{board, consul, links};
use crate::error::{Failure, Reason};
use crate::ids::Ticket;
use crate::networks::Network;
use crate::node::{self, Ask, Client, Completion, Outcome, Phase, Status};
use crate::passwords::Secret;
use crate::state::kv::VALUE_LEN_DEFAULT;
use crate::watch::Watch;

/// What the handlers may take their time for.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long a request may wait for its answer.
    pub request_timeout: Duration,
    /// How long a miss may wait to be confirmed: one election timeout.
    pub miss_timeout: Duration,
    /// How many reads may wait for a read index: beyond it a miss is told unconfirmed, and a read
    /// that must be fresh is refused.
    pub misses_max: usize,
    /// Bytes of the longest value that the key-value store takes.
    pub value_max: usize,
    /// How many long answers may be under way at a time; beyond it the answer is 429.
    pub streams_max: usize,
    /// Bytes that bodies may take up in memory while they arrive, over all connections; beyond it the
    /// answer is 503.
    pub bodies_max: usize,
    /// Proxies that are believed when they say for whom they ask.
    pub trusted_proxies: Vec<Network>,
    /// Whether clients come by TLS whatever a proxy says, since the node's advertised URL does.
    pub advertised_tls: bool,
    /// What an operator of this node knows; without one, nobody is.
    pub operator_token: Option<Secret>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            request_timeout: Duration::from_secs(5),
            miss_timeout: Duration::from_secs(1),
            misses_max: 10_000,
            value_max: VALUE_LEN_DEFAULT,
            streams_max: 64,
            bodies_max: 256 * 1024 * 1024,
            trusted_proxies: Network::loopback(),
            advertised_tls: false,
            operator_token: None,
        }
    }
}

/// Answers requests; one for all loops.
#[derive(Clone)]
pub struct Service {
    pub(super) client: Client,
    pub(super) options: Options,
    pub(super) waiting: Arc<AtomicUsize>,
    table: &'static [Route],
    streams: Arc<AtomicUsize>,
    limits: Arc<Limits>,
}

impl Service {
    /// A service on top of a node.
    #[must_use]
    pub fn new(client: Client, options: Options) -> Self {
        Self::with_table(client, options, ROUTES)
    }

    /// A service that answers on other paths, for tests of what is common to all.
    ///
    /// # Panics
    /// When the table is longer than [`ROUTES`]: its lines are counted as those.
    #[must_use]
    pub fn with_table(client: Client, options: Options, table: &'static [Route]) -> Self {
        assert!(table.len() <= ROUTES.len(), "each line is counted");
        let limits = Arc::new(limits_of(table, &options));
        let (waiting, streams) = (Arc::default(), Arc::default());
        Self { client, options, table, waiting, streams, limits }
    }

    /// The node.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// What clients may send.
    #[must_use]
    pub fn limits(&self) -> &Arc<Limits> {
        &self.limits
    }

    /// How many long answers are being sent.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }

    /// How many reads wait for a read index, most of them misses.
    #[must_use]
    pub fn waiting_misses(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Answers a request, or says what must be asked first.
    #[must_use]
    pub fn call(&self, request: &Request) -> Step {
        let (number, step) = match find(self.table, request.method, request.path()) {
            Found::Route(number, part) => {
                (number, self.dispatch(&self.table[number], part, request))
            }
            Found::WrongMethod => (UNMATCHED, self.wrong_method(request)),
            Found::Nothing => (UNMATCHED, self.not_found(request)),
        };
        self.finish(number, step)
    }

    /// Begins to take a request whose body is handed on as it arrives.
    ///
    /// # Errors
    /// The answer, when the body is not wanted.
    pub(super) fn upload(&self, head: &Head) -> Result<Receiving, Response> {
        let Found::Route(number, part) = find(self.table, head.method, head.path()) else {
            unreachable!("the table has said that its body comes in pieces")
        };
        let Route { handler: Handler::Upload(begin), needs, .. } = self.table[number] else {
            unreachable!("the table has said that its body comes in pieces")
        };
        let begun = match lacks(needs, &self.client.status()) {
            Some(why) => Err(self.refusal(head, 503, &why)),
            None => begin(self, part, head),
        };
        match begun {
            Ok(upload) => Ok(Receiving { route: number, upload }),
            Err(response) => Err(self.counted(number, response)),
        }
    }

    /// Goes on with a request whose question was answered.
    #[must_use]
    pub fn resume(&self, resume: Resume, completion: Completion) -> Step {
        let Resume { route, then } = resume;
        let step = match then {
            Then::Created => links::created(self, completion),
            Then::ConsulDone(body) => consul::done(body, &completion),
            Then::Ask(then) => then.go_on(self, completion),
            Then::Waited(_) => unreachable!("a wait is gone on with by woken"),
        };
        self.finish(route, step)
    }

    /// Goes on with a request that waited for changes.
    #[must_use]
    pub fn woken(&self, resume: Resume, watch: Watch, woken: Woken) -> Step {
        let Then::Waited(waiter) = resume.then else {
            unreachable!("only a waiter waits for changes")
        };
        self.finish(resume.route, waiter.woken(self, watch, woken))
    }

    /// Does a slice of a request's work: what comes of it, or more work.
    #[must_use]
    pub fn work(&self, work: Work) -> Step {
        let Work { route, task } = work;
        match task.step(self) {
            Worked::Again(task) => Step::Work(Work { route, task }),
            Worked::Done(step) => self.finish(route, step),
        }
    }

    /// The answer to what was no acceptable request; its head, if that was one.
    #[must_use]
    pub fn refuse(&self, error: WireError, head: Option<&Head>) -> Response {
        let Some(head) = head else { return self.counted(MALFORMED, error.into()) };
        let route = match find(self.table, head.method, head.path()) {
            Found::Route(number, _) => number,
            Found::WrongMethod | Found::Nothing => UNMATCHED,
        };
        let takes_value = self.table.get(route).is_some_and(|it| it.takes == Takes::Value);
        let response = match error {
            WireError::BodyTooLarge(max) if takes_value => self.refusal(
                head,
                413,
                &format!("the value is longer than {max} bytes, the limit set by --kv-value-max"),
            ),
            error => self.refusal(head, error.status(), &error.to_string()),
        };
        self.counted(route, response)
    }

    /// The answer to a head or body that did not arrive in time.
    #[must_use]
    pub fn too_slow(&self) -> Response {
        self.counted(MALFORMED, Problem::new(408, "the request took too long to arrive").into())
    }

    /// Puts a request's question to the raft thread, in the name of a sink.
    ///
    /// # Errors
    /// What comes of the request, when the question could not be put; not a question again.
    pub fn submit(
        &self,
        sink: u16,
        ask: Ask,
        deadline: Instant,
        resume: Resume,
    ) -> Result<(Ticket, Resume), Step> {
        let ticket = self.client.ticket(sink);
        if self.client.submit(node::Request { ticket, deadline, ask }).is_ok() {
            return Ok((ticket, resume));
        }
        let route = resume.route;
        let failure = Failure::not_applied(Reason::Busy);
        match self.resume(resume, self.failed(ticket, failure.clone())) {
            Step::Park { .. } => Err(self.counted(route, Problem::failure(failure).into()).into()),
            step => Err(step),
        }
    }

    /// Goes on with a request whose question was never answered, long after its deadline.
    #[must_use]
    pub fn give_up(&self, ticket: Ticket, resume: Resume) -> Step {
        self.resume(resume, self.failed(ticket, Failure::unknown(Reason::Deadline)))
    }

    fn failed(&self, ticket: Ticket, failure: Failure) -> Completion {
        let outcome = Outcome::Failed(failure);
        Completion { ticket, index: self.client.applied().0, outcome }
    }

    fn dispatch(&self, route: &Route, part: &str, request: &Request) -> Step {
        if let Some(why) = lacks(route.needs, &self.client.status()) {
            return self.refusal_of(request, 503, &why).into();
        }
        match route.handler {
            Handler::Whole(handler) => handler(self, part, request),
            Handler::Upload(begin) if request.framing == Framing::Length(0) => {
                begin(self, part, request).map_or_else(Step::from, |upload| upload.finish())
            }
            Handler::Upload(_) => {
                Problem::new(501, "this front takes no bodies of this size; use --front mio").into()
            }
        }
    }

    fn wrong_method(&self, request: &Request) -> Step {
        let path = request.path();
        let detail = format!("this path takes {}", allow(self.table, path));
        let response = if is_consul(path) {
            Response::text(405, format!("{detail}\n"))
        } else {
            self.refusal_of(request, 405, &detail)
        };
        response.text_header("Allow", allow(self.table, path)).into()
    }

    fn not_found(&self, request: &Request) -> Step {
        let detail = "there is nothing under this path; GET / shows what there is";
        if is_consul(request.path()) {
            Response::text(404, format!("{detail}\n")).with("Cache-Control", "no-store").into()
        } else {
            self.refusal_of(request, 404, detail).into()
        }
    }

    /// A refusal in the form that the path's clients expect.
    fn refusal(&self, head: &Head, status: u16, why: &str) -> Response {
        if is_consul(head.path()) {
            consul::refusal(status, why)
        } else if board::is_page(head) {
            board::refusal(self, head, &[], status, why)
        } else {
            problem(status, why)
        }
    }

    /// The same of a request that is there as a whole, in which somebody may have typed something.
    fn refusal_of(&self, request: &Request, status: u16, why: &str) -> Response {
        if board::is_page(request) {
            return board::refusal(self, request, &request.body, status, why);
        }
        self.refusal(request, status, why)
    }

    pub(super) fn finish(&self, number: usize, step: Step) -> Step {
        let routed = |resume| Resume { route: number, ..resume };
        match step {
            Step::Reply(response) => {
                Step::Reply(self.counted(number, self.admitted(number, response)))
            }
            Step::Park { ask, deadline, resume } => {
                Step::Park { ask, deadline, resume: routed(resume) }
            }
            Step::Wait { watch, deadline, resume } => {
                Step::Wait { watch, deadline, resume: routed(resume) }
            }
            Step::Work(work) => Step::Work(Work { route: number, ..work }),
        }
    }

    /// The answer, or in the place of a long one a refusal, when as many are under way as may be.
    fn admitted(&self, number: usize, mut response: Response) -> Response {
        let Body::Stream(stream) = &mut response.body else { return response };
        if stream.admit(&self.streams, self.options.streams_max) {
            return response;
        }
        let why = "as many long answers are being sent as this node allows";
        if self.table.get(number).is_some_and(|route| is_consul(route.path)) {
            consul::refusal(429, why)
        } else {
            problem(429, why)
        }
    }

    pub(super) fn counted(&self, number: usize, response: Response) -> Response {
        self.client.metrics.http_requests.count(number, response.status);
        match response.index {
            Some(_) => response,
            None => response.at(self.client.applied().0),
        }
    }
}

/// Why a node lacks what a request needs, if so.
fn lacks(needs: Needs, status: &Status) -> Option<Cow<'static, str>> {
    if needs >= Needs::Membership
        && let Some(why) = outside(status)
    {
        return Some(why.into());
    }
    if needs >= Needs::State { state_lost(status).map(Cow::Owned) } else { None }
}

/// Why a node takes no part in the cluster, if so.
fn outside(status: &Status) -> Option<&'static str> {
    match status.phase {
        Phase::Joining => Some("this node waits to join its cluster"),
        Phase::Removed => Some("this node was removed from its cluster"),
        Phase::Learner | Phase::Follower | Phase::Candidate | Phase::Leader | Phase::Stopping => {
            None
        }
    }
}

/// Why a node's state must not be shown to anybody, if so.
pub(super) fn state_lost(status: &Status) -> Option<String> {
    let why = status.state_lost.as_ref()?;
    Some(format!("this node's copy of the data is not to be trusted and is fetched anew: {why}"))
}

/// Whether a path is Consul's, whose clients expect errors in plain text.
fn is_consul(path: &str) -> bool {
    path.starts_with("/v1/")
}

fn problem(status: u16, why: &str) -> Response {
    let retryable = retry_after(status).is_some();
    Problem { retryable, ..Problem::new(status, why) }.into()
}
