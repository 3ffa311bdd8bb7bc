//! What remains of keys that are gone: marks that say which revision removed them.
//!
//! They make the index of a prefix rise when a key under it is removed, and tell who waits for a key
//! that is not there that it came and went. They cannot all be kept. Each has a place in a queue with
//! dense numbers; when there are too many, an eighth of them is given up in one step, which raises
//! [`Counters::reaped`](super::Counters::reaped). Whoever asks with an older index is then told that
//! something may have happened: once, and not at every mark that goes. (Who waits already need not be
//! told: had it concerned him, he would have been woken when it happened.) The rows go a few per entry,
//! so that none takes long.
//!
//! A key that is set again loses its mark, but the place in the queue stays until its turn comes: it
//! leads to a mark with another number, or to none.

use bytes::Bytes;

use super::keeper::Keeper;
use super::rows;
use crate::storage::{StoreError, Table};

/// Places that one entry clears, when there are any to clear, and one more for so many.
const REMOVALS: u64 = 8;
const ONE_MORE_PER: u64 = 1024;

impl<T: Table> Keeper<'_, T> {
    /// Notes that this command removes a key, of which there is no mark.
    pub(super) fn leave_mark(&mut self, key: &[u8]) {
        let (revision, number) = (self.revision, self.counters.next_mark);
        self.counters.next_mark += 1;
        self.ledger.insert(&rows::mark_row(key), rows::encode_mark(revision, number));
        let place = rows::encode_mark_order(revision, key);
        self.ledger.insert(&rows::mark_order_row(number), place);
    }

    /// Takes back the mark of a key that is there again.
    pub(super) fn forget_mark(&mut self, key: &[u8]) -> Result<(), StoreError> {
        if self.counters.oldest_mark == self.counters.next_mark {
            return Ok(());
        }
        self.ledger.delete(&rows::mark_row(key))
    }

    /// Gives up the oldest marks when there are too many, and clears away some of those given up; the
    /// more there are, the more, so that no rate of removals can outrun it.
    pub(super) fn trim_marks(&mut self) -> Result<(), StoreError> {
        let counters = &*self.counters;
        let len = counters.next_mark - counters.keep_marks_from;
        if len > self.marks_max {
            let keep_from = counters.next_mark - self.marks_max / 8 * 7;
            let (revision, _) = self.place(keep_from - 1)?;
            self.counters.keep_marks_from = keep_from;
            self.counters.reaped = self.counters.reaped.max(revision);
        }
        let pending = self.counters.keep_marks_from - self.counters.oldest_mark;
        for _ in 0..pending.min(REMOVALS + pending / ONE_MORE_PER) {
            self.clear_oldest_mark()?;
        }
        Ok(())
    }

    fn clear_oldest_mark(&mut self) -> Result<(), StoreError> {
        let number = self.counters.oldest_mark;
        let (_, key) = self.place(number)?;
        let mark_row = rows::mark_row(&key);
        if let Some(mark) = self.ledger.get(&mark_row)?
            && rows::decode_mark(&key, &mark)?.1 == number
        {
            self.ledger.remove(&mark_row, &mark);
        }
        self.ledger.delete(&rows::mark_order_row(number))?;
        self.counters.oldest_mark += 1;
        Ok(())
    }

    fn place(&self, number: u64) -> Result<(u64, Bytes), StoreError> {
        let missing = || StoreError::damaged(format!("row of mark {number}: it is not there"));
        let row = self.ledger.get(&rows::mark_order_row(number))?.ok_or_else(missing)?;
        rows::decode_mark_order(number, &row)
    }
}
