//! One running node: the threads, how they are wired, and how they stop.

mod client;
mod status;

pub use client::{Ask, Busy, Client, Completion, Completions, Outcome, Request, Sink};
pub use status::{MemberStatus, Phase, Status};
