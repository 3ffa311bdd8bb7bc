//! A transaction that only reads, done on this node's own state and not through the log.

use bytes::Bytes;

use crate::node::StoreError;
use crate::node::View;
use crate::state::kv::{self, Entry, Failed, Given, KvReply, Op, READ_MAX, Why};

/// What the operations come to, none of which may write.
///
/// # Errors
/// When the state cannot be read.
pub(super) fn run(view: &View, ops: &[Op]) -> Result<KvReply, StoreError> {
    let mut reading = Reading { view, read: 0 };
    let (mut given, mut failed) = (Vec::new(), Vec::new());
    for (number, op) in (0..).zip(ops) {
        match reading.run(op)? {
            Ok(entries) => given.extend(entries.into_iter().map(|(entry, read)| Given {
                op: number,
                entry,
                read,
            })),
            Err(why) => failed.push(Failed { op: number, key: op.key().clone(), why }),
        }
    }
    Ok(match failed.is_empty() {
        true => KvReply::Done { revision: 0, given },
        false => KvReply::Refused(failed),
    })
}

struct Reading<'a> {
    view: &'a View,
    /// Bytes read so far.
    read: usize,
}

/// The entries that an operation gives, and whether their values were read; or why it failed.
type Outcome = Result<Vec<(Entry, bool)>, Why>;

impl Reading<'_> {
    fn run(&mut self, op: &Op) -> Result<Outcome, StoreError> {
        let view = self.view;
        match op {
            Op::Get { key, or_empty } => Ok(match kv::get(view, key)? {
                None if !or_empty => Err(Why::Missing),
                entry => self.give(entry.unwrap_or_else(|| absent(key))),
            }),
            Op::GetTree { prefix } => self.tree(prefix),
            Op::CheckIndex { key, index } => Ok(match kv::get(view, key)? {
                None => Err(Why::Missing),
                Some(entry) if entry.modify != *index => Err(Why::Stale(entry.modify)),
                Some(entry) => Ok(vec![unread(entry)]),
            }),
            Op::CheckSession { key, session } => Ok(match kv::get(view, key)? {
                None => Err(Why::Missing),
                Some(entry) if entry.session != Some(*session) => {
                    Err(entry.session.map_or(Why::NotHeld, Why::Held))
                }
                Some(entry) => Ok(vec![unread(entry)]),
            }),
            Op::CheckNotExists { key } => Ok(match kv::get(view, key)? {
                None => Ok(Vec::new()),
                Some(_) => Err(Why::Exists),
            }),
            Op::Set { .. }
            | Op::Lock { .. }
            | Op::Unlock { .. }
            | Op::Delete { .. }
            | Op::DeleteTree { .. } => unreachable!("what writes goes through the log"),
        }
    }

    fn give(&mut self, entry: Entry) -> Outcome {
        self.read += kv::read_size(&entry.key, &entry.value);
        if self.read > READ_MAX { Err(Why::TooLarge) } else { Ok(vec![(entry, true)]) }
    }

    fn tree(&mut self, prefix: &Bytes) -> Result<Outcome, StoreError> {
        let mut found = Vec::new();
        kv::scan_rows(self.view, prefix, None, &mut |row| {
            self.read += kv::read_size(row.key, row.value);
            if self.read <= READ_MAX {
                found.push((row.to_entry(), true));
            }
            self.read <= READ_MAX
        })?;
        Ok(if self.read > READ_MAX { Err(Why::TooLarge) } else { Ok(found) })
    }
}

/// An entry whose value is not asked for, and not kept until the answer: it counts towards no bound.
fn unread(entry: Entry) -> (Entry, bool) {
    (Entry { value: Bytes::new(), ..entry }, false)
}

/// A key that is not there, as one that is empty.
fn absent(key: &Bytes) -> Entry {
    Entry {
        key: key.clone(),
        value: Bytes::new(),
        flags: 0,
        create: 0,
        modify: 0,
        lock_index: 0,
        session: None,
        expires_ms: None,
    }
}
