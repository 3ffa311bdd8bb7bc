//! How a node becomes a member: it asks any member until the leader has admitted it.
//!
//! Idempotent by instance tag: a node that asks again, because the answer was lost or because its
//! address changed, gets its old id. A failed join never starts a cluster.

use std::time::Duration;

use bytes::Bytes;
use crossbeam_channel::Receiver;
use serde::{Deserialize, Serialize};

use super::FirstRoster;
use crate::ids::ClusterId;
use crate::raft::{Configuration, Index, MemberInfo, NodeId};
use crate::threads;
use crate::transport::guest::{self, CallError};
use crate::transport::{Hello, RefusalCode};

/// Version of the request's form.
const VERSION: u16 = 1;
/// Longest pause between two rounds of asking.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How long one member may take to answer.
const TIMEOUT: Duration = Duration::from_secs(8);
/// How often the asker follows "ask the leader" before it starts anew.
const REDIRECTS_MAX: usize = 3;

/// What a joiner says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinRequest {
    version: u16,
    /// Tag, name and addresses.
    pub info: MemberInfo,
    /// The id that it has already, when it asks only to have its new addresses noted: if that was
    /// taken out meanwhile, it must not be taken for a newcomer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<NodeId>,
}

impl JoinRequest {
    /// A newcomer's request in today's form.
    #[must_use]
    pub fn new(info: MemberInfo) -> Self {
        Self { version: VERSION, info, member: None }
    }

    /// The request as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        rmp_serde::to_vec(self).expect("plain data can be encoded")
    }

    /// Reads a request.
    ///
    /// # Errors
    /// A sentence for people when it is malformed or of a newer form.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let request: Self = rmp_serde::from_slice(bytes)
            .map_err(|error| format!("the join request cannot be read: {error}"))?;
        if request.version != VERSION {
            return Err(format!("join request of version {}: upgrade this node", request.version));
        }
        Ok(request)
    }
}

/// What a member answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JoinResponse {
    /// The asker is a member.
    Admitted {
        /// The cluster.
        cluster: ClusterId,
        /// Its recovery epoch.
        epoch: u32,
        /// The asker's node id.
        id: NodeId,
        /// Index of the configuration.
        index: Index,
        /// Everybody.
        configuration: Configuration,
        /// The leader that says so.
        by: NodeId,
        /// What its gossip believes of everybody, in gossip's own form.
        roster: Bytes,
    },
    /// Ask this peer address.
    Redirect(String),
    /// Ask again later.
    Retry(String),
    /// Never.
    Refused(String),
}

impl JoinResponse {
    /// The response as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        rmp_serde::to_vec(self).expect("plain data can be encoded")
    }
}

/// What came of joining.
#[derive(Clone, Debug)]
pub struct Admission {
    /// The cluster.
    pub cluster: ClusterId,
    /// Its recovery epoch.
    pub epoch: u32,
    /// This node's id.
    pub id: NodeId,
    /// Index of the configuration.
    pub index: Index,
    /// Everybody.
    pub configuration: Configuration,
    /// What the leader's gossip believes of them.
    pub roster: FirstRoster,
}

/// Why joining ended without an admission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JoinEnd {
    /// The node was told to stop.
    Stopped,
    /// A member refused for good, with its reason.
    Refused(String),
}

/// Asks the targets in turn, for ever, with growing pauses, until one admits this node.
///
/// # Errors
/// [`JoinEnd`]: told to stop through `stop`, or refused for good.
pub fn join(
    targets: &[String],
    hello: &dyn Fn() -> Hello,
    info: &MemberInfo,
    stop: &Receiver<()>,
) -> Result<Admission, JoinEnd> {
    let request = JoinRequest::new(info.clone());
    ask_until_admitted(targets, hello, &request, stop, "not joined yet")
}

/// `undone` says in the log what is still missing while nobody has agreed.
fn ask_until_admitted(
    targets: &[String],
    hello: &dyn Fn() -> Hello,
    request: &JoinRequest,
    stop: &Receiver<()>,
    undone: &str,
) -> Result<Admission, JoinEnd> {
    let mut pause = Duration::from_millis(100);
    let mut complaints = vec![String::new(); targets.len()];
    loop {
        for (target, complaint) in targets.iter().zip(&mut complaints) {
            match ask(target, hello, request) {
                Ok(admission) => return Ok(admission),
                Err(Trouble::Final(why)) => return Err(JoinEnd::Refused(why)),
                Err(Trouble::Passing(why)) => {
                    // One line per target and kind of trouble, not one per attempt.
                    if why != *complaint {
                        log::warn!("{undone}: {why}; asking again until it works");
                        *complaint = why;
                    }
                }
            }
        }
        match stop.recv_timeout(pause) {
            Err(crossbeam_channel::RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(_) => return Err(JoinEnd::Stopped),
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

enum Trouble {
    Passing(String),
    Final(String),
}

impl From<CallError> for Trouble {
    fn from(error: CallError) -> Self {
        let why = error.to_string();
        match error {
            CallError::Refused { refusal, .. }
                if !matches!(refusal.code, RefusalCode::NotJoined | RefusalCode::Busy) =>
            {
                Self::Final(why)
            }
            // A joiner may well be up before the one it joins; everything else may pass as well.
            _ => Self::Passing(why),
        }
    }
}

fn ask(
    target: &str,
    hello: &dyn Fn() -> Hello,
    request: &JoinRequest,
) -> Result<Admission, Trouble> {
    let mut target = target.to_owned();
    let request = request.encode();
    for _ in 0..=REDIRECTS_MAX {
        let bytes = guest::call(&target, hello(), &request, TIMEOUT).map_err(Trouble::from)?;
        let response = rmp_serde::from_slice(&bytes)
            .map_err(|_| Trouble::Passing(format!("{target} gave an answer that is no answer")))?;
        match response {
            JoinResponse::Admitted { cluster, epoch, id, index, configuration, by, roster } => {
                let roster = FirstRoster { from: by, encoded: roster };
                return Ok(Admission { cluster, epoch, id, index, configuration, roster });
            }
            JoinResponse::Redirect(leader) => target = leader,
            JoinResponse::Retry(why) => return Err(Trouble::Passing(format!("{target}: {why}"))),
            JoinResponse::Refused(why) => return Err(Trouble::Final(format!("{target}: {why}"))),
        }
    }
    Err(Trouble::Passing("the members disagree about who leads".to_owned()))
}

/// Lets the leader know about the new addresses of a member, by asking to join again under its old
/// tag, on a thread of its own and for as long as it takes.
pub fn announce(targets: Vec<String>, hello: Hello, info: MemberInfo) {
    let request = JoinRequest { member: Some(hello.from.node), ..JoinRequest::new(info) };
    let asker = move || {
        let (_never, stop) = crossbeam_channel::bounded(0);
        let undone = "the cluster has not been told this node's new addresses yet";
        match ask_until_admitted(&targets, &|| hello, &request, &stop, undone) {
            Ok(_) => log::info!("told the cluster about this node's new addresses"),
            Err(JoinEnd::Refused(why)) => {
                log::warn!("cannot tell the cluster this node's new addresses: {why}");
            }
            Err(JoinEnd::Stopped) => {}
        }
    };
    if let Err(error) = threads::spawn("announce", asker) {
        log::warn!("no thread to announce new addresses: {error}");
    }
}
