//! Real nodes on disks that fail, hang, fill up, forget and lie.

#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "../power/disk.rs"]
#[allow(dead_code, reason = "shared with tests that cut its power")]
mod disk;
#[path = "../process/harness.rs"]
#[allow(dead_code, reason = "shared with tests that use the rest of it")]
mod harness;
#[path = "../power/need.rs"]
mod need;

mod damage;
mod errors;
mod fetch;
mod full;
mod hang;
mod support;
