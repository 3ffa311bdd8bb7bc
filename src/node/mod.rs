//! One running node: the threads, how they are wired, and how they stop.
//!
//! | thread | owns | file |
//! |---|---|---|
//! | `raft` | the replica | `driver` |
//! | `log` | the log's writing end, term and vote | `log_writer` |
//! | `log-read` | the log's reading end | `log_reader` |
//! | `apply` | the state machine | `applier` |
//! | `transport` | peer connections | `crate::transport` |
//! | `gossip` | the roster | `crate::membership` |
//! | `snapshot`, `snapshot-work` | states on their way between nodes | `crate::snapshot` |
//! | `restore` | a backup that arrives | `restore` |
//! | `scrub` | nothing; reads the state on disk now and then | `scrub` |
//! | `space` | the reserve of the disk | `space` |
//! | `slow-n` | nothing; hash passwords | `crate::passwords` |
//! | `http-n` | client connections | `crate::http` |

mod applied;
mod applier;
mod assemble;
mod backup;
mod banner;
mod boot;
mod client;
mod clock;
mod contact;
mod dial_back;
mod driver;
mod guests;
mod listen;
pub mod log_reader;
pub mod log_writer;
mod peers;
mod publish;
mod recover;
mod report;
mod restore;
mod run;
mod running;
mod scrub;
mod scrub_status;
pub mod space;
mod states;
mod status;
mod upkeep;

pub use applier::apply_entry;
pub use backup::{Backup, BackupInfo, verify_backup};
pub use boot::StartError;
pub use client::{Ask, Busy, Client, Completion, Completions, Outcome, Request, Sink};
pub use clock::Clock;
pub use contact::LeaderContact;
pub use restore::{Fed, Finish, RestoreError, Restored, Restores, Upload};
pub use run::run;
pub use scrub_status::{ScrubEnd, ScrubReport, ScrubStatus, ScrubWake};
pub use status::{DiskHealth, MemberStatus, Phase, Status};

/// The state as readers see it; named here for those who must not name the storage.
pub use crate::storage::{OPERATOR_TOKEN, Rows, StoreError, View};
