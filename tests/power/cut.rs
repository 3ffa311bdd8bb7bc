//! Cuts the power of a life on a disk, and looks at what is there afterwards.
//!
//! The life is a process of its own. It dies in front of a system call that is chosen by name and
//! number, so between any two steps that change the disk; then the power of the disk is cut, so that
//! nothing of what was not synced arrives. What the life has acknowledged it has written into a pipe.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::disk::Disk;
use super::life::{Found, Life, live};
use super::model::{Model, Step};
use super::need::{need, strace};

/// Tells a process that it is the life, and where.
const LIFE: &str = "BOWLINE_POWER_LIFE";
/// Cuts at all places, not only at some.
const ALL: &str = "BOWLINE_POWER_ALL";
/// Places at which a test cuts when not told to try all.
const SOME: usize = 40;
/// Catches a hang, not slowness.
const PATIENCE: Duration = Duration::from_secs(60);
/// Every system call that changes what is on a disk.
const CHANGES: &str = "write,pwrite64,writev,pwritev,copy_file_range,fsync,fdatasync,\
    sync_file_range,rename,renameat,renameat2,unlink,unlinkat,rmdir,mkdir,mkdirat,ftruncate,\
    fallocate,link,linkat,creat";
const SIGKILL: i32 = 9;
/// How a life ends whose disk fails.
const FAILED: i32 = 3;
/// Of the disk. The state's tree alone sets a good part of it aside.
const DISK_MIB: u64 = 96;

/// In front of which system call a life ends.
#[derive(Clone, Debug)]
struct Place {
    call: String,
    number: usize,
}

/// Runs `script` as often as there are places in it, cuts the power there, and checks that the storage
/// opens to the state before or after the step that was under way. `test` is the name of the test that
/// calls this: the life is the same test in another process.
pub fn between_any_two_steps(test: &str, script: &[Step]) {
    if is_the_life(script) {
        return;
    }
    let Some(()) = need(test, strace()) else { return };
    let Some(disk) = need(test, Disk::with_switch(DISK_MIB)) else { return };
    let all = places(test, &disk, script);
    let found = check(&disk, script, Some(script.len())).unwrap();
    let purges = script.contains(&Step::Purge);
    assert!(found.start.0 > 0 || !purges, "there is something to purge: {:?}", found.start);
    drop(disk);
    let stride = match std::env::var_os(ALL) {
        Some(value) if value == "1" => 1,
        Some(_) | None => all.len().div_ceil(SOME),
    };
    for place in all.iter().step_by(stride) {
        let mut disk = Disk::new(DISK_MIB).unwrap();
        let when = format!("inject={}:signal=SIGKILL:when={}", place.call, place.number);
        let calls = format!("trace={}", place.call);
        let mut command = Command::new("strace");
        command.args(["-f", "-o", "/dev/null", "-e", &calls, "-e", &when]);
        let done = run(command, test, &disk, |_, _| ());
        disk.cut().unwrap();
        disk.mount().unwrap();
        check(&disk, script, done).unwrap_or_else(|error| panic!("{place:?}: {error}"));
    }
}

/// Cuts the power while all threads of the life are at work, after each of the steps in `at`.
pub fn in_full_run(test: &str, script: &[Step], at: &[usize]) {
    if is_the_life(script) {
        return;
    }
    let Some(disk) = need(test, Disk::with_switch(DISK_MIB)) else { return };
    drop(disk);
    for at in at {
        let mut disk = Disk::new(DISK_MIB).unwrap();
        let done = run(Command::new("env"), test, &disk, |disk, done| {
            if done == *at {
                disk.switch_off().unwrap();
            }
        });
        disk.cut().unwrap();
        disk.mount().unwrap();
        check(&disk, script, done).unwrap_or_else(|error| panic!("after step {at}: {error}"));
    }
}

/// Whether this process is the life; then it has been lived when this returns.
fn is_the_life(script: &[Step]) -> bool {
    let Some(path) = std::env::var_os(LIFE) else { return false };
    let done = |step| println!("\ndone {step}");
    if let Err(error) = live(Path::new(&path), script, done) {
        eprintln!("{error}");
        std::process::exit(FAILED);
    }
    true
}

/// All places of a script, found by living through it once.
fn places(test: &str, disk: &Disk, script: &[Step]) -> Vec<Place> {
    let trace = tempfile::NamedTempFile::new().unwrap();
    let mut command = Command::new("strace");
    let calls = format!("trace={CHANGES}");
    command.args(["-f", "-o", trace.path().to_str().unwrap(), "-e", &calls]);
    let done = run(command, test, disk, |_, _| ());
    assert_eq!(done, Some(script.len()), "nothing was cut");
    // Calls are counted by name and thread; the thread with the most of them has all numbers.
    let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
    for line in fs::read_to_string(trace.path()).unwrap().lines() {
        let mut words = line.split_whitespace();
        let (Some(thread), Some(rest)) = (words.next(), words.next()) else { continue };
        if let Some((call, _)) = rest.split_once('(') {
            *counts.entry((call.to_owned(), thread.to_owned())).or_default() += 1;
        }
    }
    let mut most: BTreeMap<String, usize> = BTreeMap::new();
    for ((call, _), count) in counts {
        let entry = most.entry(call).or_default();
        *entry = count.max(*entry);
    }
    assert!(most.len() > 3, "a life changes its disk in several ways: {most:?}");
    let numbered = |(call, count): (String, usize)| {
        (1..=count).map(move |number| Place { call: call.clone(), number })
    };
    most.into_iter().flat_map(numbered).collect()
}

/// Lets a life run to its end, under `command`. Gives the last step that it has acknowledged.
fn run(
    mut command: Command,
    test: &str,
    disk: &Disk,
    mut see: impl FnMut(&Disk, usize),
) -> Option<usize> {
    let errors = tempfile::NamedTempFile::new().unwrap();
    let mut child = command
        .arg(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(LIFE, disk.path().join("data"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(errors.reopen().unwrap())
        .spawn()
        .unwrap();
    let mut last = None;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if let Some(step) = line.strip_prefix("done ") {
            let step = step.parse().unwrap();
            last = Some(step);
            see(disk, step);
        }
    }
    let status = child.wait().unwrap();
    let said = fs::read_to_string(errors.path()).unwrap();
    let killed = status.signal() == Some(SIGKILL);
    let failed = status.code() == Some(FAILED) && disk.is_off();
    assert!(status.success() || killed || failed, "{status}, after {last:?}:\n{said}");
    last
}

/// Opens what is there, compares, and goes on with it. Gives what was there.
fn check(disk: &Disk, script: &[Step], done: Option<usize>) -> Result<Found, String> {
    let done = done.unwrap_or(0);
    let mut before = Model::default();
    script[..done].iter().for_each(|step| before.take(*step));
    let mut after = before.clone();
    if let Some(step) = script.get(done) {
        after.take(*step);
    }
    let under_way = script.get(done);
    let told = |error: String| format!("{error}\n{done} steps done, then {under_way:?}");
    let path = disk.path().join("data");
    let mut life = Life::start(&path).map_err(told)?;
    let found = life.found().map_err(told)?;
    let mut model = compare(&found, &before, &after).map_err(told)?;
    for step in [
        Step::Vote,
        Step::Append { back: (model.last() - model.commit()).min(1), count: 3 },
        Step::Checkpoint,
    ] {
        model.take(step);
        life = life.take(step, &model).map_err(told)?;
    }
    life.end().map_err(told)?;
    let mut life = start_again(&path).map_err(told)?;
    let later = life.found().map_err(told)?;
    compare(&later, &model, &model).map_err(told)?;
    life.end().map_err(told)?;
    Ok(found)
}

/// A child that another test has just forked holds our files, and so our locks, until it becomes
/// another program.
fn start_again(path: &Path) -> Result<Life, String> {
    let begun = Instant::now();
    loop {
        match Life::start(path) {
            Err(error) if error.contains("is in use") && begun.elapsed() < PATIENCE => {
                std::thread::yield_now();
            }
            started => return started,
        }
    }
}

/// What was found must be `before` or `after`, in each of its parts; gives what it is.
fn compare(found: &Found, before: &Model, after: &Model) -> Result<Model, String> {
    let either = |is: &dyn Fn(&Model) -> bool| [after, before].into_iter().find(|model| is(model));
    // Of entries that were never acknowledged, those that came first may be there.
    let (start, start_term) = found.start;
    let last = found.log.last().map_or(start, |entry| entry.index);
    let begun = after.beginning(before, last);
    let candidates = [Some(after), Some(before), begun.as_ref()];
    let fits =
        |it: &&Model| it.term(start) == Some(start_term) && found.log == it.entries(start + 1);
    let log = candidates.into_iter().flatten().find(fits);
    let Some(log) = log else {
        let terms: Vec<_> = found.log.iter().map(|entry| (entry.index, entry.term)).collect();
        return Err(format!(
            "the log begins behind {:?} and holds {terms:?}, not the terms {:?} or {:?}",
            found.start, before.terms, after.terms
        ));
    };
    if either(&|model| found.vote == model.vote).is_none() {
        let found = found.vote;
        return Err(format!("the vote is {found:?}, not {:?} or {:?}", before.vote, after.vote));
    }
    if either(&|model| found.applied == model.applied && found.rows == model.rows()).is_none() {
        return Err(format!(
            "the state is as of {} with {} rows, not that as of {} or {}",
            found.applied,
            found.rows.len(),
            before.applied,
            after.applied
        ));
    }
    if start > found.applied {
        let applied = found.applied;
        return Err(format!("the log begins behind {start}, the state is as of {applied}"));
    }
    Ok(Model { terms: log.terms.clone(), vote: found.vote, applied: found.applied })
}
