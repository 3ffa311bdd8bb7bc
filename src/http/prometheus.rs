//! `GET /metrics`, in the text format of Prometheus.

use std::fmt::{Display, Write};

use super::reply::{Body, Response};
use super::routes::{MALFORMED, ROUTES, UNMATCHED};
use super::service::{Service, Step};
use super::wire::Request;
use crate::membership::RosterStatus;
use crate::metrics::{Histogram, Metrics};
use crate::node::{Client, DiskHealth, Phase, Status};
use crate::state::{Standing, Summary};

const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All that this node counts and knows, from memory alone: a disk that hangs is to be seen here, not
/// to be waited for.
pub(super) fn page(service: &Service, _: &str, _: &Request) -> Step {
    let client = &service.client;
    let (applied, meta) = client.applied();
    let mut page = Page(String::with_capacity(8 * 1024));
    let version = format!("version=\"{}\"", env!("CARGO_PKG_VERSION"));
    page.family("info", "gauge", "The program.");
    page.sample("info", &version, 1);
    raft(&mut page, &client.status());
    page.one("applied_index", "gauge", "Index of the last entry in the state.", applied);
    if let Ok(summary) = Summary::decode(&meta) {
        page.one("links", "gauge", "Live links.", summary.links);
        page.one("revision", "counter", "Commands that changed the state.", summary.revision);
        let version = summary.cluster_version;
        page.one("cluster_version", "gauge", "Version of the rules in force.", version);
    }
    if let Ok(Standing { board, .. }) = Standing::decode(&meta) {
        page.one("board_users", "gauge", "Accounts of the link board.", board.users);
        page.one("board_posts", "gauge", "Posts that are shown.", board.posts);
        page.one("board_comments", "gauge", "Comments that were not taken away.", board.comments);
    }
    roster(&mut page, client);
    counters(&mut page, &client.metrics);
    let waiting = client.passwords.waiting();
    page.one("password_waiting", "gauge", "Passwords that wait for a thread.", waiting);
    requests(&mut page, &client.metrics);
    let body = Body::Bytes(page.0.into());
    Response { content_type: FORMAT, body, ..Response::new(200) }.at(applied).into()
}

fn raft(page: &mut Page, status: &Status) {
    page.one("term", "gauge", "Current term.", status.term);
    page.family("role", "gauge", "1 for the role that the node is in, 0 for the others.");
    for (phase, name) in [
        (Phase::Joining, "joining"),
        (Phase::Learner, "learner"),
        (Phase::Follower, "follower"),
        (Phase::Candidate, "candidate"),
        (Phase::Leader, "leader"),
        (Phase::Removed, "removed"),
        (Phase::Stopping, "stopping"),
    ] {
        page.sample("role", &format!("role=\"{name}\""), u8::from(status.phase == phase));
    }
    page.one(
        "leader_id",
        "gauge",
        "Whom the node follows; 0 for nobody.",
        status.leader.unwrap_or(0),
    );
    page.one("node_id", "gauge", "Id of this node; 0 until admitted.", status.id);
    page.one("last_index", "gauge", "Last index of the log.", status.last_index);
    page.one("durable_index", "gauge", "Last index that is on this disk.", status.durable_index);
    page.one("commit_index", "gauge", "Last index known to be committed.", status.commit_index);
    page.one("caught_up", "gauge", "Whether reads are fresh.", u8::from(status.caught_up));
    page.one("log_start_index", "gauge", "The log begins behind it.", status.log_start);
    page.one(
        "recovering",
        "gauge",
        "Whether the node may have lost some of its log, and does not vote.",
        u8::from(status.recovering.is_some()),
    );
    page.one(
        "state_lost",
        "gauge",
        "Whether the state is not to be trusted, and is not served.",
        u8::from(status.state_lost.is_some()),
    );
    page.one(
        "disk_full",
        "gauge",
        "Whether the disk has no room for writes of clients.",
        u8::from(status.disk == DiskHealth::Full),
    );
    page.one(
        "disk_stalled",
        "gauge",
        "Whether a write to the log hangs.",
        u8::from(status.disk == DiskHealth::Stalled),
    );
    page.one(
        "pending_writes",
        "gauge",
        "Writes that wait for their answer.",
        status.pending_writes,
    );
    let voters = status.members.iter().filter(|member| member.voter).count();
    page.family("members", "gauge", "Members of the configuration.");
    page.sample("members", "role=\"voter\"", voters);
    page.sample("members", "role=\"learner\"", status.members.len() - voters);
}

fn roster(page: &mut Page, client: &Client) {
    let roster = client.roster.current();
    page.family("roster", "gauge", "Members in the gossiped list.");
    for (status, name) in [
        (RosterStatus::Alive, "alive"),
        (RosterStatus::Suspect, "suspect"),
        (RosterStatus::Down, "down"),
        (RosterStatus::Left, "left"),
    ] {
        let count = roster.iter().filter(|entry| entry.status == status).count();
        page.sample("roster", &format!("status=\"{name}\""), count);
    }
}

fn counters(page: &mut Page, metrics: &Metrics) {
    page.histogram("log_fsync_seconds", "Time of each fdatasync of the log.", &metrics.log_fsync);
    page.histogram("checkpoint_seconds", "Time of each checkpoint.", &metrics.checkpoint_time);
    for (name, help, counter) in [
        ("log_writes_total", "Group commits to the log.", &metrics.log_writes),
        ("log_entries_total", "Entries written to the log.", &metrics.log_entries),
        ("log_bytes_total", "Bytes written to the log.", &metrics.log_bytes),
        ("applied_entries_total", "Entries applied.", &metrics.applied_entries),
        ("checkpoints_total", "Checkpoints completed.", &metrics.checkpoints),
        ("apply_pauses_total", "Times applying waited for a checkpoint.", &metrics.apply_pauses),
        (
            "checkpoint_waits_total",
            "Times a checkpoint waited for room on the disk.",
            &metrics.checkpoint_waits,
        ),
        (
            "merges_put_off_total",
            "Times merging was put off for want of room.",
            &metrics.merges_put_off,
        ),
        ("snapshots_made_total", "States written out for other nodes.", &metrics.snapshots_made),
        ("snapshots_built_total", "States of others built.", &metrics.snapshots_built),
        ("snapshot_sent_bytes_total", "Bytes of states sent.", &metrics.snapshot_bytes_sent),
        (
            "snapshot_received_bytes_total",
            "Bytes of states received.",
            &metrics.snapshot_bytes_received,
        ),
        ("proposals_total", "Writes taken from clients.", &metrics.proposals),
        (
            "proposals_refused_total",
            "Requests refused by a full queue.",
            &metrics.proposals_refused,
        ),
        ("forwards_total", "Writes sent to the leader.", &metrics.forwards),
        (
            "digests_differ_total",
            "Audits in which no state had a majority: look into it.",
            &metrics.digests_differ,
        ),
        ("elections_total", "Elections started.", &metrics.elections),
        ("leader_changes_total", "Times another leader was seen.", &metrics.leader_changes),
        ("peer_refused_total", "Connections refused at the peer port.", &metrics.peer_refused),
        ("gossip_received_total", "Gossip packets received.", &metrics.gossip_received),
        ("gossip_sent_total", "Gossip packets sent.", &metrics.gossip_sent),
        ("gossip_refused_total", "Gossip packets dropped as foreign.", &metrics.gossip_refused),
        (
            "watch_wakeups_total",
            "Times somebody who waits was told of a change.",
            &metrics.watch_wakeups,
        ),
        (
            "watches_refused_total",
            "Requests that could not wait because too many did.",
            &metrics.watches_refused,
        ),
        ("password_jobs_total", "Passwords hashed or checked.", &metrics.password_jobs),
        (
            "password_refused_total",
            "Passwords that were not, because as many waited as may.",
            &metrics.password_refused,
        ),
        ("http_timeouts_total", "Connections closed for slowness.", &metrics.http_timeouts),
        ("http_shed_total", "Idle connections closed for room.", &metrics.http_shed),
    ] {
        page.one(name, "counter", help, counter.get());
    }
    page.one("watches", "gauge", "Requests that wait for changes.", metrics.watches.get());
    page.family("data_bytes", "gauge", "What the data directory takes on disk.");
    for (part, gauge) in [
        ("log", &metrics.data_log_bytes),
        ("state", &metrics.data_state_bytes),
        ("snapshots", &metrics.data_snapshot_bytes),
        ("other", &metrics.data_other_bytes),
    ] {
        page.sample("data_bytes", &format!("part=\"{part}\""), gauge.get());
    }
    page.family("messages_dropped_total", "counter", "Peer messages dropped by a full queue.");
    page.sample("messages_dropped_total", "queue=\"inbox\"", metrics.inbox_dropped.get());
    page.sample("messages_dropped_total", "queue=\"outbox\"", metrics.outbox_dropped.get());
    let closed = metrics.http_closed.get();
    let opened = metrics.http_opened.get();
    page.one("http_connections_total", "counter", "Connections accepted.", opened);
    page.one("http_connections", "gauge", "Connections open.", opened.saturating_sub(closed));
}

fn requests(page: &mut Page, metrics: &Metrics) {
    page.family("http_requests_total", "counter", "Requests answered.");
    for (route, status, count) in metrics.http_requests.read() {
        let labels = match route {
            UNMATCHED => format!("route=\"unmatched\",status=\"{status}\""),
            MALFORMED => format!("route=\"malformed\",status=\"{status}\""),
            number => {
                let route = &ROUTES[number];
                let method = route.methods[0].name();
                format!("method=\"{method}\",route=\"{}\",status=\"{status}\"", route.path)
            }
        };
        page.sample("http_requests_total", &labels, count);
    }
}

struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP bowline_{name} {help}\n# TYPE bowline_{name} {kind}"));
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl Display) {
        self.line(format_args!("bowline_{name}{{{labels}}} {value}"));
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.line(format_args!("bowline_{name} {value}"));
    }

    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        let (buckets, count, sum_us) = histogram.read();
        self.family(name, "histogram", help);
        let mut below = 0;
        for (bound_us, bucket) in Histogram::BOUNDS_US.iter().zip(buckets) {
            below += bucket;
            let bound = *bound_us as f64 / 1e6;
            self.line(format_args!("bowline_{name}_bucket{{le=\"{bound}\"}} {below}"));
        }
        // A sample may have been counted between the reads; the buckets must never exceed the whole.
        let count = count.max(below);
        self.line(format_args!("bowline_{name}_bucket{{le=\"+Inf\"}} {count}"));
        self.line(format_args!("bowline_{name}_sum {}", sum_us as f64 / 1e6));
        self.line(format_args!("bowline_{name}_count {count}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.0, "{line}").expect("a String takes everything");
    }
}
