//! Many keys, a few at a time.
//!
//! A listing may be of any size, and the thread that makes it has other connections to serve. So a
//! scan goes on in slices, each of which starts where the one before ended, over one view: what it
//! gives in all is the state as of one moment, however long it takes.

use bytes::Bytes;

use crate::node::{Rows, StoreError, View};
use crate::state::kv::{self, Entry};

/// All keys with a prefix, in byte order, as of one view.
pub(in crate::http) struct PrefixScan<R = View> {
    rows: R,
    prefix: Bytes,
    /// The last key that was given.
    after: Option<Bytes>,
}

impl<R: Rows> PrefixScan<R> {
    /// A scan that has given nothing yet.
    pub fn new(rows: R, prefix: Bytes) -> Self {
        Self { rows, prefix, after: None }
    }

    /// Gives the next keys to `visit`: at most `rows_max` (at least one) of them, and none after keys
    /// and values of `bytes_max` bytes. Returns whether those were the last; if so, it is not called
    /// again.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn slice(
        &mut self,
        rows_max: usize,
        bytes_max: usize,
        visit: &mut dyn FnMut(Entry),
    ) -> Result<bool, StoreError> {
        let (mut rows, mut bytes) = (0, 0);
        let mut last = None;
        let mut done = true;
        kv::scan(&self.rows, &self.prefix, self.after.as_deref(), &mut |entry| {
            rows += 1;
            bytes += entry.key.len() + entry.value.len();
            last = Some(entry.key.clone());
            visit(entry);
            done = rows < rows_max && bytes < bytes_max;
            done
        })?;
        self.after = last.or_else(|| self.after.take());
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ClusterId, WriteId};
    use crate::state::{At, Command, State};
    use crate::storage::MemoryStore;

    const KEYS: [&str; 7] = ["a", "b", "b/", "b/1", "b/2", "b/3", "c"];

    /// A store with these keys, each with a value of ten bytes.
    fn store() -> MemoryStore {
        let mut state = State::new(MemoryStore::default(), ClusterId::default());
        let mut apply = |index, write, command: Command| {
            let at = At { index, term: 1, clock_ms: index, wall_ms: 0 };
            state.apply_command(at, write, &command.encode()).unwrap();
        };
        let none = WriteId { session: 0, seq: 0, floor: 0 };
        apply(1, none, Command::RegisterSession { node: 1, nonce: 1 });
        let set = |key: &'static str| kv::Op::Set {
            key: key.into(),
            value: "0123456789".into(),
            flags: 0,
            ttl_ms: None,
            when: kv::When::Always,
        };
        let ops = KEYS.into_iter().map(set).collect();
        apply(2, WriteId { session: 1, seq: 1, floor: 1 }, Command::Kv { ops });
        state.into_table()
    }

    /// The keys with a prefix, by slices.
    fn slices(prefix: &'static str, rows_max: usize, bytes_max: usize) -> Vec<Vec<Bytes>> {
        let mut scan = PrefixScan::new(store(), prefix.into());
        let mut slices = Vec::new();
        loop {
            let mut slice = Vec::new();
            let done = scan.slice(rows_max, bytes_max, &mut |entry| slice.push(entry.key)).unwrap();
            slices.push(slice);
            if done {
                return slices;
            }
        }
    }

    #[test]
    fn all_keys_come_once_and_in_order_whatever_the_slices() {
        for rows_max in 1..=8 {
            for (prefix, wanted) in [("", &KEYS[..]), ("b/", &KEYS[2..6]), ("c", &KEYS[6..])] {
                let slices = slices(prefix, rows_max, usize::MAX);
                assert!(slices.iter().all(|slice| slice.len() <= rows_max));
                assert_eq!(slices.concat(), wanted, "{prefix:?} by {rows_max}");
            }
        }
        assert_eq!(slices("none", 1, 1), [Vec::<Bytes>::new()]);
    }

    #[test]
    fn a_slice_ends_when_it_has_bytes_enough() {
        // The first two keys come to 11 bytes each.
        assert_eq!(slices("", usize::MAX, 12)[0], ["a", "b"]);
        assert!(slices("", usize::MAX, 1).iter().all(|slice| slice.len() <= 1));
        assert_eq!(slices("", usize::MAX, usize::MAX).len(), 1);
    }
}
