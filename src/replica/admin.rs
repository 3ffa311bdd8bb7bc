//! Requests about the cluster itself: handing over leadership, taking a member out.
//!
//! The leader carries them out and answers when it is done, not when it has begun: a transfer when
//! it does not lead any more, a removal when the configuration without the member is committed. Any
//! other node passes the request on. None is ever sent twice.

use super::message::AdminRequest;
use super::{Answer, Effects, PeerMessage};
use crate::error::{Certainty, Failure, Reason};
use crate::ids::Ticket;
use crate::raft::{Change, Micros, NEVER, Node, NodeId, Now, RoleKind};

/// Requests that may be under way here at once, of each kind: begun here, or asked of the leader.
const UNDER_WAY_MAX: usize = 64;

/// Who wants to be told.
enum Asker {
    Client(Ticket),
    Node(NodeId, u64),
}

/// A request that this node, leading, has begun.
struct Begun {
    asker: Asker,
    request: AdminRequest,
    deadline: Micros,
}

/// A request of a client of this node that the leader was asked for.
struct Asked {
    id: u64,
    ticket: Ticket,
    deadline: Micros,
    request: AdminRequest,
}

#[derive(Default)]
pub(super) struct Admin {
    begun: Vec<Begun>,
    /// Requests of own clients that the leader was asked for.
    asked: Vec<Asked>,
    last: u64,
}

impl Admin {
    /// A client of this node asks.
    pub fn ask(
        &mut self,
        node: &mut Node,
        now: Now,
        ticket: Ticket,
        deadline: Micros,
        request: AdminRequest,
        effects: &mut Effects,
    ) {
        match node.leader() {
            Some(leader) if leader == node.id() => {
                self.begin(node, now, Asker::Client(ticket), deadline, request, effects);
            }
            Some(_) if self.asked.len() >= UNDER_WAY_MAX => {
                let failure = Failure::not_applied(Reason::Busy);
                effects.answers.push((ticket, Answer::Failed(failure)));
            }
            Some(leader) => {
                self.last += 1;
                self.asked.push(Asked { id: self.last, ticket, deadline, request });
                effects.messages.push((leader, PeerMessage::Admin { id: self.last, request }));
            }
            None => {
                let failure = Failure::not_applied(Reason::NoLeader);
                effects.answers.push((ticket, Answer::Failed(failure)));
            }
        }
    }

    /// Another node passes a request of its client on.
    pub fn on_request(
        &mut self,
        node: &mut Node,
        now: Now,
        (from, id): (NodeId, u64),
        deadline: Micros,
        request: AdminRequest,
        effects: &mut Effects,
    ) {
        self.begin(node, now, Asker::Node(from, id), deadline, request, effects);
    }

    /// The leader has answered.
    pub fn on_done(&mut self, id: u64, result: Result<(), String>, effects: &mut Effects) {
        for asked in self.asked.extract_if(.., |asked| asked.id == id) {
            effects.answers.push((asked.ticket, answer(result.clone())));
        }
    }

    /// Answers what is done by now.
    pub fn run(&mut self, node: &Node, effects: &mut Effects) {
        for begun in std::mem::take(&mut self.begun) {
            match outcome(&begun.request, node) {
                Some(result) => tell(begun.asker, result, effects),
                None => self.begun.push(begun),
            }
        }
        // Whoever was taken out learns it, but can no longer be answered by the leader.
        let own_removal = AdminRequest::Remove(node.id());
        if node.removed().is_some() {
            for asked in self.asked.extract_if(.., |asked| asked.request == own_removal) {
                effects.answers.push((asked.ticket, Answer::Done));
            }
        }
    }

    /// Answers for everything whose time is over: it may still come to pass.
    pub fn expire(&mut self, now: Micros, effects: &mut Effects) {
        let unknown = || Answer::Failed(Failure::unknown(Reason::Deadline));
        let over = self.asked.extract_if(.., |asked| asked.deadline <= now);
        effects.answers.extend(over.map(|asked| (asked.ticket, unknown())));
        for begun in self.begun.extract_if(.., |begun| begun.deadline <= now) {
            // A node that asked has a deadline of its own.
            if let Asker::Client(ticket) = begun.asker {
                effects.answers.push((ticket, unknown()));
            }
        }
    }

    pub fn deadline(&self) -> Micros {
        let asked = self.asked.iter().map(|asked| asked.deadline);
        let begun = self.begun.iter().map(|begun| begun.deadline);
        asked.chain(begun).min().unwrap_or(NEVER)
    }

    fn begin(
        &mut self,
        node: &mut Node,
        now: Now,
        asker: Asker,
        deadline: Micros,
        request: AdminRequest,
        effects: &mut Effects,
    ) {
        let begun = if self.begun.len() >= UNDER_WAY_MAX {
            Err("too many such requests at once".to_owned())
        } else {
            match request {
                AdminRequest::Transfer(to) => {
                    node.transfer(now, to).map(|_| ()).map_err(|error| error.to_string())
                }
                AdminRequest::Remove(id) => node
                    .propose_change(now, Change::Remove(id), None)
                    .map(|_| ())
                    .map_err(|error| error.to_string()),
            }
        };
        match begun {
            Ok(()) => self.begun.push(Begun { asker, request, deadline }),
            Err(why) => tell(asker, Err(why), effects),
        }
    }
}

/// What came of a request, once it is clear.
fn outcome(request: &AdminRequest, node: &Node) -> Option<Result<(), String>> {
    let leads = node.role_kind() == RoleKind::Leader;
    match request {
        AdminRequest::Transfer(_) if !leads => Some(Ok(())),
        AdminRequest::Transfer(_) if !node.is_transferring() => {
            Some(Err("nobody took over in time; this node still leads".to_owned()))
        }
        AdminRequest::Remove(id) if !node.committed_configuration().1.members.contains_key(id) => {
            Some(Ok(()))
        }
        AdminRequest::Transfer(_) | AdminRequest::Remove(_) => None,
    }
}

fn tell(asker: Asker, result: Result<(), String>, effects: &mut Effects) {
    match asker {
        Asker::Client(ticket) => effects.answers.push((ticket, answer(result))),
        Asker::Node(from, id) => {
            effects.messages.push((from, PeerMessage::AdminDone { id, result }));
        }
    }
}

fn answer(result: Result<(), String>) -> Answer {
    match result {
        Ok(()) => Answer::Done,
        Err(why) => {
            let reason = Reason::Refused(why);
            Answer::Failed(Failure { certainty: Certainty::NotApplied, reason })
        }
    }
}
