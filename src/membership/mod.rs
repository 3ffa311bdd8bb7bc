//! The soft side of membership: the gossiped roster, joining, and who should be promoted.

mod roster;

pub use roster::{Roster, RosterEntry, RosterStatus};
