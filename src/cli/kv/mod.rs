//! `kv`: the key-value store from a shell.
//!
//! Most verbs use the native surface, `/api/kv`; what only Consul's surface has (sessions and their
//! locks, the removal of a whole prefix in one step) is asked for there. Exit codes are those of all
//! verbs, but for `lock`, which passes its command's on.

mod args;
mod entry;
mod import;
mod keys;
mod lock;
mod many;
mod one;
mod sse;
mod watch;

use std::process::ExitCode;

pub use args::KvVerb;

use super::Error;

/// Runs a verb to its end.
pub(super) fn run(verb: &KvVerb) -> Result<ExitCode, Error> {
    match verb {
        KvVerb::Get(args) => one::get(args),
        KvVerb::Put(args) => one::put(args),
        KvVerb::Cas(args) => one::cas(args),
        KvVerb::Rm(args) if args.recursive => many::rm(args),
        KvVerb::Rm(args) => one::rm(args),
        KvVerb::Ls(args) => many::ls(args),
        KvVerb::Watch(args) => watch::run(args),
        KvVerb::Lock(args) => return lock::run(args),
        KvVerb::Export(args) => many::export(args),
        KvVerb::Import(args) => import::run(args),
    }
    .map(|()| ExitCode::SUCCESS)
}
