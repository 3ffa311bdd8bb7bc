//! Looking at and managing the cluster, as Consul's dashboards and scripts do it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::options::check_datacenter;
use super::reading::NEVER_MS;
use super::{json, refusal};
use crate::http::query;
use crate::http::reply::Value;
use crate::http::service::{Service, Step, Then};
use crate::http::wire::Request;
use crate::membership::{RosterEntry, RosterStatus};
use crate::node::{Ask, Status};

/// Version of the Raft protocol that Consul's clients expect to be told.
pub(super) const RAFT_PROTOCOL: &str = "3";

/// A member as `GET /v1/agent/members` lists it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Member<'a> {
    name: &'a str,
    addr: &'a str,
    port: u16,
    tags: BTreeMap<&'static str, String>,
    status: u8,
    protocol_min: u8,
    protocol_max: u8,
    protocol_cur: u8,
    delegate_min: u8,
    delegate_max: u8,
    delegate_cur: u8,
}

/// `GET /v1/agent/members`: the roster.
pub(in crate::http) fn members(service: &Service, _: &str, request: &Request) -> Step {
    let roster = service.client.roster.current();
    let status = service.client.status();
    let members: Vec<_> = roster.iter().map(|entry| member(entry, &status)).collect();
    json(&members, request).into()
}

pub(super) fn member<'a>(entry: &'a RosterEntry, status: &Status) -> Member<'a> {
    let (addr, port) = split_address(&entry.peer);
    let configured = status.members.iter().find(|member| member.id == entry.id);
    let role = match configured {
        Some(member) if member.voter => "voter",
        Some(_) => "learner",
        None => "none",
    };
    let gossip = match entry.status {
        RosterStatus::Alive => "alive",
        RosterStatus::Suspect => "suspect",
        RosterStatus::Down => "down",
        RosterStatus::Left => "left",
    };
    Member {
        name: &entry.name,
        addr,
        port,
        tags: BTreeMap::from([
            ("id", entry.id.to_string()),
            ("http", entry.http.clone()),
            ("version", entry.version.clone()),
            ("role", role.to_owned()),
            ("gossip", gossip.to_owned()),
        ]),
        // Consul lists a suspect as alive, too: it may still refute.
        status: match entry.status {
            RosterStatus::Alive | RosterStatus::Suspect => 1,
            RosterStatus::Left => 3,
            RosterStatus::Down => 4,
        },
        protocol_min: 1,
        protocol_max: 1,
        protocol_cur: 1,
        delegate_min: 1,
        delegate_max: 1,
        delegate_cur: 1,
    }
}

/// `host:port` as host and port, without the brackets of IPv6; port 0 when there is none.
fn split_address(address: &str) -> (&str, u16) {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
    (host.trim_start_matches('[').trim_end_matches(']'), port.parse().unwrap_or(0))
}

/// `GET /v1/status/leader`: the leader's peer address, empty when there is none.
pub(in crate::http) fn leader(service: &Service, _: &str, request: &Request) -> Step {
    if let Err(refusal) = check_datacenter(request.query()) {
        return refusal.into();
    }
    let status = service.client.status();
    json(&status.leader_member().map_or("", |member| &member.peer), request).into()
}

/// `GET /v1/status/peers`: the peer addresses of the configuration.
pub(in crate::http) fn peers(service: &Service, _: &str, request: &Request) -> Step {
    if let Err(refusal) = check_datacenter(request.query()) {
        return refusal.into();
    }
    let status = service.client.status();
    let peers: Vec<_> = status.members.iter().map(|member| &member.peer).collect();
    json(&peers, request).into()
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Configuration<'a> {
    servers: Vec<Server<'a>>,
    index: u64,
}

/// A member as `GET /v1/operator/raft/configuration` lists it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Server<'a> {
    #[serde(rename = "ID")]
    id: String,
    node: &'a str,
    address: &'a str,
    leader: bool,
    voter: bool,
    protocol_version: &'static str,
    last_index: u64,
}

/// `GET /v1/operator/raft/configuration`: who votes.
pub(in crate::http) fn configuration(service: &Service, _: &str, request: &Request) -> Step {
    if let Err(refusal) = check_datacenter(request.query()) {
        return refusal.into();
    }
    let status = service.client.status();
    let servers = status.members.iter().map(|member| Server {
        id: member.id.to_string(),
        node: &member.name,
        address: &member.peer,
        leader: status.leader == Some(member.id),
        voter: member.voter,
        protocol_version: RAFT_PROTOCOL,
        last_index: member.match_index.unwrap_or(0),
    });
    let body = Configuration { servers: servers.collect(), index: status.configuration_index };
    let leads = status.leader == Some(status.id);
    let known = if status.leader.is_some() { "true" } else { "false" };
    let contact = service.client.leader_contact_ms().min(NEVER_MS);
    json(&body, request)
        .header("X-Consul-Index", Value::Number(status.configuration_index.max(1)))
        .with("X-Consul-KnownLeader", known)
        .header("X-Consul-LastContact", Value::Number(if leads { 0 } else { contact }))
        .with("X-Consul-Effective-Consistency", if leads { "leader" } else { "stale" })
        .into()
}

/// `PUT /v1/operator/raft/transfer-leader`: hands leadership over, to `?id=` or to the best.
pub(in crate::http) fn transfer(service: &Service, _: &str, request: &Request) -> Step {
    if let Err(refusal) = check_datacenter(request.query()) {
        return refusal.into();
    }
    let target = match query::value(request.query(), "id") {
        None => None,
        Some(id) => match id.parse() {
            Ok(id) => Some(id),
            Err(_) => return Step::Reply(refusal(400, "id is a member's number")),
        },
    };
    let timeout = service.options.request_timeout;
    Step::park(Ask::Transfer(target), timeout, Then::ConsulDone("{\"Success\":true}"))
}

/// `DELETE /v1/operator/raft/peer`: takes the member `?id=` or `?address=` out of the cluster.
pub(in crate::http) fn remove_peer(service: &Service, _: &str, request: &Request) -> Step {
    if let Err(refusal) = check_datacenter(request.query()) {
        return refusal.into();
    }
    let id = query::value(request.query(), "id");
    let address = query::value(request.query(), "address");
    let status = service.client.status();
    let member = match (&id, &address) {
        (Some(id), None) => status.members.iter().find(|it| Ok(it.id) == id.parse()),
        (None, Some(address)) => status.members.iter().find(|it| it.peer == *address),
        _ => return Step::Reply(refusal(400, "exactly one of id and address is needed")),
    };
    match member {
        None => Step::Reply(refusal(500, "no such peer in the Raft configuration")),
        Some(member) => {
            let timeout = service.options.request_timeout;
            Step::park(Ask::Remove(member.id), timeout, Then::ConsulDone(""))
        }
    }
}

/// `PUT /v1/agent/leave`: takes this node out of the cluster, after which it stops.
pub(in crate::http) fn leave(service: &Service, _: &str, _: &Request) -> Step {
    let own = service.client.status().id;
    Step::park(Ask::Remove(own), service.options.request_timeout, Then::ConsulDone(""))
}
