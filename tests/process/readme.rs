//! The README's three machines, with its commands as they stand, in three network namespaces.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use crate::harness::eventually;

/// Three machines on one switch, each a network namespace; gone when dropped.
struct Lan {
    prefix: String,
    home: tempfile::TempDir,
    running: Vec<(usize, Child)>,
}

fn ip(args: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(args).output().map_err(|error| error.to_string())?;
    let complaint =
        || format!("ip {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(()) } else { Err(complaint()) }
}

impl Lan {
    fn new() -> Result<Self, String> {
        let prefix = format!("bowline{}", std::process::id());
        let home = tempfile::tempdir().map_err(|error| error.to_string())?;
        let lan = Self { prefix, home, running: Vec::new() };
        let switch = lan.name(0);
        ip(&["netns", "add", &switch])?;
        ip(&["-n", &switch, "link", "add", "br0", "type", "bridge"])?;
        ip(&["-n", &switch, "link", "set", "br0", "up"])?;
        for k in 1..=3 {
            let (name, port) = (lan.name(k), format!("port{k}"));
            ip(&["netns", "add", &name])?;
            ip(&[
                "link", "add", &port, "netns", &switch, "type", "veth", "peer", "name", "eth0",
                "netns", &name,
            ])?;
            ip(&["-n", &switch, "link", "set", &port, "master", "br0", "up"])?;
            ip(&["-n", &name, "addr", "add", &format!("10.0.0.{k}/24"), "dev", "eth0"])?;
            ip(&["-n", &name, "link", "set", "eth0", "up"])?;
            ip(&["-n", &name, "link", "set", "lo", "up"])?;
            std::fs::create_dir(lan.directory(k)).map_err(|error| error.to_string())?;
        }
        Ok(lan)
    }

    fn name(&self, k: usize) -> String {
        format!("{}-{k}", self.prefix)
    }

    fn directory(&self, k: usize) -> PathBuf {
        self.home.path().join(format!("machine{k}"))
    }

    /// A shell on machine `k`, with the binary in its path.
    fn shell(&self, k: usize, command: &str) -> Command {
        let binary = Path::new(env!("CARGO_BIN_EXE_bowline")).parent().unwrap();
        let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap_or_default());
        let mut shell = Command::new("ip");
        shell.args(["netns", "exec", &self.name(k), "sh", "-c", &format!("exec {command}")]);
        shell.current_dir(self.directory(k)).env("PATH", path).env_remove("RUST_LOG");
        shell
    }

    fn run(&self, k: usize, command: &str) -> Output {
        self.shell(k, command).output().unwrap()
    }

    fn start(&mut self, k: usize, command: &str) {
        let log = std::fs::File::create(self.directory(k).join("log")).unwrap();
        let mut shell = self.shell(k, command);
        let child = shell.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        self.running.push((k, child));
    }

    fn kill(&mut self, k: usize) {
        for (_, child) in self.running.iter_mut().filter(|(at, _)| *at == k) {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        self.running.retain(|(at, _)| *at != k);
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        for (_, child) in &mut self.running {
            child.kill().ok();
            child.wait().ok();
        }
        if std::thread::panicking() {
            for k in 1..=3 {
                let log = std::fs::read_to_string(self.directory(k).join("log"));
                eprintln!("---- log of machine {k}:\n{}", log.unwrap_or_default());
            }
        }
        for k in 0..=3 {
            ip(&["netns", "del", &self.name(k)]).ok();
        }
    }
}

/// The README's lines of the form `10.0.0.K$ command`.
fn commands() -> Vec<(usize, String)> {
    let readme = include_str!("../../README.md");
    let line = |line: &str| {
        let (machine, command) = line.strip_prefix("    10.0.0.")?.split_once("$ ")?;
        Some((machine.parse().ok()?, command.to_owned()))
    };
    readme.lines().filter_map(line).collect()
}

#[test]
fn the_three_machines_of_the_readme() {
    let mut lan = match Lan::new() {
        Ok(lan) => lan,
        Err(why) => {
            eprintln!("SKIPPED the README's three machines: no network namespaces here: {why}");
            return;
        }
    };
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("SKIPPED the README's three machines: curl is not installed");
        return;
    }
    let commands = commands();
    assert_eq!(commands.len(), 5, "{commands:?}");
    let mut key = String::new();
    for (k, command) in &commands {
        if command.starts_with("bowline --") {
            lan.start(*k, command);
            continue;
        }
        let text = eventually(command, || {
            let output = lan.run(*k, command);
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
            // A node that waits to be admitted says so, and a person tries again.
            let done = output.status.success() && !text.contains("\"title\"");
            if done { Ok(text) } else { Err(text + &complaint) }
        });
        if command.starts_with("curl") {
            key = text.trim().to_owned();
        } else {
            assert!(text.contains("leader"), "{text}");
        }
    }
    let configuration = "curl -s http://10.0.0.2:7070/v1/operator/raft/configuration";
    eventually("three voters", || {
        let text = String::from_utf8_lossy(&lan.run(2, configuration).stdout).into_owned();
        if text.matches("\"Voter\":true").count() == 3 { Ok(()) } else { Err(text) }
    });
    // And now what it is all for.
    lan.kill(1);
    for k in [2, 3] {
        let follow = format!("curl -s -i http://10.0.0.{k}:7070/{key}");
        eventually("the link works without the first machine", || {
            let text = String::from_utf8_lossy(&lan.run(k, &follow).stdout).into_owned();
            if text.contains("https://example.com/a/long/url") { Ok(()) } else { Err(text) }
        });
        let put = format!("curl -s -X PUT --data http://example.com/{k} http://10.0.0.{k}:7070/");
        eventually("writes go on without the first machine", || {
            let text = String::from_utf8_lossy(&lan.run(k, &put).stdout).into_owned();
            if text.len() == 9 { Ok(()) } else { Err(text) }
        });
    }
}
