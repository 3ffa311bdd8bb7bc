//! What goes to the applier, and what comes back: committed entries in order, as far as its queue may
//! grow, and readers behind what they have to see.

use super::{LogRequest, Replica, Work, payload_len};
use crate::ids::WriteId;
use crate::raft::{Entry, Index, Now, Payload};

impl Replica {
    /// Entries came back from the log; empty when they are not there any more.
    pub fn on_log_read(&mut self, now: Now, request: LogRequest, entries: Vec<Entry>) {
        self.now = now;
        match request {
            LogRequest::Follower(read) => self.node.on_log_read(now, read, entries),
            LogRequest::Apply { first, .. } => {
                self.apply_read = false;
                if first == self.handed + 1 && self.install.is_idle() {
                    self.hand_over(entries);
                }
            }
        }
    }

    /// The applier has applied everything up to `applied`.
    pub fn on_applied(&mut self, applied: Index) {
        // A state that was just installed counts when the applier reports it, and not before.
        let installing = self.install.under_way().map(|it| it.index);
        if applied <= self.applied || (applied > self.handed && installing == Some(applied)) {
            return;
        }
        assert!(applied <= self.handed, "the applier is ahead of what it was given");
        self.applied = applied;
        while let Some((index, bytes)) = self.applying.front().copied() {
            if index > applied {
                break;
            }
            self.applying.pop_front();
            self.applying_bytes -= bytes;
        }
    }

    /// Hands committed and durable entries to the applier, as far as its queue is allowed to grow.
    pub(super) fn pump_apply(&mut self) {
        let limit = self.node.commit().min(self.node.durable());
        while self.handed < limit
            && self.applying_bytes < self.options.apply_bytes_max
            && !self.apply_read
            && self.install.is_idle()
        {
            let bytes_max = self.options.apply_batch_bytes;
            match self.node.entries(self.handed + 1, limit, bytes_max) {
                Some(entries) => self.hand_over(entries),
                None => {
                    self.apply_read = true;
                    let request =
                        LogRequest::Apply { first: self.handed + 1, last: limit, bytes_max };
                    self.effects.log_reads.push(request);
                }
            }
        }
    }

    fn hand_over(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            assert_eq!(entry.index, self.handed + 1, "entries are applied in order");
            self.handed = entry.index;
            self.notice_audit(entry.index, &entry.payload);
            let bytes = payload_len(&entry);
            self.applying.push_back((entry.index, bytes));
            self.applying_bytes += bytes;
            let ticket = match &entry.payload {
                Payload::Command(payload) => WriteId::split(payload)
                    .and_then(|(id, command)| self.writes.on_committed(id, command, entry.index)),
                Payload::Noop | Payload::Configuration(_) => None,
            };
            self.effects.work.push(Work::Entry(entry, ticket));
        }
    }

    pub(super) fn release_readers(&mut self) {
        if self.state_lost().is_some() {
            return;
        }
        let tickets = self.reads.readable(self.handed);
        if !tickets.is_empty() {
            self.effects.work.push(Work::Readable(tickets));
        }
    }
}
