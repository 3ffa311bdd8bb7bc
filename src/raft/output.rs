//! What the node wants done, collected until its caller asks.

use super::event::Event;
use super::message::{Envelope, Message};
use super::ready::{Fetch, HardState, LogRead, ReadState};

/// Events that are kept for a caller that does not take them; further ones are dropped.
const EVENTS_MAX: usize = 4096;

/// Effects that wait to be handed out.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Output {
    /// Term and vote as they were last handed out (or read from disk).
    pub(super) hard_state: HardState,
    /// Messages that may leave at once.
    pub(super) messages: Vec<Envelope>,
    /// Messages for when the next write is durable.
    pub(super) released: Vec<Envelope>,
    pub(super) read_states: Vec<ReadState>,
    pub(super) log_reads: Vec<LogRead>,
    /// A state to fetch.
    pub(super) fetch: Option<Fetch>,
    /// That the node recovered is to be written.
    pub(super) recovered: bool,
    pub(super) events: Vec<Event>,
}

impl Output {
    pub(super) fn new(hard_state: HardState) -> Self {
        Self {
            hard_state,
            messages: Vec::new(),
            released: Vec::new(),
            read_states: Vec::new(),
            log_reads: Vec::new(),
            fetch: None,
            recovered: false,
            events: Vec::new(),
        }
    }

    /// Attaches a message to the next write. Of acknowledgements to one leader only the furthest is
    /// kept: it says what the others say.
    pub(super) fn release(&mut self, envelope: Envelope) {
        if let Message::AppendAccepted { match_index: new } = &envelope.message {
            for other in &mut self.released {
                if let Message::AppendAccepted { match_index } = &mut other.message
                    && (other.to, other.term) == (envelope.to, envelope.term)
                {
                    *match_index = (*match_index).max(*new);
                    return;
                }
            }
        }
        self.released.push(envelope);
    }

    /// Takes back the acknowledgements that wait for the next write: the log that they speak of goes
    /// with it.
    pub(super) fn take_back_acknowledgements(&mut self) {
        self.released.retain(|envelope| {
            !matches!(envelope.message, Message::AppendAccepted { .. } | Message::Holds { .. })
        });
    }

    pub(super) fn event(&mut self, event: Event) {
        if self.events.len() < EVENTS_MAX {
            self.events.push(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_to_one_leader_in_one_write_are_merged() {
        let ack = |to, term, match_index| Envelope {
            from: 9,
            to,
            term,
            message: Message::AppendAccepted { match_index },
        };
        let mut output = Output::new(HardState::default());
        for envelope in [ack(1, 2, 5), ack(1, 2, 7), ack(1, 2, 6), ack(2, 3, 1)] {
            output.release(envelope);
        }
        assert_eq!(output.released, [ack(1, 2, 7), ack(2, 3, 1)]);
    }

    #[test]
    fn only_acknowledgements_are_taken_back() {
        let held = |message| Envelope { from: 9, to: 1, term: 2, message };
        let vote = held(Message::VoteResponse { granted: true });
        let mut output = Output::new(HardState::default());
        output.release(held(Message::AppendAccepted { match_index: 4 }));
        output.release(vote.clone());
        output.release(held(Message::Holds { index: 4, term: 2, nonce: 0 }));
        output.take_back_acknowledgements();
        assert_eq!(output.released, [vote]);
    }
}
