//! Golden scripts: what a cluster does, written down step by step.
//!
//! One scenario per file in `testscripts/`; the file name is the claim it shows. To write a new one,
//! write the commands and run the tests with `UPDATE_GOLDENFILES=1`; then read the output, for that
//! is the test. Messages are told when they are sent (`n1@2 → n2 …`: from node 1 in term 2), those
//! lost on a cut link as `↛`; events as `n1 | …`.

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;

use bytes::Bytes;
use goldenscript::Context;

use super::cluster::{Cluster, info};
use super::command::Command;
use super::show;
use crate::raft::{
    Append, Change, Entry, Envelope, Index, Message, NodeId, Options, Payload, Stamp, Term, Unfit,
};

/// Runs one script.
#[derive(Default)]
struct Script {
    cluster: Option<Cluster>,
}

type Outcome = Result<String, Box<dyn Error>>;

/// Picks messages on their way.
fn matching(
    cluster: &Cluster,
    nodes: &[NodeId],
    from: Option<NodeId>,
    kind: Option<&str>,
    max: Option<usize>,
) -> Vec<usize> {
    let wanted = |envelope: &Envelope| {
        (nodes.is_empty() || nodes.contains(&envelope.to))
            && from.is_none_or(|from| from == envelope.from)
            && kind.is_none_or(|kind| kind == envelope.message.name())
    };
    let all = cluster.network.iter().enumerate().filter(|(_, envelope)| wanted(envelope));
    all.map(|(at, _)| at).take(max.unwrap_or(usize::MAX)).collect()
}

/// Takes picked messages off the network, in order.
fn take(cluster: &mut Cluster, mut picked: Vec<usize>) -> Vec<Envelope> {
    picked.reverse();
    let mut taken: Vec<Envelope> =
        picked.into_iter().filter_map(|at| cluster.network.remove(at)).collect();
    taken.reverse();
    taken
}

/// `index@term`.
fn position(text: &str) -> Result<(Index, Term), Box<dyn Error>> {
    let (index, term) = text.split_once('@').ok_or("want index@term")?;
    Ok((index.parse()?, term.parse()?))
}

fn commands(text: &[String]) -> Vec<Bytes> {
    text.iter().map(|command| Bytes::from(command.clone())).collect()
}

impl Script {
    fn cluster(&mut self) -> Result<&mut Cluster, Box<dyn Error>> {
        self.cluster.as_mut().ok_or_else(|| "no cluster".into())
    }

    /// Commands that make up the scene.
    fn start(&mut self, command: &Command) -> Outcome {
        let Command::Cluster { voters, learners, leader, .. } = command else {
            return Err("not a cluster".into());
        };
        let mut options = Options::default();
        if let Command::Cluster { inflight: Some(n), .. } = command {
            options.inflight_messages = *n;
        }
        if let Command::Cluster { inflight_bytes: Some(n), .. } = command {
            options.inflight_bytes = *n;
        }
        if let Command::Cluster { append_bytes: Some(n), .. } = command {
            options.append_bytes_max = *n;
        }
        if let Command::Cluster { uncommitted_bytes: Some(n), .. } = command {
            options.uncommitted_bytes_max = *n;
        }
        if let Command::Cluster { tail_bytes: Some(n), .. } = command {
            options.tail_bytes_max = *n;
        }
        let mut cluster = Cluster::new(*voters, learners.unwrap_or(0), options, 1);
        cluster.deliver_all();
        if let Some(leader) = leader {
            cluster.input(*leader, |node, now| node.campaign(now));
            cluster.deliver_all();
            assert_eq!(cluster.leader(), Some(*leader), "not elected");
        }
        cluster.telling = true;
        self.cluster = Some(cluster);
        Ok(String::new())
    }

    /// Commands about the network and time.
    fn move_things(&mut self, command: &Command) -> Outcome {
        let cluster = self.cluster()?;
        let mut output = String::new();
        match command {
            Command::Run { ms } => {
                cluster.run(ms * 1000);
                cluster.told.retain(|line| !line.contains(" Heartbeat"));
            }
            Command::Advance { ms, nodes } => {
                let nodes = if nodes.is_empty() { cluster.up() } else { nodes.clone() };
                let until = cluster.time + ms * 1000;
                while cluster.tick_next(&nodes, until) {}
            }
            Command::Pause { ms } => cluster.time += ms * 1000,
            Command::Wall { ms } => cluster.wall_ms = cluster.wall_ms.saturating_add_signed(*ms),
            Command::Deliver { nodes, from, kind, max } => {
                let picked = matching(cluster, nodes, *from, kind.as_deref(), *max);
                for envelope in take(cluster, picked) {
                    cluster.deliver(envelope);
                }
            }
            Command::Drop { nodes, from, kind, max } => {
                let picked = matching(cluster, nodes, *from, kind.as_deref(), *max);
                for envelope in take(cluster, picked) {
                    writeln!(output, "{}", show::envelope(&envelope, true))?;
                }
            }
            Command::Repeat { nodes, from, kind } => {
                let picked = matching(cluster, nodes, *from, kind.as_deref(), None);
                let copies: Vec<_> = picked.iter().map(|at| cluster.network[*at].clone()).collect();
                cluster.network.extend(copies);
            }
            Command::Reverse => cluster.network.make_contiguous().reverse(),
            Command::Network => {
                for envelope in &cluster.network {
                    writeln!(output, "{}", show::envelope(envelope, false))?;
                }
            }
            Command::Stabilize => loop {
                cluster.deliver_all();
                let nodes = cluster.up();
                let moved = nodes.iter().filter(|id| cluster.persist(**id)).count();
                if moved == 0 && cluster.network.is_empty() {
                    break;
                }
            },
            Command::Cut { from, to } => {
                cluster.cuts.insert((*from, *to));
            }
            Command::Isolate(nodes) => {
                let all: Vec<NodeId> = cluster.hosts.keys().copied().collect();
                for inside in nodes {
                    for outside in all.iter().filter(|id| !nodes.contains(id)) {
                        cluster.cuts.extend([(*inside, *outside), (*outside, *inside)]);
                    }
                }
            }
            Command::Heal => cluster.cuts.clear(),
            _ => return Err("not about the network".into()),
        }
        Ok(output)
    }

    /// Commands that ask a node for something.
    fn ask(&mut self, command: &Command) -> Outcome {
        let cluster = self.cluster()?;
        match command {
            Command::Propose { id, commands: text } => {
                let commands = commands(text);
                let done = cluster.input(*id, |node, now| node.propose(now, commands));
                if let Err(why) = done {
                    return Ok(format!("n{id} refuses: {why}"));
                }
            }
            Command::ProposeBytes { id, size } => {
                let command = Bytes::from(vec![b'x'; *size]);
                let done = cluster.input(*id, |node, now| node.propose(now, vec![command]));
                if let Err(why) = done {
                    return Ok(format!("n{id} refuses: {why}"));
                }
            }
            Command::Change { id, based_on, .. } => {
                let change = Self::change(cluster, command)?;
                let based_on = *based_on;
                let propose = cluster.input(*id, |n, now| n.propose_change(now, change, based_on));
                if let Err(why) = propose {
                    return Ok(format!("n{id} refuses: {why}"));
                }
            }
            Command::Read { id, reads } => cluster.input(*id, |node, now| {
                reads.iter().for_each(|read| node.read_index(now, *read));
            }),
            Command::Transfer { id, to } => {
                let done = cluster.input(*id, |node, now| node.transfer(now, *to));
                return Ok(match done {
                    Ok(target) => format!("n{id} hands over to n{target}"),
                    Err(why) => format!("n{id} refuses: {why}"),
                });
            }
            Command::Gone { node, observers } => {
                for id in observers {
                    cluster.input(*id, |observer, now| observer.leader_gone(now, *node));
                }
            }
            Command::Campaign(nodes) => {
                for id in nodes {
                    cluster.input(*id, |node, now| node.campaign(now));
                }
            }
            Command::Tick(nodes) => {
                for id in nodes {
                    cluster.input(*id, |node, now| node.tick(now));
                }
            }
            _ => return Err("not a question".into()),
        }
        Ok(String::new())
    }

    fn change(cluster: &Cluster, command: &Command) -> Result<Change, Box<dyn Error>> {
        let Command::Change { id, add, promote, demote, remove, update, tag, .. } = command else {
            return Err("not a change".into());
        };
        let member = |member: &NodeId| cluster.node(*id).configuration().members.get(member);
        let changes = [
            add.map(|tag| Change::AddLearner(info(tag))),
            promote.map(Change::Promote),
            demote.map(Change::Demote),
            remove.map(Change::Remove),
            update.map(|id| {
                let mut changed = member(&id).map(|member| member.info.clone()).unwrap_or_default();
                changed.tag = tag.map_or(changed.tag, |tag| info(tag).tag);
                changed.peer = "elsewhere:7071".to_string();
                Change::Update(id, changed)
            }),
        ];
        changes.into_iter().flatten().next().ok_or_else(|| "no change".into())
    }

    /// Commands about disks and processes.
    fn run_machines(&mut self, command: &Command) -> Outcome {
        let cluster = self.cluster()?;
        match command {
            Command::Disk { mode, nodes } => {
                for id in nodes {
                    cluster.hosts.get_mut(id).ok_or("no such node")?.auto_disk = mode == "auto";
                    cluster.input(*id, |_, _| ());
                }
            }
            Command::Persist { id, writes } => {
                for _ in 0..writes.unwrap_or(1) {
                    assert!(cluster.persist(*id), "nothing to write");
                }
            }
            Command::LogReads { mode, nodes } => {
                for id in nodes {
                    cluster.hosts.get_mut(id).ok_or("no such node")?.auto_reads = mode == "auto";
                }
            }
            Command::ServeLogRead { id } => {
                assert!(cluster.serve_log_read(*id), "nothing to read");
                cluster.input(*id, |_, _| ());
            }
            Command::Release(nodes) => {
                for id in nodes {
                    cluster.input(*id, |node, _| node.release_memory(node.commit()));
                }
            }
            Command::Crash(nodes) => nodes.iter().for_each(|id| cluster.crash(*id)),
            Command::Restart(nodes) => {
                for id in nodes {
                    if cluster.is_up(*id) {
                        cluster.crash(*id);
                    }
                    cluster.start(*id, 0);
                }
            }
            Command::Join { id } => cluster.join(*id),
            Command::Purge { id, index } => cluster.purge(*id, *index),
            Command::Install { id, from, at } => cluster.install(*id, *from, *at),
            Command::Forget { id, entries } => cluster.forget(*id, *entries),
            Command::Unfit { why, nodes } => {
                let unfit = match why.as_str() {
                    "disk" => Some(Unfit::DiskStalled),
                    "state" => Some(Unfit::StateLost),
                    "fit" => None,
                    other => return Err(format!("unfit because of {other}").into()),
                };
                for id in nodes {
                    cluster.input(*id, |node, now| node.set_unfit(now, unfit));
                }
            }
            Command::Full { full, nodes } => {
                for id in nodes {
                    cluster.input(*id, |node, now| node.set_full(now, *full));
                }
            }
            _ => return Err("not about machines".into()),
        }
        Ok(String::new())
    }

    /// Commands that tell the state.
    fn look(&mut self, command: &Command) -> Outcome {
        let cluster = self.cluster()?;
        let some = |nodes: &[NodeId]| match nodes {
            [] => cluster.up(),
            nodes => nodes.to_vec(),
        };
        let mut output = String::new();
        match command {
            Command::Status { nodes } => {
                for id in some(nodes) {
                    let node = cluster.node(id);
                    let leader = node.leader().map_or("nobody".to_string(), |id| format!("n{id}"));
                    let (term, role) = (node.term(), node.role_kind());
                    write!(output, "n{id}@{term} {role} leader={leader} ")?;
                    let (last, durable, commit) =
                        (node.last_index(), node.durable(), node.commit());
                    let last_term = node.term_at(last).ok_or("a term")?;
                    write!(output, "last={last}@{last_term} durable={durable} commit={commit} ")?;
                    let voters: Vec<NodeId> = node.configuration().voters().collect();
                    write!(
                        output,
                        "configuration={} voters={voters:?}",
                        node.configuration_index()
                    )?;
                    let learners: Vec<NodeId> = node.configuration().learners().collect();
                    write!(output, " learners={learners:?}")?;
                    let (start, start_term) = node.log_start();
                    if start > 0 {
                        write!(output, " start={start}@{start_term}")?;
                    }
                    writeln!(output, "{}", if node.is_recovering() { " recovering" } else { "" })?;
                }
            }
            Command::Log { nodes } => {
                for id in some(nodes) {
                    let node = cluster.node(id);
                    let terms = (node.log_start().0 + 1..=node.last_index()).map(|i| {
                        let term = node.term_at(i).expect("within the log");
                        format!("{i}@{term}")
                    });
                    writeln!(output, "n{id} {}", terms.collect::<Vec<_>>().join(" "))?;
                }
            }
            Command::Stamps { id } => {
                let node = cluster.node(*id);
                for entry in node.entries(1, node.last_index(), usize::MAX).ok_or("not here")? {
                    let Stamp { clock_ms, wall_ms } = entry.stamp;
                    writeln!(output, "{} clock={clock_ms} wall={wall_ms}", entry.index)?;
                }
            }
            Command::Progress { id } => {
                for view in cluster.node(*id).progress() {
                    let state = format!("{:?}", view.state).to_lowercase();
                    write!(output, "n{} {state} match={} ", view.id, view.match_index)?;
                    write!(output, "next={} inflight={} ", view.next, view.inflight)?;
                    write!(output, "{}", if view.active { "active" } else { "silent" })?;
                    write!(output, "{}", if view.recovering { " recovering" } else { "" })?;
                    writeln!(output, "{}", if view.full { " full" } else { "" })?;
                }
            }
            _ => return Err("nothing to look at".into()),
        }
        Ok(output)
    }

    /// A message that nobody sent.
    fn inject(&mut self, command: &Command) -> Outcome {
        let Command::Inject {
            from,
            to,
            term,
            kind,
            prev,
            entries,
            commit,
            index,
            hint,
            round,
            nonce,
        } = command
        else {
            return Err("not a message".into());
        };
        let nonce = nonce.unwrap_or(0);
        let (prev_index, prev_term) = position(prev.as_deref().unwrap_or("0@0"))?;
        let (hint_index, hint_term) = position(hint.as_deref().unwrap_or("0@0"))?;
        let (index, commit) = (index.unwrap_or(0), commit.unwrap_or(0));
        let mut new = Vec::new();
        for text in entries.iter().flat_map(|text| text.split('/')) {
            let (index, term) = position(text)?;
            new.push(Entry { index, term, stamp: Stamp::default(), payload: Payload::Noop });
        }
        let message = match kind.as_str() {
            "append" => Message::Append(Append { prev_index, prev_term, entries: new, commit }),
            "accepted" => Message::AppendAccepted { match_index: index },
            "rejected" => Message::AppendRejected { prev_index, hint_index, hint_term },
            "heartbeat" => Message::Heartbeat { commit, round: round.unwrap_or(0) },
            "heartbeat-response" => Message::HeartbeatResponse {
                round: round.unwrap_or(0),
                last_index: index,
                full: false,
            },
            "prevote" => Message::PreVote { last_index: prev_index, last_term: prev_term },
            "vote" => {
                Message::Vote { last_index: prev_index, last_term: prev_term, transfer: false }
            }
            "vote-yes" => Message::VoteResponse { granted: true },
            "timeout-now" => Message::TimeoutNow,
            "read-response" => Message::ReadIndexResponse { id: index, index: Some(commit) },
            "read" => Message::ReadIndex { id: index },
            "fetch-state" => Message::FetchState { start: index },
            "recovering" => Message::Recovering { nonce, last_index: index },
            "recover-to" => Message::RecoverTo { nonce, index },
            "holds" => Message::Holds { index: prev_index, term: prev_term, nonce },
            "removed" => Message::Removed { index },
            other => return Err(format!("no message {other}").into()),
        };
        let envelope = Envelope { from: *from, to: *to, term: *term, message };
        let receiver = if self.cluster()?.is_up(*to) { *to } else { 1 };
        self.cluster()?.input(receiver, |node, now| node.step(now, envelope));
        Ok(String::new())
    }
}

impl goldenscript::Runner for Script {
    type Command = Command;

    fn run(&mut self, command: &Command, _: &Context) -> Outcome {
        let said = match command {
            Command::Cluster { .. } => self.start(command)?,
            Command::Run { .. }
            | Command::Advance { .. }
            | Command::Pause { .. }
            | Command::Wall { .. }
            | Command::Deliver { .. }
            | Command::Drop { .. }
            | Command::Repeat { .. }
            | Command::Reverse
            | Command::Network
            | Command::Stabilize
            | Command::Cut { .. }
            | Command::Isolate(_)
            | Command::Heal => self.move_things(command)?,
            Command::Propose { .. }
            | Command::ProposeBytes { .. }
            | Command::Change { .. }
            | Command::Read { .. }
            | Command::Transfer { .. }
            | Command::Gone { .. }
            | Command::Campaign(_)
            | Command::Tick(_) => self.ask(command)?,
            Command::Disk { .. }
            | Command::Persist { .. }
            | Command::LogReads { .. }
            | Command::ServeLogRead { .. }
            | Command::Release(_)
            | Command::Crash(_)
            | Command::Restart(_)
            | Command::Join { .. }
            | Command::Purge { .. }
            | Command::Install { .. }
            | Command::Forget { .. }
            | Command::Unfit { .. }
            | Command::Full { .. } => self.run_machines(command)?,
            Command::Status { .. }
            | Command::Log { .. }
            | Command::Stamps { .. }
            | Command::Progress { .. } => self.look(command)?,
            Command::Inject { .. } => self.inject(command)?,
        };
        let cluster = self.cluster()?;
        cluster.reads.clear();
        let mut lines = std::mem::take(&mut cluster.told);
        lines.extend(said.lines().map(str::to_string));
        Ok(lines.join("\n"))
    }
}

/// Runs all scripts; each that differs from what is written in it fails the test, after all ran.
#[test]
fn scripts() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/raft/testscripts");
    let mut paths: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 120, "only {} scripts", paths.len());
    let failed: Vec<_> = paths
        .iter()
        .filter(|path| {
            let run = || goldenscript::run(&mut Script::default(), path).unwrap();
            std::panic::catch_unwind(run).is_err()
        })
        .collect();
    assert!(failed.is_empty(), "scripts that show something else: {failed:#?}");
}
