//! The soft side of membership: the gossiped roster, joining, and who should be promoted.
//!
//! Two lists, never mixed up: the *roster* is what gossip believes, heals by itself within seconds
//! and decides nothing; the *configuration* in the log is the only list that counts votes.

mod gossip;
mod join;
mod reconciler;
mod roster;

pub(crate) use gossip::now as gossip_now;
pub use gossip::{FirstRoster, GossipCommand, GossipThread};
pub use join::{Admission, JoinEnd, JoinRequest, JoinResponse, join};
pub use reconciler::Reconciler;
pub use roster::{Roster, RosterEntry, RosterStatus};
