//! Real binaries with real files and sockets, on ports that the system chooses.

mod backup;
mod board;
#[path = "../board_support/mod.rs"]
mod board_support;
mod clockwork;
mod cluster;
mod demo;
mod garbage;
#[allow(dead_code, reason = "shared with tests that use the rest of it")]
mod harness;
mod idempotency;
mod import;
mod kv;
mod one_node;
mod readme;
mod refusals;
mod rolling;
