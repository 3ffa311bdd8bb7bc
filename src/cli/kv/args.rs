//! What may be said behind `bowline kv`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, Subcommand};

use super::super::args::NodeUrls;
use super::super::units;
use super::keys::Key;

/// Bytes of the longest key that can be set.
const KEY_LEN_MAX: usize = 1024;

/// The verbs of the key-value store.
#[derive(Subcommand, Clone, Debug)]
pub enum KvVerb {
    /// Print the value of a key, as it is
    Get(GetArgs),
    /// Set a key, and print its new revision
    Put(PutArgs),
    /// Set a key if it is still at a revision; else print what is there
    Cas(CasArgs),
    /// Remove a key, or with -r all keys under a prefix
    Rm(RmArgs),
    /// List keys in byte order
    Ls(LsArgs),
    /// Print a key, or the keys under a prefix, and then every change
    Watch(WatchArgs),
    /// Run a command while holding a lock
    ///
    /// Waits for the lock, runs the command, and gives the lock back. The command finds
    /// BOWLINE_LOCK_KEY, BOWLINE_LOCK_SESSION and BOWLINE_LOCK_INDEX in its environment; the index
    /// grows with every holder, for others to tell an old one by.
    ///
    /// Exit codes: that of the command (128 + N when signal N ended it); 124 when the lock was not
    /// free within --wait; 125 when it could not be taken, or was lost, which ends the command
    /// with SIGTERM; 126 and 127 when the command cannot be run or is not found.
    Lock(LockArgs),
    /// Write all keys under a prefix as JSON, one a line
    Export(ExportArgs),
    /// Set keys from lines that export wrote
    ///
    /// May be repeated: a key that already has its value stays as it is.
    Import(ImportArgs),
}

/// Arguments of `kv get`.
#[derive(Args, Clone, Debug)]
pub struct GetArgs {
    /// The key
    #[arg(value_parser = key())]
    pub key: Key,
    /// Print a line of JSON with revision, flags and so on; the value in base64
    #[arg(long)]
    pub json: bool,
    /// Be content with what the node that is asked has, even if it is behind or cut off
    #[arg(long)]
    pub stale: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub node: NodeUrls,
}

/// Where a value comes from.
#[derive(Args, Clone, Debug)]
pub struct ValueArgs {
    /// The value; - reads it from stdin
    #[arg(allow_hyphen_values = true, required_unless_present = "file")]
    pub value: Option<String>,
    /// Read the value from a file
    #[arg(long, value_name = "FILE", conflicts_with = "value")]
    pub file: Option<PathBuf>,
    /// A number to keep with the value, of your own meaning
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub flags: u64,
    /// Let the key go by itself after this time
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    pub ttl: Option<Duration>,
}

/// Arguments of `kv put`.
#[derive(Args, Clone, Debug)]
pub struct PutArgs {
    /// The key
    #[arg(value_parser = new_key())]
    pub key: Key,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub value: ValueArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub node: NodeUrls,
}

/// Arguments of `kv cas`.
#[derive(Args, Clone, Debug)]
pub struct CasArgs {
    /// The key
    #[arg(value_parser = new_key())]
    pub key: Key,
    /// The revision that `put`, `cas` or `ls -l` printed; 0 when the key must not be there
    pub revision: u64,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub value: ValueArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub node: NodeUrls,
}

/// Arguments of `kv rm`.
#[derive(Args, Clone, Debug)]
pub struct RmArgs {
    /// The key; with -r a prefix that ends with /
    #[arg(value_name = "KEY", required_unless_present = "prefix", value_parser = key())]
    pub key: Option<Key>,
    /// Remove all keys under the prefix, after asking
    #[arg(short, long)]
    pub recursive: bool,
    /// With -r: any prefix, '' for all keys; foo takes foobar too
    #[arg(long, value_name = "PREFIX", requires = "recursive", conflicts_with = "key")]
    #[arg(value_parser = prefix())]
    pub prefix: Option<Key>,
    /// Do not ask
    #[arg(short, long, requires = "recursive")]
    pub yes: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub node: NodeUrls,
}

/// Arguments of `kv ls`.
#[derive(Args, Clone, Debug)]
pub struct LsArgs {
    /// Only keys that begin with this
    #[arg(value_parser = prefix())]
    pub prefix: Option<Key>,
    /// Revision, bytes of the value and flags too
    #[arg(short, long)]
    pub long: bool,
    /// A line of JSON for each key, with its value in base64
    #[arg(long, conflicts_with = "long")]
    pub json: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub node: NodeUrls,
}

/// Arguments of `kv watch`.
#[derive(Args, Clone, Debug)]
pub struct WatchArgs {
    /// The key, or a prefix that ends with /
    #[arg(value_name = "KEY", required_unless_present = "prefix", value_parser = key())]
    pub key: Option<Key>,
    /// Any prefix, '' for all keys
    #[arg(long, value_name = "PREFIX", conflicts_with = "key", value_parser = prefix())]
    pub prefix: Option<Key>,
    /// Only what changed after this revision
    #[arg(long, value_name = "REVISION")]
    pub since: Option<u64>,
    /// End after so many lines
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// A line of JSON for each, with its value in base64
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub node: NodeUrls,
}

/// Arguments of `kv lock`.
#[derive(Args, Clone, Debug)]
pub struct LockArgs {
    /// The key to lock; its value will say who holds it
    #[arg(value_parser = new_key())]
    pub key: Key,
    /// How long after its last sign of life the lock goes on without its holder
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = lock_ttl)]
    pub ttl: Duration,
    /// How long to wait for the lock [default: for ever]
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    pub wait: Option<Duration>,
    /// The command and its arguments, behind --
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub node: NodeUrls,
}

/// Arguments of `kv export`.
#[derive(Args, Clone, Debug)]
pub struct ExportArgs {
    /// Only keys that begin with this
    #[arg(value_parser = prefix())]
    pub prefix: Option<Key>,
    /// Where to write; it is there when it is complete [default: stdout]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub node: NodeUrls,
}

/// Arguments of `kv import`.
#[derive(Args, Clone, Debug)]
pub struct ImportArgs {
    /// File that export wrote; - reads stdin
    pub file: PathBuf,
    /// Requests in flight
    #[arg(long, value_name = "N", default_value_t = 32)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub concurrency: u16,
    /// How long to keep trying a key while no node takes it; then the import stops
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = units::duration)]
    pub retry_for: Duration,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub node: NodeUrls,
}

fn prefix() -> impl TypedValueParser<Value = Key> {
    OsStringValueParser::new().map(Key::given)
}

fn key() -> impl TypedValueParser<Value = Key> {
    prefix().try_map(|key| match key.bytes() {
        [] => Err("a key is not empty"),
        _ => Ok(key),
    })
}

/// Limits are for what is made new: what is there can always be read and removed.
fn new_key() -> impl TypedValueParser<Value = Key> {
    key().try_map(|key| match key.bytes().len() {
        ..=KEY_LEN_MAX => Ok(key),
        _ => Err(format!("a key has at most {KEY_LEN_MAX} bytes")),
    })
}

/// As the sessions' TTLs go.
fn lock_ttl(text: &str) -> Result<Duration, String> {
    let ttl = units::duration(text)?;
    if (Duration::from_secs(10)..=Duration::from_secs(86_400)).contains(&ttl) {
        Ok(ttl)
    } else {
        Err("from 10s to 24h".into())
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::args::{Invocation, Verb, parse_from};
    use super::*;

    fn parsed(line: &str) -> Result<KvVerb, clap::Error> {
        match parse_from(format!("bowline kv {line}").split_whitespace())? {
            Invocation::Verb(Verb::Kv(args)) => Ok(args),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn what_stands_behind_the_dashes_is_the_command() {
        let Ok(KvVerb::Lock(args)) = parsed("lock a/b --ttl 20s -- sh -c true --node x") else {
            panic!("it is a lock");
        };
        assert_eq!((args.ttl, args.wait), (Duration::from_secs(20), None));
        assert_eq!(args.command, ["sh", "-c", "true", "--node", "x"]);
        assert_eq!(args.node.urls, ["http://127.0.0.1:7070"]);
    }

    #[test]
    fn values_may_begin_with_a_hyphen() {
        let Ok(KvVerb::Put(args)) = parsed("put k -5") else { panic!("it is a put") };
        assert_eq!(args.value.value.as_deref(), Some("-5"));
        let Ok(KvVerb::Put(args)) = parsed("put k --file f") else { panic!("it is a put") };
        assert_eq!((args.value.value, args.value.file), (None, Some("f".into())));
    }

    #[test]
    fn wrong_arguments_are_named() {
        for (line, word) in [
            ("", "kv"),
            ("get", "KEY"),
            ("put k", "VALUE"),
            ("put k v --file f", "--file"),
            ("put k v --ttl 5", "--ttl"),
            ("cas k v v", "REVISION"),
            ("rm", "KEY"),
            ("rm --prefix a", "--recursive"),
            ("rm -r a/ --prefix a", "--prefix"),
            ("rm k --yes", "--recursive"),
            ("ls -l --json", "--json"),
            ("watch", "KEY"),
            ("watch k --count 0", "--count"),
            ("lock k", "COMMAND"),
            ("lock k --ttl 9s -- true", "--ttl"),
            ("import", "FILE"),
        ] {
            let error = parsed(line).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}");
            assert!(error.to_string().contains(word), "{line}: {error}");
        }
        let long = "k".repeat(KEY_LEN_MAX + 1);
        assert!(parsed(&format!("put {long} v")).unwrap_err().to_string().contains("1024"));
        assert!(parsed(&format!("get {long}")).is_ok(), "what is there may be read");
    }
}
