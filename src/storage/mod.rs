//! What is on disk: the log, the vote, the state.

mod store;

pub use store::{MemoryStore, Rows, StoreError, Table, View, Views};
