//! What a node does not know, it may merely not know yet.
//!
//! A page whose post or user is missing here is shown only after a read index has told that it is missing
//! everywhere, as it is with short links: who follows a link that somebody just sent must not be told by
//! a node that lags that there is nothing. Without a quorum, or when many wait, what this node knows has
//! to do.

use super::super::read::Waiting;
use super::super::service::Service;
use super::super::step::{Continue, Step};
use super::super::wire::Request;
use super::visit::{self, Page};
use crate::node::{Ask, Completion, StoreError};

/// Answers a GET with a page about something, which may be elsewhere already when it is not here.
pub(super) fn page(
    service: &Service,
    request: &Request,
    is_here: Result<bool, StoreError>,
    page: Box<dyn Page>,
) -> Step {
    // A disk that cannot be read is told about by the page.
    if is_here.unwrap_or(true) {
        return visit::page(service, request, page);
    }
    let Some(place) = Waiting::take(&service.waiting, service.options.misses_max) else {
        return visit::page(service, request, page);
    };
    let timeout = service.options.miss_timeout.min(service.options.request_timeout);
    let confirming = Confirming { request: request.clone(), page, _place: place };
    Step::ask(Ask::ReadIndex, timeout, Box::new(confirming))
}

/// A page that waits for what other nodes know.
#[derive(Debug)]
struct Confirming {
    request: Request,
    page: Box<dyn Page>,
    /// Held while it waits.
    _place: Waiting,
}

impl Continue for Confirming {
    fn go_on(self: Box<Self>, service: &Service, _: Completion) -> Step {
        visit::page(service, &self.request, self.page)
    }
}
