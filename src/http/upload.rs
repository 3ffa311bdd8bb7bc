//! Bodies that are never in memory as a whole: they are handed on piece by piece, as they arrive.
//!
//! A taker that cannot keep up says so, and the connection is not read until it can: the client's TCP
//! feels it.

use bytes::Bytes;

use super::reply::Response;
use super::service::Service;
use super::step::Step;
use crate::ids::Ticket;

/// Takes the body of a request while it arrives. Dropped when the client goes away before its end.
pub trait Upload: Send {
    /// Takes a piece, 64 KiB at most, without waiting.
    fn write(&mut self, bytes: Bytes, wake: Ticket) -> Took;

    /// The body has ended as it should, or there was none; this is what comes of the request.
    fn finish(self: Box<Self>) -> Step;
}

/// What became of a piece.
#[derive(Debug)]
pub enum Took {
    /// It was taken.
    More,
    /// There is no room for these bytes: to be called with them again when a completion for the
    /// ticket comes.
    Full(Bytes),
    /// The rest is not wanted; this is the answer. The connection ends with it.
    Refused(Response),
}

/// An upload under way, and the route it is counted under.
pub(super) struct Receiving {
    pub route: usize,
    pub upload: Box<dyn Upload>,
}

impl Receiving {
    /// The answer to one whose body is not wanted, counted.
    pub fn refused(&self, service: &Service, response: Response) -> Response {
        service.counted(self.route, response)
    }

    /// See [`Upload::finish`].
    pub fn finish(self, service: &Service) -> Step {
        service.finish(self.route, self.upload.finish())
    }
}
