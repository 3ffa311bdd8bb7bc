//! `lock`: runs a command while holding a lock, and never longer than that is certain.
//!
//! The lock hangs on a session, which lives as long as it is renewed. All that can happen comes as an
//! [`Event`] to one thread: that a renewal was sent and succeeded, that the lock is ours, that it is
//! not any more, that the command has ended, that somebody wants us to stop. That thread also keeps
//! the time: a renewal counts from when it was *sent*, so by the time the cluster may give the lock to
//! somebody else, the command has long been told to end. It is the only process that gets a signal.
//!
//! A lock cannot stop a command from acting late (it may be paused, or its writes under way), so the
//! command gets a number that grows with every holder, to show to whatever it acts upon.

mod ask;

use std::io::{ErrorKind, IsTerminal};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitCode};
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use self::ask::Holder;
use super::super::Error;
use super::args::LockArgs;

/// The lock was not free in time.
const BUSY: u8 = 124;
/// The lock could not be taken, or was lost.
const FAILED: u8 = 125;
/// The command is there, and cannot be run.
const NOT_RUN: u8 = 126;
/// There is no such command.
const NOT_FOUND: u8 = 127;
/// What is added to the number of the signal that ended it.
const SIGNALLED: u8 = 128;

/// What the other threads have to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Event {
    /// The session was renewed by a request that was sent then.
    Renewed(Instant),
    /// Somebody else has the lock: in words.
    Waiting(String),
    /// The lock is ours, for the so-manieth holder.
    Taken(u64),
    /// It is not, or cannot be, any more: why.
    Lost(String),
    /// The command has ended and waits to be asked how.
    Ended,
    /// Somebody sent us this signal.
    Signal(i32),
}

/// An end that is not the command's own.
struct End {
    code: u8,
    why: String,
}

/// Runs the command under the lock.
pub(super) fn run(args: &LockArgs) -> Result<ExitCode, Error> {
    let code = hold(args).unwrap_or_else(|End { code, why }| {
        eprintln!("bowline: {why}");
        code
    });
    Ok(ExitCode::from(code))
}

fn hold(args: &LockArgs) -> Result<u8, End> {
    let key = args.key.shown();
    let sent = Instant::now();
    let holder = Holder::open(&args.node.urls, &args.key, args.ttl).map_err(|why| End {
        code: FAILED,
        why: format!("the lock {key} cannot be taken: {why}"),
    })?;
    let (sender, events) = unbounded();
    listen_to_signals(sender.clone())?;
    ask::keep_alive(holder.clone(), sent, sender.clone());
    ask::take_and_guard(holder.clone(), sender.clone());
    let mut hold = Hold { args, key, events, alive_until: sent + args.ttl };
    let result = match hold.wait_until_taken() {
        Ok(index) => hold.run_command(&holder, index, sender),
        Err(end) => Err(end),
    };
    // The threads stop by themselves: the session that they tend is gone now.
    if let Err(why) = holder.give_back() {
        let key = &hold.key;
        eprintln!("bowline: the lock {key} ends by itself within {:?}: {why}", args.ttl);
    }
    result
}

struct Hold<'a> {
    args: &'a LockArgs,
    /// For messages.
    key: String,
    events: Receiver<Event>,
    /// Until then nobody else can have the lock, if we have it.
    alive_until: Instant,
}

impl Hold<'_> {
    /// Waits for the lock; gives the number of its holder.
    fn wait_until_taken(&mut self) -> Result<u64, End> {
        let busy_at = self.args.wait.map(|wait| Instant::now() + wait);
        let key = &self.key;
        loop {
            let until = busy_at.map_or(self.alive_until, |at| at.min(self.alive_until));
            let why = match self.events.recv_deadline(until) {
                Ok(Event::Renewed(sent)) => {
                    self.alive_until = sent + self.args.ttl;
                    continue;
                }
                Ok(Event::Waiting(who)) => {
                    eprintln!("bowline: waiting for {key}: {who}");
                    continue;
                }
                Ok(Event::Taken(index)) => return Ok(index),
                Ok(Event::Lost(why)) => why,
                Ok(Event::Signal(number)) => {
                    let code = SIGNALLED.saturating_add(u8::try_from(number).unwrap_or(0));
                    return Err(End { code, why: format!("stopped while waiting for {key}") });
                }
                Ok(Event::Ended) => unreachable!("no command runs before the lock is taken"),
                Err(_) if busy_at.is_some_and(|at| at <= Instant::now()) => {
                    let wait = self.args.wait.unwrap_or_default();
                    let why = format!("the lock {key} was not free within {wait:?}");
                    return Err(End { code: BUSY, why });
                }
                Err(_) => self.unheard(),
            };
            let why = format!("the lock {key} cannot be taken: {why}");
            return Err(End { code: FAILED, why });
        }
    }

    /// Runs the command to its end, which comes early when the lock is lost.
    fn run_command(
        &mut self,
        holder: &Holder,
        index: u64,
        sender: Sender<Event>,
    ) -> Result<u8, End> {
        let mut child = self.spawn(holder, index)?;
        tell_end(Pid::from_child(&child), sender);
        let mut lost = false;
        loop {
            let event = match lost {
                false => self.events.recv_deadline(self.alive_until),
                true => self.events.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            let why = match event {
                Ok(Event::Renewed(sent)) => {
                    self.alive_until = sent + self.args.ttl;
                    continue;
                }
                Ok(Event::Waiting(_) | Event::Taken(_)) => continue,
                Ok(Event::Signal(number)) => {
                    pass_on(&child, number);
                    continue;
                }
                Ok(Event::Ended) => break,
                Ok(Event::Lost(why)) => why,
                Err(_) => self.unheard(),
            };
            if !lost {
                let key = &self.key;
                eprintln!("bowline: the lock {key} is lost ({why}): ending the command by SIGTERM");
                signal(&child, Signal::TERM);
                lost = true;
            }
        }
        let status = child.wait().map_err(|error| End {
            code: FAILED,
            why: format!("how the command ended cannot be told: {error}"),
        })?;
        if lost {
            let why = format!("the lock {} was lost while the command ran", self.key);
            return Err(End { code: FAILED, why });
        }
        let of_signal = || SIGNALLED.saturating_add(low_byte(status.signal().unwrap_or(0)));
        Ok(status.code().map_or_else(of_signal, low_byte))
    }

    fn spawn(&self, holder: &Holder, index: u64) -> Result<Child, End> {
        let (program, arguments) = self.args.command.split_first().expect("clap asks for one");
        let child = Command::new(program)
            .args(arguments)
            .env("BOWLINE_LOCK_KEY", holder.key_for_environment())
            .env("BOWLINE_LOCK_SESSION", holder.session())
            .env("BOWLINE_LOCK_INDEX", index.to_string())
            .spawn();
        child.map_err(|error| {
            let code = if error.kind() == ErrorKind::NotFound { NOT_FOUND } else { NOT_RUN };
            End { code, why: format!("cannot run {}: {error}", program.display()) }
        })
    }

    fn unheard(&self) -> String {
        format!("no node has renewed its session for {:?}", self.args.ttl)
    }
}

fn low_byte(code: i32) -> u8 {
    code.to_le_bytes()[0]
}

fn listen_to_signals(sender: Sender<Event>) -> Result<(), End> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])
        .map_err(|error| End { code: FAILED, why: format!("cannot listen to signals: {error}") })?;
    std::thread::spawn(move || {
        for number in signals.forever() {
            if sender.send(Event::Signal(number)).is_err() {
                return;
            }
        }
    });
    Ok(())
}

/// Tells when the process has ended, and leaves it as it is: as long as nobody has asked how it ended,
/// its number belongs to it, and a signal cannot meet another process.
fn tell_end(pid: Pid, sender: Sender<Event>) {
    std::thread::spawn(move || {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while waitid(WaitId::Pid(pid), options).is_err_and(|error| error == Errno::INTR) {}
        // Who does not listen any more has ended too.
        let _ = sender.send(Event::Ended);
    });
}

/// Passes a signal on. Ctrl-C in a terminal reaches the command by itself.
fn pass_on(child: &Child, number: i32) {
    match number {
        SIGINT if std::io::stdin().is_terminal() => {}
        SIGINT => signal(child, Signal::INT),
        SIGHUP => signal(child, Signal::HUP),
        _ => signal(child, Signal::TERM),
    }
}

fn signal(child: &Child, signal: Signal) {
    // One that has ended needs none.
    let _ = kill_process(Pid::from_child(child), signal);
}
