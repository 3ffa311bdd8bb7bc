//! The raft thread's dealings with nodes that want to join.

use std::net::SocketAddr;

use super::driver::{Control, Driver};
use crate::membership::{JoinRequest, JoinResponse};
use crate::raft::RoleKind;
use crate::replica::{GuestId, JoinReply};

impl Driver {
    /// A node wants to join: the leader dials it back first, others send it on.
    pub(super) fn on_guest(&mut self, guest: GuestId, from: SocketAddr, body: &[u8]) {
        let request = match JoinRequest::decode(body) {
            Ok(request) => request,
            Err(why) => {
                log::warn!("{}: refused a join request from {from}: {why}", self.who());
                self.answer(guest, &JoinResponse::Refused(why));
                return;
            }
        };
        if self.replica.node().role_kind() != RoleKind::Leader {
            self.replica.send_on(guest);
            return;
        }
        let who = self.who();
        let known = &self.replica.node().configuration().members;
        if let Some(id) = request.member.filter(|id| !known.contains_key(id)) {
            log::warn!("{who}: refused a join request from {from}: n{id} was taken out");
            let why = format!("n{id} was taken out of the cluster");
            self.answer(guest, &JoinResponse::Refused(why));
            return;
        }
        let (name, peer) = (&request.info.name, &request.info.peer);
        log::info!("{who}: {name} at {peer} asks to join; dialling it back");
        let (dial_back, transport) = (&self.dial_back, self.outputs.transport.clone());
        let started = dial_back.start(request.info, move |outcome| match outcome {
            Ok(info) => Some(Control::JoinVerified(guest, info)),
            Err(why) => {
                log::warn!("{who}: refused a join request from {from}: {why}");
                transport.answer(guest, JoinResponse::Refused(why).encode().into());
                None
            }
        });
        if !started {
            let busy = "too many nodes join at once".to_owned();
            self.answer(guest, &JoinResponse::Retry(busy));
        }
    }

    fn answer(&self, guest: GuestId, response: &JoinResponse) {
        self.outputs.transport.answer(guest, response.encode().into());
    }

    /// Tells a joiner what became of its request.
    pub(super) fn answer_guest(&self, guest: GuestId, reply: JoinReply) {
        let response = self.join_response(reply);
        self.answer(guest, &response);
    }

    fn join_response(&self, reply: JoinReply) -> JoinResponse {
        match reply {
            JoinReply::Admitted { id, index, configuration } => {
                log::info!("{}: n{id} is a member as of configuration {index}", self.who());
                JoinResponse::Admitted {
                    cluster: self.cluster,
                    epoch: self.epoch,
                    id,
                    index,
                    configuration,
                    by: self.replica.node().id(),
                    roster: self.roster.encoded(),
                }
            }
            JoinReply::Redirect(leader) => JoinResponse::Redirect(leader),
            JoinReply::Retry(why) => JoinResponse::Retry(why),
            JoinReply::Refused(why) => JoinResponse::Refused(why),
        }
    }
}
