//! `import`: shortens a file of URLs, with many requests in flight and the output in order.
//!
//! One thread reads lines, some dozens ask, and the calling thread puts the answers back in order.
//! Every line on its way holds one of [`WINDOW`] permits from being read to being written, so one
//! slow line holds up the reader, and memory stays bounded however long the file is.
//!
//! A line may be sent again after any failure, even to another node: the same URL always gets the
//! same key, so doing it twice does no harm. When no node takes a line for `--retry-for`, the import
//! stops there and says so, rather than fail line after line.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};
use ureq::http::Method;

use super::Error;
use super::args::ImportArgs;
use super::patient::Patient;
use super::progress::Progress;

/// Lines between being read and being written.
const WINDOW: usize = 4096;
/// Bytes of the longest line that is kept; no URL comes near it.
const LINE_LEN_MAX: usize = 16 * 1024;

/// A line of the input that is not blank.
#[derive(Debug)]
struct Line {
    /// Its place among those, from 0: what the output is ordered by.
    place: u64,
    /// Its number in the file, from 1.
    number: u64,
    /// Bytes of the file up to its end.
    bytes_end: u64,
    /// Without white space around it; `None` when it is longer than [`LINE_LEN_MAX`].
    text: Option<Vec<u8>>,
}

/// What became of a line.
#[derive(Debug, PartialEq)]
enum Fate {
    Created(String),
    Existed(String),
    /// It is no URL.
    Skipped(String),
    /// It may be one, and has no key.
    Failed(String),
}

/// How it all went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    created: u64,
    existed: u64,
    skipped: u64,
    failed: u64,
}

impl Counts {
    fn lines(&self) -> u64 {
        self.created + self.existed + self.skipped + self.failed
    }
}

/// Runs an import and prints its summary.
pub(super) fn run(args: &ImportArgs) -> Result<(), Error> {
    let (input, bytes_total) = open(&args.file)?;
    let output: Box<dyn Write> = match &args.out {
        Some(path) => Box::new(File::create(path).map_err(|error| at(path, &error))?),
        None => Box::new(io::stdout()),
    };
    let mut progress = Progress::new(bytes_total);
    let started = Instant::now();
    let counts = import(args, input, output, &mut progress)?;
    let seconds = started.elapsed().as_secs_f64();
    progress.note(&format!(
        "{} lines in {seconds:.1} s, {:.0} a second: {} created, {} existed, {} skipped, {} failed",
        counts.lines(),
        counts.lines() as f64 / seconds.max(1e-9),
        counts.created,
        counts.existed,
        counts.skipped,
        counts.failed,
    ));
    match counts.failed {
        0 => Ok(()),
        1 => Err(Error::new("one line has no key")),
        n => Err(Error::new(format!("{n} lines have no key"))),
    }
}

fn open(path: &Path) -> Result<(Box<dyn Read + Send>, Option<u64>), Error> {
    if path.as_os_str() == "-" {
        return Ok((Box::new(io::stdin()), None));
    }
    let file = File::open(path).map_err(|error| at(path, &error))?;
    let metadata = file.metadata().map_err(|error| at(path, &error))?;
    let bytes_total = metadata.is_file().then_some(metadata.len());
    Ok((Box::new(file), bytes_total))
}

fn at(path: &Path, error: &io::Error) -> Error {
    Error::new(format!("{}: {error}", path.display()))
}

/// Shortens all of `input`.
fn import(
    args: &ImportArgs,
    input: impl Read + Send,
    output: impl Write,
    progress: &mut Progress,
) -> Result<Counts, Error> {
    let workers = usize::from(args.concurrency);
    let (permit, permits) = bounded(WINDOW);
    let (line, lines) = bounded(workers);
    let (done, fates) = bounded(WINDOW);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let stop = &stop;
        let reader = scope.spawn(move || {
            let mut input = BufReader::with_capacity(1 << 16, input);
            read_lines(&mut input, |next| {
                !stop.load(Ordering::Relaxed) && permit.send(()).is_ok() && line.send(next).is_ok()
            })
        });
        for number in 0..workers {
            let (lines, done) = (lines.clone(), done.clone());
            let worker = Patient::new(&args.node.urls, number, args.retry_for, stop);
            scope.spawn(move || work(&worker, &lines, &done));
        }
        // The channels close from the reader's end on, one after the other, when all is done.
        drop((lines, done));
        let mut writer =
            Writer { output: BufWriter::new(output), progress, counts: Counts::default() };
        let written = writer.write_in_order(&fates, &permits, stop);
        let read = reader.join().expect("reading lines does not panic");
        let counts = writer.counts;
        written.map_err(|error| Error::new(format!("cannot write the output: {error}")))?;
        read.map_err(|error| Error::new(format!("cannot read the input: {error}")))?;
        Ok(counts)
    })
}

/// Hands on every line that is not blank, until `take` wants no more.
fn read_lines(input: &mut impl BufRead, mut take: impl FnMut(Line) -> bool) -> io::Result<()> {
    let (mut place, mut number, mut bytes_end) = (0, 0, 0);
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        let limit = LINE_LEN_MAX as u64 + 1;
        let mut len = input.by_ref().take(limit).read_until(b'\n', &mut buffer)? as u64;
        if len == 0 {
            return Ok(());
        }
        let too_long = len == limit && buffer.last() != Some(&b'\n');
        if too_long {
            len += input.skip_until(b'\n')? as u64;
        }
        number += 1;
        bytes_end += len;
        let text = buffer.trim_ascii();
        if text.is_empty() && !too_long {
            continue;
        }
        let text = (!too_long).then(|| text.to_vec());
        if !take(Line { place, number, bytes_end, text }) {
            return Ok(());
        }
        place += 1;
    }
}

fn work(worker: &Patient<'_>, lines: &Receiver<Line>, done: &Sender<(Line, Fate)>) {
    for line in lines {
        let fate = match &line.text {
            Some(url) => shorten(worker, url),
            None => Fate::Skipped(format!("longer than {LINE_LEN_MAX} bytes")),
        };
        if done.send((line, fate)).is_err() {
            return;
        }
    }
}

fn shorten(worker: &Patient<'_>, url: &[u8]) -> Fate {
    let answer = match worker.ask(&Method::PUT, "/", url) {
        Ok(answer) => answer,
        Err(given_up) => return Fate::Failed(given_up),
    };
    match answer.status {
        201 => Fate::Created(answer.text()),
        200 => Fate::Existed(answer.text()),
        400 | 413 | 414 => Fate::Skipped(answer.problem()),
        _ => Fate::Failed(answer.problem()),
    }
}

/// Puts fates back in the order of their lines.
struct Writer<'a, W: Write> {
    output: BufWriter<W>,
    progress: &'a mut Progress,
    counts: Counts,
}

impl<W: Write> Writer<'_, W> {
    /// Goes on to the end of `fates` whatever happens, for the workers wait on it; gives a permit
    /// back for each line.
    fn write_in_order(
        &mut self,
        fates: &Receiver<(Line, Fate)>,
        permits: &Receiver<()>,
        stop: &AtomicBool,
    ) -> io::Result<()> {
        let mut waiting = BTreeMap::new();
        let mut result = Ok(());
        let mut next = 0;
        let mut last = 0;
        for (line, fate) in fates {
            waiting.insert(line.place, (line, fate));
            while let Some((line, fate)) = waiting.remove(&next) {
                next += 1;
                last = line.number;
                permits.recv().expect("every line was read with a permit");
                self.progress.update(line.bytes_end, next);
                let written = self.write(&line, fate);
                if result.is_ok() && written.is_err() {
                    // Nobody gets to see what is done from here on.
                    stop.store(true, Ordering::Relaxed);
                    result = written;
                }
            }
            if fates.is_empty() && result.is_ok() {
                result = self.output.flush();
            }
        }
        assert!(waiting.is_empty(), "every line that was read has a fate");
        if stop.load(Ordering::Relaxed) {
            self.progress.note(&format!("stopped after line {last}: the rest was not sent"));
        }
        result
    }

    fn write(&mut self, line: &Line, fate: Fate) -> io::Result<()> {
        match fate {
            Fate::Created(key) => {
                self.counts.created += 1;
                self.write_key(&key, line)
            }
            Fate::Existed(key) => {
                self.counts.existed += 1;
                self.write_key(&key, line)
            }
            Fate::Skipped(why) => {
                self.counts.skipped += 1;
                self.progress.note(&format!("line {}: skipped: {why}", line.number));
                Ok(())
            }
            Fate::Failed(why) => {
                self.counts.failed += 1;
                self.progress.note(&format!("line {}: failed: {why}", line.number));
                Ok(())
            }
        }
    }

    fn write_key(&mut self, key: &str, line: &Line) -> io::Result<()> {
        self.output.write_all(key.as_bytes())?;
        self.output.write_all(b"\t")?;
        self.output.write_all(line.text.as_deref().expect("what has a key was sent"))?;
        self.output.write_all(b"\n")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::super::args::NodeUrls;
    use super::super::testing::{self, Asked, Reply};
    use super::*;

    fn args(nodes: Vec<String>, retry_for: Duration) -> ImportArgs {
        ImportArgs {
            file: "-".into(),
            out: None,
            concurrency: 8,
            retry_for,
            node: NodeUrls { urls: nodes },
        }
    }

    fn import_text(nodes: Vec<String>, retry_for: Duration, input: &str) -> (Counts, String) {
        let mut output = Vec::new();
        let args = args(nodes, retry_for);
        let counts =
            import(&args, input.as_bytes(), &mut output, &mut Progress::new(None)).unwrap();
        (counts, String::from_utf8(output).unwrap())
    }

    /// A service whose key for a URL is what follows the last slash.
    fn service(busy: impl FnMut() -> bool + Send + 'static) -> String {
        let seen = Mutex::new(BTreeMap::new());
        let busy = Mutex::new(busy);
        testing::serve(move |asked: Asked| {
            assert_eq!(asked.line, "PUT /");
            let url = String::from_utf8(asked.body).unwrap();
            if !url.starts_with("http://") {
                return Reply::new(400, "not a URL");
            }
            if (busy.lock().unwrap())() {
                return Reply::new(503, "no leader").with("Retry-After", "0");
            }
            let key = url.rsplit('/').next().unwrap().to_string() + "\n";
            let first = seen.lock().unwrap().insert(url, ()).is_none();
            Reply::new(if first { 201 } else { 200 }, &key)
        })
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn keys_come_in_the_order_of_the_lines() {
        let mut calls = 0;
        let node = service(move || {
            calls += 1;
            calls % 10 == 0
        });
        let mut input: Vec<String> = (0..500).map(|n| format!("  http://a/{n}\r")).collect();
        let expected: String = (0..500).map(|n| format!("{n}\thttp://a/{n}\n")).collect();
        let (counts, output) = import_text(vec![node.clone()], LONG, &input.join("\n"));
        assert_eq!(output, expected);
        assert_eq!(counts, Counts { created: 500, ..Counts::default() });

        input.truncate(2);
        let (counts, _) = import_text(vec![node], LONG, &input.join("\n"));
        assert_eq!(counts, Counts { existed: 2, ..Counts::default() });
    }

    #[test]
    fn lines_that_are_no_urls_are_skipped_and_blank_ones_are_nothing() {
        let node = service(|| false);
        let long = "x".repeat(100_000);
        let input = format!("http://a/1\n\n   \nnonsense\n{long}\nhttp://a/2");
        let (counts, output) = import_text(vec![node], LONG, &input);
        assert_eq!(output, "1\thttp://a/1\n2\thttp://a/2\n");
        assert_eq!(counts, Counts { created: 2, skipped: 2, ..Counts::default() });
    }

    #[test]
    fn a_node_that_is_down_is_passed_over() {
        let nodes = vec![testing::nobody(), service(|| false)];
        let input: String = (0..50).map(|n| format!("http://a/{n}\n")).collect();
        assert_eq!(import_text(nodes, LONG, &input).0.created, 50);
    }

    #[test]
    fn when_no_node_answers_the_import_stops_early() {
        let input: String = (0..10_000).map(|n| format!("http://a/{n}\n")).collect();
        let (counts, output) =
            import_text(vec![testing::nobody()], Duration::from_millis(50), &input);
        assert_eq!(output, "");
        assert_eq!(counts.created, 0);
        assert!((1..1000).contains(&counts.failed), "{counts:?}");
    }

    #[test]
    fn an_output_that_cannot_be_written_ends_the_import() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::Error::other("full"))
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let args = args(vec![service(|| false)], LONG);
        let input: String = (0..100).map(|n| format!("http://a/{n}\n")).collect();
        let result = import(&args, input.as_bytes(), Full, &mut Progress::new(None));
        assert!(result.unwrap_err().to_string().contains("full"));
    }

    #[test]
    fn lines_know_their_number_and_where_they_end() {
        let long = "x".repeat(LINE_LEN_MAX + 1);
        let input = format!("\na\n{long}\n b ");
        let mut seen = Vec::new();
        read_lines(&mut input.as_bytes(), |line| {
            seen.push((line.place, line.number, line.bytes_end, line.text));
            true
        })
        .unwrap();
        let len = input.len() as u64;
        assert_eq!(
            seen,
            [
                (0, 2, 3, Some(b"a".to_vec())),
                (1, 3, len - 3, None),
                (2, 4, len, Some(b"b".to_vec())),
            ]
        );
    }
}
