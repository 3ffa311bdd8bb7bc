//! One way for all writes: into the log, and what the state said of it back to the client.

use std::fmt;

use super::{failed, refusal};
use crate::http::reply::Response;
use crate::http::service::{Service, Step};
use crate::http::step::Continue;
use crate::node::{Ask, Completion, Outcome};
use crate::state::{Command, Reply, Summary, VERSION_KV};

/// Bytes of the longest command: what an entry of the log may hold, less room for what goes with it.
const COMMAND_LEN_MAX: usize = (2 << 20) - 4096;

/// Does a command once, and goes on with what came of it.
pub(super) fn write(
    service: &Service,
    command: &Command,
    tell: impl FnOnce(Reply) -> Response + Send + 'static,
) -> Step {
    if !speaks_kv(service) {
        let why = "a member still runs an older version, which has no key-value store";
        return refusal(503, why).into();
    }
    let command = command.encode();
    if command.len() > COMMAND_LEN_MAX {
        let size = command.len();
        let text = format!(
            "Request is too large as a whole ({size} > {COMMAND_LEN_MAX} bytes in the log)"
        );
        return refusal(413, &text).into();
    }
    let ask = Ask::Write(command);
    Step::ask(ask, service.options.request_timeout, Box::new(Written(tell)))
}

/// Whether every member of the cluster could apply what is written.
fn speaks_kv(service: &Service) -> bool {
    let (_, meta) = service.client.applied();
    Summary::decode(&meta).is_ok_and(|summary| summary.cluster_version >= VERSION_KV)
}

/// What to do with the reply.
struct Written<F>(F);

impl<F> fmt::Debug for Written<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a write under way")
    }
}

impl<F: FnOnce(Reply) -> Response + Send> Continue for Written<F> {
    fn go_on(self: Box<Self>, _: &Service, completion: Completion) -> Step {
        let response = match completion.outcome {
            Outcome::Failed(failure) => failed(&failure),
            Outcome::Written(Reply::UnknownSession | Reply::Stale) => {
                refusal(503, "this node's write session has ended; nothing was changed")
            }
            Outcome::Written(reply) => self.0(reply),
            Outcome::Readable | Outcome::Done | Outcome::Password(_) | Outcome::Changed => {
                unreachable!("a write is answered with its reply or fails")
            }
        };
        response.with("X-Consul-Default-ACL-Policy", "allow").at(completion.index).into()
    }
}
