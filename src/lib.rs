//! Bowline: a replicated link service in one binary.
//!
//! The crate is a set of pure cores with thin shells around them; `docs/architecture.md` has the
//! bird's-eye view. Nothing here is a stable library interface: the library exists so that the
//! binary, the tests and the benchmarks share one code base.

pub mod cli;
pub mod config;
pub mod error;
pub mod escapes;
pub mod http;
pub mod ids;
pub mod lines;
pub mod membership;
pub mod metrics;
pub mod networks;
pub mod node;
pub mod passwords;
pub mod raft;
pub mod replica;
pub mod snapshot;
pub mod state;
pub mod storage;
pub mod threads;
pub mod transport;
pub mod watch;
