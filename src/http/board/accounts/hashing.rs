//! A question to the threads that hash passwords, and the way on from there.

use std::fmt::Debug;

use super::super::act::{Trouble, waiting};
use super::super::views::message;
use super::super::visitor::Visitor;
use crate::error::{Failure, Reason};
use crate::http::reply::Response;
use crate::http::service::Service;
use crate::http::step::{Continue, Step};
use crate::node::{Ask, Completion, Outcome, StoreError};
use crate::passwords::{Done, Job};

/// Goes on when a password was hashed or checked.
pub(super) trait Hashed: Send + Debug {
    /// What comes of it.
    ///
    /// # Errors
    /// When the state cannot be read; a page tells that then.
    fn hashed(
        self: Box<Self>,
        service: &Service,
        visitor: Visitor,
        done: Done,
    ) -> Result<Step, StoreError>;

    /// The page when it was not: the form again, with the status, the message, and what was typed.
    ///
    /// # Errors
    /// As [`Hashed::hashed`].
    fn failed(
        self: Box<Self>,
        service: &Service,
        visitor: &Visitor,
        trouble: Trouble,
    ) -> Result<Response, StoreError>;
}

/// Has a password hashed or checked, in the name of a visitor.
pub(super) fn ask(service: &Service, visitor: Visitor, job: Job, then: Box<dyn Hashed>) -> Step {
    let asked = Asked { visitor, then };
    Step::ask(Ask::Password(job), service.options.request_timeout, Box::new(asked))
}

#[derive(Debug)]
struct Asked {
    visitor: Visitor,
    then: Box<dyn Hashed>,
}

impl Continue for Asked {
    fn go_on(self: Box<Self>, service: &Service, completion: Completion) -> Step {
        let Self { visitor, then } = *self;
        // Kept for the page that says that the disk cannot be read.
        let us = visitor.clone();
        let step = match completion.outcome {
            Outcome::Password(done) => then.hashed(service, visitor, done),
            Outcome::Failed(failure) => {
                let trouble = trouble(&failure);
                let retry_after_s = trouble.retry_after_s();
                let page = then.failed(service, &visitor, trouble);
                page.map(|page| waiting(page, retry_after_s).into())
            }
            outcome => unreachable!("a password is not answered with {outcome:?}"),
        };
        step.unwrap_or_else(|error| message::unreadable(&us, &error).into())
    }
}

fn trouble(failure: &Failure) -> Trouble {
    // Hashing changes nothing, whatever becomes of it.
    match failure.reason {
        Reason::Busy | Reason::Deadline => crowded(),
        _ => Trouble::new(
            503,
            "This node is not serving at the moment: nothing was done. Try again in a moment.",
        ),
    }
}

/// As many passwords wait as may.
pub(super) fn crowded() -> Trouble {
    Trouble::new(
        503,
        "This node has more passwords to check than it can at the moment: nothing was done. Try again \
         in a moment.",
    )
}
