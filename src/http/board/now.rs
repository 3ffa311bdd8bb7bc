//! What time it is on the board: not what this node's clock says, but what the last entry did.
//!
//! Every node shows the same list for the same entry, and nobody is offered what applying would refuse.

use crate::node::{StoreError, View};
use crate::state::Standing;
use crate::state::board::EDIT_MS;

/// The time of the last entry, by both of its stamps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Now {
    /// By the state's clock, in ms: what may be done for how long.
    pub(super) clock_ms: u64,
    /// By the wall clock, in ms since 1970: what lists count back from.
    pub(super) wall_ms: u64,
}

impl Now {
    /// As of this view.
    ///
    /// # Errors
    /// When what the view was published with is damaged.
    pub(super) fn of(view: &View) -> Result<Self, StoreError> {
        if view.meta().is_empty() {
            // Nothing has been applied yet.
            return Ok(Self::default());
        }
        let standing = Standing::decode(view.meta()).map_err(|error| {
            StoreError::damaged(format!("what a view was published with is damaged: {error}"))
        })?;
        Ok(Self { clock_ms: standing.clock_ms(), wall_ms: standing.board.wall_ms })
    }

    /// The state's clock at this time of this node's wall clock, as well as it can be guessed: entries
    /// bring the time along, and where none come it stands still. A node whose clock is behind that of
    /// the last entry's leader takes it to be that much earlier.
    pub(super) fn clock_ms_at(self, wall_now_ms: u64) -> u64 {
        self.clock_ms.saturating_add(wall_now_ms.saturating_sub(self.wall_ms))
    }

    /// Whether what was made then can still be edited and deleted by who made it.
    pub(super) fn is_fresh(self, clock_ms: u64) -> bool {
        self.clock_ms < clock_ms.saturating_add(EDIT_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_states_clock_goes_on_between_entries() {
        let now = Now { clock_ms: 500, wall_ms: 1_700_000_000_000 };
        assert_eq!(now.clock_ms_at(now.wall_ms), 500);
        assert_eq!(now.clock_ms_at(now.wall_ms + 60_000), 60_500);
        assert_eq!(now.clock_ms_at(now.wall_ms - 60_000), 500, "this node's clock is behind");
        assert_eq!(now.clock_ms_at(u64::MAX), u64::MAX - now.wall_ms + 500);
        assert_eq!(Now::default().clock_ms_at(u64::MAX), u64::MAX);
    }
}
