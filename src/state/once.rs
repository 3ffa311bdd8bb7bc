//! Writes that a client put under a key of its own (`Idempotency-Key`): each is done once, and every
//! repetition is told what the first one was told.
//!
//! The session layer ([`Writes`](super::Writes)) makes a *node's* sendings harmless, and its memory
//! ends with the process. What a client sends again itself, minutes later and to another node, is a new
//! write to that layer; only the client can say that it is the same. So its key is remembered here, in
//! rows: part of the digest and of every snapshot, and never in memory as a whole.
//!
//! A key is forgotten when it is [`Limits::age_ms`] old by the state's clock, which is the cluster's but
//! for what restores have shifted it by ([`Counters::now`](super::kv::Counters::now)), or when more than
//! [`Limits::keys`] are known, the oldest first. Both are decided by what stands in the log, so every
//! node forgets the same keys at the same entry. An entry removes at most [`REMOVALS_MAX`] of them, so
//! that none takes long; a key that is old enough counts as unknown even while its row still stands.
//! What reads goes under no key ([`Command::fits_under_key`](super::Command::fits_under_key)), so what is
//! kept of a reply is small.
//!
//! The order of first use is a queue with dense numbers: its rows are found by number, without a
//! search among rows that are gone. When an overdue key is used again, its row is written anew under a
//! new number; the old number then leads to a row that does not know it, and is dropped alone.
//!
//! Rows, little-endian but for numbers in row keys:
//!
//! | row of a key   | bytes | meaning                                         |
//! |----------------|------:|-------------------------------------------------|
//! | key            |       | table [`table::ONCE`], the client's key         |
//! | value          |     1 | version: 1                                      |
//! |                |     8 | its number in the queue                         |
//! |                |     8 | state's clock at its first use, in ms           |
//! |                |    32 | hash of the request                             |
//! |                |  rest | the reply, MessagePack                          |
//!
//! | row of a place | bytes | meaning                                         |
//! |----------------|------:|-------------------------------------------------|
//! | key            |     8 | table [`table::ONCE_ORDER`], number, big-endian |
//! | value          |     8 | state's clock at the key's first use, in ms     |
//! |                |  rest | the client's key                                |

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::ledger::Ledger;
use super::{Reply, row_key, table};
use crate::storage::{Rows, StoreError, Table};

/// Keys that one entry forgets at most. More than one, or a backlog would never shrink.
const REMOVALS_MAX: usize = 8;

const VERSION: u8 = 1;
const HEADER_LEN: usize = 49;

/// How long, and how many, keys are remembered. Protocol: the same on every node.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Milliseconds of cluster time from a key's first use until it is forgotten.
    pub age_ms: u64,
    /// Keys known at the same time; at least 1.
    pub keys: u64,
}

impl Limits {
    /// The limits in force: a day, and a million.
    pub const DEFAULT: Self = Self { age_ms: 24 * 3600 * 1000, keys: 1_000_000 };

    fn are_over(self, first_use_ms: u64, now_ms: u64) -> bool {
        now_ms.saturating_sub(first_use_ms) >= self.age_ms
    }
}

/// The queue of keys in the order of their first use: what of it is not rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    /// Number of the oldest; that of the next new one when there are none.
    pub(super) first: u64,
    /// Number that the next new one gets.
    pub(super) next: u64,
    /// When the oldest was used first, in ms of the cluster clock; 0 when there are none.
    pub(super) oldest_ms: u64,
}

/// What is remembered under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    number: u64,
    first_use_ms: u64,
    hash: [u8; 32],
    reply: Reply,
}

impl Kept {
    /// What a repetition of the request with this hash is told.
    pub(super) fn answer(self, hash: &[u8; 32]) -> Reply {
        if self.hash == *hash { Reply::Replayed(Box::new(self.reply)) } else { Reply::KeyReused }
    }
}

/// What is remembered under a client's key at this time, if anything.
///
/// # Errors
/// When the store cannot be read or the row in it is damaged.
pub(super) fn find(
    rows: &impl Rows,
    key: &str,
    now_ms: u64,
    limits: Limits,
) -> Result<Option<Kept>, StoreError> {
    let Some(row) = rows.get(&key_row(key.as_bytes()))? else { return Ok(None) };
    let kept = decode(&row)?;
    Ok((!limits.are_over(kept.first_use_ms, now_ms)).then_some(kept))
}

impl Queue {
    /// How many keys have a place in it.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.next - self.first
    }

    /// Whether no key has a place in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Remembers what was said to the first use of a key; [`find`] has just found nothing there.
    pub(super) fn remember(
        &mut self,
        ledger: &mut Ledger<'_, impl Table>,
        key: &str,
        hash: &[u8; 32],
        now_ms: u64,
        reply: &Reply,
    ) -> Result<(), StoreError> {
        let number = self.next;
        self.next += 1;
        if self.len() == 1 {
            self.oldest_ms = now_ms;
        }
        let kept = Kept { number, first_use_ms: now_ms, hash: *hash, reply: reply.clone() };
        // There is an old row when its time is over and its turn to be removed has not come.
        ledger.replace(&key_row(key.as_bytes()), encode(&kept))?;
        let mut place = now_ms.to_le_bytes().to_vec();
        place.extend_from_slice(key.as_bytes());
        ledger.insert(&place_row(number), place.into());
        Ok(())
    }

    /// Forgets the oldest keys while they are too old or too many, a few at a time.
    pub(super) fn trim(
        &mut self,
        ledger: &mut Ledger<'_, impl Table>,
        now_ms: u64,
        limits: Limits,
    ) -> Result<(), StoreError> {
        for _ in 0..REMOVALS_MAX {
            let overdue = !self.is_empty() && limits.are_over(self.oldest_ms, now_ms);
            if !overdue && self.len() <= limits.keys {
                break;
            }
            self.forget_oldest(ledger)?;
        }
        Ok(())
    }

    fn forget_oldest(&mut self, ledger: &mut Ledger<'_, impl Table>) -> Result<(), StoreError> {
        let (_, key) = self.place(ledger, self.first)?;
        let key_row = key_row(&key);
        if let Some(row) = ledger.get(&key_row)?
            && decode(&row)?.number == self.first
        {
            ledger.delete(&key_row)?;
        }
        ledger.delete(&place_row(self.first))?;
        self.first += 1;
        self.oldest_ms = if self.is_empty() { 0 } else { self.place(ledger, self.first)?.0 };
        Ok(())
    }

    /// (first use, key) of the place with this number, which is in the queue.
    fn place(
        &self,
        ledger: &Ledger<'_, impl Table>,
        number: u64,
    ) -> Result<(u64, Bytes), StoreError> {
        let damaged =
            |what: &str| StoreError::damaged(format!("row of idempotency key {number}: {what}"));
        let row = ledger.get(&place_row(number))?.ok_or_else(|| damaged("it is not there"))?;
        let (clock, _) = row.split_first_chunk().ok_or_else(|| damaged("it is cut short"))?;
        Ok((u64::from_le_bytes(*clock), row.slice(8..)))
    }
}

fn key_row(key: &[u8]) -> Vec<u8> {
    row_key(table::ONCE, key)
}

fn place_row(number: u64) -> Vec<u8> {
    row_key(table::ONCE_ORDER, &number.to_be_bytes())
}

fn encode(kept: &Kept) -> Bytes {
    let mut row = Vec::with_capacity(HEADER_LEN + 32);
    row.push(VERSION);
    row.extend_from_slice(&kept.number.to_le_bytes());
    row.extend_from_slice(&kept.first_use_ms.to_le_bytes());
    row.extend_from_slice(&kept.hash);
    rmp_serde::encode::write(&mut row, &kept.reply).expect("a Vec takes every plain value");
    row.into()
}

fn decode(row: &[u8]) -> Result<Kept, StoreError> {
    let damaged = |what: &str| StoreError::damaged(format!("row of an idempotency key: {what}"));
    let Some((header, reply)) = row.split_first_chunk::<HEADER_LEN>() else {
        return Err(damaged("it is cut short"));
    };
    if header[0] != VERSION {
        return Err(damaged(&format!("version {} is not known", header[0])));
    }
    let number = |at: usize| {
        u64::from_le_bytes(header[at..at + 8].try_into().expect("eight bytes were asked for"))
    };
    Ok(Kept {
        number: number(1),
        first_use_ms: number(9),
        hash: header[17..].try_into().expect("the rest of the header is the hash"),
        reply: rmp_serde::from_slice(reply).map_err(|error| damaged(&error.to_string()))?,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, VecDeque};

    use proptest::prelude::*;

    use super::super::digest::{Digest, rows_digest};
    use super::*;
    use crate::storage::MemoryStore;

    const LIMITS: Limits = Limits { age_ms: 100, keys: 12 };

    /// A queue with its rows.
    #[derive(Default)]
    struct Fixture {
        rows: MemoryStore,
        digest: Digest,
        queue: Queue,
    }

    impl Fixture {
        /// A write at this time, as the state does it; tells whether the key was unknown.
        fn write(&mut self, key: &str, now_ms: u64) -> bool {
            let known = find(&self.rows, key, now_ms, LIMITS).unwrap();
            let mut ledger = Ledger::new(&mut self.rows, &mut self.digest);
            if known.is_none() {
                let reply = Reply::Session(now_ms);
                self.queue.remember(&mut ledger, key, &[7; 32], now_ms, &reply).unwrap();
            }
            self.queue.trim(&mut ledger, now_ms, LIMITS).unwrap();
            known.is_none()
        }

        fn sweep(&mut self, now_ms: u64) {
            let mut ledger = Ledger::new(&mut self.rows, &mut self.digest);
            self.queue.trim(&mut ledger, now_ms, LIMITS).unwrap();
        }

        fn rows(&self) -> usize {
            let mut count = 0;
            let count_one = &mut |_: &[u8], _: &[u8]| {
                count += 1;
                true
            };
            self.rows.scan(&[], None, count_one).unwrap();
            count
        }
    }

    #[test]
    fn the_oldest_goes_when_there_are_too_many() {
        let mut fixture = Fixture::default();
        for n in 0..=LIMITS.keys {
            assert!(fixture.write(&n.to_string(), 1));
        }
        assert_eq!(fixture.queue.len(), LIMITS.keys);
        assert!(!fixture.write("1", 1));
        assert!(fixture.write("0", 1), "it was forgotten");
        assert!(fixture.write("1", 1), "and now this one");
    }

    #[test]
    fn a_backlog_goes_a_few_at_a_time_and_counts_as_gone_at_once() {
        let mut fixture = Fixture::default();
        for n in 0..LIMITS.keys {
            fixture.write(&n.to_string(), 1);
        }
        fixture.sweep(100);
        assert_eq!(fixture.queue.len(), LIMITS.keys, "not yet");
        assert!(fixture.write("11", 101));
        assert_eq!(fixture.queue.len(), LIMITS.keys + 1 - REMOVALS_MAX as u64);
        assert!(fixture.write("10", 101), "its row still stands");
        assert_eq!(fixture.queue.len(), 2);
        assert!(!fixture.write("10", 102), "its new row outlived its old place");
        assert_eq!(fixture.rows(), 4);
        fixture.sweep(201);
        assert_eq!((fixture.rows(), fixture.queue.oldest_ms), (0, 0));
        assert_eq!(fixture.digest, Digest::default());
    }

    #[test]
    fn damaged_rows_are_errors() {
        let mut fixture = Fixture::default();
        fixture.write("a", 1);
        for row in [&b""[..], &[1; 20], &[2; 60], &[1; 60]] {
            fixture.rows.put(&key_row(b"a"), Bytes::copy_from_slice(row));
            find(&fixture.rows, "a", 1, LIMITS).unwrap_err();
        }
        fixture.rows.delete(&place_row(0));
        let mut ledger = Ledger::new(&mut fixture.rows, &mut fixture.digest);
        fixture.queue.trim(&mut ledger, 500, LIMITS).unwrap_err();
    }

    proptest! {
        /// Against a model that forgets at once: whatever comes, a key is known exactly when it is
        /// in the model, the digest is that of the rows, and nothing is left behind.
        #[test]
        fn a_key_is_known_until_its_time_or_its_place_is_over(
            writes in prop::collection::vec((0u8..30, 0u64..40), 0..200),
        ) {
            let mut fixture = Fixture::default();
            let mut model: BTreeMap<String, u64> = BTreeMap::new();
            let mut order: VecDeque<(String, u64)> = VecDeque::new();
            let mut now = 0;
            for (key, pause) in writes {
                now += pause;
                let key = key.to_string();
                model.retain(|_, used| now - *used < LIMITS.age_ms);
                prop_assert_eq!(fixture.write(&key, now), !model.contains_key(&key));
                if !model.contains_key(&key) {
                    model.insert(key.clone(), now);
                    order.push_back((key, now));
                }
                // The queue counts places, those of keys that are overdue as well.
                while order.len() as u64 > fixture.queue.len() {
                    let (key, used) = order.pop_front().unwrap();
                    if model.get(&key) == Some(&used) {
                        model.remove(&key);
                    }
                }
                prop_assert!(fixture.queue.len() <= LIMITS.keys);
                let computed = rows_digest(&fixture.rows, &mut |_, _| true).unwrap();
                prop_assert_eq!(computed, Some(fixture.digest));
            }
            now += LIMITS.age_ms;
            for _ in 0..2 {
                fixture.sweep(now);
            }
            prop_assert_eq!((fixture.rows(), fixture.digest), (0, Digest::default()));
        }
    }
}
