//! `members`: who belongs to the cluster, who answers, and who votes.
//!
//! Two lists are shown as one: gossip's, which knows who answers, and the configuration of the
//! consensus, which is the only one that counts votes. A node that stands in one of them only is
//! shown with what is known.

use serde::{Deserialize, Serialize};

use super::args::ShowArgs;
use super::client::{Client, plain};
use super::table::table;
use super::{Error, print};

/// What `GET /v1/agent/members` says of a member, in Consul's shape.
#[derive(Deserialize)]
struct Gossiped {
    #[serde(rename = "Name")]
    name: String,
    #[serde(rename = "Addr")]
    host: String,
    #[serde(rename = "Port")]
    port: u16,
    #[serde(rename = "Status")]
    status: u8,
    #[serde(rename = "Tags", default)]
    tags: Tags,
}

/// What our nodes add to Consul's shape.
#[derive(Default, Deserialize)]
struct Tags {
    id: Option<String>,
    gossip: Option<String>,
}

/// What `GET /v1/operator/raft/configuration` says.
#[derive(Deserialize)]
struct Configuration {
    #[serde(rename = "Servers")]
    servers: Vec<Server>,
}

#[derive(Deserialize)]
struct Server {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Node")]
    name: String,
    #[serde(rename = "Address")]
    address: String,
    #[serde(rename = "Leader")]
    leader: bool,
    #[serde(rename = "Voter")]
    voter: bool,
}

/// One line of the list.
#[derive(Debug, PartialEq, Serialize)]
struct Member {
    name: String,
    /// Node id; absent while it is not in the configuration.
    id: Option<String>,
    address: String,
    /// alive, suspect, down or left; unknown when gossip has not heard of it.
    status: String,
    voter: bool,
    leader: bool,
}

/// Prints the list.
pub(super) fn run(args: &ShowArgs) -> Result<(), Error> {
    let members = members(&Client::new(&args.node.urls))?;
    if args.json {
        let json = serde_json::to_string_pretty(&members).expect("plain data");
        return print(&(json + "\n"));
    }
    let row = |member: &Member| {
        let role = match (member.leader, member.voter, &member.id) {
            (true, ..) => "leader",
            (_, true, _) => "voter",
            (_, _, Some(_)) => "learner",
            (_, _, None) => "not a member",
        };
        let id = member.id.clone().unwrap_or("-".into());
        [&*member.name, &*id, &*member.address, &*member.status, role].map(str::to_string)
    };
    let rows: Vec<_> = members.iter().map(row).collect();
    print(&table(["name", "id", "address", "status", "role"], &rows))
}

fn members(client: &Client) -> Result<Vec<Member>, Error> {
    let gossiped: Vec<Gossiped> = client.get_json("/v1/agent/members")?;
    let configuration: Configuration = client.get_json("/v1/operator/raft/configuration?stale")?;
    let mut members: Vec<Member> = configuration
        .servers
        .into_iter()
        .map(|server| Member {
            name: server.name,
            id: Some(server.id),
            address: server.address,
            status: "unknown".into(),
            voter: server.voter,
            leader: server.leader,
        })
        .collect();
    for gossiped in gossiped {
        let address = gossiped.address();
        // Never by name: two machines may well carry the same.
        let same = |member: &&mut Member| match &gossiped.tags.id {
            Some(id) => member.id.as_ref() == Some(id),
            None => member.address == address,
        };
        match members.iter_mut().find(same) {
            Some(member) => member.status = gossiped.status(),
            None => members.push(Member {
                status: gossiped.status(),
                name: gossiped.name,
                id: None,
                address,
                voter: false,
                leader: false,
            }),
        }
    }
    members.sort_by_key(|member| {
        let id = member.id.as_ref().map(|id| id.parse::<u64>().unwrap_or(u64::MAX));
        (id.is_none(), id, member.address.clone())
    });
    Ok(members)
}

impl Gossiped {
    fn address(&self) -> String {
        let brackets = self.host.contains(':') && !self.host.starts_with('[');
        match brackets {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    fn status(&self) -> String {
        let in_consuls_words = match self.status {
            1 => "alive",
            2 => "leaving",
            3 => "left",
            4 => "down",
            _ => "unknown",
        };
        plain(self.tags.gossip.as_deref().unwrap_or(in_consuls_words))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, Reply};
    use super::*;

    const MEMBERS: &str = r#"[
        {"Name":"n3","Addr":"::1","Port":7073,"Tags":{},"Status":1,"ProtocolMin":1},
        {"Name":"n2","Addr":"10.0.0.2","Port":7071,"Tags":{},"Status":4},
        {"Name":"n1","Addr":"10.0.0.9","Port":7071,"Tags":{"id":"1","gossip":"suspect"},"Status":1}]"#;
    const CONFIGURATION: &str = r#"{"Index":9,"Servers":[
        {"ID":"12","Node":"n2","Address":"10.0.0.2:7071","Leader":false,"Voter":true,
         "ProtocolVersion":"3","LastIndex":7},
        {"ID":"1","Node":"n1","Address":"10.0.0.1:7071","Leader":true,"Voter":true},
        {"ID":"15","Node":"n4","Address":"10.0.0.4:7071","Leader":false,"Voter":false}]}"#;

    #[test]
    fn both_lists_become_one() {
        let base = testing::serve(|asked| match asked.line.as_str() {
            "GET /v1/agent/members" => Reply::new(200, MEMBERS),
            "GET /v1/operator/raft/configuration?stale" => Reply::new(200, CONFIGURATION),
            _ => Reply::new(404, ""),
        });
        let members = members(&Client::new(&[base])).unwrap();
        let seen: Vec<_> = members
            .iter()
            .map(|m| (m.id.as_deref(), &*m.address, &*m.status, m.voter, m.leader))
            .collect();
        assert_eq!(
            seen,
            [
                (Some("1"), "10.0.0.1:7071", "suspect", true, true),
                (Some("12"), "10.0.0.2:7071", "down", true, false),
                (Some("15"), "10.0.0.4:7071", "unknown", false, false),
                (None, "[::1]:7073", "alive", false, false),
            ]
        );
    }
}
