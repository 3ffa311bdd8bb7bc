//! What is on disk: the log, the vote, the state.
//!
//! A node's data directory ([`DataDir`]) holds three things of different nature. The *log* ([`wal`]) is
//! the promise: what a node has acknowledged is in it and durable. The *vote* ([`VoteFile`]) is the
//! other promise. The *state* ([`Store`]) is only what follows from the log; it may lag behind, and is
//! brought up again by replaying, or replaced as a whole by another node's ([`StateDir`]), which comes
//! as one file ([`snapshot`]).

mod data_dir;
mod files;
mod operator_token;
mod recovering;
pub mod snapshot;
mod state_dir;
mod store;
mod vote;
pub mod wal;

pub use data_dir::{DataDir, Identity, OpenError};
pub use operator_token::{OPERATOR_TOKEN, OperatorToken};
pub use recovering::RecoveringMark;
pub use state_dir::{Manifest, StateDir};
pub use store::{
    Checkpoint, CheckpointView, KEY_BYTES_MAX, MemoryStore, Rows, Scrubbed, Store, StoreError,
    StoreErrorKind, StoreOptions, StoreStopper, Table, View, Views,
};
pub use vote::{VoteError, VoteFile};
pub use wal::{Recovered, Survey, Synced, Wal, WalError, WalOptions, WalReader, WalWriter};
