//! What the command line may say; everything wrong in it ends with exit code 2 and clap's message.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use super::board::BoardVerb;
use super::disk::DiskArgs;
use super::kv::KvVerb;
use super::units::{self, Address, DurationRange};
use crate::config::VALUE_MAX;
use crate::networks::Network;

const EXAMPLES: &str = "\
Examples:
  bowline                               try it: a cluster of one on 127.0.0.1
                                        (HTTP on 7070, peers on 7071)
  bowline --bind 10.0.0.1 --bootstrap   the first machine of a real cluster, once
  bowline --join 10.0.0.1:7071          any further machine (any member's peer
                                        address will do)
  bowline demo                          a three-node cluster on loopback, in one
                                        terminal

  curl -X PUT --data 'https://example.com/a/long/url' http://127.0.0.1:7070/
  curl -i http://127.0.0.1:7070/KEY";

/// What a command line asks for.
#[derive(Clone, Debug)]
pub enum Invocation {
    /// Run a node.
    Node(Box<NodeArgs>),
    /// Do something else; see [`super::run`].
    Verb(Verb),
}

/// Parses the command line of this process. Ends it when the line is wrong or asks for help.
#[must_use]
pub fn parse() -> Invocation {
    parse_from(std::env::args_os()).unwrap_or_else(|error| error.exit())
}

/// Parses a command line, the program's name in front.
///
/// # Errors
/// When it is wrong or asks for help: the error prints the right text and knows the exit code.
pub fn parse_from<I, T>(words: I) -> Result<Invocation, clap::Error>
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let line = CommandLine::try_parse_from(words)?;
    match line.verb {
        Some(verb) => Ok(Invocation::Verb(verb)),
        None => {
            line.node.check()?;
            Ok(Invocation::Node(Box::new(line.node)))
        }
    }
}

/// A replicated link service that does not go down. Without a command: run a node.
#[derive(Parser)]
#[command(name = "bowline", version, after_help = EXAMPLES)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
struct CommandLine {
    #[command(flatten)]
    node: NodeArgs,
    #[command(subcommand)]
    verb: Option<Verb>,
}

/// The flags of a node.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Running a node")]
pub struct NodeArgs {
    /// Where everything is kept; a directory with data in it just restarts
    #[arg(long, value_name = "DIR", default_value = "./bowline-data")]
    pub data: PathBuf,

    /// Host to listen on, for clients and peers [default: 127.0.0.1; with --join, the address that
    /// the target is reached from]
    #[arg(long, value_name = "HOST", value_parser = units::host)]
    pub bind: Option<String>,

    /// Where to listen for clients [default: port 7070 of --bind]
    #[arg(long, value_name = "HOST:PORT")]
    pub http: Option<Address>,

    /// Where to listen for peers, TCP and UDP [default: port 7071 of --bind]
    #[arg(long, value_name = "HOST:PORT")]
    pub peer: Option<Address>,

    /// Where peers reach this node, if not where it listens (behind NAT, say)
    #[arg(long, value_name = "HOST[:PORT]")]
    pub advertise: Option<Address<Option<u16>>>,

    /// Where clients reach this node, if not where it listens (behind a proxy, say)
    #[arg(long, value_name = "URL", value_parser = units::base_url)]
    pub advertise_http: Option<String>,

    /// Join the cluster that these nodes are in: peer addresses, tried in turn for as long as it
    /// takes
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',', conflicts_with = "bootstrap")]
    pub join: Vec<Address>,

    /// Start a new cluster: the first machine only, and only once
    #[arg(long)]
    pub bootstrap: bool,

    /// Name to show for this node [default: the machine's name]
    #[arg(long, value_name = "NAME", value_parser = node_name)]
    pub name: Option<String>,

    /// Which HTTP server to run; tiny_http lacks limits and is for closed networks
    #[arg(long, value_enum, default_value_t = Front::Mio)]
    pub front: Front,

    /// HTTP threads [default: one per core, at most 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub http_threads: Option<u16>,

    /// Every request is answered within this time, whatever is dead
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = units::duration)]
    pub request_timeout: Duration,

    /// Largest value that the key-value store takes, at most 1M
    #[arg(long, value_name = "SIZE", default_value = "512K", value_parser = value_max)]
    pub kv_value_max: usize,

    /// Requests that may wait for changes of the key-value store at a time; more are told to come
    /// back (429)
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub watches_max: u32,

    /// Threads that hash passwords; what is more than they can do is told to come back (503)
    /// [default: 1, or 2 with more than two cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=16))]
    pub password_threads: Option<u16>,

    /// Proxies that are believed about their clients (X-Forwarded-For, X-Forwarded-Proto); given,
    /// it replaces the default
    #[arg(long = "trusted-proxy", value_name = "ADDR[/BITS]", value_delimiter = ',')]
    #[arg(default_value = "127.0.0.0/8,::1")]
    pub trusted_proxies: Vec<Network>,

    /// Set of times for a kind of network: lan is 50ms and 250ms-500ms, wan is 200ms and 1s-2s
    #[arg(long, value_enum, default_value_t = Timing::Lan)]
    pub timing: Timing,

    /// How often a leader makes itself heard [default: as --timing says, or a fifth of the shortest
    /// --election-timeout]
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    pub heartbeat: Option<Duration>,

    /// How long a silent leader is borne with, drawn from this range [default: as --timing says]
    #[arg(long, value_name = "MIN-MAX")]
    pub election_timeout: Option<DurationRange>,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub disk: DiskArgs,
}

/// Sets of times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Timing {
    /// One building.
    Lan,
    /// Several cities.
    Wan,
}

/// Which HTTP server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Front {
    /// Our own event loops.
    Mio,
    /// The `tiny_http` crate.
    #[value(name = "tiny_http")]
    TinyHttp,
}

/// The times that drive elections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// How often a leader makes itself heard; less than any election timeout.
    pub heartbeat: Duration,
    /// What election timeouts are drawn from.
    pub election_timeout: DurationRange,
}

impl NodeArgs {
    /// The times that `--timing`, `--heartbeat` and `--election-timeout` come to.
    #[must_use]
    pub fn pace(&self) -> Pace {
        let (min, max) = match self.timing {
            Timing::Lan => (250, 500),
            Timing::Wan => (1000, 2000),
        };
        let preset =
            DurationRange { min: Duration::from_millis(min), max: Duration::from_millis(max) };
        let election_timeout = self.election_timeout.unwrap_or(preset);
        let heartbeat = self.heartbeat.unwrap_or(election_timeout.min / 5);
        Pace { heartbeat, election_timeout }
    }

    /// What one flag at a time cannot show.
    fn check(&self) -> Result<(), clap::Error> {
        let pace = self.pace();
        if pace.heartbeat >= pace.election_timeout.min {
            return Err(CommandLine::command().error(
                ErrorKind::ValueValidation,
                format!(
                    "--heartbeat {:?} must be shorter than the shortest --election-timeout, {:?}",
                    pace.heartbeat, pace.election_timeout.min
                ),
            ));
        }
        let disk = self.disk.config(pace.election_timeout.max);
        disk.map(|_| ())
            .map_err(|why| CommandLine::command().error(ErrorKind::ValueValidation, why))
    }
}

/// A value travels in one entry of the log, and that is bounded.
fn value_max(text: &str) -> Result<usize, String> {
    let bytes = usize::try_from(units::bytes(text)?).unwrap_or(usize::MAX);
    if (1..=VALUE_MAX).contains(&bytes) { Ok(bytes) } else { Err("from 1 byte to 1M".to_owned()) }
}

/// Names go into logs, tables and URLs, so they are kept short and plain.
fn node_name(text: &str) -> Result<String, String> {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    if plain && (1..=64).contains(&text.len()) {
        Ok(text.to_string())
    } else {
        Err("1 to 64 letters, digits, dots, hyphens and underscores".into())
    }
}

/// What the program can do besides running a node.
#[derive(Subcommand, Clone, Debug)]
pub enum Verb {
    /// Shorten a URL and print its key
    Put(PutArgs),
    /// Print the URL that a key stands for
    Get(GetArgs),
    /// The key-value store: get, put, cas, rm, ls, watch, lock, export, import
    #[command(subcommand)]
    Kv(KvVerb),
    /// List the members of the cluster
    Members(ShowArgs),
    /// Show where every node stands, to see whether they agree
    Status(ShowArgs),
    /// Shorten a file of URLs, one a line, and print the key of each
    Import(ImportArgs),
    /// Let a node read all of its state, to see whether it still is what was written
    Scrub(ScrubArgs),
    /// Save the whole state into a file, look into one, or restore one
    #[command(subcommand)]
    Backup(BackupVerb),
    /// The link board: make the first moderator
    #[command(subcommand)]
    Board(BoardVerb),
    /// Hand leadership to another node
    Transfer(TransferArgs),
    /// Take a node out of the cluster for good
    Remove(RemoveArgs),
    /// Take the node that is asked out of the cluster for good, and stop it
    Leave(LeaveArgs),
    /// Run a whole cluster on loopback in this terminal, to try things on
    Demo(DemoArgs),
}

/// Which node to talk to.
#[derive(Args, Clone, Debug)]
pub struct NodeUrls {
    /// HTTP address of a node; several are tried in turn
    #[arg(
        long = "node",
        value_name = "URL",
        env = "BOWLINE_NODE",
        default_value = "http://127.0.0.1:7070",
        value_delimiter = ',',
        value_parser = plain_http
    )]
    pub urls: Vec<String>,
}

fn plain_http(text: &str) -> Result<String, String> {
    let base = units::base_url(text)?;
    if base.starts_with("https:") {
        return Err("nodes are talked to in plain HTTP: write http://".into());
    }
    Ok(base)
}

/// Arguments of `put`.
#[derive(Args, Clone, Debug)]
pub struct PutArgs {
    /// The URL to shorten
    pub url: String,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub node: NodeUrls,
}

/// Arguments of `get`.
#[derive(Args, Clone, Debug)]
pub struct GetArgs {
    /// The key, as `put` printed it
    pub key: String,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub node: NodeUrls,
}

/// Arguments of `members` and `status`.
#[derive(Args, Clone, Debug)]
pub struct ShowArgs {
    /// Print JSON, for programs
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub node: NodeUrls,
}

/// Arguments of `import`.
#[derive(Args, Clone, Debug)]
pub struct ImportArgs {
    /// File of URLs, one a line; - reads stdin
    pub file: PathBuf,
    /// Where to write a line for each: key, tab, URL, in the order of the input [default: stdout]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Requests in flight
    #[arg(long, value_name = "N", default_value_t = 64)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub concurrency: u16,
    /// How long to keep trying a line while no node takes it; then the import stops
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = units::duration)]
    pub retry_for: Duration,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub node: NodeUrls,
}

/// Arguments of `scrub`.
#[derive(Args, Clone, Debug)]
pub struct ScrubArgs {
    /// Wait for the end, and fail when the state is damaged
    #[arg(long)]
    pub wait: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub node: NodeUrls,
}

/// What can be done with backups.
#[derive(Subcommand, Clone, Debug)]
pub enum BackupVerb {
    /// Write the whole state, as it is now, into a file
    Save(BackupSaveArgs),
    /// Read a backup to its end, and say whether it is whole and what is in it
    Verify(BackupVerifyArgs),
    /// Replace the whole state of a cluster by a backup
    Restore(BackupRestoreArgs),
}

/// Arguments of `backup save`.
#[derive(Args, Clone, Debug)]
pub struct BackupSaveArgs {
    /// The file to write; it appears when it is whole and was verified
    pub file: PathBuf,
    /// Replace a file that is there already
    #[arg(long)]
    pub force: bool,
    /// Take what the node has, even if it has no leader and may be behind
    #[arg(long)]
    pub stale: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub node: NodeUrls,
}

/// Arguments of `backup verify`.
#[derive(Args, Clone, Debug)]
pub struct BackupVerifyArgs {
    /// The file to read
    pub file: PathBuf,
}

/// Arguments of `backup restore`.
#[derive(Args, Clone, Debug)]
pub struct BackupRestoreArgs {
    /// The file to restore
    pub file: PathBuf,
    /// Do not ask whether that is meant
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub node: NodeUrls,
}

/// Arguments of `transfer`.
#[derive(Args, Clone, Debug)]
pub struct TransferArgs {
    /// Name or id of the node that shall lead [default: the best one]
    #[arg(value_name = "NODE")]
    pub target: Option<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub node: NodeUrls,
}

/// Arguments of `remove`.
#[derive(Args, Clone, Debug)]
pub struct RemoveArgs {
    /// Name or id of the node
    #[arg(value_name = "NODE")]
    pub target: String,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub node: NodeUrls,
}

/// Arguments of `leave`.
#[derive(Args, Clone, Debug)]
pub struct LeaveArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub node: NodeUrls,
}

/// Arguments of `demo`.
#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    /// Where the nodes keep their data, to go on with later [default: a temporary directory]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// How many nodes
    #[arg(long, value_name = "N", default_value_t = 3)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=9))]
    pub nodes: u16,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(line: &str) -> Result<NodeArgs, clap::Error> {
        match parse_from(format!("bowline {line}").split_whitespace())? {
            Invocation::Node(args) => Ok(*args),
            Invocation::Verb(verb) => panic!("{line} is a verb: {verb:?}"),
        }
    }

    fn refused(line: &str) -> String {
        let error = parse_from(format!("bowline {line}").split_whitespace()).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{line}");
        error.to_string()
    }

    #[test]
    fn the_definitions_are_sound() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn no_flags_run_a_node_with_the_defaults() {
        let args = node("").unwrap();
        assert_eq!(args.data, PathBuf::from("./bowline-data"));
        assert_eq!((args.front, args.request_timeout), (Front::Mio, Duration::from_secs(5)));
        assert_eq!((args.kv_value_max, args.watches_max), (512 << 10, 10_000));
        assert!(args.join.is_empty() && !args.bootstrap && args.bind.is_none());
        let millis = Duration::from_millis;
        assert_eq!(args.pace().heartbeat, millis(50));
        assert_eq!(
            args.pace().election_timeout,
            DurationRange { min: millis(250), max: millis(500) }
        );
        assert_eq!(node("--timing wan").unwrap().pace().heartbeat, millis(200));
    }

    #[test]
    fn addresses_to_join_may_be_repeated_and_listed() {
        let args = node("--join 10.0.0.1:7071,n2:7071 --join [::1]:7071").unwrap();
        let join: Vec<String> = args.join.iter().map(ToString::to_string).collect();
        assert_eq!(join, ["10.0.0.1:7071", "n2:7071", "[::1]:7071"]);
    }

    #[test]
    fn this_machine_is_a_trusted_proxy_unless_others_are_named() {
        let trusted = |line: &str| {
            let networks = node(line).unwrap().trusted_proxies;
            networks.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(node("").unwrap().trusted_proxies, Network::loopback());
        let line = "--trusted-proxy 10.0.0.0/8,::1 --trusted-proxy 192.0.2.7";
        assert_eq!(trusted(line), ["10.0.0.0/8", "::1", "192.0.2.7"]);
    }

    #[test]
    fn short_election_timeouts_bring_short_heartbeats() {
        let pace = node("--election-timeout 0.5-1ms").unwrap().pace();
        assert_eq!(pace.heartbeat, Duration::from_micros(100));
    }

    #[test]
    fn wrong_flags_are_refused_with_the_flag_named() {
        for (line, word) in [
            ("--bootstrap --join a:1", "--bootstrap"),
            ("--join a", "--join"),
            ("--bind 10.0.0.1:7070", "--http"),
            ("--heartbeat 50", "--heartbeat"),
            ("--heartbeat 300ms", "--election-timeout"),
            ("--election-timeout 2s-1s", "--election-timeout"),
            ("--http-threads 0", "--http-threads"),
            ("--kv-value-max 2M", "--kv-value-max"),
            ("--kv-value-max 0", "--kv-value-max"),
            ("--watches-max 0", "--watches-max"),
            ("--front nginx", "tiny_http"),
            ("--name a/b", "--name"),
            ("--data x put http://a", "put"),
            ("put", "URL"),
            ("get k --node ftp://a", "--node"),
            ("get k --node https://a", "plain HTTP"),
            ("import f --concurrency 0", "--concurrency"),
            ("--password-threads 0", "--password-threads"),
            ("--password-threads 17", "--password-threads"),
            ("--trusted-proxy proxy.example", "10.0.0.0/8"),
            ("--trusted-proxy 10.0.0.0/33", "32 bits"),
            ("board moderator add a/b", "hyphens"),
            ("board moderator list ann", "ann"),
            ("fly", "fly"),
        ] {
            let message = refused(line);
            assert!(message.contains(word), "{line}: {message}");
        }
    }

    #[test]
    fn verbs_take_several_nodes() {
        let line = "bowline put http://a/ --node n1:7070,n2:7070 --node http://n3:1";
        let Invocation::Verb(Verb::Put(args)) = parse_from(line.split(' ')).unwrap() else {
            panic!("put is a verb");
        };
        assert_eq!(args.node.urls, ["http://n1:7070", "http://n2:7070", "http://n3:1"]);
    }
}
