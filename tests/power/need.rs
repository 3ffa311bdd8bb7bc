//! What a test needs of the machine. Where it is forbidden the test is skipped, and says so loudly.

use std::io::Write;
use std::process::{Command, Stdio};

/// Turns skips into failures: for machines that are meant to run everything.
const NO_SKIP: &str = "BOWLINE_NO_SKIP";

/// Passes on what a test needs, or says why the test is skipped.
///
/// # Panics
/// When it is not there and nothing may be skipped.
pub fn need<T>(test: &str, found: Result<T, String>) -> Option<T> {
    match found {
        Ok(found) => Some(found),
        Err(why) => {
            let no_skip = std::env::var_os(NO_SKIP).is_some_and(|value| value == "1");
            assert!(!no_skip, "{test} cannot run here: {why}");
            // Past the harness, which keeps to itself what a test that passes prints.
            let mut past = std::io::stderr();
            writeln!(past, "\nSKIPPED {test}: {why}").unwrap();
            None
        }
    }
}

/// Whether system calls of other processes can be made to fail here.
pub fn strace() -> Result<(), String> {
    let mut command = Command::new("strace");
    let command = command.args(["-f", "-o", "/dev/null", "-e", "trace=none", "true"]);
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("strace cannot be run: {error}"))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("strace does not work: {}", String::from_utf8_lossy(&output.stderr).trim()))
    }
}

/// Runs a tool to its end and gives what it printed.
pub fn tool(program: &str, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new(program);
    let output = command.args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{program} cannot be run: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("{program} {}: {}", arguments.join(" "), said.trim()))
    }
}
