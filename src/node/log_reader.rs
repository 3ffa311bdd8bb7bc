//! The thread `log-read`: reads entries back that have left memory.
//!
//! A follower that lags, or an applier that does, wants entries from the disk; the replica asks for
//! them as an effect and goes on meanwhile.

use std::io;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender};

use crate::raft::Entry;
use crate::replica::LogRequest;
use crate::storage::WalReader;
use crate::threads;

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
/// # Errors
/// When the system gives no thread.
pub fn spawn(
    mut reader: WalReader,
    requests: Receiver<LogRequest>,
    done: Sender<ReadDone>,
) -> io::Result<JoinHandle<()>> {
    let run = move || {
        for request in requests {
            let (first, last, bytes_max) = request.range();
            let entries = reader.read(first, last, bytes_max).map_err(|error| error.to_string());
            if done.send(ReadDone { request, entries }).is_err() {
                return;
            }
        }
    };
    threads::spawn("log-read", run)
}
