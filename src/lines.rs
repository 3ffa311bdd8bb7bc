//! Lines for people, written to stderr by a thread of their own.
//!
//! Stderr may be a pipe that nobody reads, or a file on the disk that hangs: whoever has a line must not
//! wait for it, the raft thread least of all. So lines queue up, and when there is no room they are
//! dropped, and it is said how many.

use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

/// Lines that may wait; some megabytes.
const LINES_MAX: usize = 8192;

static LINES: OnceLock<Sender<Line>> = OnceLock::new();
static DROPPED: AtomicU64 = AtomicU64::new(0);

enum Line {
    Text(Vec<u8>),
    /// Everything before is written when this is dropped.
    Mark(#[allow(dead_code, reason = "its drop is the message")] Sender<()>),
}

/// Takes lines and never waits.
#[derive(Debug, Default)]
pub struct Lines(());

impl Lines {
    /// Starts the thread; to be called once.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start() -> io::Result<Self> {
        let (lines_in, lines) = bounded(LINES_MAX);
        std::thread::Builder::new().name("lines".to_owned()).spawn(move || write_out(&lines))?;
        // A second start keeps the first thread; the new one ends at once.
        LINES.set(lines_in).ok();
        Ok(Self(()))
    }
}

impl Write for Lines {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let taken = LINES.get().map(|lines| lines.try_send(Line::Text(text.to_vec())));
        if !matches!(taken, Some(Ok(()))) {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Waits until all lines so far are written, but not for long: for a process that ends.
pub fn write_out_before_the_end() {
    let Some(lines) = LINES.get() else { return };
    let (mark, written) = bounded(0);
    let patience = Duration::from_secs(1);
    if lines.send_timeout(Line::Mark(mark), patience).is_ok() {
        written.recv_timeout(patience).ok();
    }
}

fn write_out(lines: &Receiver<Line>) {
    for line in lines {
        // Nobody may be reading; that is no reason to die.
        if let Line::Text(text) = line {
            io::stderr().write_all(&text).ok();
        }
        let dropped = DROPPED.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            writeln!(io::stderr(), "... {dropped} lines were dropped: stderr was not read").ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_without_waiting_and_written_before_the_end() {
        let mut lines = Lines::start().unwrap();
        for _ in 0..2 * LINES_MAX {
            lines.write_all(b"").unwrap();
        }
        write_out_before_the_end();
        assert!(LINES.get().unwrap().is_empty());
    }
}
