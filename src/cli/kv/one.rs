//! `get`, `put`, `cas`, `rm`: one key.

use std::io::{self, Read, Write};

use ureq::http::Method;

use super::super::client::{Answer, Client};
use super::super::{Error, print};
use super::args::{CasArgs, GetArgs, PutArgs, RmArgs, ValueArgs};
use super::keys::Key;

/// Bytes of a value that are read at all; no cluster takes as much.
const VALUE_MAX: u64 = 8 * 1024 * 1024;

pub(super) fn get(args: &GetArgs) -> Result<(), Error> {
    let mut path = format!("/api/kv/{}", args.key.escaped());
    let wishes = [("format=json", args.json), ("consistency=stale", args.stale)];
    for (at, (wish, _)) in wishes.iter().filter(|(_, wanted)| *wanted).enumerate() {
        path.push(if at == 0 { '?' } else { '&' });
        path.push_str(wish);
    }
    let answer = Client::new(&args.node.urls).ask(&Method::GET, &path, &[])?;
    match answer.status {
        200 => write(&answer.body),
        404 => Err(missing(&args.key)),
        _ => Err(Error::new(answer.problem())),
    }
}

pub(super) fn put(args: &PutArgs) -> Result<(), Error> {
    let answer = set(&args.key, &args.value, &[], &Client::new(&args.node.urls))?;
    match answer.status {
        200 | 201 => print(&format!("{}\n", revision(&answer))),
        _ => Err(Error::new(answer.problem())),
    }
}

pub(super) fn cas(args: &CasArgs) -> Result<(), Error> {
    let client = Client::new(&args.node.urls);
    let tag = format!("\"{}\"", args.revision);
    let condition = match args.revision {
        0 => ("If-None-Match", "*"),
        _ => ("If-Match", tag.as_str()),
    };
    let answer = set(&args.key, &args.value, &[condition], &client)?;
    match answer.status {
        200 | 201 => print(&format!("{}\n", revision(&answer))),
        412 => Err(other_than_expected(args, &client)?),
        _ => Err(Error::new(answer.problem())),
    }
}

/// What is there instead: the revision in the message, the value on stdout.
fn other_than_expected(args: &CasArgs, client: &Client) -> Result<Error, Error> {
    let path = format!("/api/kv/{}", args.key.escaped());
    let answer = client.ask(&Method::GET, &path, &[])?;
    let key = args.key.shown();
    match answer.status {
        200 => {
            write(&answer.body)?;
            let now = revision(&answer);
            Ok(Error::new(match args.revision {
                0 => format!("nothing was set: {key} is there already, at revision {now}"),
                wanted => format!("nothing was set: {key} is at revision {now}, not at {wanted}"),
            }))
        }
        404 => Ok(Error::new(format!("nothing was set: there is no key {key} (any more)"))),
        _ => Err(Error::new(answer.problem())),
    }
}

pub(super) fn rm(args: &RmArgs) -> Result<(), Error> {
    let key = args.key.as_ref().expect("without -r, clap asks for a key");
    let path = format!("/api/kv/{}", key.escaped());
    let answer = Client::new(&args.node.urls).write_once(&Method::DELETE, &path, &[], &[])?;
    match answer.status {
        204 => Ok(()),
        _ => Err(Error::new(answer.problem())),
    }
}

fn set(
    key: &Key,
    value: &ValueArgs,
    headers: &[(&str, &str)],
    client: &Client,
) -> Result<Answer, Error> {
    let mut path = format!("/api/kv/{}?flags={}", key.escaped(), value.flags);
    if let Some(ttl) = value.ttl {
        path.push_str(&format!("&ttl={}ms", ttl.as_millis().max(1)));
    }
    client.write_once(&Method::PUT, &path, headers, &read(value)?)
}

fn read(value: &ValueArgs) -> Result<Vec<u8>, Error> {
    let (name, input): (_, Box<dyn Read>) = match (&value.file, &value.value) {
        (Some(path), _) => {
            let name = path.display().to_string();
            let file = std::fs::File::open(path);
            let file = file.map_err(|error| Error::new(format!("{name}: {error}")))?;
            (name, Box::new(file))
        }
        (None, Some(value)) if value == "-" => ("stdin".to_owned(), Box::new(io::stdin())),
        (None, value) => return Ok(value.clone().unwrap_or_default().into_bytes()),
    };
    let mut bytes = Vec::new();
    let result = input.take(VALUE_MAX + 1).read_to_end(&mut bytes);
    result.map_err(|error| Error::new(format!("{name}: {error}")))?;
    if bytes.len() as u64 > VALUE_MAX {
        return Err(Error::new(format!("{name} is too long for a value")));
    }
    Ok(bytes)
}

/// The number that an ETag is.
fn revision(answer: &Answer) -> &str {
    answer.etag.as_deref().unwrap_or_default().trim_matches('"')
}

fn missing(key: &Key) -> Error {
    Error::new(format!("there is no key {}", key.shown()))
}

/// A value as it is.
fn write(value: &[u8]) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    let result = stdout.write_all(value).and_then(|()| stdout.flush());
    result.map_err(|error| Error::new(format!("cannot write to stdout: {error}")))
}
