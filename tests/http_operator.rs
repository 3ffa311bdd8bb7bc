//! Making the first moderator over HTTP: for whoever has the node's token, and nobody else.
#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod http_support;

use bowline::http::Options;
use bowline::http::front::Patience;
use bowline::passwords::Secret;
use http_support::{Api, Front, problem};

both_fronts!(who_has_not_the_token_is_told_where_it_is, a_node_without_a_token_has_no_operator);

const ANN: &str = "/api/board/moderators/ann";

fn api(front: Front, token: Option<&str>) -> Api {
    let operator_token = token.map(|token| Secret::new(token.to_owned()));
    Api::start_with(front, Options { operator_token, ..Options::default() }, Patience::default())
}

fn who_has_not_the_token_is_told_where_it_is(front: Front) {
    let api = api(front, Some("the-token"));
    for method in ["PUT", "DELETE"] {
        for fields in ["", "Authorization: Bearer the-tokem\r\n", "Authorization: Basic x\r\n"] {
            let answer = api.ask_with(method, ANN, fields, "");
            let said = problem(&answer, 401);
            assert!(said["detail"].as_str().unwrap().contains("operator-token"), "{said}");
            assert!(!answer.body.contains("the-token\""), "{answer:?}");
            assert_eq!(answer.header("WWW-Authenticate"), Some("Bearer"));
        }
    }
}

fn a_node_without_a_token_has_no_operator(front: Front) {
    let api = api(front, None);
    problem(&api.ask_with("PUT", ANN, "Authorization: Bearer \r\n", ""), 401);
    problem(&api.ask_with("PUT", ANN, "Authorization: Bearer None\r\n", ""), 401);
}
