//! `transfer` and `remove`: what an operator does to the cluster.

use ureq::http::Method;

use super::args::{LeaveArgs, RemoveArgs, TransferArgs};
use super::client::{Answer, Client};
use super::status::{self, Peer};
use super::{Error, print};

/// Hands leadership on.
pub(super) fn transfer(args: &TransferArgs) -> Result<(), Error> {
    let client = Client::new(&args.node.urls);
    let path = "/v1/operator/raft/transfer-leader";
    match &args.target {
        None => {
            done(&client.ask(&Method::POST, path, &[])?)?;
            print("leadership was handed over\n")
        }
        Some(target) => {
            let peer = find(&status::peers(&client)?, target)?;
            done(&client.ask(&Method::POST, &format!("{path}?id={}", peer.id), &[])?)?;
            print(&format!("leadership was handed to {} (id {})\n", peer.name, peer.id))
        }
    }
}

/// Takes a node out for good.
pub(super) fn remove(args: &RemoveArgs) -> Result<(), Error> {
    let client = Client::new(&args.node.urls);
    let peer = find(&status::peers(&client)?, &args.target)?;
    let path = format!("/v1/operator/raft/peer?id={}", peer.id);
    done(&client.ask(&Method::DELETE, &path, &[])?)?;
    print(&format!("{} (id {}) is no member any more\n", peer.name, peer.id))
}

/// Takes the node that is asked out for good; it stops by itself.
pub(super) fn leave(args: &LeaveArgs) -> Result<(), Error> {
    let client = Client::new(&args.node.urls);
    done(&client.ask(&Method::PUT, "/v1/agent/leave", &[])?)?;
    print("the node has left the cluster and stops\n")
}

fn done(answer: &Answer) -> Result<(), Error> {
    if answer.status == 200 { Ok(()) } else { Err(Error::new(answer.problem())) }
}

/// The one member with this id or name.
fn find(peers: &[Peer], target: &str) -> Result<Peer, Error> {
    let by_id = peers.iter().find(|peer| peer.id.to_string() == target);
    if let Some(peer) = by_id {
        return Ok(peer.clone());
    }
    let named: Vec<&Peer> = peers.iter().filter(|peer| peer.name == target).collect();
    let list = |peers: &mut dyn Iterator<Item = &Peer>| {
        let names: Vec<_> = peers.map(|peer| format!("{} (id {})", peer.name, peer.id)).collect();
        names.join(", ")
    };
    match named[..] {
        [peer] => Ok(peer.clone()),
        [] => Err(Error::new(format!(
            "there is no member {target}; the members are {}",
            list(&mut peers.iter())
        ))),
        _ => Err(Error::new(format!(
            "{target} is the name of several members, say which by its id: {}",
            list(&mut named.iter().copied())
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::args::NodeUrls;
    use super::super::testing::{self, Reply};
    use super::*;

    fn peer(id: u64, name: &str) -> Peer {
        Peer { id, name: name.into(), http: String::new() }
    }

    #[test]
    fn members_are_found_by_id_or_by_a_name_that_is_theirs_alone() {
        let peers = [peer(1, "a"), peer(7, "b"), peer(9, "b"), peer(10, "9")];
        assert_eq!(find(&peers, "a").unwrap().id, 1);
        assert_eq!(find(&peers, "9").unwrap().id, 9, "an id goes before a name");
        assert!(find(&peers, "b").unwrap_err().to_string().contains("b (id 7), b (id 9)"));
        assert!(find(&peers, "c").unwrap_err().to_string().contains("a (id 1), b (id 7)"));
    }

    #[test]
    fn the_verbs_ask_for_what_they_say() {
        let base = testing::serve(|asked| match asked.line.as_str() {
            "GET /api/status" => Reply::new(
                200,
                r#"{"node":{"id":1,"name":"a","phase":"leader","term":1,"leader":1,"last_index":1,
                    "commit_index":1,"members":[{"id":4,"name":"b","http":""}]},
                    "state":{"applied":1,"links":0,"digest":""}}"#,
            ),
            "POST /v1/operator/raft/transfer-leader?id=4" => Reply::new(200, ""),
            "DELETE /v1/operator/raft/peer?id=4" => Reply::new(500, "it leads"),
            line => panic!("nobody asked for {line}"),
        });
        let node = NodeUrls { urls: vec![base] };
        transfer(&TransferArgs { target: Some("b".into()), node: node.clone() }).unwrap();
        let error = remove(&RemoveArgs { target: "4".into(), node }).unwrap_err();
        assert_eq!(error, Error::new("it leads"));
    }
}
