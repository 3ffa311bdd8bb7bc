//! Golden scripts: one claim per file, and the file's name is the claim.
//!
//! A script drives a simulated network of nodes and shows what they conclude, and what they send
//! where it asks for it with the tag `[packets]` or `[exchanges]`. `UPDATE_GOLDENFILES=1` rewrites
//! the expected outputs; read the difference before believing it.

#![allow(clippy::unwrap_used)]

mod common;

use core::fmt::Write as _;
use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;

use bowline_gossip::packet::{Message, Packet};
use bowline_gossip::push_pull::Kind;
use bowline_gossip::{Config, Member, Micros, NodeId, Rumour, Status};
use common::{CLUSTER, Net, Seen, addr, member, packet};

/// What a script can say. Nodes are called by their numbers, times are seconds.
#[derive(goldenscript::Command)]
enum Command {
    /// Starts nodes 1 to N, all configured, and lets them get to know each other silently. The
    /// clock then shows 0.
    Cluster {
        nodes: u64,
        #[arg(key)]
        seed: Option<u64>,
        /// Seconds between push-pulls; a large number turns them off.
        #[arg(key)]
        push_pull: Option<f64>,
        /// Seconds between calls of lost contacts; a large number turns them off.
        #[arg(key)]
        contact: Option<f64>,
        #[arg(key)]
        forget: Option<f64>,
        #[arg(key)]
        to_dead: Option<f64>,
        /// Seconds between probes (the timeout stays half of it); a large number turns them off.
        #[arg(key)]
        probe: Option<f64>,
        #[arg(key)]
        helpers: Option<usize>,
    },
    /// Lets time pass.
    Run(f64),
    /// Lets time pass until an event holds the text (at most 200 s).
    Until(String),
    /// Ends a process without a word.
    Kill(Vec<NodeId>),
    /// Starts a process again, by default with incarnation 0.
    Restart {
        id: NodeId,
        #[arg(key, optional)]
        incarnation: u64,
        #[arg(key)]
        addr: Option<String>,
    },
    /// Commits a new node to the configuration and starts it with the roster of `via`.
    Join {
        id: NodeId,
        #[arg(key)]
        via: Option<NodeId>,
    },
    /// Starts a process that nobody has configured; it only knows the configuration.
    Intrude(NodeId),
    /// Takes a node from the configuration.
    Expel(NodeId),
    /// Says good-bye.
    Leave(NodeId),
    /// Gives a running node another address.
    Move { id: NodeId, to: String },
    /// Stops a process for some seconds; what arrives waits.
    Pause { id: NodeId, seconds: f64 },
    /// Cuts the named nodes off from the others.
    Partition(Vec<NodeId>),
    /// Cuts one direction.
    Cut { from: NodeId, to: NodeId },
    /// Cuts one direction for datagrams only.
    CutUdp { from: NodeId, to: NodeId },
    /// Ends all cuts.
    Heal,
    /// Makes `from` state something about `about` in a packet to `to`.
    Tell {
        #[arg(key)]
        from: NodeId,
        #[arg(key)]
        to: NodeId,
        #[arg(key)]
        about: NodeId,
        #[arg(key)]
        status: String,
        #[arg(key, optional)]
        incarnation: u64,
        #[arg(key)]
        by: Option<NodeId>,
        /// The subject's tag, if not its own.
        #[arg(key)]
        tag: Option<u8>,
        /// The subject's address, if not its own.
        #[arg(key)]
        addr: Option<String>,
    },
    /// Sends a ping or a ping request; `spoil` makes it bad in some way.
    Ask {
        kind: String,
        #[arg(key)]
        from: NodeId,
        #[arg(key)]
        to: NodeId,
        #[arg(key)]
        target: Option<NodeId>,
        #[arg(key)]
        spoil: Option<String>,
    },
    /// Hands the roster of one node to another, as the answer of a push-pull.
    Exchange {
        #[arg(key)]
        from: NodeId,
        #[arg(key)]
        to: NodeId,
    },
    /// Shows rosters: of one node, or whether all running ones are equal.
    Members(Option<NodeId>),
    /// Shows the counters of a node that are not 0.
    Counters(NodeId),
    /// Shows when nodes want to be woken.
    Deadline(NodeId),
}

struct Runner {
    net: Net,
    /// What the clock shows as 0.
    zero: Micros,
    /// Probe numbers in the order of their appearance.
    numbers: BTreeMap<u64, usize>,
}

impl Runner {
    fn new() -> Runner {
        Runner { net: Net::new(0, Config::lan(CLUSTER)), zero: Micros(0), numbers: BTreeMap::new() }
    }

    /// What was seen since the last time, as far as the tags ask for it.
    fn report(&mut self, tags: &BTreeSet<String>) -> String {
        let mut out = String::new();
        for (at, seen) in core::mem::take(&mut self.net.seen) {
            let at = at - Duration::from_micros(self.zero.0);
            match seen {
                Seen::Event { node, event } => writeln!(out, "{at} n{node}: {event}").unwrap(),
                Seen::Packet { from, to, packet, lost } if tags.contains("packets") => {
                    let text = self.packet(&packet);
                    let arrow = if lost { "✗" } else { "→" };
                    let (from, to) = (self.name(from), self.name(to));
                    writeln!(out, "{at} {from} {arrow} {to} {text}").unwrap();
                }
                Seen::Exchange { from, to, kind, rows, lost } if tags.contains("exchanges") => {
                    let arrow = if lost { "✗" } else { "⇒" };
                    let kind = if kind == Kind::Request { "push-pull" } else { "push-pull answer" };
                    let rows = rumours(&rows);
                    writeln!(out, "{at} n{from} {arrow} n{to} {kind}{rows}").unwrap();
                }
                _ => {}
            }
        }
        for (at, node, error) in core::mem::take(&mut self.net.errors) {
            let at = at - Duration::from_micros(self.zero.0);
            writeln!(out, "{at} n{node} refuses a packet: {error}").unwrap();
        }
        out
    }

    fn name(&self, addr: SocketAddr) -> String {
        match self.net.nodes.iter().find(|(_, n)| n.addr == addr) {
            Some((id, _)) => format!("n{id}"),
            None => addr.to_string(),
        }
    }

    fn number(&mut self, number: u64) -> String {
        let next = self.numbers.len() + 1;
        format!("#{}", self.numbers.entry(number).or_insert(next))
    }

    fn packet(&mut self, packet: &Packet) -> String {
        let text = match packet.message {
            Message::Ping { probe, target, introduce } => {
                let who = if introduce { " who are you?" } else { "" };
                format!("ping n{target} {}{who}", self.number(probe))
            }
            Message::Ack { probe } => format!("ack {}", self.number(probe)),
            Message::PingRequest { probe, target } => {
                format!("please ping n{target} {}", self.number(probe))
            }
            Message::Nack { probe } => format!("nack {}", self.number(probe)),
            Message::Gossip => "gossip".into(),
        };
        text + &rumours(&packet.rumours)
    }

    fn cluster(&mut self, nodes: u64, seed: u64, config: Config) -> String {
        self.net = Net::new(seed, config);
        for id in 1..=nodes {
            self.net.admit(id);
        }
        for id in 1..=nodes {
            self.net.start(member(id, 0, Status::Alive));
        }
        for from in 1..=nodes {
            for to in (1..=nodes).filter(|to| *to != from) {
                let body = self.net.gossip(from).roster_body();
                self.net.call(to, |g, now| g.on_push_pull(now, from, &body)).unwrap();
            }
        }
        self.net.run(Duration::from_secs(9));
        assert!(self.net.converged(), "a calm cluster converges");
        self.net.seen.clear();
        self.zero = self.net.now;
        format!("{nodes} nodes know each other\n")
    }

    fn members(&mut self, id: NodeId) -> String {
        let mut out = String::new();
        for m in self.net.gossip(id).members() {
            write!(out, " n{} {}@{}", m.id, m.status, m.incarnation).unwrap();
            if m.peer != addr(m.id) {
                write!(out, " at {}", m.peer).unwrap();
            }
        }
        out
    }

    fn spoiled(&self, mut packet: Packet, how: Option<&str>) -> Vec<u8> {
        match how {
            None => packet.encode(),
            Some("cluster") => {
                packet.cluster = [1; 16];
                packet.encode()
            }
            Some("tag") => {
                packet.tag = [0xff; 16];
                packet.encode()
            }
            Some("crc") => {
                let mut bytes = packet.encode();
                *bytes.last_mut().unwrap() ^= 1;
                bytes
            }
            Some("format") => {
                let mut bytes = packet.encode();
                bytes[4] = 9;
                bytes
            }
            Some("size") => vec![0; self.net.config.max_packet + 1],
            Some(how) => panic!("cannot spoil the {how}"),
        }
    }
}

fn rumours(rumours: &[Rumour]) -> String {
    if rumours.is_empty() {
        return String::new();
    }
    let one = |r: &Rumour| {
        let by = if r.by == r.member.id { String::new() } else { format!(" by n{}", r.by) };
        format!("n{} {}@{}{by}", r.member.id, r.member.status, r.member.incarnation)
    };
    format!(" [{}]", rumours.iter().map(one).collect::<Vec<_>>().join(", "))
}

fn status(text: &str) -> Result<Status, String> {
    Ok(match text {
        "alive" => Status::Alive,
        "suspect" => Status::Suspect,
        "down" => Status::Down,
        "left" => Status::Left,
        _ => return Err(format!("no status {text}")),
    })
}

impl goldenscript::Runner for Runner {
    type Command = Command;

    fn run(
        &mut self,
        command: &Command,
        context: &goldenscript::Context,
    ) -> Result<String, Box<dyn Error>> {
        let mut out = String::new();
        match command {
            Command::Cluster {
                nodes,
                seed,
                push_pull,
                contact,
                forget,
                to_dead,
                probe,
                helpers,
            } => {
                let lan = Config::lan(CLUSTER);
                let secs = |s: &Option<f64>, or| s.map_or(or, Duration::from_secs_f64);
                let config = Config {
                    push_pull_interval: secs(push_pull, lan.push_pull_interval),
                    contact_interval: secs(contact, lan.contact_interval),
                    forget_after: secs(forget, lan.forget_after),
                    gossip_to_dead: secs(to_dead, lan.gossip_to_dead),
                    probe_interval: secs(probe, lan.probe_interval),
                    indirect_checks: helpers.unwrap_or(lan.indirect_checks),
                    ..lan
                };
                out += &self.cluster(*nodes, seed.unwrap_or(1), config);
            }
            Command::Run(seconds) => self.net.run(Duration::from_secs_f64(*seconds)),
            Command::Until(text) => {
                let end = self.net.now + Duration::from_secs(200);
                let mut checked = 0;
                loop {
                    let found = self.net.seen[checked..].iter().any(|(_, seen)| match seen {
                        Seen::Event { event, .. } => event.to_string().contains(text.as_str()),
                        _ => false,
                    });
                    if found {
                        break;
                    }
                    checked = self.net.seen.len();
                    if !self.net.step(end) {
                        return Err(format!("waited in vain for {text:?}").into());
                    }
                }
            }
            Command::Kill(ids) => ids.iter().for_each(|id| self.net.kill(*id)),
            Command::Restart { id, incarnation, addr } => {
                let mut me = member(*id, *incarnation, Status::Alive);
                if let Some(addr) = addr {
                    me.peer = addr.parse()?;
                }
                self.net.start(me);
            }
            Command::Join { id, via } => {
                self.net.admit(*id);
                self.net.start(member(*id, 0, Status::Alive));
                if let Some(via) = via {
                    let body = self.net.gossip(*via).roster_body();
                    self.net.call(*id, |g, now| g.on_push_pull(now, *via, &body))?;
                }
            }
            Command::Intrude(id) => self.net.start(member(*id, 0, Status::Alive)),
            Command::Expel(id) => self.net.expel(*id),
            Command::Leave(id) => self.net.call(*id, bowline_gossip::Gossip::leave),
            Command::Move { id, to } => {
                let peer = to.parse()?;
                self.net.nodes.get_mut(id).unwrap().addr = peer;
                let me = Member { peer, ..self.net.gossip(*id).me().clone() };
                self.net.call(*id, |g, now| g.update_me(now, me));
            }
            Command::Pause { id, seconds } => {
                let until = self.net.now + Duration::from_secs_f64(*seconds);
                self.net.nodes.get_mut(id).unwrap().paused = Some(until);
            }
            Command::Partition(side) => {
                self.net.partition(&side.iter().copied().collect::<BTreeSet<_>>());
            }
            Command::Cut { from, to } => {
                self.net.cuts.insert((*from, *to));
            }
            Command::CutUdp { from, to } => {
                self.net.udp_cuts.insert((*from, *to));
            }
            Command::Heal => self.net.heal(),
            Command::Tell { from, to, about, status: s, incarnation, by, tag, addr } => {
                let mut subject = member(*about, *incarnation, status(s)?);
                if let Some(byte) = tag {
                    subject.tag = [*byte; 16];
                }
                if let Some(addr) = addr {
                    subject.peer = addr.parse()?;
                }
                let by = by.unwrap_or(*about);
                let news = vec![Rumour { member: subject, by }];
                let bytes = packet(*from, Message::Gossip, news).encode();
                let (from, to) = (common::addr(*from), self.net.nodes[to].addr);
                self.net.send(from, to, bytes);
                self.net.run(Duration::from_millis(1));
            }
            Command::Ask { kind, from, to, target, spoil } => {
                let target = target.unwrap_or(*to);
                let message = match kind.as_str() {
                    "ping" => Message::Ping { probe: 77, target, introduce: false },
                    "ping-request" => Message::PingRequest { probe: 77, target },
                    "ack" => Message::Ack { probe: 77 },
                    kind => return Err(format!("cannot ask a {kind}").into()),
                };
                let bytes = self.spoiled(packet(*from, message, vec![]), spoil.as_deref());
                let source = addr(*from);
                let result = self.net.call(*to, |g, now| g.on_packet(now, source, &bytes));
                match result {
                    Ok(()) => {}
                    Err(error) => writeln!(out, "n{to} refuses: {error}")?,
                }
            }
            Command::Exchange { from, to } => {
                let body = self.net.gossip(*from).roster_body();
                let result = self.net.call(*to, |g, now| g.on_push_pull(now, *from, &body));
                if let Err(error) = result {
                    writeln!(out, "n{to} refuses: {error}")?;
                }
            }
            Command::Members(Some(id)) => {
                out += &format!("n{id}:{}\n", self.members(*id));
            }
            Command::Members(None) => {
                let mut views: BTreeMap<String, Vec<String>> = BTreeMap::new();
                for id in self.net.running() {
                    views.entry(self.members(id)).or_default().push(format!("n{id}"));
                }
                for (view, who) in views {
                    writeln!(out, "{}:{view}", who.join(" "))?;
                }
            }
            Command::Counters(id) => {
                let c = *self.net.gossip(*id).counters();
                for (name, count) in [
                    ("bad", c.packets_bad),
                    ("strangers", c.strangers),
                    ("impostors", c.impostors),
                    ("misaddressed", c.misaddressed),
                    ("stale acks", c.stale_acks),
                    ("relays refused", c.relays_refused),
                    ("roster full", c.roster_full),
                ] {
                    if count > 0 {
                        writeln!(out, "n{id} {name}: {count}")?;
                    }
                }
            }
            Command::Deadline(id) => {
                let deadline = self.net.gossip(*id).deadline();
                let text = match deadline {
                    Micros::NEVER => "never".to_string(),
                    at => format!("in {:?}", at.since(self.net.now)),
                };
                writeln!(out, "n{id} wants to be woken {text}")?;
            }
        }
        out += &self.report(&context.tags);
        Ok(out)
    }
}

#[test]
fn scripts() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testscripts");
    let mut paths: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 25, "only {} scripts", paths.len());
    let mut failed = Vec::new();
    for path in paths {
        let run = std::panic::catch_unwind(|| goldenscript::run(&mut Runner::new(), &path));
        if !matches!(run, Ok(Ok(()))) {
            eprintln!("{}: {run:?}", path.display());
            failed.push(path.file_name().unwrap().to_owned());
        }
    }
    assert!(failed.is_empty(), "failed: {failed:?}");
}
