//! What ends by itself: sessions that are not renewed, keys with a lifetime, delays of locks.
//!
//! Each has one row in the order of time while it runs. Nothing ends by the clock alone: what is due is
//! ended by an entry ([`Command::Expire`](crate::state::Command::Expire)), which the leader proposes
//! when the first of them is due; until then it stands on every node alike.
//!
//! Nothing ends early. The clock is the one in the log, which goes on where it was when the leader
//! changes; it may run a hundredth too fast, so everything gets a 64th on top, and what two clocks that
//! count whole milliseconds may be apart.

use super::keeper::Keeper;
use super::read::scan_range;
use super::rows::{self, Mortal};
use crate::storage::{StoreError, Table};

/// Things that one entry ends at most; a session with all its keys is one. When more are due, the next
/// entry is due at once.
pub(super) const ENDINGS_MAX: usize = 256;

impl<T: Table> Keeper<'_, T> {
    /// When what lives this long from now on ends.
    pub(super) fn deadline(&self, after_ms: u64) -> u64 {
        self.now_ms.saturating_add(after_ms).saturating_add(after_ms / 64 + 2)
    }

    /// Has a thing end at another time than before, or not at all.
    pub(super) fn move_deadline(&mut self, what: &Mortal, from: Option<u64>, to: Option<u64>) {
        if from == to {
            return;
        }
        if let Some(at_ms) = from {
            self.ledger.remove(&rows::deadline_row(at_ms, what), rows::THERE);
        }
        if let Some(at_ms) = to {
            self.ledger.insert(&rows::deadline_row(at_ms, what), rows::there());
            self.counters.earliest_ms = self.counters.earliest_ms.min(at_ms);
        }
    }

    /// Ends what is due, and tells how many things.
    pub(in crate::state) fn expire(&mut self) -> Result<u64, StoreError> {
        let mut ended = 0;
        for (at_ms, what) in self.due()? {
            ended += u64::from(self.end(at_ms, &what)?);
        }
        self.counters.earliest_ms = self.first_deadline()?;
        Ok(ended)
    }

    /// The first things that are due. Rows before `earliest_ms` are not there, but the store may have to
    /// step over what they were.
    fn due(&self) -> Result<Vec<(u64, Mortal)>, StoreError> {
        let mut due = Vec::new();
        self.scan_deadlines(&mut |at_ms, what| {
            let go_on = at_ms <= self.now_ms && due.len() < ENDINGS_MAX;
            if go_on {
                due.push((at_ms, what));
            }
            go_on
        })?;
        Ok(due)
    }

    /// Whether it was still to end: what ended before in the same entry may have taken it along.
    fn end(&mut self, at_ms: u64, what: &Mortal) -> Result<bool, StoreError> {
        if self.ledger.get(&rows::deadline_row(at_ms, what))?.is_none() {
            return Ok(false);
        }
        match what {
            Mortal::Session(id) => {
                let gone = || StoreError::damaged("row of a deadline: its session is not there");
                let session = self.session(id)?.ok_or_else(gone)?;
                self.end_session(session)?;
            }
            Mortal::Key(key) => {
                let old = self.read(key)?;
                self.write(key, old, None)?;
            }
            Mortal::Delay(key) => {
                self.move_deadline(what, Some(at_ms), None);
                self.ledger.remove(&rows::delay_row(key), &rows::encode_delay(at_ms));
            }
        }
        Ok(true)
    }

    fn first_deadline(&self) -> Result<u64, StoreError> {
        let mut first = u64::MAX;
        self.scan_deadlines(&mut |at_ms, _| {
            first = at_ms;
            false
        })?;
        Ok(first)
    }

    fn scan_deadlines(&self, visit: &mut dyn FnMut(u64, Mortal) -> bool) -> Result<(), StoreError> {
        let from = rows::deadlines_from(self.counters.earliest_ms);
        scan_range(self.ledger.rows(), &from, &rows::deadlines_end(), &mut |row, _| {
            let (at_ms, what) = rows::decode_deadline(row)?;
            Ok(visit(at_ms, what))
        })
    }
}
