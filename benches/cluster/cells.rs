//! What is measured in a closed loop, one cell of the table each.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

use super::connection::{Answer, get, put};
use super::load::{self, Sample, Work};
use super::nodes::{Cluster, NODES, eventually};

/// Links that are there to be read.
const PRELOADED: usize = 10_000;
/// Length of the URLs.
const URL_BYTES: usize = 60;

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `PUT /` of a URL that was never seen.
    Write,
    /// `GET` of a link that is there.
    Read,
    /// `GET` of one that is not, which the leader confirms.
    Miss,
}

/// A line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    /// What it is called; `--only` looks here.
    pub name: &'static str,
    /// What the clients ask for.
    pub kind: Kind,
    /// Whether they ask the leader, or a follower.
    pub at_leader: bool,
    /// How many there are.
    pub clients: usize,
}

/// All of them.
pub const CELLS: [Cell; 9] = [
    Cell { name: "write-leader-1", kind: Kind::Write, at_leader: true, clients: 1 },
    Cell { name: "write-leader-16", kind: Kind::Write, at_leader: true, clients: 16 },
    Cell { name: "write-leader-64", kind: Kind::Write, at_leader: true, clients: 64 },
    Cell { name: "write-leader-256", kind: Kind::Write, at_leader: true, clients: 256 },
    Cell { name: "write-follower-1", kind: Kind::Write, at_leader: false, clients: 1 },
    Cell { name: "write-follower-64", kind: Kind::Write, at_leader: false, clients: 64 },
    Cell { name: "read-1", kind: Kind::Read, at_leader: false, clients: 1 },
    Cell { name: "read-64", kind: Kind::Read, at_leader: false, clients: 64 },
    Cell { name: "miss-64", kind: Kind::Miss, at_leader: false, clients: 64 },
];

/// What the cells share: numbers that were never used before, and keys that are there.
#[derive(Debug)]
pub struct Material {
    next_url: u64,
    keys: Vec<String>,
    random: StdRng,
}

impl Material {
    /// Nothing is there yet.
    pub fn new() -> Self {
        Self { next_url: 0, keys: Vec::new(), random: StdRng::seed_from_u64(1) }
    }

    /// A URL that was never made before.
    pub fn url(&mut self) -> String {
        self.next_url += 1;
        let host = "https://example.com/";
        format!("{host}{:0width$}", self.next_url, width = URL_BYTES - host.len())
    }

    /// Makes the links that are read, and waits until every node has them in a checkpoint: most
    /// of what is read in real life is not of the last seconds.
    pub fn preload(&mut self, cluster: &Cluster) {
        let leader = cluster.http(cluster.leader());
        while self.keys.len() < PRELOADED {
            let mut filling = Fill { material: self };
            load::run(&[leader], 64, Duration::from_millis(200), &mut filling);
        }
        let last = format!("/{}?consistency=stale", self.keys[self.keys.len() - 1]);
        for node in 0..NODES {
            eventually("preloaded link", || match cluster.get(node, &last)? {
                (301, ..) => Ok(()),
                (status, _, body) => Err(format!("{status} {body}")),
            });
        }
        let checkpoints = |node| -> Result<u64, String> {
            let (_, _, page) = cluster.get(node, "/metrics")?;
            let mut counts =
                page.lines().filter_map(|it| it.strip_prefix("bowline_checkpoints_total "));
            counts.next().and_then(|it| it.parse().ok()).ok_or(page)
        };
        let count = |node| eventually("count of checkpoints", || checkpoints(node));
        let before: Vec<u64> = (0..NODES).map(count).collect();
        // Something that no checkpoint can have yet, so that there will be another one.
        load::run(&[leader], 1, Duration::from_millis(20), &mut Fill { material: self });
        for (node, before) in before.into_iter().enumerate() {
            eventually("checkpoint", || match checkpoints(node)? {
                now if now > before => Ok(()),
                now => Err(format!("still {now} on node {node}")),
            });
        }
    }
}

impl Cell {
    /// Measures it once.
    pub fn run(&self, cluster: &Cluster, material: &mut Material, duration: Duration) -> Sample {
        let leader = cluster.leader();
        let node = if self.at_leader { leader } else { (leader + 1) % NODES };
        let mut asking = Asking { kind: self.kind, material };
        load::run(&[cluster.http(node)], self.clients, duration, &mut asking)
    }
}

/// Makes links and keeps their keys.
struct Fill<'a> {
    material: &'a mut Material,
}

impl Work for Fill<'_> {
    fn request(&mut self, request: &mut Vec<u8>) {
        put(request, self.material.url().as_bytes());
    }

    fn accept(&mut self, answer: &Answer, body: &[u8], _micros: f64) -> bool {
        if answer.status == 201 {
            self.material.keys.push(String::from_utf8_lossy(body).trim().to_owned());
        }
        answer.status == 201
    }
}

/// Asks what the kind of the cell is.
struct Asking<'a> {
    kind: Kind,
    material: &'a mut Material,
}

impl Work for Asking<'_> {
    fn request(&mut self, request: &mut Vec<u8>) {
        let Material { keys, random, .. } = &mut *self.material;
        match self.kind {
            Kind::Write => put(request, self.material.url().as_bytes()),
            Kind::Read => get(request, &keys[random.random_range(0..keys.len())]),
            // Keys are eight letters long; that one of 48 random bits is there is out of the question.
            Kind::Miss => get(request, &format!("{:012x}", random.next_u64() >> 16)),
        }
    }

    fn accept(&mut self, answer: &Answer, _body: &[u8], _micros: f64) -> bool {
        match self.kind {
            Kind::Write => answer.status == 201,
            Kind::Read => answer.status == 301,
            Kind::Miss => answer.status == 404 && !answer.unconfirmed,
        }
    }
}
