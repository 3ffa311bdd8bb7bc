//! Server-sent events, as bytes (HTML standard, section 9.2).
//!
//! An `id:` says how far a reader has come: with it as `Last-Event-ID` it misses nothing. A round of
//! news tells keys in their own order and not in that of their revisions, so only its last event may
//! carry an id, and that is the revision up to which all has been told.

use super::entries::{Context, Detail, push_json, push_removed};
use crate::state::kv::Entry;

/// What is sent when there has been nothing to tell for a while, so that nobody takes the connection
/// for dead.
pub(super) const KEEP_ALIVE: &[u8] = b":\n\n";

/// Events on their way out, the last of which is not ended, since it may be that of its round.
#[derive(Debug, Default)]
pub(super) struct Events {
    out: Vec<u8>,
    open: bool,
}

impl Events {
    /// A key was set, or its lock changed.
    pub(super) fn put(&mut self, entry: &Entry, context: &Context, detail: Detail) {
        self.begin("put");
        push_json(&mut self.out, entry, context, detail);
        self.out.push(b'\n');
    }

    /// A key was removed.
    pub(super) fn removed(&mut self, key: &[u8], revision: u64) {
        self.begin("delete");
        push_removed(&mut self.out, key, revision);
        self.out.push(b'\n');
    }

    /// All that was told before is void; what follows is all there is.
    pub(super) fn reset(&mut self) {
        self.begin("reset");
        self.out.extend_from_slice(b"{}\n");
    }

    /// The round is over: all up to this revision has been told.
    pub(super) fn reached(&mut self, revision: u64) {
        self.out.extend_from_slice(format!("id: {revision}\n\n").as_bytes());
        self.open = false;
    }

    /// Whether there is an event that has not ended.
    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// Bytes that wait to be taken.
    pub(super) fn len(&self) -> usize {
        self.out.len()
    }

    /// Takes what is there to be sent. Events may be cut anywhere, so an open one goes too.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    fn begin(&mut self, kind: &str) {
        if self.open {
            self.out.push(b'\n');
        }
        self.open = true;
        self.out.extend_from_slice(format!("event: {kind}\ndata: ").as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_event_of_a_round_says_how_far_it_came() {
        let mut events = Events::default();
        events.reset();
        events.removed(b"a", 5);
        let first = events.take();
        events.removed(b"b", 4);
        events.reached(5);
        events.reached(9);
        let text = [first, events.take()].concat();
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "event: reset\ndata: {}\n\n\
             event: delete\ndata: {\"key\":\"a\",\"modify\":5}\n\n\
             event: delete\ndata: {\"key\":\"b\",\"modify\":4}\nid: 5\n\n\
             id: 9\n\n"
        );
    }
}
