//! Clients, who remember what they were told.

use bowline::error::Certainty;
use bowline::ids::Ticket;
use bowline::raft::{Micros, NodeId};
use bowline::replica::{Answer, Request};
use bowline::state::{Command, Reply};
use rand::RngExt;

use super::locks::Errand;
use super::{Cluster, board};
use crate::checks::is_odd;
use crate::reference::{Query, Sought};

pub(super) const TIMEOUT_US: u64 = 3_000_000;
/// For so long a client's own key is known: a day, by a clock that may run a hundredth too fast.
const KEPT_US: u64 = 24 * 3_600_000_000 / 101 * 100;
/// Longest that an answer may take when all is calm: a few exchanges and disk writes, and less than a
/// heartbeat, which must not be what an answer waits for.
const PROMPT_US: u64 = 8_000;

#[derive(Debug)]
pub(super) enum Question {
    Write {
        url: String,
        /// Under a key of the client's own, which may have been used since then for the same.
        once: Option<Micros>,
    },
    Read {
        must_see: u64,
    },
    /// A write to the key-value store, perhaps under a key of the client's own.
    Store {
        must_see: u64,
        under: Option<String>,
        command: Command,
    },
    /// A read of it; nobody may be told a lower index than somebody was told before.
    Look {
        must_see: u64,
        query: Query,
        floor: u64,
    },
    Lock(Errand),
    /// Something done to the link board.
    Board {
        must_see: u64,
        errand: board::Errand,
    },
    /// A read of it.
    Browse {
        must_see: u64,
        sought: Sought,
    },
    Admin,
}

impl Cluster {
    /// A client asks some running node for something; joiners ask to be admitted.
    pub(super) fn ask(&mut self) {
        let Some(id) = self.some_machine_up() else { return };
        self.asked += 1;
        let ticket = Ticket { sink: u16::try_from(id).unwrap_or(u16::MAX), id: self.asked };
        let deadline = Micros(self.now.mono.0 + TIMEOUT_US);
        let asked = match self.rng.random_range(0..14) {
            0..=3 => self.ask_store(id),
            4..=5 => self.ask_for_locks(id),
            6..=9 => self.ask_board(id),
            _ => None,
        };
        let (request, question) = match asked {
            Some(asked) => asked,
            None => self.ask_links(),
        };
        self.questions.insert(ticket, (deadline, question));
        let joiners = self.joiners.clone();
        self.wake(id, |process, now| {
            process.replica.on_request(now, ticket, deadline, request);
            for (guest, info) in joiners {
                process.replica.on_join(now, guest, info);
            }
        });
    }

    /// What a client of the links asks for.
    fn ask_links(&mut self) -> (Request, Question) {
        if self.rng.random_bool(0.7) {
            let again = if self.rng.random_bool(0.1) { self.again.pop() } else { None };
            let (once, url) = match again {
                Some((since, url)) => (Some(since), url),
                None => {
                    let once = self.rng.random_bool(0.2).then_some(self.now.mono);
                    (once, format!("https://example.com/{}/{}", self.seed, self.asked))
                }
            };
            let command = Command::CreateLink { url: url.clone().into() };
            let command = if once.is_some() { under_own_key(&url, command) } else { command };
            (Request::Write(command.encode()), Question::Write { url, once })
        } else {
            let must_see = self.acknowledged_index;
            let names_it = self.rng.random_bool(0.2);
            let request = if names_it { Request::Applied(must_see) } else { Request::ReadIndex };
            (request, Question::Read { must_see })
        }
    }

    /// An answer that the applier has no part in.
    pub(super) fn on_answer(&mut self, ticket: Ticket, answer: Answer) {
        let question = self.answered(ticket);
        match (question, answer) {
            (Question::Write { url, once: None }, Answer::Failed(failure)) => {
                if failure.certainty == Certainty::NotApplied {
                    self.denied.insert(url);
                }
            }
            (Question::Admin, _) => {}
            (question, Answer::Failed(_)) => self.on_silence(question),
            (question, answer) => panic!("{question:?} was answered with {answer:?}"),
        }
    }

    /// A machine says what came of a write. What one says whose state is wrong binds nobody: until the
    /// audit finds it, its clients may be told another revision than the one that counts.
    pub(super) fn hear(&mut self, id: NodeId, ticket: Ticket, reply: Reply, index: u64) {
        if is_odd(&self.machines[&id]) {
            let question = self.answered(ticket);
            self.on_silence(question);
        } else {
            self.on_reply(ticket, reply, index);
        }
    }

    /// A client does not learn what became of its question.
    fn on_silence(&mut self, question: Question) {
        match question {
            Question::Write { url, once: Some(since) } => self.again.push((since, url)),
            Question::Store { under, command, .. } => self.on_store_silence(under, command),
            Question::Lock(errand) => self.on_lock_silence(&errand),
            Question::Board { errand, .. } => self.on_board_silence(errand),
            Question::Write { .. }
            | Question::Read { .. }
            | Question::Look { .. }
            | Question::Browse { .. }
            | Question::Admin => {}
        }
    }

    fn answered(&mut self, ticket: Ticket) -> Question {
        let (deadline, question) = self.questions.remove(&ticket).expect("answered once");
        let took = self.now.mono.0 + TIMEOUT_US - deadline.0;
        assert!(!self.prompt || took < PROMPT_US, "{question:?} took {took} µs");
        question
    }

    fn on_reply(&mut self, ticket: Ticket, reply: Reply, index: u64) {
        match self.answered(ticket) {
            Question::Write { url, once } => self.on_link_reply(url, once, reply, index),
            Question::Store { must_see, under, command } => {
                self.on_store_reply((must_see, under, command), reply, index);
            }
            Question::Lock(errand) => self.on_lock_reply(errand, reply, index),
            Question::Board { must_see, errand } => {
                self.on_board_reply(must_see, errand, reply, index);
            }
            question => panic!("{question:?} was answered as a write"),
        }
    }

    fn on_link_reply(&mut self, url: String, once: Option<Micros>, reply: Reply, index: u64) {
        let (reply, replayed) = match reply {
            Reply::Replayed(first) if once.is_some() => (*first, true),
            reply => (reply, false),
        };
        let Reply::Link { key, created } = reply else {
            // Its node was taken out before; the state remembers nothing of its sessions, and does
            // nothing for them.
            assert_eq!(reply, Reply::UnknownSession, "{url}");
            return;
        };
        let forgotten = once.is_some_and(|since| self.now.mono.0 >= since.0 + KEPT_US);
        assert!(created || forgotten, "{url} was done twice");
        if let (Some(since), false) = (once, replayed) {
            self.again.push((since, url.clone())); // a client that did not get the answer
        }
        let before = self.acknowledged.insert(url.clone(), key.clone());
        assert!(replayed || before.is_none() || forgotten, "{url} was done twice");
        assert!(before.is_none_or(|before| before == key), "{url} was told two keys");
        self.acknowledged_index = self.acknowledged_index.max(index);
    }

    pub(super) fn on_readable(&mut self, ticket: Ticket, applied: u64) {
        let must_see = match self.answered(ticket) {
            Question::Read { must_see } => must_see,
            Question::Look { must_see, query, floor } => {
                self.look(ticket, query, floor);
                must_see
            }
            Question::Browse { must_see, sought } => {
                self.browse(u64::from(ticket.sink), &sought);
                must_see
            }
            question => panic!("{question:?} was answered as a read"),
        };
        assert!(applied >= must_see, "a stale read: {applied} < {must_see}");
    }

    /// Whoever is not told by the deadline has been forgotten, which only a dead process may do; a
    /// slow applier is waited for.
    pub(super) fn give_up_on_silence(&mut self) {
        let grace = 10_000;
        let now = self.now.mono;
        let machines = &self.machines;
        let gone = self.questions.extract_if(.., |ticket, (deadline, question)| {
            let Some(process) = &machines[&u64::from(ticket.sink)].process else { return true };
            let late = process.stalled <= now && now.0 > deadline.0 + grace;
            assert!(
                !late || process.applies_for(*ticket),
                "{question:?} was left without an answer"
            );
            false
        });
        for (_, (_, question)) in gone.collect::<Vec<_>>() {
            self.on_silence(question);
        }
    }
}

/// The command as a client sends it that wants to be able to repeat it.
pub(super) fn under_own_key(key: &str, command: Command) -> Command {
    Command::Once { key: key.to_owned(), hash: [7; 32], command: Box::new(command) }
}
