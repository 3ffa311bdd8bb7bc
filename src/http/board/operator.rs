//! What operators do to the board: make the first moderator.
//!
//! An operator is whoever can read the data directory of the node that is asked. That is proven with a
//! token in it, which is another one on each node; no account of the board has any part in it.

use serde::Serialize;
use subtle::ConstantTimeEq;

use super::super::query;
use super::super::reply::{Problem, Response};
use super::super::service::{Service, Step};
use super::super::step::Continue;
use super::super::wire::{Head, Method, Request};
use crate::node::{Ask, Completion, Outcome};
use crate::passwords::Secret;
use crate::state::board::{self, Act, Refusal, Told};
use crate::state::{Command, Reply, Summary, VERSION_BOARD};

/// What is told to whoever has not shown that he may.
const WANTED: &str = "this wants the operator's token of this very node: Authorization: Bearer TOKEN, with \
                      the text of the file operator-token in its data directory";

/// How many moderators are listed.
const LISTED_MAX: usize = 10_000;

/// `GET /api/board/moderators`: who they are, as far as this node knows.
pub(in crate::http) fn moderators(service: &Service, _: &str, request: &Request) -> Step {
    let view = service.client.view();
    let users = match board::moderators(&view, LISTED_MAX) {
        Ok(users) => users,
        Err(error) => {
            log::error!("cannot read who the moderators are: {error}");
            return Problem::new(500, "this node cannot read its disk").into();
        }
    };
    let list = Moderators { moderators: users.into_iter().map(|user| user.name).collect() };
    let response = Response::json(200, &list, query::flag(request.query(), "pretty"));
    response.with("Cache-Control", "no-store").at(view.applied()).into()
}

#[derive(Serialize)]
struct Moderators {
    /// Their names, in the order of their accounts.
    moderators: Vec<String>,
}

/// `PUT|DELETE /api/board/moderators/{name}`: makes a user a moderator, or takes that back.
pub(in crate::http) fn moderator(service: &Service, part: &str, request: &Request) -> Step {
    if !is_operator(request, service.options.operator_token.as_ref()) {
        return Response::from(Problem::new(401, WANTED)).with("WWW-Authenticate", "Bearer").into();
    }
    let summary = Summary::decode(service.client.view().meta());
    if !summary.is_ok_and(|it| it.cluster_version >= VERSION_BOARD) {
        let why = "a member of this cluster still runs an older version, which knows no board; nothing \
                   was changed";
        return Problem::unavailable(why).into();
    }
    let (name, moderator) = (query::decode(part).into_owned(), request.method == Method::Put);
    let act = Act::Appoint { by: None, name: name.clone(), moderator };
    let ask = Ask::Write(Command::Board(act).encode());
    let appointed = Appointed { name, moderator, pretty: query::flag(request.query(), "pretty") };
    Step::ask(ask, service.options.request_timeout, Box::new(appointed))
}

/// Whether a request carries the token, found out in a time that says nothing about it.
fn is_operator(head: &Head, token: Option<&Secret>) -> bool {
    let mut values = head.headers("Authorization");
    let (Some(value), None, Some(token)) = (values.next(), values.next(), token) else {
        return false;
    };
    let Some((scheme, given)) = value.split_at_checked("Bearer ".len()) else { return false };
    scheme.eq_ignore_ascii_case(b"Bearer ") && given.trim_ascii().ct_eq(token.bytes()).into()
}

/// What is so when it is done.
#[derive(Debug, Serialize)]
struct Appointed {
    name: String,
    moderator: bool,
    #[serde(skip)]
    pretty: bool,
}

impl Continue for Appointed {
    fn go_on(self: Box<Self>, service: &Service, completion: Completion) -> Step {
        let response = match completion.outcome {
            Outcome::Written(Reply::Board(Told::Done)) => {
                Response::json(200, &*self, self.pretty).with("Cache-Control", "no-store")
            }
            Outcome::Written(Reply::Board(Told::Refused(Refusal::NoUser))) => {
                Problem::new(404, "there is no user of this name; /b/signup makes accounts").into()
            }
            Outcome::Written(Reply::UnknownSession | Reply::Stale) => {
                let why = "this node's write session has ended; nothing was changed";
                Problem::unavailable(why).into()
            }
            Outcome::Failed(failure) => {
                Problem::failure(failure).with_leader(service.leader_url()).into()
            }
            other => unreachable!("an operator's appointment is not answered with {other:?}"),
        };
        response.at(completion.index).into()
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::routes::limits;
    use super::*;

    fn is_operator_with(fields: &str, token: Option<&str>) -> bool {
        let text = format!("PUT /x HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
        let head = Head::parse(text.as_bytes(), &limits()).unwrap();
        let token = token.map(|token| Secret::new(token.to_owned()));
        is_operator(&head, token.as_ref())
    }

    #[test]
    fn the_token_and_nothing_else_makes_an_operator() {
        for (fields, is) in [
            ("Authorization: Bearer abc\r\n", true),
            ("authorization: bearer  abc \r\n", true),
            ("", false),
            ("Authorization:\r\n", false),
            ("Authorization: abc\r\n", false),
            ("Authorization: Bearer\r\n", false),
            ("Authorization: Bearer ab\r\n", false),
            ("Authorization: Bearer abcd\r\n", false),
            ("Authorization: Bearer ABC\r\n", false),
            ("Authorization: Basic abc\r\n", false),
            ("Authorization: Bearer x\r\nAuthorization: Bearer abc\r\n", false),
            ("Authorization: Bearer abc\r\nAuthorization: Bearer abc\r\n", false),
        ] {
            assert_eq!(is_operator_with(fields, Some("abc")), is, "{fields}");
            assert!(!is_operator_with(fields, None), "{fields}");
        }
        assert!(!is_operator_with("Authorization: Bearer \r\n", None));
    }
}
