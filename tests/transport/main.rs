//! The peer transport: its bytes, and its behaviour on real sockets.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod links;
mod port;
mod support;
mod wire;
