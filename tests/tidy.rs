//! The rules of the house that a compiler does not know: who may import whom, what a pure core must
//! never name, and that every given crate is really used.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A source file without its tests.
struct Source {
    /// Path below the repository's root, with `/`.
    path: String,
    text: String,
}

impl Source {
    /// The top-level module it belongs to, such as `raft`; the file's own name for single files.
    fn module(&self) -> &str {
        let below = self.path.strip_prefix("src/").unwrap_or(&self.path);
        let first = below.split('/').next().unwrap_or(below);
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// Lines with their numbers, comments left out.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate().map(|(at, line)| (at + 1, line));
        lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(below: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|it| it == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The text up to its inline module of tests, which stands last by custom.
fn without_tests(text: &str) -> String {
    let is_attribute = |line: &str| line.trim_start().starts_with("#[");
    for (at, line) in text.lines().enumerate() {
        if line != "#[cfg(test)]" {
            continue;
        }
        let module = text.lines().skip(at + 1).find(|line| !is_attribute(line)).unwrap_or("");
        if module.contains("mod ") && module.ends_with('{') {
            return text.lines().take(at).collect::<Vec<_>>().join("\n");
        }
    }
    text.to_owned()
}

/// Everything below `folder` that is compiled into the program.
fn sources(folder: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    for path in files(&root().join(folder)) {
        let text = std::fs::read_to_string(&path).unwrap();
        let path = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        let only_tests = ["tests.rs", "testing.rs"].iter().any(|name| path.ends_with(name))
            || path.contains("/testing/")
            || path.contains("/tests/");
        if !only_tests {
            let text = without_tests(&text);
            sources.push(Source { path, text });
        }
    }
    assert!(!sources.is_empty(), "nothing below {folder}");
    sources
}

/// The top-level modules that a file names as `crate::…`, in plain and in grouped imports.
fn imports(source: &Source) -> BTreeSet<(usize, String)> {
    let mut named = BTreeSet::new();
    for (line, text) in source.code() {
        for after in text.split("crate::").skip(1) {
            let name: String =
                after.chars().take_while(|it| it.is_ascii_alphanumeric() || *it == '_').collect();
            assert!(
                !name.is_empty(),
                "{}:{line}: import modules of the crate one by one",
                source.path
            );
            named.insert((line, name));
        }
    }
    named
}

#[test]
fn modules_import_only_what_lies_below_them() {
    let allowed: BTreeMap<&str, &[&str]> = [
        ("ids", &[][..]),
        ("escapes", &[]),
        ("lines", &[]),
        ("threads", &["lines"]),
        ("metrics", &[]),
        ("error", &[]),
        ("networks", &[]),
        ("config", &["networks"]),
        ("passwords", &["ids", "metrics", "threads"]),
        ("raft", &[]),
        ("storage", &["ids", "metrics", "raft", "threads"]),
        ("state", &["ids", "storage"]),
        ("watch", &["ids", "metrics", "state"]),
        ("replica", &["config", "error", "ids", "raft"]),
        ("transport", &["ids", "metrics", "threads"]),
        (
            "snapshot",
            &["config", "ids", "metrics", "raft", "state", "storage", "threads", "transport"],
        ),
        ("membership", &["config", "ids", "metrics", "raft", "threads", "transport"]),
        (
            "http",
            &[
                "error",
                "escapes",
                "ids",
                "membership",
                "metrics",
                "networks",
                "node",
                "passwords",
                "state",
                "threads",
                "watch",
            ],
        ),
        ("cli", &["config", "error", "escapes", "ids", "lines", "networks", "node", "state"]),
        (
            "node",
            &[
                "config",
                "error",
                "http",
                "ids",
                "lines",
                "membership",
                "metrics",
                "passwords",
                "raft",
                "replica",
                "snapshot",
                "state",
                "storage",
                "threads",
                "transport",
                "watch",
            ],
        ),
        ("main", &[]),
        ("lib", &[]),
    ]
    .into();
    let mut wrong = Vec::new();
    for source in sources("src") {
        let module = source.module();
        let allowed =
            allowed.get(module).unwrap_or_else(|| panic!("{module} is new: place it here"));
        for (line, name) in imports(&source) {
            if name != module && !allowed.contains(&name.as_str()) {
                wrong.push(format!("{}:{line}: {module} must not name crate::{name}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn pure_cores_name_no_clock_no_thread_and_no_disk() {
    let io =
        ["std::fs", "std::io", "std::net", "std::thread", "std::sync", "std::env", "std::process"];
    let time = ["std::time::Instant", "std::time::SystemTime", "Instant::now"];
    let chance = ["HashMap", "HashSet", "rand::rng(", "rand::random", "thread_rng"];
    let cores: [(&str, &[&str]); 11] = [
        ("src/raft", &["std::time", "crate::"]),
        ("src/replica", &["std::time"]),
        ("src/state", &["std::time", "rand::"]),
        ("src/storage/wal/format.rs", &["std::time"]),
        ("src/snapshot/bucket.rs", &[]),
        ("src/snapshot/fetch.rs", &[]),
        ("src/snapshot/message.rs", &["std::time"]),
        ("src/snapshot/serve.rs", &[]),
        ("src/snapshot/stage.rs", &[]),
        ("src/snapshot/stage/holder.rs", &[]),
        ("gossip/src", &["bowline::"]),
    ];
    let mut wrong = Vec::new();
    for (folder, more) in cores {
        let sources = if folder.ends_with(".rs") {
            let text = std::fs::read_to_string(root().join(folder)).unwrap();
            vec![Source { path: folder.to_owned(), text }]
        } else {
            sources(folder)
        };
        for source in sources {
            for (line, text) in source.code() {
                let banned = io.iter().chain(&time).chain(&chance).chain(more);
                for banned in banned {
                    // Modules of the core may name each other.
                    let own = *banned == "crate::"
                        && (text.contains("crate::raft") || text.contains("pub(crate)"));
                    if text.contains(banned) && !own {
                        wrong.push(format!("{}:{line}: {banned}", source.path));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn gossip_depends_on_no_socket_and_nothing_depends_on_an_async_runtime() {
    let manifest = std::fs::read_to_string(root().join("gossip/Cargo.toml")).unwrap();
    let dependencies = manifest.split("[dependencies]").nth(1).unwrap();
    let dependencies = dependencies.split("\n[").next().unwrap();
    for line in dependencies.lines().filter(|line| line.contains('=')) {
        let name = line.split(['=', '.']).next().unwrap().trim();
        let pure = ["rand", "rmp-serde", "serde", "crc32c", "thiserror"];
        assert!(pure.contains(&name), "gossip must not depend on {name}");
    }
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    for runtime in ["tokio", "async-std", "smol", "async-executor", "futures-executor"] {
        assert!(!lock.contains(&format!("name = \"{runtime}\"")), "{runtime} has crept in");
    }
}

#[test]
fn every_given_crate_is_a_direct_dependency_and_used() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let package = manifest.split("\n[dependencies]").nth(1).unwrap();
    let direct = package.split("\n[").next().unwrap();
    let program = sources("src");
    for given in [
        "crossbeam-channel",
        "mio",
        "tiny_http",
        "serde",
        "rmp-serde",
        "rand",
        "log",
        "env_logger",
        "parking_lot",
    ] {
        let declared =
            |line: &str| line.split(['=', '.', ' ']).next().is_some_and(|name| name == given);
        assert!(direct.lines().any(declared), "{given} is no direct dependency");
        let path = format!("{}::", given.replace('-', "_"));
        let used = program.iter().any(|source| source.code().any(|(_, line)| line.contains(&path)));
        assert!(used, "{given} is not used");
    }
}

#[test]
fn nothing_is_left_undone_and_every_module_says_what_it_is() {
    let mut wrong = Vec::new();
    for source in sources("src").into_iter().chain(sources("gossip/src")) {
        if !source.text.starts_with("//! ") {
            wrong.push(format!("{}: begin with //! what this is, and why it is so", source.path));
        }
        for (line, text) in source.code() {
            for banned in [".unwrap()", "todo!(", "unimplemented!(", "dbg!(", "println!(\"DEBUG"] {
                if text.contains(banned) {
                    wrong.push(format!("{}:{line}: {banned}", source.path));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn tests_wait_for_conditions_not_for_time() {
    for path in files(&root().join("tests")).into_iter().chain(files(&root().join("gossip/tests")))
    {
        let text = std::fs::read_to_string(&path).unwrap();
        let needle = ["thread", "::sleep"].concat();
        assert!(!text.contains(&needle), "{}: wait for the condition", path.display());
    }
}
