//! The command line: what can be asked of the program, and the verbs that are clients of a node.
//!
//! Running a node needs no verb. The verbs talk to a node over its HTTP surface like any other
//! client, so they work from any machine, against any member. Exit codes: 0 done, 1 failed (with one
//! line on stderr that says why), 2 wrong usage.

mod args;
mod backup;
mod board;
mod client;
mod demo;
mod disk;
mod import;
mod kv;
mod members;
mod node;
mod operator;
mod patient;
mod progress;
mod scrub;
mod shorten;
mod status;
mod stream;
mod table;
#[cfg(test)]
mod testing;
mod units;

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

pub use args::{Front, Invocation, NodeArgs, Pace, Timing, Verb, parse, parse_from};
pub use board::{BoardVerb, ModeratorVerb};
pub use kv::KvVerb;
pub use units::{Address, DurationRange};

/// Why a verb failed, in one line for the person who asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(String);

impl Error {
    fn new(why: impl fmt::Display) -> Self {
        Self(client::plain(&why.to_string()))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The program: arguments in, exit code out.
#[must_use]
pub fn main() -> ExitCode {
    match parse() {
        Invocation::Node(args) => node::run(&args),
        Invocation::Verb(verb) => run(&verb),
    }
}

/// Runs a client verb to its end.
#[must_use]
pub fn run(verb: &Verb) -> ExitCode {
    let result = match verb {
        Verb::Kv(verb) => return exit(kv::run(verb)),
        Verb::Put(args) => shorten::put(args),
        Verb::Get(args) => shorten::get(args),
        Verb::Members(args) => members::run(args),
        Verb::Status(args) => status::run(args),
        Verb::Import(args) => import::run(args),
        Verb::Scrub(args) => scrub::run(args),
        Verb::Backup(verb) => backup::run(verb),
        Verb::Board(verb) => board::run(verb),
        Verb::Transfer(args) => operator::transfer(args),
        Verb::Remove(args) => operator::remove(args),
        Verb::Leave(args) => operator::leave(args),
        Verb::Demo(args) => demo::run(args),
    };
    exit(result.map(|()| ExitCode::SUCCESS))
}

fn exit(result: Result<ExitCode, Error>) -> ExitCode {
    result.unwrap_or_else(|error| {
        eprintln!("bowline: {error}");
        ExitCode::FAILURE
    })
}

/// Writes a verb's result to stdout, where a reader that went away is a failure and no panic.
fn print(text: &str) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|error| Error::new(format!("cannot write to stdout: {error}")))
}
