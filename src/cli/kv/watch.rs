//! `watch`: what is there, and then every change, whichever node is up.
//!
//! When the connection ends, the next node is asked for what changed after the last event, so no
//! change is missed; several changes of a key in that time are one.

use std::io::BufReader;
use std::time::Duration;

use serde_json::Value;

use super::super::client::Client;
use super::super::stream::{self, Body};
use super::super::{Error, print};
use super::args::WatchArgs;
use super::entry::Entry;
use super::keys::shown;
use super::sse::{Event, Events};

/// Before all nodes are asked again.
const PAUSE: Duration = Duration::from_secs(1);

pub(super) fn run(args: &WatchArgs) -> Result<(), Error> {
    let client = Client::new(&args.node.urls);
    let path = path(args);
    let mut last = args.since.map(|revision| revision.to_string());
    let mut left = args.count;
    let mut node = 0;
    let mut ever = false;
    // In a row, without an event between.
    let mut failures = 0;
    while left != Some(0) {
        let base = client.base(node);
        let trouble = match open(base, &path, last.as_deref())? {
            Err(why) => why,
            Ok(body) => {
                ever = true;
                let mut events = Events::new(body, last.take());
                let end = follow(&mut events, args.json, &mut left, &mut failures);
                last = events.id.take();
                match end? {
                    Some(why) => format!("the connection to {base} has ended: {why}"),
                    None => return Ok(()),
                }
            }
        };
        failures += 1;
        node += 1;
        let all_asked = failures % args.node.urls.len() == 0;
        if all_asked && !ever {
            return Err(Error::new(trouble));
        }
        if failures == 1 {
            eprintln!("bowline: {trouble}; going on elsewhere");
        }
        if all_asked {
            std::thread::sleep(PAUSE);
        }
    }
    Ok(())
}

fn path(args: &WatchArgs) -> String {
    match (&args.prefix, &args.key) {
        (Some(prefix), _) => format!("/api/kv?watch&prefix={}", prefix.escaped()),
        (None, Some(key)) if key.bytes().ends_with(b"/") => {
            format!("/api/kv?watch&prefix={}", key.escaped())
        }
        (None, key) => {
            let key = key.as_ref().expect("clap asks for a key or a prefix");
            format!("/api/kv/{}?watch", key.escaped())
        }
    }
}

/// Asks one node. A refusal that every node would repeat is an error; a failure is worth a try
/// elsewhere.
fn open(
    base: &str,
    path: &str,
    last: Option<&str>,
) -> Result<Result<BufReader<Body>, String>, Error> {
    let header = last.map(|id| ("Last-Event-ID", id));
    let incoming = match stream::get(base, path, header.as_slice()) {
        Ok(incoming) => incoming,
        Err(why) => return Ok(Err(why)),
    };
    match incoming.status {
        200 => Ok(Ok(incoming.body)),
        429 | 500.. => Ok(Err(format!("{base}: {}", incoming.into_answer().problem()))),
        _ => Err(Error::new(incoming.into_answer().problem())),
    }
}

/// Prints events until enough are printed (none) or no more come (why).
fn follow(
    events: &mut Events<BufReader<Body>>,
    json: bool,
    left: &mut Option<u64>,
    failures: &mut usize,
) -> Result<Option<String>, Error> {
    loop {
        match events.next() {
            Ok(Some(event)) => print(&line(&event, json)?)?,
            Ok(None) => return Ok(Some("it was closed".to_owned())),
            Err(error) => return Ok(Some(error.to_string())),
        }
        *failures = 0;
        if let Some(left) = left {
            *left -= 1;
            if *left == 0 {
                return Ok(None);
            }
        }
    }
}

/// An event as a line: revision, kind, key, value, with tabs between.
fn line(event: &Event, json: bool) -> Result<String, Error> {
    let nonsense = |error| Error::new(format!("the node's event makes no sense: {error}"));
    if json {
        let mut data: Value = serde_json::from_str(&event.data).map_err(nonsense)?;
        if let Some(fields) = data.as_object_mut() {
            fields.insert("event".to_owned(), event.kind.clone().into());
        }
        return Ok(format!("{data}\n"));
    }
    if event.kind == "reset" {
        return Ok("reset\n".to_owned());
    }
    let entry = Entry::parse(event.data.as_bytes())?;
    let start = format!("{}\t{}\t{}", entry.modify, event.kind, entry.key()?.shown());
    match event.kind.as_str() {
        "put" => Ok(format!("{start}\t{}\n", shown(&entry.value()?))),
        _ => Ok(format!("{start}\n")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::super::args::NodeUrls;
    use super::super::super::testing::{self, Reply};
    use super::*;

    fn event(kind: &str, data: &str) -> Event {
        Event { kind: kind.into(), data: data.into() }
    }

    #[test]
    fn events_are_lines() {
        let put = event("put", r#"{"key":"a\tb","value":"aGkK","modify":7}"#);
        assert_eq!(line(&put, false).unwrap(), "7\tput\ta\\tb\thi\\n\n");
        let json: Value = serde_json::from_str(&line(&put, true).unwrap()).unwrap();
        assert_eq!((&json["event"], &json["modify"]), (&"put".into(), &7.into()));
        let delete = event("delete", r#"{"key_base64":"/w==","modify":8}"#);
        assert_eq!(line(&delete, false).unwrap(), "8\tdelete\t\\xff\n");
        assert_eq!(line(&event("reset", "{}"), false).unwrap(), "reset\n");
        assert!(line(&event("put", "x"), true).is_err());
    }

    #[test]
    fn after_a_break_it_goes_on_elsewhere_and_misses_nothing() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let base = testing::serve(|asked| {
            assert_eq!(asked.line, "GET /api/kv/k?watch");
            let number = ASKED.fetch_add(1, Ordering::Relaxed);
            let first = "event: put\nid: 3\ndata: {\"key\":\"k\",\"value\":\"\",\"modify\":3}\n\n";
            let second = "event: delete\nid: 4\ndata: {\"key\":\"k\",\"modify\":4}\n\n";
            Reply::new(200, if number == 0 { first } else { second })
        });
        let args = WatchArgs {
            key: Some(b"k".to_vec().into()),
            prefix: None,
            since: None,
            count: Some(2),
            json: false,
            node: NodeUrls { urls: vec![base, testing::nobody()] },
        };
        run(&args).unwrap();
        assert_eq!(ASKED.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn what_every_node_refuses_ends_it() {
        let base = testing::serve(|_| Reply::new(400, "{\"detail\":\"no such thing\"}"));
        let mut args = WatchArgs {
            key: Some(b"k".to_vec().into()),
            prefix: None,
            since: None,
            count: None,
            json: false,
            node: NodeUrls { urls: vec![base] },
        };
        assert_eq!(run(&args), Err(Error::new("no such thing")));
        args.node.urls = vec![testing::nobody()];
        assert!(run(&args).unwrap_err().to_string().contains("no answer"));
    }
}
