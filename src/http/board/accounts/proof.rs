//! Whoever says to be somebody shows it by the password: counted, and checked.
//!
//! Whether there is nobody of that name or the password is wrong is not to be told apart, by words or by
//! time: both are counted in the same way, and both have a password checked, the one against the hash
//! of nobody. What follows is told by one word, yes or no.

use std::fmt::Debug;

use super::super::act::{self, After, Trouble};
use super::super::now::Now;
use super::super::visitor::Visitor;
use super::hashing::{self, Hashed};
use crate::http::reply::Response;
use crate::http::service::Service;
use crate::http::step::Step;
use crate::node::StoreError;
use crate::passwords::{Done, Job, Secret};
use crate::state::board::{self, Act, Attempt, Refusal, Told, User};

/// Goes on when it is known whether somebody is who they say they are.
pub(super) trait Proven: Send + Debug {
    /// What comes of it; `user` is who it is, if it is.
    ///
    /// # Errors
    /// When the state cannot be read; a page tells that then.
    fn proven(
        self: Box<Self>,
        service: &Service,
        visitor: Visitor,
        user: Option<User>,
    ) -> Result<Step, StoreError>;

    /// The page when nobody has looked: the form again, with the status, the message, and what was typed.
    ///
    /// # Errors
    /// As [`Proven::proven`].
    fn failed(
        self: Box<Self>,
        service: &Service,
        visitor: &Visitor,
        trouble: Trouble,
    ) -> Result<Response, StoreError>;
}

/// Finds out whether this is the password of the user of this name.
///
/// # Errors
/// When the state cannot be read.
pub(super) fn prove(
    service: &Service,
    visitor: Visitor,
    name: &str,
    password: Secret,
    then: Box<dyn Proven>,
) -> Result<Step, StoreError> {
    let what = Attempt::LogIn(name.to_owned());
    let counting = Counting { name: name.to_owned(), password, then };
    attempt(service, visitor, what, Box::new(counting))
}

/// Has an attempt of this visitor counted, in the log. One that would be refused there, as far as this node
/// knows, is refused here: whoever tries a thousand times a second is to cost a look at a row each, and
/// not an entry on the disks of all nodes. Nor is one counted whose password nobody has time for.
///
/// # Errors
/// When the state cannot be read.
pub(super) fn attempt(
    service: &Service,
    visitor: Visitor,
    what: Attempt,
    then: Box<dyn After>,
) -> Result<Step, StoreError> {
    if service.client.passwords.is_full() {
        service.client.metrics.password_refused.inc();
        return Ok(act::fail(service, visitor, hashing::crowded(), then));
    }
    let (view, address) = (service.client.view(), visitor.origin.limit_key());
    let now_ms = Now::of(&view)?.clock_ms_at(visitor.wall_now_ms);
    match board::attempt_wait_ms(&view, &what, &address, now_ms)? {
        0 => Ok(act::send(service, visitor, Act::Attempt { what, address }, then)),
        wait_ms => Ok(act::fail(service, visitor, Refusal::TooOften(wait_ms).into(), then)),
    }
}

/// The trouble of an attempt that was not counted, or nobody knows: nothing else would have come of it.
pub(super) fn uncounted(trouble: Trouble) -> Trouble {
    if trouble.status != 504 {
        return trouble;
    }
    let why = "The cluster has not answered in time: nothing was done. Try again in a moment.";
    Trouble::new(503, why)
}

/// An attempt is being counted.
#[derive(Debug)]
struct Counting {
    name: String,
    password: Secret,
    then: Box<dyn Proven>,
}

impl After for Counting {
    fn told(
        self: Box<Self>,
        service: &Service,
        visitor: &Visitor,
        told: Told,
    ) -> Result<Step, StoreError> {
        let Self { name, password, then } = *self;
        if let Told::Refused(refusal) = told {
            return then.failed(service, visitor, refusal.into()).map(Step::from);
        }
        // The state is that of the attempt or later: who has just signed up elsewhere is there.
        let user = board::user_named(&service.client.view(), &name)?;
        let hash = user.as_ref().map(|user| user.password.clone());
        let checking = Box::new(Checking { user, then });
        Ok(hashing::ask(service, visitor.clone(), Job::Check { password, hash }, checking))
    }

    fn failed(
        self: Box<Self>,
        service: &Service,
        visitor: &Visitor,
        trouble: Trouble,
    ) -> Result<Response, StoreError> {
        self.then.failed(service, visitor, uncounted(trouble))
    }
}

/// A password is being checked.
#[derive(Debug)]
struct Checking {
    /// Whose, with the hash that it is checked against.
    user: Option<User>,
    then: Box<dyn Proven>,
}

impl Hashed for Checking {
    fn hashed(
        self: Box<Self>,
        service: &Service,
        visitor: Visitor,
        done: Done,
    ) -> Result<Step, StoreError> {
        let Done::Checked(is_right) = done else { unreachable!("it was to be checked") };
        self.then.proven(service, visitor, self.user.filter(|_| is_right))
    }

    fn failed(
        self: Box<Self>,
        service: &Service,
        visitor: &Visitor,
        trouble: Trouble,
    ) -> Result<Response, StoreError> {
        self.then.failed(service, visitor, trouble)
    }
}
