//! One running node: the threads, how they are wired, and how they stop.

mod client;
pub mod log_reader;
pub mod log_writer;
mod status;

pub use client::{Ask, Busy, Client, Completion, Completions, Outcome, Request, Sink};
pub use log_reader::{ReadDone, ReadFor, ReadRequest};
pub use log_writer::{LogDone, LogWrite};
pub use status::{MemberStatus, Phase, Status};

/// The state as readers see it; named here for those who must not name the storage.
pub use crate::storage::View;
