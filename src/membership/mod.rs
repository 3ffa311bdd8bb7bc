//! The soft side of membership: the gossiped roster, joining, and who should be promoted.
//!
//! Two lists, never mixed up: the *roster* is what gossip believes, heals by itself within seconds
//! and decides nothing; the *configuration* in the log is the only list that counts votes.

mod contacts;
mod gossip;
mod join;
mod reconciler;
mod roster;

pub use gossip::{FirstRoster, GossipCommand, GossipThread, gossip_core};
pub use join::{Admission, JoinEnd, JoinRequest, JoinResponse, announce, join};
pub use reconciler::Reconciler;
pub use roster::{Roster, RosterEntry, RosterStatus};
