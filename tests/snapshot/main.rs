//! States that move between nodes over real connections and real files.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod machine;
mod moving;
mod puppet;
#[path = "../transport/support.rs"]
#[allow(dead_code, reason = "these tests need only some of it")]
mod support;
