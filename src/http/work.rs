//! Requests that take computing: done in slices on the loop that took them, so that nobody waits
//! behind them for longer than a slice, and no thread is spent on them.

use std::fmt;

use super::service::Service;
use super::step::Step;

/// Something to compute for an answer, a slice at a time.
pub trait Task: Send {
    /// Does about a millisecond's worth. Others get their turn between two calls; when the client goes
    /// away, there is no further call.
    fn step(self: Box<Self>, service: &Service) -> Worked;
}

/// What a slice came to.
pub enum Worked {
    /// There is more to do.
    Again(Box<dyn Task>),
    /// It is done; this is what comes of it.
    Done(Step),
}

/// A task, and the route it is counted under.
pub struct Work {
    pub(super) route: usize,
    pub(super) task: Box<dyn Task>,
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Work for route {}", self.route)
    }
}
