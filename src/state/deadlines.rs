//! What ends by itself, and when: one row each, in the order of time, while it runs.
//!
//! Nothing ends by the clock alone: what is due is ended by an entry
//! ([`Command::Expire`](super::Command::Expire)), which the leader proposes when the first of them is due;
//! until then it stands on every node alike. Whose thing it is ends it: the key-value store its sessions,
//! keys and delays of locks, the board its log-ins and limits. Here is only what they have in common: the
//! rows, and the time before which there are none.
//!
//! Nothing ends early. The clock is the one in the log, which goes on where it was when the leader
//! changes; it may run a hundredth too fast, so everything gets a 64th on top, and what two clocks that
//! count whole milliseconds may be apart.
//!
//! A row stands in table [`table::DEADLINES`]. Its key is when (ms of the state's clock, big-endian), a
//! byte for the kind of thing, and the thing's name; its value is a version byte, which is 1.

use bytes::Bytes;

use super::board::LoginId;
use super::kv::SessionId;
use super::ledger::Ledger;
use super::scan::{end_of, scan_range};
use super::{At, State, row_key, table};
use crate::ids::Id128;
use crate::storage::{Rows, StoreError, Table};

/// Things that one entry ends at most; a session with all its keys is one. When more are due, the next
/// entry is due at once.
pub(super) const ENDINGS_MAX: usize = 256;

const THERE: &[u8] = &[1];

/// What can end by itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mortal {
    /// A session of the key-value store.
    Session(SessionId),
    /// A key of it.
    Key(Bytes),
    /// The delay of the lock of a key of it.
    Delay(Bytes),
    /// A log-in to the board.
    Login(LoginId),
    /// A limit of the board, by its name there.
    Limit(Bytes),
}

const SESSION: u8 = 1;
const KEY: u8 = 2;
const DELAY: u8 = 3;
const LOGIN: u8 = 4;
const LIMIT: u8 = 5;

/// When what lives this long from now on ends.
pub(super) fn after(now_ms: u64, lifetime_ms: u64) -> u64 {
    now_ms.saturating_add(lifetime_ms).saturating_add(lifetime_ms / 64 + 2)
}

/// Has a thing end at another time than before, or not at all; keeps up `earliest_ms`, before which
/// nothing ends.
pub(super) fn shift(
    ledger: &mut Ledger<'_, impl Table>,
    earliest_ms: &mut u64,
    what: &Mortal,
    from: Option<u64>,
    to: Option<u64>,
) {
    if from == to {
        return;
    }
    if let Some(at_ms) = from {
        ledger.remove(&row(at_ms, what), THERE);
    }
    if let Some(at_ms) = to {
        ledger.insert(&row(at_ms, what), Bytes::from_static(THERE));
        *earliest_ms = (*earliest_ms).min(at_ms);
    }
}

impl<T: Table> State<T> {
    /// Ends what is due, and tells how many things; the time in `at` is the state's clock.
    pub(super) fn expire(&mut self, at: At) -> Result<u64, StoreError> {
        let due = due(&self.table, &self.first_deadline(), at.clock_ms)?;
        let of_keys = self.keep(at.clock_ms, |it| it.end_due(&due))?;
        let of_board = self.serve(at, |it| it.end_due(&due))?;
        if let Some((last_ms, what)) = due.last().filter(|_| at.clock_ms < u64::MAX) {
            self.passed = row(*last_ms, what);
        }
        self.meta.kv.earliest_ms = first(&self.table, &self.first_deadline())?;
        Ok(of_keys + of_board)
    }

    /// No deadline stands before this row key. When many things end at one time, one entry after the
    /// other goes on where the last one stopped: else each would step over all that those before it
    /// have ended.
    fn first_deadline(&self) -> Vec<u8> {
        let earliest = row_key(table::DEADLINES, &self.meta.kv.earliest_ms.to_be_bytes());
        earliest.max(self.passed.clone())
    }
}

/// The first things that are due, of those from this row key on.
fn due(rows: &impl Rows, from: &[u8], now_ms: u64) -> Result<Vec<(u64, Mortal)>, StoreError> {
    let mut due = Vec::new();
    scan(rows, from, &mut |at_ms, what| {
        let go_on = at_ms <= now_ms && due.len() < ENDINGS_MAX;
        if go_on {
            due.push((at_ms, what));
        }
        go_on
    })?;
    Ok(due)
}

/// Whether a thing is still to end then: what ended before in the same entry may have taken it along.
pub(super) fn stands(rows: &impl Rows, at_ms: u64, what: &Mortal) -> Result<bool, StoreError> {
    Ok(rows.get(&row(at_ms, what))?.is_some())
}

/// When the first thing ends, of those from this row key on; `u64::MAX` when nothing does.
fn first(rows: &impl Rows, from: &[u8]) -> Result<u64, StoreError> {
    let mut first = u64::MAX;
    scan(rows, from, &mut |at_ms, _| {
        first = at_ms;
        false
    })?;
    Ok(first)
}

fn scan(
    rows: &impl Rows,
    from: &[u8],
    visit: &mut dyn FnMut(u64, Mortal) -> bool,
) -> Result<(), StoreError> {
    let to = end_of(&row_key(table::DEADLINES, &[]));
    scan_range(rows, from, &to, &mut |row, _| {
        let (at_ms, what) = decode(row)?;
        Ok(visit(at_ms, what))
    })
}

/// Row key of a deadline.
pub(super) fn row(at_ms: u64, what: &Mortal) -> Vec<u8> {
    let (kind, name) = match what {
        Mortal::Session(id) => (SESSION, &id.0[..]),
        Mortal::Key(key) => (KEY, &key[..]),
        Mortal::Delay(key) => (DELAY, &key[..]),
        Mortal::Login(id) => (LOGIN, &id[..]),
        Mortal::Limit(name) => (LIMIT, &name[..]),
    };
    let mut row = row_key(table::DEADLINES, &at_ms.to_be_bytes());
    row.push(kind);
    row.extend_from_slice(name);
    row
}

/// When ends what.
pub(super) fn decode(row: &[u8]) -> Result<(u64, Mortal), StoreError> {
    let damaged = || StoreError::damaged("row of a deadline: it is damaged");
    let rest = row.get(row_key(table::DEADLINES, &[]).len()..).ok_or_else(damaged)?;
    let (at, rest) = rest.split_first_chunk().ok_or_else(damaged)?;
    let (kind, name) = rest.split_first().ok_or_else(damaged)?;
    let what = match *kind {
        SESSION => Mortal::Session(Id128(name.try_into().map_err(|_| damaged())?)),
        KEY => Mortal::Key(Bytes::copy_from_slice(name)),
        DELAY => Mortal::Delay(Bytes::copy_from_slice(name)),
        LOGIN => Mortal::Login(name.try_into().map_err(|_| damaged())?),
        LIMIT => Mortal::Limit(Bytes::copy_from_slice(name)),
        _ => return Err(damaged()),
    };
    Ok((u64::from_be_bytes(*at), what))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn random_rows_never_panic(rest in any::<Vec<u8>>()) {
            let _ = decode(&rest);
            let _ = decode(&[&row_key(table::DEADLINES, &7u64.to_be_bytes())[..], &rest].concat());
        }
    }

    #[test]
    fn what_ends_earlier_stands_before() {
        let all = [
            Mortal::Session(Id128([3; 16])),
            Mortal::Key("k".into()),
            Mortal::Delay("k".into()),
            Mortal::Login([4; 32]),
            Mortal::Limit("l".into()),
        ];
        for what in &all {
            for (earlier, later) in [(0, 1), (255, 256), (1 << 32, u64::MAX)] {
                let rows = [earlier, later].map(|at_ms| row(at_ms, what));
                let from = row_key(table::DEADLINES, &later.to_be_bytes());
                assert!(rows[0] < from && from <= rows[1]);
                assert_eq!(decode(&rows[1]), Ok((later, what.clone())));
            }
        }
    }
}
