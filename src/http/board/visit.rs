//! From a request to a page that shows what its visitor has done, whichever node that was.
//!
//! Each write leaves the browser with the log index that it came to. A node that is behind that index
//! asks for a read index before it shows anything: with that, it has all that was done before the
//! question, or the browser has its number from another cluster (and forgets it). Without a quorum, or
//! when many wait already, the page is shown as it is, and says so.

use std::fmt::Debug;
use std::time::Duration;

use super::super::read::Waiting;
use super::super::reply::Response;
use super::super::service::{self, Service};
use super::super::step::{Continue, Step};
use super::super::wire::Request;
use super::act::{Trouble, waiting};
use super::csrf;
use super::form::Form;
use super::views::message;
use super::visitor::{Caller, Freshness, Visitor};
use crate::error::Reason;
use crate::node::{Ask, Completion, Outcome, Status, StoreError, View};

/// A page, before it is looked up.
pub(in crate::http) trait Page: Send + Debug {
    /// The page as of this view.
    ///
    /// # Errors
    /// When the state cannot be read; a page tells that then.
    fn show(
        self: Box<Self>,
        service: &Service,
        view: &View,
        visitor: &Visitor,
    ) -> Result<Response, StoreError>;
}

/// A form that somebody sent.
pub(in crate::http) trait Submitted: Send + Debug {
    /// What comes of it. That it is one of our own pages' is certain.
    ///
    /// # Errors
    /// As [`Page::show`].
    fn submitted(
        self: Box<Self>,
        service: &Service,
        view: &View,
        visitor: Visitor,
        form: Form,
    ) -> Result<Step, StoreError>;

    /// The page again, with what was typed, because of this trouble: it was not looked at.
    ///
    /// # Errors
    /// As [`Page::show`].
    fn again(
        self: Box<Self>,
        service: &Service,
        view: &View,
        visitor: &Visitor,
        form: Form,
        trouble: Trouble,
    ) -> Result<Response, StoreError>;
}

/// Answers a GET with a page.
pub(in crate::http) fn page(service: &Service, request: &Request, page: Box<dyn Page>) -> Step {
    start(service, Caller::of(service, request), What::Page(page))
}

/// Answers a POST of a form: the one way in, so that none is taken without its token.
pub(in crate::http) fn form(
    service: &Service,
    request: &Request,
    submitted: Box<dyn Submitted>,
) -> Step {
    let caller = Caller::of(service, request);
    match Form::of(request) {
        Ok(form) => {
            let caller = caller.with_next(form.text("next"));
            start(service, caller, What::Form(form, submitted))
        }
        Err(trouble) => {
            let visitor = caller.visit(service, &service.client.view());
            message::trouble(&visitor, &trouble).into()
        }
    }
}

#[derive(Debug)]
enum What {
    Page(Box<dyn Page>),
    Form(Form, Box<dyn Submitted>),
    /// A form that is not taken, whatever is in it.
    Refused(Form, Box<dyn Submitted>, Trouble),
}

fn start(service: &Service, caller: Caller, what: What) -> Step {
    if service.client.view().applied() >= caller.cookies.seen {
        return answer(service, caller, what, None);
    }
    let Some(place) = Waiting::take(&service.waiting, service.options.misses_max) else {
        return answer(service, caller, what, Some(Freshness::Behind));
    };
    let late = Late { caller, what, _place: place };
    Step::ask(Ask::ReadIndex, patience(service), Box::new(late))
}

fn patience(service: &Service) -> Duration {
    service.options.miss_timeout.min(service.options.request_timeout)
}

/// A visit that waits for the state.
#[derive(Debug)]
struct Late {
    caller: Caller,
    what: What,
    /// Held while it waits.
    _place: Waiting,
}

impl Continue for Late {
    fn go_on(self: Box<Self>, service: &Service, completion: Completion) -> Step {
        let Self { caller, what, .. } = *self;
        let has_come = service.client.view().applied() >= caller.cookies.seen;
        let (what, freshness) = match (what, completion.outcome) {
            (what, _) if has_come => (what, None),
            (what, Outcome::Readable) => (what, Some(Freshness::Foreign)),
            // The next question would not be taken either.
            (What::Form(form, submitted), Outcome::Failed(failure))
                if failure.reason == Reason::Busy =>
            {
                let trouble = Trouble::from(&failure.of_question());
                (What::Refused(form, submitted, trouble), Some(Freshness::Behind))
            }
            (what, _) => (what, Some(Freshness::Behind)),
        };
        answer(service, caller, what, freshness)
    }
}

fn answer(service: &Service, caller: Caller, what: What, freshness: Option<Freshness>) -> Step {
    let (view, status) = (service.client.view(), service.client.status());
    if let Some(why) = unfit(&status) {
        return message::refused(&caller.nobody(service), &Trouble::new(503, why), what.form())
            .into();
    }
    let what = checked(what, &caller);
    let mut visitor = caller.visit(service, &view);
    visitor.freshness = freshness.unwrap_or(visitor.freshness);
    let step = match what {
        What::Page(page) => page.show(service, &view, &visitor).map(Step::from),
        What::Form(form, submitted) => submitted.submitted(service, &view, visitor.clone(), form),
        What::Refused(form, submitted, trouble) => {
            let wait_s = trouble.retry_after_s();
            let again = submitted.again(service, &view, &visitor, form, trouble);
            again.map(|response| waiting(response, wait_s).into())
        }
    };
    let step = step.unwrap_or_else(|error| message::unreadable(&visitor, &error).into());
    let Step::Reply(response) = step else { return step };
    let response = response.at(view.applied());
    if status.caught_up { response } else { response.with("X-Bowline-Stale", "true") }.into()
}

/// The same, but a form only if it is one of ours.
fn checked(what: What, caller: &Caller) -> What {
    match what {
        What::Form(form, submitted)
            if caller.is_foreign || !csrf::is_genuine(&caller.cookies, form.text(csrf::FIELD)) =>
        {
            What::Refused(form, submitted, Trouble::foreign_form())
        }
        what => what,
    }
}

/// Why this node shows no page now, if so; its state may have been found wrong while a visit waited.
fn unfit(status: &Status) -> Option<&'static str> {
    if service::state_lost(status).is_some() {
        return Some("This node's copy of the data is not to be trusted, and is fetched anew.");
    }
    (!status.caught_up && !status.serving_stale).then_some(
        "This node has just started and has not caught up with its cluster yet. Try again in a \
         moment.",
    )
}

impl What {
    fn form(&self) -> Option<&Form> {
        match self {
            Self::Page(_) => None,
            Self::Form(form, _) | Self::Refused(form, ..) => Some(form),
        }
    }
}
