//! The replicated state machine: what commands do to the rows.

mod command;
mod links;

pub use command::{Command, Reply};
pub use links::{Link, lookup};
