//! Many keys, a few at a time.
//!
//! A listing may be of any size, and the thread that makes it has other connections to serve. So a
//! scan goes on in slices, each of which starts where the one before ended, over one view: what it
//! gives in all is the state as of one moment, however long it takes.

use bytes::Bytes;

use crate::state::kv::{self, Entry};
use crate::storage::{Rows, StoreError, View};

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
