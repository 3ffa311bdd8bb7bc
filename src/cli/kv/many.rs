//! `ls`, `export`, `rm -r`: the keys under a prefix, of which there may be any number.
//!
//! A listing is read as it comes and nothing of it is kept. It is of one moment, however long it
//! takes, and one that breaks off before its end is an error and never a shorter listing.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, IsTerminal, Read, Write};
use std::path::Path;

use ureq::http::Method;

use super::super::client::Client;
use super::super::progress::Progress;
use super::super::{Error, print};
use super::args::{ExportArgs, LsArgs, RmArgs};
use super::entry::Entry;
use super::keys::{Key, shown};
use crate::escapes;

/// Bytes of the longest line that is read; no entry comes near it.
const LINE_MAX: u64 = 16 * 1024 * 1024;

pub(super) fn ls(args: &LsArgs) -> Result<(), Error> {
    let client = Client::new(&args.node.urls);
    let form = match (args.json, args.long) {
        (true, _) => "format=jsonl",
        (false, true) => "format=jsonl&meta",
        (false, false) => "format=text",
    };
    let stdout = io::stdout();
    let terminal = stdout.is_terminal();
    let mut output = BufWriter::new(stdout.lock());
    each_line(&client, args.prefix.as_ref(), form, |line| {
        let written = if args.json {
            output.write_all(line)
        } else if args.long {
            let entry = Entry::parse(line)?;
            let key = shown(entry.key()?.bytes());
            writeln!(output, "{:>10} {:>8} {:>6}  {key}", entry.modify, entry.size, entry.flags)
        } else {
            let line = String::from_utf8_lossy(line.trim_ascii_end());
            let key = escapes::decode(&line);
            // A terminal must not obey what somebody called a key.
            let key = if terminal { shown(&key).into_bytes().into() } else { key };
            output.write_all(&key).and_then(|()| output.write_all(b"\n"))
        };
        written.map_err(|error| stdout_failed(&error))
    })?;
    output.flush().map_err(|error| stdout_failed(&error))
}

pub(super) fn export(args: &ExportArgs) -> Result<(), Error> {
    let client = Client::new(&args.node.urls);
    let prefix = args.prefix.as_ref();
    let mut progress = Progress::new(None);
    let (keys, bytes) = match &args.out {
        None => {
            let mut output = BufWriter::new(io::stdout().lock());
            let counts = copy(&client, prefix, &mut output, &mut progress, stdout_failed)?;
            output.flush().map_err(|error| stdout_failed(&error))?;
            counts
        }
        Some(path) => export_to(&client, prefix, path, &mut progress)?,
    };
    progress.note(&format!("{keys} keys exported, {bytes} bytes"));
    Ok(())
}

/// Writes beside the file and renames at the end: what has the name is complete.
fn export_to(
    client: &Client,
    prefix: Option<&Key>,
    path: &Path,
    progress: &mut Progress,
) -> Result<(u64, u64), Error> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let failed = |error: &io::Error| Error::new(format!("{}: {error}", path.display()));
    let file = File::create(&partial).map_err(|error| failed(&error))?;
    let mut output = BufWriter::new(file);
    let result = copy(client, prefix, &mut output, progress, failed).and_then(|counts| {
        let file = output.into_inner().map_err(|error| failed(error.error()))?;
        let named = file.sync_all().and_then(|()| std::fs::rename(&partial, path));
        named.map_err(|error| failed(&error)).map(|()| counts)
    });
    if result.is_err() {
        // The error that counts is told already.
        let _ = std::fs::remove_file(&partial);
    }
    result
}

/// Copies a listing; gives its keys and bytes.
fn copy(
    client: &Client,
    prefix: Option<&Key>,
    output: &mut impl Write,
    progress: &mut Progress,
    failed: impl Fn(&io::Error) -> Error,
) -> Result<(u64, u64), Error> {
    let (mut keys, mut bytes) = (0, 0);
    each_line(client, prefix, "format=jsonl", |line| {
        keys += 1;
        bytes += line.len() as u64;
        progress.update(bytes, keys);
        output.write_all(line).map_err(|error| failed(&error))
    })?;
    Ok((keys, bytes))
}

pub(super) fn rm(args: &RmArgs) -> Result<(), Error> {
    let client = Client::new(&args.node.urls);
    let (prefix, what) = match (&args.prefix, &args.key) {
        (Some(prefix), _) if prefix.bytes().is_empty() => (prefix, "all keys".to_owned()),
        (Some(prefix), _) => (prefix, format!("all keys that begin with {}", prefix.shown())),
        (None, Some(key)) if key.bytes().ends_with(b"/") => {
            (key, format!("all of {}", key.shown()))
        }
        (None, key) => {
            let key = key.as_ref().map(Key::shown).unwrap_or_default();
            return Err(Error::new(format!(
                "{key} may be the beginning of other keys too: write {key}/ for what is under it, \
                 or --prefix {key} for all that begins so"
            )));
        }
    };
    let mut count = 0u64;
    each_line(&client, Some(prefix), "format=text", |_| {
        count += 1;
        Ok(())
    })?;
    let keys = if count == 1 { "1 key".to_owned() } else { format!("{count} keys") };
    if count == 0 {
        return print("0 keys: nothing to remove\n");
    }
    if !args.yes && !agreed(&format!("Remove {what}: {keys}? [y/N] "))? {
        return Err(Error::new("nothing was removed"));
    }
    // One step of the log takes them all, those too that came since they were counted.
    let path = format!("/v1/kv/{}?recurse", prefix.escaped());
    let answer = client.ask(&Method::DELETE, &path, &[])?;
    match answer.status {
        200 => print(&format!("{keys} removed\n")),
        _ => Err(Error::new(answer.problem())),
    }
}

/// Asks a person, on stderr, so that stdout has results only. No answer is a no.
fn agreed(question: &str) -> Result<bool, Error> {
    let mut stderr = io::stderr().lock();
    // Who cannot be asked does not answer.
    let _ = stderr.write_all(question.as_bytes()).and_then(|()| stderr.flush());
    let mut answer = String::new();
    let read = BufReader::new(io::stdin().take(1024)).read_line(&mut answer);
    read.map_err(|error| Error::new(format!("cannot read the answer: {error}")))?;
    if answer.is_empty() {
        let _ = stderr.write_all(b"\n");
    }
    Ok(["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()))
}

/// Hands on every line of a listing, line end included.
fn each_line(
    client: &Client,
    prefix: Option<&Key>,
    form: &str,
    mut take: impl FnMut(&[u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    let prefix = prefix.map(Key::escaped).unwrap_or_default();
    let mut body = client.open(&format!("/api/kv?{form}&prefix={prefix}"))?.body;
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut body).take(LINE_MAX).read_until(b'\n', &mut line);
        match read {
            Err(error) => return Err(Error::new(format!("the listing is not complete: {error}"))),
            Ok(0) => return Ok(()),
            Ok(_) if !line.ends_with(b"\n") => {
                return Err(Error::new("the listing is not complete: its last line breaks off"));
            }
            Ok(_) => take(&line)?,
        }
    }
}

fn stdout_failed(error: &io::Error) -> Error {
    Error::new(format!("cannot write to stdout: {error}"))
}

#[cfg(test)]
mod tests {
    use super::super::super::args::NodeUrls;
    use super::super::super::testing::{self, Reply};
    use super::*;

    const LINES: &str =
        "{\"key\":\"a/1\",\"value\":\"MQ==\"}\n{\"key\":\"a/2\",\"value\":\"Mg==\"}\n";

    fn node() -> NodeUrls {
        let base = testing::serve(|asked| match asked.line.as_str() {
            "GET /api/kv?format=jsonl&prefix=a/" => Reply::new(200, LINES),
            "GET /api/kv?format=jsonl&prefix=b" => Reply::new(200, "{\"key\":\"b\",\"value\""),
            "GET /api/kv?format=text&prefix=a/" => Reply::new(200, "a/1\na/2\n"),
            "GET /api/kv?format=text&prefix=c" => Reply::new(200, ""),
            "DELETE /v1/kv/a/?recurse" => Reply::new(200, "true"),
            "GET /api/kv?format=jsonl&prefix=bad" => Reply::new(400, "{\"detail\":\"no\"}"),
            line => panic!("nobody asked for {line}"),
        });
        NodeUrls { urls: vec![base] }
    }

    fn key(text: &str) -> Key {
        text.as_bytes().to_vec().into()
    }

    #[test]
    fn an_export_has_its_name_when_it_is_complete() {
        let home = tempfile::tempdir().unwrap();
        let out = home.path().join("keys");
        let export_of = |prefix: &str| {
            export(&ExportArgs { prefix: Some(key(prefix)), out: Some(out.clone()), node: node() })
        };
        assert!(export_of("b").unwrap_err().to_string().contains("not complete"));
        assert_eq!(export_of("bad"), Err(Error::new("no")));
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0, "nothing is left");
        export_of("a/").unwrap();
        assert_eq!(std::fs::read_to_string(&out).unwrap(), LINES);
    }

    #[test]
    fn a_prefix_is_removed_when_it_is_meant() {
        let rm_of = |given: Option<&str>, prefix: Option<&str>| {
            let (key, prefix) = (given.map(key), prefix.map(key));
            rm(&RmArgs { key, recursive: true, prefix, yes: true, node: node() })
        };
        let refused = rm_of(Some("a"), None).unwrap_err().to_string();
        assert!(refused.contains("write a/ ") && refused.contains("--prefix a "), "{refused}");
        rm_of(Some("a/"), None).unwrap();
        rm_of(None, Some("a/")).unwrap();
        rm_of(None, Some("c")).unwrap();
    }
}
