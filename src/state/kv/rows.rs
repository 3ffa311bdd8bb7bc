//! Rows of the store: where they stand and how they look.
//!
//! | table       | key within the table          | value                                      |
//! |-------------|-------------------------------|--------------------------------------------|
//! | `KEYS`      | the key                       | see below                                  |
//! | `MARKS`     | a removed key                 | revision, number of its mark               |
//! | `MARK_ORDER`| number of a mark              | revision, the key                          |
//! | `SESSIONS`  | session id                    | a version byte, [`Session`] as MessagePack |
//! | `LOCKS`     | session id, the key it holds  | a version byte                             |
//! | `DELAYS`    | a key whose lock is delayed   | when that ends                             |
//!
//! Numbers are `u64`, big-endian in keys and little-endian in values; values begin with a version byte,
//! which is 1. A key's value, behind the version:
//!
//! | bytes | meaning                                                     |
//! |------:|-------------------------------------------------------------|
//! |     1 | 1 when a session holds its lock, plus 2 when it goes by itself |
//! |    32 | flags, create, modify, lock index                           |
//! |    16 | the session, when one holds its lock                        |
//! |     8 | when it goes by itself, when it does                        |
//! |  rest | the value                                                   |

use bytes::Bytes;

use super::{Entry, Session, SessionId};
use crate::ids::Id128;
use crate::state::{row_key, table};
use crate::storage::StoreError;

const VERSION: u8 = 1;
/// The value of a row that says everything by being there.
pub(super) const THERE: &[u8] = &[VERSION];

/// [`THERE`], to be written.
pub(super) fn there() -> Bytes {
    Bytes::from_static(THERE)
}

const HELD: u8 = 1;
const ENDS: u8 = 2;

/// What a key's row says besides its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// As in [`Entry`].
    pub flags: u64,
    /// As in [`Entry`].
    pub create: u64,
    /// As in [`Entry`].
    pub modify: u64,
    /// As in [`Entry`].
    pub lock_index: u64,
    /// As in [`Entry`].
    pub session: Option<SessionId>,
    /// As in [`Entry`].
    pub expires_ms: Option<u64>,
}

/// A key as it stands in the store, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row<'a> {
    /// The key.
    pub key: &'a [u8],
    /// What is known of it.
    pub head: Head,
    /// Its value.
    pub value: &'a [u8],
}

impl Row<'_> {
    /// The same, owned.
    #[must_use]
    pub fn to_entry(&self) -> Entry {
        entry(Bytes::copy_from_slice(self.key), self.head, Bytes::copy_from_slice(self.value))
    }
}

fn entry(key: Bytes, head: Head, value: Bytes) -> Entry {
    let Head { flags, create, modify, lock_index, session, expires_ms } = head;
    Entry { key, value, flags, create, modify, lock_index, session, expires_ms }
}

/// Row key of a key, or what the row keys of all keys with a prefix begin with.
#[must_use]
pub fn key_row(key: &[u8]) -> Vec<u8> {
    row_key(table::KEYS, key)
}

/// The key in a key's row key; none when it is the row of something else.
#[must_use]
pub fn key_of_row(row: &[u8]) -> Option<&[u8]> {
    row.strip_prefix(&key_row(&[])[..])
}

/// Row key of a session.
#[must_use]
pub fn session_row(id: &SessionId) -> Vec<u8> {
    row_key(table::SESSIONS, &id.0)
}

/// What the row keys of all sessions begin with.
#[must_use]
pub fn sessions_prefix() -> Vec<u8> {
    row_key(table::SESSIONS, &[])
}

pub(super) fn mark_row(key: &[u8]) -> Vec<u8> {
    row_key(table::MARKS, key)
}

pub(super) fn mark_order_row(number: u64) -> Vec<u8> {
    row_key(table::MARK_ORDER, &number.to_be_bytes())
}

pub(super) fn lock_row(session: &SessionId, key: &[u8]) -> Vec<u8> {
    let mut row = row_key(table::LOCKS, &session.0);
    row.extend_from_slice(key);
    row
}

pub(super) fn delay_row(key: &[u8]) -> Vec<u8> {
    row_key(table::DELAYS, key)
}

pub(super) fn encode_entry(entry: &Entry) -> Bytes {
    let mut row = Vec::with_capacity(58 + entry.value.len());
    let held = entry.session.map_or(0, |_| HELD);
    let ends = entry.expires_ms.map_or(0, |_| ENDS);
    row.extend_from_slice(&[VERSION, held | ends]);
    for number in [entry.flags, entry.create, entry.modify, entry.lock_index] {
        row.extend_from_slice(&number.to_le_bytes());
    }
    if let Some(session) = entry.session {
        row.extend_from_slice(&session.0);
    }
    if let Some(expires_ms) = entry.expires_ms {
        row.extend_from_slice(&expires_ms.to_le_bytes());
    }
    row.extend_from_slice(&entry.value);
    row.into()
}

pub(super) fn decode_entry(key: Bytes, row: &Bytes) -> Result<Entry, StoreError> {
    let Row { head, value, .. } = decode_row(&key, row)?;
    let value = row.slice(row.len() - value.len()..);
    Ok(entry(key, head, value))
}

pub(super) fn decode_row<'a>(key: &'a [u8], row: &'a [u8]) -> Result<Row<'a>, StoreError> {
    let damaged = |why| damaged_row("key", key, why);
    let mut fields = Fields::new(row).ok_or_else(|| damaged("its version is not known"))?;
    let head = fields.head().ok_or_else(|| damaged("it is cut short or of an unknown kind"))?;
    Ok(Row { key, head, value: fields.0 })
}

pub(super) fn encode_mark(revision: u64, number: u64) -> Bytes {
    [THERE, &revision.to_le_bytes(), &number.to_le_bytes()].concat().into()
}

/// (revision, number) of the mark of a removed key.
pub(super) fn decode_mark(key: &[u8], row: &[u8]) -> Result<(u64, u64), StoreError> {
    let mark = Fields::new(row).and_then(|mut fields| Some((fields.u64()?, fields.u64()?)));
    mark.ok_or_else(|| damaged_row("removed key", key, "it is damaged"))
}

pub(super) fn encode_mark_order(revision: u64, key: &[u8]) -> Bytes {
    [THERE, &revision.to_le_bytes(), key].concat().into()
}

/// (revision, key) of the mark with a number.
pub(super) fn decode_mark_order(number: u64, row: &Bytes) -> Result<(u64, Bytes), StoreError> {
    let order = Fields::new(row).and_then(|mut fields| {
        let revision = fields.u64()?;
        Some((revision, row.slice(row.len() - fields.0.len()..)))
    });
    let number = number.to_string();
    order.ok_or_else(|| damaged_row("mark", number.as_bytes(), "it is damaged"))
}

pub(super) fn encode_delay(until_ms: u64) -> Bytes {
    [THERE, &until_ms.to_le_bytes()].concat().into()
}

pub(super) fn encode_session(session: &Session) -> Bytes {
    let mut row = THERE.to_vec();
    rmp_serde::encode::write(&mut row, session).expect("a Vec takes every plain value");
    row.into()
}

pub(super) fn decode_session(row: &[u8]) -> Result<Session, StoreError> {
    let damaged = |why: &str| StoreError::damaged(format!("row of a session: {why}"));
    let body = row.strip_prefix(THERE).ok_or_else(|| damaged("its version is not known"))?;
    rmp_serde::from_slice(body).map_err(|error| damaged(&error.to_string()))
}

fn damaged_row(what: &str, key: &[u8], why: &str) -> StoreError {
    StoreError::damaged(format!("row of {what} {}: {why}", key.escape_ascii()))
}

/// Takes numbers off the front of a value.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// Behind the version, if it is the known one.
    fn new(row: &'a [u8]) -> Option<Self> {
        row.strip_prefix(THERE).map(Self)
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn head(&mut self) -> Option<Head> {
        let [kind] = self.take()?;
        if kind & !(HELD | ENDS) != 0 {
            return None;
        }
        Some(Head {
            flags: self.u64()?,
            create: self.u64()?,
            modify: self.u64()?,
            lock_index: self.u64()?,
            session: if kind & HELD != 0 { Some(Id128(self.take()?)) } else { None },
            expires_ms: if kind & ENDS != 0 { Some(self.u64()?) } else { None },
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_entry() -> impl Strategy<Value = Entry> {
        let session = prop::option::of(any::<[u8; 16]>().prop_map(Id128));
        let (key, value) = (any::<Vec<u8>>(), any::<Vec<u8>>());
        (key, value, any::<[u64; 4]>(), session, any::<Option<u64>>()).prop_map(
            |(key, value, [flags, create, modify, lock_index], session, expires_ms)| {
                let head = Head { flags, create, modify, lock_index, session, expires_ms };
                entry(key.into(), head, value.into())
            },
        )
    }

    proptest! {
        #[test]
        fn an_entry_survives_its_bytes(entry in any_entry()) {
            let row = encode_entry(&entry);
            prop_assert_eq!(decode_entry(entry.key.clone(), &row), Ok(entry.clone()));
            let borrowed = decode_row(&entry.key, &row).unwrap();
            prop_assert_eq!(borrowed.to_entry(), entry.clone());
            let name = key_row(&entry.key);
            prop_assert_eq!(key_of_row(&name), Some(&entry.key[..]));
            for len in 0..row.len() - entry.value.len() {
                prop_assert!(decode_entry(entry.key.clone(), &row.slice(..len)).is_err());
            }
        }

        #[test]
        fn random_rows_never_panic(row in any::<Vec<u8>>()) {
            let versioned = Bytes::from([THERE, &row].concat());
            for row in [Bytes::from(row), versioned] {
                let _ = decode_entry(Bytes::new(), &row);
                let _ = decode_mark(b"key", &row);
                let _ = decode_mark_order(1, &row);
                let _ = decode_session(&row);
            }
        }
    }

    #[test]
    fn a_row_of_another_version_or_kind_is_damage_and_says_of_what() {
        for row in [&b""[..], b"\x02\0", b"\x01\x04", b"\x01\0short"] {
            let error = decode_entry("a\n".into(), &Bytes::copy_from_slice(row)).unwrap_err();
            assert!(error.to_string().contains("row of key a\\n"), "{error}");
        }
    }
}
