//! The store as a whole, on five real servers of which up to two fail at a time: what was acknowledged
//! is on a majority at every check, and on all servers a short window after they are whole again.
//!
//! Writers set keys through any server that runs, round and round, so that a server that stands still
//! would be seen to hold old values. A checker asks each server for its own state (`?stale`) all the
//! time. The scenarios decide meanwhile who fails, who stands still and whose disk is slow.

#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "../process/harness.rs"]
#[allow(dead_code, reason = "shared with tests that use the rest of it")]
mod harness;
#[path = "../power/need.rs"]
#[allow(dead_code, reason = "shared with tests that need more")]
mod need;
#[path = "../faults/support.rs"]
#[allow(dead_code, reason = "shared with tests that use the rest of it")]
mod support;

mod book;
mod evaluation;
mod scenarios;
