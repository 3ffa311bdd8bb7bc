//! The thread `log-read`: reads entries back that have left memory.
//!
//! A follower that lags, or an applier that does, wants entries from the disk; the replica asks for
//! them as an effect and goes on meanwhile.

use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender};

use crate::raft::Entry;
use crate::replica::LogRequest;
use crate::storage::WalReader;

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadDone {
    /// The request.
    pub request: LogRequest,
    /// The entries from its first index on; fewer or none when the log does not hold them (any more).
    /// An error means a damaged or failing disk, and must stop the node.
    pub entries: Result<Vec<Entry>, String>,
}

/// Starts the thread. It ends when `requests` or `done` is closed. The replica has at most one request
/// per follower under way, and one for the applier, so both channels stay small.
///
/// # Panics
/// When the system cannot start a thread.
#[must_use]
pub fn spawn(
    mut reader: WalReader,
    requests: Receiver<LogRequest>,
    done: Sender<ReadDone>,
) -> JoinHandle<()> {
    let run = move || {
        for request in requests {
            let (first, last, bytes_max) = request.range();
            let entries = reader.read(first, last, bytes_max).map_err(|error| error.to_string());
            if done.send(ReadDone { request, entries }).is_err() {
                return;
            }
        }
    };
    thread::Builder::new()
        .name("log-read".into())
        .spawn(run)
        .expect("the system can start a thread while the node starts")
}
