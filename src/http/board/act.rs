//! From a form that is in order to the log, and back.
//!
//! Whatever becomes of an act, its author gets a page: where to go on when it is done, and the form with
//! all that was typed when it is not. After it the browser carries the index of what it has done, so
//! that whichever node it talks to next shows that.

use std::borrow::Cow;
use std::fmt::Debug;

use super::super::reply::{Response, Value};
use super::super::service::Service;
use super::super::step::{Continue, Step};
use super::cookies;
use super::views::message;
use super::visitor::Visitor;
use crate::error::{Certainty, Failure, Reason};
use crate::node::{Ask, Completion, Outcome, StoreError};
use crate::state::board::{Act, Refusal, Told};
use crate::state::{Command, Reply, Standing, VERSION_BOARD};

/// Why something was not done (or may not have been), for its author.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::http) struct Trouble {
    /// Status of the page that tells it.
    pub status: u16,
    /// What to tell: whole sentences.
    pub message: Cow<'static, str>,
    /// When to try again, in seconds, if that is known.
    pub retry_after_s: Option<u64>,
}

impl Trouble {
    /// A trouble that does not go by itself.
    pub(in crate::http) fn new(status: u16, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, message: message.into(), retry_after_s: None }
    }

    /// A form that was not made for this browser, as far as anybody can tell.
    pub(super) fn foreign_form() -> Self {
        Self::new(
            403,
            "This form is out of date, or was not one of ours: nothing was done. Look it over and \
             send it again.",
        )
    }

    fn of_failure(failure: &Failure) -> Self {
        let (status, message) = match (failure.certainty, &failure.reason) {
            (Certainty::Unknown, _) => (
                504,
                "The cluster has not answered in time. It may or may not have been done: look before \
                 you try again.",
            ),
            (Certainty::NotApplied, Reason::DiskFull) => {
                (507, "The disks of this cluster are full: nothing was done.")
            }
            (Certainty::NotApplied, Reason::NoLeader) => (
                503,
                "The cluster has no leader at the moment: nothing was done. Try again in a moment.",
            ),
            (Certainty::NotApplied, _) => (
                503,
                "There is too much to do at the moment: nothing was done. Try again in a moment.",
            ),
        };
        Self::new(status, message)
    }
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        let (status, message) = match refusal {
            Refusal::TooOften(ms) => {
                let seconds = ms.div_ceil(1000).max(1);
                let message = format!(
                    "That was too often in a short time: nothing was done. Try again in {}.",
                    super::views::time::span(seconds)
                );
                return Self { status: 429, message: message.into(), retry_after_s: Some(seconds) };
            }
            Refusal::NameTaken => (422, "This name is taken."),
            Refusal::LoggedOut => (401, "You are not logged in any more: nothing was done."),
            Refusal::PasswordChanged => (401, "The password was changed in the meantime."),
            Refusal::Disabled => (403, "This account is disabled: nothing was done."),
            Refusal::NoUser => (404, "There is no such user."),
            Refusal::NoPost => (404, "This post is not there any more."),
            Refusal::NoComment => (404, "This comment is not there any more."),
            Refusal::NotYours => (403, "That is somebody else's: nothing was done."),
            Refusal::TooLate => (403, "It is too late to change that."),
            Refusal::NotModerator => (403, "Only moderators can do that: nothing was done."),
            Refusal::Full => (409, "There are as many comments as there may be."),
        };
        Self::new(status, message)
    }
}

impl From<&Failure> for Trouble {
    fn from(failure: &Failure) -> Self {
        Self::of_failure(failure)
    }
}

/// Goes on when an act has come to its end.
pub(in crate::http) trait After: Send + Debug {
    /// What comes of it when it was applied, with whatever result but [`Refusal::TooOften`].
    ///
    /// # Errors
    /// When the state cannot be read; a page tells that then.
    fn told(
        self: Box<Self>,
        service: &Service,
        visitor: &Visitor,
        told: Told,
    ) -> Result<Step, StoreError>;

    /// The page when it was not applied, or nobody knows, or it was too often: the form again, with the
    /// status, the message, and what was typed.
    ///
    /// # Errors
    /// As [`After::told`].
    fn failed(
        self: Box<Self>,
        service: &Service,
        visitor: &Visitor,
        trouble: Trouble,
    ) -> Result<Response, StoreError>;
}

/// Does something to the board, in the name of a visitor.
pub(in crate::http) fn send(
    service: &Service,
    visitor: Visitor,
    act: Act,
    after: Box<dyn After>,
) -> Step {
    let sent = Sent { visitor, after };
    let standing = Standing::decode(service.client.view().meta());
    if !standing.is_ok_and(|it| it.summary.cluster_version >= VERSION_BOARD) {
        let why = "A member of this cluster still runs an older version, which knows no board: \
                   nothing was done.";
        return sent.failed(service, Trouble::new(503, why));
    }
    if sent.visitor.is_logged_out() && act.login().is_some() {
        return sent.logged_out(service);
    }
    let ask = Ask::Write(Command::Board(act).encode());
    Step::ask(ask, service.options.request_timeout, Box::new(sent))
}

/// Answers an act that is not even sent, because this node knows what would become of it.
pub(super) fn fail(
    service: &Service,
    visitor: Visitor,
    trouble: Trouble,
    after: Box<dyn After>,
) -> Step {
    Sent { visitor, after }.failed(service, trouble)
}

#[derive(Debug)]
struct Sent {
    visitor: Visitor,
    after: Box<dyn After>,
}

impl Sent {
    fn logged_out(self, service: &Service) -> Step {
        let Self { visitor, after } = self;
        let step = after.told(service, &visitor, Told::Refused(Refusal::LoggedOut));
        step.unwrap_or_else(|error| message::unreadable(&visitor, &error).into())
    }

    fn failed(self, service: &Service, trouble: Trouble) -> Step {
        let Self { visitor, after } = self;
        let retry_after_s = trouble.retry_after_s();
        let response = match after.failed(service, &visitor, trouble) {
            Ok(response) => response,
            Err(error) => message::unreadable(&visitor, &error),
        };
        waiting(response, retry_after_s).into()
    }
}

impl Continue for Sent {
    fn go_on(self: Box<Self>, service: &Service, completion: Completion) -> Step {
        let told = match completion.outcome {
            Outcome::Written(Reply::Board(told)) => told,
            Outcome::Written(Reply::UnknownSession | Reply::Stale) => {
                let why = "This node has just come back: nothing was done. Try again in a moment.";
                return self.failed(service, Trouble::new(503, why));
            }
            Outcome::Failed(failure) => return self.failed(service, Trouble::from(&failure)),
            outcome => unreachable!("an act is not answered with {outcome:?}"),
        };
        if let Told::Refused(refusal @ Refusal::TooOften(_)) = told {
            return self.failed(service, refusal.into());
        }
        let Self { visitor, after } = *self;
        let done = !matches!(told, Told::Refused(_));
        match after.told(service, &visitor, told) {
            Ok(Step::Reply(response)) => {
                let response = if done { renewed(response, &visitor) } else { response };
                let seen = Value::Text(cookies::seen(completion.index, visitor.origin.tls));
                response.header("Set-Cookie", seen).at(completion.index).into()
            }
            Ok(step) => step,
            Err(error) => message::unreadable(&visitor, &error).into(),
        }
    }
}

/// The answer to an act that was done. The log-in that it was done in lasts longer by that, so the browser
/// is to keep it longer too; unless the act was about just that.
fn renewed(response: Response, visitor: &Visitor) -> Response {
    let (Some(token), Some(_)) = (&visitor.login_cookie, &visitor.user) else { return response };
    let sets = |(name, value): &(&str, Value)| {
        *name == "Set-Cookie" && matches!(value, Value::Text(text) if cookies::is_login(text))
    };
    if response.headers.iter().any(sets) {
        return response;
    }
    let kept = Value::Text(cookies::login(token, visitor.origin.tls));
    response.header("Set-Cookie", kept)
}

/// The answer with the time to try again, if that is known and it does not say so yet.
pub(super) fn waiting(response: Response, retry_after_s: Option<u64>) -> Response {
    let says = response.headers.iter().any(|(name, _)| *name == "Retry-After");
    match retry_after_s {
        Some(seconds) if !says => response.header("Retry-After", Value::Number(seconds)),
        _ => response,
    }
}
