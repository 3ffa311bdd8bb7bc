//! From flags to a running node, and from signals to its end.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use crossbeam_channel::bounded;
use env_logger::WriteStyle;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::args::{Front, NodeArgs};
use super::units::Address;
use crate::config::{self, NodeConfig, Timing};
use crate::lines::{self, Lines};
use crate::node::{self, StartError};

/// Signals that are taken for one wish to stop.
const INSISTING: usize = 2;

/// Runs a node until it is told to stop (Ctrl-C, SIGTERM); the third signal ends it at once.
pub(super) fn run(args: &NodeArgs) -> ExitCode {
    if let Err(error) = start_log() {
        eprintln!("bowline: the log has no thread to write it: {error}");
        return ExitCode::FAILURE;
    }
    raise_descriptor_limit();
    let (stop_in, stop) = bounded(1);
    let mut signals = match Signals::new([SIGINT, SIGTERM]) {
        Ok(signals) => signals,
        Err(error) => {
            eprintln!("bowline: cannot listen for signals: {error}");
            return ExitCode::FAILURE;
        }
    };
    let listener = move || {
        for (count, _) in signals.forever().enumerate() {
            // A terminal and a script may both tell us to stop; who insists does not want to wait.
            if count >= INSISTING {
                std::process::exit(1);
            }
            stop_in.try_send(()).ok();
        }
    };
    if let Err(error) = std::thread::Builder::new().name("signals".to_owned()).spawn(listener) {
        eprintln!("bowline: cannot listen for signals: {error}");
        return ExitCode::FAILURE;
    }
    let ended = node::run(&node_config(args), &stop);
    lines::write_out_before_the_end();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bowline: {error}");
            match error {
                StartError::Usage(_) => ExitCode::from(2),
                StartError::Failed(_) => ExitCode::FAILURE,
            }
        }
    }
}

/// Clients, peers and files each take a descriptor; take as many as the system gives.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        log::debug!("the limit of open files stays at {:?}: {error}", limit.current);
    }
}

/// One line per event: time, level, text. `RUST_LOG` chooses more or less.
fn start_log() -> std::io::Result<()> {
    let default = env_logger::Env::default().default_filter_or("info,fjall=warn,lsm_tree=warn");
    let plain = !std::io::stderr().is_terminal() || std::env::var_os("NO_COLOR").is_some();
    env_logger::Builder::from_env(default)
        .target(env_logger::Target::Pipe(Box::new(Lines::start()?)))
        .write_style(if plain { WriteStyle::Never } else { WriteStyle::Always })
        .format(|out, record| {
            let style = out.default_level_style(record.level());
            let (time, level) = (out.timestamp_millis(), record.level());
            writeln!(out, "{time} {style}{level:5}{style:#} {}", record.args())
        })
        .init();
    Ok(())
}

fn node_config(args: &NodeArgs) -> NodeConfig {
    let text = |it: &dyn std::fmt::Display| it.to_string();
    let pace = args.pace();
    NodeConfig {
        data: args.data.clone(),
        bind: args.bind.clone(),
        http: args.http.as_ref().map(|addr| text(addr)),
        peer: args.peer.as_ref().map(|addr| text(addr)),
        advertise: args.advertise.as_ref().map(|addr| match addr.port {
            Some(port) => Address { host: addr.host.clone(), port }.to_string(),
            None => addr.host.clone(),
        }),
        advertise_http: args.advertise_http.clone(),
        join: args.join.iter().map(|addr| text(addr)).collect(),
        bootstrap: args.bootstrap,
        name: args.name.clone(),
        front: match args.front {
            Front::Mio => config::Front::Mio,
            Front::TinyHttp => config::Front::TinyHttp,
        },
        http_threads: args.http_threads.map_or_else(default_http_threads, usize::from),
        request_timeout: args.request_timeout,
        value_max: args.kv_value_max,
        watches_max: usize::try_from(args.watches_max).expect("usize has at least 32 bits"),
        password_threads: args.password_threads.map_or_else(default_password_threads, usize::from),
        trusted_proxies: args.trusted_proxies.clone(),
        disk: args.disk.config(pace.election_timeout.max).expect("checked with the command line"),
        timing: Timing {
            heartbeat: pace.heartbeat,
            election_min: pace.election_timeout.min,
            election_max: pace.election_timeout.max,
        },
    }
}

/// One event loop per core, at most four: beyond that the raft thread is the limit.
fn default_http_threads() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from).clamp(1, 4)
}

/// Threads that hash passwords: one takes half of a machine with two cores when there is a crowd.
fn default_password_threads() -> usize {
    if std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 2) { 2 } else { 1 }
}
