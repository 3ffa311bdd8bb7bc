//! A mix of reads and writes of the key-value store.

use std::io::Write;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::connection::Answer;
use super::load::Work;

/// Keys that are read and written, each as likely as any other.
pub const KEYS: u64 = 1_000;
/// Bytes of a value.
pub const VALUE_BYTES: usize = 100;

/// How fresh reads are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Freshness {
    /// As fresh as the whole cluster: the default of `GET /v1/kv`.
    Linearizable,
    /// As fresh as the node that is asked: `?stale`.
    Stale,
}

/// A column of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mix {
    /// Reads out of a hundred requests; the others are writes.
    pub reads: u32,
    /// What kind of reads.
    pub freshness: Freshness,
}

impl Mix {
    /// `95:5`
    pub fn name(&self) -> String {
        format!("{}:{}", self.reads, 100 - self.reads)
    }
}

/// What is measured, in this order.
pub const MIXES: [u32; 4] = [100, 95, 50, 5];

/// Asks for keys and sets them, and keeps the latencies of both apart.
pub struct Requests {
    mix: Mix,
    random: StdRng,
    /// Makes values that were never there, since setting what is there already changes nothing.
    next: u64,
    /// Latencies of good answers in µs.
    pub reads: Vec<f64>,
    /// The same of writes.
    pub writes: Vec<f64>,
}

impl Requests {
    /// The same requests for the same mix and seed.
    pub fn new(mix: Mix, seed: u64) -> Self {
        let random = StdRng::seed_from_u64(seed);
        // Far from the numbers of another seed.
        Self { mix, random, next: seed << 40, reads: Vec::new(), writes: Vec::new() }
    }

    fn write(&mut self, key: u64, request: &mut Vec<u8>) {
        self.next += 1;
        let head = format!("PUT /v1/kv/experiment/{key} HTTP/1.1\r\nHost: bench\r\n");
        write!(request, "{head}Content-Length: {VALUE_BYTES}\r\n\r\n{:0VALUE_BYTES$}", self.next)
            .expect("a vector takes everything");
    }

    fn read(&self, key: u64, request: &mut Vec<u8>) {
        let query = match self.mix.freshness {
            Freshness::Linearizable => "",
            Freshness::Stale => "?stale",
        };
        write!(request, "GET /v1/kv/experiment/{key}{query} HTTP/1.1\r\nHost: bench\r\n\r\n")
            .expect("a vector takes everything");
    }
}

impl Work for Requests {
    fn request(&mut self, request: &mut Vec<u8>) {
        let key = self.random.random_range(0..KEYS);
        if self.random.random_range(0..100) < self.mix.reads {
            self.read(key, request);
        } else {
            self.write(key, request);
        }
    }

    fn accept(&mut self, answer: &Answer, body: &[u8], micros: f64) -> bool {
        let written = body.starts_with(b"true");
        let good = answer.status == 200 && (written || body.starts_with(b"["));
        match (good, written) {
            (false, _) => {}
            (true, true) => self.writes.push(micros),
            (true, false) => self.reads.push(micros),
        }
        good
    }
}

/// Sets every key once.
#[derive(Default)]
pub struct Preload {
    next: u64,
    /// How many are set.
    pub done: u64,
}

impl Work for Preload {
    fn request(&mut self, request: &mut Vec<u8>) {
        let mix = Mix { reads: 0, freshness: Freshness::Stale };
        Requests::new(mix, 0).write(self.next % KEYS, request);
        self.next += 1;
    }

    fn accept(&mut self, answer: &Answer, body: &[u8], _micros: f64) -> bool {
        let good = answer.status == 200 && body.starts_with(b"true");
        self.done += u64::from(good);
        good
    }
}
