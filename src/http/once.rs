//! `Idempotency-Key`: a client may send a write again, and it is done once.
//!
//! The key travels with the command into the log, together with a hash of the request; what becomes of
//! it is decided where all nodes decide alike (see [`Command::Once`]). Here is only the header's side:
//! what a key may be, what is hashed, and how the answers look.

use sha2::{Digest, Sha256};

use super::reply::{Problem, Response};
use super::wire::Request;
use crate::state::{Command, ONCE_KEY_LEN_MAX};

const HEADER: &str = "Idempotency-Key";

/// The command that a request's write is: under the request's key, if it has one. `besides` is what
/// else of the request says what to do, besides method, path and body.
///
/// # Errors
/// When there are several keys, or one that is none.
pub(super) fn under_key(
    request: &Request,
    besides: &[&[u8]],
    command: Command,
) -> Result<Command, Problem> {
    let mut keys = request.headers(HEADER);
    let Some(key) = keys.next() else { return Ok(command) };
    if keys.next().is_some() {
        return Err(Problem::new(400, format!("there is more than one {HEADER} header")));
    }
    let visible = key.iter().all(u8::is_ascii_graphic);
    let key = match str::from_utf8(key) {
        Ok(key) if visible && (1..=ONCE_KEY_LEN_MAX).contains(&key.len()) => key.to_owned(),
        _ => {
            let detail =
                format!("{HEADER} must be 1 to {ONCE_KEY_LEN_MAX} visible ASCII characters");
            return Err(Problem::new(400, detail));
        }
    };
    Ok(Command::Once { key, hash: hash(request, besides), command: Box::new(command) })
}

/// The answer that a key's first use got, marked as such.
pub(super) fn replayed(first: Response) -> Response {
    first.with("Idempotency-Replayed", "true")
}

/// The answer to a key that was used for something else.
pub(super) fn reused() -> Response {
    let detail = format!(
        "this {HEADER} was used for another request; nothing was changed. A key belongs to one \
         request, which must be the same when it is sent again"
    );
    Problem::new(422, detail).into()
}

/// SHA-256 over method, path, body and what counts besides, each behind its length, so that no byte can
/// move from one to the other unnoticed. The query of a link's creation is no part of it: it says how to
/// answer, not what to do.
fn hash(request: &Request, besides: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    let always = [request.method.name().as_bytes(), request.path().as_bytes(), &request.body];
    for part in always.iter().chain(besides) {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}
