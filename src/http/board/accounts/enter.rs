//! The last turn of signing up and logging in, after which the browser is logged in.
//!
//! The log-in is always a new one, with a token that was made here and now: what a browser sends as its
//! token is never taken over, so nobody can be given a log-in that somebody else knows. An older log-in
//! of this browser ends with that same act, whoever's it was, for its token is about to be forgotten and
//! would else stand for a month.

use std::fmt::{self, Debug};

use super::super::act::{self, After, Trouble};
use super::super::cookies;
use super::super::views::layout;
use super::super::visitor::Visitor;
use crate::http::reply::{Response, Value};
use crate::http::service::Service;
use crate::http::step::Step;
use crate::node::StoreError;
use crate::state::board::{Act, LoginId, Refusal, Told};

/// Goes on when a browser could not be logged in; when it could, it is sent to where it wanted to go.
pub(super) trait Entering: Send + Debug {
    /// The page when it was refused.
    ///
    /// # Errors
    /// When the state cannot be read; a page tells that then.
    fn refused(
        self: Box<Self>,
        service: &Service,
        visitor: &Visitor,
        refusal: Refusal,
    ) -> Result<Response, StoreError>;

    /// The page when nobody knows whether it was done, or it was not: see [`After::failed`].
    ///
    /// # Errors
    /// As [`Entering::refused`].
    fn failed(
        self: Box<Self>,
        service: &Service,
        visitor: &Visitor,
        trouble: Trouble,
    ) -> Result<Response, StoreError>;
}

/// Logs a visitor in, by an act that makes this log-in in the place of the one that the browser had.
pub(super) fn enter(
    service: &Service,
    visitor: Visitor,
    act: impl FnOnce(LoginId, Option<LoginId>) -> Act,
    then: Box<dyn Entering>,
) -> Step {
    let (token, login) = cookies::new_login();
    let act = act(login, visitor.claim);
    act::send(service, visitor, act, Box::new(Sent { token: Token(token), then }))
}

/// The token of a log-in, which is nobody's business but the browser's.
struct Token(String);

impl Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// A log-in is being made.
#[derive(Debug)]
struct Sent {
    token: Token,
    then: Box<dyn Entering>,
}

impl After for Sent {
    fn told(
        self: Box<Self>,
        service: &Service,
        visitor: &Visitor,
        told: Told,
    ) -> Result<Step, StoreError> {
        let Self { token, then } = *self;
        match told {
            Told::SignedUp(_) | Told::Done => Ok(welcome(visitor, &token).into()),
            Told::Refused(refusal) => then.refused(service, visitor, refusal).map(Step::from),
            told => unreachable!("a log-in is not answered with {told:?}"),
        }
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

/// Sends the browser to where it wanted to go, logged in.
fn welcome(visitor: &Visitor, token: &Token) -> Response {
    let login = cookies::login(&token.0, visitor.origin.tls);
    layout::redirect(visitor, &visitor.next).header("Set-Cookie", Value::Text(login))
}
