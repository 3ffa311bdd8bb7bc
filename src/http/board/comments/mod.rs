//! Comments: threads of one level, as they are shown, and what is done to them.
//!
//! Who answers an answer goes on in its thread. The form to answer with opens below the comment, on the
//! same page (`?reply=`), since there are no scripts to open it otherwise.

mod remove;
mod said;
mod say;
mod thread;

use super::super::service::{Service, Step};
use super::super::wire::Request;
use super::posts::key;
use super::visit;
pub(super) use thread::{Talk, Thread};

/// `POST /b/comment/{post}`: says something about a post, or answers a comment (`parent`).
pub(in crate::http) fn submit(service: &Service, part: &str, request: &Request) -> Step {
    visit::form(service, request, Box::new(say::Say::about(key(part))))
}

/// `POST /b/uncomment/{post}`: takes a comment away.
pub(in crate::http) fn remove(service: &Service, part: &str, request: &Request) -> Step {
    visit::form(service, request, Box::new(remove::Remove::of(key(part))))
}
