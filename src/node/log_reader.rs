//! The thread `log-read`: reads entries back that have left memory.
//!
//! A follower that lags, or an applier that does, wants entries from the disk; the replica asks for
//! them as an effect and goes on meanwhile.

use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender};

use crate::raft::{Entry, Index, LogRead, NodeId};
use crate::storage::WalReader;

/// What entries are wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadFor {
    /// To be sent to this follower.
    Follower(NodeId),
    /// To be applied here.
    Apply,
}

/// A request to read entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadRequest {
    /// What for; goes back with the entries.
    pub wanted: ReadFor,
    /// First index.
    pub first: Index,
    /// Last index.
    pub last: Index,
    /// About how many bytes at most, but at least one entry.
    pub bytes_max: usize,
}

impl From<LogRead> for ReadRequest {
    fn from(read: LogRead) -> Self {
        let LogRead { to, first, last, bytes_max } = read;
        Self { wanted: ReadFor::Follower(to), first, last, bytes_max }
    }
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadDone {
    /// The request.
    pub request: ReadRequest,
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
    requests: Receiver<ReadRequest>,
    done: Sender<ReadDone>,
) -> JoinHandle<()> {
    let run = move || {
        for request in requests {
            let entries = reader
                .read(request.first, request.last, request.bytes_max)
                .map_err(|error| error.to_string());
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
