//! From a data directory to a replica: new cluster, new member, or restart.

use std::time::Duration;

use crate::config::{DiskConfig, NodeConfig};
use crate::ids::ClusterId;
use crate::membership::Admission;
use crate::raft::{
    self, Configuration, Entry, HardState, Index, Member, MemberInfo, MemberRole, Payload, Stamp,
};
use crate::replica::{Options, Rules};
use crate::state::{Command, VERSION};
use crate::storage::{DataDir, Identity, VoteFile, Wal, WalOptions};

/// Why a node cannot start; one line for people.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The flags ask for something that must not be done; the program exits with 2.
    #[error("{0}")]
    Usage(String),
    /// Something is wrong with the machine or the data; the program exits with 1.
    #[error("{0}")]
    Failed(String),
}

impl StartError {
    /// Wraps an error of a lower layer, whose text is fit for people.
    pub fn failed(error: impl std::fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }
}

/// How this process begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// The directory holds a member's data.
    Restart,
    /// The directory is empty, and becomes the first node of a new cluster.
    Bootstrap,
    /// The directory is empty, and waits to be admitted.
    Join,
}

/// Decides how to begin. A wiped first machine must not come back as a new, empty cluster, so away
/// from loopback that takes an explicit flag.
///
/// # Errors
/// When the flags and the directory do not fit together.
pub fn beginning(
    config: &NodeConfig,
    identity: &Identity,
    on_loopback: bool,
) -> Result<Beginning, StartError> {
    let data = config.data.display();
    match identity.node {
        Some(_) if config.bootstrap => Err(StartError::Usage(format!(
            "{data} holds a node's data already; leave --bootstrap out to restart it, or give \
             another --data DIR for a new cluster"
        ))),
        Some(_) => Ok(Beginning::Restart),
        None if config.bootstrap && !config.join.is_empty() => Err(StartError::Usage(
            "--bootstrap starts a new cluster and --join joins one: give one of them".to_owned(),
        )),
        None if config.bootstrap => Ok(Beginning::Bootstrap),
        None if !config.join.is_empty() => Ok(Beginning::Join),
        None if on_loopback => Ok(Beginning::Bootstrap),
        None => Err(StartError::Usage(format!(
            "{data} is empty: give --bootstrap if this is the first machine of a new cluster, or \
             --join HOST:PORT with the peer address of a member"
        ))),
    }
}

/// Makes the first node of a new cluster. The node id is written last: until then the directory
/// counts as unused, and a crash on the way leaves nothing that could be taken for a member.
///
/// # Errors
/// When something cannot be written.
pub fn bootstrap(
    data: &mut DataDir,
    info: &MemberInfo,
    wall_ms: u64,
    wal: WalOptions,
) -> Result<(), StartError> {
    data.discard_unfinished().map_err(StartError::failed)?;
    let tag = data.identity().tag;
    let finished = Identity { cluster: Some(ClusterId::random()), epoch: 0, tag, node: Some(1) };
    let (mut writer, _, _) =
        Wal::open(&data.log_dir(), &finished, wal).map_err(StartError::failed)?;
    let member = Member { role: MemberRole::Voter, info: info.clone() };
    let entry = Entry {
        index: 1,
        term: 1,
        stamp: Stamp { clock_ms: wall_ms, wall_ms },
        payload: Payload::Configuration(Configuration { members: [(1, member)].into() }),
    };
    writer.append(&[entry], 1);
    writer.sync().map_err(StartError::failed)?;
    let mut vote = VoteFile::open(&data.vote_dir(), &finished, 0).map_err(StartError::failed)?;
    vote.write(HardState { term: 1, vote: Some(1) }).map_err(StartError::failed)?;
    data.set_identity(finished).map_err(StartError::failed)
}

/// Writes down that this node was admitted: who it is, and whom it knows.
///
/// # Errors
/// When something cannot be written.
pub fn admit(data: &mut DataDir, admission: &Admission) -> Result<(), StartError> {
    // A log of a bootstrap that did not come to its end is not the log of this member.
    data.discard_unfinished().map_err(StartError::failed)?;
    let hint = (admission.index, &admission.configuration);
    let hint = rmp_serde::to_vec(&hint).expect("plain data can be encoded");
    data.set_hint(&hint).map_err(StartError::failed)?;
    let tag = data.identity().tag;
    let identity = Identity {
        cluster: Some(admission.cluster),
        epoch: admission.epoch,
        tag,
        node: Some(admission.id),
    };
    data.set_identity(identity).map_err(StartError::failed)
}

/// The configuration this node was told at its admission, for the time before its log holds one.
///
/// # Errors
/// When it cannot be read.
pub fn hint(data: &DataDir) -> Result<Option<(Index, Configuration)>, StartError> {
    let Some(bytes) = data.hint().map_err(StartError::failed)? else { return Ok(None) };
    rmp_serde::from_slice(&bytes).map(Some).map_err(|error| {
        StartError::Failed(format!(
            "the member list in {} is damaged: {error}",
            data.path().display()
        ))
    })
}

/// Options of the core from the pace that was asked for.
fn raft_options(config: &NodeConfig) -> raft::Options {
    let timing = config.timing;
    raft::Options {
        heartbeat: micros(timing.heartbeat),
        election_min: micros(timing.election_min),
        election_max: micros(timing.election_max),
        ..raft::Options::default()
    }
}

/// Sizes of the log's files from what the node may take of its disk.
#[must_use]
pub fn wal_options(disk: &DiskConfig) -> WalOptions {
    let defaults = WalOptions::default();
    let hurried_bytes = defaults.hurried_bytes.min(disk.segment_bytes / 4);
    WalOptions { segment_bytes: disk.segment_bytes, hurried_bytes, ..defaults }
}

/// The bounds of the replica from what the node was told.
#[must_use]
pub fn replica_options(config: &NodeConfig) -> Options {
    Options {
        raft: raft_options(config),
        understands: |command| Command::decode(command).is_ok(),
        disk_stall_us: micros(config.disk.stall),
        disk_exit_us: micros(config.disk.stall_exit),
        audit: Some(Command::TakeDigest.encode()),
        expire: Some(Command::Expire.encode()),
        rules: Some(Rules {
            newest: VERSION,
            raise: |version| Command::RaiseVersion { version }.encode(),
        }),
        ..Options::default()
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX / 4).max(1)
}
