//! What Consul's clients ask the agent beside them: here, this node.

use std::collections::BTreeMap;

use serde::Serialize;

use super::cluster::{Member, RAFT_PROTOCOL, member};
use super::options::{DATACENTER, check_datacenter};
use super::{json, refusal};
use crate::http::query;
use crate::http::reply::Response;
use crate::http::service::{Service, Step, Then};
use crate::http::wire::Request;
use crate::membership::{RosterEntry, RosterStatus};
use crate::node::{Ask, MemberStatus, Phase, Status};

const VERSION: &str = env!("CARGO_PKG_VERSION");

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Own<'a> {
    config: Config<'a>,
    member: Option<Member<'a>>,
    stats: BTreeMap<&'static str, BTreeMap<&'static str, String>>,
    meta: BTreeMap<&'static str, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Config<'a> {
    datacenter: &'static str,
    primary_datacenter: &'static str,
    node_name: &'a str,
    #[serde(rename = "NodeID")]
    node_id: String,
    revision: &'static str,
    server: bool,
    version: &'static str,
}

/// `GET /v1/agent/self`.
pub(in crate::http) fn own(service: &Service, _: &str, request: &Request) -> Step {
    let roster = service.client.roster.current();
    let status = service.client.status();
    let entry = roster.iter().find(|entry| entry.id == status.id);
    let body = Own {
        config: Config {
            datacenter: DATACENTER,
            primary_datacenter: DATACENTER,
            node_name: &status.name,
            node_id: status.id.to_string(),
            revision: "",
            server: true,
            version: VERSION,
        },
        member: entry.map(|entry| member(entry, &status)),
        stats: BTreeMap::from([("consul", stats(&status)), ("raft", raft_stats(service, &status))]),
        meta: BTreeMap::new(),
    };
    json(&body, request).into()
}

fn stats(status: &Status) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("known_datacenters", "1".to_owned()),
        ("leader", (status.leader == Some(status.id)).to_string()),
        ("leader_addr", status.leader_member().map_or(String::new(), |it| it.peer.clone())),
        ("server", "true".to_owned()),
    ])
}

fn raft_stats(service: &Service, status: &Status) -> BTreeMap<&'static str, String> {
    let state = match status.phase {
        Phase::Leader => "Leader",
        Phase::Candidate => "Candidate",
        Phase::Stopping | Phase::Removed => "Shutdown",
        Phase::Follower | Phase::Learner | Phase::Joining => "Follower",
    };
    let voters = status.members.iter().filter(|it| it.voter && it.id != status.id).count();
    BTreeMap::from([
        ("applied_index", service.client.applied().0.to_string()),
        ("commit_index", status.commit_index.to_string()),
        ("last_log_index", status.last_index.to_string()),
        ("num_peers", voters.to_string()),
        ("protocol_version", RAFT_PROTOCOL.to_owned()),
        ("state", state.to_owned()),
        ("term", status.term.to_string()),
    ])
}

/// `PUT /v1/agent/join/{address}`: there is nothing to do for a member, and nothing that one member
/// could do for another machine.
pub(in crate::http) fn join(service: &Service, part: &str, _: &Request) -> Step {
    let address = query::decode(part);
    let status = service.client.status();
    let is_at = |peer: &str| {
        peer == address || peer.rsplit_once(':').is_some_and(|(host, _)| host == address)
    };
    if status.members.iter().any(|member| is_at(&member.peer)) {
        return empty().into();
    }
    let peer = status.members.iter().find(|it| it.id == status.id).map_or("", |it| &it.peer);
    let text = format!(
        "{address} is no member of this cluster; a machine joins by itself: start it with \
         bowline --join {peer}"
    );
    refusal(500, &text).into()
}

/// `PUT /v1/agent/force-leave/{node}`: takes a member that is down out of the cluster.
pub(in crate::http) fn force_leave(service: &Service, part: &str, _: &Request) -> Step {
    let name = query::decode(part);
    let status = service.client.status();
    let roster = service.client.roster.current();
    let configured = status.members.iter().find(|member| member.name == name);
    let entry = roster.iter().find(|entry| entry.name == name);
    match (configured, entry.map(|entry| entry.status)) {
        (None, None) => refusal(500, &format!("no node found with name {name:?}")).into(),
        (None, Some(_)) => empty().into(),
        (Some(_), Some(RosterStatus::Alive | RosterStatus::Suspect)) => {
            let text = format!("{name:?} is alive; ask it to leave: PUT /v1/agent/leave there");
            refusal(500, &text).into()
        }
        (Some(member), Some(RosterStatus::Down | RosterStatus::Left) | None) => {
            let timeout = service.options.request_timeout;
            Step::park(Ask::Remove(member.id), timeout, Then::ConsulDone(""))
        }
    }
}

/// Done, and nothing to say about it.
fn empty() -> Response {
    Response::new(200).with("X-Consul-Default-ACL-Policy", "allow")
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Health<'a> {
    healthy: bool,
    failure_tolerance: usize,
    servers: Vec<Server<'a>>,
}

/// A member as autopilot sees it; what this node does not know of it is left out.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Server<'a> {
    #[serde(rename = "ID")]
    id: String,
    name: &'a str,
    address: &'a str,
    serf_status: &'static str,
    version: &'a str,
    leader: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_contact: Option<String>,
    last_term: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_index: Option<u64>,
    healthy: bool,
    voter: bool,
}

/// `GET /v1/operator/autopilot/health`: 200 when all is well, and 429 when not.
pub(in crate::http) fn health(service: &Service, _: &str, request: &Request) -> Step {
    if let Err(refusal) = check_datacenter(request.query()) {
        return refusal.into();
    }
    let status = service.client.status();
    let roster = service.client.roster.current();
    let servers: Vec<_> = status
        .members
        .iter()
        .map(|member| {
            let entry = roster.iter().find(|entry| entry.id == member.id);
            server(service, &status, member, entry)
        })
        .collect();
    let voters = servers.iter().filter(|server| server.voter).count();
    let healthy_voters = servers.iter().filter(|server| server.voter && server.healthy).count();
    let healthy = status.leader.is_some() && servers.iter().all(|server| server.healthy);
    let failure_tolerance = healthy_voters.saturating_sub(voters / 2 + 1);
    let body = Health { healthy, failure_tolerance, servers };
    let pretty = query::flag(request.query(), "pretty");
    let code = if healthy { 200 } else { 429 };
    json::response(code, &body, pretty).with("X-Consul-Default-ACL-Policy", "allow").into()
}

fn server<'a>(
    service: &Service,
    status: &Status,
    member: &'a MemberStatus,
    entry: Option<&'a RosterEntry>,
) -> Server<'a> {
    let own = member.id == status.id;
    let leader = status.leader == Some(member.id);
    let serf_status = match entry.map(|entry| entry.status) {
        // Consul lists a suspect as alive, too: it may still refute.
        Some(RosterStatus::Alive | RosterStatus::Suspect) => "alive",
        Some(RosterStatus::Left) => "left",
        Some(RosterStatus::Down) => "failed",
        None if own => "alive",
        None => "none",
    };
    let contact = match (leader, own) {
        (true, _) => Some(0),
        (false, true) => Some(service.client.leader_contact_ms()).filter(|ms| *ms != u64::MAX),
        (false, false) => None,
    };
    Server {
        id: member.id.to_string(),
        name: &member.name,
        address: &member.peer,
        serf_status,
        version: entry.map_or(VERSION, |entry| &entry.version),
        leader,
        last_contact: contact.map(|ms| format!("{ms}ms")),
        last_term: status.term,
        last_index: member.match_index,
        healthy: serf_status == "alive" && member.active != Some(false),
        voter: member.voter,
    }
}

/// What autopilot goes by, as far as it is so here.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Autopilot {
    cleanup_dead_servers: bool,
    min_quorum: u64,
    redundancy_zone_tag: &'static str,
    disable_upgrade_migration: bool,
    upgrade_version_tag: &'static str,
    create_index: u64,
    modify_index: u64,
}

/// `GET /v1/operator/autopilot/configuration`: nothing of it can be changed.
pub(in crate::http) fn autopilot(_: &Service, _: &str, request: &Request) -> Step {
    if let Err(refusal) = check_datacenter(request.query()) {
        return refusal.into();
    }
    let body = Autopilot {
        cleanup_dead_servers: false,
        min_quorum: 0,
        redundancy_zone_tag: "",
        disable_upgrade_migration: false,
        upgrade_version_tag: "",
        create_index: 0,
        modify_index: 0,
    };
    json(&body, request).into()
}
