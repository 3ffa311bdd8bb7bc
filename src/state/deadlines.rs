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
use super::{row_key, table};
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

/// The first things that are due. Rows before `earliest_ms` are not there, but the store may have to
/// step over what they were.
pub(super) fn due(
    rows: &impl Rows,
    earliest_ms: u64,
    now_ms: u64,
) -> Result<Vec<(u64, Mortal)>, StoreError> {
    let mut due = Vec::new();
    scan(rows, earliest_ms, &mut |at_ms, what| {
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

/// When the first thing ends, of those that end at `earliest_ms` or later; `u64::MAX` when nothing does.
pub(super) fn first(rows: &impl Rows, earliest_ms: u64) -> Result<u64, StoreError> {
    let mut first = u64::MAX;
    scan(rows, earliest_ms, &mut |at_ms, _| {
        first = at_ms;
        false
    })?;
    Ok(first)
}

fn scan(
    rows: &impl Rows,
    earliest_ms: u64,
    visit: &mut dyn FnMut(u64, Mortal) -> bool,
) -> Result<(), StoreError> {
    let from = row_key(table::DEADLINES, &earliest_ms.to_be_bytes());
    let to = end_of(&row_key(table::DEADLINES, &[]));
    scan_range(rows, &from, &to, &mut |row, _| {
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
