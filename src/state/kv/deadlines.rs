//! What of the store ends by itself: sessions that are not renewed, keys with a lifetime, delays of locks.
//!
//! How that is kept and comes about is the same for all of the state: see
//! [`deadlines`](crate::state::deadlines).

use super::keeper::Keeper;
use super::rows;
use crate::state::deadlines::{self, Mortal};
use crate::storage::{StoreError, Table};

impl<T: Table> Keeper<'_, T> {
    /// When what lives this long from now on ends.
    pub(super) fn deadline(&self, after_ms: u64) -> u64 {
        deadlines::after(self.now_ms, after_ms)
    }

    /// Has a thing end at another time than before, or not at all.
    pub(super) fn move_deadline(&mut self, what: &Mortal, from: Option<u64>, to: Option<u64>) {
        deadlines::shift(&mut self.ledger, &mut self.counters.earliest_ms, what, from, to);
    }

    /// Ends what of this is the store's, and tells how many things.
    pub(in crate::state) fn end_due(&mut self, due: &[(u64, Mortal)]) -> Result<u64, StoreError> {
        let mut ended = 0;
        for (at_ms, what) in due {
            if deadlines::stands(self.ledger.rows(), *at_ms, what)? {
                ended += u64::from(self.end(*at_ms, what)?);
            }
        }
        Ok(ended)
    }

    /// Whether it was the store's.
    fn end(&mut self, at_ms: u64, what: &Mortal) -> Result<bool, StoreError> {
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
            Mortal::Login(_) | Mortal::Limit(_) => return Ok(false),
        }
        Ok(true)
    }
}
