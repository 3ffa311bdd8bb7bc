//! `import`: sets keys from the lines that an export wrote, with many requests in flight.
//!
//! Setting a key to what it is changes nothing, so an import that was stopped is simply run again.
//! Sessions and revisions are not imported; a key with a lifetime gets what was left of it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};
use ureq::http::Method;

use super::super::Error;
use super::super::patient::Patient;
use super::super::progress::Progress;
use super::args::ImportArgs;
use super::entry::Entry;

/// Bytes of the longest line: the longest value there can be, in base64, and its key.
const LINE_LEN_MAX: u64 = 4 * 1024 * 1024;

/// A line on its way, or one that is done.
struct Line {
    /// Its number in the file, from 1.
    number: u64,
    /// Bytes of the file up to its end.
    bytes_end: u64,
    text: Vec<u8>,
}

/// What became of a line.
enum Fate {
    /// The key was not there before.
    Created,
    /// It was, with this value or another.
    Set,
    Failed(String),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    created: u64,
    set: u64,
    failed: u64,
}

pub(super) fn run(args: &ImportArgs) -> Result<(), Error> {
    let at = |error: io::Error| Error::new(format!("{}: {error}", args.file.display()));
    let (input, bytes_total): (Box<dyn Read + Send>, _) = if args.file.as_os_str() == "-" {
        (Box::new(io::stdin()), None)
    } else {
        let file = File::open(&args.file).map_err(at)?;
        let metadata = file.metadata().map_err(at)?;
        let length = metadata.is_file().then_some(metadata.len());
        (Box::new(file), length)
    };
    let started = Instant::now();
    let mut progress = Progress::new(bytes_total);
    let counts = import(args, input, &mut progress).map_err(at)?;
    let Counts { created, set, failed } = counts;
    progress.note(&format!(
        "{} lines in {:.1} s: {created} created, {set} set, {failed} failed",
        created + set + failed,
        started.elapsed().as_secs_f64(),
    ));
    match failed {
        0 => Ok(()),
        1 => Err(Error::new("one line is not imported; run it again to try once more")),
        n => Err(Error::new(format!("{n} lines are not imported; run it again to try once more"))),
    }
}

fn import(
    args: &ImportArgs,
    input: impl Read + Send,
    progress: &mut Progress,
) -> io::Result<Counts> {
    let workers = usize::from(args.concurrency);
    let (line, lines) = bounded(workers);
    let (done, fates) = bounded::<(Line, Fate)>(workers);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let stop = &stop;
        let reader = scope.spawn(move || {
            let mut input = BufReader::with_capacity(1 << 16, input);
            read_lines(&mut input, |next| !stop.load(Ordering::Relaxed) && line.send(next).is_ok())
        });
        for number in 0..workers {
            let (lines, done) = (lines.clone(), done.clone());
            let worker = Patient::new(&args.node.urls, number, args.retry_for, stop);
            scope.spawn(move || work(&worker, &lines, &done));
        }
        drop((lines, done));
        let mut counts = Counts::default();
        let mut bytes = 0;
        for (line, fate) in fates {
            match fate {
                Fate::Created => counts.created += 1,
                Fate::Set => counts.set += 1,
                Fate::Failed(why) => {
                    counts.failed += 1;
                    progress.note(&format!("line {}: {why}", line.number));
                }
            }
            bytes = line.bytes_end.max(bytes);
            progress.update(bytes, counts.created + counts.set + counts.failed);
        }
        if stop.load(Ordering::Relaxed) {
            progress.note("stopped: the rest was not sent");
        }
        reader.join().expect("reading lines does not panic")?;
        Ok(counts)
    })
}

/// Hands on every line that is not blank, until `take` wants no more.
fn read_lines(input: &mut impl BufRead, mut take: impl FnMut(Line) -> bool) -> io::Result<()> {
    let (mut number, mut bytes_end) = (0, 0);
    loop {
        let mut text = Vec::new();
        let length = input.by_ref().take(LINE_LEN_MAX).read_until(b'\n', &mut text)? as u64;
        if length == 0 {
            return Ok(());
        }
        number += 1;
        bytes_end += length;
        if length == LINE_LEN_MAX && text.last() != Some(&b'\n') {
            // The beginning is enough to be told that it is none.
            bytes_end += input.skip_until(b'\n')? as u64;
            text.truncate(1024);
        }
        if !text.trim_ascii().is_empty() && !take(Line { number, bytes_end, text }) {
            return Ok(());
        }
    }
}

fn work(worker: &Patient<'_>, lines: &Receiver<Line>, done: &Sender<(Line, Fate)>) {
    for mut line in lines {
        let fate = match put(worker, &line.text) {
            Ok(fate) => fate,
            Err(error) => Fate::Failed(error.to_string()),
        };
        line.text = Vec::new();
        if done.send((line, fate)).is_err() {
            return;
        }
    }
}

fn put(worker: &Patient<'_>, text: &[u8]) -> Result<Fate, Error> {
    let entry = Entry::parse(text)?;
    let mut path = format!("/api/kv/{}?flags={}", entry.key()?.escaped(), entry.flags);
    if let Some(left) = entry.ttl_ms {
        path.push_str(&format!("&ttl={}ms", left.max(1)));
    }
    let answer = worker.ask(&Method::PUT, &path, &entry.value()?).map_err(Error::new)?;
    match answer.status {
        200 => Ok(Fate::Set),
        201 => Ok(Fate::Created),
        _ => Err(Error::new(answer.problem())),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;
    use std::time::Duration;

    use super::super::super::args::NodeUrls;
    use super::super::super::testing::{self, Reply};
    use super::*;

    fn import_text(nodes: Vec<String>, retry_for: Duration, text: &str) -> Counts {
        let node = NodeUrls { urls: nodes };
        let args = ImportArgs { file: "-".into(), concurrency: 4, retry_for, node };
        import(&args, text.as_bytes(), &mut Progress::new(None)).unwrap()
    }

    #[test]
    fn every_line_becomes_a_key_and_again_it_stays_one() {
        let keys = Mutex::new(BTreeMap::new());
        let base = testing::serve(move |asked| {
            let (key, busy) = match asked.line.as_str() {
                "PUT /api/kv/a/%FF?flags=0&ttl=500ms" => ("a/255", false),
                "PUT /api/kv/a%20b?flags=7" => ("a b", false),
                line => (line.strip_prefix("PUT /api/kv/").unwrap(), true),
            };
            let mut keys = keys.lock().unwrap();
            if busy && keys.insert(format!("busy {key}"), vec![]).is_none() {
                return Reply::new(503, "no leader");
            }
            let status = if keys.insert(key.to_owned(), asked.body).is_none() { 201 } else { 200 };
            Reply::new(status, "")
        });
        let mut text = "{\"key\":\"a b\",\"value\":\"aGk=\",\"flags\":7}\n\n\
                        {\"key_base64\":\"YS//\",\"value\":\"\",\"ttl_ms\":500}\n"
            .to_owned();
        for number in 0..50 {
            text.push_str(&format!("{{\"key\":\"k{number}\",\"value\":\"\"}}\n"));
        }
        let long = Duration::from_secs(60);
        let counts = import_text(vec![base.clone()], long, &text);
        assert_eq!(counts, Counts { created: 52, ..Counts::default() });
        let counts = import_text(vec![testing::nobody(), base], long, &text);
        assert_eq!(counts, Counts { set: 52, ..Counts::default() });
    }

    #[test]
    fn lines_that_are_no_keys_are_told_and_the_others_go_on() {
        let base = testing::serve(|_| Reply::new(201, ""));
        let huge = "x".repeat(5 * 1024 * 1024);
        let text = format!("nonsense\n{{\"key\":\"a\"}}\n{huge}\n{{\"key\":\"a\",\"value\":\"\"}}");
        let counts = import_text(vec![base], Duration::from_secs(60), &text);
        assert_eq!(counts, Counts { created: 1, failed: 3, ..Counts::default() });
    }

    #[test]
    fn when_no_node_answers_it_stops_early() {
        let text = "{\"key\":\"a\",\"value\":\"\"}\n".repeat(10_000);
        let counts = import_text(vec![testing::nobody()], Duration::from_millis(50), &text);
        assert_eq!(counts.created + counts.set, 0);
        assert!((1..100).contains(&counts.failed), "{counts:?}");
    }
}
