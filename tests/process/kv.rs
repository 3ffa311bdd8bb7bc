//! The `kv` verbs, as a shell sees them, against real nodes.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Output, Stdio};
use std::sync::mpsc::{self, Receiver};

use rustix::process::Signal;

use crate::harness::{Cluster, Node, PATIENCE, ask, bowline, eventually, signal};

/// What a verb did: exit code, stdout, stderr.
#[derive(Debug, PartialEq)]
struct Done {
    code: Option<i32>,
    out: String,
    err: String,
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let Output { status, stdout, stderr } = output;
        Self { code: status.code(), out: text(&stdout), err: text(&stderr) }
    }
}

fn kv_on(nodes: &str, args: &[&str], input: &str) -> Done {
    let mut child = bowline()
        .args(["kv"])
        .args(args)
        .env("BOWLINE_NODE", nodes)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A verb that reads nothing may have ended already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap().into()
}

fn kv(node: &Node, args: &[&str]) -> Done {
    kv_on(&node.http, args, "")
}

/// What a verb prints that must succeed.
fn printed(node: &Node, args: &[&str]) -> String {
    let done = kv(node, args);
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{args:?}: {done:?}");
    done.out
}

fn refused(node: &Node, args: &[&str], words: &[&str]) -> Done {
    let done = kv(node, args);
    assert_eq!(done.code, Some(1), "{args:?}: {done:?}");
    assert_eq!(done.err.lines().count(), 1, "{args:?}: {done:?}");
    for word in words {
        assert!(done.err.contains(word), "{args:?}: {word} is missing: {done:?}");
    }
    done
}

/// A node of its own that takes keys.
fn node(home: &Path) -> Node {
    let node = Node::start(home, "n1", &[]);
    eventually("keys are taken", || {
        let answer = ask("PUT", &node.url("/api/kv/ready"), "yes")?;
        if answer.status < 300 { Ok(()) } else { Err(answer.body) }
    });
    node
}

#[test]
fn one_key_is_set_read_compared_and_removed() {
    let home = tempfile::tempdir().unwrap();
    let node = node(home.path());
    let first = printed(&node, &["put", "a/b c", "one"]);
    assert_eq!(printed(&node, &["get", "a/b c"]), "one", "as it is, without a line end");
    assert_eq!(printed(&node, &["put", "a/b c", "one"]), first, "nothing has changed");
    let first = first.trim();

    let second = printed(&node, &["cas", "a/b c", first, "two", "--flags", "7"]);
    let done = refused(&node, &["cas", "a/b c", first, "three"], &[first, second.trim()]);
    assert_eq!(done.out, "two", "what is there instead");
    let done = refused(&node, &["cas", "a/b c", "0", "three"], &["already", second.trim()]);
    assert_eq!(done.out, "two");
    refused(&node, &["cas", "missing", "5", "three"], &["no key missing"]);
    printed(&node, &["cas", "fresh", "0", "--", "-1"]);
    assert_eq!(printed(&node, &["get", "fresh"]), "-1");

    let json: serde_json::Value =
        serde_json::from_str(&printed(&node, &["get", "--json", "--stale", "a/b c"])).unwrap();
    assert_eq!((&json["key"], &json["flags"]), (&"a/b c".into(), &7.into()));
    assert_eq!(json["modify"].to_string(), second.trim());

    let done = kv_on(&node.http, &["put", "piped", "-"], "by\0tes\n");
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(printed(&node, &["get", "piped"]), "by\0tes\n");
    let file = home.path().join("value");
    std::fs::write(&file, "from a file").unwrap();
    printed(&node, &["put", "piped", "--file", file.to_str().unwrap()]);
    assert_eq!(printed(&node, &["get", "piped"]), "from a file");
    std::fs::write(&file, vec![b'x'; 600 * 1024]).unwrap();
    refused(&node, &["put", "big", "--file", file.to_str().unwrap()], &["524288"]);

    printed(&node, &["put", "brief", "x", "--ttl", "300ms"]);
    eventually("it goes by itself", || match kv(&node, &["get", "brief"]) {
        Done { code: Some(1), err, .. } if err.contains("no key brief") => Ok(()),
        other => Err(other),
    });
    assert_eq!(printed(&node, &["rm", "piped"]), "");
    assert_eq!(printed(&node, &["rm", "piped"]), "", "twice is no failure");
    refused(&node, &["get", "piped"], &["no key piped"]);
    assert_eq!(kv(&node, &["get"]).code, Some(2));
}

#[test]
fn prefixes_are_listed_and_removed_with_care() {
    let home = tempfile::tempdir().unwrap();
    let node = node(home.path());
    for key in ["app/1", "app/2", "app", "apple", "app/tab\there"] {
        printed(&node, &["put", key, "val"]);
    }
    assert_eq!(printed(&node, &["ls", "app/"]), "app/1\napp/2\napp/tab\there\n");
    assert_eq!(printed(&node, &["ls"]).lines().count(), 6);
    let long = printed(&node, &["ls", "-l", "app/1"]);
    let columns: Vec<&str> = long.split_whitespace().collect();
    assert_eq!(columns[1..], ["3", "0", "app/1"], "{long}");

    refused(&node, &["rm", "-r", "app", "--yes"], &["app/", "--prefix app"]);
    let asked = kv_on(&node.http, &["rm", "-r", "app/"], "n\n");
    assert_eq!((asked.code, asked.out.as_str()), (Some(1), ""), "{asked:?}");
    assert!(asked.err.contains("app/") && asked.err.contains("3 keys? [y/N]"), "{asked:?}");
    assert!(asked.err.ends_with("nothing was removed\n"), "{asked:?}");
    let asked = kv_on(&node.http, &["rm", "-r", "app/"], "");
    assert_eq!(asked.code, Some(1), "no answer is a no: {asked:?}");
    let asked = kv_on(&node.http, &["rm", "-r", "app/"], "y\n");
    assert_eq!((asked.code, asked.out.as_str()), (Some(0), "3 keys removed\n"), "{asked:?}");
    assert_eq!(printed(&node, &["ls"]), "app\napple\nready\n", "its siblings stay");
    assert_eq!(printed(&node, &["rm", "-r", "--prefix", "app", "-y"]), "2 keys removed\n");
    assert_eq!(printed(&node, &["rm", "-r", "--prefix", "app"]), "0 keys: nothing to remove\n");
    assert_eq!(printed(&node, &["rm", "-r", "--prefix", "", "-y"]), "1 key removed\n");
}

#[test]
fn an_export_is_imported_elsewhere_and_again() {
    let home = tempfile::tempdir().unwrap();
    let first = node(home.path());
    // Enough for many pieces; the values are their own numbers.
    let lines: String = (0..3000)
        .map(|n| {
            format!(
                "{{\"key\":\"many/{n:04}\",\"value\":\"{}\",\"flags\":{n}}}\n",
                "AAAA".repeat(40)
            )
        })
        .collect();
    let file = home.path().join("lines");
    std::fs::write(&file, lines + "{\"key_base64\":\"bWFueS//\",\"value\":\"/w==\"}\n").unwrap();
    let file = file.to_str().unwrap();
    let done = kv(&first, &["import", file]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.err.contains("3001 created, 0 set, 0 failed"), "{done:?}");
    let revision = || first.json("/api/status").unwrap()["state"]["revision"].clone();
    let before = revision();
    let done = kv(&first, &["import", file]);
    assert!(done.err.contains("0 created, 3001 set, 0 failed"), "{done:?}");
    assert_eq!(revision(), before, "again changes nothing");

    let out = home.path().join("out");
    let done = kv(&first, &["export", "many/", "--out", out.to_str().unwrap()]);
    assert_eq!((done.code, done.out.as_str()), (Some(0), ""), "{done:?}");
    assert!(done.err.contains("3001 keys exported"), "{done:?}");
    let second = {
        std::fs::create_dir(home.path().join("second")).unwrap();
        node(&home.path().join("second"))
    };
    assert_eq!(kv(&second, &["import", out.to_str().unwrap()]).code, Some(0));
    let keys = |node: &Node| -> Vec<(String, String, String)> {
        let lines = kv(node, &["export", "many/"]).out;
        let entries = lines.lines().map(|line| serde_json::from_str(line).unwrap());
        let text = |entry: &serde_json::Value, field: &str| entry[field].to_string();
        entries
            .map(|it: serde_json::Value| {
                let key = text(&it, "key") + &text(&it, "key_base64");
                (key, text(&it, "value"), text(&it, "flags"))
            })
            .collect()
    };
    assert_eq!(keys(&second).len(), 3001);
    assert_eq!(keys(&second), keys(&first));

    let done =
        kv_on(&second.http, &["import", "-"], "{\"key\":\"a\"}\n{\"key\":\"b\",\"value\":\"\"}\n");
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.err.contains("line 1: the value is missing"), "{done:?}");
    assert_eq!(printed(&second, &["get", "b"]), "", "the others are imported");
}

/// A verb that goes on, and the lines that it prints.
struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    fn kv(nodes: &str, args: &[&str]) -> Self {
        let mut child = bowline()
            .arg("kv")
            .args(args)
            .env("BOWLINE_NODE", nodes)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = lines_of(child.stdout.take().unwrap());
        Self { child, lines }
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("it prints something")
    }

    /// How it ended, and what it complained about.
    fn ended(mut self) -> (Option<i32>, String) {
        let mut err = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        (self.child.wait().unwrap().code(), err)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn lines_of(stdout: ChildStdout) -> Receiver<String> {
    let (line_in, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            line_in.send(line).ok();
        }
    });
    lines
}

/// The columns of a watch's line, but for the revision.
fn news(watch: &Running) -> (String, String, String) {
    let line = watch.line();
    let mut columns = line.split('\t').skip(1).map(str::to_owned);
    let mut next = || columns.next().unwrap_or_default();
    (next(), next(), next())
}

#[test]
fn a_watch_outlives_the_node_it_asks() {
    let mut cluster = Cluster::start(3);
    let all: Vec<&str> = cluster.nodes.iter().map(|node| node.http.as_str()).collect();
    let all = all.join(",");
    let set = |key: &str, value: &str| {
        eventually("a key is set", || match kv_on(&all, &["put", key, value], "") {
            Done { code: Some(0), .. } => Ok(()),
            other => Err(other),
        });
    };
    let told =
        |kind: &str, key: &str, value: &str| (kind.to_owned(), key.to_owned(), value.to_owned());
    set("w/1", "one");
    set("other", "never seen");
    let watched = cluster.follower();
    let order: Vec<&str> = (0..3).map(|k| cluster.nodes[(watched + k) % 3].http.as_str()).collect();
    let watch = Running::kv(&order.join(","), &["watch", "w/"]);
    assert_eq!(news(&watch), told("put", "w/1", "one"), "what there is comes first");
    set("w/2", "two\n");
    assert_eq!(news(&watch), told("put", "w/2", "two\\n"));

    cluster.nodes[watched].kill();
    set("w/1", "changed meanwhile");
    assert_eq!(news(&watch), told("put", "w/1", "changed meanwhile"), "and only that");
    assert_eq!(kv_on(&all, &["rm", "w/2"], "").code, Some(0));
    assert_eq!(news(&watch), told("delete", "w/2", ""));
    cluster.nodes[watched].restart();
}

#[test]
fn a_lock_is_held_by_one_command_at_a_time() {
    let home = tempfile::tempdir().unwrap();
    let node = node(home.path());
    let shell = |script: &str| {
        let args = ["lock", "locks/a", "--", "sh", "-c", script];
        Running::kv(&node.http, &args)
    };
    let mut first = shell("echo $BOWLINE_LOCK_KEY $BOWLINE_LOCK_INDEX; exec sleep 1000");
    assert_eq!(first.line(), "locks/a 1");
    let holder = kv(&node, &["get", "locks/a"]).out;
    assert!(holder.contains(&format!("process {}", first.child.id())), "{holder}");

    let waits = ["lock", "locks/a", "--wait", "100ms", "--", "echo", "never"];
    let done = kv(&node, &waits);
    assert_eq!((done.code, done.out.as_str()), (Some(124), ""), "{done:?}");
    assert!(done.err.contains("held by bowline kv lock"), "{done:?}");

    let mut second = shell("echo mine $BOWLINE_LOCK_INDEX; exit 3");
    let stderr = second.child.stderr.take().unwrap();
    let mut stderr = BufReader::new(stderr);
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    assert!(line.contains("waiting for locks/a: held by"), "{line}");
    // A signal to the holder reaches its command, and the end of that is the holder's.
    signal(&first.child, Signal::TERM);
    assert_eq!(first.child.wait().unwrap().code(), Some(128 + 15));
    assert_eq!(second.line(), "mine 2", "at once, because it was given back");
    assert_eq!(second.child.wait().unwrap().code(), Some(3));

    let sessions = node.json("/v1/session/list").unwrap();
    assert_eq!(sessions.as_array().map(Vec::len), Some(0), "{sessions}");
    assert_eq!(kv(&node, &["lock", "locks/a", "--", "/no/such/thing"]).code, Some(127));
    assert_eq!(kv(&node, &["lock", "locks/a", "--", "/"]).code, Some(126));
}

#[test]
fn a_lock_that_is_lost_ends_its_command() {
    let home = tempfile::tempdir().unwrap();
    let node = node(home.path());
    for take_it_away in ["session", "key"] {
        let key = format!("locks/{take_it_away}");
        let script = "trap 'echo told; exit 0' TERM; echo $BOWLINE_LOCK_SESSION; \
                      while :; do sleep 0.05; done";
        let lock = Running::kv(&node.http, &["lock", &key, "--", "sh", "-c", script]);
        let session = lock.line();
        match take_it_away {
            "session" => {
                let path = node.url(&format!("/v1/session/destroy/{session}"));
                assert_eq!(ask("PUT", &path, "").unwrap().status, 200);
            }
            _ => assert_eq!(kv(&node, &["rm", &key]).code, Some(0)),
        }
        assert_eq!(lock.line(), "told");
        let (code, err) = lock.ended();
        assert_eq!(code, Some(125), "{err}");
        assert!(err.contains("is lost") && err.contains("SIGTERM"), "{err}");
    }
}

#[test]
fn a_lock_outlives_the_leader() {
    let mut cluster = Cluster::start(3);
    let leader = cluster.leader();
    let all: Vec<&str> = cluster.nodes.iter().map(|node| node.http.as_str()).collect();
    let all = all.join(",");
    let set = || match kv_on(&all, &["put", "ready", "yes"], "") {
        Done { code: Some(0), .. } => Ok(()),
        other => Err(other),
    };
    eventually("keys are taken", set);
    let stop = cluster.home.path().join("stop");
    let script = format!("echo held; until [ -e {} ]; do sleep 0.05; done", stop.display());
    // Half of the shortest time passes before its end, so that renewals are needed.
    let args = ["lock", "l", "--ttl", "10s", "--", "sh", "-c", &script];
    let lock = Running::kv(&all, &args);
    assert_eq!(lock.line(), "held");
    cluster.nodes[leader].kill();
    let session = || {
        let up = cluster.nodes.iter().find(|node| node.is_up()).unwrap();
        let sessions = up.json("/v1/session/list")?;
        Ok(sessions.as_array().ok_or_else(|| sessions.to_string())?.len())
    };
    eventually("others lead", || {
        session().and_then(|n| if n == 1 { Ok(()) } else { Err(n.to_string()) })
    });
    eventually("keys are taken", set);
    std::fs::write(&stop, "").unwrap();
    let (code, err) = lock.ended();
    assert_eq!(code, Some(0), "{err}");
    cluster.nodes[leader].restart();
}
