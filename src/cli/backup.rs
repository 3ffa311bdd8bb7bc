//! `backup`: saves the whole state into a file, looks into one, and restores one.
//!
//! A file is believed only when all of it was read and found right, by the same rules as a node's: after
//! it was saved, before it gets its name; and before it is sent to be restored.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use ureq::http::Request;
use ureq::{Agent, SendBody};

use super::args::{BackupRestoreArgs, BackupSaveArgs, BackupVerb, BackupVerifyArgs};
use super::client::{Answer, Client, plain};
use super::progress::Progress;
use super::{Error, print};
use crate::node::{BackupInfo, verify_backup};

const PATH: &str = "/v1/snapshot";
/// How long a connection is waited for; what follows may take as long as it takes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How much is read and written at once.
const PIECE: usize = 64 << 10;

/// Runs one of the verbs.
pub(super) fn run(verb: &BackupVerb) -> Result<(), Error> {
    match verb {
        BackupVerb::Save(args) => print(&format!("{}\n", save(args)?)),
        BackupVerb::Verify(args) => print(&verify(args)?),
        BackupVerb::Restore(args) => {
            let input = io::stdin();
            let asked = Asked { terminal: input.is_terminal(), input: &mut input.lock() };
            print(&format!("{}\n", restore(args, asked)?))
        }
    }
}

/// Saves a backup; tells what it is.
fn save(args: &BackupSaveArgs) -> Result<String, Error> {
    let target = &args.file;
    if target.exists() && !args.force {
        return Err(at(target, "there is such a file already; --force replaces it"));
    }
    let mut name = target.file_name().ok_or_else(|| at(target, "this names no file"))?.to_owned();
    name.push(".part");
    let part = Part(target.with_file_name(name));
    let from = download(args, &part.0)?;
    let info = check(&part.0, "verified")?;
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
    let sync = |path: &Path| File::open(path).and_then(|file| file.sync_all());
    sync(&part.0)
        .and_then(|()| fs::rename(&part.0, target))
        .and_then(|()| sync(folder.unwrap_or(Path::new("."))))
        .map_err(|error| at(target, error))?;
    Ok(format!("saved {} from {from}: {}", target.display(), summary(&info)))
}

/// A file that goes unless it was given another name.
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Downloads a backup from the first node that gives one; tells which.
fn download(args: &BackupSaveArgs, to: &Path) -> Result<String, Error> {
    let agent = agent();
    let mut trouble = Error::new("no node was named");
    for base in &args.node.urls {
        let query = if args.stale { "?stale" } else { "" };
        let mut response = match agent.get(format!("{base}{PATH}{query}")).call() {
            Ok(response) => response,
            Err(error) => {
                trouble = no_answer(base, &error);
                continue;
            }
        };
        if response.status().as_u16() != 200 {
            trouble = Error::new(format!("{base}: {}", answer(&mut response).problem()));
            continue;
        }
        let body = response.body_mut().with_config().limit(u64::MAX).reader();
        let mut progress = Progress::new(None);
        let copied =
            File::create(to).and_then(|mut file| copy(body, &mut file, "received", &mut progress));
        copied.map_err(|error| at(to, format!("{error} (while receiving from {base})")))?;
        return Ok(base.clone());
    }
    Err(trouble)
}

/// Reads a whole file; tells what is in it.
fn verify(args: &BackupVerifyArgs) -> Result<String, Error> {
    let info = check(&args.file, "verified")?;
    Ok(format!(
        "{} is whole\n\
         cluster    {}\n\
         version    {}\n\
         index      {}\n\
         revision   {}\n\
         links      {}\n\
         rows       {}\n\
         unpacked   {} bytes\n\
         sha256     {}\n",
        args.file.display(),
        info.cluster,
        info.cluster_version,
        info.applied,
        info.revision,
        info.links,
        info.rows,
        info.bytes,
        info.sha256,
    ))
}

fn check(path: &Path, what: &str) -> Result<BackupInfo, Error> {
    let file = File::open(path).map_err(|error| at(path, error))?;
    let total = file.metadata().ok().map(|metadata| metadata.len());
    let mut progress = Progress::new(total);
    let counted = Counted {
        input: BufReader::with_capacity(PIECE, file),
        bytes: 0,
        seen: |bytes| {
            progress.update_bytes(what, bytes);
        },
    };
    let info = verify_backup(counted, path).map_err(Error::new);
    progress.clear();
    info
}

/// Where the answer to a question comes from.
struct Asked<'a> {
    terminal: bool,
    input: &'a mut dyn BufRead,
}

/// Restores a backup; tells what came of it.
fn restore(args: &BackupRestoreArgs, asked: Asked<'_>) -> Result<String, Error> {
    let info = check(&args.file, "verified")?;
    let state = State::of(&args.node.urls)?;
    if info.cluster_version > state.version {
        return Err(Error::new(format!(
            "the backup is of cluster version {}, and the cluster is at {}: upgrade its nodes first",
            info.cluster_version, state.version
        )));
    }
    if !args.yes {
        confirm(&args.file, &info, &state, asked)?;
    }
    let (base, answer) = upload(args)?;
    if answer.status != 200 {
        return Err(Error::new(format!("{base}: {}", answer.problem())));
    }
    Ok(format!("restored {} through {base}: {}", args.file.display(), summary(&info)))
}

/// What is about to be replaced.
struct State {
    cluster: String,
    links: u64,
    revision: u64,
    version: u32,
}

impl State {
    fn of(nodes: &[String]) -> Result<Self, Error> {
        let status: Value = Client::new(nodes).get_json("/api/status")?;
        let state = &status["state"];
        let number = |name: &str| state[name].as_u64().unwrap_or(0);
        Ok(Self {
            cluster: status["node"]["cluster"].as_str().unwrap_or_default().to_owned(),
            links: number("links"),
            revision: number("revision"),
            version: u32::try_from(number("cluster_version")).unwrap_or(u32::MAX),
        })
    }
}

fn confirm(file: &Path, info: &BackupInfo, state: &State, asked: Asked<'_>) -> Result<(), Error> {
    if !asked.terminal {
        return Err(Error::new(
            "this replaces the whole state of the cluster: add --yes if that is meant",
        ));
    }
    let other = if info.cluster == state.cluster { "" } else { ", which is of ANOTHER cluster" };
    eprint!(
        "This replaces everything in cluster {} ({} links, revision {})\n\
         by the backup {} ({}){other}.\n\
         Type yes to go on: ",
        state.cluster,
        state.links,
        state.revision,
        file.display(),
        summary(info),
    );
    let mut line = String::new();
    asked.input.read_line(&mut line).map_err(Error::new)?;
    if line.trim() == "yes" { Ok(()) } else { Err(Error::new("nothing was done")) }
}

/// Sends a backup to the first node that answers; tells which, and what it says.
fn upload(args: &BackupRestoreArgs) -> Result<(String, Answer), Error> {
    let agent = agent();
    let mut trouble = Error::new("no node was named");
    for base in &args.node.urls {
        // A node that does not run must not cost the reading of the file.
        if let Err(why) =
            Client::new(std::slice::from_ref(base)).ask(&ureq::http::Method::GET, "/livez", &[])
        {
            trouble = why;
            continue;
        }
        let file = File::open(&args.file).map_err(|error| at(&args.file, error))?;
        let length = file.metadata().map_err(|error| at(&args.file, error))?.len();
        let mut progress = Progress::new(Some(length));
        let mut counted = Counted {
            input: file,
            bytes: 0,
            seen: |bytes| {
                let what = if bytes < length { "sent" } else { "being restored" };
                progress.update_bytes(what, bytes);
            },
        };
        let request = Request::put(format!("{base}{PATH}"))
            .header("Content-Type", "application/octet-stream")
            .header("Content-Length", length.to_string())
            // Who does not want it says so before it is sent, and not by breaking the connection.
            .header("Expect", "100-continue")
            .body(SendBody::from_reader(&mut counted))
            .map_err(Error::new)?;
        let sent = agent.run(request);
        progress.clear();
        return match sent {
            Ok(mut response) => Ok((base.clone(), answer(&mut response))),
            Err(error) => Err(no_answer(base, &error)),
        };
    }
    Err(trouble)
}

fn summary(info: &BackupInfo) -> String {
    let BackupInfo { revision, links, rows, bytes, .. } = info;
    format!("revision {revision}, {links} links, {rows} rows, {bytes} bytes")
}

/// A reader that tells how far it is.
struct Counted<R, F> {
    input: R,
    bytes: u64,
    seen: F,
}

impl<R: Read, F: FnMut(u64)> Read for Counted<R, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.bytes += count as u64;
        (self.seen)(self.bytes);
        Ok(count)
    }
}

fn copy(
    mut from: impl Read,
    to: &mut impl Write,
    what: &str,
    progress: &mut Progress,
) -> io::Result<()> {
    let (mut piece, mut bytes) = (vec![0; PIECE], 0);
    loop {
        let count = from.read(&mut piece)?;
        if count == 0 {
            progress.clear();
            return Ok(());
        }
        to.write_all(&piece[..count])?;
        bytes += count as u64;
        progress.update_bytes(what, bytes);
    }
}

/// Without a bound on the time, which depends on the size.
fn agent() -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .user_agent(concat!("bowline/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent()
}

fn answer(response: &mut ureq::http::Response<ureq::Body>) -> Answer {
    let status = response.status().as_u16();
    // What cannot be read is as good as nothing said.
    let body = response.body_mut().read_to_vec().unwrap_or_default();
    Answer { status, location: None, etag: None, index: None, retry_after: None, body }
}

fn no_answer(base: &str, error: &ureq::Error) -> Error {
    Error::new(format!("no answer from {base}: {}", plain(&error.to_string())))
}

fn at(path: &Path, error: impl std::fmt::Display) -> Error {
    Error::new(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::super::args::NodeUrls;
    use super::super::testing::{self, Reply};
    use super::*;

    fn nodes(urls: Vec<String>) -> NodeUrls {
        NodeUrls { urls }
    }

    #[test]
    fn what_is_no_backup_gets_no_name() {
        let dir = TempDir::new().unwrap();
        let file = dir.path().join("saved");
        let garbage = testing::serve(|_| Reply::new(200, "this is no backup"));
        let busy = testing::serve(|_| Reply::new(503, "no leader"));
        let node = nodes(vec![testing::nobody(), busy.clone(), garbage]);
        let args = BackupSaveArgs { file: file.clone(), force: false, stale: false, node };
        let error = save(&args).unwrap_err().to_string();
        assert!(error.contains("damaged"), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left behind");

        let args = BackupSaveArgs { node: nodes(vec![busy]), ..args };
        let error = save(&args).unwrap_err().to_string();
        assert!(error.contains("no leader"), "{error}");
        fs::write(&file, "mine").unwrap();
        let error = save(&args).unwrap_err().to_string();
        assert!(error.contains("--force"), "{error}");
        assert_eq!(fs::read(&file).unwrap(), b"mine");
    }

    #[test]
    fn what_is_no_backup_is_not_sent() {
        let dir = TempDir::new().unwrap();
        let file = dir.path().join("saved");
        fs::write(&file, [0x1f, 0x8b, 8, 0]).unwrap();
        let node = nodes(vec![testing::nobody()]);
        let args = BackupRestoreArgs { file, yes: true, node };
        let asked = Asked { terminal: false, input: &mut io::empty() };
        let error = restore(&args, asked).unwrap_err().to_string();
        assert!(error.contains("damaged"), "{error}");
        let error = verify(&BackupVerifyArgs { file: dir.path().join("none") }).unwrap_err();
        assert!(error.to_string().contains("none"), "{error}");
    }

    #[test]
    fn who_does_not_want_a_large_backup_can_say_why() {
        let dir = TempDir::new().unwrap();
        let file = dir.path().join("saved");
        // More than what fits into sockets.
        fs::write(&file, vec![7; 64 << 20]).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            for answer in ["200 OK\r\nContent-Length: 2", "429 No\r\nContent-Length: 2"] {
                let (mut stream, _) = listener.accept().unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    head.push(byte[0]);
                }
                let answer = format!("HTTP/1.1 {answer}\r\nConnection: close\r\n\r\nno");
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        let args = BackupRestoreArgs { file, yes: true, node: nodes(vec![base]) };
        let (_, answer) = upload(&args).unwrap();
        assert_eq!((answer.status, &answer.body[..]), (429, &b"no"[..]));
        server.join().unwrap();
    }

    #[test]
    fn only_yes_is_yes_and_only_at_a_terminal() {
        let info = BackupInfo {
            cluster: "aa".to_owned(),
            applied: 5,
            revision: 4,
            cluster_version: 2,
            links: 3,
            rows: 2,
            bytes: 1,
            sha256: "bb".to_owned(),
        };
        let state = State { cluster: "aa".to_owned(), links: 9, revision: 9, version: 2 };
        for (terminal, line, expected) in [
            (true, "yes\n", true),
            (true, "y\n", false),
            (true, "", false),
            (true, "no\n", false),
            (false, "yes\n", false),
        ] {
            let asked = Asked { terminal, input: &mut line.as_bytes() };
            let confirmed = confirm(Path::new("saved"), &info, &state, asked);
            assert_eq!(confirmed.is_ok(), expected, "{line:?}");
        }
    }
}
