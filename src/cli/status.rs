//! `status`: where every node stands, asked of each node itself, to see whether they agree.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::args::ShowArgs;
use super::client::{Client, plain};
use super::table::table;
use super::{Error, print};

/// How long one node is waited for: one that is down must not hold up the picture of the others.
const PATIENCE: Duration = Duration::from_secs(2);
const PATH: &str = "/api/status";

/// The part of a node's account that the table shows.
#[derive(Clone, Debug, Deserialize)]
struct Account {
    node: Node,
    state: State,
}

#[derive(Clone, Debug, Deserialize)]
struct Node {
    id: u64,
    name: String,
    phase: String,
    term: u64,
    leader: Option<u64>,
    last_index: u64,
    commit_index: u64,
    members: Vec<Peer>,
    // Older nodes do not tell:
    #[serde(default)]
    log_start: u64,
    #[serde(default)]
    disk: String,
    recovering: Option<String>,
    state_lost: Option<String>,
}

impl Node {
    /// What somebody should look after.
    fn troubles(&self) -> Vec<String> {
        let mut troubles = Vec::new();
        match self.disk.as_str() {
            "" | "ok" => {}
            "full" => troubles.push("its disk is full: writes are refused".to_owned()),
            "stalled" => troubles.push("its disk hangs".to_owned()),
            other => troubles.push(format!("its disk is {other}")),
        }
        let recovering = self.recovering.as_ref();
        troubles.extend(recovering.map(|why| format!("recovering, it does not vote: {why}")));
        let lost = self.state_lost.as_ref();
        troubles.extend(lost.map(|why| format!("its state is lost, it serves nothing: {why}")));
        troubles
    }
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Peer {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) http: String,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct State {
    applied: u64,
    links: u64,
    digest: String,
}

/// One node and what it said, if anything.
struct Row {
    peer: Peer,
    answer: Result<Value, Error>,
}

/// Prints the picture.
pub(super) fn run(args: &ShowArgs) -> Result<(), Error> {
    let rows = ask_all(&Client::new(&args.node.urls), args.node.urls.first())?;
    if args.json {
        let json = serde_json::to_string_pretty(&to_json(&rows)).expect("plain data");
        return print(&(json + "\n"));
    }
    print(&to_text(&rows))
}

/// The members of the cluster, as the first node that answers knows them.
pub(super) fn peers(client: &Client) -> Result<Vec<Peer>, Error> {
    Ok(client.get_json::<Account>(PATH)?.node.members)
}

/// Asks one node for the list, then each node on it, all at the same time.
fn ask_all(client: &Client, asked: Option<&String>) -> Result<Vec<Row>, Error> {
    let first: Value = client.get_json(PATH)?;
    let account = Account::deserialize(&first)
        .map_err(|error| Error::new(format!("{PATH}: the answer makes no sense: {error}")))?;
    let mut peers = account.node.members;
    if peers.iter().all(|peer| peer.id != account.node.id) {
        // Not admitted yet, or removed: it can still speak for itself.
        let http = asked.cloned().unwrap_or_default();
        let own = Row {
            peer: Peer { id: account.node.id, name: account.node.name, http },
            answer: Ok(first),
        };
        let mut rows = ask_each(&peers);
        rows.push(own);
        return Ok(rows);
    }
    peers.sort_by_key(|peer| peer.id);
    Ok(ask_each(&peers))
}

/// One thread per node; a cluster has 64 of them at most.
fn ask_each(peers: &[Peer]) -> Vec<Row> {
    let ask = |peer: &Peer| {
        if peer.http.is_empty() {
            return Err(Error::new("it has not told its HTTP address yet"));
        }
        let answer: Value =
            Client::with_patience(std::slice::from_ref(&peer.http), PATIENCE).get_json(PATH)?;
        match answer["node"]["id"].as_u64() {
            // A wiped machine comes back as another node under the address of the old one.
            Some(other) if other != peer.id => {
                Err(Error::new(format!("node {other} answers at {}", peer.http)))
            }
            _ => Ok(answer),
        }
    };
    std::thread::scope(|scope| {
        let asking: Vec<_> = peers.iter().map(|peer| scope.spawn(|| ask(peer))).collect();
        let answers: Vec<_> = asking
            .into_iter()
            .map(|thread| thread.join().expect("asking does not panic"))
            .collect();
        peers.iter().cloned().zip(answers).map(|(peer, answer)| Row { peer, answer }).collect()
    })
}

fn to_json(rows: &[Row]) -> Value {
    let node = |row: &Row| {
        let Peer { id, name, http } = &row.peer;
        match &row.answer {
            Ok(status) => json!({"id": id, "name": name, "http": http, "status": status}),
            Err(error) => {
                json!({"id": id, "name": name, "http": http, "error": error.to_string()})
            }
        }
    };
    json!({"nodes": rows.iter().map(node).collect::<Vec<_>>()})
}

fn to_text(rows: &[Row]) -> String {
    let headings = [
        "name", "id", "role", "term", "leader", "start", "last", "commit", "applied", "links",
        "digest",
    ];
    let mut cells = Vec::new();
    let mut accounts = Vec::new();
    let mut troubles = String::new();
    for Row { peer, answer } in rows {
        let account = answer.clone().and_then(|value| {
            Account::deserialize(value).map_err(|error| Error::new(format!("{PATH}: {error}")))
        });
        let mut row = [const { String::new() }; 11];
        row[0].clone_from(&peer.name);
        row[1] = peer.id.to_string();
        match account {
            Ok(Account { node, state }) => {
                row[2].clone_from(&node.phase);
                row[4] = node.leader.map_or("-".into(), |id| id.to_string());
                for (cell, number) in [
                    (3, node.term),
                    (5, node.log_start),
                    (6, node.last_index),
                    (7, node.commit_index),
                    (8, state.applied),
                    (9, state.links),
                ] {
                    row[cell] = number.to_string();
                }
                row[10] = state.digest.chars().take(16).collect();
                for trouble in node.troubles() {
                    troubles.push_str(&format!("{}: {}\n", peer.name, plain(&trouble)));
                }
                // A state that is known to be wrong is replaced, not compared.
                if node.state_lost.is_none() {
                    accounts.push((peer.name.clone(), state));
                }
            }
            Err(error) => {
                row[2] = "unreachable".into();
                row[3..].fill("-".into());
                troubles.push_str(&format!("{}: {error}\n", peer.name));
            }
        }
        cells.push(row);
    }
    table(headings, &cells) + &troubles + &verdict(&accounts)
}

/// Whether the copies agree. Only those at the same index can be compared.
fn verdict(accounts: &[(String, State)]) -> String {
    for (at, (name, state)) in accounts.iter().enumerate() {
        for (other_name, other) in &accounts[at + 1..] {
            if state.applied == other.applied && state != other {
                return format!(
                    "{name} and {other_name} DIFFER at index {}: one of the copies is wrong\n",
                    state.applied
                );
            }
        }
    }
    match accounts {
        [(_, first), _, ..] if accounts.iter().all(|(_, state)| state == first) => {
            format!("{} nodes agree at index {}\n", accounts.len(), first.applied)
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, OnceLock};

    use super::super::testing::{self, Reply};
    use super::*;

    fn account(id: u64, digest: &str, members: &[(u64, String)]) -> String {
        let members: Vec<_> = members
            .iter()
            .map(|(id, http)| json!({"id": id, "name": format!("n{id}"), "http": http}))
            .collect();
        json!({
            "node": {
                "id": id, "name": format!("n{id}"), "phase": "follower", "term": 3, "leader": 1,
                "last_index": 12, "commit_index": 11, "members": members, "cluster": "00",
            },
            "state": {"applied": 10, "links": 4, "digest": digest, "revision": 4, "clock_ms": 9},
            "version": "0.1.0",
        })
        .to_string()
    }

    /// Two nodes that answer and one that does not; each knows all three.
    fn cluster(digests: [&'static str; 2]) -> Vec<String> {
        let members = Arc::new(OnceLock::<Vec<(u64, String)>>::new());
        let mut bases: Vec<String> = (1..=2)
            .map(|id| {
                let members = Arc::clone(&members);
                let digest = digests[id as usize - 1];
                testing::serve(move |asked| match asked.line.as_str() {
                    "GET /api/status" => {
                        Reply::new(200, &account(id, digest, members.get().unwrap()))
                    }
                    _ => Reply::new(404, ""),
                })
            })
            .collect();
        bases.push(testing::nobody());
        members.set((1..).zip(bases.iter().cloned()).collect()).unwrap();
        bases
    }

    fn text(digests: [&'static str; 2]) -> String {
        let bases = cluster(digests);
        let client = Client::new(&bases[1..2]);
        let rows = ask_all(&client, bases.get(1)).unwrap();
        assert_eq!(to_json(&rows)["nodes"][1]["status"]["node"]["id"], 2);
        assert!(to_json(&rows)["nodes"][2]["error"].is_string());
        to_text(&rows)
    }

    #[test]
    fn every_node_is_shown_and_those_that_answer_are_compared() {
        let text = text(["aaaabbbbccccddddeeee", "aaaabbbbccccddddeeee"]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[2].split_whitespace().collect::<Vec<_>>(),
            ["n2", "2", "follower", "3", "1", "0", "12", "11", "10", "4", "aaaabbbbccccdddd"]
        );
        assert!(lines[3].starts_with("n3     3  unreachable"), "{text}");
        assert_eq!(lines[5], "2 nodes agree at index 10");
    }

    #[test]
    fn copies_that_differ_at_one_index_are_named() {
        let text = text(["aaaa", "bbbb"]);
        assert!(text.ends_with("n1 and n2 DIFFER at index 10: one of the copies is wrong\n"));
    }

    #[test]
    fn what_is_wrong_with_a_node_is_told_below() {
        let plain = account(1, "aaaa", &[]);
        let mut ill: Value = serde_json::from_str(&account(2, "bbbb", &[])).unwrap();
        let node = &mut ill["node"];
        (node["disk"], node["log_start"]) = ("full".into(), 9.into());
        (node["recovering"], node["state_lost"]) = ("torn".into(), "digest\n".into());
        let row = |name: &str, answer: Value| {
            let peer = Peer { id: 1, name: name.into(), http: String::new() };
            Row { peer, answer: Ok(answer) }
        };
        let text = to_text(&[row("n1", serde_json::from_str(&plain).unwrap()), row("n2", ill)]);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[2].contains("  9  "), "{text}");
        assert_eq!(
            lines[3..],
            [
                "n2: its disk is full: writes are refused",
                "n2: recovering, it does not vote: torn",
                "n2: its state is lost, it serves nothing: digest",
            ],
            "and nobody is said to differ"
        );
    }

    #[test]
    fn another_node_under_a_members_address_does_not_speak_for_it() {
        let members = Arc::new(OnceLock::<Vec<(u64, String)>>::new());
        let known = Arc::clone(&members);
        let base =
            testing::serve(move |_| Reply::new(200, &account(5, "aa", known.get().unwrap())));
        members.set(vec![(4, base.clone()), (5, base.clone())]).unwrap();
        let rows = ask_all(&Client::new(std::slice::from_ref(&base)), Some(&base)).unwrap();
        let error = rows[0].answer.as_ref().unwrap_err().to_string();
        assert_eq!(error, format!("node 5 answers at {base}"));
        assert!(rows[1].answer.is_ok());
    }

    #[test]
    fn a_node_that_is_no_member_speaks_for_itself() {
        let base = testing::serve(|_| Reply::new(200, &account(0, "", &[])));
        let rows = ask_all(&Client::new(std::slice::from_ref(&base)), Some(&base)).unwrap();
        assert_eq!(rows.len(), 1);
        assert!(rows[0].answer.is_ok());
    }
}
