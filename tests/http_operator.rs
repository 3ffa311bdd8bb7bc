//! Making the first moderator over HTTP: for whoever has the node's token, and nobody else.
#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod http_support;

use bowline::http::front::Patience;
use bowline::http::{Options, Service};
use bowline::passwords::Secret;
use bowline::state::board::Act;
use bowline::state::{Command, VERSION_BOARD};
use http_support::{Api, Front, Node, problem};

both_fronts!(
    who_has_not_the_token_is_told_where_it_is,
    a_node_without_a_token_has_no_operator,
    an_operator_appoints_and_dismisses,
    a_cluster_with_an_older_member_is_left_alone,
);

const ANN: &str = "/api/board/moderators/ann";

fn options(token: Option<&str>) -> Options {
    let operator_token = token.map(|token| Secret::new(token.to_owned()));
    Options { operator_token, ..Options::default() }
}

fn api(front: Front, token: Option<&str>) -> Api {
    Api::start_with(front, options(token), Patience::default())
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

fn an_operator_appoints_and_dismisses(front: Front) {
    let api = api(front, Some("the-token"));
    let ask = |method, target: &str| {
        api.ask_with(method, target, "Authorization: Bearer the-token\r\n", "")
    };
    let none = problem(&ask("PUT", ANN), 404);
    assert!(none["detail"].as_str().unwrap().contains("/b/signup"), "{none}");
    problem(&ask("PUT", "/api/board/moderators/%FF%00"), 404);
    let ann =
        Act::SignUp { name: "Ann".into(), password: "$".into(), login: [7; 32], replaces: None };
    api.node.command(&Command::Board(ann));
    let moderators = || {
        // Anybody may ask.
        let list = api.get("/api/board/moderators").json();
        let names = list["moderators"].as_array().unwrap().clone();
        names.into_iter().map(|name| name.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert!(moderators().is_empty());
    for _ in 0..2 {
        let answer = ask("PUT", ANN);
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.json(), serde_json::json!({"name": "ann", "moderator": true}));
        assert_eq!(moderators(), ["Ann"]);
    }
    for _ in 0..2 {
        let answer = ask("DELETE", ANN);
        assert_eq!(answer.json(), serde_json::json!({"name": "ann", "moderator": false}));
        assert!(moderators().is_empty());
    }
}

fn a_cluster_with_an_older_member_is_left_alone(front: Front) {
    let mut node = Node::start_with_rules(VERSION_BOARD - 1);
    node.service = Service::new(node.service.client().clone(), options(Some("the-token")));
    let api = Api::over(node, front, Patience::default());
    let applied = api.node.applied();
    let answer = api.ask_with("PUT", ANN, "Authorization: Bearer the-token\r\n", "");
    let said = problem(&answer, 503);
    assert!(said["detail"].as_str().unwrap().contains("older version"), "{said}");
    assert_eq!(api.node.applied(), applied, "an older member would not know the command");
}
