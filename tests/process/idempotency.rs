//! A write under a client's own key: once, whoever dies meanwhile.

use crate::harness::{Answer, Cluster, Node, ask_with, eventually};

const URL: &str = "https://example.com/once";

fn put(node: &Node, body: &str) -> Result<Answer, String> {
    ask_with("PUT", &node.url("/"), &[("Idempotency-Key", "8e03978e-40d5")], body)
}

/// The answer, when the node gets round to giving one.
fn told(node: &Node, body: &str) -> Answer {
    eventually("an answer to a write under a key", || match put(node, body)? {
        answer if [503, 504].contains(&answer.status) => Err(answer.body),
        answer => Ok(answer),
    })
}

#[test]
fn a_key_outlives_the_leader_and_the_whole_cluster() {
    let mut cluster = Cluster::start(3);
    let leader = cluster.leader();
    let first = told(&cluster.nodes[leader], URL);
    assert_eq!((first.status, first.header("idempotency-replayed")), (201, None));
    cluster.nodes[leader].kill();
    let is_first = |node: &Node| {
        let again = told(node, URL);
        assert_eq!((again.status, &again.body), (201, &first.body));
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
    };
    for node in cluster.nodes.iter().filter(|node| node.is_up()) {
        is_first(node);
        assert_eq!(told(node, "https://example.com/another").status, 422);
    }
    cluster.nodes[leader].restart();
    cluster.nodes.iter_mut().for_each(Node::kill);
    cluster.nodes.iter_mut().for_each(Node::restart);
    cluster.settled(3);
    cluster.nodes.iter().for_each(is_first);
    assert_eq!(cluster.agree()["links"], 1);
}
