//! `bowline demo`: three nodes in one terminal, all gone on Ctrl-C.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::harness::{ask, bowline, eventually, signal};

#[test]
fn demo_shows_what_to_try_and_stops_on_ctrl_c() {
    let home = tempfile::tempdir().unwrap();
    let mut demo = bowline()
        .args(["demo", "--data"])
        .arg(home.path().join("demo"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (line_in, line_out) = std::sync::mpsc::channel();
    let stdout = demo.stdout.take().unwrap();
    std::thread::spawn(move || {
        BufReader::new(stdout).lines().map_while(Result::ok).for_each(|line| {
            line_in.send(line).ok();
        });
    });
    let mut seen = Vec::new();
    let curl = loop {
        let line = line_out.recv_timeout(crate::harness::PATIENCE);
        let line = line.unwrap_or_else(|_| panic!("no curl line: {seen:?}"));
        if line.contains("curl") && line.contains("PUT") {
            break line;
        }
        seen.push(line);
    };
    let at = curl.find("http://127.0.0.1:").unwrap();
    let node: String = curl[at..].chars().take_while(|it| !it.is_whitespace()).collect();
    let answer = eventually("a write is taken", || {
        let answer = ask("PUT", &node, "https://example.com/demo")?;
        if answer.status < 300 { Ok(answer) } else { Err(answer.body) }
    });
    assert_eq!(answer.body.trim().len(), 8);
    signal(&demo, rustix::process::Signal::INT);
    let status = eventually("the demo stops", || demo.try_wait().unwrap().ok_or("it runs"));
    assert!(status.success(), "{status}");
    assert!(ask("GET", &node, "").is_err(), "a node was left behind");
}
